"""Derivatives of nonlin's functions for HIPS autograd, 1.9 or newer: they are there once this module is imported.

The functions themselves take autograd's boxes then, as those of ``autograd.numpy`` do: activations and their parameters,
softmax, log_softmax and logsumexp with all options, and the losses. Gradients have the bits of nonlin's own ``_backward``
functions, and can be differentiated again. There is nothing else to call.

>>> import autograd
>>> import numpy as np
>>> import nonlin as nl
>>> import nonlin.autograd
>>> print(autograd.grad(nl.silu)(0.0))
0.5
>>> autograd.grad(nl.cross_entropy)(np.array([2.0, 1.0, 0.1]), 0).round(3)
array([-0.341,  0.242,  0.099])

What has no derivative raises a TypeError, which names the argument.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

import nonlin as nl

from . import _core, _others
from ._derivatives import BY_PARAMETER, HESSIANS, SECOND, Functions
from ._engines import LOSSES

_NEEDED = "nonlin.autograd needs HIPS autograd, 1.9 or newer: pip install nonlin[autograd]"
try:
    import autograd.numpy as anp
    from autograd.builtins import tuple as boxed_tuple
    from autograd.extend import defjvp_argnum, defvjp_argnum, defvjp_argnums, primitive
    from autograd.numpy.numpy_boxes import ArrayBox
    from autograd.numpy.numpy_vspaces import ArrayVSpace
    from autograd.tracer import getval, isbox, trace_primitives_map
except ImportError as error:
    raise ImportError(_NEEDED) from error
if not hasattr(ArrayBox, "__array_ufunc__"):
    raise ImportError(_NEEDED)

__all__: list[str] = []

Rule = Callable[..., Any]  # rule(h, ans, *arguments, **options): h times the Jacobian by one argument
Rules = Mapping[int, Rule]  # by the place of the argument

_quiet = np.errstate(all="ignore")  # as a decorator


# What rules are made of


def _like(x: Any, grad: Any) -> Any:
    """A gradient, summed over the axes along which `x` was broadcast, in the type of `x`."""
    x, value = getval(x), getval(grad)
    if type(x) is type(value) is np.ndarray and x.shape == value.shape and x.dtype == value.dtype:
        return grad
    shape, wanted, dtype = np.shape(value), np.shape(x), np.result_type(x)
    if shape != wanted:
        more = len(shape) - len(wanted)
        axes = tuple(i for i, n in enumerate(shape) if i < more or n != wanted[i - more])
        grad = anp.reshape(anp.sum(grad, axis=axes), wanted)
    if anp.result_type(grad) == dtype or dtype.kind in "biu":
        return grad
    with np.errstate(over="ignore"):
        return grad.astype(dtype)


def _wide(x: Any) -> Any:
    """16-bit floats as float32: what is composed of several functions is rounded to 16 bits once."""
    return x.astype(np.float32) if anp.result_type(x).itemsize == 2 else x


def _zero(h: Any, ans: Any, *arguments: Any, **options: Any) -> Any:
    return np.zeros(anp.shape(ans), anp.result_type(ans))


def _check(name: str, options: Mapping[str, Any], taken: Sequence[str]) -> None:
    for option in options:
        if option not in taken:
            raise TypeError(f"{option} is given to {name}, which has no derivatives with that argument")


def _define(
    function: Callable[..., Any],
    name: str,
    arguments: Sequence[str],
    vjps: Rules,
    jvps: Rules,
    options: Sequence[str] = (),
) -> None:
    """Register rules for the reverse and the forward mode. Other arguments and options raise, where they are needed."""

    def rule(rules: Rules, i: int) -> Rule:
        if i not in rules:
            others = " and ".join(arguments[k] for k in sorted(rules))
            raise TypeError(f"nonlin.autograd has no derivative of {name} by {arguments[i]}, only by {others or 'nothing'}")
        return rules[i]

    def vjp(i: int, ans: Any, given: Sequence[Any], keywords: dict[str, Any]) -> Callable[[Any], Any]:
        _check(name, keywords, options)
        return lambda h: _like(given[i], rule(vjps, i)(h, ans, *given, **keywords))

    def jvp(i: int, h: Any, ans: Any, given: Sequence[Any], keywords: dict[str, Any]) -> Any:
        _check(name, keywords, options)
        tangent = rule(jvps, i)(h, ans, *given, **keywords)
        if isinstance(getval(ans), tuple):
            return boxed_tuple(tuple(_like(ans[k], tangent[k]) for k in range(len(ans))))
        return _like(ans, tangent)

    defvjp_argnum(function, vjp)
    defjvp_argnum(function, jvp)


def _total(a: Any, axis: Any) -> Any:
    return anp.sum(a, axis=axis, keepdims=True)


_functions = Functions(
    nl,
    asarray=np.asarray,
    exp=anp.exp,
    expand_dims=anp.expand_dims,
    expm1=anp.expm1,
    full_like=lambda x, value: np.broadcast_to(anp.result_type(x).type(value), anp.shape(x)),
    sign=anp.sign,
    slope=lambda name, *given, **options: getattr(nl, f"{name}_backward")(1.0, *given, **options),
    tiny=lambda x: np.finfo(anp.result_type(x)).tiny,
    total=_total,
    where=anp.where,
    zeros=np.zeros,
)


# Activations: f(x, *parameters), and f_backward(grad, x, *parameters), linear in grad. Their Jacobians are diagonal, so
# that both modes have the same rules. One that the tables do not name has first derivatives by x and no others.


def _of_value(factor: Callable[..., Any]) -> Rule:
    @_quiet
    def rule(h: Any, ans: Any, *given: Any) -> Any:
        return h * factor(_functions, *map(_wide, given))

    return rule


def _of_slope(factor: Callable[..., Any] | None) -> Rule:
    if factor is None:
        return _zero

    @_quiet
    def rule(h: Any, ans: Any, grad: Any, *given: Any) -> Any:
        return _wide(h) * grad * factor(_functions, *map(_wide, given))

    return rule


def _primitive_of(f: np.ufunc, function: Callable[..., Any]) -> Callable[..., Any]:
    """What boxes call in place of a ufunc: the function in front of it, which rounds numbers to the type of x."""
    value: Callable[..., Any] = primitive(function)
    trace_primitives_map[f] = value
    return value


def _define_activation(row: dict[str, Any], f: np.ufunc, backward: np.ufunc) -> None:
    name, inputs, functions = row["name"], row["forward_inputs"], _core.functions()
    slope = functions.get(f"{name}_backward", backward)
    takes_y = row["backward_inputs"][1] == "y"
    rules: dict[int, Rule] = {0: lambda h, ans, x, *parameters: slope(h, ans if takes_y else x, *parameters)}
    slopes: dict[int, Rule] = {0: lambda h, ans, grad, *given: slope(h, *given)}
    if name in SECOND:
        slopes[1] = _of_slope(SECOND[name])
    for i, parameter in enumerate(inputs[1:], 1):
        if (name, parameter) in BY_PARAMETER:
            by_parameter, slope_by_parameter = BY_PARAMETER[name, parameter]
            rules[i], slopes[i + 1] = _of_value(by_parameter), _of_slope(slope_by_parameter)
    _define(_primitive_of(f, functions.get(name, f)), name, inputs, rules, rules)
    _define(_primitive_of(backward, slope), f"{name}_backward", row["backward_inputs"], slopes, slopes)


def _define_gated(row: dict[str, Any], f: np.ufunc, backward: np.ufunc) -> None:
    """Of ``f(gate, up) = a(gate) up``, whose backward function gives ``grad up a'(gate)`` and ``grad a(gate)``."""
    name, inputs, gated = row["name"], row["forward_inputs"], primitive(f)

    def vjp(argnums: Sequence[int], ans: Any, given: Sequence[Any], keywords: dict[str, Any]) -> Callable[[Any], Any]:
        """Both gradients in one pass."""
        _check(name, keywords, ())

        def products(h: Any) -> Any:
            grads = backward(h, *given)
            return tuple(_like(given[i], grads[i]) for i in argnums)

        return products

    def slope(grad: Any, gate: Any) -> Any:
        return backward(grad, gate, 1.0)[0]

    tangents: Rules = {0: lambda h, ans, gate, up: backward(h, gate, up)[0], 1: lambda h, ans, gate, up: f(gate, h)}
    vjps: dict[int, Rule] = {
        0: lambda h, ans, grad, gate, up: backward(h[0], gate, up)[0] + f(gate, h[1]),
        2: lambda h, ans, grad, gate, up: slope(h[0] * grad, gate),
    }
    jvps: dict[int, Rule] = {
        0: lambda h, ans, grad, gate, up: backward(h, gate, up),
        2: lambda h, ans, grad, gate, up: (slope(h * grad, gate), _zero(h, ans[1])),
    }
    if name in SECOND:
        curve = _of_slope(SECOND[name])
        vjps[1] = lambda h, ans, grad, gate, up: curve(h[0] * up, ans[0], grad, gate) + slope(h[1] * grad, gate)
        jvps[1] = lambda h, ans, grad, gate, up: (curve(h * up, ans[0], grad, gate), slope(h * grad, gate))
    _define(gated, name, inputs, {}, tangents)
    defvjp_argnums(gated, vjp)
    _define(primitive(backward), name + "_backward", row["backward_inputs"], vjps, jvps)


