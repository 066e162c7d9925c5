"""Print the README's benchmark table from a run: ``python tools/benchmark_table.py run.json`` (of ``--save``)."""

import json
import math
import sys
from pathlib import Path
from typing import Any

ELEMENTWISE = {"64K": "relu sigmoid tanh softplus gelu silu mish gelu_backward", "16M": "relu sigmoid gelu"}
ROWS = "softmax log_softmax cross_entropy cross_entropy_with_grad"
ROW_SIZES = "1x1000", "1000000x10", "65536x64", "8192x1024", "512x32000"
LOSSES = {
    "512x32000": "nll_loss categorical_cross_entropy kl_divergence kl_divergence_with_logits_with_grad",
    "16M": "binary_cross_entropy binary_cross_entropy_with_logits_with_grad",
}
NAMES = [
    *(f"{name} {size}" for size, names in ELEMENTWISE.items() for name in names.split()),
    *(f"{name} {size}" for name in ROWS.split() for size in ROW_SIZES),
    *(f"{name} {size}" for size, names in LOSSES.items() for name in names.split()),
]


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"


def ratio(result: dict[str, Any], peer: str) -> str:
    """The peer's time over nonlin's, in bold where the peer is faster."""
    if peer not in result["ratios"]:
        return ""
    median = result["ratios"][peer]["median"]
    text = f"{median:.2g}x" if median < 10 else f"{median:.0f}x"
    return f"**{text}**" if median < 1 else text


def geometric_mean(run: dict[str, Any], peer: str) -> str:
    """Of all cases, with a result in ``out=`` where there is that."""
    results = (case["results"].get("out=", case["results"]["fresh"]) for case in run["cases"] if case["results"])
    logs = [math.log(result["ratios"][peer]["median"]) for result in results if peer in result["ratios"]]
    return f"{math.exp(sum(logs) / len(logs)):.1f}x"


def main(path: str) -> None:
    """Print the table."""
    run = json.loads(Path(path).read_text())
    cases = {case["name"]: case["results"] for case in run["cases"]}
    peers = [name for name in run["versions"] if name not in ("Python", "nonlin")]
    print("| case | result | nonlin |", " | ".join(f"{peer} {run['versions'][peer]}" for peer in peers), "|")
    print("|---|---|---|" + "---|" * len(peers))
    for name in NAMES:
        mode = "out=" if "out=" in cases[name] else "fresh"
        result = cases[name][mode]
        time = duration(result["seconds"]["nonlin"]["median"])
        print(f"| {name} | `{mode}` | {time} |", " | ".join(ratio(result, peer) for peer in peers), "|")
    print(f"| all {len(cases)} cases, geometric mean | | |", " | ".join(geometric_mean(run, peer) for peer in peers), "|")


if __name__ == "__main__":
    main(*sys.argv[1:])
