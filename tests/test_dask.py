"""Dask arrays: nothing is computed unasked, and what is has nonlin's bits, or its bounds where rows are split."""

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nonlin as nl
from nonlin import reference

from .fresh import printed
from .loss_cases import REDUCTIONS, all_losses, losses_by_rows
from .oracle import (
    FLOATS,
    FUNCTIONS,
    SLACK,
    Function,
    Loss,
    as_tuple,
    assert_same_bits,
    ulp_error,
    wide,
)

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
cloudpickle = pytest.importorskip("cloudpickle")  # which dask needs
nd: Any = pytest.importorskip("nonlin.dask")

SHAPE = (6, 5)
WHOLE = [(-1, -1), (2, -1), ((1, 3, 2), (5,))]  # chunks of SHAPE whose rows are whole
SPLIT = [(-1, 2), (3, 3), ((1, 0, 5), (1, 0, 4)), (1, 1)]
ROWS = {
    name: getattr(nl, name)
    for name in ("softmax", "log_softmax", "logsumexp", "softmax_backward", "log_softmax_backward", "logsumexp_backward")
}
FORWARD = list(ROWS)[:3]

all_chunks = pytest.mark.parametrize("chunks", WHOLE + SPLIT, ids=str)
whole_chunks = pytest.mark.parametrize("chunks", WHOLE, ids=str)
split_chunks = pytest.mark.parametrize("chunks", SPLIT, ids=str)
all_rows = pytest.mark.parametrize("name", ROWS)


@pytest.fixture(autouse=True)
def _nothing_is_computed() -> Iterator[None]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed unasked")

    with dask.config.set(scheduler=refuse):
        yield


def computed(result: Any, **scheduler: Any) -> Any:
    """What a result is, after dask's own checks of it."""
    for r in as_tuple(result):
        assert isinstance(r, da.Array)
    (values,) = dask.compute(result, **(scheduler or {"scheduler": "synchronous"}))
    for r, v in zip(as_tuple(result), as_tuple(values), strict=True):
        assert (r.shape, r.dtype) == (np.shape(v), np.asarray(v).dtype) or np.isnan(sum(r.shape))
    return values


def lazy(value: Any, chunks: Any = 2) -> Any:
    return da.from_array(value, chunks=chunks) if isinstance(value, np.ndarray) and value.ndim else value


def in_chunks(value: Any, shape: tuple[int, ...], axis: int, chunks: Any) -> Any:
    """An argument in the chunks that those of the whole shape mean for it."""
    if not isinstance(value, np.ndarray) or value.ndim == 0:
        return value
    if value.ndim == len(shape):
        return da.from_array(value, chunks=tuple(1 if n == 1 else c for n, c in zip(value.shape, chunks, strict=True)))
    if value.shape == (shape[axis],) and shape[0] != shape[axis]:
        return da.from_array(value, chunks=(chunks[axis],))
    return da.from_array(value, chunks=tuple(c for i, c in enumerate(chunks) if i != axis % len(shape)))


def arguments(name: str, x: np.ndarray, axis: Any = -1) -> list[Any]:
    """The operands of a row function, `x` the last of them."""
    if name in FORWARD:
        return [x]
    y = x if name == "logsumexp_backward" else wide(ROWS[name.removesuffix("_backward")](x, axis)).astype(x.dtype)
    grad = np.linspace(-1, 1, x.size).reshape(x.shape).astype(x.dtype)
    return [np.take(grad, 0, axis) if name == "logsumexp_backward" else grad, y]


# Bare functions


@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_elementwise_functions_are_lazy(f: Function, rng: np.random.Generator) -> None:
    given = f.points(rng, SHAPE, np.float32)
    parameters = {n: np.full(SHAPE, v, np.float32) for n, v in f.parameters.items()}
    expected = f.public(*given, **parameters)
    for chunks in (2, (6, 5)):
        assert_same_bits(computed(f.public(*(lazy(g, chunks) for g in given), **parameters)), expected)
    lazy_parameters = {n: lazy(v) for n, v in parameters.items()}
    assert_same_bits(computed(f.public(*map(lazy, given), **lazy_parameters)), expected)
    if parameters:
        assert_same_bits(computed(f.public(*given, **lazy_parameters)), expected)