# Rows: the operands of a function of _core, and its options by name.


def _of_rows(a: Any, shape: tuple[int, ...], axis: Any, *, keepdims: bool) -> Any:
    """A number of each row of an array of that shape, with the axes of the rows or without."""
    axes = normalize_axis_tuple(range(len(shape)) if axis is None else axis, len(shape))
    batch = tuple(n for i, n in enumerate(shape) if i not in axes)
    if anp.size(a) != math.prod(batch):
        a = a * np.ones(batch, anp.result_type(a))
    return anp.reshape(a, tuple(1 if i in axes else n for i, n in enumerate(shape)) if keepdims else batch)


def _only(where: Any, a: Any, like: Any) -> Any:
    """`a` in the shape of another array, and 0 for what `where` leaves out."""
    shape, dtype = anp.shape(like), anp.result_type(a)
    if where is not None:
        return anp.where(np.broadcast_to(where, shape), a, np.zeros((), dtype))
    return a if anp.shape(a) == shape else a * np.ones(shape, dtype)


def _softmax(h: Any, y: Any, x: Any, *, axis: Any, scale: float, where: Any, **_: Any) -> Any:
    return nl.softmax_backward(h, y, axis, scale=scale, where=where)


def _log_softmax(h: Any, y: Any, x: Any, *, axis: Any, scale: float, where: Any, **_: Any) -> Any:
    return nl.log_softmax_backward(h, y, axis, scale=scale, where=where)


