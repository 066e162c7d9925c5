"""Losses of a linear layer, computed in chunks of rows, so that the logits never exist as a whole."""

from __future__ import annotations  # so that signatures show `ArrayLike` by its name

import contextlib
import math
import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _core
from ._core import float_array
from ._dtypes import INTEGERS, is_real, working_dtype
from ._others import engine_of, plain
from ._typing import Reduction

__all__ = ["linear_cross_entropy", "linear_cross_entropy_backward", "linear_cross_entropy_with_grad"]

_MIN_ROWS = 160  # of a chunk of wide rows
_CHUNK_BYTES = 4 << 20  # of a chunk of narrow rows
_BLOCK_BYTES = 2 << 20  # of the scratch for products that are then added to grad_weight
_BLAS_ROWS = 512  # of a factor's columns, which a thread of BLAS copies at once, at most


def _chunk_rows(rows: int, row_bytes: int) -> int:
    """Return how many rows of logits to hold at once, when the caller leaves it open.

    Every chunk reads `weight` twice and adds to all of grad_weight, at the price of the arithmetic of some 20 rows: hence up
    to `_MIN_ROWS`, 1/26 of 4096. A chunk of narrow rows takes as many as stay in the cache, so that its fixed cost is
    negligible. All chunks have the same size, but for rounding.
    """
    most = max(_MIN_ROWS, _CHUNK_BYTES // row_bytes)
    chunks = -(-rows // most)
    return -(-rows // chunks) if rows else 1


def _checked_chunk_rows(chunk_rows: Any) -> int:
    if isinstance(chunk_rows, bool | np.bool):
        raise TypeError(f"chunk_rows is {chunk_rows}; it takes an integer of 1 or more, or None")
    try:
        size = operator.index(chunk_rows)
    except TypeError:
        raise TypeError(f"chunk_rows is {chunk_rows!r}; it takes an integer of 1 or more, or None") from None
    if size < 1:
        raise ValueError(f"chunk_rows is {size}; it takes an integer of 1 or more, or None")
    return size


def _per_class(name: str, value: ArrayLike | None, classes: int) -> np.ndarray | None:
    if value is None:
        return None
    array = float_array(name, value)
    if array.shape != (classes,):
        raise ValueError(f"{name} has shape {array.shape}; it takes one number per class, shape ({classes},)")
    return array


def _as_given(name: str, value: ArrayLike) -> tuple[np.ndarray, np.dtype]:
    """Return an array, in memory or in a file, without a copy, and the float dtype that it becomes."""
    if type(value) not in (np.ndarray, np.memmap):
        value = float_array(name, value)
    array = np.asarray(value)
    return array, float_array(name, np.empty(0, array.dtype)).dtype


def _for_blas(a: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return `a` in this dtype: itself, or a contiguous copy if every product would otherwise make its own."""
    a = a.astype(dtype, copy=False)
    for matrix in (a, a.T):
        row, entry = matrix.strides
        if a.flags.aligned and entry == a.itemsize and row >= matrix.shape[1] * entry and row % entry == 0:
            return a
    return np.ascontiguousarray(a)


# Tried and slower: the first rows' logits, transposed, in grad_weight instead of a buffer. The strided axis costs 6 %.
def _add_product(total: np.ndarray, a: np.ndarray, b: np.ndarray, scratch: np.ndarray, first: bool) -> None:
    """``total += a @ b`` by blocks of rows, or ``total = a @ b``: NumPy's products cannot add to their output."""
    for start in range(0, len(total), len(scratch)):
        block = total[start : start + len(scratch)]
        product = np.matmul(a[start : start + len(scratch)], b, out=block if first else scratch[: len(block)])
        if not first:
            block += product


def _chunks(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    targets: np.ndarray,
    sample_weight: np.ndarray | None,
    grad: Any,
    chunk_rows: int,
    with_grad: bool,
    kept: np.dtype,
    options: dict[str, Any],
) -> tuple[np.ndarray, Any]:
    """Return the losses of rows and, if wanted, the gradients of sum(grad losses) / divisor for x, weight and bias.

    With a `grad`, a number or one for each row, there are no losses. They are without the sample weights. `x` may have any
    type and layout: only chunks of it are converted. Its gradient has the dtype `kept`.
    """
    (rows, features), classes, dtype = x.shape, len(weight), weight.dtype
    losses = np.empty(rows, dtype)
    buffer = np.empty((min(chunk_rows, rows), classes), dtype)
    if with_grad:
        grad_x, grad_weight = np.empty((rows, features), kept), np.zeros((classes, features), dtype)
        grad_bias = None if bias is None else np.zeros(classes, dtype)
        block = min(classes, max(1, _BLOCK_BYTES // (max(features, _BLAS_ROWS) * dtype.itemsize)))
        scratch = np.empty((block, features), dtype)
    for start in range(0, rows, chunk_rows):
        chunk = slice(start, start + chunk_rows)
        inputs = _for_blas(x[chunk], dtype)
        logits = np.matmul(inputs, weight.T, out=buffer[: rows - start])
        if bias is not None:
            logits += bias
        if sample_weight is not None:
            options["sample_weight"] = sample_weight[chunk]
        if not with_grad:
            losses[chunk] = _core.cross_entropy(logits, targets[chunk], **options)
            continue
        if grad is None:
            losses[chunk], g = _core.cross_entropy_with_grad(logits, targets[chunk], out=logits, **options)
        else:
            by = grad[chunk] if np.ndim(grad) else grad
            g = _core.cross_entropy_backward(by, logits, targets[chunk], out=logits, **options)
        if kept == dtype:
            np.matmul(g, weight, out=grad_x[chunk])
        else:
            grad_x[chunk] = np.matmul(g, weight)
        _add_product(grad_weight, g.T, inputs, scratch, first=start == 0)
        if grad_bias is not None:
            grad_bias += np.sum(g, axis=0)
    return losses, (grad_x, grad_weight, grad_bias) if with_grad else None


def _of_losses(grad: np.ndarray, batch: list[int], reduction: str) -> Any:
    """Return the upstream gradient as a float64 number, or as one for each row."""
    if grad.ndim == 0:
        return float(grad)
    taken = "a scalar"
    if reduction == "none":
        taken = f"one that broadcasts to that of the losses, {tuple(batch)}"
        with contextlib.suppress(ValueError):
            return np.broadcast_to(grad, batch).astype(np.float64).reshape(-1)
    raise ValueError(f"grad has shape {grad.shape}; for reduction={reduction!r} it takes {taken}")


def _reduced(losses: np.ndarray, sample_weight: np.ndarray | None, divisor: float, batch: list[int], reduction: str) -> Any:
    weighted = losses
    if sample_weight is not None:
        weighted = np.where(sample_weight == 0, 0, sample_weight * losses)
    if reduction == "none":
        return weighted.astype(losses.dtype, copy=False).reshape(batch)[()]
    return losses.dtype.type(np.sum(weighted, dtype=np.float64) / divisor)


@np.errstate(all="ignore")
def _linear_cross_entropy(
    x: ArrayLike,
    weight: ArrayLike,
    targets: ArrayLike,
    bias: ArrayLike | None,
    class_weight: ArrayLike | None,
    sample_weight: ArrayLike | None,
    reduction: str,
    chunk_rows: int | None,
    *,
    with_grad: bool,
    grad: Any = None,
    **options: Any,
) -> tuple[Any, Any]:
    """Return the loss and, where wanted, its gradients, times `grad` and without the loss where there is one.

    All arguments are checked before anything is computed.
    """
    (a, x_dtype), w = _as_given("x", x), float_array("weight", weight)
    if a.ndim == 0:
        raise ValueError(f"x has shape {a.shape}; it takes an axis of features, shape (..., features)")
    *batch, features = a.shape
    if w.ndim != 2 or w.shape[1] != features or len(w) == 0:
        raise ValueError(
            f"weight has shape {w.shape}; it takes (classes, features) with 1 class or more and the {features} features of x"
        )
    classes = len(w)
    b = _per_class("bias", bias, classes)
    kept = np.result_type(x_dtype, w.dtype, *(() if b is None else (b.dtype,)))
    dtype = working_dtype(kept)
    factors = _per_class("class_weight", class_weight, classes)
    options["weight"] = None if factors is None else factors.astype(dtype, copy=False)

    target = np.asarray(plain("targets", targets))
    logits = np.broadcast_to(np.zeros((), dtype), (*batch, classes))  # stands for the logits, without memory
    # Probabilities are converted to `dtype` in chunks, not here.
    soft = (is_real(target.dtype) or target.dtype.kind in INTEGERS) and target.shape == logits.shape
    divisor = _core.cross_entropy_divisor(
        logits, logits if soft else target, axis=-1, sample_weight=sample_weight, reduction=reduction, **options
    )
    rows = math.prod(batch)
    by_row = None
    if sample_weight is not None:
        by_row = np.broadcast_to(float_array("sample_weight", sample_weight), batch).astype(np.float64).reshape(rows)
    if grad is not None:
        grad = _of_losses(grad, batch, reduction)
    size = _chunk_rows(rows, classes * dtype.itemsize) if chunk_rows is None else _checked_chunk_rows(chunk_rows)

    losses, grads = _chunks(
        a.reshape(rows, features),
        _for_blas(w, dtype),
        None if b is None else b.astype(dtype, copy=False),
        target.reshape(rows, *target.shape[len(batch) :]),
        by_row,
        grad,
        size,
        with_grad,
        kept,
        {**options, "axis": -1, "reduction": "none", "divisor": divisor},
    )
    loss = None if grad is not None else _reduced(losses, by_row, divisor, batch, reduction)
    if not with_grad:
        return loss, None
    grad_x, *others = grads
    grads = grad_x.reshape(*batch, features), *others
    return loss, tuple(None if g is None else g.astype(kept, copy=False) for g in grads)


def linear_cross_entropy(
    x: ArrayLike,
    weight: ArrayLike,
    targets: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
    chunk_rows: int | None = None,
) -> Any:
    """Cross-entropy of a linear layer, ``cross_entropy(x @ weight.T + bias, targets)``, in little memory.

    The logits are made in chunks of rows, by NumPy's matrix product; all of them never exist at once.

    Parameters
    ----------
    x : array_like
        Shape (..., features). Floats are kept, booleans and integers give float64; where `x`, `weight` and
        `bias` differ, all of them become ``np.result_type``.
    weight : array_like
        Shape (classes, features), 1 class or more.
    targets : array_like
        Integers with the shape of `x` without its last axis: classes. Or an array of shape (..., classes): floats are
        probabilities, not checked to sum to one; booleans and integers are one-hot.
    bias : array_like, optional
        Shape (classes,).
    class_weight : array_like, optional
        A factor for each class, shape (classes,): `weight` of `cross_entropy`.
    sample_weight : array_like, optional
        A factor for each row, of the shape of `x` without its last axis, or a scalar. A row of weight 0 does not count: its
        loss and gradients are 0.
    ignore_index, label_smoothing, z_loss, reduction
        As for `cross_entropy`.
    chunk_rows : int, optional
        How many rows of logits there are at once, 1 or more. By default enough for fast products: 160, more where there are
        few classes. The result is the same for every number but for rounding.

    Returns
    -------
    scalar or ndarray
        The loss as `cross_entropy` returns it; for ``"none"`` an array of the rows' losses, of the shape of `x` without its
        last axis.

    Raises
    ------
    IndexError
        If a class is outside [0, classes) and not `ignore_index`: names the first one.
    ValueError
        For wrong shapes, no classes, an unknown `reduction`, `label_smoothing` outside [0, 1], `chunk_rows` below 1.
    TypeError
        For dtypes that are not taken, and a `chunk_rows` that is no integer.

    Notes
    -----
    Beyond inputs and results it takes the memory of `chunk_rows` rows of logits, and little more: less than 5 % of 4096 rows
    of some 50,000 logits (4.2 % measured, 34 MB of 823, BLAS's buffers counted in). `x`, `weight` and `targets` may be
    memory-mapped files: of `x` and `targets` only chunks are read at a time, and converted where their type or layout asks
    for it. `weight` is copied as a whole where it does not have the type or layout that products take.

    The number of threads of nonlin does not change the result. That of the BLAS library behind NumPy's products may change
    its last bits, and so may `chunk_rows`.

    Examples
    --------
    >>> import nonlin as nl
    >>> x, weight = [[1.0, 2.0], [0.5, -1.0]], [[2.0, 0.0], [0.0, 0.5], [0.1, 0.0]]
    >>> print(nl.linear_cross_entropy(x, weight, [0, 2]).round(3))
    0.922

    References
    ----------
    formulas.md in the package's folder, Losses, and A layer, and the whole backward pass; for GPUs: Hsu et al. (2024), Liger
    Kernel, arXiv:2410.10989, and Wijmans et al. (2024), Cut your losses in large-vocabulary language models,
    arXiv:2411.09009.
    """
    engine = engine_of((x, weight, targets, bias, class_weight, sample_weight))
    if engine is not None:
        operands = {"x": x, "weight": weight, "targets": targets, "bias": bias}
        options = {
            "class_weight": class_weight,
            "sample_weight": sample_weight,
            "ignore_index": ignore_index,
            "label_smoothing": label_smoothing,
            "z_loss": z_loss,
            "reduction": reduction,
            "chunk_rows": chunk_rows,
        }
        return engine("linear_cross_entropy", operands, options)
    loss, _ = _linear_cross_entropy(
        x,
        weight,
        targets,
        bias,
        class_weight,
        sample_weight,
        reduction,
        chunk_rows,
        with_grad=False,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
    )
    return loss


def linear_cross_entropy_backward(
    grad: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    targets: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
    chunk_rows: int | None = None,
) -> tuple[Any, Any, Any]:
    """Gradients of `linear_cross_entropy` with respect to `x`, `weight` and `bias`, times `grad`.

    Parameters
    ----------
    grad : array_like
        The upstream gradient: a scalar for ``"mean"`` and ``"sum"``; for ``"none"`` it broadcasts to the losses' shape.
    x, weight, targets, bias, class_weight, sample_weight, ignore_index, label_smoothing, z_loss, reduction, chunk_rows
        As for `linear_cross_entropy`.

    Returns
    -------
    grads : tuple
        The gradients ``(grad_x, grad_weight, grad_bias)`` as `linear_cross_entropy_with_grad` returns them.

    Raises
    ------
    IndexError, ValueError, TypeError
        As `linear_cross_entropy`, and for a `grad` that does not fit.

    Notes
    -----
    It makes every logit anew. Where `grad` is 1, `linear_cross_entropy_with_grad` gives the loss too, at little more cost.

    Examples
    --------
    >>> import nonlin as nl
    >>> x, weight = [[1.0, 2.0], [0.5, -1.0]], [[2.0, 0.0], [0.0, 0.5], [0.1, 0.0]]
    >>> grad_x, grad_weight, grad_bias = nl.linear_cross_entropy_backward(1.0, x, weight, [0, 2])
    >>> grad_x.round(3)
    array([[-0.336,  0.061],
           [ 0.583,  0.035]])

    References
    ----------
    As `linear_cross_entropy`.
    """
    _, grads = _linear_cross_entropy(
        x,
        weight,
        targets,
        bias,
        class_weight,
        sample_weight,
        reduction,
        chunk_rows,
        with_grad=True,
        grad=float_array("grad", grad),
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
    )
    return grads  # type: ignore[no-any-return]


def linear_cross_entropy_with_grad(
    x: ArrayLike,
    weight: ArrayLike,
    targets: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
    chunk_rows: int | None = None,
) -> tuple[Any, tuple[Any, Any, Any]]:
    """Return `linear_cross_entropy` and its gradients, making every logit once.

    Parameters
    ----------
    x, weight, targets, bias, class_weight, sample_weight, ignore_index, label_smoothing, z_loss, reduction, chunk_rows
        As for `linear_cross_entropy`.

    Returns
    -------
    loss : scalar or ndarray
        As `linear_cross_entropy` returns it.
    grads : tuple
        The gradients ``(grad_x, grad_weight, grad_bias)``, of the shapes of `x`, `weight` and `bias`, and of the dtype of
        the loss; `grad_bias` is None without `bias`. For ``"none"`` they are those of the sum.

    Raises
    ------
    IndexError, ValueError, TypeError
        As `linear_cross_entropy`.

    Notes
    -----
    Beyond inputs and results it takes the memory of `chunk_rows` rows of logits, 2 MB, and what BLAS copies: less than 5 %
    of 4096 rows of some 50,000 logits (4.5 % measured, 37 MB of 823, with 512 features and 2 threads). Memory-mapped files
    are read as by `linear_cross_entropy`; gradients are ordinary arrays.

    Examples
    --------
    >>> import nonlin as nl
    >>> x, weight = [[1.0, 2.0], [0.5, -1.0]], [[2.0, 0.0], [0.0, 0.5], [0.1, 0.0]]
    >>> loss, (grad_x, grad_weight, grad_bias) = nl.linear_cross_entropy_with_grad(x, weight, [0, 2])
    >>> print(loss.round(3), grad_bias)
    0.922 None
    >>> grad_x.round(3)
    array([[-0.336,  0.061],
           [ 0.583,  0.035]])

    References
    ----------
    As `linear_cross_entropy`.
    """
    return _linear_cross_entropy(
        x,
        weight,
        targets,
        bias,
        class_weight,
        sample_weight,
        reduction,
        chunk_rows,
        with_grad=True,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
    )