@pytest.mark.parametrize("chunks", [(2, -1), (3, 3), ((1, 0, 5), (1, 0, 4))], ids=str)
@all_rows
def test_row_functions_are_lazy(name: str, chunks: Any, rng: np.random.Generator) -> None:
    given = arguments(name, rng.standard_normal(SHAPE))
    where = rng.random(SHAPE) < 0.7
    f = ROWS[name]
    lazies = [in_chunks(g, SHAPE, -1, chunks) for g in given]
    for options in ({}, {"where": where}, {"where": lazy(where, 3)}, {"where": where[0]}, {"axis": 0}):
        if options.get("axis") == 0 and name == "logsumexp_backward":
            continue
        plain = {n: v.compute(scheduler="synchronous") if isinstance(v, da.Array) else v for n, v in options.items()}
        expected = f(*given, **plain)
        np.testing.assert_allclose(computed(f(*lazies, **options)), expected, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(computed(f(*given, where=lazy(where))), f(*given, where=where), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(
    "options", [{"b": 2.0}, {"b": "x"}, {"b": "x", "return_sign": True}, {"return_sign": True}], ids=str
)
@pytest.mark.parametrize("chunks", [(2, -1), (2, 2)], ids=str)
def test_logsumexp_with_factors(options: dict[str, Any], chunks: Any, rng: np.random.Generator) -> None:
    x = rng.standard_normal(SHAPE)
    plain = {n: x if isinstance(v, str) else v for n, v in options.items()}
    lazies = {n: lazy(x, chunks) if isinstance(v, str) else v for n, v in options.items()}
    for f in (nl.logsumexp, nd.logsumexp):
        np.testing.assert_array_equal(computed(f(lazy(x, chunks), **lazies)), nl.logsumexp(x, **plain))


REFUSED: dict[str, Callable[[Any], Any]] = {
    "jacobian": nl.softmax_jacobian,
    "log jacobian": nl.log_softmax_jacobian,
    "linear": lambda x: nl.linear_cross_entropy(x, np.ones((3, 5)), np.zeros(6, int)),
    "linear weight": lambda x: nl.linear_cross_entropy(np.ones((2, 5)), x, np.zeros(2, int)),
    "linear targets": lambda x: nl.linear_cross_entropy(np.ones((6, 2)), np.ones((5, 2)), x),
    "linear gradient": lambda x: nl.linear_cross_entropy_with_grad(x, np.ones((3, 5)), np.zeros(6, int)),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_what_is_not_lazy_is_refused(call: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"(not computed yet|computes none unasked); .*nonlin\.dask"):
        call(da.ones(SHAPE, chunks=2))


@all_losses
def test_bare_losses_are_lazy(loss: Loss, rng: np.random.Generator) -> None:
    given = loss.problem(rng, SHAPE)
    for f in loss.functions():
        grad = [1.0] if f.__name__.endswith("_backward") else []
        expected = f(*grad, *given)
        for lazies in ([lazy(given[0]), given[1]], [given[0], lazy(given[1])], list(map(lazy, given))):
            result = f(*grad, *lazies)
            for r, e in zip(as_tuple(computed(result)), as_tuple(expected), strict=True):
                np.testing.assert_allclose(r, e, rtol=1e-13, atol=1e-15)


def test_out_is_refused() -> None:
    x = da.ones(SHAPE, chunks=2)
    for call in (
        lambda: nl.softmax(x, out=np.empty(SHAPE)),
        lambda: nl.cross_entropy_backward(1.0, x, np.zeros(6, int), out=np.empty(SHAPE)),
    ):
        with pytest.raises(TypeError, match="out is an array, beside one of dask"):
            call()


def test_other_collections() -> None:
    delayed = dask.delayed(np.ones)(SHAPE)
    for call in (lambda: nl.softmax(delayed), lambda: nd.softmax(delayed), lambda: nd.cross_entropy(delayed, [0] * 6)):
        with pytest.raises(TypeError, match="not computed yet"):
            call()
    masked = np.ma.array(np.ones(6), mask=[1, 0, 0, 0, 0, 0])
    for f in (nl.softmax, nd.softmax):
        with pytest.raises(TypeError, match="x has blocks of type MaskedArray"):
            f(da.from_array(masked, chunks=2))
    with pytest.raises(TypeError, match="sample_weight is a masked array"):
        nd.cross_entropy(da.ones(SHAPE, chunks=2), np.zeros(6, int), sample_weight=masked)


# Row functions


@whole_chunks
@all_rows
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_whole_rows_have_the_bits(name: str, dtype: Any, chunks: Any, rng: np.random.Generator) -> None:
    x = (3 * rng.standard_normal(SHAPE)).astype(dtype)
    given = arguments(name, x)
    lazies = [in_chunks(g, SHAPE, -1, chunks) for g in given]
    assert_same_bits(computed(getattr(nd, name)(*lazies)), ROWS[name](*given))
    if name != "logsumexp_backward" and name != "logsumexp":
        assert_same_bits(computed(getattr(nd, name)(*lazies, scale=0.3)), ROWS[name](*given, scale=0.3))
    if name == "logsumexp":
        assert_same_bits(computed(nd.logsumexp(*lazies, keepdims=True)), nl.logsumexp(x, keepdims=True))


def corner_rows(dtype: Any) -> np.ndarray:
    """Rows of dominating classes, infinities, NaN, equal entries and large ones."""
    rows = [
        [40, 0, 0, -1, 0],
        [0, 0, 0, 0, 40],
        [0, 20, -20, 20, 3],
        [-np.inf, 1, -np.inf, 2, 0.5],
        [-np.inf] * 5,
        [np.inf, 1, 2, 3, 4],
        [np.inf, 1, np.inf, 3, 4],
        [1, 2, np.nan, 3, 4],
        [-np.inf, -np.inf, 3, -np.inf, -np.inf],
        [300, 300, 299, 300, -300],
        [-100, -101, -100, -3e4, -1e4],
        [0.1, 0.2, 0.3, 0.4, 0.5],
    ]
    return np.array(rows, dtype)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", FORWARD)
def test_split_rows_keep_the_bounds(name: str, dtype: Any, rng: np.random.Generator) -> None:
    few, many = 5 * rng.standard_normal((4, 257)), 20 * rng.standard_normal((2, 600))
    for x, axis, chunks in (
        (corner_rows(dtype), 1, (-1, 1)),
        (corner_rows(dtype), 1, (5, 2)),
        (corner_rows(dtype).T, 0, (3, 7)),
        (few, 1, (2, 16)),
        (few, 1, (-1, 100)),
        (few, (0, 1), (3, 90)),
        (many, 1, (2, 5)),
    ):
        given = x.astype(dtype)
        wider = given.astype(np.longdouble if dtype == np.float64 else np.float64)
        largest = None
        if name == "logsumexp":
            with np.errstate(invalid="ignore"):
                largest = np.nan_to_num(np.abs(np.max(wider, axis)).astype(np.float64), posinf=0)
        got = computed(getattr(nd, name)(da.from_array(given, chunks=chunks), axis=axis))
        error = ulp_error(got, getattr(reference, name)(wider, axis), largest)
        assert np.max(error) <= (0.6 if np.dtype(dtype).itemsize == 2 else 4.0) + SLACK, chunks


@split_chunks
@pytest.mark.parametrize("scale", [1.0, 0.3])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_split_rows_with_where(name: str, scale: float, chunks: Any, rng: np.random.Generator) -> None:
    x = rng.standard_normal(SHAPE)
    x[0] = -np.inf
    where = rng.random(SHAPE) < 0.5
    where[:2] = [[True, True, True, False, False], [False] * 5]
    got = computed(getattr(nd, name)(lazy(x, chunks), scale=scale, where=lazy(where, (2, 5))))
    np.testing.assert_allclose(got, ROWS[name](x, scale=scale, where=where), rtol=1e-14)


def test_partial_merge_and_finish(rng: np.random.Generator) -> None:
    x = rng.standard_normal(SHAPE)
    one, other = lazy(x[:, :3]), lazy(x[:, 3:], 3)
    merged = nd.logsumexp_merge(*nd.logsumexp_partial(one), *nd.logsumexp_partial(other))
    for result in (nl.logsumexp_finish(*merged), nl.logsumexp_finish(*nd.logsumexp_partial(lazy(x)))):
        np.testing.assert_allclose(computed(result), nl.logsumexp(x), rtol=1e-14)
    m, r = nd.logsumexp_partial(lazy(x))
    np.testing.assert_allclose(computed(nd.softmax_from(lazy(x), m, r)), nl.softmax(x), rtol=1e-14)
    np.testing.assert_allclose(computed(nl.log_softmax_from(lazy(x), m, r)), nl.log_softmax(x), rtol=1e-14)


@all_chunks
@pytest.mark.parametrize("name", ["softmax_jacobian", "log_softmax_jacobian"])
def test_jacobians(name: str, chunks: Any) -> None:
    y = nl.softmax(np.arange(30.0).reshape(SHAPE) % 7)
    for axis in (-1, 0):
        assert_same_bits(computed(getattr(nd, name)(lazy(y, chunks), axis=axis)), getattr(nl, name)(y, axis=axis))


@pytest.mark.parametrize("name", ["swiglu_backward", "geglu_backward", "reglu_backward"])
def test_several_results(name: str, rng: np.random.Generator) -> None:
    grad, gate, up = rng.standard_normal((3, *SHAPE))
    for f in (getattr(nl, name), getattr(nd, name)):
        assert_same_bits(computed(f(lazy(grad), lazy(gate, 3), up[0])), getattr(nl, name)(grad, gate, up[0]))
    for dtype in FLOATS:  # which numbers do not widen
        narrow = grad.astype(dtype)
        got = computed(getattr(nd, name)(1.0, lazy(narrow), 2))
        assert_same_bits(got, getattr(nl, name)(1.0, narrow, 2))


@pytest.mark.parametrize("name", ["softmax_from", "log_softmax_from"])
def test_pieces_without_entries(name: str, rng: np.random.Generator) -> None:
    for dtype in FLOATS:
        x = rng.standard_normal(SHAPE).astype(dtype)
        m, r = nl.logsumexp_partial(x)
        y = getattr(nd, name)(da.from_array(x, chunks=((2, 0, 4), (0, 2, 0, 3))), m, r)
        assert y.dtype == getattr(nl, name)(x, m, r).dtype
        assert_same_bits(computed(y), getattr(nl, name)(x, m, r))


# Losses


OPTIONS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "weights": ("weight", "sample_weight", "pos_weight"),
    "smoothing": ("weight", "sample_weight", "label_smoothing", "z_loss", "gamma", "alpha"),
    "ignored": ("ignore_index", "z_loss"),
    "smoothed and ignored": ("ignore_index", "label_smoothing"),
}


@pytest.mark.parametrize("chosen", OPTIONS)
@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
@all_losses
def test_losses(loss: Loss, split: bool, chosen: str, rng: np.random.Generator) -> None:
    names = tuple(n for n in OPTIONS[chosen] if n in loss.options)
    if not names and chosen != "plain":
        return
    some = len(chosen)  # each set of options meets another axis, other chunks and another reduction
    axis = -1 if some % 2 or not (loss.by_rows and split) else 0
    chunks = (SPLIT if split else WHOLE)[some % 3]
    o = loss.keywords(rng, SHAPE, axis, names)
    given = loss.problem(rng, SHAPE, axis)
    lazies = [in_chunks(g, SHAPE, axis, chunks) for g in given]
    lazy_o = {n: in_chunks(v, SHAPE, axis, chunks) for n, v in o.items()}
    forward, backward, *with_grad = (f.__name__ for f in loss.functions())
    for reduction in REDUCTIONS if chosen == "plain" else REDUCTIONS[some % 3 :][:1]:
        expected = getattr(nl, forward)(*given, **o, reduction=reduction)
        got = computed(getattr(nd, forward)(*lazies, **lazy_o, reduction=reduction))
        assert np.asarray(got).dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=2e-14, atol=1e-16)
        if reduction == "none" and not split:
            assert_same_bits(got, expected)
        upstream = np.asarray(rng.standard_normal(np.shape(expected)))
        expected_grad = getattr(nl, backward)(upstream, *given, **o, reduction=reduction)
        got = computed(
            getattr(nd, backward)(in_chunks(upstream, SHAPE, axis, chunks), *lazies, **lazy_o, reduction=reduction)
        )
        np.testing.assert_allclose(got, expected_grad, rtol=3e-14, atol=1e-16)
        if not split and not ("sample_weight" in o or "weight" in o):
            assert_same_bits(got, expected_grad)
    for name in with_grad:
        got = computed(getattr(nd, name)(*lazies, **lazy_o))
        for r, e in zip(got, getattr(nl, name)(*given, **o), strict=True):
            np.testing.assert_allclose(r, e, rtol=3e-14, atol=1e-16)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@losses_by_rows
def test_split_losses_keep_their_digits(loss: Loss, dtype: Any, rng: np.random.Generator) -> None:
    """Loss and gradient of rows whose prediction is nearly right, and of others, against formulas in a wider type."""
    x, y = (loss.problem(rng, (7, 40), dtype=dtype)[i] for i in (loss.operand, 1 - loss.operand))
    if loss.arguments[loss.operand] == "logits":
        right = y if y.ndim == 1 else y.astype(np.float64).argmax(-1)
        if y.ndim == 2:
            y[:4] = np.eye(40)[right[:4]].astype(dtype)
        x[range(4), right[:4]] = [20, 60, 30, 100]
    given = [x, y] if loss.operand == 0 else [y, x]
    exact = [wide(g) if dtype != np.float64 or g.dtype.kind != "f" else g.astype(np.longdouble) for g in given]
    forward, backward, *_ = loss.functions()
    exact_forward, exact_backward, *_ = loss.functions(reference)
    losses = np.asarray(exact_forward(*exact, reduction="none"))
    gradient = np.asarray(exact_backward(1.0, *exact, reduction="sum"))
    bound = 0.6 if np.dtype(dtype).itemsize == 2 else 8 if "gamma" in loss.options else 4  # a power has twice the error
    most_of_losses = np.ones(7) if loss.kind == "rows" else None  # a divergence is a difference
    # So is the gradient by probabilities, p - y, but of those that are nearly one-hot.
    most = np.where(np.arange(7)[:, None] < 4, 0, wide(y).astype(np.float64)) if y.ndim == 2 else None
    for chunks in ((3, 7), (7, 40)):
        lazies = [in_chunks(g, (7, 40), -1, chunks) for g in given]
        got = computed(getattr(nd, forward.__name__)(*lazies, reduction="none"))
        assert np.max(ulp_error(got, losses, most_of_losses)) <= 4 + SLACK
        got = computed(getattr(nd, backward.__name__)(1.0, *lazies, reduction="sum"))
        assert np.max(ulp_error(got, gradient, most)) <= bound + SLACK


@pytest.mark.parametrize("chunks", [(-1, 1), (5, 2)], ids=str)
@pytest.mark.parametrize("target", [0, 1, 4, "probabilities"])
def test_split_losses_of_corner_rows(target: Any, chunks: Any) -> None:
    """Infinities and NaN, also as whole pieces, with the target inside or elsewhere."""
    x = corner_rows(np.float64)
    y = np.full(len(x), target) if isinstance(target, int) else np.where(np.arange(x.size).reshape(x.shape) % 3, 0.5, 0)
    for f, own in ((nl.cross_entropy, nd.cross_entropy), (nl.kl_divergence_with_logits, nd.kl_divergence_with_logits)):
        first, second = (x, y) if f is nl.cross_entropy else (y, x)
        if first.ndim == 1:
            continue
        got = computed(own(lazy(first, chunks), lazy(second, chunks if second.ndim == 2 else 5), reduction="none"))
        np.testing.assert_allclose(got, f(first, second, reduction="none"), rtol=1e-14)
    for name, o in (
        ("cross_entropy", {}),
        ("cross_entropy", {"label_smoothing": 0.1}),
        ("cross_entropy", {"z_loss": 0.1}),
        ("focal_loss", {"gamma": 0.5}),
        ("focal_loss", {"gamma": 0}),
    ):
        f = f"{name}_with_grad"
        got = computed(getattr(nd, f)(lazy(x, chunks), y, reduction="none", **o))
        for g, e in zip(got, getattr(nl, f)(x, y, reduction="none", **o), strict=True):
            np.testing.assert_allclose(g, e, rtol=2e-14, atol=1e-300)


@all_losses
def test_one_row(loss: Loss, rng: np.random.Generator) -> None:
    given = loss.problem(rng, (5,))
    grad, weight = np.float64(0.3), {"sample_weight": np.float64(0.7)} if "sample_weight" in loss.options else {}
    for chunks in (5, 2):
        lazies = [da.from_array(g, chunks=chunks if g.ndim else -1) for g in given]
        for f in loss.functions():
            first = [grad] if f.__name__.endswith("_backward") else []
            for reduction in REDUCTIONS if chunks == 2 else ("none",):
                got = computed(getattr(nd, f.__name__)(*first, *lazies, reduction=reduction, **weight))
                for g, e in zip(as_tuple(got), as_tuple(f(*first, *given, reduction=reduction, **weight)), strict=True):
                    np.testing.assert_allclose(g, e, rtol=2e-14)


def test_one_number() -> None:
    p = da.from_array(np.float64(0.25), chunks=-1)
    assert computed(nd.binary_cross_entropy(p, 1)) == nl.binary_cross_entropy(0.25, 1)
    assert computed(nd.binary_cross_entropy_backward(1.0, p, 1)) == nl.binary_cross_entropy_backward(1.0, 0.25, 1)


@all_rows
def test_batches_broadcast(name: str, rng: np.random.Generator) -> None:
    if not name.endswith("_backward") or name == "logsumexp_backward":
        return
    grad, y = arguments(name, rng.standard_normal(SHAPE))
    for given in ([grad[0], y], [grad, y[0]]):
        for chunks in (2, -1):
            np.testing.assert_allclose(
                computed(ROWS[name](*(lazy(g, chunks) for g in given))), ROWS[name](*given), rtol=1e-13
            )


def test_all_targets_ignored() -> None:
    x, t = lazy(np.ones(SHAPE)), lazy(np.full(6, -100))
    assert np.isnan(computed(nd.cross_entropy(x, t)))
    assert computed(nd.cross_entropy(x, t, reduction="sum")) == 0
    assert np.all(computed(nd.cross_entropy_backward(1.0, x, t)) == 0)


def test_rows_of_weight_0_do_not_count() -> None:
    x = np.ones(SHAPE)
    x[1] = np.nan
    weight = np.array([1.0, 0, 1, 1, 1, 1])
    for chunks in (2, (2, -1)):
        loss, grad = computed(nd.cross_entropy_with_grad(lazy(x, chunks), np.zeros(6, int), sample_weight=lazy(weight)))
        expected = nl.cross_entropy_with_grad(x, np.zeros(6, int), sample_weight=weight)
        np.testing.assert_allclose(loss, expected[0], rtol=1e-14)
        np.testing.assert_allclose(grad, expected[1], rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64])
