"""nonlin.jax: the table has nonlin's bits under every transformation, and derivatives that JAX's own check confirms."""

import concurrent.futures
import doctest
import itertools
import re
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nonlin as nl
from nonlin import _core

from .fresh import printed
from .loss_cases import REDUCTIONS, all_dtypes, all_losses
from .oracle import FORWARD, Function, Loss, assert_same_bits

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from jax.test_util import check_grads  # noqa: E402

import nonlin.jax as nlx  # noqa: E402

ROW_NAMES = ["softmax", "log_softmax", "logsumexp"]
RUN_TIME_ERRORS = (ValueError, jax.errors.JaxRuntimeError)

functions = pytest.mark.parametrize("f", FORWARD, ids=lambda f: f.name)
row_functions = pytest.mark.parametrize("name", ROW_NAMES)


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


def call(f: Function) -> Callable[..., Any]:
    return lambda *arguments, **parameters: getattr(nlx, f.called)(*arguments, **f.option, **parameters)


def backward(f: Function) -> Callable[..., Any]:
    return lambda *arguments, **parameters: getattr(nl, f.called + "_backward")(*arguments, **f.option, **parameters)


def with_gradients(f: Callable[..., Any], upstream: Any, *arguments: Any) -> tuple[Any, ...]:
    """The result, and the gradients by the arguments, compiled once."""

    def pulled(upstream: Any, *arguments: Any) -> Any:
        result, pull = jax.vjp(f, *arguments)
        return result, *pull(upstream)

    return tuple(jax.jit(pulled)(upstream, *arguments))


def assert_all_same(got: Any, *expected: Any) -> None:
    flat = [a for e in expected for a in (e if isinstance(e, tuple) else (e,))]
    for a, b in zip(got, flat, strict=True):
        assert_same_bits(np.asarray(a), np.asarray(b))


def test_names() -> None:
    rows = [f.name for f in FORWARD if f.name == f.called] + ROW_NAMES + [row["name"] for row in _core.losses()]
    assert nlx.__all__ == sorted(rows)
    for name in nlx.__all__:
        function = getattr(nlx, name)
        assert (function.__name__, function.__module__) == (name, "nonlin.jax")
        assert f"`nonlin.{name}`" in function.__doc__


# ---------------------------------------------------------------- elementwise functions


@functions
@all_dtypes
def test_elementwise_bits(f: Function, dtype: np.dtype, rng: np.random.Generator) -> None:
    arguments = f.points(rng, (5, 7), dtype)
    grad = rng.standard_normal((5, 7)).astype(dtype)
    result = f.public(*arguments)
    inputs = (result,) if "y" in backward_inputs(f) else arguments
    assert_all_same(with_gradients(call(f), grad, *arguments), result, backward(f)(grad, *inputs))
    if dtype == np.float32:
        assert_same_bits(np.asarray(call(f)(*arguments)), result)  # not compiled by the caller


@all_dtypes
def test_elementwise_shapes(dtype: np.dtype, rng: np.random.Generator) -> None:
    for shape in ((), (0, 3), (3, 1, 30000)):  # more than 65,536 numbers of 16 bits may go by table
        x, up = rng.standard_normal((2, *shape)).astype(dtype)
        assert_same_bits(np.asarray(nlx.gelu(x)), np.asarray(nl.gelu(x)))
        assert_same_bits(np.asarray(nlx.geglu(x, up)), np.asarray(nl.geglu(x, up)))


