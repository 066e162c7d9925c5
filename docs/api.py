"""The pages of the public API, made from the package and its tables: a function is documented by being public."""

import ast
import importlib
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special
from figures import FUNCTIONS, OTHER, activations, function, gated, losses, option_of, sweep

import nonlin as nl
from nonlin import reference

HERE = Path(__file__).parent
FLOATS = "float32", "float64", "float16", "bfloat16"
PIECES = "logsumexp_partial", "logsumexp_merge", "logsumexp_finish", "softmax_from", "log_softmax_from"
ROWS = {
    "softmax": ("softmax", "softmax_backward", "softmax_jacobian"),
    "log_softmax": ("log_softmax", "log_softmax_backward", "log_softmax_jacobian"),
    "logsumexp": ("logsumexp", "logsumexp_backward"),
    "pieces": PIECES,
}
LINEAR = "linear_cross_entropy"
MODULES = {  # pages of one module each, by name
    "runtime": ("_runtime", "Runtime"),
    "testing": ("testing", "Gradient checks"),
}
LIBRARIES = {"numpy": "NumPy", "scipy": "SciPy", "torch": "torch", "jax": "JAX", "scikit_learn": "scikit-learn"}

TYPES = """\
float32, float64, float16 and ``ml_dtypes.bfloat16`` are kept; two different ones give ``np.result_type``, booleans and
integers float64. 16-bit floats are computed in float32 and rounded once. Complex, object and string input is a TypeError.
"""


def rst(text: str) -> str:
    """Markdown's code as that of reStructuredText, and no substitutions in what is none."""
    parts = text.split("`")
    return "``".join(part if i % 2 else part.replace("|", "\\|") for i, part in enumerate(parts))


def indented(lines: Iterable[str], depth: int = 3) -> list[str]:
    return [" " * depth + line if line else "" for line in lines]


def table(head: Iterable[str], body: Iterable[Iterable[str]], kind: str = "") -> list[str]:
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: auto", *([f"   :class: {kind}"] if kind else []), ""]
    for cells in (head, *body):
        lines += [f"   {'-' if i else '* -'} {cell}".replace("   - ", "     - ") for i, cell in enumerate(cells)]
    return [*lines, ""]


def heading(text: str, line: str = "-") -> list[str]:
    return [text, line * len(text), ""]


def mathematics(text: str) -> list[str]:
    return [".. math::", "", *indented(text.strip().splitlines()), ""]


def number(value: Any) -> str:
    """A value as NumPy prints it, of 16 bits and more alike."""
    value = float(value)
    return f"``{value:.7g}``" if np.isfinite(value) else f"``{value}``"


def namespace(dtype: Any) -> dict[str, Any]:
    return {"np": np, "scipy": scipy, "dtype": dtype}


def plain_value(name: str, point: Any, dtype: Any) -> Any:
    """The textbook formula at a point, computed in that dtype; for losses, of the target 0, or a target of 1."""
    x = np.asarray(point, dtype)
    with np.errstate(all="ignore"):
        operands = dict.fromkeys(("x", "gate", "logits", "probs", "log_probs", "q"), x) | {"p": OTHER.astype(dtype)}
        return eval(FUNCTIONS[name]["plain"], namespace(dtype) | operands)


def our_value(name: str, point: Any, dtype: Any, module: Any = nl) -> Any:
    """The same of nonlin, or of its reference."""
    x = np.asarray(point, dtype)
    if name in activations():
        return function(name, module=module)(x)
    if name in losses():
        kind = losses()[name]["kind"]
        if kind == "rows":
            return getattr(module, name)(OTHER.astype(dtype), x)
        return getattr(module, name)(x, np.ones_like(x) if kind == "elements" else 0)
    return getattr(module, name)(x)


def joined(value: Any) -> str:
    return ", ".join(f"``{float(v):.6g}``" for v in np.atleast_1d(np.asarray(value, np.float64)))


