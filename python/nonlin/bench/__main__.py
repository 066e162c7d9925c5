"""``python -m nonlin.bench``: measure, print a table, and write JSON and a picture where asked to."""

import argparse
import importlib
import importlib.util
import math
import re
import sys
import time
from pathlib import Path

import nonlin
from nonlin.bench import accuracy, cases, ceilings, company, contenders
from nonlin.bench.cases import Case

SECONDS, QUICK_SECONDS = 130.0, 40.0  # of measuring, shared by the cases
COMPANY_ROUNDS = 40  # of a run without limit; not counted as measuring, as a busy process runs beside some
OVERTIME = 1.2  # on a slow machine, cases that have not begun by then are left out
PICTURES = ".png", ".svg", ".pdf"


def new_file(path: str) -> Path:
    """Refuse, before anything is measured, a file that could not be written afterwards."""
    if not Path(path).parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {Path(path).parent}")
    return Path(path)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m nonlin.bench", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="within a minute: elementwise functions at 64K elements only")
    add("--full", action="store_true", help="no time limit, all rounds of every case, the largest errors too")
    add(
        "--peers",
        action="store_true",
        help="so for a choice of cases, in one table with all contenders: --compile, no company",
    )
    add("--filter", default="", metavar="PATTERN", help="only cases whose name holds this regular expression")
    add("--list", action="store_true", help="print the names of the cases, measure nothing")
    add("--threads", type=int, default=nonlin.get_num_threads(), metavar="N", help="threads of each contender")
    add("--dtype", choices=cases.DTYPES, default="float32", help="16-bit floats: elementwise functions and rows only")
    add("--compile", action="store_true", help="torch.compile as a further contender: needs a C++ compiler, takes minutes")
    add("--save", metavar="FILE", type=new_file, help="write all figures as JSON")
    add("--plot", metavar="FILE", type=new_file, help=f"draw all cases under the machine's ceilings ({', '.join(PICTURES)})")
    add("--bars", metavar="FILE", type=new_file, help="draw the speed-ups")
    options = parser.parse_args(arguments)
    if options.threads < 1:
        parser.error(f"--threads must be at least 1, not {options.threads}")
    for option in ("plot", "bars"):
        picture = getattr(options, option)
        if picture and picture.suffix not in PICTURES:
            parser.error(f"--{option} takes {', '.join(PICTURES)}, not {picture}")
    if options.dtype == "bfloat16" and not importlib.util.find_spec("ml_dtypes"):
        parser.error("--dtype bfloat16 needs the package ml_dtypes")
    try:
        options.filter = re.compile(options.filter)
    except re.error as error:
        parser.error(f"--filter is not a regular expression: {error}")
    if options.peers and options.dtype != "float32":
        parser.error("--dtype does not go with --peers, whose cases have dtypes of their own")
    options.compile |= options.peers
    return options


def select(options: argparse.Namespace) -> list[Case]:
    """The cases of a run, from small to large."""
    compared = [case for case, _ in cases.peers()]
    if options.peers:
        return [case for case in compared if options.filter.search(case.name)]
    elementwise = list(cases.elementwise(options.dtype))
    sizes = {cases.MEDIUM} if options.quick else {cases.SMALL, cases.MEDIUM}
    chosen = [case for case in elementwise if case.shape[0] in sizes]
    chosen += cases.rows(options.dtype)
    if options.dtype not in cases.HALVES:
        chosen += cases.losses(options.dtype)
    if not options.quick:
        chosen += [case for case in elementwise if case.shape[0] == cases.LARGE]
    if options.full and options.dtype == "float32":
        chosen += [case for case in compared if case not in chosen]
    return [case for case in chosen if options.filter.search(case.name)]


def select_company(options: argparse.Namespace) -> list[company.Comparison]:
    """The comparisons of a run."""
    if options.quick or options.peers or options.dtype != "float32":
        return []
    return [comparison for comparison in company.comparisons() if options.filter.search(comparison.name)]


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    chosen, in_company = select(options), select_company(options)
    if options.list:
        print(*(comparison.name for comparison in in_company), *(case.name for case in chosen), sep="\n")
        return 0
    if not chosen and not in_company:
        print(f"no case matches {options.filter.pattern!r}; --list prints them all", file=sys.stderr)
        return 2
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        from nonlin.bench import measure, report

        if options.plot or options.bars:
            from nonlin.bench import plot
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        print(f'{missing} is not installed; it comes with the extra "bench": pip install "nonlin[bench]"', file=sys.stderr)
        return 2

    competing = contenders.load(options.threads, compiled=options.compile)
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(130, 60 + 17 * len(competing)))
    console.print(", ".join(f"{c.name} {c.version}" for c in competing), f"on {options.threads} thread(s), {options.dtype}")
    measurements, limits = [measure.Measurement(case) for case in chosen], ceilings.Ceilings(options.threads)
    if options.peers:  # a fresh result counts only for some of them
        both = {case for case, fresh in cases.peers() if fresh or not case.out}
        for m in measurements:
            m.modes = contenders.MODES if m.case in both else ("out=",)
    run = report.Run(measurements, competing, limits, comparisons=in_company, together=options.peers)

    unlimited = options.full or options.peers
    errors = accuracy.Errors() if unlimited else None
    seconds = math.inf if unlimited else QUICK_SECONDS if options.quick else SECONDS
    torch = next((importlib.import_module("torch") for c in competing if c.name == "torch"), None)
    rounds = COMPANY_ROUNDS if options.full else company.ROUNDS
    visits = measure.schedule(measurements)
    columns = TextColumn("{task.description:<42}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(in_company) + len(visits))
        for comparison in in_company:
            progress.update(task, description=comparison.name)
            company.compare(comparison, torch, rounds)
            progress.advance(task)
        start, others = time.perf_counter(), measure.others_cpu()
        for number, measurement in enumerate(visits):
            spent = time.perf_counter() - start - sum(m.compiling for m in measurements)
            if spent > OVERTIME * seconds:
                break
            progress.update(task, description=measurement.case.name)
            budget = (seconds - spent) * measure.share(visits[number:])
            measure.measure(measurement, competing, limits, budget, errors)
            progress.advance(task)

    if others is not None:
        run.others = ((measure.others_cpu() or others) - others) / (time.perf_counter() - start)

    report.print_tables(run, console)
    if left_out := [m.case.name for m in run.measurements if not m.expressions]:
        console.print(f"Left out for lack of time: {', '.join(left_out)}. --full runs them all.")
    if options.save:
        report.save(run, options.save)
    if options.plot and chosen:
        plot.roofline(run).savefig(options.plot, dpi=plot.DPI)
    if options.bars and chosen:
        plot.bars(run).savefig(options.bars, dpi=plot.DPI)
    failures = [failure for m in run.measurements for failure in sorted(m.failures)]
    for failure in failures:
        print("results disagree:", failure, file=sys.stderr)
    return 1 if any(failure.startswith("nonlin:") for failure in failures) else 0  # contenders may be less accurate


if __name__ == "__main__":
    sys.exit(main())
