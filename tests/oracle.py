"""What the tests compare with: the tables as test cases, exact values, and errors counted in units in the last place.

Exact values come from two places, and neither is the extension. In bulk it is `nonlin.reference` in the next wider format.
For float32 that is float64: the formulas cancel nowhere, or only where the bound is absolute, so that their error is a few
float64 ULP times the condition of exp in the tails, 2^-52 * 100 at most, against float32's 2^-24. For float64 it is the long
double of x87, with 64 bits, good to 0.02 ULP; the functions of the normal distribution and of a cubic, for which it takes
more than that, are below.
The other place is mpmath with textbook definitions: `test_accuracy.py` proves the formulas on a sample of it.
"""

import ctypes
import dataclasses
import functools
import itertools
import math
import mmap
from collections.abc import Callable
from typing import Any

import numpy as np
from ml_dtypes import bfloat16, finfo
from mpmath import mp, mpf

import nonlin as nl
from nonlin import _core, reference

Array = np.ndarray[Any, Any]

mp.dps = 60

FLOATS = [np.dtype(t) for t in (np.float16, bfloat16, np.float32, np.float64)]
HALVES = [t for t in FLOATS if t.itemsize == 2]


@dataclasses.dataclass(frozen=True)
class Function:
    """One forward or backward function of the table."""

    name: str
    called: str  # the public function, another one for a form of it
    option: dict[str, str]  # of the public function, which picks the form
    inputs: tuple[str, ...]  # the arrays: x, grad, y, gate, up
    outputs: int
    parameters: dict[str, float]
    ulp: dict[str, float]  # bound by dtype

    @property
    def activation(self) -> str:
        return self.name.removesuffix("_backward")

    @property
    def slack(self) -> float:
        """What is added to a bound: results without a definition in mpmath are compared with a formula in long double."""
        return SLACK if self.name in EXACT or self.activation in GATES else 1e-3

    @property
    def public(self) -> Callable[..., Any]:
        """As users call it: parameters are keywords."""
        return functools.partial(getattr(nl, self.called), **self.option)

    @property
    def reference(self) -> Callable[..., Any]:
        return functools.partial(getattr(reference, self.called), **self.option)

    def ufunc(self, target: str) -> Callable[..., Any]:
        """The ufunc of all inputs, parameters included, with the kernels of that instruction set."""
        return _ufuncs_of(target)[self.name]

    def of(self, target: str) -> Callable[..., Any]:
        """The ufunc of the array inputs with the kernels of that instruction set, parameters having their defaults."""
        ufunc = self.ufunc(target)
        return functools.partial(_with_trailing, ufunc, tuple(self.parameters.values())) if self.parameters else ufunc

    def rounded_parameters(self, dtype: np.dtype) -> dict[str, float]:
        """The default parameters as a call in that dtype takes them."""
        if self.activation == "hard_sigmoid":  # which divides by 6
            return self.parameters
        return {key: float(dtype.type(value)) for key, value in self.parameters.items()}

    def exact(self, *arguments: Array, **parameters: Any) -> tuple[Array, ...]:
        """The outputs by the reference, in float64, or in long double for float64; other parameters have their defaults."""
        dtype = arguments[0].dtype
        wider = [a.astype(np.longdouble if dtype == np.float64 else np.float64) for a in arguments]
        if dtype == np.float64 and GATES.get(self.activation, self.activation) in _WIDE:
            return _exact_wide(self, *wider)
        return as_tuple(self.reference(*wider, **{**self.rounded_parameters(dtype), **parameters}))

    def arguments(self, x: Array, up: Array | None = None, grad: Array | None = None) -> tuple[Array, ...]:
        """The array inputs for points x: grad is 1 and up is between 1/2 and 1 unless given."""
        if up is None and "up" in self.inputs:
            pattern = np.arange(x.size, dtype=np.uint32).reshape(x.shape) * np.uint32(2654435761)
            up = (np.where(pattern & 1, -1, 1) * (0.5 + pattern.astype(np.float64) * 2.0**-33)).astype(x.dtype)
        values = {"x": x, "gate": x, "y": x, "up": up, "grad": np.ones_like(x) if grad is None else grad}
        return tuple(values[name] for name in self.inputs)

    def domain(self, x: Array) -> Array:
        """Those entries of x that the function is made for: outputs of sigmoid and tanh are bounded."""
        if "y" not in self.inputs:
            return x
        return x[(x >= (0 if self.activation == "sigmoid" else -1)) & (x <= 1)]

    def points(self, rng: np.random.Generator, shape: Any, dtype: Any) -> tuple[Array, ...]:
        """Random arguments of ordinary size."""
        x = 3 * rng.standard_normal(shape)
        if "y" in self.inputs:
            x = np.tanh(x) if self.activation == "tanh" else np.abs(np.tanh(x))
        others = rng.standard_normal((2, *np.shape(x)))
        return self.arguments(*(a.astype(dtype) for a in (x, *others)))


