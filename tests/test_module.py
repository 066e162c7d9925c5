"""The compiled module as a file: what it needs, what it offers, how it is hardened, and what is known of its parts."""

import importlib
import importlib.metadata
import json
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nonlin as nl
from nonlin import _core

from .fresh import printed

FILE = Path(_core.__file__ or "")


@pytest.fixture(scope="module")
def elf() -> Iterator[Any]:
    if sys.platform != "linux":
        pytest.skip("no ELF file")
    elffile = pytest.importorskip("elftools.elf.elffile")
    with FILE.open("rb") as stream:
        yield elffile.ELFFile(stream)


def dynamic(elf: Any, tag: str) -> list[Any]:
    return [entry for entry in elf.get_section_by_name(".dynamic").iter_tags() if entry.entry.d_tag == tag]


def symbols(elf: Any, defined: bool) -> set[str]:
    section = elf.get_section_by_name(".dynsym")
    return {s.name for s in section.iter_symbols() if s.name and (s["st_shndx"] != "SHN_UNDEF") == defined}


def test_tables_of_pointers_are_read_only(elf: Any) -> None:
    """All calls are bound on loading, and what they go through cannot be written after that."""
    assert any(segment["p_type"] == "PT_GNU_RELRO" for segment in elf.iter_segments())
    flags = [entry["d_val"] for entry in dynamic(elf, "DT_FLAGS")]
    assert any(value & 0x8 for value in flags)  # DF_BIND_NOW
    assert dynamic(elf, "DT_TEXTREL") == []


def test_stack_is_not_executable(elf: Any) -> None:
    (stack,) = (segment for segment in elf.iter_segments() if segment["p_type"] == "PT_GNU_STACK")
    assert stack["p_flags"] & 0x1 == 0


def test_stack_is_protected(elf: Any) -> None:
    assert "__stack_chk_fail" in symbols(elf, defined=False)


def test_no_folder_is_searched_for_libraries(elf: Any) -> None:
    assert dynamic(elf, "DT_RPATH") + dynamic(elf, "DT_RUNPATH") == []


def test_exports_are_python_s_and_threadpoolctl_s(elf: Any) -> None:
    assert symbols(elf, defined=True) == {"PyInit__core", "nonlin_num_threads"}


def test_highway_is_compiled_in(elf: Any) -> None:
    assert [entry.needed for entry in dynamic(elf, "DT_NEEDED") if "hwy" in entry.needed] == []


@pytest.mark.skipif(platform.machine() != "x86_64", reason="of x86")
def test_instruction_sets_are_those_that_numpy_finds() -> None:
    features = importlib.import_module("numpy._core._multiarray_umath").__cpu_features__

    def has(level: str, *names: str) -> bool:  # NumPy 2.4 has levels
        return bool(features[level] if level in features else all(features[name] for name in names))

    found = nl.simd_targets()
    assert ("AVX3" in found) == has("X86_V4", "AVX512_SKX")
    assert ("AVX2" in found) == has("X86_V3", "AVX2", "FMA3", "F16C")


def test_wheel_lists_what_is_compiled_in() -> None:
    found = importlib.metadata.distributions(name="nonlin")  # none beside a build for another machine
    package = next((p for p in found if Path(str(p.locate_file("nonlin/__init__.py"))) == Path(nl.__file__)), None)
    if package is None:
        pytest.skip("not installed from a wheel")
    text = package.read_text("sboms/nonlin.cdx.json")
    assert text is not None
    sbom = json.loads(text)
    assert sbom["bomFormat"] == "CycloneDX"
    assert sbom["metadata"]["component"]["version"] == nl.__version__
    versions = {part["name"]: part["version"] for part in sbom["components"]}
    assert versions["highway"] == _core.config()["highway"]
    assert "pybind11" in versions
    (dependencies,) = sbom["dependencies"]
    assert dependencies["dependsOn"] == [part["bom-ref"] for part in sbom["components"]]


def test_engines_are_imported_by_name_and_say_what_they_need() -> None:
    needed = {"autograd": "HIPS autograd, 1.9 or newer", "dask": "dask", "jax": "JAX", "xarray": "xarray"}
    needed["torch"] = "PyTorch, 2.4 or newer"
    code = f"""
        import sys, nonlin
        assert not {{*{[*needed]}, "distributed"}} & set(sys.modules)
        for package in {[*needed]}:
            sys.modules[package] = None
            try:
                __import__("nonlin." + package)
            except ImportError as error:
                print(error)
    """
    expected = [f"nonlin.{package} needs {name}: pip install nonlin[{package}]" for package, name in needed.items()]
    assert printed(code).splitlines() == expected
