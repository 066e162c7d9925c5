"""Written by `make stubs`."""

from typing import Any

import numpy
import numpy.typing
from numpy.typing import ArrayLike

__all__ = [
    "celu",
    "celu_backward",
    "elu",
    "elu_backward",
    "geglu",
    "geglu_backward",
    "gelu",
    "gelu_backward",
    "hard_sigmoid",
    "hard_sigmoid_backward",
    "hard_swish",
    "hard_swish_backward",
    "hard_tanh",
    "hard_tanh_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "log_sigmoid",
    "log_sigmoid_backward",
    "mish",
    "mish_backward",
    "reglu",
    "reglu_backward",
    "relu",
    "relu6",
    "relu6_backward",
    "relu_backward",
    "selu",
    "selu_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softplus",
    "softplus_backward",
    "softsign",
    "softsign_backward",
    "swiglu",
    "swiglu_backward",
    "tanh",
    "tanh_backward",
]

def celu(x: ArrayLike, alpha: ArrayLike = 1.0, **kwargs: Any) -> Any: ...
def celu_backward(grad: ArrayLike, x: ArrayLike, alpha: ArrayLike = 1.0, **kwargs: Any) -> Any: ...
def elu(x: ArrayLike, alpha: ArrayLike = 1.0, **kwargs: Any) -> Any: ...
def elu_backward(grad: ArrayLike, x: ArrayLike, alpha: ArrayLike = 1.0, **kwargs: Any) -> Any: ...

geglu: numpy.ufunc
geglu_backward: numpy.ufunc

def gelu(x: ArrayLike, approximate: str = "none", **kwargs: Any) -> Any: ...
def gelu_backward(grad: ArrayLike, x: ArrayLike, approximate: str = "none", **kwargs: Any) -> Any: ...
def hard_sigmoid(x: ArrayLike, slope: ArrayLike = 0.16666666666666666, offset: ArrayLike = 0.5, **kwargs: Any) -> Any: ...
def hard_sigmoid_backward(
    grad: ArrayLike, x: ArrayLike, slope: ArrayLike = 0.16666666666666666, offset: ArrayLike = 0.5, **kwargs: Any
) -> Any: ...

hard_swish: numpy.ufunc
hard_swish_backward: numpy.ufunc

def hard_tanh(x: ArrayLike, min_val: ArrayLike = -1.0, max_val: ArrayLike = 1.0, **kwargs: Any) -> Any: ...
def hard_tanh_backward(
    grad: ArrayLike, x: ArrayLike, min_val: ArrayLike = -1.0, max_val: ArrayLike = 1.0, **kwargs: Any
) -> Any: ...
def leaky_relu(x: ArrayLike, negative_slope: ArrayLike = 0.01, **kwargs: Any) -> Any: ...
def leaky_relu_backward(grad: ArrayLike, x: ArrayLike, negative_slope: ArrayLike = 0.01, **kwargs: Any) -> Any: ...

log_sigmoid: numpy.ufunc
log_sigmoid_backward: numpy.ufunc
mish: numpy.ufunc
mish_backward: numpy.ufunc
reglu: numpy.ufunc
reglu_backward: numpy.ufunc
relu: numpy.ufunc
relu6: numpy.ufunc
relu6_backward: numpy.ufunc
relu_backward: numpy.ufunc
selu: numpy.ufunc
selu_backward: numpy.ufunc
sigmoid: numpy.ufunc
sigmoid_backward: numpy.ufunc
silu: numpy.ufunc
silu_backward: numpy.ufunc

def softplus(x: ArrayLike, beta: ArrayLike = 1.0, **kwargs: Any) -> Any: ...
def softplus_backward(grad: ArrayLike, x: ArrayLike, beta: ArrayLike = 1.0, **kwargs: Any) -> Any: ...

softsign: numpy.ufunc
softsign_backward: numpy.ufunc
swiglu: numpy.ufunc
swiglu_backward: numpy.ufunc
tanh: numpy.ufunc
tanh_backward: numpy.ufunc