def _with_trailing(f: Callable[..., Any], trailing: tuple[Any, ...], *arguments: Any) -> Any:
    return f(*arguments, *trailing)


_ufuncs_of = functools.cache(_core.ufuncs_of)


def _functions() -> list[Function]:
    functions = []
    for row in _core.activations():
        name, called = row["name"], row["form_of"] or row["name"]
        for suffix, inputs, outputs in (
            ("", row["forward_inputs"], row["outputs"]),
            ("_backward", row["backward_inputs"], row["backward_outputs"]),
        ):
            arrays = tuple(i for i in inputs if i not in row["parameters"])
            ulp = {"float32": row["ulp" + suffix], "float64": row["ulp64" + suffix], "float16": 0.51, "bfloat16": 0.51}
            functions.append(
                Function(name + suffix, called + suffix, row["option"], arrays, outputs, row["parameters"], ulp)
            )
    return functions


FUNCTIONS = {f.name: f for f in _functions()}
FORWARD = [f for f in FUNCTIONS.values() if not f.name.endswith("_backward")]
BACKWARD = [f for f in FUNCTIONS.values() if f.name.endswith("_backward")]


@dataclasses.dataclass(frozen=True)
class Loss:
    """One loss of the table; one that takes classes or probabilities is there twice."""

    name: str
    arguments: tuple[str, str]
    options: tuple[str, ...]
    kind: str  # "targets": classes or probabilities; "rows": two operands; "elements": elementwise
    with_grad: bool
    soft: bool  # both operands are floats

    def __str__(self) -> str:
        return self.name if self.kind != "targets" else f"{self.name}-{'probabilities' if self.soft else 'classes'}"

    @property
    def by_rows(self) -> bool:
        return self.kind != "elements"

    @property
    def operand(self) -> int:
        """Which argument the gradient is with respect to."""
        return 1 if self.kind == "rows" else 0

    def functions(self, module: Any = nl) -> tuple[Callable[..., Any], ...]:
        """Forward, backward and, where there is one, with_grad."""
        suffixes = ("", "_backward", "_with_grad") if self.with_grad else ("", "_backward")
        return tuple(getattr(module, self.name + suffix) for suffix in suffixes)

    def losses_shape(self, shape: tuple[int, ...], axis: int = -1) -> tuple[int, ...]:
        return tuple(np.delete(shape, axis).tolist()) if self.by_rows else shape

    def problem(
        self, rng: np.random.Generator, shape: tuple[int, ...], axis: int = -1, dtype: Any = np.float64
    ) -> list[Array]:
        """Both operands, random and inside the domain."""

        def operand(name: str) -> Array:
            x = np.asarray(3 * rng.standard_normal(shape))
            if name == "logits":
                return x
            if not self.by_rows:
                x = rng.uniform(0.01, 0.99, shape)
                return np.where(rng.random(shape) < 0.5, np.rint(x), x) if name == "targets" else x
            if not self.soft and name == "targets":
                return np.asarray(rng.integers(0, shape[axis], self.losses_shape(shape, axis)))
            return reference.log_softmax(x, axis) if name == "log_probs" else reference.softmax(x, axis)

        given = [np.asarray(operand(name)) for name in self.arguments]
        return [a.astype(dtype) if a.dtype.kind == "f" else a for a in given]

    def keywords(
        self, rng: np.random.Generator, shape: tuple[int, ...], axis: int, chosen: tuple[str, ...], dtype: Any = np.float64
    ) -> dict[str, Any]:
        """Values for the chosen options, none of them the default, and the axis of a loss by rows."""
        if self.by_rows:
            factors: dict[str, tuple[int, ...]] = {"weight": (shape[axis],), "sample_weight": self.losses_shape(shape, axis)}
        else:
            factors = {"weight": tuple(1 if i == 0 else n for i, n in enumerate(shape)), "pos_weight": shape[-1:]}
        values: dict[str, Any] = {name: rng.uniform(0.25, 2, factor).astype(dtype) for name, factor in factors.items()}
        values |= {"gamma": 1.5, "alpha": 0.3, "ignore_index": 2, "label_smoothing": 0.1, "z_loss": 0.01}
        return {name: values[name] for name in chosen} | ({"axis": axis} if self.by_rows else {})

    def choices(self) -> list[tuple[str, ...]]:
        """Every set of options but axis and reduction."""
        names = [name for name in self.options if name not in ("axis", "reduction")]
        return [c for n in range(len(names) + 1) for c in itertools.combinations(names, n)]


