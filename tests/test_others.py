"""Arrays of other packages: their meaning is kept, or they are refused by name."""

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import nonlin as nl

from .oracle import LOSSES, Loss, assert_same_bits

pandas = pytest.importorskip("pandas")

FORWARD = [nl.softmax, nl.log_softmax, nl.logsumexp]
BACKWARD = [nl.softmax_backward, nl.log_softmax_backward, nl.logsumexp_backward]
forward_functions = pytest.mark.parametrize("f", FORWARD, ids=lambda f: f.__name__)
all_functions = pytest.mark.parametrize("f", FORWARD + BACKWARD, ids=lambda f: f.__name__)


def arguments(f: Callable[..., Any], x: Any) -> list[Any]:
    """The operands of a function, `x` the last of them."""
    if f in FORWARD:
        return [x]
    grad = np.linspace(-1, 1, np.size(np.asarray(x)))
    return [grad.reshape(np.shape(x))[..., 0] if f is nl.logsumexp_backward else grad.reshape(np.shape(x)), x]


# Masked arrays


@all_functions
def test_a_mask_counts_as_where(f: Callable[..., Any], rng: np.random.Generator) -> None:
    x = rng.standard_normal((4, 5))
    mask = rng.random(x.shape) < 0.4
    mask[0] = True
    masked = np.ma.array(np.where(mask, np.nan, x), mask=mask)
    expected = f(*arguments(f, x), where=~mask)
    result = f(*arguments(f, masked))
    assert isinstance(result, np.ma.MaskedArray)
    np.testing.assert_array_equal(result.mask, mask.all(-1) if f is nl.logsumexp else mask)
    assert_same_bits(np.where(result.mask, 0, result.data), np.where(result.mask, 0, expected))
    where = rng.random(5) < 0.7
    both = f(*arguments(f, masked), where=where)
    assert_same_bits(np.where(both.mask, 0, both.data), np.where(both.mask, 0, f(*arguments(f, x), where=~mask & where)))


@forward_functions
def test_masked_results(f: Callable[..., Any]) -> None:
    x = np.ma.array([[1.0, 2, 30], [1, 2, 3]], mask=[[0, 0, 1], [1, 1, 1]])
    assert "--" in str(f(x))
    out = np.ma.zeros(2 if f is nl.logsumexp else (2, 3))
    assert f(x, out=out) is out
    np.testing.assert_array_equal(out.mask, f(x).mask)
    assert f(x[1], axis=None) is np.ma.masked or np.all(f(x[1], axis=None).mask)
    assert_same_bits(nl.logsumexp(x, keepdims=True).mask, np.array([[False], [True]]))


def test_a_masked_upstream_gradient() -> None:
    grad = np.ma.array([1.0, 1, 1], mask=[0, 0, 1])
    y = nl.log_softmax([1.0, 2, 30], where=[True, True, False])
    np.testing.assert_allclose(nl.log_softmax_backward(grad, y).filled(0), [0.462117, -0.462117, 0], atol=1e-6)


def test_a_masked_gradient_of_rows_counts_as_0() -> None:
    grad = np.ma.array([np.nan, 2.0], mask=[1, 0])
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(nl.logsumexp_backward(grad, x), nl.logsumexp_backward([0.0, 2.0], x))
    masked = np.ma.array(x, mask=x > 3)
    np.testing.assert_array_equal(nl.logsumexp_backward(grad, masked)[0], 0)
    for where, error in (([0.5, 1, 1], TypeError), ([True, False], ValueError)):
        with pytest.raises(error, match="where has"):
            nl.softmax(masked, where=where)


def test_jacobians_and_layers_refuse_what_loses_its_meaning() -> None:
    x, targets = np.ones((2, 3)), np.array([0, 1])
    for bad, what in ((np.ma.array(x, mask=x > 2), "masked array"), (x.view(QuantityArray), "quantity of tests")):
        for f in (nl.softmax_jacobian, nl.log_softmax_jacobian):
            with pytest.raises(TypeError, match=f"y is a {what}"):
                f(bad)
        with pytest.raises(TypeError, match=f"x is a {what}"):
            nl.linear_cross_entropy(bad, x, targets)
    with pytest.raises(TypeError, match="targets is a masked array"):
        nl.linear_cross_entropy(x, x, np.ma.array(targets, mask=[0, 1]))


