"""Arrays that no cache holds and rows that threads share: the same bits as in small pieces."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nonlin as nl

from .oracle import FLOATS, assert_same_bits

BEYOND_CACHES = 1 << 25  # bytes: results of as many are stored past the caches
STORED = [t for t in FLOATS if t != np.float64]
HUGE = 150_003  # classes of a row that is cut into chunks


def misaligned(shape: tuple[int, ...], dtype: Any, offset: int) -> np.ndarray:
    """An array that starts `offset` entries behind a multiple of 64 bytes, full of NaN."""
    size = int(np.prod(shape))
    memory = np.full(size + 64, np.nan, dtype)
    start = -memory.ctypes.data % 64 // memory.itemsize + offset
    return memory[start : start + size].reshape(shape)


def normal(rng: np.random.Generator, shape: Any, dtype: Any) -> np.ndarray:
    """Normal numbers, repeated with a period that is prime: to make as many anew takes longer than all else here."""
    return np.resize(rng.standard_normal(131_071, np.float32).astype(dtype), shape)


@pytest.mark.parametrize("offset", [0, 1, 13])
@pytest.mark.parametrize("dtype", STORED, ids=str)
@pytest.mark.parametrize("name", ["relu", "sigmoid", "hard_tanh"])
def test_large_results_have_the_bits_of_small_ones(
    rng: np.random.Generator, name: str, dtype: np.dtype, offset: int
) -> None:
    f = getattr(nl, name)
    x = normal(rng, BEYOND_CACHES // dtype.itemsize + 5, dtype)
    out = misaligned(x.shape, dtype, offset)
    f(x, out=out)
    for piece, result in zip(np.array_split(x, 9), np.array_split(out, 9), strict=True):
        assert_same_bits(f(piece), result)


@pytest.mark.parametrize("offsets", [(3, 3), (0, 5)])
def test_large_pairs_of_results_have_the_bits_of_small_ones(rng: np.random.Generator, offsets: tuple[int, int]) -> None:
    grad, gate, up = (normal(rng, BEYOND_CACHES // 4 + 5, np.float32) for _ in range(3))
    outs = tuple(misaligned(gate.shape, np.float32, offset) for offset in offsets)
    nl.swiglu_backward(grad, gate, up, out=outs)
    pieces = zip(*(np.array_split(a, 9) for a in (grad, gate, up, *outs)), strict=True)
    for g, a, b, first, second in pieces:
        expected = nl.swiglu_backward(g, a, b)
        assert_same_bits(expected[0], first)
        assert_same_bits(expected[1], second)


ROWS: dict[str, Callable[..., Any]] = {
    "softmax": nl.softmax,
    "log_softmax": nl.log_softmax,
    "softmax_backward": lambda x, out: nl.softmax_backward(x, x / x.dtype.type(2), out=out),
    "cross_entropy": lambda x, out: nl.cross_entropy_with_grad(x, np.arange(len(x)) % x.shape[1], reduction="sum", out=out)[
        1
    ],
    "kl_divergence_with_logits": lambda x, out: nl.kl_divergence_with_logits_with_grad(
        np.abs(x), x, reduction="sum", out=out
    )[1],
    "nll_loss": lambda x, out: nl.nll_loss_backward(1.0, x, np.arange(len(x)) % x.shape[1], reduction="sum", out=out),
}


@pytest.mark.parametrize(("classes", "offset"), [(10, 0), (10, 7), (60, 7), (64, 0), (2099, 0), (2099, 7)])
@pytest.mark.parametrize("dtype", STORED, ids=str)
@pytest.mark.parametrize("name", ROWS)
def test_large_results_of_rows_have_the_bits_of_small_ones(
    rng: np.random.Generator, name: str, dtype: np.dtype, classes: int, offset: int
) -> None:
    size = BEYOND_CACHES if classes > 2048 else BEYOND_CACHES // 4  # from which results go past the caches
    x = normal(rng, (size // dtype.itemsize // classes + 3, classes), dtype)
    out = misaligned(x.shape, dtype, offset)
    ROWS[name](x, out=out)
    assert_same_bits(out[:5], ROWS[name](x[:5].copy(), out=None))
    assert_same_bits(out, ROWS[name](x, out=x))


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("dtype", STORED, ids=str)
@pytest.mark.parametrize("name", [*ROWS, "logsumexp"])
def test_huge_rows_have_the_same_bits_for_every_thread_count(
    rng: np.random.Generator, name: str, dtype: np.dtype, count: int
) -> None:
    f = ROWS.get(name, lambda x, out: nl.logsumexp(x, out=out))
    x = normal(rng, (count, HUGE), dtype)
    x[:, 3] = 4.0  # a maximum that the first chunk has, and the last one again
    x[:, -3] = 4.0
    results = []
    for threads in (1, 2, 3):
        with nl.num_threads(threads):
            results.append(f(x, out=None))
    for result in results[1:]:
        assert_same_bits(result, results[0])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", ["softmax", "where", "logsumexp", "logsumexp_backward"])
def test_blocks_of_neighbouring_rows_have_the_bits_of_each(rng: np.random.Generator, name: str, dtype: np.dtype) -> None:
    """With the class axis before others, whatever block a thread begins in."""
    x = normal(rng, (5, 7, 3, 3001), dtype)
    mask = rng.random(x.shape) < 0.9
    grad = normal(rng, (5, 3, 3001), dtype)

    def call(part: Any, axis: int) -> np.ndarray:
        if name == "logsumexp_backward":
            return nl.logsumexp_backward(grad[part], x[part], axis=axis)
        where = {"where": mask[part]} if name == "where" else {}
        return (nl.logsumexp if name == "logsumexp" else nl.softmax)(x[part], axis=axis, **where)

    expected = np.stack([call(i, 0) for i in range(len(x))])
    for threads in (1, 2, 3):
        with nl.num_threads(threads):
            assert_same_bits(call(slice(None), 1), expected)
            assert_same_bits(call(slice(None), -3), expected)
