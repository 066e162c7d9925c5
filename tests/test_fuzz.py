"""A few seconds of `make fuzz`, in `make slow` half a minute: the same cases in every run."""

import functools

import numpy as np
import pytest

import nonlin as nl
from nonlin import reference

from . import fuzz
from .oracle import FUNCTIONS

PARTS, CASES = 6, 20  # of each function
QUICK = 2


@pytest.mark.parametrize("part", [pytest.param(n, marks=pytest.mark.slow if n >= QUICK else ()) for n in range(PARTS)])
def test_random_calls(part: int) -> None:
    tallies = fuzz.run(fuzz.available(), range(part * CASES, (part + 1) * CASES))
    wrong = [line for tally in tallies.values() for line in tally.wrong]
    assert not wrong, "\n".join([f"{len(wrong)} are wrong, such as", *wrong[:10]])


def test_every_function_has_cases() -> None:
    called = {FUNCTIONS[name].called if name in FUNCTIONS else name for name in fuzz.MAKERS}
    formulas = {name for name in nl.__all__ if hasattr(reference, name)}
    assert formulas <= called


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("softmax", "as if a result had one digit fewer"),
        ("gelu_backward", "a result of another dtype"),
        ("cross_entropy_with_grad", "an input that changes"),
        ("logsumexp", "another shape"),
        ("silu", "out= that is not written"),
    ],
)
def test_what_is_wrong_is_found(name: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called = FUNCTIONS[name].called if name in FUNCTIONS else name
    right = getattr(nl, called)

    @functools.wraps(right)
    def wrong(*given: object, **options: object) -> object:
        result = right(*given, **options)
        if what == "as if a result had one digit fewer":
            return result * (1 + 16 * np.finfo(np.float32).eps)
        if what == "a result of another dtype":
            return np.asarray(result, np.longdouble)
        if (
            what == "an input that changes"
            and isinstance(given[0], np.ndarray)
            and given[0].flags.writeable
            and given[0].size
        ):
            given[0].flat[0] = 3
        if what == "another shape":
            return np.asarray(result)[None]
        return np.array(result) if "out" in options else result

    monkeypatch.setattr(nl, called, wrong)
    assert fuzz.run([name], range(20))[name].wrong
