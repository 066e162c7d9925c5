"""The tables and the JSON file of a run. The pictures are in plot.py."""

import json
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nonlin import _core
from nonlin.bench import company
from nonlin.bench.cases import short
from nonlin.bench.ceilings import PASSES, Ceilings
from nonlin.bench.contender import MODES, Contender
from nonlin.bench.measure import Measurement

ACCURATE = 2.5  # ULP: a contender whose error is larger is no peer, however fast

COLOURS = (  # of the contenders, in pictures
    *("#4477aa", "#ee8866", "#bbbb33", "#228833", "#aa3377", "#66ccee"),
    *("#000000", "#999999", "#dd2222", "#9966ff", "#ddcc77", "#332288"),
)


@dataclass
class Run:
    """Everything that was measured."""

    measurements: list[Measurement]
    contenders: list[Contender]
    ceilings: Ceilings
    others: float | None = None  # CPUs that other processes kept busy meanwhile
    comparisons: list[company.Comparison] = field(default_factory=list)  # in company
    together: bool = False  # all cases in one table

    @property
    def peers(self) -> list[str]:
        return [contender.name for contender in self.contenders if contender.name != "nonlin"]

    @property
    def threads(self) -> int:
        return self.ceilings.threads

    def best(self, m: Measurement, mode: str, within: float = np.inf) -> tuple[float, str] | None:
        """The ratio of the fastest peer, of those within an error if that is known, and its name."""
        peers = [peer for peer in self.peers if m.errors.get(peer, 0.0 if np.isinf(within) else np.inf) <= within]
        ratios = [(ratios, peer) for peer in peers if (ratios := m.ratios(peer, mode)) is not None]
        return min(((float(np.median(r)), peer) for r, peer in ratios), default=None)

    @property
    def with_errors(self) -> bool:
        return any(m.errors for m in self.measurements)

    def groups(self) -> dict[str, list[Measurement]]:
        """The measurements, by the heading they are shown under."""
        groups: dict[str, list[Measurement]] = {}
        for m in filter(lambda m: m.expressions, self.measurements):
            title = "All peers" if self.together else m.case.title
            groups.setdefault(title, []).append(m)
        return groups


def _modes(m: Measurement) -> list[str]:
    return [mode for mode in MODES if ("nonlin", mode) in m.seconds]


def _ratios(ms: Sequence[Measurement], peer: str) -> Iterator[tuple[str, str, float]]:
    """Case, mode and median ratio, wherever there is one."""
    for m in ms:
        for mode in _modes(m):
            ratios = m.ratios(peer, mode)
            if ratios is not None:
                yield m.case.name, mode, float(np.median(ratios))


