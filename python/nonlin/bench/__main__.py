"""Measure nonlin beside other libraries, print tables, and write the figures, pictures and a report where asked to.

The exit code is 1 where a result of nonlin is wrong, or where --compare finds one that takes longer than it did.
"""

import argparse
import importlib
import importlib.util
import io
import json
import math
import re
import sys
import time
from pathlib import Path
from typing import Any

import nonlin
from nonlin.bench import accuracy, cases, ceilings, company, contenders
from nonlin.bench.cases import Case

SECONDS, QUICK_SECONDS = 130.0, 40.0  # of measuring
FULL_PATIENCE = 300.0  # seconds, see company.PATIENCE
COMPANY_ROUNDS = 40  # of a run without limit; not counted as measuring, as a busy process runs beside some
NOISE = 10.0  # percent: --compare finds nothing slower within that
OVERTIME = 1.2  # on a slow machine, cases that have not begun by then are left out
PICTURES = ".png", ".svg", ".pdf"


def new_file(path: str) -> Path:
    """Refuse, before anything is measured, a file that could not be written afterwards."""
    if not Path(path).parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {Path(path).parent}")
    return Path(path)


def names(text: str) -> list[str]:
    """The contenders' names, whatever their capitals."""
    known = {name.casefold(): name for name in contenders.LOADERS}
    given = [name.strip().casefold() for name in text.split(",")]
    if unknown := [name for name in given if name not in known]:
        raise argparse.ArgumentTypeError(f"no contender is called {unknown[0]!r}; it takes {', '.join(known.values())}")
    return [known[name] for name in given]


