"""Losses on logits, with their gradients. The row kernels do the work; here are options, errors and reductions."""

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _core

__all__ = ["cross_entropy", "cross_entropy_backward", "cross_entropy_with_grad"]

_INTEGERS = "biu"  # dtype kinds
_REDUCTIONS = ("mean", "sum", "none")


def _float_array(name: str, value: ArrayLike) -> np.ndarray:
    """`value` as a float32 or float64 array; booleans and integers become float64."""
    array = np.asarray(value)
    if array.dtype.kind in _INTEGERS:
        return array.astype(np.float64)
    if array.dtype.type not in (np.float32, np.float64):
        raise TypeError(f"{name} has dtype {array.dtype}; it takes float32, float64, booleans or integers")
    return array


@dataclass(slots=True)
class _Rows:
    """The checked arguments of a loss on logits, as its row ufunc takes them."""

    logits: np.ndarray
    axis: int
    inputs: list[Any]  # target, weight, the sum of the weights, label_smoothing, z_loss
    divisor: float  # of the reduction
    reduction: str
    kind: str  # of target

    def compute(self, grad: Any = None, out: np.ndarray | None = None) -> tuple[Any, Any]:
        """Return the rows' losses; with `grad`, its product with their gradient too."""
        axes: list[Any] = [self.axis, self.axis if self.kind == "probabilities" else (), -1, (), (), ()]
        name = f"cross_entropy_{self.kind}"
        if grad is None:
            return getattr(_core, name)(self.logits, *self.inputs, axes=[*axes, ()]), None
        ufunc = getattr(_core, name + "_with_grad")
        outs = (None, np.empty_like(self.logits) if out is None else out)
        return ufunc(self.logits, *self.inputs, grad, axes=[*axes, (), (), self.axis], out=outs)  # type: ignore[no-any-return]

    def reduce(self, losses: Any) -> Any:
        if self.reduction == "none":
            return losses
        with np.errstate(all="ignore"):
            total = np.sum(losses, dtype=np.float64)
            return self.logits.dtype.type(total / self.divisor)

    def upstream(self, grad: ArrayLike) -> Any:
        """The loss's upstream gradient as the factor of each row's gradient."""
        factor = _float_array("grad", grad)
        rows = self.logits.shape[: self.axis] + self.logits.shape[self.axis + 1 :]
        wanted = rows if self.reduction == "none" else ()
        if factor.shape != wanted:
            raise ValueError(
                f"grad has shape {factor.shape}; for reduction={self.reduction!r} it takes "
                + (f"the shape of the losses, {wanted}" if wanted else "a scalar")
            )
        with np.errstate(all="ignore"):
            return (factor / self.divisor).astype(self.logits.dtype, copy=False)


def _class_weight(weight: ArrayLike | None, classes: int, dtype: np.dtype) -> np.ndarray | None:
    if weight is None:
        return None
    array = _float_array("weight", weight)
    if array.shape != (classes,):
        raise ValueError(f"weight has shape {array.shape}; it takes one number per class, shape ({classes},)")
    return np.ascontiguousarray(array, dtype)


def _fraction(name: str, value: float) -> float:
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} is {value}; it takes a number in [0, 1]")
    return number


def _class_targets(
    targets: np.ndarray, shape: tuple[int, ...], classes: int, ignore_index: int, weight: np.ndarray | None
) -> tuple[np.ndarray, float]:
    """Targets with -1 for ignored ones, and the sum of the weights of the others. Raises IndexError for no class."""
    if targets.shape != shape:
        raise ValueError(f"targets has shape {targets.shape}; class indices take the shape of logits without axis, {shape}")
    if targets.dtype == np.uint64:  # beyond int64 there is no class: the largest int64 stands for all of them
        wide = np.minimum(targets, np.uint64(np.iinfo(np.int64).max)).astype(np.int64)
    else:
        wide = targets.astype(np.int64, copy=False)
    limit = np.iinfo(np.int64)
    ignored = ignore_index if limit.min <= ignore_index <= limit.max else -1 if ignore_index == -1 else classes + 1
    prepared, total, bad = _core.prepare_targets(wide, classes, ignored, weight)
    if bad >= 0:
        position = np.unravel_index(bad, shape)
        where = ", ".join(str(int(i)) for i in position)
        raise IndexError(
            f"targets[{where}] is {targets[position]}; it takes a class in [0, {classes}) or ignore_index={ignore_index}"
        )
    return prepared, total


