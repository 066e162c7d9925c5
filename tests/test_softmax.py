"""softmax, log_softmax, logsumexp, their gradients and Jacobians, and logsumexp in parts."""

import functools
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ml_dtypes import finfo

import nonlin as nl
from nonlin import _core, reference

from .oracle import (
    FLOATS,
    HALVES,
    assert_equal,
    assert_rounded,
    assert_same_bits,
    guarded,
    special_values,
    ulp_error,
    wide,
    working_dtype,
)
from .test_row_accuracy import difficult_rows

INF, NAN = np.inf, np.nan

FORWARD = [nl.softmax, nl.log_softmax, nl.logsumexp]
BACKWARD = [nl.softmax_backward, nl.log_softmax_backward, nl.logsumexp_backward]

forward_functions = pytest.mark.parametrize("f", FORWARD, ids=lambda f: f.__name__)
all_functions = pytest.mark.parametrize("f", FORWARD + BACKWARD, ids=lambda f: f.__name__)
all_dtypes = pytest.mark.parametrize("dtype", FLOATS, ids=str)


def formula(f: Callable[..., Any]) -> Callable[..., Any]:
    return getattr(reference, f.__name__)


def arguments(f: Callable[..., Any], rng: np.random.Generator, shape: Any, dtype: Any, axis: int = -1) -> list[np.ndarray]:
    """Random inputs along an axis; y is an output of the forward function."""
    x = 3 * rng.standard_normal(shape)
    if f in FORWARD:
        return [x.astype(dtype)]
    grad = rng.standard_normal(np.delete(shape, axis) if f is nl.logsumexp_backward else shape)
    y = {nl.softmax_backward: reference.softmax, nl.log_softmax_backward: reference.log_softmax}.get(f, lambda x, _: x)
    return [grad.astype(dtype), y(x, axis).astype(dtype)]


# Values


@pytest.mark.parametrize("dtype", [t for t in FLOATS if t.itemsize > 2], ids=str)
def test_log_softmax_keeps_the_dominating_class(dtype: np.dtype) -> None:
    close = 4 * float(finfo(dtype).eps)
    assert nl.log_softmax(np.array([20, 0], dtype))[0] == pytest.approx(-math.log1p(math.exp(-20)), rel=close)
    assert nl.log_softmax(np.array([0, 30, 0], dtype))[1] == pytest.approx(-2 * math.exp(-30), rel=1e-6)


@all_dtypes
def test_worked_example(dtype: np.dtype) -> None:
    z = np.array([2.0, 1.0, 0.1], dtype)
    close = {"rtol": float(finfo(dtype).eps), "atol": 1e-3}
    np.testing.assert_allclose(nl.softmax(z), [0.659, 0.242, 0.099], **close)
    np.testing.assert_allclose(nl.log_softmax(z), [-0.417, -1.417, -2.317], **close)
    np.testing.assert_allclose(nl.logsumexp(z), 2.417, **close)


@all_dtypes
def test_one_class(dtype: np.dtype, rng: np.random.Generator) -> None:
    x = (100 * rng.standard_normal((50, 1))).astype(dtype)
    assert_same_bits(nl.softmax(x), np.ones_like(x))
    np.testing.assert_array_equal(nl.log_softmax(x), 0)
    assert_same_bits(nl.logsumexp(x), x[:, 0])


