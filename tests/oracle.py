"""What the tests compare with: the tables as test cases, exact values, and errors counted in units in the last place.

Exact values come from two places, and neither is the extension. For float32 it is `nonlin.reference` in float64, whose
formulas are accurate to far below one float32 ULP, tails included (`test_accuracy.py` proves it on a sample). For float64
it is mpmath, with the textbook definitions below.
"""

import dataclasses
import functools
import itertools
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
    inputs: tuple[str, ...]  # the arrays: x, grad, y, gate, up
    outputs: int
    parameters: dict[str, float]
    ulp: dict[str, float]  # bound by dtype
    extra: dict[str, str]  # keywords that pick this row of the table

    @property
    def activation(self) -> str:
        return self.name.removesuffix("_backward")

    @property
    def public(self) -> Callable[..., Any]:
        """As users call it: parameters are keywords."""
        return functools.partial(getattr(nl, _public_name(self.name)), **self.extra)

    @property
    def reference(self) -> Callable[..., Any]:
        return functools.partial(getattr(reference, _public_name(self.name)), **self.extra)

    def exact(self, *arguments: Array) -> tuple[Array, ...]:
        """The float64 outputs of the reference; parameters have their defaults, rounded to the arguments' dtype."""
        rounded = {key: float(arguments[0].dtype.type(value)) for key, value in self.parameters.items()}
        return as_tuple(self.reference(*(a.astype(np.float64) for a in arguments), **rounded))

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


def _public_name(name: str) -> str:
    return name.replace("gelu_tanh", "gelu")


def _functions() -> list[Function]:
    functions = []
    for row in _core.activations():
        extra = {"approximate": "tanh"} if row["name"] == "gelu_tanh" else {}
        for suffix, inputs, outputs in (
            ("", row["forward_inputs"], row["outputs"]),
            ("_backward", row["backward_inputs"], row["backward_outputs"]),
        ):
            arrays = tuple(name for name in inputs if name not in row["parameters"])
            ulp = {"float32": row["ulp" + suffix], "float64": row["ulp64" + suffix], "float16": 0.51, "bfloat16": 0.51}
            functions.append(Function(row["name"] + suffix, arrays, outputs, row["parameters"], ulp, extra))
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
        return tuple(np.delete(shape, axis)) if self.by_rows else shape

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
            factors: dict[str, tuple[int, ...]] = {"weight": (shape[axis],)}
        else:
            factors = {"weight": tuple(1 if i == 0 else n for i, n in enumerate(shape)), "pos_weight": shape[-1:]}
        values: dict[str, Any] = {name: rng.uniform(0.25, 2, factor).astype(dtype) for name, factor in factors.items()}
        values |= {"ignore_index": 2, "label_smoothing": 0.1, "z_loss": 0.01}
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
    np.testing.assert_array_equal(np.where((low <= there) & (there <= high), rounded, there), rounded)


# Units in the last place


def ulp_error(got: Any, exact: Any, largest: Any = None) -> Array:
    """``|got - exact|`` in units in the last place of got's dtype at the exact value, as float64.

    Sub-normal results count in steps of the smallest sub-normal. Where ``largest`` is given and larger, its unit counts:
    the rule for sums whose terms cancel. A result that overflows is one step behind the largest number. NaN for anything
    else, or the other infinity, is an infinite error.
    """
    got = np.asarray(got)
    info = finfo(got.dtype)
    exact = np.asarray(exact, np.float64)
    got64 = got.astype(np.float64)
    top = np.ldexp(1.0, info.maxexp) if info.maxexp < 1024 else float(info.max)
    with np.errstate(invalid="ignore"):
        scale = np.abs(exact) if largest is None else np.maximum(np.abs(exact), np.abs(largest))
        exponent = np.where(scale > 0, np.frexp(scale)[1] - 1, info.minexp)
        unit = np.ldexp(1.0, np.clip(exponent, info.minexp, info.maxexp - 1) - info.nmant)
        error = np.abs(np.clip(got64, -top, top) - np.clip(exact, -top, top)) / unit
    error = np.where(np.isinf(exact), np.where(got64 == exact, 0, np.inf), error)
    return np.where(np.isnan(exact) | np.isnan(got64), np.where(np.isnan(exact) & np.isnan(got64), 0, np.inf), error)


def ulp_error_mp(got: Array, exact: list[mpf], largest: Any = None) -> Array:
    """`ulp_error` for float64, the exact values by mpmath."""

    def error(g: float, e: mpf, most: float) -> float:
        if not mp.isfinite(e) or not np.isfinite(g):
            overflow = abs(e) >= mp.ldexp(2 - mp.ldexp(1, -53), 1023)
            return 0.0 if (mp.isnan(e) and np.isnan(g)) or e == g or (overflow and np.isinf(g) and e * g > 0) else np.inf
        scale = max(abs(e), abs(mpf(most)))
        unit = mp.ldexp(1, max(int(mp.frexp(scale)[1]) - 1 if scale else -1022, -1022) - 52)
        return float(abs(mpf(g) - e) / unit)

    most = np.zeros(got.shape) if largest is None else np.nan_to_num(largest)
    return np.array([error(float(g), e, float(s)) for g, e, s in zip(got, exact, most, strict=True)])


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


