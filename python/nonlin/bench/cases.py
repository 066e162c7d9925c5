"""The cases: elementwise functions at three sizes, softmax and cross-entropy at some shapes, other losses at one."""

import functools
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

import nonlin
from nonlin import _core, reference

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

SIZES = SMALL, MEDIUM, LARGE = 100, 1 << 16, 1 << 24
ROW_SHAPES: tuple[Shape, ...] = ((1, 1000), (1_000_000, 10), (65_536, 64), (8192, 1024), (512, 32_000))
VOCABULARY_SHAPE: Shape = (256, 128_256)  # of a language model: for cross_entropy_with_grad
AXES: tuple[tuple[Shape, int], ...] = (
    ((1024, 8192), 0),
    ((64, 8, 128, 128), 1),
)  # for softmax along other axes
LOSS_SHAPES = {"targets": (512, 32_000), "rows": (512, 32_000), "elements": (LARGE,)}  # by kind of loss

HALVES = ("float16", "bfloat16")  # computed in float32
DTYPES = ("float32", "float64", *HALVES)

# Functions that need no exponential; the others need one per entry. A logarithm does not count. No activation with an
# exponential costs less, by the table, and none without one as much.
EXPONENTIAL_COST = 0.8
WITHOUT_EXPONENTIAL = {row["name"] for row in _core.activations() if row["cost"] < EXPONENTIAL_COST}
WITHOUT_EXPONENTIAL |= {"nll_loss", "categorical_cross_entropy", "binary_cross_entropy", "kl_divergence"}
LINE = 64  # bytes that are moved for a single number

# Cross-entropy is measured with softmax, at all shapes.
LOSSES = {
    row["name"] + ending
    for row in _core.losses()
    for ending in ("", "_backward", "_with_grad")
    if row["name"] != "cross_entropy"
}


@dataclass(frozen=True)
class Case:
    """One function on inputs of one shape."""

    key: str  # the name in the table: "gelu_tanh" for gelu(x, approximate="tanh")
    arguments: tuple[str, ...]
    shape: Shape
    dtype: str
    results: tuple[Shape, ...]
    out: tuple[Shape, ...]  # the arrays that ``out=`` takes; () where there is no ``out``
    axis: int = -1  # of softmax and its like

    @property
    def kind(self) -> str:
        """The heading it is shown under: ``"elementwise"``, ``"rows"`` or ``"losses"``."""
        if self.key in LOSSES:
            return "losses"
        return "elementwise" if self.flat else "rows"

    @property
    def flat(self) -> bool:
        return len(self.shape) == 1

    @property
    def size(self) -> str:
        if self.flat:
            return short(self.shape[0])
        return "x".join(map(str, self.shape)) + ("" if self.axis == -1 else f" axis={self.axis}")

    @property
    def name(self) -> str:
        return f"{self.key} {self.size}" + ("" if self.dtype == "float32" else f" {self.dtype}")

    @property
    def title(self) -> str:
        """What stands above a table of cases of its size."""
        dtype = "" if self.dtype == "float32" else f", {self.dtype}"
        return f"{self.kind.capitalize()}, {self.size}" + (" elements" if self.flat else "") + dtype

    @property
    def half(self) -> bool:
        return self.dtype in HALVES

    @property
    def computed(self) -> str:
        """The dtype to compute in."""
        return "float32" if self.half else self.dtype

    @property
    def bytes(self) -> int:
        """The bytes that have to be moved: every input read once, every result written once."""
        return self.bytes_read + self.bytes_written

    @property
    def bytes_read(self) -> int:
        return sum(map(self._bytes_of, self.arguments))

    def _bytes_of(self, argument: str) -> int:
        rows = prod(self.shape[:-1])
        if argument == "upstream":
            return 0
        if argument == "targets" and not self.flat:
            return 8 * rows
        if self.key.startswith(("nll_loss", "categorical_cross_entropy")):  # only the target's entry is read
            return 0 if self.key == "nll_loss_backward" else LINE * rows
        return itemsize(self.dtype) * prod(self.shape)

    @property
    def bytes_written(self) -> int:
        return itemsize(self.dtype) * sum(map(prod, self.results))

    @property
    def exponentials(self) -> int:
        """How many exponentials the case has to compute."""
        if "y" in self.arguments:  # the forward function's result makes them unnecessary
            return 0
        function = self.key.removesuffix("_backward").removesuffix("_with_grad")
        return 0 if function in WITHOUT_EXPONENTIAL else prod(self.shape)

    def expression(self, module: str, *, out: bool = False) -> str:
        """The call of the public function: ``nonlin.gelu(x, approximate='tanh', out=out)``."""
        public = hasattr(nonlin, self.key)
        function = self.key if public else self.key.replace("_tanh", "")
        keywords = [] if public else ["approximate='tanh'"]
        keywords += ([] if self.axis == -1 else ["axis=axis"]) + (["out=out"] if out else [])
        return f"{module}.{function}({', '.join([*self.arguments, *keywords])})"

    def inputs(self) -> dict[str, Array]:
        """The arguments by name. Cases share them, so they must not be written to."""
        return {name: self._input(name, place) for place, name in enumerate(self.arguments)}

    def _input(self, name: str, place: int) -> Array:
        if name == "targets" and not self.flat:
            return np.random.default_rng(place).integers(0, self.shape[-1], self.shape[:-1])
        if name == "upstream":
            return np.ones((), self.dtype)
        if name not in ("y", "targets", "log_probs", "probs", "p", "q"):
            return _normal(self.shape, self.dtype, place)
        values = _normal(self.shape, self.computed, place)
        if name == "y":  # a backward function that takes the result of its forward function
            values = getattr(reference, self.key.removesuffix("_backward"))(values)
        elif name == "targets":
            values = values > 0
        elif name == "log_probs":
            values = reference.log_softmax(values)
        else:
            values = (reference.sigmoid if self.flat else reference.softmax)(values)
        return values.astype(as_dtype(self.dtype), copy=False)

    def empty(self) -> Any:
        """What to pass as ``out``."""
        arrays = tuple(np.empty(shape, as_dtype(self.dtype)) for shape in self.out)
        return arrays[0] if len(arrays) == 1 else arrays


