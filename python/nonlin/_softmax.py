"""Softmax, log-softmax and logsumexp along an axis, with their gradients."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _core
from ._core import float_array
from ._dtypes import INTEGERS, working_dtype

__all__ = [
    "log_softmax",
    "log_softmax_backward",
    "log_softmax_jacobian",
    "logsumexp",
    "logsumexp_backward",
    "logsumexp_finish",
    "logsumexp_merge",
    "logsumexp_partial",
    "softmax",
    "softmax_backward",
    "softmax_jacobian",
]


def _rows_where(ufunc: np.ufunc, x: Any, where: ArrayLike, axis: int, **kwargs: Any) -> Any:
    x = np.asanyarray(x)
    if x.dtype.kind in INTEGERS:
        x = x.astype(np.float64)
    mask = np.asanyarray(where)
    if mask.dtype != np.bool_:
        raise TypeError(f"where has dtype {mask.dtype}; it takes a boolean array")
    try:
        mask = np.broadcast_to(mask, x.shape)
    except ValueError:
        raise ValueError(f"where has shape {mask.shape}; it takes one that broadcasts to that of x, {x.shape}") from None
    return _core.rows(ufunc, x, mask, axis=axis, **kwargs)


def softmax(x: ArrayLike, axis: int = -1, *, where: ArrayLike | None = None, out: Any = None) -> Any:
    """Softmax, ``exp(x) / sum(exp(x))`` along an axis, without overflow.

    Parameters
    ----------
    x : array_like
        Any shape with a non-empty `axis`. Floats are kept, booleans and integers give float64.
    axis : int, default -1
        The class axis.
    where : array_like of bool, optional
        Broadcasts to `x`. Entries that are False are left out: their result is 0, and a row with nothing left is all
        zeros.
    out : ndarray, optional
        Where to put the result; `out` may be `x`.

    Returns
    -------
    ndarray
        Of the shape of `x`, in [0, 1]. A row that holds NaN or +inf, or nothing but -inf, gives NaN.

    Raises
    ------
    numpy.exceptions.AxisError
        If `axis` is out of range.
    ValueError
        If the class axis is empty.
    TypeError
        For complex, object and string input, and a `where` that is not boolean.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.softmax([2.0, 1.0, 0.1]).round(3)
    array([0.659, 0.242, 0.099])

    References
    ----------
    Bridle (1990), Probabilistic interpretation of feedforward classification network outputs; docs/formulas.md, Rows.
    """
    if where is None:
        return _core.rows(_core.softmax, x, axis=axis, out=out)
    return _rows_where(_core.softmax_where, x, where, axis, out=out)


def log_softmax(x: ArrayLike, axis: int = -1, *, where: ArrayLike | None = None, out: Any = None) -> Any:
    """Logarithm of softmax, ``x - logsumexp(x)`` along an axis.

    Keeps its relative accuracy where one class dominates: it is computed from ``log1p``.

    Parameters
    ----------
    x : array_like
        Any shape with a non-empty `axis`. Floats are kept, booleans and integers give float64.
    axis : int, default -1
        The class axis.
    where : array_like of bool, optional
        Broadcasts to `x`. Entries that are False are left out: their result is -inf.
    out : ndarray, optional
        Where to put the result; `out` may be `x`.

    Returns
    -------
    ndarray
        Of the shape of `x`, at most 0. A row that holds NaN or +inf, or nothing but -inf, gives NaN.

    Raises
    ------
    numpy.exceptions.AxisError
        If `axis` is out of range.
    ValueError
        If the class axis is empty.
    TypeError
        For complex, object and string input, and a `where` that is not boolean.

    Examples
    --------
    >>> import nonlin as nl
    >>> print(nl.log_softmax([20.0, 0.0]))
    [-2.06115362e-09 -2.00000000e+01]

    References
    ----------
    docs/formulas.md, Rows.
    """
    if where is None:
        return _core.rows(_core.log_softmax, x, axis=axis, out=out)
    return _rows_where(_core.log_softmax_where, x, where, axis, out=out)


def logsumexp(
    x: ArrayLike,
    axis: int = -1,
    *,
    keepdims: bool = False,
    where: ArrayLike | None = None,
    out: Any = None,
) -> Any:
    """Logarithm of the sum of exponentials, ``log(sum(exp(x)))`` along an axis, without overflow.

    Parameters
    ----------
    x : array_like
        Any shape with a non-empty `axis`. Floats are kept, booleans and integers give float64.
    axis : int, default -1
        The class axis.
    keepdims : bool, default False
        Whether the result keeps `axis`, with length 1.
    where : array_like of bool, optional
        Broadcasts to `x`. Entries that are False are left out; a row with nothing left gives -inf.
    out : ndarray, optional
        Where to put the result.

    Returns
    -------
    ndarray or scalar
        Of the shape of `x` without `axis`. A row with NaN gives NaN, one with +inf gives +inf, one of only -inf gives -inf.

    Raises
    ------
    numpy.exceptions.AxisError
        If `axis` is out of range.
    ValueError
        If the class axis is empty.
    TypeError
        For complex, object and string input, and a `where` that is not boolean.

    Examples
    --------
    >>> import nonlin as nl
    >>> print(nl.logsumexp([1000.0, 1000.0]).round(4))
    1000.6931

    References
    ----------
    Blanchard, Higham and Higham (2021), Accurately computing the log-sum-exp and softmax functions; docs/formulas.md, Rows.
    """
    if where is None:
        return _core.rows(_core.logsumexp, x, axis=axis, keepdims=keepdims, out=out)
    return _rows_where(_core.logsumexp_where, x, where, axis, keepdims=keepdims, out=out)


def logsumexp_partial(x: ArrayLike, axis: int = -1) -> tuple[Any, Any]:
    """Maximum and sum of exponentials of a piece of each row, ``m = max(x)`` and ``s = sum(exp(x - m))``.

    For data that is split along `axis`: among threads, processes or machines, or because it does not fit in memory.

    Parameters
    ----------
    x : array_like
        Any shape with a non-empty `axis`. Floats are kept, booleans and integers give float64.
    axis : int, default -1
        The class axis.

    Returns
    -------
    m, s : ndarray or scalar
        Of the shape of `x` without `axis`. Where m is -inf, s is 0; where it is inf, 1. A row with NaN gives NaN.

    Raises
    ------
    numpy.exceptions.AxisError
        If `axis` is out of range.
    ValueError
        If the class axis is empty.
    TypeError
        For complex, object and string input.

    Examples
    --------
    >>> import nonlin as nl
    >>> left, right = nl.logsumexp_partial([1000.0, 999.0]), nl.logsumexp_partial([1001.0])
    >>> print(nl.logsumexp_finish(*nl.logsumexp_merge(*left, *right)).round(3))
    1001.408

    References
    ----------
    Milakov and Gimelshein (2018), Online normalizer calculation for softmax, arXiv:1805.02867; docs/formulas.md, Rows.
    """
    return _core.rows(_core.logsumexp_partial, x, axis=axis)  # type: ignore[no-any-return]


def logsumexp_merge(m1: ArrayLike, s1: ArrayLike, m2: ArrayLike, s2: ArrayLike) -> tuple[Any, Any]:
    """Merge the maxima and sums of two pieces: ``m = max(m1, m2)``, ``s = s1 * exp(m1 - m) + s2 * exp(m2 - m)``.

    Associative, but for rounding, and commutative.

    Parameters
    ----------
    m1, s1, m2, s2 : array_like
        Results of `logsumexp_partial` or of this function; they broadcast.

    Returns
    -------
    m, s : ndarray or scalar
        What `logsumexp_partial` gives for both pieces together.

    Raises
    ------
    TypeError
        For complex, object and string input.
    ValueError
        If the shapes do not broadcast.

    Examples
    --------
    >>> import nonlin as nl
    >>> m, s = nl.logsumexp_merge(0.0, 2.0, 0.0, 1.0)
    >>> print(m, s)
    0.0 3.0

    References
    ----------
    Milakov and Gimelshein (2018), Online normalizer calculation for softmax, arXiv:1805.02867; docs/formulas.md, Rows.
    """
    return _core.logsumexp_merge(m1, s1, m2, s2)  # type: ignore[no-any-return]


def logsumexp_finish(m: ArrayLike, s: ArrayLike) -> Any:
    """Logarithm of the sum of exponentials, ``m + log(s)``, from the maximum and sum of all pieces.

    Parameters
    ----------
    m, s : array_like
        Results of `logsumexp_partial` or `logsumexp_merge`; they broadcast.

    Returns
    -------
    ndarray or scalar
        What `logsumexp` gives for all pieces together.

    Raises
    ------
    TypeError
        For complex, object and string input.
    ValueError
        If the shapes do not broadcast.

    Examples
    --------
    >>> import nonlin as nl
    >>> print(nl.logsumexp_finish(1000.0, 2.0).round(4))
    1000.6931

    References
    ----------
    docs/formulas.md, Rows.
    """
    return _core.logsumexp_finish(m, s)


def softmax_backward(grad: ArrayLike, y: ArrayLike, axis: int = -1, *, out: Any = None) -> Any:
    """Gradient of softmax, ``y * (grad - sum(grad * y))``.

    Parameters
    ----------
    grad : array_like
        The gradient of the loss with respect to the result of `softmax`.
    y : array_like
        The *result* of `softmax`.
    axis : int, default -1
        The class axis.
    out : ndarray, optional
        Where to put the result; it may be `grad` or `y`.

    Returns
    -------
    ndarray
        The gradient with respect to the argument of `softmax`, of the shape of `y`.

    Raises
    ------
    numpy.exceptions.AxisError
        If `axis` is out of range.
    ValueError
        If the class axis is empty or the shapes do not match.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.softmax_backward([1.0, 0.0], nl.softmax([0.0, 0.0]))
    array([ 0.25, -0.25])

    References
    ----------
    docs/formulas.md, Rows.
    """
    return _core.rows(_core.softmax_backward, grad, y, axis=axis, out=out)


def log_softmax_backward(grad: ArrayLike, y: ArrayLike, axis: int = -1, *, out: Any = None) -> Any:
    """Gradient of log_softmax, ``grad - exp(y) * sum(grad)``.

    Parameters
    ----------
    grad : array_like
        The gradient of the loss with respect to the result of `log_softmax`.
    y : array_like
        The *result* of `log_softmax`.
    axis : int, default -1
        The class axis.
    out : ndarray, optional
        Where to put the result; it may be `grad` or `y`.

    Returns
    -------
    ndarray
        The gradient with respect to the argument of `log_softmax`, of the shape of `y`.

    Raises
    ------
    numpy.exceptions.AxisError
        If `axis` is out of range.
    ValueError
        If the class axis is empty or the shapes do not match.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.log_softmax_backward([1.0, 0.0], nl.log_softmax([0.0, 0.0]))
    array([ 0.5, -0.5])

    References
    ----------
    docs/formulas.md, Rows.
    """
    return _core.rows(_core.log_softmax_backward, grad, y, axis=axis, out=out)


def logsumexp_backward(grad: ArrayLike, x: ArrayLike, axis: int = -1, *, out: Any = None) -> Any:
    """Gradient of logsumexp, ``grad * softmax(x)``.

    Parameters
    ----------
    grad : array_like
        The gradient of the loss with respect to the result of `logsumexp`: the shape of `x` without `axis`.
    x : array_like
        The argument of `logsumexp`.
    axis : int, default -1
        The class axis of `x`.
    out : ndarray, optional
        Where to put the result; it may be `x`.

    Returns
    -------
    ndarray
        The gradient with respect to `x`, of its shape.

    Raises
    ------
    numpy.exceptions.AxisError
        If `axis` is out of range.
    ValueError
        If the class axis is empty or the shapes do not match.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.logsumexp_backward(2.0, [0.0, 0.0])
    array([1., 1.])

    References
    ----------
    docs/formulas.md, Rows.
    """
    return _core.rows(_core.logsumexp_backward, grad, x, axis=axis, out=out)


def _rows_last(y: ArrayLike, axis: int) -> tuple[np.ndarray, np.dtype]:
    """`y` with the class axis last, in the dtype to compute in, and the dtype of the result."""
    array = float_array("y", y)
    if array.ndim == 0:
        raise np.exceptions.AxisError(axis, 0)
    rows = np.moveaxis(array, axis, -1)
    if rows.shape[-1] == 0:
        raise ValueError(f"the class axis of y is empty (shape {array.shape}); it takes 1 class or more")
    return rows.astype(working_dtype(rows.dtype), copy=False), rows.dtype


def softmax_jacobian(y: ArrayLike, axis: int = -1) -> Any:
    """Jacobian of softmax from its result: ``J[i, j] = y[i] * ((i == j) - y[j])``.

    Parameters
    ----------
    y : array_like
        The *result* of `softmax`.
    axis : int, default -1
        The class axis; the other axes are a batch.

    Returns
    -------
    ndarray
        Of shape (..., C, C): the derivative of result i with respect to argument j.

    Raises
    ------
    numpy.exceptions.AxisError
        If `axis` is out of range.
    ValueError
        If the class axis is empty.
    TypeError
        For complex, object and string input.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.softmax_jacobian([0.5, 0.5])
    array([[ 0.25, -0.25],
           [-0.25,  0.25]])

    References
    ----------
    docs/formulas.md, Rows.
    """
    rows, dtype = _rows_last(y, axis)
    with np.errstate(all="ignore"):
        jacobian = -rows[..., :, None] * rows[..., None, :]
        np.einsum("...ii->...i", jacobian)[...] = rows * (1 - rows)
        return jacobian.astype(dtype, copy=False)


def log_softmax_jacobian(y: ArrayLike, axis: int = -1) -> Any:
    """Jacobian of log_softmax from its result: ``J[i, j] = (i == j) - exp(y[j])``.

    Parameters
    ----------
    y : array_like
        The *result* of `log_softmax`.
    axis : int, default -1
        The class axis; the other axes are a batch.

    Returns
    -------
    ndarray
        Of shape (..., C, C): the derivative of result i with respect to argument j.

    Raises
    ------
    numpy.exceptions.AxisError
        If `axis` is out of range.
    ValueError
        If the class axis is empty.
    TypeError
        For complex, object and string input.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.log_softmax_jacobian(nl.log_softmax([0.0, 0.0]))
    array([[ 0.5, -0.5],
           [-0.5,  0.5]])

    References
    ----------
    docs/formulas.md, Rows.
    """
    rows, dtype = _rows_last(y, axis)
    with np.errstate(all="ignore"):
        jacobian = np.repeat(-np.exp(rows)[..., None, :], rows.shape[-1], axis=-2)
        np.einsum("...ii->...i", jacobian)[...] = -np.expm1(rows)
        return jacobian.astype(dtype, copy=False)
