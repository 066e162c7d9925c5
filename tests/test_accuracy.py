"""Errors in units in the last place, against the bounds that the documentation promises."""

import itertools
import os

import numpy as np
import pytest
from mpmath import mpf

import nonlin as nl

from . import oracle
from .oracle import FUNCTIONS, HALVES, Function, as_tuple, ulp_error, ulp_error_mp

# (float32, float64) for forward, then for backward with grad = 1.
EXACT, EXACT_QUOTIENT, EXPONENTIAL, GATE = (0.5, 0.5), (1.0, 1.0), (1.0, 2.0), (1.5, 3.0)
BACKWARD = (2.0, 4.0)
BOUNDS = {
    **dict.fromkeys(["relu", "relu6", "leaky_relu", "hard_sigmoid", "hard_swish", "hard_tanh", "reglu"], EXACT),
    "softsign": EXACT_QUOTIENT,
    **dict.fromkeys(["sigmoid", "log_sigmoid", "tanh", "softplus", "elu", "celu", "selu"], EXPONENTIAL),
    **dict.fromkeys(["silu", "gelu", "gelu_tanh", "mish", "swiglu", "geglu"], GATE),
}

STEP = int(os.environ.get("NONLIN_TEST_STEP", "257"))  # of the float32 bit patterns; prime to 2

all_functions = pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS.keys())


def assert_within(f: Function, bound: float, errors: np.ndarray, x: np.ndarray) -> None:
    worst = int(np.argmax(errors))
    # The oracle itself is off by up to 1e-3 ULP, which an error of exactly half a ULP must not feel.
    assert errors[worst] <= bound + 1e-3, f"{f.name}: {errors[worst]:.4g} ULP at {x[worst]!r}, bound {bound}"


def largest(f: Function, output: int, x: np.ndarray) -> np.ndarray | None:
    return oracle.largest_term(f.name, x) if output == 0 else None


@all_functions
def test_table_states_the_documented_bounds(f: Function) -> None:
    stated = f.ulp["float32"], f.ulp["float64"]
    assert stated == (BACKWARD if f.name.endswith("_backward") else BOUNDS.get(f.activation, stated))


@pytest.mark.every_target
@all_functions
def test_float32(f: Function) -> None:
    sample = f.domain(oracle.float32_sample(STEP))
    for x in np.array_split(sample, max(1, sample.size >> 17)):
        arguments = f.arguments(x)
        exact = f.exact(*arguments)
        for i, y in enumerate(as_tuple(f.public(*arguments))):
            assert_within(f, f.ulp["float32"], ulp_error(y, exact[i], largest(f, i, x)), x)


@pytest.mark.every_target
@all_functions
def test_float64(f: Function) -> None:
    sample = oracle.float64_sample()
    x = f.domain(sample[np.isfinite(sample)])
    arguments = f.arguments(x)
    exact = oracle.exact_mp(f, *arguments)
    for i, y in enumerate(as_tuple(f.public(*arguments))):
        assert_within(f, f.ulp["float64"], ulp_error_mp(y, exact[i], largest(f, i, x)), x)


@pytest.mark.every_target
@pytest.mark.parametrize(
    ("f", "dtype"), list(itertools.product(FUNCTIONS.values(), HALVES)), ids=lambda v: getattr(v, "name", v)
)
def test_16_bits(f: Function, dtype: np.dtype) -> None:
    """Every number there is, NaN too."""
    x = np.arange(2**16, dtype=np.uint16).view(dtype)
    with np.errstate(all="ignore"):  # of the oracle
        x = f.domain(x)
        arguments = f.arguments(x)
        exact = f.exact(*arguments)
        terms = [largest(f, i, x) for i in range(f.outputs)]
    with np.errstate(all="raise"):
        results = as_tuple(f.public(*arguments))
    for i, y in enumerate(results):
        assert y.dtype == dtype
        assert_within(f, f.ulp[dtype.name], ulp_error(y, exact[i], terms[i]), x)


