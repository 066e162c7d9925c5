"""What the tests of losses share: shapes, marks, and calls of every function of a loss."""

import math
from typing import Any

import numpy as np
import pytest
from ml_dtypes import finfo

from nonlin import reference

from .oracle import FLOATS, LOSSES, Loss, assert_rounded, assert_same_bits, wide, working_dtype

INF, NAN = np.inf, np.nan
REDUCTIONS = ("mean", "sum", "none")
ROWS = [((6, 5), -1), ((5,), 0), ((5, 6), 0), ((3, 5, 4), 1), ((2, 3, 5), 2)]  # shapes, class axis of 5
ENTRIES = [((), -1), ((1,), -1), ((6, 5), -1), ((3, 5, 4), -1)]  # for losses that have no class axis

all_dtypes = pytest.mark.parametrize("dtype", FLOATS, ids=str)
all_losses = pytest.mark.parametrize("loss", LOSSES, ids=str)
losses_by_rows = pytest.mark.parametrize("loss", [f for f in LOSSES if f.by_rows], ids=str)
losses_of_entries = pytest.mark.parametrize("loss", [f for f in LOSSES if not f.by_rows], ids=str)
losses_of_classes = pytest.mark.parametrize("loss", [f for f in LOSSES if not f.soft], ids=str)
losses_of_two_floats = pytest.mark.parametrize("loss", [f for f in LOSSES if f.kind == "rows"], ids=str)


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


def read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a
