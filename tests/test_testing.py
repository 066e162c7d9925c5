"""nonlin.testing: right gradients pass, wrong ones fail, kinks are told apart, errors are clear."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nonlin import reference
from nonlin.testing import check_gradient, numerical_gradient

from .oracle import BACKWARD, FUNCTIONS, Function, as_tuple

KINKS = np.array([-3, -1, 0, 1, 3, 6])
EPS = {np.float16: 2.0**-10, np.float32: 2.0**-23, np.float64: 2.0**-52}

all_dtypes = pytest.mark.parametrize("dtype", EPS)


def total(f: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Any]:
    """The same function, summed up to a scalar: the gradient is the same."""
    return lambda x: np.sum(f(x))


def failing(*args: Any, **kwargs: Any) -> int:
    """How many entries do not pass."""
    try:
        check_gradient(*args, **kwargs)
    except AssertionError as error:
        return int(str(error).split(" entries")[0].split()[-3])
    return 0


# numerical_gradient


def layouts(rng: np.random.Generator) -> dict[str, np.ndarray]:
    x = rng.uniform(-3, 3, (4, 6))
    read_only = x.copy()
    read_only.flags.writeable = False
    unaligned = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float64)
    return {
        "0-d": x[0, 0],
        "0-d array": x[0, :1].reshape(()),
        "one": x[0, :1],
        "many axes": x.reshape(2, 1, 3, 4),
        "empty": x[:, :0],
        "transposed": x.T,
        "backwards": x[::-1, ::-2],
        "repeated": np.broadcast_to(x[0], (3, 6)),
        "byte-swapped": x.astype(x.dtype.newbyteorder()),
        "read-only": read_only,
        "unaligned": unaligned,
    }


@pytest.mark.parametrize("name", layouts(np.random.default_rng(0)))
def test_any_shape_and_layout(name: str, rng: np.random.Generator) -> None:
    x = layouts(rng)[name]
    expected = np.cos(x)
    for f in (np.sin, total(np.sin)):
        got = numerical_gradient(f, x)
        assert (got.shape, got.dtype) == (x.shape, np.float64)
        np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-8)
        check_gradient(f, np.cos, x)


def test_a_scalar_of_many_entries() -> None:
    """Not only a sum: every entry has a gradient of its own."""
    x = np.array([[2.0, 1.0, 0.1], [3.0, -1.0, 0.5]])
    np.testing.assert_allclose(numerical_gradient(np.prod, x), np.prod(x) / x, rtol=1e-8)
    got = numerical_gradient(lambda x: np.sum(x @ np.arange(12).reshape(3, 4)), x)
    np.testing.assert_allclose(got, np.tile(np.arange(12).reshape(3, 4).sum(1), (2, 1)), rtol=1e-8)


@pytest.mark.parametrize("x", [3, [1, 2], [True, False], np.arange(3, dtype=np.uint8), [[2**40]]], ids=str)
def test_integers_become_float64(x: Any) -> None:
    got = numerical_gradient(lambda x: 0.5 * x, x)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, np.full(np.shape(x), 0.5), rtol=1e-9)


@all_dtypes
def test_the_dtype_is_kept(dtype: Any) -> None:
    seen = set()

    def f(x: np.ndarray) -> np.ndarray:
        seen.add(x.dtype)
        return np.sin(x)

    x = np.linspace(-3, 3, 20).astype(dtype)
    got = numerical_gradient(f, x)
    assert seen == {got.dtype} == {x.dtype}
    assert np.max(np.abs(got - np.cos(x.astype(np.float64)))) < 3 * EPS[dtype] ** (2 / 3)
    check_gradient(f, np.cos, x)


def test_bfloat16() -> None:
    x = np.linspace(-3, 3, 20).astype(pytest.importorskip("ml_dtypes").bfloat16)
    got = numerical_gradient(np.sin, x)
    assert got.dtype == x.dtype
    assert np.max(np.abs(got.astype(np.float64) - np.cos(x.astype(np.float64)))) < 0.1
    check_gradient(np.sin, np.cos, x)


@all_dtypes
def test_the_default_step(dtype: Any) -> None:
    """The cube root of epsilon times max(1, |x|), for each entry."""
    points: list[np.ndarray] = []

    def f(x: np.ndarray) -> np.ndarray:
        points.append(x.astype(np.float64))
        return x

    x = np.array([0, 0.25, -1, -20, 300], dtype)
    numerical_gradient(f, x)
    expected = np.cbrt(EPS[dtype]) * np.maximum(1, np.abs(x.astype(np.float64)))
    assert len(points) == 3
    for point, sign in zip(sorted(points, key=np.sum), (-1, 0, 1), strict=True):
        np.testing.assert_allclose(sign * (point - x), np.abs(sign) * expected, rtol=20 * np.cbrt(EPS[dtype]) ** 2)


def test_the_step_follows_a_coarser_result() -> None:
    x = np.linspace(-3, 3, 20)
    got = numerical_gradient(lambda x: np.sin(x.astype(np.float32)), x)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, np.cos(x), atol=3 * EPS[np.float32] ** (2 / 3))
    check_gradient(lambda x: np.sin(x.astype(np.float32)), np.cos, x)


@all_dtypes
def test_steps_are_exactly_representable(dtype: Any, rng: np.random.Generator) -> None:
    """Of a function without rounding error the differences have none."""
    x = (rng.uniform(-1, 1, 2000) * 10.0 ** rng.uniform(-8, 2, 2000)).astype(dtype)
    np.testing.assert_array_equal(numerical_gradient(lambda x: x, x), 1)
    np.testing.assert_array_equal(numerical_gradient(lambda x: -2 * x, x), -2)
    np.testing.assert_array_equal(numerical_gradient(lambda x: x, x, rng.uniform(0.1, 100, 2000) * np.abs(x) + 1), 1)


@pytest.mark.parametrize("h", [0.5, 2, [0.5, 1, 2], [[0.5], [1]]], ids=str)
def test_a_step_of_ones_own(h: Any) -> None:
    """Of a cube the error of the difference is the step's square."""
    x = np.array([[1.0, 2, 3], [4, 5, 6]])
    expected = 3 * x**2 + np.broadcast_to(h, x.shape) ** 2
    for f in (lambda x: x**3, total(lambda x: x**3)):
        np.testing.assert_allclose(numerical_gradient(f, x, h), expected, rtol=1e-14)
        check_gradient(f, lambda _: expected, x, h=h, rtol=1e-14, atol=0)
        assert failing(f, lambda _: expected * (1 + 1e-9), x, h=h, rtol=1e-10, atol=0) == x.size