def _losses() -> list[Loss]:
    return [
        Loss(row["name"], tuple(row["arguments"]), tuple(row["options"]), row["kind"], row["with_grad"], soft)
        for row in _core.losses()
        for soft in ((False, True) if row["kind"] == "targets" else (True,))
    ]


LOSSES = _losses()


def as_tuple(result: Any) -> tuple[Array, ...]:
    """One output or several, as a tuple."""
    return result if isinstance(result, tuple) else (result,)


def bits(a: Any) -> Array:
    """The bytes of every entry, so that -0.0 differs from 0.0 and NaN equals itself."""
    a = np.asarray(a)
    return np.ascontiguousarray(a).view(f"u{a.itemsize}").reshape(a.shape)


def assert_same_bits(got: Any, expected: Any) -> None:
    """Same shapes, dtypes and bits, for one output or several."""
    for g, e in zip(as_tuple(got), as_tuple(expected), strict=True):
        g, e = np.asarray(g), np.asarray(e)
        assert (g.shape, g.dtype) == (e.shape, e.dtype)
        if not np.array_equal(bits(g), bits(e)):  # at once: the report takes longer, of equal ones too
            np.testing.assert_array_equal(bits(g), bits(e))


# NumPy's own functions and comparisons warn at bfloat16's NaN, or take no bfloat16: the tests compare in float64.


def working_dtype(dtype: Any) -> np.dtype:
    """The dtype that a result of this dtype is computed in."""
    return np.dtype(np.float32) if np.dtype(dtype).itemsize == 2 else np.dtype(dtype)


def wide(value: Any) -> Any:
    """Floats as float64, and all else as it is."""
    with np.errstate(all="ignore"):
        return value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype.kind not in "biu" else value


def assert_equal(got: Any, expected: Any) -> None:
    """Equal numbers, NaN being equal to itself, for one output or several."""
    for g, e in zip(as_tuple(got), as_tuple(expected), strict=True):
        np.testing.assert_array_equal(wide(np.asarray(g)), wide(np.asarray(e)))


def assert_rounded(got: Any, exact: Any, tolerance: Any) -> None:
    """A result is some number as near to the exact one as the tolerance says, rounded to the result's dtype once."""
    got, exact = np.asarray(got), np.asarray(exact)
    assert got.shape == exact.shape
    with np.errstate(all="ignore"):
        rounded, low, high = (wide((exact + t).astype(got.dtype)) for t in (0, -tolerance, tolerance))
    there = wide(got)
    there = np.where((low <= there) & (there <= high), rounded, there)
    if not np.array_equal(there, rounded, equal_nan=True):
        np.testing.assert_array_equal(there, rounded)


# Units in the last place

SLACK = 2.0**-20  # of a bound: a result is rounded once, but from a sum of two floats, which is not exact either


def ulp_error(got: Any, exact: Any, largest: Any = None) -> Array:
    """``|got - exact|`` in units in the last place of got's dtype at the exact value, as float64.

    ``exact`` may be a long double. Sub-normal results count in steps of the smallest sub-normal. Where ``largest`` is given
    and larger, its unit counts: the rule for sums whose terms cancel. A result that overflows is one step behind the largest
    number. NaN for anything else, or the other infinity, is an infinite error.
    """
    got, exact = np.asarray(got), np.asarray(exact)
    with np.errstate(all="ignore"):
        error = np.asarray(_plain_ulp_error(got, exact, largest))
        rare = ~(error < 2)  # or not finite; the plain error is never less
        if rare.any():
            most = None if largest is None else np.broadcast_to(largest, got.shape)[rare]
            error[rare] = _careful_ulp_error(got[rare], exact[rare], most, error[rare])
    return error


def units(exact: Array, largest: Any, info: Any) -> Array:
    """The unit in the last place at each value, by its exponent's bits: frexp is many times as slow."""
    scale = np.abs(exact) if largest is None else np.maximum(np.abs(exact), np.abs(largest))
    power = (np.ascontiguousarray(scale).view(np.uint64) & np.uint64(0x7FF << 52)).view(np.float64).reshape(scale.shape)
    return np.clip(power, 2.0**info.minexp, 2.0 ** (info.maxexp - 1)) * 2.0**-info.nmant


