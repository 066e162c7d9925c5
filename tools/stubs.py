"""Write the type stubs of the modules whose functions follow a table or a pattern: ``make stubs``.

The type of a result follows from those of the operands, and a loss's from the reduction too. So functions are overloaded, in
the words of `nonlin._typing`; names, order and defaults of arguments are those of the functions themselves.
"""

import inspect
from collections.abc import Callable, Iterator
from inspect import Parameter
from pathlib import Path
from types import BuiltinFunctionType, ModuleType
from typing import Any

import numpy as np

import nonlin
from nonlin import _activations, _core, _linear, _losses, _runtime, _softmax

HEADER = '''\
"""Written by `make stubs`."""

import typing
from contextvars import ContextVar
from typing import Any, Literal, Unpack, overload, type_check_only

import numpy
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ._typing import Axis, Beside, BinaryUfunc, Doubles, DType, F, Keywords, L, Parameter, RealLike, Reduction, Rows, Scalar
from ._typing import Ufunc

'''
GENERICS = {
    "ContextVar": "ContextVar[int]",
    "dict": "dict[str, Any]",
    "list": "list[dict[str, Any]]",
    "tuple": "tuple[Any, ...]",
}


def overloads(name: str, forms: list[tuple[list[str], str]]) -> str:
    """Return the declaration of a function, which has one or more forms: arguments and result."""
    lines = [f"def {name}({', '.join(arguments)}) -> {result}: ..." for arguments, result in forms]
    return lines[0] if len(lines) == 1 else "\n".join(f"@overload\n{line}" for line in lines)


def operands(names: list[str], floats: str) -> Iterator[tuple[dict[str, str], str]]:
    """Yield the types of operands from which the floats of the result are known, and these floats; at last, all others."""
    *others, last = names
    if others:
        yield dict.fromkeys(others, f"Beside[{floats}]") | {last: f"NDArray[{floats}]"}, floats
        if floats == "F":  # of L, mypy takes the two for overlapping
            yield dict.fromkeys(others, "Doubles") | {last: "Rows[numpy.float64]"}, "numpy.float64"
    else:
        yield {last: f"Rows[{floats}]"}, floats
    yield dict.fromkeys(names, "RealLike"), "Any"


# The extension


def builtin(function: BuiltinFunctionType) -> str:
    """Complete the signature that pybind11 writes in the first line of its docstrings."""
    signature, result = (function.__doc__ or "").splitlines()[0].split(" -> ")
    return f"def {signature} -> {GENERICS.get(result, result)}: ...".replace("numpy.typing.", "")


def of_core(name: str) -> str:
    """Return the declaration of what the extension has under a name."""
    value: Any = getattr(_core, name)
    if isinstance(value, np.ufunc):
        return f"{name}: numpy.ufunc"
    if isinstance(value, BuiltinFunctionType) and getattr(value, "__text_signature__", None) is None:
        return builtin(value)
    if inspect.isroutine(value):
        return overloads(name, [([f"{p}: Any" for p in inspect.signature(value).parameters.values()], "Any")])
    kind = type(value).__name__
    return f"{name}: {GENERICS.get(kind, kind)}"


# Elementwise functions


def elementwise_forms(start: list[str], inputs: list[str], outputs: int, row: dict[str, Any]) -> list[tuple[list[str], str]]:
    """Return the forms of a ufunc's call, or of a function with keywords in front of one; that takes `out` by name."""

    def each(result: str) -> str:
        return result if outputs == 1 else f"tuple[{', '.join([result] * outputs)}]"

    def form(types: dict[str, str], parameter: str, floats: str, result: str) -> tuple[list[str], str]:
        out = {floats: "None", "Any": "Any"}.get(result, f"{each(result)} | None")
        dtype = "DTypeLike" if result == "Any" else f"DType[{floats}]"
        arguments = [f"{name}: {types[name]}" for name in inputs]
        keywords = [f"{name}: {parameter} = {default!r}" for name, default in row["parameters"].items()]
        keywords += [f"{name}: Literal{values} = {values[0]!r}" for name, values in options(row["name"]).items()]
        last = ["*", f"out: {out} = None"] if keywords else [f"out: {out} = None", "*"]
        last += [f"dtype: {dtype} | None = None", "**kwargs: Unpack[Keywords]"]
        return [*start, *arguments, *keywords, *last], each(result)

    *known, (others, _) = operands(inputs, "F")
    return [
        form(dict.fromkeys(inputs, "Scalar[F]"), "Parameter", "F", "F"),
        *(form(types, f"Parameter | NDArray[{floats}]", floats, f"NDArray[{floats}]") for types, floats in known),
        form(others, "RealLike", "Any", "Any"),
    ]


