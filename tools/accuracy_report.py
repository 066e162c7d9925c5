"""Write the README's table of errors and draw docs/accuracy.png, both from docs/accuracy.json (of ``make ulp``)."""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
COLUMNS = {"float32": ["float32"], "float64": ["float64"], "16 bits": ["float16", "bfloat16"]}
START, END = "<!-- errors found: from here on written by tools/accuracy_report.py -->", "<!-- errors found: end -->"

Run = dict[tuple[str, str], dict[str, Any]]


def load(path: Path = ROOT / "docs" / "accuracy.json") -> tuple[list[float], Run]:
    """The edges of the bins over x, and the entries by function and dtype."""
    content = json.loads(path.read_text())
    return content["edges"], {(e["function"], e["dtype"]): e for e in content["entries"]}


def largest(entries: list[dict[str, Any]]) -> str:
    """The largest error on any instruction set."""
    return f"{max(worst['ulp'] for entry in entries for worst in entry['targets'].values()):.3f}" if entries else ""


def sweep(run: Run) -> str:
    """A sentence on what was swept."""
    strides: dict[int, dict[str, None]] = {}  # of the functions, in their order
    for entry in run.values():
        strides.setdefault(entry["stride"], {})[entry["function"]] = None
    targets = list(dict.fromkeys(target for entry in run.values() for target in entry["targets"]))
    text = f"Swept on {', '.join(targets)}: all of float16 and bfloat16, the 2^32 inputs of float32, 10^8 of float64"
    for stride in sorted(strides.keys() - {1}):
        text += f"; every {stride}th of the latter two for {', '.join(strides[stride])}"
    return text + "."


def table(run: Run) -> str:
    """Forward and backward of each function, one row."""
    names = list(dict.fromkeys(name.removesuffix("_backward") for name, _ in run))
    lines = [
        sweep(run),
        "",
        "| function | " + " | ".join(COLUMNS) + " | backward: " + " | ".join(COLUMNS) + " |",
        "|---|" + "---|" * 2 * len(COLUMNS),
    ]
    for name in names:
        keys = [[(name + suffix, t) for t in dtypes] for suffix in ("", "_backward") for dtypes in COLUMNS.values()]
        cells = [largest([run[key] for key in group if key in run]) for group in keys]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def with_table(page: str, text: str) -> str:
    """The page with its table replaced."""
    return re.sub(f"{START}.*{END}", lambda _: f"{START}\n\n{text}\n\n{END}", page, flags=re.DOTALL)


def draw(edges: list[float], run: Run, path: Path) -> None:
    """Small multiples: the largest error in each bin of x, and the bounds."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(name for name, _ in run))
    columns = 6
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(18, 1 + 2 * rows), sharex=True, layout="constrained")
    count = len(edges)  # bins: below the first edge, between, above the last
    powers = -8, 0, 8
    ticks = [edges.index(2.0**power) + 1 for power in powers]
    for axis, name in zip(axes.flat, names, strict=False):
        for dtype, colour in (("float64", "C1"), ("float32", "C0")):
            if (name, dtype) not in run:
                continue
            entry = run[name, dtype]
            positive, negative = entry["profile"]
            axis.stairs([*negative[::-1], *positive], range(-count - 1, count + 2), color=colour, label=dtype)
            axis.axhline(entry["bound"], color=colour, linestyle=":", linewidth=1)
        axis.set_title(name, fontsize=9)
        axis.set_ylim(0, None)
        labels = [f"$-2^{{{power}}}$" for power in reversed(powers)] + [f"$2^{{{power}}}$" for power in powers]
        axis.set_xticks([*(-tick for tick in reversed(ticks)), *ticks], labels, fontsize=7)
        axis.tick_params(axis="y", labelsize=7)
    for axis in axes.flat[len(names) :]:
        axis.set_axis_off()
    figure.legend(*axes.flat[0].get_legend_handles_labels(), fontsize=9, loc="outside lower center", ncols=2)
    figure.suptitle("Largest error over x, in units in the last place; dotted: the bounds")
    figure.savefig(path, dpi=80)


def main() -> None:
    """Write the table and the picture."""
    edges, run = load()
    readme = ROOT / "README.md"
    readme.write_text(with_table(readme.read_text(), table(run)))
    draw(edges, run, ROOT / "docs" / "accuracy.png")


if __name__ == "__main__":
    main()
