"""Written by `make stubs`."""

from typing import Any, Literal, Unpack, overload, type_check_only

import numpy
from numpy.typing import DTypeLike, NDArray

from ._typing import Beside, BinaryUfunc, Doubles, DType, F, Keywords, Parameter, RealLike, Rows, Scalar, Ufunc

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

@type_check_only
class _OfX(Ufunc):  # type: ignore[misc]
    @overload
    def __call__(
        self, x: Scalar[F], out: None = None, *, dtype: DType[F] | None = None, **kwargs: Unpack[Keywords]
    ) -> F: ...
    @overload
    def __call__(
        self, x: Rows[F], out: NDArray[F] | None = None, *, dtype: DType[F] | None = None, **kwargs: Unpack[Keywords]
    ) -> NDArray[F]: ...
    @overload
    def __call__(
        self, x: RealLike, out: Any = None, *, dtype: DTypeLike | None = None, **kwargs: Unpack[Keywords]
    ) -> Any: ...

@type_check_only
class _OfGradX(BinaryUfunc):  # type: ignore[misc]
    @overload
    def __call__(
        self, grad: Scalar[F], x: Scalar[F], out: None = None, *, dtype: DType[F] | None = None, **kwargs: Unpack[Keywords]
    ) -> F: ...
    @overload
    def __call__(
        self,
        grad: Beside[F],
        x: NDArray[F],
        out: NDArray[F] | None = None,
        *,
        dtype: DType[F] | None = None,
        **kwargs: Unpack[Keywords],
    ) -> NDArray[F]: ...
    @overload
    def __call__(
        self,
        grad: Doubles,
        x: Rows[numpy.float64],
        out: NDArray[numpy.float64] | None = None,
        *,
        dtype: DType[numpy.float64] | None = None,
        **kwargs: Unpack[Keywords],
    ) -> NDArray[numpy.float64]: ...
    @overload
    def __call__(
        self, grad: RealLike, x: RealLike, out: Any = None, *, dtype: DTypeLike | None = None, **kwargs: Unpack[Keywords]
    ) -> Any: ...

@type_check_only
class _OfGradY(BinaryUfunc):  # type: ignore[misc]
    @overload
    def __call__(
        self, grad: Scalar[F], y: Scalar[F], out: None = None, *, dtype: DType[F] | None = None, **kwargs: Unpack[Keywords]
    ) -> F: ...
    @overload
    def __call__(
        self,
        grad: Beside[F],
        y: NDArray[F],
        out: NDArray[F] | None = None,
        *,
        dtype: DType[F] | None = None,
        **kwargs: Unpack[Keywords],
    ) -> NDArray[F]: ...
    @overload
    def __call__(
        self,
        grad: Doubles,
        y: Rows[numpy.float64],
        out: NDArray[numpy.float64] | None = None,
        *,
        dtype: DType[numpy.float64] | None = None,
        **kwargs: Unpack[Keywords],
    ) -> NDArray[numpy.float64]: ...
    @overload
    def __call__(
        self, grad: RealLike, y: RealLike, out: Any = None, *, dtype: DTypeLike | None = None, **kwargs: Unpack[Keywords]
    ) -> Any: ...

@type_check_only
class _OfGateUp(BinaryUfunc):  # type: ignore[misc]
    @overload
    def __call__(
        self, gate: Scalar[F], up: Scalar[F], out: None = None, *, dtype: DType[F] | None = None, **kwargs: Unpack[Keywords]
    ) -> F: ...
    @overload
    def __call__(
        self,
        gate: Beside[F],
        up: NDArray[F],
        out: NDArray[F] | None = None,
        *,
        dtype: DType[F] | None = None,
        **kwargs: Unpack[Keywords],
    ) -> NDArray[F]: ...
    @overload
    def __call__(
        self,
        gate: Doubles,
        up: Rows[numpy.float64],
        out: NDArray[numpy.float64] | None = None,
        *,
        dtype: DType[numpy.float64] | None = None,
        **kwargs: Unpack[Keywords],
    ) -> NDArray[numpy.float64]: ...
    @overload
    def __call__(
        self, gate: RealLike, up: RealLike, out: Any = None, *, dtype: DTypeLike | None = None, **kwargs: Unpack[Keywords]
    ) -> Any: ...

