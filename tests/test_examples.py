"""Every example runs to its end, and prints the figures that it promises."""

import contextlib
import importlib.util
import pathlib
import re
import runpy
import subprocess
import sys

import pytest

from .fresh import PATIENCE

EXAMPLES = sorted((pathlib.Path(__file__).parents[1] / "examples").glob("*.py"))


def percents(output: str) -> list[float]:
    return [float(p) for p in re.findall(r"(\d+(?:\.\d+)?) ?%", output)]


def digits(output: str) -> None:
    assert percents(output)[-1] >= 97


def digits_autograd(output: str) -> None:
    """As exact as by hand."""
    by_hand, by_autograd = percents(output)[-2:]
    assert by_autograd >= 97
    assert by_autograd == pytest.approx(by_hand, abs=1)


def distillation(output: str) -> None:
    _, alone, taught = percents(output)[-3:]
    assert taught > alone + 5
    assert taught >= 94


def language_model(output: str) -> None:
    *_, loss, bigram, unigram = (float(nats) for nats in re.findall(r"\d+\.\d+", output))
    assert loss < bigram - 0.1
    assert bigram < unigram


def out_of_core(output: str) -> None:
    """As by whole rows."""
    loss, expected = (float(found) for found in re.findall(r"loss (\S+?)[,;]", output))
    assert loss == pytest.approx(expected, rel=1e-6)
    assert float(re.findall(r"differs by (\S+) of", output)[0]) < 1e-6


def regression(output: str) -> None:
    r2, r2_exact = (float(r2) for r2 in re.findall(r"R\^2 (\S+) .*, (\S+) by", output)[-1])
    assert r2 >= 0.3
    assert r2 == pytest.approx(r2_exact, abs=0.001)
    assert percents(output)[-1] >= 95


CHECKS = (digits, digits_autograd, distillation, language_model, out_of_core, regression)
PROMISES = {check.__name__: check for check in CHECKS}


def one_thread_of_blas() -> contextlib.AbstractContextManager[object]:
    """The matrices are small: on a busy machine, BLAS's threads, which wait for each other, take ten times as long."""
    if not importlib.util.find_spec("threadpoolctl"):  # which comes with scikit-learn
        return contextlib.nullcontext()
    return importlib.import_module("threadpoolctl").threadpool_limits(1, "blas")


LONG = {"language_model"}


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(path, id=path.stem, marks=pytest.mark.slow if path.stem in LONG else ())
        for path in EXAMPLES
        if path.stem != "out_of_core"
    ],
)
def test_example(
    example: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process: to import scikit-learn and matplotlib takes longer than most examples."""
    for package in ("autograd", "sklearn"):
        if f"import {package}" in example.read_text() or f"from {package}" in example.read_text():
            pytest.importorskip(package)
    picture = tmp_path / "picture.png"
    draws = '"--plot"' in example.read_text() and importlib.util.find_spec("matplotlib")
    monkeypatch.setattr(sys, "argv", [str(example), *(["--plot", str(picture)] if draws else [])])
    monkeypatch.delitem(sys.modules, "digits", raising=False)  # an example, which another one imports
    monkeypatch.syspath_prepend(example.parent)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    with one_thread_of_blas():
        runpy.run_path(str(example), run_name="__main__")
    printed = capsys.readouterr()
    assert printed.err == ""
    PROMISES[example.stem](printed.out)
    if draws:
        assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_example_out_of_core(tmp_path: pathlib.Path) -> None:
    """In a process of its own, which starts a cluster."""
    pytest.importorskip("distributed")
    (example,) = (path for path in EXAMPLES if path.stem == "out_of_core")
    command = [sys.executable, str(example)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=200 * PATIENCE, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    out_of_core(result.stdout)


def test_there_are_examples() -> None:
    assert {example.stem for example in EXAMPLES} == set(PROMISES)