def backward_inputs(f: Function) -> list[str]:
    return next(row["backward_inputs"] for row in _core.activations() if row["name"] == f.name)


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("f", [f for f in FORWARD if f.parameters], ids=lambda f: f.name)
def test_parameters(f: Function, dtype: Any, rng: np.random.Generator) -> None:
    (x,) = f.points(rng, (4, 3, 5), dtype)
    grad = np.asarray(rng.standard_normal(x.shape), dtype)
    for shape in ((), (3, 1), (4, 1, 5)):
        given = {name: np.asarray(rng.uniform(0.5, 1.5, shape)) for name in f.parameters}
        if f.name == "hard_tanh":
            given["min_val"] = -given["min_val"]
        given = {k: np.asarray(v, dtype if shape else np.float64) for k, v in given.items()}
        got = with_gradients(lambda x, o=given: call(f)(x, **o), grad, x)
        assert_all_same(got, f.public(x, **given), backward(f)(grad, x, **given))
    traced = jax.jit(call(f))(x, **dict.fromkeys(f.parameters, 0.7))
    assert_same_bits(np.asarray(traced), f.public(x, **dict.fromkeys(f.parameters, 0.7)))
    name = next(iter(f.parameters))
    by_parameter = jax.grad(lambda p: call(f)(x, **{name: p}).astype(float).sum())
    for gradient in (by_parameter, jax.jit(by_parameter)):
        with pytest.raises(TypeError, match=rf"{f.called}\(\) has no derivative with respect to {name}; pass jax.lax.stop_"):
            gradient(jnp.asarray(0.5, dtype))


@functions
def test_elementwise_gradients(f: Function, rng: np.random.Generator) -> None:
    check_grads(call(f), f.points(rng, (3, 4), np.float64), order=1, modes=["rev"])


def test_operands_broadcast(rng: np.random.Generator) -> None:
    gate, up = (rng.standard_normal(shape).astype(np.float32) for shape in ((4, 1, 3), (5, 1)))
    assert_same_bits(np.asarray(nlx.swiglu(gate, up)), nl.swiglu(gate, up))
    check_grads(nlx.swiglu, (gate.astype(float), up.astype(float)), order=1, modes=["rev"])
    alpha = np.full((2, 4, 1, 3), 0.5, np.float32)
    assert_same_bits(np.asarray(nlx.elu(gate, alpha)), nl.elu(gate, alpha))
    check_grads(lambda x: nlx.elu(x, alpha), (gate.astype(float),), order=1, modes=["rev"])


def test_dtypes() -> None:
    for dtype in (bool, np.int8, np.uint32, np.int64):
        assert_same_bits(np.asarray(nlx.gelu(np.ones(3, dtype))), nl.gelu(np.ones(3, dtype)))
    assert nlx.elu(np.float32([1]), np.float64(0.1)).dtype == np.float32
    assert nlx.elu(np.float32([1]), np.array([0.1])).dtype == np.float64
    assert nlx.swiglu(np.ones(2, np.float16), np.ones(2, jnp.bfloat16)).dtype == np.float32  # JAX promotes them
    with jax.enable_x64(False):
        assert nlx.gelu(1).dtype == nlx.gelu([1.0]).dtype == nlx.softmax(np.arange(3)).dtype == np.float32
        assert_same_bits(np.asarray(nlx.gelu(1)), np.asarray(nl.gelu(np.float32(1))))
    for dtype in (">f2", ">f4", ">f8", ">i4"):  # JAX knows no byte order but the machine's
        assert_same_bits(np.asarray(nlx.gelu(np.ones(3, dtype))), nl.gelu(np.ones(3, dtype)))
        assert nlx.cross_entropy(np.eye(3, dtype=dtype), np.arange(3, dtype=">i8")) > 0
    for value in (None, "a", [None], np.array(["a"]), np.array([{}]), b"a"):
        for call in (nlx.gelu, nlx.softmax, lambda x: nlx.swiglu(1.0, x), lambda x: nlx.elu(1.0, x)):
            with pytest.raises(TypeError, match=r"(x|up|alpha) is .*; it takes what is or becomes an array of JAX"):
                call(value)
    for value in (1j, np.ones(2, jnp.float8_e5m2)):
        with pytest.raises(
            TypeError, match=r"x has dtype .*; it takes float16, bfloat16, float32, float64, booleans or int"
        ):
            nlx.gelu(value)


# ---------------------------------------------------------------- rows


AXES: list[Any] = [-1, 0, 1, (0, 2), (2, 1), None]


