"""Hypothesis over shapes, axes, strides and values."""

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ml_dtypes import finfo

import nonlin as nl
from nonlin import reference

from .oracle import FUNCTIONS, Function, as_tuple, assert_same_bits

DTYPES = st.sampled_from([np.float32, np.float64])
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=9)
quick = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def arrays(draw: Any, elements: Any = None) -> np.ndarray:
    """An array of any values, in any memory layout."""
    dtype = draw(DTYPES)
    width = 8 * np.dtype(dtype).itemsize
    x = draw(hnp.arrays(dtype, SHAPES, elements=st.floats(width=width) if elements is None else elements))
    x = x.transpose(draw(st.permutations(range(x.ndim))))
    return x[tuple(slice(None, None, draw(st.sampled_from([1, 1, -1, 2]))) for _ in x.shape)]


moderate = st.floats(-50, 50, width=32)


@quick
@given(x=arrays(), f=st.sampled_from(list(FUNCTIONS.values())))
def test_layout_does_not_matter(x: np.ndarray, f: Function) -> None:
    given = [x] * len(f.inputs)
    plain = [np.ascontiguousarray(a) for a in given]
    y = f.public(*given)
    assert_same_bits(y, f.public(*plain))
    assert all(np.shape(v) == x.shape for v in as_tuple(y))


@quick
@given(x=arrays(), f=st.sampled_from([f for f in FUNCTIONS.values() if len(f.inputs) > 1]), data=st.data())
def test_broadcasting_is_numpys(x: np.ndarray, f: Function, data: st.DataObject) -> None:
    count = len(f.inputs) - 1
    others = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=count, base_shape=x.shape, max_dims=4, max_side=9))
    given = [x, *(np.resize(x, shape) for shape in others.input_shapes)]
    assert_same_bits(f.public(*given), f.public(*np.broadcast_arrays(*given)))


@quick
@given(x=arrays(moderate), data=st.data())
def test_rows(x: np.ndarray, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    tolerance = {"rtol": 40 * finfo(x.dtype).eps, "atol": 8 * finfo(x.dtype).eps}
    for name in ("softmax", "log_softmax", "logsumexp"):
        y = getattr(nl, name)(x, axis)
        assert y.dtype == x.dtype
        np.testing.assert_allclose(y, getattr(reference, name)(x.astype(np.float64), axis), **tolerance)
    np.testing.assert_allclose(nl.softmax(x, axis).sum(axis), 1, rtol=20 * finfo(x.dtype).eps)


@quick
@given(x=arrays(moderate), data=st.data())
def test_rows_with_where(x: np.ndarray, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    mask = data.draw(hnp.broadcastable_shapes(x.shape, max_dims=x.ndim).filter(lambda s: len(s) <= x.ndim))
    assume(np.broadcast_shapes(mask, x.shape) == x.shape)
    where = data.draw(hnp.arrays(bool, mask))
    tolerance = {"rtol": 40 * finfo(x.dtype).eps, "atol": 8 * finfo(x.dtype).eps}
    for name in ("softmax", "log_softmax", "logsumexp"):
        expected = getattr(reference, name)(x.astype(np.float64), axis, where=where)
        np.testing.assert_allclose(getattr(nl, name)(x, axis, where=where), expected, **tolerance)


@quick
@given(x=arrays(moderate), data=st.data())
def test_cross_entropy(x: np.ndarray, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    classes = x.shape[axis]
    rows = x.shape[: axis % x.ndim] + x.shape[axis % x.ndim + 1 :]
    targets = data.draw(hnp.arrays(np.int32, rows, elements=st.integers(-1, classes - 1)))
    o: dict[str, Any] = {
        "axis": axis,
        "ignore_index": -1,
        "weight": data.draw(st.none() | hnp.arrays(x.dtype, classes, elements=st.floats(0.125, 8, width=32))),
        "label_smoothing": data.draw(st.sampled_from([0.0, 0.25, 1.0])),
        "z_loss": data.draw(st.sampled_from([0.0, 0.125])),
        "reduction": data.draw(st.sampled_from(["mean", "sum", "none"])),
    }
    loss, grad = nl.cross_entropy_with_grad(x, targets, **o)
    exact_loss, exact_grad = reference.cross_entropy_with_grad(x.astype(np.float64), targets, **o)
    eps = finfo(x.dtype).eps
    np.testing.assert_allclose(loss, exact_loss, rtol=64 * eps, atol=64 * eps)
    largest = np.max(np.abs(exact_grad), initial=1)
    np.testing.assert_allclose(grad, exact_grad, rtol=64 * eps, atol=64 * eps * largest)


@quick
@given(x=arrays(moderate), shift=st.integers(-1000, 1000))
def test_softmax_of_shifted_integers_is_the_same(x: np.ndarray, shift: int) -> None:
    x = np.rint(x)
    y = nl.softmax(x)
    float_type = finfo(x.dtype)
    tolerances = {"rtol": 8 * float_type.eps, "atol": 8 * float(float_type.smallest_subnormal)}
    np.testing.assert_allclose(nl.softmax(x + x.dtype.type(shift)), y, **tolerances)
    np.testing.assert_array_equal(np.argmax(y, -1), np.argmax(x, -1))
