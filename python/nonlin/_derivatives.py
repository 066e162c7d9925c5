"""Derivatives that engines share: second ones, those by parameters, and products with Hessians of losses.

A formula takes first what it is made of: `exp`, `where` and so on of the engine's array package, and nonlin's functions on
its arrays, which get all their arguments. ``f.slope(name, x, ...)`` is the gradient for an upstream one of 1. Floats have 32
or 64 bits. Where a table has None, the derivative is 0.
"""

import math
from collections.abc import Callable
from typing import Any

__all__ = ["BY_PARAMETER", "HESSIANS", "SECOND", "Functions"]

Formula = Callable[..., Any]


class Functions:
    """nonlin's functions as an engine has them, and others by name."""

    def __init__(self, nonlin: Any, **others: Callable[..., Any]) -> None:
        self.__dict__ = {"nonlin": nonlin, **others}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.nonlin, name)


# Activations

_FAR = 1e4  # where what an exponential multiplies is 0, and no power of x overflows


def _near(f: Any, x: Any) -> Any:
    return f.hard_tanh(x, -_FAR, _FAR)


def _gelu(f: Any, x: Any) -> Any:
    """``phi(x) (2 - x**2)``."""
    x = _near(f, x)
    return math.sqrt(0.5 / math.pi) * f.exp(-0.5 * x * x) * (2 - x * x)


def _x_times_sigmoid(f: Any, x: Any, v: Any, slope: Any, curve: Any) -> Any:
    """Of ``x sigmoid(v)``, v a function of x with that slope and curvature: ``1 - 2 sigmoid(v)`` is ``-tanh(v / 2)``."""
    return f.sigmoid(v) * f.sigmoid(-v) * (2 * slope + x * (curve - slope * slope * f.tanh(0.5 * v)))


def _silu(f: Any, x: Any) -> Any:
    x = _near(f, x)
    return _x_times_sigmoid(f, x, x, 1.0, 0.0)


def _gelu_tanh(f: Any, x: Any) -> Any:
    x, c = _near(f, x), math.sqrt(8 / math.pi)
    return _x_times_sigmoid(f, x, c * (x + 0.044715 * x * x * x), c * (1 + 0.134145 * x * x), c * 0.26829 * x)


def _mish(f: Any, x: Any) -> Any:
    """``d (2 + x (1 - s - 2 t s))``, ``d = (1 - t**2) s`` the slope of ``t = tanh(softplus(x))``, s the sigmoid."""
    x = _near(f, x)
    u, s = f.softplus(x, 1.0), f.sigmoid(x)
    d = 4 * f.sigmoid(2 * u) * f.sigmoid(-2 * u) * s
    return d * (2 + x * (f.sigmoid(-x) - 2 * f.tanh(u) * s))


# Second derivatives, by (f, x, *parameters). Where the first one is made from y, that of f_backward by y: of y (1 - y) and
# 1 - y**2. Of gated units it is that by gate, where up is 1.
SECOND: dict[str, Formula | None] = {
    "relu": None,
    "relu6": None,
    "leaky_relu": None,
    "elu": lambda f, x, alpha: (x <= 0) * f.slope("elu", x, alpha),
    "celu": lambda f, x, alpha: (x <= 0) * f.slope("celu", x, alpha) / alpha,
    "selu": lambda f, x: (x <= 0) * f.slope("selu", x),
    "sigmoid": lambda f, y: 1 - 2 * y,
    "log_sigmoid": lambda f, x: -f.sigmoid(x) * f.sigmoid(-x),
    "tanh": lambda f, y: -2 * y,
    "softplus": lambda f, x, beta: beta * f.sigmoid(beta * x) * f.sigmoid(-beta * x),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
    "mish": _mish,
    "hard_sigmoid": None,
    "hard_swish": lambda f, x: 2 * f.slope("hard_sigmoid", x, 1 / 6, 0.5),
    "hard_tanh": None,
    "softsign": lambda f, x: -2 * f.sign(x) * f.slope("softsign", x) / (1 + abs(x)),
    "swiglu": _silu,
    "geglu": _gelu,
    "reglu": None,
}


def _is_sloping(f: Any, x: Any, slope: Any, offset: Any) -> Any:
    y = f.hard_sigmoid(x, slope, offset)
    return (y > 0) & (y < 1)