def test_integers_of_all_widths(dtype: Any) -> None:
    x = np.random.default_rng(1).standard_normal((6, 300))
    t = np.arange(6).astype(dtype) + dtype(100)
    np.testing.assert_allclose(computed(nd.cross_entropy(lazy(x, 50), lazy(t))), nl.cross_entropy(x, t), rtol=1e-14)


# Errors


@pytest.mark.parametrize("chunks", [(2, -1), (2, 2), (3, 1)], ids=str)
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss", "focal_loss", "cross_entropy_backward", "nll_loss_backward"])
def test_bad_targets_have_global_positions(name: str, chunks: Any) -> None:
    targets = np.array([[0, 1, 2, 3, 4, 9], [0, 1, 2, 3, 4, 0]]).T
    x = np.zeros((6, 5, 2))
    lazies = da.from_array(x, chunks=(*chunks, 1)), da.from_array(targets, chunks=(3, 1))
    grad = [1.0] if name.endswith("_backward") else []
    with pytest.raises(IndexError, match=r"targets\[5, 0\] is 9; it takes a class in \[0, 5\) or ignore_index=-100"):
        computed(getattr(nd, name)(*grad, *lazies, axis=1))


def test_bad_probabilities_have_global_positions() -> None:
    p = np.full(SHAPE, 0.5)
    p[5, 4] = 1.5
    for f, t in (
        (nd.binary_cross_entropy, p),
        (nd.categorical_cross_entropy, p),
        (nd.categorical_cross_entropy, np.full(6, 4)),
    ):
        for chunks in (2, (2, -1)):
            with pytest.raises(ValueError, match=r"probs\[5, 4\] is 1.5"):
                computed(f(lazy(p, chunks), lazy(t)))


