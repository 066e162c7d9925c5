"""Fit the polynomials of the vector maths and print them as C++ arrays.

    python tools/minimax.py            lists the fits
    python tools/minimax.py exp_f32    prints one of them

A fit is a polynomial p on [lo, hi] that minimises max |weight(x) (p(x) - f(x))|: Remez
exchange on a dense grid, in 240-bit arithmetic.  Its coefficients are then rounded one
after another, lowest order first, and the higher ones take up what the rounding changed.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby, pairwise
from typing import Any

import mpmath as mp
import numpy as np

Real = Any  # mpmath has no type hints
mp.mp.prec = 240

F32, F64 = 24, 53  # bits of a float32 and a float64
CTYPE = {F32: "float", F64: "double"}


@dataclass(frozen=True)
class Fit:
    """What to fit, on which interval, measured by which weight."""

    f: Callable[[Real], Real]
    weight: Callable[[Real], Real]
    lo: Real
    hi: Real


def value(coef: list[Real], x: Real) -> Real:
    """A polynomial at x, by Horner's rule."""
    return reduce(lambda total, c: total * x + c, reversed(coef))


@dataclass(frozen=True)
class Grid:
    """A fit sampled at Chebyshev points, denser towards the ends."""

    x: list[Real]
    f: list[Real]
    weight: list[Real]

    @classmethod
    def of(cls, fit: Fit, degree: int) -> "Grid":
        n = 32 * (degree + 2)  # even, so that a symmetric grid leaves out 0, where f may be 0/0
        mid, half = (fit.lo + fit.hi) / 2, (fit.hi - fit.lo) / 2
        x = [mid - half * mp.cos(mp.pi * i / (n - 1)) for i in range(n)]
        return cls(x, [fit.f(v) for v in x], [fit.weight(v) for v in x])

    def errors(self, coef: list[Real]) -> list[Real]:
        """Weighted error of a polynomial at every point."""
        return [w * (value(coef, x) - f) for x, f, w in zip(self.x, self.f, self.weight, strict=True)]

    def worst(self, coef: list[Real]) -> float:
        """log2 of the largest weighted error."""
        return float(mp.log(max(abs(e) for e in self.errors(coef)), 2))


def remez(grid: Grid, degree: int) -> list[Real]:
    """Coefficients of the best polynomial on the grid, lowest order first."""
    m, n = degree + 2, len(grid.x)
    points = [round((n - 1) * i / (m - 1)) for i in range(m)]
    for _ in range(40):
        # On the m points the error is to be +e, -e, +e, ...: m equations for p and e.
        rows = [[grid.x[i] ** k for k in range(degree + 1)] for i in points]
        signs = [(-1) ** j / grid.weight[i] for j, i in enumerate(points)]
        system = mp.matrix([[*row, sign] for row, sign in zip(rows, signs, strict=True)])
        *coef, level = mp.lu_solve(system, mp.matrix([grid.f[i] for i in points]))
        # New points: the largest error of every run of equal sign.
        errors = grid.errors(coef)
        runs = groupby(range(n), key=lambda i: errors[i] > 0)
        points = [max(run, key=lambda i: abs(errors[i])) for _, run in runs]
        while len(points) > m:
            del points[0 if abs(errors[points[0]]) < abs(errors[points[-1]]) else -1]
        if max(map(abs, errors)) <= abs(level) * 1.0001:
            return list(coef)
    raise ArithmeticError("the exchange did not converge")


def rounded(x: Real, bits: int, rounding: str = "n") -> Real:
    """x in this many bits: the nearest, or with "d" the next towards 0."""
    return mp.fadd(x, 0, prec=bits, rounding=rounding)