def _prepare(
    logits: ArrayLike,
    targets: ArrayLike,
    axis: int,
    weight: ArrayLike | None,
    ignore_index: int,
    label_smoothing: float,
    z_loss: float,
    reduction: str,
) -> _Rows:
    """Check all options of the losses on logits, before anything is computed."""
    z = _float_array("logits", logits)
    axis = operator.index(axis)
    if not -z.ndim <= axis < z.ndim:
        raise np.exceptions.AxisError(axis, z.ndim)
    axis %= z.ndim
    classes = z.shape[axis]
    if classes == 0:
        raise ValueError(f"logits has shape {z.shape}, so the class axis {axis} is empty; it takes 1 class or more")
    if reduction not in _REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; it takes 'mean', 'sum' or 'none'")
    smoothing = _fraction("label_smoothing", label_smoothing)
    try:
        ignore_index = operator.index(ignore_index)
    except TypeError:
        raise TypeError(f"ignore_index is {ignore_index!r}; it takes an integer") from None
    weights = _class_weight(weight, classes, z.dtype)
    rows = z.shape[:axis] + z.shape[axis + 1 :]

    target = np.asarray(targets)
    if target.dtype.kind in "iu" or (target.size == 0 and target.shape == rows):
        kind = "class"
        target, divisor = _class_targets(target, rows, classes, ignore_index, weights)
    elif target.dtype.kind == "f":
        kind = "probabilities"
        if target.shape != z.shape:
            raise ValueError(f"targets has shape {target.shape}; probabilities take the shape of logits, {z.shape}")
        with np.errstate(all="ignore"):
            target = target.astype(z.dtype, copy=False)
        divisor = float(np.prod(rows))
    else:
        raise TypeError(f"targets has dtype {target.dtype}; it takes integers (classes) or floats (probabilities)")

    scalar = z.dtype.type
    one = np.ndarray((classes,), z.dtype, np.ones((), z.dtype), strides=(0,)) if weights is None else weights
    weight_sum = classes if weights is None else np.sum(weights, dtype=np.float64)
    inputs = [target, one, scalar(weight_sum), scalar(smoothing), scalar(z_loss)]
    return _Rows(z, axis, inputs, divisor if reduction == "mean" else 1.0, reduction, kind)


