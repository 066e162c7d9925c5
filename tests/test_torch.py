"""nonlin.torch: operators that torch's own checks pass, with nonlin's bits, gradients and errors."""

import functools
import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

import nonlin as nl
from nonlin._derivatives import BY_PARAMETER, HESSIANS, SECOND

from .loss_cases import REDUCTIONS
from .oracle import FLOATS, FORWARD, FUNCTIONS, LOSSES, Function, Loss, assert_same_bits

torch = pytest.importorskip("torch")
nlt = pytest.importorskip("nonlin.torch")

all_dtypes = pytest.mark.parametrize("dtype", FLOATS, ids=str)
all_activations = pytest.mark.parametrize("function", FORWARD, ids=lambda f: f.name)
all_rows = pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
all_losses = pytest.mark.parametrize("loss", LOSSES, ids=str)
Call = Callable[..., Any]


@pytest.fixture(autouse=True, scope="module")
def _one_thread_of_torch() -> Iterator[None]:
    """On a busy machine its threads, which wait for each other, take a hundred times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tensor(a: Any) -> Any:
    a = np.array(a)
    return torch.from_numpy(a.view(np.int16)).view(torch.bfloat16) if a.dtype == bfloat16 else torch.from_numpy(a)


def array(t: Any) -> Any:
    t = t.detach()
    return t.view(torch.int16).numpy().view(bfloat16) if t.dtype == torch.bfloat16 else t.numpy()


def tensors(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor(v) if isinstance(v, np.ndarray) else v for name, v in values.items()}


def leaves(*arrays: Any) -> list[Any]:
    return [tensor(a).requires_grad_() for a in arrays]


def public(function: Function) -> Call:
    return lambda *given, **o: getattr(nlt, function.called)(*given, **function.option, **o)


def slope(function: Function) -> Call:
    return lambda *given, **o: getattr(nl, function.called + "_backward")(*given, **function.option, **o)


def of_result(function: Function) -> bool:
    return function.name in ("sigmoid", "tanh")


def parameters(function: Function, rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> dict[str, Any]:
    """Arrays for the parameters, about their defaults."""
    return {n: (v + rng.uniform(0.1, 0.3, shape)).astype(dtype) for n, v in function.parameters.items()}


with_parameters = pytest.mark.parametrize("function", [f for f in FORWARD if f.parameters], ids=lambda f: f.name)


# The same bits as nonlin's


@all_dtypes
@all_activations
def test_bits_of_activations(function: Function, dtype: np.dtype, rng: np.random.Generator) -> None:
    for shape in ((), (0,), (3, 0), (7,), (5, 33), (70, 70)):
        given = function.points(rng, shape, dtype)
        inputs = leaves(*given)
        y = public(function)(*inputs)
        expected = np.asarray(function.public(*given))
        assert_same_bits(array(y), expected)
        grad = rng.standard_normal(shape).astype(dtype)
        made = torch.autograd.grad(y, inputs, tensor(grad))
        assert_same_bits(tuple(map(array, made)), slope(function)(grad, *((expected,) if of_result(function) else given)))


@all_dtypes
@with_parameters
def test_bits_with_parameters(function: Function, dtype: np.dtype, rng: np.random.Generator) -> None:
    x, grad = function.points(rng, (6, 5), dtype)[0], rng.standard_normal((6, 5)).astype(dtype)
    for given in (
        {n: 1.25 * v for n, v in function.parameters.items()},
        parameters(function, rng, (), dtype),
        parameters(function, rng, (5,), dtype),
        parameters(function, rng, (6, 1), dtype),
        {n: v if i else 1.25 for i, (n, v) in enumerate(parameters(function, rng, (5,), dtype).items())},
    ):
        (inputs,) = leaves(x)
        y = public(function)(inputs, **tensors(given))
        assert_same_bits(array(y), function.public(x, **given))
        assert_same_bits(array(torch.autograd.grad(y, inputs, tensor(grad))[0]), slope(function)(grad, x, **given))


def row_options(name: str, rng: np.random.Generator) -> list[dict[str, Any]]:
    mask = rng.random((4, 1, 6)) < 0.7
    some = (
        [{"scale": 0.125}]
        if name != "logsumexp"
        else [{"keepdims": True}, {"keepdims": True, "where": mask, "axis": (0, 2)}]
    )
    axes: list[Any] = [-1, 0, 1, -2, (0, 2), (2, 1), None, ()]
    return [{"axis": a} for a in axes] + [{"where": mask}, {"where": mask[0], "axis": 0}, *some]


@all_dtypes
@all_rows
def test_bits_of_rows(name: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    x = (3 * rng.standard_normal((4, 5, 6))).astype(dtype)
    for o in row_options(name, rng):
        (inputs,) = leaves(x)
        y = getattr(nlt, name)(inputs, **tensors(o))
        expected = np.asarray(getattr(nl, name)(x, **o))
        assert_same_bits(array(y), expected)
        grad = rng.standard_normal(expected.shape).astype(dtype)
        made = torch.autograd.grad(y, inputs, tensor(grad))[0]
        o = {key: value for key, value in o.items() if key != "keepdims"}
        if name == "logsumexp":
            grad = grad.reshape(np.shape(nl.logsumexp(x, **o)))
        assert_same_bits(array(made), getattr(nl, name + "_backward")(grad, x if name == "logsumexp" else expected, **o))


@all_dtypes
@all_losses
def test_bits_of_losses(loss: Loss, dtype: np.dtype, rng: np.random.Generator) -> None:
    shape, axis = ((4, 5, 3), 1) if loss.by_rows else ((6, 5), -1)
    for chosen, reduction in itertools.product(loss.choices(), REDUCTIONS):
        given = loss.problem(rng, shape, axis, dtype)
        o = {**loss.keywords(rng, shape, axis, chosen, dtype), "reduction": reduction}
        inputs = list(map(tensor, given))
        x = inputs[loss.operand].requires_grad_()
        value = getattr(nlt, loss.name)(*inputs, **tensors(o))
        expected = np.asarray(getattr(nl, loss.name)(*given, **o))
        assert_same_bits(array(value), expected)
        grad = rng.standard_normal(expected.shape).astype(expected.dtype)
        made = torch.autograd.grad(value, x, tensor(grad))[0]
        assert_same_bits(array(made), getattr(nl, loss.name + "_backward")(grad, *given, **o))


@all_dtypes
def test_bits_of_linear_cross_entropy(dtype: np.dtype, rng: np.random.Generator) -> None:
    x, weight, bias = (rng.standard_normal(s).astype(dtype) for s in ((2, 3, 4), (7, 4), (7,)))
    targets = rng.integers(0, 7, (2, 3))
    for b, reduction in itertools.product((None, bias), REDUCTIONS):
        inputs = leaves(*(a for a in (x, weight, b) if a is not None))
        o: dict[str, Any] = {"label_smoothing": 0.1, "ignore_index": 2, "reduction": reduction}
        value = nlt.linear_cross_entropy(*inputs[:2], tensor(targets), bias=None if b is None else inputs[2], **o)
        expected = np.asarray(nl.linear_cross_entropy(x, weight, targets, bias=b, **o))
        assert_same_bits(array(value), expected)
        grad = rng.standard_normal(expected.shape).astype(expected.dtype)
        made = torch.autograd.grad(value, inputs, tensor(grad))
        own = nl.linear_cross_entropy_backward(grad, x, weight, targets, bias=b, **o)
        assert_same_bits(tuple(map(array, made)), tuple(g.astype(dtype) for g in own if g is not None))


def test_types_are_those_of_numpy() -> None:
    for given, expected in (("int64", "float64"), ("bool", "float64"), ("uint8", "float64"), ("bfloat16", "bfloat16")):
        assert nlt.relu(torch.ones(3, dtype=getattr(torch, given))).dtype == getattr(torch, expected)
    for gate, up in itertools.permutations(("float16", "float32", "float64", "int32"), 2):
        y = nlt.swiglu(torch.ones(2, dtype=getattr(torch, gate)), torch.ones(2, dtype=getattr(torch, up)))
        assert array(y).dtype == nl.swiglu(np.ones(2, gate), np.ones(2, up)).dtype
    for dtype in (torch.int8, torch.int32, torch.uint8):
        assert nlt.cross_entropy(torch.zeros(2, 3), torch.ones(2, dtype=dtype)).dtype == torch.float32
    for one, other in itertools.product(("float16", "float32", "float64"), repeat=2):
        arrays = np.full((2, 3), 0.25, one), np.full((2, 3), 0.5, other)
        inputs = leaves(*arrays)
        value = nlt.kl_divergence(inputs[0].detach(), inputs[1])
        assert_same_bits(array(value), np.asarray(nl.kl_divergence(*arrays)))
        assert torch.autograd.grad(value, inputs[1])[0].dtype == inputs[1].dtype
        o: dict[str, Any] = {"bias": np.ones(2)} if one == "float16" else {}
        value = nlt.linear_cross_entropy(*inputs, torch.tensor([0, 1]), **tensors(o))
        assert_same_bits(array(value), np.asarray(nl.linear_cross_entropy(*arrays, [0, 1], **o)))
        assert [g.dtype for g in torch.autograd.grad(value, inputs)] == [x.dtype for x in inputs]
    x = torch.ones(3)
    assert nlt.elu(x, torch.tensor(0.5, dtype=torch.float64)).dtype == torch.float32  # as NumPy's 0-d arrays
    assert nlt.elu(x, np.float64(0.5)).dtype == nlt.elu(x, np.int8(1)).dtype == torch.float32
    assert nlt.elu(x, torch.full((3,), 0.5, dtype=torch.float64)).dtype == torch.float64


WHOLE = ["bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))]


@pytest.mark.parametrize(
    "call",
    [
        lambda module, a, b, rows: module.swiglu(a, b),
        lambda module, a, b, rows: module.leaky_relu(a, b),
        lambda module, a, b, rows: module.kl_divergence(a, b),
        lambda module, a, b, rows: module.linear_cross_entropy(a, b, rows),
    ],
    ids=["gated", "parameter", "rows", "linear"],
)
def test_integers_beside_floats_have_the_types_of_numpy(call: Any) -> None:
    one, rows = np.eye(2), np.array([0, 1])
    for a, b in itertools.permutations([*WHOLE, "float16", "float32", "float64"], 2):
        expected = np.asarray(call(nl, one.astype(a), one.astype(b), rows))
        assert_same_bits(array(call(nlt, tensor(one.astype(a)), tensor(one.astype(b)), tensor(rows))), expected)


def test_memory_is_shared() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        t = torch.ones(3, 4, dtype=dtype, requires_grad=True)[:, ::2]
        a = nlt._array(t)
        assert (a.ctypes.data, a.shape) == (t.data_ptr(), (3, 2))
        assert nlt._tensor(np.ascontiguousarray(a)).dtype == dtype
    a = np.ones((3, 4), bfloat16)
    assert nlt._tensor(a).data_ptr() == a.ctypes.data


# Layouts


def layouts(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    x = torch.from_numpy(3 * rng.standard_normal((2, 3, 4, 5))).to(dtype)
    return {
        "contiguous": x,
        "transposed": x.mT,
        "permuted": x.permute(3, 1, 0, 2),
        "channels last": x.to(memory_format=torch.channels_last),
        "strided": x[:, :, ::2, 1::2],
        "expanded": x[:1].expand(2, 3, 4, 5),
        "offset": x.flatten()[1:121].reshape(1, 119)[:, :],
        "negative bit": torch.complex(x.float(), x.float()).conj().imag if dtype.itemsize > 2 else x.mT,
        "of one": x[:, :1, :, :1].mT,
    }


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_any_layout(dtype: str, rng: np.random.Generator) -> None:
    """The numbers of a contiguous tensor, laid out as torch's own empty_like, whatever the upstream gradient's layout."""
    calls: list[Call] = [
        nlt.gelu,
        nlt.sigmoid,
        lambda x: nlt.swiglu(x, x.detach()),
        nlt.softmax,
        lambda x: nlt.log_softmax(x, 0),
    ]
    calls += [nlt.logsumexp, lambda x: nlt.cross_entropy(x, torch.zeros_like(x), label_smoothing=0.5, reduction="none")]
    for (name, x), call in itertools.product(layouts(rng, getattr(torch, dtype)).items(), calls):
        results = []
        for given in (x, x.contiguous()):
            leaf = given.detach().requires_grad_()
            y = call(leaf)
            upstreams = (torch.full_like(y, 0.7), torch.tensor(0.7, dtype=y.dtype).expand(y.shape))
            grads = [torch.autograd.grad(y, leaf, g, retain_graph=True)[0] for g in upstreams]
            results.append((y, *grads))
            for made in (y, *grads) if y.shape == x.shape else grads:
                steps = [s for s, n in zip(made.stride(), made.shape, strict=True) if n > 1]
                assert steps == [s for s, n in zip(torch.empty_like(given).stride(), given.shape, strict=True) if n > 1], (
                    name
                )
        for strided, plain in zip(*results, strict=True):
            assert_same_bits(array(strided.contiguous()), array(plain.contiguous()))


@pytest.mark.parametrize("function", [f for f in FORWARD if len(f.inputs) == 2], ids=lambda f: f.name)
def test_gated_units_broadcast(function: Function, rng: np.random.Generator) -> None:
    gate, up = rng.standard_normal((4, 1, 5)), rng.standard_normal((3, 1))
    inputs = leaves(gate, up)
    y = public(function)(*inputs)
    assert_same_bits(array(y), function.public(gate, up))
    assert torch.autograd.gradcheck(public(function), inputs)


# Derivatives


@all_activations
def test_gradients_of_activations(function: Function, rng: np.random.Generator) -> None:
    given = leaves(*(np.where(np.abs(x) < 0.1, 0.5, x) for x in function.points(rng, (3, 4), np.float64)))
    assert torch.autograd.gradcheck(public(function), given)
    if function.name in SECOND:
        assert torch.autograd.gradgradcheck(public(function), given)


@pytest.mark.parametrize(
    "function", [FUNCTIONS[name] for name in sorted({n for n, _ in BY_PARAMETER})], ids=lambda f: f.name
)
def test_gradients_by_parameters(function: Function, rng: np.random.Generator) -> None:
    (x,) = leaves(rng.permuted(np.linspace(-3.1, 3, 20)).reshape(4, 5))
    given = parameters(function, rng, (5,), np.float64)
    assert torch.autograd.gradcheck(lambda x, *p: public(function)(x, *p), (x, *leaves(*given.values())))
    if len(given) > 1:  # one of them a number
        _, *others = given.values()
        assert torch.autograd.gradcheck(lambda x, *p: public(function)(x, 0.2, *p), (x, *leaves(*others)))
    assert torch.autograd.gradgradcheck(lambda x, *p: public(function)(x, *p), (x, *leaves(*given.values())))


@all_rows
def test_gradients_of_rows(name: str, rng: np.random.Generator) -> None:
    for o in row_options(name, rng):
        (x,) = leaves(rng.standard_normal((4, 5, 6))[:, :2])
        x = x.detach().requires_grad_()
        o = tensors(o)
        if o.get("where") is not None and name == "log_softmax":  # -inf has no difference
            continue
        assert torch.autograd.gradcheck(lambda x, o=o: getattr(nlt, name)(x, **o), x, fast_mode=True)
        assert torch.autograd.gradgradcheck(lambda x, o=o: getattr(nlt, name)(x, **o), x, fast_mode=True)


@all_losses
def test_gradients_of_losses(loss: Loss, rng: np.random.Generator) -> None:
    """Second ones too, with all options at once and with none."""
    shapes = [((3, 4, 2), 1), ((3, 1), -1)] if loss.by_rows else [((3, 4), -1)]
    chosen_options = (loss.choices()[0], loss.choices()[-1])
    for chosen, reduction, (shape, axis) in itertools.product(chosen_options, REDUCTIONS, shapes):
        o = tensors({**loss.keywords(rng, shape, axis, chosen), "reduction": reduction})
        given = [tensor(a) for a in loss.problem(rng, shape, axis)]
        x = given[loss.operand]
        if {"probs", "q"} & {loss.arguments[loss.operand]}:  # inside of the domain, differences too
            x = x.clamp(0.02, 0.98)
        x = x.clone().requires_grad_()

        def call(x: Any, given: list[Any] = given, o: dict[str, Any] = o) -> Any:
            return getattr(nlt, loss.name)(*(x if i == loss.operand else g for i, g in enumerate(given)), **o)

        assert torch.autograd.gradcheck(call, x, fast_mode=True)
        assert torch.autograd.gradgradcheck(call, x, fast_mode=True)


def test_gradients_of_linear_cross_entropy(rng: np.random.Generator) -> None:
    given = leaves(*(rng.standard_normal(s) for s in ((2, 3, 4), (7, 4), (7,))))
    targets = tensor(rng.integers(0, 7, (2, 3)))

    def call(x: Any, weight: Any, bias: Any) -> Any:
        return nlt.linear_cross_entropy(x, weight, targets, bias=bias, z_loss=0.01)

    assert torch.autograd.gradcheck(call, given)
    (first, *_) = torch.autograd.grad(call(*given), given, create_graph=True)
    with pytest.raises(NotImplementedError, match=r"linear_cross_entropy of nonlin\.torch has no second derivative"):
        first.sum().backward()


@all_dtypes
def test_second_derivatives_of_far_arguments(dtype: np.dtype) -> None:
    """They are finite wherever the first ones are, and of 16 bits as precise as 16 bits are."""
    ends = [1e3, 6e4] + [1e30] * (dtype == np.float32) + [1e300] * (dtype == np.float64)
    points = np.array([-x for x in ends] + [-30.0, -1.5, 0.25, 1.5, 30.0] + ends)
    for function in (f for f in FORWARD if len(f.inputs) == 1 and f.name in SECOND):
        (x,) = leaves(points.astype(dtype))
        exact = x.detach().double().requires_grad_()
        seconds = []
        for leaf in (x, exact):
            (first,) = torch.autograd.grad(public(function)(leaf).sum(), leaf, create_graph=True)
            seconds.append(torch.autograd.grad(first.sum(), leaf)[0] if first.requires_grad else torch.zeros_like(leaf))
        assert seconds[0].dtype == x.dtype
        assert torch.isfinite(seconds[1]).all(), function.name
        eps = float(torch.finfo(x.dtype).eps)
        torch.testing.assert_close(seconds[0].double(), seconds[1], rtol=64 * eps, atol=32 * eps, msg=function.name)


def test_a_new_function_has_first_derivatives(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in no table raises by the second derivative only."""
    monkeypatch.delitem(BY_PARAMETER, ("elu", "alpha"))
    x = torch.ones(3, dtype=torch.float64, requires_grad=True)
    for table, name, by, f in (
        (SECOND, "silu", "x", nlt.silu),
        (SECOND, "swiglu", "gate", lambda x: nlt.swiglu(x, x.detach())),
        (HESSIANS, "focal_loss", "logits", lambda x: nlt.focal_loss(x, torch.tensor(0))),
    ):
        monkeypatch.delitem(table, name)
        (first,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
        with pytest.raises(NotImplementedError, match=rf"{name} of nonlin\.torch has no second derivative by {by}"):
            first.sum().backward()
    with pytest.raises(NotImplementedError, match=r"elu of nonlin\.torch has no first derivative by alpha"):
        nlt.elu(-x, alpha=x).sum().backward()


# Operators by torch's own checks


# What operators are differentiable by
BY = {"grad", "x", "y", "gate", "up", "logits", "probs", "log_probs", "q", *(p for _, p in BY_PARAMETER)}
HAVE_SECOND = {*SECOND, *HESSIANS, "softmax", "log_softmax", "logsumexp"}


def values_of(forward: str, overload: str, rng: np.random.Generator) -> dict[str, Any]:
    """Values for all arguments of an operator and of its gradient, by name."""
    function = next((f for f in FORWARD if f.name == forward), None)
    if function is not None:
        arrays = function.points(rng, (3, 5), np.float32)
        given = parameters(function, rng, (5,), np.float32) if overload else function.parameters
        return {**dict(zip(function.inputs, arrays, strict=True)), **given}
    defaults = {n: p.default for n, p in inspect.signature(getattr(nl, forward)).parameters.items()}
    if forward == "linear_cross_entropy":
        x, weight, bias = (rng.standard_normal(s).astype(np.float32) for s in ((3, 4), (5, 4), (5,)))
        return {**defaults, "x": x, "weight": weight, "bias": bias, "targets": np.array([4, 0, 2])}
    loss = next((f for f in LOSSES if f.name == forward), None)
    if loss is not None:
        given = dict(zip(loss.arguments, loss.problem(rng, (3, 5), 1, np.float32), strict=True))
        return {**defaults, **given, **loss.keywords(rng, (3, 5), 1, loss.choices()[-1], np.float32), "reduction": "none"}
    x = rng.standard_normal((3, 5)).astype(np.float32)
    return {"x": x, "axis": [1], "scale": 0.5, "keepdims": False, "where": np.arange(15).reshape(3, 5) % 4 > 0}


def sample(name: str, rng: np.random.Generator) -> list[Any]:
    """Arguments of an operator, in the order of its schema."""
    base, dot, overload = name.partition(".")
    forward = base.removesuffix("_backward")
    values = values_of(forward, overload, rng)
    values = {n: tensor(v) if isinstance(v, np.ndarray) else v for n, v in values.items()}
    if base != forward:
        op = nlt._OPERATORS[forward + dot + overload]
        values["y"] = op(*(values[a.name] for a in op._schema.arguments))
        values["grad"] = torch.ones_like(values["y"])
    by = BY | ({"weight", "bias"} if forward == "linear_cross_entropy" else set())
    given = [values[a.name] for a in nlt._OPERATORS[name]._schema.arguments]
    if base != forward and forward not in HAVE_SECOND:
        return given
    names = [a.name for a in nlt._OPERATORS[name]._schema.arguments]
    return [v.requires_grad_() if n in by and isinstance(v, torch.Tensor) else v for n, v in zip(names, given, strict=True)]


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_fake_results(dtype: str, rng: np.random.Generator) -> None:
    """Shapes, types and layouts are known before anything is computed, for others than opcheck's float32 in rows too."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    for name, op in nlt._OPERATORS.items():
        given = [v.detach() if isinstance(v, torch.Tensor) else v for v in sample(name, rng)]
        given = [v.to(getattr(torch, dtype)) if isinstance(v, torch.Tensor) and v.is_floating_point() else v for v in given]
        by_columns = [v.mT.contiguous().mT if isinstance(v, torch.Tensor) and v.ndim == 2 else v for v in given]
        for values in (given, by_columns):
            results = op(*values)
            with FakeTensorMode(allow_non_fake_inputs=True) as mode:
                fakes = op(*(mode.from_tensor(v) if isinstance(v, torch.Tensor) else v for v in values))
            for fake, made in zip(*((r if isinstance(r, tuple) else (r,)) for r in (fakes, results)), strict=True):
                assert (fake.shape, fake.dtype, fake.stride()) == (made.shape, made.dtype, made.stride()), name


@pytest.mark.parametrize("name", sorted(nlt._OPERATORS))
def test_opcheck(name: str, rng: np.random.Generator) -> None:
    results = torch.library.opcheck(nlt._OPERATORS[name], tuple(sample(name, rng)))
    assert set(results.values()) == {"SUCCESS"}, results


# Compiled, transformed, and in torch's modes


def every_call(rng: np.random.Generator) -> list[tuple[str, Call, list[Any]]]:
    """A call of each public function, with tensors that it is differentiable by."""
    calls: list[tuple[str, Call, list[Any]]] = []
    for f in FORWARD:
        calls.append((f.name, public(f), leaves(*f.points(rng, (4, 5), np.float32))))
        if f.parameters:
            by_tensors = functools.partial(public(f), **tensors(parameters(f, rng, (5,), np.float32)))
            calls.append((f.name, by_tensors, leaves(*f.points(rng, (4, 5), np.float32))))
    (x,) = leaves(rng.standard_normal((4, 5)).astype(np.float32))
    calls.append(("softmax", lambda x: nlt.softmax(x, 0, scale=0.5), [x]))
    calls.append(("log_softmax", lambda x: nlt.log_softmax(x, axis=(0, 1)), [x]))
    calls.append(("logsumexp", lambda x: nlt.logsumexp(x, None, keepdims=True, where=torch.arange(5) > 1), [x]))
    for loss in LOSSES:
        given = list(map(tensor, loss.problem(rng, (4, 5), -1, np.float32)))
        o = tensors(loss.keywords(rng, (4, 5), -1, loss.choices()[-1], np.float32))
        x = given[loss.operand].requires_grad_()

        def call(x: Any, loss: Loss = loss, given: list[Any] = given, o: dict[str, Any] = o) -> Any:
            return getattr(nlt, loss.name)(*(x if i == loss.operand else g for i, g in enumerate(given)), **o)

        calls.append((loss.name, call, [x]))
    given = leaves(*(rng.standard_normal(s).astype(np.float32) for s in ((4, 5), (3, 5), (3,))))
    targets = torch.tensor([0, 1, 2, 0])
    calls.append(("linear_cross_entropy", lambda x, w, b: nlt.linear_cross_entropy(x, w, targets, bias=b), given))
    return calls


def test_there_is_a_call_of_each(rng: np.random.Generator) -> None:
    forms = {f.name: f.called for f in FORWARD}
    called = {forms.get(name, name) for name, _, _ in every_call(rng)}
    assert called == {*nlt.__all__}
    assert called == {n for n in nl.__all__ if hasattr(nl, n + "_backward") and not n.startswith("_")}


def test_compiled_whole(rng: np.random.Generator) -> None:
    """One graph without a break, forward and backward, of every function; the same bits."""
    calls = every_call(rng)

    def program(inputs: list[list[Any]]) -> list[Any]:
        return [call(*given) for (_, call, _), given in zip(calls, inputs, strict=True)]

    inputs = [given for *_, given in calls]
    flat = list(dict.fromkeys(x for given in inputs for x in given))
    graphs: list[Any] = []
    results = []
    for run in (program, torch.compile(program, fullgraph=True, backend=counting(graphs))):
        made = run(inputs)
        results.append((*made, *torch.autograd.grad([y.sum() for y in made], flat)))
    assert len(graphs) == 1
    for compiled, eager in zip(*results, strict=True):
        assert_same_bits(array(compiled), array(eager))


def counting(graphs: list[Any]) -> Call:
    """torch's backend aot_eager, which also keeps the graphs that it gets."""
    from torch._dynamo.backends.registry import lookup_backend

    def backend(graph: Any, given: Any) -> Any:
        graphs.append(graph)
        return lookup_backend("aot_eager")(graph, given)

    return backend


def test_compiled_for_any_shape(rng: np.random.Generator) -> None:
    @torch.compile(fullgraph=True, backend="aot_eager", dynamic=True)
    def step(x: Any, gate: Any, targets: Any) -> Any:
        return nlt.cross_entropy(nlt.swiglu(gate, nlt.gelu(x, approximate="tanh")), targets, axis=1)

    for n, c in ((4, 5), (6, 7), (9, 3)):
        x, gate = leaves(*rng.standard_normal((2, n, c, 2)))
        targets = tensor(rng.integers(0, c, (n, 2)))
        loss = step(x, gate, targets)
        assert array(loss) == nl.cross_entropy(
            nl.swiglu(array(gate), nl.gelu(array(x), approximate="tanh")), array(targets), axis=1
        )
        loss.backward()
        assert x.grad.shape == gate.grad.shape == x.shape


def test_without_gradients(rng: np.random.Generator) -> None:
    for name, call, given in every_call(rng):
        expected = call(*given)
        assert expected.requires_grad, name
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                y = call(*given)
            assert not y.requires_grad
            assert_same_bits(array(y), array(expected))


def test_vmap(rng: np.random.Generator, capfd: pytest.CaptureFixture[str]) -> None:
    """By calls of an operator for each of a batch."""
    for _, call, given in every_call(rng):
        batch = [torch.stack([g, -g, 2 * g], dim=1).detach() for g in given]
        if any((b < 0).any() for b in batch) and min(map(torch.min, given)) >= 0:  # probabilities
            batch = [torch.stack([g, g / 2, g / 3], dim=1).detach() for g in given]
        each = [call(*(b.select(1, i) for b in batch)) for i in range(3)]
        assert_same_bits(array(torch.vmap(call, in_dims=1)(*batch)), array(torch.stack(each)))
    gate, up = torch.randn(3, 4, 5), torch.randn(5)
    y = torch.vmap(nlt.swiglu, in_dims=(0, None))(gate, up)
    assert_same_bits(array(y), nl.swiglu(array(gate), array(up)))
    both = torch.vmap(torch.ops.nonlin.swiglu_backward, in_dims=(None, 0, None))(up, gate, up)
    assert_same_bits(tuple(map(array, both)), nl.swiglu_backward(array(up), array(gate), array(up)))
    assert capfd.readouterr().err == ""  # torch would say what it does slowly
    with pytest.raises(ValueError, match=r"vmap is over an axis of length 0; gelu of nonlin\.torch takes 1 or more"):
        torch.vmap(nlt.gelu)(gate[:0])


def test_batched_gradients(rng: np.random.Generator) -> None:
    """Jacobians by torch.autograd, whose vectors are batched by vmap; torch.func.grad takes no operator of torch.library."""
    (x,) = leaves(rng.standard_normal((3, 4)))
    made = torch.autograd.functional.jacobian(nlt.softmax, x[0].detach(), vectorize=True)
    np.testing.assert_allclose(array(made), nl.softmax_jacobian(nl.softmax(array(x[0]))), rtol=1e-14)
    with pytest.raises(RuntimeError, match="setup_context"):
        torch.func.grad(lambda x: nlt.gelu(x).sum())(x.detach())


def test_checkpoints_and_autocast() -> None:
    x = torch.randn(4, 5, requires_grad=True)
    y = torch.utils.checkpoint.checkpoint(lambda x: nlt.mish(nlt.softmax(x)), x, use_reentrant=False)
    (g,) = torch.autograd.grad(y.sum(), x)
    (e,) = torch.autograd.grad(nlt.mish(nlt.softmax(x)).sum(), x)
    assert torch.equal(g, e)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = torch.nn.functional.linear(x, torch.randn(3, 5))
        assert nlt.gelu(logits).dtype == torch.bfloat16
        assert nlt.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).dtype == torch.float32


