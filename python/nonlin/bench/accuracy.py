"""The largest errors of results, in units in the last place: what a contender's speed costs.

The exact values are those of the formulas of :mod:`nonlin.reference` in the next wider format, at the very numbers that
the contender was given: those of the case, and others that reach further, once per function. Results below the normal
range, which some flush to zero, do not count.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from nonlin import reference
from nonlin.bench.cases import Array, Case, as_dtype
from nonlin.bench.contender import Contender

COMPARED = 1 << 20  # entries compared of a larger result, where rows and elements do not depend on others
REACH = 7  # of further numbers of elementwise functions: up to 2^7, and down to the smallest normal number
WIDER = 5  # times those of the case are the further numbers along rows
FURTHER = 1 << 18  # further entries
# Gradients that cross zero away from 0, and the functions they are of.
CROSSING = {f"{name}_backward": name for name in ("gelu", "gelu_tanh", "silu", "mish")}
CROSSING |= {"swiglu_backward": "silu", "geglu_backward": "gelu"}
REACHING = ("x", "gate", "logits")  # the arguments that they are for


def wider(dtype: str) -> Any:
    """The type of exact values, or None where there is none: long double is not wider everywhere."""
    if dtype != "float64":
        return np.float64
    return np.longdouble if np.finfo(np.longdouble).nmant > 60 else None


def measurable(case: Case) -> bool:
    """Whether there are exact values: NumPy has no erfc of long doubles, and the cubic of gelu_tanh loses digits in them."""
    return wider(case.dtype) is not None and not (case.dtype == "float64" and case.key.startswith(("gelu", "geglu")))


def step(case: Case) -> int:
    """Of a large result, every how many elements or rows are compared; losses depend on all."""
    alone = case.kind == "elementwise" or case.key in ("softmax", "log_softmax", "logsumexp")
    entries = int(np.prod(case.shape))
    return entries // COMPARED | 1 if alone and case.axis == -1 and entries > COMPARED else 1


class Exact(NamedTuple):
    """Exact results, and the sizes whose units count: their own ones, or larger ones."""

    values: Array
    sizes: Array


def exact(case: Case, inputs: Mapping[str, Array]) -> list[Exact]:
    """The exact results, of each :func:`step` of the inputs."""
    kind = wider(case.dtype)
    wide = {name: a[:: step(case)] if a.ndim else a for name, a in inputs.items()}
    wide = {name: a if a.dtype.kind == "i" else a.astype(kind) for name, a in wide.items()}
    # A parameter is rounded to the type of x first; the others have defaults that all types hold.
    slope = float(as_dtype(case.dtype).type(0.01))
    leaky = {name: partial(getattr(reference, name), negative_slope=slope) for name in ("leaky_relu", "leaky_relu_backward")}
    names = {"reference": SimpleNamespace(**vars(reference) | leaky), "axis": case.axis, **wide}
    with np.errstate(all="ignore"):
        found = eval(case.expression("reference"), names)
        values = list(found) if isinstance(found, tuple) else [np.asarray(found)]
        sizes = [np.abs(value) for value in values]
        if case.key in CROSSING:
            # The gradient of x s(x) is s + x s', two terms that are of one size where they cancel.
            x = "gate" if "gate" in wide else "x"
            forward = dataclasses.replace(case, key=CROSSING[case.key], arguments=(x,)).expression("reference")
            term = np.abs(wide["grad"] * wide.get("up", 1) * eval(forward, names) / wide[x])
            sizes[0] = np.where(term > sizes[0], term, sizes[0])  # its own where x is 0
    return [Exact(*pair) for pair in zip(values, sizes, strict=True)]


def largest_error(case: Case, results: Sequence[Array], wanted: Sequence[Exact]) -> float:
    """In units in the last place of the result's type at the exact value."""
    return max(
        _error(result[:: step(case)] if result.ndim else result, want) for result, want in zip(results, wanted, strict=True)
    )


def _error(result: Array, wanted: Exact) -> float:
    info = _info(result.dtype.name)
    want, size = wanted
    counts = (size == 0) | (size >= info.smallest_normal) & (size <= info.max)
    power = np.where(size == 0, info.minexp, np.frexp(size)[1] - 1)
    unit = np.ldexp(np.ones((), want.dtype), np.maximum(power, info.minexp) - info.nmant)
    error = np.abs(result.astype(want.dtype) - want) / unit
    return float(np.max(np.where(np.isnan(error), np.inf, error), where=counts, initial=0))


@functools.cache
def _info(dtype: str) -> Any:
    if dtype == "bfloat16":
        finfo = np.finfo(np.float32)  # of which it has the exponents
        return SimpleNamespace(smallest_normal=float(finfo.smallest_normal), max=3.3895e38, minexp=finfo.minexp, nmant=7)
    finfo = np.finfo(dtype)
    return SimpleNamespace(smallest_normal=finfo.smallest_normal, max=finfo.max, minexp=finfo.minexp, nmant=finfo.nmant)


def further(case: Case) -> Case | None:
    """The same function on as many other numbers, or None where only those of the case make sense."""
    if case.axis != -1 or not set(REACHING) & set(case.arguments):
        return None
    shape = (FURTHER,) if case.flat else (max(1, FURTHER // case.shape[-1]), case.shape[-1])
    resized = {case.shape: shape, case.shape[:-1]: shape[:-1], (): ()}
    results, out = (tuple(resized[old] for old in shapes) for shapes in (case.results, case.out))
    return dataclasses.replace(case, shape=shape, results=results, out=out)


def further_inputs(case: Case) -> dict[str, Array]:
    """The inputs of a case that :func:`further` returned."""
    inputs = case.inputs()
    for name in set(REACHING) & set(inputs):
        normal = inputs[name]
        inputs[name] = _spread(case) if case.flat else (normal * WIDER).astype(normal.dtype)
    return inputs


def _spread(case: Case) -> Array:
    """Numbers of both signs, half of them evenly spaced, half in their logarithms."""
    half = case.shape[0] // 2
    powers = np.exp2(np.linspace(_info(case.dtype).minexp, REACH, half)) * np.where(np.arange(half) % 2, 1, -1)
    return np.concatenate([powers, np.linspace(-(2**REACH), 2**REACH, case.shape[0] - half)]).astype(as_dtype(case.dtype))


@dataclass
class Errors:
    """Measures errors; those on further numbers once for each function."""

    known: dict[tuple[str, str, Case], float] = field(default_factory=dict)

    def largest(self, contender: Contender, mode: str, case: Case, results: Sequence[Array]) -> float:
        """The largest error of a contender, whose results for the case are there."""
        error = largest_error(case, results, _exact(case))
        again = further(case)
        if again is None:
            return error
        key = contender.name, mode, again
        if key not in self.known:
            call = contender.call(again, mode, further_inputs(again))
            self.known[key] = largest_error(again, contender.arrays(call.function()), _further_exact(again))
        return max(error, self.known[key])


@functools.lru_cache(maxsize=1)
def _exact(case: Case) -> list[Exact]:
    return exact(case, case.inputs())


@functools.lru_cache(maxsize=1)
def _further_exact(case: Case) -> list[Exact]:
    return exact(case, further_inputs(case))
