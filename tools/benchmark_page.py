"""Write the results of a benchmark run as pages: ``python tools/benchmark_page.py run.json company.json`` (of ``--save``).

It writes the page docs/benchmarks.md, and the README's table between the comments that mark it.
"""

import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nonlin.bench import cases
from nonlin.bench.company import USUAL
from nonlin.bench.report import ACCURATE, error_text, geometric_mean, nearest_sentence

ROOT = Path(__file__).parents[1]
PAGE, README = ROOT / "docs" / "benchmarks.md", ROOT / "README.md"

Case = dict[str, Any]

INTRODUCTION = """\
# Benchmarks

Made by `make benchmarks`, from `python -m nonlin.bench`.

{machine}

The contenders are called in turn, each for a millisecond after a fifth of one to warm up, once their results were compared.
*nonlin* is the median of its times. The columns of the contenders hold their time over nonlin's, the median over the
rounds, **bold** where the contender is faster; one without `out=` stands there with a fresh result. NumPy stands for the
formulas of `nonlin.reference`. JAX's functions are compiled (`jax.jit`), its arrays made beforehand, its results waited
for, its pool of threads made as large as everyone's. ONNX Runtime runs models of one
operator, and `out=` is an array bound to them; XNNPACK runs those of LiteRT, and `out=` is its own memory. oneDNN is the
one in torch, through tensors of its own. numba's loops are such as its users write. After the calls of a contender whose
threads spin, these get the time to stop.

In brackets stands the **largest error** found, in ULP (units in the last place of the exact value, or where a gradient
crosses zero away from 0, of the terms that cancel there). It is measured once for each case and contender, beside the
formulas of `nonlin.reference` in float64, or in long double for float64: on the case's own numbers (a million entries of
the large elementwise functions and rows, all of losses), and on 262,144 others of the same function. Those are, for
elementwise functions, numbers of both signs from 2^-126 to 128 in size, half of them evenly spaced and half in their
logarithms; for logits along rows, normally distributed ones with a standard deviation of 10, where the case's own have 2. A
result counts where the exact one is 0 or in the normal range, as some flush smaller ones to zero. *Nearest* is the fastest
of the contenders whose error is at most {accurate} ULP.

*Of limit* is the least time that the machine allows, over nonlin's. That time is the larger of two:

- for the **bytes** that have to be moved, every input read and every result written once: what is written goes with as
  much to read at the pace of a copy, the rest at that of reading or writing alone. These are measured right before and
  after each case, with as many threads, on arrays of the case's size rounded down to a power of two (from 32 KB to
  128 MB), in loops within one call, with stores through the caches and past them: the faster counts;
- for the **exponentials** that have to be computed: by the cheapest exponential that nonlin has, of numbers in the
  first-level cache, summed up and not stored, with as many threads. One per entry, of those functions that have any; a
  logarithm does not count.

The limit holds neither the time of a call, which is most of the time of 100 elements, nor the page faults of a fresh result.
The letter says what sets it: m for memory, e for exponentials.

## In company

Calls where they stand in programs: between matrix products of NumPy, whose threads want the same cores. Each program is
timed as a whole, and so is torch doing all of it. *a core taken*: beside another process that keeps one core busy; *1 ms
apart*: with a pause between the steps. *Of parts*: the time of a step over that of its products alone and its call alone on
one thread. The training step is a network with gelu and cross-entropy, forward, backward and gradient descent;
scikit-learn's is an epoch of `MLPClassifier((256, 128))` on its digits, with nonlin's functions in the place of its own.

The processors of a virtual machine may be two cores beside each other, and a minute later two threads of one core, or cores
of two dies. A round counts if a product on two threads takes at most {usual} times its least time before and after it. Where
it took longer for minutes, every round counts, and the time has a star.

{company}

## All peers

{nearest}

{peers}

## Ceilings

{ceilings}

![All cases under the ceilings](roofline.png)

## Summary

Geometric mean of the ratios (the least of them), and in how many results the contender is ahead. The best contender is the
fastest in each single result.

{summary}

![Speed-ups of all cases](benchmark.png)
"""


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, name in ((1e-3, "ms"), (1e-6, "µs")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds * 1e9:.3g} ns"