@all_dtypes
@pytest.mark.parametrize(
    ("row", "softmax", "log_softmax", "logsumexp"),
    [
        ([INF, 1], [NAN, NAN], [NAN, NAN], INF),
        ([INF, INF], [NAN, NAN], [NAN, NAN], INF),
        ([1, NAN], [NAN, NAN], [NAN, NAN], NAN),
        ([INF, NAN], [NAN, NAN], [NAN, NAN], NAN),
        ([-INF, NAN], [NAN, NAN], [NAN, NAN], NAN),
        ([INF, -INF], [NAN, NAN], [NAN, NAN], INF),
        ([-INF, -INF], [NAN, NAN], [NAN, NAN], -INF),
        ([-INF, 3], [0, 1], [-INF, 0], 3),
        ([5], [1], [0], 5),
    ],
    ids=str,
)
@pytest.mark.parametrize("length", [2, 80, 2000])
def test_edge_cases(
    row: list[float], softmax: list[float], log_softmax: list[float], logsumexp: float, length: int, dtype: np.dtype
) -> None:
    """Among entries of -inf, at the start, the middle and the end of the row, along each axis."""
    bad = np.isnan(softmax[0])
    for place in {0, length // 2 - 1, length - len(row)}:
        here = slice(place, place + len(row))
        x = np.full(length, -INF, dtype)
        x[here] = row
        columns = np.stack([x, np.zeros_like(x), x], axis=1)
        for f, values, elsewhere in ((nl.softmax, softmax, 0), (nl.log_softmax, log_softmax, -INF)):
            expected = np.full(length, NAN if bad else elsewhere, dtype)
            expected[here] = values
            assert_equal(f(x), expected)
            assert_equal(f(columns, axis=0)[:, 2], expected)
        assert_equal(nl.logsumexp(x), logsumexp)
        assert_equal(nl.logsumexp(columns, axis=0)[::2], np.full(2, logsumexp))


def assert_close(f: Callable[..., Any], got: np.ndarray, given: list[np.ndarray], axis: int = -1) -> None:
    """Within a few roundings of the terms that the reference adds up."""
    single = given[0].dtype.itemsize < 8
    wider = [a.astype(np.float64 if single else np.longdouble) for a in given]
    exact = formula(f)(*wider, axis)
    scale = np.abs(exact)
    if f is nl.log_softmax:
        scale = scale + np.abs(wider[0] - np.max(wider[0], axis, keepdims=True))
    elif f is nl.logsumexp:
        scale = scale + np.abs(np.max(wider[0], axis))
    elif f is nl.softmax_backward:
        grad, y = np.abs(wider)
        scale = y * (grad + np.sum(grad * y, axis, keepdims=True))
    elif f is nl.log_softmax_backward:
        grad, y = np.abs(wider[0]), wider[1]
        scale = grad + np.exp(y) * np.sum(grad, axis, keepdims=True)
    info = finfo(working_dtype(given[0].dtype))
    roundings = 8 if single or np.finfo(np.longdouble).nmant > 60 else 100  # else the reference itself is no better
    assert_rounded(got, exact, roundings * info.eps * scale + 4 * info.smallest_subnormal)


@all_dtypes
@pytest.mark.parametrize(("shape", "axis"), [((1,), 0), ((4, 7), 1), ((3, 300, 2), 1), ((2, 5000), -1), ((40, 3), 0)])
@pytest.mark.parametrize("f", BACKWARD, ids=lambda f: f.__name__)
def test_backward_against_reference(f: Any, shape: Any, axis: int, dtype: np.dtype, rng: np.random.Generator) -> None:
    given = arguments(f, rng, shape, dtype, axis)
    assert_close(f, f(*given, axis), given, axis)


@all_dtypes
def test_jacobians_contain_the_backward_functions(dtype: np.dtype, rng: np.random.Generator) -> None:
    for forward, backward, jacobian in (
        (nl.softmax, nl.softmax_backward, nl.softmax_jacobian),
        (nl.log_softmax, nl.log_softmax_backward, nl.log_softmax_jacobian),
    ):
        for axis in (0, 1, -1):
            x, grad = rng.standard_normal((2, 3, 4, 5)).astype(dtype)
            y = forward(x, axis)
            j = jacobian(y, axis)
            assert j.dtype == dtype
            assert j.shape == (*np.moveaxis(y, axis, -1).shape, y.shape[axis])
            product = np.einsum("...i,...ij->...j", wide(np.moveaxis(grad, axis, -1)), wide(j))
            np.testing.assert_allclose(
                np.moveaxis(product, -1, axis), wide(backward(grad, y, axis)), atol=16 * float(finfo(dtype).eps)
            )
            exact = getattr(reference, jacobian.__name__)(wide(y), axis)
            assert_rounded(j, exact, float(finfo(working_dtype(dtype)).eps) * (8 * np.abs(exact) + 2))


# Rows in memory


@pytest.mark.every_target
@all_dtypes
@all_functions
def test_every_length(f: Callable[..., Any], dtype: np.dtype, rng: np.random.Generator) -> None:
    """A row has the same bits alone, beside others, at any address, and between padding."""
    for n in [*range(1, 150), *range(250, 262), 511, 1025, 4099, 20_001]:
        given = arguments(f, rng, (5, n), dtype)
        y = f(*given)
        assert_close(f, y, given)
        assert_same_bits(f(*(a[3] for a in given)), y[3])
        assert_same_bits(f(*(a[1::2] for a in given)), y[1::2])
        padded = [np.pad(a, [(1, 2)] * a.ndim)[(slice(1, -2),) * a.ndim] for a in given]
        assert_same_bits(f(*padded), y)


@pytest.mark.every_target
@all_dtypes
@all_functions
def test_rows_side_by_side(f: Callable[..., Any], dtype: np.dtype, rng: np.random.Generator) -> None:
    """Groups of any number of rows give each of them the bits it has alone, whichever way they reach the lanes."""
    narrow = 3  # classes that lie side by side either way, on every instruction set
    for n in [*range(1, 21), 48, 49, 63, 64, 65, 112, 113, 160, 161, 256, 257]:
        for rows in (15, 16, 17, 37, 300):
            given = arguments(f, rng, (rows, n), dtype)
            y = f(*given)
            for i in (0, 15 % rows, rows - 1):
                assert_same_bits(f(*(a[i] for a in given)), y[i])
            columns = [np.ascontiguousarray(a.T) for a in given]
            across = f(*columns, 0)
            for i in (0, 15 % rows, rows - 1):
                alone = f(*(a[..., i : i + 1] for a in columns), 0)  # strided still
                if n <= narrow:
                    assert_same_bits(across.T[i], y[i])
                assert_same_bits(across[..., i : i + 1], alone)


@pytest.mark.parametrize(
    ("shape", "axis"), [((140_001, 20), -1), ((1_100_003, 3), -1), ((20, 140_001), 0), ((20, 140_032), 0)]
)
def test_results_that_no_cache_holds(shape: tuple[int, int], axis: int, rng: np.random.Generator) -> None:
    for dtype in (np.float32, np.float64):
        x = rng.standard_normal(shape).astype(dtype)
        pieces = np.array_split(x, 9, 1 + axis)
        expected = np.concatenate([nl.softmax(piece, axis) for piece in pieces], 1 + axis)
        for start in (0, 1, 3):
            room = np.full(x.size + 16, 7, dtype)
            out = room[start : start + x.size].reshape(shape)
            nl.softmax(x, axis, out=out)
            assert_same_bits(out, expected)
            assert np.all(room[:start] == 7)
            assert np.all(room[start + x.size :] == 7)


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect")
@pytest.mark.every_target
@all_dtypes
@all_functions
def test_nothing_beyond_an_array_is_touched(f: Callable[..., Any], dtype: Any, rng: np.random.Generator) -> None:
    for rows, n in ((1, 1), (16, 2), (17, 3), (16, 10), (37, 13), (48, 64), (37, 60), (19, 158), (3, 170)):
        for axis in (0, -1):
            given = arguments(f, rng, (rows, n) if axis else (n, rows), dtype, axis)
            expected = np.asarray(f(*given, axis))
            for at_end in (False, True):
                out = guarded(expected, at_end)
                out[...] = 7
                f(*(guarded(a, at_end) for a in given), axis, out=out)
                assert_same_bits(out, expected)


@all_dtypes
@all_functions
def test_every_axis_and_stride(f: Callable[..., Any], dtype: np.dtype, rng: np.random.Generator) -> None:
    for axis in (0, 1, 2, -1, -2, -3):
        given = arguments(f, rng, (5, 12, 33), dtype, axis)
        y = f(*given, axis)
        assert y.dtype == dtype
        assert_close(f, y, given, axis)
        for change in (
            np.asfortranarray,
            lambda a: a[::-1].copy()[::-1],
            lambda a: a[..., ::-1].copy()[..., ::-1],
            lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
            lambda a: a.astype(a.dtype.newbyteorder()),
        ):
            moved = [change(a) for a in given]
            assert_close(f, f(*moved, axis), given, axis)


@all_dtypes
@forward_functions
def test_strides_of_zero(f: Callable[..., Any], dtype: np.dtype) -> None:
    x = np.broadcast_to(np.array([[1], [2]], dtype), (2, 6))
    for axis in (0, 1):
        assert_close(f, f(x, axis), [x], axis)


@all_dtypes
def test_many_classes_that_are_one_number(dtype: np.dtype) -> None:
    """No buffer holds them: this one would be larger than memory."""
    n = 2**40 + 11
    for value in (0, -2.5, 700):
        x = np.broadcast_to(dtype.type(value), (2, n))
        expected = dtype.type(float(dtype.type(value)) + math.log(n))
        np.testing.assert_array_equal(wide(nl.logsumexp(x)), wide(np.full(2, expected)))
        np.testing.assert_array_equal(wide(nl.logsumexp(x, out=np.empty(2, dtype))), wide(np.full(2, expected)))
    assert_equal(nl.logsumexp(np.broadcast_to(dtype.type(-INF), n)), -INF)


@all_dtypes
@all_functions
def test_out_and_overlap(f: Callable[..., Any], dtype: np.dtype, rng: np.random.Generator) -> None:
    for shape, axis in (((6, 40), -1), ((40, 6), 0), ((3, 20_000), 1)):
        given = arguments(f, rng, shape, dtype, axis)
        expected = f(*given, axis)
        out = np.full_like(expected, 7)
        assert f(*given, axis, out=out) is out
        assert_same_bits(out, expected)
        strided = np.full((*expected.shape, 2), 7, dtype)[..., 0]
        f(*given, axis, out=strided)
        assert_close(f, strided, given, axis)
        for i, a in enumerate(given):
            if a.shape != expected.shape:
                continue
            for shift in (0, 1, a.shape[-1], a.size // 2):
                buffer = np.zeros(2 * a.size, dtype)
                source = buffer[: a.size].reshape(a.shape)
                source[:] = a
                target = buffer[shift : shift + a.size].reshape(a.shape)
                f(*given[:i], source, *given[i + 1 :], axis, out=target)
                assert_same_bits(target, expected)
        for wrong in (np.empty((*expected.shape, 2), dtype), np.empty(expected.size + 1, dtype)):
            with pytest.raises(ValueError, match=r"out has shape .*; it takes that of the result, "):
                f(*given, axis, out=wrong)
        with pytest.raises(TypeError, match="out has dtype int8; it takes a float dtype"):
            f(*given, axis, out=np.empty(expected.shape, np.int8))
        for other in FLOATS:  # as NumPy casts
            if not np.can_cast(dtype, other, "same_kind"):
                continue
            cast = np.empty(expected.shape, other)
            assert f(*given, axis, out=cast) is cast
            with np.errstate(all="ignore"):
                assert_same_bits(cast, np.asarray(expected).astype(other))


# where


@all_dtypes
@forward_functions
def test_where(f: Callable[..., Any], dtype: np.dtype, rng: np.random.Generator) -> None:
    for shape, axis in (((7, 13), -1), ((13, 7), 0), ((4, 9, 5), 1), ((2, 3000), -1)):
        x = 3 * rng.standard_normal(shape).astype(dtype)
        where = rng.random(shape) < 0.6
        np.moveaxis(where, axis, 0)[:, 0] = False  # a row with nothing left
        x[~where] = rng.choice([NAN, INF, 1e4, -3], np.count_nonzero(~where))  # must not be seen
        expected = formula(f)(x.astype(np.float64), axis, where=where)
        tolerance = float(finfo(working_dtype(dtype)).eps) * (20 * np.abs(expected) + 8)
        assert_rounded(f(x, axis, where=where), expected, tolerance)
        assert_rounded(f(x, axis, where=np.asfortranarray(where)), expected, tolerance)
        out = x.copy() if f is not nl.logsumexp else np.empty(expected.shape, dtype)
        assert f(out if f is not nl.logsumexp else x, axis, where=where, out=out) is out
        assert_rounded(out, expected, tolerance)
    row = rng.random(5) < 0.5
    x = rng.standard_normal((3, 5)).astype(dtype)
    assert_same_bits(f(x, where=row), f(x, where=np.broadcast_to(row, x.shape)))
    assert_same_bits(f(x, where=True), f(x))
    assert_same_bits(f(x, where=row.tolist()), f(x, where=row))


def test_where_that_does_not_fit() -> None:
    x = np.zeros((2, 3))
    for f in FORWARD:
        for shape in (4, (5, 2, 3)):  # the second would enlarge x
            with pytest.raises(ValueError, match="where"):
                f(x, where=np.ones(shape, bool))
        with pytest.raises(TypeError, match="where"):
            f(x, where=np.full(3, 0.5))


@all_dtypes
@pytest.mark.parametrize("f", BACKWARD, ids=lambda f: f.__name__)
def test_gradients_where(f: Callable[..., Any], dtype: np.dtype, rng: np.random.Generator) -> None:
    for shape, axis in (((7, 13), -1), ((13, 7), 0), ((4, 9, 5), 1), ((2, 3000), -1)):
        where = rng.random(shape) < 0.6
        np.moveaxis(where, axis, 0)[:, 0] = False
        given = arguments(f, rng, shape, dtype, axis)
        exact = [a.astype(np.float64) for a in given]
        expected = formula(f)(*exact, axis, where=where)
        terms = formula(f)(
            *(np.abs(a) if a.shape == shape and f is nl.softmax_backward else a for a in exact), axis, where=where
        )
        tolerance = float(finfo(working_dtype(dtype)).eps) * (20 * (np.abs(expected) + np.abs(terms)) + 64)
        for a in given:
            if a.shape == shape:
                a[~where] = rng.choice([NAN, INF, -INF, 1e4], np.count_nonzero(~where))  # must not be seen
        result = f(*given, axis, where=where)
        assert_rounded(result, expected, tolerance)
        assert np.all(wide(result)[~where] == 0)
        assert_same_bits(f(*given, axis, where=where, out=given[-1]), result)


@pytest.mark.parametrize("shape", [(3, 7), (4, 40), (2, 300), (3, 70_000)])
@all_dtypes
@all_functions
def test_where_that_masks_nothing(f: Callable[..., Any], dtype: np.dtype, shape: Any, rng: np.random.Generator) -> None:
    given = arguments(f, rng, shape, dtype)
    for where in (True, np.ones(shape, bool), np.ones(shape[1], bool)):
        assert_same_bits(f(*given, where=where), f(*given))


@all_dtypes
def test_masks_and_nothing_finite(dtype: np.dtype) -> None:
    """Masked entries are what they are in any row, whatever became of the others."""
    where = np.array([[False, True, True], [True, False, True], [False, False, False]])
    for bad in (NAN, INF):
        x = np.array([[1, bad, 2], [bad, 1, 2], [1, bad, 2]], dtype)
        for f, masked in ((nl.softmax, 0), (nl.log_softmax, -INF)):
            assert np.all(wide(f(x, where=where))[~where] == masked)
            assert np.all(np.isnan(wide(f(x, where=where))[where]))
        for g in (nl.softmax_backward, nl.log_softmax_backward):
            for given in ((x, np.full_like(x, 0.5)), (np.ones_like(x), x), (x, x)):
                assert np.all(wide(g(*given, where=where))[~where] == 0)
        assert np.all(wide(nl.logsumexp_backward(np.array([1, bad, 1], dtype), x, where=where))[~where] == 0)
    huge = np.full(3, finfo(dtype).max, dtype)
    assert np.all(wide(nl.logsumexp_backward(huge, np.zeros((3, 3), dtype), where=where))[~where] == 0)


def test_gradients_under_masks() -> None:
    """Worked by hand."""
    x, where = np.array([1.0, 2, 30]), [True, True, False]
    y = nl.log_softmax(x, where=where)
    half = math.tanh(0.5)
    np.testing.assert_allclose(nl.log_softmax_backward(np.ones(3), y, where=where), [half, -half, 0], rtol=1e-14)
    p = 1 / (1 + math.e)
    np.testing.assert_allclose(nl.logsumexp_backward(1.0, x, where=where), [p, 1 - p, 0], rtol=1e-14)


# scale


SCALED = [nl.softmax, nl.log_softmax, nl.softmax_backward, nl.log_softmax_backward]
scaled_functions = pytest.mark.parametrize("f", SCALED, ids=lambda f: f.__name__)


@pytest.mark.every_target
@all_dtypes
@scaled_functions
def test_scale(f: Callable[..., Any], dtype: np.dtype, rng: np.random.Generator) -> None:
    """The bits of what is scaled first, in any layout, with a mask too."""
    for shape, axis in (((5, 3), -1), ((3, 20), -1), ((4, 48), -1), ((3, 20, 5), 1), ((2, 500), -1), ((2, 70_001), -1)):
        given = arguments(f, rng, shape, dtype, axis)
        where = rng.random(shape) < 0.7
        for scale in (0.125, -1.7, np.float32(0.3), np.array(2)):
            first = (given[0] * dtype.type(scale), *given[1:])
            if f in BACKWARD and dtype in HALVES:  # the product keeps its digits
                exact = [wide(a) for a in given]
                exact[0] = exact[0] * float(dtype.type(scale))
                terms = f(np.abs(exact[0]), *exact[1:], axis) if f is nl.log_softmax_backward else np.abs(exact[1])
                tolerance = 2.0**-20 * (np.abs(terms) + 1) + 4 * float(finfo(np.float32).smallest_subnormal)
                assert_rounded(f(*given, axis, scale=scale), f(*exact, axis), tolerance)
                continue
            assert_same_bits(f(*given, axis, scale=scale), f(*first, axis))
            assert_same_bits(f(*given, axis, scale=scale, where=where), f(*first, axis, where=where))
            out = given[0].copy()
            assert_same_bits(f(out, *given[1:], axis, scale=scale, out=out), f(*first, axis))
    x = rng.standard_normal((4, 5)).astype(dtype)
    given = [x] * (1 if f in FORWARD else 2)
    assert_same_bits(f(*given, scale=1), f(*given))
    for wrong in (None, "a", np.str_("a"), [0.5], np.ones(1), 1j):
        with pytest.raises(TypeError, match=r"scale is .*; it takes a number"):
            f(*given, scale=wrong)
    for wrong in (NAN, INF):
        with pytest.raises(ValueError, match=r"scale is (nan|inf); it takes a finite number"):
            f(*given, scale=wrong)


# axis


@all_dtypes
@all_functions
def test_several_axes(f: Callable[..., Any], dtype: np.dtype, rng: np.random.Generator) -> None:
    for axis in ((0,), (-1,), (0, 1), (1, 2), (2, 0), (0, 1, 2), (-1, -3), (1, 3), (0, 1, 2, 3), (), None):
        shape = (3, 4, 1, 5)
        axes = range(4) if axis is None else [a % 4 for a in axis]
        outer = [i for i in range(4) if i not in axes]
        x = 3 * rng.standard_normal(shape).astype(dtype)
        where = rng.random(shape) < 0.7
        for change in (
            lambda a: a,
            np.asfortranarray,
            lambda a: np.repeat(a, 2, -1)[..., ::2],
            lambda a: a[::-1].copy()[::-1],
        ):
            grad = rng.standard_normal([shape[i] for i in outer] if f is nl.logsumexp_backward else shape).astype(dtype)
            given = [change(x)] if f in FORWARD else [grad, change(x)]
            rows = [
                a.transpose(*outer, *sorted(axes)).reshape(*(a.shape[i] for i in outer), -1) if of_rows else a
                for a, of_rows in zip(given[::-1], (True, f is not nl.logsumexp_backward), strict=False)
            ][::-1]
            for options in ({}, {"where": where}):
                moved = {k: w.transpose(*outer, *sorted(axes)).reshape(rows[-1].shape) for k, w in options.items()}
                result, expected = f(*given, axis, **options), f(*rows, **moved)
                if np.shape(expected) == rows[-1].shape and f is not nl.logsumexp:
                    assert result.shape == shape
                    result = result.transpose(*outer, *sorted(axes)).reshape(rows[-1].shape)
                exact = wide(np.asarray(expected))
                assert_rounded(result, exact, 16 * float(finfo(dtype).eps) * (np.abs(np.nan_to_num(exact, neginf=0)) + 1))
                if f is not nl.logsumexp:
                    out = np.full((2, *shape), 7, dtype)[1]
                    assert f(*given, axis, **options, out=out) is out
                    assert_same_bits(out, f(*given, axis, **options))
    if f is nl.logsumexp:
        assert f(x, (0, 1), keepdims=True).shape == (1, 1, 1, 5)
        assert f(x, None, keepdims=True).shape == (1, 1, 1, 1)


# Factors and signs


@pytest.mark.every_target
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_factors_of_exponentials(dtype: Any, rng: np.random.Generator) -> None:
    info = finfo(dtype)
    for shape, axis in (((1,), -1), ((300, 3), -1), ((40, 33), -1), ((33, 40), 0), ((3, 2000), -1), ((2, 70_000), -1)):
        x = (5 * rng.standard_normal(shape)).astype(dtype)
        b = (rng.standard_normal(shape) * 10.0 ** rng.integers(-20, 20, shape)).astype(dtype)
        b[rng.random(shape) < 0.2] = 0
        log, sign = nl.logsumexp(x, axis, b=b, return_sign=True)
        exact, exact_sign = reference.logsumexp(x.astype(np.longdouble), axis, b=b.astype(np.longdouble), return_sign=True)
        with np.errstate(all="ignore"):
            sizes = x.astype(np.longdouble) + np.log(np.abs(b.astype(np.longdouble)))
            largest = sizes.max(axis, keepdims=True)
            cancelled = np.exp(sizes - largest).sum(axis) / np.exp(exact - largest.squeeze(axis))  # condition of the sum
            unit = 4 * float(info.eps) * (np.maximum(np.abs(exact), np.abs(largest.squeeze(axis))) + cancelled)
            assert np.all((np.abs(log - exact) <= unit) | (log == exact))
        np.testing.assert_array_equal(sign, exact_sign)
        plain = nl.logsumexp(x, axis, b=b)
        assert_equal(plain, np.where(exact_sign < 0, np.nan, log))
        where = rng.random(shape) < 0.5
        assert_equal(
            nl.logsumexp(x, axis, b=b, where=where, return_sign=True)[0],
            nl.logsumexp(x, axis, b=b * where, return_sign=True)[0],
        )


@pytest.mark.parametrize(
    ("x", "b", "log", "sign"),
    [
        ([0, 0], [1, -1], -INF, 0),
        ([0, 0, -40], [1, -1, 1], -40, 1),
        ([0, -40], [1, 1], math.exp(-40), 1),
        ([1, 2], [0, 0], -INF, 0),
        ([-INF, -INF], [1, 2], -INF, 0),
        ([INF, 0], [-1, 1], INF, -1),
        ([INF, INF], [-1, 1], NAN, NAN),
        ([INF, 1], [0, 1], 1, 1),
        ([0, 1], [INF, 1], INF, 1),
        ([NAN, 1], [1, 1], NAN, NAN),
        ([NAN, 1], [0, 1], 1, 1),
        ([1000, 1000], [0.5, 0.5], 1000, 1),
        ([80, 0], [1e-38, 1e38], math.log(1e38), 1),
    ],
)
def test_special_factors(x: list[float], b: list[float], log: float, sign: float) -> None:
    for dtype in (np.float32, np.float64):
        result = nl.logsumexp(np.array(x, dtype), b=np.array(b, dtype), return_sign=True)
        np.testing.assert_allclose(result, (log, sign), rtol=4 * float(finfo(dtype).eps))
        assert result[0].dtype == dtype


def test_factors_and_other_options(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 4))
    np.testing.assert_allclose(nl.logsumexp(x, b=2.0), nl.logsumexp(x) + math.log(2), rtol=1e-14)
    np.testing.assert_allclose(nl.logsumexp(x, 0, b=[[1], [0], [1]]), nl.logsumexp(x[::2], 0), rtol=1e-14)
    log, sign = nl.logsumexp(x, return_sign=True, keepdims=True)
    assert log.shape == sign.shape == (3, 1)
    out = np.empty(3)
    assert nl.logsumexp(x, b=[1, 1, 1, -5], out=out) is out
    assert_equal(out, nl.logsumexp(x, b=[1, 1, 1, -5]))
    with pytest.raises(ValueError, match=r"x has shape \(3, 4\); it takes the shape of b, \(3,\)"):
        nl.logsumexp(x, b=np.ones(3))
    with pytest.raises(TypeError, match="b has dtype complex128"):
        nl.logsumexp(x, b=1j)


# Other arguments


def test_keepdims(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 4))
    for axis in (0, 1, -1):
        assert_same_bits(nl.logsumexp(x, axis, keepdims=True), np.expand_dims(nl.logsumexp(x, axis), axis))
    out = np.empty((2, 1, 4))
    assert nl.logsumexp(x, 1, keepdims=True, out=out) is out
    assert_same_bits(out[:, 0], nl.logsumexp(x, 1))