# Textbook definitions in mpmath, forward and derivative. Parameters have their defaults.

_A, _S = mpf(reference.SELU_ALPHA), mpf(reference.SELU_SCALE)
_U = mp.sqrt(2 / mp.pi)


def _sigmoid(x: mpf) -> mpf:
    return 1 / (1 + mp.exp(-x))


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


EXACT: dict[str, Callable[[mpf], mpf]] = {
    "relu": lambda x: max(x, mpf(0)),
    "relu_backward": lambda x: mpf(x > 0),
    "relu6": lambda x: min(max(x, mpf(0)), mpf(6)),
    "relu6_backward": lambda x: mpf(0 < x < 6),
    "leaky_relu": lambda x: x if x > 0 else mpf(0.01) * x,
    "leaky_relu_backward": lambda x: mpf(1) if x > 0 else mpf(0.01),
    "elu": lambda x: x if x > 0 else mp.expm1(x),
    "elu_backward": lambda x: mpf(1) if x > 0 else mp.exp(x),
    "celu": lambda x: x if x > 0 else mp.expm1(x),
    "celu_backward": lambda x: mpf(1) if x > 0 else mp.exp(x),
    "selu": lambda x: _S * (x if x > 0 else _A * mp.expm1(x)),
    "selu_backward": lambda x: _S if x > 0 else _S * _A * mp.exp(x),
    "sigmoid": _sigmoid,
    "sigmoid_backward": lambda y: y * (1 - y),
    "log_sigmoid": lambda x: -mp.log1p(mp.exp(-x)) if x > -1000 else x,
    "log_sigmoid_backward": lambda x: _sigmoid(-x),
    "tanh": mp.tanh,
    "tanh_backward": lambda y: 1 - y * y,
    "softplus": lambda x: mp.log1p(mp.exp(x)) if x < 1000 else x,
    "softplus_backward": _sigmoid,
    "gelu": lambda x: x * _cdf(x),
    "gelu_backward": lambda x: _cdf(x) + x * _phi(x),
    "gelu_tanh": lambda x: x * _tanh_cdf(x),
    "gelu_tanh_backward": lambda x: _tanh_cdf(x) + x * _tanh_pdf(x),
    "silu": lambda x: x * _sigmoid(x),
    "silu_backward": lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))),
    "mish": lambda x: x * _mish_tanh(x),
    "mish_backward": lambda x: _mish_tanh(x) + x * (1 - _mish_tanh(x) ** 2) * _sigmoid(x),
    "hard_sigmoid": lambda x: min(max(x / 6 + mpf(0.5), mpf(0)), mpf(1)),
    "hard_sigmoid_backward": lambda x: mpf(-3 < x < 3) / 6,
    "hard_swish": lambda x: x * EXACT["hard_sigmoid"](x),
    "hard_swish_backward": lambda x: mpf(0) if x <= -3 else mpf(1) if x >= 3 else (2 * x + 3) / 6,
    "hard_tanh": lambda x: min(max(x, mpf(-1)), mpf(1)),
    "hard_tanh_backward": lambda x: mpf(-1 < x < 1),
    "softsign": lambda x: x / (1 + abs(x)),
    "softsign_backward": lambda x: 1 / (1 + abs(x)) ** 2,
}
GATES = {"swiglu": "silu", "geglu": "gelu", "reglu": "relu"}


def exact_mp(function: Function, *arguments: Array) -> tuple[list[mpf], ...]:
    """The exact outputs for finite arguments, grad being 1 and the parameters having their defaults.

    A function without a definition above is its reference formula in extended precision.
    """
    if function.activation not in EXACT and function.activation not in GATES:
        wide = as_tuple(function.reference(*(a.astype(np.longdouble) for a in arguments), **function.parameters))
        return tuple([mpf(str(v)) for v in output] for output in wide)
    points = [[mpf(float(v)) for v in a] for a in arguments]
    if function.activation not in GATES:
        return ([EXACT[function.name](x) for x in points[-1]],)
    gate, up = points[-2:]
    act, slope = EXACT[GATES[function.activation]], EXACT[GATES[function.activation] + "_backward"]
    values = [act(x) for x in gate]
    if not function.name.endswith("_backward"):
        return ([v * u for v, u in zip(values, up, strict=True)],)
    return [slope(x) * u for x, u in zip(gate, up, strict=True)], values
