"""Measurement of the cases: results are checked first, then every contender is timed in turn, round after round.

The machine may be busy, so nothing is compared across rounds: a ratio is the median of the ratios within each round.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nonlin.bench import accuracy
from nonlin.bench.cases import Array, Case
from nonlin.bench.ceilings import Ceilings, Limit
from nonlin.bench.contender import MODES, Call, Contender

SAMPLE = 1e-3  # seconds; a sample of a short call is as many calls as this takes
WARM_UP = 0.2  # of a sample, run before it: brings data to the caches and wakes threads
MIN_ROUNDS, MAX_ROUNDS = 3, 10  # in one visit to a case
SMALL = 1 << 22  # bytes; a case up to this size is visited often
COMPARED = 1 << 20  # entries compared of a larger result

# By dtype: its epsilon, and by how many of them two results may differ, relative to the entry and to the largest entry.
TOLERANCES = {
    "float32": (2.0**-23, 1000, 16),
    "float64": (2.0**-52, 1000, 16),
    "float16": (2.0**-10, 8, 2),
    "bfloat16": (2.0**-7, 8, 2),
}

Key = tuple[str, str]  # contender, mode


@dataclass
class Measurement:
    """Seconds per call of each contender, one for each round."""

    case: Case
    seconds: dict[Key, list[float]] = field(default_factory=dict)
    expressions: dict[Key, str] = field(default_factory=dict)
    failures: set[str] = field(default_factory=set)  # results that disagree
    missing: set[str] = field(default_factory=set)  # expressions that this version of a contender cannot run
    limits: list[Limit] = field(default_factory=list)  # one for each visit
    compiling: float = 0.0  # seconds that contenders took to compile, not counted as measuring
    modes: tuple[str, ...] = MODES  # those that are measured
    errors: dict[str, float] = field(default_factory=dict)  # the largest of each contender, in ULP

    @property
    def small(self) -> bool:
        return self.case.bytes <= SMALL

    def ratios(self, contender: str, mode: str) -> Array | None:
        """The contender's time over nonlin's, per round. Where it has no ``out=`` its fresh result counts."""
        theirs = self.seconds.get((contender, mode)) or self.seconds.get((contender, "fresh"))
        ours = self.seconds["nonlin", mode]
        return np.array([t / o for t, o in zip(theirs, ours, strict=False)]) if theirs else None

    @property
    def limit(self) -> Limit:
        """The least time that the machine allows."""
        return Limit(
            float(np.median([limit.memory for limit in self.limits])),
            float(np.median([limit.exponentials for limit in self.limits])),
        )

    def share(self, mode: str) -> float:
        """The limit over nonlin's time."""
        return self.limit.seconds / self.median(mode)

    def median(self, mode: str) -> float:
        """Seconds that nonlin takes."""
        return float(np.median(self.seconds["nonlin", mode]))