@type_check_only
class _OfGradGateUp(Ufunc):  # type: ignore[misc]
    @overload
    def __call__(
        self,
        grad: Scalar[F],
        gate: Scalar[F],
        up: Scalar[F],
        out: None = None,
        *,
        dtype: DType[F] | None = None,
        **kwargs: Unpack[Keywords],
    ) -> tuple[F, F]: ...
    @overload
    def __call__(
        self,
        grad: Beside[F],
        gate: Beside[F],
        up: NDArray[F],
        out: tuple[NDArray[F], NDArray[F]] | None = None,
        *,
        dtype: DType[F] | None = None,
        **kwargs: Unpack[Keywords],
    ) -> tuple[NDArray[F], NDArray[F]]: ...
    @overload
    def __call__(
        self,
        grad: Doubles,
        gate: Doubles,
        up: Rows[numpy.float64],
        out: tuple[NDArray[numpy.float64], NDArray[numpy.float64]] | None = None,
        *,
        dtype: DType[numpy.float64] | None = None,
        **kwargs: Unpack[Keywords],
    ) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64]]: ...
    @overload
    def __call__(
        self,
        grad: RealLike,
        gate: RealLike,
        up: RealLike,
        out: Any = None,
        *,
        dtype: DTypeLike | None = None,
        **kwargs: Unpack[Keywords],
    ) -> tuple[Any, Any]: ...