def _plain_ulp_error(got: Array, exact: Array, largest: Any) -> Array:
    info = finfo(got.dtype)
    if exact.dtype != np.longdouble:
        exact = exact.astype(np.float64, copy=False)
        return np.abs(got.astype(np.float64) - exact) / units(exact, largest, info)
    rounded = exact.astype(np.float64)
    below = np.where(np.abs(rounded) > np.abs(exact), np.nextafter(rounded, 0), rounded)  # a power of two, its unit is half
    return (np.abs(got - exact) / units(below, largest, info)).astype(np.float64)


def _careful_ulp_error(got: Array, exact: Array, largest: Any, plain: Array) -> Array:
    info = finfo(got.dtype)
    got64 = got.astype(np.float64)
    exact = exact.astype(np.float64)
    top = np.ldexp(1.0, info.maxexp) if info.maxexp < 1024 else float(info.max)
    error = np.abs(np.clip(got64, -top, top) - np.clip(exact, -top, top)) / units(exact, largest, info)
    error = np.where(np.isfinite(plain) & (np.abs(exact) <= top), plain, error)
    error = np.where(np.isinf(exact), np.where(got64 == exact, 0, np.inf), error)
    return np.where(np.isnan(exact) | np.isnan(got64), np.where(np.isnan(exact) & np.isnan(got64), 0, np.inf), error)


def ulp_error_mp(got: Array, exact: list[mpf], largest: Any = None, dtype: Any = None) -> Array:
    """`ulp_error` with exact values by mpmath, in units of the result's dtype or another one."""
    info = finfo(got.dtype if dtype is None else dtype)
    lowest, highest, digits = int(info.minexp), int(info.maxexp) - 1, int(info.nmant)
    overflow = mp.ldexp(2 - mp.ldexp(1, -digits - 1), highest)

    def in_units(e: mpf, most: float) -> tuple[int, float, float]:
        """The exponent of the unit, and the value in units as a sum of two floats."""
        sign, digits_of_e, exponent, length = e._mpf_
        magnitude = max(exponent + length if digits_of_e else lowest, math.frexp(most)[1] if most else lowest)
        unit = min(max(magnitude - 1, lowest), highest) - digits
        high = float(digits_of_e)
        low = float(digits_of_e - int(high))
        signed = -1.0 if sign else 1.0
        try:
            return unit, math.ldexp(signed * high, exponent - unit), math.ldexp(signed * low, exponent - unit)
        except OverflowError:
            return unit, signed * np.inf, 0.0

    def of_no_number(g: float, e: mpf) -> float:
        infinite = abs(e) >= overflow and np.isinf(g) and e * g > 0
        return 0.0 if (mp.isnan(e) and np.isnan(g)) or e == g or infinite else np.inf

    most = np.zeros(got.shape) if largest is None else np.nan_to_num(largest)
    units, high, low = (np.array(v) for v in zip(*map(in_units, exact, most.tolist()), strict=True))
    wider = got.astype(np.longdouble if got.dtype == np.longdouble else np.float64)
    with np.errstate(all="ignore"):
        error = np.abs(np.ldexp(wider, -units) - high - low).astype(np.float64)
    finite = np.isfinite(wider) & np.array([bool(mp.isfinite(e)) for e in exact])
    error[~finite] = [of_no_number(float(wider[k]), exact[k]) for k in np.flatnonzero(~finite)]
    return error


def largest_term(name: str, x: Array) -> Array | None:
    """The larger of the two terms of a derivative that crosses zero away from 0, and None for any other function."""
    crossing: dict[str, Callable[[Array], tuple[Array, Array]]] = {
        "gelu": lambda x: (reference.gelu(x) / x, x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)),
        "gelu_tanh": lambda x: _sigmoid_terms(
            x, reference.gelu(x, approximate="tanh") / x, np.sqrt(8 / np.pi) * (1 + 0.134145 * x * x)
        ),
        "silu": lambda x: _sigmoid_terms(x, reference.sigmoid(x), 1.0),
        "mish": lambda x: (reference.mish(x) / x, x / np.cosh(reference.softplus(x)) ** 2 * reference.sigmoid(x)),
    }
    crossing |= {"swiglu": crossing["silu"], "geglu": crossing["gelu"]}
    activation = name.removesuffix("_backward")
    if activation == name or activation not in crossing:
        return None
    x = np.asarray(x, np.float64)
    with np.errstate(all="ignore"):
        x = np.where((np.abs(x) < 1e3) & (x != 0), x, 1)
        return np.max(np.abs(crossing[activation](x)), axis=0)


def _sigmoid_terms(x: Array, s: Array, slope: Any) -> tuple[Array, Array]:
    """Both terms of d/dx x s(x), s a sigmoid of an argument with that slope."""
    return s, x * s * (1 - s) * slope


