"""Gradients checked by central differences, and results compared between machines.

`f` is any function of one array. If its result has the shape of the array, `f` is taken to be elementwise and all entries
are stepped at once; if its result is a scalar, they are stepped one by one. For a function with another result, or one that
mixes entries as softmax does, check the scalar ``lambda x: np.sum(grad * f(x))``, whose gradient is ``f_backward(grad, x)``.

Use float64. float16, bfloat16 and float32 are taken too, and `f` is then evaluated in that type with a step made for it, but
the difference loses a third of the digits: about four are left of float32, one or two of the 16-bit types.
"""

from __future__ import annotations  # so that signatures show `ArrayLike` by its name

from collections.abc import Callable
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _fingerprint
from ._typing import F, RealLike, Rows, Scalar

__all__ = ["check_gradient", "fingerprint", "numerical_gradient"]

Array = NDArray[Any]
Function = Callable[[Any], Any]


@overload
def numerical_gradient(f: Function, x: Scalar[F], h: ArrayLike | None = None) -> F: ...
@overload
def numerical_gradient(f: Function, x: Rows[F], h: ArrayLike | None = None) -> NDArray[F]: ...
@overload
def numerical_gradient(f: Function, x: RealLike, h: ArrayLike | None = None) -> Any: ...
def numerical_gradient(f: Function, x: ArrayLike, h: ArrayLike | None = None) -> Any:
    """Gradient of `f` at `x` by central differences, ``(f(x + h) - f(x - h)) / 2h``.

    Parameters
    ----------
    f : callable
        Takes an array like `x`, a new one each time, and returns a scalar, or an array of that shape in which each entry
        depends on one entry of `x` alone. It is called three times, or ``1 + 2 * x.size`` times for a scalar.
    x : array_like
        Where to take the gradient: any shape. Floats keep their dtype, in which `f` is evaluated; booleans and integers
        become float64.
    h : array_like, optional
        The step, or one for each entry of `x`. By default the cube root of the epsilon of the dtype, of `x` or of the
        result of `f`, whichever is coarser, times ``max(1, |x|)``. Give one where `f` changes over a shorter distance, as
        the logarithm does close to 0.

    Returns
    -------
    ndarray or scalar
        Of the shape and dtype of `x`. NaN where `x` is not finite. At a kink it is the mean of the slopes on both sides.

    Raises
    ------
    TypeError
        If `x`, `h` or the result of `f` are not real numbers.
    ValueError
        If `f` returns another shape, if `h` is not positive, does not broadcast to `x`, or is lost in the rounding of
        ``x + h``. What `f` raises is passed on.

    See Also
    --------
    check_gradient : Compares a gradient with this one.

    Examples
    --------
    >>> import numpy as np
    >>> from nonlin.testing import numerical_gradient
    >>> numerical_gradient(np.square, [1.0, 2.0, 3.0]).round(6)  # elementwise
    array([2., 4., 6.])
    >>> numerical_gradient(lambda x: np.log(np.sum(np.exp(x))), [2.0, 1.0, 0.1]).round(3)  # a scalar
    array([0.659, 0.242, 0.099])

    References
    ----------
    Nocedal and Wright (2006), Numerical optimization, section 8.1; formulas.md in the package's folder, A layer.
    """
    x = _floats("x", x)
    centre = _evaluate(f, x, x.shape, ())
    step = _step(x, _limits(x, centre)[0], h)
    gradient = _slopes(f, x, centre, step, np.full(x.shape, True)).central
    with np.errstate(all="ignore"):
        return gradient.astype(x.dtype)[()]


