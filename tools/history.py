"""Draw bench/history/history.png: nonlin's speed by release, from the runs that ``make history`` keeps there.

A run is a file of ``python -m nonlin.bench --save``, named after its release. What is drawn is the time of NumPy's formula
over nonlin's, measured in turn with it: machines differ less in that than in times.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nonlin.bench.plot import save, spread

FOLDER = Path(__file__).parents[1] / "bench" / "history"
FONT, LINE = 8, 0.16  # of a label: points, inches

Ratios = dict[str, float]


def number(file: Path) -> tuple[int, ...]:
    """The order of releases: 0.10.0 comes after 0.9.0."""
    if not re.fullmatch(r"\d+(\.\d+)*", file.stem):
        raise SystemExit(f"{file} is not named after a release")
    return tuple(map(int, file.stem.split(".")))


def ratios(run: dict[str, Any]) -> dict[str, Ratios]:
    """NumPy's time over nonlin's of each case, by kind; with ``out=`` where there is that."""
    found: dict[str, Ratios] = {}
    for case in run["cases"]:
        for mode in ("out=", "fresh"):
            if mode in case["results"]:
                kind = found.setdefault(case["kind"], {})
                kind[case["name"]] = case["results"][mode]["ratios"]["NumPy"]["median"]
                break
    return found


def draw(runs: dict[str, dict[str, Ratios]]) -> Figure:
    """One panel for each kind of case: a line for each case, with its name at the end, over the releases."""
    releases = list(runs)
    kinds = list(dict.fromkeys(kind for run in runs.values() for kind in run))
    names = {kind: list(dict.fromkeys(name for run in runs.values() for name in run.get(kind, {}))) for kind in kinds}
    height = 1.2 + LINE * max(map(len, names.values()))
    figure = Figure(figsize=(7.5 * len(kinds), height), layout="constrained")
    figure.suptitle("Time of NumPy's formula over nonlin's, by release")
    for axes, kind in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        lines = {
            name: [(x, run[kind][name]) for x, run in enumerate(runs.values()) if name in run.get(kind, {})]
            for name in names[kind]
        }
        values = [1.0, *(y for points in lines.values() for _, y in points)]
        low, high = np.log(0.8 * min(values)), np.log(1.2 * max(values))
        axes.set(title=kind.capitalize(), yscale="log", ylim=(np.exp(low), np.exp(high)), xlim=(-0.3, len(releases) - 0.7))
        axes.set_xticks(range(len(releases)), releases)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}x")
        axes.grid(axis="y", alpha=0.4)
        ordered = sorted(names[kind], key=lambda name: lines[name][-1][1])
        places = [(np.log(lines[name][-1][1]) - low) / (high - low) for name in ordered]
        for name, place in zip(ordered, spread(places, LINE / (height - 1), (0, 1)), strict=True):
            (line,) = axes.plot(*zip(*lines[name], strict=True), marker="o", markersize=4, linewidth=1)
            axes.annotate(
                f"{name}: {lines[name][-1][1]:.3g}x",
                lines[name][-1],
                (1.08, place),
                textcoords="axes fraction",
                fontsize=FONT,
                color=line.get_color(),
                va="center",
                arrowprops={"arrowstyle": "-", "color": line.get_color(), "linewidth": 0.5, "relpos": (0, 0.5)},
            )
    return figure


def main(folder: Path = FOLDER) -> None:
    """Draw all files of a folder."""
    files = sorted(folder.glob("*.json"), key=number)
    save(draw({file.stem: ratios(json.loads(file.read_text())) for file in files}), folder / "history.png")


if __name__ == "__main__":
    main()