# Samples


def float32_sample(step: int, start: int = 0) -> Array:
    """Every step-th float32 bit pattern but NaN, and the special values."""
    x = np.arange(start, 2**32, step, dtype=np.uint32).view(np.float32)
    return np.concatenate([x[~np.isnan(x)], special_values(np.float32)])


def special_values(dtype: Any) -> Array:
    """Both signs of zero, the ends of the format, infinity, kinks, and the places where exp overflows and underflows."""
    info = finfo(dtype)
    tails = [17.0, 87.3, 88.72284, 88.8, 103.9, 104.0, 708.4, 709.79, 745.2, 13.1, 14.2, 37.6, 38.6, 1e4]
    values = [0.0, info.smallest_subnormal, info.tiny, info.eps, 0.5, 1.0, 3.0, 6.0, *tails, info.max, np.inf]
    with np.errstate(over="ignore"):
        x = np.array(values, np.float64).astype(dtype)
        near = np.concatenate([x, np.nextafter(x, dtype(0)), np.nextafter(x, dtype(np.inf))])
    return np.unique(bits(np.concatenate([near, -near]))).view(dtype)


@functools.cache
def float64_sample() -> Array:
    """Two thousand float64 numbers: all exponents, the middle densely, the tails, the special values."""
    rng = np.random.default_rng(64)
    spread = rng.choice([-1, 1], 400) * 10.0 ** rng.uniform(-310, 305, 400)
    small = rng.choice([-1, 1], 200) * 10.0 ** rng.uniform(-20, 0, 200)
    middle = [rng.uniform(-40, 40, 500), rng.uniform(-3, 3, 500), rng.uniform(-760, -30, 200)]
    return np.concatenate([spread, small, *middle, special_values(np.float64)])


# Textbook definitions in mpmath, forward and derivative.

_A, _S = mpf(reference.SELU_ALPHA), mpf(reference.SELU_SCALE)
_U = mp.sqrt(2 / mp.pi)


def _sigmoid(x: mpf) -> mpf:
    return 1 / (1 + _exp(-x))


def _sixth(slope: mpf) -> mpf:
    """The slope; the default, a rounded 1 / 6, stands for 1 / 6 itself."""
    return mpf(1) / 6 if slope == 1 / 6 else slope


def _cdf(x: mpf) -> mpf:
    return mp.ncdf(x) if abs(x) < 1000 else mpf(x > 0)


def _phi(x: mpf) -> mpf:
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def _tanh_cdf(x: mpf) -> mpf:
    return _sigmoid(2 * _U * (x + mpf("0.044715") * x**3))


def _tanh_pdf(x: mpf) -> mpf:
    s = _tanh_cdf(x)
    return s * (1 - s) * 2 * _U * (1 + 3 * mpf("0.044715") * x * x)


def _mish_tanh(x: mpf) -> mpf:
    return mp.tanh(mp.log1p(mp.exp(x))) if x < 1000 else mpf(1)