@_quiet
def _log_softmax_tangent(h: Any, y: Any, x: Any, *, axis: Any, scale: float, where: Any, **_: Any) -> Any:
    """``h - sum(h exp(y))``."""
    h = _only(where, h, y)
    return _only(where, scale * (h - _total(h * anp.exp(y), axis)), y)


def _logsumexp(h: Any, ans: Any, x: Any, *, axis: Any, where: Any, **_: Any) -> Any:
    return nl.logsumexp_backward(_of_rows(h, anp.shape(x), axis, keepdims=False), x, axis, where=where)


@_quiet
def _logsumexp_tangent(h: Any, ans: Any, x: Any, *, axis: Any, where: Any, keepdims: bool = False, **_: Any) -> Any:
    return anp.sum(_only(where, h, x) * nl.softmax(x, axis, where=where), axis=axis, keepdims=keepdims)


def _share(ans: Any, x: Any, b: Any, axis: Any, where: Any) -> Any:
    """``exp(x) / sum(b exp(x))``, the derivative of ``log(abs(sum(b exp(x))))`` by b."""
    shape = np.broadcast_shapes(anp.shape(x), anp.shape(b))
    log, sign = (_of_rows(a, shape, axis, keepdims=True) for a in (ans[0], getval(ans)[1]))
    share = sign * anp.exp(x - log)
    return _only(where, share, share)


def _share_times_b(ans: Any, x: Any, b: Any, axis: Any, where: Any) -> Any:
    return anp.where(anp.equal(b, 0), 0.0, b * _share(ans, x, b, axis, where))


