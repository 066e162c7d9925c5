"""The losses with every option: values, gradients, errors."""

import inspect
import itertools
import math
from typing import Any

import numpy as np
import pytest
from ml_dtypes import finfo

import nonlin as nl
from nonlin import _core, losses, reference

from . import oracle
from .oracle import (
    FLOATS,
    HALVES,
    LOSSES,
    Loss,
    as_tuple,
    assert_rounded,
    assert_same_bits,
    ulp_error,
    wide,
    working_dtype,
)

INF, NAN = np.inf, np.nan
REDUCTIONS = ("mean", "sum", "none")
ROWS = [((6, 5), -1), ((5,), 0), ((5, 6), 0), ((3, 5, 4), 1), ((2, 3, 5), 2)]  # shapes, class axis of 5
ENTRIES = [((), -1), ((1,), -1), ((6, 5), -1), ((3, 5, 4), -1)]  # for losses that have no class axis

all_dtypes = pytest.mark.parametrize("dtype", FLOATS, ids=str)
all_losses = pytest.mark.parametrize("loss", LOSSES, ids=str)
losses_by_rows = pytest.mark.parametrize("loss", [f for f in LOSSES if f.by_rows], ids=str)
losses_by_name = pytest.mark.parametrize("loss", {f.name: f for f in LOSSES}.values(), ids=lambda f: f.name)
losses_of_classes = pytest.mark.parametrize("loss", [f for f in LOSSES if not f.soft], ids=str)
losses_of_probabilities = pytest.mark.parametrize("loss", [f for f in LOSSES if f.arguments[0] == "probs"], ids=str)


def describe(value: Any) -> str:
    """A loss, or a set of options."""
    return ("-".join(value) or "plain") if isinstance(value, tuple) else str(value)


def by_name(name: str, soft: bool = False) -> Loss:
    return next(f for f in LOSSES if f.name == name and (f.soft == soft or f.kind != "targets"))


def assert_near(got: Any, exact: Any, least: float = 1) -> None:
    """Within a few roundings, of the largest number or `least` where terms cancel."""
    exact = wide(np.asarray(exact))
    eps = float(finfo(working_dtype(got.dtype)).eps)
    largest = np.max(np.abs(exact), initial=least, where=np.isfinite(exact))
    assert_rounded(got, exact, eps * (64 * np.abs(exact) + 8 * largest))


def assert_is_reference(loss: Loss, given: list[np.ndarray], o: dict[str, Any], rng: np.random.Generator) -> None:
    """Loss and gradients, with a random upstream gradient, against the formulas in float64."""
    x = given[loss.operand]
    exact = [wide(a) for a in given]
    exact_o = {name: wide(value) for name, value in o.items()}
    forward, backward, *with_grad = loss.functions()
    exact_forward, exact_backward, *_ = loss.functions(reference)

    value, exact_value = forward(*given, **o), exact_forward(*exact, **exact_o)
    assert value.dtype == working_dtype(x.dtype)
    assert np.shape(value) == (loss.losses_shape(x.shape, o.get("axis", -1)) if o["reduction"] == "none" else ())
    assert_near(value, exact_value)

    upstream = rng.standard_normal(np.shape(value)).astype(value.dtype)
    gradients = [(backward(upstream, *given, **o), wide(upstream))]
    if with_grad:
        both = with_grad[0](*given, **o)
        assert_same_bits(both[0], value)
        gradients.append((both[1], np.ones_like(exact_value)))
    for grad, by in gradients:
        assert (grad.shape, grad.dtype) == (x.shape, x.dtype)
        counted = math.prod(loss.losses_shape(x.shape, o.get("axis", -1))) if o["reduction"] == "mean" else 1
        assert_near(grad, exact_backward(by, *exact, **exact_o), np.max(np.abs(by)) / counted)


def every_result(loss: Loss, given: list[np.ndarray], upstream: Any, **o: Any) -> tuple[Any, ...]:
    """Loss and gradients: all that the functions of a loss return."""
    forward, backward, *with_grad = loss.functions()
    both = with_grad[0](*given, **o) if with_grad else ()
    return forward(*given, **o), backward(upstream, *given, **o), *both


def every_call(loss: Loss, given: list[Any], upstream: Any, out: Any = None, **o: Any) -> list[Any]:
    """Calls of the functions of a loss, those with a gradient writing to out; nothing is called yet."""
    forward, backward, *with_grad = loss.functions()
    return [
        lambda: forward(*given, **o),
        lambda: backward(upstream, *given, out=out, **o),
        *(lambda f=f: f(*given, out=out, **o) for f in with_grad),
    ]


@losses_by_name
def test_signature_is_that_of_the_table(loss: Loss) -> None:
    assert hasattr(nl, f"{loss.name}_with_grad") == loss.with_grad
    forward, *others = loss.functions()
    for f, first, last in [(forward, [], []), *((f, ["grad"] if "backward" in f.__name__ else [], ["out"]) for f in others)]:
        parameters = inspect.signature(f).parameters
        positional = [name for name, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert positional == [*first, *loss.arguments]
        assert list(parameters)[len(positional) :] == [*loss.options, *last]
        assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in (*loss.options, *last))


# Values


@all_dtypes
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("loss", "chosen"),
    [(f, chosen) for f in LOSSES for chosen in f.choices()],
    ids=describe,
)
def test_against_reference(
    loss: Loss, chosen: tuple[str, ...], reduction: str, dtype: np.dtype, rng: np.random.Generator
) -> None:
    for shape, axis in ROWS if loss.by_rows else ENTRIES:
        given = loss.problem(rng, shape, axis, dtype)
        assert_is_reference(loss, given, {**loss.keywords(rng, shape, axis, chosen, dtype), "reduction": reduction}, rng)