def test_targets_with_the_labels_of_other_rows() -> None:
    logits = pandas.DataFrame(np.eye(3), index=list("xyz"))
    targets = pandas.Series([0, 1, 2], index=list("zyx"))
    with pytest.raises(ValueError, match="logits and targets have different labels"):
        nl.cross_entropy(logits, targets)
    nl.cross_entropy(logits, targets.reindex(logits.index))


@pytest.mark.parametrize(
    ("targets", "options", "error", "message"),
    [
        ([0, 1], {"ignore_index": 2**63}, ValueError, "ignore_index is 9223372036854775808; it takes an integer of 64 bits"),
        ([0, 1], {"ignore_index": None}, TypeError, "ignore_index is None; it takes an integer"),
        (np.eye(2), {"sample_weight": np.ones(3)}, ValueError, "sample_weight has shape"),
        (np.eye(2), {"sample_weight": "a"}, TypeError, "sample_weight is 'a'; it takes an array"),
        (np.eye(2), {"weight": np.ones(3)}, ValueError, "weight has shape"),
    ],
)
def test_options_beside_masks_are_named(targets: Any, options: Any, error: type[Exception], message: str) -> None:
    masked = np.ma.array(targets, mask=np.asarray(targets) > 0)
    with pytest.raises(error, match=message):
        nl.cross_entropy(np.ones((2, 2)), masked, **options)
    if np.ndim(targets) > 1:
        (weight,) = options.values()
        with pytest.raises(error, match=message.removeprefix("sample_")):
            nl.binary_cross_entropy_with_logits(np.ones((2, 2)), masked, weight=weight)


def test_columns_of_no_numbers_are_named() -> None:
    words, kinds = pandas.DataFrame([["a"]], dtype="string"), pandas.Series(["a", "b"], dtype="category")
    with pytest.raises(TypeError, match="x has columns of dtype string; it takes float16"):
        nl.softmax(words)
    with pytest.raises(TypeError, match="targets has columns of dtype category; it takes float16"):
        nl.cross_entropy(np.ones((2, 2)), kinds)


def test_masks_that_are_refused() -> None:
    x = np.ma.array([1.0, 2], mask=[0, 1])
    with pytest.raises(TypeError, match="x is a masked array"):
        nl.logsumexp_partial(x)
    with pytest.raises(TypeError, match="where is a masked array"):
        nl.softmax([1.0, 2], where=np.ma.array([True, True], mask=[0, 1]))


# pandas


@forward_functions
@pytest.mark.parametrize("dtype", ["float64", "float32", "Float64", "Float32", "Int64"])
def test_frames_keep_their_labels(f: Callable[..., Any], dtype: str) -> None:
    frame = pandas.DataFrame([[1, 2, 4], [3, 1, 1]], index=["i", "j"], columns=list("abc")).astype(dtype)
    plain = frame.to_numpy(np.float32 if "32" in dtype else np.float64)
    for axis in (0, 1, -1):
        result = f(frame, axis)
        assert_same_bits(result.to_numpy(), f(plain, axis))
        if f is nl.logsumexp:
            assert list(result.index) == (list("abc") if axis == 0 else ["i", "j"])
        else:
            assert list(result.index) == ["i", "j"]
            assert list(result.columns) == list("abc")
    assert_same_bits(np.asarray(f(frame, axis=None)), np.asarray(f(plain, axis=None)))
    series = frame["a"]
    result = f(series)
    assert_same_bits(np.asarray(result), f(plain[:, 0]))
    if f is not nl.logsumexp:
        assert result.name == "a"
        assert list(result.index) == ["i", "j"]
    mask = pandas.DataFrame(plain > 1, index=frame.index, columns=frame.columns)
    assert_same_bits(np.asarray(f(frame, where=mask)), f(plain, where=plain > 1))


