"""Every example runs to its end, and prints the figures that it promises."""

import importlib.util
import os
import pathlib
import re
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


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for package in ("autograd", "distributed", "sklearn"):
        if f"import {package}" in example.read_text() or f"from {package}" in example.read_text():
            pytest.importorskip(package)
    picture = tmp_path / "picture.png"
    draws = '"--plot"' in example.read_text() and importlib.util.find_spec("matplotlib")
    command = [sys.executable, str(example), *(["--plot", str(picture)] if draws else [])]
    # The matrices are small: on a busy machine, BLAS's threads, which wait for each other, take ten times as long.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=200 * PATIENCE, cwd=tmp_path, env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    PROMISES[example.stem](result.stdout)
    if draws:
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_there_are_examples() -> None:
    assert {example.stem for example in EXAMPLES} == set(PROMISES)
