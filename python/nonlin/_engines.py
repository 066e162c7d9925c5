"""What engines share: the table of losses, checks of arguments, and functions with the signatures of nonlin's own."""

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import nonlin as nl

from . import _core
from ._dtypes import INTEGERS, is_real

WEIGHTS = ("weight", "pos_weight", "sample_weight")
REAL = "float16, bfloat16, float32, float64, booleans or integers"
OPTIONAL = (*WEIGHTS, "b", "where")  # arrays that may be None


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """A loss with the names of what it is differentiated by, and of the other argument."""
    operand, target = row["arguments"] if row["kind"] != "rows" else reversed(row["arguments"])
    return {**row, "operand": operand, "target": target}


LOSSES = {row["name"]: _row(row) for row in _core.losses()}


def loss_of(name: str) -> tuple[str, str]:
    """The loss that a function belongs to, and the rest of its name: nothing, ``_backward`` or ``_with_grad``."""
    loss = max((n for n in LOSSES if name.startswith(n)), key=len)
    return loss, name.removeprefix(loss)


def given_among(given: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Arguments with these names, but for optional ones that are None."""
    return {n: given[n] for n in names if n in given and not (given[n] is None and n in OPTIONAL)}


def integer(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; it takes an integer") from None


def whole(name: str, value: Any) -> int:
    """An argument that has to be an integer of 64 bits."""
    found = integer(name, value)
    if not -(2**63) <= found < 2**63:
        raise ValueError(f"{name} is {found}; it takes an integer of 64 bits")
    return found


def number(name: str, value: Any, taken: str = "a number") -> float:
    """An argument that has to be a number of Python or NumPy."""
    is_numpy = isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0
    if isinstance(value, (int, float)) or (is_numpy and (is_real(value.dtype) or value.dtype.kind in INTEGERS)):
        try:
            return float(value)
        except OverflowError:
            pass
    raise TypeError(f"{name} is {value!r}; it takes {taken}")


def axis_of(axis: Any, ndim: int) -> int:
    """An axis counted from the front: in Python, through which compilers of engines see."""
    i = integer("axis", axis)
    if not -ndim <= i < ndim:
        raise np.exceptions.AxisError(i, ndim)
    return i % ndim


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """One axis, several or, for None, all."""
    if axis is None:
        return tuple(range(ndim))
    axes = tuple([axis_of(i, ndim) for i in (axis if isinstance(axis, tuple) else (axis,))])
    if len(set(axes)) < len(axes):
        raise ValueError(f"axis is {axis}, which names an axis twice; it takes different ones")
    return axes


def parameters_of(name: str, without: Sequence[str] = ("out",)) -> list[inspect.Parameter]:
    """Those of a function of nonlin, without types."""
    parameters = inspect.signature(getattr(nl, name)).parameters.values()
    return [p.replace(annotation=p.empty) for p in parameters if p.name not in without]


def summary_of(name: str) -> str:
    """The first line of documentation; before it, ufuncs have their signature."""
    lines = (getattr(nl, name).__doc__ or name).splitlines()
    return next(line.strip() for line in lines if line.strip() and not line.startswith(name + "("))


def bound(name: str, signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of a call, by name."""
    try:
        arguments = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name}() {error}: it takes {signature}") from None
    arguments.apply_defaults()
    return dict(arguments.arguments)


def named(
    function: Callable[..., Any], module: str, name: str, signature: inspect.Signature, documentation: str
) -> Callable[..., Any]:
    """A function as one of a module."""
    function.__name__ = function.__qualname__ = name
    function.__module__, function.__doc__ = module, documentation
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


def function_of(
    module: str, name: str, parameters: Sequence[inspect.Parameter], run: Callable[[dict[str, Any]], Any], documentation: str
) -> Callable[..., Any]:
    """A function that hands all its arguments on, by name."""
    signature = inspect.Signature(parameters)

    def function(*args: Any, **kwargs: Any) -> Any:
        return run(bound(name, signature, args, kwargs))

    return named(function, module, name, signature, documentation)
