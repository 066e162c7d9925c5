"""What a contender is: a table of Python expressions in the names of a case's arguments."""

import timeit
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nonlin.bench.cases import Array, Case

Expressions = tuple[str | None, str | None]  # for a fresh result, for out=
MODES = ("fresh", "out=")


class Call:
    """An expression, ready to run."""

    def __init__(self, expression: str, names: dict[str, Any]) -> None:
        self.expression = expression
        self.function: Callable[[], Any] = eval(f"lambda: {expression}", names)
        self._timer = timeit.Timer(expression, globals=names)

    def seconds(self, repeats: int) -> float:
        """The time of ``repeats`` calls."""
        return self._timer.timeit(repeats)


@dataclass(frozen=True)
class Contender:
    """A library, and how it computes a case."""

    name: str
    version: str
    expressions: Callable[[Case], Expressions]
    names: Mapping[str, Any] = field(repr=False)  # what the expressions refer to, beside the arguments
    array: Callable[[Array], Any] = lambda array: array  # the contender's own view of an array
    numpy: Callable[[Any], Array] = np.asarray  # and back
    compiles: bool = False  # the first call of a case takes long
    settles: float = 0.0  # seconds that its threads spin after a call, and take cores from the next contender
    model: Callable[[Case, Mapping[str, Any]], dict[str, Any]] = lambda case, names: {}  # further names, from the arguments

    def modes(self, case: Case) -> list[str]:
        """The modes, ``"fresh"`` or ``"out="``, that it has for a case."""
        return [mode for mode, expression in zip(MODES, self.expressions(case), strict=True) if expression]

    def call(self, case: Case, mode: str, inputs: Mapping[str, Array]) -> Call:
        expression = self.expressions(case)[MODES.index(mode)]
        assert expression is not None
        names = {**self.names, "axis": case.axis, **{name: self.array(value) for name, value in inputs.items()}}
        if mode == "out=":
            out = case.empty()
            names["out"] = tuple(map(self.array, out)) if isinstance(out, tuple) else self.array(out)
        return Call(expression, names | self.model(case, names))

    def arrays(self, result: Any) -> list[Array]:
        """What a call returned, one array or a tuple of them, as NumPy arrays."""
        return [self.numpy(part) for part in (result if isinstance(result, tuple) else (result,))]
