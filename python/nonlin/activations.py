"""The elementwise functions: NumPy ufuncs, made from the table of activations in the extension.

A function without keyword parameters is the ufunc itself. One with keyword parameters is a wrapper that passes them on as
further inputs, so that they broadcast too.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _core

__all__ = ["gelu", "gelu_backward"]

_HALF = np.finfo(np.float16)
_LEAST, _LARGEST = float(_HALF.tiny), float(_HALF.max)


def _call(ufunc: np.ufunc, *inputs: Any, **kwargs: Any) -> Any:
    """Call `ufunc`; a Python number that overflows or underflows in the type of the arrays must not warn."""
    for value in inputs:
        if type(value) in (float, int) and value != 0 and not _LEAST <= abs(value) <= _LARGEST:
            with np.errstate(all="ignore"):
                return ufunc(*inputs, **kwargs)
    return ufunc(*inputs, **kwargs)


def _documentation(ufunc: np.ufunc) -> str:
    return ufunc.__doc__.split("\n\n", 1)[1]  # without the signature that NumPy puts in front


def _with_defaults(ufunc: np.ufunc, inputs: list[str], defaults: dict[str, float]) -> Callable[..., Any]:
    """Make a function of `inputs` whose last ones are keyword parameters with defaults."""
    signature = ", ".join(f"{name}={defaults[name]}" if name in defaults else name for name in inputs)
    scope: dict[str, Any] = {"_call": _call, "_ufunc": ufunc, "__name__": __name__}
    source = f"def {ufunc.__name__}({signature}, **kwargs): return _call(_ufunc, {', '.join(inputs)}, **kwargs)"
    exec(source, scope)  # as namedtuple does: the only way to a true signature
    function: Callable[..., Any] = scope[ufunc.__name__]
    function.__doc__ = _documentation(ufunc)
    return function


def _add_functions() -> None:
    for row in _core.activations():
        if row["name"] in ("gelu", "gelu_tanh"):  # one function below
            continue
        defaults = row["parameters"]
        for name, inputs in (
            (row["name"], row["forward_inputs"]),
            (row["name"] + "_backward", row["backward_inputs"]),
        ):
            ufunc = getattr(_core, name)
            globals()[name] = _with_defaults(ufunc, inputs, defaults) if defaults else ufunc
            __all__.append(name)


_add_functions()


def _gelu_ufunc(approximate: str, exact: np.ufunc, tanh: np.ufunc) -> np.ufunc:
    if approximate == "none":
        return exact
    if approximate == "tanh":
        return tanh
    raise ValueError(f"approximate is {approximate!r}; it takes 'none' or 'tanh'")


def gelu(x: ArrayLike, approximate: str = "none", **kwargs: Any) -> Any:
    """Gaussian error linear unit, ``x * Phi(x)`` with the normal distribution ``Phi``.

    Parameters
    ----------
    x : array_like
        The argument, of any shape.
    approximate : {"none", "tanh"}
        ``"none"`` is the exact function, ``"tanh"`` is
        ``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))``.
    **kwargs
        `out`, `where`, `dtype`, `casting` and the others of every NumPy ufunc.

    Returns
    -------
    ndarray
        Of the shape of `x`. Floats are kept, booleans and integers give float64. The error is at most
        1.5 ULP in float32 and 3 in float64, tails included.

    Raises
    ------
    ValueError
        If `approximate` is another string.
    TypeError
        For complex, object and string input.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.gelu([-2.0, 0.0, 2.0])
    array([-0.04550026,  0.        ,  1.95449974])

    References
    ----------
    Hendrycks and Gimpel (2016), arXiv:1606.08415.
    """
    return _gelu_ufunc(approximate, _core.gelu, _core.gelu_tanh)(x, **kwargs)


def gelu_backward(grad: ArrayLike, x: ArrayLike, approximate: str = "none", **kwargs: Any) -> Any:
    """Gradient of `gelu`: `grad` times the derivative at `x`.

    Parameters
    ----------
    grad : array_like
        The gradient of the loss with respect to the result, dL/d(out).
    x : array_like
        The argument of `gelu`.
    approximate : {"none", "tanh"}
        As for `gelu`.
    **kwargs
        `out`, `where`, `dtype`, `casting` and the others of every NumPy ufunc.

    Returns
    -------
    ndarray
        Of the shape to which the inputs broadcast. Floats are kept, booleans and integers give float64.
        The error is at most 2 ULP in float32 and 4 in float64; near the derivative's zero, of its largest term.

    Raises
    ------
    ValueError
        If `approximate` is another string.
    TypeError
        For complex, object and string input.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.gelu_backward(1.0, [-2.0, 0.0, 2.0])
    array([-0.0852318,  0.5      ,  1.0852318])

    References
    ----------
    Hendrycks and Gimpel (2016), arXiv:1606.08415.
    """
    return _call(_gelu_ufunc(approximate, _core.gelu_backward, _core.gelu_tanh_backward), grad, x, **kwargs)


__all__.sort()