def _celu_by_alpha(f: Any, x: Any, alpha: Any) -> Any:
    z = _near(f, -f.relu(-x) / alpha)
    return f.expm1(z) - z * f.exp(z)


def _celu_slope_by_alpha(f: Any, x: Any, alpha: Any) -> Any:
    z = _near(f, -f.relu(-x) / alpha)
    return -z * f.exp(z) / alpha


def _softplus_by_beta(f: Any, x: Any, beta: Any) -> Any:
    """``(y sigmoid(y) - log(1 + exp(y))) / beta**2`` of ``y = beta x``, which is even: below 0 nothing cancels."""
    y = -abs(_near(f, beta * x))
    return (y * f.sigmoid(y) - f.softplus(y, 1.0)) / (beta * beta)


def _softplus_slope_by_beta(f: Any, x: Any, beta: Any) -> Any:
    y = _near(f, beta * x)
    return y * f.sigmoid(y) * f.sigmoid(-y) / beta


# Derivatives by parameters, and those of the first derivative, by (f, x, *parameters).
BY_PARAMETER: dict[tuple[str, str], tuple[Formula, Formula | None]] = {
    ("leaky_relu", "negative_slope"): (lambda f, x, slope: -f.relu(-x), lambda f, x, slope: x <= 0),
    ("elu", "alpha"): (
        lambda f, x, alpha: f.elu(-f.relu(-x), 1.0),
        lambda f, x, alpha: (x <= 0) * f.slope("elu", x, 1.0),
    ),
    ("celu", "alpha"): (_celu_by_alpha, _celu_slope_by_alpha),
    ("softplus", "beta"): (_softplus_by_beta, _softplus_slope_by_beta),
    ("hard_sigmoid", "slope"): (lambda f, x, a, b: f.where(_is_sloping(f, x, a, b), x, 0.0), _is_sloping),
    ("hard_sigmoid", "offset"): (_is_sloping, None),
    ("hard_tanh", "min_val"): (lambda f, x, low, high: (x <= low) & (low < high), None),
    ("hard_tanh", "max_val"): (lambda f, x, low, high: (x >= high) | (low >= high), None),
}


# Losses: the Hessian times h, by (f, h, *operands, **options), all options. Weights, targets and divisors are in what
# nonlin's functions give.


def _of_softmax(f: Any, h: Any, logits: Any, targets: Any, **options: Any) -> Any:
    """Of rows of ``t log - sum(t_j x_j) + c log**2``, log being logsumexp(x): ``t J h + 2 c (log J h + p sum(p h))``.

    J is softmax's Jacobian. The sum t of a row's targets is in the loss of equal logits, ``t log(classes)``; c is that of
    equal logits whose logsumexp is 1, without targets.
    """
    axis, classes = options["axis"], logits.shape[options["axis"]]
    equal = f.full_like(logits, 1 - math.log(classes))

    def rows(**others: Any) -> Any:
        return f.cross_entropy(equal, targets, **options | {"reduction": "none"} | others)

    losses, z_loss = rows(), options["z_loss"]
    scale = rows(reduction="mean") / losses.sum() if options["reduction"] == "mean" else 1.0
    t = f.expand_dims((rows(z_loss=0.0) if z_loss else losses) / (math.log(classes) or 1.0), axis)
    p = f.softmax(logits, (axis,), **_PLAIN)
    curve = f.softmax_backward(h, p, (axis,), **_PLAIN)
    product, counts = t * scale * curve, t != 0
    if z_loss:
        c = f.expand_dims(rows(weight=f.zeros(classes), label_smoothing=0.0), axis)
        log = f.logsumexp(logits, (axis,), keepdims=True, where=None)
        product, counts = product + 2 * c * scale * (log * curve + p * f.total(p * h, axis)), counts | (c != 0)
    return f.where(counts, product, 0.0)


_PLAIN = {"scale": 1.0, "where": None}
_CLASSES = {"weight": None, "ignore_index": -100, "label_smoothing": 0.0, "z_loss": 0.0}


def _of_logarithm(f: Any, h: Any, x: Any, slope: Any) -> Any:
    """Of ``-t log(x)``, whose slope is ``-t / x``."""
    return -h * f.where(slope == 0, 0.0, slope / x)


