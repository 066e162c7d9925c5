"""Softmax's family and the losses on dask arrays: lazily, whatever the chunks, with a split class axis too.

They have the names and arguments of nonlin's own functions, but for `out`:

>>> import dask.array as da
>>> import nonlin.dask
>>> logits = da.ones((4, 6), chunks=(2, 3))
>>> loss, grad = nonlin.dask.cross_entropy_with_grad(logits, [0, 1, 2, 3])
>>> grad.chunks
((2, 2), (3, 3))
>>> print(loss.compute().round(3))
1.792

Blocks of whole rows go to nonlin's own functions, and have their bits. Where the class axis is split, every block gives the
maxima and sums of its pieces of rows; these are merged, and the blocks finished with them. Sums are float64 and are added up
in trees that the chunks alone decide, so that no scheduler, number of workers or death of one changes a bit.
"""

import dataclasses
import functools
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core, _losses, _others, _softmax
from ._dtypes import working_dtype
from ._engines import LOSSES, WEIGHTS, axes_of, axis_of, function_of, given_among, loss_of, parameters_of

try:
    import dask.array as da
    from dask.array.utils import meta_from_array
except ImportError as error:
    raise ImportError("nonlin.dask needs dask: pip install nonlin[dask]") from error

Array = Any  # NumPy's; what indexing or the extension makes of one has no type
Axes = tuple[int, ...]

_FAN_IN = 8  # of the trees
_SLICE = 1 << 18  # entries that are a slice of a block
_PAIR = np.dtype([("m", "f8"), ("r", "f8")])  # what logsumexp_partial gives, as one array
# Of a cross-entropy sum(a (logsumexp(x) - x)), which weighs entries by a: sum(a (m - x)), the largest a or that of a target,
# and the sum of the others, which keeps its digits, like r beside m, where one entry has nearly all of the weight.
_PIECE = np.dtype([*_PAIR.descr, ("loss", "f8"), ("most", "f8"), ("rest", "f8")])
_HINT = "call compute_chunk_sizes() on the dask arrays first"


# ---------------------------------------------------------------- arrays and their chunks


def _lazy(name: str, value: Any) -> Any:
    """A value as a dask array, an array of NumPy, or a number; nothing is computed."""
    if isinstance(value, da.Array):
        blocks = type(meta_from_array(value))
        if blocks is not np.ndarray:
            raise TypeError(
                f"{name} has blocks of type {blocks.__name__}; it takes those of NumPy: x.map_blocks(np.asarray)"
            )
        return value
    if hasattr(type(value), "to_dask_array"):
        return value.to_dask_array()
    if _others.is_lazy(value):
        raise TypeError(
            f"{name} is a {type(value).__name__}, which is not computed yet; it takes dask arrays and plain ones"
        )
    plain = _others.plain(name, value)
    return plain if type(plain) in (bool, int, float) else np.asarray(plain)


def _options(given: Mapping[str, Any], operands: Sequence[str]) -> dict[str, Any]:
    """The other arguments, which are known at once."""
    options = {n: v for n, v in given.items() if n not in operands}
    for name, value in options.items():
        if _others.is_lazy(value):
            raise TypeError(f"{name} is a {type(value).__name__}, which is not computed yet; it takes {name}.compute()")
    return options


def _stand_in(value: Any) -> Any:
    """One number in place of an array of the same dtype and number of axes: what nonlin says of it, it says of the array."""
    return np.zeros((1,) * value.ndim, value.dtype) if isinstance(value, da.Array | np.ndarray) else value


def _chunked(name: str, value: Any, like: Any, axes: Sequence[int]) -> Any:
    """A dask array in the chunks of another one, whose `axes` it has, and of as many axes; those it lacks have length 1."""
    if np.ndim(value) == 0:
        return value
    wanted = [(1,) if n == 1 and like.shape[i] != 1 else like.chunks[i] for n, i in zip(value.shape, axes, strict=True)]
    if not isinstance(value, da.Array):
        if any(math.isnan(sum(c)) for c in wanted):
            raise ValueError(f"{name} is no dask array, beside one whose chunks have unknown sizes: {_HINT}")
        value = da.from_array(value, chunks=tuple(wanted))
    for own, chunks in zip(value.chunks, wanted, strict=True):
        if own != chunks and math.isnan(sum(own) + sum(chunks)):
            raise ValueError(f"{name} has chunks {own}, unknown ones, where others have {chunks}: {_HINT}")
    value = value.rechunk(tuple(wanted))
    return value[tuple(slice(None) if i in axes else None for i in range(like.ndim))]


def _check_shape(name: str, value: Any, main: str, taken: Sequence[float], of: str, broadcasts: bool = False) -> None:
    """Raise ValueError for a shape that is not the one taken, nor broadcasts to it; unknown lengths fit all."""
    shape = np.shape(value) if not hasattr(value, "shape") else value.shape
    pairs = zip(reversed(shape), reversed(taken), strict=False)
    fits = all(a == b or math.isnan(a + b) or (broadcasts and a == 1) for a, b in pairs)
    if not fits or (len(shape) > len(taken) if broadcasts else len(shape) != len(taken)):
        verb = "one that broadcasts to" if broadcasts else "that of"
        raise ValueError(f"{name} has shape {shape}; it takes {verb} {of} {main}, {tuple(taken)}")


def _joined(x: Any, axes: Axes) -> Any:
    """The same rows in chunks that hold whole ones, and fewer of them."""
    rows = {} if math.isnan(sum(x.shape)) else dict.fromkeys(range(x.ndim), "auto")
    return x.rechunk({**rows, **dict.fromkeys(axes, -1)})