def saved_run(path: str) -> dict[str, Any]:
    """Refuse, before anything is measured, what --save has not written."""
    try:
        run: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        if not {"cases", "company", "machine", "threads", "versions"} <= set(run):
            raise ValueError
    except (OSError, TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{path} is no file that --save wrote") from error
    return run | {"path": path}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m nonlin.bench", description=__doc__)
    add = parser.add_argument
    offered = [name for name in contenders.LOADERS if name not in contenders.ALWAYS]
    add("--quick", action="store_true", help="within a minute: elementwise functions at 64K elements only")
    add("--full", action="store_true", help="no time limit, all rounds of every case, the largest errors too")
    add(
        "--peers",
        action="store_true",
        help="so for a choice of cases, in one table with all contenders: --compile, no company",
    )
    add(
        "--seconds", type=float, metavar="N", help="of measuring, shared by the cases; --full and --peers have no limit else"
    )
    add("--only", default="", metavar="REGEX", help="only cases whose name holds this regular expression")
    add(
        "--against",
        type=names,
        metavar="NAMES",
        help=f"only these contenders, with commas, beside NumPy's formulas, which check the results: {', '.join(offered)}",
    )
    add("--list", action="store_true", help="print the names of the cases, measure nothing")
    add("--threads", type=int, default=nonlin.get_num_threads(), metavar="N", help="threads of each contender")
    add("--dtype", choices=cases.DTYPES, default="float32", help="16-bit floats: elementwise functions and rows only")
    add("--compile", action="store_true", help="torch.compile as a further contender: needs a C++ compiler, takes minutes")
    add("--save", metavar="FILE", type=new_file, help="write all figures as JSON")
    add("--compare", metavar="FILE", type=saved_run, help="show what takes longer than in this run of --save, or less")
    add(
        "--noise",
        type=float,
        default=NOISE,
        metavar="PERCENT",
        help="--compare takes for noise what is within so much and half of both runs' spread; %(default)s by default",
    )
    add("--html", metavar="FILE", type=new_file, help="write a report with plots, for a browser")
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
        options.only = re.compile(options.only)
    except re.error as error:
        parser.error(f"--only is not a regular expression: {error}")
    if options.peers and options.dtype != "float32":
        parser.error("--dtype does not go with --peers, whose cases have dtypes of their own")
    if options.seconds is not None and not options.seconds > 0:
        parser.error(f"--seconds takes more than 0, not {options.seconds}")
    if not options.noise >= 0:
        parser.error(f"--noise takes 0 or more percent, not {options.noise}")
    if options.against is None:
        options.compile |= options.peers
    elif options.compile:
        options.against.append("torch.compile")
    return options


def select(options: argparse.Namespace) -> list[Case]:
    """The cases of a run, from small to large."""
    compared = [case for case, _ in cases.peers()]
    if options.peers:
        return [case for case in compared if options.only.search(case.name)]
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
    return [case for case in chosen if options.only.search(case.name)]


def select_company(options: argparse.Namespace) -> list[company.Comparison]:
    """The comparisons of a run."""
    if options.quick or options.peers or options.dtype != "float32":
        return []
    return [comparison for comparison in company.comparisons() if options.only.search(comparison.name)]


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    chosen, in_company = select(options), select_company(options)
    if options.list:
        print(*(comparison.name for comparison in in_company), *(case.name for case in chosen), sep="\n")
        return 0
    if not chosen and not in_company:
        print(f"no case matches {options.only.pattern!r}; --list prints them all", file=sys.stderr)
        return 2
    if options.compare:
        programs = {f"{c['program']}, {c['circumstance']}" for c in options.compare["company"]}
        measured = programs | {case["name"] for case in options.compare["cases"]}
        if not measured & {*(case.name for case in chosen), *(comparison.name for comparison in in_company)}:
            print(f"{options.compare['path']} has none of these cases", file=sys.stderr)
            return 2
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.text import Text

        from nonlin.bench import compare, measure, page, report

        if options.plot or options.bars:
            from nonlin.bench import plot
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        print(f'{missing} is not installed; it comes with the extra "bench": pip install "nonlin[bench]"', file=sys.stderr)
        return 2

    try:
        competing = contenders.load(options.threads, options.against, compiled=options.compile)
    except ModuleNotFoundError as error:
        print(f"--against names what is not installed: {error.name or error}", file=sys.stderr)
        return 2
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
    seconds = options.seconds or (math.inf if unlimited else QUICK_SECONDS if options.quick else SECONDS)
    torch = next((importlib.import_module("torch") for c in competing if c.name == "torch"), None)
    rounds = COMPANY_ROUNDS if options.full else company.ROUNDS
    visits = measure.schedule(measurements)
    columns = TextColumn("{task.description:<42}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(in_company) + len(visits))
        pace = company.Pace(FULL_PATIENCE if options.full else company.PATIENCE)
        for comparison in in_company:
            progress.update(task, description=comparison.name)
            company.compare(comparison, torch, rounds, pace)
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
    figures = report.as_json(run)
    changes = compare.changes(options.compare, figures, options.noise) if options.compare else []
    if options.compare:
        console.print(compare.table(changes, options.compare["path"], options.noise))
        for difference in compare.differences(options.compare, figures):
            console.print("[yellow]Not as then:[/]", Text(difference), highlight=False)
    if options.save:
        report.save(figures, options.save)
    if options.html:
        copy = Console(record=True, file=io.StringIO(), width=console.width)
        report.print_tables(run, copy)
        page.save(options.html, figures, copy.export_html(inline_styles=True, code_format="{code}"), changes)
    if options.plot and chosen:
        plot.save(plot.roofline(run), options.plot)
    if options.bars and chosen:
        plot.save(plot.bars(run), options.bars)
    failures = [failure for m in run.measurements for failure in sorted(m.failures)]
    for failure in failures:
        print("results disagree:", failure, file=sys.stderr)
    wrong = any(failure.startswith("nonlin:") for failure in failures)  # contenders may be less accurate
    return 1 if wrong or any(change.verdict == "slower" for change in changes) else 0


if __name__ == "__main__":
    sys.exit(main())