EXACT: dict[str, Callable[..., mpf]] = {
    "relu": lambda x: max(x, mpf(0)),
    "relu_backward": lambda x: mpf(x > 0),
    "relu6": lambda x: min(max(x, mpf(0)), mpf(6)),
    "relu6_backward": lambda x: mpf(0 < x < 6),
    "leaky_relu": lambda x, negative_slope: x if x > 0 else negative_slope * x,
    "leaky_relu_backward": lambda x, negative_slope: mpf(1) if x > 0 else negative_slope,
    "elu": lambda x, alpha: x if x > 0 else alpha * _expm1(x),
    "elu_backward": lambda x, alpha: mpf(1) if x > 0 else alpha * _exp(x),
    "celu": lambda x, alpha: x if x > 0 else alpha * _expm1(x / alpha),
    "celu_backward": lambda x, alpha: mpf(1) if x > 0 else _exp(x / alpha),
    "selu": lambda x: _S * (x if x > 0 else _A * mp.expm1(x)),
    "selu_backward": lambda x: _S if x > 0 else _S * _A * mp.exp(x),
    "sigmoid": _sigmoid,
    "sigmoid_backward": lambda y: y * (1 - y),
    "log_sigmoid": lambda x: -mp.log1p(mp.exp(-x)) if x > -1000 else x,
    "log_sigmoid_backward": lambda x: _sigmoid(-x),
    "tanh": mp.tanh,
    "tanh_backward": lambda y: 1 - y * y,
    "softplus": lambda x, beta: _log1p(_exp(beta * x)) / beta if beta * x < 1000 else x,
    "softplus_backward": lambda x, beta: _sigmoid(beta * x),
    "gelu": lambda x: x * _cdf(x),
    "gelu_backward": lambda x: _cdf(x) + x * _phi(x),
    "gelu_tanh": lambda x: x * _tanh_cdf(x),
    "gelu_tanh_backward": lambda x: _tanh_cdf(x) + x * _tanh_pdf(x),
    "silu": lambda x: x * _sigmoid(x),
    "silu_backward": lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))),
    "mish": lambda x: x * _mish_tanh(x),
    "mish_backward": lambda x: _mish_tanh(x) + x * (1 - _mish_tanh(x) ** 2) * _sigmoid(x),
    "hard_sigmoid": lambda x, slope, offset: min(max(_sixth(slope) * x + offset, mpf(0)), mpf(1)),
    "hard_sigmoid_backward": lambda x, slope, offset: _sixth(slope) * (0 < _sixth(slope) * x + offset < 1),
    "hard_swish": lambda x: x * min(max(x / 6 + mpf(0.5), mpf(0)), mpf(1)),
    "hard_swish_backward": lambda x: mpf(0) if x <= -3 else mpf(1) if x >= 3 else (2 * x + 3) / 6,
    "hard_tanh": lambda x, min_val, max_val: min(max(x, min_val), max_val),
    "hard_tanh_backward": lambda x, min_val, max_val: mpf(min_val < x < max_val),
    "softsign": lambda x: x / (1 + abs(x)),
    "softsign_backward": lambda x: 1 / (1 + abs(x)) ** 2,
}
GATES = {"swiglu": "silu", "geglu": "gelu", "reglu": "relu"}


def exact_mp(function: Function, *arguments: Array) -> tuple[list[mpf], ...]:
    """The exact outputs for finite arguments, grad being 1 and the parameters having their defaults, rounded to the dtype.

    A function without a definition above is its reference formula in extended precision.
    """
    parameters = function.rounded_parameters(arguments[0].dtype)
    if function.activation not in EXACT and function.activation not in GATES:
        given_one = (np.ones_like(a) if name == "grad" else a for name, a in zip(function.inputs, arguments, strict=True))
        wide = as_tuple(function.reference(*(a.astype(np.longdouble) for a in given_one), **parameters))
        return tuple([mpf(str(v)) for v in output] for output in wide)
    points = [tuple(np.atleast_1d(a).astype(np.float64).tolist()) for a in np.broadcast_arrays(*arguments)]
    if function.activation not in GATES:
        return (_exact_values(function.name, points[-1], **parameters),)
    up, act = [mpf(v) for v in points[-1]], GATES[function.activation]
    values = _exact_values(act, points[-2])
    if not function.name.endswith("_backward"):
        return ([v * u for v, u in zip(values, up, strict=True)],)
    return [v * u for v, u in zip(_exact_values(act + "_backward", points[-2]), up, strict=True)], values


@functools.lru_cache(200)  # several tests and gated units ask for the same ones
def _exact_values(name: str, x: tuple[float, ...], **parameters: float) -> list[mpf]:
    given = {key: mpf(value) for key, value in parameters.items()}
    return [EXACT[name](mpf(v), **given) for v in x]


def exact_at(function: Function, x: float, parameters: tuple[float, ...]) -> mpf:
    """The exact value, or the gradient for grad = 1, at any x and parameters.

    At zeros and infinities it is the limit, where there is one: x is on either side of its zero, a parameter on the side of
    the zero's sign. Elsewhere it is what the reference formula gives, and so it is for hard_sigmoid, which is a line, and
    for a function without a definition above.
    """
    special = any(v == 0 or not math.isfinite(v) for v in (x, *parameters))
    defined = function.name in EXACT and not (special and function.activation == "hard_sigmoid")
    if defined and not any(math.isnan(v) for v in (x, *parameters)):
        ways = itertools.product(_ways_of_x(x), *map(_ways_of_parameter, parameters))
        found = {_as_float_sees(EXACT[function.name](*point)) for point in ways}
        if len(found) == 1:
            return found.pop()
    grad = (1.0,) if "grad" in function.inputs else ()
    return mpf(str(function.reference(*(np.longdouble(v) for v in (*grad, x, *parameters)))))


_NEARER = mpf(10) ** 2000  # than any float is to infinity
_NEAREST = mpf(10) ** 6000
_INFINITE = mp.ldexp(1, 10**4000)  # times e^x it is large for _NEARER and any float, and small for _NEAREST