def factor(ratio: float) -> str:
    """Two digits, in bold where the contender is faster."""
    text = f"{ratio:.2g}x" if ratio < 10 else f"{ratio:.0f}x"
    return f"**{text}**" if ratio < 1 else text


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown, its first column to the left."""
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---", *["---:"] * (len(lines[0]) - 1)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def peers_of(run: Case) -> list[str]:
    """Return the contenders."""
    return [name for name in run["versions"] if name not in ("Python", "nonlin")]


def bracket(case: Case, name: str) -> str:
    """Return the largest error, where it was measured."""
    return f" ({error_text(case['errors'][name])})" if name in case["errors"] else ""


def ratios_of(case: Case, result: Case, peers: list[str]) -> list[str]:
    """Return the cells of the contenders."""
    ratios = result["ratios"]
    return [factor(ratios[peer]["median"]) + bracket(case, peer) if peer in ratios else "" for peer in peers]


def time_of(case: Case, result: Case) -> str:
    """Return nonlin's cell."""
    return duration(result["seconds"]["nonlin"]["median"]) + bracket(case, "nonlin")


def nearest_of(case: Case, result: Case, within: float = ACCURATE) -> tuple[float, str] | None:
    """Return ratio and name of the fastest contender of those within an error."""
    ratios = {peer: r["median"] for peer, r in result["ratios"].items() if case["errors"].get(peer, math.inf) <= within}
    return min(((ratio, peer) for peer, ratio in ratios.items()), default=None)


def nearest_cell(case: Case, result: Case) -> str:
    """Return it as a cell."""
    found = nearest_of(case, result)
    return f"{factor(found[0])} {found[1]}" if found else "none"


def of_limit(case: Case, result: Case) -> str:
    """Return the share of the limit, and what sets it."""
    return f"{result['share_of_limit']:.0%} {case['limit']['by'][0]}"


def of_all(ratios: list[float]) -> str:
    """Return geometric mean, least, and how often the contender is ahead."""
    if not ratios:
        return ""
    ahead = sum(ratio < 1 for ratio in ratios)
    return f"{factor(geometric_mean(ratios))} ({factor(min(ratios))})" + (f", {ahead} of {len(ratios)}" if ahead else "")


def groups_of(run: Case) -> dict[str, list[Case]]:
    """Return the cases that were measured, by kind and size."""
    groups: dict[str, list[Case]] = {}
    for case in run["cases"]:
        if case["results"]:
            groups.setdefault(case["title"], []).append(case)
    return groups


def step_time(comparison: Case) -> str:
    """Return nonlin's time, with a star where products were slow beside some rounds."""
    return duration(comparison["seconds"]["nonlin"]["median"]) + " \\*" * bool(comparison["unusual_rounds"])


def company_table(run: Case, circumstances: Iterable[str] = ()) -> str:
    """Return a line for each program in each circumstance, or in some."""
    chosen = [c for c in run["company"] if not circumstances or c["circumstance"] in circumstances]
    peers = list(dict.fromkeys(peer for c in chosen for peer in c["ratios"]))
    rows = [
        [
            f"{c['program']}, {c['circumstance']}",
            step_time(c),
            *(factor(c["ratios"][peer]) if peer in c["ratios"] else "" for peer in peers),
            "" if c["of_parts"] is None else f"{c['of_parts']:.2f}x",
        ]
        for c in chosen
    ]
    return table(["program", "nonlin", *peers, "of parts"], rows)


def summary(run: Case) -> str:
    """Return a line per size, and one for all."""
    peers = peers_of(run)
    groups = {**groups_of(run), "All": run["cases"]}
    rows = []
    for title, group in groups.items():
        medians = [
            {peer: ratio["median"] for peer, ratio in result["ratios"].items()}
            for case in group
            for result in case["results"].values()
        ]
        cells = [of_all([ratios[peer] for ratios in medians if peer in ratios]) for peer in peers]
        found = [nearest_of(case, result) for case in group for result in case["results"].values()]
        nearest = of_all([pair[0] for pair in found if pair])
        rows.append([title, *cells, of_all([min(ratios.values()) for ratios in medians if ratios]), nearest])
    return table(["", *peers, "best contender", "nearest"], rows)


def compared(run: Case) -> list[tuple[Case, str]]:
    """Return the cases of `python -m nonlin.bench --peers` and their results."""
    by_name = {case["name"]: case for case in run["cases"]}
    found = []
    for chosen, fresh in cases.peers():
        if case := by_name.get(chosen.name):
            modes = [mode for mode in ("out=", "fresh") if mode in case["results"]]
            found += [(case, mode) for mode in (modes if fresh else modes[:1])]
    return found


