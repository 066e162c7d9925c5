"""Random calls of every public function beside the formulas, for as long as one likes: `make fuzz`.

A case is a function's name and a number, which make its arguments: any dtype, shape and memory layout, values that hurt, any
options. What the call returns is compared with `nonlin.reference` in the next wider format on the same numbers, at a few
places with mpmath, and the formulas with torch in float64 where that is installed. Errors count in units in the last
place, of the larger term where terms cancel. Besides: shape and dtype, ``out=`` of any kind, inputs that stay as they were,
no warning. What the package lacks, options included, is not tried.
"""

import argparse
import collections
import dataclasses
import functools
import inspect
import itertools
import math
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from ml_dtypes import bfloat16, finfo
from mpmath import mp, mpf

import nonlin as nl
from nonlin import reference

from .oracle import (
    FLOATS,
    FUNCTIONS,
    SLACK,
    Array,
    Function,
    as_tuple,
    bits,
    exact_mp,
    largest_term,
    ulp_error,
    units,
    wide,
    working_dtype,
)

try:
    import torch
except ModuleNotFoundError:
    torch = None

INTEGERS = [np.dtype(t) for t in ("?", "i1", "u1", "i2", "i4", "u4", "i8", "u8")]
LONG = np.longdouble if np.finfo(np.longdouble).nmant >= 63 else np.float64


# In ULP of the larger term, in the type of the computation.
ROWS, GRADIENTS, LOSSES_ = 4.0, 8.0, 8.0
FACTOR = 1.0  # for a product with grad or a parameter: the table's bounds are for grad = 1 and the defaults

Exactly = Iterator[tuple[int, int, mpf]]  # an output, a flat index, the value


class Expected(NamedTuple):
    """What an output has to be."""

    exact: Array  # in a wider format
    dtype: np.dtype
    bound: float
    largest: Array | None = None  # the larger term where terms cancel
    unsaid: Array | None = None  # entries that may be anything
    once: Any = 0.6  # ULP of 16 bits beside the bound: the last rounding


@dataclasses.dataclass
class Case:
    """A call, and what it has to return."""

    name: str
    given: list[Any]
    options: dict[str, Any]
    expected: list[Expected]
    out: Any = None  # the output that ``out=`` takes
    in_place: tuple[int, ...] = ()  # the arguments that it may be
    where: Array | None = None  # a ufunc's
    by_mpmath: Callable[[], Exactly] | None = None
    by_torch: Callable[[], Iterable[Any]] | None = None  # each output, or None

    def __str__(self) -> str:
        """As Python, but for large arrays."""
        words = [shown(a) for a in self.given] + [f"{name}={shown(value)}" for name, value in self.options.items()]
        return f"nl.{self.name}({', '.join(words)})"

    def call(self, given: list[Any], **out: Any) -> Any:
        """Any warning is an error, NumPy's too."""
        with warnings.catch_warnings(), np.errstate(all="raise"):
            warnings.simplefilter("error")
            return getattr(nl, self.name)(*given, **self.options, **out)


def shown(a: Any) -> str:
    if isinstance(a, np.generic):
        return f"np.{a.dtype}({a})"
    if not isinstance(a, np.ndarray):
        return repr(a)
    if a.size > 40:
        return f"<{a.dtype}, shape {a.shape}, strides {a.strides}>"
    return f"np.array({wide(a).tolist()}, {str(a.dtype)!r})".replace("nan", "np.nan").replace("inf", "np.inf")


# Numbers, shapes, and places in memory


def one_of(rng: np.random.Generator, *values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def to(a: Any, dtype: Any) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(np.asarray(a).astype(dtype))


def wider(dtype: np.dtype) -> Any:
    return LONG if dtype == np.float64 else np.float64


def numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype, special: float = 0.3) -> Array:
    """Of ordinary size, or of any; now and then with some that hurt. A stride of 0 is an axis that repeats one entry."""
    x = np.asarray(rng.standard_normal(shape))
    if dtype.kind in "biu":
        return to(np.rint(np.abs(3 * x) if dtype.kind == "u" else 3 * x), dtype)
    kind = rng.random()
    if kind < 0.1:
        x = x * 10.0 ** rng.uniform(-12, 4, shape)
    elif kind < 0.2:
        x = np.rint(2 * x) / 2
    else:
        x = x * rng.choice([0.1, 1, 3, 10, 30])
    if rng.random() < special:
        info = finfo(dtype)
        hurting = [
            0,
            -0.0,
            np.inf,
            -np.inf,
            np.nan,
            info.smallest_subnormal,
            -info.tiny,
            info.max,
            -info.max,
            88.8,
            -104,
            709,
        ]
        hit = rng.random(shape) < rng.choice([0.02, 0.3])
        x = np.where(hit, rng.choice([float(v) for v in hurting], shape), x)
    x = to(x, dtype)
    if x.size and x.ndim and rng.random() < 0.1:
        return np.broadcast_to(x.take([0], int(rng.integers(x.ndim))), shape)
    return x


def laid_out(rng: np.random.Generator, a: Array) -> Any:
    """The same array elsewhere in memory, or a list."""
    kind = int(rng.integers(10))
    if a.ndim == 0 or a.size == 0 or 0 in a.strides:
        return a
    steps = tuple(slice(None, None, int(rng.choice([-1, 1]))) for _ in a.shape)
    if kind == 1:
        return a[steps].copy()[steps]
    if kind == 2:
        order = rng.permutation(a.ndim)
        return np.ascontiguousarray(a.transpose(order)).transpose(np.argsort(order))
    if kind in (3, 4):
        view = np.zeros([3 * n for n in a.shape], a.dtype)[tuple(slice(1, None, 3) for _ in a.shape)]
        view[...] = a
        return view if kind == 3 else view[steps].copy()[steps]
    if kind == 5:
        view = np.ndarray(a.shape, a.dtype, bytearray(a.nbytes + 1), 1)
        view[...] = a
        return view
    if kind == 6 and a.dtype != bfloat16:
        return a.astype(a.dtype.newbyteorder())
    if kind == 7:
        a = a.copy()
        a.flags.writeable = False
    if kind == 8 and a.dtype in (np.float64, np.int64, np.bool):
        return a.tolist()
    return a


def some_shape(rng: np.random.Generator, least: int = 0) -> tuple[int, ...]:
    """Up to four axes; now and then long ones, rarely one that is work for several threads."""
    kind = rng.random()
    if kind < 0.01:
        return (int(rng.choice([5000, 70_000])),)
    if kind < 0.06:
        return (int(rng.integers(1, 20)), int(rng.choice([33, 64, 100, 300, 1025])))[:: int(rng.choice([-1, 1]))]
    ndim = int(rng.integers(least, 5))
    sides = [1, 2, 3, 4, 5, 7, 8, 9, 16, 17] if ndim < 3 else [1, 2, 3, 4, 5]
    return tuple(0 if rng.random() < 0.02 else int(rng.choice(sides)) for _ in range(ndim))


def rows_shape(rng: np.random.Generator) -> tuple[int, ...]:
    """With an axis that is not empty."""
    return next(shape for shape in iter(lambda: some_shape(rng, 1), None) if any(shape))


def smaller(rng: np.random.Generator, shape: tuple[int, ...], often: float = 0.5) -> tuple[int, ...]:
    """A shape that broadcasts to this one."""
    if rng.random() > often:
        return shape
    shape = tuple(1 if rng.random() < 0.4 else n for n in shape)
    return shape[int(rng.integers(len(shape) + 1)) :] if rng.random() < 0.5 else shape