def assert_rows_are_nonlins(name: str, x: Any, rng: np.random.Generator, **o: Any) -> None:
    y = np.asarray(getattr(nl, name)(x, **o))
    grad = rng.standard_normal(y.shape).astype(x.dtype)
    got = with_gradients(lambda x: getattr(nlx, name)(x, **o), grad, x)
    if name == "logsumexp":
        o.pop("keepdims")
        grad = grad.reshape(np.shape(nl.logsumexp(x, **o)))
    assert_all_same(got, y, getattr(nl, name + "_backward")(grad, x if name == "logsumexp" else y, **o))


@row_functions
@all_dtypes
def test_rows_bits(name: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    x = (3 * rng.standard_normal((4, 3, 5))).astype(dtype)
    masks = itertools.cycle((None, rng.random((3, 1)) < 0.7))
    options = itertools.cycle([{"scale": 0.3}, {}] if name != "logsumexp" else [{"keepdims": True}, {"keepdims": False}])
    for axis in AXES if dtype == np.float32 else [1]:
        for mask in (next(masks), next(masks)):
            assert_rows_are_nonlins(name, x, rng, axis=axis, where=mask, **next(options))
        next(options)


@row_functions
def test_rows_gradients(name: str, rng: np.random.Generator) -> None:
    x = rng.standard_normal((4, 3, 5))
    check_grads(lambda x: getattr(nlx, name)(x, 1, where=x > -1), (x,), order=1, modes=["rev"])
    check_grads(lambda x: getattr(nlx, name)(x, (2, 0)), (x,), order=1, modes=["rev"])


@row_functions
def test_rows_of_other_shapes(name: str) -> None:
    for shape in ((1,), (0, 3), (3, 1), (2, 70000)):
        x = np.linspace(-3, 3, np.prod(shape), dtype=np.float32).reshape(shape)
        assert_same_bits(np.asarray(getattr(nlx, name)(x)), np.asarray(getattr(nl, name)(x)))
    assert_same_bits(np.asarray(getattr(nlx, name)(1.5, axis=None)), np.asarray(getattr(nl, name)(1.5, axis=None)))
    if name != "logsumexp":
        for scale in (np.array(0.5), jnp.float32(0.5), np.float16(0.5), True):
            assert_same_bits(np.asarray(getattr(nlx, name)(x, scale=scale)), getattr(nl, name)(x, scale=float(scale)))


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, "x has shape (3, 0), whose class axis is empty; it takes 1 class or more", {}),
        (np.exceptions.AxisError, "axis 2 is out of bounds for array of dimension 2", {"axis": 2}),
        (TypeError, "axis is 0.5; it takes an integer", {"axis": 0.5}),
        (ValueError, "axis is (0, -2), which names an axis twice; it takes different ones", {"axis": (0, -2)}),
        (TypeError, "scale is '2'; it takes a number", {"scale": "2"}),
        (TypeError, "it takes a number", {"scale": 10**400}),
        (ValueError, "where has shape (5,); it takes one that broadcasts to that of x, (3, 2)", {"where": (5,)}),
        (ValueError, "scale is nan; it takes a finite number", {"scale": np.nan}),
        (TypeError, "where has dtype float64; it takes booleans", {"where": [0.5]}),
        (ValueError, "where has shape (2, 3, 1); it takes one that broadcasts to that of x, (3, 2)", {"where": (2, 3, 1)}),
        (TypeError, "softmax() got an unexpected keyword argument 'out'", {"out": None}),
    ],
)
def test_errors_of_rows(error: type[Exception], message: str, options: dict[str, Any]) -> None:
    x = np.ones((3, 0))
    if isinstance(options.get("where"), tuple):  # a shape
        x, options = np.ones((3, 2)), {"where": np.ones(options["where"], bool)}
    with pytest.raises(error) as raised:
        nlx.softmax(x, **options)
    assert message in str(raised.value)


def test_a_traced_scale_is_refused() -> None:
    with pytest.raises(TypeError, match=r"scale is traced; .*multiply x by what is traced."):
        jax.jit(lambda s: nlx.softmax(jnp.ones(3), scale=s))(2.0)


# ---------------------------------------------------------------- losses


def problem(loss: Loss, rng: np.random.Generator, dtype: Any, axis: int = 1) -> tuple[list[Any], int, int]:
    shape = (4, 5, 3)
    given = loss.problem(rng, shape, axis, dtype)
    return given, axis, loss.operand