def options(name: str) -> dict[str, list[str]]:
    """Return the options of a function whose forms are further rows of the table, and what they take; the default first."""
    found: dict[str, list[str]] = {}
    for row in _core.activations():
        if row["form_of"] == name:
            for option, value in row["option"].items():
                found.setdefault(option, ["none"]).append(value)
    return found


def of_activations() -> Iterator[str]:
    """Yield a class for each kind of ufunc, then the declarations of the elementwise functions."""
    classes: dict[str, str] = {}
    declared: dict[str, str] = {}
    for row in _core.activations():
        for name, inputs, outputs in (
            (row["name"], row["forward_inputs"], row["outputs"]),
            (row["name"] + "_backward", row["backward_inputs"], row["backward_outputs"]),
        ):
            inputs = [i for i in inputs if i not in row["parameters"]]
            if row["form_of"]:
                continue
            if not isinstance(getattr(_activations, name), np.ufunc):
                declared[name] = overloads(name, elementwise_forms([], inputs, outputs, row))
                continue
            kind = "_Of" + "".join(map(str.title, inputs))
            base = "BinaryUfunc" if (len(inputs), outputs) == (2, 1) else "Ufunc"
            call = overloads("__call__", elementwise_forms(["self"], inputs, outputs, row)).replace("\n", "\n    ")
            classes[kind] = f"@type_check_only\nclass {kind}({base}):  # type: ignore[misc]\n    {call}"
            summary = row["summary"] if name == row["name"] else f"Gradient of {row['name']}."
            declared[name] = f'{name}: {kind}\n"""{summary}"""'
    yield f"__all__ = {_activations.__all__}"
    yield from classes.values()
    yield from (declared[name] for name in _activations.__all__)


# Rows and losses

# The types of some options, and that of the result then, where `{0}` stands for the floats.
Results = list[tuple[dict[str, str], str]]

NONE, OTHERS = 'Literal["none"]', 'Literal["mean", "sum"]'
PAIR = "tuple[Any, Any]"
NO_SIGN = {"b": "None", "return_sign": "Literal[False]"}
LOGSUMEXP: Results = [  # how many axes are left decides whether there is an array, as for NumPy's own sums
    ({"axis": "None", "keepdims": "Literal[False]", "out": "None", **NO_SIGN}, "{0}"),
    ({"keepdims": "Literal[True]", **NO_SIGN}, "NDArray[{0}]"),
]
LINEAR = "tuple[NDArray[{0}], NDArray[{0}], NDArray[{0}] | Any]"  # there is a last one if there is a bias


def of_function(function: Callable[..., Any], names: list[str], floats: str, results: Results, others: Results) -> str:
    """Return the declaration of a function whose result has the floats of the named operands."""

    def form(types: dict[str, str]) -> list[str]:
        arguments = []
        for p in inspect.signature(function).parameters.values():
            if p.kind is Parameter.KEYWORD_ONLY and "*" not in arguments:
                arguments.append("*")
            kind = types.get(p.name) or p.annotation.replace("ArrayLike", "RealLike")
            # The type that chooses an overload may not be the default's.
            left_out = p.default is not Parameter.empty and kind not in (NONE, "Literal[True]")
            left_out &= kind != "None" or p.default is None
            arguments.append(f"{p.name}: {kind}" + (f" = {p.default!r}" if left_out else ""))
        return arguments

    *known, (rest, _) = operands(names, floats)
    forms = []
    for types, kind in known:
        for chosen, result in results:
            more = {name: option.format(kind) for name, option in ({"out": "NDArray[{0}] | None"} | chosen).items()}
            forms.append((form(types | more), result.format(kind)))
    forms += [(form(rest | chosen), result) for chosen, result in others]
    return overloads(function.__name__, forms)