def test_gradients_of_frames() -> None:
    frame = pandas.DataFrame([[1.0, 2], [3, 1]], index=["i", "j"])
    y = nl.softmax(frame)
    gradient = nl.softmax_backward(frame, y)
    assert list(gradient.index) == ["i", "j"]
    assert_same_bits(gradient.to_numpy(), nl.softmax_backward(frame.to_numpy(), y.to_numpy()))
    with pytest.raises(ValueError, match="grad and y have different labels"):
        nl.softmax_backward(frame, y[::-1])


@all_functions
@pytest.mark.parametrize("dtype", ["Float64", "Int64", "float64[pyarrow]"])
def test_missing_entries_are_refused(f: Callable[..., Any], dtype: str) -> None:
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"a": [1, 2], "b": [1, None]}, dtype=dtype)
    with pytest.raises(TypeError, match=r"(x|y) has missing entries in column 'b'"):
        f(*arguments(f, frame))
    with pytest.raises(TypeError, match=r"(x|y) has missing entries in column 'b'"):
        f(*arguments(f, frame["b"])) if f is not nl.logsumexp_backward else f(1.0, frame["b"])


# Subclasses of ndarray, and types that take the calls of ufuncs themselves


@forward_functions
def test_subclasses(f: Callable[..., Any], tmp_path: Any) -> None:
    class Named(np.ndarray):
        pass

    x = np.arange(6.0).reshape(2, 3)
    result = f(x.view(Named))
    assert type(result) is Named
    assert_same_bits(np.asarray(result), f(x))
    stored = np.memmap(tmp_path / "x", np.float64, "w+", shape=x.shape)
    stored[...] = x
    assert_same_bits(np.asarray(f(stored)), f(x))


class Lazy:
    """Records the calls of ufuncs."""

    ndim = 2

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        return ufunc.__name__, [type(i).__name__ for i in inputs], keywords

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("computed unasked")


@all_functions
def test_dispatch(f: Callable[..., Any]) -> None:
    given = [Lazy()] if f in FORWARD else [np.ones(2), Lazy()]
    name = f.__name__
    assert f(*given) == (name, [type(g).__name__ for g in given], {"axis": -1})
    ufunc, inputs, _ = f(*given, axis=0, where=np.ones((2, 2), bool))
    assert (ufunc, len(inputs)) == (name + "_where", len(given) + 1)
    with pytest.raises(TypeError, match=r"axis is \(0, 1\); for a Lazy it takes an integer"):
        f(*given, axis=(0, 1))


# Units and ragged arrays: without the packages, types that look like theirs


class Quantity:
    magnitude, units = np.ones(3), "metre"


class QuantityArray(np.ndarray):
    unit = "m"


@all_functions
def test_units_are_refused(f: Callable[..., Any]) -> None:
    for x in (Quantity(), np.ones(3).view(QuantityArray)):
        with pytest.raises(TypeError, match=r"(x|y) is a quantity of tests; it takes numbers without a unit"):
            f(x) if f in FORWARD else f(np.ones(() if f is nl.logsumexp_backward else 3), x)


class Refusing(Quantity):
    """A quantity whose package knows no ufuncs but NumPy's own."""

    def __array_ufunc__(self, *_: Any, **__: Any) -> Any:
        return NotImplemented


@pytest.mark.parametrize("name", [name for name, f in vars(nl).items() if isinstance(f, np.ufunc)])
def test_units_are_refused_elementwise(name: str) -> None:
    """With a word on what to do, which the package's own error lacks."""
    f = getattr(nl, name)
    for k, argument in enumerate([*inspect.signature(f).parameters][: f.nin]):
        given = [np.ones(3)] * f.nin
        given[k] = Refusing()
        with pytest.raises(TypeError, match=rf"{argument} is a quantity of tests; .* pass {argument}.magnitude"):
            f(*given)
    if f.nout == 1:
        with pytest.raises(TypeError, match=r"out is a quantity of tests; .* pass out\.magnitude"):
            f(*[np.ones(3)] * f.nin, out=Refusing())


