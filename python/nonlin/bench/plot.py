"""The pictures: all cases under the machine's ceilings, and bars of speed-up on a log axis."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from PIL import Image

from nonlin.bench.cases import SIZES, short
from nonlin.bench.ceilings import footprint
from nonlin.bench.contender import MODES
from nonlin.bench.measure import Measurement
from nonlin.bench.report import COLOURS, Run

DPI = 110
INCHES_PER_FUNCTION, INCHES_PER_BAR = 0.14, 0.04
FONT, LINE_INCHES = 7, 0.115  # of the labels in the roofline
BEHIND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.4}

Panel = dict[str, Measurement]  # by label


def save(figure: Figure, path: Path) -> None:
    """Write a picture; a PNG with 256 colours, which take a quarter of the bytes and look the same."""
    figure.savefig(path, dpi=DPI)
    if path.suffix.lower() == ".png":
        with Image.open(path) as picture:
            picture.quantize(dither=Image.Dither.NONE).save(path, optimize=True)


def roofline(run: Run) -> Figure:
    """Draw one panel for each size of elementwise functions, for rows and for losses: bytes per second by intensity."""
    panels: dict[str, Panel] = {}
    for m in _drawn(run):
        if m.expressions:
            elementwise = m.case.kind == "elementwise"
            title = f"Elementwise, {m.case.size} elements" if elementwise else m.case.kind.capitalize()
            panels.setdefault(title, {})[m.case.key if elementwise else m.case.name] = m
    # High enough for the labels of the largest cluster, one above the other.
    most = [max(map(len, _clusters(_intensities(panel)))) for panel in panels.values()]
    heights = [max(5.5, 1.3 + LINE_INCHES * labels) for labels in most]
    figure = Figure(figsize=(15, sum(heights) + 0.9), layout="constrained")
    figure.suptitle(
        f"All cases under the machine's ceilings ({run.measurements[0].case.dtype}, {run.threads} thread(s))\n"
        "dot: nonlin, dash: a contender; out= where there is that, else a fresh result"
    )
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (title, panel), height in zip(grid, panels.items(), heights, strict=True):
        axes.set_title(title, fontsize=10)
        _points(axes, panel, run, LINE_INCHES / (height - 1))
    handles = [Line2D([], [], color="black", marker="o", linestyle="", label="nonlin")]
    for peer, colour in zip(run.peers, COLOURS, strict=False):
        handles.append(Line2D([], [], color=colour, marker="_", linestyle="", markeredgewidth=2, label=peer))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _drawn(run: Run) -> list[Measurement]:
    """Without the few cases of other sizes, which would have panels of their own."""
    return [m for m in run.measurements if not m.case.flat or m.case.shape[0] in SIZES or m.case.kind == "losses"]


def _points(axes: Any, panel: Panel, run: Run, line: float) -> None:
    """Draw a panel of the roofline; a line of text takes the part ``line`` of its height."""
    speeds: dict[str, float] = {}
    all_speeds: list[float] = []
    intensities = _intensities(panel)
    for x, name in intensities:
        m = panel[name]
        mode = "out=" if ("nonlin", "out=") in m.seconds else "fresh"
        y = speeds[name] = m.case.bytes / m.median(mode) / 1e9
        axes.plot(x, y, "o", color="black", markersize=4, zorder=3)
        theirs = [y / _median(m, peer, mode) for peer in run.peers]
        for their, colour in zip(theirs, COLOURS, strict=False):
            axes.plot(x, their, "_", color=colour, markersize=9, markeredgewidth=1)
        all_speeds += [y, *(their for their in theirs if np.isfinite(their))]

    width = 1.3 * (intensities[-1][0] or 0.1)
    axes.set_xlim(-0.02 * width, width)
    sizes = {footprint(m.case.bytes) for m in panel.values()}
    flat = {
        f"{kind}, {short(size)}B": rate / 1e9
        for size, rates in run.ceilings.median_bandwidth().items()
        for kind, rate in rates.items()
        if size in sizes and (kind == "copy" or "copy" not in rates)
    }
    all_speeds += flat.values()
    low, high = min(all_speeds) / 1.5, 2 * max(all_speeds)
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    ends = np.log(low), np.log(high)
    gap = line * (ends[1] - ends[0])

    for value in flat.values():
        axes.axhline(value, color="grey", linewidth=0.8)
    labels = [(value, f"{name}: {value:.3g} GB/s") for name, value in flat.items()]
    for rate in run.ceilings.median_exponentials().values():  # one rate; none if no case needs exponentials
        slope = np.geomspace(width / 1000, width, 300)
        axes.plot(slope, rate / slope / 1e9, color="grey", linewidth=0.8, linestyle="--")
        labels.append((rate / width / 1e9, f"{rate / 1e9:.3g}e9 exponentials/s"))
    labels.sort()
    for (_, text), place in zip(labels, spread([np.log(value) for value, _ in labels], gap, ends), strict=True):
        axes.text(width, np.exp(place), f"  {text}", fontsize=FONT, va="center", color="dimgrey")

    for cluster in _clusters(intensities):
        cluster.sort(key=lambda point: speeds[point[1]])
        column = max(x for x, _ in cluster) + 0.012 * width
        places = spread([np.log(speeds[name]) for _, name in cluster], gap, ends)
        for (x, name), place in zip(cluster, places, strict=True):
            axes.plot([x, column], [speeds[name], np.exp(place)], color="lightgrey", linewidth=0.5, zorder=1)
            axes.text(column, np.exp(place), name, fontsize=FONT, va="center", bbox=BEHIND)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("exponentials per byte")
    axes.set_ylabel("GB/s, inputs and results once each")
    axes.spines[["top", "right"]].set_visible(False)


def _intensities(panel: Panel) -> list[tuple[float, str]]:
    """Exponentials per byte of each case, sorted."""
    return sorted((m.case.exponentials / m.case.bytes, name) for name, m in panel.items())


def _clusters(points: list[tuple[float, str]]) -> list[list[tuple[float, str]]]:
    """Points, sorted by x, in groups far enough apart for a label between them."""
    distance = 0.1 * points[-1][0]
    clusters = [points[:1]]
    for point in points[1:]:
        if point[0] - clusters[-1][-1][0] > distance:
            clusters.append([])
        clusters[-1].append(point)
    return clusters


def spread(places: Sequence[float], gap: float, ends: tuple[float, float] = (-np.inf, np.inf)) -> list[float]:
    """Return the nearest places to some sorted ones, by least squares, that keep a gap and stay between two ends.

    Neighbours that are too close are pooled; clipping the pools' means is optimal too. Too many places begin at the lower
    end.
    """
    pools: list[list[float]] = []
    for number, place in enumerate(places):
        pools.append([place - number * gap])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    means = [float(np.mean(pool)) for pool in pools for _ in pool]
    last_start = ends[1] - (len(places) - 1) * gap
    return [max(ends[0], min(mean, last_start)) + number * gap for number, mean in enumerate(means)]


def bars(run: Run) -> Figure:
    """Draw one panel per size."""
    grids = _grids(_drawn(run))
    labels = [list(dict.fromkeys(label for panel in grid.values() for label in panel)) for grid in grids]
    per_function = INCHES_PER_FUNCTION + INCHES_PER_BAR * len(run.peers)
    heights = [1.0 + per_function * len(names) for names in labels]
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
            _axes(axes, names, limits, len(grid))
    handles = [Patch(color=colour, label=peer) for peer, colour in zip(run.peers, COLOURS, strict=False)]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


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


def _axes(axes: Any, names: list[str], limits: tuple[float, float], side_by_side: int) -> None:
    axes.set_xscale("log")
    axes.set_xlim(limits)
    has_room = side_by_side <= 3 and limits[1] / limits[0] < 1000
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 3) if has_room else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.grid(axis="x", alpha=0.4)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