def peers_table(run: Case) -> str:
    """Return the table of these, with the means of all contenders."""
    peers, results = peers_of(run), compared(run)
    rows = [
        [
            f"{case['name']}, `{mode}`",
            time_of(case, case["results"][mode]),
            *ratios_of(case, case["results"][mode], peers),
            nearest_cell(case, case["results"][mode]),
        ]
        for case, mode in results
    ]
    ratios = [case["results"][mode]["ratios"] for case, mode in results]
    means = [of_all([r[peer]["median"] for r in ratios if peer in r]) for peer in peers]
    nearest = [found[0] for case, mode in results if (found := nearest_of(case, case["results"][mode]))]
    rows.append(["geometric mean (least)", "", *means, of_all(nearest)])
    return table(["case", "nonlin", *peers, "nearest"], rows)


def nearest_peer(run: Case) -> str:
    """Say who comes nearest in these cases."""
    results = compared(run)
    accurate, any_error = (
        [nearest_of(case, case["results"][mode], within) for case, mode in results] for within in (ACCURATE, math.inf)
    )
    text = nearest_sentence(accurate, any_error)
    torch = [ratios["torch"]["median"] for case, mode in results if "torch" in (ratios := case["results"][mode]["ratios"])]
    return text + (f" Over torch, without compilation: {geometric_mean(torch):.2f}x." if torch else "")


def ceilings(run: Case) -> str:
    """Return the rates, medians over the run."""
    rates = run["ceilings"]["bytes_per_second"]
    kinds = list(dict.fromkeys(kind for known in rates.values() for kind in known))
    rows = [
        [f"{int(size) >> 10} KB", *(f"{known[kind] / 1e9:.3g}" if kind in known else "" for kind in kinds)]
        for size, known in rates.items()
    ]
    exponentials = run["ceilings"]["exponentials_per_second"].items()
    text = ", ".join(f"{rate / 1e9:.3g} · 10⁹ exponentials per second in {dtype}" for dtype, rate in exponentials)
    return f"{table(['GB/s, on', *kinds], rows)}\n\n{text}"


def machine(run: Case) -> str:
    """Return what was measured, and on what."""
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    known = run["machine"]
    return (
        f"{known['processor']} ({known['platform']}), {run['threads']} threads for everyone who has threads; "
        f"nonlin in {known['config']['simd_target']}, compiled by {known['config']['compiler']}. {versions}."
    )


def page(run: Case) -> str:
    """Return docs/benchmarks.md."""
    peers = peers_of(run)
    text = INTRODUCTION.format(
        machine=machine(run),
        accurate=ACCURATE,
        company=company_table(run),
        usual=USUAL,
        nearest=nearest_peer(run),
        peers=peers_table(run),
        ceilings=ceilings(run),
        summary=summary(run),
    )
    for title, group in groups_of(run).items():
        rows = [
            [
                f"{case['function']}, `{mode}`",
                time_of(case, result),
                *ratios_of(case, result, peers),
                nearest_cell(case, result),
                of_limit(case, result),
            ]
            for case in group
            for mode, result in case["results"].items()
        ]
        text += f"\n## {title}\n\n{table(['function, result', 'nonlin', *peers, 'nearest', 'of limit'], rows)}\n"
    return text


def readme_table(run: Case) -> str:
    """Return the README's table: each program alone and beside a busy core."""
    programs: dict[str, dict[str, Any]] = {}
    for c in run["company"]:
        programs.setdefault(c["program"], {})[c["circumstance"]] = c
    peers = [peer for peer in ("NumPy", "torch") if any(peer in c["ratios"] for c in run["company"])]
    rows = []
    for program, found in programs.items():
        if not {"alone", "a core taken"} <= set(found):
            continue
        cells = [program]
        for circumstance in ("alone", "a core taken"):
            c = found[circumstance]
            cells.append(step_time(c))
            cells += [factor(c["ratios"][peer]) if peer in c["ratios"] else "" for peer in peers]
        rows.append(cells)
    return table(["program, time of a step", "nonlin", *peers, "a core taken: nonlin", *peers], rows)


def main(path: str, company: str) -> None:
    """Write the page and the table, whose programs are of a run of their own, without other libraries in the process."""
    run = json.loads(Path(path).read_text()) | {"company": json.loads(Path(company).read_text())["company"]}
    PAGE.write_text(page(run))
    start, end = "<!-- company -->\n", "\n<!-- /company -->"
    before, _, rest = README.read_text().partition(start)
    README.write_text(before + start + readme_table(run) + end + rest.partition(end)[2])


if __name__ == "__main__":
    main(*sys.argv[1:])