def _map(
    f: Callable[..., Any],
    arrays: Sequence[Any],
    like: Any,
    dtype: Any,
    *,
    ones: Sequence[int] = (),
    drop: Sequence[int] = (),
    **keywords: Any,
) -> Any:
    """Map arrays that broadcast to one in the chunks of `like`, but of length 1 along some axes, or without some."""
    chunks = [(1,) * len(c) if i in ones else c for i, c in enumerate(like.chunks)]
    kept = tuple(c for i, c in enumerate(chunks) if i not in drop)
    if drop:
        keywords["drop_axis"] = list(drop)
    return da.map_blocks(f, *arrays, chunks=kept, dtype=dtype, meta=np.empty((0,) * len(kept), dtype), **keywords)


def _tree(merge: Callable[..., Any], pieces: Any, axes: Sequence[int]) -> Any:
    """One piece from those of all blocks along these axes, whose length becomes 1."""
    if all(n == 1 for n in pieces.shape) or not axes:
        return pieces
    meta = np.empty((0,) * pieces.ndim, pieces.dtype)
    return da.reduction(pieces, merge, merge, tuple(axes), True, pieces.dtype, split_every=_FAN_IN, combine=merge, meta=meta)


def _sum(a: Array, axis: Any, keepdims: bool) -> Array:
    return np.sum(np.ascontiguousarray(a), axis=axis, keepdims=keepdims)  # one order of memory: one order of the sum


# ---------------------------------------------------------------- pieces of rows


def _rows_last(x: Array, axes: Axes) -> Array:
    """The class axes as one, the last."""
    if len(axes) == 1:
        return np.moveaxis(x, axes[0], -1)
    last = np.moveaxis(x, axes, range(-len(axes), 0))
    return last.reshape(*last.shape[: -len(axes)], -1)


def _rows_back(rows: Array, axes: Axes, shape: tuple[int, ...]) -> Array:
    """The inverse of `_rows_last`, for an array of that shape."""
    if len(axes) == 1:
        return np.moveaxis(rows, -1, axes[0])
    batch = [n for i, n in enumerate(shape) if i not in axes]
    return np.moveaxis(rows.reshape(*batch, *(shape[i] for i in axes)), range(-len(axes), 0), axes)


def _wide(x: Array) -> Array:
    """16-bit floats as float32, and integers as float64."""
    x = _core.float_array("x", x)
    return x.astype(working_dtype(x.dtype), copy=False)


def _left(x: Array, where: Array | None, scale: float) -> Array:
    """A block as the function sees it: scaled, and -inf in place of what `where` leaves out."""
    x = _core.float_array("x", x)
    if scale != 1:
        x = x * x.dtype.type(scale)
    return x if where is None else np.where(where, x, x.dtype.type(-np.inf))


@np.errstate(all="ignore")
def _pair(x: Array, where: Array | None, *, axes: Axes, scale: float) -> Array:
    rows = _wide(_rows_last(_left(x, where, scale), axes))
    pair = np.empty(rows.shape[:-1], _PAIR)
    pair["m"], pair["r"] = _pair_of_rows(rows)
    return np.expand_dims(pair, axes)


def _pair_of_rows(rows: Array) -> tuple[Any, Any]:
    empty = np.full(rows.shape[:-1], -np.inf), np.full(rows.shape[:-1], -1.0)
    return _core.logsumexp_partial(rows, -1) if rows.shape[-1] else empty