def check_gradient(
    f: Function,
    df: Function,
    x: ArrayLike,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    h: ArrayLike | None = None,
) -> None:
    """Assert that ``df(x)`` is the gradient of `f` at `x`.

    An entry passes if ``|claimed - numerical| <= atol + rtol * |numerical|``. `numerical` is the central difference or, if
    that differs, the value nearest to the claim between the slopes on the left and on the right, which are extrapolated to
    step 0 from the steps `h` and ``h / 8``. For a smooth function, these two slopes are equal.

    Parameters
    ----------
    f : callable
        As for `numerical_gradient`.
    df : callable
        The gradient claimed for it: takes an array like `x` and returns one of its shape.
    x : array_like
        As for `numerical_gradient`; only finite entries can pass.
    rtol : float, optional
        By default a tenth of the cube root of the dtype's epsilon: 6e-7 for float64, 5e-4 for float32, 1e-2 for float16.
    atol : float, optional
        By default the effect of rounding on the difference: ``4 * (eps * (|f(x)| + |x * gradient|) + tiny) / h``, `tiny`
        being the smallest normal number; for a scalar `f` the product is summed over all entries.
    h : array_like, optional
        As for `numerical_gradient`.

    Raises
    ------
    AssertionError
        If an entry does not pass. The message gives the number of such entries, and for the worst one its index, `x`, both
        gradients, the tolerance and, at a kink, the slopes on both sides. NaN and infinity never pass.
    TypeError, ValueError
        As `numerical_gradient`; if the result of `df` does not have the shape of `x`; for a negative tolerance.

    See Also
    --------
    numerical_gradient : The central differences themselves.

    Notes
    -----
    A kink has two slopes and no gradient; every value between the slopes passes, as a subgradient does: for relu at 0 all
    of [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> import nonlin as nl
    >>> from nonlin.testing import check_gradient
    >>> x = np.array([-2.0, 0.0, 2.0])
    >>> check_gradient(nl.silu, lambda x: nl.silu_backward(1.0, x), x)
    >>> check_gradient(nl.relu, lambda x: 2.0 * (x >= 0), x)
    Traceback (most recent call last):
        ...
    AssertionError: df(x) is not the gradient of f at 2 of 3 entries, 1 of them at a kink; the worst:
    index      (1,)
    x          0.0
    claimed    2
    numerical  1
    tolerance  6.06e-07
    a kink     with slope 0 on the left, 1 on the right, and any value between them would pass

    References
    ----------
    formulas.md in the package's folder, A layer.
    """
    __tracebackhide__ = True  # pytest then shows the caller's line
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None and not value >= 0:
            raise ValueError(f"{name} is {value}; it takes a number that is not negative")
    x = _floats("x", x)
    centre = _evaluate(f, x, x.shape, ())
    claimed = _floats("the result of df", df(x.copy())).astype(np.float64)
    if claimed.shape != x.shape:
        raise ValueError(f"df returned shape {claimed.shape}; it takes one that returns the shape of x, {x.shape}")
    eps, tiny = _limits(x, centre)
    step = _step(x, eps, h)

    coarse = _slopes(f, x, centre, step, np.full(x.shape, True))
    numerical = coarse.central
    with np.errstate(all="ignore"):
        reach = np.abs(x * numerical)  # eps times this is what one rounding of x does to f
        if centre.shape != x.shape:
            reach = np.nansum(reach)
        rounding = 4 * (eps * (coarse.size + reach) + tiny) / step
        relative = np.cbrt(eps) / 10 if rtol is None else rtol
        absolute = rounding if atol is None else atol
        wrong = ~(np.abs(claimed - numerical) <= absolute + relative * np.abs(numerical))
    if not wrong.any():
        return

    # A shorter step tells a wrong gradient from a function that is curved, or has a kink, within the first one.
    fine = _slopes(f, x, centre, step / 8, wrong)
    with np.errstate(all="ignore"):
        left, right = _at_zero_step(coarse, fine, eps)
        low, high = (pick(pick(left, right), fine.central) for pick in (np.minimum, np.maximum))
        nearest = np.clip(claimed, low, high)
        numerical = np.where(np.isfinite(nearest), nearest, numerical)
        tolerance = absolute + relative * np.abs(numerical)
        error = np.abs(claimed - numerical)
        wrong &= ~(error <= tolerance)
        if not wrong.any():
            return
        kink = np.abs(right - left) > np.maximum(tolerance, 16 * rounding)
        excess = np.where(wrong, np.nan_to_num(error / tolerance, nan=np.inf), -1)

    worst = np.unravel_index(np.argmax(excess), x.shape)
    at_kinks = np.count_nonzero(wrong & kink)
    message = [
        f"df(x) is not the gradient of f at {np.count_nonzero(wrong)} of {x.size} entries"
        + (f", {at_kinks} of them at a kink" if at_kinks else "")
        + "; the worst:",
        f"index      {tuple(int(i) for i in worst)}",
        f"x          {x[worst]}",
        f"claimed    {claimed[worst]:.10g}",
        f"numerical  {numerical[worst]:.10g}",
        f"tolerance  {tolerance[worst]:.3g}",
    ]
    if kink[worst]:
        slopes = f"slope {left[worst] + 0:.6g} on the left, {right[worst] + 0:.6g} on the right"
        message.append(f"a kink     with {slopes}, and any value between them would pass")
    raise AssertionError("\n".join(message))