@all_functions
def test_integers_give_float64(f: Callable[..., Any]) -> None:
    for dtype in "?bhilqBHILQ":
        x = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
        given = [x[:, 0], x] if f is nl.logsumexp_backward else [x] * (1 if f in FORWARD else 2)
        assert_same_bits(f(*given), f(*(a.astype(np.float64) for a in given)))
        assert_same_bits(f(*(a.tolist() for a in given)), f(*given))


@pytest.mark.parametrize("f", BACKWARD, ids=lambda f: f.__name__)
def test_mixed_floats_give_the_wider(f: Callable[..., Any], rng: np.random.Generator) -> None:
    grad, y = arguments(f, rng, (3, 40), np.float32)
    wide = f(grad.astype(np.float64), y.astype(np.float64))
    assert_same_bits(f(grad.astype(np.float64), y), wide)
    assert_same_bits(f(grad, y.astype(np.float64)), wide)


@pytest.mark.parametrize("f", BACKWARD, ids=lambda f: f.__name__)
def test_mixed_16_bit_floats(f: Callable[..., Any], rng: np.random.Generator) -> None:
    for half in HALVES:
        grad, y = arguments(f, rng, (3, 40), half)
        for dtype in (np.float32, np.float64):
            expected = f(grad.astype(dtype), y.astype(dtype))
            assert_same_bits(f(grad.astype(dtype), y), expected)
            assert_same_bits(f(grad, y.astype(dtype)), expected)
        with pytest.raises(TypeError, match=r"grad and (x|y) have dtypes b?float16 and b?float16; they take"):
            f(grad, y.astype(HALVES[half == HALVES[0]]))