@np.errstate(all="ignore")
def _merged(a: Array, axis: Any, keepdims: bool) -> Array:
    """Pieces along these axes as one: neighbours are merged until one is left."""
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    pieces = np.moveaxis(_rows_last(a, axes), -1, 0)
    while len(pieces) > 1:
        one, other, last = pieces[:-1:2], pieces[1::2], pieces[len(pieces) // 2 * 2 :]
        both = np.empty(one.shape, a.dtype)
        both["m"], both["r"] = _core.logsumexp_merge(one["m"], one["r"], other["m"], other["r"])
        if a.dtype == _PIECE:
            gaps = [np.where(p["m"] == both["m"], 0, both["m"] - p["m"]) for p in (one, other)]
            losses = [p["loss"] + _weighed(p["most"] + p["rest"], g) for p, g in zip((one, other), gaps, strict=True)]
            both["loss"] = losses[0] + losses[1]
            is_first = np.abs(one["most"]) >= np.abs(other["most"])
            both["most"] = np.where(is_first, one["most"], other["most"])
            both["rest"] = one["rest"] + other["rest"] + np.where(is_first, other["most"], one["most"])
        pieces = np.concatenate([both, last])
    return np.expand_dims(pieces[0], axes)


def _weighed(a: Any, x: Any) -> Any:
    """``a x``, where an `a` of 0 counts as nothing even beside an infinite `x`."""
    return np.where(a == 0, 0, a * x)


@np.errstate(all="ignore")
def _finish_rows(
    x: Array, pair: Array, where: Array | None, grad: Any, *, function: str, axes: Axes, scale: float, kept: Any
) -> Array:
    """softmax or log_softmax of a block, or times the upstream gradients of rows, from the pairs of its rows."""
    rows = _wide(_rows_last(_left(x, where, scale), axes))
    if rows.shape[-1] == 0:
        return x.astype(kept)
    pair = np.squeeze(pair, axes)
    result = _rows_back(getattr(_softmax, function + "_from")(rows, pair["m"], pair["r"]), axes, x.shape)
    if grad is not None:
        result = result * np.asarray(grad, result.dtype)
    if where is not None:
        result = np.where(where, result, result.dtype.type(0 if function == "softmax" else -np.inf))
    return result.astype(kept, copy=False)


@np.errstate(all="ignore")
def _finish_sum(pair: Array, *, axes: Axes, kept: Any, keepdims: bool) -> Array:
    result = _core.logsumexp_finish(pair["m"], pair["r"]).astype(kept)
    return result if keepdims else np.squeeze(result, axes)


def _field(pair: Array, *, field: str, axes: Axes, kept: Any) -> Array:
    return np.squeeze(pair[field], axes).astype(kept)


@np.errstate(all="ignore")
def _products(grad: Array, y: Array, where: Array | None, *, axes: Axes, function: str) -> Array:
    """The sums that the gradients of softmax and log_softmax need, of a block."""
    terms = np.multiply(grad, y, dtype=np.float64) if function == "softmax" else grad.astype(np.float64)
    if where is not None:
        terms = np.where(where, terms, 0)
    return np.sum(np.ascontiguousarray(terms), axis=axes, keepdims=True)


@np.errstate(all="ignore")
def _finish_gradient(
    grad: Array, y: Array, where: Array | None, total: Array, *, function: str, scale: float, kept: Any
) -> Array:
    wide = y.astype(np.float64)
    result = (wide * (grad - total) if function == "softmax" else grad - np.exp(wide) * total) * scale
    return (result if where is None else np.where(where, result, 0)).astype(kept)


# ---------------------------------------------------------------- the row functions

_OF_ROWS = {"logsumexp_backward": ("grad",), "softmax_from": ("m", "r"), "log_softmax_from": ("m", "r")}
_OPERANDS = ("x", "y", "grad", "m", "r", "b", "where")


def _call_rows(
    *blocks: Any, function: str, names: tuple[str, ...], axis: Any, axes: Axes, part: int, kept: Any, options: Any
) -> Any:
    """A function on blocks of whole rows, or on pieces of rows; one of its results, where it has two."""
    given = dict(zip(names, blocks, strict=True))
    if function.endswith("_from") and given["x"].size == 0:
        return given["x"].astype(kept)
    for name in _OF_ROWS.get(function, ()):
        if np.ndim(given[name]):
            given[name] = np.squeeze(given[name], axes)
    result = getattr(_softmax, function)(**given, axis=axis, **options)
    return np.asarray(result[part] if isinstance(result, tuple) else result)


def _leading(arrays: Mapping[str, Any], main: str, others: Sequence[str]) -> Any:
    """A dask array of the shape to which an operand and others broadcast, whose chunks all take."""
    full = {n: arrays[n] for n in (main, *others) if np.ndim(arrays[n])}
    known = all(not math.isnan(sum(a.shape)) for a in full.values())
    try:
        shape = np.broadcast_shapes(*(a.shape for a in full.values())) if known else arrays[main].shape
    except ValueError:
        shapes = " and ".join(f"{n} has shape {a.shape}" for n, a in full.items())
        raise ValueError(f"{shapes}; they take shapes that fit together") from None
    for a in (arrays[main], *arrays.values()):
        if isinstance(a, da.Array) and (a.shape == shape or (not known and a.ndim == len(shape))):
            return a
    x = arrays[main]
    return da.broadcast_to(x if isinstance(x, da.Array) else da.from_array(np.asarray(x), -1), shape)


def _row_function(function: str, given: dict[str, Any]) -> Any:
    arrays = {n: _lazy(n, v) for n, v in given_among(given, _OPERANDS).items()}
    options = _options(given, (*_OPERANDS, "axis"))
    main = "x" if "x" in arrays else "y"
    of_rows = _OF_ROWS.get(function, ())
    like = _leading(arrays, main, [n for n in arrays if n not in (main, "where", *of_rows)])
    _core.float_array(main, _stand_in(arrays[main]))  # raises for what are no numbers
    axes = axes_of(given["axis"], like.ndim)
    axis: Any = axes[0] if len(axes) == 1 else axes
    batch = [i for i in range(like.ndim) if i not in axes]
    if any(like.shape[i] == 0 for i in axes):
        raise ValueError(f"{main} has shape {like.shape}, whose class axis is empty; it takes 1 class or more")
    for n, a in arrays.items():
        if n in of_rows:
            _check_shape(n, a, main, [like.shape[i] for i in batch], "the rows of", broadcasts=True)
        else:
            _check_shape(n, a, main, like.shape, "the shape of", broadcasts=True)
            for i in axes if n not in ("where", "b") else ():
                own = a.shape[i - like.ndim] if a.ndim >= like.ndim - i else 1
                if own != like.shape[i] and not math.isnan(own + like.shape[i]):
                    raise ValueError(f"{n} has shape {a.shape}; it takes the class axis of {main}, {like.shape}")
    dtype = getattr(arrays[main], "dtype", np.float64)
    stand_ins = {n: _stand_in(a) for n, a in arrays.items()} | {main: np.zeros((1,) * like.ndim, dtype)}
    probe = getattr(_softmax, function)(**stand_ins, axis=axis, **options)  # checks options, and has the dtypes of results

    split = any(like.numblocks[i] > 1 for i in axes) and not function.endswith("_from")
    if split and ("b" in arrays or options.get("return_sign")):
        like, split = _joined(like, axes), False
    blocks = {}
    for n, a in arrays.items():
        own = batch[len(batch) - np.ndim(a) :] if n in of_rows else range(like.ndim - np.ndim(a), like.ndim)
        blocks[n] = _chunked(n, a, like, own)
    scale = options.get("scale", 1.0)
    parts = probe if isinstance(probe, tuple) else (probe,)
    has_rows = not function.startswith("logsumexp") or function.endswith("_backward")
    keepdims = options.get("keepdims", False)
    shape: dict[str, Any] = {} if has_rows else {"ones": axes} if keepdims else {"drop": axes}
    if split:
        results = _split_rows(function, blocks, like, axes, scale, [p.dtype for p in parts], shape)
    else:
        keywords = {"function": function, "names": tuple(blocks), "axis": axis, "axes": axes, "options": options}
        results = tuple(
            _map(_call_rows, list(blocks.values()), like, p.dtype, part=i, kept=p.dtype, **keywords, **shape)
            for i, p in enumerate(parts)
        )
    return results if isinstance(probe, tuple) else results[0]


def _split_rows(
    function: str, blocks: Mapping[str, Any], like: Any, axes: Axes, scale: float, dtypes: list[Any], shape: dict[str, Any]
) -> tuple[Any, ...]:
    """A row function of pieces of rows."""
    name = function.removesuffix("_backward")
    where, kept = blocks.get("where"), dtypes[0]
    if name != function and name != "logsumexp":
        grad, y = blocks["grad"], blocks["y"]
        products = _map(_products, (grad, y, where), like, np.float64, ones=axes, axes=axes, function=name)
        total = _tree(_sum, products, axes)
        return (_map(_finish_gradient, (grad, y, where, total), like, kept, function=name, scale=scale, kept=kept),)
    x = blocks["x"]
    pair = _tree(_merged, _map(_pair, (x, where), like, _PAIR, ones=axes, axes=axes, scale=scale), axes)
    if function == "logsumexp":
        return (_map(_finish_sum, (pair,), pair, kept, axes=axes, kept=kept, keepdims="ones" in shape, **shape),)
    if function == "logsumexp_partial":
        return tuple(
            _map(_field, (pair,), pair, d, field=f, axes=axes, kept=d, drop=axes) for f, d in zip("mr", dtypes, strict=True)
        )
    grad = blocks.get("grad")
    kind = "softmax" if name == "logsumexp" else name
    return (_map(_finish_rows, (x, pair, where, grad), like, kept, function=kind, axes=axes, scale=scale, kept=kept),)


def _jacobian(function: str, given: dict[str, Any]) -> Any:
    y = _lazy("y", given["y"])
    axis = axis_of(given["axis"], y.ndim)
    dtype = getattr(_softmax, function)(_stand_in(y), axis).dtype
    if math.isnan(y.shape[axis]):
        raise ValueError(f"y has an unknown length along its class axis: {_HINT}")
    if y.numblocks[axis] > 1:
        y = _joined(y, (axis,))
    rows = da.moveaxis(y, axis, -1)
    return da.map_blocks(
        getattr(_softmax, function),
        rows,
        chunks=(*rows.chunks, rows.chunks[-1]),
        new_axis=rows.ndim,
        dtype=dtype,
        meta=np.empty((0,) * (rows.ndim + 1), dtype),
    )


# ---------------------------------------------------------------- losses

_OF_SOFTMAX = ("cross_entropy", "kl_divergence_with_logits")  # a piece of their rows gives sums beside a pair
_SUMS = ("nll_loss", "categorical_cross_entropy", "kl_divergence")  # a piece of their rows gives a loss


@dataclasses.dataclass(frozen=True)
class _Loss:
    """What blocks have to know of the loss that they are part of."""

    name: str
    main: str  # what the gradient is taken by
    target: str
    of_class: bool
    axes: Axes  # the class axis, or none
    classes: int
    options: dict[str, Any]
    dtype: Any  # to compute in
    starts: tuple[tuple[float, ...], ...]  # of the chunks, along every axis; NaN where that is not known

    def given(self, names: Sequence[str], blocks: Sequence[Any]) -> dict[str, Any]:
        """The arguments of a block: those of rows without the class axis."""
        given = dict(zip(names, blocks, strict=True))
        for name in ("grad", "sample_weight", "divisor", *((self.target,) if self.of_class else ())):
            if name in given and np.ndim(given[name]):
                given[name] = np.squeeze(given[name], self.axes) if name != "divisor" else given[name].reshape(())
        if self.axes and "weight" in given:
            given["weight"] = given["weight"].reshape(-1)
        return given

    def run(self, function: str, given: dict[str, Any], block_id: Any, **options: Any) -> Any:
        """A function of nonlin, whose errors name positions in the whole array."""
        operands = (["grad"] if function.endswith("_backward") else []) + LOSSES[self.name]["arguments"]
        others = {n: v for n, v in given.items() if n not in operands}
        try:
            return getattr(_core, function)(*(given[n] for n in operands), **{**self.options, **others, **options})
        except (IndexError, ValueError) as error:
            raise self._elsewhere(error, block_id) from None

    def total(self, given: dict[str, Any], block_id: Any) -> float:
        """The divisor of a block's mean; raises for targets that are no classes."""
        if not self.axes:
            return float(given[self.main].size)
        rows = given[self.target if self.of_class else "sample_weight"]
        shape = list(np.shape(rows))
        shape.insert(self.axes[0], self.classes if self.of_class else 1)
        logits = np.broadcast_to(np.zeros((), self.dtype), shape)  # stands for the logits, without memory
        others = {n: given[n] for n in ("weight", "sample_weight") if n in given}
        arguments = {self.main: logits, self.target: rows if self.of_class else logits} | others
        return float(self.run(self.name + "_divisor", arguments, block_id, reduction="mean"))

    def _elsewhere(self, error: Exception, block_id: Any) -> Exception:
        found = re.match(r"(\w+)\[([\d, ]+)\](.*)", str(error), re.DOTALL)
        if not found:
            return error
        name, position, rest = found[1], [int(i) for i in found[2].split(", ")], found[3]
        origin = [s[i] for s, i in zip(self.starts, block_id, strict=True)]
        if len(position) < len(origin):
            origin = [o for i, o in enumerate(origin) if i not in self.axes]
        if math.isnan(sum(origin)):
            return type(error)(f"{error}, in a block whose place is not known")
        places = ", ".join(str(o + i) for o, i in zip(origin, position, strict=True))
        return type(error)(f"{name}[{places}]{rest}")

    # Pieces of rows

    def local(self, given: dict[str, Any], count: int, block_id: Any) -> Array:
        """Classes counted from the first one of a block, -1 where they are not in it or ignored."""
        targets, ignored = given[self.target], given[self.target] == self.options["ignore_index"]
        start = int(self.starts[self.axes[0]][block_id[self.axes[0]]])
        here = (targets >= start) & (targets < start + count) & ~ignored
        return np.where(here, targets, 0).astype(np.int64) - np.where(here, start, 1)

    def class_weights(self, given: dict[str, Any]) -> Array:
        """Of the classes of a block, or 1."""
        return given["weight"].astype(self.dtype) if "weight" in given else 1

    def entry_weights(self, given: dict[str, Any]) -> Array:
        """What the entries of probability targets count for in the sum that a cross-entropy is, in float64."""
        smoothing = self.options.get("label_smoothing", 0.0)
        y = np.moveaxis(given[self.target], self.axes[0], -1).astype(np.float64)
        return ((1 - smoothing) * y + smoothing / self.classes) * self.class_weights(given)

    @property
    def share(self) -> float:
        """What label smoothing gives each class."""
        return float(self.options.get("label_smoothing", 0.0)) / self.classes


def _whole_losses(*blocks: Any, loss: _Loss, names: Sequence[str], block_id: Any = None) -> Array:
    """The losses of whole rows, with a class axis of length 1."""
    losses = loss.run(loss.name, loss.given(names, blocks), block_id, reduction="none", divisor=1.0)
    return np.expand_dims(losses, loss.axes)


def _whole_gradient(*blocks: Any, loss: _Loss, names: Sequence[str], kept: Any, block_id: Any = None) -> Array:
    return loss.run(loss.name + "_backward", loss.given(names, blocks), block_id).astype(kept, copy=False)


def _divisors(*blocks: Any, loss: _Loss, names: Sequence[str], block_id: Any = None) -> Array:
    total = loss.total(loss.given(names, blocks), block_id)
    return np.full((1,) * max(np.ndim(b) for b in blocks), total)


def _count(x: Array, *, axes: Axes, block_id: Any) -> Array:
    rows = x.size if not axes else x.size // x.shape[axes[0]] if block_id[axes[0]] == 0 else 0
    return np.full((1,) * x.ndim, float(rows))


def _sum_losses(*blocks: Any, loss: _Loss, names: Sequence[str], block_id: Any = None) -> Array:
    """The losses of pieces of rows, which add up to those of the rows, in float64."""
    given = loss.given(names, blocks)
    options: dict[str, Any] = {"reduction": "none", "divisor": 1.0}
    count = given[loss.main].shape[loss.axes[0]]
    if loss.of_class:
        loss.total({loss.target: given[loss.target]}, block_id)
        given[loss.target] = loss.local(given, count, block_id)
        options["ignore_index"] = -1
    else:
        given = {n: v.astype(np.float64) for n, v in given.items()}
    losses = loss.run(loss.name, given, block_id, **options) if count else given[loss.main].sum(loss.axes)
    return np.expand_dims(np.asarray(losses, np.float64), loss.axes)


def _sum_gradient(*blocks: Any, loss: _Loss, names: Sequence[str], kept: Any, block_id: Any = None) -> Array:
    given = loss.given(names, blocks)
    options = {}
    count = given[loss.main].shape[loss.axes[0]]
    if loss.of_class:
        loss.total({loss.target: given[loss.target]}, block_id)
        given[loss.target] = loss.local(given, count, block_id)
        options["ignore_index"] = -1
    if not count:
        return given[loss.main].astype(kept)
    return loss.run(loss.name + "_backward", given, block_id, **options).astype(kept, copy=False)


def _in_slices(f: Callable[..., Array], blocks: Sequence[Any], loss: _Loss, names: Sequence[str], **keywords: Any) -> Array:
    """A function of blocks on slices of their rows that a cache holds: it makes many arrays on its way."""
    x = blocks[names.index(loss.main)]
    axis = next((i for i, n in enumerate(x.shape) if i not in loss.axes and n > 1), None)
    if axis is None or x.size <= _SLICE:
        return f(*blocks, loss=loss, names=names, **keywords)
    count = max(1, _SLICE * x.shape[axis] // x.size)
    result = None
    for start in range(0, x.shape[axis], count):
        part = (*(slice(None),) * axis, slice(start, start + count))
        given = [b[part] if np.ndim(b) and b.shape[axis] > 1 else b for b in blocks]
        of_part = f(*given, loss=loss, names=names, **keywords)
        if result is None:
            shape = [x.shape[axis] if i == axis else n for i, n in enumerate(of_part.shape)]
            result = np.empty(shape, of_part.dtype)
        result[part] = of_part
    return result


def _softmax_piece(*blocks: Any, loss: _Loss, names: Sequence[str], block_id: Any = None) -> Array:
    """A pair, and what a piece of rows adds to their cross-entropy."""
    if loss.of_class:
        loss.total({loss.target: loss.given(names, blocks)[loss.target]}, block_id)
    return _in_slices(_softmax_piece_of_rows, blocks, loss, names, block_id=block_id)


@np.errstate(all="ignore")
def _softmax_piece_of_rows(*blocks: Any, loss: _Loss, names: Sequence[str], block_id: Any) -> Array:
    given = loss.given(names, blocks)
    rows = np.moveaxis(given[loss.main], loss.axes[0], -1).astype(loss.dtype, copy=False)
    piece = np.zeros(rows.shape[:-1], _PIECE)
    piece["m"], piece["r"] = m, _ = _pair_of_rows(rows)
    if rows.shape[-1] == 0:
        return np.expand_dims(piece, loss.axes)
    if loss.of_class:  # most: of the target; rest: what label smoothing gives all
        k = loss.local(given, rows.shape[-1], block_id)
        at, weight = np.maximum(k, 0), np.broadcast_to(loss.class_weights(given), rows.shape[-1])
        x = np.take_along_axis(rows, at[..., None], -1)[..., 0]
        piece["most"] = np.where(k < 0, 0, (1 - loss.options.get("label_smoothing", 0.0)) * weight[at])
        piece["loss"] = _weighed(piece["most"], _gap(m, x))
        if loss.share:
            counted = given[loss.target] != loss.options["ignore_index"]
            gaps = np.subtract(m[..., None].astype(rows.dtype), rows)  # of one sign: no digits are lost
            gaps[np.isneginf(m)] = np.inf
            smooth = (gaps if "weight" not in given else _weighed(weight, gaps)).sum(-1, dtype=np.float64)
            piece["loss"] += np.where(counted, loss.share * smooth, 0)
            piece["rest"] = np.where(counted, loss.share * weight.sum(dtype=np.float64), 0)
    else:
        a = loss.entry_weights(given)
        piece["loss"] = _weighed(a, _gap(m[..., None], rows)).sum(-1)
        if loss.name == "kl_divergence_with_logits":
            piece["loss"] += _weighed(a, np.log(a)).sum(-1)
        largest = a.argmax(-1)[..., None]
        piece["most"] = np.take_along_axis(a, largest, -1)[..., 0]
        np.put_along_axis(a, largest, 0, -1)
        piece["rest"] = a.sum(-1)
    return np.expand_dims(piece, loss.axes)


def _gap(m: Any, x: Any) -> Any:
    """``m - x`` in float64, infinite for an `x` of -inf."""
    m, x = np.asarray(m, np.float64), np.asarray(x, np.float64)
    return np.where(np.isneginf(x), np.inf, m - x)


def _focus(piece: Array, gamma: float) -> tuple[Array, Array]:
    """The focal losses of rows, and the factors beyond the gradient of ``l = -log(p)``, p being the target's."""
    r, weight = piece["r"], piece["most"]
    log_loss = np.where(np.isfinite(piece["m"]), piece["loss"] / weight + np.log1p(r), np.nan)
    p, q = np.exp(-log_loss), np.where(piece["loss"] == 0, r / (1 + r), -np.expm1(-log_loss))
    slope = q**gamma * (1 + gamma * _weighed(p, np.where(q == 0, 1, log_loss / q)))
    return np.where(weight == 0, 0, weight * q**gamma * log_loss), np.where(weight == 0, 0, weight * slope)


@np.errstate(all="ignore")
def _softmax_losses(*blocks: Any, loss: _Loss, names: Sequence[str]) -> Array:
    given = dict(zip(names, blocks, strict=True))
    p = given["piece"]
    if "gamma" in loss.options:
        return _focus(p, loss.options["gamma"])[0]
    log_sum = np.where(np.isfinite(p["m"]), np.log1p(p["r"]), np.nan)
    losses = p["loss"] + _weighed(p["most"] + p["rest"], log_sum)
    z_loss = loss.options.get("z_loss", 0.0)
    if z_loss:
        losses += z_loss * (p["m"] + log_sum) ** 2
    return losses if not loss.of_class else np.where(given[loss.target] == loss.options["ignore_index"], 0, losses)


def _softmax_gradient(*blocks: Any, loss: _Loss, names: Sequence[str], kept: Any, block_id: Any = None) -> Array:
    return _in_slices(_softmax_gradient_of_rows, blocks, loss, names, kept=kept, block_id=block_id)


@np.errstate(all="ignore")
def _softmax_gradient_of_rows(*blocks: Any, loss: _Loss, names: Sequence[str], kept: Any, block_id: Any) -> Array:
    """``p sum(a) - a`` of each entry, as p times the others' `a` and its own times 1 - p, which keeps its digits."""
    given = loss.given(names, blocks)
    axis = loss.axes[0]
    rows = np.moveaxis(given[loss.main], axis, -1).astype(loss.dtype, copy=False)
    if rows.shape[-1] == 0:
        return given[loss.main].astype(kept)
    piece = np.squeeze(given["piece"], axis)
    m, r = piece["m"], piece["r"]
    factor = np.asarray(given["grad"], np.float64) / given["divisor"]
    counted = np.ones(m.shape, bool)
    if "sample_weight" in given:
        factor = factor * np.asarray(given["sample_weight"], np.float64)
        counted &= np.asarray(given["sample_weight"]) != 0
    if loss.of_class:
        counted &= given[loss.target] != loss.options["ignore_index"]
    factor = np.broadcast_to(factor, m.shape)
    z_loss = loss.options.get("z_loss", 0.0)
    z_slope = 2 * z_loss * _core.logsumexp_finish(m, r) if z_loss else np.zeros(m.shape)
    p = _softmax.softmax_from(rows, m, r)
    rest_of_1 = r / (1 + r)  # beside the largest entry
    most, rest = piece["most"], piece["rest"]
    if "gamma" in loss.options:
        most = _focus(piece, loss.options["gamma"])[1]
    if loss.of_class:
        k = loss.local(given, rows.shape[-1], block_id)
        at = np.maximum(k, 0)[..., None]
        own_x, own_p = (np.take_along_axis(a, at, -1)[..., 0].astype(np.float64) for a in (rows, p))
        result = p * ((most + rest + z_slope) * factor).astype(p.dtype)[..., None]
        own = (rest + z_slope) * own_p - most * np.where(own_x == m, rest_of_1, 1 - own_p)
        if loss.share:
            smooth = np.broadcast_to(loss.share * np.asarray(loss.class_weights(given), np.float64), rows.shape[-1])
            result -= (smooth * factor[..., None]).astype(p.dtype)
            own -= smooth[at[..., 0]]
        others = np.take_along_axis(result, at, -1)[..., 0]
        np.put_along_axis(result, at, np.where(k < 0, others, own * factor)[..., None], -1)
    else:
        a = loss.entry_weights(given)
        most, rest = most[..., None], rest[..., None]
        others = np.where(a == most, rest, (most - a) + rest)
        result = p * (others + z_slope[..., None]) - a * np.where(rows == m[..., None], rest_of_1[..., None], 1 - p)
        result *= factor[..., None]
    result[~counted] = 0
    return np.moveaxis(result, -1, axis).astype(kept)


@np.errstate(all="ignore")
def _weigh_losses(losses: Array, of_rows: Any, *, kept: Any, axes: Axes) -> Array:
    if of_rows is not None:
        losses = _weighed(np.asarray(of_rows, np.float64), losses)
    return np.squeeze(losses, axes).astype(kept)


@np.errstate(all="ignore")
def _sum_of_losses(losses: Array, of_rows: Any) -> Array:
    wide = losses.astype(np.float64)
    if of_rows is not None:
        wide = _weighed(np.asarray(of_rows, np.float64), wide)
    return _sum(wide, None, True)


@np.errstate(all="ignore")
def _quotient(total: Array, divisor: Any, *, kept: Any) -> Array:
    return np.reshape(np.true_divide(total, divisor), ()).astype(kept)


class _Call:
    """A call of a loss: its arguments, checked and in common chunks, and the graphs made of them."""

    def __init__(self, name: str, ending: str, given: dict[str, Any]) -> None:
        row = LOSSES[name]
        main, target = row["operand"], row["target"]
        names = ("grad", *row["arguments"], *WEIGHTS)
        arrays = {n: _lazy(n, v) for n, v in given_among(given, names).items()}
        for n in (main, target):
            arrays[n] = arrays[n] if isinstance(arrays[n], da.Array) else np.asarray(arrays[n])
        options = _options(given, names)
        x, targets = arrays[main], arrays[target]
        _core.float_array(main, _stand_in(x))  # raises for what are no numbers
        axes: Axes = () if row["kind"] == "elements" else (axis_of(given["axis"], x.ndim),)
        if axes:
            options["axis"] = axes[0]
        of_class = row["kind"] == "targets" and targets.ndim == x.ndim - 1 and targets.dtype.kind in "iu"
        self.batch = [i for i in range(x.ndim) if i not in axes]
        self.loss = _Loss(name, main, target, of_class, axes, x.shape[axes[0]] if axes else 1, options, None, ())
        self._check_shapes(arrays)
        probe = getattr(_losses, name + ending)(**{n: _stand_in(a) for n, a in arrays.items()}, **options)
        self.kept = probe.dtype
        self.loss = dataclasses.replace(self.loss, dtype=working_dtype(self.kept))
        self._chunk(arrays)

    def _check_shapes(self, arrays: dict[str, Any]) -> None:
        loss, reduction = self.loss, self.loss.options["reduction"]
        x, targets = arrays[loss.main], arrays[loss.target]
        rows = [x.shape[i] for i in self.batch]
        taken, of = (rows, "the rows of") if loss.of_class else (x.shape, "the shape of")
        try:
            _check_shape(loss.target, targets, loss.main, taken, of)
        except ValueError:  # nonlin says more: what may have been meant
            dtypes, sizes = (np.float64, targets.dtype), (x.shape, targets.shape)
            shapes = [[1 if math.isnan(n) else n for n in shape] for shape in sizes]
            stand_ins = [np.broadcast_to(np.zeros((), d), shape) for d, shape in zip(dtypes, shapes, strict=True)]
            getattr(_losses, loss.name)(**dict(zip((loss.main, loss.target), stand_ins, strict=True)), **loss.options)
            raise
        if math.isnan(loss.classes):
            raise ValueError(f"{loss.main} has an unknown length along its class axis: {_HINT}")
        if loss.classes == 0:
            raise ValueError(f"{loss.main} has shape {x.shape}, whose class axis is empty; it takes 1 class or more")
        if "weight" in arrays and loss.axes:
            _check_shape("weight", arrays["weight"], "classes", [loss.classes], "the number of")
        for name in ("weight", "pos_weight"):
            if name in arrays and not loss.axes:
                _check_shape(name, arrays[name], loss.main, x.shape, "the shape of", broadcasts=True)
        if "sample_weight" in arrays and np.ndim(arrays["sample_weight"]):
            _check_shape("sample_weight", arrays["sample_weight"], loss.main, rows, "the rows of")
        if "grad" in arrays and np.ndim(arrays["grad"]):
            if reduction != "none":
                raise ValueError(f"grad has shape {arrays['grad'].shape}; for reduction={reduction!r} it takes a scalar")
            _check_shape("grad", arrays["grad"], loss.main, rows, "the losses of", broadcasts=True)

    def _chunk(self, arrays: dict[str, Any]) -> None:
        loss = self.loss
        x, targets = arrays[loss.main], arrays[loss.target]
        if not isinstance(x, da.Array):
            chunks = list(targets.chunks) if isinstance(targets, da.Array) else [-1] * targets.ndim
            if loss.of_class:
                chunks.insert(loss.axes[0], -1)
            x = da.from_array(x, chunks=tuple(chunks))
        self.chunks = x.chunks  # of the gradient
        self.split = any(x.numblocks[i] > 1 for i in loss.axes)
        is_merged = loss.name in (*_OF_SOFTMAX, *_SUMS) or (loss.name == "focal_loss" and loss.of_class)
        if self.split and not is_merged:
            x, self.split = _joined(x, loss.axes), False
        self.like = x
        axes: dict[str, Any] = {
            "sample_weight": self.batch,
            "grad": self.batch,
            loss.target: self.batch if loss.of_class else range(x.ndim),
        }
        axes |= {"weight": loss.axes} if loss.axes else {}
        self.arrays = {}
        for name, value in arrays.items():
            own = axes.get(name, range(x.ndim))
            self.arrays[name] = _chunked(name, value, x, own[len(own) - np.ndim(value) :])
        self.arrays[loss.main] = x
        if np.ndim(self.arrays[loss.target]) == 0 and x.ndim:  # the class of the only row
            self.arrays[loss.target] = da.asarray(self.arrays[loss.target]).reshape((1,))
        self.class_weight = arrays.get("weight") if loss.axes else None
        starts = tuple(tuple(itertools.accumulate(c, initial=0)) for c in x.chunks)
        self.loss = dataclasses.replace(loss, starts=starts)

    def map(self, f: Callable[..., Any], without: Sequence[str], dtype: Any, **keywords: Any) -> Any:
        """Blocks of the arguments, but for some of them."""
        given = {n: a for n, a in self.arrays.items() if n not in without}
        return _map(f, list(given.values()), self.like, dtype, loss=self.loss, names=tuple(given), **keywords)

    def divisor(self) -> Any:
        """Of the mean: a number, or an array of one."""
        loss, x = self.loss, self.like
        if loss.options["reduction"] != "mean":
            return 1.0
        of_rows = self.arrays.get("sample_weight")
        number: Any = of_rows if of_rows is not None and np.ndim(of_rows) == 0 else 1.0
        given = {}
        if loss.of_class:
            given[loss.target] = self.arrays[loss.target]
        if of_rows is not None and (np.ndim(of_rows) or loss.of_class):
            given["sample_weight"] = of_rows
        if not given:
            rows = math.prod(x.shape[i] for i in self.batch)
            if not math.isnan(rows):
                return rows * number
            counts = _map(_count, (x,), x, np.float64, ones=range(x.ndim), axes=loss.axes)
            return _tree(_sum, counts, range(x.ndim)) * number
        of_batch = next(a for a in given.values() if np.ndim(a))
        if loss.of_class and self.class_weight is not None:
            weight = self.class_weight
            weight = weight.rechunk(-1) if isinstance(weight, da.Array) else da.from_array(weight, -1)
            given["weight"] = weight[tuple(slice(None) if i in loss.axes else None for i in range(x.ndim))]
        totals = _map(
            _divisors, list(given.values()), of_batch, np.float64, ones=range(x.ndim), loss=loss, names=tuple(given)
        )
        return _tree(_sum, totals, range(x.ndim))

    def pieces(self) -> Any:
        piece = self.map(_softmax_piece, ("grad", "sample_weight", "divisor"), _PIECE, ones=self.loss.axes)
        return _tree(_merged, piece, self.loss.axes)

    def losses(self) -> Any:
        loss, x = self.loss, self.like
        wide = working_dtype(self.kept)
        if not self.split:
            each = self.map(_whole_losses, ("sample_weight",), wide, ones=loss.axes)
        elif loss.name in _SUMS:
            each = _tree(_sum, self.map(_sum_losses, ("sample_weight",), np.float64, ones=loss.axes), loss.axes)
        else:
            arrays = {"piece": self.pieces()} | ({loss.target: self.arrays[loss.target]} if loss.of_class else {})
            each = _map(_softmax_losses, list(arrays.values()), arrays["piece"], np.float64, loss=loss, names=tuple(arrays))
        of_rows = self.arrays.get("sample_weight")
        if loss.options["reduction"] == "none":
            return _map(_weigh_losses, (each, of_rows), each, self.kept, drop=loss.axes, kept=self.kept, axes=loss.axes)
        total = _tree(_sum, _map(_sum_of_losses, (each, of_rows), each, np.float64, ones=range(x.ndim)), range(x.ndim))
        return _map(_quotient, (total, self.divisor()), total, self.kept, drop=range(x.ndim), kept=self.kept)

    def gradient(self) -> Any:
        self.arrays["divisor"] = self.divisor()
        if not self.split:
            result = self.map(_whole_gradient, (), self.kept, kept=self.kept)
        elif self.loss.name in _SUMS:
            result = self.map(_sum_gradient, (), self.kept, kept=self.kept)
        else:
            self.arrays["piece"] = self.pieces()
            result = self.map(_softmax_gradient, (), self.kept, kept=self.kept)
        return result if result.chunks == self.chunks else result.rechunk(self.chunks)


def _loss_function(name: str, ending: str, given: dict[str, Any]) -> Any:
    if ending == "_with_grad":
        return _loss_function(name, "", given), _loss_function(name, "_backward", {"grad": 1.0, **given})
    call = _Call(name, ending, given)
    return call.gradient() if ending else call.losses()


# ---------------------------------------------------------------- the public functions


_NOTES = """`nonlin.{name}` on dask arrays, lazily.

    Parameters
    ----------
    {parameters}
        As for `nonlin.{name}`. Arrays may be dask arrays, in any chunks, or plain ones.

    Returns
    -------
    dask.array.Array
        What `nonlin.{name}` returns, of the same dtypes; a tuple where that does. Nothing is computed.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        As `nonlin.{name}`, at once, for dtypes, shapes and options; also for chunks of unknown sizes that do not match. What
        only the numbers show is raised when the result is computed.
    """


def _public(name: str, run: Callable[[dict[str, Any]], Any], count: int | None = None) -> Callable[..., Any]:
    """A function with the parameters of nonlin's own, or the first ones, but for `out`."""
    parameters = parameters_of(name)[:count]
    notes = _NOTES.format(name=name, parameters=", ".join(p.name for p in parameters))
    return function_of(__name__, name, parameters, run, notes)


def _elementwise(f: np.ufunc, given: dict[str, Any]) -> Any:
    """A ufunc of several results, which dask leaves to us."""
    arrays = {n: _lazy(n, v) for n, v in given.items()}
    main = next((n for n, a in arrays.items() if isinstance(a, da.Array)), next(iter(arrays)))
    like = _leading(arrays, main, [n for n in arrays if n != main])
    dtypes = [r.dtype for r in f(*map(_stand_in, arrays.values()))]
    arrays = {n: a if hasattr(a, "dtype") else np.asarray(a, dtypes[0]) for n, a in arrays.items()}  # numbers do not widen
    blocks = [_chunked(n, a, like, range(like.ndim - np.ndim(a), like.ndim)) for n, a in arrays.items()]
    signature = ",".join(["()"] * f.nin) + "->" + ",".join(["()"] * f.nout)
    return da.apply_gufunc(f, signature, *blocks, output_dtypes=dtypes)


def _functions() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    ufuncs = {row["name"] + "_backward": getattr(_core, row["name"] + "_backward") for row in _core.activations()}
    for name in _softmax.__all__:
        if isinstance(getattr(_core, name, None), np.ufunc):
            ufuncs[name] = getattr(_core, name)
        else:
            run = _jacobian if name.endswith("_jacobian") else _row_function
            found[name] = _public(name, functools.partial(run, name))
    for name in _losses.__all__:
        found[name] = _public(name, functools.partial(_loss_function, *loss_of(name)))
    for name, f in ufuncs.items():
        if f.nout > 1:
            found[name] = _public(name, functools.partial(_elementwise, f), f.nin)
    return found


_FUNCTIONS = _functions()
globals().update(_FUNCTIONS)
__all__ = sorted(_FUNCTIONS)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Callable[..., Any]: ...