@forward_functions
def test_awkward(f: Callable[..., Any]) -> None:
    awkward = pytest.importorskip("awkward")
    assert_same_bits(f(awkward.Array([[1.0, 2], [3, 4]])), f([[1.0, 2], [3, 4]]))
    for ragged in ([[1.0, 2], [3]], [[1.0, None]]):
        with pytest.raises(TypeError, match="x is an awkward array that is ragged"):
            f(awkward.Array(ragged))


# Packages that leave ufuncs to NumPy: results are of their kind


class Standard:
    """An array by the array API's standard, of which it has what is used here."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)
        self.ndim, self.shape = self.values.ndim, self.values.shape

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.values

    def __array_namespace__(self) -> Any:
        return SimpleNamespace(asarray=Standard)


class Wrapping:
    """An array that wraps results, as torch's do."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.values

    def __array_wrap__(self, values: Any, *_: Any) -> "Wrapping":
        assert type(values) is np.ndarray
        return Wrapping(values)


CALLS: dict[str, Callable[[Any], Any]] = {
    "relu": nl.relu,
    "by name": lambda x: nl.mish(x=x),
    "beside an array": lambda x: nl.reglu(np.ones(3), x),
    "gelu": lambda x: nl.gelu(x, approximate="tanh"),
    "leaky_relu": lambda x: nl.leaky_relu(x, 0.2),
    "two results": lambda x: nl.swiglu_backward(1.0, x, x),
    "softmax": nl.softmax,
    "where": lambda x: nl.log_softmax(x, where=[True, True, False]),
    "logsumexp": lambda x: nl.logsumexp(x, axis=None),
    "backward": lambda x: nl.softmax_backward(np.ones(3), x),
    "cross_entropy": lambda x: nl.cross_entropy(x, [0, 2]),
    "with gradient": lambda x: nl.cross_entropy_with_grad(x, [0, 2], reduction="none"),
    "cross_entropy_backward": lambda x: nl.cross_entropy_backward(1.0, x, [0, 2]),
}


@pytest.mark.parametrize("kind", [Standard, Wrapping])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_results_are_of_the_kind_of_the_argument(call: Callable[[Any], Any], kind: type, rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3))
    expected, results = call(x), call(kind(x))
    assert isinstance(results, tuple) == isinstance(expected, tuple)
    for result, plain in zip(*(r if isinstance(r, tuple) else (r,) for r in (results, expected)), strict=True):
        assert type(result) is kind
        assert_same_bits(np.asarray(result), np.asarray(plain))


def test_out_and_labels_come_before_kinds() -> None:
    x = Standard([1.0, -2.0])
    for f in (nl.relu, nl.softmax):
        out = np.empty(2)
        assert f(x, out=out) is out
    assert nl.relu(x, out) is out
    series = pandas.Series([1.0, 2.0], index=["i", "j"])
    assert list(nl.reglu(x, series).index) == ["i", "j"]


def test_a_sparse_matrix_is_refused() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    for f in (nl.relu, nl.softmax, nl.mish):
        with pytest.raises(TypeError, match=r"x is a sparse array of scipy; it takes dense ones: pass x\.toarray\(\)"):
            f(sparse.csr_array(np.eye(2)))


