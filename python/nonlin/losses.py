"""Losses with their gradients, functions made from the table of losses in the extension."""

from __future__ import annotations  # signatures as they are written, also those of the functions made below

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _core
from ._dtypes import working_dtype
from ._loss_rows import LOSSES, Loss, check_out, prepare

__all__: list[str] = []


def _loss(name: str, first: ArrayLike, second: ArrayLike, **options: Any) -> Any:
    rows = prepare(LOSSES[name], first, second, **options)
    return rows.reduce(rows.losses())


def _backward(name: str, grad: ArrayLike, first: ArrayLike, second: ArrayLike, out: Any, **options: Any) -> Any:
    rows = prepare(LOSSES[name], first, second, **options)
    check_out(out, LOSSES[name].name_of_x, rows.x)
    return rows.gradient("_backward", rows.upstream(grad), out)[1]


def _with_grad(name: str, first: ArrayLike, second: ArrayLike, out: Any, **options: Any) -> tuple[Any, Any]:
    rows = prepare(LOSSES[name], first, second, **options)
    check_out(out, LOSSES[name].name_of_x, rows.x)
    with np.errstate(all="ignore"):
        factor = working_dtype(rows.x.dtype).type(np.float64(1.0) / rows.divisor)
    losses, gradient = rows.gradient("_with_grad", factor, out)
    return rows.reduce(losses), gradient


_OPTIONS = {
    "axis": "int = -1",
    "weight": "ArrayLike | None = None",
    "pos_weight": "ArrayLike | None = None",
    "ignore_index": "int = -100",
    "label_smoothing": "float = 0.0",
    "z_loss": "float = 0.0",
    "reduction": 'str = "mean"',
}

# Of the docstrings, by name or by name and kind of loss.
_PARAMETERS = {
    "grad": (
        "array_like",
        'The upstream gradient of the loss: a scalar for ``"mean"`` and ``"sum"``, of the shape of the losses for\n'
        '    ``"none"``.',
    ),
    "logits": ("array_like", "{x}"),
    "log_probs": ("array_like", "The results of `log_softmax`. {x}"),
    "probs": ("array_like", "Probabilities, in [0, 1] or NaN. {x}"),
    "p": ("array_like", "The target distributions, of the shape of `{name}`."),
    "q": ("array_like", "The distributions that are compared with `p`. {x}"),
    "targets": (
        "array_like",
        "Integers with the shape of `{name}` without `axis`: classes. Or floats with the shape of `{name}`:\n"
        "    probabilities, which are not checked to sum to one.",
    ),
    "targets elements": ("array_like", "Of the shape of `{name}` and any real dtype: 0, 1, or a probability between them."),
    "axis": ("int, default -1", "The class axis."),
    "weight": ("array_like, optional", "A factor for each class, shape (C,)."),
    "weight elements": ("array_like, optional", "A factor for each entry; broadcasts to the shape of `{name}`."),
    "pos_weight": (
        "array_like, optional",
        "A factor for the part of the loss that positive targets have; broadcasts to the shape of `{name}`.",
    ),
    "ignore_index": ("int, default -100", "The class of rows that do not count: their loss and gradient are 0."),
    "label_smoothing": (
        "float, default 0.0",
        "In [0, 1]: mixes ``(1 - label_smoothing) * target + label_smoothing / C``.",
    ),
    "z_loss": ("float, default 0.0", "Adds ``z_loss * logsumexp(logits)**2`` to the loss of each row."),
    "reduction": ('{"mean", "sum", "none"}', '``"mean"`` divides by the number of {counted}.'),
    "reduction targets": (
        '{"mean", "sum", "none"}',
        '``"mean"`` divides by the sum of the weights of the classes that count, or by the number of rows for\n'
        "    probabilities.",
    ),
    "out": (
        "ndarray, optional",
        "Where to put the gradient, of the shape and dtype of `{name}`; ``out={name}`` overwrites that.",
    ),
}


def _parameters(loss: Loss, ending: str) -> str:
    """The docstring's section of parameters."""
    if loss.kind == "elements":
        shape, counted = "Any shape.", "entries"
    else:
        shape, counted = "Any shape with a non-empty class axis; the other axes are a batch.", "rows"
    x = f"{shape} Floats are kept,\n    booleans and integers give float64."
    names = (["grad"] if ending == "_backward" else []) + loss.arguments + loss.options + (["out"] if ending else [])
    lines = []
    for name in names:
        kind, text = _PARAMETERS.get(f"{name} {loss.kind}") or _PARAMETERS[name]
        lines += [f"{name} : {kind}", "    " + text.format(x=x, name=loss.name_of_x, counted=counted)]
    return "\n".join(lines)