def as_dtype(name: str) -> np.dtype[Any]:
    """NumPy's dtype, or that of ml_dtypes."""
    if name == "bfloat16":
        importlib.import_module("ml_dtypes")  # gives NumPy the name
    return np.dtype(name)


def itemsize(name: str) -> int:
    return 2 if name in HALVES else np.dtype(name).itemsize


def short(n: int) -> str:
    """``65536`` as ``64K``, ``16777216`` as ``16M``."""
    for unit, letter in ((1 << 20, "M"), (1 << 10, "K")):
        if n % unit == 0:
            return f"{n // unit}{letter}"
    return str(n)


@functools.lru_cache(maxsize=3)
def _normal(shape: Shape, dtype: str, place: int) -> Array:
    """Normally distributed numbers, different for each place among the arguments."""
    kind = np.float64 if dtype == "float64" else np.float32
    numbers = np.random.default_rng(place).standard_normal(shape, dtype=kind)
    numbers *= 2
    return numbers.astype(as_dtype(dtype), copy=False)


def elementwise(dtype: str = "float32") -> Iterator[Case]:
    """Forward and backward of every row of the table, small sizes first."""
    directions = ("", "forward_inputs", "outputs"), ("_backward", "backward_inputs", "backward_outputs")
    for n in SIZES:
        for row in _core.activations():
            for suffix, inputs, outputs in directions:
                arguments = tuple(name for name in row[inputs] if name not in row["parameters"])
                results = ((n,),) * row[outputs]
                yield Case(row["name"] + suffix, arguments, (n,), dtype, results, results)


def rows(dtype: str = "float32") -> Iterator[Case]:
    """Softmax and cross-entropy along the last axis, softmax also along others."""
    for shape in ROW_SHAPES:
        row: Shape = shape[:-1]
        yield Case("softmax", ("x",), shape, dtype, (shape,), (shape,))
        yield Case("log_softmax", ("x",), shape, dtype, (shape,), (shape,))
        yield Case("logsumexp", ("x",), shape, dtype, (row,), (row,))
        yield Case("cross_entropy", ("logits", "targets"), shape, dtype, ((),), ())
        yield Case("cross_entropy_with_grad", ("logits", "targets"), shape, dtype, ((), shape), (shape,))
    shape = VOCABULARY_SHAPE
    yield Case("cross_entropy_with_grad", ("logits", "targets"), shape, dtype, ((), shape), (shape,))
    for whole, axis in AXES:
        yield Case("softmax", ("x",), whole, dtype, (whole,), (whole,), axis)


def peers() -> Iterator[tuple[Case, bool]]:
    """The cases of the comparison with all peers, and whether their fresh results count too."""

    def elementwise(key: str, n: int, dtype: str = "float32") -> tuple[Case, bool]:
        arguments = ("grad", "x") if key.endswith("_backward") else ("x",)
        return Case(key, arguments, (n,), dtype, ((n,),), ((n,),)), False

    for key in ("tanh", "sigmoid"):
        yield elementwise(key, SMALL)
    for key in ("tanh", "sigmoid", "silu", "silu_backward", "softplus", "mish", "gelu"):
        yield elementwise(key, MEDIUM)
    for key in ("sigmoid", "silu"):
        yield elementwise(key, 4 * MEDIUM, "float64")
    yield elementwise("silu_backward", LARGE // 4)
    for key in ("softplus", "mish", "gelu"):
        yield elementwise(key, LARGE)
    for case in rows():
        row, huge = case.shape[0] == 1, case.shape in (ROW_SHAPES[-1], VOCABULARY_SHAPE)
        if case.axis != -1 or case.key == "logsumexp" or (row and case.key != "softmax"):
            continue
        if not huge or case.key in ("softmax", "cross_entropy_with_grad"):
            yield case, huge and case.key == "cross_entropy_with_grad"


def losses(dtype: str = "float32") -> Iterator[Case]:
    """The losses but for cross-entropy, each with its gradient: fused where it has that form."""
    for row in _core.losses():
        if row["name"] not in LOSSES:
            continue
        shape, arguments = LOSS_SHAPES[row["kind"]], tuple(row["arguments"])
        yield Case(row["name"], arguments, shape, dtype, ((),), ())
        if row["with_grad"]:
            yield Case(row["name"] + "_with_grad", arguments, shape, dtype, ((), shape), (shape,))
        else:
            yield Case(row["name"] + "_backward", ("upstream", *arguments), shape, dtype, (shape,), (shape,))