def _check_out(out: Any, logits: np.ndarray) -> None:
    if out is None:
        return
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is a {type(out).__name__}; it takes an ndarray")
    if out.shape != logits.shape:
        raise ValueError(f"out has shape {out.shape}; it takes the shape of logits, {logits.shape}")
    if out.dtype != logits.dtype:
        raise TypeError(f"out has dtype {out.dtype}; it takes that of the gradient, {logits.dtype}")
    if not out.flags.writeable:
        raise ValueError("out is read-only; it takes a writable array")


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
) -> Any:
    """Cross-entropy of softmax, ``logsumexp(logits) - logits[target]``, of each row.

    Parameters
    ----------
    logits : array_like
        Any shape with a non-empty class axis; the other axes are a batch. float32 and float64 are kept, booleans and
        integers give float64.
    targets : array_like
        Integers with the shape of `logits` without `axis`: classes. Or floats with the shape of `logits`:
        probabilities, which are not checked to sum to one.
    axis : int, default -1
        The class axis.
    weight : array_like, optional
        A factor for each class, shape (C,).
    ignore_index : int, default -100
        The class target of rows that do not count: their loss and gradient are 0.
    label_smoothing : float, default 0.0
        In [0, 1]: mixes ``(1 - label_smoothing) * target + label_smoothing / C``.
    z_loss : float, default 0.0
        Adds ``z_loss * logsumexp(logits)**2`` to the loss of each row.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides by the sum of the weights of the class targets that count, or by the number of rows for
        probabilities.

    Returns
    -------
    scalar or ndarray
        The loss, in the dtype of `logits`; for ``"none"`` an array of the rows' losses. The sum is accumulated in
        float64. Where all targets are ignored, the mean is NaN and the sum 0.

    Raises
    ------
    IndexError
        If a class is outside [0, C) and not `ignore_index`: names the first one.
    ValueError
        For wrong shapes, an empty class axis, an unknown `reduction`, `label_smoothing` outside [0, 1].
    TypeError
        For dtypes that are not taken.
    numpy.exceptions.AxisError
        If `axis` is out of range.

    Examples
    --------
    >>> import nonlin as nl
    >>> print(nl.cross_entropy([[2.0, 1.0, 0.1]], [0]).round(3))
    0.417

    References
    ----------
    docs/formulas.md, Losses; label smoothing: Szegedy et al. (2015), arXiv:1512.00567; z_loss: Chowdhery et al. (2022),
    arXiv:2204.02311.
    """
    rows = _prepare(logits, targets, axis, weight, ignore_index, label_smoothing, z_loss, reduction)
    return rows.reduce(rows.compute()[0])


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
) -> Any:
    """Gradient of `cross_entropy` with respect to the logits: ``grad * (softmax(logits) - target)``.

    Keeps its relative accuracy where the prediction is nearly right.

    Parameters
    ----------
    grad : array_like
        The upstream gradient of the loss: a scalar for ``"mean"`` and ``"sum"``, of the rows' shape for ``"none"``.
    logits, targets, axis, weight, ignore_index, label_smoothing, z_loss, reduction
        As for `cross_entropy`.
    out : ndarray, optional
        Where to put the gradient, of the shape and dtype of `logits`; ``out=logits`` overwrites the logits.

    Returns
    -------
    ndarray
        The gradient, of the shape and dtype of `logits`.

    Raises
    ------
    IndexError, ValueError, TypeError, numpy.exceptions.AxisError
        As `cross_entropy`, and for a `grad` or `out` that does not fit. Nothing was written to `out` then.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.cross_entropy_backward(1.0, [[2.0, 1.0, 0.1]], [0]).round(3)
    array([[-0.341,  0.242,  0.099]])

    References
    ----------
    docs/formulas.md, Losses.
    """
    rows = _prepare(logits, targets, axis, weight, ignore_index, label_smoothing, z_loss, reduction)
    _check_out(out, rows.logits)
    return rows.compute(rows.upstream(grad), out)[1]


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
) -> tuple[Any, Any]:
    """Return `cross_entropy` and its gradient, from one pass over the logits.

    Parameters
    ----------
    logits, targets, axis, weight, ignore_index, label_smoothing, z_loss, reduction
        As for `cross_entropy`.
    out : ndarray, optional
        Where to put the gradient, of the shape and dtype of `logits`; ``out=logits`` overwrites the logits.

    Returns
    -------
    loss : scalar or ndarray
        As `cross_entropy` returns it.
    grad : ndarray
        The gradient with respect to the logits, of their shape and dtype; for ``"none"`` that of the sum.

    Raises
    ------
    IndexError, ValueError, TypeError, numpy.exceptions.AxisError
        As `cross_entropy`, and for an `out` that does not fit. Nothing was written to `out` then.

    Examples
    --------
    >>> import nonlin as nl
    >>> loss, grad = nl.cross_entropy_with_grad([[2.0, 1.0, 0.1]], [0])
    >>> print(loss.round(3), grad.round(3))
    0.417 [[-0.341  0.242  0.099]]

    References
    ----------
    docs/formulas.md, Losses.
    """
    rows = _prepare(logits, targets, axis, weight, ignore_index, label_smoothing, z_loss, reduction)
    _check_out(out, rows.logits)
    with np.errstate(all="ignore"):
        factor = rows.logits.dtype.type(np.float64(1.0) / rows.divisor)
    losses, gradient = rows.compute(factor, out)
    return rows.reduce(losses), gradient
