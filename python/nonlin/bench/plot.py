"""The picture: bars of speed-up on a log axis."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from nonlin.bench.contenders import MODES
from nonlin.bench.measure import Measurement
from nonlin.bench.report import Run

COLOURS = ("#4477aa", "#ee8866", "#228833", "#aa3377", "#bbbb33")
INCHES_PER_FUNCTION = 0.34

Panel = dict[str, Measurement]  # by label


def save(run: Run, path: Path) -> None:
    """Draw one panel per size. The format follows from the name of the file."""
    grids = _grids(run.measurements)
    labels = [list(dict.fromkeys(label for panel in grid.values() for label in panel)) for grid in grids]
    heights = [1.0 + INCHES_PER_FUNCTION * len(names) for names in labels]
    figure = Figure(figsize=(15, sum(heights) + 0.9), layout="constrained")
    dtype = run.measurements[0].case.dtype
    figure.suptitle(
        f"How many times as long each contender takes as nonlin ({dtype}, {run.threads} thread(s))\n"
        "bar: fresh result, dot: out= (of a contender without it: its fresh result)"
    )
    parts = figure.subfigures(len(grids), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, grid, names in zip(parts, grids, labels, strict=True):
        limits = _limits(grid, run.peers)
        panels = part.subplots(1, len(grid), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (title, panel) in zip(panels, grid.items(), strict=True):
            axes.set_title(title, fontsize=10)
            _bars(axes, [panel.get(name) for name in names], run.peers)
            _axes(axes, names, limits)
    handles = [Patch(color=colour, label=peer) for peer, colour in zip(run.peers, COLOURS, strict=False)]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
    figure.savefig(path, dpi=110)


def _grids(measurements: Sequence[Measurement]) -> list[dict[str, Panel]]:
    """Rows of panels, each panel with its title: forward, backward, along rows, losses."""
    forward: dict[str, Panel] = {}
    backward: dict[str, Panel] = {}
    rows: dict[str, Panel] = {}
    losses: dict[str, Panel] = {}
    for m in measurements:
        name, size = m.case.key.removesuffix("_backward"), m.case.size
        if m.case.kind == "losses":
            losses.setdefault("losses", {})[m.case.name] = m
        elif m.case.kind == "rows":
            rows.setdefault(size, {})[name] = m
        elif m.case.key == name:
            forward.setdefault(f"forward, {size} elements", {})[name] = m
        else:
            backward.setdefault(f"backward, {size} elements", {})[name] = m
    if len(forward) == len(backward) == 1:
        forward, backward = forward | backward, {}  # side by side
    return [grid for grid in (forward, backward, rows, losses) if grid]


def _median(m: Measurement | None, peer: str, mode: str) -> float:
    ratios = m.ratios(peer, mode) if m and ("nonlin", mode) in m.seconds else None
    return np.nan if ratios is None else float(np.median(ratios))


def _limits(grid: dict[str, Panel], peers: list[str]) -> tuple[float, float]:
    """An axis that holds every ratio, and 1."""
    values = [_median(m, peer, mode) for panel in grid.values() for m in panel.values() for peer in peers for mode in MODES]
    return float(np.nanmin([1, *values])) / 1.3, float(np.nanmax([1, *values])) * 1.3


def _bars(axes: Any, measurements: Sequence[Measurement | None], peers: list[str]) -> None:
    """Functions from top to bottom, a bar for each contender, from 1 to its ratio."""
    thickness = 0.8 / len(peers)
    for number, peer in enumerate(peers):
        colour = COLOURS[number % len(COLOURS)]
        y = np.arange(len(measurements)) - 0.4 + (number + 0.5) * thickness
        fresh, out = (np.array([_median(m, peer, mode) for m in measurements]) for mode in MODES)
        axes.barh(y, fresh - 1, thickness, left=1, color=colour)
        axes.plot(out, y, "o", color=colour, markersize=4, markeredgecolor="black", markeredgewidth=0.6)


def _axes(axes: Any, names: list[str], limits: tuple[float, float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(limits)
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 3) if limits[1] / limits[0] < 1000 else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.grid(axis="x", alpha=0.4)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