# Errors


def test_errors_name_the_argument() -> None:
    x, classes = torch.zeros(2, 3), torch.tensor([0, 1])
    half = torch.zeros(2, dtype=torch.float16)
    for call, error, message in (
        (lambda: nlt.gelu([1.0]), TypeError, r"x is a list; nonlin\.torch takes tensors"),
        (lambda: nlt.gelu(np.ones(3)), TypeError, r"x is a ndarray; nonlin\.torch takes tensors: torch\.as_tensor\(x\)"),
        (lambda: nlt.swiglu(x, 1.0), TypeError, "up is a float"),
        (lambda: nlt.gelu(x, approximate="erf"), ValueError, "approximate is 'erf'; it takes 'none' or 'tanh'"),
        (lambda: nlt.gelu(x, axis=1), TypeError, "unexpected keyword argument 'axis'"),
        (lambda: nlt.gelu(), TypeError, "missing a required argument: 'x'"),
        (lambda: nlt.gelu(x, x=x), TypeError, "multiple values for argument 'x'"),
        (lambda: nlt.relu(x.to(torch.complex64)), TypeError, "x has dtype torch.complex64; it takes float16"),
        (lambda: nlt.relu(x.to(torch.float8_e5m2)), TypeError, "x has dtype torch.float8_e5m2"),
        (lambda: nlt.swiglu(half, half.bfloat16()), TypeError, "gate and up are float16 and bfloat16"),
        (lambda: nlt.gelu(x, approximate=np.array(["none", "tanh"])), ValueError, "approximate is array"),
        (lambda: nlt.elu(x, torch.tensor(1j)), TypeError, "alpha has dtype torch.complex64"),
        (lambda: nlt.elu(x, 10**400), TypeError, "alpha is 10000.*; it takes a number or a tensor"),
        (lambda: nlt.elu(x, torch.ones(3, device="meta")), TypeError, r"a tensor is torch\.strided on the device meta"),
        (lambda: nlt.softmax(x, where=(x > 0).to("meta")), TypeError, r"a tensor is torch\.strided on the device meta"),
        (lambda: nlt.relu(torch.nested.nested_tensor([x, x], layout=torch.jagged)), TypeError, "x is a nested tensor"),
        (lambda: nlt.softmax(x, scale=10**400), TypeError, "scale is 1000.*; it takes a number"),
        (lambda: nlt.cross_entropy(x, classes, reduction=np.array("sum")), ValueError, r"reduction is array\('sum'"),
        (lambda: nlt.cross_entropy(x, classes, ignore_index=2**63), ValueError, "it takes an integer of 64 bits"),
        (lambda: nlt.cross_entropy(x.to("meta"), classes.to("meta"), axis=2), np.exceptions.AxisError, "axis 2 is out"),
        (lambda: nlt.elu(x, "1"), TypeError, "alpha is '1'; it takes a number or a tensor"),
        (lambda: nlt.elu(x, None), TypeError, "alpha is None; it takes a number or a tensor"),
        (
            lambda: nlt.relu(x.to_sparse()),
            TypeError,
            r"a tensor is torch\.sparse_coo on the device cpu; nonlin\.torch takes dense",
        ),
        (lambda: nlt.relu(x.to_mkldnn()), TypeError, r"a tensor is torch\._mkldnn"),
        (lambda: nlt.softmax(x, 2), np.exceptions.AxisError, "axis 2 is out of bounds"),
        (lambda: nlt.softmax(x, "a"), TypeError, "axis is 'a'; it takes an integer"),
        (lambda: nlt.softmax(x, (0, -2)), ValueError, "names an axis twice"),
        (lambda: nlt.softmax(x, scale="a"), TypeError, "scale is 'a'; it takes a number"),
        (lambda: nlt.softmax(x, where=x), TypeError, "where has dtype torch.float32; it takes booleans"),
        (lambda: nlt.softmax(x, where=[True]), TypeError, "where is a list"),
        (lambda: nlt.softmax(x[:, :0]), ValueError, "empty"),
        (lambda: nlt.cross_entropy(x, [0, 1]), TypeError, "targets is a list"),
        (
            lambda: nlt.cross_entropy(x, classes, reduction="avg"),
            ValueError,
            "reduction is 'avg'; it takes 'mean', 'sum' or 'none'",
        ),
        (lambda: nlt.cross_entropy(x, classes, ignore_index=0.5), TypeError, "ignore_index is 0.5; it takes an integer"),
        (lambda: nlt.cross_entropy(x, classes, ignore_index=x), TypeError, "ignore_index is a tensor"),
        (lambda: nlt.cross_entropy(x, classes, z_loss=None), TypeError, "z_loss is None; it takes a number"),
        (lambda: nlt.cross_entropy(x, classes, label_smoothing=2.0), ValueError, "label_smoothing is 2"),
        (lambda: nlt.cross_entropy(x, classes, weight="a"), TypeError, "weight is 'a'; it takes a tensor or a number"),
        (lambda: nlt.cross_entropy(x, classes + 2), IndexError, "targets"),
        (lambda: nlt.cross_entropy(x, classes, axis=0), ValueError, "targets"),
        (lambda: nlt.cross_entropy(x, classes, axis=3), np.exceptions.AxisError, "axis 3 is out of bounds"),
        (lambda: nlt.cross_entropy(x, classes, axis=None), TypeError, "axis is None; it takes an integer"),
        (lambda: nlt.binary_focal_loss_with_logits(x, x, alpha=x), TypeError, "alpha is a tensor"),
        (lambda: nlt.linear_cross_entropy(x, x, classes, chunk_rows="a"), TypeError, "chunk_rows is 'a'"),
    ):
        with pytest.raises(error, match=message):
            call()


