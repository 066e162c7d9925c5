"""A run beside a saved one: which of nonlin's results take longer than they did.

Machines are busy, and times vary, so a result counts as slower only where two figures say so: nonlin's own time, and that
time over the one of NumPy's formula, measured in turn with it. Of both the one nearer to 1 counts. It has to be beyond the
noise: a bound for all results, and half of the spread (from the first quartile to the third) of both runs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from nonlin.bench.report import duration, geometric_mean

Json = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """A result in both runs."""

    name: str
    before: float  # seconds
    after: float
    factor: float  # how many times as long it takes
    bound: float  # beyond which the factor is no noise

    @property
    def verdict(self) -> str:
        if self.factor > self.bound:
            return "slower"
        return "faster" if self.factor < 1 / self.bound else "same"


def _results(run: Json) -> Iterator[tuple[str, Json, float | None]]:
    """Names, nonlin's seconds, and NumPy's time over nonlin's where there is one."""
    for program in run["company"]:
        yield (
            f"{program['program']}, {program['circumstance']}",
            program["seconds"]["nonlin"],
            program["ratios"].get("NumPy"),
        )
    for case in run["cases"]:
        for mode, result in case["results"].items():
            ratio = result["ratios"].get("NumPy")
            yield f"{case['name']}, {mode}", result["seconds"]["nonlin"], ratio and ratio["median"]


def changes(before: Json, after: Json, noise: float) -> list[Change]:
    """All results that both runs have, the slowest first; `noise` is in percent."""
    old = {name: (seconds, ratio) for name, seconds, ratio in _results(before)}
    found = []
    for name, seconds, ratio in _results(after):
        if name in old:
            seconds_before, ratio_before = old[name]
            factors = [seconds["median"] / seconds_before["median"]]
            if ratio and ratio_before:
                factors.append(ratio_before / ratio)
            factor = min(factors) if min(factors) > 1 else max(factors) if max(factors) < 1 else 1.0
            spread = sum((s["q3"] - s["q1"]) / s["median"] for s in (seconds, seconds_before)) / 2
            bound = 1 + noise / 100 + spread
            found.append(Change(name, seconds_before["median"], seconds["median"], factor, bound))
    return sorted(found, key=lambda change: -change.factor)


def differences(before: Json, after: Json) -> list[str]:
    """What else may have changed the times."""

    def facts(run: Json) -> dict[str, str]:
        config, versions = run["machine"]["config"], run["versions"]
        return {
            "processor": run["machine"]["processor"],
            "instruction set": config["simd_target"],
            "compiler": config["compiler"],
            "threads": str(run["threads"]),
            "NumPy": versions["NumPy"],
        }

    old, new = facts(before), facts(after)
    return [f"{name}: {old[name]}, now {new[name]}" for name in old if old[name] != new[name]]


def table(found: Sequence[Change], name: str, noise: float) -> Table:
    """Show what is beyond the noise, and how much all results have changed."""
    counts = {verdict: sum(change.verdict == verdict for change in found) for verdict in ("slower", "faster", "same")}
    mean = geometric_mean([change.factor for change in found])
    noise_text = f"the noise ({noise:g} % and half of both runs' spread)"
    result = Table(
        title=f"Beside {name}",
        caption=f"{counts['slower']} slower, {counts['faster']} faster, {counts['same']} within {noise_text}; "
        f"geometric mean {mean:.2f}x",
        title_justify="left",
        title_style="bold",
    )
    result.add_column("result")
    for heading in ("before", "now", "takes", "noise up to"):
        result.add_column(heading, justify="right", no_wrap=True)
    for change in found:
        if change.verdict != "same":
            colour = {"slower": "bold red", "faster": "green"}[change.verdict]
            times = duration(change.before), duration(change.after)
            result.add_row(change.name, *times, f"[{colour}]{change.factor:.2f}x[/]", f"{change.bound:.2f}x")
    return result
