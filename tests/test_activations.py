"""Elementwise functions: special values, shapes of memory, dtypes, out and where. Accuracy is in test_accuracy.py."""

import copy
import inspect
import itertools
import pickle
import pydoc
import re
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16, finfo

import nonlin as nl
from nonlin import _core

from . import oracle
from .conftest import each
from .oracle import (
    BACKWARD,
    FLOATS,
    FORWARD,
    FUNCTIONS,
    HALVES,
    Function,
    as_tuple,
    assert_same_bits,
    bits,
    guarded,
    ulp_error,
    wide,
)

INF, NAN = np.inf, np.nan

all_functions = pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS.keys())
forward_functions = pytest.mark.parametrize("f", FORWARD, ids=lambda f: f.name)
backward_functions = pytest.mark.parametrize("f", BACKWARD, ids=lambda f: f.name)
all_dtypes = each("dtype", FLOATS)

# Values

# (x, f(x)); gated units have up = 1. A zero for a zero has the sign that stands here.
ODD_AT_ZERO = [(0.0, 0.0), (-0.0, -0.0), (NAN, NAN)]
GATED = [*ODD_AT_ZERO, (INF, INF), (-INF, 0)]
GATE_SLOPE = [(0.0, 0.5), (INF, 1), (-INF, 0), (NAN, NAN)]
SPECIAL: dict[str, list[tuple[float, float]]] = {
    "relu": [(0.0, 0.0), (-0.0, 0.0), (INF, INF), (-INF, 0), (NAN, NAN)],
    "relu6": [(0.0, 0.0), (6, 6), (7, 6), (INF, 6), (-INF, 0), (NAN, NAN)],
    "leaky_relu": [*ODD_AT_ZERO, (INF, INF), (-INF, -INF)],
    "elu": [*ODD_AT_ZERO, (INF, INF), (-INF, -1)],
    "celu": [*ODD_AT_ZERO, (INF, INF), (-INF, -1)],
    "selu": [*ODD_AT_ZERO, (INF, INF), (-INF, -1.7580993408473766)],
    "sigmoid": [(0.0, 0.5), (-0.0, 0.5), (INF, 1), (-INF, 0), (NAN, NAN)],
    "log_sigmoid": [(0.0, -np.log(2)), (INF, 0), (-INF, -INF), (NAN, NAN)],
    "tanh": [*ODD_AT_ZERO, (INF, 1), (-INF, -1)],
    "softplus": [(0.0, np.log(2)), (INF, INF), (-INF, 0), (NAN, NAN)],
    "gelu": GATED,
    "gelu_tanh": GATED,
    "silu": GATED,
    "mish": GATED,
    "hard_sigmoid": [(0.0, 0.5), (-3, 0), (3, 1), (INF, 1), (-INF, 0), (NAN, NAN)],
    "hard_swish": [*GATED, (-3, 0), (3, 3)],
    "hard_tanh": [*ODD_AT_ZERO, (1, 1), (-1, -1), (INF, 1), (-INF, -1)],
    "softsign": [*ODD_AT_ZERO, (INF, 1), (-INF, -1)],
    "swiglu": GATED,
    "geglu": GATED,
    "reglu": [(0.0, 0.0), (INF, INF), (-INF, 0), (NAN, NAN)],
    # with grad = 1; the first argument is the output y for sigmoid and tanh
    "relu_backward": [(0.0, 0), (-0.0, 0), (1, 1), (INF, 1), (-INF, 0)],
    "relu6_backward": [(0.0, 0), (3, 1), (6, 0), (INF, 0), (-INF, 0)],
    "leaky_relu_backward": [(0.0, 0.01), (1, 1), (INF, 1), (-INF, 0.01)],
    "elu_backward": [(0.0, 1), (INF, 1), (-INF, 0), (NAN, NAN)],
    "celu_backward": [(0.0, 1), (INF, 1), (-INF, 0), (NAN, NAN)],
    "selu_backward": [(1, 1.0507009873554805), (INF, 1.0507009873554805), (-INF, 0), (NAN, NAN)],
    "sigmoid_backward": [(0.0, 0), (1, 0), (0.5, 0.25), (NAN, NAN)],
    "log_sigmoid_backward": [(0.0, 0.5), (INF, 0), (-INF, 1), (NAN, NAN)],
    "tanh_backward": [(0.0, 1), (1, 0), (-1, 0), (NAN, NAN)],
    "softplus_backward": [(0.0, 0.5), (INF, 1), (-INF, 0), (NAN, NAN)],
    "gelu_backward": GATE_SLOPE,
    "gelu_tanh_backward": GATE_SLOPE,
    "silu_backward": GATE_SLOPE,
    "mish_backward": [(0.0, 0.6), (INF, 1), (-INF, 0), (NAN, NAN)],
    "hard_sigmoid_backward": [(0.0, 1 / 6), (-3, 0), (3, 0), (INF, 0), (-INF, 0)],
    "hard_swish_backward": [(0.0, 0.5), (-3, 0), (3, 1), (INF, 1), (-INF, 0)],
    "hard_tanh_backward": [(0.0, 1), (-1, 0), (1, 0), (INF, 0), (-INF, 0)],
    "softsign_backward": [(0.0, 1), (INF, 0), (-INF, 0), (NAN, NAN)],
    "swiglu_backward": GATE_SLOPE,
    "geglu_backward": GATE_SLOPE,
    "reglu_backward": [(0.0, 0), (1, 1), (INF, 1), (-INF, 0)],
}


