"""Fit the polynomials of the vector maths and print them as C++ arrays.

    python tools/minimax.py            lists the fits
    python tools/minimax.py exp_f32    prints one of them

A fit is a polynomial p on [lo, hi] that minimises max |weight(x) (p(x) - f(x))|: Remez
exchange on a dense grid, in 240-bit arithmetic.  Its coefficients are then rounded one
after another, lowest order first, and the higher ones take up what the rounding changed.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
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
        return [w * (mp.polyval(coef[::-1], x) - f) for x, f, w in zip(self.x, self.f, self.weight, strict=True)]

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


def rounded(x: Real, bits: int) -> Real:
    with mp.workprec(bits):
        return +x


def absorb(grid: Grid, change: Real, order: int, degree: int) -> list[Real]:
    """Coefficients of orders order+1..degree that best stand in for change * x^order."""
    higher = range(order + 1, degree + 1)
    pairs = list(zip(grid.x, grid.weight, strict=True))[:: max(1, len(grid.x) // (4 * degree))]
    matrix = mp.matrix([[w * x**k for k in higher] for x, w in pairs])
    target = mp.matrix([w * change * x**order for x, w in pairs])
    return list(mp.qr_solve(matrix, target)[0])


def round_coefficients(grid: Grid, coef: list[Real], bits: int) -> list[Real]:
    """Round every coefficient to `bits`, lowest order first; higher ones make up for it."""
    coef, degree = list(coef), len(coef) - 1
    for k in range(degree + 1):
        new = rounded(coef[k], bits)
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
    "log_f32": lambda: print_polynomial("log_p", log_fit(), 2, F32),
    "log_f64": lambda: print_polynomial("log_p", log_fit(), 6, F64),
    "tail_f32": lambda: print_tail(TAIL_F32, 9, F32),
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