@overload
def celu(
    x: Scalar[F], alpha: Parameter = 1.0, *, out: None = None, dtype: DType[F] | None = None, **kwargs: Unpack[Keywords]
) -> F: ...
@overload
def celu(
    x: Rows[F],
    alpha: Parameter | NDArray[F] = 1.0,
    *,
    out: NDArray[F] | None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[F]: ...
@overload
def celu(
    x: RealLike, alpha: RealLike = 1.0, *, out: Any = None, dtype: DTypeLike | None = None, **kwargs: Unpack[Keywords]
) -> Any: ...
@overload
def celu_backward(
    grad: Scalar[F],
    x: Scalar[F],
    alpha: Parameter = 1.0,
    *,
    out: None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> F: ...
@overload
def celu_backward(
    grad: Beside[F],
    x: NDArray[F],
    alpha: Parameter | NDArray[F] = 1.0,
    *,
    out: NDArray[F] | None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[F]: ...
@overload
def celu_backward(
    grad: Doubles,
    x: Rows[numpy.float64],
    alpha: Parameter | NDArray[numpy.float64] = 1.0,
    *,
    out: NDArray[numpy.float64] | None = None,
    dtype: DType[numpy.float64] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[numpy.float64]: ...
@overload
def celu_backward(
    grad: RealLike,
    x: RealLike,
    alpha: RealLike = 1.0,
    *,
    out: Any = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Keywords],
) -> Any: ...
@overload
def elu(
    x: Scalar[F], alpha: Parameter = 1.0, *, out: None = None, dtype: DType[F] | None = None, **kwargs: Unpack[Keywords]
) -> F: ...
@overload
def elu(
    x: Rows[F],
    alpha: Parameter | NDArray[F] = 1.0,
    *,
    out: NDArray[F] | None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[F]: ...
@overload
def elu(
    x: RealLike, alpha: RealLike = 1.0, *, out: Any = None, dtype: DTypeLike | None = None, **kwargs: Unpack[Keywords]
) -> Any: ...
@overload
def elu_backward(
    grad: Scalar[F],
    x: Scalar[F],
    alpha: Parameter = 1.0,
    *,
    out: None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> F: ...
@overload
def elu_backward(
    grad: Beside[F],
    x: NDArray[F],
    alpha: Parameter | NDArray[F] = 1.0,
    *,
    out: NDArray[F] | None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[F]: ...
@overload
def elu_backward(
    grad: Doubles,
    x: Rows[numpy.float64],
    alpha: Parameter | NDArray[numpy.float64] = 1.0,
    *,
    out: NDArray[numpy.float64] | None = None,
    dtype: DType[numpy.float64] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[numpy.float64]: ...
@overload
def elu_backward(
    grad: RealLike,
    x: RealLike,
    alpha: RealLike = 1.0,
    *,
    out: Any = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Keywords],
) -> Any: ...

geglu: _OfGateUp
"""Gated linear unit with exact gelu, ``gelu(gate) * up``."""
geglu_backward: _OfGradGateUp
"""Gradient of geglu."""

@overload
def gelu(
    x: Scalar[F],
    approximate: Literal["none", "tanh"] = "none",
    *,
    out: None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> F: ...
@overload
def gelu(
    x: Rows[F],
    approximate: Literal["none", "tanh"] = "none",
    *,
    out: NDArray[F] | None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[F]: ...
@overload
def gelu(
    x: RealLike,
    approximate: Literal["none", "tanh"] = "none",
    *,
    out: Any = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Keywords],
) -> Any: ...
@overload
def gelu_backward(
    grad: Scalar[F],
    x: Scalar[F],
    approximate: Literal["none", "tanh"] = "none",
    *,
    out: None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> F: ...
@overload
def gelu_backward(
    grad: Beside[F],
    x: NDArray[F],
    approximate: Literal["none", "tanh"] = "none",
    *,
    out: NDArray[F] | None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[F]: ...
@overload
def gelu_backward(
    grad: Doubles,
    x: Rows[numpy.float64],
    approximate: Literal["none", "tanh"] = "none",
    *,
    out: NDArray[numpy.float64] | None = None,
    dtype: DType[numpy.float64] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[numpy.float64]: ...
@overload
def gelu_backward(
    grad: RealLike,
    x: RealLike,
    approximate: Literal["none", "tanh"] = "none",
    *,
    out: Any = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Keywords],
) -> Any: ...
@overload
def hard_sigmoid(
    x: Scalar[F],
    slope: Parameter = 0.16666666666666666,
    offset: Parameter = 0.5,
    *,
    out: None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> F: ...
@overload
def hard_sigmoid(
    x: Rows[F],
    slope: Parameter | NDArray[F] = 0.16666666666666666,
    offset: Parameter | NDArray[F] = 0.5,
    *,
    out: NDArray[F] | None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[F]: ...
@overload
def hard_sigmoid(
    x: RealLike,
    slope: RealLike = 0.16666666666666666,
    offset: RealLike = 0.5,
    *,
    out: Any = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Keywords],
) -> Any: ...
@overload
def hard_sigmoid_backward(
    grad: Scalar[F],
    x: Scalar[F],
    slope: Parameter = 0.16666666666666666,
    offset: Parameter = 0.5,
    *,
    out: None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> F: ...
@overload
def hard_sigmoid_backward(
    grad: Beside[F],
    x: NDArray[F],
    slope: Parameter | NDArray[F] = 0.16666666666666666,
    offset: Parameter | NDArray[F] = 0.5,
    *,
    out: NDArray[F] | None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[F]: ...
@overload
def hard_sigmoid_backward(
    grad: Doubles,
    x: Rows[numpy.float64],
    slope: Parameter | NDArray[numpy.float64] = 0.16666666666666666,
    offset: Parameter | NDArray[numpy.float64] = 0.5,
    *,
    out: NDArray[numpy.float64] | None = None,
    dtype: DType[numpy.float64] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[numpy.float64]: ...
@overload
def hard_sigmoid_backward(
    grad: RealLike,
    x: RealLike,
    slope: RealLike = 0.16666666666666666,
    offset: RealLike = 0.5,
    *,
    out: Any = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Keywords],
) -> Any: ...

hard_swish: _OfX
"""Piecewise swish, ``x * hard_sigmoid(x)``."""
hard_swish_backward: _OfGradX
"""Gradient of hard_swish."""

@overload
def hard_tanh(
    x: Scalar[F],
    min_val: Parameter = -1.0,
    max_val: Parameter = 1.0,
    *,
    out: None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> F: ...
@overload
def hard_tanh(
    x: Rows[F],
    min_val: Parameter | NDArray[F] = -1.0,
    max_val: Parameter | NDArray[F] = 1.0,
    *,
    out: NDArray[F] | None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[F]: ...
@overload
def hard_tanh(
    x: RealLike,
    min_val: RealLike = -1.0,
    max_val: RealLike = 1.0,
    *,
    out: Any = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Keywords],
) -> Any: ...
@overload
def hard_tanh_backward(
    grad: Scalar[F],
    x: Scalar[F],
    min_val: Parameter = -1.0,
    max_val: Parameter = 1.0,
    *,
    out: None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> F: ...
@overload
def hard_tanh_backward(
    grad: Beside[F],
    x: NDArray[F],
    min_val: Parameter | NDArray[F] = -1.0,
    max_val: Parameter | NDArray[F] = 1.0,
    *,
    out: NDArray[F] | None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[F]: ...
@overload
def hard_tanh_backward(
    grad: Doubles,
    x: Rows[numpy.float64],
    min_val: Parameter | NDArray[numpy.float64] = -1.0,
    max_val: Parameter | NDArray[numpy.float64] = 1.0,
    *,
    out: NDArray[numpy.float64] | None = None,
    dtype: DType[numpy.float64] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[numpy.float64]: ...
@overload
def hard_tanh_backward(
    grad: RealLike,
    x: RealLike,
    min_val: RealLike = -1.0,
    max_val: RealLike = 1.0,
    *,
    out: Any = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Keywords],
) -> Any: ...
@overload
def leaky_relu(
    x: Scalar[F],
    negative_slope: Parameter = 0.01,
    *,
    out: None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> F: ...
@overload
def leaky_relu(
    x: Rows[F],
    negative_slope: Parameter | NDArray[F] = 0.01,
    *,
    out: NDArray[F] | None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[F]: ...
@overload
def leaky_relu(
    x: RealLike,
    negative_slope: RealLike = 0.01,
    *,
    out: Any = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Keywords],
) -> Any: ...
@overload
def leaky_relu_backward(
    grad: Scalar[F],
    x: Scalar[F],
    negative_slope: Parameter = 0.01,
    *,
    out: None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> F: ...
@overload
def leaky_relu_backward(
    grad: Beside[F],
    x: NDArray[F],
    negative_slope: Parameter | NDArray[F] = 0.01,
    *,
    out: NDArray[F] | None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[F]: ...
@overload
def leaky_relu_backward(
    grad: Doubles,
    x: Rows[numpy.float64],
    negative_slope: Parameter | NDArray[numpy.float64] = 0.01,
    *,
    out: NDArray[numpy.float64] | None = None,
    dtype: DType[numpy.float64] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[numpy.float64]: ...
@overload
def leaky_relu_backward(
    grad: RealLike,
    x: RealLike,
    negative_slope: RealLike = 0.01,
    *,
    out: Any = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Keywords],
) -> Any: ...

log_sigmoid: _OfX
"""Logarithm of the logistic sigmoid, ``-log(1 + exp(-x))``."""
log_sigmoid_backward: _OfGradX
"""Gradient of log_sigmoid."""
mish: _OfX
"""Mish, ``x * tanh(softplus(x))``."""
mish_backward: _OfGradX
"""Gradient of mish."""
reglu: _OfGateUp
"""Gated linear unit with relu, ``relu(gate) * up``."""
reglu_backward: _OfGradGateUp
"""Gradient of reglu."""
relu: _OfX
"""Rectified linear unit, ``max(0, x)``."""
relu6: _OfX
"""Rectified linear unit with a ceiling, ``min(max(0, x), 6)``."""
relu6_backward: _OfGradX
"""Gradient of relu6."""
relu_backward: _OfGradX
"""Gradient of relu."""
selu: _OfX
"""Scaled ELU: ``1.0507 * (x where x > 0, else 1.6733 * (exp(x) - 1))``."""
selu_backward: _OfGradX
"""Gradient of selu."""
sigmoid: _OfX
"""Logistic sigmoid, ``1 / (1 + exp(-x))``."""
sigmoid_backward: _OfGradY
"""Gradient of sigmoid."""
silu: _OfX
"""Sigmoid linear unit (swish), ``x * sigmoid(x)``."""
silu_backward: _OfGradX
"""Gradient of silu."""

@overload
def softplus(
    x: Scalar[F], beta: Parameter = 1.0, *, out: None = None, dtype: DType[F] | None = None, **kwargs: Unpack[Keywords]
) -> F: ...
@overload
def softplus(
    x: Rows[F],
    beta: Parameter | NDArray[F] = 1.0,
    *,
    out: NDArray[F] | None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[F]: ...
@overload
def softplus(
    x: RealLike, beta: RealLike = 1.0, *, out: Any = None, dtype: DTypeLike | None = None, **kwargs: Unpack[Keywords]
) -> Any: ...
@overload
def softplus_backward(
    grad: Scalar[F],
    x: Scalar[F],
    beta: Parameter = 1.0,
    *,
    out: None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> F: ...
@overload
def softplus_backward(
    grad: Beside[F],
    x: NDArray[F],
    beta: Parameter | NDArray[F] = 1.0,
    *,
    out: NDArray[F] | None = None,
    dtype: DType[F] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[F]: ...
@overload
def softplus_backward(
    grad: Doubles,
    x: Rows[numpy.float64],
    beta: Parameter | NDArray[numpy.float64] = 1.0,
    *,
    out: NDArray[numpy.float64] | None = None,
    dtype: DType[numpy.float64] | None = None,
    **kwargs: Unpack[Keywords],
) -> NDArray[numpy.float64]: ...
@overload
def softplus_backward(
    grad: RealLike,
    x: RealLike,
    beta: RealLike = 1.0,
    *,
    out: Any = None,
    dtype: DTypeLike | None = None,
    **kwargs: Unpack[Keywords],
) -> Any: ...

softsign: _OfX
"""Softsign, ``x / (1 + |x|)``."""
softsign_backward: _OfGradX
"""Gradient of softsign."""
swiglu: _OfGateUp
"""Gated linear unit with silu, ``silu(gate) * up``."""
swiglu_backward: _OfGradGateUp
"""Gradient of swiglu."""
tanh: _OfX
"""Hyperbolic tangent."""
tanh_backward: _OfGradY
"""Gradient of tanh."""