@pytest.mark.every_target
@all_functions
@all_dtypes
def test_special_values(f: Function, dtype: np.dtype) -> None:
    points = [0.0, -0.0, INF, -INF, NAN]  # of a function that is not listed above, as its formula has them
    pairs = SPECIAL.get(f.name) or list(zip(points, f.exact(*f.arguments(np.array(points)))[0], strict=True))
    x, expected = (np.array(column, dtype) for column in zip(*pairs, strict=True))
    y = as_tuple(f.public(*f.arguments(x, up=np.ones_like(x))))[0]
    assert np.all(ulp_error(y, wide(expected)) <= 2)
    exact = (x == 0) & (expected == 0) & (f in FORWARD)
    np.testing.assert_array_equal(np.signbit(y[exact]), np.signbit(expected[exact]))
    saturated = np.isin(expected, [0, 1, -1, 6, INF, -INF] + [0.5] * (f in FORWARD))
    np.testing.assert_array_equal(y[saturated], expected[saturated])


@pytest.mark.every_target
@all_functions
@all_dtypes
def test_zero_stays_zero_however_large_the_factor(f: Function, dtype: np.dtype) -> None:
    """As what a unit gates is at 0, and the derivative far out in a tail: no rest of it must show up in a product."""
    largest = finfo(dtype).max
    x = f.domain(np.array([-INF, -largest, 0, largest, INF], dtype))
    one, factor = np.ones_like(x), np.full_like(x, largest / dtype.type(4))
    exact = f.exact(*f.arguments(x, one, one))
    for up, grad in ((one, factor), (factor, one)):
        for y, e in zip(as_tuple(f.public(*f.arguments(x, up, grad))), exact, strict=True):
            np.testing.assert_array_equal(wide(y)[e == 0], 0)


@pytest.mark.parametrize("target", nl.simd_targets())
@pytest.mark.parametrize("f", [f for f in FUNCTIONS.values() if len(f.parameters) == 1], ids=lambda f: f.name)
@all_dtypes
def test_a_parameter_of_one_has_the_same_bits_in_an_array(f: Function, dtype: np.dtype, target: str) -> None:
    """Some formulas are shorter without it, which arrays do not ask for."""
    x = np.concatenate([np.linspace(-1200, 1200, 5001), np.linspace(-110, 30, 100_001), [-0.0, INF, -INF]]).astype(dtype)
    ufunc = _core.ufuncs_of(target)[f.name]
    arrays, one = f.arguments(x), np.ones((), dtype)
    assert_same_bits(ufunc(*arrays, np.broadcast_to(one, x.shape).copy()), ufunc(*arrays, one))


@pytest.mark.every_target
@all_functions
@all_dtypes
def test_an_infinite_factor_gives_infinities(f: Function, dtype: np.dtype) -> None:
    """And NaN for 0 alone: a product's low part must not turn others to NaN."""
    x = f.domain(np.array([-3, -1, -0.25, 0.5, 1, 2, 8], dtype))
    one, infinite = np.ones_like(x), np.full_like(x, INF)
    finite = as_tuple(f.public(*f.arguments(x, one, one)))
    for up, grad in ((one, infinite), (infinite, one)):
        for at_one, y in zip(finite, as_tuple(f.public(*f.arguments(x, up, grad))), strict=True):
            grown = np.isinf(y) | np.isnan(y)
            np.testing.assert_array_equal(y[~grown], at_one[~grown])
            with np.errstate(invalid="ignore"):
                np.testing.assert_array_equal(wide(y)[grown], wide(at_one)[grown] * INF)


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect")
@pytest.mark.every_target
@all_functions
@all_dtypes
def test_nothing_beyond_an_array_is_touched(f: Function, dtype: np.dtype, rng: np.random.Generator) -> None:
    for n in (1, 3, 15, 16, 33, 100):
        given = f.arguments(f.domain(rng.standard_normal(n).astype(dtype)))
        expected = as_tuple(f.public(*given))
        for at_end in (False, True):
            outs = [guarded(y, at_end) for y in expected]
            for out in outs:
                out[...] = 7
            f.public(*(guarded(a, at_end) for a in given), out=tuple(outs))
            for out, y in zip(outs, expected, strict=True):
                assert_same_bits(out, y)


@backward_functions
@all_dtypes
def test_nan_gradient_stays(f: Function, dtype: np.dtype) -> None:
    x = np.array([0.25, 0.5, 0.75], dtype)
    sloping = f.exact(*f.arguments(x))[0] != 0
    assert sloping.any()
    for gradient in as_tuple(f.public(*f.arguments(x, grad=np.full_like(x, NAN)))):
        assert np.isnan(gradient[sloping]).all()


def consecutive(start: float, count: int, dtype: np.dtype) -> np.ndarray:
    """Neighbouring floats of both signs, the negative ones first, each sign in ascending order."""
    first = int(bits(np.array(start, dtype))[()])
    up = np.arange(first, first + count, dtype=f"u{dtype.itemsize}").view(dtype)
    return np.concatenate([-up[::-1], up])


@pytest.mark.every_target
@pytest.mark.parametrize("dtype", [t for t in FLOATS if t.itemsize > 2], ids=str)
@pytest.mark.parametrize(
    ("name", "low", "high"), [("sigmoid", 0, 1), ("tanh", -1, 1), ("softplus", 0, INF), ("softsign", -1, 1)]
)
def test_monotone_and_in_range(name: str, low: float, high: float, dtype: np.dtype) -> None:
    starts = (0, 1e-3, 0.02, 0.2499, 0.3, 0.3465, 0.5, 0.9999, 1.0397, 1.7328, 4, 8.3, 9.01, 17, 19.06, 87, 100, 708)
    coarse = np.sort(oracle.float32_sample(4099).astype(dtype))
    for x in [coarse, *(consecutive(start, 20_000, dtype) for start in starts)]:
        y = FUNCTIONS[name].public(x)
        assert np.all(y[1:] >= y[:-1])
        assert y[0] >= low
        assert y[-1] <= high


