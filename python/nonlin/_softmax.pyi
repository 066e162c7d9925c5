"""Written by `make stubs`."""

from typing import Any, Literal, overload

import numpy
from numpy.typing import NDArray

from ._typing import Axis, Beside, Doubles, F, RealLike, Rows

__all__ = [
    "log_softmax",
    "log_softmax_backward",
    "log_softmax_from",
    "log_softmax_jacobian",
    "logsumexp",
    "logsumexp_backward",
    "logsumexp_finish",
    "logsumexp_merge",
    "logsumexp_partial",
    "softmax",
    "softmax_backward",
    "softmax_from",
    "softmax_jacobian",
]

@overload
def log_softmax(
    x: Rows[F], axis: Axis = -1, *, scale: float = 1.0, where: RealLike | None = None, out: NDArray[F] | None = None
) -> NDArray[F]: ...
@overload
def log_softmax(
    x: RealLike, axis: Axis = -1, *, scale: float = 1.0, where: RealLike | None = None, out: NDArray[Any] | None = None
) -> Any: ...
@overload
def log_softmax_backward(
    grad: Beside[F],
    y: NDArray[F],
    axis: Axis = -1,
    *,
    scale: float = 1.0,
    where: RealLike | None = None,
    out: NDArray[F] | None = None,
) -> NDArray[F]: ...
@overload
def log_softmax_backward(
    grad: Doubles,
    y: Rows[numpy.float64],
    axis: Axis = -1,
    *,
    scale: float = 1.0,
    where: RealLike | None = None,
    out: NDArray[numpy.float64] | None = None,
) -> NDArray[numpy.float64]: ...
@overload
def log_softmax_backward(
    grad: RealLike,
    y: RealLike,
    axis: Axis = -1,
    *,
    scale: float = 1.0,
    where: RealLike | None = None,
    out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def log_softmax_from(
    x: Rows[F], m: RealLike, r: RealLike, axis: int = -1, *, out: NDArray[F] | None = None
) -> NDArray[F]: ...
@overload
def log_softmax_from(x: RealLike, m: RealLike, r: RealLike, axis: int = -1, *, out: NDArray[Any] | None = None) -> Any: ...
@overload
def log_softmax_jacobian(y: Rows[F], axis: int = -1) -> NDArray[F]: ...
@overload
def log_softmax_jacobian(y: RealLike, axis: int = -1) -> Any: ...
@overload
def logsumexp(
    x: Rows[F],
    axis: None,
    *,
    b: None = None,
    keepdims: Literal[False] = False,
    return_sign: Literal[False] = False,
    where: RealLike | None = None,
    out: None = None,
) -> F: ...
@overload
def logsumexp(
    x: Rows[F],
    axis: Axis = -1,
    *,
    b: None = None,
    keepdims: Literal[True],
    return_sign: Literal[False] = False,
    where: RealLike | None = None,
    out: NDArray[F] | None = None,
) -> NDArray[F]: ...
@overload
def logsumexp(
    x: RealLike,
    axis: Axis = -1,
    *,
    b: RealLike | None = None,
    keepdims: bool = False,
    return_sign: Literal[True],
    where: RealLike | None = None,
    out: NDArray[Any] | None = None,
) -> tuple[Any, Any]: ...
@overload
def logsumexp(
    x: RealLike,
    axis: Axis = -1,
    *,
    b: RealLike | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: RealLike | None = None,
    out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def logsumexp_backward(
    grad: Beside[F], x: NDArray[F], axis: Axis = -1, *, where: RealLike | None = None, out: NDArray[F] | None = None
) -> NDArray[F]: ...
@overload
def logsumexp_backward(
    grad: Doubles,
    x: Rows[numpy.float64],
    axis: Axis = -1,
    *,
    where: RealLike | None = None,
    out: NDArray[numpy.float64] | None = None,
) -> NDArray[numpy.float64]: ...
@overload
def logsumexp_backward(
    grad: RealLike, x: RealLike, axis: Axis = -1, *, where: RealLike | None = None, out: NDArray[Any] | None = None
) -> Any: ...
def logsumexp_finish(m: RealLike, r: RealLike) -> Any: ...
def logsumexp_merge(m1: RealLike, r1: RealLike, m2: RealLike, r2: RealLike) -> tuple[Any, Any]: ...
def logsumexp_partial(x: RealLike, axis: int = -1) -> tuple[Any, Any]: ...
@overload
def softmax(
    x: Rows[F], axis: Axis = -1, *, scale: float = 1.0, where: RealLike | None = None, out: NDArray[F] | None = None
) -> NDArray[F]: ...
@overload
def softmax(
    x: RealLike, axis: Axis = -1, *, scale: float = 1.0, where: RealLike | None = None, out: NDArray[Any] | None = None
) -> Any: ...
@overload
def softmax_backward(
    grad: Beside[F],
    y: NDArray[F],
    axis: Axis = -1,
    *,
    scale: float = 1.0,
    where: RealLike | None = None,
    out: NDArray[F] | None = None,
) -> NDArray[F]: ...
@overload
def softmax_backward(
    grad: Doubles,
    y: Rows[numpy.float64],
    axis: Axis = -1,
    *,
    scale: float = 1.0,
    where: RealLike | None = None,
    out: NDArray[numpy.float64] | None = None,
) -> NDArray[numpy.float64]: ...
@overload
def softmax_backward(
    grad: RealLike,
    y: RealLike,
    axis: Axis = -1,
    *,
    scale: float = 1.0,
    where: RealLike | None = None,
    out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def softmax_from(x: Rows[F], m: RealLike, r: RealLike, axis: int = -1, *, out: NDArray[F] | None = None) -> NDArray[F]: ...
@overload
def softmax_from(x: RealLike, m: RealLike, r: RealLike, axis: int = -1, *, out: NDArray[Any] | None = None) -> Any: ...
@overload
def softmax_jacobian(y: Rows[F], axis: int = -1) -> NDArray[F]: ...
@overload
def softmax_jacobian(y: RealLike, axis: int = -1) -> Any: ...
