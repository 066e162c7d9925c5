"""cross_entropy with every option: values, gradients, errors."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

import nonlin as nl
from nonlin import reference

from .oracle import FLOATS, assert_same_bits, ulp_error

INF, NAN = np.inf, np.nan
ROWS = [((6, 5), -1), ((5,), 0), ((5, 6), 0), ((3, 5, 4), 1), ((2, 3, 5), 2)]  # shapes of logits, class axis of 5

all_dtypes = pytest.mark.parametrize("dtype", FLOATS, ids=str)


def loss_dtype(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.float32) if dtype.itemsize == 2 else dtype


def problem(rng: np.random.Generator, shape: tuple[int, ...], axis: int, soft: bool) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and targets: classes, some of them 2, or probabilities."""
    logits = 3 * rng.standard_normal(shape)
    classes = shape[axis]
    if soft:
        return logits, reference.softmax(rng.standard_normal(shape), axis)
    return logits, rng.integers(0, classes, np.delete(shape, axis))


def options() -> list[dict[str, Any]]:
    """Every combination of the options, each either at its default or not."""
    weight = np.array([0.5, 1, 2, 0.25, 1.5])
    values = {"weight": [None, weight], "ignore_index": [-100, 2], "label_smoothing": [0.0, 0.1], "z_loss": [0.0, 0.01]}
    return [
        dict(zip([*values, "reduction"], chosen, strict=True))
        for chosen in itertools.product(*values.values(), ["mean", "sum", "none"])
    ]


def describe(o: dict[str, Any]) -> str:
    defaults = ("mean", "sum", "none"), (None, -100, 0.0)
    return "-".join(
        [
            o["reduction"],
            *(key for key, value in o.items() if not any(value is d or np.all(value == d) for d in sum(defaults, ()))),
        ]
    )


all_options = pytest.mark.parametrize("o", options(), ids=describe)
targets_of_both_kinds = pytest.mark.parametrize("soft", [False, True], ids=["classes", "probabilities"])


@all_dtypes
@targets_of_both_kinds
@all_options
def test_against_reference(o: dict[str, Any], soft: bool, dtype: np.dtype, rng: np.random.Generator) -> None:
    eps = float(np.finfo(dtype).eps)
    for shape, axis in ROWS:
        logits, targets = problem(rng, shape, axis, soft)
        logits = logits.astype(dtype)
        targets = targets.astype(dtype) if soft else targets
        weight = o["weight"]
        weight = None if weight is None else weight.astype(dtype)
        given = {**o, "weight": weight, "axis": axis}
        exact = targets.astype(np.float64) if soft else targets
        loss64, grad64 = reference.cross_entropy_with_grad(logits.astype(np.float64), exact, **given)

        loss = nl.cross_entropy(logits, targets, **given)
        assert loss.dtype == loss_dtype(dtype)
        assert np.shape(loss) == (tuple(np.delete(shape, axis)) if o["reduction"] == "none" else ())
        np.testing.assert_allclose(loss, loss64, rtol=64 * eps, atol=8 * eps)

        both = nl.cross_entropy_with_grad(logits, targets, **given)
        assert_same_bits(both[0], loss)
        assert (both[1].shape, both[1].dtype) == (shape, dtype)
        np.testing.assert_allclose(both[1], grad64, rtol=64 * eps, atol=8 * eps * max(1, np.max(np.abs(grad64))))

        upstream = rng.standard_normal(np.shape(loss)).astype(loss.dtype)
        grad = nl.cross_entropy_backward(upstream, logits, targets, **given)
        exact_grad = reference.cross_entropy_backward(upstream.astype(np.float64), logits.astype(np.float64), exact, **given)
        assert (grad.shape, grad.dtype) == (shape, dtype)
        np.testing.assert_allclose(grad, exact_grad, rtol=64 * eps, atol=8 * eps * max(1, np.max(np.abs(exact_grad))))


