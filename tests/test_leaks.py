"""No call leaves objects behind, whether it returns or raises."""

import contextlib
import gc
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nonlin as nl

from . import fuzz, fuzz_calls
from .fresh import INSTRUMENTED

CASES, ROUNDS, TIMES = 6, 100, 20
FLOATS = [np.dtype(t) for t in ("f2", "f4", "f8")]


def left_by(call: Callable[[], Any], arguments: list[Any]) -> float:
    """Objects or references per call: the least of some rounds, of which Python keeps memory in the first ones."""

    def counts() -> list[int]:
        gc.collect()  # free lists too
        return [sys.getallocatedblocks(), *map(sys.getrefcount, [*arguments, *FLOATS, None, True, ()])]

    gc.freeze()  # all else that there is takes no part in collections
    least = np.inf
    for _ in range(ROUNDS):
        before = counts()
        for _ in range(TIMES):
            call()
        least = min(least, max(after - first for after, first in zip(counts(), before, strict=True)) / TIMES)
        if least < 0.5:
            break
    gc.unfreeze()
    return least


pytestmark = pytest.mark.skipif(INSTRUMENTED, reason="counts blocks of Python's own memory, which a sanitizer does without")


@pytest.mark.parametrize("name", [name for name in fuzz_calls.NAMES if name not in fuzz_calls.STATE])
def test_nothing_is_left(name: str) -> None:
    for number in range(CASES):
        keys = fuzz_calls.BY_NAME[name]
        if keys:
            case, _ = fuzz.make(keys[number % len(keys)], number)
            left = left_by(lambda case=case: case.call(case.given), [*case.given, *case.options.values()])
            assert left < 0.5, str(case)
        anything = fuzz_calls.make(name, number)

        def call(anything: fuzz_calls.Call = anything) -> None:
            with contextlib.suppress(*fuzz_calls.ERRORS), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                anything()

        assert left_by(call, [*anything.given, *anything.options.values()]) < 0.5, str(anything)


def test_what_is_left_is_found() -> None:
    kept: list[Any] = []
    assert left_by(lambda: kept.append(object()), []) > 0.5
    assert left_by(lambda: kept.append(FLOATS[0]), []) > 0.5
    assert left_by(lambda: nl.relu(1.0), []) < 0.5
