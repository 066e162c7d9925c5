"""The pictures of the documentation, drawn with nonlin's own functions when a page asks for one by ``pictures``.

A name is a kind and, after a hyphen, what it is of: ``curve-gelu``. Each is drawn once and written twice, for the light
theme and for the dark one, which has other colours in the same places.
"""

import functools
import io
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import nonlin as nl
from nonlin import _core, reference

HERE = Path(__file__).parent
FOLDER = HERE / "generated" / "pictures"

FUNCTIONS: dict[str, dict[str, Any]] = tomllib.loads((HERE / "functions.toml").read_text())

Array = np.ndarray[Any, Any]
Drawing = tuple[Figure, str]

# Colours of the light theme, and what they are in the dark one.
INK, PAPER, FAINT, PALE = "#1f2328", "#fdfdfd", "#c9ced4", "#e4eef6"
BLUE, ORANGE, GREEN = "#0b6fb8", "#c2510c", "#1a7f4b"
DARK = {INK: "#e1e6eb", PAPER: "#14181e", FAINT: "#4a525b", PALE: "#22384a"}
DARK |= {BLUE: "#63b7f7", ORANGE: "#ff9d61", GREEN: "#58d396"}

STYLE = {
    "svg.hashsalt": "nonlin",  # the same file from every build
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, INK]),
}
SIZE = 3.4, 2.6  # inches of one picture: some 330 pixels, so that two stand side by side and one fits a telephone

KINDS: dict[str, Callable[..., Drawing]] = {}


def kind(draw: Callable[..., Drawing]) -> Callable[..., Drawing]:
    """Make a function a kind of picture; it takes what follows the hyphen, if anything does."""
    KINDS[draw.__name__] = draw
    return draw


def picture(name: str) -> str:
    """Draw a picture into the folder, in both themes, and return its description."""
    what, _, argument = name.partition("-")
    with mpl.rc_context(STYLE):  # type: ignore[arg-type, unused-ignore]
        figure, alt = KINDS[what](*[argument] if argument else [])
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
        plt.close(figure)
    light = stream.getvalue()
    dark = re.sub("|".join(DARK), lambda colour: DARK[colour[0]], light)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for theme, text in (("light", light), ("dark", dark)):
        (FOLDER / f"{name}-{theme}.svg").write_text(text)
    return alt


def tables(path: Path) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """The tables of a Markdown page: the last heading above, the head, the rows."""
    heading, lines = "", [*path.read_text().splitlines(), ""]
    block: list[list[str]] = []
    for line in lines:
        if line.startswith("|"):
            block.append([cell.strip() for cell in line.strip().strip("|").split("|")])
            continue
        if len(block) > 2:
            yield heading, block[0], block[2:]
        block = []
        if line.startswith("#"):
            heading = line.lstrip("# ")


def panel(title: str = "", xlabel: str = "", ylabel: str = "", size: tuple[float, float] = SIZE) -> tuple[Figure, Axes]:
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    return figure, axes


# What the functions are


@functools.cache
def activations() -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in _core.activations()}


@functools.cache
def losses() -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in _core.losses()}


def function(name: str, suffix: str = "", module: Any = nl) -> Callable[..., Any]:
    """The public function of a row of the table; a form of another one is that one with its option."""
    row = activations()[name]
    return functools.partial(getattr(module, (row["form_of"] or name) + suffix), **row["option"])


def gated(name: str) -> bool:
    return "up" in activations()[name]["forward_inputs"]


def slope(name: str, x: Array) -> Array:
    """The derivative of a function of one argument."""
    row = activations()[name]
    argument = function(name)(x) if "y" in row["backward_inputs"] else x
    return np.asarray(function(name, "_backward")(np.ones_like(x), argument))


# One function


def ceiling(name: str) -> float:
    """What a function that stops above the usual section ends at, else 0."""
    top = float(function(name)(1e4))
    return top if 3 < top < 1e3 else 0.0


@kind
def curve(name: str) -> Drawing:
    x = np.linspace(-6, max(6, ceiling(name) + 3), 601)
    figure, axes = panel(xlabel="x")
    axes.plot(x, function(name)(x), label=name)
    axes.plot(x, slope(name, x), "--", label="derivative")
    low, high = axes.get_ylim()
    low, high = max(low, -4), min(high, ceiling(name) + 4.5)
    axes.set_ylim(low, high + 0.25 * (high - low) * (high < 2))  # room for the legend
    axes.legend(loc="upper left")
    return figure, f"{name} and its derivative"


