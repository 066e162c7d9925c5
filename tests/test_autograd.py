"""nonlin's functions under HIPS autograd: autograd's own checks over the tables, and the bits of nonlin's own gradients."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

import nonlin as nl
from nonlin import _core

from .fresh import printed
from .loss_cases import REDUCTIONS, all_dtypes, all_losses, by_name, describe
from .oracle import (
    BACKWARD,
    EXACT,
    FORWARD,
    FUNCTIONS,
    GATES,
    LOSSES,
    Function,
    Loss,
    as_tuple,
    assert_same_bits,
    special_values,
)

pytest.importorskip("autograd")

import autograd.numpy as anp
from autograd import elementwise_grad, grad, hessian, make_jvp, make_vjp
from autograd.builtins import tuple as boxed_tuple
from autograd.test_util import check_grads

import nonlin.autograd as engine
from nonlin._derivatives import BY_PARAMETER, HESSIANS, SECOND

all_forward = pytest.mark.parametrize("f", FORWARD, ids=lambda f: f.name)
all_rows = pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
KINKS = [-3, -1, 0, 1, 3, 6]
MASK = np.array([[1, 1, 0, 1], [1, 1, 1, 1], [0, 1, 1, 0]], bool)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """For the directions of check_grads."""
    np.random.seed(20)  # noqa: NPY002


def backward_of(f: Function) -> Function:
    return FUNCTIONS[f"{f.name}_backward"]


def has_second(f: Function) -> bool:
    """Whether there is a rule for the second derivative; a new activation may have none."""
    return f.activation in SECOND


def has_rules(f: Function) -> bool:
    """Whether there are rules for the parameters, if there are any."""
    return all((f.activation, name) in BY_PARAMETER for name in f.parameters)


def places(f: Function, count: int) -> tuple[int, ...]:
    """The arguments that a function is differentiated by, of so many."""
    return tuple(range(count if has_rules(f) else count - len(f.parameters)))


def parameters_of(f: Function) -> list[np.ndarray]:
    """Other than the defaults, and an array, so that they broadcast."""
    return [value * np.array([[1.1], [0.9], [1.2]]) for value in f.parameters.values()]


def points_of(f: Function, rng: np.random.Generator, parameters: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Arguments of a forward or backward function, x at some distance of every kink."""
    x, *others = rng.standard_normal((3, 3, 4))
    x *= 3
    kinks = [*KINKS, *parameters]
    if f.activation == "hard_sigmoid":
        slope, offset = parameters
        kinks += [-offset / slope, (1 - offset) / slope]
    for _ in range(20):
        x += 0.1 * np.any([np.abs(x - kink) < 0.05 for kink in kinks], axis=0)
    if "y" in f.inputs:
        x = np.abs(np.tanh(x))
    return f.arguments(x, *others)


def rows_of(name: str, where: Any) -> Callable[..., Any]:
    """A row function, with 0 in place of log_softmax's -inf, which differences cannot take."""
    f = getattr(nl, name)
    if where is None or name != "log_softmax":
        return f
    return lambda x, axis, **options: anp.where(where, f(x, axis, **options), 0.0)


def options_of_rows() -> list[tuple[Any, Any]]:
    return list(itertools.product([-1, 0, (0, 1), None], [None, MASK]))


# autograd's own checks, of both modes


@all_forward
def test_activations(f: Function, rng: np.random.Generator) -> None:
    """By all arguments at once, parameters included: first and second derivatives, those by two of them too."""
    parameters = parameters_of(f)
    arguments = [*points_of(f, rng, parameters), *parameters]
    check_grads(f.public, places(f, len(arguments)), order=2 if has_second(f) else 1)(*arguments)
    if len(parameters) == 1 and has_rules(f):  # a number by itself
        check_grads(lambda x, p: f.public(x, **{next(iter(f.parameters)): p}), (0, 1))(
            arguments[0], float(parameters[0][0, 0])
        )


@pytest.mark.parametrize("f", BACKWARD, ids=lambda f: f.name)
def test_gradients_of_activations(f: Function, rng: np.random.Generator) -> None:
    """As functions of their own, with an upstream gradient that broadcasts."""
    parameters = parameters_of(f)
    _, *others = points_of(f, rng, parameters)
    arguments = [rng.standard_normal(4), *others, *parameters]
    check_grads(f.public, places(f, len(arguments)) if has_second(f) else 0, order=1)(*arguments)


