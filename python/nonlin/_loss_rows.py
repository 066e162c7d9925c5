"""What all losses share: their table, the check of arguments and options, the calls of row kernels, reductions."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _core
from ._dtypes import INTEGERS, float_array, is_real, working_dtype

_REDUCTIONS = ("mean", "sum", "none")
_PIECE = 4096  # entries that make a row where a loss has no axis
_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True, slots=True)
class Loss:
    """A row of the table."""

    name: str
    kind: str  # of targets: "targets" are classes or probabilities, "rows" has two rows, "elements" has two entries
    arguments: list[str]
    options: list[str]
    with_grad: bool
    summary: str
    source: str
    example: str  # arguments
    result: str
    gradient: str

    @property
    def name_of_x(self) -> str:
        """The argument that the gradient is taken by."""
        return self.arguments[1 if self.kind == "rows" else 0]


LOSSES = {row["name"]: Loss(**row) for row in _core.losses()}


# Arguments


def _cast(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if array.dtype == dtype:
        return array
    with np.errstate(all="ignore"):
        return array.astype(dtype)


@functools.lru_cache(maxsize=64)
def _absent(n: int, dtype: np.dtype) -> np.ndarray:
    """The weight that is none: a row kernel knows it by its stride of 0."""
    return np.ndarray((n,), dtype, np.ones((), dtype), strides=(0,))


def _class_weight(weight: ArrayLike, classes: int, dtype: np.dtype) -> np.ndarray:
    array = float_array("weight", weight)
    if array.shape != (classes,):
        raise ValueError(f"weight has shape {array.shape}; it takes one number per class, shape ({classes},)")
    return np.ascontiguousarray(_cast(array, working_dtype(dtype)))


def _entry_weight(name: str, weight: ArrayLike, x_name: str, x: np.ndarray) -> np.ndarray:
    array = float_array(name, weight)
    try:
        array = np.broadcast_to(array, x.shape)
    except ValueError:
        raise ValueError(
            f"{name} has shape {array.shape}; it takes one that broadcasts to that of {x_name}, {x.shape}"
        ) from None
    return np.asarray(_cast(array, working_dtype(x.dtype)), order="C")


def _class_targets(
    targets: np.ndarray, shape: tuple[int, ...], classes: int, ignore_index: int, weight: np.ndarray | None
) -> tuple[np.ndarray, float]:
    """Targets with -1 for ignored ones, and the sum of the weights of the others. Raises IndexError for no class."""
    if targets.shape != shape:
        raise ValueError(f"targets has shape {targets.shape}; classes take the shape of the rows, {shape}")
    if targets.dtype == np.uint64:  # beyond int64 there is no class: the largest int64 stands for all of them
        wide = np.minimum(targets, np.uint64(_INT64.max)).astype(np.int64)
    else:
        wide = targets.astype(np.int64, copy=False)
    ignored = ignore_index if _INT64.min <= ignore_index <= _INT64.max else -1 if ignore_index == -1 else classes + 1
    prepared, total, bad = _core.prepare_targets(wide, classes, ignored, weight)
    if bad >= 0:
        position = np.unravel_index(bad, shape)
        raise IndexError(
            f"targets[{_listed(position)}] is {targets[position]}; "
            f"it takes a class in [0, {classes}) or ignore_index={ignore_index}"
        )
    return prepared, total


def _listed(position: Iterable[Any]) -> str:
    return ", ".join(str(int(i)) for i in position)


def _check_probabilities(rows: Rows) -> None:
    """Check what the loss looks at: of rows with a class its entry, else all entries."""
    x = rows.x
    if rows.axis is not None and rows.ufunc.endswith("_class"):
        row_is_bad = np.asarray(_core.count_outside_class(x, rows.inputs[0], axis=rows.axis)) > 0
        if not np.any(row_is_bad):
            return
        row = np.unravel_index(np.argmax(row_is_bad), row_is_bad.shape)
        position = list(row)
        position.insert(x.ndim + rows.axis, rows.inputs[0][row])
    else:
        if not any(np.any(_core.count_outside(piece)) for piece in _pieces(x)):
            return
        wide = _cast(x, working_dtype(x.dtype))
        position = list(np.unravel_index(np.argmax((wide < 0) | (wide > 1)), x.shape))
    raise ValueError(f"probs[{_listed(position)}] is {x[tuple(position)]}; it takes probabilities, in [0, 1]")


def _pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """The entries of an array as rows of a fixed length, and what is left as a shorter one."""
    flat = array.reshape(-1)
    whole = flat.size - flat.size % _PIECE
    if whole:
        yield flat[:whole].reshape(-1, _PIECE)
    if whole < flat.size:
        yield flat[whole:].reshape(1, -1)


def _alone(array: np.ndarray) -> Iterator[np.ndarray]:
    """Every entry as a row."""
    yield array[..., None]


def check_out(out: Any, name: str, x: np.ndarray) -> None:
    if out is None:
        return
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is a {type(out).__name__}; it takes an ndarray")
    if out.shape != x.shape:
        raise ValueError(f"out has shape {out.shape}; it takes the shape of {name}, {x.shape}")
    if out.dtype != x.dtype:
        raise TypeError(f"out has dtype {out.dtype}; it takes that of the gradient, {x.dtype}")
    if not out.flags.writeable:
        raise ValueError("out is read-only; it takes a writable array")


# From options to row ufuncs


@dataclass(slots=True)
class Rows:
    """The checked arguments of a loss, as its row ufuncs take them."""

    ufunc: str
    x: np.ndarray  # what the gradient is taken by
    axis: int | None  # counted from the end; None for entries without one
    inputs: list[Any]  # target, weight, further options
    shape: tuple[int, ...]  # of the losses
    divisor: float  # of the reduction
    reduction: str

    def losses(self) -> list[Any]:
        """Return the losses of all rows; of entries without an axis, sums of pieces of them."""
        ufunc = getattr(_core, self.ufunc)
        return [ufunc(*operands, axis=axis) for operands, axis, _ in self._calls(None)]

    def gradient(self, ending: str, factor: Any, out: np.ndarray | None) -> tuple[list[Any], np.ndarray]:
        """Return what the ufunc of this ending gives: losses or none, and `factor` times the gradient of each."""
        ufunc = getattr(_core, self.ufunc + ending)
        target = np.empty(self.x.shape, self.x.dtype) if out is None or not self._may_fill(out) else out
        losses = []
        for operands, axis, place in self._calls(target):
            if ufunc.nout == 2:
                losses.append(ufunc(*operands, factor, axis=axis, out=(None, place))[0])
            else:
                ufunc(*operands, factor, axis=axis, out=place)
        if out is None:
            return losses, target
        if out is not target:
            out[...] = target
        return losses, out

    def _may_fill(self, out: np.ndarray) -> bool:
        """Whether `out` may be written piece by piece: NumPy sees overlaps of operands within one call only."""
        if self.axis is not None or self.reduction == "none":
            return True
        arrays = [v for v in (self.x, *self.inputs) if v is not None]
        return out.flags.c_contiguous and all(
            v.ctypes.data == out.ctypes.data or not np.may_share_memory(v, out) for v in arrays
        )

    def _calls(self, out: np.ndarray | None) -> Iterator[tuple[list[Any], int, Any]]:
        """The operands of each call, its axis, and its part of `out`."""
        if self.axis is not None:
            yield [self.x, *self.inputs], self.axis, out
            return
        rows = _alone if self.reduction == "none" else _pieces
        x = list(rows(self.x))
        inputs = [[_absent(r.shape[-1], working_dtype(r.dtype)) for r in x] if v is None else rows(v) for v in self.inputs]
        outs = [None] * len(x) if out is None else rows(out)
        for first, *others, part in zip(x, *inputs, outs, strict=True):
            yield [first, *others], -1, part

    def reduce(self, losses: list[Any]) -> Any:
        if self.reduction == "none":
            return losses[0]
        return _core.reduce(losses, self.divisor, working_dtype(self.x.dtype))

    def upstream(self, grad: ArrayLike) -> Any:
        """The loss's upstream gradient as the factor of each row's gradient."""
        factor = float_array("grad", grad)
        wanted = self.shape if self.reduction == "none" else ()
        if factor.shape != wanted:
            raise ValueError(
                f"grad has shape {factor.shape}; for reduction={self.reduction!r} it takes "
                + (f"the shape of the losses, {wanted}" if wanted else "a scalar")
            )
        with np.errstate(all="ignore"):
            return (factor / self.divisor).astype(working_dtype(self.x.dtype), copy=False)


def _class_axis(name: str, x: np.ndarray, axis: int) -> tuple[int, int, tuple[int, ...]]:
    """The axis counted from the end, the number of classes, and the shape of the rows."""
    axis = operator.index(axis)
    if not -x.ndim <= axis < x.ndim:
        raise np.exceptions.AxisError(axis, x.ndim)
    axis %= x.ndim
    if x.shape[axis] == 0:
        raise ValueError(f"{name} has shape {x.shape}, so the class axis {axis} is empty; it takes 1 class or more")
    return axis - x.ndim, x.shape[axis], x.shape[:axis] + x.shape[axis + 1 :]


def _check_shape(name: str, array: np.ndarray, x_name: str, x: np.ndarray) -> None:
    if array.shape != x.shape:
        raise ValueError(f"{name} has shape {array.shape}; it takes the shape of {x_name}, {x.shape}")


def _prepare_targets(
    loss: Loss,
    x: np.ndarray,
    target: np.ndarray,
    axis: int,
    weight: ArrayLike | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float | None = None,
    z_loss: float | None = None,
) -> Rows:
    """Classes, or probabilities of them."""
    name = loss.name_of_x
    axis, classes, rows = _class_axis(name, x, axis)
    try:
        ignore_index = operator.index(ignore_index)
    except TypeError:
        raise TypeError(f"ignore_index is {ignore_index!r}; it takes an integer") from None
    weights = None if weight is None else _class_weight(weight, classes, x.dtype)
    options = []
    if label_smoothing is not None:
        smoothing = float(label_smoothing)
        if not 0 <= smoothing <= 1:
            raise ValueError(f"label_smoothing is {label_smoothing}; it takes a number in [0, 1]")
        with np.errstate(all="ignore"):
            weight_sum = classes if weights is None else np.sum(weights, dtype=np.float64)
        options = [working_dtype(x.dtype).type(number) for number in (weight_sum, smoothing, z_loss)]
    if target.dtype.kind in "iu" or (target.size == 0 and target.shape == rows):
        ufunc = loss.name + "_class"
        target, divisor = _class_targets(target, rows, classes, ignore_index, weights)
    elif is_real(target.dtype):
        ufunc, divisor = loss.name + "_probabilities", float(math.prod(rows))
        _check_shape("targets", target, name, x)
        target = _cast(target, x.dtype)
    else:
        raise TypeError(f"targets has dtype {target.dtype}; it takes integers (classes) or floats (probabilities)")
    if weights is None:
        weights = _absent(classes, working_dtype(x.dtype))
    along = weights.reshape(classes, *[1] * (-1 - axis))
    return Rows(ufunc, x, axis, [target, along, *options], rows, divisor, reduction)


def _prepare_rows(loss: Loss, x: np.ndarray, target: np.ndarray, axis: int, reduction: str) -> Rows:
    """Two rows."""
    target_name, name = loss.arguments
    if target.dtype.kind in INTEGERS:
        target = _cast(target, x.dtype)
    target = float_array(target_name, target)
    _check_shape(target_name, target, name, x)
    axis, classes, rows = _class_axis(name, x, axis)
    dtype = np.result_type(x, target)
    absent = _absent(classes, working_dtype(dtype)).reshape(classes, *[1] * (-1 - axis))
    inputs = [_cast(target, dtype), absent]
    return Rows(loss.name, _cast(x, dtype), axis, inputs, rows, float(math.prod(rows)), reduction)


def _prepare_elements(loss: Loss, x: np.ndarray, target: np.ndarray, reduction: str, **weights: ArrayLike | None) -> Rows:
    """Two entries."""
    name = loss.name_of_x
    if target.dtype.kind not in INTEGERS and not is_real(target.dtype):
        raise TypeError(f"targets has dtype {target.dtype}; it takes floats, booleans or integers")
    _check_shape("targets", target, name, x)
    x = np.asarray(x, order="C")
    inputs: list[Any] = [np.asarray(_cast(target, x.dtype), order="C")]
    for key, value in weights.items():
        inputs.append(None if value is None else _entry_weight(key, value, name, x))
    return Rows(loss.name, x, None, inputs, x.shape, float(x.size), reduction)


_PREPARE: dict[str, Callable[..., Rows]] = {
    "targets": _prepare_targets,
    "rows": _prepare_rows,
    "elements": _prepare_elements,
}


def prepare(loss: Loss, first: ArrayLike, second: ArrayLike, reduction: str, **options: Any) -> Rows:
    """Check all arguments, before anything is computed."""
    if reduction not in _REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; it takes 'mean', 'sum' or 'none'")
    if loss.kind == "rows":
        first, second = second, first
    x = float_array(loss.name_of_x, first)
    rows = _PREPARE[loss.kind](loss, x, np.asarray(second), reduction=reduction, **options)
    if loss.name_of_x == "probs":
        _check_probabilities(rows)
    if reduction != "mean":
        rows.divisor = 1.0
    return rows