def coloured(axes: Axes, values: Array, limit: float) -> Any:
    """A map of the square from -4 to 4, with lines of equal value."""
    image = axes.imshow(
        values, extent=(-4, 4, -4, 4), origin="lower", cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="bilinear"
    )
    axes.contour(values, np.linspace(-limit, limit, 9), extent=(-4, 4, -4, 4), colors="#555555", linewidths=0.6)
    axes.grid(visible=False)
    axes.set(xlabel="gate", ylabel="up", xticks=range(-4, 5, 2), yticks=range(-4, 5, 2))
    return image


@kind
def map(name: str) -> Drawing:
    gate, up = np.meshgrid(*[np.linspace(-4, 4, 161)] * 2)
    figure, axes = panel(f"{name}(gate, up)")
    figure.colorbar(coloured(axes, function(name)(gate, up), 16))
    return figure, f"{name} over the plane of gate and up"


@kind
def slopemap(name: str) -> Drawing:
    gate, up = np.meshgrid(*[np.linspace(-4, 4, 161)] * 2)
    figure, axes = panel("derivative for gate")
    figure.colorbar(coloured(axes, function(name, "_backward")(1.0, gate, up)[0], 4.5))
    return figure, f"the derivative of {name} with respect to gate, over the plane of gate and up"


@functools.cache
def sweep() -> tuple[list[float], dict[tuple[str, str], dict[str, Any]]]:
    """The edges of the bins over x, and the entries of docs/accuracy.json by function and dtype."""
    content = json.loads((HERE / "accuracy.json").read_text())
    return content["edges"], {(entry["function"], entry["dtype"]): entry for entry in content["entries"]}


@kind
def error(name: str) -> Drawing:
    edges, entries = sweep()
    count = len(edges)  # bins of each sign: below the first edge, between, above the last
    figure, axes = panel("largest error, float32", "gate" if gated(name) else "x", "ULP")
    most = 0.0
    for suffix, label, colour in (("", name, BLUE), ("_backward", "gradient", ORANGE)):
        entry = entries[name + suffix, "float32"]
        positive, negative = entry["profile"]
        axes.stairs([*negative[::-1], *positive], range(-count - 1, count + 2), color=colour, label=label, linewidth=1.3)
        axes.axhline(entry["bound"], color=colour, linestyle=":", linewidth=1.3)
        most = max(most, entry["bound"])
    ticks = {text: edges.index(value) + 1 for text, value in (("1", 1.0), ("64", 64.0))}
    signed = {"$-$" + text: -place for text, place in ticks.items()} | {"0": 0} | ticks
    axes.set_xticks(list(signed.values()), list(signed))
    axes.set_ylim(0, 1.45 * most)
    axes.legend(loc="upper center", ncols=2)
    return figure, f"the largest errors of {name} and its gradient over x, below their bounds"


@kind
def thumb(name: str) -> Drawing:
    figure, axes = plt.subplots(figsize=(2, 1.3), layout="constrained")
    if name in losses():
        x, operands = loss_curve(name)
        axes.plot(x, loss_values(name, operands))
    elif name in activations() and not gated(name):
        x = np.linspace(-4, max(4, ceiling(name) + 2), 161)
        axes.axhline(0, color=FAINT, linewidth=0.8)
        axes.axvline(0, color=FAINT, linewidth=0.8)
        axes.plot(x, function(name)(x))
        axes.set_ylim(-1.6, max(3, ceiling(name) + 1))
    elif name in activations():
        gate, up = np.meshgrid(*[np.linspace(-4, 4, 81)] * 2)
        coloured(axes, function(name)(gate, up), 16)
        axes.set(xlabel="", ylabel="", aspect="auto")
    else:
        rows(name, axes)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    return figure, f"the shape of {name}"


# Rows

LOGITS = np.array([2.0, 1.0, 0.1, -0.5, -1.5])


def rows(name: str, axes: Axes) -> None:
    """The row's result as bars: of what is there once, a line."""
    classes = np.arange(LOGITS.size)
    if name == "logsumexp":
        axes.bar(classes, LOGITS, color=BLUE)
        axes.axhline(float(nl.logsumexp(LOGITS)), color=ORANGE)
    elif name == "pieces":
        axes.bar(classes, LOGITS, color=[BLUE, BLUE, GREEN, GREEN, GREEN])
        for piece, start in ((LOGITS[:2], 0), (LOGITS[2:], 2)):
            m, r = nl.logsumexp_partial(piece)
            axes.hlines(float(nl.logsumexp_finish(m, r)), start - 0.4, start + piece.size - 0.6, color=ORANGE)
    else:
        axes.bar(classes, getattr(nl, name)(LOGITS), color=BLUE)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.grid(visible=False, axis="x")