def fingerprint(function: str | None = None) -> str:
    """Digest of the bits of results, equal on two machines where nonlin computes the same.

    Parameters
    ----------
    function : str, optional
        The name of a public function. By default all of them: activations, the softmax family, losses, and their gradients.

    Returns
    -------
    str
        16 hexadecimal digits. They cover float32, float64 and float16, and rows of 1 to 70,000 classes; NaN counts as NaN,
        whatever its sign and payload.

    Raises
    ------
    ValueError
        For a name that is none of these functions.

    Notes
    -----
    With the same version of nonlin, fingerprints are the same on every machine with fused multiply-add: AVX2, AVX-512 and
    NEON, of any maker, for any number of threads. Without it, on SSE4 or no SIMD at all, they are others. Where the
    fingerprints of two machines differ, those of the functions say which.

    Examples
    --------
    >>> import nonlin as nl
    >>> from nonlin.testing import fingerprint
    >>> all_functions = fingerprint()
    >>> len(all_functions), fingerprint("softmax") == all_functions
    (16, False)
    """
    found = _fingerprint.fingerprints()
    if function is None:
        return _fingerprint.combined(found.values())
    if function not in found:
        raise ValueError(f"function is {function!r}; it takes the name of a function, one of {', '.join(found)}")
    return found[function]


class _Slopes(NamedTuple):
    """Differences of `f` on the left, over both sides and on the right, and the largest value among them; float64."""

    left: Array
    central: Array
    right: Array
    size: Array


def _floats(name: str, value: Any) -> Array:
    """Return `value` as a new array of native floats."""
    array = np.asarray(value)
    if array.dtype.kind in "biu":
        return array.astype(np.float64)
    if array.dtype.name not in ("float16", "bfloat16", "float32", "float64"):
        raise TypeError(f"{name} has dtype {array.dtype}; it takes floats of at most 64 bits, booleans or integers")
    return array.astype(array.dtype.newbyteorder("="))


def _evaluate(f: Function, point: Array, *shapes: tuple[int, ...]) -> Array:
    """Return ``f(point)``, which must have one of the shapes; `f` gets a copy, to keep or to write to."""
    value = _floats("the result of f", f(point.copy()))
    if value.shape not in shapes:
        raise ValueError(
            f"f returned shape {value.shape} for x of shape {point.shape}; "
            f"it takes one that returns {' or '.join(str(shape) for shape in dict.fromkeys(shapes))}"
        )
    return value


