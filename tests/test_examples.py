"""Every example runs to its end, and keeps what it promises."""

import pathlib
import re
import subprocess
import sys

import pytest

EXAMPLES = sorted((pathlib.Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example: pathlib.Path, tmp_path: pathlib.Path) -> None:
    if example.stem == "digits":
        pytest.importorskip("sklearn")
    result = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, timeout=200, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    if example.stem == "digits":
        percents = [float(p) for p in re.findall(r"(\d+(?:\.\d+)?) ?%", result.stdout)]
        assert percents
        assert percents[-1] >= 97, result.stdout


def test_there_are_examples() -> None:
    assert EXAMPLES