def _of_both_targets(f: Any, name: str, x: Any, targets: Any, options: Any) -> tuple[Any, Any, Any]:
    """The targets y as floats, and the slopes ``y slope(1)`` and ``(1 - y) slope(0)``."""
    y = f.asarray(targets) * 1.0
    one, zero = (f.slope(name, x, f.full_like(x, k), **options) for k in (1.0, 0.0))
    return y, y * one, (1 - y) * zero


def _of_binary(f: Any, h: Any, x: Any, targets: Any, **options: Any) -> Any:
    """``y / x**2 + (1 - y) / (1 - x)**2``."""
    y, one, zero = _of_both_targets(f, "binary_cross_entropy", x, targets, options)
    return h * (f.where(y == 1, 0.0, zero / (1 - x)) - f.where(y == 0, 0.0, one / x))


def _of_binary_logits(f: Any, h: Any, x: Any, targets: Any, **options: Any) -> Any:
    """``s'`` for both targets, s being the sigmoid: the slopes are s and ``s - 1``."""
    _, one, zero = _of_both_targets(f, "binary_cross_entropy_with_logits", x, targets, options)
    return h * (zero * f.sigmoid(-x) - one * f.sigmoid(x))


def _divisible(f: Any, q: Any) -> Any:
    return f.hard_tanh(q, math.sqrt(f.tiny(q)), 2.0)


def _of_focal(f: Any, h: Any, logits: Any, targets: Any, *, gamma: float, axis: int, **options: Any) -> Any:
    """Of ``sum(t_j u(l_j))``: ``l = log_softmax(x)``, ``u = -q**gamma l``, ``p = exp(l)``, ``q = 1 - p``."""
    log = f.log_softmax(logits, (axis,), **_PLAIN)
    p, q = f.exp(log), _divisible(f, -f.expm1(log))
    t = -f.slope("nll_loss", log, targets, axis=axis, **options)
    slope = gamma * q ** (gamma - 1) * p * log - q**gamma
    curve = gamma * q ** (gamma - 1) * p * (2 + log) - gamma * (gamma - 1) * q ** (gamma - 2) * p * p * log
    tangent = f.log_softmax_backward(t * curve * (h - f.total(p * h, axis)), log, (axis,), **_PLAIN)
    product = tangent - f.total(t * slope, axis) * f.softmax_backward(h, p, (axis,), **_PLAIN)
    return f.where(f.total(abs(t), axis) != 0, product, 0.0)


def _of_binary_focal(f: Any, h: Any, logits: Any, targets: Any, *, gamma: float, reduction: str, **options: Any) -> Any:
    """Of ``q**gamma l``, by ``r = q' / q``; ``q'' / q`` is ``-r tanh(x / 2)``. The factors are in the loss of 0, gamma 0."""
    x, y = _near(f, logits), f.asarray(targets) * 1.0
    s, other = f.sigmoid(x), f.sigmoid(-x)
    q, loss = (1 - y) * s + y * other, (1 - y) * f.softplus(x, 1.0) + y * f.softplus(-x, 1.0)
    r = (1 - 2 * y) * s * other / _divisible(f, q)
    curve = gamma * loss * ((gamma - 1) * r * r - r * f.tanh(0.5 * x)) + 2 * gamma * r * (s - y) + s * other
    alone = f.binary_focal_loss_with_logits(f.full_like(x, 0.0), y, gamma=0.0, reduction="none", **options)
    return h * alone / math.log(2) * q**gamma * curve / (math.prod(y.shape) if reduction == "mean" else 1)


HESSIANS: dict[str, Formula | None] = {
    "cross_entropy": _of_softmax,
    "nll_loss": None,
    "categorical_cross_entropy": lambda f, h, probs, targets, **options: _of_logarithm(
        f, h, probs, f.slope("categorical_cross_entropy", probs, targets, **options)
    ),
    "binary_cross_entropy": _of_binary,
    "binary_cross_entropy_with_logits": _of_binary_logits,
    "kl_divergence": lambda f, h, p, q, **options: _of_logarithm(f, h, q, f.slope("kl_divergence", p, q, **options)),
    "kl_divergence_with_logits": lambda f, h, p, logits, **options: _of_softmax(f, h, logits, p, **_CLASSES, **options),
    "focal_loss": _of_focal,
    "binary_focal_loss_with_logits": _of_binary_focal,
}