def formula(name: str) -> list[str]:
    entry = FUNCTIONS[name]
    lines = [*mathematics(entry["value"]), *mathematics(entry["slope"])]
    if "stable" in entry:
        lines += ["Computed as", "", *mathematics(entry["stable"])]
    lines += [rst(entry["why"]), ""]
    if "at" not in entry:
        return lines
    kinds = {"targets": ", the target being the first class,", "elements": ", the target being 1,"}
    told = kinds.get(losses()[name]["kind"], "") if name in losses() else ""
    body = []
    for point in entry["at"]:
        results = (
            plain_value(name, point, np.float32),
            our_value(name, point, np.float32),
            our_value(name, point, np.float64, reference),
        )
        body.append([joined(point), *map(joined, results)])
    return [
        *lines,
        "In float32, where the plain formula loses digits:",
        "",
        *table(["at", "plain formula", "nonlin", "exact value"], body, "numbers"),
        f"The plain formula is{told}",
        "",
        ".. code-block:: python",
        "",
        f"   {entry['plain']}",
        "",
    ]


def calls(names: Iterable[str]) -> list[str]:
    lines = []
    for name in names:
        lines += [f".. autofunction:: {name}", ""]
    return lines


def equivalents(library: str, names: Iterable[str]) -> list[list[str]]:
    """The other library's calls for these functions, ours, and what differs."""
    rows = [row for name in names for row in FUNCTIONS[name].get(library, [])]
    return [[f"``{theirs}``", f"``{ours}``", rst(differs)] for theirs, ours, differs in rows]


def coming_from(library: str) -> list[str]:
    """The table of a page "coming from", which includes it."""
    return table([LIBRARIES[library], "nonlin", "what differs"], equivalents(library, FUNCTIONS))


def elsewhere(*names: str) -> list[str]:
    """The same calls in other libraries; in NumPy at least the plain formula."""
    body = []
    for library, title in LIBRARIES.items():
        rows = equivalents(library, names)
        if not rows and library == "numpy" and "plain" in FUNCTIONS[names[0]]:
            rows = [[f"``{FUNCTIONS[names[0]]['plain']}``", "", ""]]
        body += [[f":doc:`{title} </coming_from/{library}>`", *row] for row in rows]
    if not body:
        return []
    return [*heading("Elsewhere"), *table(["library", "there", "here", "what differs"], body)]


def accuracy(names: Iterable[str]) -> list[str]:
    """Bounds and the largest errors found, of one function and its gradient."""
    _, entries = sweep()
    body = []
    for name in names:
        for dtype in FLOATS:
            entry = entries[name, dtype]
            worst = max(entry["targets"].values(), key=lambda found: float(found["ulp"]))
            place = number(worst["x"]) if worst["ulp"] else ""
            inputs = max(found["inputs"] for found in entry["targets"].values())
            body.append([f"``{name}``", dtype, f"{entry['bound']:g}", f"{worst['ulp']:.3f}", place, f"{inputs:,}"])
    return [
        *heading("Accuracy"),
        "Errors in units in the last place (ULP) of the exact value: the bound, and the largest found on any instruction",
        "set among so many inputs, spread over all floats; 0.5 is correct rounding. Near a zero of the derivative the",
        "unit is that of its largest term.",
        "",
        *table(["function", "dtype", "bound", "found", "at", "inputs"], body, "numbers"),
    ]


def bounds() -> list[str]:
    """The bounds of all functions, those that share them in one line."""
    sharing: dict[tuple[float, float], list[str]] = {}
    for name, row in activations().items():
        if not row["form_of"]:
            sharing.setdefault((row["ulp"], row["ulp64"]), []).append(name)
    body = [[", ".join(names), f"{ulp:.1f}", f"{ulp64:.1f}"] for (ulp, ulp64), names in sorted(sharing.items())]
    row = activations()["relu"]
    body += [
        ["every elementwise backward function", f"{row['ulp_backward']:.1f}", f"{row['ulp64_backward']:.1f}"],
        ["softmax, log_softmax, logsumexp, gradients of cross-entropy, rows up to 2^18", "4.0", "4.0"],
    ]
    return table(["functions", "float32", "float64"], body)