def by_operand(loss: Loss, given: list[Any], o: dict[str, Any], module: Any = nlx) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        return getattr(module, loss.name)(*(x if i == loss.operand else a for i, a in enumerate(given)), **o)

    return f


@all_losses
@all_dtypes
def test_losses_bits(loss: Loss, dtype: np.dtype, rng: np.random.Generator) -> None:
    given, axis, operand = problem(loss, rng, dtype)
    chosen = loss.choices()
    single = [c for c in chosen if len(c) <= 1] if dtype == np.float32 else chosen[:1]
    for options, reduction in zip([chosen[-1], *single], itertools.cycle(REDUCTIONS), strict=False):
        o = {**loss.keywords(rng, given[operand].shape, axis, options, dtype), "reduction": reduction}
        value = np.asarray(getattr(nl, loss.name)(*given, **o))
        upstream = rng.standard_normal(value.shape).astype(value.dtype)
        gradient = getattr(nl, loss.name + "_backward")(upstream, *given, **o)
        assert_all_same(with_gradients(by_operand(loss, given, o), upstream, given[operand]), value, gradient)


@all_losses
def test_losses_gradients(loss: Loss, rng: np.random.Generator) -> None:
    given, axis, operand = problem(loss, rng, np.float64)
    x = given[operand]
    if loss.arguments[operand] in ("probs", "q"):
        x = np.clip(x, 0.1, 0.9)  # differences of what is nearly 0 are not near the derivative
    for options, reduction in ((loss.choices()[-1], "mean"), ((), "none")):
        o = {**loss.keywords(rng, x.shape, axis, options), "reduction": reduction}
        check_grads(by_operand(loss, given, o), (x,), order=1, modes=["rev"])


@all_losses
def test_losses_of_many_entries(loss: Loss, rng: np.random.Generator) -> None:
    """Sums have the order of nonlin's, over pieces of entries too."""
    shape = (70, 130)
    given = loss.problem(rng, shape, -1, np.float32)
    for reduction in REDUCTIONS:
        value = getattr(nl, loss.name)(*given, reduction=reduction)
        assert_same_bits(np.asarray(getattr(nlx, loss.name)(*given, reduction=reduction)), np.asarray(value))


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.uint32, np.int64, np.uint64], ids=lambda t: t.__name__)
def test_types_of_classes(dtype: Any, rng: np.random.Generator) -> None:
    x, t = rng.standard_normal((4, 5, 3)), rng.integers(0, 5, (4, 3)).astype(dtype)
    for ignored in (2, -100, 2**70):
        value = nl.cross_entropy(x, t, axis=1, ignore_index=ignored)
        assert_same_bits(np.asarray(nlx.cross_entropy(x, t, axis=1, ignore_index=ignored)), np.asarray(value))
    t[1, 2] = np.iinfo(dtype).max  # as an unsigned number of 32 bits it is no class, and no -1
    most = min(np.iinfo(dtype).max, 2**63 - 1)
    for f in (nlx.cross_entropy, nlx.nll_loss, nlx.focal_loss):
        with pytest.raises(RUN_TIME_ERRORS) as raised:
            jax.block_until_ready(f(x, t, axis=1))
        message = f"nonlin.jax.{f.__name__}: targets[1, 2] is {most}; it takes a class in [0, 5) or ignore_index=-100"
        assert message in str(raised.value)


def test_wide_targets_and_weights(rng: np.random.Generator) -> None:
    """They keep their digits beside logits of 16 bits, and rows of weight 0 do not count."""
    x = np.array([[1, 2, np.nan], [3, 1, 2]], jnp.bfloat16)
    y = rng.dirichlet(np.ones(3), 2).astype(np.float32)
    for o in ({}, {"sample_weight": np.array([0, 0.1])}, {"sample_weight": 2.0}):
        value = nl.cross_entropy(x, y, **o)
        expected = nl.cross_entropy_backward(np.float32(0.7), x, y, **o)
        assert_all_same(with_gradients(lambda x, o=o: nlx.cross_entropy(x, y, **o), np.float32(0.7), x), value, expected)


