"""The error of an elementwise function over very many inputs, on every instruction set: for the tests, and for `make ulp`.

What costs is the exact value, so each is computed once and compared with the results of all targets; where a target has the
bits of another, nothing is computed again. Inputs are taken by their bit patterns, in order.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np
from ml_dtypes import finfo

from . import oracle
from .oracle import Array, Function, as_tuple, bits, ulp_error, wide

CHUNK = 2**15  # inputs; what is computed of them stays in a core's own cache
KEPT = 10  # of the worst inputs, for each target
SLOW = {"SCALAR", "EMU128"}  # up to 50 times as slow as the others and without SIMD: they get every 16th chunk

# Errors over x: the largest in each bin, four to a binade of |x|. The first and the last hold all below and above.
EDGES = np.ldexp(np.array([[1.0, 1.25, 1.5, 1.75]]), np.arange(-14, 11)[:, None]).ravel()
BINS = EDGES.size + 1

# Beyond errors: what rises, within which range, and what is odd to the bit.
RANGES = {"sigmoid": (0, 1), "tanh": (-1, 1), "softplus": (0, np.inf), "softsign": (-1, 1)}
ODD = {"tanh", "softsign", "hard_tanh"}


class Segment(NamedTuple):
    """``count`` bit patterns from ``first`` on, ``step`` apart, or anywhere within their steps."""

    first: int
    step: int
    count: int
    scattered: bool = False

    def chunk(self, dtype: np.dtype, k: int) -> Array:
        """The k-th chunk of inputs, in order; it starts with the last one of the chunk before."""
        i = np.arange(max(k * CHUNK - 1, 0), min((k + 1) * CHUNK, self.count), dtype=np.uint64)
        patterns = np.uint64(self.first) + i * np.uint64(self.step)
        if self.scattered:
            patterns += (i * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(11)) % np.uint64(self.step)
        return patterns.astype(f"u{dtype.itemsize}").view(dtype)

    @property
    def chunks(self) -> int:
        return -(-self.count // CHUNK)


def segments(dtype: np.dtype, stride: int) -> list[Segment]:
    """All patterns of a 16-bit type, every stride-th of float32, and 10^8 / stride of float64.

    Half of the latter are spread over all finite numbers, half over those between 2^-4 and 2^10, where functions bend.
    """
    sign = 1 << (8 * dtype.itemsize - 1)
    if dtype.itemsize == 2:
        return [Segment(0, 1, sign), Segment(sign, 1, sign)]
    if dtype.itemsize == 4:
        return [Segment(start, stride, -(-sign // stride)) for start in (0, sign)]
    count = 10**8 // 4 // stride
    ends = (0, 0x7FF << 52), (1019 << 52, 1033 << 52)
    return [Segment(s + low, (high - low) // count, count, True) for s in (0, sign) for low, high in ends]


class Finding(NamedTuple):
    """An input with a large error."""

    ulp: float
    x: float
    up: float
    output: int
    got: float


def exact_ulp(f: Function, dtype: np.dtype, finding: Finding) -> tuple[float, float]:
    """The error once more, and the exact value, by mpmath where x is finite."""
    if not np.isfinite(finding.x):
        return finding.ulp, np.nan
    x, up, got = (np.array([v]).astype(dtype) for v in (finding.x, finding.up, finding.got))
    with np.errstate(all="ignore"):
        exact = oracle.exact_mp(f, *f.arguments(x, up, np.ones(1, dtype)))[finding.output][0]
        most = oracle.largest_term(f.name, x) if finding.output == 0 else None
        if most is not None:
            most *= abs(finding.up)
        return float(oracle.ulp_error_mp(got, [exact], most)[0]), float(exact)


@dataclasses.dataclass
class Sweep:
    """The largest errors of one function in one dtype: of every target, and over x."""

    function: Function
    dtype: np.dtype
    targets: list[str]
    up: float = 1.0
    inputs: dict[str, int] = dataclasses.field(default_factory=dict)
    worst: dict[str, list[Finding]] = dataclasses.field(default_factory=dict)
    profile: Array = dataclasses.field(default_factory=lambda: np.zeros((2, BINS)))  # x >= 0, x < 0
    broken: list[str] = dataclasses.field(default_factory=list)

    def run(self, stride: int, part: int = 0, parts: int = 1) -> "Sweep":
        """One of several equal parts of all inputs."""
        np.empty(
            2**24, np.uint8
        )  # freed at once, so that malloc keeps freed memory, where page faults were three quarters of all time
        parted = segments(self.dtype, stride)
        total = sum(segment.chunks for segment in parted)
        begin, end = part * total // parts, (part + 1) * total // parts
        for segment in parted:
            for k in range(max(begin, 0), min(end, segment.chunks)):
                x = segment.chunk(self.dtype, k)
                targets = [t for t in self.targets if not (total > 1000 and k % 16 and t in SLOW)]
                self.check(x, targets)
                for target in targets:
                    self.inputs[target] = self.inputs.get(target, 0) + x.size - (k > 0)
            begin, end = begin - segment.chunks, end - segment.chunks
        return self

    def check(self, x: Array, targets: list[str]) -> None:
        """Inputs of one sign, in the order of their magnitude."""
        negative = bool(np.signbit(wide(x[:1]))[0])
        name = self.function.name
        if negative and name in ODD:
            self._check_odd(x, targets)
            return
        signs = [0, 1] if name in ODD else [int(negative)]
        up = np.full((), self.up, self.dtype)
        arguments = self.function.arguments(x, up, np.ones((), self.dtype))
        with np.errstate(all="ignore"):
            exact = self.function.exact(*arguments)
            largest = self._largest_term(x)
            slices = self._slices(x)
        seen: list[list[tuple[Array, Array]]] = [[] for _ in exact]
        for target in targets:
            for i, y in enumerate(as_tuple(self.function.of(target)(*arguments))):
                errors = next((e for same, e in seen[i] if np.array_equal(bits(same), bits(y))), None)
                if errors is None:
                    errors = self._errors(y, exact[i], largest if i == 0 else None, seen[i])
                    seen[i].append((y, errors))
                    for b, part in slices:
                        self.profile[signs, b] = np.maximum(self.profile[signs, b], errors[part].max())
                    self._check_order(target, x, y, negative)
                self._keep(target, i, x, y, errors)

    def _largest_term(self, x: Array) -> Array | None:
        """The terms have opposite signs for x < 0 alone, and matter near their crossing alone."""
        near, far = abs(float(x[0])), abs(float(x[-1]))
        crossing = np.signbit(wide(x[:1]))[0] and near < 128 and not far < 2**-5
        largest = oracle.largest_term(self.function.name, x) if crossing else None
        return None if largest is None else largest * abs(self.up)

    def _slices(self, x: Array) -> list[tuple[int, slice]]:
        """The bins that the inputs fall into."""
        first, last = np.searchsorted(EDGES, np.abs(wide(x[[0, -1]])), "right")
        if first == last:
            return [(int(first), slice(None))]
        starts = [0, *np.searchsorted(np.abs(wide(x)), EDGES), x.size]
        return [(b, slice(starts[b], starts[b + 1])) for b in range(BINS) if starts[b] < starts[b + 1]]

    def _errors(self, y: Array, exact: Array, largest: Array | None, seen: list[tuple[Array, Array]]) -> Array:
        """Where the result has the bits of the first one, its errors are known."""
        if seen:
            first, errors = seen[0]
            changed = np.flatnonzero(bits(first) != bits(y))
            if changed.size < y.size // 3:
                errors = errors.copy()
                errors[changed] = ulp_error(y[changed], exact[changed], None if largest is None else largest[changed])
                return errors
        return ulp_error(y, exact, largest)

    def _keep(self, target: str, output: int, x: Array, y: Array, errors: Array) -> None:
        kept = self.worst.setdefault(target, [])
        least = kept[-1].ulp if len(kept) == KEPT else 0.0
        if not errors.max() > least:
            return
        larger = np.flatnonzero(errors > least)
        if larger.size > KEPT:
            larger = larger[np.argpartition(errors[larger], -KEPT)[-KEPT:]]
        found = [Finding(float(errors[i]), float(x[i]), self.up, output, float(y[i])) for i in larger]
        self.worst[target] = _worst_of(kept + found)

    def _check_order(self, target: str, x: Array, y: Array, negative: bool) -> None:
        name = self.function.name
        if name not in RANGES:
            return
        with np.errstate(invalid="ignore"):  # NaN of 16 bits
            low, high = np.array(RANGES[name], y.dtype)
            outside = np.flatnonzero((y < low) | (y > high))
            self._report(target, "leaves its range", x, outside)
            earlier, later = (y[1:], y[:-1]) if negative else (y[:-1], y[1:])
            self._report(target, "is not monotone", x, np.flatnonzero(later < earlier))

    def _check_odd(self, x: Array, targets: list[str]) -> None:
        """Instead of errors: those of -x are known."""
        sign = bits(np.full((), -0.0, self.dtype))
        for target in targets:
            f = self.function.of(target)
            self._report(target, "is not odd", x, np.flatnonzero(bits(f(x)) ^ sign != bits(f(-x))))

    def _report(self, target: str, what: str, x: Array, where: Array) -> None:
        if where.size and len(self.broken) < 100:
            self.broken.append(f"{self.function.name}, {self.dtype}, {target}: {what} at x = {x[where[0]]!s}")


def _worst_of(findings: list[Finding]) -> list[Finding]:
    return sorted(dict.fromkeys(findings), reverse=True)[:KEPT]


def merge(sweeps: list[Sweep]) -> Sweep:
    """Parts of one function and dtype, any of them with its own ``up``, as one."""

    def merged(a: Sweep, b: Sweep) -> Sweep:
        return dataclasses.replace(
            a,
            inputs={t: a.inputs.get(t, 0) + b.inputs.get(t, 0) for t in a.targets},
            worst={t: _worst_of(a.worst.get(t, []) + b.worst.get(t, [])) for t in a.targets},
            profile=np.maximum(a.profile, b.profile),
            broken=a.broken + b.broken,
        )

    return functools.reduce(merged, sweeps)


def ups(f: Function, dtype: np.dtype) -> list[float]:
    """What is gated, where anything is. The last one makes sub-normal numbers of almost all."""
    return [1.0, -0.7310585786300049, 1.3 * 2.0 ** (-3 * finfo(dtype).maxexp // 4)] if "up" in f.inputs else [1.0]


def verdict(sweep: Sweep) -> dict[str, Any]:
    """The worst input of every target, by mpmath; only the error where all are exact."""

    @functools.cache
    def again(finding: Finding) -> tuple[float, float]:
        return exact_ulp(sweep.function, sweep.dtype, finding)

    result: dict[str, Any] = {}
    for target in sweep.targets:
        result[target] = {"ulp": 0.0}
        for finding in sweep.worst.get(target, []):
            ulp, exact = again(finding)
            if ulp > result[target]["ulp"]:
                result[target] = {**finding._asdict(), "ulp": ulp, "exact": exact}
    return result
