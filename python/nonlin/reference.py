"""Every function of nonlin as a plain NumPy formula, under its public name.

The formulas compute in the dtype that they are given. With float64 they are the oracle of the tests, with float32 the
pure-NumPy baseline of the benchmark: the stable forms that a careful NumPy user would write. Nothing here calls the
extension, and there is no ``out``.
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

try:
    from scipy.special import erfc  # type: ignore[import-untyped, unused-ignore]
except ModuleNotFoundError:  # NumPy has no erfc
    _erfc = np.vectorize(math.erfc, otypes=[np.float64])

    def erfc(x: Any) -> Any:
        """``math.erfc`` of every entry."""
        return _erfc(x).astype(np.asarray(x).dtype)


Array = npt.NDArray[Any]
P = ParamSpec("P")
R = TypeVar("R")
Axis = int | tuple[int, ...] | None

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805

# Where x multiplies a tail, x is limited to this: the limit of the product is 0, and inf * 0 would be NaN.
FAR = 1e4


def _float(x: Any) -> Any:
    """Return a floating-point array; Python numbers stay scalars, which do not widen a result; strings stay too."""
    if isinstance(x, int | float):
        return float(x)
    if isinstance(x, str):
        return x
    x = np.asarray(x)
    return x if np.issubdtype(x.dtype, np.inexact) else x.astype(np.float64)


_quiet = np.errstate(all="ignore")  # as a decorator


def _formula(f: Callable[P, R]) -> Callable[P, R]:
    """Let ``f`` take anything array-like, and overflow without a warning."""

    @functools.wraps(f)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with np.errstate(all="ignore"):
            return f(*[_float(a) for a in args], **kwargs)  # pyright: ignore[reportCallIssue]

    return wrapper


# Elementwise


@_formula
def relu(x: Array) -> Array:
    """``max(0, x)``."""
    return np.asarray(np.maximum(0, x))


@_formula
def relu_backward(grad: Array, x: Array) -> Array:
    """``grad`` where ``x > 0``, else 0."""
    return np.where(x > 0, grad, 0)


@_formula
def relu6(x: Array) -> Array:
    """``min(max(0, x), 6)``."""
    return np.asarray(np.clip(x, 0, 6))


@_formula
def relu6_backward(grad: Array, x: Array) -> Array:
    """``grad`` where ``0 < x < 6``, else 0."""
    return np.where((x > 0) & (x < 6), grad, 0)


@_formula
def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """``x`` if ``x > 0`` else ``negative_slope x``."""
    return np.where(x > 0, x, negative_slope * x)


@_formula
def leaky_relu_backward(grad: Array, x: Array, negative_slope: float = 0.01) -> Array:
    """``grad`` times 1 if ``x > 0`` else ``negative_slope``."""
    return np.where(x > 0, grad, negative_slope * grad)


@_formula
def elu(x: Array, alpha: float = 1.0) -> Array:
    """``x`` if ``x >= 0`` else ``alpha (exp(x) - 1)``."""
    return np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x)


@_formula
def elu_backward(grad: Array, x: Array, alpha: float = 1.0) -> Array:
    """``grad`` times 1 if ``x > 0`` else ``alpha exp(x)``."""
    return np.where(x > 0, grad, grad * (alpha * np.exp(np.minimum(x, 0))))


@_formula
def celu(x: Array, alpha: float = 1.0) -> Array:
    """``x`` if ``x >= 0`` else ``alpha (exp(x / alpha) - 1)``, whose limit is ``x`` for an infinite alpha."""
    curve = np.where(np.isinf(alpha), x, alpha * np.expm1(np.minimum(x, 0) / alpha))
    return np.where(x < 0, curve, x)


@_formula
def celu_backward(grad: Array, x: Array, alpha: float = 1.0) -> Array:
    """``grad`` times 1 if ``x > 0`` else ``exp(x / alpha)``."""
    return np.where(x > 0, grad, grad * np.exp(np.minimum(x, 0) / alpha))


@_formula
def selu(x: Array) -> Array:
    """``scale elu(x, alpha)`` with the two constants of self-normalising networks."""
    return np.asarray(SELU_SCALE * elu(x, SELU_ALPHA))


@_formula
def selu_backward(grad: Array, x: Array) -> Array:
    """``grad scale`` times 1 if ``x > 0`` else ``alpha exp(x)``."""
    return np.asarray(SELU_SCALE * elu_backward(grad, x, SELU_ALPHA))


@_formula
def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``, from ``exp(-|x|)``, which never overflows."""
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x < 0, e, e.dtype.type(1)) / (1 + e))


@_formula
def sigmoid_backward(grad: Array, y: Array) -> Array:
    """``grad y (1 - y)`` with ``y = sigmoid(x)``."""
    return np.asarray(grad * (y * (1 - y)))


@_formula
def log_sigmoid(x: Array) -> Array:
    """``log(sigmoid(x)) = min(x, 0) - log1p(exp(-|x|))``."""
    return np.asarray(np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))))


@_formula
def log_sigmoid_backward(grad: Array, x: Array) -> Array:
    """``grad sigmoid(-x)``."""
    return np.asarray(grad * sigmoid(-x))


@_formula
def tanh(x: Array) -> Array:
    """``tanh(x)``."""
    return np.asarray(np.tanh(x))


@_formula
def tanh_backward(grad: Array, y: Array) -> Array:
    """``grad (1 - y**2)`` with ``y = tanh(x)``."""
    return np.asarray(grad * ((1 - y) * (1 + y)))


