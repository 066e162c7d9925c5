"""What losses and their gradients are, with every option, for special operands and every dtype."""

import inspect
import itertools
import math
from typing import Any

import numpy as np
import pytest
from ml_dtypes import finfo
from mpmath import mp, mpf

import nonlin as nl
from nonlin import reference

from .conftest import each
from .loss_cases import (
    ENTRIES,
    INF,
    NAN,
    REDUCTIONS,
    ROWS,
    all_dtypes,
    all_losses,
    assert_is_reference,
    assert_near,
    by_name,
    describe,
    every_result,
    losses_by_rows,
    losses_of_classes,
    losses_of_entries,
    losses_of_two_floats,
)
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

wide_dtypes = pytest.mark.parametrize("dtype", [t for t in FLOATS if t.itemsize > 2], ids=str)


# Of options that are no arrays: a value, and others that mean the same.
SAME: dict[str, tuple[Any, list[Any]]] = {
    "axis": (1, [-1, np.int8(1), np.int64(-1)]),
    "reduction": ("sum", ["".join("sum"), np.str_("sum")]),
    "ignore_index": (2, [np.int8(2), np.int64(2), np.uint64(2)]),
    "label_smoothing": (0.125, [np.float16(0.125), np.float32(0.125), np.float64(0.125)]),
    "z_loss": (1.0, [1, np.int8(1), np.float32(1), np.array(1)]),
    "gamma": (1.0, [1, np.int8(1), np.float32(1), np.array(1)]),
    "alpha": (0.25, [np.float16(0.25), np.float64(0.25), np.array(0.25)]),
}


@all_losses
def test_arguments_in_other_forms(loss: Loss, rng: np.random.Generator) -> None:
    """By keyword, numbers of any type, and options at their defaults."""
    given = loss.problem(rng, (7, 5))
    o = loss.keywords(rng, (7, 5), 1, tuple(name for name in loss.options if name not in SAME))
    o |= {name: value for name, (value, _) in SAME.items() if name in loss.options}
    expected = every_result(loss, given, 0.5, **o)
    forward, backward, *with_grad = loss.functions()
    o |= dict(zip(loss.arguments, given, strict=True))
    results = forward(**o), backward(grad=0.5, **o), *(array for f in with_grad for array in f(**o))
    assert_same_bits(results, expected)
    o = {name: value for name, value in o.items() if name in loss.options}
    for name in SAME.keys() & o.keys():
        for other in SAME[name][1]:
            assert_same_bits(every_result(loss, given, 0.5, **{**o, name: other}), expected)
    for upstream in (np.float32(0.5), np.float64(0.5), np.array(0.5), np.array(0.5, ">f4")):
        assert_same_bits(every_result(loss, given, upstream, **o), expected)
    defaults = {name: p.default for name, p in inspect.signature(forward).parameters.items() if name in loss.options}
    assert_same_bits(every_result(loss, given, 1, **defaults), every_result(loss, given, 1.0))


# Values


@pytest.mark.parametrize(
    ("loss", "chosen"),
    [(f, chosen) for f in LOSSES for chosen in f.choices()],
    ids=describe,
)
def test_against_reference(loss: Loss, chosen: tuple[str, ...], rng: np.random.Generator) -> None:
    """Every reduction in one shape, and in the others by turns: all of them with one dtype or another."""
    for (i, dtype), (j, (shape, axis)) in itertools.product(enumerate(FLOATS), enumerate(ROWS if loss.by_rows else ENTRIES)):
        given = loss.problem(rng, shape, axis, dtype)
        for reduction in REDUCTIONS if j == 0 else (REDUCTIONS[(i + j) % len(REDUCTIONS)],):
            o = {**loss.keywords(rng, shape, axis, chosen, dtype), "reduction": reduction}
            assert_is_reference(loss, given, o, rng)


@all_dtypes
@losses_by_rows
def test_one_class(loss: Loss, dtype: np.dtype, rng: np.random.Generator) -> None:
    for shape, axis in (((1,), 0), ((50, 1), -1), ((1, 50), 0)):
        for reduction in REDUCTIONS:
            assert_is_reference(loss, loss.problem(rng, shape, axis, dtype), {"axis": axis, "reduction": reduction}, rng)