@pytest.mark.every_target
@pytest.mark.parametrize("name", ["softplus", "log_sigmoid", "mish"])
def test_results_do_not_depend_on_neighbours_far_from_0(name: str) -> None:
    near = np.linspace(-5.1, 5.1, 4096, dtype=np.float32)
    mixed = np.where(np.arange(near.size) % 3 == 0, 20 * near, near)
    f = FUNCTIONS[name].public
    assert_same_bits(f(mixed)[mixed == near], f(near)[mixed == near])


@pytest.mark.parametrize("name", ["tanh", "softsign", "hard_tanh"])
@all_dtypes
def test_odd_functions_are_odd_to_the_bit(name: str, dtype: np.dtype) -> None:
    x = oracle.float32_sample(65537)
    with np.errstate(over="ignore"):
        x = x.astype(dtype)
    f = FUNCTIONS[name].public
    assert_same_bits(f(-x), -f(x))


@pytest.mark.parametrize("name", ["tanh", "elu", "celu"])
@all_dtypes
def test_identity_for_tiny_x(name: str, dtype: np.dtype) -> None:
    info = finfo(dtype)
    x = np.array([info.smallest_subnormal, 3 * info.smallest_subnormal, info.tiny, info.eps**2], dtype)
    x = np.concatenate([x, -x])
    assert_same_bits(FUNCTIONS[name].public(x), x)


# Where a value stands


def shifted(a: np.ndarray, start: int) -> np.ndarray:
    """A copy that starts so many bytes behind an address divisible by 64."""
    buffer = np.zeros(a.nbytes + 64 + start, np.uint8)
    offset = -buffer.ctypes.data % 64 + start
    view = buffer[offset : offset + a.nbytes].view(a.dtype)
    view[:] = a
    return view


@pytest.mark.every_target
@all_functions
@all_dtypes
def test_every_length_and_alignment(f: Function, dtype: np.dtype, rng: np.random.Generator) -> None:
    """The same bits for a value at the start, in a vector and in a tail; nothing written beside the result."""
    arguments = f.points(rng, 131, dtype)
    expected = as_tuple(f.public(*arguments))
    guard = np.full(140, 77, dtype)
    for start in (0, dtype.itemsize, 3 * dtype.itemsize, 1):
        moved = [shifted(a, start) for a in arguments]
        room = [shifted(guard, start) for _ in expected]
        for n in range(131):
            out = tuple(r[4 : 4 + n] for r in room)
            f.public(*(a[:n] for a in moved), out=out)
            for r, e in zip(room, expected, strict=True):
                assert r[4 : 4 + n].tobytes() == e[:n].tobytes()
                assert np.all(r[:4] == 77)
                assert np.all(r[4 + n :] == 77)
                r[4 : 4 + n] = 77


@all_functions
@all_dtypes
def test_no_cross_talk(f: Function, dtype: np.dtype, rng: np.random.Generator) -> None:
    """A value's neighbours in the vector do not matter, however nasty they are."""
    n = 37
    arguments = f.points(rng, n, dtype)
    expected = as_tuple(f.public(*arguments))
    info = finfo(dtype)
    for control in (NAN, INF, -INF, info.max, -info.max, info.smallest_subnormal, 0):
        grids = [np.where(np.eye(n, dtype=bool), a, dtype.type(control)) for a in arguments]
        assert_same_bits(tuple(np.diagonal(y) for y in as_tuple(f.public(*grids))), expected)


