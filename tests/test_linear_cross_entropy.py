"""linear_cross_entropy with every option and chunk size: values, gradients, layouts, errors, memory."""

import functools
import itertools
import math
import pathlib
import sys
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16, finfo

import nonlin as nl
from nonlin import _linear, reference
from nonlin.testing import check_gradient

from .fresh import INSTRUMENTED, printed
from .oracle import FLOATS, HALVES, assert_rounded, assert_same_bits, wide, working_dtype

INF, NAN = np.inf, np.nan
linear: Any = _linear  # type checkers see its public functions alone
FEATURES, CLASSES = 4, 5
BATCHES = [(), (1,), (7,), (2, 3), (2, 1, 4)]

dtypes = pytest.mark.parametrize("dtype", FLOATS, ids=str)
targets_of_both_kinds = pytest.mark.parametrize("soft", [False, True], ids=["classes", "probabilities"])


def problem(rng: np.random.Generator, batch: tuple[int, ...], soft: bool, dtype: Any = np.float64) -> tuple[np.ndarray, ...]:
    """x, weight, targets: classes, some of them 2, or probabilities."""
    x = rng.standard_normal((*batch, FEATURES))
    weight = rng.standard_normal((CLASSES, FEATURES))
    if soft:
        return x.astype(dtype), weight.astype(dtype), reference.softmax(rng.standard_normal((*batch, CLASSES))).astype(dtype)
    return x.astype(dtype), weight.astype(dtype), rng.integers(0, CLASSES, batch)


def options() -> list[dict[str, Any]]:
    """No option but its default, one, two of them, and all, with every reduction."""
    values: dict[str, list[Any]] = {
        "bias": [None, np.array([0.5, -1, 0.25, 2, -0.5])],
        "class_weight": [None, np.array([0.5, 1, 2, 0.25, 1.5])],
        "sample_weight": [None, 0.75],  # or, by `of_rows`, one for each row
        "ignore_index": [-100, 2],
        "label_smoothing": [0.0, 0.125],
        "z_loss": [0.0, 0.03125],
        "reduction": ["mean", "sum", "none"],
    }
    combinations = [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]
    defaults = {name: chosen[0] for name, chosen in values.items() if name != "reduction"}
    return [
        o for o in combinations if sum(o[name] is not value for name, value in defaults.items()) in (0, 1, 2, len(defaults))
    ]


def of_rows(o: dict[str, Any], batch: tuple[int, ...]) -> dict[str, Any]:
    """The options with a weight for each row, that of the first one 0."""
    if o["sample_weight"] is None or math.prod(batch) < 2:
        return o
    return {**o, "sample_weight": (np.arange(math.prod(batch)) * o["sample_weight"]).reshape(batch)}


all_options = pytest.mark.parametrize("o", options(), ids=lambda o: "-".join(map(str, o.values())).replace("\n", ""))


def flat(result: tuple[Any, tuple[Any, ...]]) -> tuple[Any, ...]:
    """The loss and the gradients that there are."""
    return result[0], *(g for g in result[1] if g is not None)


def assert_close(result: Any, expected: Any, roundings: float) -> None:
    """Within some roundings of the largest entry of each array."""
    for got, exact in zip(flat(result), flat(expected), strict=True):
        largest = np.max(np.abs(wide(exact)), initial=1) if np.all(np.isfinite(wide(exact))) else 1
        assert_rounded(got, wide(exact), roundings * float(finfo(working_dtype(got.dtype)).eps) * largest)