def torch_loss(torch: Any, loss: Loss, given: list[Any], o: dict[str, Any]) -> Any:
    """The loss by torch, whose classes lie along axis 1 if there is a batch.

    It lacks z_loss, weights of rows, ignore_index of floats, and focal losses.
    """
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
        if not {"z_loss", "sample_weight"} & {*chosen}
        and "gamma" not in f.options
        and not (f.soft and "ignore_index" in chosen)
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


def weights_of_classes(rng: np.random.Generator, classes: int, target: int) -> dict[str, np.ndarray]:
    """Random ones, and such that the target has none of the weight, or all of it."""
    one = (np.arange(classes) == target).astype(np.float64)
    weights = {"even": rng.uniform(0.1, 2, classes), "uneven": 10 ** rng.uniform(-6, 3, classes)}
    weights |= {"none": 1 - one, "all": one, "little": 1 - 0.9999 * one, "most": 1 + 1e4 * one}
    return weights | {"of both signs": rng.standard_normal(classes), "negative": one * classes - 1.5}


@pytest.mark.every_target
@pytest.mark.parametrize(("dtype", "bound"), [(t, 0.6 if t in HALVES else 4) for t in FLOATS], ids=str)
@pytest.mark.parametrize(
    ("classes", "lead"), [*itertools.product((2, 5, 100), (None, 0, 1, 4, 17)), (50_257, None), (50_257, 4)]
)
def test_weighted_gradient_accuracy(
    classes: int, lead: float | None, dtype: np.dtype, bound: float, rng: np.random.Generator
) -> None:
    """For any weights, smoothing and z_loss: in units of the larger of the terms, the softmax's or the target's.

    Where many weights are added to the softmax's, an ULP more is left to them.
    """
    kind = np.longdouble if dtype == np.float64 else np.float64
    logits = np.zeros((3, classes)) if lead is None else rng.standard_normal((3, classes))
    targets = rng.integers(0, classes, 3)
    logits[:2, targets[:2]] += lead or 0
    logits = logits.astype(dtype)
    z = logits.astype(kind)
    m = z.max(-1, keepdims=True)
    lse = m + np.log(np.exp(z - m).sum(-1, keepdims=True))
    p = np.exp(z - lse)
    soft = reference.softmax(4 * rng.standard_normal((3, classes))).astype(dtype)
    for weight in weights_of_classes(rng, classes, targets[0]).values():
        every = ((0.0, 0.0), (0.1, 0.0), (0.5, 0.01), (1.0, 0.0), (0.0, -0.1))
        for smoothing, z_loss in every if classes < 1000 else every[:3:2]:
            w, (e, c) = weight.astype(working_dtype(dtype)), working_dtype(dtype).type([smoothing, z_loss]).astype(kind)
            o = {"weight": w, "label_smoothing": smoothing, "z_loss": z_loss, "reduction": "sum"}
            for given, y in ((targets, np.arange(classes) == targets[:, None]), (soft, soft.astype(kind))):
                t = w * ((1 - e) * y + e / classes)
                slope = 2 * c * lse
                exact = p * (t.sum(-1, keepdims=True) + slope) - t
                largest = np.maximum(p * (np.abs(t).sum(-1, keepdims=True) + np.abs(slope)), np.abs(t))
                error = ulp_error(nl.cross_entropy_backward(1.0, logits, given, **o), exact, largest.astype(np.float64))
                assert np.max(error) <= bound + (dtype not in HALVES and given is soft)


@pytest.mark.every_target
@all_dtypes
def test_nan_stays_nan_whatever_its_payload(dtype: np.dtype) -> None:
    """GPUs write 0x7fffffff, which a rounding to 16 bits would carry into a zero."""
    nan = np.array([0x7FFFFFFF, 0xFFFFFFFF], np.uint32).view(np.float32)
    for classes in (3, 300):
        logits = np.zeros((2, classes), dtype)
        assert np.isnan(nl.cross_entropy_backward(nan, logits, [0, 1], reduction="none").astype(np.float64)).all()


# Special values

LOG2, LOG3 = math.log(2), math.log(3)
FAR = math.exp(-40)  # sigmoid(-40), and softplus(-40), to 18 digits
FOCUS = 1 / 4 + LOG2 / 2  # F of a focal loss, where p is 1 / 2 and gamma 2
A, B = 1 + math.exp(20), 1 + math.exp(-1) + math.exp(-1.9)

