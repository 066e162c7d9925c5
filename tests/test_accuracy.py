"""Errors in units in the last place, against the bounds that the documentation promises."""

import numpy as np
import pytest
from mpmath import mpf

import nonlin as nl

from . import oracle, sweep
from .oracle import FLOATS, FUNCTIONS, HALVES, Function, as_tuple, bits, ulp_error, ulp_error_mp, wide

# (float32, float64) for forward, then for backward with grad = 1.
EXACT, EXACT_QUOTIENT, EXPONENTIAL, GATE = (0.5, 0.5), (1.0, 1.0), (1.0, 2.0), (1.5, 3.0)
BACKWARD = (2.0, 4.0)
BOUNDS = {
    **dict.fromkeys(["relu", "relu6", "leaky_relu", "hard_sigmoid", "hard_swish", "hard_tanh", "reglu"], EXACT),
    "softsign": EXACT_QUOTIENT,
    **dict.fromkeys(["sigmoid", "log_sigmoid", "tanh", "softplus", "elu", "celu", "selu"], EXPONENTIAL),
    **dict.fromkeys(["silu", "gelu", "gelu_tanh", "mish", "swiglu", "geglu"], GATE),
}

STRIDES = {2: 1, 4: 2039, 8: 2001}  # of the sweep, by item size; prime to 2

all_functions = pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS.keys())


def assert_within(f: Function, bound: float, errors: np.ndarray, x: np.ndarray) -> None:
    worst = int(np.argmax(errors))
    # The oracle itself is off by up to 1e-3 ULP, which an error of exactly half a ULP must not feel.
    assert errors[worst] <= bound + 1e-3, f"{f.name}: {errors[worst]:.4g} ULP at {x[worst]!r}, bound {bound}"


@all_functions
def test_table_states_the_documented_bounds(f: Function) -> None:
    stated = f.ulp["float32"], f.ulp["float64"]
    assert stated == (BACKWARD if f.name.endswith("_backward") else BOUNDS.get(f.activation, stated))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@all_functions
def test_sweep(f: Function, dtype: np.dtype) -> None:
    """A part of what `make ulp` does, on every instruction set; all there is in 16 bits."""
    if dtype == np.float64 and np.finfo(np.longdouble).nmant < 60:
        pytest.skip("long double is no wider than double")
    targets = [t for t in nl.simd_targets() if dtype.itemsize == 2 or t not in sweep.SLOW]
    ups = sweep.ups(f, dtype)[: None if dtype.itemsize == 2 else 1]
    nl.set_num_threads(1)
    with np.errstate(all="raise"):
        done = sweep.merge([sweep.Sweep(f, dtype, targets, up).run(STRIDES[dtype.itemsize]) for up in ups])
    assert done.broken == []
    for target, worst in sweep.verdict(done).items():
        assert worst["ulp"] <= f.ulp[dtype.name] + f.slack, f"{f.name} on {target}: {worst}"


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("f", [f for f in FUNCTIONS.values() if {"grad", "up"} & {*f.inputs}], ids=lambda f: f.name)
def test_16_bits_with_any_factor(f: Function, dtype: np.dtype, rng: np.random.Generator) -> None:
    """Beside factors of 1: what is just enough for those may be too little for results elsewhere between powers of two."""
    x = np.arange(2**16, dtype=np.uint16).view(dtype)
    x = f.domain(x[np.isfinite(oracle.wide(x))])
    up, grad = (rng.choice([-1, 1], (2, x.size)) * 2 ** rng.uniform(-6, 6, (2, x.size))).astype(dtype)
    arguments = f.arguments(x, up, grad)
    exact, largest = f.exact(*arguments), oracle.largest_term(f.name, x)
    if largest is not None:
        largest = largest * np.abs(oracle.wide(grad) * (oracle.wide(up) if "up" in f.inputs else 1))
    for target in nl.simd_targets():
        for i, y in enumerate(as_tuple(f.of(target)(*arguments))):
            assert_within(f, f.ulp[dtype.name], ulp_error(y, exact[i], largest if i == 0 else None), x)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@all_functions