class General(np.ndarray):
    """An array that is not plain, so that a call with it goes the general way."""


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda t: t.__name__)
@all_losses
def test_plain_arguments_have_the_bits_of_the_general_way(
    loss: Loss, dtype: type, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    was_plain = []

    def spy(*arguments: Any) -> Any:
        result = _core.plain_loss(*arguments)
        was_plain.append(result is not None)
        return result

    monkeypatch.setattr(losses, "_plain_loss", spy)
    names = [name for name in ("ignore_index", "label_smoothing", "z_loss") if name in loss.options]
    for shape in ((7,), (50, 1), (40, 100), (3, 700, 5), (2, 9000)):
        given = loss.problem(rng, shape, -1, dtype)
        for reduction, chosen in itertools.product(REDUCTIONS, ((), tuple(names))):
            o = {**loss.keywords(rng, shape, -1, chosen, dtype), "reduction": reduction}
            upstream: Any = 0.7 if reduction != "none" else rng.standard_normal(loss.losses_shape(shape)).astype(dtype)
            was_plain.clear()
            results = every_result(loss, given, upstream, **o)
            calls = len(loss.functions())
            assert was_plain == [*[True] * (calls - 1), reduction != "none"]  # the gradient alone is called last
            general = every_result(loss, [a.view(General) for a in given], upstream, **o)
            assert was_plain[calls:] == [False] * calls
            assert [type(a) for a in results] == [type(a) for a in general]
            assert_same_bits(results, general)


@all_dtypes
@losses_by_rows
def test_one_class(loss: Loss, dtype: np.dtype, rng: np.random.Generator) -> None:
    for shape, axis in (((1,), 0), ((50, 1), -1), ((1, 50), 0)):
        for reduction in REDUCTIONS:
            assert_is_reference(loss, loss.problem(rng, shape, axis, dtype), {"axis": axis, "reduction": reduction}, rng)


@all_dtypes
@all_losses
def test_wide_rows_and_large_arrays(loss: Loss, dtype: np.dtype, rng: np.random.Generator) -> None:
    for shape, axis in (((2, 100_000), -1), ((100_000, 2), 0)) if loss.by_rows else (((1000, 1000), -1),):
        given = loss.problem(rng, shape, axis, dtype)
        chosen = () if loss.kind == "rows" else ("weight",)
        assert_is_reference(loss, given, {**loss.keywords(rng, shape, axis, chosen, dtype), "reduction": "mean"}, rng)


def torch_loss(torch: Any, loss: Loss, given: list[Any], o: dict[str, Any]) -> Any:
    """The loss by torch, whose classes lie along axis 1 if there is a batch. z_loss and ignore_index of floats it lacks."""
    functional, reduction = torch.nn.functional, o["reduction"]
    o = {name: torch.tensor(v) if isinstance(v, np.ndarray) else v for name, v in o.items() if name != "axis"}
    if loss.kind == "elements":
        return getattr(functional, loss.name)(*given, **o)
    if loss.name == "cross_entropy":
        return functional.cross_entropy(*given, **o)
    if not loss.soft:
        log_p = given[0] if loss.name == "nll_loss" else given[0].log()
        return functional.nll_loss(log_p, given[1], **o)
    axis = min(1, given[0].ndim - 1)
    if loss.kind == "rows":
        log_q = given[1].log() if loss.name == "kl_divergence" else given[1].log_softmax(axis)
        if given[0].ndim == 2 and reduction != "none":
            return functional.kl_div(log_q, given[0], reduction="batchmean" if reduction == "mean" else "sum")
        losses = functional.kl_div(log_q, given[0], reduction="none").sum(axis)
    else:
        log_p = given[0] if loss.name == "nll_loss" else given[0].log()
        weight = o.get("weight", torch.ones(5)).reshape(-1, *[1] * (given[0].ndim - 1 - axis))
        losses = -(weight * given[1] * log_p).sum(axis)
    return {"mean": losses.mean, "sum": losses.sum, "none": lambda: losses}[reduction]()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("loss", "chosen"),
    [
        (f, chosen)
        for f in LOSSES
        for chosen in f.choices()
        if "z_loss" not in chosen and not (f.soft and "ignore_index" in chosen)
    ],
    ids=describe,
)
def test_against_torch(loss: Loss, chosen: tuple[str, ...], reduction: str, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    for shape, axis in (((6, 5), -1), ((5,), 0), ((3, 5, 4), 1)):
        given = loss.problem(rng, shape, axis)
        o = {**loss.keywords(rng, shape, axis, chosen), "reduction": reduction}
        tensors = [torch.tensor(a) for a in given]
        x = tensors[loss.operand].requires_grad_()
        expected = torch_loss(torch, loss, tensors, o)
        upstream = rng.standard_normal(expected.shape)
        forward, backward, *with_grad = loss.functions()
        exact = torch.autograd.grad(expected, x, torch.tensor(upstream), retain_graph=True)[0].numpy()
        np.testing.assert_allclose(forward(*given, **o), expected.detach().numpy(), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(backward(upstream, *given, **o), exact, rtol=1e-11, atol=1e-14)
        if with_grad:
            exact = torch.autograd.grad(expected.sum(), x)[0].numpy()
            np.testing.assert_allclose(with_grad[0](*given, **o)[1], exact, rtol=1e-11, atol=1e-14)


@pytest.mark.every_target
@pytest.mark.parametrize("classes", [1, 2, 10, 64, 300, 1000, 32000])
@all_dtypes
@losses_by_rows
def test_many_rows_and_classes(loss: Loss, classes: int, dtype: np.dtype, rng: np.random.Generator) -> None:
    """Both layouts, sizes on either side of every kernel, and each row on its own."""
    rows = max(3, 20_000 // classes)
    given = loss.problem(rng, (rows, classes), -1, dtype)
    upstream = rng.standard_normal(rows).astype(working_dtype(dtype))
    exact = [
        f(*operands, reduction="none")
        for f, operands in zip(
            loss.functions(reference), ([wide(a) for a in given], [wide(a) for a in (upstream, *given)]), strict=False
        )
    ]
    every = every_result(loss, given, upstream, reduction="none")
    for i in (0, rows // 2, rows - 1):
        one = slice(i, i + 1)
        alone = every_result(loss, [a[one] for a in given], upstream[one], reduction="none")
        assert_same_bits(alone, tuple(y[one] for y in every))
    columns = [a.T.copy() for a in given]
    for layout, axis in ((given, -1), (columns, 0), ([np.asfortranarray(a) for a in given], -1)):
        value, grad, *_ = every_result(loss, layout, upstream, axis=axis, reduction="none")
        assert_near(value, exact[0])
        assert_near(grad if axis else grad.T, exact[1])


@pytest.mark.every_target
@pytest.mark.parametrize("classes", [1, 2, 10, 64, 300, 1000, 32000])
@all_dtypes
def test_accuracy_with_many_rows_and_classes(classes: int, dtype: np.dtype, rng: np.random.Generator) -> None:
    """Of the cross-entropy of classes, which keeps its relative accuracy."""
    rows = max(3, 20_000 // classes)
    logits, targets = by_name("cross_entropy").problem(rng, (rows, classes))
    logits = logits.astype(dtype)
    exact_loss, exact_grad = reference.cross_entropy_with_grad(logits.astype(np.float64), targets, reduction="none")
    roundings = 100 if dtype == np.float64 else 8  # the reference has some of its own in float64
    close = roundings * float(finfo(working_dtype(dtype)).eps)
    loss, grad = nl.cross_entropy_with_grad(logits, targets, reduction="none")
    columns, columns_grad = nl.cross_entropy_with_grad(logits.T.copy(), targets, axis=0, reduction="none")
    strided, strided_grad = nl.cross_entropy_with_grad(np.asfortranarray(logits), targets, reduction="none")
    for y, dy in ((loss, grad), (columns, columns_grad.T), (strided, strided_grad)):
        np.testing.assert_allclose(y, exact_loss, rtol=close, atol=0)
        assert_rounded(dy, exact_grad, close * np.abs(exact_grad))


@pytest.mark.every_target
@pytest.mark.parametrize(("dtype", "bound"), [(t, 0.6 if t in HALVES else 4) for t in FLOATS if t.itemsize < 8], ids=str)
@pytest.mark.parametrize("lead", [0, 10, 17, 40, 100])
@pytest.mark.parametrize("classes", [2, 10, 100, 5000])
def test_gradient_accuracy(classes: int, lead: float, dtype: np.dtype, bound: float, rng: np.random.Generator) -> None:
    """For every entry, and relative accuracy of loss and gradient where the prediction is nearly right."""
    logits = rng.standard_normal((8, classes)).astype(np.float32)
    targets = rng.integers(0, classes, 8)
    logits[np.arange(8), targets] += np.float32(lead)
    for shift in (0, 1e4, -1e4):
        z = (logits + np.float32(shift)).astype(dtype)
        exact_loss, exact_grad = reference.cross_entropy_with_grad(z.astype(np.float64), targets, reduction="none")
        for soft in (False, True):
            t = np.eye(classes, dtype=dtype)[targets] if soft else targets
            loss, grad = nl.cross_entropy_with_grad(z, t, reduction="none")
            assert np.max(ulp_error(grad, exact_grad)) <= bound
            assert np.max(ulp_error(loss, exact_loss)) <= 4


def test_known_losses() -> None:
    loss, grad = nl.cross_entropy_with_grad([2.0, 1.0, 0.1], 0)
    assert loss == pytest.approx(0.417, abs=1e-3)
    np.testing.assert_allclose(grad, [-0.341, 0.242, 0.099], atol=1e-3)
    for dtype in (np.float32, np.float64):
        loss, grad = nl.cross_entropy_with_grad(np.array([20, 0], dtype), 0)
        assert loss == pytest.approx(math.log1p(math.exp(-20)), rel=1e-6)
        np.testing.assert_allclose(grad, np.array([-1, 1]) / (1 + math.exp(20)), rtol=1e-6)
    assert nl.cross_entropy(np.zeros((4, 7)), [0, 1, 2, 3]) == pytest.approx(math.log(7))


@all_dtypes
def test_infinite_logits(dtype: np.dtype) -> None:
    logits = np.array([[-INF, 0, 0], [1, -INF, -INF]], dtype)
    for targets in ([1, 0], np.array([[0, 1, 0], [1, 0, 0]], dtype)):
        loss, grad = nl.cross_entropy_with_grad(logits, targets, reduction="none")
        np.testing.assert_allclose(loss, [math.log(2), 0], rtol=1e-3)
        np.testing.assert_allclose(grad, [[0, -0.5, 0.5], [0, 0, 0]], rtol=1e-3)
    np.testing.assert_array_equal(nl.cross_entropy(logits, [0, 2], reduction="none"), [INF, INF])
    for bad in (NAN, INF):
        loss, grad = nl.cross_entropy_with_grad(np.array([[bad, 0], [1, 1]], dtype), [1, 0], reduction="none")
        assert np.isnan(grad[0]).all()
        assert np.isfinite(grad[1]).all()
        assert not np.isfinite(loss[0])


@pytest.mark.every_target
@all_dtypes
def test_nan_stays_nan_whatever_its_payload(dtype: np.dtype) -> None:
    """GPUs write 0x7fffffff, which a rounding to 16 bits would carry into a zero."""
    nan = np.array([0x7FFFFFFF, 0xFFFFFFFF], np.uint32).view(np.float32)
    for classes in (3, 300):
        logits = np.zeros((2, classes), dtype)
        assert np.isnan(nl.cross_entropy_backward(nan, logits, [0, 1], reduction="none").astype(np.float64)).all()


# Special values

LOG2 = math.log(2)
FAR = math.exp(-40)  # sigmoid(-40), and softplus(-40), to 18 digits

# For each loss: operands, options, the losses of the rows or entries, and their gradients, None for "not stated".
SPECIAL: dict[str, list[tuple[Any, Any, dict[str, Any], Any, Any]]] = {
    "cross_entropy": [
        ([[-INF, 0, 0], [1, -INF, -INF]], [1, 0], {}, [LOG2, 0], [[0, -0.5, 0.5], [0, 0, 0]]),
        ([[-INF, 0, 0], [1, -INF, -INF]], [[0, 1.0, 0], [1, 0, 0]], {}, [LOG2, 0], [[0, -0.5, 0.5], [0, 0, 0]]),
        ([[-INF, 0], [0, -INF]], [0, 1], {}, [INF, INF], [[-1, 1], [1, -1]]),
        ([[-INF, 0]], [[0.5, 0.5]], {}, [INF], [[-0.5, 0.5]]),
        ([[NAN, 0], [INF, 0], [-INF, -INF]], [1, 1, 1], {}, None, np.full((3, 2), NAN)),
    ],
    "nll_loss": [
        ([[-INF, 0], [-INF, 0]], [0, 1], {}, [INF, 0], [[-1, 0], [0, -1]]),
        ([[-INF, 0], [-INF, 0]], [[0.5, 0.5], [0, 1.0]], {}, [INF, 0], [[-0.5, -0.5], [0, -1]]),
        ([[-INF, -2], [-INF, -2]], [0, 1], {"weight": [0.0, 3]}, [0, 6], [[0, 0], [0, -3]]),
        ([[-INF, -2], [-INF, -2]], [[0.5, 0.5], [0, 1.0]], {"weight": [0.0, 3]}, [3, 6], [[0, -1.5], [0, -3]]),
        ([[NAN, -2], [-2, NAN]], [1, 1], {}, [2, NAN], [[0, -1], [0, -1]]),
        ([[NAN, -2], [-2, NAN]], [[0, 1.0], [0, 1]], {}, [2, NAN], [[0, -1], [0, -1]]),
        ([[-INF, 0], [NAN, NAN], [-1, 0]], [-100, -100, 0], {}, [0, 0, 1], [[0, 0], [0, 0], [-1, 0]]),
        ([[-0.0, -3], [-3, 0.0]], [0, 1], {}, [0, 0], [[-1, 0], [0, -1]]),
        ([[-1, -2]], [[NAN, 1]], {}, [NAN], [[NAN, -1]]),
        ([[-1, -2]], [0], {"weight": [NAN, 1]}, [NAN], [[NAN, 0]]),
        ([[-1, -2]], [[0.5, 0.5]], {"weight": [NAN, 1]}, [NAN], [[NAN, -0.5]]),
    ],
    "categorical_cross_entropy": [
        ([[0, 1], [0, 1]], [0, 1], {}, [100, 0], [[-1e12, 0], [0, -1]]),
        ([[0, 1], [0, 1]], [[0.5, 0.5], [0, 1.0]], {}, [50, 0], [[-5e11, -0.5], [0, -1]]),
        ([[1e-30, 0.5]], [0], {}, [30 * math.log(10)], [[-1e12, 0]]),
        ([[1e-44, 0.5]], [0], {}, [100], [[-1e12, 0]]),
        ([[1e-13, 0.5]], [[0.25, 0.75]], {}, [3.25 * math.log(10) + 0.75 * LOG2], [[-0.25e12, -1.5]]),
        ([[0, 0.5], [0, 0.5]], [0, 1], {"weight": [0.0, 3]}, [0, 3 * LOG2], [[0, 0], [0, -6]]),
        ([[0, 0.5]], [[0.5, 0.5]], {"weight": [0.0, 3]}, [1.5 * LOG2], [[0, -3]]),
        ([[NAN, 0.5], [0.5, NAN]], [1, 1], {}, [LOG2, NAN], [[0, -2], [0, NAN]]),
        ([[NAN, 0.5], [0.5, NAN]], [[0, 1.0], [0, 1]], {}, [LOG2, NAN], [[0, -2], [0, NAN]]),
        ([[0, 0], [NAN, NAN], [0.5, 0.5]], [-100, -100, 0], {}, [0, 0, LOG2], [[0, 0], [0, 0], [-2, 0]]),
        ([[0.5, 0.5]], [[NAN, 1]], {}, [NAN], [[NAN, -2]]),
        ([[0.5, 0.5]], [0], {"weight": [NAN, 1]}, [NAN], [[NAN, 0]]),
        ([[0.5, 0.5]], [[0.5, 0.5]], {"weight": [NAN, 1]}, [NAN], [[NAN, -1]]),
    ],
    "binary_cross_entropy": [
        ([0, 0, 1, 1], [0, 1, 0, 1], {}, [0, 100, 100, 0], [1, -1e12, 1e12, -1]),
        ([0, 1], [0.25, 0.25], {}, [25, 75], [0.75 - 0.25e12, 0.75e12 - 0.25]),
        ([0.5, 0.5, 0.25, 0.25], [0.5, 1, 0, 1], {}, [LOG2, LOG2, -math.log(0.75), 2 * LOG2], [0, -2, 4 / 3, -4]),
        ([1e-30, 1e-44, 1e-13], [1, 1, 1], {}, [30 * math.log(10), 100, 13 * math.log(10)], [-1e12] * 3),
        ([1e-30], [0], {}, [1e-30], [1]),
        ([0, 1, 0.5], [1, 0, 1], {"weight": [2.0, 3, 4]}, [200, 300, 4 * LOG2], [-2e12, 3e12, -8]),
        ([0, 1, 0.5], [1, 0, 1], {"weight": [0.0, 0, 0]}, [0, 0, 0], [0, 0, 0]),
        ([NAN, NAN, 0.5, 0.5], [0, 1, NAN, 1], {}, [NAN, NAN, NAN, LOG2], [NAN, NAN, NAN, -2]),
        ([0.5, 0.5], [1, 1], {"weight": [NAN, 1]}, [NAN, LOG2], [NAN, -2]),
    ],
    "binary_cross_entropy_with_logits": [
        ([INF, -INF, INF, -INF], [1, 0, 0, 1], {}, [0, 0, INF, INF], [0, 0, 1, -1]),
        ([INF, -INF], [0.25, 0.25], {}, [INF, INF], [0.75, -0.25]),
        ([0, 0, 0], [0, 1, 0.25], {}, [LOG2] * 3, [0.5, -0.5, 0.25]),
        ([1000, 1000, -1000, -1000], [0, 1, 0, 1], {}, [1000, 0, 0, 1000], [1, 0, 0, -1]),
        ([40, -40, 40, -40], [1, 0, 0, 1], {}, [FAR, FAR, 40, 40], [-FAR, FAR, 1, -1]),
        ([3e38, -3e38], [0, 1], {}, [3e38, 3e38], [1, -1]),
        ([INF, -INF, INF, 0], [0, 1, 0.5, 1], {"weight": [0.0, 0, 0, 2]}, [0, 0, 0, 2 * LOG2], [0, 0, 0, -1]),
        ([-INF, INF, 0], [1, 0, 1], {"pos_weight": [0.0, 0, 0]}, [0, INF, 0], [0, 1, 0]),
        ([-INF, INF, 0, 0], [1, 1, 1, 0], {"pos_weight": [3.0, 3, 3, 3]}, [INF, 0, 3 * LOG2, LOG2], [-3, 0, -1.5, 0.5]),
        ([NAN, NAN, 0, 0], [0, 1, NAN, 1], {}, [NAN, NAN, NAN, LOG2], [NAN, NAN, NAN, -0.5]),
        ([0, 0], [1, 1], {"weight": [NAN, 1]}, [NAN, LOG2], [NAN, -0.5]),
        ([0, 0], [1, 1], {"pos_weight": [NAN, 1]}, [NAN, LOG2], [NAN, -0.5]),
    ],
    "kl_divergence": [
        ([[0, 1], [1, 0]], [[0, 1], [0.5, 0.5]], {}, [0, LOG2], [[0, -1], [-2, 0]]),
        ([[0.5, 0.5], [0, 0]], [[0, 1], [0, 1]], {}, [INF, 0], [[-INF, -0.5], [0, 0]]),
        ([[0.25, 0.75]], [[0.25, 0.75]], {}, [0], [[-1, -1]]),
        ([[0.25, 0.5]], [[0.5, 0.25]], {}, [0.25 * LOG2], [[-0.5, -2]]),
        ([[1, 0]], [[1e-30, 0]], {}, [30 * math.log(10)], [[-1e30, 0]]),
        ([[-0.5, 1.5], [0.5, 0.5], [-0.5, 0.5]], [[0.5, 0.5], [-0.5, 1.5], [-0.5, 0.5]], {}, [NAN] * 3, None),
        ([[NAN, 1], [1, 0.5]], [[0.5, 0.5], [0.5, NAN]], {}, [NAN, NAN], [[NAN, -2], [-2, NAN]]),
    ],
    "kl_divergence_with_logits": [
        ([[0, 1], [1, 0]], [[-INF, 3], [0, 0]], {}, [0, LOG2], [[0, 0], [-0.5, 0.5]]),
        ([[1, 0], [0.5, 0.5]], [[-INF, 3], [-INF, 3]], {}, [INF, INF], [[-1, 1], [-0.5, 0.5]]),
        ([[0.25, 0.75], [0.5, 0.5]], [[2, 2], [7, 7]], {}, [1.25 * LOG2 + 0.75 * math.log(0.75) - 0.75 * LOG2, 0], None),
        ([[0.5, 0.5], [1, 0]], [[7, 7], [1e4, 0]], {}, [0, 0], [[0, 0], [0, 0]]),
        ([[2, 0], [0, 0]], [[0, 0], [0, 1]], {}, [4 * LOG2, 0], [[-1, 1], [0, 0]]),
        ([[1, 0], [0, 1]], [[40, 0], [40, 0]], {}, [FAR, 40], [[-FAR, FAR], [1, -1]]),
        ([[0.5, 0.5], [0.5, 0.5]], [[NAN, 0], [INF, 0]], {}, None, [[NAN, NAN], [NAN, NAN]]),
        ([[-0.5, 1.5]], [[0, 0]], {}, [NAN], None),
        ([[NAN, 1]], [[0, 0]], {}, [NAN], [[NAN, NAN]]),
    ],
}


def test_special_values_are_stated_for_every_loss() -> None:
    assert SPECIAL.keys() == {loss.name for loss in LOSSES}


@all_dtypes
@pytest.mark.parametrize(
    ("loss", "case"), [(by_name(name), i) for name, cases in SPECIAL.items() for i in range(len(cases))], ids=str
)
def test_special_values(loss: Loss, case: int, dtype: np.dtype) -> None:
    """As they stand and, for the vector kernels, repeated."""
    *operands, options, losses, gradients = SPECIAL[loss.name][case]
    info = finfo(working_dtype(dtype))
    # Nearer to 0 or 1 than 1e-12, the gradient of binary_cross_entropy is a matter of convention to one part in 1e12.
    close = max(8 * float(info.eps), 2e-12 if loss.name == "binary_cross_entropy" else 0)
    x = np.asarray(operands[loss.operand], np.float64)
    with np.errstate(over="ignore"):
        if dtype in HALVES and not np.allclose(wide(x.astype(dtype)), x, rtol=info.eps, atol=0, equal_nan=True):
            pytest.skip("what is stated is not the loss of the rounded operand")
    for times in (1, 37):
        given = [np.concatenate([a] * times) for a in operands]
        given = [
            a.astype(dtype) if i == loss.operand or loss.kind != "targets" or a.dtype.kind == "f" else a
            for i, a in enumerate(given)
        ]
        o = {name: np.concatenate([value] * (1 if loss.by_rows else times)).astype(dtype) for name, value in options.items()}
        results = every_result(loss, given, np.ones(len(given[0]), working_dtype(dtype)), reduction="none", **o)
        for got, expected in zip(results, (losses, gradients, losses, gradients), strict=False):
            if expected is not None:
                exact = np.concatenate([expected] * times).astype(np.float64)
                assert_rounded(got, exact, close * np.abs(exact) + float(info.tiny))


def test_kl_divergence_from_a_tiny_probability() -> None:
    """The logarithm is finite where p / q overflows."""
    for dtype, q in ((np.float32, 1e-42), (np.float64, 1e-310)):
        tiny = np.array([q, 0.5], dtype)
        exact = -math.log(tiny[0])
        np.testing.assert_allclose(nl.kl_divergence(np.array([1, 0], dtype), tiny), exact, rtol=8 * finfo(dtype).eps)


@all_dtypes
@pytest.mark.parametrize("name", ["binary_cross_entropy", "kl_divergence", "categorical_cross_entropy"])
def test_losses_do_not_depend_on_their_neighbours(name: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    """Logarithms have shorter ways for vectors without special values."""
    f = getattr(nl, name)
    given = [rng.uniform(0.01, 1, (2000, 1)).astype(dtype) for _ in range(2)]
    if name != "kl_divergence":
        given[1] = np.round(given[1])
    alone = f(*given, reduction="none")
    for special in (0.0, 1e-40, 0.3, 1.0):
        mixed = [a.copy() for a in given]
        for a in mixed:
            a[::5] = special
        assert_same_bits(f(*mixed, reduction="none")[1::5], alone[1::5])


@pytest.mark.parametrize("dtype", [t for t in FLOATS if t.itemsize > 2], ids=str)
def test_binary_cross_entropy_keeps_the_digits_of_its_gradient(dtype: np.dtype, rng: np.random.Generator) -> None:
    p = np.concatenate([rng.uniform(0, 1, 1000), 10 ** rng.uniform(-11, 0, 1000)]).astype(dtype)
    p = p[p < 1]
    y = p * dtype.type(1 + 4 * finfo(dtype).eps)
    difference = p.astype(np.longdouble) - y
    exact = difference / p / (1 - p.astype(np.longdouble))
    grad = nl.binary_cross_entropy_backward(np.ones_like(p), p, y, reduction="none")
    np.testing.assert_allclose(grad, exact.astype(np.float64), rtol=4 * finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [t for t in FLOATS if t.itemsize > 2], ids=str)
def test_binary_cross_entropy_with_logits_keeps_its_tails(dtype: np.dtype) -> None:
    """Loss and gradient are softplus and sigmoid, for both classes and far into the tails."""
    x = np.linspace(-80, 80, 5001).astype(dtype)
    for y, sign in ((0, 1), (1, -1)):
        z = sign * x.astype(np.longdouble)
        e = np.exp(-np.abs(z))
        loss, grad = nl.binary_cross_entropy_with_logits_with_grad(x, np.full_like(x, y), reduction="none")
        close = 4 * finfo(dtype).eps
        np.testing.assert_allclose(loss, (np.maximum(z, 0) + np.log1p(e)).astype(np.float64), rtol=close)
        np.testing.assert_allclose(sign * grad, (np.where(z < 0, e, 1) / (1 + e)).astype(np.float64), rtol=close)


@pytest.mark.parametrize("lead", [0, 10, 17, 40, 80])
def test_kl_divergence_with_logits_keeps_its_gradient(lead: float, rng: np.random.Generator) -> None:
    """Relative accuracy of every entry where the prediction is nearly right."""
    logits = rng.standard_normal((8, 100)).astype(np.float32)
    targets = rng.integers(0, 100, 8)
    logits[np.arange(8), targets] += np.float32(lead)
    p = np.eye(100, dtype=np.float32)[targets]
    exact = reference.kl_divergence_with_logits_with_grad(p.astype(np.float64), logits.astype(np.float64), reduction="none")
    for got, value in zip(nl.kl_divergence_with_logits_with_grad(p, logits, reduction="none"), exact, strict=True):
        assert np.max(ulp_error(got, value)) <= 4


# One loss by another


def test_losses_of_probabilities_logarithms_and_logits_agree(rng: np.random.Generator) -> None:
    x = 2 * rng.standard_normal((7, 5))
    p, log_p = nl.softmax(x), nl.log_softmax(x)
    soft = reference.softmax(rng.standard_normal((7, 5)))
    weight = rng.uniform(0.5, 2, 5)
    for targets in (rng.integers(0, 5, 7), soft):
        for reduction in REDUCTIONS:
            o = {"weight": weight, "reduction": reduction}
            expected = nl.cross_entropy(x, targets, **o)
            np.testing.assert_allclose(nl.nll_loss(log_p, targets, **o), expected, rtol=1e-13)
            np.testing.assert_allclose(nl.categorical_cross_entropy(p, targets, **o), expected, rtol=1e-13)
            up = np.ones(np.shape(expected))
            d_log = nl.nll_loss_backward(up, log_p, targets, **o)
            d_p = nl.categorical_cross_entropy_backward(up, p, targets, **o)
            np.testing.assert_allclose(d_p, d_log / p, rtol=1e-13)
            through = nl.log_softmax_backward(d_log, log_p)
            np.testing.assert_allclose(through, nl.cross_entropy_backward(up, x, targets, **o), rtol=1e-11, atol=1e-15)


def test_kl_divergences_agree(rng: np.random.Generator) -> None:
    x = 2 * rng.standard_normal((7, 5))
    q = nl.softmax(x)
    p = reference.softmax(rng.standard_normal((7, 5)))
    for reduction in REDUCTIONS:
        np.testing.assert_allclose(
            nl.kl_divergence_with_logits(p, x, reduction=reduction), nl.kl_divergence(p, q, reduction=reduction), rtol=1e-12
        )
        up = np.ones(7 if reduction == "none" else ())
        through = nl.softmax_backward(nl.kl_divergence_backward(up, p, q, reduction=reduction), q)
        direct = nl.kl_divergence_with_logits_backward(up, p, x, reduction=reduction)
        np.testing.assert_allclose(through, direct, rtol=1e-11, atol=1e-15)
    entropy = -np.sum(p * np.log(p), axis=-1).mean()
    np.testing.assert_allclose(nl.kl_divergence(p, q) + entropy, nl.categorical_cross_entropy(q, p), rtol=1e-13)


def test_kl_divergence_of_a_class_is_its_cross_entropy(rng: np.random.Generator) -> None:
    x = 2 * rng.standard_normal((7, 5))
    targets = rng.integers(0, 5, 7)
    p = np.eye(5)[targets]
    for got, expected in zip(
        nl.kl_divergence_with_logits_with_grad(p, x), nl.cross_entropy_with_grad(x, targets), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-13)
    q = nl.softmax(x)
    np.testing.assert_allclose(nl.kl_divergence(p, q), nl.categorical_cross_entropy(q, targets), rtol=1e-13)
    np.testing.assert_allclose(
        nl.kl_divergence_backward(1.0, p, q), nl.categorical_cross_entropy_backward(1.0, q, targets), rtol=1e-13
    )


def test_binary_losses_agree(rng: np.random.Generator) -> None:
    x = 2 * rng.standard_normal((7, 5))
    p = nl.sigmoid(x)
    targets = rng.integers(0, 2, (7, 5))
    for y in (targets, rng.random((7, 5))):
        for o in ({}, {"weight": rng.uniform(0.5, 2, (7, 1)), "reduction": "sum"}):
            expected, grad = nl.binary_cross_entropy_with_logits_with_grad(x, y, **o)
            np.testing.assert_allclose(nl.binary_cross_entropy(p, y, **o), expected, rtol=1e-12)
            through = nl.sigmoid_backward(nl.binary_cross_entropy_backward(1.0, p, y, **o), p)
            np.testing.assert_allclose(through, grad, rtol=1e-10, atol=1e-14)
    both = np.stack([np.zeros_like(x), x], axis=-1)
    loss, grad = nl.cross_entropy_with_grad(both, targets)
    by_logits = nl.binary_cross_entropy_with_logits_with_grad(x, targets)
    np.testing.assert_allclose(by_logits[0], loss, rtol=1e-13)
    np.testing.assert_allclose(by_logits[1], grad[..., 1], rtol=1e-13)
    np.testing.assert_allclose(
        nl.binary_cross_entropy(p, targets), nl.categorical_cross_entropy(np.stack([1 - p, p], axis=-1), targets), rtol=1e-12
    )


# Targets


@pytest.mark.parametrize("dtype", "bhilqBHILQ")
@losses_of_classes
def test_every_integer_dtype(loss: Loss, dtype: str, rng: np.random.Generator) -> None:
    x, targets = loss.problem(rng, (7, 5))
    upstream = np.array(0.7)
    expected = every_result(loss, [x, targets], upstream)
    for t in (
        targets.astype(dtype),
        targets.astype(dtype).repeat(2)[::2],
        targets.astype(np.dtype(dtype).newbyteorder()),
        targets.tolist(),
    ):
        assert_same_bits(every_result(loss, [x, t], upstream), expected)
    assert_same_bits(every_result(loss, [x.tolist(), targets.tolist()], upstream), expected)


@pytest.mark.parametrize("dtype", "?bhilqBHILQefd")
@pytest.mark.parametrize("loss", [f for f in LOSSES if not f.by_rows], ids=str)
def test_every_dtype_of_binary_targets(loss: Loss, dtype: str, rng: np.random.Generator) -> None:
    x, _ = loss.problem(rng, (7, 5))
    targets = rng.integers(0, 2, (7, 5)).astype(dtype)
    for dtype_of_x in (np.float32, np.float64):  # which the result has, whatever the targets
        x = x.astype(dtype_of_x)
        exact = every_result(loss, [x, targets.astype(x.dtype)], np.array(0.7))
        for t in (
            targets,
            targets.repeat(2, axis=1)[:, ::2],
            targets.astype(np.dtype(dtype).newbyteorder()),
            targets.tolist(),
        ):
            assert_same_bits(every_result(loss, [x, t], np.array(0.7)), exact)


@pytest.mark.parametrize("bad", [5, -1, -101, 2**31, -(2**63)])
@pytest.mark.parametrize("threads", [1, 4])
@losses_of_classes
def test_bad_target_is_named_and_nothing_written(loss: Loss, bad: int, threads: int, rng: np.random.Generator) -> None:
    nl.set_num_threads(threads)
    for rows, place in ((4, 2), (100_000, 77_777)):
        x, targets = loss.problem(rng, (rows, 5))
        targets[[place, rows - 1]] = bad, 6
        before, other = x.copy(), np.full_like(x, 7)
        for out in (other, x):
            for call in every_call(loss, [x, targets], 1.0, out):
                with pytest.raises(IndexError, match=rf"\b{place}\b") as error:
                    call()
                assert str(bad) in str(error.value)
                assert "targets" in str(error.value)
        assert_same_bits(x, before)
        assert np.all(other == 7)


@pytest.mark.parametrize("bad", [-1e-3, 1.0000001, -5e-324, INF, -INF, 2.5])
@losses_of_probabilities
def test_bad_probability_is_named_and_nothing_written(loss: Loss, bad: float, rng: np.random.Generator) -> None:
    for dtype in FLOATS:
        value = dtype.type(bad)
        if 0 <= value <= 1:  # rounded
            continue
        for shape, place in (((4, 3, 5), (2, 1, 3)), ((100_000, 5), (77_777, 4))):
            given = loss.problem(rng, shape, -1, dtype)
            x = given[0]
            x[0, 0] = 0
            x[1, 0] = NAN  # not this one
            x[2, 0] = 1
            x[place] = value
            if not loss.soft:  # of a row with a class, only its entry is looked at
                given[1][place[:-1]] = place[-1]
            x[-1, ..., -1] = 3
            before, other = x.copy(), np.full_like(x, 7)
            for out in (other, x):
                for call in every_call(loss, given, 1.0, out):
                    with pytest.raises(ValueError, match="probs") as error:
                        call()
                    assert ", ".join(map(str, place)) in str(error.value)
                    assert f"{value}" in str(error.value)
            assert_same_bits(x, before)
            assert np.all(other == 7)


@losses_of_classes
def test_bad_target_of_several_axes_and_dtypes(loss: Loss) -> None:
    forward = loss.functions()[0]
    targets = np.zeros((2, 3), np.int8)
    targets[1, 2] = 9
    with pytest.raises(IndexError, match=r"1, 2.*9|9.*1, 2"):
        forward(np.zeros((2, 5, 3)), targets, axis=1)
    with pytest.raises(IndexError, match=str(2**64 - 1)):
        forward(np.zeros((1, 5)), np.array([2**64 - 1], np.uint64))
    with pytest.raises(IndexError):  # -100 as an unsigned number is not ignored
        forward(np.zeros((1, 5)), np.array([2**64 - 100], np.uint64))
    with pytest.raises(IndexError):
        forward(np.zeros(5), 5)


@pytest.mark.parametrize("ignored", [-100, 2, 77, 255])
@losses_of_classes
def test_ignored_rows(loss: Loss, ignored: int, rng: np.random.Generator) -> None:
    x, _ = loss.problem(rng, (6, 5))
    targets = np.array([0, ignored, 1, ignored, 4, 3])
    keep = targets != ignored
    x[1] = NAN  # must not be seen
    weight = rng.uniform(0.5, 2, 5)
    for o in ({}, {"weight": weight}):
        for reduction in REDUCTIONS:
            upstream = rng.standard_normal(6) if reduction == "none" else np.array(0.7)
            counted = upstream[keep] if reduction == "none" else upstream
            got = every_result(loss, [x, targets], upstream, ignore_index=ignored, reduction=reduction, **o)
            expected = every_result(loss, [x[keep], targets[keep]], counted, reduction=reduction, **o)
            for y, exact in zip(got, expected, strict=True):
                if np.ndim(y):
                    np.testing.assert_array_equal(y[~keep], 0)
                np.testing.assert_allclose(y[keep] if np.ndim(y) else y, exact, rtol=1e-15)


@pytest.mark.parametrize(
    ("loss", "chosen"), [(f, c) for f in LOSSES if not f.soft for c in f.choices() if "ignore_index" not in c], ids=describe
)
def test_all_ignored(loss: Loss, chosen: tuple[str, ...], rng: np.random.Generator) -> None:
    x, _ = loss.problem(rng, (3, 5))
    for reduction, expected in (("mean", NAN), ("sum", 0), ("none", np.zeros(3))):
        o = {**loss.keywords(rng, (3, 5), -1, chosen), "reduction": reduction}
        results = every_result(loss, [x, np.full(3, -100)], np.ones_like(expected), **o)
        for i, result in enumerate(results):
            np.testing.assert_array_equal(result, 0 if i % 2 else expected)


@all_dtypes
@all_losses
def test_empty_batch(loss: Loss, dtype: np.dtype, rng: np.random.Generator) -> None:
    for shape, axis in (((0, 5), -1), ((3, 5, 0), 1), *([] if loss.by_rows else [((0,), -1)])):
        losses = loss.losses_shape(shape, axis)
        given = loss.problem(rng, shape, axis, dtype)
        for reduction, expected in (("mean", NAN), ("sum", 0), ("none", np.zeros(losses))):
            o = {**loss.keywords(rng, shape, axis, (), dtype), "reduction": reduction}
            value, *others = every_result(loss, given, np.ones_like(expected, dtype), **o)
            np.testing.assert_array_equal(value, np.asarray(expected))
            assert value.dtype == working_dtype(dtype)
            for grad in others[::2]:
                assert (grad.shape, grad.dtype) == (shape, dtype)


@pytest.mark.parametrize("loss", [f for f in LOSSES if f.soft and f.kind == "targets"], ids=str)
def test_ignore_index_does_not_apply_to_probabilities(loss: Loss, rng: np.random.Generator) -> None:
    given = loss.problem(rng, (4, 5))
    assert_same_bits(every_result(loss, given, 1.0, ignore_index=0), every_result(loss, given, 1.0))


@losses_of_classes
def test_one_hot_probabilities_are_classes(loss: Loss, rng: np.random.Generator) -> None:
    x, targets = loss.problem(rng, (9, 5))
    for chosen in loss.choices():
        if "ignore_index" in chosen or "weight" in chosen:
            continue
        o = {**loss.keywords(rng, (9, 5), -1, chosen), "reduction": "mean"}
        both = every_result(loss, [x, targets], 0.7, **o), every_result(loss, [x, np.eye(5)[targets]], 0.7, **o)
        for classes, probabilities in zip(*both, strict=True):
            np.testing.assert_allclose(classes, probabilities, rtol=1e-13, atol=1e-16)


@all_losses
def test_integers_and_lists_give_float64(loss: Loss) -> None:
    x = np.array([[0, 1, 0], [1, 0, 0]])
    other = np.array([0, 2]) if not loss.soft else np.array([[0.0, 1, 0], [0.5, 0.5, 0]])
    given = [other, x] if loss.operand else [x, other]
    floats = [a.astype(np.float64) if a is x else a for a in given]
    expected = every_result(loss, floats, 0.7)
    for dtype in "?bhilqBHILQ":
        assert_same_bits(every_result(loss, [a.astype(dtype) if a is x else a for a in given], 0.7), expected)
    assert_same_bits(every_result(loss, [a.tolist() for a in given], 0.7), expected)
    if loss.kind == "rows":
        assert_same_bits(every_result(loss, [x, floats[1]], 0.7), every_result(loss, [x.astype(np.float64), floats[1]], 0.7))


@pytest.mark.parametrize("loss", [f for f in LOSSES if f.kind == "rows"], ids=str)
def test_mixed_floats_give_the_wider(loss: Loss, rng: np.random.Generator) -> None:
    given = loss.problem(rng, (6, 5), -1, np.float32)
    expected = every_result(loss, [wide(a) for a in given], 0.7)
    for i in (0, 1):
        assert_same_bits(every_result(loss, [wide(a) if i == j else a for j, a in enumerate(given)], 0.7), expected)


@pytest.mark.parametrize("half", HALVES, ids=str)
@pytest.mark.parametrize("loss", [f for f in LOSSES if f.kind == "rows"], ids=str)
def test_mixed_16_bit_floats(loss: Loss, half: np.dtype, rng: np.random.Generator) -> None:
    given = loss.problem(rng, (6, 5), -1, half)
    for dtype in (np.float32, np.float64):
        expected = every_result(loss, [a.astype(dtype) for a in given], 0.7)
        for i in (0, 1):
            assert_same_bits(
                every_result(loss, [a.astype(dtype) if i == j else a for j, a in enumerate(given)], 0.7), expected
            )
    other = HALVES[half == HALVES[0]]
    for call in every_call(loss, [given[0], given[1].astype(other)], 0.7):
        with pytest.raises(TypeError):
            call()


# Arrays in memory


@all_losses
@all_dtypes
def test_out_and_in_place(loss: Loss, dtype: np.dtype, rng: np.random.Generator) -> None:
    """The gradient may be written anywhere, over any operand."""
    sizes = [((300, 200), -1), ((3, 50_000), -1), ((200, 300), 0)] if loss.by_rows else [((300, 200), -1), ((150_000,), -1)]
    chosen = tuple(name for name in loss.options if name in ("label_smoothing", "z_loss", "pos_weight"))
    for shape, axis in [*ROWS, *sizes]:
        given = loss.problem(rng, shape, axis, dtype)
        size = math.prod(shape)
        for reduction in ("mean", "none"):
            o = {**loss.keywords(rng, shape, axis, chosen, dtype), "reduction": reduction}
            losses = loss.losses_shape(shape, axis) if reduction == "none" else ()
            upstream = rng.standard_normal(losses).astype(dtype)
            _, *expected = every_result(loss, given, upstream, **o)
            backward, *with_grad = loss.functions()[1:]
            operands = [upstream, *given]
            for i, operand in enumerate(operands):
                if operand.shape != shape or operand.dtype != dtype:
                    continue
                for start in {0, 1, shape[-1], size // 2, size}:  # in place, shifted, apart
                    buffer = np.zeros(2 * size, dtype)
                    there = buffer[:size].reshape(shape)
                    moved = [*operands[:i], there, *operands[i + 1 :]]
                    out = buffer[start : start + size].reshape(shape)
                    there[...] = operand
                    assert backward(*moved, out=out, **o) is out
                    assert_same_bits(out, expected[0])
                    if with_grad and i:
                        there[...] = operand
                        both = with_grad[0](*moved[1:], out=out, **o)
                        assert both[1] is out
                        assert_same_bits(both, tuple(expected[1:]))
            strided = np.zeros((*shape, 2), dtype)[..., 0]
            backward(*operands, out=strided, **o)
            if loss.by_rows:  # rows of another layout: one rounding to 16 bits may go the other way
                if dtype.itemsize == 2:
                    info = finfo(dtype)
                    np.testing.assert_allclose(
                        wide(strided), wide(expected[0]), float(info.eps), float(info.smallest_subnormal)
                    )
                else:
                    assert_near(strided, expected[0])
            else:
                assert_same_bits(strided, expected[0])


@all_losses
@all_dtypes
def test_out_over_small_operands(loss: Loss, dtype: np.dtype, rng: np.random.Generator) -> None:
    """Weights, classes and the upstream gradient may lie within out."""
    for shape, axis in (((40, 5), -1), ((5, 40), 0)):
        given = loss.problem(rng, shape, axis, dtype)
        weights = tuple(name for name in loss.options if name.endswith("weight"))
        o = {**loss.keywords(rng, shape, axis, weights, dtype), "reduction": "none"}
        upstream = rng.standard_normal(loss.losses_shape(shape, axis)).astype(dtype)
        _, *expected = every_result(loss, given, upstream, **o)
        backward, *with_grad = loss.functions()[1:]
        small: dict[str, Any] = {"grad": upstream, **dict(zip(loss.arguments, given, strict=True)), **o}
        for name, value in small.items():
            if not isinstance(value, np.ndarray) or value.shape == shape:
                continue
            if value.dtype.kind == "i":
                value = value.astype(f"i{dtype.itemsize}")
            out = np.zeros(shape, dtype)
            there = out.reshape(-1)[7 : 7 + value.size].view(value.dtype).reshape(value.shape)
            moved = {**small, name: there}
            options = {key: moved[key] for key in o}
            operands = [moved[key] for key in loss.arguments]
            there[...] = value
            assert_same_bits(backward(moved["grad"], *operands, out=out, **options), expected[0])
            if with_grad and name != "grad":
                there[...] = value
                assert_same_bits(with_grad[0](*operands, out=out, **options), tuple(expected[1:]))


@losses_by_rows
@all_dtypes
def test_blocks_of_neighbouring_rows_have_the_bits_of_each(loss: Loss, dtype: np.dtype, rng: np.random.Generator) -> None:
    """With the class axis before others, whatever block a thread begins in."""
    given = loss.problem(rng, (3, 5, 4, 2001), 1, dtype)
    forward, backward, *with_grad = loss.functions()

    def call(operands: list[np.ndarray], axis: int) -> list[np.ndarray]:
        losses_of = [forward, *with_grad]
        return [
            backward(1.0, *operands, axis=axis, reduction="sum"),
            *(array for f in losses_of for array in as_tuple(f(*operands, axis=axis, reduction="none"))),
        ]

    blocks = [call([a[i] for a in given], 0) for i in range(3)]
    expected = tuple(np.stack(arrays) for arrays in zip(*blocks, strict=True))
    for threads in (1, 2, 3):
        with nl.num_threads(threads):
            assert_same_bits(tuple(call(given, 1)), expected)


@all_losses
def test_layouts(loss: Loss, rng: np.random.Generator) -> None:
    shape = (12, 30)
    given = loss.problem(rng, shape)
    upstream = rng.standard_normal(loss.losses_shape(shape))
    expected = every_result(loss, given, upstream, reduction="none")

    def unaligned(a: np.ndarray) -> np.ndarray:
        moved = np.zeros(a.shape, [("byte", "u1"), ("value", a.dtype)])["value"]
        moved[...] = a
        return moved

    def read_only(a: np.ndarray) -> np.ndarray:
        a = a.copy()
        a.flags.writeable = False
        return a

    for change in (
        read_only,
        unaligned,
        np.asfortranarray,
        lambda a: a.astype(a.dtype.newbyteorder()),
        lambda a: a[::-1].copy()[::-1],
        lambda a: a[..., ::-1].copy()[..., ::-1],
        lambda a: np.repeat(a, 3, axis=-1)[..., ::3],
        lambda a: np.repeat(a, 2, axis=0)[::2],
    ):
        got = every_result(loss, [change(a) for a in given], change(upstream), reduction="none")
        for y, exact in zip(got, expected, strict=True):
            assert y.dtype == np.float64  # in native byte order
            np.testing.assert_allclose(y, exact, rtol=1e-13, atol=1e-14)
            if not loss.by_rows:
                assert_same_bits(y, exact)
    out = np.empty(shape)
    swapped = [a.astype(a.dtype.newbyteorder()) for a in given]
    assert_same_bits(loss.functions()[1](upstream, *swapped, reduction="none", out=out), expected[1])
    row = [np.broadcast_to(a[:1], a.shape) for a in given]  # strides of 0
    copies = [a.copy() for a in row]
    for y, exact in zip(every_result(loss, row, 0.7), every_result(loss, copies, 0.7), strict=True):
        np.testing.assert_allclose(y, exact, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("loss", [f for f in LOSSES if not f.by_rows], ids=str)
def test_weights_broadcast(loss: Loss, rng: np.random.Generator) -> None:
    shape = (4, 3, 5)
    given = loss.problem(rng, shape)
    for name in [name for name in loss.options if name.endswith("weight")]:
        for factors in ((), (5,), (1,), (3, 1), (4, 1, 1), (1, 3, 5), shape):
            factor = rng.uniform(0.25, 2, factors)
            full = np.broadcast_to(factor, shape)
            expected = every_result(loss, given, 0.7, **{name: full.copy()})
            for value in (factor, full, factor.tolist(), np.asfortranarray(full)):
                assert_same_bits(every_result(loss, given, 0.7, **{name: value}), expected)


@all_dtypes
@all_losses
def test_every_length(loss: Loss, dtype: np.dtype, rng: np.random.Generator) -> None:
    """A row has the same bits alone and between others, an entry at any place in the array and at any address."""
    for n in [*range(1, 70), 129, 1025, 4099]:
        given = loss.problem(rng, (5, n), -1, dtype)
        upstream = rng.standard_normal(loss.losses_shape((5, n))).astype(dtype)
        every = every_result(loss, given, upstream, reduction="none")
        for part in (slice(3, 4), slice(1, None, 2)):
            alone = every_result(loss, [a[part] for a in given], upstream[part], reduction="none")
            assert_same_bits(alone, tuple(y[part] for y in every))
        padded = [np.pad(a, [(1, 2)] * a.ndim)[(slice(1, -2),) * a.ndim] for a in (upstream, *given)]
        assert_same_bits(every_result(loss, padded[1:], padded[0], reduction="none"), every)
        if not loss.by_rows:
            tail = slice(n // 2, None)
            alone = every_result(loss, [a[3, tail] for a in given], upstream[3, tail], reduction="none")
            assert_same_bits(alone, tuple(y[3, tail] for y in every))


@all_losses
@all_dtypes
def test_thread_count_does_not_change_bits(loss: Loss, dtype: Any, rng: np.random.Generator) -> None:
    by_rows = [((2000, 100), -1), ((40_000, 5), -1), ((2, 150_000), -1), ((100, 2000), 0)]
    for shape, axis in by_rows if loss.by_rows else [((1000, 300), -1)]:
        given = loss.problem(rng, shape, axis, dtype)
        weights = tuple(name for name in loss.options if name.endswith("weight"))
        o = loss.keywords(rng, shape, axis, weights, dtype)
        results = []
        for threads in (1, 2, 3, 4):
            nl.set_num_threads(threads)
            results.append(every_result(loss, given, 0.7, **o))
        for result in results[1:]:
            assert_same_bits(result, results[0])


@all_losses
def test_input_is_left_alone(loss: Loss, rng: np.random.Generator) -> None:
    given = loss.problem(rng, (30, 40))
    o = loss.keywords(rng, (30, 40), -1, tuple(name for name in loss.options if name.endswith("weight")))
    operands = [
        rng.standard_normal(loss.losses_shape((30, 40))),
        *given,
        *(v for v in o.values() if isinstance(v, np.ndarray)),
    ]
    copies = [a.copy() for a in operands]
    for a in operands:
        a.flags.writeable = False
    every_result(loss, given, operands[0], reduction="none", **o)
    assert_same_bits(tuple(operands), tuple(copies))


@all_losses
def test_pandas(loss: Loss, rng: np.random.Generator) -> None:
    pandas = pytest.importorskip("pandas")
    given = loss.problem(rng, (4, 3))
    frames = [pandas.DataFrame(a) if a.ndim == 2 else pandas.Series(a) for a in given]
    for y, exact in zip(every_result(loss, frames, 0.7), every_result(loss, given, 0.7), strict=True):
        np.testing.assert_allclose(y, exact, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@all_losses
def test_no_floating_point_flags(loss: Loss, dtype: np.dtype) -> None:
    nasty = np.concatenate([oracle.special_values(dtype.type), [np.nan]]).astype(dtype)
    x = np.stack([np.roll(nasty, i) for i in range(0, nasty.size, 7)])
    if "probs" in loss.arguments:
        x = np.clip(x, 0, 1)
    other = np.roll(x, 3, axis=1) if loss.soft else np.arange(len(x)) % 7
    given = [other, x] if loss.operand else [x, other]
    options: dict[str, Any] = {
        "weight": nasty if loss.by_rows else x,
        "pos_weight": x,
        "label_smoothing": 0.1,
        "z_loss": 0.1,
        "ignore_index": 0,
    }
    for reduction in REDUCTIONS:
        for o in ({}, {name: options[name] for name in loss.options if name in options}):
            upstream = dtype.type(NAN) if reduction != "none" else nasty[: len(x)] if loss.by_rows else x
            with np.errstate(all="raise"):
                every_result(loss, given, upstream, reduction=reduction, **o)
                every_result(
                    loss,
                    [a[:0] for a in given],
                    upstream[:0] if reduction == "none" else upstream,
                    reduction=reduction,
                    **{k: v[:0] if np.ndim(v) == 2 else v for k, v in o.items()},
                )


# Errors

MISTAKES = [  # which losses, argument, value, error, message
    ("any", "reduction", "average", ValueError, "reduction.*average"),
    ("any", "reduction", None, (TypeError, ValueError), "reduction"),
    ("any", "reduction", "Mean", ValueError, "reduction.*Mean"),
    ("any", "label_smoothing", 1.5, ValueError, "label_smoothing.*1.5"),
    ("any", "label_smoothing", -0.1, ValueError, "label_smoothing.*-0.1"),
    ("any", "label_smoothing", NAN, ValueError, "label_smoothing.*nan"),
    ("any", "ignore_index", 0.5, TypeError, "ignore_index"),
    ("any", "axis", 2, np.exceptions.AxisError, "axis 2"),
    ("any", "axis", -3, np.exceptions.AxisError, "axis -3"),
    ("any", "axis", 0.5, TypeError, None),
    ("any", "axis", None, TypeError, None),
    ("any", "weight", np.ones(4), ValueError, "weight"),
    ("any", "weight", np.ones(5, complex), TypeError, "weight"),
    ("any", "weight", ["a"] * 5, TypeError, "weight"),
    ("targets", "weight", np.ones((1, 5)), ValueError, "weight"),
    ("targets", "weight", 1.0, ValueError, "weight"),
    ("elements", "weight", np.ones((2, 3, 5)), ValueError, "weight"),
    ("any", "pos_weight", np.ones(4), ValueError, "pos_weight"),
    ("any", "pos_weight", np.ones((2, 3, 5)), ValueError, "pos_weight"),
    ("any", "pos_weight", np.ones(5, complex), TypeError, "pos_weight"),
    *(
        ("any", name, value, TypeError, rf"\b{name}\b")
        for name in ("logits", "log_probs", "probs", "p", "q")
        for value in (np.zeros((3, 5), complex), np.zeros((3, 5), object), np.full((3, 5), "a"))
    ),
    *(
        ("rows", name, np.full(shape, 0.2), ValueError, r"\b(p|q|logits)\b")
        for name in ("logits", "p", "q")
        for shape in ((3, 4), (5,), (1, 5), (2, 3, 5), (15,))
    ),
    ("targets", "targets", np.zeros(4, int), ValueError, "targets"),
    ("targets", "targets", np.zeros((3, 1), int), ValueError, "targets"),
    ("targets", "targets", np.zeros(3), ValueError, "targets"),
    ("targets", "targets", np.zeros((3, 4)), ValueError, "targets"),
    ("targets", "targets", np.zeros((3, 5), int), ValueError, "targets"),
    ("targets", "targets", np.zeros(3, complex), TypeError, "targets"),
    ("targets", "targets", ["a", "b", "c"], TypeError, "targets"),
    ("elements", "targets", np.zeros(5), ValueError, "targets"),
    ("elements", "targets", np.zeros(()), ValueError, "targets"),
    ("elements", "targets", np.zeros((3, 1), int), ValueError, "targets"),
    ("elements", "targets", np.zeros((2, 3, 5)), ValueError, "targets"),
    ("elements", "targets", np.zeros((3, 5), complex), TypeError, "targets"),
    ("elements", "targets", np.full((3, 5), "a"), TypeError, "targets"),
    ("elements", "targets", np.zeros((3, 5), object), TypeError, "targets"),
]


@pytest.mark.parametrize(
    ("loss", "name", "value", "error", "message"),
    [(f, *m[1:]) for f in LOSSES for m in MISTAKES if m[0] in ("any", f.kind) and m[1] in f.arguments + f.options],
    ids=lambda v: "" if v is None or isinstance(v, type | tuple) else str(v).replace("\n", ""),
)
def test_errors(loss: Loss, name: str, value: Any, error: Any, message: str | None, rng: np.random.Generator) -> None:
    given = {**dict(zip(loss.arguments, loss.problem(rng, (3, 5)), strict=True)), name: value}
    operands = [given.pop(argument) for argument in loss.arguments]
    out = np.full((3, 5), 7.0)
    for call in every_call(loss, operands, 1.0, out, **given):
        with pytest.raises(error, match=message):
            call()
    assert np.all(out == 7)


@losses_by_rows
def test_no_class_axis(loss: Loss) -> None:
    other: Any = np.zeros((), int) if not loss.soft else np.zeros(())
    for call in every_call(loss, [other, np.zeros(())] if loss.operand else [np.zeros(()), other], 1.0):
        with pytest.raises(np.exceptions.AxisError):
            call()
    empty = np.zeros((3, 0))
    other = np.zeros(3, int) if not loss.soft else empty
    for call in every_call(loss, [other, empty] if loss.operand else [empty, other], 1.0):
        with pytest.raises(ValueError, match="empty") as error:
            call()
        assert any(name in str(error.value) for name in loss.arguments)


@all_losses
def test_options_are_by_keyword(loss: Loss, rng: np.random.Generator) -> None:
    given = loss.problem(rng, (3, 5))
    forward, backward, *with_grad = loss.functions()
    with pytest.raises(TypeError):
        forward(*given, "mean")
    with pytest.raises(TypeError):
        backward(1.0, *given, None)
    for f in with_grad:
        with pytest.raises(TypeError):
            f(*given, None)
    with pytest.raises(TypeError, match="alpha"):
        forward(*given, alpha=1)


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (np.full((3, 4), 7.0), ValueError),
        (np.full(15, 7.0), ValueError),
        (np.full((1, 3, 5), 7.0), ValueError),
        (np.full((3, 5), 7, np.float32), TypeError),
        (np.full((3, 5), 7, np.int64), TypeError),
        ([7.0] * 5, TypeError),
    ],
    ids=lambda v: str(getattr(v, "shape", v)),
)
@all_losses
def test_wrong_out(loss: Loss, out: Any, error: type[Exception], rng: np.random.Generator) -> None:
    for call in every_call(loss, loss.problem(rng, (3, 5)), 1.0, out)[1:]:
        with pytest.raises(error, match="out"):
            call()
    assert np.all(np.asarray(out) == 7)


@all_losses
def test_read_only_out(loss: Loss, rng: np.random.Generator) -> None:
    out = np.full((3, 5), 7.0)
    out.flags.writeable = False
    for call in every_call(loss, loss.problem(rng, (3, 5)), 1.0, out)[1:]:
        with pytest.raises(ValueError, match=r"out|read-only"):
            call()
    assert np.all(out == 7)


@all_losses
def test_wrong_upstream_gradient(loss: Loss, rng: np.random.Generator) -> None:
    given = loss.problem(rng, (3, 5))
    backward = loss.functions()[1]
    out = np.full((3, 5), 7.0)
    right = loss.losses_shape((3, 5))
    for reduction, shape in (
        *itertools.product(("mean", "sum"), (right, (1,), (3, 5))),
        *(("none", s) for s in ((), (4,), (1,), (3, 1), (3, 4), (3,), (5,), (3, 5)) if s != right),
    ):
        with pytest.raises(ValueError, match="grad"):
            backward(np.ones(shape), *given, reduction=reduction, out=out)
    for wrong in (1j, "a", None):
        with pytest.raises(TypeError, match="grad"):
            backward(wrong, *given, out=out)
    assert np.all(out == 7)
