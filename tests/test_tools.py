"""Scripts of tools/: check_release.py, history.py, minimax.py, and those that change the machine, without apt-get."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest
from tools import check_release, minimax

TOOLS = pathlib.Path(__file__).parents[1] / "tools"
LOG = 'echo "apt-get $@" >>"$LOG"'

shell = pytest.mark.skipif(os.name == "nt", reason="shell scripts")


def run(script: str, *args: str, folder: pathlib.Path, programs: dict[str, str], **environment: str) -> tuple[int, str, str]:
    """Run a script of tools/ where there are only these programs, each a line of shell: its exit code, output, log."""
    log = folder / "log"
    log.touch()
    for name, line in {"dirname": f'{shutil.which("dirname")} "$@"', "env": 'shift; "$@"', **programs}.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)
    result = subprocess.run(
        ["/bin/sh", str(TOOLS / script), *args],
        env={"PATH": str(folder), "LOG": str(log), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout, log.read_text()


@shell
def test_says_what_it_will_do_before_apt_get_runs(tmp_path: pathlib.Path) -> None:
    programs = {"id": "echo 0", "apt-get": f"echo running; {LOG}"}
    code, output, log = run("apt_install.sh", "one", "two", folder=tmp_path, programs=programs)
    announcement, first, *_ = output.splitlines()
    assert code == 0
    assert "apt-get install one two" in announcement
    assert "NONLIN_APT=no" in announcement
    assert first == "running"
    assert log.splitlines() == ["apt-get -q update", "apt-get -qy install one two"]


@shell
@pytest.mark.parametrize(
    ("programs", "environment", "reason"),
    [
        ({"id": "echo 0", "apt-get": LOG}, {"NONLIN_APT": "no"}, "NONLIN_APT is no"),
        ({"id": "echo 0"}, {}, "there is no apt-get"),
        ({"id": "echo 1000", "apt-get": LOG, "sudo": "exit 1"}, {}, "root's rights"),
        ({"id": "echo 1000", "apt-get": LOG}, {}, "root's rights"),
    ],
)
def test_refuses_and_changes_nothing(
    tmp_path: pathlib.Path, programs: dict[str, str], environment: dict[str, str], reason: str
) -> None:
    code, output, log = run("apt_install.sh", "one", folder=tmp_path, programs=programs, **environment)
    assert code == 1
    assert reason in output
    assert "one" in output
    assert log == ""


@shell
def test_uses_sudo_where_it_takes_no_password(tmp_path: pathlib.Path) -> None:
    programs = {"id": "echo 1000", "sudo": 'shift; "$@"', "apt-get": LOG}
    code, _, log = run("apt_install.sh", "one", folder=tmp_path, programs=programs)
    assert code == 0
    assert "apt-get -qy install one" in log


@shell
def test_fails_where_apt_get_fails(tmp_path: pathlib.Path) -> None:
    programs = {"id": "echo 0", "apt-get": "exit 100"}
    code, output, _ = run("apt_install.sh", "one", folder=tmp_path, programs=programs)
    assert code == 1
    assert "apt-get failed" in output


@shell
@pytest.mark.parametrize("compiler", ["exit 0", "exit 1"])
@pytest.mark.parametrize("apt", ["yes", "no"])
def test_highway_comes_from_apt_only_where_it_is_missing(tmp_path: pathlib.Path, compiler: str, apt: str) -> None:
    programs = {"id": "echo 0", "apt-get": LOG, "cxx": f"read -r _; {compiler}"}
    code, _, log = run("install_highway.sh", folder=tmp_path, programs=programs, CXX="cxx", NONLIN_APT=apt)
    assert code == 0  # CMake is left to find Highway, or to say what to install
    assert ("libhwy-dev" in log) == (compiler == "exit 1" and apt == "yes")


PYPROJECT = '[project]\nversion = "1.2.3"\n'
CHANGELOG = "# Changelog\n\n## [1.2.3] - 2026-05-04\n"


def test_release_is_a_tag_of_the_version_and_a_dated_section() -> None:
    assert check_release.faults("v1.2.3", PYPROJECT, CHANGELOG) == []


@pytest.mark.parametrize(
    ("tag", "changelog", "fault"),
    [
        ("v1.2.4", CHANGELOG, "must be v1.2.3"),
        ("1.2.3", CHANGELOG, "must be v1.2.3"),
        ("v1.2.3", "## [1.2.3] - unreleased\n", "CHANGELOG.md"),
        ("v1.2.3", "## [1.2.30] - 2026-05-04\n", "CHANGELOG.md"),
        ("v1.2.3", "## [1x2.3] - 2026-05-04\n", "CHANGELOG.md"),
    ],
)
def test_no_other_tag_is_released(tag: str, changelog: str, fault: str) -> None:
    (message,) = check_release.faults(tag, PYPROJECT, changelog)
    assert fault in message


@pytest.mark.slow
@pytest.mark.parametrize("name", ["softplus", "mish", "tanh"])
def test_tables_are_their_fits(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    def numbers(source: str, table: str) -> np.ndarray:
        _, _, body = source.partition(f"{table}[")
        rows = body[body.index("{") : body.index("}}")]
        return np.array([number.rstrip("f") for number in re.findall(r"-?[\d.]+(?:e-?\d+)?f", rows)], np.float32)

    minimax.FITS[f"{name}_f32"]()
    fit = numbers(capsys.readouterr().out, name)
    header = (TOOLS.parent / "cpp" / "simd" / "vmath_constants.h").read_text()
    np.testing.assert_array_equal(numbers(header, f"k{name.title()}Table"), fit)
    assert fit.size == 8 * 16 if name == "tanh" else fit.size % 32 == 0 and fit.size > 200


def test_history_is_of_releases() -> None:
    """Each run in bench/history is one of the release that its name says, with the same main cases."""
    pytest.importorskip("matplotlib")
    from tools import history

    for file in history.FOLDER.glob("*.json"):
        run = json.loads(file.read_text())
        assert run["versions"]["nonlin"] == file.stem
        assert [kind for kind in history.ratios(run) if len(history.ratios(run)[kind]) > 10] == ["elementwise", "rows"]


def test_history_is_drawn(tmp_path: pathlib.Path) -> None:
    """A line for each case, by release, also of a case that one of them has not."""
    pytest.importorskip("matplotlib")
    from tools import history

    def case(name: str, ratio: float) -> dict[str, object]:
        results = {mode: {"ratios": {"NumPy": {"median": ratio * factor}}} for mode, factor in (("fresh", 2), ("out=", 1))}
        return {"name": name, "kind": "rows", "results": results}

    for release, added in (("0.9.0", []), ("0.10.0", [case("new", 5.0)])):
        (tmp_path / f"{release}.json").write_text(json.dumps({"cases": [case("a", 4.0), *added]}))
    history.main(tmp_path)
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")
    files = sorted(tmp_path.glob("*.json"), key=history.number)
    runs = {file.stem: history.ratios(json.loads(file.read_text())) for file in files}
    assert runs == {"0.9.0": {"rows": {"a": 4.0}}, "0.10.0": {"rows": {"a": 4.0, "new": 5.0}}}
    (axes,) = history.draw(runs).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == list(runs)
    assert [text.get_text() for text in axes.texts] == ["a: 4x", "new: 5x"]
    assert [np.transpose(line.get_data()).tolist() for line in axes.lines] == [[[0, 4], [1, 4]], [[1, 5]]]
    with pytest.raises(SystemExit, match="not named after a release"):
        history.number(tmp_path / "main.json")