@kind
def bars(name: str) -> Drawing:
    figure, axes = panel(f"{name} of {LOGITS.tolist()}".replace(", ", "  "), "class")
    rows(name, axes)
    axes.set_xticks(range(LOGITS.size))
    if name in ("logsumexp", "pieces"):
        text = "logsumexp of each piece" if name == "pieces" else f"logsumexp {nl.logsumexp(LOGITS):.3f}"
        axes.set_title("logits, and " + text)
        axes.set_ylim(-1.7, 2.9)
        return figure, f"the logits of a row as bars, {text} as a line above them"
    for i, value in enumerate(getattr(nl, name)(LOGITS)):
        axes.annotate(
            f"{value:.3f}", (i, value), (0, 3 if value >= 0 else -3), textcoords="offset points",
            ha="center", va="bottom" if value >= 0 else "top",
        )  # fmt: skip
    axes.margins(y=0.15)
    return figure, f"{name} of a row of five logits as bars"


@kind
def gradientbars(name: str) -> Drawing:
    """The gradient of one chosen output with respect to every logit."""
    if name == "logsumexp":
        gradient, title = nl.logsumexp_backward(1.0, LOGITS), "gradient: softmax of the row"
    else:
        one = np.eye(LOGITS.size)[1]
        gradient = getattr(nl, name + "_backward")(one, getattr(nl, name)(LOGITS))
        title = "gradient of class 1's output"
    figure, axes = panel(title, "class")
    axes.bar(range(LOGITS.size), gradient, color=[ORANGE if value < 0 else GREEN for value in gradient])
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xticks(range(LOGITS.size))
    axes.grid(visible=False, axis="x")
    return figure, f"the gradient of {name} with respect to the five logits as bars"


@kind
def jacobian(name: str) -> Drawing:
    matrix = getattr(nl, name + "_jacobian")(getattr(nl, name)(LOGITS))
    figure, axes = panel(f"{name}_jacobian", "input j", "output i")
    limit = float(np.abs(matrix).max())
    axes.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit)
    for (i, j), value in np.ndenumerate(matrix):
        axes.text(
            j,
            i,
            f"{round(float(value), 2) + 0.0:.2f}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if abs(value) > limit / 2 else "#222",
        )
    axes.grid(visible=False)
    return figure, f"the Jacobian of {name} for a row of five logits, as a map with its numbers"


def ulps(got: Any, exact: Any, largest: Any = 0.0) -> Array:
    """The error of float32 results in units in the last place of the exact value, or of a larger term that cancels."""
    got, exact = np.asarray(got), np.asarray(exact)
    unit = np.spacing(np.maximum(np.abs(exact), largest).astype(np.float32)).astype(np.float64)
    return np.asarray(np.abs(got.astype(np.float64) - exact) / unit)


@kind
def rowerror(name: str) -> Drawing:
    """Float32 rows of every length, beside the formula in float64."""
    rng = np.random.default_rng(1)
    lengths = np.unique(np.geomspace(2, 100_000, 40).astype(int))
    figure, axes = panel("largest error, float32", "classes of a row", "ULP")
    for suffix, colour in (("", BLUE), ("_backward", ORANGE)):
        worst = []
        for n in lengths:
            x = (rng.uniform(0.5, 12, (20, 1)) * rng.standard_normal((20, n))).astype(np.float32)
            if not suffix:
                exact = getattr(reference, name)(x.astype(np.float64))
                got, largest = getattr(nl, name)(x), np.abs(x).max(-1) if name == "logsumexp" else 0.0
            else:
                argument = x if name == "logsumexp" else getattr(nl, name)(x)
                grad = np.ones(20, np.float32) if name == "logsumexp" else rng.standard_normal(x.shape).astype(np.float32)
                f, exact_f = getattr(nl, name + suffix), getattr(reference, name + suffix)
                got, exact = f(grad, argument), exact_f(grad.astype(np.float64), argument.astype(np.float64))
                largest = terms(name, grad, argument)
            worst.append(ulps(got, exact, largest).max())
        axes.plot(lengths, worst, ".-", color=colour, label="gradient" if suffix else name, linewidth=1.2, markersize=4)
    axes.axhline(4, color=INK, linestyle=":", linewidth=1.3)
    axes.set(xscale="log", ylim=(0, 5.6))
    axes.legend(loc="upper center", ncols=2)
    return figure, f"the largest errors of {name} and its gradient over the length of rows, below the bound of 4 ULP"


def terms(name: str, grad: Array, argument: Array) -> Any:
    """The size of the larger of the two terms whose difference a gradient along rows is."""
    wide, y = grad.astype(np.float64), argument.astype(np.float64)
    if name == "softmax":
        return np.abs(y) * np.maximum(np.abs(wide), np.abs(wide * y).sum(-1, keepdims=True))
    if name == "log_softmax":
        return np.maximum(np.abs(wide), np.exp(y) * np.abs(wide).sum(-1, keepdims=True))
    return 0.0