def test_probabilities_outside_are_refused() -> None:
    for run in (nlx.binary_cross_entropy, jax.jit(jax.grad(nlx.binary_cross_entropy))):
        with pytest.raises(
            RUN_TIME_ERRORS, match=r"binary_cross_entropy: probs has 2 entries outside \[0, 1\]; it takes prob"
        ):
            jax.block_until_ready(run(jnp.array([0.5, 1.5, -0.5]), jnp.array([0.0, 1.0, 1.0])))
    with pytest.raises(RUN_TIME_ERRORS, match="categorical_cross_entropy: probs has 1 entries outside"):
        jax.block_until_ready(nlx.categorical_cross_entropy(jnp.array([[0.5, 1.5]]), jnp.array([1])))


def test_classes_out_of_range_are_refused_when_compiled() -> None:
    compiled = jax.jit(jax.value_and_grad(nlx.cross_entropy))
    x = jnp.ones((3, 4))
    with pytest.raises(RUN_TIME_ERRORS, match=r"nonlin.jax.cross_entropy: targets\[2\] is -1; it takes a class in \[0, 4\)"):
        jax.block_until_ready(compiled(x, jnp.array([0, 3, -1])))
    assert np.isfinite(compiled(x, jnp.array([0, 3, 1]))[0])  # the next call works


@all_losses
def test_nonlins_errors(loss: Loss, rng: np.random.Generator) -> None:
    """Shapes, dtypes and options are refused as nonlin refuses them, also while a function is compiled."""
    given, axis, _ = problem(loss, rng, np.float32)
    wrong: list[tuple[list[Any], dict[str, Any]]] = [(given, {"reduction": r}) for r in ("avg", None)]
    wrong.append(([given[0][:3], given[1]], {}))
    for name in set(loss.options) - {"reduction"}:
        value = np.ones((7, 2)) if "weight" in name else "x"
        wrong.append((given, {name: value}))
    if loss.by_rows:
        wrong.append((given, {"axis": 3}))
    for arguments, o in wrong:
        o = {**({"axis": axis} if loss.by_rows else {}), **o}
        with pytest.raises((TypeError, ValueError)) as expected:
            getattr(nl, loss.name)(*arguments, **o)
        for f in (getattr(nlx, loss.name), lambda *a, o=o: jax.jit(lambda *a: getattr(nlx, loss.name)(*a, **o))(*a)):
            with pytest.raises(type(expected.value)) as raised:
                f(*arguments, **(o if f is getattr(nlx, loss.name) else {}))
            assert str(raised.value) == str(expected.value)


def test_options_are_not_traced() -> None:
    x, t = jnp.ones((2, 3)), jnp.array([0, 1])
    with pytest.raises(TypeError, match="label_smoothing is traced; it takes what is known when the function is compiled"):
        jax.jit(lambda e: nlx.cross_entropy(x, t, label_smoothing=e))(0.1)
    with pytest.raises(TypeError, match=r"z_loss is \[0.1\]; it takes a single value"):
        nlx.cross_entropy(x, t, z_loss=[0.1])
    assert nlx.cross_entropy(x, t, label_smoothing=jnp.float32(0.5)) == nlx.cross_entropy(x, t, label_smoothing=0.5)


def test_losses_have_one_derivative() -> None:
    x, y = jnp.ones((2, 3)), jnp.full((2, 3), 1 / 3)
    for f, name in (
        (lambda a: nlx.cross_entropy(x, a), "targets"),
        (lambda a: nlx.cross_entropy(x, y, weight=a[0]), "weight"),
        (lambda a: nlx.cross_entropy(x, y, sample_weight=a[:, 0]), "sample_weight"),
        (lambda a: nlx.binary_cross_entropy_with_logits(x, y, pos_weight=a), "pos_weight"),
        (lambda a: nlx.kl_divergence(a, y), "p"),
    ):
        with pytest.raises(TypeError, match=rf"\(\) has no derivative with respect to {name}; pass jax.lax.stop_gradient"):
            jax.grad(f)(y)
    assert jax.grad(lambda a: nlx.cross_entropy(x * a, jax.lax.stop_gradient(a * y)))(1.0) == 0
    with pytest.raises(ValueError, match="cannot be differentiated"):
        jax.grad(jax.grad(nlx.gelu))(1.0)