@all_functions
def test_errors(f: Callable[..., Any]) -> None:
    def given(shape: tuple[int, ...], dtype: Any = np.float64) -> list[np.ndarray]:
        x = np.zeros(shape, dtype)
        return [x] if f in FORWARD else [x[..., 0] if f is nl.logsumexp_backward and shape else x, x]

    for axis in (2, -3, 100, 10**30, -(10**30)):
        with pytest.raises((np.exceptions.AxisError, OverflowError)):
            f(*given((2, 3)), axis)
    with pytest.raises(np.exceptions.AxisError):
        f(*given(()))
    for axis in (0.5, "0", [0, 1], (0, 0.5), 1j):
        with pytest.raises(TypeError, match=r"axis is .*; it takes an integer, a tuple of integers or None"):
            f(*given((2, 3)), axis)
    with pytest.raises(ValueError, match=r"axis is \(0, -2\), which names an axis twice"):
        f(*given((2, 3)), (0, -2))
    for value in (None, "abc"):
        with pytest.raises(TypeError, match=r"(x|y|grad) is (None|'abc'); it takes an array of numbers"):
            f(*[value] * len(given((2, 3))))
    with pytest.raises(ValueError, match=r"(x|y|grad) is no array of numbers"):
        f(*[[[1.0, 2], [3]]] * len(given((2, 3))))
    with pytest.raises(ValueError, match="where is no array of numbers"):
        f(*given((2, 3)), where=[[True, False], [True]])
    for wrong in ([1], 0.0):
        with pytest.raises(TypeError, match=r"out is a (list|float); it takes an ndarray"):
            f(*given((2, 3)), out=wrong)
    fixed = np.zeros((2,) if f is nl.logsumexp else (2, 3))
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        f(*given((2, 3)), out=fixed)
    with pytest.raises(ValueError, match="empty"):
        f(*([np.zeros(4), np.zeros((4, 0))] if f is nl.logsumexp_backward else given((4, 0))))
    for dtype in ("F", "D", "O", "U3"):
        with pytest.raises(TypeError):
            f(*given((2, 3), dtype))
    with pytest.raises(TypeError):
        f(*given((2, 3)), 0, None)  # the rest is by keyword