@targets_of_both_kinds
@all_options
def test_against_reference(o: dict[str, Any], soft: bool, rng: np.random.Generator) -> None:
    for dtype, batch in itertools.product(FLOATS, BATCHES):
        if dtype in HALVES and batch not in ((7,), (2, 3)):  # that shape counts alike for all
            continue
        weighted = of_rows(o, batch)
        given = {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in weighted.items()}
        x, weight, targets = problem(rng, batch, soft, dtype)
        exact = targets.astype(np.float64) if soft else targets
        wider = x.astype(np.float64), weight.astype(np.float64), exact
        expected = reference.linear_cross_entropy_with_grad(*wider, **weighted)
        upstream = rng.standard_normal(batch if o["reduction"] == "none" else ())
        by_upstream = reference.linear_cross_entropy_backward(upstream, *wider, **weighted)
        before = [a.copy() for a in (x, weight, targets)]
        for chunk_rows in (None, 2):
            loss = nl.linear_cross_entropy(x, weight, targets, chunk_rows=chunk_rows, **given)
            both = nl.linear_cross_entropy_with_grad(x, weight, targets, chunk_rows=chunk_rows, **given)
            assert_same_bits(both[0], loss)
            assert_close(both, expected, 64)
            grads = nl.linear_cross_entropy_backward(upstream, x, weight, targets, chunk_rows=chunk_rows, **given)
            assert_close((loss, grads), (expected[0], by_upstream), 64)
            assert [None if g is None else g.dtype for g in grads] == [None if g is None else g.dtype for g in both[1]]
            assert (both[1][2] is None) == (o["bias"] is None)
            assert [np.asarray(a).dtype for a in flat(both)] == [working_dtype(dtype), *[dtype] * (len(flat(both)) - 1)]
            assert [np.shape(a) for a in flat(both)[1:]] == [x.shape, weight.shape, (CLASSES,)][: len(flat(both)) - 1]
            assert type(loss) is type(
                nl.cross_entropy(wide(x @ weight.T), targets, reduction=o["reduction"]).astype(loss.dtype)
            )
        assert_same_bits((x, weight, targets), tuple(before))


@targets_of_both_kinds
@all_options
def test_against_torch(o: dict[str, Any], soft: bool, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    if o["z_loss"] or o["sample_weight"] or (soft and o["ignore_index"] >= 0):
        return  # torch has none of them
    x, weight, targets = problem(rng, (9,), soft)
    leaves = [None if a is None else torch.tensor(a, requires_grad=True) for a in (x, weight, o["bias"])]
    class_weight = None if o["class_weight"] is None else torch.tensor(o["class_weight"])
    names = {key: o[key] for key in ("ignore_index", "label_smoothing", "reduction")}
    logits = torch.nn.functional.linear(*leaves)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(targets), weight=class_weight, **names)
    loss.sum().backward()
    expected = loss.detach().numpy(), [None if a is None else a.grad.numpy() for a in leaves]
    assert_close(nl.linear_cross_entropy_with_grad(x, weight, targets, chunk_rows=4, **o), expected, 64)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "o",
    [
        {},
        {"bias": np.array([0.5, -1, 0.25, 2, -0.5])},
        {"bias": np.ones(5), "class_weight": np.array([0.5, 1, 2, 0.25, 1.5]), "label_smoothing": 0.2, "z_loss": 0.05},
    ],
    ids=lambda o: "-".join(o) or "plain",
)
@targets_of_both_kinds
def test_gradients_are_those_of_the_loss(soft: bool, o: dict[str, Any], reduction: str, rng: np.random.Generator) -> None:
    x, weight, targets = problem(rng, (2, 3), soft)
    place = {"x": x, "weight": weight, **{k: v for k, v in o.items() if k == "bias"}}
    rest = {**o, "targets": targets, "reduction": reduction, "chunk_rows": 4}
    for i, name in enumerate(place):

        def given(value: np.ndarray, name: str = name) -> dict[str, Any]:
            return {**rest, **place, name: value}

        def gradient(value: np.ndarray, i: int = i, given: Any = given) -> Any:
            return nl.linear_cross_entropy_with_grad(**given(value))[1][i]

        check_gradient(
            lambda value, given=given: np.sum(reference.linear_cross_entropy(**given(value))), gradient, place[name]
        )


