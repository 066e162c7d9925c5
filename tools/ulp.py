"""Sweep the elementwise functions for their largest errors: ``make ulp`` (CONTRIBUTING.md says how)."""

import argparse
import hashlib
import json
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tests import sweep
from tests.oracle import FLOATS, FUNCTIONS
from tests.sweep import Finding, Sweep

import nonlin as nl
from nonlin import _core

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "accuracy.json"
CHUNKS = {2: 1, 4: 1024, 8: 64}  # chunks in a part, by item size: a part takes a second or a few


class Part(NamedTuple):
    """The work that one process does at a time."""

    function: str
    dtype: str
    targets: tuple[str, ...]
    stride: int
    up: float
    part: int
    parts: int


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The dtype of that name, bfloat16 included."""
    return next(dtype for dtype in FLOATS if dtype.name == name)


def split(function: str, dtype: np.dtype[Any], targets: tuple[str, ...], stride: int) -> Iterator[Part]:
    """All parts of a function and dtype."""
    chunks = sum(segment.chunks for segment in sweep.segments(dtype, stride))
    parts = max(1, chunks // CHUNKS[dtype.itemsize])
    for up in sweep.ups(FUNCTIONS[function], dtype):
        for part in range(parts):
            yield Part(function, dtype.name, targets, stride, up, part, parts)


def run(part: Part) -> tuple[Part, dict[str, Any]]:
    """Sweep a part, in a process of its own, and return its results in the form to store."""
    nl.set_num_threads(1)
    done = Sweep(FUNCTIONS[part.function], numpy_dtype(part.dtype), list(part.targets), part.up)
    done.run(part.stride, part.part, part.parts)
    stored = {"inputs": done.inputs, "worst": done.worst, "profile": done.profile.tolist(), "broken": done.broken}
    return part, stored


def restored(part: Part, stored: dict[str, Any]) -> Sweep:
    """Return the sweep of a part from its stored form."""
    worst = {target: [Finding(*finding) for finding in findings] for target, findings in stored["worst"].items()}
    return Sweep(
        FUNCTIONS[part.function],
        numpy_dtype(part.dtype),
        list(part.targets),
        part.up,
        stored["inputs"],
        worst,
        np.array(stored["profile"]),
        stored["broken"],
    )


def entry(parts: list[Part], stored: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the file's entry for one function and dtype."""
    whole = sweep.merge([restored(*pair) for pair in zip(parts, stored, strict=True)])
    first = parts[0]
    return {
        "function": first.function,
        "dtype": first.dtype,
        "bound": whole.function.ulp[first.dtype],
        "stride": 1 if whole.dtype.itemsize == 2 else first.stride,
        "ups": sweep.ups(whole.function, whole.dtype) if "up" in whole.function.inputs else [],
        "targets": {t: {"inputs": whole.inputs[t], **worst} for t, worst in sweep.verdict(whole).items()},
        "broken": whole.broken,
        "profile": np.round(whole.profile, 3).tolist(),
    }


def is_broken(result: dict[str, Any]) -> bool:
    """Whether an error is above its bound, or another promise is broken."""
    most = result["bound"] + FUNCTIONS[result["function"]].slack
    return bool(result["broken"]) or any(worst["ulp"] > most for worst in result["targets"].values())


def describe(result: dict[str, Any]) -> str:
    """Return one line, and one more for each broken promise."""
    worst = " ".join(f"{target} {worst['ulp']:.4f}" for target, worst in result["targets"].items())
    line = f"{result['function']:22} {result['dtype']:9} bound {result['bound']:<4} {worst}"
    if not is_broken(result):
        return line
    return "\n".join([line + "  BROKEN", *(f"  {t}: {w}" for t, w in result["targets"].items()), *result["broken"]])


def save(path: Path, results: list[dict[str, Any]]) -> None:
    """Replace the file's entries for the same functions and dtypes, one line each."""
    entries = json.loads(path.read_text())["entries"] if path.exists() else []
    table = {(e["function"], e["dtype"]): e for e in [*entries, *results] if e["function"] in FUNCTIONS}
    order = [(name, dtype.name) for name in FUNCTIONS for dtype in FLOATS]
    lines = ",\n".join(json.dumps(table[key]) for key in order if key in table)
    path.write_text(
        f'{{"version": "{nl.__version__}",\n"edges": {json.dumps(sweep.EDGES.tolist())},\n"entries": [\n{lines}\n]}}\n'
    )


def options(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="make ulp", description=__doc__)
    parser.add_argument("--filter", default="", metavar="REGEX", help="only functions whose name matches")
    parser.add_argument("--dtype", action="append", choices=[t.name for t in FLOATS], help="only this one; may be repeated")
    parser.add_argument("--target", action="append", choices=nl.simd_targets(), help="likewise")
    parser.add_argument("--stride", type=int, default=1, help="every n-th input of float32 and float64")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier run has finished")
    parser.add_argument("--state", type=Path, default=ROOT / "build" / "ulp", help="folder of what is finished")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Sweep the parts asked for and not yet done with this very library; return 0 if every promise is kept."""
    chosen = options(arguments)
    library = hashlib.sha256(Path(str(_core.__file__)).read_bytes()).hexdigest()[:16]
    state = chosen.state / f"{library}.jsonl"
    state.parent.mkdir(parents=True, exist_ok=True)
    if chosen.fresh:
        state.unlink(missing_ok=True)
    lines = state.read_text().splitlines() if state.exists() else []
    done = {Part(part[0], part[1], tuple(part[2]), *part[3:]): stored for part, stored in map(json.loads, lines)}

    names = [name for name in FUNCTIONS if re.search(chosen.filter, name)]
    dtypes = [t for t in FLOATS if not chosen.dtype or t.name in chosen.dtype]
    targets = tuple(chosen.target or nl.simd_targets())
    wanted = [list(split(name, dtype, targets, chosen.stride)) for name in names for dtype in dtypes]
    results, start, finished = [], time.monotonic(), 0
    missing = [part for parts in wanted for part in parts if part not in done]
    with multiprocessing.get_context("spawn").Pool(chosen.jobs) as pool, state.open("a") as file:
        coming = pool.imap_unordered(run, missing)
        for parts in wanted:
            while any(part not in done for part in parts):
                part, stored = next(coming)
                file.write(json.dumps([part, stored]) + "\n")
                file.flush()
                done[part] = json.loads(json.dumps(stored))
                finished += 1
                if sys.stderr.isatty():
                    print(f"\r{finished / len(missing):6.1%} {part.function}, {part.dtype}\033[K\r", end="", file=sys.stderr)
            results.append(entry(parts, [done[part] for part in parts]))
            print(f"{time.monotonic() - start:6.0f} s  {describe(results[-1])}", flush=True)
    save(chosen.output, results)
    return int(any(map(is_broken, results)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
