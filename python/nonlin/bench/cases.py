"""What is measured: elementwise functions at three sizes, softmax and cross-entropy at five shapes, the losses at one."""

import functools
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
ROW_SHAPES = ((1, 1000), (1_000_000, 10), (65_536, 64), (8192, 1024), (512, 32_000))
LOSS_SHAPES = {"targets": (512, 32_000), "rows": (512, 32_000), "elements": (LARGE,)}  # by kind of loss

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

    @property
    def kind(self) -> str:
        """What it is shown under: ``"elementwise"``, ``"rows"`` or ``"losses"``."""
        if self.key in LOSSES:
            return "losses"
        return "elementwise" if self.flat else "rows"

    @property
    def flat(self) -> bool:
        return len(self.shape) == 1

    @property
    def size(self) -> str:
        return short(self.shape[0]) if self.flat else "x".join(map(str, self.shape))

    @property
    def name(self) -> str:
        return f"{self.key} {self.size}"

    @property
    def bytes(self) -> int:
        """The bytes that have to be moved: every input read once, every result written once."""
        classes = "targets" in self.arguments and not self.flat
        floats = [self.shape for name in self.arguments if name != "upstream" and not (name == "targets" and classes)]
        items = sum(map(prod, floats + list(self.results)))
        return np.dtype(self.dtype).itemsize * items + (8 * prod(self.shape[:-1]) if classes else 0)

    def expression(self, module: str, *, out: bool = False) -> str:
        """The call of the public function: ``nonlin.gelu(x, approximate='tanh', out=out)``."""
        public = hasattr(nonlin, self.key)
        function = self.key if public else self.key.replace("_tanh", "")
        keywords = ([] if public else ["approximate='tanh'"]) + (["out=out"] if out else [])
        return f"{module}.{function}({', '.join([*self.arguments, *keywords])})"

    def inputs(self) -> dict[str, Array]:
        """The arguments by name. Cases share them: not to be written to."""
        values: dict[str, Array] = {}
        for place, name in enumerate(self.arguments):
            if name == "y":  # a backward function that takes the result of its forward function
                forward = getattr(reference, self.key.removesuffix("_backward"))
                values[name] = forward(_normal(self.shape, self.dtype, place))
            elif name == "targets" and not self.flat:
                values[name] = np.random.default_rng(place).integers(0, self.shape[-1], self.shape[:-1])
            elif name == "targets":
                values[name] = (_normal(self.shape, self.dtype, place) > 0).astype(self.dtype)
            elif name == "upstream":
                values[name] = np.ones((), self.dtype)
            elif name == "log_probs":
                values[name] = reference.log_softmax(_normal(self.shape, self.dtype, place))
            elif name in ("probs", "p", "q"):
                distribution = reference.sigmoid if self.flat else reference.softmax
                values[name] = distribution(_normal(self.shape, self.dtype, place))
            else:
                values[name] = _normal(self.shape, self.dtype, place)
        return values

    def empty(self) -> Any:
        """What to pass as ``out``."""
        arrays = tuple(np.empty(shape, self.dtype) for shape in self.out)
        return arrays[0] if len(arrays) == 1 else arrays


def short(n: int) -> str:
    """``65536`` as ``64K``, ``16777216`` as ``16M``."""
    for unit, letter in ((1 << 20, "M"), (1 << 10, "K")):
        if n % unit == 0:
            return f"{n // unit}{letter}"
    return str(n)


@functools.lru_cache(maxsize=3)
def _normal(shape: Shape, dtype: str, place: int) -> Array:
    """Normally distributed numbers, others for each place among the arguments."""
    numbers = np.random.default_rng(place).standard_normal(shape, dtype=np.dtype(dtype).type)
    numbers *= 2
    return numbers


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
    """Softmax and cross-entropy along the last axis."""
    for shape in ROW_SHAPES:
        row: Shape = shape[:-1]
        yield Case("softmax", ("x",), shape, dtype, (shape,), (shape,))
        yield Case("log_softmax", ("x",), shape, dtype, (shape,), (shape,))
        yield Case("logsumexp", ("x",), shape, dtype, (row,), (row,))
        yield Case("cross_entropy", ("logits", "targets"), shape, dtype, ((),), ())
        yield Case("cross_entropy_with_grad", ("logits", "targets"), shape, dtype, ((), shape), (shape,))


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