def _returns(loss: Loss, ending: str) -> str:
    """The docstring's section of results."""
    of_x = f"of the shape and dtype of `{loss.name_of_x}`"
    if ending == "_backward":
        return f"ndarray\n    The gradient, {of_x}."
    each = "entries" if loss.kind == "elements" else "rows"
    result = (
        f'In the dtype of `{loss.name_of_x}`, float32 for 16-bit floats; for ``"none"`` an array of the losses of the\n'
        f"    {each}. Sums are accumulated in float64."
    )
    if ending == "":
        return f"scalar or ndarray\n    {result}"
    gradient = f'The gradient with respect to `{loss.name_of_x}`, {of_x}; for ``"none"`` that of the sum.'
    return f"loss : scalar or ndarray\n    {result}\ngrad : ndarray\n    {gradient}"


def _raises(loss: Loss, ending: str) -> str:
    """The docstring's section of errors."""
    shapes = "For shapes that do not fit" + (", an empty class axis" if "axis" in loss.options else "")
    values = shapes + (", probabilities outside [0, 1]" if loss.name_of_x == "probs" else "")
    errors = {"ValueError": f"{values}, an unknown `reduction`.", "TypeError": "For dtypes that are not taken."}
    if loss.kind == "targets":
        errors["IndexError"] = "If a class is outside [0, C) and not `ignore_index`: names the first one."
    if "axis" in loss.options:
        errors["numpy.exceptions.AxisError"] = "If `axis` is out of range."
    lines = [f"{error}\n    {when}" for error, when in errors.items()]
    return "\n".join(lines) + ("\n\nAfter an error nothing was written to `out`." if ending else "")


def _documentation(loss: Loss, ending: str) -> str:
    """The numpydoc docstring of a function."""
    call = f"nl.{loss.name}{ending}({'1.0, ' if ending == '_backward' else ''}{loss.example})"
    gradient = f">>> {{}}.round(3)\n{loss.gradient}"
    if ending == "":
        title = loss.summary
        example = f">>> print({call}.round(3))\n{loss.result}"
    elif ending == "_backward":
        title = f"Gradient of `{loss.name}` with respect to `{loss.name_of_x}`, times `grad`."
        example = gradient.format(call)
    else:
        title = f"Return `{loss.name}` and its gradient with respect to `{loss.name_of_x}`, from one pass."
        example = f">>> loss, grad = {call}\n>>> print(loss.round(3))\n{loss.result}\n" + gradient.format("grad")
    sections = {
        "Parameters": _parameters(loss, ending),
        "Returns": _returns(loss, ending),
        "Raises": _raises(loss, ending),
        "Examples": f">>> import nonlin as nl\n{example}",
        "References": f"docs/formulas.md, Losses. {loss.source}.",
    }
    return "\n\n".join([title, *(f"{name}\n{'-' * len(name)}\n{text}" for name, text in sections.items())])


_plain_loss = _core.plain_loss  # called by the functions made below
_ENDINGS = {"": "_loss", "_backward": "_backward", "_with_grad": "_with_grad"}
_PLAIN = ["grad", "out", *_OPTIONS]  # the order in which the extension takes them


def _define(number: int, loss: Loss, ending: str) -> None:
    """Define the function of a loss; exec, as namedtuple does, for the only way to a true signature.

    It asks the extension first, which knows the usual arguments and gives None for others.
    """
    positional = (["grad"] if ending == "_backward" else []) + loss.arguments
    parameters = [f"{name}: ArrayLike" for name in positional] + ["*"]
    parameters += [f"{name}: {_OPTIONS[name]}" for name in loss.options] + (["out: Any = None"] if ending else [])
    passed = [*positional, *(["out"] if ending else []), *(f"{name}={name}" for name in loss.options)]
    known = {*positional, *loss.options, *(["out"] if ending else [])}
    plain = [str(number), str(list(_ENDINGS).index(ending)), *loss.arguments]
    plain += [name if name in known else "None" for name in _PLAIN]
    result = "tuple[Any, Any]" if ending == "_with_grad" else "Any"
    name = loss.name + ending
    source = f"""def {name}({", ".join(parameters)}) -> {result}:
    plain = _plain_loss({", ".join(plain)})
    return {_ENDINGS[ending]}({loss.name!r}, {", ".join(passed)}) if plain is None else plain"""
    exec(source, globals())
    globals()[name].__doc__ = _documentation(loss, ending)
    __all__.append(name)


for _number, _row in enumerate(LOSSES.values()):
    _define(_number, _row, "")
    _define(_number, _row, "_backward")
    if _row.with_grad:
        _define(_number, _row, "_with_grad")