def test_a_small_step_where_the_function_is_small_scaled() -> None:
    p = np.array([1e-9, 1e-4, 0.5])
    check_gradient(np.log, np.reciprocal, p, h=1e-5 * p)
    np.testing.assert_allclose(numerical_gradient(np.log, p, 1e-5 * p), 1 / p, rtol=1e-8)


def test_x_does_not_change_and_every_call_has_its_own() -> None:
    x = np.arange(1.0, 7).reshape(2, 3)
    kept, copies = [], []

    def keep(v: np.ndarray) -> Any:
        kept.append(v)
        copies.append(v.copy())
        return np.sum(v * v)

    check_gradient(keep, lambda v: 2 * v, x)
    assert len(kept) == 1 + 2 * x.size
    for i, (a, b) in enumerate(zip(kept, copies, strict=True)):
        np.testing.assert_array_equal(a, b)
        assert not any(np.shares_memory(a, other) for other in [x, *kept[:i]])

    def write(v: np.ndarray) -> np.ndarray:
        return np.multiply(v, v, out=v)

    for f in (write, total(write)):
        np.testing.assert_allclose(numerical_gradient(f, x), 2 * np.arange(1.0, 7).reshape(2, 3), rtol=1e-9)
        check_gradient(f, lambda v: np.multiply(v, 2, out=v), x)
    np.testing.assert_array_equal(x, np.arange(1.0, 7).reshape(2, 3))


def test_calls_are_not_wasted() -> None:
    """Each is expensive if `f` is a model: the shorter step is for entries that differ."""
    x = np.arange(1.0, 7)
    calls = []

    def f(v: np.ndarray) -> Any:
        calls.append(v)
        return np.sum(v * v)

    numerical_gradient(f, x)
    assert len(calls) == 13
    assert failing(f, lambda x: 2 * x + (x > 4), x) == 2
    assert len(calls) == 13 + 13 + 4