def _limits(*arrays: Array) -> tuple[float, float]:
    """Return epsilon and the smallest normal number of the coarsest dtype; `numpy.finfo` does not know bfloat16."""
    ones = [array.dtype.type(1) for array in arrays]
    with np.errstate(under="ignore"):
        eps = [float(np.spacing(one)) for one in ones]
        subnormal = [float(np.nextafter(one - one, one)) for one in ones]
    return max(eps), max(s / e for s, e in zip(subnormal, eps, strict=True))


def _scale(x: Array) -> Array:
    """Return ``max(1, |x|)`` in float64, and 1 where that is not finite."""
    scale = np.maximum(1, np.abs(x.astype(np.float64)))
    return np.where(np.isfinite(scale), scale, 1)


def _points(x: Array, step: Array) -> tuple[Array, Array]:
    """Return ``x - step`` and ``x + step``, in the dtype of `x`."""
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
        return (wide - step).astype(x.dtype), (wide + step).astype(x.dtype)


def _step(x: Array, eps: float, h: ArrayLike | None) -> Array:
    """Return the step of every entry, in float64."""
    if h is None:
        return np.asarray(np.cbrt(eps) * _scale(x))
    step = _floats("h", h).astype(np.float64)
    if not (np.isfinite(step) & (step > 0)).all():
        raise ValueError(f"h is {h}; it takes positive numbers")
    try:
        step = np.broadcast_to(step, x.shape)
    except ValueError:
        raise ValueError(f"h has shape {step.shape}; it takes one that broadcasts to that of x, {x.shape}") from None
    low, high = _points(x, step)
    lost = np.isfinite(x) & ((low == x) | (high == x))
    if lost.any():
        raise ValueError(f"h is {step[lost][0]}, too small: it is lost in x + h for x = {x[lost][0]}, a {x.dtype}")
    return step


def _slopes(f: Function, x: Array, centre: Array, step: Array, entries: Array) -> _Slopes:
    """Return the differences at the given entries; if `f` is a scalar the others are NaN."""
    low, high = _points(x, step)
    f_low, f_high = (_values(f, x, point, centre.shape, entries) for point in (low, high))
    # Divided by the distances as they are after rounding, so that every step is exactly representable.
    x, low, high, centre = (a.astype(np.float64) for a in (x, low, high, centre))
    with np.errstate(all="ignore"):
        return _Slopes(
            np.asarray((centre - f_low) / (x - low)),
            np.asarray((f_high - f_low) / (high - low)),
            np.asarray((f_high - centre) / (high - x)),
            np.maximum(np.abs(centre), np.maximum(np.abs(f_low), np.abs(f_high))),
        )


def _at_zero_step(coarse: _Slopes, fine: _Slopes, eps: float) -> tuple[Array, Array]:
    """Return the slopes on the left and on the right, extrapolated to step 0: the same, if `f` is smooth.

    The correction is limited to what curvature and kinks explain, as something outside of the fine step may have spoilt the
    coarse one. Where `f` itself jumps, its slope on that side grows as the step shrinks: there is nothing to extrapolate.
    """
    jump = np.abs(fine.right - fine.left)
    slack = np.cbrt(eps) * np.abs(fine.central)
    limit = jump + slack
    continuous = jump <= 2 * np.abs(coarse.right - coarse.left) + slack
    left, right = (
        np.where(continuous, near + np.clip((near - far) / 7, -limit, limit), fine.central)
        for near, far in ((fine.left, coarse.left), (fine.right, coarse.right))
    )
    return left, right


def _values(f: Function, x: Array, point: Array, shape: tuple[int, ...], entries: Array) -> Array:
    """Return `f` in float64 where `x` is replaced by `point`: as a whole if `f` is elementwise, else entry by entry."""
    if shape == x.shape:
        return _evaluate(f, point, shape).astype(np.float64)
    values = np.full(x.shape, np.nan)
    for i in zip(*np.nonzero(entries), strict=True):
        moved = x.copy()
        moved[i] = point[i]
        values[i] = _evaluate(f, moved, shape)
    return values