# ---------------------------------------------------------------- vmap, and all of JAX's machinery


def assert_vmap_is_a_loop(f: Callable[..., Any], arguments: tuple[Any, ...], axes: tuple[int | None, ...]) -> None:
    n = next(a.shape[i] for a, i in zip(arguments, axes, strict=True) if i is not None)
    taken = [[a if i is None else np.take(a, k, i) for a, i in zip(arguments, axes, strict=True)] for k in range(n)]
    mapped = jax.tree.leaves(jax.jit(jax.vmap(f, in_axes=axes))(*arguments))
    for k, result in enumerate(mapped):
        assert_same_bits(np.asarray(result), np.stack([np.asarray(jax.tree.leaves(f(*a))[k]) for a in taken]))


@functions
def test_vmap_of_elementwise_functions(f: Function, rng: np.random.Generator) -> None:
    arguments = f.points(rng, (3, 4), np.float32)
    of_each = jax.vmap(jax.vmap(jax.value_and_grad(call(f), tuple(range(len(arguments))))))
    result, got = jax.jit(of_each)(*arguments)
    inputs = (f.public(*arguments),) if "y" in backward_inputs(f) else arguments
    assert_all_same([result, *got], f.public(*arguments), backward(f)(np.float32(1), *inputs))


def test_vmap_of_parameters(rng: np.random.Generator) -> None:
    x, slopes, grad = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 4, 5), 3, (4, 5)))
    f = lambda x, s: jax.vjp(lambda x: nlx.leaky_relu(x, s), x)[1](grad)  # noqa: E731
    assert_vmap_is_a_loop(f, (x, slopes), (0, 0))
    assert_vmap_is_a_loop(f, (x[0], slopes), (None, 0))
    assert_vmap_is_a_loop(f, (np.moveaxis(x, 0, 2), slopes[0]), (2, None))
    up = rng.standard_normal((5, 3)).astype(np.float32)
    assert_vmap_is_a_loop(nlx.swiglu, (x, up), (0, 1))


@row_functions
def test_vmap_of_rows(name: str, rng: np.random.Generator) -> None:
    x, masks = rng.standard_normal((3, 4, 5)), rng.random((3, 4, 1)) < 0.8
    for axis in (0, None):

        def f(x: Any, m: Any, axis: Any = axis) -> Any:
            y, pull = jax.vjp(lambda x: getattr(nlx, name)(x, axis, where=m), x)
            return y, pull(np.linspace(-1, 1, y.size).reshape(y.shape))

        assert_vmap_is_a_loop(f, (x, masks), (0, 0))
        assert_vmap_is_a_loop(f, (x, masks[0]), (0, None))
        assert_vmap_is_a_loop(f, (x[0], masks), (None, 0))


@all_losses
def test_vmap_of_losses(loss: Loss, rng: np.random.Generator) -> None:
    """Each example has its own mean; what does not vary is shared."""
    shape = (3, 4, 5)
    given = loss.problem(rng, shape, -1, np.float32)
    for reduction, axes in zip(REDUCTIONS, ((0, 0), (0, None), (None, 0)), strict=True):
        o = loss.keywords(rng, shape[1:], -1, loss.choices()[-1], np.float32) | {"reduction": reduction}
        f = lambda *a, o=o: getattr(nlx, loss.name)(*a, **o)  # noqa: E731
        both = lambda *a, f=f: (f(*a), jax.grad(lambda *a: f(*a).sum(), loss.operand)(*a))  # noqa: E731
        assert_vmap_is_a_loop(both, tuple(g[0] if i is None else g for g, i in zip(given, axes, strict=True)), axes)
    many = jax.vmap(f, in_axes=(None, 0))
    assert_vmap_is_a_loop(many, (given[0][0], given[1][:, None]), (None, 0))