def test_gradients_that_do_not_exist_are_refused() -> None:
    """Rather than left out: torch's own losses are differentiable by targets of floats."""
    x, y = torch.rand(2, 3, requires_grad=True), torch.rand(2, 3, requires_grad=True)
    message = r"targets requires a gradient; cross_entropy of nonlin\.torch has one by logits: pass targets\.detach\(\)"
    with pytest.raises(TypeError, match=message):
        nlt.cross_entropy(x, y)
    with pytest.raises(TypeError, match="p requires a gradient; kl_divergence"):
        nlt.kl_divergence(x, y)
    with pytest.raises(TypeError, match="weight requires a gradient"):
        nlt.cross_entropy(x, torch.tensor([0, 1]), weight=torch.ones(3, requires_grad=True))
    with torch.no_grad():
        nlt.cross_entropy(x, y)


def test_other_devices_are_refused() -> None:
    """What other devices' tensors get; a fake tensor needs none of them."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(), pytest.raises(TypeError, match=r"a tensor is torch\.strided on the device cuda:0.*\.cpu\(\)"):
        nlt._refuse(torch.empty(3, device="cuda"))
    assert nlt.gelu(torch.empty(3, 4, device="meta")).shape == (3, 4)


def test_documentation() -> None:
    for name in nlt.__all__:
        function, own = getattr(nlt, name), inspect.signature(getattr(nl, name))
        assert function.__doc__.count(f"`nonlin.{name}`") >= 3
        signature = inspect.signature(function)
        names = [*signature.parameters]
        assert names == [n for n in own.parameters if n in names], name
        for key, parameter in signature.parameters.items():
            assert (parameter.default, parameter.kind) == (own.parameters[key].default, own.parameters[key].kind), name
        assert function.__module__ == "nonlin.torch"
