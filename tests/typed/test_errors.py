"""What type checkers refuse, and so does the library."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

import nonlin as nl

x: NDArray[np.float32] = np.ones((2, 3), np.float32)
complex_numbers: NDArray[np.complex128] = np.ones((2, 3), complex)
strings: NDArray[np.str_] = np.array(["a"])


def refused(call: Callable[[], object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        call()


def test_operands() -> None:
    refused(lambda: nl.relu("abc"))  # type: ignore[arg-type]
    refused(lambda: nl.relu(None))  # type: ignore[call-overload]
    refused(lambda: nl.relu(1j))  # type: ignore[call-overload]
    refused(lambda: nl.relu(complex_numbers))  # type: ignore[type-var]
    refused(lambda: nl.relu(strings))  # type: ignore[type-var]
    refused(lambda: nl.relu())  # type: ignore[call-overload]
    refused(lambda: nl.relu(y=x))  # type: ignore[call-overload]
    refused(lambda: nl.relu_backward(x))  # type: ignore[call-overload]
    refused(lambda: nl.sigmoid_backward(grad=x, x=x))  # type: ignore[call-overload]
    refused(lambda: nl.elu(x, "abc"))  # type: ignore[arg-type]
    refused(lambda: nl.softmax("abc"))  # type: ignore[arg-type]
    refused(lambda: nl.cross_entropy("abc", [0]))  # type: ignore[arg-type]
    refused(lambda: nl.cross_entropy(x, "abc"))  # type: ignore[arg-type]


def test_options() -> None:
    refused(lambda: nl.gelu(x, approximate="erf"))  # type: ignore[call-overload]
    refused(lambda: nl.gelu_backward(x, x, "erf"))  # type: ignore[call-overload]
    refused(lambda: nl.cross_entropy(x, [0, 1], reduction="avg"))  # type: ignore[call-overload]
    refused(lambda: nl.cross_entropy(x, [0, 1], reduction=None))  # type: ignore[call-overload]
    refused(lambda: nl.cross_entropy_with_grad(x, [0, 1], reduction="batchmean"))  # type: ignore[call-overload]
    refused(lambda: nl.linear_cross_entropy(x, x, [0, 1], reduction="avg"))  # type: ignore[call-overload]
    refused(lambda: nl.cross_entropy(x, [0, 1], -1))  # type: ignore[call-overload]
    refused(lambda: nl.cross_entropy(x, [0, 1], label_smoothing="0.1"))  # type: ignore[call-overload]
    refused(lambda: nl.softmax(x, axis="rows"))  # type: ignore[call-overload]
    refused(lambda: nl.softmax(x, axis=1.0))  # type: ignore[call-overload]
    refused(lambda: nl.relu(x, casting="anything"))  # type: ignore[call-overload]
    refused(lambda: nl.relu(x, axis=0))  # type: ignore[call-overload]
    refused(lambda: nl.set_num_threads(1.5))  # type: ignore[arg-type]


def test_methods() -> None:
    refused(lambda: nl.relu.reduce(x))  # type: ignore[arg-type]
    refused(lambda: nl.relu.outer(x, x))  # type: ignore[call-arg, arg-type]
    refused(lambda: nl.swiglu_backward.accumulate(x))  # type: ignore[arg-type]