@_formula
def softplus(x: Array, beta: float = 1.0) -> Array:
    """``log(1 + exp(beta x)) / beta``."""
    bx = beta * x
    return np.asarray(np.where(bx > 0, x, 0) + np.log1p(np.exp(-np.abs(bx))) / beta)


@_formula
def softplus_backward(grad: Array, x: Array, beta: float = 1.0) -> Array:
    """``grad sigmoid(beta x)``."""
    return np.asarray(grad * sigmoid(beta * x))


def _normal_cdf(x: Array) -> Array:
    """Phi(x), by erfc, which keeps the left tail."""
    return np.asarray(0.5 * erfc(x * -math.sqrt(0.5)))


def _tanh_argument(x: Array) -> Array:
    """``2 u`` of the tanh form of gelu, which is ``x sigmoid(2 u)``."""
    return np.asarray(math.sqrt(8 / math.pi) * (x + 0.044715 * (x * x * x)))


def _check_approximate(approximate: str) -> None:
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate must be 'none' or 'tanh', not {approximate!r}")


@_formula
def gelu(x: Array, approximate: str = "none") -> Array:
    """``x Phi(x)``; with ``approximate="tanh"`` ``x sigmoid(2 u)``, ``u = sqrt(2 / pi) (x + 0.044715 x**3)``."""
    _check_approximate(approximate)
    x = np.maximum(x, -FAR)
    return np.asarray(x * (_normal_cdf(x) if approximate == "none" else sigmoid(_tanh_argument(x))))


@_formula
def gelu_backward(grad: Array, x: Array, approximate: str = "none") -> Array:
    """``grad (Phi(x) + x phi(x))``; for the tanh form ``grad s (1 + 2 x (1 - s) u')``, ``s = sigmoid(2 u)``."""
    _check_approximate(approximate)
    x = np.clip(x, -FAR, FAR)
    if approximate == "none":
        return np.asarray(grad * (_normal_cdf(x) + x * (np.exp(-0.5 * (x * x)) * (1 / math.sqrt(2 * math.pi)))))
    s = sigmoid(_tanh_argument(x))
    slope = math.sqrt(8 / math.pi) * (1 + 0.134145 * (x * x))
    return np.asarray(grad * (s * (1 + x * ((1 - s) * slope))))


@_formula
def silu(x: Array) -> Array:
    """``x sigmoid(x)``."""
    x = np.maximum(x, -FAR)
    return np.asarray(x * sigmoid(x))


@_formula
def silu_backward(grad: Array, x: Array) -> Array:
    """``grad s (1 + x (1 - s))`` with ``s = sigmoid(x)``."""
    x = np.clip(x, -FAR, FAR)
    s = sigmoid(x)
    return np.asarray(grad * (s * (1 + x * (1 - s))))


@_formula
def mish(x: Array) -> Array:
    """``x tanh(softplus(x))``."""
    x = np.maximum(x, -FAR)
    return np.asarray(x * np.tanh(softplus(x)))


@_formula
def mish_backward(grad: Array, x: Array) -> Array:
    """``grad (t + x (1 - t**2) sigmoid(x))`` with ``t = tanh(softplus(x))``."""
    x = np.clip(x, -FAR, FAR)
    t = np.tanh(softplus(x))
    return np.asarray(grad * (t + x * ((1 - t) * (1 + t) * sigmoid(x))))


def _divides_by_6(slope: Any, offset: Any) -> bool:
    """Whether a line has the default parameters, of which the slope is no rounded number."""
    return bool(np.ndim(slope) == np.ndim(offset) == 0 and slope == 1 / 6 and offset == 0.5)


@_formula
def hard_sigmoid(x: Array, slope: float = 1 / 6, offset: float = 0.5) -> Array:
    """``clip(slope x + offset, 0, 1)``; with the default values ``clip((x + 3) / 6, 0, 1)``."""
    return np.asarray(np.clip((x + 3) / 6 if _divides_by_6(slope, offset) else slope * x + offset, 0, 1))


@_formula
def hard_sigmoid_backward(grad: Array, x: Array, slope: float = 1 / 6, offset: float = 0.5) -> Array:
    """``grad slope`` where ``0 < slope x + offset < 1``, else 0; with the default values ``grad / 6`` where ``|x| < 3``."""
    if _divides_by_6(slope, offset):
        return np.where(np.abs(x) < 3, grad / 6, 0)
    line = slope * x + offset
    return np.where((line > 0) & (line < 1), grad * slope, 0)


@_formula
def hard_swish(x: Array) -> Array:
    """``x hard_sigmoid(x)``."""
    x = np.maximum(x, -FAR)
    return np.asarray(x * hard_sigmoid(x))


@_formula
def hard_swish_backward(grad: Array, x: Array) -> Array:
    """``grad`` times 0 below -3, ``(2 x + 3) / 6`` between, 1 above 3."""
    return np.where(x <= -3, 0, np.where(x >= 3, grad, grad * ((2 * x + 3) / 6)))