@targets_of_both_kinds
def test_upstream_gradients(soft: bool, rng: np.random.Generator) -> None:
    """They broadcast; 1 gives the gradients of the sum, 16 bits lose nothing to the divisor."""
    x, weight, targets = problem(rng, (3, 4), soft)
    o = {"bias": np.arange(5.0), "chunk_rows": 5}

    def backward(grad: Any, reduction: str = "none") -> Any:
        return nl.linear_cross_entropy_backward(grad, x, weight, targets, reduction=reduction, **o)

    assert_same_bits(backward(1), nl.linear_cross_entropy_with_grad(x, weight, targets, reduction="none", **o)[1])
    for shape in ((), (1,), (4,), (3, 1), (3, 4)):
        grad = rng.standard_normal(shape)
        assert_same_bits(backward(grad.tolist()), backward(np.broadcast_to(grad, (3, 4)).copy()))
    for reduction in ("mean", "sum"):
        assert_same_bits(backward(np.float16(0.7), reduction), backward(float(np.float16(0.7)), reduction))
        for wrong in ([1.0], np.ones((3, 4))):
            with pytest.raises(ValueError, match=rf"^grad has shape .* for reduction='{reduction}' it takes a scalar"):
                backward(wrong, reduction)
    for wrong in ((3,), (3, 4, 1), (0,)):
        with pytest.raises(
            ValueError, match=r"^grad has shape .* it takes one that broadcasts to that of the losses, \(3, 4\)"
        ):
            backward(np.ones(wrong))
    for wrong in (None, "a", 1j):
        with pytest.raises(TypeError, match=r"^grad\b"):
            backward(wrong)


@targets_of_both_kinds
def test_rows_of_weight_0_do_not_count(soft: bool, rng: np.random.Generator) -> None:
    x, weight, targets = problem(rng, (6,), soft)
    sample_weight = np.array([1, 0, 0.5, 2, 0, 1])
    keep = sample_weight != 0
    for reduction in ("mean", "sum", "none"):
        o = {"reduction": reduction, "chunk_rows": 2}
        expected = nl.linear_cross_entropy_with_grad(x[keep], weight, targets[keep], sample_weight=sample_weight[keep], **o)
        loss, grads = nl.linear_cross_entropy_with_grad(x, weight, targets, sample_weight=sample_weight, **o)
        assert np.ndim(loss) == 0 or not loss[~keep].any()
        assert not grads[0][~keep].any()
        rest = loss[keep] if np.ndim(loss) else loss, (grads[0][keep], *grads[1:])
        assert_close(rest, expected, 4)


def test_weights_of_rows_are_multiplied_in_float64(rng: np.random.Generator) -> None:
    x, weight, _ = problem(rng, (1,), soft=False, dtype=np.float32)
    rows, targets = x[[0, 0, 0]], [0, 0, 0]
    one = nl.linear_cross_entropy(x, weight, [0])
    for f in (nl.linear_cross_entropy, lambda *a, **o: nl.linear_cross_entropy_with_grad(*a, **o)[0]):
        got = f(rows, weight, targets, sample_weight=[1e9 + 1, -1e9, 0.25], reduction="sum")
        np.testing.assert_allclose(got, 1.25 * np.float64(one), rtol=1e-6)


# Chunks


@pytest.mark.parametrize("dtype", [t for t in FLOATS if t.itemsize > 2], ids=str)  # whose tolerance is no second rounding
@targets_of_both_kinds
def test_every_chunk_size_gives_the_same(soft: bool, dtype: Any, rng: np.random.Generator) -> None:
    n = 37
    x, weight, targets = problem(rng, (n,), soft, dtype)
    o = {"bias": np.arange(5, dtype=dtype), "class_weight": np.arange(1, 6, dtype=dtype), "label_smoothing": 0.1}
    for reduction in ("mean", "sum", "none"):
        expected = nl.linear_cross_entropy_with_grad(x, weight, targets, chunk_rows=n, reduction=reduction, **o)
        for chunk_rows in (1, 2, 3, n - 1, n + 5, np.int8(7), None):
            result = nl.linear_cross_entropy_with_grad(x, weight, targets, chunk_rows=chunk_rows, reduction=reduction, **o)
            assert_close(result, expected, 16)