@targets_of_both_kinds
@all_options
def test_against_torch(o: dict[str, Any], soft: bool, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    if o["z_loss"] or (soft and o["ignore_index"] >= 0):
        return  # torch has neither
    for shape, axis in (((6, 5), -1), ((5,), 0), ((3, 5, 4), 1)):
        logits, targets = problem(rng, shape, axis, soft)
        x = torch.tensor(logits, requires_grad=True)
        weight = None if o["weight"] is None else torch.tensor(o["weight"])
        names = {key: o[key] for key in ("ignore_index", "label_smoothing", "reduction")}
        loss = torch.nn.functional.cross_entropy(x, torch.tensor(targets), weight=weight, **names)
        loss.sum().backward()
        got, grad = nl.cross_entropy_with_grad(logits, targets, axis=axis, **o)
        np.testing.assert_allclose(got, loss.detach().numpy(), rtol=1e-12)
        np.testing.assert_allclose(grad, x.grad.numpy(), rtol=1e-11, atol=1e-14)


@pytest.mark.every_target
@pytest.mark.parametrize("classes", [1, 2, 10, 64, 300, 1000, 32000])
@all_dtypes
def test_many_rows_and_classes(classes: int, dtype: np.dtype, rng: np.random.Generator) -> None:
    """Both layouts, sizes on either side of every kernel, and each row on its own."""
    rows = max(3, 20_000 // classes)
    logits, targets = problem(rng, (rows, classes), -1, soft=False)
    logits = logits.astype(dtype)
    exact_loss, exact_grad = reference.cross_entropy_with_grad(logits.astype(np.float64), targets, reduction="none")
    roundings = 100 if dtype == np.float64 else 8  # the reference has some of its own in float64
    close_loss, close_grad = (roundings * float(np.finfo(t).eps) for t in (loss_dtype(dtype), dtype))
    loss, grad = nl.cross_entropy_with_grad(logits, targets, reduction="none")
    for i in (0, rows // 2, rows - 1):
        alone = nl.cross_entropy_with_grad(logits[i : i + 1], targets[i : i + 1], reduction="none")
        assert_same_bits(alone, (loss[i : i + 1], grad[i : i + 1]))
    columns, columns_grad = nl.cross_entropy_with_grad(logits.T.copy(), targets, axis=0, reduction="none")
    strided, strided_grad = nl.cross_entropy_with_grad(np.asfortranarray(logits), targets, reduction="none")
    for y, dy in ((loss, grad), (columns, columns_grad.T), (strided, strided_grad)):
        np.testing.assert_allclose(y, exact_loss, rtol=close_loss, atol=0)
        np.testing.assert_allclose(dy, exact_grad, rtol=close_grad, atol=0)


@pytest.mark.every_target
@pytest.mark.parametrize("lead", [0, 10, 17, 40, 100])
@pytest.mark.parametrize("classes", [2, 10, 100, 5000])
def test_gradient_accuracy(classes: int, lead: float, rng: np.random.Generator) -> None:
    """4 ULP for every entry, and relative accuracy of loss and gradient where the prediction is nearly right."""
    logits = rng.standard_normal((8, classes)).astype(np.float32)
    targets = rng.integers(0, classes, 8)
    logits[np.arange(8), targets] += np.float32(lead)
    for shift in (0, 1e4, -1e4):
        z = logits + np.float32(shift)
        exact_loss, exact_grad = reference.cross_entropy_with_grad(z.astype(np.float64), targets, reduction="none")
        for soft in (False, True):
            t = np.eye(classes, dtype=np.float32)[targets] if soft else targets
            loss, grad = nl.cross_entropy_with_grad(z, t, reduction="none")
            assert np.max(ulp_error(grad, exact_grad)) <= 4
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


# Targets


@pytest.mark.parametrize("dtype", "bhilqBHILQ")
def test_every_integer_dtype(dtype: str, rng: np.random.Generator) -> None:
    logits, targets = problem(rng, (7, 5), -1, soft=False)
    expected = nl.cross_entropy_with_grad(logits, targets)
    assert_same_bits(nl.cross_entropy_with_grad(logits, targets.astype(dtype)), expected)
    assert_same_bits(nl.cross_entropy_with_grad(logits, targets.astype(dtype).repeat(2)[::2]), expected)
    assert_same_bits(nl.cross_entropy_with_grad(logits, targets.astype(np.dtype(dtype).newbyteorder())), expected)
    assert_same_bits(nl.cross_entropy_with_grad(logits.tolist(), targets.tolist()), expected)


@pytest.mark.parametrize("bad", [5, -1, -101, 2**31, -(2**63)])
@pytest.mark.parametrize("threads", [1, 4])
def test_bad_target_is_named_and_nothing_written(bad: int, threads: int, rng: np.random.Generator) -> None:
    nl.set_num_threads(threads)
    for rows, place in ((4, 2), (100_000, 77_777)):
        logits, targets = problem(rng, (rows, 5), -1, soft=False)
        targets[[place, rows - 1]] = bad, 6
        before, out = logits.copy(), np.full_like(logits, 7)
        for f, given, place_for in (
            (nl.cross_entropy, (logits, targets), {}),
            (nl.cross_entropy_with_grad, (logits, targets), {"out": out}),
            (nl.cross_entropy_with_grad, (logits, targets), {"out": logits}),
            (nl.cross_entropy_backward, (1.0, logits, targets), {"out": out}),
        ):
            with pytest.raises(IndexError, match=rf"\b{place}\b") as error:
                f(*given, **place_for)
            assert str(bad) in str(error.value)
        assert_same_bits(logits, before)
        assert np.all(out == 7)


def test_bad_target_of_several_axes_and_dtypes() -> None:
    logits = np.zeros((2, 5, 3))
    targets = np.zeros((2, 3), np.int8)
    targets[1, 2] = 9
    with pytest.raises(IndexError, match=r"1, 2.*9|9.*1, 2"):
        nl.cross_entropy(logits, targets, axis=1)
    with pytest.raises(IndexError, match=str(2**64 - 1)):
        nl.cross_entropy(np.zeros((1, 5)), np.array([2**64 - 1], np.uint64))
    with pytest.raises(IndexError):  # -100 as an unsigned number is not ignored
        nl.cross_entropy(np.zeros((1, 5)), np.array([2**64 - 100], np.uint64))
    with pytest.raises(IndexError):
        nl.cross_entropy(np.zeros(5), 5)


@pytest.mark.parametrize("ignored", [-100, 2, 77, 255])
def test_ignored_rows(ignored: int, rng: np.random.Generator) -> None:
    logits = rng.standard_normal((6, 5))
    targets = np.array([0, ignored, 1, ignored, 4, 3])
    keep = targets != ignored
    logits[1] = NAN  # must not be seen
    for reduction in ("mean", "sum", "none"):
        loss, grad = nl.cross_entropy_with_grad(logits, targets, ignore_index=ignored, reduction=reduction)
        expected_loss, expected_grad = nl.cross_entropy_with_grad(logits[keep], targets[keep], reduction=reduction)
        np.testing.assert_allclose(np.asarray(loss)[keep] if reduction == "none" else loss, expected_loss, rtol=1e-15)
        np.testing.assert_allclose(grad[keep], expected_grad, rtol=1e-15)
        np.testing.assert_array_equal(grad[~keep], 0)
        if reduction == "none":
            np.testing.assert_array_equal(loss[~keep], 0)


@pytest.mark.parametrize("extra", [{}, {"weight": np.ones(5)}, {"label_smoothing": 0.1}, {"z_loss": 0.1}], ids=str)
def test_all_ignored(extra: dict[str, Any], rng: np.random.Generator) -> None:
    logits = rng.standard_normal((3, 5))
    targets = np.full(3, -100)
    for reduction, expected in (("mean", NAN), ("sum", 0), ("none", np.zeros(3))):
        loss, grad = nl.cross_entropy_with_grad(logits, targets, reduction=reduction, **extra)
        np.testing.assert_array_equal(loss, expected)
        np.testing.assert_array_equal(grad, 0)


@all_dtypes
def test_empty_batch(dtype: np.dtype) -> None:
    for targets in (np.zeros(0, int), np.zeros((0, 5), dtype)):
        for reduction, expected in (("mean", NAN), ("sum", 0), ("none", np.zeros(0))):
            loss, grad = nl.cross_entropy_with_grad(np.zeros((0, 5), dtype), targets, reduction=reduction)
            np.testing.assert_array_equal(loss, expected)
            assert grad.shape == (0, 5)


def test_ignore_index_does_not_apply_to_probabilities(rng: np.random.Generator) -> None:
    logits, targets = problem(rng, (4, 5), -1, soft=True)
    assert nl.cross_entropy(logits, targets, ignore_index=0) == nl.cross_entropy(logits, targets)


def test_one_hot_probabilities_are_classes(rng: np.random.Generator) -> None:
    logits, targets = problem(rng, (9, 5), -1, soft=False)
    for o in ({}, {"label_smoothing": 0.2}, {"z_loss": 0.1}):
        both = nl.cross_entropy_with_grad(logits, targets, **o), nl.cross_entropy_with_grad(logits, np.eye(5)[targets], **o)
        for classes, probabilities in zip(*both, strict=True):
            np.testing.assert_allclose(classes, probabilities, rtol=1e-13, atol=1e-16)


# out


@all_dtypes
@targets_of_both_kinds
def test_out_and_in_place(soft: bool, dtype: np.dtype, rng: np.random.Generator) -> None:
    for shape, axis in [*ROWS, ((300, 200), -1), ((3, 50_000), -1), ((200, 300), 0)]:
        logits, targets = problem(rng, shape, axis, soft)
        logits = logits.astype(dtype)
        targets = targets.astype(dtype) if soft else targets
        o = {"axis": axis, "label_smoothing": 0.1, "z_loss": 0.01}
        loss, grad = nl.cross_entropy_with_grad(logits, targets, **o)
        upstream = np.float32(0.7)
        backward = nl.cross_entropy_backward(upstream, logits, targets, **o)
        for place in range(4):
            buffer = np.zeros(2 * logits.size, dtype)
            x = buffer[: logits.size].reshape(shape)
            x[:] = logits
            start = (0, 1, shape[-1], logits.size)[place]  # in place, shifted, a row on, apart
            out = buffer[start : start + logits.size].reshape(shape)
            got = nl.cross_entropy_with_grad(x, targets, out=out, **o)
            assert got[1] is out
            assert_same_bits(got, (loss, grad))
            x[:] = logits
            assert nl.cross_entropy_backward(upstream, x, targets, out=out, **o) is out
            assert_same_bits(out, backward)
        strided = np.zeros((*shape, 2), dtype)[..., 0]
        nl.cross_entropy_with_grad(logits, targets, out=strided, **o)
        np.testing.assert_allclose(strided, grad, rtol=64 * np.finfo(dtype).eps, atol=8 * np.finfo(dtype).eps)
        if soft:
            t = targets.copy()
            assert_same_bits(nl.cross_entropy_with_grad(logits, t, out=t, **o), (loss, grad))


def test_layouts_of_logits(rng: np.random.Generator) -> None:
    logits, targets = problem(rng, (12, 30), -1, soft=False)
    expected = nl.cross_entropy_with_grad(logits, targets)
    read_only = logits.copy()
    read_only.flags.writeable = False
    unaligned = np.zeros(logits.shape, [("byte", "u1"), ("value", "f8")])["value"]
    unaligned[:] = logits
    for x in (
        read_only,
        unaligned,
        logits.astype(">f8"),
        np.asfortranarray(logits),
        logits[::-1].copy()[::-1],
        logits[:, ::-1].copy()[:, ::-1],
        np.repeat(logits, 3, axis=1)[:, ::3],
    ):
        for got, exact in zip(nl.cross_entropy_with_grad(x, targets), expected, strict=True):
            np.testing.assert_allclose(got, exact, rtol=1e-13)


# Errors


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"reduction": "average"}, ValueError, "reduction.*average"),
        ({"reduction": None}, (TypeError, ValueError), "reduction"),
        ({"label_smoothing": 1.5}, ValueError, "label_smoothing.*1.5"),
        ({"label_smoothing": -0.1}, ValueError, "label_smoothing.*-0.1"),
        ({"label_smoothing": NAN}, ValueError, "label_smoothing.*nan"),
        ({"weight": np.ones(4)}, ValueError, "weight"),
        ({"weight": np.ones((1, 5))}, ValueError, "weight"),
        ({"weight": np.ones(5, complex)}, TypeError, "weight"),
        ({"ignore_index": 0.5}, TypeError, "ignore_index"),
        ({"axis": 2}, np.exceptions.AxisError, "axis 2"),
        ({"axis": 0.5}, TypeError, None),
        ({"logits": np.zeros((3, 5), complex)}, TypeError, "logits"),
        ({"logits": np.zeros((3, 5), object)}, TypeError, "logits"),
        ({"logits": np.zeros((3, 0))}, ValueError, "logits.*empty|empty.*logits"),
        ({"logits": np.zeros(())}, np.exceptions.AxisError, None),
        ({"targets": np.zeros(4, int)}, ValueError, "targets"),
        ({"targets": np.zeros((3, 1), int)}, ValueError, "targets"),
        ({"targets": np.zeros(3)}, ValueError, "targets"),
        ({"targets": np.zeros((3, 4))}, ValueError, "targets"),
        ({"targets": np.zeros((3, 5), int)}, ValueError, "targets"),
        ({"targets": np.zeros(3, complex)}, TypeError, "targets"),
        ({"targets": ["a", "b", "c"]}, TypeError, "targets"),
    ],
    ids=str,
)
def test_errors(change: dict[str, Any], error: Any, message: str | None) -> None:
    given = {"logits": np.zeros((3, 5)), "targets": np.zeros(3, int), **change}
    logits, targets = given.pop("logits"), given.pop("targets")
    out = np.full((3, 5), 7.0)
    with pytest.raises(error, match=message):
        nl.cross_entropy(logits, targets, **given)
    with pytest.raises(error, match=message):
        nl.cross_entropy_with_grad(logits, targets, out=out, **given)
    with pytest.raises(error, match=message):
        nl.cross_entropy_backward(1.0, logits, targets, out=out, **given)
    assert np.all(out == 7)


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (np.zeros((3, 4)), ValueError),
        (np.zeros(15), ValueError),
        (np.zeros((3, 5), np.float32), TypeError),
        (np.zeros((3, 5), np.int64), TypeError),
        ([0.0] * 5, TypeError),
    ],
    ids=lambda v: str(getattr(v, "shape", v)),
)
def test_wrong_out(out: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="out"):
        nl.cross_entropy_with_grad(np.zeros((3, 5)), [0, 1, 2], out=out)
    with pytest.raises(error, match="out"):
        nl.cross_entropy_backward(1.0, np.zeros((3, 5)), [0, 1, 2], out=out)


def test_read_only_out() -> None:
    out = np.zeros((3, 5))
    out.flags.writeable = False
    with pytest.raises(ValueError, match=r"out|read-only"):
        nl.cross_entropy_with_grad(np.zeros((3, 5)), [0, 1, 2], out=out)


def test_wrong_upstream_gradient() -> None:
    logits, targets = np.zeros((3, 5)), np.zeros(3, int)
    with pytest.raises(ValueError, match="grad"):
        nl.cross_entropy_backward(np.ones(3), logits, targets)
    with pytest.raises(ValueError, match="grad"):
        nl.cross_entropy_backward(np.ones(4), logits, targets, reduction="none")
    with pytest.raises(TypeError, match="grad"):
        nl.cross_entropy_backward(1j, logits, targets)
