"""The limit of the machine, which each case is compared with.

The limit is the larger of two times, on the run's number of threads: the time to move the bytes of the case, and the time to
compute its exponentials. The rates are measured right before and after the case, as they change with the load of the
machine, by passes that do nothing else (``_core.run_pass``). Some read, write and copy memory of the case's footprint, with
stores through the caches and past them, whichever is faster. Another computes the cheapest of nonlin's exponentials, of
numbers in the first-level cache, summed up and not stored.
"""

import functools
import time
from dataclasses import dataclass, field

import numpy as np

from nonlin import _core
from nonlin.bench.cases import Array, Case

PASSES = {  # by kind
    "read": ("read",),
    "write": ("write", "write past caches"),
    "copy": ("copy", "copy past caches"),
}
LEAST, MOST = 1 << 15, 1 << 27  # bytes of a pass
IN_CACHE = 1 << 13  # bytes per thread that stay in the first-level cache
ALIGNMENT = 4096
MOVED, SAMPLES = 1 << 26, 3  # bytes of a sample, some milliseconds; and samples, of which the best counts


def footprint(bytes: int) -> int:
    """The size that stands for a case of ``bytes``: the power of two below, which is never slower."""
    return max(LEAST, min(MOST, 1 << (bytes.bit_length() - 1)))


@dataclass
class Limit:
    """The least seconds for a case."""

    memory: float
    exponentials: float

    @property
    def seconds(self) -> float:
        return max(self.memory, self.exponentials)

    @property
    def by(self) -> str:
        return "memory" if self.memory >= self.exponentials else "exponentials"

    def best(self, other: "Limit") -> "Limit":
        return Limit(min(self.memory, other.memory), min(self.exponentials, other.exponentials))


@dataclass
class Ceilings:
    """Measures limits, and keeps all measured rates."""

    threads: int
    bandwidth: dict[tuple[int, str], list[float]] = field(default_factory=dict)  # bytes per second, by footprint and pass
    exponentials: dict[str, list[float]] = field(default_factory=dict)  # per second, by dtype

    def limit(self, case: Case) -> Limit:
        """Bytes to write, with as many to read, count at the rate of copying; the rest at the rate of reading or writing."""
        both = min(case.bytes_read, case.bytes_written)
        rest = "read" if case.bytes_read > both else "write"
        memory = 0.0
        for kind, bytes in (("copy", 2 * both), (rest, case.bytes - 2 * both)):
            if bytes > 0.01 * case.bytes:
                memory += bytes / self._bandwidth(kind, footprint(case.bytes))
        return Limit(memory, case.exponentials / self._exponentials(case.computed) if case.exponentials else 0.0)

    def median_bandwidth(self) -> dict[int, dict[str, float]]:
        """By footprint and pass."""
        rates: dict[int, dict[str, float]] = {}
        for (size, kind), values in sorted(self.bandwidth.items()):
            rates.setdefault(size, {})[kind] = float(np.median(values))
        return rates

    def median_exponentials(self) -> dict[str, float]:
        """By dtype."""
        return {dtype: float(np.median(values)) for dtype, values in self.exponentials.items()}

    def _bandwidth(self, kind: str, size: int) -> float:
        source, target = _arrays(size // 2 if kind == "copy" else size)
        rate = size / min(_seconds(name, source, target) for name in PASSES[kind])
        self.bandwidth.setdefault((size, kind), []).append(rate)
        return rate

    def _exponentials(self, dtype: str) -> float:
        source, target = _arrays(IN_CACHE * self.threads)
        numbers = source.view(dtype)
        numbers[:] = 1.0
        rate = numbers.size / _seconds(f"exponentials of {dtype}", source, target)
        self.exponentials.setdefault(dtype, []).append(rate)
        return rate


@functools.lru_cache(maxsize=8)
def _arrays(bytes: int) -> tuple[Array, Array]:
    """Two arrays that have been written to: untouched pages would all be the same one."""
    memory = np.ones(2 * bytes + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + bytes], memory[start + bytes : start + 2 * bytes]


def _seconds(name: str, source: Array, target: Array) -> float:
    """The time of one pass."""
    repeats, times = max(1, MOVED // source.nbytes), []
    for _ in range(SAMPLES):
        start = time.perf_counter()
        _core.run_pass(name, source, target, repeats)
        times.append((time.perf_counter() - start) / repeats)
    return min(times)
