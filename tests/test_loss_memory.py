"""Operands and results of losses anywhere in memory: strides, alignment, overlap, threads, large arrays."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ml_dtypes import finfo

import nonlin as nl

from .fresh import INSTRUMENTED
from .loss_cases import (
    ROWS,
    all_dtypes,
    all_losses,
    assert_is_reference,
    assert_near,
    every_result,
    losses_by_rows,
    losses_of_entries,
    read_only,
)
from .oracle import Loss, as_tuple, assert_same_bits, wide


class Subclass(np.ndarray):
    pass


def unaligned(a: np.ndarray) -> np.ndarray:
    moved = np.zeros(a.shape, [("byte", "u1"), ("value", a.dtype)])["value"]
    moved[...] = a
    return moved


# The same values elsewhere: with the entries of a row in the same order, and one after the other or not.
ROWS_ALIKE: dict[str, Callable[[np.ndarray], Any]] = {
    "subclass": lambda a: a.view(Subclass),
    "read-only": read_only,
    "unaligned": unaligned,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "rows backwards": lambda a: a[::-1].copy()[::-1] if a.ndim > 1 else a,
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2] if a.ndim > 1 else a,
    "padded": lambda a: np.pad(a, [(1, 2)] * a.ndim)[(slice(1, -2),) * a.ndim],
}
OTHER_ROWS: dict[str, Callable[[np.ndarray], Any]] = {
    "Fortran": np.asfortranarray,
    "backwards": lambda a: a[..., ::-1].copy()[..., ::-1],
    "every third": lambda a: np.repeat(a, 3, axis=-1)[..., ::3],
}


@all_dtypes
@all_losses
def test_layouts(loss: Loss, dtype: np.dtype, rng: np.random.Generator) -> None:
    """Operands, weights and the upstream gradient in other arrays of the same values."""
    lists = {"list": lambda a: a.tolist()} if dtype == np.float64 else {}
    for shape in ((7,), (50, 1), (40, 100), (3, 700, 5), (2, 9000)):
        given = loss.problem(rng, shape, -1, dtype)
        every_option = loss.choices()[-1]
        for reduction, chosen in (("mean", ()), ("sum", every_option), ("none", every_option)):
            o = {**loss.keywords(rng, shape, -1, chosen, dtype), "reduction": reduction}
            upstream = rng.standard_normal(loss.losses_shape(shape) if reduction == "none" else ()).astype(dtype)
            expected = every_result(loss, given, upstream, **o)
            for name, change in (ROWS_ALIKE | OTHER_ROWS | lists).items():

                def elsewhere(value: Any, name: str = name, change: Callable[[np.ndarray], Any] = change) -> Any:
                    return change(value) if isinstance(value, np.ndarray) and (value.ndim or name == "list") else value

                options = {key: elsewhere(value) for key, value in o.items()}
                got = every_result(loss, [elsewhere(a) for a in given], elsewhere(upstream), **options)
                assert [type(a) for a in got] == [type(a) for a in expected]
                if name not in OTHER_ROWS or (not loss.by_rows and reduction == "none"):
                    assert_same_bits(got, expected)
                    continue
                for y, exact in zip(got, expected, strict=True):
                    assert (y.dtype, y.shape) == (exact.dtype, exact.shape)
                    assert_near(y, exact)


@all_dtypes
@all_losses
def test_wide_rows_and_large_arrays(loss: Loss, dtype: np.dtype, rng: np.random.Generator) -> None:
    for shape, axis in (((2, 100_000), -1), ((30_000, 2), 0)) if loss.by_rows else (((500, 800), -1),):
        given = loss.problem(rng, shape, axis, dtype)
        chosen = () if loss.kind == "rows" else ("weight",)
        assert_is_reference(loss, given, {**loss.keywords(rng, shape, axis, chosen, dtype), "reduction": "mean"}, rng)


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
                    exact = wide(expected[0])
                    # Of entries whose terms cancel.
                    least = float(finfo(np.float32).eps) * np.max(np.abs(exact), initial=0, where=np.isfinite(exact))
                    np.testing.assert_allclose(
                        wide(strided), exact, float(info.eps), max(least, float(info.smallest_subnormal))
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
def test_strides_of_zero(loss: Loss, rng: np.random.Generator) -> None:
    given = [np.broadcast_to(a[:1], a.shape) for a in loss.problem(rng, (12, 30))]
    copies = [a.copy() for a in given]
    for y, exact in zip(every_result(loss, given, 0.7), every_result(loss, copies, 0.7), strict=True):
        np.testing.assert_allclose(y, exact, rtol=1e-13, atol=1e-14)


@all_losses
def test_out_of_operands_that_are_converted(loss: Loss, rng: np.random.Generator) -> None:
    given = loss.problem(rng, (12, 30))
    swapped = [a.astype(a.dtype.newbyteorder()) for a in given]
    out = np.empty((12, 30))
    for f, arguments in zip(loss.functions()[1:], ((0.7,), ()), strict=False):
        assert as_tuple(f(*arguments, *swapped, out=out))[-1] is out
        assert_same_bits(out, as_tuple(f(*arguments, *given))[-1])


@losses_of_entries
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
        for threads in (1, 2, 3):
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


@pytest.mark.skipif(INSTRUMENTED, reason="a sanitizer ends the process where there is no memory for C++")
@all_losses
def test_no_memory(loss: Loss) -> None:
    """Strides of 0 need none, but results and copies of more than the address space has do."""
    huge = (2**46, 3)
    given = [
        np.broadcast_to(a[:1] if a.ndim else a, loss.losses_shape(huge) if a.ndim == 1 else huge)
        for a in loss.problem(np.random.default_rng(0), (1, 3), -1, np.float32)
    ]
    for f in loss.functions()[::2]:
        with pytest.raises(MemoryError):
            f(*given, reduction="none")
    with pytest.raises(MemoryError):
        loss.functions()[1](1.0, *given)
