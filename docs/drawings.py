"""The pictures of pages that are written by hand, of the same kind as those of `figures`."""

import contextlib
import functools
import io
import re
import runpy
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import matplotlib as mpl
import numpy as np
import scipy.special
from figures import (
    BLUE,
    FUNCTIONS,
    GREEN,
    HERE,
    INK,
    ORANGE,
    PALE,
    PAPER,
    Array,
    Drawing,
    activations,
    function,
    kind,
    panel,
    slope,
    tables,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import nonlin as nl
from nonlin import reference

# The start page, and benchmarks


def ratio(cell: str) -> float:
    """A figure such as ``**0.96x**`` as a number."""
    found = re.search(r"[\d.]+(?=x)", cell)
    return float(found[0]) if found else np.nan


@functools.cache
def company() -> dict[str, dict[str, tuple[float, float]]]:
    """The benchmark in company: by circumstances and program, the time of NumPy and torch over nonlin's."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for heading, head, body in tables(HERE / "benchmarks.md"):
        if heading == "In company":
            numpy, torch = head.index("NumPy"), head.index("torch")
            for cells in body:
                program, _, how = cells[0].rpartition(", ")
                found.setdefault(how, {})[program] = ratio(cells[numpy]), ratio(cells[torch])
    return found


@kind
def company_bars(how: str) -> Drawing:
    """A whole step of each program: the time of the others over nonlin's."""
    programs = company()[how.replace("_", " ")]
    figure, axes = panel({"alone": "two cores free"}.get(how, "one of two cores taken"), size=(3.9, 4.1))
    places = np.arange(len(programs))[::-1]
    for i, (who, colour) in enumerate((("NumPy formulas", ORANGE), ("torch", GREEN))):
        values = [both[i] for both in programs.values()]
        axes.barh(places + (0.19 if i == 0 else -0.19), np.nan_to_num(values), 0.36, color=colour, label=who)
        for place, value in zip(places, values, strict=True):
            if np.isfinite(value):
                at = place + (0.19 if i == 0 else -0.19)
                axes.annotate(f"{value:g}", (max(value, 1), at), (3, 0), textcoords="offset points", va="center", fontsize=8)
    axes.axvline(1, color=BLUE, linewidth=2)
    axes.annotate("nonlin", (1, len(programs) - 0.42), (4, 0), textcoords="offset points", color=BLUE, weight="bold")
    axes.set_yticks(
        places, [label.replace(", product", ",\nproduct").replace(", 128", ",\n128") for label in programs], fontsize=8
    )
    axes.set(xlabel="time of a whole step, nonlin = 1", xlim=(0, 6.6), ylim=(-0.6, len(programs) - 0.1))
    axes.grid(visible=False, axis="y")
    axes.legend(loc="lower right")
    said = "; ".join(
        f"{program}: NumPy {a:g}" + (f", torch {b:g}" if np.isfinite(b) else "") for program, (a, b) in programs.items()
    )
    return figure, f"Bars: the time of whole programs over that with nonlin. {said}"


# First steps


@functools.cache
def ring() -> tuple[list[float], Array]:
    """The network of the page of first steps, trained by the code that stands there: its losses, and its map."""
    code = re.findall(r"^```python\n(.*?)^```", (HERE / "first_steps.md").read_text(), re.DOTALL | re.MULTILINE)[-1]
    values: dict[str, Any] = {"np": np, "nl": nl, "history": []}
    exec(code.replace("    d_z = ", "    history.append(float(loss))\n    d_z = "), values)
    plane = np.stack(np.meshgrid(*[np.linspace(-2, 2, 121)] * 2), -1)
    logits = nl.gelu(plane @ values["W1"] + values["b1"]) @ values["W2"] + values["b2"]
    return values["history"], nl.softmax(logits)[..., 1]


@kind
def ring_loss() -> Drawing:
    figure, axes = panel("loss", "step")
    axes.plot(ring()[0])
    axes.set_ylim(0)
    return figure, "the loss falls over the steps"


@kind
def ring_map() -> Drawing:
    figure, axes = panel("probability of the ring")
    image = axes.imshow(ring()[1], extent=(-2, 2, -2, 2), origin="lower", cmap="RdBu_r", vmin=0, vmax=1)
    angle = np.linspace(0, 2 * np.pi, 200)
    for radius in (0.8, 1.6):
        axes.plot(radius * np.cos(angle), radius * np.sin(angle), color="#222222", linewidth=1)
    axes.grid(visible=False)
    figure.colorbar(image)
    return figure, "the probability over the plane, high between the two circles"


# What stands behind it


@kind
def saturation() -> Drawing:
    x = np.linspace(-8, 8, 401)
    figure, axes = panel("derivatives", "x")
    for name in ("sigmoid", "tanh", "gelu"):
        axes.plot(x, slope(name, x), label=name)
    axes.legend(loc="upper left")
    return figure, "the derivatives of sigmoid, tanh and gelu: those of the first two vanish on both sides, gelu's on one"


DEPTH, WIDTH = 30, 64


@kind
def saturation_chain() -> Drawing:
    """The gradient on its way back through a network of random weights."""
    figure, axes = panel("size of the gradient", "layer", "relative to the last")
    shares = []
    for name, gain in (("sigmoid", 1.0), ("tanh", 1.0), ("relu", 2.0), ("gelu", 2.0)):
        rng = np.random.default_rng(0)
        weights = rng.normal(0, np.sqrt(gain / WIDTH), (DEPTH, WIDTH, WIDTH))
        a, taken = rng.normal(size=(256, WIDTH)), []
        for W in weights:
            z = a @ W
            a = function(name)(z)
            taken.append(a if "y" in activations()[name]["backward_inputs"] else z)
        gradient, sizes = rng.normal(size=a.shape), []
        for W, argument in zip(weights[::-1], taken[::-1], strict=True):
            sizes.append(np.sqrt(np.mean(gradient**2)))
            gradient = function(name, "_backward")(gradient, argument) @ W.T
        shares.append(f"{sizes[-1] / sizes[0]:.1g} with {name}")
        axes.semilogy(range(DEPTH, 0, -1), np.array(sizes) / sizes[0], label=name)
    axes.legend(loc="lower right")
    return figure, f"the gradient's size over {DEPTH} layers; the first one has, of the last one's, {', '.join(shares)}"


@kind
def pairs() -> Drawing:
    x = np.linspace(-8, 8, 401)
    p = nl.sigmoid(x)
    figure, axes = panel("gradient, the target being 1", "logit")
    axes.plot(
        x, nl.binary_cross_entropy_with_logits_backward(1.0, x, np.ones_like(x), reduction="none"), label="cross-entropy"
    )
    axes.plot(x, nl.sigmoid_backward(2 * (p - 1), p), "--", label="squared error")
    axes.legend(loc="lower right")
    return figure, "cross-entropy has gradient -1 where the prediction is wrong, the squared error has nearly 0 there"


@kind
def pairs_loss() -> Drawing:
    x = np.linspace(-8, 8, 401)
    figure, axes = panel("loss, the target being 1", "logit")
    axes.plot(x, nl.binary_cross_entropy_with_logits(x, np.ones_like(x), reduction="none"), label="cross-entropy")
    axes.plot(x, (nl.sigmoid(x) - 1) ** 2, "--", label="squared error")
    axes.legend(loc="upper right")
    return figure, "cross-entropy grows as a line where the prediction is wrong, the squared error is flat there"


@kind
def difference() -> Drawing:
    """The error of a central difference over its step."""
    figure, axes = panel("error of the central difference", "h", "relative")
    steps = np.geomspace(1e-9, 1, 200)
    for dtype, colour in ((np.float64, BLUE), (np.float32, ORANGE)):
        x: Array = np.full_like(steps, 1.3, dtype)
        h: Array = steps.astype(dtype)
        up, down = x + h, x - h
        with np.errstate(all="ignore"):
            estimate = (nl.gelu(up) - nl.gelu(down)) / (up - down)
        exact = nl.gelu_backward(1.0, x.astype(np.float64))
        wrong = np.abs(estimate.astype(np.float64) - exact) / exact
        axes.loglog(
            steps,
            np.where(np.isfinite(wrong), np.maximum(wrong, 1e-13), np.nan),
            color=colour,
            label=dtype.__name__,
            linewidth=1,
        )
        axes.axvline(float(np.cbrt(np.finfo(dtype).eps)), color=colour, linestyle=":")
    axes.set_ylim(1e-13, 10)
    axes.legend(loc="lower right")
    return (
        figure,
        "the error falls with the square of h, until rounding makes it rise; it is least near the cube root of epsilon",
    )


def box(axes: Axes, x: float, y: float, text: str, colour: str = PALE, width: float = 1.7, height: float = 0.62) -> None:
    axes.add_patch(
        mpl.patches.FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.1",
            facecolor=colour,
            edgecolor=BLUE,
        )
    )
    axes.text(x, y, text, ha="center", va="center", fontsize=8.5)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = INK) -> None:
    axes.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
    )