@functools.cache
def _ways_of_x(x: float) -> list[mpf]:
    if x == 0:
        return [s / v for s in (1, -1) for v in (_NEARER, _INFINITE**2)]
    return [mpf(math.copysign(1, x)) * v for v in (_NEARER, _NEAREST, _INFINITE**2)] if math.isinf(x) else [mpf(x)]


def _ways_of_parameter(value: float) -> list[mpf]:
    return _ways_of_signed(value, math.copysign(1, value))


@functools.cache  # which takes both zeros for one
def _ways_of_signed(value: float, sign: float) -> list[mpf]:
    if value == 0:
        return [mpf(sign) / (_NEARER * mp.sqrt(_NEARER))]
    return [sign * _INFINITE] if math.isinf(value) else [mpf(value)]


def _as_float_sees(value: mpf) -> mpf:
    """What is far beyond all floats as zero or infinity."""
    far = value != 0 and abs(mp.mag(value)) > 4000
    return mp.sign(value) * (mp.inf if mp.mag(value) > 0 else 0) if far else value


def _exp(x: mpf) -> mpf:
    if not x or mp.mag(x) < 128:
        return mp.exp(x)
    # Only its size counts: the exact one takes long.
    return mp.ldexp(1, int(x / mp.ln2) if mp.mag(x) < 21000 else int(mp.sign(x)) * 10**9000)


def _expm1(x: mpf) -> mpf:
    return x if not x or mp.mag(x) < -1000 else mp.expm1(x) if mp.mag(x) < 8 else _exp(x) - 1


def _log1p(x: mpf) -> mpf:
    return mp.log1p(x) if not x or mp.mag(x) > -1000 else x