@all_rows
@pytest.mark.parametrize("scale", [1, 0.7])
@pytest.mark.parametrize(("axis", "where"), options_of_rows())
def test_rows(name: str, axis: Any, where: Any, scale: float, rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 4))
    f = rows_of(name, where)
    given = {"where": where} | ({} if name == "logsumexp" else {"scale": scale})
    check_grads(lambda x: f(x, axis, **given))(x)
    backward = getattr(nl, f"{name}_backward")
    y = x if name == "logsumexp" else getattr(nl, name)(x, axis, scale=scale)
    check_grads(lambda g, y: backward(g, y, axis, **given), (0, 1), order=1)(np.asarray(f(x, axis, **given)), y)
    if name == "logsumexp":
        check_grads(lambda x: f(x, axis, keepdims=True, **given))(x)


@pytest.mark.parametrize(("axis", "where"), options_of_rows())
def test_factors_of_logsumexp(axis: Any, where: Any, rng: np.random.Generator) -> None:
    x, b = rng.standard_normal((3, 4)), rng.uniform(0.1, 1, 4)
    check_grads(lambda x, b: nl.logsumexp(x, axis, b=b, where=where), (0, 1))(x, b)
    signs = np.array([[1], [-1], [-0.1]])
    check_grads(lambda x, b: nl.logsumexp(x, axis, b=b, where=where, return_sign=True, keepdims=True)[0], (0, 1))(
        x, b * signs
    )


def test_a_factor_of_0_leaves_out() -> None:
    x, b = np.array([1.0, np.inf, 2.0]), np.array([1.0, 0.0, 1.0])
    assert_same_bits(grad(lambda x: nl.logsumexp(x, b=b))(x)[1], 0.0)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_scale_that_is_learned(name: str, rng: np.random.Generator) -> None:
    x, f = rng.standard_normal((3, 4)), getattr(nl, name)
    check_grads(lambda x, scale: f(x, 0, scale=scale), (0, 1))(x, 0.7)
    check_grads(lambda scale: f(x, 0, scale=scale))(0.7)  # of which x knows nothing


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("loss", "chosen"),
    [(f, c) for f in LOSSES for c in f.choices() if len(c) < 2 or len(c) >= len(f.choices()[-1]) - 1],
    ids=describe,
)
def test_losses(loss: Loss, chosen: tuple[str, ...], reduction: str, rng: np.random.Generator) -> None:
    """Second derivatives too, with each option alone, with all of them, and with all but one."""
    f, backward, *_ = loss.functions()
    for shape, axis in [((4, 5), -1), ((5, 2), 0)][: 2 if loss.by_rows else 1]:
        given = loss.problem(rng, shape, axis)
        o = {**loss.keywords(rng, shape, axis, chosen), "reduction": reduction}
        x = given[loss.operand]
        if loss.arguments[loss.operand] in ("probs", "q"):
            x = 0.1 + 0.8 * x  # the logarithm is too steep near 0 for differences

        def operands(x: Any, given: list[Any] = given) -> list[Any]:
            return [x if i == loss.operand else a for i, a in enumerate(given)]

        def gradient(by: Any, x: Any, o: dict[str, Any] = o) -> Any:
            return backward(by, *operands(x), **o)

        has_hessian = loss.name in HESSIANS
        check_grads(lambda x, o=o: f(*operands(x), **o), order=2 if has_hessian else 1)(x)
        upstream = rng.standard_normal(loss.losses_shape(shape, axis) if reduction == "none" else ())
        check_grads(gradient, (0, 1) if has_hessian else 0, order=1)(upstream, x)


