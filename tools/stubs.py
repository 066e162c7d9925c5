"""Write the type stubs of the modules whose names come from a table: ``make stubs``."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import BuiltinFunctionType, ModuleType
from typing import Any

import numpy as np

from nonlin import _core, activations, losses

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
    """Complete what pybind11 writes into the first line of its docstrings."""
    signature, result = (function.__doc__ or "").splitlines()[0].split(" -> ")
    return f"def {signature} -> {GENERICS.get(result, result)}: ..."


def annotated(parameter: inspect.Parameter) -> str:
    """Return a parameter with its type. Elementwise functions tell none: options are strings, all else is broadcast."""
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        return f"**{parameter.name}: Any"
    if isinstance(parameter.annotation, str):
        kind = parameter.annotation
    else:
        kind = "str" if isinstance(parameter.default, str) else "ArrayLike"
    text = f"{parameter.name}: {kind}"
    return text if parameter.default is inspect.Parameter.empty else f"{text} = {parameter.default!r}"


def arguments(function: Callable[..., Any]) -> Iterator[str]:
    """Yield the parameters of a function, keyword-only ones behind a star."""
    before = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and before is not inspect.Parameter.KEYWORD_ONLY:
            yield "*"
        before = parameter.kind
        yield annotated(parameter)


def declarations(module: ModuleType, names: list[str]) -> Iterator[str]:
    """Yield the declaration of each name."""
    for name in names:
        value: Any = getattr(module, name)
        if isinstance(value, np.ufunc):
            yield f"{name}: numpy.ufunc"
        elif isinstance(value, BuiltinFunctionType) and getattr(value, "__text_signature__", None) is None:
            yield builtin(value)
        elif inspect.isroutine(value):
            result = inspect.signature(value).return_annotation
            yield f"def {name}({', '.join(arguments(value))}) -> {result if isinstance(result, str) else 'Any'}: ..."
        else:
            kind = type(value).__name__
            yield f"{name}: {GENERICS.get(kind, kind)}"


def write(module: ModuleType, names: list[str], start: str = "") -> None:
    """Write the stub of a module."""
    path = Path(__file__).parents[1].joinpath("python", *module.__name__.split(".")).with_suffix(".pyi")
    path.write_text(HEADER + start + "\n".join(declarations(module, names)) + "\n")


if __name__ == "__main__":
    write(_core, ["__version__", *(name for name in dir(_core) if not name.startswith("_"))])
    for module in (activations, losses):
        write(module, module.__all__, f"__all__ = {module.__all__}\n\n")
