"""Run the check of every promise, one after another: `make check-all`.

It goes on after a failure. The output of each check goes to ``build/check-all/NAME.log``, a table of all results to
``build/check-all/results.md``; ``--page`` writes the table into docs/reliability.md.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
LOGS = ROOT / "build" / "check-all"
PAGE = ROOT / "docs" / "reliability.md"
LIMIT = 3 * 3600  # seconds of a check
BEGIN, END = "<!-- results: begin -->\n", "<!-- results: end -->\n"


class Check(NamedTuple):
    """A promise, and the command that fails where it is broken."""

    name: str
    promise: str
    command: str


CHECKS = [
    Check("lint", "sources are typed and formatted", "make lint"),
    Check("test", "every function keeps the contract, on every instruction set", "NONLIN_EVERY_TARGET=all make test"),
    Check("slow", "so do the tests that take long", "make slow"),
    Check("docs", "the documentation builds without a warning", "make docs"),
    Check("peers", "results agree with torch, JAX and others", "make peers"),
    Check("recipes", "every recipe runs, and scikit-learn's and ONNX's own tests pass", "make recipes"),
    Check("clang", "clang's build passes the suite", "make clang"),
    Check("openmp", "the tests of threads pass with OpenMP too", "make openmp ARGS=tests/test_threads.py"),
    Check("tsan", "no data race", "make tsan"),
    Check("valgrind", "nothing outside operands, nothing uninitialised", "make valgrind"),
    Check("test-arm", "arm64 passes a sample of the suite, emulated", "make test-arm SAMPLE=0/16"),
    Check("test-x86", "so do older models of x86-64", "make test-x86 SAMPLE=0/32"),
    Check("wheel", "the wheel installs, and passes the suite", "make wheel"),
    Check("fuzz", "random calls give what the formulas give", "make fuzz SECONDS=120"),
    Check("fuzz-calls", "no call crashes, hangs or warns, whatever its arguments", "make fuzz-calls SECONDS=120"),
    Check("asan", "nothing outside operands, nothing undefined", "make asan"),
]


class Result(NamedTuple):
    check: Check
    outcome: str
    counts: str
    seconds: float

    def row(self) -> str:
        minutes, seconds = divmod(round(self.seconds), 60)
        time = f"{minutes}:{seconds:02}"
        return f"| {self.check.promise} | `{self.check.command}` | {self.outcome} | {self.counts} | {time} |"


def counts(output: str) -> str:
    """What the summary lines of pytest and of the random calls say."""
    count = r"\d+ (?:passed|failed|skipped|deselected|xfailed|warnings?|errors?)"
    lines = re.findall(rf"^=*\s*({count}(?:, {count})*) in ", output, re.MULTILINE)
    lines += re.findall(r"^(\d+ (?:cases|calls)\b[^;\n]*)", output, re.MULTILINE)
    return "; ".join(lines) or "-"


def environment() -> dict[str, str]:
    """Ours, without the ARGS that this make was told: they are not the checks' own."""
    kept = {name: value for name, value in os.environ.items() if name != "ARGS"}
    if "MAKEFLAGS" in kept:
        kept["MAKEFLAGS"] = re.sub(r"\bARGS=(\\.|\S)*", "", kept["MAKEFLAGS"])
    return kept


def run(check: Check) -> Result:
    log = LOGS / f"{check.name}.log"
    start = time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(
            check.command,
            shell=True,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment(),
            start_new_session=True,
        )
        try:
            code = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
            file.write(f"\nended after {LIMIT} s\n".encode())
    output = log.read_text(errors="replace")
    reason = re.search(r"^skipped: (.*)", output, re.MULTILINE)
    outcome = f"skipped: {reason[1]}" if reason and code == 0 else "failed" if code else "passed"
    return Result(check, outcome, counts(output), time.monotonic() - start)


def table(results: list[Result]) -> str:
    return "\n".join(
        ["| promise | command | result | tests | min:s |", "|---|---|---|---|---|", *(r.row() for r in results), ""]
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", choices=[check.name for check in CHECKS], help="these checks alone"
    )
    parser.add_argument("--list", action="store_true", help="print the checks")
    parser.add_argument("--page", action="store_true", help="write the table into docs/reliability.md")
    options = parser.parse_args(arguments)
    checks = [check for check in CHECKS if options.only is None or check.name in options.only]
    if options.list:
        print(*(f"{check.name:<11} {check.command:<34} {check.promise}" for check in checks), sep="\n")
        return 0
    LOGS.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    for check in checks:
        print(f"{check.command}, to {(LOGS / check.name).relative_to(ROOT)}.log", flush=True)
        results.append(run(check))
        print(f"  {results[-1].outcome}, {results[-1].counts}, {results[-1].seconds:.0f} s", flush=True)
        (LOGS / "results.md").write_text(table(results))  # what is there if it is stopped
    print(table(results), end="")
    if options.page:
        before, rest = PAGE.read_text().split(BEGIN)
        _, after = rest.split(END)
        PAGE.write_text(f"{before}{BEGIN}{table(results)}{END}{after}")
    return int(any(result.outcome == "failed" for result in results))


if __name__ == "__main__":
    sys.exit(main())