def absorb(grid: Grid, change: Real, order: int, degree: int) -> list[Real]:
    """Coefficients of orders order+1..degree that best stand in for change * x^order."""
    higher = range(order + 1, degree + 1)
    pairs = list(zip(grid.x, grid.weight, strict=True))[:: max(1, len(grid.x) // (4 * degree))]
    matrix = mp.matrix([[w * x**k for k in higher] for x, w in pairs])
    target = mp.matrix([w * change * x**order for x, w in pairs])
    return list(mp.qr_solve(matrix, target)[0])


def round_coefficients(grid: Grid, coef: list[Real], bits: int, fixed: Sequence[Real] = ()) -> list[Real]:
    """Round every coefficient to `bits`, or the first ones to what is fixed, lowest order first.

    Higher ones make up for what the rounding changed.
    """
    coef, degree = list(coef), len(coef) - 1
    for k in range(degree + 1):
        new = fixed[k] if k < len(fixed) else rounded(coef[k], bits)
        change, coef[k] = coef[k] - new, new
        if change and k < degree:
            for j, c in enumerate(absorb(grid, change, k, degree), k + 1):
                coef[j] += c
    return coef


def literal(x: Real, bits: int) -> str:
    """The shortest decimal that reads back as the same number."""
    return f"{np.float32(float(x))}f" if bits == F32 else repr(float(x))


# The fits -------------------------------------------------------------------------------


def exp_fit() -> Fit:
    """q of e^r = 1 + r + r^2 q(r); |r| <= log(2)/2, and a little more for its rounding."""
    bound = mp.mpf("0.34658")
    return Fit(lambda r: (mp.exp(r) - 1 - r) / r**2, lambda r: r**2 / mp.exp(r), -bound, bound)


def short_exp_fit(weight: Callable[[Real], Real]) -> Fit:
    """q of e^r = 1 + r q(r) for results of 16 bits."""
    bound = mp.mpf("0.34658")
    return Fit(lambda r: (mp.exp(r) - 1) / r, weight, -bound, bound)


def short_log_fit() -> Fit:
    """q of log1p(e) = e q(e); 0 <= e <= 1."""
    return Fit(lambda e: mp.log1p(e) / e, lambda e: e / mp.log1p(e), mp.mpf(2) ** -60, mp.mpf(1))


def short_tail_fit() -> Fit:
    """q of R(a) = exp(a^2/2) Phi(-a) = m q(m), m = 1 / (a + c); the shift c was found by search."""
    c = mp.mpf("3.75")

    def ratio(m: Real) -> Real:  # R / m
        a = 1 / m - c
        return mp.exp(a * a / 2) * mp.erfc(a / mp.sqrt(2)) / 2 / m

    return Fit(ratio, lambda m: 1 / ratio(m), 1 / (15 + c), 1 / c)


def log_fit() -> Fit:
    """P of log(1+f) = 2 s + s z P(z), s = f / (2+f), z = s^2; sqrt(1/2) <= 1+f <= sqrt(2)."""
    s_max = (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)

    def log(z: Real) -> Real:
        return 2 * mp.atanh(mp.sqrt(z))

    return Fit(
        f=lambda z: (log(z) / mp.sqrt(z) - 2) / z,
        weight=lambda z: z * mp.sqrt(z) / log(z),
        lo=mp.mpf(2) ** -100,  # in place of 0, where f is 0/0
        hi=s_max**2,
    )


@dataclass(frozen=True)
class Tail:
    """R(a) = exp(a^2/2) Phi(-a) = m (l0 + l1 m + m Q(T)), T = 1 - m, m = k / (a + c).

    m is rounded to a multiple of 2^-m_grid, l1 to one of 2^-l_grid and l0 to one of their product, so l0 + l1 m is exact.
    l1 keeps m Q, whose rounding counts, a small part of the sum.  l0 is the limit of R/m at infinity, phi(0)/k; c and k are
    short numbers, and k was found by search: rounding l0 and Q(0) loses next to nothing.
    """

    c: float
    k: float
    l1: float
    m_grid: int
    l_grid: int
    a_max: int

    def numbers(self) -> tuple[Real, Real, Real, Real]:
        """c, k, l0, l1."""
        c, k, l1 = mp.mpf(self.c), mp.mpf(self.k), mp.mpf(self.l1)
        scale = mp.mpf(2) ** (self.m_grid + self.l_grid)
        return c, k, mp.nint(scale / mp.sqrt(2 * mp.pi) / k) / scale, l1

    def fit(self) -> Fit:
        """Q of T, relative to R."""
        c, k, l0, l1 = self.numbers()

        def ratio(t: Real) -> Real:  # R / m
            a = k / (1 - t) - c
            return mp.exp(a * a / 2) * mp.erfc(a / mp.sqrt(2)) / 2 / (1 - t)

        return Fit(
            f=lambda t: (ratio(t) - l0) / (1 - t) - l1,
            weight=lambda t: (1 - t) / ratio(t),
            lo=1 - k / c,
            hi=1 - k / (self.a_max + c),
        )


TAIL_F32 = Tail(3, 6.0595703125, 0.0625, 16, 9, 15)
TAIL_F64 = Tail(4.5, 7.46038818359375, 0.09727954864501953, 34, 20, 39)


# Tables: a polynomial for each of many intervals, in the distance s from a centre -------------

Column = list[Real]  # what a table has for one interval
STEP = rounded(mp.log(2), F32)  # between the centres k STEP, where e^z is about 2^k
HALF = mp.mpf("0.34658")  # half of it, and a little more for rounding


def relative(f: Callable[[Real], Real], lo: Real, hi: Real) -> Fit:
    """f, by its relative error."""
    return Fit(f, lambda s: 1 / f(s), lo, hi)


def column(fit: Fit, degree: int, rounding: str = "n") -> Column:
    """The constant term, its rest, and the other coefficients."""
    grid = Grid.of(fit, degree)
    coef = remez(grid, degree)
    constant = rounded(coef[0], F32, rounding)
    rest = rounded(coef[0] - constant, F32)
    coef = round_coefficients(grid, coef, F32, [constant + rest])
    print(f"// maximum error 2^{grid.worst(coef):.2f}")
    return [constant, rest, *coef[1:]]


def scaled_column(f: Callable[[Real], Real], k: int, degree: int) -> Column:
    """2^-k f(k STEP + s)."""
    return column(relative(lambda s: mp.ldexp(f(k * STEP + s), -k), -HALF, HALF), degree)


def softplus_columns() -> list[Column]:
    """log(1 + e^z) for k = 0, 1 and from -30 on, where it is e^z; for k = 0, s/2 plus the even log(2 cosh(s/2))."""
    even = column(relative(lambda u: mp.log(2 * mp.cosh(mp.sqrt(u) / 2)), mp.mpf(2) ** -60, HALF**2), 3)
    zero = [*even[:2], mp.mpf(0.5), even[2], mp.mpf(0), even[3], mp.mpf(0), even[4]]
    return [zero, *(scaled_column(lambda z: mp.log1p(mp.exp(z)), k, 6) for k in [1, *range(-30, 0)])]


def mish_gate(z: Real) -> Real:
    """tanh(softplus(z))."""
    e = mp.exp(z)
    return e * (2 + e) / (2 + e * (2 + e))


def mish_columns() -> list[Column]:
    """tanh(softplus(z)) for k = 0 to 7 and from -24 on; the column of -24 stands for e^z too, and is between the two.

    The column of 7 reaches to z = 8.25. What counts there is the error of the product with z, which has one ULP up to 8.
    """

    def gate(k: int) -> Callable[[Real], Real]:
        return lambda s: mish_gate(k * STEP + s)

    plain = [column(relative(gate(k), -HALF, HALF), 7, "d") for k in range(7)]  # no rest below 0: mish(-0.0) is -0.0
    last = column(Fit(gate(7), lambda s: 7 * STEP + s, -HALF, mp.mpf("8.25") - 7 * STEP), 7)
    first = scaled_column(lambda z: mp.exp(z) * (1 - mp.exp(z) / 4), -24, 7)
    return [*plain, last, first, *(scaled_column(mish_gate, k, 7) for k in range(-23, 0))]


def centred_column(f: Callable[[Real], Real], lo: float, hi: float, degree: int) -> Column:
    """A centre at which f is a float to 2^-36, f there, and the other coefficients."""
    middle, slack = mp.mpf(lo + hi) / 2, mp.mpf(2) ** -14
    centres = (middle + side * j * mp.mpf(2) ** -20 for j in range(2**18) for side in (1, -1))
    centre = next(c for c in centres if abs(f(c) - rounded(f(c), F32)) < f(c) * mp.mpf(2) ** -36)
    grid = Grid.of(relative(lambda s: f(centre + s), lo - centre - slack, hi - centre + slack), degree)
    coef = round_coefficients(grid, remez(grid, degree), F32, [rounded(f(centre), F32)])
    print(f"// maximum error 2^{grid.worst(coef):.2f}")
    return [centre, *coef]


def tanh_columns() -> list[Column]:
    """tanh(a), four intervals to a binade of 1 + a, from 3 on; for a < 1/4, tanh(a)/a - 1, and for a >= 9, 1."""
    ends = [(1 + m / 4) * 2**binade - 1 for binade in range(4) for m in range(4)]
    columns = [centred_column(mp.tanh, lo, hi, 6) for lo, hi in pairwise(ends[1:14])]
    grid = Grid.of(Fit(lambda a: mp.tanh(a) / a - 1, lambda a: a / mp.tanh(a), mp.mpf(2) ** -30, mp.mpf(0.25)), 5)
    coef = round_coefficients(grid, remez(grid, 5), F32)
    print(f"// maximum error 2^{grid.worst(coef):.2f}")
    one = [mp.mpf(9), mp.mpf(1), *[mp.mpf(0)] * 6]
    in_order = [[mp.mpf(0), mp.mpf(0), *coef], *columns, one, one, one]
    return [*in_order[4:], *in_order[:4]]  # 1 + a in [1, 1.25) has the index 12


def print_table(name: str, columns: list[Column]) -> None:
    rows = ",\n".join("    {" + ", ".join(literal(x, F32) for x in row) + "}" for row in zip(*columns, strict=True))
    print(f"constexpr float {name}[{len(columns[0])}][{len(columns)}] = {{\n{rows}}};")


def print_polynomial(name: str, fit: Fit, degree: int, bits: int) -> None:
    grid = Grid.of(fit, degree)
    coef = round_coefficients(grid, remez(grid, degree), bits)
    print(f"// {name}: degree {degree}, maximum relative error 2^{grid.worst(coef):.2f}")
    lines = "".join(f"    {literal(c, bits)},\n" for c in coef)
    print(f"constexpr {CTYPE[bits]} {name}[] = {{\n{lines}}};")


def print_tail(tail: Tail, degree: int, bits: int) -> None:
    for name, value in zip(("c", "k", "l0", "l1"), tail.numbers(), strict=True):
        print(f"constexpr {CTYPE[bits]} tail_{name} = {literal(value, bits)};")
    print_polynomial("tail_q", tail.fit(), degree, bits)


FITS: dict[str, Callable[[], None]] = {
    "exp_f32": lambda: print_polynomial("exp_q", exp_fit(), 4, F32),
    "exp_rows_f16": lambda: print_polynomial("exp_q", exp_fit(), 3, F32),
    "exp_f16": lambda: print_polynomial("exp_q", short_exp_fit(lambda r: r / mp.exp(r)), 3, F32),
    "expm1_f16": lambda: print_polynomial("expm1_q", short_exp_fit(lambda r: r / mp.expm1(r)), 4, F32),
    "log1p_f16": lambda: print_polynomial("log1p_q", short_log_fit(), 6, F32),
    "tail_f16": lambda: print_polynomial("tail_q", short_tail_fit(), 6, F32),
    "exp_f64": lambda: print_polynomial("exp_q", exp_fit(), 10, F64),
    "brief_exp_f64": lambda: print_polynomial("exp_q", exp_fit(), 9, F64),
    "log_f32": lambda: print_polynomial("log_p", log_fit(), 2, F32),
    "log_f64": lambda: print_polynomial("log_p", log_fit(), 6, F64),
    "tail_f32": lambda: print_tail(TAIL_F32, 9, F32),
    "softplus_f32": lambda: print_table("softplus", softplus_columns()),
    "mish_f32": lambda: print_table("mish", mish_columns()),
    "tanh_f32": lambda: print_table("tanh", tanh_columns()),
    "tail_f64": lambda: print_tail(TAIL_F64, 22, F64),
}


def main() -> None:
    names = sys.argv[1:]
    if not names or not set(names) <= FITS.keys():
        sys.exit(f"usage: minimax.py NAME...   with NAME of {', '.join(FITS)}")
    for name in names:
        FITS[name]()


if __name__ == "__main__":
    main()