@pytest.mark.parametrize("f", BACKWARD, ids=lambda f: f.__name__)
def test_shapes_that_do_not_fit(f: Callable[..., Any]) -> None:
    for shape in ((2, 4), (5,), (2, 1)) if f is not nl.logsumexp_backward else ((5,), (3,), (2, 3)):
        with pytest.raises(ValueError, match=r"grad has shape .*; it takes .* \(2, 3\)|\(2,\)"):
            f(np.zeros(shape), np.zeros((2, 3)))


@pytest.mark.parametrize("f", [nl.softmax_jacobian, nl.log_softmax_jacobian])
def test_errors_of_jacobians(f: Callable[..., Any]) -> None:
    with pytest.raises(np.exceptions.AxisError):
        f(np.zeros((2, 3)), 2)
    with pytest.raises(np.exceptions.AxisError):
        f(np.zeros(()))
    with pytest.raises(ValueError, match="empty"):
        f(np.zeros((2, 0)))
    with pytest.raises(TypeError):
        f(np.zeros((2, 3), complex))


@all_dtypes
@forward_functions
def test_empty_batch(f: Callable[..., Any], dtype: np.dtype) -> None:
    assert_same_bits(f(np.zeros((0, 5), dtype)), np.zeros((0,) if f is nl.logsumexp else (0, 5), dtype))
    assert_same_bits(f(np.zeros((2, 5, 0), dtype), 1), np.zeros((2, 0) if f is nl.logsumexp else (2, 5, 0), dtype))