def blank(size: tuple[float, float], width: float, height: float) -> tuple[Figure, Axes]:
    figure, axes = panel(size=size)
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


@kind
def graph() -> Drawing:
    """A unit of two inputs and its loss, forward and backward, with numbers."""
    w, x, b, y = np.array([0.5, -1.0]), np.array([2.0, 1.0]), 0.3, 1.0
    z = float(w @ x + b)
    p = float(nl.sigmoid(z))
    loss, dz = (float(np.squeeze(v)) for v in nl.binary_cross_entropy_with_logits_with_grad([z], [y]))
    dp = float(nl.binary_cross_entropy_backward(1.0, [p], [y])[0])
    figure, axes = blank((3.4, 4.4), 4.4, 5.6)
    for level, (text, value, gradient) in enumerate(
        (
            ("x = (2, 1),  w = (0.5, -1),  b = 0.3", "", f"dL/dw = ({dz * x[0]:.3f}, {dz * x[1]:.3f}),  dL/db = {dz:.3f}"),
            ("z = w·x + b", f"{z:.3f}", f"dL/dz = dL/dp · p (1 - p) = {dp * p * (1 - p):.3f}\n= p - y = {dz:.3f}"),
            ("p = sigmoid(z)", f"{p:.3f}", f"dL/dp = -1/p = {dp:.3f}"),
            ("L = -log p,  y = 1", f"{loss:.3f}", "dL/dL = 1"),
        )
    ):
        height = 5.1 - 1.4 * level
        box(axes, 2.2, height, f"{text}" + (f"  =  {value}" if value else ""), width=4.2)
        axes.text(2.75, height - 0.66, gradient, color=ORANGE, fontsize=8, ha="center", va="center")
        if level < 3:
            arrow(axes, (0.35, height - 0.33), (0.35, height - 1.06), BLUE)
            arrow(axes, (0.8, height - 1.06), (0.8, height - 0.33), ORANGE)
    axes.text(0.35, 0.2, "forward", color=BLUE, fontsize=8, ha="center")
    axes.text(1.2, 0.2, "backward", color=ORANGE, fontsize=8, ha="center")
    return (
        figure,
        "a computational graph: inputs, z, p and the loss with their values, and the gradient of each on the way back",
    )