def test_what_is_not_finite_is_nan_and_nothing_warns() -> None:
    x = np.array([np.nan, np.inf, -np.inf, np.finfo(np.float64).max, 1.0])
    got = numerical_gradient(lambda x: 2 * np.minimum(x, 10), x)
    np.testing.assert_allclose(got, [np.nan, np.nan, np.nan, 0, 2], rtol=1e-9)
    got = numerical_gradient(lambda x: x[4] ** 2, x)
    np.testing.assert_allclose(got[[0, 1, 2, 4]], [np.nan, np.nan, np.nan, 2], rtol=1e-9)
    assert np.isinf(numerical_gradient(lambda x: 7e4 * x.astype(np.float64), np.ones(1, np.float16)))[0]


# check_gradient: all formulas


def far_and_near() -> np.ndarray:
    """The middle, the tails down to underflow, kinks, and both sides of them at all distances."""
    near = KINKS[:, None] + np.geomspace(1e-13, 1e-3, 60) * np.array([[[1]], [[-1]]])
    return np.concatenate([np.linspace(-9, 9, 301), np.linspace(-800, 800, 1601), KINKS, near.ravel()])


@pytest.mark.parametrize("f", BACKWARD, ids=lambda f: f.name)
def test_every_formula_passes_and_fails_when_a_little_wrong(f: Function) -> None:
    forward = FUNCTIONS[f.activation]

    def value(x: np.ndarray) -> np.ndarray:
        return forward.reference(*forward.arguments(x))

    def gradient(x: np.ndarray) -> np.ndarray:
        return as_tuple(f.reference(*f.arguments(value(x) if "y" in f.inputs else x)))[0]

    check_gradient(value, gradient, far_and_near())
    x = far_and_near()
    x = x[(np.min(np.abs(x[:, None] - KINKS), axis=1) > 2e-5) & (np.abs(x) < 9)]
    x = x[np.abs(gradient(x)) > 1e-4 * np.abs(value(x))]  # where rounding leaves five digits
    assert x.size > 50
    for factor in (1 - 1e-5, 1 + 1e-5):
        assert failing(value, lambda x, factor=factor: factor * gradient(x), x) == x.size


@pytest.mark.parametrize("f", BACKWARD, ids=lambda f: f.name)
def test_every_formula_passes_in_float32(f: Function) -> None:
    forward = FUNCTIONS[f.activation]

    def value(x: np.ndarray) -> np.ndarray:
        return forward.reference(*forward.arguments(x))

    def gradient(x: np.ndarray) -> np.ndarray:
        return as_tuple(f.reference(*f.arguments(value(x) if "y" in f.inputs else x)))[0]

    x = far_and_near().astype(np.float32)
    check_gradient(value, gradient, x)
    x = x[(np.min(np.abs(x[:, None] - KINKS), axis=1) > 0.02) & (np.abs(x) < 5)]
    x = x[np.abs(gradient(x)) > 0.1 * np.abs(value(x))]
    assert failing(value, lambda x: np.float32(1.02) * gradient(x), x) == x.size


@pytest.mark.parametrize("soft", [False, True], ids=["classes", "probabilities"])
@pytest.mark.parametrize("scale", [1, 10])
def test_losses_pass_and_fail_when_a_little_wrong(scale: float, soft: bool, rng: np.random.Generator) -> None:
    logits = scale * rng.standard_normal((6, 5))
    targets = reference.softmax(rng.standard_normal((6, 5))) if soft else rng.integers(0, 5, 6)
    gradient = reference.cross_entropy_with_grad(logits, targets)[1]
    for reduction, factor in (("mean", 1), ("sum", 6)):

        def loss(z: np.ndarray, reduction: str = reduction) -> Any:
            return reference.cross_entropy(z, targets, reduction=reduction)

        check_gradient(loss, lambda _, g=factor * gradient: g, logits)
        large = np.abs(gradient) > 1e-3
        wrong = np.where(large, gradient * (1 + 1e-5), gradient) * factor
        assert failing(loss, lambda _, g=wrong: g, logits) == np.count_nonzero(large)