def test_blocks_of_classes(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient of weight is added up in blocks, the last of them smaller."""
    x, weight, targets = problem(rng, (7,), soft=False)
    expected = reference.linear_cross_entropy_with_grad(x, weight, targets)
    for rows in (0, 1, 2, 3, 5, 8):
        monkeypatch.setattr(linear, "_BLOCK_BYTES", rows * 8 * linear._BLAS_ROWS)
        assert_close(nl.linear_cross_entropy_with_grad(x, weight, targets, chunk_rows=3), expected, 16)


@pytest.mark.parametrize(("rows", "row_bytes"), [(0, 4), (1, 4), (4096, 4 * 50257), (10**7, 4), (1000, 8), (173, 10**9)])
def test_default_chunk(rows: int, row_bytes: int) -> None:
    """Chunks alike in size: enough rows for the products, no more bytes than a narrow or a wide chunk may have."""
    size = linear._chunk_rows(rows, row_bytes)
    assert size >= 1
    assert size <= max(linear._MIN_ROWS, linear._CHUNK_BYTES // row_bytes)
    assert size >= min(rows, linear._MIN_ROWS // 2)
    chunks = math.ceil(rows / size)
    assert chunks * size - rows < max(chunks, 2)


def test_thread_count_does_not_change_bits(rng: np.random.Generator) -> None:
    x = rng.standard_normal((300, 16)).astype(np.float32)
    weight = rng.standard_normal((2000, 16)).astype(np.float32)
    targets = rng.integers(0, 2000, 300)
    results = []
    for threads in (1, 2, 4):
        nl.set_num_threads(threads)
        results.append(flat(nl.linear_cross_entropy_with_grad(x, weight, targets, chunk_rows=128)))
    for result in results[1:]:
        assert_same_bits(result, results[0])


# Inputs


def test_dtypes(rng: np.random.Generator) -> None:
    x, weight, targets = problem(rng, (6,), soft=False)
    bias = np.zeros(CLASSES)
    f2, f4, f8, i4 = np.float16, np.float32, np.float64, np.int32
    for types, expected in (
        ((f4, f4, f4), f4),
        ((f8, f4, f4), f8),
        ((f4, f8, f4), f8),
        ((f4, f4, f8), f8),
        ((i4, f4, f4), f8),
        ((f4, f4, i4), f8),
        ((">f4", "<f4", ">f4"), f4),
        ((bool, bool, bool), f8),
        ((f2, f2, f2), f2),
        ((">f2", f2, f2), f2),
        ((bfloat16, bfloat16, bfloat16), bfloat16),
        ((f2, f4, f2), f4),
        ((bfloat16, bfloat16, f4), f4),
        ((f8, bfloat16, bfloat16), f8),
        ((f2, f2, i4), f8),
    ):
        a, w, b = (v.astype(t) for v, t in zip((x, weight, bias), types, strict=True))
        result = nl.linear_cross_entropy_with_grad(a, w, targets, bias=b)
        same = [v.astype(expected) for v in (a, w, b)]
        assert [v.dtype for v in flat(result)] == [working_dtype(expected), *[expected] * 3]
        assert_close(result, nl.linear_cross_entropy_with_grad(*same[:2], targets, bias=same[2]), 16)
    for kind in (f2, bfloat16, f4, ">f8", np.longdouble, bool, np.uint8, np.int64):  # probabilities, or one-hot
        soft = np.eye(CLASSES)[targets]
        assert_same_bits(
            flat(nl.linear_cross_entropy_with_grad(x, weight, soft.astype(kind))),
            flat(nl.linear_cross_entropy_with_grad(x, weight, soft)),
        )


def test_two_16_bit_types_do_not_mix(rng: np.random.Generator) -> None:
    x, weight, targets = problem(rng, (6,), soft=False)
    with pytest.raises(TypeError):
        nl.linear_cross_entropy(x.astype(np.float16), weight.astype(bfloat16), targets)


def test_lists() -> None:
    x, weight = [[1.0, 2.0], [0.5, -1.0]], [[2.0, 0.0], [0.0, 0.5], [0.1, 0.0]]
    expected = nl.cross_entropy(np.array(x) @ np.array(weight).T + 1, [0, 2])
    np.testing.assert_allclose(nl.linear_cross_entropy(x, weight, [0, 2], bias=[1, 1, 1]), expected, rtol=1e-15)


def layouts(a: np.ndarray) -> list[np.ndarray]:
    unaligned = np.zeros(a.shape, [("byte", "u1"), ("value", a.dtype)])["value"]
    unaligned[:] = a
    read_only = a.copy()
    read_only.flags.writeable = False
    wider = np.zeros((*a.shape[:-1], a.shape[-1] + 3), a.dtype)[..., : a.shape[-1]]
    wider[:] = a
    everywhere = (slice(None, None, -1),) * a.ndim
    return [
        np.asfortranarray(a),
        a[everywhere].copy()[everywhere],
        np.repeat(a, 3, -1)[..., ::3],
        wider,
        unaligned,
        read_only,
    ]


@targets_of_both_kinds
def test_layouts(soft: bool, rng: np.random.Generator) -> None:
    x, weight, targets = problem(rng, (3, 4), soft)
    expected = nl.linear_cross_entropy_with_grad(x, weight, targets)
    for a, w, t in zip(layouts(x), layouts(weight), layouts(targets), strict=True):
        assert_close(nl.linear_cross_entropy_with_grad(a, w, t, chunk_rows=5), expected, 16)
    same = np.broadcast_to(x[0, 0], x.shape), np.broadcast_to(weight[:1], weight.shape)
    assert_close(
        nl.linear_cross_entropy_with_grad(*same, targets),
        nl.linear_cross_entropy_with_grad(*map(np.array, same), targets),
        16,
    )


def test_blas_copies_only_what_it_must(rng: np.random.Generator) -> None:
    c_order = rng.standard_normal((3, 4))
    f_order, _, _, wider, unaligned, read_only = layouts(c_order)
    for a in (c_order, f_order, wider, read_only):
        assert linear._for_blas(a, a.dtype) is a
    for a in (unaligned, c_order[::-1], c_order[:, ::2], np.broadcast_to(1.0, (3, 4)), c_order.astype("f4")):
        assert linear._for_blas(a, c_order.dtype).flags.c_contiguous


@dtypes
@pytest.mark.parametrize("order", ["<", ">"])
def test_files(dtype: Any, order: str, rng: np.random.Generator, tmp_path: pathlib.Path) -> None:
    if order == ">" and dtype == bfloat16:
        pytest.skip("has no byte order")
    x, weight, targets = problem(rng, (7,), soft=True, dtype=dtype)
    files = []
    for name, a in (("x", x), ("weight", weight), ("targets", targets)):
        file = np.memmap(tmp_path / name, a.dtype.newbyteorder(order), "w+", shape=a.shape)
        file[:] = a
        files.append(file)
    expected = nl.linear_cross_entropy_with_grad(x, weight, targets, chunk_rows=3)
    loss, grads = nl.linear_cross_entropy_with_grad(*files, chunk_rows=3)
    assert_same_bits(loss, expected[0])
    for grad, expected_grad in zip(grads[:2], expected[1][:2], strict=True):
        assert type(grad) is np.ndarray
        assert_same_bits(grad, expected_grad)


def test_no_features() -> None:
    bias = np.array([1.0, 2.0, 4.0])
    for b in (None, bias):
        loss, grads = nl.linear_cross_entropy_with_grad(np.zeros((2, 0)), np.zeros((3, 0)), [0, 1], bias=b)
        logits = np.tile(np.zeros(3) if b is None else b, (2, 1))
        np.testing.assert_allclose(loss, nl.cross_entropy(logits, [0, 1]), rtol=1e-15)
        assert (grads[0].shape, grads[1].shape) == ((2, 0), (3, 0))


@dtypes
def test_empty_batch(dtype: Any) -> None:
    weight, bias = np.ones((5, 4), dtype), np.ones(5, dtype)
    for batch in ((0,), (2, 0)):
        for targets in (np.zeros(batch, int), np.zeros((*batch, 5), dtype), np.zeros(batch).tolist()):
            for reduction, expected in (("mean", NAN), ("sum", 0), ("none", np.zeros(batch))):
                loss, grads = nl.linear_cross_entropy_with_grad(
                    np.zeros((*batch, 4), dtype), weight, targets, bias=bias, reduction=reduction
                )
                np.testing.assert_array_equal(loss, expected)
                assert_same_bits(grads, (np.zeros((*batch, 4), dtype), np.zeros((5, 4), dtype), np.zeros(5, dtype)))


def test_all_ignored(rng: np.random.Generator) -> None:
    x, weight, _ = problem(rng, (3,), soft=False)
    for reduction, expected in (("mean", NAN), ("sum", 0), ("none", np.zeros(3))):
        loss, grads = nl.linear_cross_entropy_with_grad(x, weight, [-100] * 3, reduction=reduction, chunk_rows=2)
        np.testing.assert_array_equal(loss, expected)
        for grad in grads[:2]:
            np.testing.assert_array_equal(grad, 0)


def test_no_warning_for_what_is_not_finite(rng: np.random.Generator) -> None:
    for bad in (INF, -INF, NAN, finfo(np.float64).max):
        for place in ("x", "weight", "bias"):
            x, weight, targets = problem(rng, (5,), soft=False)
            given = {"x": x, "weight": weight, "bias": np.zeros(CLASSES)}
            given[place].flat[0] = bad
            with np.errstate(all="raise"):
                loss, (grad_x, _, _) = nl.linear_cross_entropy_with_grad(
                    **given, targets=targets, reduction="none", chunk_rows=2
                )
            if place == "x":  # the other rows do not see it
                assert np.isfinite(loss[1:]).all()
                assert np.isfinite(grad_x[1:]).all()


# Errors


@pytest.mark.parametrize("bad", [5, -1, 2**31, -(2**63)])
def test_bad_target_is_named(bad: int, rng: np.random.Generator) -> None:
    x, weight, targets = problem(rng, (3, 4), soft=False)
    targets[1, 2], targets[2, 3] = bad, 6
    for f in (nl.linear_cross_entropy, nl.linear_cross_entropy_with_grad):
        with pytest.raises(IndexError, match=rf"targets\[1, 2\] is {bad}\b"):
            f(x, weight, targets, chunk_rows=2)


@pytest.mark.parametrize(
    ("argument", "given", "error"),
    [
        ("x", np.zeros(()), ValueError),
        ("x", np.zeros((3, 4), complex), TypeError),
        ("x", np.zeros((3, 4), object), TypeError),
        ("x", [["a"] * 4] * 3, TypeError),
        ("x", np.zeros((3, 4), np.longdouble), TypeError),
        ("weight", np.zeros((5, 3)), ValueError),
        ("weight", np.zeros((0, 4)), ValueError),
        ("weight", np.zeros(4), ValueError),
        ("weight", np.zeros((1, 5, 4)), ValueError),
        ("weight", np.zeros((5, 4), complex), TypeError),
        ("bias", np.zeros(4), ValueError),
        ("bias", np.zeros((1, 5)), ValueError),
        ("bias", 0.0, ValueError),
        ("bias", np.zeros(5, object), TypeError),
        ("class_weight", np.zeros(4), ValueError),
        ("class_weight", np.zeros((5, 1)), ValueError),
        ("class_weight", np.zeros(5, complex), TypeError),
        ("sample_weight", np.zeros(4), ValueError),
        ("sample_weight", np.zeros((3, 1)), ValueError),
        ("sample_weight", np.zeros(3, complex), TypeError),
        ("targets", np.zeros(4, int), ValueError),
        ("targets", np.zeros((3, 1), int), ValueError),
        ("targets", np.zeros((5, 3), int), ValueError),
        ("targets", np.zeros(3, bool), ValueError),
        ("targets", np.zeros(3), ValueError),
        ("targets", np.zeros((3, 4)), ValueError),
        ("targets", np.zeros((3, 5), complex), TypeError),
        ("targets", ["a", "b", "c"], TypeError),
        ("reduction", "average", ValueError),
        ("label_smoothing", 1.5, ValueError),
        ("label_smoothing", NAN, ValueError),
        ("ignore_index", 0.5, TypeError),
        ("chunk_rows", 0, ValueError),
        ("chunk_rows", -3, ValueError),
        ("chunk_rows", 2.0, TypeError),
        ("chunk_rows", "2", TypeError),
        ("chunk_rows", True, TypeError),
        ("chunk_rows", np.True_, TypeError),
    ],
    ids=lambda v: f"{v.dtype}{v.shape}" if isinstance(v, np.ndarray) else getattr(v, "__name__", str(v)),
)
def test_errors(argument: str, given: Any, error: type[Exception]) -> None:
    arguments = {"x": np.zeros((3, 4)), "weight": np.zeros((5, 4)), "targets": np.zeros(3, int), argument: given}
    backward = functools.partial(nl.linear_cross_entropy_backward, 1.0)
    for f in (nl.linear_cross_entropy, nl.linear_cross_entropy_with_grad, backward):
        with pytest.raises(error, match=rf"^{argument}\b") as raised:
            f(**arguments)
        array = np.asarray(given)
        assert any(str(what) in str(raised.value) for what in (given, array.dtype, array.shape))


# Memory


def test_no_references_are_kept(rng: np.random.Generator) -> None:
    """To the dtype of the arrays, which is one object for all of them."""
    dtype = np.dtype(np.float32)
    x, weight, targets = problem(rng, (7,), soft=False, dtype=dtype)
    o = {"bias": np.ones(CLASSES, dtype), "sample_weight": np.ones(7, dtype), "label_smoothing": 0.1, "chunk_rows": 3}

    def call() -> None:
        nl.linear_cross_entropy(x, weight, targets, **o)
        nl.linear_cross_entropy_with_grad(x, weight, targets, **o)
        nl.linear_cross_entropy_backward(1.0, x, weight, targets, **o)

    call()
    before = sys.getrefcount(dtype)
    for _ in range(20):
        call()
    assert sys.getrefcount(dtype) - before < 20


# Prints by how much a call's peak exceeds what there was and what it returns, BLAS's own buffers counted in. In a fresh
# process, and not by getrusage, whose peak starts with that of the parent process.
MEASURED = """
import re
import numpy as np
import nonlin as nl

def resident(which):
    with open("/proc/self/status") as f:
        return 1024 * int(re.search(which + r":\\s*(\\d+) kB", f.read())[1])

def print_extra(function, *arguments):
    before = resident("VmRSS")
    result = getattr(nl, function)(*arguments)
    results = sum(a.nbytes for a in result[1][:2]) if isinstance(result, tuple) else 0
    print(resident("VmHWM") - before - results)
"""

measures_memory = pytest.mark.skipif(
    INSTRUMENTED or not sys.platform.startswith("linux"), reason="reads the resident size from /proc; a sanitizer adds to it"
)
with_and_without_gradients = pytest.mark.parametrize("function", ["linear_cross_entropy", "linear_cross_entropy_with_grad"])


@measures_memory
@with_and_without_gradients
@pytest.mark.parametrize("threads", ["1", "2"])
def test_takes_5_percent_of_the_logits(function: str, threads: str) -> None:
    rows, classes = 4096, 32000
    code = f"""
rng = np.random.default_rng(0)
x = rng.standard_normal(({rows}, 16), np.float32)
weight = rng.standard_normal(({classes}, 16), np.float32)
print_extra("{function}", x, weight, rng.integers(0, {classes}, {rows}))
"""
    # BLAS's threads have no part in it, and wait for each other by turning round on a busy machine.
    extra = printed(MEASURED + code, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", NONLIN_NUM_THREADS=threads)
    assert 0.035 < float(extra) / (rows * classes * 4) < 0.05  # less than one chunk would mean that the peak is not seen


@measures_memory
@with_and_without_gradients
@pytest.mark.parametrize("dtype", ["<f4", "i2", *(pytest.param(t, marks=pytest.mark.slow) for t in (">f4", "f2"))])
def test_files_are_not_read_into_memory(function: str, dtype: str, tmp_path: pathlib.Path) -> None:
    """Of a type that products take, or one that has to be converted; their pages are there before."""
    rows, features, classes = 60_000, 128, 500
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.integers(-2, 3, (rows, features)).astype(dtype))
    np.save(tmp_path / "weight.npy", rng.standard_normal((classes, features), np.float32))
    code = f"""
x, weight = (np.load(rf"{tmp_path}/{{name}}.npy", mmap_mode="r") for name in ("x", "weight"))
for array in (x, weight):
    np.frombuffer(array._mmap, np.uint8)[::4096].max()
targets = np.arange({rows}) % {classes}
nl.{function}(x[:8], weight, targets[:8])
print_extra("{function}", x, weight, targets)
"""
    extra = printed(MEASURED + code, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", NONLIN_NUM_THREADS="1")
    copy_of_x = rows * features * (8 if dtype == "i2" else 4)
    assert 3e6 < float(extra) < copy_of_x / 3  # a chunk of logits, 4 MB, and one of x