def _signed(slope_of: Callable[..., Any]) -> tuple[Rule, Rule]:
    """Rules for both modes; the sign has no derivative."""

    @_quiet
    def vjp(h: Any, ans: Any, x: Any, b: Any, *, axis: Any, where: Any, **_: Any) -> Any:
        slope = slope_of(ans, x, b, axis, where)
        return _of_rows(h[0], anp.shape(slope), axis, keepdims=True) * slope

    @_quiet
    def jvp(h: Any, ans: Any, x: Any, b: Any, *, axis: Any, where: Any, keepdims: bool = False, **_: Any) -> Any:
        return anp.sum(h * slope_of(ans, x, b, axis, where), axis=axis, keepdims=keepdims), _zero(h, ans[1])

    return vjp, jvp


# The gradients of rows, which are linear in grad.


@_quiet
def _softmax_slope(h: Any, ans: Any, grad: Any, y: Any, *, axis: Any, scale: float, where: Any, **_: Any) -> Any:
    """By y: ``h (grad - sum(grad y)) - grad sum(h y)``."""
    h, grad, y = (_only(where, a, ans) for a in (h, grad, y))
    return scale * (h * (grad - _total(grad * y, axis)) - grad * _total(h * y, axis))


@_quiet
def _softmax_slope_tangent(h: Any, ans: Any, grad: Any, y: Any, *, axis: Any, scale: float, where: Any, **_: Any) -> Any:
    h, grad, y = (_only(where, a, ans) for a in (h, grad, y))
    return scale * (h * (grad - _total(grad * y, axis)) - y * _total(h * grad, axis))


@_quiet
def _log_softmax_slope(h: Any, ans: Any, grad: Any, y: Any, *, axis: Any, scale: float, where: Any, **_: Any) -> Any:
    """By y: ``-h exp(y) sum(grad)``."""
    h, grad = (_only(where, a, ans) for a in (h, grad))
    return -scale * h * anp.exp(y) * _total(grad, axis)


def _logsumexp_slope(h: Any, ans: Any, grad: Any, x: Any, *, axis: Any, where: Any, **_: Any) -> Any:
    grad = _of_rows(grad, anp.shape(ans), axis, keepdims=True)
    return nl.softmax_backward(grad * h, nl.softmax(x, axis, where=where), axis, where=where)


_signed_by_x, _signed_by_b = _signed(_share_times_b), _signed(_share)


def _by_grad_of_y(rule: Rule) -> Rule:
    """A rule of f as one of f_backward by grad, which is linear in it."""
    return lambda h, ans, grad, y, **options: rule(h, _only(None, y, ans), None, **options)


def _by_grad_of_x(rule: Rule) -> Rule:
    return lambda h, ans, grad, x, **options: rule(h, ans, x, **options)


# Names of the operands, rules of the reverse and of the forward mode.
_ROWS: dict[str, tuple[Sequence[str], Rules, Rules]] = {
    "softmax": (["x"], {0: _softmax}, {0: _softmax}),
    "log_softmax": (["x"], {0: _log_softmax}, {0: _log_softmax_tangent}),
    "logsumexp": (["x"], {0: _logsumexp}, {0: _logsumexp_tangent}),
    "logsumexp_signed": (["x", "b"], {0: _signed_by_x[0], 1: _signed_by_b[0]}, {0: _signed_by_x[1], 1: _signed_by_b[1]}),
    "softmax_backward": (
        ["grad", "y"],
        {0: _by_grad_of_y(_softmax), 1: _softmax_slope},
        {0: _by_grad_of_y(_softmax), 1: _softmax_slope_tangent},
    ),
    "log_softmax_backward": (
        ["grad", "y"],
        {0: _by_grad_of_y(_log_softmax_tangent), 1: _log_softmax_slope},
        {0: _by_grad_of_y(_log_softmax), 1: _log_softmax_slope},
    ),
    "logsumexp_backward": (
        ["grad", "x"],
        {0: _by_grad_of_x(_logsumexp_tangent), 1: _logsumexp_slope},
        {0: _by_grad_of_x(_logsumexp), 1: _logsumexp_slope},
    ),
}


# Losses: both operands, and the options by name. Hessians are symmetric, so that both modes have the same rule.


def _of_hessian(hessian: Callable[..., Any] | None, place: int) -> Rule:
    if hessian is None:
        return _zero

    @_quiet
    def product(h: Any, ans: Any, grad: Any, *operands: Any, **options: Any) -> Any:
        given = [_wide(a) if i == place else a for i, a in enumerate(operands)]
        if "axis" in options and options["reduction"] == "none":
            grad = _of_rows(grad, anp.shape(ans), options["axis"], keepdims=True)
        return grad * hessian(_functions, _wide(h), *given, **options)

    return product