def all_errors() -> list[str]:
    """The largest errors of all functions, in one table."""
    _, entries = sweep()
    body = []
    for name in activations():
        cells = [f":doc:`{name} </generated/{activations()[name]['form_of'] or name}>`"]
        for suffix in ("", "_backward"):
            for dtypes in (("float32",), ("float64",), ("float16", "bfloat16")):
                found = [entries[name + suffix, dtype]["targets"].values() for dtype in dtypes]
                cells.append(f"{max(worst['ulp'] for each in found for worst in each):.3f}")
        body.append(cells)
    kinds = ["float32", "float64", "16 bits"]
    return table(["function", *kinds, *(f"backward: {kind}" for kind in kinds)], body)


def special(name: str) -> list[str]:
    """What a function of one argument gives at the ends, at 0 and for NaN, computed now."""
    row = activations()[name]
    points = [-np.inf, -1.0, -0.0, 0.0, 1.0, np.inf, np.nan]
    head, backward = ["``x``", f"``{name}(x)``", "derivative"], function(name, "_backward")
    body = []
    for point in points:
        y = function(name)(point)
        slope = backward(1.0, y if "y" in row["backward_inputs"] else point)
        body.append([number(point), number(y), number(slope)])
    return [*heading("Special values"), *table(head, body, "numbers")]


def activation(name: str, forms: list[str]) -> list[str]:
    row = activations()[name]
    title = f"{name}"
    lines = [title, "=" * len(title), "", row["summary"], ""]
    drawn = [f"map-{name}", f"slopemap-{name}"] if gated(name) else [f"curve-{name}"]
    lines += [
        f".. pictures:: {' '.join([*drawn, f'error-{name}'])}",
        "",
        "   The errors are the largest of the float32 inputs in each bin of x; dotted: the bounds.",
        "",
    ]
    lines += [*heading("Formula"), *formula(name)]
    for form in forms:
        option = ", ".join(f'{key}="{value}"' for key, value in activations()[form]["option"].items())
        lines += [*heading(f"With {option}"), activations()[form]["summary"], ""]
        lines += [f".. pictures:: curve-{form} error-{form}", "", *formula(form)]
    lines += [*heading("Call"), ".. currentmodule:: nonlin", "", *calls([name, name + "_backward"])]
    lines += accuracy([f + suffix for f in (name, *forms) for suffix in ("", "_backward")])
    lines += [*heading("Types"), TYPES]
    if not gated(name):
        lines += special(name)
    return [*lines, *elsewhere(name, *forms)]


ROW_VALUES = {
    "ordinary": [1.0, 2.0],
    "+inf": [1.0, np.inf],
    "-inf": [1.0, -np.inf],
    "only -inf": [-np.inf] * 2,
    "NaN": [1.0, np.nan],
}


def rows_page(name: str) -> list[str]:
    title = title_of(name)
    summary = (
        "Rows of which no process, machine or block holds all: each piece gives a pair, pairs merge, and the pair of the "
        "whole row finishes every piece."
        if name == "pieces"
        else (inspect.getdoc(getattr(nl, name)) or "").splitlines()[0]
    )
    lines = [title, "=" * len(title), "", summary, ""]
    if name == "pieces":
        lines += [".. pictures:: bars-pieces", ""]
    else:
        jacobian = [f"jacobian-{name}"] if hasattr(nl, name + "_jacobian") else []
        lines += [
            f".. pictures:: {' '.join([f'bars-{name}', f'gradientbars-{name}', *jacobian, f'rowerror-{name}'])}",
            "",
            "   The errors are measured as these pages are made: 20 random rows of each length, beside the formula in",
            "   float64; dotted: the bound. Where terms cancel, the unit is that of the larger one.",
            "",
        ]
    lines += [*heading("Formula"), *formula(name), *heading("Call"), ".. currentmodule:: nonlin", "", *calls(ROWS[name])]
    lines += [*heading("Types"), TYPES]
    if name != "pieces":
        body = [[what, joined(row), joined(getattr(nl, name)(row))] for what, row in ROW_VALUES.items()]
        lines += [*heading("Special values"), *table(["row with", "row", f"``{name}``"], body, "numbers")]
        lines += elsewhere(name)
    return lines