# Losses

OPTIONS = {"gamma": [0.0, 1.0, 2.0, 5.0], "label_smoothing": [0.0, 0.1, 0.3], "pos_weight": [0.5, 1.0, 3.0]}
OTHER = np.array([0.7, 0.2, 0.1])  # the distribution that divergences compare with


def loss_curve(name: str, dtype: Any = np.float64) -> tuple[Array, tuple[Array, ...]]:
    """The prediction for the target, and the operands of the loss for each of its values."""
    first, second = losses()[name]["arguments"]
    elements, rows_of = losses()[name]["kind"] == "elements", losses()[name]["kind"] == "rows"
    predicted = second if rows_of else first
    if predicted == "logits":
        x = np.linspace(-8, 8, 401).astype(dtype)
    elif predicted == "log_probs":
        x = np.linspace(-8, 0, 401).astype(dtype)
    else:
        x = np.linspace(0.002, 0.998, 401).astype(dtype)
    if elements:
        return x, (x, np.ones_like(x))
    fill = {"logits": np.zeros_like(x), "log_probs": np.full_like(x, -1)}.get(predicted, (1 - x) / 2)
    prediction = np.stack([x, fill, fill], -1)
    if rows_of:
        return x, (np.broadcast_to(OTHER.astype(dtype), prediction.shape), prediction)
    return x, (prediction, np.zeros(x.shape, int))


def loss_values(name: str, operands: tuple[Array, ...], module: Any = nl, **options: Any) -> Array:
    return np.asarray(getattr(module, name)(*operands, reduction="none", **options))


def loss_slopes(name: str, operands: tuple[Array, ...], module: Any = nl, **options: Any) -> Array:
    """The derivative with respect to the prediction for the target."""
    dtype = next(a.dtype for a in operands if a.dtype.kind == "f")
    gradient = getattr(module, name + "_backward")(dtype.type(1), *operands, reduction="none", **options)
    return np.asarray(gradient if losses()[name]["kind"] == "elements" else gradient[..., 0])


PREDICTIONS = {
    "logits": "logit of the target", "log_probs": "log-probability of the target",
    "probs": "probability of the target", "q": "q of the first class",
}  # fmt: skip


def prediction_of(name: str) -> str:
    first, second = losses()[name]["arguments"]
    return PREDICTIONS[second if losses()[name]["kind"] == "rows" else first]


@kind
def loss(name: str) -> Drawing:
    x, operands = loss_curve(name)
    figure, axes = panel(xlabel=prediction_of(name))
    values = loss_values(name, operands)
    axes.plot(x, values, label=name if len(name) < 20 else "loss")
    axes.plot(x, loss_slopes(name, operands), "--", label="derivative")
    axes.set_ylim(max(axes.get_ylim()[0], -6), 1.08 * values.max())
    axes.legend(loc="best")
    return figure, f"{name} and its derivative over the {prediction_of(name)}"


@kind
def lossoption(name: str) -> Drawing:
    x, operands = loss_curve(name)
    option = option_of(name)
    assert option is not None
    figure, axes = panel(f"by {option}", prediction_of(name))
    for value in OPTIONS[option]:
        axes.plot(x, loss_values(name, operands, **{option: value}), label=f"{value:g}")
    axes.legend(title=option)
    return figure, f"{name} over the {prediction_of(name)}, for several values of {option}"


def option_of(name: str) -> str | None:
    """The option of a loss that has a picture."""
    return next((option for option in OPTIONS if option in losses()[name]["options"]), None)


@kind
def losserror(name: str) -> Drawing:
    x, operands = loss_curve(name, np.float32)
    exact = tuple(a.astype(np.float64) if a.dtype.kind == "f" else a for a in operands)
    figure, axes = panel("largest error here, float32", prediction_of(name), "ULP")
    most = 1.0
    for of, label, colour in ((loss_values, "loss", BLUE), (loss_slopes, "gradient", ORANGE)):
        # Where two distributions are alike, the terms of their divergence cancel: the unit is that of the largest.
        largest = {"kl_divergence": of is loss_values, "kl_divergence_with_logits": True}.get(name, False) * OTHER[0]
        error = ulps(of(name, operands), of(name, exact, reference), largest)
        most = max(most, float(error.max()))
        axes.stairs(error[:400].reshape(50, 8).max(1), x[:401:8], color=colour, label=label, linewidth=1.2)
    if name == "cross_entropy":  # of the others no bound is stated
        most = 4.0
        axes.axhline(most, color=INK, linestyle=":", linewidth=1.3)
    axes.set_ylim(0, 1.4 * most)
    axes.legend(loc="upper center", ncols=2)
    return figure, f"the errors of {name} and its gradient over the {prediction_of(name)}"