# check_gradient: curves and kinks


@pytest.mark.parametrize("frequency", [1, 30, 1000])
def test_steep_curves(frequency: float) -> None:
    x = np.linspace(-1, 1, 501)
    f, df = lambda x: np.sin(frequency * x), lambda x: frequency * np.cos(frequency * x)
    check_gradient(f, df, x)
    assert failing(f, lambda x: df(x) * (1 + 1e-5), x) > 490  # near a maximum, less than rounding
    check_gradient(total(f), df, x)


def absolute(slope_left: float, slope_right: float, at: float, curvature: float) -> Callable[[np.ndarray], np.ndarray]:
    def f(x: np.ndarray) -> np.ndarray:
        d = x - at
        return np.where(d < 0, slope_left, slope_right) * d + curvature * d * d

    return f


@pytest.mark.parametrize("curvature", [0, 1])
@pytest.mark.parametrize("slopes", [(0, 1), (-1, 1), (2, -0.5), (1, 1.01)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_right_slope_passes_at_every_distance_from_a_kink(
    dtype: Any, slopes: tuple[float, float], curvature: int
) -> None:
    step = np.cbrt(EPS[dtype])
    distance = (step * np.linspace(0, 1.3, 400)).astype(dtype)
    for sign, slope in ((-1, slopes[0]), (1, slopes[1])):
        f = absolute(*slopes, dtype(0), curvature)
        check_gradient(f, lambda x, slope=slope: (slope + 2 * curvature * x).astype(dtype), sign * distance)


@pytest.mark.parametrize("f", [lambda x: np.maximum(x, 0), total(lambda x: np.maximum(x, 0))], ids=["elementwise", "scalar"])
def test_at_a_kink_every_subgradient_passes_and_nothing_else(f: Callable[[np.ndarray], Any]) -> None:
    x = np.array([-1.0, 0.0, 1.0])
    for claimed in (0.0, 0.01, 0.5, 1.0):
        check_gradient(f, lambda _, c=claimed: np.array([0, c, 1]), x)
    for claimed in (-1e-5, -1, 1.00001, 3):
        with pytest.raises(AssertionError, match=r"1 of 3 entries, 1 of them at a kink; the worst:\nindex +\(1,\)") as error:
            check_gradient(f, lambda _, c=claimed: np.array([0, c, 1]), x)
        assert "slope 0 on the left, 1 on the right" in str(error.value)
        assert f"claimed    {claimed:g}\n" in str(error.value)


def test_a_smooth_entry_is_never_called_a_kink() -> None:
    x = np.concatenate([np.linspace(-3, 3, 101), [0.0, 1e-7, 1e-3]])
    for f in (np.square, np.sin, np.exp, np.cosh, reference.softsign, reference.elu, lambda x: 1e4 + np.sin(x)):
        for g in (f, total(f)):
            with pytest.raises(AssertionError, match="104 of 104 entries; the worst:") as error:
                check_gradient(g, lambda x: np.full_like(x, 1000), x)
            assert "kink" not in str(error.value)


@pytest.mark.parametrize("at", [0, 1e-7, 1e-6, 4e-6])
def test_a_jump_is_no_kink(at: float) -> None:
    """Its slope is infinite on one side, and yet not everything passes."""
    x = np.array([0.0])
    for f in (lambda x: 2 * x + (x > at), lambda x: 2 * x + (x >= -at)):
        for claimed in (1.9, 2.1, 100, -1e4):
            assert failing(f, lambda _, c=claimed: np.array([c]), x) == 1
    check_gradient(lambda x: 2 * x + (x > 4e-6), lambda _: np.array([2.0]), x)


# check_gradient: messages, tolerances, errors


def test_the_message_has_the_worst_entry() -> None:
    x = np.array([[0.5, 1.0, 1.5], [2.0, 2.5, 3.0]])
    claimed = 2 * x
    claimed[0, 1] += 1e-3
    claimed[1, 2] -= 0.25
    with pytest.raises(AssertionError) as error:
        check_gradient(np.square, lambda _: claimed, x, rtol=0, atol=1e-6)
    first, *lines = str(error.value).split("\n")
    assert first == "df(x) is not the gradient of f at 2 of 6 entries; the worst:"
    values = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
    assert list(values) == ["index", "x", "claimed", "numerical", "tolerance"]
    assert (values["index"], values["x"], values["claimed"], values["tolerance"]) == ("(1, 2)", "3.0", "5.75", "1e-06")
    assert float(values["numerical"]) == pytest.approx(6, rel=1e-8)


def test_the_message_for_a_0d_x() -> None:
    with pytest.raises(AssertionError, match=r"1 of 1 entries; the worst:\nindex +\(\)\nx +2.0\nclaimed +5\n"):
        check_gradient(np.square, lambda x: x + 3, 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_never_passes(bad: float) -> None:
    x = np.array([1.0, 2.0])
    with pytest.raises(AssertionError, match=rf"1 of 2 entries; the worst:\nindex +\(1,\)\nx +2.0\nclaimed +{bad}\n"):
        check_gradient(np.square, lambda x: np.array([2, bad]), x)
    with pytest.raises(
        AssertionError, match=rf"2 of 2 entries.*\n.*\n.*\nclaimed +{bad}\nnumerical +[34](\.\d+)?\n"
    ):  # the worst
        check_gradient(np.square, lambda x: np.array([1e6, bad]), x, h=1e-15)
    for f in (lambda x: np.where(x == 1, x, np.nan), lambda x: np.nan * np.sum(x)):  # NaN against NaN
        assert failing(f, lambda x: np.full(2, np.nan), x) == 2
    assert failing(lambda x: x, np.ones_like, np.array([1.0, bad])) == 1
    assert failing(lambda x: x[0], lambda x: np.array([1.0, 0]), np.array([1.0, bad])) == 1


def test_tolerances_of_ones_own() -> None:
    x = np.linspace(1, 2, 10)
    for claimed, rtol, atol in ((2.02, 0.011, 0), (2.02, 0, 0.041), (2.02, 0.011, None), (2.02, None, 0.041)):
        check_gradient(np.square, lambda x, c=claimed: c * x, x, rtol=rtol, atol=atol)
    assert failing(np.square, lambda x: 2.02 * x, x, rtol=0.009, atol=0) == 10
    assert failing(np.square, lambda x: 2 * x + 0.04, x, rtol=0, atol=0.039) == 10


@pytest.mark.parametrize("h", [1e-2, 1e-3, 1e-4, 1e-8, 1e-10])
def test_the_default_tolerance_knows_the_step(h: float) -> None:
    x = np.linspace(-3, 3, 101)
    for f in (np.sin, lambda x: np.where(x < 0, np.sin(x), np.sin(x) + x)):
        check_gradient(f, lambda x, f=f: np.cos(x) + (f(1) > 1) * (x >= 0), x, h=h)
    assert failing(np.sin, lambda x: np.cos(x) + 10 * h + 1e-4, x, h=h) == x.size


def test_the_default_tolerance_knows_rounding() -> None:
    """A large constant leaves few digits of the gradient, and so do large entries that cancel in a scalar."""
    x = np.linspace(-1, 1, 201)
    check_gradient(lambda x: 1e9 + np.sin(x), np.cos, x)
    assert failing(lambda x: 1e9 + np.sin(x), lambda x: np.cos(x) + 10, x) == 201
    large = np.concatenate([1e6 + x, -1e6 - x, x])
    check_gradient(lambda x: np.sum(x) + np.sin(x[-1]), lambda x: 1 + np.cos(x) * (np.arange(x.size) == x.size - 1), large)


@pytest.mark.parametrize("error", [KeyError("mine"), FloatingPointError("mine"), AssertionError("mine")], ids=repr)
def test_what_f_and_df_raise_is_passed_on(error: Exception) -> None:
    def raises(x: np.ndarray) -> np.ndarray:
        raise error

    for call in (
        lambda: numerical_gradient(raises, [1.0]),
        lambda: check_gradient(raises, np.cos, [1.0]),
        lambda: check_gradient(np.sin, raises, [1.0]),
    ):
        with pytest.raises(type(error)) as caught:
            call()
        assert caught.value is error


def test_the_floating_point_settings_of_the_caller_hold_within_f() -> None:
    seen = []

    def f(x: np.ndarray) -> np.ndarray:
        seen.append(np.geterr())
        return x

    with np.errstate(all="raise"):
        expected = np.geterr()
        for largest in (np.finfo(dtype).max for dtype in (np.float16, np.float32, np.float64)):
            x = np.array([0, 1e-7, 1, largest, np.inf, np.nan], largest.dtype)
            numerical_gradient(f, x)
            with pytest.raises(AssertionError, match="5 of 6"):
                check_gradient(f, lambda x: f(x) == 1, x)
    assert len(seen) == 3 * (3 + 6)
    assert all(settings == expected for settings in seen)


class Fickle:
    """Another shape from the second call on."""

    calls = 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.calls += 1
        return x if self.calls == 1 else x[:1]


@pytest.mark.parametrize(
    ("f", "x", "h", "kind", "message"),
    [
        (np.sin, 1j, None, TypeError, "x has dtype complex128; it takes floats"),
        (np.sin, [None], None, TypeError, "x has dtype object"),
        (np.sin, "1", None, TypeError, "x has dtype <U1"),
        (np.sin, np.zeros(2, np.longdouble), None, TypeError, "x has dtype"),
        (lambda x: 1j * x, [1.0], None, TypeError, "the result of f has dtype complex128"),
        (lambda x: None, [1.0], None, TypeError, "the result of f has dtype object"),
        (
            lambda x: x[:2],
            [1.0, 2, 3],
            None,
            ValueError,
            r"f returned shape \(2,\) for x of shape \(3,\); .* \(3,\) or \(\)$",
        ),
        (lambda x: x[None], 1.0, None, ValueError, r"f returned shape \(1,\) for x of shape \(\); .* returns \(\)$"),
        (Fickle(), [1.0, 2], None, ValueError, r"f returned shape \(1,\) for x of shape \(2,\); .* returns \(2,\)$"),
        (np.sin, [1.0], 0, ValueError, "h is 0; it takes positive numbers"),
        (np.sin, [1.0], -1e-5, ValueError, "h is -1e-05; it takes positive"),
        (np.sin, [1.0], np.nan, ValueError, "h is nan; it takes positive"),
        (np.sin, [1.0], np.inf, ValueError, "h is inf; it takes positive"),
        (np.sin, [1.0, 2], [1e-5, 0], ValueError, r"h is \[1e-05, 0\]; it takes positive"),
        (np.sin, [1.0], "1", TypeError, "h has dtype <U1"),
        (np.sin, [1.0], 1e-5j, TypeError, "h has dtype complex128"),
        (np.sin, [1.0, 2], [1e-5] * 3, ValueError, r"h has shape \(3,\); .* broadcasts to that of x, \(2,\)"),
        (np.sin, [0.0, 1e3], 1e-14, ValueError, "h is 1e-14, too small: it is lost in x [+] h for x = 1000.0"),
        (np.sin, np.ones(1, np.float32), 1e-8, ValueError, "h is 1e-08, too small.* a float32"),
    ],
)
def test_errors_name_the_argument(f: Any, x: Any, h: Any, kind: type[Exception], message: str) -> None:
    for call in (lambda: numerical_gradient(f, x, h), lambda: check_gradient(f, np.cos, x, h=h)):
        with pytest.raises(kind, match=message):
            call()
        if isinstance(f, Fickle):
            f.calls = 0


@pytest.mark.parametrize(
    ("df", "options", "kind", "message"),
    [
        (lambda x: x[:1], {}, ValueError, r"df returned shape \(1,\); .* the shape of x, \(2,\)"),
        (lambda x: 2.0, {}, ValueError, r"df returned shape \(\)"),
        (lambda x: 1j * x, {}, TypeError, "the result of df has dtype complex128"),
        (np.cos, {"rtol": -1}, ValueError, "rtol is -1; it takes"),
        (np.cos, {"atol": np.nan}, ValueError, "atol is nan; it takes"),
    ],
)
def test_errors_of_check_gradient(df: Any, options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        check_gradient(np.sin, df, [1.0, 2.0], **options)