def strided_views(a: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays equal to the 2-d array a, differently laid out."""
    rows, columns = a.shape
    wide = np.zeros((rows, 3 * columns), a.dtype)
    wide[:, ::3] = a
    record = np.zeros(a.shape, [("byte", "u1"), ("value", a.dtype)])
    record["value"] = a
    read_only = a.copy()
    read_only.flags.writeable = False
    return {
        "fortran": np.asfortranarray(a),
        "every third": wide[:, ::3],
        "backwards": a[::-1, ::-1].copy()[::-1, ::-1],
        "backwards, every second": np.repeat(a[:, ::-1], 2, axis=1)[:, ::-2],
        "unaligned field": record["value"],
        "byte-swapped": a.astype(a.dtype.newbyteorder()),
        "read-only": read_only,
        "three axes": a.reshape(rows, columns, 1)[..., 0],
    }


@all_functions
@all_dtypes
def test_strides_give_the_same_bits(f: Function, dtype: np.dtype, rng: np.random.Generator) -> None:
    arguments = f.points(rng, (5, 67), dtype)
    expected = f.public(*arguments)
    views = [strided_views(a) for a in arguments]
    for name in views[0]:
        assert_same_bits(f.public(*(v[name] for v in views)), expected)
    mixed = [list(v.values())[i] for i, v in enumerate(views)]
    assert_same_bits(f.public(*mixed), expected)
    out = tuple(np.zeros((67, 10), dtype)[::-1, ::2].T for _ in as_tuple(expected))
    f.public(*arguments, out=out)
    assert_same_bits(out, as_tuple(expected))


@all_functions
@all_dtypes
def test_shapes(f: Function, dtype: np.dtype, rng: np.random.Generator) -> None:
    """Empty, 0-d, stride 0, and one shape broadcast against another."""
    arguments = f.points(rng, (3, 1), dtype)
    expected = as_tuple(f.public(*arguments))
    assert_same_bits(f.public(*(a[0, 0] for a in arguments)), tuple(e[0, 0] for e in expected))
    nothing = np.zeros((0, 4), dtype)
    assert_same_bits(f.public(*[nothing] * len(arguments)), (nothing,) * f.outputs)
    repeated = [np.broadcast_to(a, (3, 5)) for a in arguments]
    assert_same_bits(f.public(*repeated), tuple(np.repeat(e, 5, axis=1) for e in expected))
    if len(arguments) > 1:
        first, *others = arguments
        column = [first, *(a.T[:, :1] for a in others)]
        assert_same_bits(f.public(*column), f.public(*(np.ascontiguousarray(a) for a in np.broadcast_arrays(*column))))
        with pytest.raises(ValueError, match="broadcast"):
            f.public(np.zeros(2, dtype), *(np.zeros(3, dtype) for _ in others))


# Dtypes


@all_functions
def test_integers_give_float64(f: Function) -> None:
    for dtype in "?bhilqBHILQ":
        x = np.array([0, 1, 1, 0]).astype(dtype)
        arguments = [x] * len(f.inputs)
        assert_same_bits(f.public(*arguments), f.public(*(a.astype(np.float64) for a in arguments)))
        assert_same_bits(f.public(*(a.tolist() for a in arguments)), f.public(*arguments))


@all_functions
@each("dtype", ["F", "D", "O", "U3", "S3", "M8[s]", "g"])
def test_other_dtypes_are_type_errors(f: Function, dtype: str) -> None:
    """They name the argument, what was given, and what is taken."""
    good, bad = np.ones(3, np.float32), np.zeros(3, dtype)
    arguments = (*f.inputs, *f.parameters)
    for position, name in enumerate(arguments):
        given: list[Any] = [good] * len(arguments)
        for wrong in (bad, bad[0], bad.tolist()) if dtype in "FDU3S3" else (bad,):
            given[position] = wrong
            said = rf"^{name} has dtype {re.escape(str(np.asarray(wrong).dtype))}; it takes float16, bfloat16, float32, "
            with pytest.raises(TypeError, match=said):
                f.public(*given)
        given[position] = None
        with pytest.raises(TypeError, match=rf"^{name} is None; it takes float16"):
            f.public(*given)


@pytest.mark.parametrize("method", ["reduce", "accumulate", "outer"])
def test_methods_refuse_other_dtypes(method: str) -> None:
    with pytest.raises(TypeError, match=r"complex128.*float16"):
        getattr(nl.swiglu, method)(*[[1j, 2j]] * (1 + (method == "outer")))


@pytest.mark.parametrize("f", [f for f in FUNCTIONS.values() if len(f.inputs) > 1], ids=lambda f: f.name)
def test_mixed_floats_give_the_wider(f: Function, rng: np.random.Generator) -> None:
    first, *others = f.points(rng, 9, np.float32)
    wide = [a.astype(np.float64) for a in others]
    assert_same_bits(f.public(first, *wide), f.public(first.astype(np.float64), *wide))
    assert_same_bits(f.public(first.astype(np.float64), *others), f.public(first.astype(np.float64), *wide))


@pytest.mark.parametrize("f", [f for f in FUNCTIONS.values() if len(f.inputs) > 1], ids=lambda f: f.name)
def test_mixed_16_bit_floats(f: Function, rng: np.random.Generator) -> None:
    """With a wider float they become it; with integers, what NumPy makes of them; with each other, nothing."""
    for half in HALVES:
        first, *others = f.points(rng, 9, half)
        for dtype in (np.float32, np.float64):
            expected = f.public(*(a.astype(dtype) for a in (first, *others)))
            assert_same_bits(f.public(first.astype(dtype), *others), expected)
            assert_same_bits(f.public(first, *(a.astype(dtype) for a in others)), expected)
        for integer in (np.int8, np.int64) if half == np.float16 else (np.int8,):
            dtype, ones = np.result_type(integer, half), np.ones(9, integer)
            expected = f.public(ones.astype(dtype), *(a.astype(dtype) for a in others))
            assert_same_bits(f.public(ones, *others), expected)
        assert_same_bits(f.public(1.0, *others), f.public(np.ones_like(first), *others))
        other = HALVES[half == HALVES[0]]
        with pytest.raises(
            TypeError, match=rf"^{f.inputs[0]} has dtype {half}, {f.inputs[1]} has dtype {other}.*; NumPy has"
        ):
            f.public(first, *(a.astype(other) for a in others))


@forward_functions
def test_dtype_and_casting(f: Function, rng: np.random.Generator) -> None:
    arguments = f.points(rng, 9, np.float32)
    wide = [a.astype(np.float64) for a in arguments]
    parameters = dict.fromkeys(f.parameters, 0.5)
    assert_same_bits(f.public(*arguments, **parameters, dtype=np.float64), f.public(*wide, **parameters))
    with pytest.raises(TypeError):
        f.public(*wide, **parameters, dtype=np.float32, casting="safe")


# Methods of ufuncs


UFUNCS = {name: u for name, u in vars(_core).items() if isinstance(u, np.ufunc)}
all_ufuncs = pytest.mark.parametrize("ufunc", UFUNCS.values(), ids=UFUNCS.keys())


METHODS: dict[str, Any] = {
    "reduce": lambda u, a: u.reduce(a),
    "reduce, axis and initial": lambda u, a: u.reduce(a, axis=1, initial=a[0, 0], keepdims=True),
    "reduce, where": lambda u, a: u.reduce(a, where=a[:1] > 0, initial=a[0, 0]),
    "accumulate": lambda u, a: u.accumulate(a, axis=1),
    "accumulate, strides": lambda u, a: u.accumulate(a[::-1, ::2]),
    "reduceat": lambda u, a: u.reduceat(a, [0, 3, 1, 1], axis=1),
    "outer": lambda u, a: u.outer(a, a[0]),
}


def outcome(method: Any, ufunc: np.ufunc, a: np.ndarray) -> Any:
    """The result, or the type of the error."""
    try:
        return method(ufunc, a)
    except (TypeError, ValueError, RuntimeError) as error:
        return type(error)


@all_ufuncs
@each("dtype", [*FLOATS, np.dtype(bool), np.dtype(np.int32), np.dtype(np.uint64)])
def test_methods(ufunc: np.ufunc, dtype: np.dtype, rng: np.random.Generator) -> None:
    """They do what those of a ufunc of NumPy's do that calls ours for single elements; those of rows at least not crash."""
    a = rng.uniform(0, 2, (3, 6)).astype(dtype)
    numbers = a.astype(np.float64) if dtype.kind in "biu" else a
    objects = np.empty(a.shape, object)
    objects.flat = list(numbers.flat)  # NumPy's numbers: Python's would be float64
    model = np.frompyfunc(lambda *x: ufunc(*x), ufunc.nin, ufunc.nout)
    for method in METHODS.values():
        got = outcome(method, ufunc, a)
        if ufunc.__name__ not in FUNCTIONS:
            continue
        expected = outcome(method, model, objects)
        if isinstance(expected, type):
            assert got is expected
        else:
            assert_same_bits(got, np.asarray(expected).astype(numbers.dtype))


@pytest.mark.skipif(type(_core.geglu) is np.ufunc, reason="this NumPy has no subtypes of ufunc, and its own methods")
@pytest.mark.parametrize("size", [0, 1, 3])
def test_accumulate_needs_room(size: int) -> None:
    """NumPy's own writes beyond the array, or crashes."""
    out = np.zeros((), np.float32)
    x = np.ones(size, np.float32)
    for arguments, options in (((x,), {"out": out}), ((x,), {"out": (out,)}), ((x, 0, None, out), {})):
        with pytest.raises(ValueError, match=r"out has shape \(\); accumulate takes the shape of its array"):
            _core.geglu.accumulate(*arguments, **options)
    assert out == 0


@all_ufuncs
@all_dtypes
def test_reductions_into_another_type(ufunc: np.ufunc, dtype: np.dtype, rng: np.random.Generator) -> None:
    if ufunc.nin != 2 or ufunc.__name__ not in FUNCTIONS:
        return
    a = rng.uniform(0, 2, (3, 6)).astype(dtype)
    wide = ufunc.reduce(a.astype(np.float64))
    assert_same_bits(ufunc.reduce(a, dtype=np.float64), wide)
    assert_same_bits(ufunc.accumulate(a, dtype=np.float64)[-1], wide)
    out = np.empty(6, dtype)
    assert ufunc.reduce(a, out=out) is out
    assert_same_bits(out, ufunc.reduce(a))


@all_ufuncs
@all_dtypes
def test_at(ufunc: np.ufunc, dtype: np.dtype, rng: np.random.Generator) -> None:
    x, index = rng.uniform(0.25, 2, 6).astype(dtype), [0, 3, 3, 5]
    if ufunc.signature is not None or ufunc.nin > 2 or ufunc.nout > 1:
        with pytest.raises((TypeError, ValueError)):
            ufunc.at(x, index, *[x[:4]] * (ufunc.nin - 1))
        return
    expected = x.copy()
    for k, v in zip(index, x[:4].copy(), strict=True):
        expected[k] = ufunc(expected[k], *[v] * (ufunc.nin - 1))
    ufunc.at(x, index, *[x[:4].copy()] * (ufunc.nin - 1))
    assert_same_bits(x, expected)


# out and where


@all_functions
def test_is_a_ufunc_or_wraps_one(f: Function) -> None:
    if f.parameters or "gelu" in f.name:
        return
    assert isinstance(getattr(nl, f.name), np.ufunc)


@all_functions
@all_dtypes
def test_out_is_returned(f: Function, dtype: np.dtype, rng: np.random.Generator) -> None:
    arguments = f.points(rng, 20, dtype)
    expected = as_tuple(f.public(*arguments))
    out = tuple(np.empty_like(e) for e in expected)
    result = as_tuple(f.public(*arguments, out=out))
    assert all(r is o for r, o in zip(result, out, strict=True))
    assert_same_bits(out, expected)
    if f.outputs == 1:
        assert f.public(*arguments, out=out[0]) is out[0]
    wide = tuple(np.empty(20, np.float64) for _ in expected)
    f.public(*arguments, out=wide)
    assert_same_bits(wide, tuple(e.astype(np.float64) for e in expected))
    with pytest.raises(TypeError):
        f.public(*arguments, out=tuple(np.empty(20, np.int32) for _ in expected))
    with pytest.raises(ValueError, match="broadcast"):
        f.public(*arguments, out=tuple(np.empty(19, dtype) for _ in expected))


OVERLAPS = {
    "in place": lambda b, n: (b[:n], b[:n]),
    "one behind": lambda b, n: (b[1 : n + 1], b[:n]),
    "one ahead": lambda b, n: (b[:n], b[1 : n + 1]),
    "far ahead": lambda b, n: (b[:n], b[n // 2 : n // 2 + n]),
    "reversed": lambda b, n: (b[:n], b[:n][::-1]),
    "interleaved": lambda b, n: (b[: 2 * n : 2], b[1 : 2 * n + 1 : 2]),
    "wider steps": lambda b, n: (b[:n], b[: 2 * n : 2]),
}


@pytest.mark.parametrize("overlap", OVERLAPS.values(), ids=OVERLAPS.keys())
@all_functions
def test_overlap_does_not_matter(f: Function, overlap: Any, rng: np.random.Generator) -> None:
    for n, dtype in ((67, np.float32), (67, np.float16), (70_001, np.float32), (70_001, np.float16)):
        arguments = f.points(rng, n, dtype)
        expected = as_tuple(f.public(*arguments))
        for position in range(len(arguments)):
            for output in range(len(expected)):
                source, target = overlap(np.zeros(2 * n + 2, dtype), n)
                source[:] = arguments[position]
                out = [np.empty_like(e) for e in expected]
                out[output] = target
                inputs = list(arguments)
                inputs[position] = source
                f.public(*inputs, out=tuple(out))
                assert_same_bits(tuple(out), expected)
            if n > 100:
                break  # the long ones are for the threads: one input will do


LAYOUTS = {
    "one axis": lambda a: a,
    "two axes": lambda a: a.reshape(2, -1),
    "C order, one row": lambda a: a.reshape(1, -1),
    "Fortran order": lambda a: a.reshape(2, -1).T,
    "steps": lambda a: np.repeat(a, 2)[::2],
    "backwards": lambda a: a[::-1],
    "one number": lambda a: np.broadcast_to(a[0], a.shape).copy() if a.flags.writeable else np.broadcast_to(a[0], a.shape),
    "empty": lambda a: a[:0],
    "single": lambda a: a[:1].reshape(1, 1, 1),
    "no axes": lambda a: a[:1].reshape(()),
}


@all_functions
@all_dtypes
def test_a_direct_call_is_that_of_numpy(f: Function, dtype: np.dtype, rng: np.random.Generator) -> None:
    """Ordinary arrays go to the loop without NumPy's machinery, which `order` asks for."""
    ufunc = f.ufunc(nl.simd_target())
    numbers = [np.array(value, dtype) for value in f.parameters.values()]
    points = f.points(rng, 66, dtype)
    for a in points:
        a.flags.writeable = False
    for layout in LAYOUTS.values():
        arguments = [*map(layout, points), *numbers]
        expected, got = as_tuple(ufunc(*arguments, order="K")), as_tuple(ufunc(*arguments))
        assert_same_bits(got, expected)
        assert [type(g) for g in got] == [type(e) for e in expected]
        assert [(g.strides, g.flags.owndata) for g in got] == [(e.strides, e.flags.owndata) for e in expected]
        out = tuple(layout(np.zeros(66, dtype)) for _ in expected)
        result = as_tuple(ufunc(*arguments, *out))
        assert all(r is o for r, o in zip(result, out, strict=True))
        assert_same_bits(out, expected)
        if f.outputs == 1:
            assert ufunc(*arguments, out=out[0]) is out[0]


@all_functions
def test_overlap_in_a_direct_call(f: Function, rng: np.random.Generator) -> None:
    arguments = [*f.points(rng, 67, np.float32), *(np.array(value, np.float32) for value in f.parameters.values())]
    ufunc = f.ufunc(nl.simd_target())
    expected = as_tuple(ufunc(*arguments))
    for overlap, position, output in itertools.product(OVERLAPS.values(), range(len(f.inputs)), range(f.outputs)):
        source, target = overlap(np.zeros(2 * 67 + 2, np.float32), 67)
        source[:] = arguments[position]
        out = [np.empty_like(e) for e in expected]
        out[output] = target
        ufunc(*arguments[:position], source, *arguments[position + 1 :], *out)
        assert_same_bits(tuple(out), expected)


def test_a_number_in_the_result(rng: np.random.Generator) -> None:
    """A parameter that the result overwrites."""
    x, out = rng.standard_normal((2, 50)).astype(np.float32)
    leaky_relu = FUNCTIONS["leaky_relu"].ufunc(nl.simd_target())
    expected = leaky_relu(x, out[9])
    leaky_relu(x, out[9:10].reshape(()), out)
    assert_same_bits(out, expected)


def test_errors_of_a_direct_call_are_numpys() -> None:
    x = np.ones(5, np.float32)
    read_only = np.zeros(5, np.float32)
    read_only.flags.writeable = False
    for out in (read_only, np.zeros(4, np.float32), np.zeros((2, 5), np.float32)[:, :4], np.zeros(5, np.int8)):
        with pytest.raises((ValueError, TypeError)) as by_numpy:
            nl.relu(x, out, order="K")
        with pytest.raises(by_numpy.type, match=re.escape(str(by_numpy.value)) + "$"):
            nl.relu(x, out)
    for keywords in ({}, {"order": "K"}):
        one = np.broadcast_arrays(x, np.zeros(1, np.float32))[1]
        with pytest.warns(DeprecationWarning, match="broadcast"):
            nl.relu(x, one, **keywords)


def test_a_direct_call_keeps_no_metadata_and_no_subclass() -> None:
    """What an array's type may mean is left to NumPy."""
    x = np.ones(5, np.float32)
    odd = x.astype(np.dtype(np.float32, metadata={"unit": "m"}))
    unpickled = pickle.loads(pickle.dumps(x))
    for a in (odd, unpickled, x.astype(">f4"), x.view(np.recarray), np.ma.masked_equal(x, 1)):
        direct, by_numpy = nl.relu(a), nl.relu(a, order="K")
        assert (type(direct), direct.dtype, direct.dtype.metadata) == (
            type(by_numpy),
            by_numpy.dtype,
            by_numpy.dtype.metadata,
        )


def test_both_outputs_in_place(rng: np.random.Generator) -> None:
    for name in ("swiglu_backward", "geglu_backward", "reglu_backward"):
        f = FUNCTIONS[name].public
        grad, gate, up = FUNCTIONS[name].points(rng, 1000, np.float64)
        expected = f(grad, gate, up)
        for out in [(gate, up), (up, gate), (grad, up)]:
            g, a, b = grad.copy(), gate.copy(), up.copy()
            places = {id(grad): g, id(gate): a, id(up): b}
            chosen = tuple(places[id(o)] for o in out)
            f(g, a, b, out=chosen)
            assert_same_bits(chosen, expected)


@all_functions
@all_dtypes
def test_where(f: Function, dtype: np.dtype, rng: np.random.Generator) -> None:
    arguments = f.points(rng, 300, dtype)
    where = rng.random(300) < 0.5
    expected = as_tuple(f.public(*arguments))
    out = tuple(np.full_like(e, 7) for e in expected)
    f.public(*arguments, out=out, where=where)
    assert_same_bits(out, tuple(np.where(where, e, dtype.type(7)) for e in expected))


# Warnings

EXTREME = [1e300, -1e300, 1e-300, -1e-300, 5e-324, 70000.0, -1e39, 1e-7, INF, -INF, NAN, 0.0]
NARROW = [t for t in FLOATS if t.itemsize < 8]


def calls_that_cast(f: Function, narrow: np.dtype) -> dict[str, Any]:
    """Calls in which NumPy casts numbers that overflow or underflow, before or behind the loop."""
    x, ones = np.array(EXTREME), np.ones(len(EXTREME), narrow)
    arguments, parameters = [x] * len(f.inputs), [x] * len(f.parameters)
    out = tuple(np.empty_like(ones) for _ in range(f.outputs))
    ufunc = getattr(_core, f.name)
    calls = {
        "dtype": lambda: f.public(*arguments, dtype=narrow),
        "signature": lambda: f.public(*arguments, signature=(narrow,) * (ufunc.nin + ufunc.nout)),
        "out": lambda: f.public(*arguments, out=out),
        "arrays of parameters": lambda: f.public(*arguments, *parameters, out=out),
        "numbers": lambda: [f.public(*[v] * len(f.inputs), dtype=narrow) for v in EXTREME],
        "numbers and out": lambda: [f.public(*[v] * len(f.inputs), out=out) for v in (*EXTREME, -100.0, 100.0)],
        "parameters": lambda: [f.public(*[ones] * len(f.inputs), *[v] * len(f.parameters)) for v in EXTREME],
        "numbers beside arrays": lambda: [f.public(v, *[ones] * (len(f.inputs) - 1)) for v in [*EXTREME, 10**6]],
        "at": lambda: ufunc.at(ones, np.arange(len(x)), *[x] * (ufunc.nin - 1)),
        "outer": lambda: ufunc.outer(x, ones, dtype=narrow),
        "reduce": lambda: ufunc.reduce(x, dtype=narrow),
        "reduce, out": lambda: ufunc.reduce(x[:, None], out=np.empty(1, narrow)),
        "accumulate": lambda: ufunc.accumulate(x, dtype=narrow),
        "reduceat": lambda: ufunc.reduceat(x, [0, 1], dtype=narrow),
    }
    if ufunc is getattr(nl, f.called):
        calls["out by position"] = lambda: f.public(*arguments, *out)
        calls["names"] = lambda: f.public(**dict(zip(f.inputs, arguments, strict=True)), out=out)
    if ufunc.nin != 2 or ufunc.nout != 1:  # which have no such methods
        for name in ("outer", "reduce", "reduce, out", "accumulate", "reduceat", *["at"] * (ufunc.nin != 1)):
            del calls[name]
    return calls


@all_functions
@each("narrow", NARROW)
def test_no_cast_warns(f: Function, narrow: np.dtype) -> None:
    for mode in ("raise", "warn"):
        for call in calls_that_cast(f, narrow).values():
            with warnings.catch_warnings(), np.errstate(all=mode):
                warnings.simplefilter("error")
                call()
                assert set(np.geterr().values()) == {mode}


def test_the_calls_that_cast_would_warn() -> None:
    """As NumPy's own functions do, or the test above would find nothing."""
    with np.errstate(all="raise"):
        for call in (
            lambda: np.tanh(np.array(EXTREME[:9]), dtype=np.float32),
            lambda: np.logaddexp(1e300, np.ones(3, np.float16)),
            lambda: np.logaddexp.reduce(np.array([1e300, 1]), dtype=np.float32),
        ):
            with pytest.raises(FloatingPointError):
                call()


# Names


@all_functions
def test_arguments_go_by_their_names(f: Function, rng: np.random.Generator) -> None:
    given = dict(zip(f.inputs, f.points(rng, 20, np.float32), strict=True))
    expected = f.public(*given.values())
    out = tuple(np.empty(20, np.float32) for _ in as_tuple(expected))
    for position in range(len(given)):
        positional, named = list(given.values())[:position], dict(list(given.items())[position:][::-1])
        assert_same_bits(f.public(*positional, **named), expected)
        assert_same_bits(f.public(*positional, **{"".join(list(name)): a for name, a in named.items()}), expected)
        assert as_tuple(f.public(*positional, **named, out=out, where=True))[0] is out[0]
        assert_same_bits(out, as_tuple(expected))
    last = f.inputs[-1]
    with pytest.raises(TypeError, match=rf"two values for '{last}'"):
        f.public(*given.values(), **{last: 1.0})
    if len(given) > 1:
        with pytest.raises(TypeError, match=rf"'{f.inputs[0]}', which is missing"):
            f.public(**{last: 1.0})


@all_functions
def test_signature_and_help_show_the_names(f: Function) -> None:
    function = getattr(nl, f.called)
    names = list(inspect.signature(function).parameters)
    assert names[: len(f.inputs)] == list(f.inputs)
    help_text = pydoc.plain(pydoc.render_doc(function))
    assert f"{f.called}({', '.join(f.inputs)}" in help_text
    assert "\nParameters\n" in inspect.getdoc(function)


@all_ufuncs
def test_ufuncs_stay_ufuncs(ufunc: np.ufunc) -> None:
    assert pickle.loads(pickle.dumps(ufunc)) is ufunc
    assert copy.copy(ufunc) is ufunc
    assert copy.deepcopy([ufunc]) == [ufunc]
    assert repr(ufunc) == f"<ufunc '{ufunc.__name__}'>"


# Keywords


@pytest.mark.parametrize("f", [f for f in FUNCTIONS.values() if f.parameters], ids=lambda f: f.name)
def test_parameters(f: Function, rng: np.random.Generator) -> None:
    x32, x64 = f.points(rng, (4, 5), np.float32), f.points(rng, (4, 5), np.float64)
    assert_same_bits(f.public(*x32), f.public(*x32, **f.parameters))
    halves = {key: 0.7 * value for key, value in f.parameters.items()}
    assert_same_bits(f.public(*x32, **halves), f.public(*x32, *halves.values()))  # by position too
    for dtype in FLOATS:
        x = [a.astype(dtype) for a in x32]
        rounded = {key: dtype.type(value) for key, value in halves.items()}
        assert_same_bits(f.public(*x, **halves), f.public(*x, **rounded))
    columns = {key: value * np.linspace(0.5, 2, 5) for key, value in f.parameters.items()}
    whole = f.public(*x64, **columns)
    for j in range(5):
        assert_same_bits(whole[:, j], f.public(*(a[:, j] for a in x64), **{key: c[j] for key, c in columns.items()}))
    assert f.public(*x32, **columns).dtype == np.float64
    with pytest.raises(TypeError, match=rf"^{next(iter(f.parameters))} has dtype complex128"):
        f.public(*x32, **dict.fromkeys(f.parameters, 1j))
    with pytest.raises(TypeError):
        f.public(*x32, other=1.0)


NUMBERS = [2, True, 0.3, np.float64(0.3), np.float32(0.3), np.float16(0.3), bfloat16(0.3), np.longdouble(0.3), np.int8(2)]


@pytest.mark.parametrize("f", [f for f in FUNCTIONS.values() if f.parameters], ids=lambda f: f.name)
@each("number", [*NUMBERS, *(np.array(n) for n in NUMBERS)])
def test_numbers_as_parameters_do_not_widen(f: Function, number: Any, rng: np.random.Generator) -> None:
    """NumPy's scalars and 0-d arrays neither: they are rounded to the type of the other arguments."""
    for dtype in FLOATS:
        x = f.points(rng, (4, 5), dtype)
        with np.errstate(all="raise"):
            rounded = np.broadcast_to(np.asarray(float(number)).astype(dtype), (4, 5))
            expected = f.public(*x, *[rounded] * len(f.parameters))
            for given in (x, [a[0] for a in x], [a[0, 0] for a in x], [a.tolist() for a in x]):
                y = f.public(*given, *[number] * len(f.parameters))
                if isinstance(given[0], list):
                    assert y.dtype == np.float64
                else:
                    assert_same_bits(y, expected[(0,) * (2 - np.ndim(given[0]))])
            out = np.empty((4, 5), dtype)
            f.public(*x, *[number] * len(f.parameters), out=out, where=True)
            assert_same_bits(out, expected)
    assert f.public(*[np.arange(3)] * len(f.inputs), *[number] * len(f.parameters)).dtype == np.float64


@pytest.mark.parametrize("f", [nl.gelu, nl.gelu_backward])
def test_gelu_takes_one_of_two_forms(f: Any) -> None:
    x = (1.0,) * len(oracle.FUNCTIONS[f.__name__].inputs)
    assert f(*x, approximate="none") == f(*x)
    assert f(*x, approximate="tanh") != f(*x)
    with pytest.raises(ValueError, match=r"approximate.*erf.*tanh"):
        f(*x, approximate="erf")


@all_functions
def test_wrong_number_of_arguments(f: Function) -> None:
    with pytest.raises(TypeError):
        f.public()
    with pytest.raises(TypeError):
        f.public(*[1.0] * 9)


@pytest.mark.parametrize(
    "f", [f for f in FUNCTIONS.values() if f.parameters or f.activation == "gelu"], ids=lambda f: f.name
)
def test_functions_with_parameters_are_functions(f: Function) -> None:
    function = getattr(nl, f.name)
    assert pickle.loads(pickle.dumps(function)) is function
    assert inspect.isroutine(function)
    required = dict.fromkeys(f.inputs, 0.5)
    assert function(**required) == function(*required.values())
    with pytest.raises(TypeError, match=r"'x'"):
        function(*[0.5] * len(f.inputs), x=0.5)
    with pytest.raises(TypeError, match="x"):
        function(**{name: value for name, value in required.items() if name != "x"})
    with pytest.raises(TypeError):
        function(**required, **{f"other{i}": 1 for i in range(100)})


@all_functions
def test_pandas(f: Function, rng: np.random.Generator) -> None:
    pandas = pytest.importorskip("pandas")
    arguments = f.points(rng, 6, np.float64)
    series = [pandas.Series(a, index=list("abcdef")) for a in arguments]
    for y, expected in zip(as_tuple(f.public(*series)), as_tuple(f.public(*arguments)), strict=True):
        assert isinstance(y, pandas.Series)
        assert list(y.index) == list("abcdef")
        assert_same_bits(y.to_numpy(), expected)
