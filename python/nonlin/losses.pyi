"""Written by `make stubs`."""

from typing import Any

from numpy.typing import ArrayLike

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_backward",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_backward",
    "binary_cross_entropy_with_logits_with_grad",
    "categorical_cross_entropy",
    "categorical_cross_entropy_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "cross_entropy_with_grad",
    "kl_divergence",
    "kl_divergence_backward",
    "kl_divergence_with_logits",
    "kl_divergence_with_logits_backward",
    "kl_divergence_with_logits_with_grad",
    "nll_loss",
    "nll_loss_backward",
]

def cross_entropy(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: str = "mean",
) -> Any: ...
def cross_entropy_backward(
    grad: ArrayLike,
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: str = "mean",
    out: Any = None,
) -> Any: ...
def cross_entropy_with_grad(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: str = "mean",
    out: Any = None,
) -> tuple[Any, Any]: ...
def nll_loss(
    log_probs: ArrayLike,
    targets: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any: ...
def nll_loss_backward(
    grad: ArrayLike,
    log_probs: ArrayLike,
    targets: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    out: Any = None,
) -> Any: ...
def categorical_cross_entropy(
    probs: ArrayLike,
    targets: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any: ...
def categorical_cross_entropy_backward(
    grad: ArrayLike,
    probs: ArrayLike,
    targets: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    out: Any = None,
) -> Any: ...
def binary_cross_entropy(
    probs: ArrayLike, targets: ArrayLike, *, weight: ArrayLike | None = None, reduction: str = "mean"
) -> Any: ...
def binary_cross_entropy_backward(
    grad: ArrayLike,
    probs: ArrayLike,
    targets: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
    out: Any = None,
) -> Any: ...
def binary_cross_entropy_with_logits(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    pos_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Any: ...
def binary_cross_entropy_with_logits_backward(
    grad: ArrayLike,
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    pos_weight: ArrayLike | None = None,
    reduction: str = "mean",
    out: Any = None,
) -> Any: ...
def binary_cross_entropy_with_logits_with_grad(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    pos_weight: ArrayLike | None = None,
    reduction: str = "mean",
    out: Any = None,
) -> tuple[Any, Any]: ...
def kl_divergence(p: ArrayLike, q: ArrayLike, *, axis: int = -1, reduction: str = "mean") -> Any: ...
def kl_divergence_backward(
    grad: ArrayLike, p: ArrayLike, q: ArrayLike, *, axis: int = -1, reduction: str = "mean", out: Any = None
) -> Any: ...
def kl_divergence_with_logits(p: ArrayLike, logits: ArrayLike, *, axis: int = -1, reduction: str = "mean") -> Any: ...
def kl_divergence_with_logits_backward(
    grad: ArrayLike, p: ArrayLike, logits: ArrayLike, *, axis: int = -1, reduction: str = "mean", out: Any = None
) -> Any: ...
def kl_divergence_with_logits_with_grad(
    p: ArrayLike, logits: ArrayLike, *, axis: int = -1, reduction: str = "mean", out: Any = None
) -> tuple[Any, Any]: ...
