"""The report of a run as one HTML file: a plot of each table, whose points tell their figures to the mouse, and the tables.

The plots are SVG, the texts their titles; a few lines of JavaScript hide contenders. Nothing is loaded from elsewhere.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from nonlin.bench.compare import Change
from nonlin.bench.report import COLOURS, duration

ROW, TOP, LEFT, WIDTH, SHARE, END = 17, 24, 310, 560, 90, 30  # pixels: a row, its label, the plot, the bar of the limit
VERDICTS = {"slower": "#cc2222", "same": "#999999", "faster": "#228833"}

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fff }
body { max-width: 1040px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.1em; margin: 1.6em 0 .3em }
figure { margin: 0; overflow-x: auto }
svg { display: block; width: 100%; min-width: 760px; height: auto; font-size: 11.5px }
svg text { fill: #222 } svg .grid { stroke: #ddd }
svg .row:hover .band { fill: #f2f4f8 } svg .band { fill: transparent } svg circle:hover { stroke-width: 4 }
nav { position: sticky; top: 0; background: #fff; padding: .4em 0; border-bottom: 1px solid #ddd; z-index: 1 }
nav label { margin-right: 1em; white-space: nowrap; cursor: pointer }
nav i { display: inline-block; width: .8em; height: .8em; border-radius: 50%; margin: 0 .3em }
pre { font-size: 12px; line-height: 1.25; overflow-x: auto } .machine { color: #555 }
"""

SCRIPT = """
for (const box of document.querySelectorAll("nav input")) box.onchange = () => {
  for (const dot of document.querySelectorAll("." + box.name)) dot.style.display = box.checked ? "" : "none";
};
"""


@dataclass(frozen=True)
class Dot:
    """A point of a plot."""

    x: float
    colour: str
    title: str
    hollow: bool = False
    kind: str = ""  # what hides it