def loss(name: str) -> list[str]:
    row = losses()[name]
    summary = (inspect.getdoc(getattr(nl, name)) or "").splitlines()[0]
    lines = [name, "=" * len(name), "", summary, ""]
    option = [f"lossoption-{name}"] if option_of(name) else []
    told = {"targets": "The target is the first of three classes, the others are alike.", "elements": "The target is 1."}
    lines += [
        f".. pictures:: {' '.join([f'loss-{name}', *option, f'losserror-{name}'])}",
        "",
        f"   {told.get(row['kind'], 'The other distribution is 0.7, 0.2, 0.1; the last two classes are alike.')}",
        "   The errors are those of these curves in float32, beside the formula in float64, in ULP of the exact value"
        + (
            ", for divergences of their largest term."
            if name.startswith("kl")
            else "; dotted: the bound."
            if name == "cross_entropy"
            else "."
        ),
        "",
    ]
    names = [name, name + "_backward", *([name + "_with_grad"] if row["with_grad"] else [])]
    lines += [*heading("Formula"), *formula(name), *heading("Call"), ".. currentmodule:: nonlin", "", *calls(names)]
    lines += [
        *heading("Types"),
        "The loss of 16-bit floats is float32, their gradient has their own dtype. Targets are never rounded to a narrower",
        "type. Sums over rows are accumulated in float64: a finite mean of float32 losses is finite.",
        "",
        TYPES,
    ]
    return [*lines, *elsewhere(name)]


def linear() -> list[str]:
    summary = (inspect.getdoc(getattr(nl, LINEAR)) or "").splitlines()[0]
    names = [LINEAR + ending for ending in ("", "_with_grad", "_backward")]
    lines = [LINEAR, "=" * len(LINEAR), "", summary, ""]
    lines += [*heading("Formula"), *formula(LINEAR), *heading("Call"), ".. currentmodule:: nonlin", "", *calls(names)]
    return [*lines, *elsewhere(LINEAR)]


def breakable(name: str) -> str:
    """A name that may be broken after its underscores, for narrow cards."""
    return name.replace("_", "_\N{ZERO WIDTH SPACE}")


def title_of(name: str) -> str:
    return "Rows in pieces" if name == "pieces" else name


def gallery(title: str, text: str, names: Iterable[str], drawn: Iterable[str] = ()) -> list[str]:
    """An overview: a card with a small picture for each page, and the pages below it in the navigation."""
    names = list(names)
    lines = [title, "=" * len(title), "", text, "", ".. grid:: 2 3 4 4", "   :gutter: 2", ""]
    for name in names:
        lines += [
            f"   .. grid-item-card:: {breakable(title_of(name))}",
            f"      :link: {name}",
            "      :link-type: doc",
            "",
        ]
        if name != LINEAR:
            lines += [f"      .. pictures:: thumb-{name}", ""]
        else:
            lines += ["      A linear layer and its loss, without ever holding all logits", ""]
    return [*lines, ".. toctree::", "   :hidden:", "", *(f"   {breakable(title_of(name))} <{name}>" for name in names), ""]


def module_page(module_name: str, title: str) -> list[str]:
    """One module: its docstring, then every function of its ``__all__``."""
    module = importlib.import_module(f"nonlin.{module_name}")
    path = module.__name__ if module_name == "testing" else "nonlin"  # everything else is used as nonlin.name
    lines = [title, "=" * len(title), "", inspect.getdoc(module) or "", "", f".. currentmodule:: {path}", ""]
    for name in module.__all__:
        kind = "class" if inspect.isclass(getattr(module, name)) else "function"
        lines += [f".. auto{kind}:: {name}", ""]
    return lines