def without(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def some_axis(rng: np.random.Generator, shape: tuple[int, ...], several: bool = False) -> Any:
    """An axis, a tuple of axes, or None; none of them is empty."""
    if several and all(shape) and rng.random() < 0.3:
        if rng.random() < 0.3:
            return None
        chosen = rng.permutation(len(shape))[: int(rng.integers(1, len(shape) + 1))]
        return tuple(int(i) - len(shape) * int(rng.integers(2)) for i in chosen)
    return one_of(rng, *(i for i, n in enumerate(shape) if n)) - len(shape) * int(rng.integers(2))


def axes_of(axis: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(len(shape)))
    return tuple(i % len(shape) for i in (axis if isinstance(axis, tuple) else (axis,)))


def as_option(rng: np.random.Generator, axis: Any) -> dict[str, Any]:
    """The axis, which is not always given."""
    if axis == -1 and rng.random() < 0.5:
        return {}
    return {"axis": np.int64(axis) if isinstance(axis, int) and rng.random() < 0.1 else axis}


def as_parameter(rng: np.random.Generator, value: float) -> Any:
    """A number in any form; none of them widens a result."""
    if abs(value) < 100 and value == int(value) and rng.random() < 0.3:
        return int(value)
    with np.errstate(all="ignore"):
        return one_of(rng, float, float, np.float64, np.float32, np.array)(value)


def options_of(name: str) -> set[str]:
    return set(inspect.signature(getattr(nl, name)).parameters)


# Elementwise


def elementwise(key: str, rng: np.random.Generator) -> Case:
    f = FUNCTIONS[key]
    shape = some_shape(rng)
    dtypes = [one_of(rng, *FLOATS * 3, one_of(rng, *INTEGERS))] * len(f.inputs)
    if rng.random() < 0.1:
        dtypes = [np.dtype(one_of(rng, "f2", "f4", "f8")) for _ in f.inputs]
    shapes = [smaller(rng, shape) for _ in f.inputs]
    arrays = [numbers(rng, s, t) for s, t in zip(shapes, dtypes, strict=True)]
    if "y" in f.inputs and dtypes[-1] in FLOATS:  # what the forward function returns
        arrays[-1] = to(
            np.tanh(wide(arrays[-1])) if f.activation == "tanh" else np.abs(np.tanh(wide(arrays[-1]))), dtypes[-1]
        )
    dtype = np.result_type(*(np.float64 if t.kind in "biu" else t for t in dtypes))
    given = [laid_out(rng, a) for a in arrays]
    if f.inputs[0] == "grad" and dtypes[-1] in FLOATS and dtype == dtypes[-1] and rng.random() < 0.1:
        arrays[0] = np.ones((), dtype)
        given[0] = 1.0  # a Python number
    options: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    for i, (name, default) in enumerate(f.parameters.items()):
        if i == 0 and rng.random() < 0.1:
            values = numbers(rng, smaller(rng, shape), dtype, 0) + dtype.type(0)  # no -0.0, where formulas jump
            options[name], parameters[name] = laid_out(rng, values), values.astype(wider(dtype))
            continue
        if rng.random() < 0.6:
            ordinary = float(np.round(rng.uniform(-1 if name not in ("alpha", "beta") else 0.1, 3), 3))
            extreme = one_of(rng, 0.0, -1.0, 1e30, 1e-30, 1e-40, np.inf, -np.inf, np.nan)
            options[name] = as_parameter(rng, extreme if rng.random() < 0.15 else ordinary)
        rounded = to(options.get(name, default), dtype)
        parameters[name] = float(wide(rounded))
    if (
        f.activation == "hard_sigmoid"
        and all(np.ndim(v) == 0 for v in parameters.values())
        and parameters == {n: float(wide(to(v, dtype))) for n, v in f.parameters.items()}
    ):
        parameters = dict(f.parameters)  # a sixth, not its rounding
    expected = exact_elementwise(f, [to(a, dtype) for a in arrays], parameters)
    case = Case(f.called, given, {**options, **f.option}, expected, 0 if f.outputs == 1 else None, tuple(range(len(given))))
    if case.out is not None and rng.random() < 0.1:
        case.where = rng.random(smaller(rng, expected[0].exact.shape)) < 0.7
    if not options:
        case.by_mpmath = functools.partial(elementwise_by_mpmath, f, [to(a, dtype) for a in arrays], rng)
    case.by_torch = functools.partial(elementwise_by_torch, f, [wide(to(a, dtype)) for a in arrays], parameters)
    return case


def exact_elementwise(f: Function, arrays: list[Array], parameters: dict[str, Any]) -> list[Expected]:
    dtype, work = arrays[0].dtype, working_dtype(arrays[0].dtype)
    shape = np.broadcast_shapes(*(np.shape(a) for a in (*arrays, *parameters.values())))
    arrays = [np.broadcast_to(a, shape).copy() for a in arrays]
    given = {name: np.abs(wide(a)) for name, a in zip(f.inputs, arrays, strict=True)}
    x = wide(arrays[f.inputs.index("gate") if "gate" in f.inputs else -1])
    bound = f.ulp[work.name] + FACTOR * (len(f.inputs) > 1) + FACTOR * bool(parameters)
    most = float(np.finfo(work).max)
    expected = []
    for i, exact in enumerate(f.exact(*arrays, **parameters)):
        largest, once, unsaid = None, np.full(shape, 0.51), np.zeros(shape, bool)
        with np.errstate(all="ignore"):
            size = np.abs(to(exact, np.float64))
            factor = np.broadcast_to(given.get("grad", 1.0) * (given.get("up", 1.0) if i == 0 else 1.0), shape)
            terms = largest_term(f.name, x) if i == 0 else None
            usual = all(np.ndim(v) == 0 for v in parameters.values()) and list(parameters.values()) in ([], [1 / 6, 0.5])
            if f.activation == "hard_sigmoid" and not usual:
                slope, offset = (np.asarray(v, np.float64) for v in parameters.values())
                terms, end = np.abs(slope * x) + np.abs(offset), slope * x + offset
                if "grad" in given:
                    unsaid |= np.minimum(np.abs(end), np.abs(end - 1)) <= 4 * np.finfo(work).eps * terms
            if terms is not None:
                largest = np.fmax(terms * factor, size)
                once = once * (units(largest, None, finfo(dtype)) / units(size, None, finfo(dtype)))
            if len(f.inputs) > 1:
                # A slope that is sub-normal has lost its digits before it meets a factor; one that is 0 meets infinity.
                least = np.nan_to_num(factor, nan=0.0, posinf=most) * float(np.finfo(work).tiny)
                largest = least if largest is None else np.fmax(least, largest)
                unsaid |= ((np.abs(x) > 10) | ("up" in given)) & ~(factor < most / 16)
                unsaid |= size > most * factor  # a slope that overflows
            unsaid |= (factor == 0) & np.isnan(to(exact, np.float64))  # 0 times what overflows
            unsaid |= np.isinf(factor) & bool(parameters)  # infinity times what may underflow
            for value in parameters.values():  # 0 / 0, and 0 times infinity
                extreme = (np.asarray(value) == 0) | ~(np.abs(value) < 1e6)
                void = (factor == 0) | np.isinf(factor)
                unsaid |= extreme & ((x == 0) | (np.abs(x) > 10) | void) & ~np.isnan(value)
                unsaid |= void & (np.abs(x) > 10)
        expected.append(Expected(exact, dtype, bound, largest, unsaid, once))
    return expected


def elementwise_by_mpmath(f: Function, arrays: list[Array], rng: np.random.Generator) -> Exactly:
    arrays = np.broadcast_arrays(*arrays)
    finite = np.flatnonzero(np.all([np.isfinite(wide(a)).ravel() for a in arrays], axis=0))
    for i in rng.permutation(finite)[:3]:
        points = [np.ravel(a)[i : i + 1] for a in arrays]
        grad = float(points[0][0]) if f.inputs[0] == "grad" else 1.0
        for output, (value,) in enumerate(exact_mp(f, *points)):
            yield output, i, grad * value


def elementwise_by_torch(f: Function, arrays: list[Array], parameters: dict[str, Any]) -> Iterable[Any]:
    name, o = f.called, parameters
    functions: dict[str, Callable[[Any], Any]] = {
        "leaky_relu": lambda x: torch.nn.functional.leaky_relu(x, **o),
        "elu": lambda x: torch.nn.functional.elu(x, **o),
        "celu": lambda x: torch.nn.functional.celu(x, **o),
        "gelu": lambda x: torch.nn.functional.gelu(x, **f.option),
        "log_sigmoid": torch.nn.functional.logsigmoid,
        "softplus": lambda x: torch.nn.functional.softplus(x, **o, threshold=1e300),
        "hard_swish": torch.nn.functional.hardswish,
        "hard_tanh": lambda x: x.clamp(o["min_val"], o["max_val"]),
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        **{n: getattr(torch.nn.functional, n) for n in ("relu", "relu6", "selu", "silu", "mish", "softsign")},
    }
    if name not in functions or any(isinstance(v, np.ndarray) or not 0 < abs(v) < np.inf for v in o.values()):
        return [None]
    x = arrays[-1]
    y = functions[name](torch.tensor(x)).numpy()
    return [np.where(np.abs(x) < 20, y, np.nan)]  # in tails torch has fewer digits, or softplus a threshold


# Rows


class Rows(NamedTuple):
    """What the functions along an axis share."""

    x: Array
    dtype: np.dtype  # of the result
    axis: Any
    axes: tuple[int, ...]
    scale: float
    mask: Array | None
    options: dict[str, Any]  # as they are passed


def some_rows(name: str, rng: np.random.Generator) -> Rows:
    shape, has = rows_shape(rng), options_of(name)
    axis = some_axis(rng, shape, several=True)
    dtype = one_of(rng, *FLOATS * 3, one_of(rng, *INTEGERS))
    x = numbers(rng, shape, dtype)
    dtype = np.dtype(np.float64) if dtype.kind in "biu" else dtype
    options, scale, mask = as_option(rng, axis), 1.0, None
    if "scale" in has and rng.random() < 0.5:
        # Products of 16 bits are exact: whether they are rounded to 16 bits first is not asked here.
        scale = one_of(rng, 1.0, 0.125, -1.0, *([] if dtype.itemsize == 2 else [0.0, 1 / 7, 3.3]))
        options["scale"] = as_parameter(rng, scale)
        scale = float(wide(to(options["scale"], dtype)))
    if "where" in has and rng.random() < 0.4:
        mask = rng.random(smaller(rng, shape)) < rng.choice([0.2, 0.8, 1.0])
        options["where"] = laid_out(rng, mask)
        mask = np.broadcast_to(mask, shape)
    return Rows(x, dtype, axis, axes_of(axis, shape), scale, mask, options)


def softmax_like(name: str, rng: np.random.Generator) -> Case:
    r = some_rows(name, rng)
    z = to(r.x, working_dtype(r.dtype))
    with np.errstate(all="ignore"):
        z = (z * z.dtype.type(r.scale)).astype(wider(r.dtype))
    exact = getattr(reference, name)(z, r.axis, where=r.mask)
    case = Case(name, [laid_out(rng, r.x)], r.options, [Expected(exact, r.dtype, ROWS)], 0, (0,))
    case.by_mpmath = functools.partial(rows_by_mpmath, name, z, None, r, rng)
    case.by_torch = functools.partial(rows_by_torch, name, z, r)
    return case


def logsumexp(name: str, rng: np.random.Generator) -> Case:
    r = some_rows(name, rng)
    x, has = to(r.x, r.dtype).astype(wider(r.dtype)), options_of(name)
    formula: dict[str, Any] = {"where": r.mask}
    if "b" in has and r.x.dtype == r.dtype and rng.random() < 0.4:
        b = numbers(rng, smaller(rng, x.shape), r.dtype, 0)
        b = np.where(rng.random(b.shape) < 0.2, r.dtype.type(0), one_of(rng, b, np.abs(b)))
        r.options["b"], formula["b"] = laid_out(rng, b), b.astype(x.dtype)
    exact, sign = reference.logsumexp(x, r.axis, return_sign=True, keepdims=True, **formula)
    with np.errstate(all="ignore"):
        # The larger term: the maximum, or what is added to it; where a sum cancels, as much more as it is smaller.
        counted = np.ones(x.shape, bool) if r.mask is None else r.mask
        b = np.where(counted, np.broadcast_to(np.abs(formula.get("b", 1.0)), x.shape), 0)
        top = np.max(np.where(b > 0, x, -np.inf), axis=r.axes, keepdims=True)
        whole = reference.logsumexp(x, r.axis, b=b, keepdims=True)
        cancelled = np.exp(whole - exact) if "b" in formula else np.zeros(exact.shape)
        largest = (
            np.abs(top)
            + np.abs(whole - top)
            + np.log(np.max(np.maximum(b, 1 / np.where(b > 0, b, 1)), initial=1))
            + cancelled
        )
        largest = np.where(np.isfinite(largest), largest, 0)
        unsaid = (cancelled > 1e3) | (np.isfinite(whole) & np.isinf(exact))
    if has >= {"return_sign"} and rng.random() < 0.4:
        r.options["return_sign"] = True
    else:
        exact = np.where(sign < 0, np.nan, exact)
    if rng.random() < 0.3:
        r.options["keepdims"] = True
    else:
        exact, sign, largest, unsaid = (a.squeeze(r.axes) for a in (exact, sign, largest, unsaid))
    expected = [Expected(exact, r.dtype, ROWS, largest, unsaid), Expected(sign, r.dtype, 0.0, unsaid=unsaid)]
    signed = "return_sign" in r.options
    case = Case(name, [laid_out(rng, r.x)], r.options, expected[: 1 + signed], None if signed else 0)
    case.by_mpmath = functools.partial(rows_by_mpmath, name, x, formula.get("b"), r, rng)
    if "b" not in formula:
        case.by_torch = functools.partial(rows_by_torch, name, x, r)
    return case


def rows_by_mpmath(name: str, x: Array, b: Array | None, r: Rows, rng: np.random.Generator) -> Exactly:
    """One row of few finite numbers."""
    shape = without(x.shape, r.axes)
    flat = np.arange(x.size).reshape(x.shape)
    rows = np.moveaxis(flat, r.axes, range(len(shape), x.ndim)).reshape(*shape, -1) if x.size else flat
    if rows.size == 0 or rows.shape[-1] > 9:
        return
    i = int(rng.integers(math.prod(shape)))
    row = rows.reshape(-1, rows.shape[-1])[i]
    if r.mask is not None:
        row = row[r.mask.ravel()[row]]
    z = [exactly(v) for v in x.ravel()[row]]
    factors = [mpf(1)] * row.size if b is None else [exactly(v) for v in np.broadcast_to(b, x.shape).ravel()[row]]
    if not row.size or not all(map(mp.isfinite, z)):
        return
    total = mp.fsum(f * mp.exp(v) for v, f in zip(z, factors, strict=True))
    if name == "logsumexp":
        signed = "return_sign" in r.options
        yield 0, i, mp.log(abs(total)) if total > 0 or (total and signed) else mpf("nan" if total < 0 else "-inf")
        return
    top = max(z)
    rest = {k: mp.fsum(mp.exp(v - top) for j, v in enumerate(z) if j != k) for k in [z.index(top)]}
    log_total = top + mp.log1p(next(iter(rest.values())))
    for k, v in zip(row, z, strict=True):
        yield 0, int(k), mp.exp(v - log_total) if name == "softmax" else v - log_total


def exactly(v: Any) -> mpf:
    """The number itself, of any format."""
    if not np.isfinite(v):
        return mpf(float(v))
    high = float(v)
    return mpf(high) + mpf(float(v - type(v)(high))) if isinstance(v, np.longdouble) else mpf(high)


def rows_by_torch(name: str, z: Array, r: Rows) -> Iterable[Any]:
    if len(r.axes) > 1 and name != "logsumexp":
        return [None]
    x = torch.tensor(to(z, np.float64))
    if r.mask is not None:
        x = torch.where(torch.tensor(r.mask.copy()), x, -math.inf)
    if name == "logsumexp":
        return [torch.logsumexp(x, r.axes, keepdim="keepdims" in r.options).numpy()]
    y = getattr(torch, name)(x, r.axes[0]).numpy()
    return [y if r.mask is None else np.where(r.mask, y, 0 if name == "softmax" else -np.inf)]


def rows_backward(name: str, rng: np.random.Generator) -> Case:
    r = some_rows(name, rng)
    reduced = name == "logsumexp_backward"
    x = to(r.x, r.dtype)
    y = r.x if reduced else to(getattr(reference, name.removesuffix("_backward"))(wide(x), r.axis, where=r.mask), r.dtype)
    grad = numbers(rng, without(y.shape, r.axes) if reduced else y.shape, r.dtype, 0.1)
    if r.mask is not None and y.dtype == r.dtype and rng.random() < 0.5:
        y = np.where(r.mask, y, r.dtype.type(np.nan))  # whatever stands there
    wide_grad, wide_y = grad.astype(wider(r.dtype)), y.astype(wider(r.dtype))
    formula = {"where": r.mask} | ({} if r.scale == 1 else {"scale": r.scale})
    exact = getattr(reference, name)(wide_grad, wide_y, r.axis, **formula)
    with np.errstate(all="ignore"):
        mask = np.ones(y.shape, bool) if r.mask is None else r.mask
        g = np.where(mask, np.abs(np.expand_dims(wide_grad, r.axes) if reduced else wide_grad), 0)
        v = np.where(mask, wide_y, 0 if name == "softmax_backward" else -np.inf)
        if name == "softmax_backward":
            largest = v * (g + np.sum(g * v, r.axes, keepdims=True))
        elif reduced:
            largest = g * reference.softmax(v, r.axis)
        else:
            largest = g + np.exp(v) * np.sum(g, r.axes, keepdims=True)
        tiny = np.finfo(working_dtype(r.dtype)).tiny
        most = np.broadcast_to(g if reduced else np.max(g, r.axes, keepdims=True), y.shape)
        largest = np.fmax(abs(r.scale) * largest, (1 + abs(r.scale)) * (1 + np.where(np.isfinite(most), most, 0)) * tiny)
        unsaid = most > float(np.finfo(working_dtype(r.dtype)).max) / 1e6  # their sum may overflow
    given = [laid_out(rng, grad), laid_out(rng, y)]
    expected = [Expected(exact, r.dtype, GRADIENTS, largest, unsaid)]
    return Case(name, given, r.options, expected, 0, (1,) if reduced else (0, 1))


def jacobian(name: str, rng: np.random.Generator) -> Case:
    shape, dtype = tuple(min(n, 9) for n in rows_shape(rng)), one_of(rng, *FLOATS)
    axis = some_axis(rng, shape)
    y = to(getattr(reference, name.removesuffix("_jacobian"))(3 * rng.standard_normal(shape), axis), dtype)
    exact = getattr(reference, name)(y.astype(wider(dtype)), axis)
    return Case(name, [laid_out(rng, y)], as_option(rng, axis), [Expected(exact, dtype, ROWS, np.ones(exact.shape))])


PIECES = "logsumexp_partial", "logsumexp_merge", "logsumexp_finish", "softmax_from", "log_softmax_from"


def partial_sums(name: str, rng: np.random.Generator) -> Case:
    """Of rows in pieces."""
    dtype, formula = one_of(rng, *FLOATS), getattr(reference, name)
    if name in ("logsumexp_partial", "softmax_from", "log_softmax_from"):
        shape = rows_shape(rng)
        axis, x = some_axis(rng, shape), numbers(rng, shape, dtype)
        exact = x.astype(wider(dtype))
        if name == "logsumexp_partial":
            computed = np.float64 if dtype == np.float64 else np.float32  # the pair has its digits
            bound = ROWS * float(np.finfo(computed).eps / np.finfo(np.float64).eps)
            least = float(np.finfo(computed).tiny)
            expected = [Expected(e, np.dtype(np.float64), bound, np.maximum(np.abs(e), least)) for e in formula(exact, axis)]
            return Case(name, [laid_out(rng, x)], as_option(rng, axis), expected)
        pair = [np.asarray(a, np.float64) for a in reference.logsumexp_partial(exact, axis)]
        results = [formula(exact, *(a.astype(wider(dtype)) for a in pair), axis)]
        arrays = [laid_out(rng, x), *(laid_out(rng, a) for a in pair)]
        return Case(name, arrays, as_option(rng, axis), [Expected(e, dtype, ROWS) for e in results])
    shape = some_shape(rng)
    arrays = [numbers(rng, shape, dtype, 0) if i % 2 == 0 else to(rng.uniform(0, 9, shape), dtype) for i in range(4)]
    arrays = arrays if name == "logsumexp_merge" else arrays[:2]
    exact = [a.astype(np.longdouble) for a in arrays]
    largest = None if len(arrays) == 4 else np.abs(exact[0]) + np.log1p(exact[1])
    expected = [Expected(e, np.dtype(np.float64), ROWS, largest) for e in as_tuple(formula(*exact))]
    return Case(name, [laid_out(rng, a) for a in arrays], {}, expected)


# Losses

ARGUMENTS = {
    "cross_entropy": ("logits", "targets"),
    "focal_loss": ("logits", "targets"),
    "nll_loss": ("log_probs", "targets"),
    "categorical_cross_entropy": ("probs", "targets"),
    "kl_divergence": ("p", "q"),
    "kl_divergence_with_logits": ("p", "logits"),
    "binary_cross_entropy": ("probs", "targets"),
    "binary_cross_entropy_with_logits": ("logits", "targets"),
    "binary_focal_loss_with_logits": ("logits", "targets"),
}
LINEAR = "linear_cross_entropy"


@dataclasses.dataclass
class Problem:
    """The arguments of a loss: as they are passed, and as numbers in the wider format."""

    loss: str
    x: Array  # what the gradient is for
    other: Array
    dtype: np.dtype  # of the gradient
    options: dict[str, Any]
    exact_x: Array
    exact_other: Array
    exact: dict[str, Any]  # options
    axis: Any  # None for losses of entries

    def ordered(self, x: Any, other: Any) -> list[Any]:
        return [other, x] if self.loss.startswith("kl") else [x, other]

    def along(self, row: Array) -> Array:
        """A number for each class, along the class axis."""
        return row.reshape(-1, *[1] * (self.exact_x.ndim - 1 - self.axis))

    @property
    def losses(self) -> tuple[int, ...]:
        return self.exact_x.shape if self.axis is None else without(self.exact_x.shape, (self.axis,))

    @property
    def sample_weight(self) -> Array:
        return np.broadcast_to(self.exact.get("sample_weight", 1.0), self.losses)

    def counted(self) -> tuple[Array, Array]:
        """Targets as probabilities, and which rows count, both with a class axis."""
        t, shape, axis = self.exact_other, self.exact_x.shape, self.axis
        if t.shape == shape:
            return t, np.ones([1] * len(shape), bool)
        t = np.expand_dims(t, axis)
        return t == self.along(np.arange(shape[axis])), t != self.exact.get("ignore_index", -100)

    def weights(self) -> Array:
        """The factors of the entries: of cross-entropies, which are sums over entries, for classes too."""
        t, counted = self.counted()
        classes, e = self.exact_x.shape[self.axis], self.exact.get("label_smoothing", 0.0)
        w = self.along(np.broadcast_to(self.exact.get("weight", 1.0), classes))
        return np.where(counted, w * ((1 - e) * t + e / classes), 0)

    def divisor(self) -> float:
        """Of the reduction."""
        if self.exact.get("reduction", "mean") != "mean":
            return 1.0
        if self.axis is None or self.exact_other.shape == self.exact_x.shape:
            return float(self.sample_weight.sum())
        t, counted = self.counted()
        w = self.along(np.broadcast_to(self.exact.get("weight", 1.0), self.exact_x.shape[self.axis]))
        return float((np.where(counted, w * t, 0).sum(self.axis) * self.sample_weight).sum())


def probabilities(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Array:
    y = reference.softmax(rng.standard_normal(shape) * rng.choice([1, 5, 30]), axis)
    return np.where((rng.random(shape) < 0.1) | (y < 1e-30), 0, y)


def some_targets(rng: np.random.Generator, shape: tuple[int, ...], axis: int, beside: np.dtype) -> Array:
    """Classes, probabilities, or one-hot integers."""
    kind = rng.random()
    if kind < 0.4:
        return to(probabilities(rng, shape, axis), beside)
    integer = one_of(rng, *INTEGERS[1:])
    classes = rng.integers(0, min(shape[axis], int(np.iinfo(integer).max)), without(shape, (axis,)))
    if kind < 0.5:
        hot = np.arange(shape[axis]).reshape(-1, *[1] * (len(shape) - 1 - axis)) == np.expand_dims(classes, axis)
        return hot.astype(one_of(rng, *INTEGERS))
    return classes.astype(integer)


def some_options(
    loss: str, rng: np.random.Generator, p: Problem, factors: dict[str, tuple[int, ...]], beside: np.dtype
) -> None:
    """Of the reduction, factors, numbers; beside is a dtype of factors."""
    has, work = options_of(loss), working_dtype(p.dtype)
    for name, shape in factors.items():
        if name in has and rng.random() < 0.4:
            value = to(rng.uniform(0.1, 2, shape) * (rng.random(shape) > 0.1), beside)
            exact_name = "weight" if name == "class_weight" else name
            p.options[name], p.exact[exact_name] = laid_out(rng, value), to(value, work).astype(p.exact_x.dtype)
    for name, most in (("label_smoothing", 1.0), ("z_loss", 0.1), ("gamma", 5.0), ("alpha", 1.0)):
        if name in has and rng.random() < 0.4:
            p.options[name] = as_parameter(rng, one_of(rng, 0.0, most, float(np.round(rng.uniform(0, most), 3))))
            given = p.options[name]
            p.exact[name] = float(given if name == "alpha" else to(given, work))  # 1 - alpha is made before it is rounded
    if "ignore_index" in has and p.exact_other.shape != p.exact_x.shape and p.other.size and rng.random() < 0.5:
        ignored = int(one_of(rng, p.other.ravel()[0], np.iinfo(p.other.dtype).max))
        p.other = p.exact_other = np.where(rng.random(p.other.shape) < 0.3, p.other.dtype.type(ignored), p.other)
        p.options["ignore_index"] = p.exact["ignore_index"] = ignored
    if rng.random() < 0.8:
        p.options["reduction"] = p.exact["reduction"] = one_of(rng, "mean", "sum", "none")


def some_problem(loss: str, rng: np.random.Generator) -> Problem:
    first, second = ARGUMENTS[loss]
    by_rows, kind = "axis" in options_of(loss), second if first == "p" else first
    shape = rows_shape(rng) if by_rows else some_shape(rng)
    axis = some_axis(rng, shape) if by_rows else None
    place: Any = None if axis is None else axis % len(shape)
    dtype = one_of(rng, *FLOATS)
    beside = one_of(rng, dtype, dtype, np.dtype(np.float32), np.dtype(np.float64))  # targets and factors
    if kind == "logits":
        x = numbers(rng, shape, dtype)
    elif by_rows:
        with np.errstate(all="ignore"):
            x = to(probabilities(rng, shape, place), dtype)
            x = to(np.log(wide(x)), dtype) if kind == "log_probs" else x
    else:
        x = np.where(rng.random(shape) < 0.1, rng.choice([0, 1, 1e-7, 1e-20], shape), rng.random(shape))
        x = to(x, dtype)
    if first == "p":
        other = to(probabilities(rng, shape, place), dtype)
    elif by_rows:
        other = some_targets(rng, shape, place, beside)
    else:
        hard = rng.random(shape) < 0.5
        other = (
            hard.astype(one_of(rng, *INTEGERS))
            if rng.random() < 0.3
            else np.where(hard, np.rint(rng.random(shape)), rng.random(shape))
        )
        other = other if other.dtype != np.float64 else to(other, beside)
    exact_other = other if by_rows and other.shape != shape else to(other, working_dtype(dtype)).astype(wider(dtype))
    options = {} if axis is None else as_option(rng, axis)
    p = Problem(
        loss, x, other, dtype, options, x.astype(wider(dtype)), exact_other, {} if axis is None else {"axis": axis}, place
    )
    factors = {"weight": smaller(rng, shape), "pos_weight": smaller(rng, shape)}
    if by_rows:
        factors = {"weight": (shape[place],), "sample_weight": p.losses if rng.random() < 0.8 else ()}
    some_options(loss, rng, p, factors, beside)
    return p


def magnitude(t: Array, v: Array) -> Array:
    """``|t v|``, 0 where t is."""
    return np.where(t == 0, 0, np.abs(t * v))


def sizes(p: Problem) -> tuple[Array, Array]:
    """Sums of the magnitudes of terms: of each loss, and of each entry of its gradient, before the reduction."""
    size, slope = (row_sizes if p.axis is not None else entry_sizes)(p)
    s = p.sample_weight
    return magnitude(s, size), magnitude(s if p.axis is None else np.expand_dims(s, p.axis), slope)


def entry_sizes(p: Problem) -> tuple[Array, Array]:
    x, y, o = p.exact_x, p.exact_other, p.exact
    w = np.abs(o.get("weight", 1.0))
    if p.loss == "binary_cross_entropy":
        low = [np.maximum(log, reference.LOWEST_LOG) for log in (np.log(x), np.log1p(-x))]
        least = [np.maximum(v, reference.LOWEST_DIVISOR) for v in (x, 1 - x)]
        return w * (magnitude(y, low[0]) + magnitude(1 - y, low[1])), w * (np.abs(y) / least[0] + np.abs(1 - y) / least[1])
    a, b = np.abs(1 - y), np.abs(y * o.get("pos_weight", 1.0))
    s, t = reference.sigmoid(x), reference.sigmoid(-x)
    size, slope = magnitude(a, reference.softplus(x)) + magnitude(b, reference.softplus(-x)), a * s + b * t
    if p.loss == "binary_focal_loss_with_logits":
        q, gamma, alpha = b * t + a * s, o.get("gamma", 2.0), o.get("alpha")
        w = w if alpha is None else w * np.abs(alpha * y + (1 - alpha) * (1 - y))
        slope = q**gamma * (gamma * magnitude(s * t, np.where(q == 0, 1, size / q)) + slope)
        size = q**gamma * size
    return magnitude(w, size), magnitude(w, slope)


def row_sizes(p: Problem) -> tuple[Array, Array]:
    x, axis, o = p.exact_x, p.axis, p.exact
    t = np.abs(p.exact_other if p.loss.startswith("kl") else p.weights())
    if p.loss == "kl_divergence":
        return magnitude(t, np.abs(np.log(t)) + np.abs(np.log(x))).sum(axis), magnitude(t, 1 / x)
    if p.loss == "nll_loss":
        return magnitude(t, x).sum(axis), t + 0 * x
    if p.loss == "categorical_cross_entropy":
        log_p = np.maximum(np.log(x), reference.LOWEST_LOG)
        return magnitude(t, log_p).sum(axis), magnitude(t, 1 / np.maximum(x, reference.LOWEST_DIVISOR))
    log_p = reference.log_softmax(x, axis)
    chance, rest = np.exp(log_p), -np.expm1(log_p)
    size = magnitude(t, log_p)
    if p.loss == "focal_loss":
        gamma = o.get("gamma", 2.0)
        size = rest**gamma * size
        t = magnitude(t, rest**gamma * (1 + gamma * magnitude(chance, np.where(rest == 0, 1, log_p / rest))))
    if p.loss == "kl_divergence_with_logits":
        size = size + magnitude(t, np.log(t))
    # The gradient is p_j sum_i t_i - t_j, as p_j times the sum over the others, minus q_j t_j.
    total = t.sum(axis, keepdims=True)
    size, slope = size.sum(axis), chance * np.maximum(total - t, 0) + rest * t
    if o.get("label_smoothing"):  # every class is a target: the terms are p_j sum_i t_i and t_j
        slope = chance * total + t
    if o.get("z_loss"):
        top = x.max(axis, keepdims=True)
        lse = np.expand_dims(reference.logsumexp(x, axis), axis)
        terms = o["z_loss"] * (np.abs(top) + np.abs(lse - top)) * p.counted()[1]
        size, slope = size + (2 * np.abs(lse) * terms).squeeze(axis), slope + 2 * terms * chance
    return size, slope


def loss(name: str, rng: np.random.Generator) -> Case:
    base = name.removesuffix("_backward").removesuffix("_with_grad")
    p = some_problem(base, rng)
    work, reduction = working_dtype(p.dtype), p.exact.get("reduction", "mean")
    given, exact_given, grad = p.ordered(p.x, p.other), p.ordered(p.exact_x, p.exact_other), None
    if name.endswith("_backward"):
        shape = smaller(rng, p.losses, 0.3) if reduction == "none" else ()
        grad = numbers(rng, shape, one_of(rng, work, p.dtype), 0.05)
        given, exact_given = [grad, *given], [grad.astype(p.exact_x.dtype), *exact_given]
    results = as_tuple(getattr(reference, name)(*exact_given, **p.exact))
    # A power has its exponent times the error of its base; in float64, sums over rows have no wider format.
    more = 3 * p.exact.get("gamma", 2.0) if "focal" in base else 0.0
    more += 3 * math.sqrt(math.prod(p.losses)) if reduction != "none" and work == np.float64 else 0.0
    expected = []
    with np.errstate(all="ignore"):
        size, slope = sizes(p)
        divisor = abs(p.divisor())
        # Nothing is said of 0, as a factor, times what is not finite.
        zero = sizes(dataclasses.replace(p, exact_x=np.full_like(p.exact_x, 0.5)))[1] == 0
        void = zero & ~np.isfinite(p.exact_x)
        if p.axis is not None:
            void = np.all(zero, p.axis) & ~np.all(np.isfinite(p.exact_x), p.axis)
            far = np.isfinite(p.exact_x) & (np.abs(p.exact_x) > np.finfo(work).max / 4)  # their differences overflow
            void = void | np.any(far, p.axis)
        if grad is None:
            size, unsaid = (size, void) if reduction == "none" else (size.sum() / divisor, np.any(void))
            expected.append(Expected(results[0], work, LOSSES_ + more, np.asarray(size), np.asarray(unsaid)))
        if name != base:
            factor = np.broadcast_to(np.abs(wide(1.0 if grad is None else grad)) / (divisor or 1), p.losses)
            if p.axis is not None:
                factor, void = np.expand_dims(factor, p.axis), np.expand_dims(void, p.axis)
            steepest = slope if p.axis is None else np.max(slope, p.axis, keepdims=True)
            largest = np.fmax(slope * factor, (1 + factor) * np.fmax(1, steepest) * np.finfo(work).tiny)
            most = np.finfo(work).max / 1024
            unsaid = void | (zero & ~np.isfinite(factor)) | ((factor == 0) & ~np.isfinite(slope))
            unsaid |= (factor > most) | (~(slope < most) & (factor < 1)) | (np.isfinite(steepest) & (steepest > most))
            expected.append(Expected(results[-1], p.dtype, GRADIENTS + more, largest, unsaid | (divisor == 0)))
    place = len(given) - (1 if base.startswith("kl") else 2)
    case = Case(name, [laid_out(rng, a) for a in given], p.options, expected)
    if name != base:
        case.out, case.in_place = len(expected) - 1, (place,)
    case.by_mpmath = functools.partial(loss_by_mpmath, p, name, grad, rng)
    case.by_torch = functools.partial(loss_by_torch, p, name, grad)
    return case


Textbook = tuple[
    list[int], list[mpf], Callable[[list[mpf]], mpf]
]  # flat places, numbers there, a loss as a function of these


def row_by_mpmath(p: Problem, i: int) -> Textbook | None:
    """The loss of a row of few finite numbers."""
    classes, o = p.x.shape[p.axis], p.exact

    def row(a: Array) -> list[Any]:
        return list(np.moveaxis(np.broadcast_to(a, p.x.shape), p.axis, -1).reshape(-1, classes)[i])

    x = [exactly(v) for v in row(p.exact_x)]
    t = [exactly(v) for v in row(p.exact_other if p.loss.startswith("kl") else p.weights())]
    of_logarithm = p.loss in ("categorical_cross_entropy", "kl_divergence")
    if classes > 6 or not all(map(mp.isfinite, [*x, *t])) or (of_logarithm and min(x) < 1e-9):
        return None
    z_loss = mpf(o.get("z_loss", 0)) * bool(row(p.counted()[1])[0])

    def value(x: list[mpf]) -> mpf:
        if of_logarithm:
            logs = [mp.log(v) for v in x]
        elif p.loss == "nll_loss":
            logs = x
        else:
            total = mp.log(mp.fsum(map(mp.exp, x)))
            logs = [v - total for v in x]
        terms = [-u * v for u, v in zip(t, logs, strict=True)]
        if p.loss == "focal_loss":
            terms = [v * (1 - mp.exp(log)) ** mpf(o.get("gamma", 2)) for v, log in zip(terms, logs, strict=True)]
        if p.loss.startswith("kl"):
            terms += [u * mp.log(u) for u in t if u]
        return mp.fsum(terms) + (z_loss * total**2 if z_loss else 0)

    return row(np.arange(p.x.size).reshape(p.x.shape)), x, value


def entry_by_mpmath(p: Problem, i: int) -> Textbook | None:
    """The loss of an entry that is finite."""

    def entry(a: Any) -> mpf:
        return exactly(np.broadcast_to(np.asarray(a, p.exact_x.dtype), p.x.shape).ravel()[i])

    x, y, o = entry(p.exact_x), entry(p.exact_other), p.exact
    weight, positive = entry(o.get("weight", 1.0)), entry(o.get("pos_weight", 1.0))
    of_logarithm = p.loss == "binary_cross_entropy"
    if not abs(x) < 1000 or (of_logarithm and not 1e-9 < x < 1 - 1e-9):
        return None
    if o.get("alpha") is not None:
        weight *= mpf(o["alpha"]) * y + (1 - mpf(o["alpha"])) * (1 - y)

    def value(x: list[mpf]) -> mpf:
        chance = x[0] if of_logarithm else 1 / (1 + mp.exp(-x[0]))
        loss = -weight * (positive * y * mp.log(chance) + (1 - y) * mp.log(1 - chance))
        return loss * (y * (1 - chance) + (1 - y) * chance) ** mpf(o.get("gamma", 2)) if "focal" in p.loss else loss

    return [i], [x], value


def loss_by_mpmath(p: Problem, name: str, grad: Array | None, rng: np.random.Generator) -> Exactly:
    """One row or entry, its gradient by differences."""
    if not math.prod(p.losses):
        return
    i = int(rng.integers(math.prod(p.losses)))
    factor, textbook = exactly(p.sample_weight.ravel()[i]), (entry_by_mpmath if p.axis is None else row_by_mpmath)(p, i)
    if textbook is None:
        return
    places, x, value = textbook
    if not name.endswith("_backward") and p.exact.get("reduction") == "none":
        yield 0, i, factor * value(x)
    if name == p.loss:
        return
    factor /= mpf(p.divisor()) or 1
    if grad is not None:
        factor *= exactly(np.broadcast_to(grad, p.losses).ravel()[i])
    if not mp.isfinite(factor):
        return
    h = mpf(10) ** -120
    for k, place in enumerate(places):
        low, high = ([v + (j == k) * step for j, v in enumerate(x)] for step in (-h, h))
        yield int(name.endswith("_with_grad")), int(place), factor * (value(high) - value(low)) / (2 * h)


def loss_by_torch(p: Problem, name: str, grad: Array | None) -> Iterable[Any]:
    """Of plain problems: what torch has, where it has all digits."""
    functional, o = torch.nn.functional, {**p.exact}
    axis, reduction = p.axis, o.pop("reduction", "mean")
    o.pop("axis", None)
    if not p.x.size or not np.isfinite(p.exact_x).all() or o.keys() & {"z_loss", "sample_weight", "gamma", "alpha"}:
        return []
    if p.loss not in ("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"):
        return []
    if p.loss == "binary_cross_entropy" and (np.min(p.exact_x) < 1e-3 or np.max(p.exact_x) > 0.999):
        return []
    soft = p.exact_other.shape == p.exact_x.shape
    if o.get("ignore_index", 0) >= 2**63 or (soft and axis is not None and (p.loss == "nll_loss" or "ignore_index" in o)):
        return []
    o = {key: torch.tensor(to(v, np.float64)) if isinstance(v, np.ndarray) else v for key, v in o.items()}
    x = torch.tensor(to(p.exact_x, np.float64), requires_grad=True)
    t = torch.tensor(to(p.exact_other, np.float64 if soft else np.int64))
    if axis is None:
        value = getattr(functional, p.loss)(x, t, reduction=reduction, **o)
    else:  # its classes lie along axis 1
        rows, shape = x.movedim(axis, -1), p.losses
        flat = rows.reshape(-1, rows.shape[-1])
        t = t.movedim(axis, -1).reshape(flat.shape) if soft else t.reshape(-1)
        value = getattr(functional, p.loss)(flat, t, reduction=reduction, **o)
        value = value.reshape(shape) if reduction == "none" else value
    results = [] if name.endswith("_backward") else [value.detach().numpy()]
    if name != p.loss:
        by = torch.ones_like(value) if grad is None else torch.tensor(np.broadcast_to(wide(grad), value.shape).copy())
        results.append(torch.autograd.grad(value, x, by)[0].numpy())
    return results


def linear(name: str, rng: np.random.Generator) -> Case:
    """Logits have errors of their own, of features products, which losses and gradients take over."""
    batch, features, classes = smaller(rng, some_shape(rng)[:2], 0), int(rng.integers(1, 9)), int(rng.integers(1, 12))
    dtype = one_of(rng, *FLOATS)
    work, w = working_dtype(dtype), wider(dtype)
    x, weight, bias = (to(rng.standard_normal(s), dtype) for s in ((*batch, features), (classes, features), (classes,)))
    beside = one_of(rng, dtype, np.dtype(np.float32), np.dtype(np.float64))
    target = some_targets(rng, (*batch, classes), len(batch), beside)
    exact = [a.astype(w) for a in (x, weight)]
    exact_bias = bias.astype(w) if rng.random() < 0.5 else None
    logits = exact[0] @ exact[1].T + (0 if exact_bias is None else exact_bias)
    exact_target = target if target.shape != logits.shape else to(target, work).astype(w)
    p = Problem("cross_entropy", logits, target, dtype, {}, logits, exact_target, {}, len(batch))
    some_options(name, rng, p, {"class_weight": (classes,), "sample_weight": batch if rng.random() < 0.8 else ()}, beside)
    formula = {"class_weight" if key == "weight" else key: value for key, value in p.exact.items()} | {"bias": exact_bias}
    if exact_bias is not None:
        p.options["bias"] = laid_out(rng, bias)
    if rng.random() < 0.3:
        p.options["chunk_rows"] = int(rng.integers(1, 5))
    given, exact_given = [laid_out(rng, x), laid_out(rng, weight), laid_out(rng, p.other)], [*exact, p.exact_other]
    reduction = p.exact.get("reduction", "mean")
    factor = np.ones(batch)
    if name.endswith("_backward"):
        grad = to(rng.standard_normal(smaller(rng, batch, 0.3) if reduction == "none" else ()), work)
        given.insert(0, grad)
        exact_given.insert(0, grad.astype(w))
        factor = factor * np.abs(wide(grad))
    with np.errstate(all="ignore"):
        size, slope = sizes(p)
        wrong = np.max(
            np.abs(exact[0]) @ np.abs(exact[1]).T + (0 if exact_bias is None else np.abs(exact_bias)), -1, keepdims=True
        )
        t = np.abs(p.weights()).sum(-1, keepdims=True) * p.sample_weight[..., None]
        smooth = 2 * p.exact.get("z_loss", 0.0) * (np.abs(reference.logsumexp(logits)[..., None]) + wrong)
        size = size + ((2 * t + smooth) * wrong)[..., 0]
        slope = (
            slope + (2 * t + 2 * smooth + 1) * wrong * np.exp(reference.log_softmax(logits, -1)) * p.sample_weight[..., None]
        )
        divisor = abs(p.divisor())
        slope = (slope * factor[..., None] / (divisor or 1)).reshape(-1, classes)
        if reduction != "none":
            size = size.sum() / divisor
    more = features + (3 * math.sqrt(math.prod(batch)) if work == np.float64 else 0.0)
    results = as_tuple(getattr(reference, name)(*exact_given, **formula))
    grads = results[-1] if name.endswith("_with_grad") else results if name.endswith("_backward") else ()
    rows = len(slope)
    bounds = [
        ((slope @ np.abs(exact[1])).reshape(x.shape), classes),
        (slope.T @ np.abs(exact[0]).reshape(rows, features), rows),
    ]
    bounds.append((slope.sum(0), rows))
    expected = [] if name.endswith("_backward") else [Expected(results[0], work, LOSSES_ + more, np.asarray(size))]
    for g, (largest, terms) in zip([g for g in grads if g is not None], bounds, strict=False):
        expected.append(Expected(g, dtype, GRADIENTS + more + terms, largest, np.full(g.shape, divisor == 0)))
    return Case(name, given, p.options, expected)


# Every function by its name; gelu's tanh form has one of its own.

MAKERS: dict[str, Callable[[str, np.random.Generator], Case]] = {
    **dict.fromkeys(FUNCTIONS, elementwise),
    **dict.fromkeys(("softmax", "log_softmax"), softmax_like),
    "logsumexp": logsumexp,
    **dict.fromkeys(("softmax_backward", "log_softmax_backward", "logsumexp_backward"), rows_backward),
    **dict.fromkeys(("softmax_jacobian", "log_softmax_jacobian"), jacobian),
    **dict.fromkeys(PIECES, partial_sums),
    **{
        name + ending: loss
        for name in ARGUMENTS
        for ending in ("", "_backward", "_with_grad")
        if hasattr(reference, name + ending)
    },
    **dict.fromkeys((LINEAR, LINEAR + "_backward", LINEAR + "_with_grad"), linear),
}


class Wrong(Exception):
    """What a call did and should not have."""


def flat(results: Any) -> list[Any]:
    """All arrays of a result, whose parts may be tuples, and None."""
    parts = itertools.chain.from_iterable(map(flat, results)) if isinstance(results, tuple) else [results]
    return [a for a in parts if a is not None]


def compare(what: str, got: Any, e: Expected, exact: Array, places: Any = slice(None)) -> float:
    """The largest error, in bounds; the places are flat indices."""
    got, exact = np.asarray(got).ravel()[places], np.asarray(exact).ravel()[places]
    if got.size == 0:
        return 0.0
    work = working_dtype(e.dtype)
    with np.errstate(all="ignore"):
        rough = to(exact, np.float64)
        largest = np.abs(rough) if e.largest is None else np.fmax(np.abs(rough), to(e.largest, np.float64).ravel()[places])
        allowed = e.bound * (units(largest, None, finfo(work)) / units(rough, None, finfo(e.dtype)))
        if e.dtype.itemsize == 2:
            allowed = allowed + np.broadcast_to(e.once, e.exact.shape).ravel()[places]
        elif work == np.float64:
            allowed = allowed + 0.02  # the formulas' own, in long double
        error = ulp_error(got, exact) / np.where(allowed == 0, 1e-9, allowed * (1 + SLACK))
        # Where a term nearly overflows, a finite result is luck.
        skipped = np.isfinite(rough) & (e.largest is not None) & ~(largest < float(np.finfo(work).max) / 1024)
        if e.unsaid is not None:
            skipped = skipped | e.unsaid.ravel()[places]
    error = np.where(skipped, 0, error)
    worst = int(np.argmax(error))
    if not error[worst] <= 1:
        at = worst if isinstance(places, slice) else places[worst]
        error = ulp_error(got, exact)
        raise Wrong(
            f"{what} at flat index {at} is {got[worst]}, not {exact[worst]}: "
            f"{error[worst]:.3g} ULP, {allowed[worst]:.3g} are allowed"
        )
    return float(error[worst])


def same_bits(a: Any, b: Any) -> bool:
    """But for the sign and payload of NaN."""
    a, b = np.asarray(a), np.asarray(b)
    return bool(np.all((bits(a) == bits(b)) | (np.isnan(wide(a)) & np.isnan(wide(b)))))


def check(case: Case, rng: np.random.Generator) -> float:
    """The largest error, in bounds."""
    arrays = [a for a in (*case.given, *case.options.values()) if isinstance(a, np.ndarray)]
    before = [a.copy() for a in arrays]
    try:
        results = flat(case.call(case.given))
    except Exception as e:
        raise Wrong(f"{type(e).__name__}: {e}") from e
    if not all(np.array_equal(bits(a), bits(b)) for a, b in zip(arrays, before, strict=True)):
        raise Wrong("an input changed")
    if len(results) != len(case.expected):
        raise Wrong(f"{len(results)} results, not {len(case.expected)}")
    worst = 0.0
    for i, (got, e) in enumerate(zip(results, case.expected, strict=True)):
        if (np.shape(got), got.dtype) != (np.shape(e.exact), e.dtype):
            raise Wrong(f"result {i} is {got.dtype} {np.shape(got)}, not {e.dtype} {np.shape(e.exact)}")
        worst = max(worst, compare(f"result {i}", got, e, e.exact))
    if case.by_mpmath is not None and rng.random() < 0.25:
        with mp.workdps(mp.dps if case.name in FUNCTIONS else 600):  # small numbers are differences of others
            values = list(case.by_mpmath())
        for output, place, value in values:
            exact = np.zeros(np.shape(results[output]), LONG)
            inside = mpf(10) ** -4900 < abs(value) < mpf(10) ** 4900
            exact.flat[place] = LONG(mp.nstr(value, 30)) if inside else LONG(float(value))
            compare(f"beside mpmath, result {output}", results[output], case.expected[output], exact, np.array([place]))
    if torch is not None and case.by_torch is not None and rng.random() < 0.5:
        beside_torch(case)
    if case.out is not None:
        check_out(case, results, rng)
    return worst


def beside_torch(case: Case) -> None:
    """The formula, in float64, is torch's but for rounding."""
    for i, (y, e) in enumerate(zip(case.by_torch(), case.expected, strict=False)):
        if y is None:
            continue
        with np.errstate(all="ignore"):
            exact = to(e.exact, np.float64)
            size = np.fmax(np.abs(exact), 0 if e.largest is None else to(e.largest, np.float64))
            scale = np.max(size, initial=0, where=np.isfinite(size))
            wrong = ~(np.abs(y - exact) <= 1e-11 * size + 1e-13 * max(1, scale)) & np.isfinite(y) & np.isfinite(exact)
        if wrong.any():
            place = np.flatnonzero(wrong)[0]
            raise Wrong(f"the formula's result {i} at flat index {place} is {exact.flat[place]}, torch's {y.flat[place]}")


def check_out(case: Case, results: list[Any], rng: np.random.Generator) -> None:
    """The same bits anywhere: in an array, in the place of an argument, or beside it with a few entries in common."""
    expected = np.asarray(results[case.out])
    given, where = list(case.given), {} if case.where is None else {"where": case.where}
    out = laid_out(rng, np.full(expected.shape, 7, expected.dtype))
    if not isinstance(out, np.ndarray) or not out.flags.writeable or not out.dtype.isnative:
        out = np.full(expected.shape, 7, expected.dtype)
    kind, place = "fresh", int(one_of(rng, *case.in_place)) if case.in_place else 0
    argument = given[place]
    alike = isinstance(argument, np.ndarray) and (argument.shape, argument.dtype) == (expected.shape, expected.dtype)
    if case.in_place and alike and argument.dtype.isnative and rng.random() < 0.6:
        kind = one_of(rng, "in place", "overlapping")
        shift = 0 if kind == "in place" else int(rng.integers(1, 9))
        memory = np.zeros(argument.size + shift, argument.dtype)
        parts = [memory[: argument.size], memory[shift:]][:: int(rng.choice([-1, 1]))]
        given[place], out = (part.reshape(argument.shape) for part in parts)
        given[place][...] = argument
    stay = out.copy()
    try:
        returned = case.call(given, out=out, **where)
    except Exception as e:
        raise Wrong(f"out is {kind}: {type(e).__name__}: {e}") from e
    if not any(a is out for a in (returned if isinstance(returned, tuple) else (returned,))):
        raise Wrong(f"out is {kind}: it is not what the call returned")
    mask = True if case.where is None else case.where
    if case.name not in FUNCTIONS:  # rows: other strides, other bits
        compare(f"out is {kind}, it", out, case.expected[case.out], case.expected[case.out].exact)
    elif not same_bits(out, np.where(mask, expected, stay)):
        raise Wrong(f"out is {kind}{' with where' * (case.where is not None)}: other bits than without out")


def make(name: str, number: int) -> tuple[Case, np.random.Generator]:
    rng = np.random.default_rng([zlib.crc32(name.encode()), number])
    return MAKERS[name](name, rng), rng


def repeat(name: str, number: int) -> Case:
    """One case, once more."""
    case, rng = make(name, number)
    print(case)
    print(f"{check(case, rng):.3f} of the bound")
    return case


@dataclasses.dataclass
class Tally:
    """What was found of one function."""

    cases: int = 0
    worst: float = 0.0  # error, in bounds
    where: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)


def available(only: str | None = None) -> list[str]:
    """The functions that the package has, with the arguments of their formula."""

    def called(name: str) -> str:
        return FUNCTIONS[name].called if name in FUNCTIONS else name

    return [name for name in MAKERS if hasattr(nl, called(name)) and only in (None, name)]


def run(names: list[str], cases: Iterable[int]) -> dict[str, Tally]:
    """The cases of each function."""
    tallies: dict[str, Tally] = collections.defaultdict(Tally)
    for number in cases:
        for name in names:
            tally = tallies[name]
            case, rng = make(name, number)
            tally.cases += 1
            try:
                worst = check(case, rng)
            except Wrong as e:
                tally.wrong.append(f"from tests import fuzz; fuzz.repeat({name!r}, {number})  # {case}\n    {e}")
                continue
            if worst > tally.worst:
                tally.worst, tally.where = worst, number
    return tallies


def until(end: float, first: int) -> Iterator[int]:
    return itertools.takewhile(lambda _: time.monotonic() < end, itertools.count(first))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0, help="the number of the first case")
    parser.add_argument("--only", metavar="NAME", choices=list(MAKERS), help="this function alone")
    options = parser.parse_args()
    names = available(options.only)
    tallies = run(names, until(time.monotonic() + options.seconds, options.seed))
    print(f"{'function':<45} {'cases':>7} {'wrong':>6}   largest error, of its bound; in case")
    for name, tally in tallies.items():
        print(f"{name:<45} {tally.cases:>7} {len(tally.wrong):>6}   {tally.worst:.3f} {tally.where}")
    for tally in tallies.values():
        print(*tally.wrong[:5], sep="\n")
    missing = sorted(MAKERS.keys() - available())
    print(f"{sum(t.cases for t in tallies.values())} cases, {sum(len(t.wrong) for t in tallies.values())} wrong;", end=" ")
    print(f"{'with' if torch else 'without'} torch; not in this package: {', '.join(missing) or 'none'}")
    return int(any(tally.wrong for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