@kind
def digits(name: str) -> Drawing:
    """How many digits the textbook formula of a function keeps in float32, and how many nonlin does."""
    x = np.linspace(-12, 8, 800, dtype=np.float32)  # further left, gelu is sub-normal
    with np.errstate(all="ignore"):
        plain = eval(FUNCTIONS[name]["plain"], {"np": np, "scipy": scipy, "x": x})
    exact = function(name, module=reference)(x.astype(np.float64))
    figure, axes = panel(f"{name}: decimal digits, float32", "x")
    for values, label, colour in ((plain, "plain formula", ORANGE), (function(name)(x), "nonlin", BLUE)):
        with np.errstate(all="ignore"):
            kept = -np.log10(np.abs(values.astype(np.float64) - exact) / np.abs(exact))
        kept = np.clip(kept, 0, 9).reshape(100, 8).min(1)
        axes.plot(x[4::8], kept, color=colour, label=label, linewidth=1.3)
    axes.set_ylim(-0.3, 10.5)
    axes.legend(loc="upper center", ncols=2)
    return (
        figure,
        f"the digits that {name} has over x: the plain formula loses them to the left, nonlin has seven everywhere",
    )


# How it works


@kind
def journey() -> Drawing:
    figure, axes = blank((3.4, 4.2), 4.4, 5.5)
    steps = (
        ("nl.softmax(x, axis=1)", "Python: names and defaults"),
        ("checks", "dtype, axis, overlap, errors"),
        ("arrays: pointers, strides", "no Python from here on"),
        ("plan", "layout, buffers, chunks"),
        ("threads claim chunks", "the GIL is released"),
        ("kernel", "vectors of this CPU's best set"),
        ("result", "memory of earlier results"),
    )
    for i, (text, note) in enumerate(steps):
        height = 5.2 - 0.8 * i
        box(axes, 1.15, height, text, width=2.2, height=0.5)
        axes.text(2.4, height, note, va="center", fontsize=8)
        if i:
            arrow(axes, (1.15, height + 0.55), (1.15, height + 0.26))
    return figure, "the stations of a call, from Python over checks, arrays, plan, threads and kernel to the result"


