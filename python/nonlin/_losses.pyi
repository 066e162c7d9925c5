"""Written by `make stubs`."""

from typing import Any, Literal, overload

import numpy
from numpy.typing import NDArray

from ._typing import Beside, Doubles, F, L, RealLike, Reduction, Rows

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_backward",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_backward",
    "binary_cross_entropy_with_logits_with_grad",
    "binary_focal_loss_with_logits",
    "binary_focal_loss_with_logits_backward",
    "binary_focal_loss_with_logits_with_grad",
    "categorical_cross_entropy",
    "categorical_cross_entropy_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "cross_entropy_with_grad",
    "focal_loss",
    "focal_loss_backward",
    "focal_loss_with_grad",
    "kl_divergence",
    "kl_divergence_backward",
    "kl_divergence_with_logits",
    "kl_divergence_with_logits_backward",
    "kl_divergence_with_logits_with_grad",
    "nll_loss",
    "nll_loss_backward",
]

@overload
def binary_cross_entropy(
    probs: Rows[L], targets: RealLike, *, weight: RealLike | None = None, reduction: Literal["mean", "sum"] = "mean"
) -> L: ...
@overload
def binary_cross_entropy(
    probs: Rows[L], targets: RealLike, *, weight: RealLike | None = None, reduction: Literal["none"]
) -> NDArray[L]: ...
@overload
def binary_cross_entropy(
    probs: RealLike, targets: RealLike, *, weight: RealLike | None = None, reduction: Reduction = "mean"
) -> Any: ...
@overload
def binary_cross_entropy_backward(
    grad: RealLike,
    probs: Rows[F],
    targets: RealLike,
    *,
    weight: RealLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[F] | None = None,
) -> NDArray[F]: ...
@overload
def binary_cross_entropy_backward(
    grad: RealLike,
    probs: RealLike,
    targets: RealLike,
    *,
    weight: RealLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def binary_cross_entropy_with_logits(
    logits: Rows[L],
    targets: RealLike,
    *,
    weight: RealLike | None = None,
    pos_weight: RealLike | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> L: ...
@overload
def binary_cross_entropy_with_logits(
    logits: Rows[L],
    targets: RealLike,
    *,
    weight: RealLike | None = None,
    pos_weight: RealLike | None = None,
    reduction: Literal["none"],
) -> NDArray[L]: ...
@overload
def binary_cross_entropy_with_logits(
    logits: RealLike,
    targets: RealLike,
    *,
    weight: RealLike | None = None,
    pos_weight: RealLike | None = None,
    reduction: Reduction = "mean",
) -> Any: ...
@overload
def binary_cross_entropy_with_logits_backward(
    grad: RealLike,
    logits: Rows[F],
    targets: RealLike,
    *,
    weight: RealLike | None = None,
    pos_weight: RealLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[F] | None = None,
) -> NDArray[F]: ...
@overload
def binary_cross_entropy_with_logits_backward(
    grad: RealLike,
    logits: RealLike,
    targets: RealLike,
    *,
    weight: RealLike | None = None,
    pos_weight: RealLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def binary_cross_entropy_with_logits_with_grad(
    logits: Rows[L],
    targets: RealLike,
    *,
    weight: RealLike | None = None,
    pos_weight: RealLike | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    out: NDArray[L] | None = None,
) -> tuple[L, NDArray[L]]: ...
@overload
def binary_cross_entropy_with_logits_with_grad(
    logits: Rows[L],
    targets: RealLike,
    *,
    weight: RealLike | None = None,
    pos_weight: RealLike | None = None,
    reduction: Literal["none"],
    out: NDArray[L] | None = None,
) -> tuple[NDArray[L], NDArray[L]]: ...
@overload
def binary_cross_entropy_with_logits_with_grad(
    logits: RealLike,
    targets: RealLike,
    *,
    weight: RealLike | None = None,
    pos_weight: RealLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> tuple[Any, Any]: ...
@overload
def binary_focal_loss_with_logits(
    logits: Rows[L],
    targets: RealLike,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    weight: RealLike | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> L: ...
@overload
def binary_focal_loss_with_logits(
    logits: Rows[L],
    targets: RealLike,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    weight: RealLike | None = None,
    reduction: Literal["none"],
) -> NDArray[L]: ...
@overload
def binary_focal_loss_with_logits(
    logits: RealLike,
    targets: RealLike,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    weight: RealLike | None = None,
    reduction: Reduction = "mean",
) -> Any: ...
@overload
def binary_focal_loss_with_logits_backward(
    grad: RealLike,
    logits: Rows[F],
    targets: RealLike,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    weight: RealLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[F] | None = None,
) -> NDArray[F]: ...
@overload
def binary_focal_loss_with_logits_backward(
    grad: RealLike,
    logits: RealLike,
    targets: RealLike,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    weight: RealLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def binary_focal_loss_with_logits_with_grad(
    logits: Rows[L],
    targets: RealLike,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    weight: RealLike | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    out: NDArray[L] | None = None,
) -> tuple[L, NDArray[L]]: ...
@overload
def binary_focal_loss_with_logits_with_grad(
    logits: Rows[L],
    targets: RealLike,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    weight: RealLike | None = None,
    reduction: Literal["none"],
    out: NDArray[L] | None = None,
) -> tuple[NDArray[L], NDArray[L]]: ...
@overload
def binary_focal_loss_with_logits_with_grad(
    logits: RealLike,
    targets: RealLike,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    weight: RealLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> tuple[Any, Any]: ...
@overload
def categorical_cross_entropy(
    probs: Rows[L],
    targets: RealLike,
    *,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    reduction: Literal["mean", "sum"] = "mean",
) -> L: ...
@overload
def categorical_cross_entropy(
    probs: Rows[L],
    targets: RealLike,
    *,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    reduction: Literal["none"],
) -> NDArray[L]: ...
@overload
def categorical_cross_entropy(
    probs: RealLike,
    targets: RealLike,
    *,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Any: ...
@overload
def categorical_cross_entropy_backward(
    grad: RealLike,
    probs: Rows[F],
    targets: RealLike,
    *,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    out: NDArray[F] | None = None,
) -> NDArray[F]: ...
@overload
def categorical_cross_entropy_backward(
    grad: RealLike,
    probs: RealLike,
    targets: RealLike,
    *,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def cross_entropy(
    logits: Rows[L],
    targets: RealLike,
    *,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Literal["mean", "sum"] = "mean",
) -> L: ...
@overload
def cross_entropy(
    logits: Rows[L],
    targets: RealLike,
    *,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Literal["none"],
) -> NDArray[L]: ...
@overload
def cross_entropy(
    logits: RealLike,
    targets: RealLike,
    *,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
) -> Any: ...
@overload
def cross_entropy_backward(
    grad: RealLike,
    logits: Rows[F],
    targets: RealLike,
    *,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
    out: NDArray[F] | None = None,
) -> NDArray[F]: ...
@overload
def cross_entropy_backward(
    grad: RealLike,
    logits: RealLike,
    targets: RealLike,
    *,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def cross_entropy_with_grad(
    logits: Rows[L],
    targets: RealLike,
    *,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Literal["mean", "sum"] = "mean",
    out: NDArray[L] | None = None,
) -> tuple[L, NDArray[L]]: ...
@overload
def cross_entropy_with_grad(
    logits: Rows[L],
    targets: RealLike,
    *,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Literal["none"],
    out: NDArray[L] | None = None,
) -> tuple[NDArray[L], NDArray[L]]: ...
@overload
def cross_entropy_with_grad(
    logits: RealLike,
    targets: RealLike,
    *,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> tuple[Any, Any]: ...
@overload
def focal_loss(
    logits: Rows[L],
    targets: RealLike,
    *,
    gamma: float = 2.0,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    reduction: Literal["mean", "sum"] = "mean",
) -> L: ...
@overload
def focal_loss(
    logits: Rows[L],
    targets: RealLike,
    *,
    gamma: float = 2.0,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    reduction: Literal["none"],
) -> NDArray[L]: ...
@overload
def focal_loss(
    logits: RealLike,
    targets: RealLike,
    *,
    gamma: float = 2.0,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Any: ...
@overload
def focal_loss_backward(
    grad: RealLike,
    logits: Rows[F],
    targets: RealLike,
    *,
    gamma: float = 2.0,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    out: NDArray[F] | None = None,
) -> NDArray[F]: ...
@overload
def focal_loss_backward(
    grad: RealLike,
    logits: RealLike,
    targets: RealLike,
    *,
    gamma: float = 2.0,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def focal_loss_with_grad(
    logits: Rows[L],
    targets: RealLike,
    *,
    gamma: float = 2.0,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    reduction: Literal["mean", "sum"] = "mean",
    out: NDArray[L] | None = None,
) -> tuple[L, NDArray[L]]: ...
@overload
def focal_loss_with_grad(
    logits: Rows[L],
    targets: RealLike,
    *,
    gamma: float = 2.0,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    reduction: Literal["none"],
    out: NDArray[L] | None = None,
) -> tuple[NDArray[L], NDArray[L]]: ...
@overload
def focal_loss_with_grad(
    logits: RealLike,
    targets: RealLike,
    *,
    gamma: float = 2.0,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> tuple[Any, Any]: ...
@overload
def kl_divergence(
    p: Beside[L],
    q: NDArray[L],
    *,
    axis: int = -1,
    sample_weight: RealLike | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> L: ...
@overload
def kl_divergence(
    p: Beside[L], q: NDArray[L], *, axis: int = -1, sample_weight: RealLike | None = None, reduction: Literal["none"]
) -> NDArray[L]: ...
@overload
def kl_divergence(
    p: RealLike, q: RealLike, *, axis: int = -1, sample_weight: RealLike | None = None, reduction: Reduction = "mean"
) -> Any: ...
@overload
def kl_divergence_backward(
    grad: RealLike,
    p: Beside[F],
    q: NDArray[F],
    *,
    axis: int = -1,
    sample_weight: RealLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[F] | None = None,
) -> NDArray[F]: ...
@overload
def kl_divergence_backward(
    grad: RealLike,
    p: Doubles,
    q: Rows[numpy.float64],
    *,
    axis: int = -1,
    sample_weight: RealLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[numpy.float64] | None = None,
) -> NDArray[numpy.float64]: ...
@overload
def kl_divergence_backward(
    grad: RealLike,
    p: RealLike,
    q: RealLike,
    *,
    axis: int = -1,
    sample_weight: RealLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def kl_divergence_with_logits(
    p: Beside[L],
    logits: NDArray[L],
    *,
    axis: int = -1,
    sample_weight: RealLike | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> L: ...
@overload
def kl_divergence_with_logits(
    p: Beside[L], logits: NDArray[L], *, axis: int = -1, sample_weight: RealLike | None = None, reduction: Literal["none"]
) -> NDArray[L]: ...
@overload
def kl_divergence_with_logits(
    p: RealLike, logits: RealLike, *, axis: int = -1, sample_weight: RealLike | None = None, reduction: Reduction = "mean"
) -> Any: ...
@overload
def kl_divergence_with_logits_backward(
    grad: RealLike,
    p: Beside[F],
    logits: NDArray[F],
    *,
    axis: int = -1,
    sample_weight: RealLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[F] | None = None,
) -> NDArray[F]: ...
@overload
def kl_divergence_with_logits_backward(
    grad: RealLike,
    p: Doubles,
    logits: Rows[numpy.float64],
    *,
    axis: int = -1,
    sample_weight: RealLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[numpy.float64] | None = None,
) -> NDArray[numpy.float64]: ...
@overload
def kl_divergence_with_logits_backward(
    grad: RealLike,
    p: RealLike,
    logits: RealLike,
    *,
    axis: int = -1,
    sample_weight: RealLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> Any: ...
@overload
def kl_divergence_with_logits_with_grad(
    p: Beside[L],
    logits: NDArray[L],
    *,
    axis: int = -1,
    sample_weight: RealLike | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    out: NDArray[L] | None = None,
) -> tuple[L, NDArray[L]]: ...
@overload
def kl_divergence_with_logits_with_grad(
    p: Beside[L],
    logits: NDArray[L],
    *,
    axis: int = -1,
    sample_weight: RealLike | None = None,
    reduction: Literal["none"],
    out: NDArray[L] | None = None,
) -> tuple[NDArray[L], NDArray[L]]: ...
@overload
def kl_divergence_with_logits_with_grad(
    p: RealLike,
    logits: RealLike,
    *,
    axis: int = -1,
    sample_weight: RealLike | None = None,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> tuple[Any, Any]: ...
@overload
def nll_loss(
    log_probs: Rows[L],
    targets: RealLike,
    *,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    reduction: Literal["mean", "sum"] = "mean",
) -> L: ...
@overload
def nll_loss(
    log_probs: Rows[L],
    targets: RealLike,
    *,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    reduction: Literal["none"],
) -> NDArray[L]: ...
@overload
def nll_loss(
    log_probs: RealLike,
    targets: RealLike,
    *,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Any: ...
@overload
def nll_loss_backward(
    grad: RealLike,
    log_probs: Rows[F],
    targets: RealLike,
    *,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    out: NDArray[F] | None = None,
) -> NDArray[F]: ...
@overload
def nll_loss_backward(
    grad: RealLike,
    log_probs: RealLike,
    targets: RealLike,
    *,
    axis: int = -1,
    weight: RealLike | None = None,
    sample_weight: RealLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    out: NDArray[Any] | None = None,
) -> Any: ...