def forms(name: str) -> list[str]:
    """The rows of the table that are other forms of this one's function."""
    return [other for other, row in activations().items() if row["form_of"] == name]


def all_formulas() -> list[str]:
    """Every function's formula, rendered, on one page."""
    lines = ["All formulas", "============", ""]
    lines += ["Each function, its derivative or gradient, and the form that is computed where it is another one.", ""]
    for name, entry in FUNCTIONS.items():
        target = {"pieces": "pieces", **{form: row["form_of"] for form, row in activations().items() if row["form_of"]}}
        lines += [*heading(name), f":doc:`{target.get(name, name)}`", ""]
        for key in ("value", "slope", "stable"):
            if key in entry:
                lines += mathematics(entry[key])
    return lines


ENGINES = """\
NumPy calls nonlin's elementwise functions for arrays of other packages as it calls its own. Beyond that there are modules,
each imported by its name and each needing its own package: ``pip install nonlin[dask]``, for instance. ``import nonlin``
imports none of them.
"""


def engines() -> list[str]:
    """The pages of other packages, as many as there are."""
    found = [
        path.relative_to(HERE).with_suffix("") for path in (*sorted(HERE.glob("engines/*.md")), *HERE.glob("recipes.md"))
    ]
    title = "With other packages"
    return [
        title,
        "=" * len(title),
        "",
        ENGINES,
        ".. toctree::",
        "   :maxdepth: 1",
        "",
        *(f"   /{path}" for path in found),
        "",
    ]


EXAMPLES = """\
Programs of a hundred lines, in the folder ``examples``. Each prints what it finds, and fails where that is worse than it
promises; the tests run them all. The pictures are drawn by the programs as these pages are made.
"""


def examples() -> list[str]:
    """The programs: what each says of itself, what it draws, and its text."""
    lines = [*heading("Examples", "="), EXAMPLES]
    for path in sorted((HERE.parent / "examples").glob("*.py")):
        text = path.read_text()
        lines += [*heading(path.name), ast.get_docstring(ast.parse(text)) or "", ""]
        if '"--plot"' in text:
            lines += [f".. pictures:: example-{path.stem}", ""]
        lines += [".. dropdown:: The program", "", f"   .. literalinclude:: ../../examples/{path.name}", ""]
    return lines


def pages() -> dict[str, str]:
    """Return all pages, by file name."""
    elementwise = [name for name, row in activations().items() if not row["form_of"]]
    found = {name: activation(name, forms(name)) for name in elementwise}
    found |= {name: rows_page(name) for name in ROWS}
    found |= {name: loss(name) for name in losses()}
    found[LINEAR] = linear()
    found |= {name: module_page(*module) for name, module in MODULES.items()}
    found["activations"] = gallery(
        "Activations",
        "Elementwise functions: NumPy ufuncs, with ``out=``, ``where=``, broadcasting and methods. Each has a gradient, "
        "``…_backward(grad, x)``.",
        elementwise,
    )
    found["rows"] = gallery("Softmax and its family", "Functions along one axis, several, or all.", ROWS)
    found["losses"] = gallery(
        "Losses",
        "Loss and gradient, each by itself or both from one pass.",
        [*losses(), LINEAR],
    )
    found["engines"] = engines()
    found["examples"] = examples()
    found["all_formulas"] = all_formulas()
    texts = {f"{name}.rst": "\n".join(lines) for name, lines in found.items()}
    tables = {"bounds": bounds(), "errors": all_errors()} | {library: coming_from(library) for library in LIBRARIES}
    return texts | {f"{name}.txt": "\n".join(lines) for name, lines in tables.items()}  # which pages written by hand include
