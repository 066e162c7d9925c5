"""No call touches memory beyond its operands: they end, or begin, where the memory does."""

import dataclasses
import os
import signal
import sys
from typing import Any

import numpy as np
import pytest

from . import fuzz
from .conftest import each
from .fresh import run
from .oracle import FLOATS, FUNCTIONS, Array, Function, assert_same_bits, guarded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mprotect")
CASES = 12  # of each function


def moved(value: Any, at_end: bool | None) -> Any:
    """The same array, strides and all, at one end of memory whose neighbours may not be touched; None: in usual memory."""
    if not isinstance(value, np.ndarray) or value.size == 0:
        return value
    low, high = np.lib.array_utils.byte_bounds(value)
    memory = np.zeros(high - low, np.uint8)
    if at_end is not None:
        memory = guarded(memory, at_end)
    view: Array = np.ndarray(value.shape, value.dtype, memory, value.__array_interface__["data"][0] - low, value.strides)
    view[...] = value
    return view


def results(case: fuzz.Case, outs: list[Array], at_end: bool | None) -> list[Any]:
    """All that a call gives and, where it takes ``out=``, once more."""
    given = [moved(a, at_end) for a in case.given]
    there = dataclasses.replace(case, options={key: moved(value, at_end) for key, value in case.options.items()})
    found = fuzz.flat(there.call(given))
    if outs:
        written = [moved(out, at_end) for out in outs]
        where = {} if case.where is None else {"where": moved(case.where, at_end)}
        found += fuzz.flat(there.call(given, out=written[0] if len(written) == 1 else tuple(written), **where)) + written
    return found


def as_array(a: Any) -> Any:
    return np.asarray(a) if isinstance(a, list) else a


@pytest.mark.every_target
@pytest.mark.parametrize("name", fuzz.available())
def test_random_calls_stay_inside(name: str) -> None:
    """Of every function: any dtypes, strides and options, ``out=`` and ``where=`` too."""
    for number in range(CASES):
        case, rng = fuzz.make(name, number)
        case.given = [as_array(a) for a in case.given]
        case.options = {key: as_array(value) for key, value in case.options.items()}
        outputs = [] if case.out is None else [case.expected[case.out]]
        if name in FUNCTIONS and FUNCTIONS[name].outputs > 1:
            outputs = case.expected
        outs = [as_array(fuzz.laid_out(rng, np.full(np.shape(e.exact), 7, e.dtype))) for e in outputs]
        outs = [
            out if out.dtype.isnative and out.flags.writeable else np.full(out.shape, 7, out.dtype.newbyteorder("="))
            for out in outs
        ]
        usual = results(case, outs, None)
        for at_end in (True, False):
            for y, found in zip(usual, results(case, outs, at_end), strict=True):
                assert fuzz.same_bits(found, y), f"{name} {number}: {case}"


@pytest.mark.every_target
@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=lambda f: f.name)
@each("dtype", FLOATS)
def test_short_calls_stay_inside(f: Function, dtype: np.dtype, rng: np.random.Generator) -> None:
    """Of every length up to two vectors and more, most of which have a tail."""
    for n in range(1, 40):
        given = f.points(rng, n, dtype)
        usual = f.public(*given)
        for at_end in (True, False):
            assert_same_bits(f.public(*(moved(a, at_end) for a in given)), usual)


@pytest.mark.parametrize("at_end", [True, False])
def test_memory_ends_there(at_end: bool) -> None:
    """Otherwise the tests above say nothing."""
    code = f"""
    import ctypes, sys
    sys.path.insert(0, "..")
    import numpy as np
    from tests.oracle import guarded
    a = guarded(np.ones(5, np.float32), {at_end})
    print(ctypes.string_at(a.ctypes.data, a.nbytes) == a.tobytes(), flush=True)
    ctypes.string_at(a.ctypes.data + {"a.nbytes" if at_end else "-1"}, 1)
    """
    # Sanitizers would report it.
    quiet = {name: f"{os.environ[name]}:handle_segv=0" for name in ("ASAN_OPTIONS", "TSAN_OPTIONS") if name in os.environ}
    result = run(code, **quiet)
    assert result.stdout == "True\n"
    assert result.returncode == -signal.SIGSEGV, result.stderr
