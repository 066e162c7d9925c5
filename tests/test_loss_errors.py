"""What losses refuse, what they say then, and that they write nothing; and that nothing that they take is a warning."""

import itertools
import re
from typing import Any

import numpy as np
import pytest

import nonlin as nl
from nonlin import _core

from . import oracle
from .loss_cases import (
    INF,
    NAN,
    REDUCTIONS,
    all_dtypes,
    all_losses,
    every_call,
    every_result,
    losses_by_rows,
    losses_of_classes,
    losses_of_two_floats,
    read_only,
)
from .oracle import FLOATS, HALVES, LOSSES, Loss, assert_same_bits


def test_numbers_left_out() -> None:
    """Signatures have their defaults; without these, the functions behind them say what is missing."""
    with pytest.raises(TypeError, match=r"^gamma is None; it takes a finite number"):
        _core.binary_focal_loss_with_logits([1.0], [1.0], reduction="mean")


MISTAKES = [  # which losses, argument, value, error, message
    ("any", "reduction", "average", ValueError, "reduction.*average"),
    ("any", "reduction", None, (TypeError, ValueError), "reduction"),
    ("any", "reduction", "Mean", ValueError, "reduction.*Mean"),
    ("any", "label_smoothing", 1.5, ValueError, "label_smoothing.*1.5"),
    ("any", "label_smoothing", -0.1, ValueError, "label_smoothing.*-0.1"),
    ("any", "label_smoothing", NAN, ValueError, "label_smoothing.*nan"),
    *(
        ("any", name, value, TypeError, rf"^{name} is .*it takes a.* number")
        for name in ("label_smoothing", "z_loss", "gamma")
        for value in (
            None,
            "0.1",
            b"0",
            np.str_("0.1"),
            np.array("0.1"),
            [0.1],
            (),
            np.array([0.1]),
            1j,
            np.complex64(1),
            len,
        )
    ),
    *(
        ("any", name, value, ValueError, rf"^{name} is .*it takes a.* number")
        for name in ("label_smoothing", "z_loss", "gamma", "alpha")
        for value in (NAN, np.float32(NAN), np.array(NAN), INF, -INF, 10**400)
    ),
    *(("any", "alpha", value, TypeError, "^alpha is .*it takes a number in .0, 1. or None") for value in ("0.1", [0.1], 1j)),
    *(
        ("any", "alpha", value, ValueError, "^alpha is .*it takes a number in .0, 1. or None")
        for value in (-1, 1.5, -1e-300)
    ),
    *(("any", "gamma", value, ValueError, "^gamma is .*it takes a finite number of 0 or more") for value in (-1, -1e-300)),
    *(
        ("any", "ignore_index", value, TypeError, "^ignore_index is .*it takes an integer")
        for value in (0.5, None, "2", [2], np.array([2]), np.float64(2))
    ),
    ("any", "axis", 2, np.exceptions.AxisError, "axis 2"),
    ("any", "axis", -3, np.exceptions.AxisError, "axis -3"),
    ("any", "axis", 0.5, TypeError, "axis is 0.5"),
    ("any", "axis", None, TypeError, "axis is None"),
    ("any", "weight", np.ones(4), ValueError, "weight"),
    ("any", "weight", np.ones(5, complex), TypeError, "weight"),
    ("any", "weight", ["a"] * 5, TypeError, "weight"),
    ("targets", "weight", np.ones((1, 5)), ValueError, "weight"),
    ("targets", "weight", 1.0, ValueError, "weight"),
    ("elements", "weight", np.ones((2, 3, 5)), ValueError, "weight"),
    *(
        ("any", "sample_weight", np.ones(s), ValueError, "sample_weight has shape")
        for s in ((4,), (1,), (5,), (3, 1), (3, 5))
    ),
    *(("any", "sample_weight", v, TypeError, "sample_weight .* takes ") for v in (np.ones(3, complex), ["a"] * 3, "a")),
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
    ("targets", "targets", np.zeros((5, 3), int), ValueError, "targets"),
    ("targets", "targets", np.zeros(3, bool), ValueError, "targets"),
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


HINTS = [  # logits, targets, axis, what the message says
    (
        np.zeros((3, 5)),
        [0.0, 1.0, 2.0],
        -1,
        r"float64 and the shape of the rows, \(3,\).*classes are integers: pass targets.astype\(int\)",
    ),
    (np.zeros((3, 5)), [True, False, True], -1, r"bool and the shape of the rows, \(3,\).*classes are integers"),
    (np.zeros((3, 5)), [[0], [1], [2]], -1, r"shape \(3, 1\).*rows, \(3,\).*take np.squeeze\(targets, axis=1\)$"),
    (np.zeros((5, 3)), [[0, 1, 2]], 0, r"shape \(1, 3\).*rows, \(3,\).*take np.squeeze\(targets, axis=0\)$"),
    (np.zeros((5, 3)), [0, 1, 2], -1, r"shape \(3,\).*rows, \(5,\).*with axis=0 they fit$"),
    (np.zeros((2, 5, 4, 3)), np.zeros((2, 4, 3), int), -1, r"with axis=1 they fit$"),
    ([0, 1, 2], np.zeros((3, 5)), -1, r"are \w+ and targets swapped\?$"),
    (np.zeros((3, 5)), [0, 1], -1, r"shape \(2,\).*rows, \(3,\).*one-hot targets that of \w+, \(3, 5\)$"),
]


@pytest.mark.parametrize(("x", "targets", "axis", "message"), HINTS, ids=lambda v: str(np.shape(v)))
@losses_of_classes
def test_hints(loss: Loss, x: Any, targets: Any, axis: int, message: str) -> None:
    for call in every_call(loss, [x, targets], 1.0, axis=axis):
        with pytest.raises(ValueError, match="^targets has dtype .*" + message):
            call()


@losses_of_classes
def test_classes_that_count_from_1(loss: Loss) -> None:
    for targets, hint in (([1, 3, 2], True), ([1, 3, 0], False), ([1, 4, 2], False)):
        for call in every_call(loss, [np.zeros((3, 3)), targets], 1.0):
            with pytest.raises(IndexError, match=r"^targets\[1\] is \d; it takes a class in \[0, 3\)") as error:
                call()
            assert str(error.value).endswith(": classes count from 0") == hint


@pytest.mark.parametrize("half", HALVES, ids=str)
@losses_of_two_floats
def test_two_16_bit_types_do_not_mix(loss: Loss, half: np.dtype, rng: np.random.Generator) -> None:
    p, q = loss.problem(rng, (6, 5), -1, half)
    for call in every_call(loss, [p, q.astype(HALVES[half == HALVES[0]])], 0.7):
        with pytest.raises(TypeError):
            call()


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
    calls: list[tuple[Any, list[Any]]] = [(forward, given), (backward, [1.0, *given]), *((f, given) for f in with_grad)]
    for f, arguments in calls:
        with pytest.raises(TypeError):
            f(*arguments, None)
        with pytest.raises(TypeError):
            f(*arguments[:-1])
        with pytest.raises(TypeError, match=loss.arguments[0]):
            f(*arguments, **{loss.arguments[0]: given[0]})
        with pytest.raises(TypeError, match="beta"):
            f(*arguments, beta=1)
    with pytest.raises(TypeError, match="out"):
        forward(*given, out=None)


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (np.full((3, 4), 7.0), ValueError),
        (np.full(15, 7.0), ValueError),
        (np.full((1, 3, 5), 7.0), ValueError),
        (np.full((3, 5), 7, np.float32), TypeError),
        (np.full((3, 5), 7, np.int64), TypeError),
        ([7.0] * 5, TypeError),
        (read_only(np.full((3, 5), 7.0)), ValueError),
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
def test_wrong_upstream_gradient(loss: Loss, rng: np.random.Generator) -> None:
    given = loss.problem(rng, (3, 5))
    backward = loss.functions()[1]
    out = np.full((3, 5), 7.0)
    right = loss.losses_shape((3, 5))
    wrong_ones = [(3, 1), (5,), (3, 5)] if loss.by_rows else [(3,), (2, 3, 5)]
    for reduction, shape in (
        *itertools.product(("mean", "sum"), (right, (1,), (3, 5))),
        *(("none", s) for s in [(4,), (3, 4), (1, 3, 1), (0,), *wrong_ones]),
    ):
        with pytest.raises(ValueError, match=rf"^grad has shape {re.escape(str(shape))}"):
            backward(np.ones(shape), *given, reduction=reduction, out=out)
    for wrong in (1j, "a", None):
        with pytest.raises(TypeError, match="grad"):
            backward(wrong, *given, out=out)
    assert np.all(out == 7)


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
@pytest.mark.parametrize("loss", [f for f in LOSSES if f.arguments[0] == "probs"], ids=str)
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


@all_dtypes
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
        "sample_weight": nasty[: len(x)],
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
                    **{k: v[:0] if np.ndim(v) == 2 or k == "sample_weight" else v for k, v in o.items()},
                )
