"""Softmax, log-softmax and logsumexp along an axis, with their gradients."""

from __future__ import annotations  # so that signatures show `ArrayLike` by its name

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from ._core import float_array
from ._dtypes import working_dtype
from ._typing import Axis

__all__ = [
    "log_softmax",
    "log_softmax_backward",
    "log_softmax_from",
    "log_softmax_jacobian",
    "logsumexp",
    "logsumexp_backward",
    "logsumexp_finish",
    "logsumexp_merge",
    "logsumexp_partial",
    "softmax",
    "softmax_backward",
    "softmax_from",
    "softmax_jacobian",
]


def softmax(
    x: ArrayLike,
    axis: Axis = -1,
    *,
    scale: float = 1.0,
    where: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
) -> Any:
    """Softmax, ``exp(x) / sum(exp(x))`` along an axis, without overflow.

    Parameters
    ----------
    x : array_like
        Any shape with a non-empty `axis`. Floats are kept, booleans and integers give float64.
    axis : int, tuple of ints or None, default -1
        The class axis, or the axes that together are the classes; None for all.
    scale : float, default 1.0
        A finite factor of `x`, rounded to its dtype: 1 / temperature, or ``1 / sqrt(d)`` in attention. The result has the
        bits of ``softmax(x * scale)``, in one pass.
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
        For complex, object and string input, a `where` that is not boolean, an `axis` that is no integer or tuple, a `scale`
        that is no number; for arrays of other packages whose meaning would be lost.

    Examples
    --------
    >>> import nonlin as nl
    >>> nl.softmax([2.0, 1.0, 0.1]).round(3)
    array([0.659, 0.242, 0.099])

    References
    ----------
    Bridle (1990), Probabilistic interpretation of feedforward classification network outputs; formulas.md in the package's
    folder, Rows.
    """
    return _core.softmax(x, axis, scale, where, out)


def log_softmax(
    x: ArrayLike,
    axis: Axis = -1,
    *,
    scale: float = 1.0,
    where: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
) -> Any:
    """Logarithm of softmax, ``x - logsumexp(x)`` along an axis.

    Keeps its relative accuracy where one class dominates: it is computed from ``log1p``.

    Parameters
    ----------
    x : array_like
        Any shape with a non-empty `axis`. Floats are kept, booleans and integers give float64.
    axis : int, tuple of ints or None, default -1
        The class axis, or the axes that together are the classes; None for all.
    scale : float, default 1.0
        A finite factor of `x`, rounded to its dtype: 1 / temperature, or ``1 / sqrt(d)`` in attention. The result has the
        bits of ``log_softmax(x * scale)``, in one pass.
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
        For complex, object and string input, a `where` that is not boolean, an `axis` that is no integer or tuple, a `scale`
        that is no number; for arrays of other packages whose meaning would be lost.

    Examples
    --------
    >>> import nonlin as nl
    >>> print(nl.log_softmax([20.0, 0.0]))
    [-2.06115362e-09 -2.00000000e+01]

    References
    ----------
    formulas.md in the package's folder, Rows.
    """
    return _core.log_softmax(x, axis, scale, where, out)