X: Any = da.ones(SHAPE, chunks=2)
T: Any = da.zeros(6, dtype=int, chunks=2)
AT_ONCE: dict[str, tuple[type[Exception], str, Callable[[], Any]]] = {
    "axis": (np.exceptions.AxisError, "axis 2 is out of bounds", lambda: nd.softmax(X, axis=2)),
    "axis twice": (ValueError, "names an axis twice", lambda: nd.softmax(X, axis=(0, 0))),
    "no axis": (TypeError, "axis is 'x'", lambda: nd.softmax(X, axis="x")),
    "empty class axis": (ValueError, "class axis is empty", lambda: nd.softmax(da.ones((3, 0), chunks=1))),
    "dtype": (TypeError, "x has dtype complex128", lambda: nd.softmax(da.ones(3, dtype=complex, chunks=2))),
    "scale": (TypeError, "scale is 'a'", lambda: nd.softmax(X, scale="a")),
    "where": (TypeError, "where has dtype float64", lambda: nd.softmax(X, where=X)),
    "shapes": (ValueError, r"grad has shape \(6, 4\)", lambda: nd.softmax_backward(X[:, :4], X)),
    "where's shape": (ValueError, r"where has shape \(6, 5\)", lambda: nd.softmax(X[0], where=X > 0)),
    "rows": (ValueError, r"grad has shape \(5,\)", lambda: nd.logsumexp_backward(X[0], X)),
    "classes": (ValueError, r"targets has dtype int64 and shape \(5,\)", lambda: nd.cross_entropy(X, X[0].astype(int))),
    "floats": (ValueError, "targets has dtype float64 and the shape of the rows", lambda: nd.cross_entropy(X, X[:, 0])),
    "reduction": (ValueError, "reduction is 'all'", lambda: nd.cross_entropy(X, T, reduction="all")),
    "smoothing": (ValueError, "label_smoothing is 2", lambda: nd.cross_entropy(X, T, label_smoothing=2)),
    "gamma": (ValueError, "gamma is -1", lambda: nd.focal_loss(X, T, gamma=-1)),
    "weight": (ValueError, r"weight has shape \(6,\)", lambda: nd.cross_entropy(X, T, weight=X[:, 0])),
    "entries' weight": (
        ValueError,
        r"pos_weight has shape \(6,\); it takes one that broadcasts to the shape of logits, \(6, 5\)",
        lambda: nd.binary_cross_entropy_with_logits(X, X, pos_weight=X[:, 0]),
    ),
    "sample_weight": (ValueError, r"sample_weight has shape \(5,\)", lambda: nd.cross_entropy(X, T, sample_weight=X[0])),
    "grad": (
        ValueError,
        r"grad has shape \(6,\); for reduction='mean' it takes a scalar",
        lambda: nd.nll_loss_backward(X[:, 0], X, T),
    ),
    "p and q": (ValueError, r"p has shape \(6,\)", lambda: nd.kl_divergence(X[:, 0], X)),
    "no option": (TypeError, r"softmax\(\) got an unexpected keyword", lambda: nd.softmax(X, out=None)),
    "no x": (TypeError, "x has dtype object", lambda: nd.softmax(None)),
    "no words": (TypeError, "x has dtype <U1", lambda: nd.softmax("a")),
    "no logits": (TypeError, "logits has dtype object", lambda: nd.cross_entropy(None, T)),
    "no targets": (TypeError, "targets has dtype object", lambda: nd.cross_entropy(X, None)),
    "no grad": (TypeError, "grad has dtype object", lambda: nd.cross_entropy_backward(None, X, T)),
    "lazy scale": (TypeError, "scale is a Array, which is not computed", lambda: nd.softmax(X, scale=da.asarray(2.0))),
    "lazy option": (TypeError, "z_loss is a Array", lambda: nd.cross_entropy(X, T, z_loss=da.asarray(0.1))),
}