@pytest.mark.parametrize("loss", [f for f in LOSSES if f.name in HESSIANS], ids=str)
def test_hessians_of_losses(loss: Loss, rng: np.random.Generator) -> None:
    """Gradients of gradients of the loss alone, whose first gradient one pass makes."""
    f, backward, *_ = loss.functions()
    given = loss.problem(rng, (3, 2))
    x = given[loss.operand]
    if loss.arguments[loss.operand] in ("probs", "q"):
        x = 0.1 + 0.8 * x

    def operands(x: Any) -> list[Any]:
        return [x if i == loss.operand else a for i, a in enumerate(given)]

    step = 1e-6 * np.eye(6).reshape(6, 3, 2)
    differences = [(backward(1.0, *operands(x + e)) - backward(1.0, *operands(x - e))) / 2e-6 for e in step]
    got = hessian(lambda x: f(*operands(x)))(x).reshape(6, 3, 2)
    np.testing.assert_allclose(got, differences, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("bias", [False, True])
def test_linear_cross_entropy(bias: bool, reduction: str, rng: np.random.Generator) -> None:
    given = [rng.standard_normal(shape) for shape in ((3, 2), (5, 2), (5,))][: 2 + bias]
    options = {"class_weight": rng.uniform(0.5, 2, 5), "label_smoothing": 0.1, "z_loss": 0.01, "reduction": reduction}

    def f(x: Any, weight: Any, bias: Any = None) -> Any:
        return nl.linear_cross_entropy(x, weight, [0, 4, -100], bias=bias, **options)

    modes = ["rev"] if reduction == "none" else ["fwd", "rev"]
    check_grads(f, tuple(range(len(given))), order=1, modes=modes)(*given)
    upstream = rng.standard_normal(3) if reduction == "none" else 2.0
    expected = nl.linear_cross_entropy_backward(
        upstream, *given[:2], [0, 4, -100], bias=given[2] if bias else None, **options
    )
    for got, exact in zip(make_vjp(f, tuple(range(len(given))))(*given)[0](upstream), expected, strict=False):
        np.testing.assert_allclose(got, exact, rtol=1e-14)


# The bits of nonlin's own functions, in every type


@all_dtypes
@all_forward
def test_bits_of_activations(f: Function, dtype: Any, rng: np.random.Generator) -> None:
    """Loss and gradient, broadcast and with a parameter of a wider type, which widens nothing."""
    arguments = f.points(rng, (3, 4), dtype)
    by = rng.standard_normal((3, 4)).astype(dtype)
    backward = backward_of(f).public
    for parameters in ({}, {name: np.float64(1.1 * value) for name, value in f.parameters.items()}):
        names = list(parameters)

        def call(*given: Any, names: list[str] = names) -> Any:
            return f.public(*given[: len(arguments)], **dict(zip(names, given[len(arguments) :], strict=True)))

        everything = (*arguments, *parameters.values())
        y = f.public(*arguments, **parameters)
        slopes = as_tuple(backward(by, *((y,) if "y" in backward_of(f).inputs else arguments), **parameters))
        for i in places(f, len(everything)):
            vjp, value = make_vjp(call, i)(*everything)
            assert_same_bits(value, y)
            if i < len(arguments):
                assert_same_bits(vjp(by), slopes[i])
        tangent = make_jvp(lambda x: call(x, *arguments[1:], *parameters.values()))(arguments[0])(by)[1]  # noqa: B023
        assert_same_bits(tangent, slopes[0])


@all_dtypes
@all_rows
def test_bits_of_rows(name: str, dtype: Any, rng: np.random.Generator) -> None:
    f, backward = getattr(nl, name), getattr(nl, f"{name}_backward")
    x = rng.standard_normal((3, 4)).astype(dtype)
    for (axis, where), scale in itertools.product(options_of_rows(), [1, 0.7]):
        o = {"axis": axis, "where": where} | ({} if name == "logsumexp" else {"scale": scale})
        vjp, y = make_vjp(lambda x, o=o: f(x, **o))(np.array(x))
        assert_same_bits(y, f(x, **o))
        by = np.asarray(rng.standard_normal(np.shape(y))).astype(dtype)
        assert_same_bits(vjp(by), backward(by, x if name == "logsumexp" else y, **o))


@all_dtypes
@all_losses
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_bits_of_losses(loss: Loss, reduction: str, dtype: Any, rng: np.random.Generator) -> None:
    """With the gradient of the loss itself, which one pass makes, and any other."""
    f, backward, *_ = loss.functions()
    o = {**loss.keywords(rng, (4, 5), -1, loss.choices()[-1]), "reduction": reduction}
    given = loss.problem(rng, (4, 5), -1, dtype)
    value = f(*given, **o)
    for by in (np.ones_like(value), rng.standard_normal(np.shape(value)).astype(value.dtype)):
        vjp, y = make_vjp(lambda *given: f(*given, **o), loss.operand)(*given)
        assert_same_bits(y, value)
        for _ in range(2):  # the second time, what was made in one pass is not there any more
            first = vjp(by)
            assert_same_bits(first, backward(by, *given, **o))
            first[...] = 0


@pytest.mark.parametrize("loss", [f for f in LOSSES if f.with_grad and f.name in HESSIANS], ids=str)
def test_losses_with_their_gradients(loss: Loss, rng: np.random.Generator) -> None:
    both = loss.functions()[2]
    given = loss.problem(rng, (4, 5))
    vjp, (value, slope) = make_vjp(lambda *given: boxed_tuple(both(*given)), loss.operand)(*given)
    assert_same_bits((value, slope), both(*given))
    by = rng.standard_normal(slope.shape)
    product = make_vjp(lambda *given: loss.functions()[1](1.0, *given), loss.operand)(*given)[0](by)
    np.testing.assert_allclose(vjp((1.0, by)), slope + product, rtol=1e-12)


# Digits of second derivatives, and special values

POINTS = [
    -300,
    -88.1,
    -20.3,
    -7.3,
    -3.7,
    -2.3,
    -1.31,
    -0.51,
    -0.013,
    -1e-6,
    1e-6,
    0.013,
    0.51,
    1.31,
    2.3,
    3.7,
    7.3,
    20.3,
    88.1,
]


@pytest.mark.parametrize("f", [f for f in FORWARD if f.name in EXACT and has_second(f)], ids=lambda f: f.name)
def test_digits_of_second_derivatives(f: Function) -> None:
    """As many units are lost as the rounded argument of an exponential has. From y near 1 all are."""
    x = np.array(POINTS)
    parameters = {name: 1.1 * value for name, value in f.parameters.items()}
    exact_parameters = [mpf(value) for value in parameters.values()]
    takes_y = "y" in backward_of(f).inputs
    eps, atol = 2.0**-52, 4 * 2.0**-52 if takes_y else 1e-300
    arguments: dict[str, Callable[[float], float]] = {
        "gelu": lambda x: x * x / 2,
        "gelu_tanh": lambda x: 3.2 * (x + 0.0447 * x**3),  # a cubic, with roundings of its own
    }

    def check(got: Any, exact: list[Any], more: float = 0.0) -> None:
        for value, g, e in zip(POINTS, got, exact, strict=True):
            units = 24 + arguments.get(f.name, abs)(abs(value))
            assert abs(g - float(e)) <= eps * units * abs(float(e)) + atol + more, (value, g, e)

    slope = EXACT[f.name] if takes_y else EXACT[f"{f.name}_backward"]
    with mp.workdps(400):
        exact = [
            mp.diff(lambda t: slope(t, *exact_parameters), mpf(v), 2 if takes_y else 1, h=mpf(10) ** -150) for v in POINTS
        ]
    check(elementwise_grad(elementwise_grad(lambda x: f.public(x, **parameters)))(x), exact)
    for i in range(len(parameters) if has_rules(f) else 0):
        given = [np.full(x.shape, value) for value in parameters.values()]
        got = elementwise_grad(lambda *p: f.public(x, **dict(zip(parameters, p, strict=True))), i)(*given)

        def of_parameter(x: float, p: Any, i: int = i) -> Any:
            return EXACT[f.name](mpf(x), *(p if k == i else v for k, v in enumerate(exact_parameters)))

        with mp.workdps(400):
            exact = [mp.diff(lambda p, v=v: of_parameter(v, p), exact_parameters[i], h=mpf(10) ** -150) for v in POINTS]
        check(got, exact, more=eps * 1e-2 if f.name == "celu" else 0.0)  # near 0 its terms cancel


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("f", [f for f in FORWARD if has_second(f)], ids=lambda f: f.name)
def test_second_derivatives_of_special_values(f: Function, dtype: Any) -> None:
    """They are finite everywhere, infinities included, and no warning leaks."""
    x = special_values(dtype)
    up = [np.ones_like(x)] if "up" in f.inputs else []
    second = elementwise_grad(elementwise_grad(lambda x: f.public(x, *up)))(x)
    assert second.dtype == dtype
    assert np.isfinite(second).all()
    for i, value in enumerate(f.parameters.values() if has_rules(f) else ()):
        given = [np.full_like(x, v) for v in f.parameters.values()]
        by = elementwise_grad(lambda *p: f.public(x, *p), i)(*given)
        assert by.dtype == dtype
        assert not np.isnan(by).any(), value


def test_rows_that_do_not_count_have_no_second_derivatives() -> None:
    x = np.array([[1.0, 2.0], [np.nan, np.inf]])
    h = np.ones((2, 2))
    for loss in (nl.cross_entropy, nl.focal_loss):
        _, product = make_jvp(lambda x, loss=loss: grad(lambda x: loss(x, [0, -100]))(x))(x)(h)
        assert np.isfinite(product).all()
        assert_same_bits(product[1], np.zeros(2))
    assert np.isfinite(hessian(lambda p: nl.categorical_cross_entropy(p, [1.0, 0.0]))(np.array([1.0, 0.0]))).all()


def test_second_derivatives_that_overflow_16_bits() -> None:
    """They are infinite, and no warning leaks."""
    p = np.array([1e-3, 0.999], np.float16)
    product = make_jvp(grad(lambda p: nl.categorical_cross_entropy(p, 0)))(p)(-np.ones_like(p))[1]
    assert_same_bits(product, np.array([-np.inf, 0.0], np.float16))


def test_results_depend_on_nothing_that_is_not_differentiated(rng: np.random.Generator) -> None:
    """Plain arrays still go the direct way, and gradients of gradients are symmetric."""
    x = rng.standard_normal((2, 3))
    assert type(nl.softmax(x)) is np.ndarray
    h = hessian(lambda x: nl.cross_entropy(x, [0, 2], label_smoothing=0.1))(x).reshape(6, 6)
    np.testing.assert_allclose(h, h.T, rtol=1e-13, atol=1e-17)
    third = grad(grad(grad(nl.silu)))(0.3)
    differences = (grad(grad(nl.silu))(0.3 + 1e-6) - grad(grad(nl.silu))(0.3 - 1e-6)) / 2e-6
    assert third == pytest.approx(differences, rel=1e-8)


# What has no derivative


def test_a_new_activation_has_first_derivatives(rng: np.random.Generator) -> None:
    """One that is in no table of rules."""
    ufuncs = _core.ufuncs_of(nl.simd_target())
    rows = {row["name"]: row for row in _core.activations()}
    x = rng.standard_normal(5)
    for name, define in (("silu", engine._define_activation), ("swiglu", engine._define_gated)):
        f = ufuncs[name]
        assert f is not getattr(_core, name)
        up = [x[::-1]] if "up" in rows[name]["forward_inputs"] else []
        define(rows[name] | {"name": "latest"}, f, ufuncs[f"{name}_backward"])
        check_grads(lambda x, f=f, up=up: f(x, *up), order=1)(x)
        with pytest.raises(TypeError, match=r"no derivative of latest_backward by (x|gate), only by grad"):
            elementwise_grad(elementwise_grad(lambda x, f=f, up=up: f(x, *up)))(x)
    latest = rows["softplus"] | {"name": "latest"}
    engine._define_activation(latest, ufuncs["softplus"], ufuncs["softplus_backward"])
    with pytest.raises(TypeError, match="no derivative of latest by beta, only by x"):
        grad(lambda beta: ufuncs["softplus"](1.0, beta))(1.0)


X = np.arange(6.0).reshape(2, 3)
REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "targets": (lambda y: nl.cross_entropy(X, y), "cross_entropy by targets, only by logits"),
    "p": (lambda p: nl.kl_divergence(p, X), "kl_divergence by p, only by q"),
    "sample_weight": (lambda w: nl.cross_entropy(X, [0, 1], sample_weight=w[:, 0]), "cross_entropy by sample_weight"),
    "backward": (lambda y: nl.cross_entropy_backward(1.0, X, y), "by targets, only by grad and logits"),
    "with_grad": (lambda y: nl.cross_entropy_with_grad(X, y), "cross_entropy_with_grad by targets"),
    "option": (lambda x: nl.cross_entropy(X, [0, 1], z_loss=x[0, 0]), "z_loss is .*; it takes"),
    "layer": (
        lambda w: nl.linear_cross_entropy(X, X, [0, 1], class_weight=w[0, :2]),
        "by class_weight, only by x and weight",
    ),
    "layer with gradients": (lambda x: nl.linear_cross_entropy_with_grad(x, X, [0, 1]), "x is of type ArrayBox of autograd"),
    "jacobian": (lambda x: nl.softmax_jacobian(x), "y is of type ArrayBox of autograd"),
    "partial sums": (lambda x: nl.logsumexp_partial(x), "logsumexp_partial has no derivatives"),
    "merged sums": (lambda x: nl.logsumexp_finish(x, 1.0), "logsumexp_finish.*'ArrayBox'"),
    "out": (lambda x: nl.gelu(x, out=X.copy()), "(?s)gelu.*'ArrayBox'"),
    "out of rows": (lambda x: nl.softmax(x, out=X.copy()), "out is given to softmax"),
    "out of losses": (lambda x: nl.cross_entropy_backward(1.0, x, [0, 1], out=X.copy()), "out is given to cross_entropy_b"),
    "dtype": (lambda x: nl.gelu(x, dtype=np.float32), "dtype is given to gelu"),
    "methods": (lambda x: nl.relu.at(x, [0]), "relu.*'at'.*'ArrayBox'"),
    "reductions": (lambda x: nl.reglu.reduce(x), "reglu.*'reduce'.*'ArrayBox'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_derivative(name: str) -> None:
    f, message = REFUSED[name]
    for mode in (lambda f: make_vjp(f)(X), lambda f: make_jvp(f)(X)(X)):
        with pytest.raises(TypeError, match=message):
            mode(f)


def test_second_derivatives_of_a_layer_are_refused() -> None:
    f = lambda x, **o: anp.sum(nl.linear_cross_entropy(x, X, [0, 1], **o))  # noqa: E731
    for options in ({}, {"reduction": "none"}):
        with pytest.raises(TypeError, match=r"first derivatives .* and no second ones"):
            elementwise_grad(elementwise_grad(lambda x, o=options: f(x, **o)))(X)
    with pytest.raises(TypeError, match="reduction is 'none'; the forward mode"):
        make_jvp(lambda x: f(x, reduction="none"))(X)(X)


def test_errors_are_those_of_the_functions() -> None:
    with pytest.raises(IndexError, match=r"targets\[1\] is 7"):
        grad(nl.cross_entropy)(X, [0, 7])
    with pytest.raises(np.exceptions.AxisError):
        make_vjp(lambda x: nl.softmax(x, 2))(X)
    with pytest.raises(ValueError, match="reduction"):
        grad(lambda x: nl.cross_entropy(x, [0, 1], reduction="all"))(X)


def test_rules_are_of_what_there_is() -> None:
    """Rules under another name would go unused. A function without any has first derivatives, which is for new ones."""
    rows = {row["name"]: row["parameters"] for row in _core.activations()}
    assert {name for name in rows if name in EXACT or name in GATES} <= set(SECOND) <= set(rows)
    assert {(name, p) for name in rows if name in EXACT for p in rows[name]} <= set(BY_PARAMETER)
    assert all(parameter in rows[name] for name, parameter in BY_PARAMETER)
    assert set(HESSIANS) <= {row["name"] for row in _core.losses()}
    assert set(engine._ROWS) <= {name.removesuffix("_where") for name in _core.gufuncs()}


# The module


def test_boxes_need_the_import() -> None:
    code = """
        import autograd, nonlin as nl, numpy as np
        for f in (nl.silu, nl.softmax, lambda x: nl.cross_entropy(x, 0)):
            try:
                autograd.grad(f)(np.ones(2))
            except TypeError as error:
                print(error)
    """
    lines = printed(code).splitlines()
    assert len(lines) == 3
    assert "where nonlin.autograd is imported" in lines[2]


def test_by_name(rng: np.random.Generator) -> None:
    """Arguments go by their names too."""
    loss = by_name("cross_entropy")
    x, targets = loss.problem(rng, (4, 5))
    assert_same_bits(grad(lambda x: nl.cross_entropy(logits=x, targets=targets))(x), grad(nl.cross_entropy)(x, targets))
    assert_same_bits(elementwise_grad(lambda x: nl.gelu(x=x))(x), nl.gelu_backward(np.ones_like(x), x))
    assert math.isclose(grad(lambda x: nl.sigmoid(x))(0.0), 0.25)
