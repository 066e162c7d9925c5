"""How it is measured: results checked first, then every contender in turn, round after round.

The machine may be busy, so nothing is compared across rounds: a ratio is the median of the ratios within each round.
"""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nonlin.bench.cases import Array, Case
from nonlin.bench.contenders import Call, Contender, arrays

SAMPLE = 1e-3  # seconds; a sample of a short call is as many calls as this takes
MIN_ROUNDS, MAX_ROUNDS = 3, 10  # in one visit to a case
SMALL = 1 << 22  # bytes; a case up to this size is visited often
COMPARED = 1 << 20  # entries that are compared of a larger result

Key = tuple[str, str]  # contender, mode


@dataclass
class Measurement:
    """Seconds per call of each contender, one for each round."""

    case: Case
    seconds: dict[Key, list[float]] = field(default_factory=dict)
    expressions: dict[Key, str] = field(default_factory=dict)
    failures: set[str] = field(default_factory=set)  # results that disagree
    missing: set[str] = field(default_factory=set)  # expressions that this version of a contender cannot run

    @property
    def small(self) -> bool:
        return self.case.bytes <= SMALL

    def ratios(self, contender: str, mode: str) -> Array | None:
        """The contender's time over nonlin's, per round. Where it has no ``out=`` its fresh result counts."""
        theirs = self.seconds.get((contender, mode)) or self.seconds.get((contender, "fresh"))
        ours = self.seconds["nonlin", mode]
        return np.array([t / o for t, o in zip(theirs, ours, strict=False)]) if theirs else None

    def gbps(self, mode: str) -> float:
        """Gigabytes per second that nonlin moves."""
        return self.case.bytes / float(np.median(self.seconds["nonlin", mode])) / 1e9


def disagreement(results: Sequence[Array], expected: Sequence[Array]) -> str | None:
    """None, or how two results differ: more than rounding in the working dtype explains."""
    if len(results) != len(expected):
        return f"{len(results)} results, not {len(expected)}"
    for result, want in zip(results, expected, strict=True):
        if result.shape != want.shape or result.dtype != want.dtype:
            return f"{result.dtype}{result.shape}, not {want.dtype}{want.shape}"
        step = max(1, want.size // COMPARED) | 1  # odd, so that it visits every column
        result, want = result.reshape(-1)[::step], want.reshape(-1)[::step]
        eps, size = np.finfo(want.dtype).eps, np.abs(want)
        wrong = ~(np.abs(result - want) <= eps * (1000 * size + 16 * size.max(initial=0)))
        if wrong.any():
            i = int(np.argmax(wrong))
            return f"{result[i]} at {i * step}, not {want[i]}"
    return None


@dataclass
class Sampler:
    """Times one call, some times in a row."""

    call: Call
    repeats: int
    seconds: list[float]

    def sample(self) -> None:
        if self.repeats > 1:
            self.call.seconds(1)  # brings data to the caches, and threads to life
        self.seconds.append(self.call.seconds(self.repeats) / self.repeats)


def prepare(measurement: Measurement, contenders: Sequence[Contender]) -> Iterator[Sampler]:
    """Samplers of the calls whose results agree with the NumPy formula's."""
    case, inputs = measurement.case, measurement.case.inputs()
    expected: list[Array] | None = None
    for contender in sorted(contenders, key=lambda c: c.name != "NumPy"):
        for mode in contender.modes(case):
            call = contender.call(case, mode, inputs)
            start = time.perf_counter()
            try:
                result = arrays(call.function())
            except (AttributeError, NotImplementedError, RuntimeError, TypeError) as error:
                if contender.name in ("nonlin", "NumPy"):
                    raise
                measurement.missing.add(f"{contender.name}: {call.expression}: {error}")
                continue
            elapsed = time.perf_counter() - start
            expected = expected or result
            if difference := disagreement(result, expected):
                measurement.failures.add(f"{case.name}, {contender.name}, {mode}: {difference}")
                continue
            key = contender.name, mode
            measurement.expressions[key] = call.expression
            yield Sampler(call, 1 if elapsed > 40 * SAMPLE else repeats(call), measurement.seconds.setdefault(key, []))


def repeats(call: Call) -> int:
    """How many calls make a sample."""
    n = 1
    while (seconds := call.seconds(n)) < SAMPLE / 4:
        n *= 4
    return max(1, round(n * SAMPLE / seconds))


def measure(measurement: Measurement, contenders: Sequence[Contender], seconds: float) -> None:
    """Visit a case: check, then time for about ``seconds``, at least three rounds, each contender once in each round."""
    end = time.perf_counter() + seconds
    samplers = list(prepare(measurement, contenders))
    for rounds in range(1, MAX_ROUNDS + 1):
        start = time.perf_counter()
        for sampler in samplers:
            sampler.sample()
        now = time.perf_counter()
        if rounds >= MIN_ROUNDS and now + (now - start) > end:
            break


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


def copy_bandwidth(threads: int) -> float:
    """Bytes per second, read and written, of a copy of 64 MB by ``threads`` threads; the best of many, as STREAM does."""
    source, target = np.ones(1 << 24, np.float32), np.zeros(1 << 24, np.float32)
    pieces = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    times = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(25):
            start = time.perf_counter()
            list(pool.map(lambda piece: np.copyto(*piece), pieces))
            times.append(time.perf_counter() - start)
    return 2 * source.nbytes / min(times)