@pytest.mark.parametrize(("error", "message", "call"), AT_ONCE.values(), ids=AT_ONCE)
def test_errors_come_at_once(error: type[Exception], message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(error, match=message):
        call()


# Chunks of unknown sizes


def unknown(x: np.ndarray, chunks: Any = 2) -> Any:
    """The rows that do not begin with 0, of which dask does not know how many they are."""
    lazies = da.from_array(x, chunks=chunks)
    return lazies[(lazies if x.ndim == 1 else lazies[:, 0]) != 0]


def test_unknown_chunks(rng: np.random.Generator) -> None:
    x = rng.standard_normal(SHAPE)
    kept = x[[0, 2, 3, 5]]
    x[[1, 4], 0] = 0
    t = np.array([1, 0, 2, 3, 0, 4])
    for chunks in ((2, -1), (2, 2)):
        logits = unknown(x, chunks)
        for name in ("softmax", "log_softmax", "logsumexp"):
            np.testing.assert_allclose(computed(getattr(nd, name)(logits)), ROWS[name](kept), rtol=1e-14)
        for reduction in REDUCTIONS:
            got = computed(nd.cross_entropy_with_grad(logits, unknown(t), reduction=reduction))
            for g, e in zip(got, nl.cross_entropy_with_grad(kept, t[t > 0], reduction=reduction), strict=True):
                np.testing.assert_allclose(g, e, rtol=1e-14)
            got = computed(nd.cross_entropy(logits, nd.softmax(logits), reduction=reduction))
            np.testing.assert_allclose(got, nl.cross_entropy(kept, nl.softmax(kept), reduction=reduction), rtol=1e-14)
        got = computed(nd.binary_cross_entropy_with_logits(logits, nd.softmax(logits)))
        np.testing.assert_allclose(got, nl.binary_cross_entropy_with_logits(kept, nl.softmax(kept)), rtol=1e-14)
    with pytest.raises(IndexError, match=r"targets\[1\] is 7; .*, in a block whose place is not known"):
        computed(nd.cross_entropy(unknown(x), unknown(np.array([1, 0, 2, 7, 0, 4]))))


@pytest.mark.parametrize(
    "call",
    [
        lambda x, t: nd.cross_entropy(x.T, t, axis=0)[0],
        lambda x, t: nd.cross_entropy(x.T, t),
        lambda x, t: nd.cross_entropy(x, np.zeros(4, int)),
        lambda x, t: nd.cross_entropy(x, da.zeros(4, dtype=int, chunks=2)),
        lambda x, t: nd.softmax(x, where=da.ones(SHAPE, dtype=bool, chunks=3)),
    ][1:],
)
def test_unknown_chunks_that_cannot_be_matched(call: Callable[[Any, Any], Any]) -> None:
    x = unknown(np.ones(SHAPE))
    with pytest.raises(ValueError, match=r"unknown.*compute_chunk_sizes"):
        call(x, unknown(np.ones(6)).astype(int))


# The same bits


def problem(rows: int = 40, classes: int = 60, chunks: Any = (8, 9)) -> tuple[Any, ...]:
    """Loss and gradient of float32 logits in many chunks."""
    rng = np.random.default_rng(3)
    x, t = rng.standard_normal((rows, classes), np.float32), rng.integers(0, classes, rows)
    weight = rng.uniform(0.5, 2, rows)
    logits = da.from_array(x, chunks=chunks)
    return nd.cross_entropy_with_grad(logits, t, sample_weight=weight, label_smoothing=0.1, z_loss=1e-3)


def test_schedulers_and_settings_change_no_bits() -> None:
    expected = computed(problem())
    assert_same_bits(computed(problem(), scheduler="threads", num_workers=4), expected)
    tasks = len(problem()[0].dask)
    with dask.config.set(split_every=2), nl.num_threads(1):
        assert_same_bits(computed(problem(), scheduler="threads", num_workers=2), expected)
        assert len(problem()[0].dask) == tasks  # the tree is the same
    with dask.config.set({"optimization.fuse.active": False, "array.chunk-size": "1 KiB"}):
        assert_same_bits(computed(problem()), expected)
    assert [r.name for r in problem()] == [r.name for r in problem()]
    sent = pickle.loads(cloudpickle.dumps(problem()))  # as to another process
    assert_same_bits(computed(sent), expected)


def test_pieces_are_shared() -> None:
    """Loss and gradient together take the pairs of each block once."""
    loss, grad = problem()
    names = [[k for k in r.dask.layers if "softmax_piece" in k] for r in (loss, grad)]
    assert names[0] == names[1] != []


CLUSTER = """
    import os, signal, sys
    import dask, dask.array as da, numpy as np
    from distributed import Client, LocalCluster
    import nonlin.dask as nd

    ROWS, CLASSES, MARK = 64, 400, {mark!r}
    targets = np.arange(ROWS) * 7 % CLASSES

    def load(dies, block_id):
        if dies and block_id == (2, 1) and not os.path.exists(MARK):
            open(MARK, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)  # the worker, in the middle of its work
        return np.random.default_rng(block_id).standard_normal((16, 100), np.float32)

    def result(dies):
        meta = np.empty((0, 0), np.float32)
        logits = da.map_blocks(load, dies, chunks=((16,) * 4, (100,) * 4), dtype=np.float32, meta=meta)
        return nd.cross_entropy_with_grad(logits, targets, label_smoothing=0.1, z_loss=1e-3)

    expected = dask.compute(*result(False), scheduler="synchronous")
    with LocalCluster(2, threads_per_worker=1, memory_limit=0, dashboard_address=None) as cluster, Client(cluster) as client:
        assert not os.path.exists(MARK)
        found = client.gather(client.compute(result(True)))
        assert os.path.exists(MARK)
    assert [f.dtype for f in found] == [np.float32] * 2
    assert [f.tobytes() for f in found] == [e.tobytes() for e in expected]
    print("same bits")
"""


@pytest.mark.slow
def test_a_worker_that_dies_changes_no_bits(tmp_path: Any) -> None:
    pytest.importorskip("distributed")
    assert printed(CLUSTER.format(mark=str(tmp_path / "died"))).endswith("same bits")