LANES = 4


def cells(axes: Axes, vector_of: Callable[[int, int], int], rows_count: int, classes: int) -> None:
    """Rows of classes as cells in memory's order, coloured by the vector that holds them, with its number."""
    colours = [PALE, BLUE, ORANGE, GREEN]
    for i in range(rows_count):
        for c in range(classes):
            vector = vector_of(i, c)
            colour = colours[vector % 4]
            axes.add_patch(mpl.patches.Rectangle((c, -i), 0.94, 0.9, facecolor=colour, edgecolor="none"))
            axes.text(c + 0.47, 0.45 - i, str(vector), ha="center", va="center", color=INK if colour == PALE else PAPER)
    axes.set(
        xlim=(-0.1, classes), ylim=(-rows_count + 0.9, 1), aspect="equal", xlabel="class", ylabel="row", xticks=[], yticks=[]
    )
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)


@kind
def along() -> Drawing:
    figure, axes = panel("along: a vector is a part of a row")
    cells(axes, lambda i, c: i * 2 + c // LANES, 4, 8)
    return figure, "four rows of eight classes; each row is two vectors of four lanes"


@kind
def across() -> Drawing:
    figure, axes = panel("across: a vector is a class of four rows")
    cells(axes, lambda i, c: i // LANES * 5 + c, 4, 5)
    return figure, "four rows of five classes; each class of the four rows is one vector"


@kind
def dense() -> Drawing:
    figure, axes = panel("dense: vectors cross rows")
    cells(axes, lambda i, c: (i * 3 + c) // LANES, 4, 3)
    return figure, "four rows of three classes; three vectors hold them all, and begin anywhere in a row"


@kind
def claims() -> Drawing:
    """Two threads that claim chunks, one of them on a core that another process takes half of."""
    figure, axes = panel("chunks are claimed, not dealt out", "time", size=(3.4, 1.9))
    free, pace, number = [0.0, 0.0], (1.0, 2.1), 0
    while number < 12:
        thread = int(np.argmin(free))
        axes.barh(thread, pace[thread] - 0.06, left=free[thread], color=BLUE if thread == 0 else ORANGE, height=0.6)
        axes.text(free[thread] + pace[thread] / 2, thread, str(number), ha="center", va="center", color=PAPER)
        free[thread] += pace[thread]
        number += 1
    axes.set(yticks=[0, 1], yticklabels=["a core", "a core\ntaken"], xticks=[])
    axes.grid(visible=False)
    return figure, "a drawing: the thread on a free core takes eight of twelve chunks, the one on a taken core four"


# How to


@functools.cache
def calibrated() -> dict[str, Array]:
    """What the page's programs on calibration leave behind."""
    code = re.findall(r"^```python\n(.*?)^```", (HERE / "howto.md").read_text(), re.DOTALL | re.MULTILINE)
    values: dict[str, Any] = {}
    end = next(i for i, block in enumerate(code) if "calibration_error" in block)
    for block in [code[0], *code[end - 1 : end + 1]]:
        exec(block, values)
    return {"labels": values["labels"], "before": nl.softmax(values["logits"]), "after": values["p"]}


@kind
def calibration(when: str) -> Drawing:
    p, labels = calibrated()[when], calibrated()["labels"]
    sure, right = p.max(-1), p.argmax(-1) == labels
    bins = np.minimum((sure * 10).astype(int), 9)
    shares = [np.mean(right[bins == b]) if (bins == b).sum() >= 5 else 0 for b in range(10)]
    title = "as trained" if when == "before" else "with the temperature"
    figure, axes = panel(title, "probability of the prediction", "share that is right")
    axes.bar(np.arange(10) / 10 + 0.05, shares, 0.09, color=ORANGE if when == "before" else BLUE)
    axes.plot([0, 1], [0, 1], "--", color=INK, linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    return figure, f"share of right predictions by their probability, {title}, beside the diagonal"


# Examples


@kind
def example(name: str) -> Drawing:
    """What a program of the folder draws when it is run."""
    from threadpoolctl import threadpool_limits  # which comes with scikit-learn

    file = str(HERE.parent / "examples" / f"{name}.py")
    drawn: list[Figure] = []
    with (
        mock.patch.object(sys, "argv", [file, "--plot", "picture.svg"]),
        mock.patch.object(Figure, "savefig", lambda figure, _: drawn.append(figure)),
        contextlib.redirect_stdout(io.StringIO()),
        mpl.rc_context({"font.size": 8, "axes.titlesize": 8.5}),  # three panels have the width of a page
        threadpool_limits(1),  # of BLAS: the matrices are small, and on busy cores threads that wait take much longer
    ):
        draw = runpy.run_path(file, run_name="__main__")["draw"]
    (figure,) = drawn
    figure.set_size_inches(8.4, 2.9)
    return figure, draw.__doc__.removeprefix("Draw ")


# Reliability


@kind
def checks() -> Drawing:
    """How much of each check passed and failed, of the table that the last run of all checks wrote."""
    rows = next(body for heading, _, body in tables(HERE / "reliability.md") if heading == "Last results")
    counted = []
    for _, command, _, result, _ in rows:
        numbers = {word: sum(map(int, re.findall(rf"(\d+) {word}", result))) for word in ("passed", "c", "failed", "wrong")}
        wrong = numbers["failed"] + numbers["wrong"]
        right = numbers["passed"] + numbers["c"] - numbers["wrong"]  # cases or calls, the wrong ones among them
        found = re.search(r"make [\w-]+", command)
        if right and found:
            counted.append((found[0], right, wrong))
    figure, axes = panel("what passed", "tests, or random calls", size=(3.9, 1.0 + 0.24 * len(counted)))
    for i, (_, right, wrong) in enumerate(counted):
        axes.barh(i, right - 1, left=1, height=0.62, color=ORANGE if wrong else BLUE)
        text = f"{right:,}" + (f", and {wrong} not" if wrong else "")
        axes.annotate(text, (right, i), (3, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set(xscale="log", xlim=(1, 4e6), ylim=(len(counted) - 0.4, -0.6))
    axes.set_yticks(range(len(counted)), [what for what, _, _ in counted])
    axes.set_xticks([1, 100, 10_000, 1_000_000], ["1", "100", "10,000", "1,000,000"])
    axes.grid(visible=False, axis="y")
    said = "; ".join(f"{what} {right}" + (f", {wrong} not" if wrong else "") for what, right, wrong in counted)
    return figure, f"Bars: tests or random calls that passed, by check. {said}"


# What to expect: five panels of the benchmark's tables

CONTENDERS = {"NumPy": ORANGE, "SciPy": INK, "torch": GREEN, "JAX": BLUE}


def measured(group: str) -> Iterator[tuple[str, dict[str, float]]]:
    """Labels, and the contenders' times over nonlin's: of a size's elementwise functions, a row function, or the losses."""
    for heading, head, body in tables(HERE / "benchmarks.md"):
        for cells in body:
            name, _, result = cells[0].partition(", ")
            if group == "losses":
                wanted, label = heading.startswith("Losses, ") and not name.endswith(("_backward", "_with_grad")), name
            elif group in ("100", "64K", "16M"):
                wanted = (
                    heading == f"Elementwise, {group} elements" and result == "`out=`" and not name.endswith("_backward")
                )
                label = name
            else:
                wanted, label = heading.startswith("Rows, ") and name == group and result == "`out=`", heading[6:]
            if wanted:
                yield label, {who: ratio(cells[head.index(who)]) for who in CONTENDERS}


@kind
def speed(group: str) -> Drawing:
    found = dict(measured(group))
    title = f"{group} elements" if group[0].isdigit() else group
    figure, axes = panel(title, "time over nonlin's", size=(3.4, 1.1 + 0.19 * len(found)))
    for (who, colour), marker in zip(CONTENDERS.items(), "osD^", strict=True):
        values = [min(times[who], 100) for times in found.values()]
        axes.plot(values, range(len(found)), marker, color=colour, label=who, markersize=4.5, alpha=0.9)
    axes.axvline(1, color=BLUE, linewidth=1.5)
    axes.set_yticks(
        range(len(found)),
        [label.replace("binary_cross_entropy", "binary_c.e.").replace("_divergence", "") for label in found],
    )
    axes.tick_params(axis="y", labelsize=8)
    axes.set(xscale="log", xlim=(0.6, 120), ylim=(len(found) - 0.5, -0.5), xticks=[1, 10, 100])
    axes.set_xticklabels(["1", "10", "100+"])
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
        columnspacing=0.8,
        handletextpad=0.1,
        fontsize=8,
    )
    return figure, f"the times of NumPy, SciPy, torch and JAX over nonlin's, {title}; right of the line nonlin is faster"
