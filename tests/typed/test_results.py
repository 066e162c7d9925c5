"""The types of results."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import nonlin as nl
from nonlin.testing import fingerprint, numerical_gradient

from . import assert_type

half: NDArray[np.float16] = np.ones((2, 3), np.float16)
single: NDArray[np.float32] = np.ones((2, 3), np.float32)
double: NDArray[np.float64] = np.ones((2, 3))
integers: NDArray[np.int64] = np.ones((2, 3), np.int64)
booleans: NDArray[np.bool] = np.ones((2, 3), np.bool)
matrix = np.ones((2, 3), np.float32)  # whose type has a shape
unknown: NDArray[Any] = single
lists = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
classes: NDArray[np.int64] = np.array([0, 1])


def test_one_operand() -> None:
    assert_type(nl.relu(half), NDArray[np.float16])
    assert_type(nl.relu(single), NDArray[np.float32])
    assert_type(nl.relu(double), NDArray[np.float64])
    assert_type(nl.relu(matrix), NDArray[np.float32])
    assert_type(nl.relu(integers), NDArray[np.float64])
    assert_type(nl.relu(booleans), NDArray[np.float64])
    assert_type(nl.relu(lists), NDArray[np.float64])
    assert_type(nl.relu(x=(1.0, 2.0)), NDArray[np.float64])
    assert_type(nl.relu([[[[1.0]]]]), NDArray[np.float64])
    array: NDArray[Any] = nl.relu(unknown)
    assert array.dtype == np.float32


def test_scalars() -> None:
    assert_type(nl.silu(1.0), np.float64)
    assert_type(nl.silu(1), np.float64)
    assert_type(nl.silu(np.int8(1)), np.float64)
    assert_type(nl.silu(np.float16(1)), np.float16)
    assert_type(nl.silu(np.float32(1)), np.float32)
    assert_type(nl.elu(np.float32(1), alpha=np.float64(2)), np.float32)
    assert_type(nl.silu_backward(1.0, np.float32(1)), np.float32)
    assert_type(nl.swiglu(1.0, 2.0), np.float64)


def test_other_arrays() -> None:
    assert_type(nl.relu([single, single]), Any)

    class Other:
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float32]:
            return single

    assert_type(nl.relu(Other()), Any)
    assert_type(nl.softmax(Other()), Any)
    assert_type(nl.cross_entropy(Other(), classes), Any)
    assert_type(nl.cross_entropy_with_grad(Other(), classes), tuple[Any, Any])


def test_options_of_ufuncs() -> None:
    assert_type(nl.tanh(single, out=single), NDArray[np.float32])
    assert_type(nl.tanh(single, single), NDArray[np.float32])
    assert_type(nl.tanh(single, out=np.empty_like(single), where=booleans), NDArray[np.float32])
    assert_type(nl.tanh(integers, dtype=np.float32, casting="unsafe"), NDArray[np.float32])
    assert_type(nl.tanh(1.0, dtype=np.float32), np.float32)
    assert_type(nl.tanh(double, dtype="f4", casting="same_kind"), Any)
    assert_type(nl.elu(single, out=single, where=booleans), NDArray[np.float32])
    assert_type(nl.tanh.nin, int)


def test_parameters() -> None:
    assert_type(nl.leaky_relu(single, 0.2), NDArray[np.float32])
    assert_type(nl.leaky_relu(single, np.float64(0.2)), NDArray[np.float32])
    assert_type(nl.leaky_relu(single, negative_slope=np.ones(3, np.float32)), NDArray[np.float32])
    assert_type(nl.leaky_relu(single, [0.1, 0.2, 0.3]), Any)
    assert_type(nl.hard_tanh(lists, -2, 2), NDArray[np.float64])
    assert_type(nl.gelu(single, approximate="tanh"), NDArray[np.float32])
    form: Literal["none", "tanh"] = "none"
    assert_type(nl.gelu_backward(1.0, half, form), NDArray[np.float16])


def test_several_operands() -> None:
    assert_type(nl.relu_backward(single, single), NDArray[np.float32])
    assert_type(nl.relu_backward(1.0, single), NDArray[np.float32])
    assert_type(nl.relu_backward(np.float32(1), single), NDArray[np.float32])
    assert_type(nl.relu_backward(1, lists), NDArray[np.float64])
    assert_type(nl.relu_backward(integers, double), NDArray[np.float64])
    assert_type(nl.relu_backward([1.0, 2.0, 3.0], single), Any)
    assert_type(nl.tanh_backward(grad=single, y=single), NDArray[np.float32])
    assert_type(nl.softplus_backward(single, single, beta=2), NDArray[np.float32])
    assert_type(nl.geglu(gate=half, up=half), NDArray[np.float16])
    assert_type(nl.swiglu_backward(1.0, single, single), tuple[NDArray[np.float32], NDArray[np.float32]])
    assert_type(nl.swiglu_backward(single, single, up=single, out=(single, single.copy()))[0], NDArray[np.float32])
    assert_type(nl.swiglu_backward(1.0, 1.0, 1.0), tuple[np.float64, np.float64])


def test_methods_of_ufuncs() -> None:
    assert_type(nl.swiglu.outer(single, single), NDArray[np.float32])
    assert_type(nl.swiglu.accumulate(single, axis=1), NDArray[np.float32])
    assert_type(nl.swiglu.reduceat(single, [0, 1], out=None), NDArray[np.float32])
    assert_type(nl.swiglu.reduce(single), Any)
    assert nl.relu.at(single.copy(), [0]) is None  # type: ignore[func-returns-value]
    ufunc: np.ufunc = nl.relu
    assert ufunc is nl.relu


def test_rows() -> None:
    assert_type(nl.softmax(single), NDArray[np.float32])
    assert_type(nl.softmax(half, axis=(0, 1), scale=0.5, where=booleans, out=half.copy()), NDArray[np.float16])
    assert_type(nl.log_softmax(lists, axis=None), NDArray[np.float64])
    assert_type(nl.log_softmax(integers), NDArray[np.float64])
    assert_type(nl.softmax_backward(single, single), NDArray[np.float32])
    assert_type(nl.softmax_backward(lists, lists), NDArray[np.float64])
    assert_type(nl.softmax_backward(double, single), Any)  # type: ignore[assert-type]  # mypy says what both have in common
    assert_type(nl.logsumexp_backward([1.0, 2.0], double), NDArray[np.float64])
    assert_type(nl.softmax_jacobian(half), NDArray[np.float16])


def test_sums() -> None:
    assert_type(nl.logsumexp(single, axis=None), np.float32)
    assert_type(nl.logsumexp(lists, None), np.float64)
    assert_type(nl.logsumexp(single, keepdims=True), NDArray[np.float32])
    assert_type(nl.logsumexp(single), Any)
    assert_type(nl.logsumexp(single, axis=None, b=double), Any)
    assert_type(nl.logsumexp(single, return_sign=True), tuple[Any, Any])


def test_rows_in_pieces() -> None:
    m, r = assert_type(nl.logsumexp_partial(single), tuple[Any, Any])
    m, r = assert_type(nl.logsumexp_merge(m, r, m, r), tuple[Any, Any])
    assert_type(nl.logsumexp_finish(m, r), Any)
    assert_type(nl.softmax_from(single, m, r), NDArray[np.float32])


def test_losses() -> None:
    assert_type(nl.cross_entropy(single, classes), np.float32)
    assert_type(nl.cross_entropy(double, [0, 1], reduction="sum"), np.float64)
    assert_type(nl.cross_entropy(lists, classes, weight=[1, 2, 3]), np.float64)
    assert_type(nl.cross_entropy(single, classes, reduction="none"), NDArray[np.float32])
    assert_type(nl.cross_entropy(integers, classes, reduction="none"), NDArray[np.float64])
    assert_type(nl.cross_entropy(half, classes), Any)  # float32
    assert_type(nl.cross_entropy(unknown, classes), Any)
    assert_type(nl.cross_entropy_backward(1.0, half, classes), NDArray[np.float16])
    assert_type(nl.cross_entropy_with_grad(single, classes), tuple[np.float32, NDArray[np.float32]])
    assert_type(
        nl.cross_entropy_with_grad(single, classes, reduction="none", out=single.copy()),
        tuple[NDArray[np.float32], NDArray[np.float32]],
    )
    assert_type(nl.binary_cross_entropy(single, booleans), np.float32)
    assert_type(nl.kl_divergence(single, single), np.float32)
    assert_type(nl.kl_divergence(integers, single), Any)


def test_reductions_in_a_variable() -> None:
    def loss(reduction: Literal["mean", "sum", "none"]) -> np.float32 | NDArray[np.float32]:
        return nl.cross_entropy(single, classes, reduction=reduction)

    assert isinstance(loss("none"), np.ndarray)


def test_linear_losses() -> None:
    weight: NDArray[np.float32] = np.ones((2, 3), np.float32)
    assert_type(nl.linear_cross_entropy(single, weight, classes), np.float32)
    assert_type(nl.linear_cross_entropy(single, weight, classes, bias=weight[:, 0], reduction="none"), NDArray[np.float32])
    loss, (grad_x, grad_weight, _) = nl.linear_cross_entropy_with_grad(single, weight, classes)
    assert_type(loss, np.float32)
    assert_type(grad_x, NDArray[np.float32])
    assert_type(grad_weight, NDArray[np.float32])
    assert_type(nl.linear_cross_entropy_backward(1.0, single, weight, classes)[0], NDArray[np.float32])


def test_runtime() -> None:
    assert_type(nl.get_num_threads(), int)
    assert_type(nl.simd_targets()[0], str)
    with nl.reuse_buffers(max_bytes=0) as buffers:
        assert_type(buffers, nl.reuse_buffers)


def test_testing() -> None:
    assert_type(numerical_gradient(np.square, single), NDArray[np.float32])
    assert_type(numerical_gradient(np.square, [1, 2]), NDArray[np.float64])
    assert_type(numerical_gradient(np.square, 1.0), np.float64)
    assert_type(fingerprint("relu"), str)
