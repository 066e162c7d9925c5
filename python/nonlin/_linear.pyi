"""Written by `make stubs`."""

from typing import Any, Literal, overload

import numpy
from numpy.typing import NDArray

from ._typing import Beside, Doubles, F, L, RealLike, Reduction, Rows

__all__ = ["linear_cross_entropy", "linear_cross_entropy_backward", "linear_cross_entropy_with_grad"]

@overload
def linear_cross_entropy(
    x: Beside[L],
    weight: NDArray[L],
    targets: RealLike,
    *,
    bias: NDArray[L] | None = None,
    class_weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Literal["mean", "sum"] = "mean",
    chunk_rows: int | None = None,
) -> L: ...
@overload
def linear_cross_entropy(
    x: Beside[L],
    weight: NDArray[L],
    targets: RealLike,
    *,
    bias: NDArray[L] | None = None,
    class_weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Literal["none"],
    chunk_rows: int | None = None,
) -> NDArray[L]: ...
@overload
def linear_cross_entropy(
    x: RealLike,
    weight: RealLike,
    targets: RealLike,
    *,
    bias: RealLike | None = None,
    class_weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
    chunk_rows: int | None = None,
) -> Any: ...
@overload
def linear_cross_entropy_backward(
    grad: RealLike,
    x: Beside[F],
    weight: NDArray[F],
    targets: RealLike,
    *,
    bias: NDArray[F] | None = None,
    class_weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
    chunk_rows: int | None = None,
) -> tuple[NDArray[F], NDArray[F], NDArray[F] | Any]: ...
@overload
def linear_cross_entropy_backward(
    grad: RealLike,
    x: Doubles,
    weight: Rows[numpy.float64],
    targets: RealLike,
    *,
    bias: NDArray[numpy.float64] | None = None,
    class_weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
    chunk_rows: int | None = None,
) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64], NDArray[numpy.float64] | Any]: ...
@overload
def linear_cross_entropy_backward(
    grad: RealLike,
    x: RealLike,
    weight: RealLike,
    targets: RealLike,
    *,
    bias: RealLike | None = None,
    class_weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
    chunk_rows: int | None = None,
) -> tuple[Any, Any, Any]: ...
@overload
def linear_cross_entropy_with_grad(
    x: Beside[L],
    weight: NDArray[L],
    targets: RealLike,
    *,
    bias: NDArray[L] | None = None,
    class_weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Literal["mean", "sum"] = "mean",
    chunk_rows: int | None = None,
) -> tuple[L, tuple[NDArray[L], NDArray[L], NDArray[L] | Any]]: ...
@overload
def linear_cross_entropy_with_grad(
    x: Beside[L],
    weight: NDArray[L],
    targets: RealLike,
    *,
    bias: NDArray[L] | None = None,
    class_weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Literal["none"],
    chunk_rows: int | None = None,
) -> tuple[NDArray[L], tuple[NDArray[L], NDArray[L], NDArray[L] | Any]]: ...
@overload
def linear_cross_entropy_with_grad(
    x: RealLike,
    weight: RealLike,
    targets: RealLike,
    *,
    bias: RealLike | None = None,
    class_weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
    chunk_rows: int | None = None,
) -> tuple[Any, tuple[Any, Any, Any]]: ...