def disagreement(results: Sequence[Array], expected: Sequence[Array]) -> str | None:
    """How two results differ, by more than rounding in the working dtype explains, or None."""
    if len(results) != len(expected):
        return f"{len(results)} results, not {len(expected)}"
    for result, want in zip(results, expected, strict=True):
        own_loss = want.ndim == 0 and result.dtype.itemsize == 2  # nonlin's loss of 16-bit numbers is float32
        if result.shape != want.shape or (result.dtype != want.dtype and not own_loss):
            return f"{result.dtype}{result.shape}, not {want.dtype}{want.shape}"
        step = max(1, want.size // COMPARED) | 1  # odd, so that it visits every column
        result, want = result.reshape(-1)[::step], want.reshape(-1)[::step]
        eps, much, little = TOLERANCES[result.dtype.name]
        result, want = (a.astype(np.float64) for a in (result, want))
        size = np.abs(want)
        wrong = ~(np.abs(result - want) <= eps * (much * size + little * size.max(initial=0)))
        if wrong.any():
            i = int(np.argmax(wrong))
            return f"{result[i]} at {i * step}, not {want[i]}"
    return None


@dataclass
class Sampler:
    """Times one call, repeated in a row."""

    call: Call
    repeats: int
    seconds: list[float]
    settles: float = 0.0

    def sample(self) -> None:
        if self.repeats > 1:
            self.call.seconds(max(1, round(WARM_UP * self.repeats)))
        self.seconds.append(self.call.seconds(self.repeats) / self.repeats)
        if self.settles:
            time.sleep(self.settles)


def prepare(
    measurement: Measurement, contenders: Sequence[Contender], errors: accuracy.Errors | None = None
) -> Iterator[Sampler]:
    """Samplers of the calls whose results agree with the NumPy formula's; their errors too, if asked for, once."""
    case, inputs = measurement.case, measurement.case.inputs()
    counting = errors if accuracy.measurable(case) and not measurement.seconds else None
    expected: list[Array] | None = None
    for contender in sorted(contenders, key=lambda c: c.name != "NumPy"):
        modes = contender.modes(case)
        for mode in [mode for mode in modes if mode in measurement.modes] or modes:
            expression = ""
            try:
                call = contender.call(case, mode, inputs)
                expression = call.expression
                if contender.compiles:
                    measurement.compiling += call.seconds(1)
                start = time.perf_counter()
                result = contender.arrays(call.function())
            except (AttributeError, NotImplementedError, RuntimeError, TypeError) as error:
                if contender.name in ("nonlin", "NumPy"):
                    raise
                reason = str(error).strip().partition("\n")[0]
                measurement.missing.add(f"{contender.name}: {expression or case.name}: {reason}")
                continue
            elapsed = time.perf_counter() - start
            expected = expected or result
            if difference := disagreement(result, expected):
                measurement.failures.add(f"{contender.name}: {case.name}, {mode}: {difference}")
                continue
            if counting:
                largest = counting.largest(contender, mode, case, result)
                measurement.errors[contender.name] = max(largest, measurement.errors.get(contender.name, 0.0))
            key = contender.name, mode
            measurement.expressions[key] = call.expression
            times = measurement.seconds.setdefault(key, [])
            yield Sampler(call, 1 if elapsed > 40 * SAMPLE else repeats(call), times, contender.settles)


def repeats(call: Call) -> int:
    """How many calls make a sample."""
    n = 1
    while (seconds := call.seconds(n)) < SAMPLE / 4:
        n *= 4
    return max(1, round(n * SAMPLE / seconds))


def measure(
    measurement: Measurement,
    contenders: Sequence[Contender],
    ceilings: Ceilings,
    seconds: float,
    errors: accuracy.Errors | None = None,
) -> None:
    """Visit a case: check, then time for about ``seconds``, at least three rounds, each contender once in each round."""
    start, compiled = time.perf_counter(), measurement.compiling
    samplers = list(prepare(measurement, contenders, errors))
    end = start + seconds + measurement.compiling - compiled
    before = ceilings.limit(measurement.case)
    for rounds in range(1, MAX_ROUNDS + 1):
        start = time.perf_counter()
        for sampler in samplers:
            sampler.sample()
        now = time.perf_counter()
        if rounds >= MIN_ROUNDS and now + (now - start) > end:
            break
    measurement.limits.append(before.best(ceilings.limit(measurement.case)))


def schedule(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Small cases at the beginning, in the middle and at the end: other work on the machine then spoils only some rounds."""
    small = [m for m in measurements if m.small]
    large = [m for m in measurements if not m.small]
    half = len(large) // 2
    return small + large[:half] + small + large[half:] + small


def share(visits: Sequence[Measurement]) -> float:
    """The part of the time left that the first of these visits may take: a small case needs a tenth of a large one's."""
    weights = [0.1 if m.small else 1.0 for m in visits]
    return weights[0] / sum(weights)


def others_cpu() -> float | None:
    """CPU seconds of all other processes since the system started; None where the system does not tell."""
    try:
        ticks = Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=9)[1:9]
    except OSError:
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK") - time.process_time()