# Losses


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_masked_targets_do_not_count(loss: Loss, rng: np.random.Generator) -> None:
    x, y = loss.problem(rng, (6, 5))[loss.operand], loss.problem(rng, (6, 5))[1 - loss.operand]
    mask = np.asarray(rng.random(y.shape) < 0.3)
    mask.flat[0], mask.flat[-1] = True, False
    masked = np.ma.array(y, mask=mask)
    masked.data[mask] = 1000 if y.dtype.kind == "i" else np.nan  # must not be seen
    left = ~mask if mask.shape == loss.losses_shape(x.shape) else ~mask.any(-1)

    def given(x: Any, y: Any) -> list[Any]:
        return [x, y] if loss.operand == 0 else [y, x]

    for reduction in ("mean", "sum"):
        forward, backward, *with_grad = loss.functions()
        expected = forward(*given(x[left], y[left]), reduction=reduction)
        np.testing.assert_allclose(forward(*given(x, masked), reduction=reduction), expected, rtol=1e-14)
        gradient = backward(1.0, *given(x, masked), reduction=reduction)
        np.testing.assert_allclose(gradient[left], backward(1.0, *given(x[left], y[left]), reduction=reduction), rtol=1e-14)
        assert np.all(gradient[~left] == 0)
        for both in with_grad:
            np.testing.assert_allclose(both(*given(x, masked), reduction=reduction)[0], expected, rtol=1e-14)
    losses = forward(*given(x, masked), reduction="none")
    assert_same_bits(losses.mask, ~left)
    assert_same_bits(losses.data[left], forward(*given(x[left], y[left]), reduction="none"))
    with pytest.raises(TypeError, match=f"{loss.arguments[loss.operand]} is a masked array"):
        forward(*given(np.ma.array(x, mask=x > 0), y))


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_losses_of_frames(loss: Loss, rng: np.random.Generator) -> None:
    given = loss.problem(rng, (4, 3))
    labels = {"index": list("wxyz"), "columns": list("abc")}
    frames = [pandas.DataFrame(a, **labels) if a.ndim == 2 else pandas.Series(a, index=labels["index"]) for a in given]
    forward, backward, *_ = loss.functions()
    assert_same_bits(forward(*frames), forward(*given))
    losses = forward(*frames, reduction="none")
    assert list(losses.index) == labels["index"]
    assert_same_bits(losses.to_numpy(), forward(*given, reduction="none"))
    gradient = backward(1.0, *frames)
    assert list(gradient.index) == labels["index"]
    assert list(gradient.columns) == labels["columns"]
    assert_same_bits(gradient.to_numpy(), backward(1.0, *given))
    frames[loss.operand] = frames[loss.operand].astype("Float64")
    assert_same_bits(forward(*frames), forward(*given))
    frames[loss.operand].iloc[1, 1] = pandas.NA
    with pytest.raises(TypeError, match=f"{loss.arguments[loss.operand]} has missing entries in column 'b'"):
        forward(*frames)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_losses_refuse_units(loss: Loss, rng: np.random.Generator) -> None:
    given = loss.problem(rng, (2, 3))
    given[loss.operand] = given[loss.operand].view(QuantityArray)
    with pytest.raises(TypeError, match=f"{loss.arguments[loss.operand]} is a quantity of tests"):
        loss.functions()[0](*given)


class Sub(np.ndarray):
    """As many packages have one."""


@pytest.mark.parametrize("options", [{"return_sign": True}, {"b": 2.0}, {"b": [1.0, 2.0, 3.0]}], ids=str)
def test_logsumexp_of_a_subclass_with_factors(options: dict[str, Any]) -> None:
    x = np.arange(6.0).reshape(2, 3)
    expected = nl.logsumexp(x, axis=1, **options)
    result = nl.logsumexp(x.view(Sub), axis=1, **options)
    np.testing.assert_array_equal(result, expected)
    frame = nl.logsumexp(pandas.DataFrame(x, index=["a", "b"]), axis=1, **options)
    np.testing.assert_array_equal(frame, expected)


def test_masked_targets_of_another_shape() -> None:
    p = np.ma.masked_array([1, 0], [True, False])
    with pytest.raises(ValueError, match="shape of q"):
        nl.kl_divergence(p, np.ones((2, 2)) / 2)


@pytest.mark.parametrize("axis", [np.array([np.nan, 1]), np.ones((2, 2)), "1", None], ids=str)
def test_no_axis_beside_other_arrays(axis: Any) -> None:
    with pytest.raises(TypeError, match="axis is"):
        nl.cross_entropy(np.ones((2, 2)).view(Sub), [0, 1], axis=axis)
