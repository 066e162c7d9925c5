"""The table, the JSON file and the picture."""

import json
import math
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from nonlin import _core
from nonlin.bench.contenders import MODES, Contender
from nonlin.bench.measure import Measurement


@dataclass
class Run:
    """Everything that was measured."""

    measurements: list[Measurement]
    contenders: list[Contender]
    threads: int
    copy: float = math.nan  # bytes per second of a threaded copy
    others: float | None = None  # CPUs that other processes kept busy meanwhile

    @property
    def peers(self) -> list[str]:
        return [contender.name for contender in self.contenders if contender.name != "nonlin"]

    def groups(self) -> dict[str, list[Measurement]]:
        """The measurements by what they are shown under."""
        groups: dict[str, list[Measurement]] = {}
        for m in self.measurements:
            title = f"{m.case.kind.capitalize()}, {m.case.size}" + (" elements" if m.case.flat else "")
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


def _time(seconds: float) -> str:
    unit, name = next((u, n) for u, n in ((1, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")) if seconds >= u or u == 1e-9)
    return f"{seconds / unit:.3g} {name}"


def _ratio(ratio: float) -> str:
    text = f"{ratio:.0f}x" if ratio >= 100 else f"{ratio:.1f}x" if ratio >= 10 else f"{ratio:.2f}x"
    return f"[bold red]{text}[/]" if ratio < 1 else text


def print_tables(run: Run, console: Console) -> None:
    """One table per size, and a summary."""
    for title, ms in run.groups().items():
        table = Table(title=title, title_justify="left", title_style="bold")
        table.add_column("function", no_wrap=True)
        table.add_column("result")
        for heading in ["time", *run.peers, "GB/s", "of copy"]:
            table.add_column(heading, justify="right", no_wrap=True)
        for m in ms:
            for mode in _modes(m):
                cells = [_time(float(np.median(m.seconds["nonlin", mode])))]
                for peer in run.peers:
                    ratios = m.ratios(peer, mode)
                    cells.append("" if ratios is None else _ratio(float(np.median(ratios))))
                share = m.gbps(mode) * 1e9 / run.copy
                table.add_row(m.case.key, mode, *cells, f"{m.gbps(mode):.3g}", f"{share:.0%}")
        console.print(table)

    console.print(summary(run))
    peers = ", ".join(run.peers)
    console.print(
        f"time: nonlin's, median. {peers}: their time over nonlin's, median of the rounds' ratios; those without out= stand "
        f"there with a fresh result. GB/s: inputs and results once each. of copy: share of the {run.copy / 1e9:.3g} GB/s, "
        f"read and written, of a 64 MB copy by {run.threads} thread(s); caches make it more than 100%."
    )
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
        console.print(f"[yellow]Not run:[/] {line}", highlight=False)


def summary(run: Run) -> Table:
    """Per size and contender: the geometric mean of the ratios, the least, and how many are below 1."""
    table = Table(title="Speed-up: geometric mean (least)", title_justify="left", title_style="bold")
    table.add_column("")
    for peer in run.peers:
        table.add_column(peer, justify="right", no_wrap=True)
    for title, ms in [*run.groups().items(), ("All", run.measurements)]:
        cells = []
        for peer in run.peers:
            ratios = [ratio for _, _, ratio in _ratios(ms, peer)]
            cells.append(f"{_ratio(float(np.exp(np.mean(np.log(ratios)))))} ({_ratio(min(ratios))})" if ratios else "")
        table.add_row(title, *cells)
    return table


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
            "bytes_per_second": m.gbps(mode) * 1e9,
            "share_of_copy": m.gbps(mode) * 1e9 / run.copy,
        }

    cases = [
        {
            "name": m.case.name,
            "function": m.case.key,
            "dtype": m.case.dtype,
            "shape": list(m.case.shape),
            "bytes": m.case.bytes,
            "rounds": max(map(len, m.seconds.values()), default=0),
            "results": {mode: result(m, mode) for mode in _modes(m)},
            "expressions": {f"{name}, {mode}": expression for (name, mode), expression in m.expressions.items()},
            "failures": sorted(m.failures),
        }
        for m in run.measurements
    ]
    return {
        "versions": {"Python": platform.python_version(), **{c.name: c.version for c in run.contenders}},
        "machine": {"platform": platform.platform(), "processor": processor(), "config": _core.config()},
        "threads": run.threads,
        "copy_bytes_per_second": run.copy,
        "cpus_busy_with_others": run.others,
        "cases": cases,
    }


def processor() -> str:
    """The name of the CPU, as well as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def save(run: Run, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(as_json(run), file, indent=1)
        file.write("\n")
