"""Errors along rows, in ULP of every entry: softmax, log_softmax, logsumexp and the gradients of cross-entropy."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from mpmath import mp, mpf

import nonlin as nl
from nonlin import reference

from .oracle import FLOATS, Array, ulp_error, ulp_error_mp, wide

BOUND, BOUND_OF_HALVES = 4.0, 0.6

# Seeds of rows, by classes: with a plain sum over the lanes, log_softmax of theirs came to 5.8 ULP.
FOUND = {150: 528, 200: 3380, 300: 2135}

# Those at the ends of kernels are tested on every instruction set.
ENDS = {1, 7, 9, 16, 33, 64, 65, 1000}
SIZES = [1, 2, 3, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, *FOUND, 1000, 4097]


@functools.cache
def difficult_rows(n: int, dtype: Any) -> dict[str, Array]:
    """Matrices of rows of n logits on which naive formulas fail, several rows where they are short."""
    rng = np.random.default_rng(n)
    count = max(1, 400 // n)
    normal = rng.standard_normal((count, n))
    one_hot = np.zeros((count, n))
    one_hot[np.arange(count), rng.integers(0, n, count)] = 1
    largest, tail = (750, 745) if np.dtype(dtype) == np.float64 else (108, 103)
    rows = {
        "normal": normal,
        "one above by 17": 0.1 * normal + 17 * one_hot,
        "offset 1e4": normal + 1e4,
        "half -inf": np.where(np.arange(n) % 2 == 1, -np.inf, normal),
        "all tails": np.linspace(-largest, 0, n)[None],
    }
    if n < 2**16:
        rows |= {
            "flat": np.zeros((1, n)),
            "wide": 10 * normal,
            **{f"one above by {d}": 0.1 * normal + d * one_hot for d in (10, 40, 100)},
            "any spread": rows_of_any_spread(n),
            "offset -1e4": normal - 1e4,
            "offset 1e30": normal * 1e28 + 1e30,
            "sub-normal": np.where(one_hot == 1, tail, normal),
            "ascending": np.sort(5 * normal),
        }
    if n in FOUND:
        rng = np.random.default_rng([FOUND[n], n])
        rows["found"] = rng.standard_normal((40_000 // n, n)) * rng.uniform(0.1, 20, (40_000 // n, 1))
    with np.errstate(over="ignore"):
        return {name: x.astype(dtype) for name, x in rows.items()}


def rows_of_any_spread(n: int) -> Array:
    """Many rows: what dominates them, and what dominates the rest, lie anywhere between two powers of two."""
    rng = np.random.default_rng(n)
    rows = rng.standard_normal((max(1, 20_000 // n), n)) * rng.uniform(0.1, 20, (max(1, 20_000 // n), 1))
    return np.concatenate([rows, np.sort(rows)])


class Case(NamedTuple):
    """A function of rows, once of the library or the reference, and the terms that may cancel in it."""

    name: str
    call: Callable[[Any, Array, int], Any]  # (nonlin or reference, x, axis)
    largest: Callable[[Array], Any] = lambda x: None  # of rows, along the last axis

    def __str__(self) -> str:
        return self.name


def class_gradient(shift: int) -> Callable[[Any, Array, int], Any]:
    """Of the largest class, or another one."""

    def gradient(module: Any, x: Array, axis: int) -> Any:
        k = (np.argmax(wide(x), axis) + shift) % x.shape[axis]
        return module.cross_entropy_with_grad(x, k, axis=axis, reduction="none")[1]

    return gradient


def probability_gradient(module: Any, x: Array, axis: int) -> Any:
    """Of targets that every dtype holds exactly, some of them 0."""
    n = x.shape[axis]
    t = (np.arange(n) * 7 % 5) / 2 ** np.ceil(np.log2(2 * n))
    t = np.broadcast_to(t, x.shape) if axis else np.broadcast_to(t[:, None], x.shape)
    return module.cross_entropy_with_grad(x, t.astype(x.dtype), axis=axis, reduction="none")[1]


def one_hot_gradient(module: Any, x: Array, axis: int) -> Any:
    classes = np.arange(x.shape[axis])
    t = (classes if axis else classes[:, None]) == np.expand_dims(np.argmax(wide(x), axis), axis)
    return module.cross_entropy_with_grad(x, t.astype(x.dtype), axis=axis, reduction="none")[1]


def larger_term_of_probabilities(x: Array) -> Array:
    """``p sum(t) - t`` can cancel."""
    slope = probability_gradient(reference, x, -1)
    p = reference.softmax(x)
    return np.maximum(np.abs(slope), p)  # one of the terms is p, the other one lies between


def larger_term_of_logsumexp(x: Array) -> Array:
    """``m + log(sum)`` can cancel."""
    m = x.max(-1)
    return np.maximum(np.abs(m), reference.logsumexp(x - m[:, None]))


CASES = [
    Case("softmax", lambda module, x, axis: module.softmax(x, axis)),
    Case("log_softmax", lambda module, x, axis: module.log_softmax(x, axis)),
    Case("logsumexp", lambda module, x, axis: module.logsumexp(x, axis), larger_term_of_logsumexp),
    Case("gradient of the largest class", class_gradient(0)),
    Case("gradient of another class", class_gradient(1)),
    Case("gradient of one-hot probabilities", one_hot_gradient),
    Case("gradient of probabilities", probability_gradient, larger_term_of_probabilities),
]


def worst_error(case: Case, x: Array, wider: Any) -> tuple[float, float]:
    """With the class axis contiguous in memory, and strided."""
    with np.errstate(all="ignore"):
        exact_x = x.astype(wider)
        exact, largest = case.call(reference, exact_x, -1), case.largest(exact_x)
    with np.errstate(all="raise"):
        rows = case.call(nl, x, -1)
        columns = case.call(nl, np.repeat(x, 3, axis=0).T.copy(), 0).T[::3]
    if largest is not None:
        largest = largest.astype(np.float64)
    return float(np.max(ulp_error(rows, exact, largest))), float(np.max(ulp_error(columns, exact, largest)))


def check(case: Case, n: int, dtype: np.dtype, wider: Any) -> None:
    for name, x in difficult_rows(n, dtype).items():
        for layout, error in zip(("contiguous", "strided"), worst_error(case, x, wider), strict=True):
            bound = BOUND_OF_HALVES if dtype.itemsize == 2 else BOUND
            assert error <= bound, f"{case} of {n} classes, {name}, {layout}: {error:.3g} ULP"


all_cases = pytest.mark.parametrize("case", CASES, ids=str)


sizes = pytest.mark.parametrize("n", [pytest.param(n, marks=pytest.mark.every_target if n in ENDS else ()) for n in SIZES])


@sizes
@pytest.mark.parametrize("dtype", [t for t in FLOATS if t.itemsize < 8], ids=str)
@all_cases
def test_accuracy(case: Case, dtype: np.dtype, n: int) -> None:
    check(case, n, dtype, np.float64)


long_double = pytest.mark.skipif(np.finfo(np.longdouble).nmant < 60, reason="long double is no wider than double")


@long_double
@sizes
@all_cases
def test_float64_accuracy(case: Case, n: int) -> None:
    check(case, n, np.dtype(np.float64), np.longdouble)


@long_double
@pytest.mark.parametrize("n", [2**16, 2**18])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@all_cases
def test_long_rows(case: Case, dtype: np.dtype, n: int) -> None:
    check(case, n, dtype, np.longdouble if dtype == np.float64 else np.float64)


def exact_rows(f: Callable[..., Any], x: Array) -> list[mpf]:
    k = int(np.argmax(x))
    z = [mpf(float(v)) - mpf(float(x[k])) for v in x]
    log_sum = mp.log1p(mp.fsum(mp.exp(v) for i, v in enumerate(z) if i != k))
    if f is nl.logsumexp:
        return [mpf(float(x[k])) + log_sum]
    return [v - log_sum if f is nl.log_softmax else mp.exp(v - log_sum) for v in z]


@pytest.mark.parametrize("n", [1, 2, 7, 17, 65, 300])
@pytest.mark.parametrize("f", [nl.softmax, nl.log_softmax, nl.logsumexp], ids=lambda f: f.__name__)
def test_float64_against_mpmath(f: Callable[..., Any], n: int) -> None:
    for name, rows in difficult_rows(n, np.float64).items():
        x = rows[0]
        most = larger_term_of_logsumexp(x[None]) if f is nl.logsumexp else None
        error = np.max(ulp_error_mp(np.atleast_1d(f(x)), exact_rows(f, x), most))
        assert error <= BOUND, f"{name}, {n} classes: {error:.3g} ULP"