@_formula
def hard_tanh(x: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """``clip(x, min_val, max_val)``."""
    return np.asarray(np.clip(x, min_val, max_val))


@_formula
def hard_tanh_backward(grad: Array, x: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """``grad`` where ``min_val < x < max_val``, else 0."""
    return np.where((x > min_val) & (x < max_val), grad, 0)


@_formula
def softsign(x: Array) -> Array:
    """``x / (1 + |x|)``."""
    largest = np.finfo(np.result_type(x, 1.0)).max
    x = np.clip(x, -largest, largest)  # inf / inf is NaN
    return np.asarray(x / (1 + np.abs(x)))


@_formula
def softsign_backward(grad: Array, x: Array) -> Array:
    """``grad / (1 + |x|)**2``."""
    d = 1 + np.abs(x)
    return np.asarray(grad / d / d)


@_formula
def swiglu(gate: Array, up: Array) -> Array:
    """``silu(gate) up``."""
    return np.asarray(silu(gate) * up)


@_formula
def swiglu_backward(grad: Array, gate: Array, up: Array) -> tuple[Array, Array]:
    """Gradients for gate and up: ``grad up silu'(gate)`` and ``grad silu(gate)``."""
    return silu_backward(grad * up, gate), np.asarray(grad * silu(gate))


@_formula
def geglu(gate: Array, up: Array) -> Array:
    """``gelu(gate) up``."""
    return np.asarray(gelu(gate) * up)


@_formula
def geglu_backward(grad: Array, gate: Array, up: Array) -> tuple[Array, Array]:
    """Gradients for gate and up: ``grad up gelu'(gate)`` and ``grad gelu(gate)``."""
    return gelu_backward(grad * up, gate), np.asarray(grad * gelu(gate))


@_formula
def reglu(gate: Array, up: Array) -> Array:
    """``relu(gate) up``."""
    return np.asarray(relu(gate) * up)


@_formula
def reglu_backward(grad: Array, gate: Array, up: Array) -> tuple[Array, Array]:
    """Gradients for gate and up: ``grad up`` where ``gate > 0``, else 0, and ``grad relu(gate)``."""
    return relu_backward(grad * up, gate), np.asarray(grad * relu(gate))


# Rows


def _rows(x: Array, axis: Any, where: Array | None = None, scale: float = 1.0) -> tuple[Array, Any]:
    """``scale x``, -inf in place of what ``where`` leaves out, and the class axis counted from the front, or axes."""
    x = np.asarray(_float(x))
    if axis is None or isinstance(axis, tuple):
        axis = normalize_axis_tuple(range(x.ndim) if axis is None else axis, x.ndim, "axis")
    else:
        axis = normalize_axis_index(axis, x.ndim)
    if any(x.shape[i] == 0 for i in (axis if isinstance(axis, tuple) else (axis,))):
        raise ValueError(f"the class axis {axis} of shape {x.shape} is empty")
    if scale != 1:
        x = x * scale
    if where is not None:
        x = _only(where, x, -np.inf)
    return x, axis


def _only(where: Array | None, x: Array, other: float = 0.0) -> Array:
    """``x``, and the other number in place of what ``where`` leaves out."""
    return x if where is None else np.where(np.broadcast_to(where, x.shape), x, x.dtype.type(other))


def _without(axes: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def _joined(x: Array, axes: tuple[int, ...]) -> Array:
    """``x`` with these axes as one, the last."""
    batch = _without(axes, x.shape)
    last = np.moveaxis(x, axes, range(len(batch), x.ndim))
    return last.reshape(*batch, math.prod(last.shape[len(batch) :]))


def _parted(x: Array, axes: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """The inverse of `_joined`, for an array of that shape."""
    batch = _without(axes, shape)
    return np.moveaxis(x.reshape(*batch, *(shape[i] for i in axes)), range(len(batch), len(shape)), axes)


def _normaliser(x: Array, axis: Any) -> tuple[Array, Array, Array, Array]:
    """``m = max(x)``, ``z = x - m``, ``e = exp(z)`` and ``r = sum(e) - 1``, the maximum's own 1 never added.

    So ``logsumexp(x) = m + log1p(r)`` keeps all of ``r`` when it is small.
    """
    k = np.argmax(x, axis, keepdims=True)
    m = np.take_along_axis(x, k, axis)
    z = x - m
    e = np.exp(z)
    zero = np.take_along_axis(e, k, axis) - 1  # NaN for a row that holds NaN or an infinite maximum
    np.put_along_axis(e, k, zero, axis)
    r = e.sum(axis, keepdims=True)
    np.put_along_axis(e, k, zero + 1, axis)
    return m, z, e, r


@_quiet
def softmax(x: Array, axis: Axis = -1, *, scale: float = 1.0, where: Array | None = None) -> Array:
    """``exp(z - m) / sum(exp(z - m))`` with ``z = scale x`` and ``m = max(z)``."""
    rows, axis = _rows(x, axis, where, scale)
    e = np.exp(rows - rows.max(axis, keepdims=True))
    e /= e.sum(axis, keepdims=True)
    return _only(where, e)


@_quiet
def softmax_backward(grad: Array, y: Array, axis: Axis = -1, *, scale: float = 1.0, where: Array | None = None) -> Array:
    """``scale y (grad - sum(grad y))`` with ``y = softmax(scale x)``."""
    y, axis = _rows(y, axis)
    y, grad = _only(where, y), _only(where, np.broadcast_to(_float(grad), y.shape))
    gradient = _only(where, y * (grad - (grad * y).sum(axis, keepdims=True)))
    return np.asarray(gradient if scale == 1 else scale * gradient)


@_quiet
def softmax_jacobian(y: Array, axis: int = -1) -> Array:
    """``y_i (1 if i == j else 0) - y_i y_j`` with ``y = softmax(x)``."""
    y, axis = _rows(y, axis)
    y = np.moveaxis(y, axis, -1)
    return np.asarray(y[..., :, None] * (np.eye(y.shape[-1], dtype=y.dtype) - y[..., None, :]))


@_quiet
def log_softmax(x: Array, axis: Axis = -1, *, scale: float = 1.0, where: Array | None = None) -> Array:
    """``(z - m) - log1p(r)``, ``z = scale x``, ``r`` the sum of ``exp(z - m)`` over all entries but the maximum ``m``."""
    rows, axes = _rows(x, axis, where, scale)
    together = isinstance(axes, tuple)
    _, z, _, r = _normaliser(_joined(rows, axes), -1) if together else _normaliser(rows, axes)
    z -= np.log1p(r)
    return _only(where, _parted(z, axes, rows.shape) if together else z, -np.inf)


@_quiet
def log_softmax_backward(grad: Array, y: Array, axis: Axis = -1, *, scale: float = 1.0, where: Array | None = None) -> Array:
    """``scale (grad - exp(y) sum(grad))`` with ``y = log_softmax(scale x)``."""
    y, axis = _rows(y, axis, where)
    grad = _only(where, np.broadcast_to(_float(grad), y.shape))
    gradient = _only(where, grad - np.exp(y) * grad.sum(axis, keepdims=True))
    return np.asarray(gradient if scale == 1 else scale * gradient)


@_quiet
def log_softmax_jacobian(y: Array, axis: int = -1) -> Array:
    """``(1 if i == j else 0) - exp(y_j)`` with ``y = log_softmax(x)``."""
    y, axis = _rows(y, axis)
    y = np.moveaxis(y, axis, -1)
    return np.asarray(np.eye(y.shape[-1], dtype=y.dtype) - np.exp(y)[..., None, :])


@_quiet
def logsumexp(
    x: Array,
    axis: Axis = -1,
    *,
    b: Array | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: Array | None = None,
) -> Any:
    """``m + log(sum(exp(x - m)))`` with ``m = max(x)``; with ``b`` that of ``|sum(b exp(x - m))|``, and the sum's sign."""
    if b is not None:
        x = np.asarray(_float(x))
        x, b = np.broadcast_arrays(x, np.asarray(b, np.result_type(x, _float(b))))
        b = _only(where, b)
        where = b != 0
    x, axes = _rows(x, axis, where)
    along = axes
    if isinstance(axes, tuple):
        x, b, along = _joined(x, axes), None if b is None else _joined(b, axes), -1
    if b is None:
        m, _, _, r = _normaliser(x, along)
        y = np.where(np.isinf(m), m, m + np.log1p(r))
        sign = np.where(np.isnan(y), y, y > -np.inf)
    else:
        y, sign = _signed_sum(x, b, along)
        if not return_sign:
            y = np.where(sign < 0, np.nan, y)
    y, sign = (a.squeeze(along) for a in (y, sign))
    if keepdims:
        y, sign = (np.expand_dims(a, axes) for a in (y, sign))
    return (y, sign) if return_sign else y


def _signed_sum(x: Array, b: Array, axis: int) -> tuple[Array, Array]:
    """Logarithm and sign of ``sum(b exp(x))``; the largest ``x`` is -inf or stands where ``b`` is not 0."""
    k = np.argmax(x, axis, keepdims=True)
    m, factor = (np.take_along_axis(a, k, axis) for a in (x, b))
    terms = b * np.exp(x - m)
    np.put_along_axis(terms, k, 0, axis)
    r = terms.sum(axis, keepdims=True) / factor
    y = m + (np.log(np.abs(factor)) + np.log1p(np.where(r < -1, -2 - r, r)))
    sign = np.where(np.isnan(y), y, np.sign(factor) * np.sign(1 + r))
    total = _weighted(b, np.exp(np.where(np.isfinite(x), 0, x))).sum(axis, keepdims=True)  # beside infinite terms
    infinite = np.isinf(m)
    return np.where(infinite, np.log(np.abs(total)), y), np.where(infinite, np.sign(total), sign)


@_quiet
def logsumexp_backward(grad: Array, x: Array, axis: Axis = -1, *, where: Array | None = None) -> Array:
    """``grad softmax(x)``."""
    x, axes = _rows(x, axis, where)
    return _only(where, np.expand_dims(_float(grad), axes) * softmax(x, axes))


@_quiet
def logsumexp_partial(x: Array, axis: int = -1) -> tuple[Array, Array]:
    """``m = max(x)`` and ``r``, the sum of ``exp(x - m)`` over all entries but the first at the maximum."""
    x, axis = _rows(x, axis)
    m = x.max(axis, keepdims=True)
    terms = np.exp(x - m)
    np.put_along_axis(terms, np.expand_dims(x.argmax(axis), axis), np.where(np.isnan(m), m, 0), axis)
    m = m.squeeze(axis)
    return m, _rest(m, terms.sum(axis))


def _rest(m: Array, r: Array) -> Array:
    """Beside an infinite maximum: as if there were no entries, and nothing but the maximum."""
    return np.where(np.isinf(m), np.where(m < 0, -1.0, 0.0), r)


@_formula
def logsumexp_merge(m1: Array, r1: Array, m2: Array, r2: Array) -> tuple[Array, Array]:
    """``m = max(m1, m2)`` and ``r = r1 + (1 + r2) exp(m2 - m1)`` for ``m1 >= m2``."""
    m = np.asarray(np.maximum(m1, m2))
    first = m1 >= m2
    apart = np.where(m1 == m2, 0, np.minimum(m1, m2) - m)
    return m, _rest(m, np.where(first, r1, r2) + (1 + np.where(first, r2, r1)) * np.exp(apart))


@_formula
def logsumexp_finish(m: Array, r: Array) -> Array:
    """``m + log1p(r)``."""
    return np.asarray(m + np.log1p(r))


@_quiet
def softmax_from(x: Array, m: Array, r: Array, axis: int = -1) -> Array:
    """``exp(x - m) / (1 + r)``."""
    x, axis = _rows(x, axis)
    m, r = (np.expand_dims(_float(a), axis) for a in (np.where(np.isinf(m), np.nan, m), r))
    return np.asarray(np.exp(x - m) / (1 + r))


@_quiet
def log_softmax_from(x: Array, m: Array, r: Array, axis: int = -1) -> Array:
    """``x - m - log1p(r)``."""
    x, axis = _rows(x, axis)
    m, r = (np.expand_dims(_float(a), axis) for a in (np.where(np.isinf(m), np.nan, m), r))
    return np.asarray(x - m - np.log1p(r))


# Losses

LOWEST_LOG = -100.0  # of a probability
LOWEST_DIVISOR = 1e-12  # in place of a probability, in gradients


class _Terms(NamedTuple):
    """A loss before its reduction, and its gradient, as functions, so that each is computed only when wanted.

    Call the loss first: the gradient may overwrite the arrays that both are made of.
    """

    loss: Callable[[], Array]  # of each row or entry
    slope: Callable[[], Array]  # the gradient of each
    divisor: Any  # of the mean
    axis: int | None = None  # that rows have and their losses lack
    only: tuple[Array, Array] | None = None  # an array of the argument's shape, and the classes that alone have a slope
    sample_weight: Array | None = None  # of each row


def _divisor(terms: _Terms, reduction: str) -> Any:
    """The divisor for the mean, else 1."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction must be 'mean', 'sum' or 'none', not {reduction!r}")
    return terms.divisor if reduction == "mean" else np.float64(1)


def _sum(x: Array) -> Any:
    return x.sum(dtype=np.result_type(x, np.float64))


def _reduce(terms: _Terms, reduction: str) -> Array:
    loss, divisor = terms.loss(), _divisor(terms, reduction)
    if terms.sample_weight is not None:
        loss = _weighted(terms.sample_weight, loss)
    return loss if reduction == "none" else (_sum(loss) / divisor).astype(loss.dtype)


def _chain(terms: _Terms, reduction: str, grad: Any = 1.0) -> Array:
    """The gradient, by the chain rule."""
    slope = terms.slope()
    axis = () if terms.axis is None else (terms.axis,)
    if terms.sample_weight is not None:
        slope = _weighted(np.expand_dims(terms.sample_weight, axis), slope)
    factor = _float(grad) / (_divisor(terms, reduction) or 1)  # with a divisor of 0, no row counts
    factor = np.asarray(factor).astype(slope.dtype)
    if factor.ndim:
        factor = np.expand_dims(np.broadcast_to(factor, _without(axis, slope.shape)), axis)
    slope *= factor
    if terms.only is None:
        return np.asarray(slope)
    x, k = terms.only
    gradient = np.zeros_like(x)
    np.put_along_axis(gradient, k, slope, terms.axis)
    return gradient


def _functions(
    terms: Callable[..., _Terms], gradient: str
) -> tuple[Callable[..., Array], Callable[..., Array], Callable[..., tuple[Array, Array]]]:
    """The public functions of a loss, its gradient, and both at once: ``terms`` has their arguments and the formula."""

    @_quiet
    def forward(*args: Any, reduction: str = "mean", **options: Any) -> Array:
        return _reduce(terms(*args, **options), reduction)

    @_quiet
    def backward(grad: Any, *args: Any, reduction: str = "mean", **options: Any) -> Array:
        return _chain(terms(*args, **options), reduction, grad)

    @_quiet
    def with_grad(*args: Any, reduction: str = "mean", **options: Any) -> tuple[Array, Array]:
        both = terms(*args, **options)
        return _reduce(both, reduction), _chain(both, reduction)

    parameters = list(inspect.signature(terms).parameters.values())
    parameters.append(inspect.Parameter("reduction", inspect.Parameter.KEYWORD_ONLY, default="mean", annotation=str))
    grad = inspect.Parameter("grad", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Array)
    pair = 'The loss and its gradient; for ``reduction="none"`` the gradient of the sum.'
    f: Any
    for f, ending, given, result, doc in (
        (forward, "", parameters, Array, terms.__doc__),
        (backward, "_backward", [grad, *parameters], Array, f"``grad`` times {gradient}."),
        (with_grad, "_with_grad", parameters, tuple[Array, Array], pair),
    ):
        f.__name__ = f.__qualname__ = terms.__name__.removeprefix("_") + ending
        f.__signature__ = inspect.Signature(given, return_annotation=result)
        f.__doc__ = doc
    return forward, backward, with_grad


def _weighted(t: Array, x: Array) -> Array:
    """``t x``, where a ``t`` of 0 counts as nothing even beside an infinite ``x``."""
    return np.where(t == 0, 0, t * x)


def _expectation(t: Array, x: Array, axis: int) -> Array:
    """``sum(t x)`` of every row."""
    return np.asarray(_weighted(t, x).sum(axis, keepdims=True))


class _Targets(NamedTuple):
    """Class targets or probabilities, prepared for the losses that take either of them."""

    k: Array | None  # the classes, 0 where ignored, with a class axis of length 1; None for probabilities
    t: Array  # the weight of k, 0 where ignored; or the probabilities times the weights
    counted: Array | None  # which rows are not ignored; None for all
    weight: Array  # of the classes, along the class axis
    sample_weight: Array | None  # of the rows
    divisor: Any  # of the mean


def _of_rows(sample_weight: Array | None, x: Array, axis: int) -> tuple[Array | None, Any]:
    """The weights, and the divisor of the mean: their sum, the number of rows without them."""
    if sample_weight is None:
        return None, np.float64(x.size // x.shape[axis])
    factor = np.broadcast_to(np.asarray(sample_weight, x.dtype), _without((axis,), x.shape))
    return factor, _sum(factor)


def _targets(
    targets: Array, x: Array, axis: int, weight: Array | None, sample_weight: Array | None, ignore_index: int
) -> _Targets:
    targets = np.asarray(targets)
    w = np.broadcast_to(np.ones(1, x.dtype) if weight is None else np.asarray(weight, x.dtype), x.shape[axis])
    w_row = np.expand_dims(w, tuple(range(1, x.ndim - axis)))
    factor, divisor = _of_rows(sample_weight, x, axis)
    if targets.shape == x.shape:  # integers and booleans too, as they are where one-hot
        t = targets.astype(x.dtype, copy=False)
        return _Targets(None, t if weight is None else w_row * t, None, w_row, factor, divisor)
    k = np.expand_dims(targets, axis)
    counted = k != ignore_index
    k = np.where(counted, k, 0).astype(np.intp)
    t = np.where(counted, w[k], 0)
    divisor = _sum(t if factor is None else t * np.expand_dims(factor, axis))
    return _Targets(k, t, None if counted.all() else counted, w_row, factor, divisor)


def _softmax_minus(t: Array, p: Array, log_p: Array, axis: int) -> Array:
    """``p sum(t) - t`` as ``p`` times the sum of the others, ``+ t (p - 1)``, which keeps all digits where t is one-hot."""
    k = np.argmax(t, axis, keepdims=True)
    rest = t.copy()
    np.put_along_axis(rest, k, 0, axis)
    total = rest.sum(axis, keepdims=True)
    others = np.take_along_axis(t, k, axis) + (total - t)
    np.put_along_axis(others, k, total, axis)
    return np.asarray(p * others + t * np.expm1(log_p))


def _cross_entropy(
    logits: Array,
    targets: Array,
    *,
    axis: int = -1,
    weight: Array | None = None,
    sample_weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
) -> _Terms:
    """``logsumexp(z) - z_k`` of the class k, or ``sum(y (logsumexp(z) - z))`` of the probabilities y."""
    logits, axis = _rows(logits, axis)
    k, t, counted, w, factor, divisor = _targets(targets, logits, axis, weight, sample_weight, ignore_index)
    m, z, e, r = _normaliser(logits, axis)
    log_sum = np.log1p(r)
    smooth = w * (label_smoothing / logits.shape[axis])
    if label_smoothing:
        t = (1 - label_smoothing) * t
    if k is None:
        if label_smoothing:
            t = t + smooth
        z -= log_sum
        log_p = z
    else:
        log_p = np.take_along_axis(z, k, axis) - log_sum

    def loss() -> Array:
        loss = z_loss * (m + log_sum) ** 2 if z_loss else np.zeros_like(m)
        if k is None:
            loss -= _expectation(t, log_p, axis)
        else:
            loss -= _weighted(t, log_p)
            if label_smoothing:
                loss -= _expectation(smooth, z - log_sum, axis)
        return np.asarray(loss if counted is None else np.where(counted, loss, 0)).squeeze(axis)

    def slope() -> Array:
        z_slope = 2 * z_loss * (m + log_sum) if z_loss else np.zeros_like(m)
        if k is None:
            p = e / (1 + r)
            slope = _softmax_minus(t, p, log_p, axis)
            if z_loss:
                slope += z_slope * p
        else:
            slope = e
            rest = smooth.sum() + z_slope
            slope *= (t + rest) / (1 + r)
            np.put_along_axis(slope, k, t * np.expm1(log_p) + rest * np.exp(log_p), axis)
            if label_smoothing:
                slope -= smooth
        return slope if counted is None else np.where(counted, slope, 0)

    return _Terms(loss, slope, divisor, axis, sample_weight=factor)


cross_entropy, cross_entropy_backward, cross_entropy_with_grad = _functions(
    _cross_entropy, "``p - onehot(k)``, or ``p sum(y) - y``; with z_loss also ``2 z_loss logsumexp(z) p``"
)


def _focal_loss(
    logits: Array,
    targets: Array,
    *,
    gamma: float = 2.0,
    axis: int = -1,
    weight: Array | None = None,
    sample_weight: Array | None = None,
    ignore_index: int = -100,
) -> _Terms:
    """``-(1 - p_k)**gamma log(p_k)`` of the class k, or ``-sum(y (1 - p)**gamma log(p))`` of the probabilities y."""
    logits, axis = _rows(logits, axis)
    k, t, counted, _, factor, divisor = _targets(targets, logits, axis, weight, sample_weight, ignore_index)
    _, log_p, e, r = _normaliser(logits, axis)
    log_p -= np.log1p(r)
    chosen = log_p if k is None else np.take_along_axis(log_p, k, axis)
    q = -np.expm1(chosen)  # 1 - p, with all of its digits where p is nearly 1

    def loss() -> Array:
        return 0 - _expectation(t, q**gamma * chosen, axis).squeeze(axis)

    def slope() -> Array:
        p = e / (1 + r)
        tf = _weighted(t, _focal_slope(np.exp(chosen), q, -chosen, gamma))
        if k is None:
            return _softmax_minus(tf, p, log_p, axis)
        slope = p * tf
        np.put_along_axis(slope, k, -tf * q, axis)
        return slope if counted is None else np.where(counted, slope, 0)

    return _Terms(loss, slope, divisor, axis, sample_weight=factor)


def _focal_slope(p: Array, q: Array, log_loss: Array, gamma: float) -> Array:
    """``q**gamma (1 + gamma p l / q)``, the factor that the focal loss has beyond the gradient of ``l = -log(p)``."""
    return np.asarray(q**gamma * (1 + gamma * _weighted(p, _quotient(log_loss, q))))


def _quotient(log_loss: Array, q: Array) -> Array:
    """``-log(1 - q) / q``, which is 1 at 0; without a warning, as the benchmark runs these formulas bare."""
    return np.divide(log_loss, q, out=np.ones_like(q), where=q != 0)


focal_loss, focal_loss_backward, focal_loss_with_grad = _functions(
    _focal_loss,
    "``F (p - onehot(k))``, ``F = (1 - p_k)**gamma - gamma (1 - p_k)**(gamma - 1) p_k log(p_k)``, or ``p sum(y F) - y F``",
)


def _likelihood(
    x: Array,
    targets: Array,
    axis: int,
    weight: Array | None,
    sample_weight: Array | None,
    ignore_index: int,
    log: Callable[[Array], Array],
    slope: Callable[[Array, Array], Array],
) -> _Terms:
    """The loss ``-sum(t log(x))``, whose gradient is ``slope(t, x)``."""
    x, axis = _rows(x, axis)
    k, t, _, _, factor, divisor = _targets(targets, x, axis, weight, sample_weight, ignore_index)
    chosen = x if k is None else np.take_along_axis(x, k, axis)
    return _Terms(
        lambda: _expectation(-t, log(chosen), axis).squeeze(axis),
        lambda: slope(t, chosen),
        divisor,
        axis,
        None if k is None else (x, k),
        factor,
    )


def _nll_loss(
    log_probs: Array,
    targets: Array,
    *,
    axis: int = -1,
    weight: Array | None = None,
    sample_weight: Array | None = None,
    ignore_index: int = -100,
) -> _Terms:
    """``-l_k`` of the class k, or ``-sum(y l)`` of the probabilities y."""
    return _likelihood(log_probs, targets, axis, weight, sample_weight, ignore_index, np.asarray, lambda t, _: -t)


nll_loss, nll_loss_backward, _ = _functions(_nll_loss, "``-onehot(k)``, or ``-y``")


def _clamped_log(p: Array) -> Array:
    return np.asarray(np.maximum(np.log(p), LOWEST_LOG))


def _categorical_cross_entropy(
    probs: Array,
    targets: Array,
    *,
    axis: int = -1,
    weight: Array | None = None,
    sample_weight: Array | None = None,
    ignore_index: int = -100,
) -> _Terms:
    """``-log(p_k)`` of the class k, or ``-sum(y log(p))`` of the probabilities y, no logarithm below -100."""

    def slope(t: Array, p: Array) -> Array:
        return _weighted(-t, 1 / np.maximum(p, LOWEST_DIVISOR))

    return _likelihood(probs, targets, axis, weight, sample_weight, ignore_index, _clamped_log, slope)


categorical_cross_entropy, categorical_cross_entropy_backward, _ = _functions(
    _categorical_cross_entropy, "``-onehot(k) / p``, or ``-y / p``, no divisor below 1e-12"
)


def _elements(x: Array, targets: Array, weight: Array | None) -> tuple[Array, Array, Any]:
    """Both operands and the weight in the dtype of the first."""
    x = np.asarray(_float(x))
    return x, np.asarray(targets).astype(x.dtype, copy=False), None if weight is None else np.asarray(weight, x.dtype)


def _binary_cross_entropy(probs: Array, targets: Array, *, weight: Array | None = None) -> _Terms:
    """``-(y log(p) + (1 - y) log(1 - p))``, no logarithm below -100."""
    p, y, w = _elements(probs, targets, weight)

    def loss() -> Array:
        loss = np.asarray((y - 1) * np.maximum(np.log1p(-p), LOWEST_LOG) - y * _clamped_log(p))
        return loss if w is None else loss * w

    def slope() -> Array:
        q = 1 - p
        slope = (p - y) / (p * q)
        ends = np.minimum(p, q) < LOWEST_DIVISOR
        if ends.any():
            slope = np.where(ends, (1 - y) / np.maximum(q, LOWEST_DIVISOR) - y / np.maximum(p, LOWEST_DIVISOR), slope)
        return np.asarray(slope if w is None else slope * w)

    return _Terms(loss, slope, np.float64(p.size))


binary_cross_entropy, binary_cross_entropy_backward, _ = _functions(
    _binary_cross_entropy, "``(p - y) / (p (1 - p)) = (1 - y) / (1 - p) - y / p``, no divisor of these two below 1e-12"
)


def _binary_cross_entropy_with_logits(
    logits: Array, targets: Array, *, weight: Array | None = None, pos_weight: Array | None = None
) -> _Terms:
    """``(1 - y) softplus(x) + pos_weight y softplus(-x)``."""
    x, y, w = _elements(logits, targets, weight)
    a, b = 1 - y, y if pos_weight is None else y * np.asarray(pos_weight, x.dtype)
    if w is not None:
        a, b = a * w, b * w
    e = np.exp(-np.abs(x))

    def loss() -> Array:
        log_sum = np.log1p(e)
        return np.asarray(_weighted(a, np.maximum(x, 0) + log_sum) + _weighted(b, np.maximum(-x, 0) + log_sum))

    def slope() -> Array:
        one = e.dtype.type(1)
        return np.asarray((a * np.where(x < 0, e, one) - b * np.where(x < 0, one, e)) / (1 + e))

    return _Terms(loss, slope, np.float64(x.size))


(
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_backward,
    binary_cross_entropy_with_logits_with_grad,
) = _functions(_binary_cross_entropy_with_logits, "``(1 - y) sigmoid(x) - pos_weight y sigmoid(-x)``")


def _binary_focal_loss_with_logits(
    logits: Array, targets: Array, *, gamma: float = 2.0, alpha: float | None = None, weight: Array | None = None
) -> _Terms:
    """``q**gamma`` times the binary cross-entropy, ``q = y (1 - p) + (1 - y) p``; with alpha times its share."""
    x, y, w = _elements(logits, targets, weight)
    factor = np.ones_like(x) if alpha is None else alpha * y + (1 - alpha) * (1 - y)
    if w is not None:
        factor = factor * w
    e = np.exp(-np.abs(x))
    p, other = (np.where(x < 0, a, b) / (1 + e) for a, b in ((e, e.dtype.type(1)), (e.dtype.type(1), e)))
    q = y * other + (1 - y) * p
    log_sum = np.log1p(e)
    log_loss = _weighted(1 - y, np.maximum(x, 0) + log_sum) + _weighted(y, np.maximum(-x, 0) + log_sum)

    def slope() -> Array:
        of_q = gamma * (1 - 2 * y) * _weighted(p * other, _quotient(log_loss, q))
        return _weighted(factor, q**gamma * (of_q + ((1 - y) * p - y * other)))

    return _Terms(lambda: _weighted(factor, q**gamma * log_loss), slope, np.float64(x.size))


(
    binary_focal_loss_with_logits,
    binary_focal_loss_with_logits_backward,
    binary_focal_loss_with_logits_with_grad,
) = _functions(
    _binary_focal_loss_with_logits,
    "``q**gamma (gamma (1 - 2 y) p (1 - p) l / q + p - y)``, ``l`` being the binary cross-entropy",
)


def _kl_divergence(p: Array, q: Array, *, axis: int = -1, sample_weight: Array | None = None) -> _Terms:
    """``sum(p log(p / q))``, 0 where p is 0."""
    q = _float(q)
    p, axis = _rows(p, axis)
    factor, divisor = _of_rows(sample_weight, p, axis)
    return _Terms(
        lambda: _expectation(p, np.log(p) - np.log(q), axis).squeeze(axis),
        lambda: np.where(p == 0, 0, -p / q),
        divisor,
        axis,
        sample_weight=factor,
    )


kl_divergence, kl_divergence_backward, _ = _functions(_kl_divergence, "``-p / q``, 0 where p is 0")


def _kl_divergence_with_logits(p: Array, logits: Array, *, axis: int = -1, sample_weight: Array | None = None) -> _Terms:
    """``sum(p (log(p) + logsumexp(z) - z))``, 0 where p is 0."""
    p = _float(p)
    logits, axis = _rows(logits, axis)
    factor, divisor = _of_rows(sample_weight, logits, axis)
    _, log_q, e, r = _normaliser(logits, axis)
    log_q -= np.log1p(r)
    return _Terms(
        lambda: _expectation(p, np.log(p) - log_q, axis).squeeze(axis),
        lambda: _softmax_minus(p, e / (1 + r), log_q, axis),
        divisor,
        axis,
        sample_weight=factor,
    )


kl_divergence_with_logits, kl_divergence_with_logits_backward, kl_divergence_with_logits_with_grad = _functions(
    _kl_divergence_with_logits, "``softmax(z) sum(p) - p``"
)


@_quiet
def _linear(x: Array, weight: Array, bias: Array | None) -> Array:
    """``x weight^T + bias``."""
    logits = _float(x) @ _float(weight).T
    return np.asarray(logits if bias is None else logits + _float(bias))


@_quiet
def _linear_gradients(g: Array, x: Array, weight: Array, bias: Array | None) -> tuple[Array, Array, Array | None]:
    """``g weight``, ``g^T x`` and ``sum(g)``, ``g`` being the gradient of the logits."""
    x, weight = _float(x), _float(weight)
    rows = g.reshape(-1, len(weight))
    return g @ weight, rows.T @ x.reshape(len(rows), x.shape[-1]), None if bias is None else rows.sum(0)


def linear_cross_entropy(
    x: Array,
    weight: Array,
    targets: Array,
    *,
    bias: Array | None = None,
    class_weight: Array | None = None,
    sample_weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: str = "mean",
    chunk_rows: int | None = None,
) -> Array:
    """`cross_entropy` of ``x weight^T + bias``, which is made whole: ``chunk_rows`` changes nothing."""
    return cross_entropy(
        _linear(x, weight, bias),
        targets,
        weight=class_weight,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
        reduction=reduction,
    )


def linear_cross_entropy_backward(
    grad: Array,
    x: Array,
    weight: Array,
    targets: Array,
    *,
    bias: Array | None = None,
    class_weight: Array | None = None,
    sample_weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: str = "mean",
    chunk_rows: int | None = None,
) -> tuple[Array, Array, Array | None]:
    """``g weight``, ``g^T x`` and ``sum(g)``, ``g`` being the gradient of the logits times ``grad``."""
    g = cross_entropy_backward(
        grad,
        _linear(x, weight, bias),
        targets,
        weight=class_weight,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
        reduction=reduction,
    )
    return _linear_gradients(g, x, weight, bias)


def linear_cross_entropy_with_grad(
    x: Array,
    weight: Array,
    targets: Array,
    *,
    bias: Array | None = None,
    class_weight: Array | None = None,
    sample_weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: str = "mean",
    chunk_rows: int | None = None,
) -> tuple[Array, tuple[Array, Array, Array | None]]:
    """The loss and its gradients ``g weight``, ``g^T x`` and ``sum(g)``, ``g`` being that of the logits."""
    loss, g = cross_entropy_with_grad(
        _linear(x, weight, bias),
        targets,
        weight=class_weight,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
        reduction=reduction,
    )
    return loss, _linear_gradients(g, x, weight, bias)