def _define_loss(row: dict[str, Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Primitives of a loss and its gradient.

    `known` is what a pass over the operands gave already: the loss, and its gradient for whom it serves, once.
    """
    name, arguments = row["name"], row["arguments"]
    place = arguments.index(row["operand"])
    loss, backward = getattr(_core, name), getattr(_core, name + "_backward")

    def value_of(*operands: Any, known: Sequence[Any], **options: Any) -> Any:
        return known[0] if known else loss(*operands, **options)

    value_of.__name__ = name
    value: Callable[..., Any] = primitive(value_of)
    gradient: Callable[..., Any] = primitive(backward)

    def by_operand(h: Any, ans: Any, *operands: Any, known: list[Any], **options: Any) -> Any:
        made = known.pop() if len(known) == 2 else None
        if made is not None and not isbox(operands[place]) and not isbox(h) and h == 1:
            return made
        del made  # its memory may serve the other gradient
        return gradient(h, *operands, **options)

    @_quiet
    def inner(h: Any, ans: Any, *operands: Any, known: Sequence[Any] = (), **options: Any) -> Any:
        """The product with the gradient, summed as the losses are."""
        product = _wide(h) * _wide(gradient(1.0, *operands, **options))
        if options["reduction"] != "none":
            return anp.sum(product)
        return anp.sum(product, axis=options["axis"]) if "axis" in options else product

    vjps: dict[int, Rule] = {0: lambda h, ans, grad, *operands, **options: inner(h, ans, *operands, **options)}
    jvps: dict[int, Rule] = {0: lambda h, ans, grad, *operands, **options: gradient(h, *operands, **options)}
    if name in HESSIANS:
        vjps[1 + place] = jvps[1 + place] = _of_hessian(HESSIANS[name], place)
    _define(value, name, arguments, {place: by_operand}, {place: inner}, [*row["options"], "known"])
    _define(gradient, f"{name}_backward", ["grad", *arguments], vjps, jvps, row["options"])
    return value, gradient


# The loss of a linear layer, whose gradients are made in the forward pass, while there are logits.


def _linear_value(x: Any, weight: Any, targets: Any, bias: Any, *, known: Any, **options: Any) -> Any:
    return known[0] if known else nl.linear_cross_entropy(x, weight, targets, bias=bias, **options)


_linear_value.__name__ = "linear_cross_entropy"
_linear: Callable[..., Any] = primitive(_linear_value)


def _linear_gradients(h: Any, given: Sequence[Any], known: Any, options: dict[str, Any]) -> dict[int, Any]:
    if any(map(isbox, given)):
        raise TypeError(
            "linear_cross_entropy has first derivatives in nonlin.autograd and no second ones; "
            "cross_entropy(x @ weight.T + bias, targets) has them"
        )
    x, weight, targets, bias = given
    if known:
        grads = tuple(None if grad is None else h * grad for grad in known[1])
    else:
        grads = nl.linear_cross_entropy_backward(h, x, weight, targets, bias=bias, **options)
    return dict(zip((0, 1, 3), grads, strict=True))


def _linear_vjp(argnums: Sequence[int], ans: Any, given: Sequence[Any], options: dict[str, Any]) -> Callable[[Any], Any]:
    known = options["known"]
    others = {name: value for name, value in options.items() if name != "known"}

    def products(h: Any) -> Any:
        grads = _linear_gradients(h, given, known, others)
        return tuple(_like(given[i], grads[i]) for i in argnums)

    return products


def _linear_jvp(i: int, h: Any, ans: Any, given: Sequence[Any], options: dict[str, Any]) -> Any:
    if not options["known"]:
        raise TypeError("reduction is 'none'; the forward mode of linear_cross_entropy takes 'mean' or 'sum'")
    return _like(ans, anp.sum(h * _linear_gradients(1.0, given, options["known"], {})[i]))


# Calls with boxes, which nonlin's functions hand on, by name.

_CALLS: dict[str, Callable[[list[Any], dict[str, Any]], Any]] = {}


def _engine(name: str, operands: dict[str, Any], options: dict[str, Any]) -> Any:
    """Compute a row function or a loss that has a box among its arguments."""
    if options.get("out") is not None:
        raise TypeError(f"out is given to {name}, which has no derivatives with that argument")
    if name not in _CALLS:
        raise TypeError(f"{name} has no derivatives in nonlin.autograd; it takes values that are not differentiated by")
    return _CALLS[name](list(operands.values()), {o: value for o, value in options.items() if o != "out"})


def _check_boxes(
    name: str, arguments: Sequence[str], places: Sequence[int], given: list[Any], options: dict[str, Any]
) -> None:
    """Raise for a box among the arguments that a loss is not differentiated by."""
    taken = [arguments[i] for i in places]
    for argument, value in [*zip(arguments, given, strict=True), *options.items()]:
        if isbox(value) and argument not in taken:
            raise TypeError(f"nonlin.autograd has no derivative of {name} by {argument}, only by {' and '.join(taken)}")


def _add_rows(name: str, arguments: Sequence[str], vjps: Rules, jvps: Rules) -> None:
    function = getattr(_core, name)

    def value(*operands: Any, axis: Any, scale: Any, where: Any, **keepdims: bool) -> Any:
        return function(*operands, axis, scale, where, None, *keepdims.values())

    value.__name__ = name
    of_rows: Callable[..., Any] = primitive(value)

    def call(operands: list[Any], options: dict[str, Any]) -> Any:
        scale, where = options["scale"], getval(options["where"])
        if isbox(scale):
            operands[-1], scale = operands[-1] * scale, 1.0
        result = of_rows(*operands, **(options | {"scale": scale, "where": where}))
        return (result[0], getval(result)[1]) if name == "logsumexp_signed" else result

    _define(of_rows, name, arguments, vjps, jvps, ["axis", "scale", "where", "keepdims"])
    _CALLS[name] = call


def _add_loss(row: dict[str, Any]) -> None:
    name, arguments = row["name"], row["arguments"]
    place = arguments.index(row["operand"])
    value, gradient = _define_loss(row)

    def call(operands: list[Any], options: dict[str, Any]) -> Any:
        _check_boxes(name, arguments, [place], operands, options)
        known = []
        if row["with_grad"] and options["reduction"] != "none":  # in one pass, as this is what comes next
            known = list(getattr(_core, name + "_with_grad")(*map(getval, operands), **options))
        return value(*operands, known=known, **options)

    def call_backward(operands: list[Any], options: dict[str, Any]) -> Any:
        _check_boxes(f"{name}_backward", ["grad", *arguments], [0, 1 + place], operands, options)
        return gradient(*operands, **options)

    def call_with_grad(operands: list[Any], options: dict[str, Any]) -> Any:
        _check_boxes(f"{name}_with_grad", arguments, [place], operands, options)
        return value(*operands, known=[], **options), gradient(1.0, *operands, **options)

    _CALLS.update({name: call, f"{name}_backward": call_backward, f"{name}_with_grad": call_with_grad})


def _call_linear(operands: list[Any], options: dict[str, Any]) -> Any:
    _check_boxes("linear_cross_entropy", ["x", "weight", "targets", "bias"], [0, 1, 3], operands, options)
    known = None
    if options["reduction"] != "none":
        x, weight, targets, bias = map(getval, operands)
        known = nl.linear_cross_entropy_with_grad(x, weight, targets, bias=bias, **options)
    return _linear(*operands, known=known, **options)


def _register() -> None:
    for row in _core.activations():
        define = _define_activation if row["backward_outputs"] == 1 else _define_gated
        define(row, getattr(_core, row["name"]), getattr(_core, row["name"] + "_backward"))
    for name, rules in _ROWS.items():
        _add_rows(name, *rules)
    for row in LOSSES.values():
        _add_loss(row)
    defvjp_argnums(_linear, _linear_vjp)
    defjvp_argnum(_linear, _linear_jvp)
    _CALLS["linear_cross_entropy"] = _call_linear
    if "ml_dtypes" in sys.modules:  # nonlin imports it where it is installed; autograd does not know its numbers
        number = sys.modules["ml_dtypes"].bfloat16
        ArrayBox.register(number)
        ArrayVSpace.register(number)
    _others.register(ArrayBox, _engine)


_register()
