"""Arrays of xarray: dimensions by name, coordinates, names and attributes are kept, and dask inside stays lazy."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nonlin as nl

from .loss_cases import REDUCTIONS, all_losses
from .oracle import FUNCTIONS, Function, Loss, as_tuple, assert_same_bits

xr = pytest.importorskip("xarray")
nx: Any = pytest.importorskip("nonlin.xarray")

DIMS, SHAPE, AXIS = ("time", "class", "place"), (4, 5, 3), 1
COORDS = {"time": [1.5, 2.5, 3.5, 4.5], "class": list("abcde"), "place": [7, 8, 9]}
LAZY = [False, True]
ROWS = ["softmax", "log_softmax", "logsumexp", "softmax_backward", "log_softmax_backward", "logsumexp_backward"]

lazy_or_not = pytest.mark.parametrize("lazy", LAZY, ids=["plain", "lazy"])
all_rows = pytest.mark.parametrize("name", ROWS)


@pytest.fixture(autouse=True)
def _attributes_are_kept() -> Iterator[None]:
    with xr.set_options(keep_attrs=True):  # the default of new versions alone
        yield


def named(value: np.ndarray, lazy: bool, name: str | None = None, without: str | None = None) -> Any:
    """An array with the dimensions, or those left without one, in another order than its axes where it is of rows."""
    dims = [d for d in DIMS if d != without]
    array = xr.DataArray(value, dims=dims, coords={d: COORDS[d] for d in dims}, name=name, attrs={"units": "nat"})
    if without:
        array = array.transpose()
    if lazy:
        pytest.importorskip("dask.array")
        array = array.chunk(dict.fromkeys(dims, 2))
    return array


@contextlib.contextmanager
def nothing_computed() -> Any:
    dask = pytest.importorskip("dask")

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed unasked")

    with dask.config.set(scheduler=refuse):
        yield


def result_of(f: Callable[..., Any], lazy: bool, *given: Any, **options: Any) -> Any:
    """A result of lazy arrays is made without computing anything, and computed then."""
    if not lazy:
        return f(*given, **options)
    with nothing_computed():
        results: Any = as_tuple(f(*given, **options))
    assert all(r.chunks is not None for r in results)
    values = tuple(r.compute(scheduler="synchronous") for r in results)
    return values if len(values) > 1 else values[0]


def assert_values(got: Any, expected: Any, lazy: bool) -> None:
    """Bits where nothing is split; chunks of 2 split every row."""
    if lazy:
        np.testing.assert_allclose(got.values, expected, rtol=1e-13, atol=1e-15)
    else:
        assert_same_bits(got.values, np.asarray(expected))


def arguments(name: str, rng: np.random.Generator, lazy: bool) -> tuple[list[Any], list[Any]]:
    """The operands of a row function, plain and named."""
    x = rng.standard_normal(SHAPE)
    y = x if name.startswith("logsumexp") else getattr(nl, name.removesuffix("_backward"))(x, AXIS)
    if not name.endswith("_backward"):
        return [x], [named(x, lazy, "logits")]
    of_rows = name == "logsumexp_backward"
    grad = rng.standard_normal(np.delete(SHAPE, AXIS) if of_rows else SHAPE)
    return [grad, y], [named(grad, lazy, without="class" if of_rows else None), named(y, lazy, "logits")]


@lazy_or_not
@all_rows
def test_row_functions(name: str, lazy: bool, rng: np.random.Generator) -> None:
    given, arrays = arguments(name, rng, lazy)
    expected = getattr(nl, name)(*given, axis=AXIS)
    for module, options in ((nx, {"dim": "class"}), (nl, {"axis": AXIS})):
        got = result_of(getattr(module, name), lazy, *arrays, **options)
        assert_values(got, expected, lazy)
        left = [d for d in DIMS if d != "class" or name != "logsumexp"]
        assert list(got.dims) == left
        assert {d: list(c.values) for d, c in got.coords.items()} == {d: COORDS[d] for d in left}
        assert (got.name, got.attrs) == ("logits", {"units": "nat"})


@lazy_or_not
@pytest.mark.parametrize("dim", [["class", "time"], None, ...], ids=str)
def test_several_dimensions(dim: Any, lazy: bool, rng: np.random.Generator) -> None:
    (x,), (array,) = arguments("softmax", rng, lazy)
    axis = (0, 1) if isinstance(dim, list) else None
    assert_values(result_of(nx.softmax, lazy, array, dim), nl.softmax(x, axis), lazy)
    got = result_of(nx.logsumexp, lazy, array, dim, keepdims=True)
    assert got.dims == DIMS
    assert_values(got, nl.logsumexp(x, axis, keepdims=True), lazy)
    assert_values(result_of(nl.logsumexp, lazy, array, axis, keepdims=True), nl.logsumexp(x, axis, keepdims=True), lazy)


@lazy_or_not
def test_options_of_rows(lazy: bool, rng: np.random.Generator) -> None:
    (x,), (array,) = arguments("softmax", rng, lazy)
    where = array > 0
    got = result_of(nx.softmax, lazy, array, "class", scale=0.5, where=where)
    assert_values(got, nl.softmax(x, AXIS, scale=0.5, where=x > 0), lazy)
    some = array.isel({"class": 0}) > 0  # for all classes alike
    got = result_of(nx.log_softmax, lazy, array, "class", where=some)
    assert_values(got, nl.log_softmax(x, AXIS, where=x[:, :1] > 0), lazy)
    log, sign = result_of(nx.logsumexp, lazy, array, "class", b=array.isel(time=0), return_sign=True)
    expected = nl.logsumexp(x, AXIS, b=x[0], return_sign=True)
    assert_values(log, expected[0], lazy)
    assert_values(sign, expected[1], lazy)
    bare = result_of(nl.logsumexp, lazy, array, AXIS, b=array)
    assert_values(bare, nl.logsumexp(x, AXIS, b=x), lazy)
    assert bare.dims == ("time", "place")
    for plain in (x > 0, x[0] > 0, x[0, 0] > 0):
        assert_values(result_of(nl.softmax, lazy, array, AXIS, where=plain), nl.softmax(x, AXIS, where=plain), lazy)
    m, r = nx.logsumexp_partial(array, "class")
    assert_values(result_of(nx.softmax_from, lazy, array, m, r, "class"), nl.softmax(x, AXIS), True)


@lazy_or_not
def test_datasets(lazy: bool, rng: np.random.Generator) -> None:
    (x,), (array,) = arguments("softmax", rng, lazy)
    other = named(x[:, 0], lazy, without="class")
    dataset = xr.Dataset({"logits": array, "other": other}, attrs={"source": "here"})
    got = nx.softmax(dataset, "class")
    xr.testing.assert_identical(got["logits"], nx.softmax(array, "class"))
    xr.testing.assert_identical(got["other"], dataset["other"])
    assert got.attrs == {"source": "here"}
    xr.testing.assert_identical(got, nx.softmax(dataset, ["class"]))
    both = nx.softmax(dataset, ["class", "time"])
    xr.testing.assert_identical(both["logits"], nx.softmax(array, ["class", "time"]))
    with pytest.raises(ValueError, match="dim is 'kind'"):
        nx.softmax(dataset, "kind")
    with pytest.raises(TypeError, match="x is a Dataset, beside where"):
        nx.softmax(dataset, "class", where=array > 0)


@lazy_or_not
@all_losses
def test_losses(loss: Loss, lazy: bool, rng: np.random.Generator) -> None:
    given = loss.problem(rng, SHAPE, AXIS)
    chosen = tuple(n for n in ("weight", "sample_weight", "z_loss") if n in loss.options)
    options = loss.keywords(rng, SHAPE, AXIS, chosen)
    options.pop("axis", None)
    weight = options.pop("weight", None)
    plain = options | ({} if weight is None else {"weight": weight})
    arrays = [named(g, lazy, "logits", None if g.ndim == 3 else "class") for g in given]
    by_name: dict[str, Any] = dict(options)
    if "sample_weight" in options:
        by_name["sample_weight"] = named(options["sample_weight"], lazy, without="class")
    if weight is not None:
        by_name["weight"] = xr.DataArray(weight, dims=["class"]) if loss.by_rows else xr.DataArray(weight[0], dims=DIMS[1:])
    if loss.by_rows:
        by_name["dim"], plain["axis"] = "class", AXIS
    rows = [d for d in DIMS if d != "class" or not loss.by_rows]
    forward, backward, *with_grad = (f.__name__ for f in loss.functions())
    for reduction in REDUCTIONS:
        expected = getattr(nl, forward)(*given, **plain, reduction=reduction)
        got = result_of(getattr(nx, forward), lazy, *arrays, **by_name, reduction=reduction)
        np.testing.assert_allclose(got.values, expected, rtol=1e-13)
        assert got.dtype == expected.dtype
        assert list(got.dims) == (rows if reduction == "none" else [])
        upstream = np.asarray(rng.standard_normal(np.shape(expected)))
        grad = xr.DataArray(upstream, dims=got.dims)
        expected = getattr(nl, backward)(upstream, *given, **plain, reduction=reduction)
        got = result_of(getattr(nx, backward), lazy, grad, *arrays, **by_name, reduction=reduction)
        np.testing.assert_allclose(got.values, expected, rtol=1e-13, atol=1e-16)
        assert (got.dims, got.name, got.attrs) == (DIMS, "logits", {"units": "nat"})
        assert {d: list(c.values) for d, c in got.coords.items()} == COORDS
    for name in with_grad:
        value, got = result_of(getattr(nx, name), lazy, *arrays, **by_name)
        expected_value, expected = getattr(nl, name)(*given, **plain)
        np.testing.assert_allclose(value.values, expected_value, rtol=1e-13)
        np.testing.assert_allclose(got.values, expected, rtol=1e-13, atol=1e-16)
    axis = {"axis": AXIS} if loss.by_rows else {}
    one_plain = [a if i == loss.operand else g for i, (a, g) in enumerate(zip(arrays, given, strict=True))]
    for mixed in (arrays, one_plain):
        bare = result_of(getattr(nl, forward), lazy, *mixed, **axis)
        np.testing.assert_allclose(bare.values, getattr(nl, forward)(*given, **axis), rtol=1e-13)


def test_what_is_missing_is_broadcast(rng: np.random.Generator) -> None:
    x = xr.DataArray(rng.standard_normal((4, 5)), dims=("time", "class"))
    targets = xr.DataArray(rng.integers(0, 5, (3,)), dims=("place",))
    got = nx.cross_entropy(x, targets, dim="class", reduction="none")
    assert got.dims == ("time", "place")
    expected = [[nl.cross_entropy(row, t) for t in targets.values] for row in x.values]
    np.testing.assert_allclose(got.values, expected, rtol=1e-14)


def test_attributes_follow_the_option(rng: np.random.Generator) -> None:
    _, (array,) = arguments("softmax", rng, False)
    with xr.set_options(keep_attrs=False):
        assert nx.softmax(array, "class").attrs == {}
    assert nx.softmax(array, "class").attrs == {"units": "nat"}


@lazy_or_not
@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_elementwise_functions(f: Function, lazy: bool, rng: np.random.Generator) -> None:
    given = f.points(rng, SHAPE, np.float64)
    arrays = [named(g, lazy) for g in given]
    got = result_of(f.public, lazy, *arrays)
    results: Any = as_tuple(got)
    for g, e in zip(results, as_tuple(f.public(*given)), strict=True):
        assert g.dims == DIMS
        assert_same_bits(g.values, e)


def example(lazy: bool = False) -> tuple[Any, Any]:
    x = named(np.zeros(SHAPE), lazy, "logits")
    return x, named(np.zeros((4, 3), int), lazy, without="class")


ERRORS: dict[str, tuple[type[Exception], str, Callable[[Any, Any], Any]]] = {
    "no such dimension": (
        ValueError,
        r"dim is 'kind'; it takes one of the dimensions of x",
        lambda x, t: nx.softmax(x, "kind"),
    ),
    "a dimension twice": (ValueError, "dim is", lambda x, t: nx.softmax(x, ["class", "class"])),
    "no dimension": (TypeError, r"softmax\(\) missing a required argument: 'dim'", lambda x, t: nx.softmax(x)),
    "nothing": (TypeError, "x is a NoneType; it takes a DataArray", lambda x, t: nx.softmax(None, "class")),
    "no logits": (TypeError, "logits is a NoneType", lambda x, t: nx.cross_entropy(None, t, dim="class")),
    "no targets": (TypeError, "targets is a NoneType", lambda x, t: nl.cross_entropy(x, None)),
    "no names": (TypeError, "x is a (ndarray|Array); it takes a DataArray", lambda x, t: nx.softmax(x.data, "class")),
    "targets": (
        TypeError,
        "targets is a (ndarray|Array); it takes",
        lambda x, t: nx.cross_entropy(x, t.data, dim="class"),
    ),
    "dimensions": (
        ValueError,
        "y has the dimensions|grad has the dimensions",
        lambda x, t: nx.softmax_backward(t, x, "class"),
    ),
    "rows": (ValueError, "grad has the dimensions", lambda x, t: nx.logsumexp_backward(x, x, "class")),
    "weight": (ValueError, "weight has the dimensions", lambda x, t: nx.cross_entropy(x, t, dim="class", weight=t)),
    "coordinates": (
        ValueError,
        "cannot align objects with join='exact'",
        lambda x, t: nx.cross_entropy(x, t.assign_coords(time=[0, 1, 2, 3]), dim="class"),
    ),
    "option": (ValueError, "label_smoothing is 2", lambda x, t: nx.cross_entropy(x, t, dim="class", label_smoothing=2)),
    "axis": (np.exceptions.AxisError, "axis 3 is out of bounds", lambda x, t: nl.softmax(x, 3)),
    "a dataset by axis": (TypeError, "x is a Dataset", lambda x, t: nl.softmax(x.to_dataset())),
    "Jacobian": (
        TypeError,
        r"y is a xarray\.DataArray that is not computed yet",
        lambda x, t: nl.softmax_jacobian(x.chunk()),
    ),
    "out": (TypeError, "out is an array, beside one of xarray", lambda x, t: nl.softmax(x, out=np.empty(SHAPE))),
}


@lazy_or_not
@pytest.mark.parametrize(("error", "message", "call"), ERRORS.values(), ids=ERRORS)
def test_errors(error: type[Exception], message: str, call: Callable[[Any, Any], Any], lazy: bool) -> None:
    with nothing_computed() if lazy else contextlib.nullcontext(), pytest.raises(error, match=message):
        call(*example(lazy))


@lazy_or_not
def test_no_dimensions_at_all(lazy: bool, rng: np.random.Generator) -> None:
    """As an axis of ()."""
    (x,), (array,) = arguments("softmax", rng, lazy)
    for name in ("softmax", "log_softmax", "logsumexp"):
        assert_same_bits(result_of(getattr(nx, name), lazy, array, []).values, getattr(nl, name)(x, ()))
        assert_same_bits(result_of(getattr(nl, name), lazy, array, ()).values, getattr(nl, name)(x, ()))
        assert getattr(nl, name)(array[0, 0, 0], None).ndim == 0


def test_positions_of_bad_targets() -> None:
    x, t = example()
    t[2, 1] = 9
    with pytest.raises(IndexError, match=r"targets\[1, 2\] is 9"):
        nx.cross_entropy(x, t, dim="class")