def logsumexp(
    x: ArrayLike,
    axis: Axis = -1,
    *,
    b: ArrayLike | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
) -> Any:
    """Logarithm of the sum of exponentials, ``log(sum(exp(x)))`` along an axis, without overflow.

    Parameters
    ----------
    x : array_like
        Any shape with a non-empty `axis`. Floats are kept, booleans and integers give float64.
    axis : int, tuple of ints or None, default -1
        The class axis, or the axes that together are the classes; None for all.
    b : array_like, optional
        Factors of the exponentials, of any sign; they broadcast with `x`. Where one is 0, its entry is left out.
    keepdims : bool, default False
        Whether the result keeps `axis`, with length 1.
    return_sign : bool, default False
        Whether to return the sign of the sum too. Without it, a negative sum gives NaN.
    where : array_like of bool, optional
        Broadcasts to `x`. Entries that are False are left out; a row with nothing left gives -inf.
    out : ndarray, optional
        Where to put the (first) result.

    Returns
    -------
    ndarray or scalar
        Of the shape of `x` without `axis`. A row with NaN gives NaN, one with +inf gives +inf, one of only -inf gives -inf.
        With `return_sign` a pair: the logarithm of the sum's absolute value, and its sign, 1, 0 or -1.

    Raises
    ------
    numpy.exceptions.AxisError
        If `axis` is out of range.
    ValueError
        If the class axis is empty.
    TypeError
        For complex, object and string input, a `where` that is not boolean, an `axis` that is no integer or tuple; for
        arrays of other packages whose meaning would be lost.

    Notes
    -----
    The error is at most 4 ULP of the largest term: of the result, or of the maximum of `x` where the logarithm cancels most
    of it, as in ``logsumexp([-0.6931472, -0.6931472])``; with `b` of the largest ``log(abs(b)) + x`` and the relative error
    of the sum, whose terms may cancel too.

    Examples
    --------
    >>> import nonlin as nl
    >>> print(nl.logsumexp([1000.0, 1000.0]).round(4))
    1000.6931
    >>> log, sign = nl.logsumexp([1.0, 2.0], b=[1.0, -1.0], return_sign=True)
    >>> print(log.round(4), sign)
    1.5413 -1.0

    References
    ----------
    Blanchard, Higham and Higham (2021), Accurately computing the log-sum-exp and softmax functions; formulas.md in the
    package's folder, Rows.
    """
    if b is None and not return_sign:
        return _core.logsumexp(x, axis, 1.0, where, out, keepdims)
    factors = 1.0 if b is None else b
    log, sign = _core.logsumexp_signed(x, factors, axis, 1.0, where, out, keepdims)
    if return_sign:
        return log, sign
    if hasattr(log, "where"):  # of pandas or xarray, which it stays
        return log.where(sign >= 0)
    with np.errstate(invalid="ignore"):  # of bfloat16's NaN
        negative = sign < 0
    if out is not None:
        np.copyto(log, np.nan, where=negative)
        return log
    return log * np.where(negative, np.nan, 1).astype(log.dtype)[()]


def logsumexp_partial(x: ArrayLike, axis: int = -1) -> tuple[Any, Any]:
    """Maximum of a piece of each row, and the rest of its exponentials: ``m = max(x)``, ``r = sum(exp(x - m)) - 1``.

    For rows that are split along `axis`: among threads, processes or machines, or because they do not fit in memory.
    `logsumexp_merge` makes one pair of two; `logsumexp_finish`, `softmax_from` and `log_softmax_from` take that of all
    pieces. The sum leaves out one maximum, so that its digits are kept where one class dominates.

    Parameters
    ----------
    x : array_like
        Any shape with a non-empty `axis`: floats, booleans or integers.
    axis : int, default -1
        The class axis.

    Returns
    -------
    m, r : ndarray or scalar
        float64, of the shape of `x` without `axis`. Where m is -inf, r is -1; where it is inf, 0. A row with NaN gives NaN.

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
    >>> m, r = nl.logsumexp_merge(*left, *right)
    >>> print(nl.logsumexp_finish(m, r).round(3))
    1001.408
    >>> print(nl.softmax_from([1000.0, 999.0], m, r).round(3), nl.softmax_from([1001.0], m, r).round(3))
    [0.245 0.09 ] [0.665]

    References
    ----------
    Milakov and Gimelshein (2018), Online normalizer calculation for softmax, arXiv:1805.02867; formulas.md in the package's
    folder, Rows.
    """
    return _core.logsumexp_partial(x, axis)  # type: ignore[no-any-return]