def test_scan_remat_and_donation(rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((6, 8)), rng.standard_normal((8, 8))

    def network(w: Any, of: Callable[[Any], Any]) -> Any:
        body = lambda h, _: (of(h @ w), None)  # noqa: E731
        return nlx.cross_entropy(jax.lax.scan(jax.checkpoint(body), x, length=3)[0], jnp.arange(6))

    got = jax.jit(jax.grad(network), static_argnums=1)(w, nlx.gelu)
    expected = jax.grad(network)(w, lambda h: jax.nn.gelu(h, approximate=False))
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)
    softmax = jax.jit(nlx.softmax, donate_argnums=0)
    assert_same_bits(np.asarray(softmax(jnp.asarray(x))), nl.softmax(x))


def test_calls_from_many_threads(rng: np.random.Generator) -> None:
    """XLA's threads wait for nonlin's, Python's threads for XLA's: nothing waits for ever."""
    x = rng.standard_normal((64, 5000)).astype(np.float32)
    t = rng.integers(0, 5000, 64)
    step = jax.jit(jax.value_and_grad(lambda x, t: nlx.cross_entropy(nlx.softmax(nlx.gelu(x)), t)))
    expected = [np.asarray(a) for a in step(x, t)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ours = [pool.submit(lambda: [np.asarray(a) for a in step(x, t)]) for _ in range(24)]
        numpys = [pool.submit(nl.gelu, x) for _ in range(24)]
        for future in ours:
            assert_all_same(future.result(timeout=120), tuple(expected))
        assert all((future.result(timeout=120) == nl.gelu(x)).all() for future in numpys)


def test_sub_normal_numbers_stay() -> None:
    """XLA's threads flush them to zero."""
    x = np.array([1e-40, -2e-42], np.float32)
    assert_same_bits(np.asarray(jax.jit(nlx.leaky_relu)(x)), nl.leaky_relu(x))
    assert np.count_nonzero(nlx.leaky_relu(x)) == 2


def test_threads_do_not_change_bits(rng: np.random.Generator) -> None:
    x = rng.standard_normal(200_000).astype(np.float32)
    results = []
    for threads in (1, 2, 3):
        nl.set_num_threads(threads)
        results.append(np.asarray(nlx.mish(x)))
    assert (results[0] == results[1]).all()
    assert (results[0] == results[2]).all()


def test_compiled_code_names_functions() -> None:
    """It may be kept on disk for other processes, where an address would lead nowhere."""
    f = jax.jit(jax.grad(lambda x: nlx.cross_entropy(nlx.elu(x, 0.5), jnp.array([1]))))
    text = f.lower(jnp.ones((1, 3))).compile().as_text()
    calls = [line for line in text.splitlines() if 'custom_call_target="nonlin"' in line]
    assert sorted(name for line in calls for name in re.findall(r'name = "(\w+)"', line)) == [
        "cross_entropy",
        "elu",
        "elu_backward",
    ]
    assert not [line for line in calls if re.search(r"= -?\d{4}", line.partition("backend_config")[2])]


# ---------------------------------------------------------------- the import


def test_import_with_another_version_of_xla(tmp_path: Path) -> None:
    header = tmp_path / "xla/ffi/api/c_api.h"
    header.parent.mkdir(parents=True)
    header.write_text("#define XLA_FFI_API_MAJOR 1")
    code = f"""
        import jax
        jax.ffi.include_dir = lambda: {str(tmp_path)!r}
        try:
            import nonlin.jax
        except ImportError as error:
            print(error)
    """
    message = printed(code)
    assert re.match(
        r"nonlin.jax speaks version 0.\d of XLA's foreign-function interface, and jaxlib .* another one; ", message
    )
    assert message.endswith("take a nonlin and a JAX of about the same age (its major version is 1)")


def test_import_of_a_handler_that_xla_refuses() -> None:
    """XLA asks a handler for its version when it is registered; this one answers 0.99."""
    code = """
        import ctypes, jax, nonlin
        from nonlin import _core

        class Extension(ctypes.Structure):
            _fields_ = [("header", ctypes.c_size_t * 3), ("metadata", ctypes.c_void_p)]

        class Metadata(ctypes.Structure):
            _fields_ = [("size", ctypes.c_size_t * 3), ("version", ctypes.c_int * 2)]

        class Frame(ctypes.Structure):
            _fields_ = [("size", ctypes.c_size_t), ("extension", ctypes.POINTER(Extension))]

        @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(Frame))
        def handle(frame):
            Metadata.from_address(frame.contents.extension.contents.metadata).version[1] = 99

        _core.xla_handler = lambda: (jax.ffi.pycapsule(handle), 0, 99)
        jax.devices("cpu")  # from here on XLA compares versions at once
        try:
            import nonlin.jax
        except ImportError as error:
            print(error)
    """
    message = printed(code)
    assert message.startswith("nonlin.jax speaks version 0.99 of XLA's foreign-function interface, and jaxlib ")
    assert "the handler's API version (0.99) is incompatible" in message


STRUCTS = {
    "Extension": ("XLA_FFI_Extension_Base", "type next"),
    "Version": ("XLA_FFI_Api_Version", "major_number=major_version minor_number=minor_version"),
    "ErrorArguments": ("XLA_FFI_Error_Create_Args", "message code=errc"),
    "Api": ("XLA_FFI_Api", "version=api_version create_error=XLA_FFI_Error_Create"),
    "Buffer": ("XLA_FFI_Buffer", "dtype data rank dims"),
    "Buffers": ("XLA_FFI_Args", "count=size types items=args"),
    "Span": ("XLA_FFI_ByteSpan", "data=ptr size=len"),
    "Scalar": ("XLA_FFI_Scalar", "dtype value"),
    "Array": ("XLA_FFI_Array", "dtype size data"),
    "Attributes": ("XLA_FFI_Attrs", "count=size types names values=attrs"),
    "CallFrame": ("XLA_FFI_CallFrame", "api stage arguments=args results=rets attributes=attrs"),
    "Metadata": ("XLA_FFI_Metadata", "version=api_version traits"),
    "MetadataExtension": ("XLA_FFI_Metadata_Extension", "metadata"),
}
CONSTANTS = {
    "kPred": "DataType_PRED",
    **{f"k{t}": f"DataType_{t}" for t in ("S32", "S64", "U32", "U64", "F16", "F32", "F64", "BF16")},
    "kInvalidArgument": "Error_Code_INVALID_ARGUMENT",
    "kResourceExhausted": "Error_Code_RESOURCE_EXHAUSTED",
    "kOutOfRange": "Error_Code_OUT_OF_RANGE",
    "kMetadataExtension": "Extension_Metadata",
}


def test_structs_are_those_of_xla(tmp_path: Path) -> None:
    """Every field is where the header of the installed JAX has it."""
    compiler = shutil.which("c++")
    sources = Path(__file__).parents[1] / "cpp"
    if compiler is None or not sources.exists():
        pytest.skip("no compiler, or no sources")
    lines = ['#include "python/xla_ffi.h"', '#include "xla/ffi/api/c_api.h"', "using namespace nonlin;"]
    for ours, (theirs, fields) in STRUCTS.items():
        for field in fields.split():
            mine, _, other = field.partition("=")
            at = f"offsetof(xla::{ours}, {mine}) == offsetof({theirs}, {other or mine})"
            size = f"sizeof(xla::{ours}::{mine}) == sizeof({theirs}::{other or mine})"
            lines.append(f'static_assert({at} && {size}, "{ours}.{mine}");')
    lines += [
        f'static_assert(int{{xla::{ours}}} == int{{XLA_FFI_{theirs}}}, "{ours}");' for ours, theirs in CONSTANTS.items()
    ]
    source = tmp_path / "layout.cc"
    source.write_text("\n".join(lines))
    include = [f"-I{sources}", f"-I{jax.ffi.include_dir()}"]
    command = [compiler, "-std=c++17", "-fsyntax-only", *include, str(source)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


def test_docstrings() -> None:
    with jax.enable_x64(False):
        result = doctest.testmod(nlx)
    assert (result.failed, result.attempted > 0) == (0, True)