def test_special_values_and_tails(f: Function, dtype: np.dtype) -> None:
    """Against mpmath, on every instruction set; every gate has its own factor."""
    sample = oracle.float64_sample() if dtype == np.float64 else oracle.special_values(dtype.type)
    x = f.domain(sample[np.isfinite(oracle.wide(sample))])
    arguments = f.arguments(x)
    exact = oracle.exact_mp(f, *arguments)
    results = [as_tuple(f.of(target)(*arguments)) for target in nl.simd_targets()]
    for i, (values, largest) in enumerate(zip(exact, (oracle.largest_term(f.name, x), None), strict=False)):
        first = results[0][i]
        for outputs in results:
            y = outputs[i]
            new = np.flatnonzero((bits(y) != bits(first)) | (y is first))
            if new.size:
                most = None if largest is None else largest[new]
                errors = ulp_error_mp(y[new], [values[k] for k in new], most)
                assert_within(f, f.ulp[dtype.name], errors, x[new])


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
        ("hard_sigmoid", {"slope": 0.2}),
        ("hard_sigmoid", {"slope": -0.7, "offset": 0.3}),
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


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("f", [f for f in FUNCTIONS.values() if f.parameters], ids=lambda f: f.name)
def test_all_parameters(f: Function, dtype: np.dtype) -> None:
    """Zero, infinite, NaN, sub-normal, near overflow, negative: in arrays, alone, and for a single element."""
    x, *parameters = oracle.parameter_grid(f, dtype)
    exact = [oracle.exact_at(f, float(v), tuple(map(float, p))) for v, *p in zip(x, *parameters, strict=True)]
    y = f.public(*f.arguments(x), *parameters)
    for target in nl.simd_targets():
        of_target = f.ufunc(target)(*f.arguments(x), *parameters)
        new = np.flatnonzero(bits(of_target) != bits(y)) if target != nl.simd_target() else np.arange(x.size)
        if f.name == "hard_sigmoid_backward":  # a step where the rounded line leaves (0, 1)
            line = wide(nl.hard_sigmoid(x, *parameters))
            new = new[(line[new] != 1) & (line[new] != 0)]
        if new.size:
            errors = ulp_error_mp(of_target[new], [exact[k] for k in new])
            assert_within(f, f.ulp[dtype.name], errors, np.stack([x, *parameters], 1)[new])
    for group in np.unique(np.stack([bits(p) for p in parameters]), axis=1).T:
        here = np.all([bits(p) == g for p, g in zip(parameters, group, strict=True)], axis=0)
        alone = [p[here][0] for p in parameters]
        assert_same_numbers(f.public(*f.arguments(x[here]), *alone), y[here])
        assert_same_numbers(f.public(*f.arguments(x[here][:1]), *alone), y[here][:1])


def assert_same_numbers(got: np.ndarray, expected: np.ndarray) -> None:
    """The same bits but for those of NaN."""
    nan = np.isnan(oracle.wide(expected))
    np.testing.assert_array_equal(np.isnan(oracle.wide(got)), nan)
    oracle.assert_same_bits(got[~nan], expected[~nan])


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 2e-2)])
@all_functions
def test_oracle_against_mpmath(f: Function, dtype: type, tolerance: float) -> None:
    """The formulas in the next wider format are good to a small part of an ULP, tails and sub-normal results included."""
    if dtype == np.float64 and np.finfo(np.longdouble).nmant < 60:
        pytest.skip("long double is no wider than double")
    sample = oracle.float64_sample()  # whose exact values test_special_values_and_tails has asked for
    if dtype != np.float64:
        with np.errstate(over="ignore"):
            sample = np.concatenate([sample.astype(dtype), oracle.float32_sample(8_700_001)])
    x = f.domain(sample[np.isfinite(sample)])
    arguments = f.arguments(x)
    for i, (got, exact) in enumerate(zip(f.exact(*arguments), oracle.exact_mp(f, *arguments), strict=True)):
        got = np.where(np.abs(got) > np.finfo(dtype).max, np.copysign(np.inf, got), got)  # it overflows in this dtype
        errors = ulp_error_mp(got, exact, oracle.largest_term(f.name, x) if i == 0 else None, dtype)
        assert np.max(errors) < tolerance, f"at {x[int(np.argmax(errors))]!r}"


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


@pytest.mark.parametrize("name", ["tanh", "softplus_backward", "tanh_backward"])
def test_a_function_without_an_exact_formula_has_that_of_the_reference(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So do new ones; a gradient is that of grad = 1, whatever is given."""
    f, x = FUNCTIONS[name], np.array([0.3, -0.7])
    given = [np.full_like(x, 3.0) if argument == "grad" else x for argument in f.inputs]
    (wanted,) = oracle.exact_mp(f, *given)
    monkeypatch.delitem(oracle.EXACT, f.activation)
    (found,) = oracle.exact_mp(f, *given)
    assert [float(v) for v in found] == pytest.approx([float(v) for v in wanted], rel=1e-15)
