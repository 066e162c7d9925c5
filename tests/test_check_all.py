"""The script of `make check-all`, with checks that take no time."""

import pathlib
import subprocess
import sys

import pytest
from tools import check_all
from tools.check_all import Check

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def _in_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_all, "ROOT", tmp_path)
    monkeypatch.setattr(check_all, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(check_all, "PAGE", tmp_path / "page.md")
    (tmp_path / "page.md").write_text(f"before\n{check_all.BEGIN}old\n{check_all.END}after\n")
    checks = [
        Check("good", "it works", "echo '== 3 passed, 2 skipped in 1.2s =='"),
        Check("bad", "so does this", "echo '1 failed, 30 passed, 4 warnings in 3.4s'; exit 2"),
        Check("missing", "and this", "echo 'skipped: there is no such machine'"),
        Check("calls", "any call", "echo '640 calls of 80 functions, 0 wrong'"),
        Check("stuck", "no hang", "echo begun; while true; do read x </dev/zero; done"),
    ]
    monkeypatch.setattr(check_all, "CHECKS", checks)


@pytest.mark.usefixtures("_in_folder")
def test_all_run_and_are_counted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_all.main(["--page", "--only", "good", "bad", "missing", "calls"]) == 1
    table = check_all.PAGE.read_text()
    assert table.startswith("before\n")
    assert table.endswith("after\n")
    assert "old" not in table
    rows = [row.split(" | ")[2:4] for row in table.splitlines() if row.startswith("| ") and "`" in row]
    assert rows == [
        ["passed", "3 passed, 2 skipped"],
        ["failed", "1 failed, 30 passed, 4 warnings"],
        ["skipped: there is no such machine", "-"],
        ["passed", "640 calls of 80 functions, 0 wrong"],
    ]
    assert (check_all.LOGS / "results.md").read_text() in table
    assert "1 failed" in (check_all.LOGS / "bad.log").read_text()
    assert rows[0][1] in capsys.readouterr().out
    assert check_all.main(["--only", "good", "missing"]) == 0


@pytest.mark.usefixtures("_in_folder")
def test_its_arguments_are_not_those_of_the_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_all, "CHECKS", [Check("some", "it has none", 'echo "given $ARGS, made with $MAKEFLAGS."')])
    monkeypatch.setenv("ARGS", r"--page --only\ some")  # as make gives them to what it runs
    monkeypatch.setenv("MAKEFLAGS", r"k -- ARGS=--page\ --only\ some VENV=here")
    assert check_all.main([]) == 0
    assert "given , made with k --  VENV=here." in (check_all.LOGS / "some.log").read_text()


@pytest.mark.usefixtures("_in_folder")
def test_one_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_all, "LIMIT", 0.01)
    assert check_all.main(["--only", "stuck"]) == 1
    assert "ended after 0.01 s" in (check_all.LOGS / "stuck.log").read_text()


def test_list() -> None:
    command = [sys.executable, "-m", "tools.check_all", "--list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert [line.split()[0] for line in listed.splitlines()] == [check.name for check in check_all.CHECKS]
