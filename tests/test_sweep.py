"""The sweep that `make ulp` makes: it sees what is wrong, covers all inputs, and goes on where it was stopped."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tools import ulp

import nonlin as nl

from . import sweep
from .oracle import FLOATS, FUNCTIONS, HALVES, Function, bits

BEST = nl.simd_target()


@dataclasses.dataclass(frozen=True)
class Altered(Function):
    """A function whose results are changed."""

    change: Any = None

    def of(self, target: str) -> Any:
        f = super().of(target)
        return lambda x: self.change(x, f(x))


def altered(name: str, change: Any) -> Function:
    return Altered(**vars(FUNCTIONS[name]), change=change)


@dataclasses.dataclass
class Swap:
    """One result exchanged for another."""

    at: float
    by: float

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.where(x == x.dtype.type(self.at), y.dtype.type(self.by), y)


def run(f: Function) -> sweep.Sweep:
    return sweep.Sweep(f, np.dtype(np.float16), [BEST]).run(1)


def test_an_error_is_found() -> None:
    x = 1.5
    wrong = float(np.float16(np.tanh(x))) + 2.0**-11
    done = run(altered("sigmoid", Swap(x, wrong)))
    worst = sweep.verdict(done)[BEST]
    assert (worst["x"], worst["got"]) == (x, wrong)
    assert worst["ulp"] == pytest.approx((wrong - 1 / (1 + np.exp(-x))) / 2.0**-11, rel=1e-6)
    assert done.profile[0].max() == pytest.approx(worst["ulp"], rel=1e-6)
    assert done.broken[0].endswith("is not monotone at x = 1.5")


@pytest.mark.parametrize(
    ("name", "by", "complaint"),
    [("sigmoid", 1.001, "leaves its range"), ("tanh", 0.1, "is not monotone"), ("hard_tanh", 0.9, "is not odd")],
)
def test_other_promises_are_looked_at(name: str, by: float, complaint: str) -> None:
    assert not run(FUNCTIONS[name]).broken
    assert complaint in "\n".join(run(altered(name, Swap(2.0, by))).broken)


def test_nan_and_the_other_infinity_are_errors() -> None:
    for at, by in ((np.inf, -np.inf), (1.0, np.nan), (-np.inf, np.nan)):
        assert sweep.verdict(run(altered("relu", Swap(at, by))))[BEST]["ulp"] == np.inf


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_inputs(dtype: np.dtype) -> None:
    """Every pattern of 16 bits once; of the others ascending ones, both signs, and the same whatever the parts are."""
    segments = sweep.segments(dtype, 1 if dtype in HALVES else 65_537)
    x = [bits(s.chunk(dtype, k))[int(k > 0) :] for s in segments for k in range(s.chunks)]
    patterns = np.concatenate(x)
    assert patterns.size == sum(s.count for s in segments)
    if dtype in HALVES:
        np.testing.assert_array_equal(patterns, np.arange(2**16))
    assert {bool(p >> (8 * dtype.itemsize - 1)) for p in patterns[[0, -1]].tolist()} == {False, True}
    for part in x:
        assert np.all(part[1:] > part[:-1])
    parts = [sweep.Sweep(FUNCTIONS["relu"], dtype, [BEST]).run(65_537, k, 3) for k in range(3)]
    assert sweep.merge(parts).inputs == {BEST: patterns.size}


def found(path: Path) -> dict[tuple[str, str], Any]:
    return {(entry["function"], entry["dtype"]): entry for entry in json.loads(path.read_text())["entries"]}


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, state = tmp_path / "accuracy.json", tmp_path / "state"
    command = ["--filter", "^(relu|mish)$", "--dtype", "float16", "--target", BEST, "--jobs", "1"]
    command += ["--output", str(output), "--state", str(state)]
    assert ulp.main(command) == 0
    entries = found(output)
    assert list(entries) == [("relu", "float16"), ("mish", "float16")]
    worst = entries["mish", "float16"]["targets"][BEST]
    assert worst["inputs"] == 2**16
    assert 0.49 < worst["ulp"] < 0.51

    (file,) = state.iterdir()  # what is finished there is not done again, and a broken promise is a failure
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for _, stored in lines:
        stored["broken"] = ["a promise"]
    file.write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert ulp.main([*command, "--filter", "^relu$"]) == 1
    assert "a promise" in capsys.readouterr().out
    assert len(found(output)) == 2
    assert ulp.main([*command, "--filter", "^relu$", "--fresh"]) == 0