# For each loss: operands, options, the losses of the rows or entries, and their gradients, None for "not stated".
SPECIAL: dict[str, list[tuple[Any, Any, dict[str, Any], Any, Any]]] = {
    "cross_entropy": [
        ([[-INF, 0, 0], [1, -INF, -INF]], [1, 0], {}, [LOG2, 0], [[0, -0.5, 0.5], [0, 0, 0]]),
        ([[-INF, 0, 0], [1, -INF, -INF]], [[0, 1.0, 0], [1, 0, 0]], {}, [LOG2, 0], [[0, -0.5, 0.5], [0, 0, 0]]),
        ([[-INF, 0], [0, -INF]], [0, 1], {}, [INF, INF], [[-1, 1], [1, -1]]),
        ([[-INF, 0]], [[0.5, 0.5]], {}, [INF], [[-0.5, 0.5]]),
        ([[1, -INF, -INF], [2, 2, 2]], [2, 0], {}, [INF, LOG3], [[1, 0, -1], [-2 / 3, 1 / 3, 1 / 3]]),
        ([[NAN, 0], [INF, 0], [1, 1]], [1, 1, 0], {}, [NAN, NAN, LOG2], [[NAN, NAN], [NAN, NAN], [-0.5, 0.5]]),
        ([[-INF, -INF]], [1], {}, None, [[NAN, NAN]]),
        ([[20, 0], [0, 40]], [0, 1], {}, [math.log1p(math.exp(-20)), FAR], [[-1 / A, 1 / A], [FAR, -FAR]]),
        ([[2, 1, 0.1]], [0], {}, [math.log(B)], [[1 / B - 1, math.exp(-1) / B, math.exp(-1.9) / B]]),
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
    "focal_loss": [
        ([[-INF, 0, 0], [1, -INF, -INF]], [1, 0], {}, [LOG2 / 4, 0], [[0, -FOCUS / 2, FOCUS / 2], [0, 0, 0]]),
        (
            [[-INF, 0, 0], [1, -INF, -INF]],
            [[0, 1.0, 0], [1, 0, 0]],
            {},
            [LOG2 / 4, 0],
            [[0, -FOCUS / 2, FOCUS / 2], [0] * 3],
        ),
        ([[-INF, 0], [0, -INF]], [0, 1], {}, [INF, INF], [[-1, 1], [1, -1]]),
        ([[-INF, 0], [0, 0]], [[0.5, 0.5]] * 2, {}, [INF, LOG2 / 4], [[-0.5, 0.5], [0, 0]]),
        (
            [[NAN, 0], [INF, 0], [0, 0]],
            [1, 1, 0],
            {},
            [NAN, NAN, LOG2 / 4],
            [[NAN, NAN], [NAN, NAN], [-FOCUS / 2, FOCUS / 2]],
        ),
        ([[-INF, 0], [0, 0]], [0, 1], {"weight": [0.0, 3]}, [0, LOG2 * 3 / 4], [[0, 0], [1.5 * FOCUS, -1.5 * FOCUS]]),
        ([[0, 40], [40, 0]], [0, 0], {}, [40, FAR**3], [[-1, 1], [-3 * FAR**3, 3 * FAR**3]]),
        ([[3e38, -3e38], [-3e38, 3e38]], [0, 1], {}, [0, 0], [[0, 0], [0, 0]]),
    ],
    "binary_focal_loss_with_logits": [
        ([INF, -INF, INF, -INF], [1, 0, 0, 1], {}, [0, 0, INF, INF], [0, 0, 1, -1]),
        ([0, 0, 0], [0, 1, 0.5], {}, [LOG2 / 4] * 3, [FOCUS / 2, -FOCUS / 2, 0]),
        ([1000, 1000, -1000, -1000], [0, 1, 0, 1], {}, [1000, 0, 0, 1000], [1, 0, 0, -1]),
        ([40, -40, 40, -40], [1, 0, 0, 1], {}, [FAR**3, FAR**3, 40, 40], [-3 * FAR**3, 3 * FAR**3, 1, -1]),
        ([INF, -INF, 0], [0, 1, 1], {"weight": [0.0, 0, 2]}, [0, 0, LOG2 / 2], [0, 0, -FOCUS]),
        ([NAN, NAN, 0, 0], [0, 1, NAN, 1], {}, [NAN, NAN, NAN, LOG2 / 4], [NAN, NAN, NAN, -FOCUS / 2]),
        ([0, 0], [1, 1], {"weight": [NAN, 1]}, [NAN, LOG2 / 4], [NAN, -FOCUS / 2]),
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


@pytest.mark.every_target
@pytest.mark.parametrize(
    ("loss", "case"), [(by_name(name), i) for name, cases in SPECIAL.items() for i in range(len(cases))], ids=str
)
@each("dtype", FLOATS)
def test_special_values(loss: Loss, case: int, dtype: np.dtype) -> None:
    """As they stand and, for the vector kernels, repeated."""
    *operands, options, losses, gradients = SPECIAL[loss.name][case]
    info = finfo(working_dtype(dtype))
    # Nearer to 0 or 1 than 1e-12, the gradient of binary_cross_entropy is a matter of convention to one part in 1e12.
    close = max(8 * float(info.eps), 2e-12 if loss.name == "binary_cross_entropy" else 0)
    # On some instruction sets, the logarithm of a quotient of 1 is as far from 0 as the square of a rounding.
    least = float(info.eps**2 if loss.name == "kl_divergence" else info.tiny)
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
                assert_rounded(got, exact, close * np.abs(exact) + least)


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


@wide_dtypes
def test_binary_cross_entropy_keeps_the_digits_of_its_gradient(dtype: np.dtype, rng: np.random.Generator) -> None:
    p = np.concatenate([rng.uniform(0, 1, 1000), 10 ** rng.uniform(-11, 0, 1000)]).astype(dtype)
    p = p[p < 1]
    y = p * dtype.type(1 + 4 * finfo(dtype).eps)
    difference = p.astype(np.longdouble) - y
    exact = difference / p / (1 - p.astype(np.longdouble))
    grad = nl.binary_cross_entropy_backward(np.ones_like(p), p, y, reduction="none")
    np.testing.assert_allclose(grad, exact.astype(np.float64), rtol=4 * finfo(dtype).eps)


@wide_dtypes
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


@all_dtypes
@losses_of_entries
def test_sums_over_entries_are_in_float64(loss: Loss, dtype: np.dtype, rng: np.random.Generator) -> None:
    """Large terms of both signs cancel exactly, and none overflows, in pieces of any length and with a rest."""
    forward, _, *with_grad = loss.functions()
    for n in (1, 2, 40, 4096, 5000, 10_001):
        half = [a.astype(dtype) for a in loss.problem(rng, (n,))]
        given = [np.concatenate([a, a[::-1], a[:1]]) for a in half]
        weight = np.repeat([1e6, -1e6, 1], [n, n, 1]).astype(np.float32)
        rest = wide(forward(*(a[:1] for a in half), reduction="sum"))
        for f in (forward, *with_grad):
            loss_of_all = as_tuple(f(*given, weight=weight, reduction="sum"))[0]
            np.testing.assert_allclose(wide(loss_of_all), rest, rtol=1e-6, atol=1e-9 * n)


def test_means_of_large_losses_are_finite() -> None:
    """A sum of float32 numbers near the largest one."""
    for n in (1, 2, 100, 20_000):
        x, y = np.full(n, 3e38, np.float32), np.zeros(n, np.float32)
        assert nl.binary_cross_entropy_with_logits(x, y) == np.float32(3e38)
        assert nl.binary_cross_entropy_with_logits_with_grad(x, y)[0] == np.float32(3e38)
        assert nl.binary_cross_entropy(np.ones(n, np.float32), y, weight=np.float32(3e36)) == np.float32(100) * np.float32(
            3e36
        )
        assert nl.nll_loss(-x[:, None], np.zeros(n, int)) == np.float32(3e38)


# Focal losses


def exact_focal(p: mpf, q: mpf, gamma: float) -> tuple[mpf, mpf]:
    """``q^gamma l`` for ``l = -log(p)``, and ``q^gamma (1 + gamma p l / q)``."""
    log_loss = -mp.log1p(-q)
    return q**gamma * log_loss, q**gamma * (1 + gamma * p * log_loss / q)


@pytest.mark.every_target
@wide_dtypes
@pytest.mark.parametrize("gamma", [0, 0.5, 1, 2, 5])
def test_focal_losses_keep_their_digits(gamma: float, dtype: np.dtype) -> None:
    """From logits far apart, for p near 1 and near 0, on both sides of the target; sub-normal results are left out."""
    x = np.concatenate([np.linspace(-30, 30, 121), [0, 1e-3, -1e-3, 16.6, 17.4, -70]]).astype(dtype)
    q = [1 / (1 + mp.exp(mpf(float(v)))) for v in x]
    exact = [exact_focal(1 - b, b, gamma) for b in q]
    losses = np.array([float(value) for value, _ in exact])
    by_other = np.array([float(slope * b) for (_, slope), b in zip(exact, q, strict=True)])
    seen = losses > float(finfo(dtype).tiny)
    bound = 4 + 2 * gamma
    rows = np.stack([x, np.zeros_like(x)], axis=-1)
    for first in (0, 1):
        targets = np.full(x.size, first)
        for given in (targets, np.eye(2, dtype=dtype)[targets]):
            value, grad = nl.focal_loss_with_grad(rows[:, :: 1 - 2 * first], given, gamma=gamma, reduction="none")
            assert np.max(ulp_error(value, losses)[seen]) <= bound
            for of_class, sign in ((first, -1), (1 - first, 1)):
                assert np.max(ulp_error(grad[:, of_class], sign * by_other)[seen]) <= bound
        y = dtype.type(1 - first)
        sign = 1 if first else -1
        value, grad = nl.binary_focal_loss_with_logits_with_grad(
            -sign * x, np.full_like(x, y), gamma=gamma, reduction="none"
        )
        assert np.max(ulp_error(value, losses)[seen]) <= bound
        assert np.max(ulp_error(grad, sign * by_other)[seen]) <= bound


@all_dtypes
@pytest.mark.parametrize("loss", [f for f in LOSSES if "gamma" in f.options], ids=str)
def test_focal_losses_without_focus_are_cross_entropies(loss: Loss, dtype: np.dtype, rng: np.random.Generator) -> None:
    other = by_name(loss.name.replace("focal_loss", "cross_entropy"), loss.soft)
    given = loss.problem(rng, (50, 30), -1, dtype)
    close = 16 * float(finfo(dtype).eps)
    for reduction in REDUCTIONS:
        upstream = rng.standard_normal(loss.losses_shape((50, 30)) if reduction == "none" else ())
        got = every_result(loss, given, upstream, reduction=reduction, gamma=0)
        for y, exact in zip(got, every_result(other, given, upstream, reduction=reduction), strict=True):
            np.testing.assert_allclose(wide(y), wide(exact), rtol=close, atol=close)


def test_focal_loss_balances_as_torchvision_does(rng: np.random.Generator) -> None:
    """By the code of its sigmoid_focal_loss."""
    x = rng.standard_normal((40, 3))
    p = reference.sigmoid(x)
    targets = rng.integers(0, 2, (40, 3)), rng.random((40, 3))
    for y, alpha, gamma in itertools.product(targets, (0.25, 0.9, 0, 1, 1e-6), (0, 2, 3.5)):
        p_t = p * y + (1 - p) * (1 - y)
        exact = (
            (alpha * y + (1 - alpha) * (1 - y)) * (1 - p_t) ** gamma * reference.binary_cross_entropy(p, y, reduction="none")
        )
        got = nl.binary_focal_loss_with_logits(x, y, alpha=alpha, gamma=gamma, reduction="none")
        np.testing.assert_allclose(got, exact, rtol=1e-12)


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


# Upstream gradients


@all_losses
def test_upstream_gradients_broadcast(loss: Loss, rng: np.random.Generator) -> None:
    """To the shape of the losses; a scalar serves all of them."""
    shape = (4, 3, 5)
    given = loss.problem(rng, shape)
    backward = loss.functions()[1]
    losses = loss.losses_shape(shape)
    for by in ((), (1,), losses[1:], (4, *[1] * len(losses[1:])), (1, *losses[1:]), losses):
        grad = rng.standard_normal(by)
        full = np.broadcast_to(grad, losses)
        expected = backward(full.copy(), *given, reduction="none")
        for same in (grad, full, grad.tolist(), np.asfortranarray(grad)):
            assert_same_bits(backward(same, *given, reduction="none"), expected)


@pytest.mark.parametrize("half", HALVES, ids=str)
@all_losses
def test_mean_of_a_16_bit_upstream_gradient(loss: Loss, half: np.dtype, rng: np.random.Generator) -> None:
    """The quotient has more digits than the gradient that it comes from."""
    given = loss.problem(rng, (7, 5), -1, np.float32)
    backward = loss.functions()[1]
    expected = backward(float(half.type(0.7)), *given)
    for grad in (half.type(0.7), np.array(0.7, half)):
        assert_same_bits(backward(grad, *given), expected)


# Targets


@pytest.mark.parametrize(
    ("loss", "dtype"),
    [(f, t) for f in LOSSES if "targets" in f.arguments for t in ("?bhilqBHILQefd" if f.soft else "bhilqBHILQ")],
    ids=str,
)
def test_targets_of_every_dtype(loss: Loss, dtype: str, rng: np.random.Generator) -> None:
    """The result has the dtype of the other operand, whatever they have; integers of its shape are probabilities."""
    for dtype_of_x, shape in itertools.product(FLOATS, ((7, 5), (3, 700))):
        x, targets = loss.problem(rng, shape, -1, dtype_of_x)
        if loss.soft:
            targets = rng.integers(0, 2, shape).astype(dtype_of_x)  # which every dtype holds exactly
        else:
            targets %= 100
        expected = every_result(loss, [x, targets], 0.7)
        assert expected[1].dtype == dtype_of_x
        for t in (
            targets.astype(dtype),
            targets.astype(dtype).repeat(2, axis=-1)[..., ::2] if shape == (7, 5) else targets.astype(dtype),  # same layout
            targets.astype(np.dtype(dtype).newbyteorder()),
            targets.astype(dtype).tolist(),
        ):
            assert_same_bits(every_result(loss, [x, t], 0.7), expected)


@pytest.mark.every_target
@pytest.mark.parametrize("half", HALVES, ids=str)
@pytest.mark.parametrize("loss", [f for f in LOSSES if f.soft and "targets" in f.arguments], ids=str)
def test_targets_keep_their_digits_beside_16_bits(loss: Loss, half: np.dtype, rng: np.random.Generator) -> None:
    """Of any wider type, or of the other 16-bit one, and whatever the layout."""
    other = HALVES[half == HALVES[0]]
    for shape, axis in (((7, 5), -1), ((5, 7), 0), ((3, 700), -1), ((700, 3), 0), ((2, 70_000), -1)):
        x, targets = loss.problem(rng, shape, axis)
        given = [targets.astype(t) for t in (np.float32, np.float64, np.longdouble, other)]
        if "gamma" not in loss.options:  # whose power takes no more than 1
            given.append(70_001 * targets)
        for t, reduction in itertools.product(given, REDUCTIONS if x.size < 10_000 else ("mean",)):
            o = {"reduction": reduction} | ({"axis": axis} if loss.by_rows else {})
            assert_is_reference(loss, [x.astype(half), t], o, rng)


@pytest.mark.parametrize("half", HALVES, ids=str)
@losses_of_two_floats
def test_integers_keep_their_digits_beside_16_bits(loss: Loss, half: np.dtype, rng: np.random.Generator) -> None:
    """They leave the dtype of the result as it is."""
    for shape, axis in (((7, 5), -1), ((5, 7), 0), ((3, 700), -1)):
        q = loss.problem(rng, shape, axis, half)[1]
        for p in (rng.integers(0, 2, shape), rng.integers(0, 70_001, shape), rng.integers(0, 2, shape).astype(bool)):
            exact = p.astype(np.float64)
            for f, exact_f in zip(loss.functions()[::2], loss.functions(reference)[::2], strict=True):
                got, expected = as_tuple(f(p, q, axis=axis)), as_tuple(exact_f(exact, wide(q), axis=axis))
                assert_near(got[0], expected[0])
            grad = loss.functions()[1](1.0, p, q, axis=axis)
            assert grad.dtype == half
            assert_near(grad, loss.functions(reference)[1](1.0, exact, wide(q), axis=axis))


@pytest.mark.parametrize("half", HALVES, ids=str)
def test_single_targets_keep_their_digits_beside_16_bits(half: np.dtype) -> None:
    for x, y, expected in (
        (16, np.float32(0.999), 0.01599991),
        (-1, 70_001, 70_001.3133),
        (-1, np.int64(70_001), 70_001.3133),
    ):
        loss = nl.binary_cross_entropy_with_logits(np.array([x], half), np.array([y]))
        np.testing.assert_allclose(loss, expected, rtol=1e-6)


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


losses_with_sample_weight = pytest.mark.parametrize("loss", [f for f in LOSSES if "sample_weight" in f.options], ids=str)


@losses_with_sample_weight
def test_rows_of_weight_0_do_not_count(loss: Loss, rng: np.random.Generator) -> None:
    """Whatever they hold."""
    for dtype in FLOATS:
        given = loss.problem(rng, (6, 5), -1, dtype)
        sample_weight = np.array([1, 0, 0.5, 2, 0, 1])
        keep = sample_weight != 0
        given[loss.operand][~keep] = NAN if "probs" not in loss.arguments or not loss.soft else 0
        for reduction in REDUCTIONS:
            upstream = rng.standard_normal(6) if reduction == "none" else np.array(0.7)
            counted = upstream[keep] if reduction == "none" else upstream
            got = every_result(loss, given, upstream, sample_weight=sample_weight, reduction=reduction)
            rest = [a[keep] for a in given]
            expected = every_result(loss, rest, counted, sample_weight=sample_weight[keep], reduction=reduction)
            for y, exact in zip(got, expected, strict=True):
                np.testing.assert_allclose(wide(y[keep] if np.ndim(y) else y), wide(exact), rtol=1e-14)
                assert np.ndim(y) == 0 or not wide(y[~keep]).any()


@losses_with_sample_weight
def test_weights_of_rows_repeat_them(loss: Loss, rng: np.random.Generator) -> None:
    """An integer weight counts a row so many times; a scalar leaves a mean as it is."""
    given = loss.problem(rng, (6, 5))
    times = np.array([1, 3, 0, 2, 1, 4])
    o = loss.keywords(rng, (6, 5), -1, tuple(name for name in loss.options if name in ("weight", "ignore_index")))
    forward = loss.functions()[0]
    for reduction in ("mean", "sum"):
        repeated = forward(*(a.repeat(times, 0) for a in given), reduction=reduction, **o)
        for kind in (np.int64, np.float32, np.float64):
            weighted = forward(*given, sample_weight=times.astype(kind), reduction=reduction, **o)
            np.testing.assert_allclose(weighted, repeated, rtol=1e-13)
    for scalar in (2, 2.0, np.float32(2), np.array(2)):
        for y, exact in zip(
            every_result(loss, given, 0.7, sample_weight=scalar), every_result(loss, given, 0.7), strict=True
        ):
            np.testing.assert_allclose(y, exact, rtol=1e-14)
        np.testing.assert_allclose(
            forward(*given, sample_weight=scalar, reduction="none"), 2 * forward(*given, reduction="none"), rtol=1e-15
        )


@losses_with_sample_weight
def test_weights_of_rows_keep_their_digits(loss: Loss, rng: np.random.Generator) -> None:
    """Products of float32 losses and weights are added up in float64."""
    given = [a[[0, 0, 0]] for a in loss.problem(rng, (3, 5), -1, np.float32)]
    forward = loss.functions()[0]
    one = forward(*given, reduction="none")[0]
    got = forward(*given, sample_weight=[1e9 + 1, -1e9, 0.25], reduction="sum")
    np.testing.assert_allclose(got, 1.25 * np.float64(one), rtol=1e-7)


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


@pytest.mark.parametrize(("narrow", "wider"), [(a, b) for a in FLOATS for b in FLOATS if a.itemsize < b.itemsize], ids=str)
@losses_of_two_floats
def test_mixed_floats_give_the_wider(loss: Loss, narrow: np.dtype, wider: np.dtype, rng: np.random.Generator) -> None:
    given = loss.problem(rng, (6, 5), -1, narrow)
    expected = every_result(loss, [a.astype(wider) for a in given], 0.7)
    for i in (0, 1):
        assert_same_bits(every_result(loss, [a.astype(wider) if i == j else a for j, a in enumerate(given)], 0.7), expected)