@pytest.mark.every_target
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_16_bits_are_converted_as_numpy_does(dtype: np.dtype, rng: np.random.Generator) -> None:
    """Ties, sub-normals, overflow and NaN's payload, seen through a product."""
    up = np.arange(2**16, dtype=np.uint16).view(dtype)
    for _ in range(8):
        gate = rng.permutation(up)
        with np.errstate(all="ignore"):
            gate = np.abs(gate.astype(np.float32)).astype(dtype)
            exact = (gate.astype(np.float32) * up.astype(np.float32)).astype(dtype)
        got = nl.reglu(gate, up)
        nan = np.isnan(oracle.wide(exact))
        np.testing.assert_array_equal(np.isnan(oracle.wide(got)), nan)
        oracle.assert_same_bits(got[~nan], exact[~nan])
    same = nl.leaky_relu(up, negative_slope=1.0)
    nan = np.isnan(oracle.wide(up))
    quiet = oracle.bits(up) | np.where(nan, 0x200 if dtype == np.float16 else 0x40, 0).astype(np.uint16)
    np.testing.assert_array_equal(oracle.bits(same), quiet)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("leaky_relu", {"negative_slope": 0.3}),
        ("leaky_relu", {"negative_slope": 2.0}),
        ("leaky_relu", {"negative_slope": -1.0}),
        ("elu", {"alpha": 0.7}),
        ("elu", {"alpha": -3.0}),
        ("celu", {"alpha": 0.3}),
        ("celu", {"alpha": -2.0}),
        ("softplus", {"beta": 3.3}),
        ("softplus", {"beta": 0.01}),
        ("softplus", {"beta": -1.0}),
        ("hard_tanh", {"min_val": 0.1, "max_val": 0.7}),
    ],
    ids=str,
)
@pytest.mark.parametrize("suffix", ["", "_backward"])
def test_float32_with_other_parameters(name: str, suffix: str, parameters: dict[str, float]) -> None:
    f = FUNCTIONS[name + suffix]
    x = oracle.float32_sample(4099)
    rounded = {key: float(np.float32(value)) for key, value in parameters.items()}
    exact = f.reference(*(a.astype(np.float64) for a in f.arguments(x)), **rounded)
    assert_within(f, f.ulp["float32"], ulp_error(f.public(*f.arguments(x), **parameters), exact), x)


@all_functions
def test_oracle_against_mpmath(f: Function) -> None:
    """The float64 formulas are good to 1e-5 ULP of float32, tails and sub-normal results included."""
    with np.errstate(over="ignore"):
        sample = np.concatenate([oracle.float64_sample().astype(np.float32), oracle.float32_sample(2_900_001)])
    x = f.domain(sample[np.isfinite(sample)])
    arguments = f.arguments(x)
    got = as_tuple(f.reference(*(a.astype(np.float64) for a in arguments)))
    for i, exact in enumerate(oracle.exact_mp(f, *arguments)):
        rounded = np.array([float(e) for e in exact])
        rest = np.array([float(e - mpf(r)) for e, r in zip(exact, rounded, strict=True)])
        unit = np.ldexp(1.0, np.maximum(np.frexp(rounded)[1] - 1, -126) - 23)
        assert np.max(np.abs(got[i] - rounded - rest) / unit) < 1e-5


def test_ulp_error_counts_as_it_says() -> None:
    one, tiny, inf, nan = np.float32(1), np.float32(1e-45), np.inf, np.nan
    got = np.array([1, 1 + 2**-23, 1 - 2**-23, tiny, 0, inf, inf, inf, -inf, nan, nan, 3.4028235e38], np.float32)
    exact = np.array([1, 1, 1, 0, 3.5 * float(tiny), inf, 3.4028235677973366e38, 1, inf, nan, 0, 1e39])
    expected = [0, 1, 1, 1, 3.5, 0, 0.5, inf, inf, 0, inf, 1]
    error = ulp_error(got, exact)
    np.testing.assert_allclose(np.where(error > 1e30, inf, error), expected, rtol=1e-6)
    assert ulp_error(one, 0.75, 4.0) == 0.25 / 2**-21

    tiny64 = float(np.nextafter(0, 1))
    got64 = np.array([1 + 2**-52, tiny64, 0, inf, nan, inf])
    error = ulp_error_mp(got64, [mpf(1), mpf(0), mpf(tiny64) * 2.5, mpf(2) ** 1024, mpf("nan"), mpf(1)])
    np.testing.assert_array_equal(error, [1, 1, 2.5, 0, 0, inf])