@dataclass(frozen=True)
class Row:
    """A line of a plot."""

    label: str
    dots: Sequence[Dot]
    share: float | None = None  # of the limit
    title: str = ""  # of the bar


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers, the more the narrower the range."""
    steps = (1, 3) if high / low > 50 else (1, 2, 5) if high / low > 5 else (1, 1.2, 1.5, 2, 3, 5, 8)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [tick for power in powers for step in steps if low <= (tick := step * 10.0**power) <= high]


def plot(rows: Sequence[Row]) -> str:
    """Draw the rows, one below the other, on a logarithmic axis of factors."""
    xs = [dot.x for row in rows for dot in row.dots] or [1.0]
    low, high = min(0.8, *xs, 1.0) / 1.1, max(1.25, *xs, 1.0) * 1.1
    bottom = TOP + ROW * len(rows)

    def place(x: float) -> float:
        return LEFT + WIDTH * math.log(x / low) / math.log(high / low)

    lines = [f'<figure><svg viewBox="0 0 {LEFT + WIDTH + SHARE + END} {bottom + 6}" role="img">']
    for tick in _ticks(low, high):
        x = f"{place(tick):.1f}"
        lines.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP - 4}" y2="{bottom}"/>')
        lines.append(f'<text x="{x}" y="{TOP - 9}" text-anchor="middle">{tick:g}x</text>')
    if any(row.share is not None for row in rows):
        lines.append(f'<text x="{LEFT + WIDTH + 12}" y="{TOP - 9}">of the limit</text>')
    for number, row in enumerate(rows):
        y = TOP + ROW * (number + 0.5)
        lines.append(f'<g class="row"><rect class="band" x="0" y="{y - ROW / 2}" width="100%" height="{ROW}"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{escape(row.label)}</text>')
        if row.share is not None:
            width = min(1.0, row.share) * SHARE
            lines.append(f'<rect x="{LEFT + WIDTH + 12}" y="{y - 4}" width="{width:.1f}" height="8" fill="#c8d0dc">')
            lines.append(f"<title>{escape(row.title)}</title></rect>")
        for dot in row.dots:
            fill = "#fff" if dot.hollow else dot.colour
            lines.append(f'<circle class="{dot.kind}" cx="{place(dot.x):.1f}" cy="{y}" r="4.5" fill="{fill}"')
            lines.append(f'stroke="{dot.colour}" stroke-width="1.5"><title>{escape(dot.title)}</title></circle>')
        lines.append("</g>")
    one = f"{place(1):.1f}"
    lines.append(f'<line x1="{one}" x2="{one}" y1="{TOP - 4}" y2="{bottom}" stroke="#222"/></svg></figure>')
    return "\n".join(lines)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _dot(number: int, name: str, peer: str, ratio: float, text: str, hollow: bool = False) -> Dot:
    return Dot(ratio, _colour(number), f"{name}\n{peer}: {ratio:.2f}x {text}", hollow, f"c{number}")


def _of_case(case: dict[str, Any], peers: Sequence[str]) -> Iterator[Row]:
    for mode, result in case["results"].items():
        name, ours, share = (
            f"{case['name']}, {mode}",
            duration(result["seconds"]["nonlin"]["median"]),
            result["share_of_limit"],
        )
        dots = []
        for number, peer in enumerate(peers):
            if ratio := result["ratios"].get(peer):
                text = f"nonlin's {ours} ({ratio['q1']:.2f} to {ratio['q3']:.2f})"
                expressions = (case["expressions"].get(f"{peer}, {of}") for of in (mode, "fresh"))
                text += "".join(f"\n{expression}" for expression in list(filter(None, expressions))[:1])
                text += f"\nlargest error {case['errors'][peer]:.3g} ULP" if peer in case["errors"] else ""
                dots.append(_dot(number, name, peer, ratio["median"], text, mode == "fresh"))
        speed = f"{result['bytes_per_second'] / 1e9:.3g} GB/s, {share:.0%} of the machine's limit"
        yield Row(f"{case['function']}, {mode}", dots, share, f"{name}\nnonlin: {ours}, {speed}")


def _of_program(program: dict[str, Any], peers: Sequence[str]) -> Row:
    name, ours = f"{program['program']}, {program['circumstance']}", duration(program["seconds"]["nonlin"]["median"])
    ratios = [(number, peer, program["ratios"].get(peer)) for number, peer in enumerate(peers)]
    return Row(name, [_dot(number, name, peer, ratio, f"nonlin's {ours}") for number, peer, ratio in ratios if ratio])


def _of_change(change: Change) -> Row:
    text = f"{change.name}\n{duration(change.before)} before, {duration(change.after)} now: {change.factor:.2f}x"
    return Row(change.name, [Dot(change.factor, VERDICTS[change.verdict], f"{text}, noise up to {change.bound:.2f}x")])


def sections(run: dict[str, Any], found: Sequence[Change] = ()) -> dict[str, str]:
    """Plots by their headings."""
    peers = _peers(run)
    groups: dict[str, list[Row]] = {}
    if found:
        title = "Time over that of the earlier run: red is slower, green faster, grey within the noise"
        groups[title] = [_of_change(change) for change in found]
    if run["company"]:
        groups["In company: whole programs"] = [_of_program(program, peers) for program in run["company"]]
    for case in run["cases"]:
        if rows := list(_of_case(case, peers)):  # none where there was no time
            groups.setdefault(case["title"], []).extend(rows)
    return {title: plot(rows) for title, rows in groups.items()}


def _peers(run: dict[str, Any]) -> list[str]:
    return [name for name in run["versions"] if name not in ("Python", "nonlin")]


def page(run: dict[str, Any], tables: str, found: Sequence[Change] = ()) -> str:
    """Return the report: of `report.as_json`, the tables as HTML, and what has changed since an earlier run."""
    config, machine = run["machine"]["config"], run["machine"]
    boxes = "".join(
        f'<label><input type="checkbox" name="c{number}" checked>'
        f'<i style="background:{_colour(number)}"></i>{escape(peer)}</label>'
        for number, peer in enumerate(_peers(run))
    )
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    where = f"{machine['processor']}, {machine['platform']}, {config['simd_target']}, {run['threads']} thread(s)"
    about = f"{where}, {run['date']}. {versions}."
    plots = "\n".join(f"<h2>{escape(title)}</h2>\n{drawn}" for title, drawn in sections(run, found).items())
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>nonlin {escape(run["versions"]["nonlin"])}: benchmark</title>
<style>{STYLE}</style>
<h1>nonlin {escape(run["versions"]["nonlin"])}: benchmark</h1>
<p class="machine">{escape(about)}</p>
<p>A point is a contender's time over nonlin's: right of the line nonlin is faster. Filled: with <code>out=</code>; hollow:
a fresh result. The bar is the least time that the machine allows, over nonlin's. Hold the mouse over a point or a bar for
its figures.</p>
<nav>{boxes}</nav>
{plots}
<h2>Tables</h2>
<pre>{tables}</pre>
<script>{SCRIPT}</script>
</html>
"""


def save(path: Path, run: dict[str, Any], tables: str, found: Sequence[Change] = ()) -> None:
    """Write the report."""
    path.write_text(page(run, tables, found), encoding="utf-8")