def parameter_values(dtype: np.dtype) -> Array:
    """Both signs of zeros, infinities, the ends of the format and numbers between, and NaN; for x and parameters."""
    info = finfo(dtype)
    middle = [info.eps, 1 / 300, 0.3, 1.0, 3.0, 17.0, 88.5, 300.0, 709.5, 7e4, 2.0 ** (info.maxexp // 2)]
    sizes = [0.0, info.smallest_subnormal, 3 * float(info.smallest_subnormal), info.tiny, *middle, info.max, np.inf]
    with np.errstate(over="ignore"):
        positive = np.array(sizes, np.float64).astype(dtype)
    return np.concatenate([positive, -positive, np.array([np.nan], dtype)])


def parameter_grid(function: Function, dtype: np.dtype) -> tuple[Array, ...]:
    """x and parameters: pairs and triples of `parameter_values`, and x where the formula curves for each parameter."""
    values = parameter_values(dtype)
    if len(function.parameters) > 1:  # half of them, and both signs of zero and infinity
        values = np.concatenate([values[::2], np.array([-0.0, -np.inf], dtype)])
    grid = np.array(list(itertools.product(values, repeat=1 + len(function.parameters))), dtype)
    if len(function.parameters) == 1:
        scale = values[np.isfinite(wide(values)) & (wide(values) != 0)].astype(np.longdouble)
        curves = np.array([s * u for u in (1e-9, 1e-3, 0.5, 5, 20, 88.5, 110, 150, 190, 250, 709, 1400) for s in (1, -1)])
        parameter, curve = (a.ravel() for a in np.meshgrid(scale, curves.astype(np.longdouble)))
        with np.errstate(all="ignore"):
            x = curve / parameter if function.activation == "softplus" else curve * parameter
            grid = np.concatenate([grid, np.stack([x, parameter], 1).astype(np.float64).astype(dtype)])
    return tuple(np.ascontiguousarray(column) for column in grid.T)


# Long double, where the reference in long double is not enough: x Phi(x), whose erfc NumPy has in float64 alone, and
# x sigmoid(2 u), whose argument of exp needs more bits than its result.

_LONG = np.longdouble
_INVERSE_SQRT_2PI = _LONG(mp.nstr(1 / mp.sqrt(2 * mp.pi), 30))
_TAIL_END, _TAIL_CELLS = 40, 8  # Phi(-40) is 0 in float64; cells per unit


@functools.cache
def _tail_table() -> Array:
    """Taylor coefficients of ``R(a) = e^(a^2 / 2) Phi(-a)`` about the middle of every cell, from ``R' = a R - phi(0)``."""
    rows = []
    for cell in range(_TAIL_END * _TAIL_CELLS + 1):
        c = (cell + mpf(0.5)) / _TAIL_CELLS
        r = [mp.exp(c * c / 2) * mp.ncdf(-c)]
        r.append(c * r[0] - 1 / mp.sqrt(2 * mp.pi))
        for n in range(1, 15):
            r.append((c * r[n] + r[n - 1]) / (n + 1))
        rows.append([_LONG(mp.nstr(v, 30)) for v in r])
    return np.array(rows, _LONG).T


def _tail_and_bell(a: Array) -> tuple[Array, Array]:
    """``Phi(-a)`` and ``e^(-a^2 / 2)`` for a >= 0, the square in two parts that are exact."""
    a = np.minimum(a, _LONG(_TAIL_END))
    cell = (a * _TAIL_CELLS).astype(np.intp)
    s = a - (cell + _LONG(0.5)) / _TAIL_CELLS
    table = _tail_table()
    r = table[-1][cell]
    for row in table[-2::-1]:
        r *= s
        r += row[cell]
    coarse = np.rint(a * 2**24) / 2**24
    bell = np.exp(coarse * coarse / -2) * np.exp((a - coarse) * (a + coarse) / -2)
    return r * bell, bell


def _wide_gelu(x: Array) -> tuple[Array, Array]:
    """``x Phi(x)`` and its derivative."""
    x = np.maximum(x, -_TAIL_END)
    tail, bell = _tail_and_bell(np.abs(np.nan_to_num(x)))
    cdf = np.where(x < 0, tail, 1 - tail)
    return x * cdf, cdf + np.clip(x, -_TAIL_END, _TAIL_END) * (bell * _INVERSE_SQRT_2PI)


def _two_product(a: Array, b: Any) -> tuple[Array, Array]:
    """The product and what rounding it lost (Dekker)."""

    def split(v: Any) -> tuple[Any, Any]:
        high = v * _LONG(2**32 + 1)
        high = high - (high - v)
        return high, v - high

    product = a * b
    (a1, a2), (b1, b2) = split(a), split(b)
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2


def _wide_gelu_tanh(x: Array) -> tuple[Array, Array]:
    """``x s`` and its derivative ``s + x s (1 - s) z'``, with ``s = sigmoid(z)``, ``z = c1 x + c3 x^3``."""
    far = np.clip(x, _LONG(-reference.FAR), _LONG(reference.FAR))
    (c1, c1_low), (c3, c3_low) = (_two_parts(2 * _U * c) for c in (mpf(1), mpf("0.044715")))
    square, square_low = _two_product(far, far)
    cubic, cubic_low = _two_product(square, c3)
    cubic_low += square_low * c3 + square * c3_low
    slope = c1 + cubic
    back = slope - c1
    slope_low = (c1 - (slope - back)) + (cubic - back) + cubic_low + c1_low
    z, z_low = _two_product(far, slope)
    z_low += far * slope_low
    e = np.exp(-np.abs(z))
    e -= e * (z_low * np.sign(z))
    larger, smaller = 1 / (1 + e), e / (1 + e)
    s, rest = np.where(z < 0, smaller, larger), np.where(z < 0, larger, smaller)
    return np.where(x > far, x, far * s), s + far * s * rest * (c1 + 3 * cubic)


def _two_parts(value: mpf) -> tuple[Any, Any]:
    high = _LONG(mp.nstr(value, 30))
    rounded = mpf(int(high * _LONG(2) ** 70)) / mpf(2) ** 70  # exactly high
    return high, _LONG(mp.nstr(value - rounded, 30))


_WIDE = {"gelu": _wide_gelu, "gelu_tanh": _wide_gelu_tanh}


def _exact_wide(function: Function, *arguments: Array) -> tuple[Array, ...]:
    """`Function.exact` in float64, for the functions of `_WIDE` and their gated units."""
    backward = function.name.endswith("_backward")
    gated = function.activation in GATES
    grad, x = arguments[0], arguments[1 if backward else 0]
    with np.errstate(all="ignore"):
        value, slope = _WIDE[GATES.get(function.activation, function.activation)](x)
        if gated:
            up = arguments[-1]
            return (grad * up * slope, grad * value) if backward else (value * up,)
        return (grad * slope if backward else value,)


def guarded(a: Array, at_end: bool) -> Array:
    """A copy at one end of memory whose neighbours may not be touched."""
    mprotect = ctypes.CDLL(None, use_errno=True).mprotect
    page = mmap.PAGESIZE
    inside = -(-a.nbytes // page) * page
    room = mmap.mmap(-1, inside + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    for place in (start, start + page + inside):
        assert mprotect(ctypes.c_void_p(place), ctypes.c_size_t(page), 0) == 0
    offset = page + (inside - a.nbytes if at_end else 0)
    copy = np.frombuffer(room, a.dtype, a.size, offset).reshape(a.shape)
    copy[...] = a
    return copy
