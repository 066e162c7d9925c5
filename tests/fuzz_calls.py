"""Random calls of every public function with anything at all: `make fuzz-calls`.

A case is a function's name and a number, as in `fuzz.py`. Most begin as a call that is right, of which a few arguments are
then replaced, left out, added, or laid out in another way; the others have nothing but random arguments. Such a call may
return, or raise what is documented. It neither crashes nor hangs, warns of nothing, changes no input, and leaves `out` as it
was after an error. The calls run in a process of their own, so that one that ends it, or takes a minute, is found too.
"""

import argparse
import collections
import contextlib
import datetime
import decimal
import faulthandler
import fractions
import inspect
import itertools
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

import nonlin as nl

from . import fuzz
from .fresh import PATIENCE, TESTS
from .fuzz import laid_out, one_of
from .oracle import FUNCTIONS


class Refused(Exception):
    """What hostile arguments raise: it has to come back as it is."""


# AxisError is a ValueError; NumPy raises MaskError for lists that hold masked scalars.
ERRORS = (TypeError, ValueError, IndexError, OverflowError, MemoryError, Refused, np.ma.MaskError)
# A number of threads may be large, but not so large that the machine has none left.
STATE = {"set_num_threads", "num_threads", "reuse_buffers", "show_config"}
FIELDS = np.dtype([("x", "f4"), ("y", "i8")])
DTYPES = [
    *(np.dtype(code) for code in "?bBhHiIlLqQefdgFDGOm"),  # NumPy cannot print datetimes without a unit
    *(
        np.dtype(code)
        for code in ("S3", "U2", "V5", "M8[s]", "m8[ns]", ">f4", ">f8", ">f2", ">i4", ">u2", "<f4", ">c8", FIELDS)
    ),
    np.dtype([("x", "f4", (2,))]),
    np.dtypes.StringDType(),
    *(np.dtype(getattr(ml_dtypes, name)) for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4")),
]
UFUNC_OPTIONS = [
    "out",
    "where",
    "dtype",
    "casting",
    "order",
    "subok",
    "signature",
    "axis",
    "axes",
    "keepdims",
    "sig",
    "extobj",
]
METHODS = ["reduce", "accumulate", "reduceat", "outer", "at"]


class Hostile:
    """Refuses whatever it is asked for."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __repr__(self) -> str:
        return f"Hostile{self.names}"


def _refuse(name: str) -> Callable[..., Any]:
    def method(self: Hostile, *_: Any, **__: Any) -> Any:
        raise Refused(name)

    return method


def hostile(name: str) -> Any:
    return type("Hostile", (Hostile,), {name: _refuse(name)})(name)


HOSTILE = ["__array__", "__index__", "__float__", "__int__", "__bool__", "__len__", "__eq__", "__array_ufunc__", "__iter__"]


class Wide(float):
    """A float, but not quite."""


class Sub(np.ndarray):
    """An array, but not quite."""


class ArrayLike:
    """An array only where it is asked for one."""

    def __init__(self, a: Any) -> None:
        self.a = a

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.a


SCALARS = [
    *(0, 1, -1, 2, 3, -100, 255, 2**31, -(2**31), 2**63 - 1, 2**63, -(2**63), 2**64, 10**400, True, False),
    *(0.0, -0.0, 0.5, 1e-320, 1e308, 1e39, np.inf, -np.inf, np.nan, 1j, np.float16(1), np.float32(0.5), np.float64(np.nan)),
    *(
        np.longdouble(2),
        np.int8(-1),
        np.uint64(2**64 - 1),
        np.bool_(True),
        np.complex64(1j),
        np.str_("mean"),
        np.void(b"abc"),
    ),
    *(np.datetime64("NaT"), np.timedelta64(3, "s"), ml_dtypes.bfloat16(1.5), ml_dtypes.float8_e5m2(1), Wide(2)),
    *(np.zeros((), FIELDS)[()], decimal.Decimal("0.1"), fractions.Fraction(1, 3), datetime.date(2000, 1, 1)),
]
THINGS = [
    *(
        None,
        ...,
        "",
        "mean",
        "sum",
        "none",
        "tanh",
        "no",
        "unsafe",
        "K",
        "same_kind",
        "equiv",
        "f",
        "float32",
    ),
    *("ff->f", "d->d", "\0", "\udc80", "x" * 10_000, b"", b"mean", bytearray(b"12345678"), memoryview(b"12345678")),
    *(memoryview(np.eye(3)), (), [], {}, set(), frozenset({1}), [[]], [None], [1, [2, 3]], [[1.0], [2, 3]], (0,), (0, 1)),
    *((-1, 0), (0, 0), (1.5,), (None,), ("x",), (2**70,), {"x": 1}, {1, 2}, range(3), slice(None), int, float, object),
    *(
        np.float32,
        np.dtype("f4"),
        FIELDS,
        np.ndarray,
        len,
        np.ma.masked,
        np.add,
        nl.relu,
        nl,
        Exception("x"),
        type,
        object(),
    ),
    *([(0,), (1,), (0,)], [0, 0, 0], [()], (None, np.float32), (np.float32, None, None), np.random.default_rng(0)),
]


def array(rng: np.random.Generator, shape: tuple[int, ...] | None = None) -> Any:
    """Of any type, with bits at random or what a cast makes of numbers."""
    shape = (
        tuple(int(rng.choice([0, 1, 1, 2, 3, 5, 17])) for _ in range(int(rng.integers(0, 5)))) if shape is None else shape
    )
    dtype = one_of(rng, *DTYPES)
    a: Any = np.zeros(shape, dtype)
    if dtype.kind not in "OT" and rng.random() < 0.5:
        a = np.frombuffer(rng.bytes(a.nbytes), dtype, a.size).reshape(shape).copy() if a.nbytes else a
    else:
        with contextlib.suppress(TypeError, ValueError), np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            a = np.asarray(np.rint(3 * rng.standard_normal(shape)), dtype)
    if dtype.kind == "O" and a.size and rng.random() < 0.5:
        a.flat[int(rng.integers(a.size))] = one_of(rng, None, "x", object(), 1j, [1])
    return disguised(rng, a)


def disguised(rng: np.random.Generator, a: Any) -> Any:
    """The same numbers in another object, or laid out in another way."""
    kind = int(rng.integers(14))
    a = np.ma.getdata(a)
    if kind == 0:
        return a.view(Sub)
    if kind == 1 and a.dtype.kind != "T":
        return np.ma.masked_array(a, rng.random(a.shape) < 0.3 if a.dtype.names is None else False)
    if kind == 2:
        return ArrayLike(a)
    if kind == 3:
        return a.tolist()
    if kind == 4 and a.ndim == 2 and a.dtype.kind not in "TO":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.matrix(a)
    if kind == 5 and a.size:
        return np.broadcast_to(a[(..., *(slice(0, 1),) * a.ndim)], (*(2,) * int(rng.integers(2)), *a.shape))
    if kind == 6 and a.dtype.kind not in "TO" and a.size:  # unaligned
        view = np.ndarray(a.shape, a.dtype, bytearray(a.nbytes + 1), 1)
        view[...] = a
        return view
    if kind == 7 and a.ndim:
        return a[(slice(None, None, -1),) * a.ndim]
    if kind == 8 and a.ndim:
        return np.repeat(a, 3, -1)[..., ::3]
    if kind == 9 and a.ndim:
        return a.T
    if kind == 10:
        a = a.copy()
        a.flags.writeable = False
    if (
        kind == 11
        and a.dtype.kind not in "TO"
        and a.flags.c_contiguous
        and a.ndim
        and a.dtype.kind not in "mM"
        and a.dtype.isbuiltin == 1
    ):
        return memoryview(a)
    return a


def anything(rng: np.random.Generator) -> Any:
    kind = rng.random()
    if kind < 0.35:
        return array(rng)
    if kind < 0.65:
        return one_of(rng, *SCALARS)
    if kind < 0.9:
        return one_of(rng, lambda: iter([1.0]), *[lambda thing=thing: thing for thing in THINGS])()
    if kind < 0.95:
        return hostile(one_of(rng, *HOSTILE))
    return [array(rng) if rng.random() < 0.5 else anything(rng) for _ in range(int(rng.integers(4)))]


class Call(NamedTuple):
    name: str
    method: str | None
    given: list[Any]
    options: dict[str, Any]

    def __str__(self) -> str:
        words = [shown(a) for a in self.given] + [f"{name}={shown(value)}" for name, value in self.options.items()]
        return f"nl.{self.name}{'.' * bool(self.method)}{self.method or ''}({', '.join(words)})"

    def __call__(self) -> Any:
        f = getattr(nl, self.name)
        return (getattr(f, self.method) if self.method else f)(*self.given, **self.options)


def shown(a: Any) -> str:
    if isinstance(a, np.ndarray) and a.dtype.kind not in "biufV":
        return f"<{type(a).__name__} {a.dtype}, shape {a.shape}>"
    if isinstance(a, np.ndarray) and (type(a) is not np.ndarray or a.dtype.names or a.dtype.kind == "V" or a.nbytes > 300):
        return f"<{type(a).__name__} {a.dtype}, shape {a.shape}, strides {a.strides}>"
    return (
        text if len(text := repr(a) if not isinstance(a, np.ndarray) else fuzz.shown(a)) < 400 else f"<{type(a).__name__}>"
    )


def parameters(name: str) -> list[str]:
    names = [p.name for p in inspect.signature(getattr(nl, name)).parameters.values() if p.kind != p.VAR_KEYWORD]
    return names + (UFUNC_OPTIONS if name in ELEMENTWISE else [])


ELEMENTWISE = {f.called for f in FUNCTIONS.values()}
BY_NAME: dict[str, list[str]] = collections.defaultdict(list, {f.called: [] for f in FUNCTIONS.values()})
for key in fuzz.MAKERS:
    BY_NAME[FUNCTIONS[key].called if key in FUNCTIONS else key].append(key)
NAMES = sorted(name for name in nl.__all__ if callable(getattr(nl, name)))


def output(rng: np.random.Generator, call: Call) -> Any:
    """An `out=` that fits, nearly fits, or lies in an argument."""
    arrays = [a for a in call.given if isinstance(a, np.ndarray)]
    if not arrays or rng.random() < 0.15:
        return anything(rng)
    like = one_of(rng, *arrays) if len(arrays) > 1 else arrays[0]
    kind = int(rng.integers(8))
    if kind == 0:
        return like
    if kind == 1 and like.ndim:
        return like[(slice(None, None, -1),) * like.ndim]
    if kind == 2 and like.ndim:
        return like.swapaxes(0, -1)
    if kind == 3 and like.dtype.kind not in "TO" and like.size:  # partly the same memory
        room = np.zeros(like.size + 3, like.dtype)
        place = room[: like.size].reshape(like.shape)
        place[...] = like
        call.given[next(i for i, a in enumerate(call.given) if a is like)] = place
        return room[one_of(rng, 1, 2, 3) :][: like.size].reshape(like.shape)
    if kind == 4:
        return (np.zeros(like.shape, like.dtype),) * one_of(rng, 0, 1, 2, 3)
    if kind == 5:
        return array(rng, like.shape)
    dtype = one_of(rng, np.dtype("f2") if like.dtype.kind == "T" else like.dtype, np.float32, np.float64)
    return laid_out(rng, np.zeros(one_of(rng, like.shape, like.shape, like.shape[:-1]), dtype))


def make(name: str, number: int) -> Call:
    rng = np.random.default_rng([zlib.crc32(name.encode()), number])
    given: list[Any] = []
    options: dict[str, Any] = {}
    method = None
    if BY_NAME[name] and rng.random() < 0.75:
        case, _ = fuzz.make(one_of(rng, *BY_NAME[name]), number)
        given, options = list(case.given), dict(case.options)
    else:
        given = [anything(rng) for _ in range(int(rng.integers(0, 5)))]
    if isinstance(getattr(nl, name), np.ufunc) and rng.random() < 0.25:
        method = one_of(rng, *METHODS)
    call = Call(name, method, given, options)
    known = parameters(name)
    for _ in range(int(rng.integers(1, 4))):
        kind = int(rng.integers(12))
        place = int(rng.integers(len(given))) if given else 0
        if kind in (0, 1) and given:
            given[place] = anything(rng)
        elif kind in (2, 3) and given and isinstance(given[place], np.ndarray):
            a = given[place]
            with np.errstate(all="ignore"):
                given[place] = disguised(rng, a) if kind == 2 else array(rng, a.shape)
        elif kind == 4 and given:
            del given[place]
        elif kind == 5:
            given.insert(place, anything(rng))
        elif kind == 6 and given and known:  # by name
            options[known[min(len(given), len(known)) - 1]] = given.pop()
        elif kind == 7:
            options[one_of(rng, "nothing", "Axis", "", "dtype", "\udc80")] = anything(rng)
        elif kind in (8, 9) and known:
            options[one_of(rng, *known)] = anything(rng)
        elif kind == 10 and options:
            options[one_of(rng, *options)] = anything(rng)
        elif "out" in known or method:
            options["out"] = output(rng, call)
    sizes = [a.size for a in arrays_in(given)]
    return call._replace(method=None) if method == "outer" and math.prod(sizes) > 10**6 else call


def owner(a: Any) -> Any:
    """What holds the memory of an array."""
    while isinstance(a, np.ndarray) and a.base is not None:
        a = a.base
    return a


def content(memory: Any) -> Any:
    """To compare with later."""
    if isinstance(memory, np.ndarray):
        return repr(memory.tolist()) if memory.dtype.hasobject or memory.dtype.kind == "T" else memory.tobytes()
    return bytes(memory)


def arrays_in(value: Any) -> list[Any]:
    if isinstance(value, (tuple, list)):
        return [a for part in value for a in arrays_in(part)]
    if isinstance(value, np.ma.MaskedArray):
        return [value.data, value.mask] if isinstance(value.mask, np.ndarray) else [value.data]
    return [value.a] if isinstance(value, ArrayLike) else [value] if isinstance(value, np.ndarray) else []


def memories(values: Iterable[Any]) -> dict[int, Any]:
    """All memory behind these values."""
    found = (owner(a) for value in values for a in arrays_in(value))
    return {id(m): m for m in found if isinstance(m, (np.ndarray, bytes, bytearray))}


def check(call: Call) -> str | None:
    """What is wrong with what the call did."""
    f = getattr(nl, call.name)
    outputs = [call.options.get("out")]
    if isinstance(f, np.ufunc):  # outputs may be arguments too
        outputs += call.given[:1] if call.method == "at" else call.given[2 if call.method else f.nin :]
    written = memories(outputs)
    every = {**memories(call.given), **memories(call.options.values())}
    before = {key: content(memory) for key, memory in every.items()}
    failed = False
    try:
        with warnings.catch_warnings(), np.errstate(all="raise"):
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "'where' used without 'out'")  # as NumPy's own functions do
            warnings.filterwarnings("ignore", "Warning: converting a masked element")  # NumPy's, of a list
            if call.method == "reduceat":  # NumPy's, of its indices
                warnings.filterwarnings("ignore", "Casting complex values to real")
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                call()
    except ERRORS as e:
        failed = True
        given = (*call.options, *call.options.values(), *call.given)
        if isinstance(e, UnicodeError) and not any("\udc80" in str(v) or isinstance(v, bytes) for v in given):
            return f"{type(e).__name__}: {e}"
    except BaseException as e:
        return f"{type(e).__name__}: {e}"
    finally:
        if call.name in STATE:
            nl.set_num_threads(2)
    for key, memory in every.items():
        if content(memory) != before[key] and (failed or key not in written):
            return f"{'out' if key in written else 'an input'} changed" + " though the call failed" * failed
    return None


def repeat(name: str, number: int) -> str | None:
    """One case, once more."""
    call = make(name, number)
    print(call)
    return check(call)


def run(
    names: list[str], numbers: Iterable[int], begins: Callable[[str, int], object] = lambda *_: None
) -> tuple[int, list[str]]:
    """How many cases, and those that are wrong."""
    count, wrong = 0, []
    for number in numbers:
        for name in names:
            begins(name, number)
            what = check(make(name, number))
            count += 1
            if what:
                wrong.append(report(name, number, what))
    return count, wrong


def report(name: str, number: int, what: str) -> str:
    return f"from tests import fuzz_calls; fuzz_calls.repeat({name!r}, {number})  # {make(name, number)}\n    {what}"


LIMIT = 60 * PATIENCE  # seconds of a call


def calls(names: list[str], numbers: Iterable[int], state: str) -> None:
    """What the other process does: it writes down each case before it is tried, and prints what is wrong."""
    with open(state, "w+b", buffering=0) as file:

        def begins(name: str, number: int) -> None:
            file.seek(0)
            file.write(f"{name} {number}".ljust(80).encode())
            faulthandler.dump_traceback_later(LIMIT, exit=True)

        for number in numbers:
            _, wrong = run(names, [number], begins)
            for line in wrong:
                print(line, flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0, help="the number of the first case of each function")
    parser.add_argument("--stop", type=int, default=sys.maxsize, help="the number before which it ends")
    parser.add_argument("--only", metavar="NAME", choices=NAMES, help="this function alone")
    parser.add_argument("--state", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    names = [options.only] if options.only else NAMES
    end, first, wrong = time.monotonic() + options.seconds, options.seed, 0
    if options.state:
        calls(names, itertools.takewhile(lambda number: number < options.stop, fuzz.until(end, first)), options.state)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        state = pathlib.Path(folder) / "state"
        while first < options.stop and (left := end - time.monotonic()) > 0:
            command = [
                sys.executable,
                "-m",
                "tests.fuzz_calls",
                f"--seconds={left}",
                f"--seed={first}",
                f"--stop={options.stop}",
            ]
            command += [f"--state={state}", *([f"--only={options.only}"] if options.only else [])]
            result = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=TESTS.parent)
            print(result.stdout, end="", flush=True)
            wrong += result.stdout.count("fuzz_calls.repeat(")
            name, number = state.read_text().split()
            if result.returncode:
                wrong += 1
                what = f"the process ended with {result.returncode}: {result.stderr[-3000:]}"
                print(report(name, int(number), what), flush=True)
            first = int(number) + 1
    print(f"{(first - options.seed) * len(names)} calls of {len(names)} functions, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