@forward_functions
def test_pandas(f: Callable[..., Any], rng: np.random.Generator) -> None:
    pandas = pytest.importorskip("pandas")
    x = rng.standard_normal((4, 3))
    frame = pandas.DataFrame(x, columns=list("abc"))
    for axis in (0, 1, -1):
        np.testing.assert_allclose(np.asarray(f(frame, axis)), f(x, axis), rtol=1e-14)


@all_functions
def test_input_is_left_alone(f: Callable[..., Any], rng: np.random.Generator) -> None:
    given = arguments(f, rng, (30, 40), np.float64)
    copies = [a.copy() for a in given]
    for a in given:
        a.flags.writeable = False
    f(*given)
    assert_same_bits(tuple(given), tuple(copies))


# Rows in pieces


def merged(pairs: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    return functools.reduce(lambda a, b: nl.logsumexp_merge(*a, *b), pairs)


def merged_in_a_tree(pairs: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    while len(pairs) > 1:
        pairs = [merged(pairs[i : i + 2]) for i in range(0, len(pairs), 2)]
    return pairs[0]


def pieces_of(x: Any, cuts: Any, axis: int = -1) -> tuple[list[Any], tuple[Any, Any]]:
    """The pieces of rows that are cut before these classes, and the pair of them all."""
    pieces = np.split(x, cuts, axis)
    merge = merged_in_a_tree if np.asarray(x).dtype == np.float64 else merged
    return pieces, merge([nl.logsumexp_partial(piece, axis) for piece in pieces])


def from_pieces(f: Callable[..., Any], x: Any, cuts: Any, axis: int = -1) -> Any:
    pieces, pair = pieces_of(x, cuts, axis)
    return np.concatenate([f(piece, *pair, axis) for piece in pieces], axis)


GUFUNCS = _core.gufuncs()
WHOLE = {nl.softmax_from: reference.softmax, nl.log_softmax_from: reference.log_softmax}
from_functions = pytest.mark.parametrize("f", WHOLE, ids=lambda f: f.__name__)


@pytest.mark.every_target
@all_dtypes
def test_partial_against_reference(dtype: np.dtype, rng: np.random.Generator) -> None:
    eps = float(finfo(working_dtype(dtype)).eps)
    for shape, axis in (
        ((1,), 0),
        ((7,), -1),
        ((300, 5), 0),
        ((5, 300), 1),
        ((3, 40, 4), 1),
        ((2, 100_000), -1),
        ((4, 1), 1),
    ):
        x = 3 * rng.standard_normal(shape).astype(dtype)
        m, r = nl.logsumexp_partial(x, axis)
        exact_x = x.astype(np.longdouble if dtype == np.float64 else np.float64)
        exact_m, exact_r = reference.logsumexp_partial(exact_x, axis)
        assert m.dtype == r.dtype == np.float64
        np.testing.assert_array_equal(m, exact_m)
        np.testing.assert_allclose(r, exact_r, rtol=4 * eps)
        np.testing.assert_allclose(nl.logsumexp_finish(m, r), reference.logsumexp(exact_x, axis), rtol=4 * eps)
        strided = np.repeat(np.asfortranarray(x), 2, axis=axis)
        strided = strided[tuple(slice(None, None, 2 if i == axis % x.ndim else None) for i in range(x.ndim))]
        swapped = x.astype(x.dtype.newbyteorder())
        for other in (strided, swapped):
            assert_same_bits(nl.logsumexp_partial(other, axis), (m, r))
            for f in WHOLE:
                assert f(other, m, r, axis).dtype == dtype
                assert_same_bits(f(other, m, r, axis), f(x, m, r, axis))
        assert_same_bits(GUFUNCS["logsumexp_partial"](x, axis=axis), (m, r))
        for f in WHOLE:
            for of_pairs in (np.float64, working_dtype(dtype)):
                pair = m.astype(of_pairs), r.astype(of_pairs)
                assert_same_bits(GUFUNCS[f.__name__](*pair, x, axis=axis), f(x, *pair, axis))


@all_dtypes
@pytest.mark.parametrize("n", [2, 3, pytest.param(10, marks=pytest.mark.every_target), 33, 100, 1000])
def test_every_split_is_the_whole(dtype: np.dtype, n: int, rng: np.random.Generator) -> None:
    """A row cut anywhere, and a row cut everywhere, in any order."""
    bound = 4 if dtype.itemsize > 2 else 0.6
    for name, (row, *_) in difficult_rows(n, dtype).items():
        x = np.stack([row, rng.permutation(row)])
        exact = {f: whole(x.astype(np.longdouble if dtype == np.float64 else np.float64)) for f, whole in WHOLE.items()}
        for cuts in [[cut] for cut in range(1, n, max(n // 15, 1))] + [range(1, n)]:
            for f in WHOLE:
                error = np.max(ulp_error(from_pieces(f, x, cuts), exact[f]))
                assert error <= bound, f"{f.__name__}, {name}, cut at {cuts}: {error} ULP"


@all_dtypes
def test_many_pieces_of_float64(dtype: np.dtype, rng: np.random.Generator) -> None:
    """Each merge rounds to float64: a thousand one after another cost digits of float64, but none of shorter types."""
    x = rng.standard_normal((100, 1000)).astype(dtype)
    pairs = [nl.logsumexp_partial(x[:, [i]]) for i in range(1000)]
    exact = reference.logsumexp_partial(x.astype(np.longdouble))[1]
    for merge, steps in ((merged, 1000), (merged_in_a_tree, 10)):
        r = merge(pairs)[1]
        assert np.max(np.abs(r - exact) / exact) < math.sqrt(steps) * 2.0**-52


@pytest.mark.every_target
@all_dtypes
def test_pieces_merged_in_any_order_are_the_whole(dtype: np.dtype, rng: np.random.Generator) -> None:
    for name, (row, *_) in difficult_rows(1000, dtype).items():
        x = np.stack([row, rng.permutation(row), row[::-1]])
        exact = reference.logsumexp(x.astype(np.float64))
        for axis, rows in ((-1, x), (0, x.T)):
            for _ in range(3):
                cuts = np.sort(rng.choice(np.arange(1, 1000), rng.integers(1, 9), replace=False))
                pieces = [nl.logsumexp_partial(piece, axis) for piece in np.split(rows, cuts, axis)]
                y = nl.logsumexp_finish(*merged([pieces[i] for i in rng.permutation(len(pieces))]))
                largest = np.abs(x).max(where=np.isfinite(x), initial=0).astype(np.float64)
                assert np.max(ulp_error(y.astype(working_dtype(dtype)), exact, largest)) <= 4, name


def test_merging_is_associative_and_commutative(rng: np.random.Generator) -> None:
    m = 10 * rng.standard_normal((3, 1000))
    m[:, :200] = rng.choice([-INF, INF, NAN, 0, 1e4, -1e4, 1e300, -1e300], (3, 200))
    r = np.where(np.isinf(m), np.where(m < 0, -1, 0), np.exp(rng.uniform(-60, 5, m.shape)))
    a, b, c = zip(m, r, strict=True)
    assert_equal(nl.logsumexp_merge(*a, *b), nl.logsumexp_merge(*b, *a))
    left, right = merged([merged([a, b]), c]), merged([a, merged([b, c])])
    assert_equal(left[0], right[0])
    np.testing.assert_allclose(left[1], right[1], rtol=1e-15)
    exact = reference.logsumexp_merge(*(v.astype(np.longdouble) for v in (*a, *b)))
    merge = nl.logsumexp_merge(*a, *b)
    assert_equal(merge[0], exact[0])
    np.testing.assert_allclose(merge[1], exact[1].astype(np.float64), rtol=5e-16)


@all_dtypes
def test_edge_cases_of_pieces(dtype: np.dtype) -> None:
    rows = np.array([[-INF, -INF], [INF, 0], [INF, -INF], [INF, INF], [NAN, INF], [-INF, NAN], [-INF, 3], [3, 3]], dtype)
    pair = np.array([-INF, INF, INF, INF, NAN, NAN, 3, 3]), np.array([-1, 0, 0, 0, NAN, NAN, 0, 1])
    whole = np.array([-INF, INF, INF, INF, NAN, NAN, 3, 3 + math.log(2)])
    for x, axis in ((rows, -1), (rows.T, 0), (np.repeat(rows, 40, axis=1)[:, ::40], -1)):
        m, r = nl.logsumexp_partial(x, axis)
        assert_equal((m, r), pair)
        np.testing.assert_allclose(nl.logsumexp_finish(m, r), whole, rtol=1e-15)
        assert_equal(pieces_of(x, [1], axis)[1], pair)
        for f, exact in ((nl.softmax_from, nl.softmax), (nl.log_softmax_from, nl.log_softmax)):
            assert_equal(f(x, m, r, axis), exact(x, axis))
    nothing = np.full(8, -INF), np.full(8, -1.0)
    assert_equal(nl.logsumexp_merge(*pair, *nothing), pair)
    assert_equal(nl.logsumexp_merge(*nothing, *pair), pair)
    for infinite in (2, 0):  # whatever it is merged with
        m, r = nl.logsumexp_merge(np.full(8, INF), np.full(8, infinite), *nl.logsumexp_partial(rows))
        assert_equal((m, r), (np.where(np.isnan(pair[0]), NAN, INF), np.where(np.isnan(pair[0]), NAN, 0)))


def test_a_dominating_class_keeps_its_digits() -> None:
    for left, right in (([40.0], [0.0]), ([0.0], [40.0])):
        m, r = merged([nl.logsumexp_partial(left), nl.logsumexp_partial(right)])
        np.testing.assert_allclose(r, math.exp(-40), rtol=1e-15)
        np.testing.assert_allclose(nl.log_softmax_from([40.0], m, r), -math.log1p(math.exp(-40)), rtol=1e-15)


@all_dtypes
def test_pieces_far_apart(dtype: np.dtype) -> None:
    """No overflow, and what underflows counts as nothing."""
    largest = float(finfo(dtype).max)
    assert nl.logsumexp_merge(largest, 1, -largest, 2) == (largest, 1)
    np.testing.assert_array_equal(nl.logsumexp_partial(np.array([largest, -largest, largest], dtype)), [largest, 1])
    np.testing.assert_allclose(nl.logsumexp_finish(1e4, 2), 1e4 + math.log(3), rtol=1e-15)


def test_shapes_and_dtypes_of_pieces(rng: np.random.Generator) -> None:
    x = rng.standard_normal((4, 3, 5)).astype(np.float32)
    m, r = nl.logsumexp_partial(x, 1)
    assert m.shape == r.shape == (4, 5)
    column = m[:, :1].copy(), r[:, :1].copy()
    full = np.broadcast_to(column[0], m.shape).copy(), np.broadcast_to(column[1], m.shape).copy()
    assert_same_bits(nl.logsumexp_merge(m, r, *column), nl.logsumexp_merge(m, r, *full))
    for f in WHOLE:
        assert_same_bits(f(x, *column, 1), f(x, *full, 1))
        assert_same_bits(f(x, m.astype(np.float32), r.tolist(), 1), f(x, m, r, 1))
        out = np.empty((4, 3, 5), np.float32)
        assert f(x, m, r, 1, out=out) is out
        assert_same_bits(out, f(x, m, r, 1))
        own = x.copy()
        f(own, m, r, 1, out=own)
        assert_same_bits(own, out)
        assert_same_bits(f(x[0, 0], 1.0, 2), f(x[0, :1], [1], [2.0])[0])
    scalars = nl.logsumexp_partial(x[0, 0])
    assert [np.shape(part) for part in scalars] == [(), ()]
    assert np.shape(nl.logsumexp_merge(*scalars, *scalars)[0]) == ()
    np.testing.assert_allclose(nl.logsumexp_finish(*nl.logsumexp_merge(0.0, 0.0, 0.0, 0.0)), math.log(2), rtol=1e-15)
    for dtype in [*"?bhilqBHILQ", *FLOATS]:
        ones = np.ones((2, 3), dtype)
        wide_ones = ones.astype(np.float64)
        assert nl.logsumexp_finish(ones, ones).dtype == np.float64
        assert_same_bits(nl.logsumexp_partial(ones), nl.logsumexp_partial(wide_ones))
        assert_same_bits(nl.logsumexp_merge(*[ones] * 4), nl.logsumexp_merge(*[wide_ones] * 4))
        assert_same_bits(nl.logsumexp_finish(ones, ones), nl.logsumexp_finish(*[wide_ones] * 2))
    for shape in ((0, 5), (2, 0, 5)):
        pair = nl.logsumexp_partial(np.zeros(shape))
        assert [part.shape for part in pair] == [shape[:-1]] * 2
        assert [f(np.zeros(shape), *pair).shape for f in WHOLE] == [shape] * 2


def test_pieces_of_a_frame_keep_their_labels() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([[1.0, 2], [3, 5]], index=["p", "q"], columns=["a", "b"])
    m, r = nl.logsumexp_partial(frame)
    assert list(m.index) == ["p", "q"]
    y = nl.softmax_from(frame, m, r)
    assert list(y.columns) == ["a", "b"]
    np.testing.assert_allclose(y, nl.softmax(frame), rtol=1e-15)


@pytest.mark.parametrize("f", [nl.logsumexp_partial, *WHOLE], ids=lambda f: f.__name__)
def test_axis_errors_of_pieces(f: Callable[..., Any]) -> None:
    pair = () if f is nl.logsumexp_partial else (np.zeros(2), np.zeros(2))
    for axis in (2, -3, 100):
        with pytest.raises(np.exceptions.AxisError):
            f(np.zeros((2, 3)), *pair, axis)
    with pytest.raises(np.exceptions.AxisError):
        f(np.zeros(()), *pair)
    for axis in (0.5, "0", None, (0, 1)):
        with pytest.raises(TypeError, match=r"axis is .*; it takes an integer$"):
            f(np.zeros((2, 3)), *pair, axis)
    with pytest.raises(ValueError, match="empty"):
        f(np.zeros((4, 0)), *pair)


def test_errors_of_pieces() -> None:
    for f in WHOLE:
        for name, pair in (("m", (np.zeros(3), 1.0)), ("r", (1.0, np.zeros((1, 2))))):
            with pytest.raises(ValueError, match=rf"{name} has shape .*; it takes that of x without the class axis, \(2,\)"):
                f(np.zeros((2, 3)), *pair)
        with pytest.raises(ValueError, match="out has shape"):
            f(np.zeros((2, 3)), 0, 0, out=np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"broadcast|mismatch|shape"):
        nl.logsumexp_merge(np.zeros(2), np.ones(2), np.zeros(3), np.ones(3))
    with pytest.raises(ValueError, match=r"broadcast|mismatch|shape"):
        nl.logsumexp_finish(np.zeros(2), np.ones(3))
    for dtype in ("F", "D", "O", "U3"):
        bad = np.zeros((2, 3), dtype)
        for f, count in ((nl.logsumexp_partial, 1), (nl.logsumexp_merge, 4), (nl.logsumexp_finish, 2)):
            with pytest.raises(TypeError):
                f(*[bad] * count)
        for f in WHOLE:
            for arguments_of in ((bad, 0.0, 0.0), (np.zeros((2, 3)), bad[:, 0], 0.0), (np.zeros((2, 3)), 0.0, bad[:, 0])):
                with pytest.raises(TypeError):
                    f(*arguments_of)


@all_dtypes
def test_no_floating_point_flags_of_pieces(dtype: np.dtype) -> None:
    nasty = np.concatenate([special_values(dtype.type), [NAN]]).astype(dtype)
    square = np.stack([np.roll(nasty, i) for i in range(nasty.size)])
    beyond = np.where(np.arange(nasty.size) % 2, 1e300, 1e-300)  # of float32
    with np.errstate(all="raise"):
        for axis in (0, 1):
            m, r = nl.logsumexp_partial(square, axis)
            nl.logsumexp_finish(*nl.logsumexp_merge(m, r, nasty, nasty))
            for f in WHOLE:
                f(square, m, r, axis)
                f(square, nasty, nasty[::-1], axis)
                f(square, beyond, -beyond[::-1], axis)
        nl.logsumexp_finish(*nl.logsumexp_merge(square, square.T, nasty, nasty[::-1]))


@pytest.mark.parametrize("shape", [(3000, 100), (2, 150_000)])
def test_thread_count_does_not_change_pieces(shape: tuple[int, int], rng: np.random.Generator) -> None:
    for dtype in (np.float32, np.float64):
        x = rng.standard_normal(shape).astype(dtype)
        results = []
        for threads in (1, 2, 3, 4):
            nl.set_num_threads(threads)
            pair = nl.logsumexp_partial(x)
            results.append(
                (*pair, *nl.logsumexp_partial(x, 0), *nl.logsumexp_merge(x, x, x[:1], x[:1]), *(f(x, *pair) for f in WHOLE))
            )
        for result in results[1:]:
            assert_same_bits(result, results[0])
