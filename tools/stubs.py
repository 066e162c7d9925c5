"""Write the type stubs of the modules whose names come from a table: ``make stubs``."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import BuiltinFunctionType, ModuleType
from typing import Any

import numpy as np

from nonlin import _activations, _core

HEADER = '''\
"""Written by `make stubs`."""

import typing
from contextvars import ContextVar
from typing import Any

import numpy
import numpy.typing
from numpy.typing import ArrayLike

'''
GENERICS = {
    "ContextVar": "ContextVar[int]",
    "dict": "dict[str, Any]",
    "list": "list[dict[str, Any]]",
    "tuple": "tuple[Any, ...]",
}


def builtin(function: BuiltinFunctionType) -> str:
    """Complete the signature that pybind11 writes in the first line of its docstrings."""
    signature, result = (function.__doc__ or "").splitlines()[0].split(" -> ")
    return f"def {signature} -> {GENERICS.get(result, result)}: ..."


def annotated(parameter: inspect.Parameter) -> str:
    """Return a parameter of an elementwise function with its type: options are strings, all else is broadcast."""
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        return f"**{parameter.name}: Any"
    if parameter.default is inspect.Parameter.empty:
        return f"{parameter.name}: ArrayLike"
    kind = "str" if isinstance(parameter.default, str) else "ArrayLike"
    return f"{parameter.name}: {kind} = {parameter.default!r}"


def declarations(module: ModuleType, names: list[str]) -> Iterator[str]:
    """Yield the declaration of each name."""
    for name in names:
        value: Any = getattr(module, name)
        if isinstance(value, np.ufunc):
            yield f"{name}: numpy.ufunc"
        elif isinstance(value, BuiltinFunctionType) and getattr(value, "__text_signature__", None) is None:
            yield builtin(value)
        elif inspect.isroutine(value):
            parameters = map(annotated, inspect.signature(value).parameters.values())
            yield f"def {name}({', '.join(parameters)}) -> Any: ..."
        else:
            kind = type(value).__name__
            yield f"{name}: {GENERICS.get(kind, kind)}"


def write(module: ModuleType, names: list[str], start: str = "") -> None:
    """Write the stub of a module."""
    path = Path(__file__).parents[1].joinpath("python", *module.__name__.split(".")).with_suffix(".pyi")
    path.write_text(HEADER + start + "\n".join(declarations(module, names)) + "\n")


if __name__ == "__main__":
    write(_core, ["__version__", *(name for name in dir(_core) if not name.startswith("_"))])
    write(_activations, _activations.__all__, f"__all__ = {_activations.__all__}\n\n")
