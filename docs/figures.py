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
import scipy.special
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import nonlin as nl
from nonlin import _core, reference

HERE = Path(__file__).parent
FOLDER = HERE / "generated" / "pictures"

FORMULAS: dict[str, dict[str, Any]] = tomllib.loads((HERE / "formulas.toml").read_text())

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
    "axes.prop_cycle": mpl.cycler(color=[BLUE, ORANGE, GREEN, INK]),
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
    axes.set_ylim(max(low, -4), min(high, ceiling(name) + 4.5))
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
    figure, axes = panel("largest error, float32", "x", "ULP")
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
        axes.text(j, i, f"{round(float(value), 2) + 0.0:.2f}", ha="center", va="center", fontsize=8, color="white" if abs(value) > limit / 2 else "#222")
    axes.grid(visible=False)
    return figure, f"the Jacobian of {name} for a row of five logits, as a map with its numbers"


def ulps(got: Any, exact: Any, largest: Any = 0.0) -> Array:
    """The error of float32 results in units in the last place of the exact value, or of a larger term that cancels."""
    got, exact = np.asarray(got), np.asarray(exact)
    unit = np.spacing(np.maximum(np.abs(exact), largest).astype(np.float32)).astype(np.float64)
    return np.abs(got.astype(np.float64) - exact) / unit


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
    axes.plot(x, loss_values(name, operands), label=name if len(name) < 20 else "loss")
    axes.plot(x, loss_slopes(name, operands), "--", label="derivative")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -6), high)
    axes.legend(loc="best")
    return figure, f"{name} and its derivative over the {prediction_of(name)}"


@kind
def lossoption(name: str) -> Drawing:
    x, operands = loss_curve(name)
    option = option_of(name)
    assert option is not None
    figure, axes = panel(f"by {option}", prediction_of(name))
    colours = mpl.colormaps["viridis"](np.linspace(0.15, 0.8, len(OPTIONS[option])))
    for value, colour in zip(OPTIONS[option], colours, strict=True):
        axes.plot(x, loss_values(name, operands, **{option: value}), color=colour, label=f"{value:g}")
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
    for of, label, colour in ((loss_values, "loss", BLUE), (loss_slopes, "gradient", ORANGE)):
        # Of a divergence, the terms cancel where the distributions are alike: the unit is that of the largest.
        largest = 1.0 if name.startswith("kl") and of is loss_values else 0.0
        error = ulps(of(name, operands), of(name, exact, reference), largest)
        axes.stairs(error[:400].reshape(50, 8).max(1), x[:401:8], color=colour, label=label, linewidth=1.2)
    axes.axhline(4, color=INK, linestyle=":", linewidth=1.3)
    axes.set_ylim(0, 5.6)
    axes.legend(loc="upper center", ncols=2)
    return figure, f"the errors of {name} and its gradient over the {prediction_of(name)}"


# The start page, and benchmarks


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
                axes.annotate(f"{value:g}", (value, at), (3, 0), textcoords="offset points", va="center", fontsize=8)
    axes.axvline(1, color=BLUE, linewidth=2)
    axes.annotate("nonlin", (1, len(programs) - 0.42), (4, 0), textcoords="offset points", color=BLUE, weight="bold")
    axes.set_yticks(places, [label.replace(", product", ",\nproduct").replace(", 128", ",\n128") for label in programs], fontsize=8)
    axes.set(xlabel="time of a whole step, nonlin = 1", xlim=(0, 6.6), ylim=(-0.6, len(programs) - 0.1))
    axes.grid(visible=False, axis="y")
    axes.legend(loc="lower right")
    said = "; ".join(f"{program}: NumPy {a:g}" + (f", torch {b:g}" if np.isfinite(b) else "") for program, (a, b) in programs.items())
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
    return figure, "the loss falls over 400 steps"


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
    axes.plot(x, nl.binary_cross_entropy_with_logits_backward(1.0, x, np.ones_like(x), reduction="none"), label="cross-entropy")
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
        x, h = dtype(1.3), steps.astype(dtype)
        up, down = x + h, x - h
        with np.errstate(all="ignore"):
            estimate = (nl.gelu(up) - nl.gelu(down)) / (up - down)
        exact = nl.gelu_backward(1.0, np.float64(x))
        wrong = np.abs(estimate.astype(np.float64) - exact) / exact
        axes.loglog(steps, np.where(np.isfinite(wrong), np.maximum(wrong, 1e-13), np.nan), color=colour, label=dtype.__name__, linewidth=1)
        axes.axvline(float(np.cbrt(np.finfo(dtype).eps)), color=colour, linestyle=":")
    axes.set_ylim(1e-13, 10)
    axes.legend(loc="lower right")
    return figure, "the error over h: first it falls with the square of h, then rounding makes it rise; least near the cube root of epsilon"


def box(axes: Axes, x: float, y: float, text: str, colour: str = PALE, width: float = 1.7, height: float = 0.62) -> None:
    axes.add_patch(
        mpl.patches.FancyBboxPatch(
            (x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.1", facecolor=colour, edgecolor=BLUE
        )
    )
    axes.text(x, y, text, ha="center", va="center", fontsize=8.5)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = INK) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0})


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
    return figure, "a computational graph: inputs, z, p and the loss with their values, and the gradient of each on the way back"


@kind
def digits(name: str) -> Drawing:
    """How many digits the textbook formula of a function keeps in float32, and how many nonlin does."""
    x = np.linspace(-12, 8, 800, dtype=np.float32)  # further left, gelu is sub-normal
    with np.errstate(all="ignore"):
        plain = eval(FORMULAS[name]["plain"], {"np": np, "scipy": scipy, "x": x})
    exact = function(name, module=reference)(x.astype(np.float64))
    figure, axes = panel(f"{name}: decimal digits, float32", "x")
    for values, label, colour in ((plain, "plain formula", ORANGE), (function(name)(x), "nonlin", BLUE)):
        with np.errstate(all="ignore"):
            kept = -np.log10(np.abs(values.astype(np.float64) - exact) / np.abs(exact))
        kept = np.clip(kept, 0, 9).reshape(100, 8).min(1)
        axes.plot(x[4::8], kept, color=colour, label=label, linewidth=1.3)
    axes.set_ylim(-0.3, 10.5)
    axes.legend(loc="upper center", ncols=2)
    return figure, f"the digits that {name} has over x: the plain formula loses them to the left, nonlin has seven everywhere"


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
    axes.set(xlim=(-0.1, classes), ylim=(-rows_count + 0.9, 1), aspect="equal", xlabel="class", ylabel="row", xticks=[], yticks=[])
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