def logsumexp_merge(m1: ArrayLike, r1: ArrayLike, m2: ArrayLike, r2: ArrayLike) -> tuple[Any, Any]:
    """Merge the pairs of two pieces: ``m = max(m1, m2)``, and ``r`` is that of the larger maximum and what the other adds.

    With ``m1 >= m2`` that is ``r = r1 + (1 + r2) * exp(m2 - m1)``. Commutative, and associative but for rounding. Each merge
    rounds to float64: of float64 rows, many pieces are best merged in a tree, as pairs of pairs.

    Parameters
    ----------
    m1, r1, m2, r2 : array_like
        Results of `logsumexp_partial` or of this function; they broadcast.

    Returns
    -------
    m, r : ndarray or scalar
        float64: what `logsumexp_partial` gives for both pieces together.

    Raises
    ------
    TypeError
        For complex, object and string input.
    ValueError
        If the shapes do not broadcast.

    Examples
    --------
    >>> import nonlin as nl
    >>> m, r = nl.logsumexp_merge(0.0, 1.0, 0.0, 0.0)
    >>> print(m, r)
    0.0 2.0

    References
    ----------
    Milakov and Gimelshein (2018), Online normalizer calculation for softmax, arXiv:1805.02867; formulas.md in the package's
    folder, Rows.
    """
    return _core.logsumexp_merge(m1, r1, m2, r2)  # type: ignore[no-any-return]


def logsumexp_finish(m: ArrayLike, r: ArrayLike) -> Any:
    """Logarithm of the sum of exponentials, ``m + log1p(r)``, from the pair of all pieces.

    Parameters
    ----------
    m, r : array_like
        Results of `logsumexp_partial` or `logsumexp_merge`; they broadcast.

    Returns
    -------
    ndarray or scalar
        float64: what `logsumexp` gives for all pieces together.

    Raises
    ------
    TypeError
        For complex, object and string input.
    ValueError
        If the shapes do not broadcast.

    Examples
    --------
    >>> import nonlin as nl
    >>> print(nl.logsumexp_finish(1000.0, 1.0).round(4))
    1000.6931

    References
    ----------
    formulas.md in the package's folder, Rows.
    """
    return _core.logsumexp_finish(m, r)


def softmax_from(x: ArrayLike, m: ArrayLike, r: ArrayLike, axis: int = -1, *, out: NDArray[Any] | None = None) -> Any:
    """Softmax of a piece of each row, ``exp(x - m) / (1 + r)``, from the pair of all pieces.

    Parameters
    ----------
    x : array_like
        A piece of the rows, any shape with a non-empty `axis`. Floats are kept, booleans and integers give float64.
    m, r : array_like
        Of the shape of `x` without `axis`, or shapes that broadcast to it: the results of `logsumexp_merge` for all pieces.
    axis : int, default -1
        The class axis.
    out : ndarray, optional
        Where to put the result; `out` may be `x`.

    Returns
    -------
    ndarray
        Of the shape of `x`: the entries that `softmax` of the whole rows has for this piece, but for rounding.

    Raises
    ------
    numpy.exceptions.AxisError
        If `axis` is out of range.
    ValueError
        If the class axis is empty, or `m` or `r` does not broadcast to the rows.
    TypeError
        For complex, object and string input, and an `axis` that is no integer.

    Examples
    --------
    >>> import nonlin as nl
    >>> m, r = nl.logsumexp_merge(*nl.logsumexp_partial([2.0, 1.0]), *nl.logsumexp_partial([0.1]))
    >>> print(nl.softmax_from([2.0, 1.0], m, r).round(3), nl.softmax([2.0, 1.0, 0.1]).round(3))
    [0.659 0.242] [0.659 0.242 0.099]

    References
    ----------
    formulas.md in the package's folder, Rows.
    """
    return _core.softmax_from(m, r, x, axis, 1.0, None, out)


def log_softmax_from(x: ArrayLike, m: ArrayLike, r: ArrayLike, axis: int = -1, *, out: NDArray[Any] | None = None) -> Any:
    """Logarithm of softmax of a piece of each row, ``x - m - log1p(r)``, from the pair of all pieces.

    Parameters
    ----------
    x : array_like
        A piece of the rows, any shape with a non-empty `axis`. Floats are kept, booleans and integers give float64.
    m, r : array_like
        Of the shape of `x` without `axis`, or shapes that broadcast to it: the results of `logsumexp_merge` for all pieces.
    axis : int, default -1
        The class axis.
    out : ndarray, optional
        Where to put the result; `out` may be `x`.

    Returns
    -------
    ndarray
        Of the shape of `x`: the entries that `log_softmax` of the whole rows has for this piece, but for rounding.

    Raises
    ------
    numpy.exceptions.AxisError
        If `axis` is out of range.
    ValueError
        If the class axis is empty, or `m` or `r` does not broadcast to the rows.
    TypeError
        For complex, object and string input, and an `axis` that is no integer.

    Examples
    --------
    >>> import nonlin as nl
    >>> m, r = nl.logsumexp_merge(*nl.logsumexp_partial([40.0]), *nl.logsumexp_partial([0.0]))
    >>> print(nl.log_softmax_from([40.0], m, r))
    [-4.24835426e-18]

    References
    ----------
    formulas.md in the package's folder, Rows.
    """
    return _core.log_softmax_from(m, r, x, axis, 1.0, None, out)