def duration(seconds: float) -> str:
    unit, name = next((u, n) for u, n in ((1, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")) if seconds >= u or u == 1e-9)
    return f"{seconds / unit:.3g} {name}"


def _ratio(ratio: float) -> str:
    text = f"{ratio:.0f}x" if ratio >= 100 else f"{ratio:.1f}x" if ratio >= 10 else f"{ratio:.2f}x"
    return f"[bold red]{text}[/]" if ratio < 1 else text


def error_text(ulp: float) -> str:
    """Two digits, or a power of ten."""
    return f"{ulp:.1f}" if ulp < 10 else f"{ulp:.0f}" if ulp < 1000 else f"{ulp:.0e}".replace("e+0", "e").replace("e+", "e")


def _error(m: Measurement, name: str) -> str:
    return f" ({error_text(m.errors[name])})" if name in m.errors else ""


def print_tables(run: Run, console: Console) -> None:
    """Print what was measured in company, one table per size, and a summary."""
    if run.comparisons:
        console.print(company_table(run.comparisons))
    if not run.measurements:
        return
    for title, ms in run.groups().items():
        table = Table(title=title, title_justify="left", title_style="bold")
        table.add_column("function", no_wrap=True)
        table.add_column("result")
        nearest = ["nearest"] if run.with_errors else []
        for heading in ["time", *run.peers, *nearest, "GB/s", "of limit"]:
            table.add_column(heading, justify="right", no_wrap=not run.together)
        for m in ms:
            for mode in _modes(m):
                cells = [duration(m.median(mode)) + _error(m, "nonlin")]
                for peer in run.peers:
                    ratios = m.ratios(peer, mode)
                    cells.append("" if ratios is None else _ratio(float(np.median(ratios))) + _error(m, peer))
                if nearest:
                    best = run.best(m, mode, ACCURATE)
                    cells.append(f"{_ratio(best[0])} {best[1]}" if best else "none")
                cells.append(f"{m.case.bytes / m.median(mode) / 1e9:.3g}")
                name = m.case.name if run.together else m.case.key
                table.add_row(name, mode, *cells, f"{m.share(mode):.0%} {m.limit.by[0]}")
        console.print(table)

    peers = ", ".join(run.peers)
    console.print(
        f"time: nonlin's, median. {peers}: their time over nonlin's, median of the rounds' ratios; those without out= stand "
        "there with a fresh result. GB/s: inputs and results once each. of limit: the least time that this machine allows, "
        f"with {run.threads} thread(s), over nonlin's. It is the larger of that for the bytes (m: memory) and that for the "
        "exponentials (e), at rates measured beside each case, of which the medians stand below; it "
        "holds neither the call nor the page faults of a fresh result."
        + f" In brackets: the largest error found, in ULP. nearest: the fastest of those within {ACCURATE} ULP."
        * run.with_errors,
        highlight=False,
    )
    if run.with_errors:
        console.print(nearest_peer(run), highlight=False)
    console.print(rates(run))
    console.print(summary(run))
    if run.others is not None:
        warning = "; run it again on an idle machine" if run.others > 0.1 else ""
        console.print(f"Other processes kept {run.others:.2f} CPUs busy meanwhile{warning}.")
    slower = sorted(
        (ratio, f"{name}, {mode}: {ratio:.2f}x {peer}")
        for peer in run.peers
        for name, mode, ratio in _ratios(run.measurements, peer)
        if ratio < 1
    )
    if slower:
        console.print(f"\n[bold]nonlin is slower than a contender in {len(slower)} comparisons:[/]")
    for _, line in slower:
        console.print("  " + line, highlight=False)
    for line in sorted({line for m in run.measurements for line in m.missing}):
        console.print("[yellow]Not run:[/]", Text(line), highlight=False)


def company_table(comparisons: list[company.Comparison]) -> Table:
    """Programs, in all circumstances."""
    peers = [peer for peer in company.peers(comparisons) if peer != "nonlin"]
    caption = "time: of a step, median. of parts: over its products alone and its call alone on one thread"
    least = company.least_pace(comparisons)
    if any(c.unusual(least) for c in comparisons):
        caption += "\n*: beside products that took longer than usual, as the cores were busy or far apart"
    table = Table(
        title="In company",
        caption=caption,
        title_justify="left",
        title_style="bold",
    )
    for heading in ("program", "circumstance"):
        table.add_column(heading, no_wrap=True)
    for heading in ("time", *peers, "of parts"):
        table.add_column(heading, justify="right", no_wrap=True)
    for c in comparisons:
        ratios = [c.ratio(peer) for peer in peers]
        cells = ["" if ratio is None else _ratio(ratio) for ratio in ratios]
        parts = c.of_parts()
        table.add_row(
            c.program.name + "*" * bool(c.unusual(least)),
            c.circumstance,
            duration(c.median()),
            *cells,
            "" if parts is None else f"{parts:.2f}x",
        )
    return table


def rates(run: Run) -> Table:
    """The ceilings: exponentials, and gigabytes per second by footprint."""
    exponentials = (
        f"{rate / 1e9:.3g}e9 {dtype} exponentials/s" for dtype, rate in run.ceilings.median_exponentials().items()
    )
    table = Table(
        title="Ceilings (GB/s), by footprint", caption=", ".join(exponentials), title_justify="left", title_style="bold"
    )
    for heading in ("footprint", *PASSES):
        table.add_column(heading, justify="right", min_width=12)
    for size, known in run.ceilings.median_bandwidth().items():
        table.add_row(f"{short(size)}B", *(f"{known[kind] / 1e9:.3g}" if kind in known else "" for kind in PASSES))
    return table


def summary(run: Run) -> Table:
    """Per size and contender: the geometric mean of the ratios, the least, and how many are below 1."""
    table = Table(title="Speed-up: geometric mean (least), how often below 1", title_justify="left", title_style="bold")
    table.add_column("")
    for peer in [*run.peers, "best peer", *(["nearest"] if run.with_errors else [])]:
        table.add_column(peer, justify="right", no_wrap=not run.together)
    groups = {} if run.together else run.groups()
    for title, ms in [*groups.items(), ("All", run.measurements)]:
        columns = [[ratio for _, _, ratio in _ratios(ms, peer)] for peer in run.peers]
        columns += [
            [best[0] for m in ms for mode in _modes(m) if (best := run.best(m, mode, within))]
            for within in (np.inf, *([ACCURATE] if run.with_errors else []))
        ]
        table.add_row(title, *map(_of_all, columns))
    return table


def nearest_peer(run: Run) -> str:
    """Say which accurate contender comes nearest."""
    places = [(m, mode) for m in run.measurements for mode in _modes(m)]
    accurate, any_error = ([run.best(*place, within) for place in places] for within in (ACCURATE, np.inf))
    return nearest_sentence(accurate, any_error)


def nearest_sentence(accurate: Sequence[tuple[float, str] | None], any_error: Sequence[tuple[float, str] | None]) -> str:
    """The same from ratio and name of the nearest contender in each result: of the accurate ones, and of all."""
    texts = []
    for found, title in ((accurate, f"Nearest within {ACCURATE} ULP"), (any_error, "Nearest, whatever the error")):
        pairs = [pair for pair in found if pair]
        peers = [peer for _, peer in pairs]
        names = sorted(set(peers), key=lambda peer: (-peers.count(peer), peer))
        counts = ", ".join(f"{name} in {peers.count(name)}" for name in names) or "nobody"
        mean = f"; geometric mean {geometric_mean([ratio for ratio, _ in pairs]):.2f}x" if pairs else ""
        texts.append(f"{title}, of {len(found)} results: {counts}{mean}.")
    return " ".join(texts)


def _of_all(ratios: Sequence[float]) -> str:
    if not ratios:
        return ""
    behind = sum(ratio < 1 for ratio in ratios)
    return f"{_ratio(geometric_mean(ratios))} ({_ratio(min(ratios))})" + (f", {behind}" if behind else "")


def geometric_mean(ratios: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(ratios))))


def as_json(run: Run) -> dict[str, Any]:
    """All figures, with what is needed to read them later."""

    def spread(values: Any) -> dict[str, float]:
        q1, median, q3 = np.percentile(values, [25, 50, 75])
        return {"median": float(median), "q1": float(q1), "q3": float(q3)}

    def result(m: Measurement, mode: str) -> dict[str, Any]:
        ratios = {peer: m.ratios(peer, mode) for peer in run.peers}
        return {
            "seconds": {name: spread(times) for (name, has), times in m.seconds.items() if has == mode},
            "ratios": {peer: spread(values) for peer, values in ratios.items() if values is not None},
            "bytes_per_second": m.case.bytes / m.median(mode),
            "share_of_limit": m.share(mode),
        }

    cases = [
        {
            "name": m.case.name,
            "function": m.case.key,
            "dtype": m.case.dtype,
            "shape": list(m.case.shape),
            "kind": m.case.kind,
            "size": m.case.size,
            "title": m.case.title,
            "bytes": m.case.bytes,
            "exponentials": m.case.exponentials,
            "limit": {"seconds": m.limit.seconds, "by": m.limit.by} if m.limits else None,
            "rounds": max(map(len, m.seconds.values()), default=0),
            "results": {mode: result(m, mode) for mode in _modes(m)},
            "expressions": {f"{name}, {mode}": expression for (name, mode), expression in m.expressions.items()},
            "errors": m.errors,
            "failures": sorted(m.failures),
        }
        for m in run.measurements
    ]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "versions": {"Python": platform.python_version(), **{c.name: c.version for c in run.contenders}},
        "machine": {"platform": platform.platform(), "processor": processor(), "config": _core.config()},
        "threads": run.threads,
        "ceilings": {
            "bytes_per_second": run.ceilings.median_bandwidth(),
            "exponentials_per_second": run.ceilings.median_exponentials(),
        },
        "cpus_busy_with_others": run.others,
        "company": company.as_json(run.comparisons),
        "cases": cases,
    }


def processor() -> str:
    """The name of the CPU, as far as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def save(figures: dict[str, Any], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(figures, file, indent=1)
        file.write("\n")