def of_softmax() -> Iterator[str]:
    """Yield the declarations of the functions of rows."""
    yield f"__all__ = {_softmax.__all__}"
    for name in _softmax.__all__:
        function = getattr(_softmax, name)
        if name == "logsumexp":
            yield of_function(function, ["x"], "F", LOGSUMEXP, [({"return_sign": "Literal[True]"}, PAIR), ({}, "Any")])
        elif name in ("logsumexp_partial", "logsumexp_merge", "logsumexp_finish"):
            first = next(iter(inspect.signature(function).parameters))
            yield of_function(function, [first], "F", [], [({}, "Any" if name.endswith("finish") else PAIR)])
        else:
            names = [n for n in inspect.signature(function).parameters if n in ("grad", "x", "y")]
            yield of_function(function, names, "F", [({}, "NDArray[{0}]")], [({}, "Any")])


def of_loss(function: Callable[..., Any], names: list[str], options: dict[str, str], gradient: str, other: str) -> str:
    """Return the declaration of a loss, or of its gradient, or of both."""
    if function.__name__.endswith("_backward"):
        return of_function(function, names, "F", [(options, gradient)], [({}, other)])
    both = "tuple[{}, {}]" if function.__name__.endswith("_with_grad") else "{0}"
    results = [
        (options | {"reduction": kind}, both.format(loss, gradient))
        for kind, loss in ((OTHERS, "{0}"), (NONE, "NDArray[{0}]"))
    ]
    return of_function(function, names, "L", results, [({}, both.format("Any", other))])


def of_losses() -> Iterator[str]:
    """Yield the declarations of the losses."""
    yield f"__all__ = {_losses.__all__}"
    names = {row["name"]: [n for n in row["arguments"] if n != "targets"] for row in _core.losses()}
    for name in _losses.__all__:
        loss = name.removesuffix("_backward").removesuffix("_with_grad")
        yield of_loss(getattr(_losses, name), names[loss], {}, "NDArray[{0}]", "Any")


def of_linear() -> Iterator[str]:
    """Yield the declarations of the losses of a linear layer."""
    yield f"__all__ = {_linear.__all__}"
    for name in _linear.__all__:
        yield of_loss(
            getattr(_linear, name), ["x", "weight"], {"bias": "NDArray[{0}] | None"}, LINEAR, "tuple[Any, Any, Any]"
        )


def of_package() -> Iterator[str]:
    """Yield what the package has from its modules: type checkers follow no `__all__` that is put together."""
    yield f"__all__ = {sorted(nonlin.__all__)}"
    yield "from ._core import __version__ as __version__"
    for module in (_activations, _linear, _losses, _runtime, _softmax):
        yield f"from .{module.__name__.split('.')[1]} import {', '.join(f'{name} as {name}' for name in module.__all__)}"


MODULES: dict[ModuleType, Callable[[], Iterator[str]]] = {
    _core: lambda: map(of_core, ["__version__", *(name for name in dir(_core) if not name.startswith("_"))]),
    _activations: of_activations,
    _softmax: of_softmax,
    _losses: of_losses,
    _linear: of_linear,
    nonlin: of_package,
}


if __name__ == "__main__":
    for module, declarations in MODULES.items():
        stub = "__init__.pyi" if module is nonlin else module.__name__.split(".")[1] + ".pyi"
        path = Path(__file__).parents[1] / "python" / "nonlin" / stub
        path.write_text(HEADER + "\n".join(declarations()) + "\n")