def softmax_backward(
    grad: ArrayLike,
    y: ArrayLike,
    axis: Axis = -1,
    *,
    scale: float = 1.0,
    where: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
) -> Any:
    """Gradient of softmax, ``y * (grad - sum(grad * y))``.

    Parameters
    ----------
    grad : array_like
        The gradient of the loss with respect to the result of `softmax`.
    y : array_like
        The *result* of `softmax`.
    axis : int, tuple of ints or None, default -1
        The class axis, or the axes that together are the classes; None for all.
    scale : float, default 1.0
        The `scale` of `softmax`: the result is multiplied by it.
    where : array_like of bool, optional
        The `where` of `softmax`. Entries that are False count in no sum, and their gradient is 0, whatever stands there in
        `grad` and `y`.
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
    formulas.md in the package's folder, Rows.
    """
    return _core.softmax_backward(grad, y, axis, scale, where, out)


def log_softmax_backward(
    grad: ArrayLike,
    y: ArrayLike,
    axis: Axis = -1,
    *,
    scale: float = 1.0,
    where: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
) -> Any:
    """Gradient of log_softmax, ``grad - exp(y) * sum(grad)``.

    Parameters
    ----------
    grad : array_like
        The gradient of the loss with respect to the result of `log_softmax`.
    y : array_like
        The *result* of `log_softmax`.
    axis : int, tuple of ints or None, default -1
        The class axis, or the axes that together are the classes; None for all.
    scale : float, default 1.0
        The `scale` of `log_softmax`: the result is multiplied by it.
    where : array_like of bool, optional
        The `where` of `log_softmax`. Entries that are False count in no sum, and their gradient is 0, whatever stands there
        in `grad` and `y`.
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
    formulas.md in the package's folder, Rows.
    """
    return _core.log_softmax_backward(grad, y, axis, scale, where, out)


def logsumexp_backward(
    grad: ArrayLike, x: ArrayLike, axis: Axis = -1, *, where: ArrayLike | None = None, out: NDArray[Any] | None = None
) -> Any:
    """Gradient of logsumexp, ``grad * softmax(x)``.

    Parameters
    ----------
    grad : array_like
        The gradient of the loss with respect to the result of `logsumexp`: the shape of `x` without `axis`.
    x : array_like
        The argument of `logsumexp`.
    axis : int, tuple of ints or None, default -1
        The class axis of `x`, or the axes that together are the classes; None for all.
    where : array_like of bool, optional
        The `where` of `logsumexp`. Entries that are False count in no sum, and their gradient is 0, whatever stands there in
        `grad` and `x`.
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
    formulas.md in the package's folder, Rows.
    """
    return _core.logsumexp_backward(grad, x, axis, 1.0, where, out)


def _rows_last(y: ArrayLike, axis: int) -> tuple[np.ndarray, np.dtype]:
    """`y` with the class axis last, in the dtype to compute in, and the dtype of the result."""
    array = float_array("y", y)
    rows = np.moveaxis(array, _core.axis_of(axis, array.ndim), -1)
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
    formulas.md in the package's folder, Rows.
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
    formulas.md in the package's folder, Rows.
    """
    rows, dtype = _rows_last(y, axis)
    with np.errstate(all="ignore"):
        jacobian = np.repeat(-np.exp(rows)[..., None, :], rows.shape[-1], axis=-2)
        np.einsum("...ii->...i", jacobian)[...] = -np.expm1(rows)
        return jacobian.astype(dtype, copy=False)
