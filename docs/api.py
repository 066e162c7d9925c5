"""The pages of the public API, made from the package: a function is documented by being public."""

import importlib
import inspect

MODULES = {  # by the name of the page
    "activations": ("_activations", "Elementwise functions"),
    "softmax": ("_softmax", "Row-wise functions"),
    "losses": ("_losses", "Losses"),
    "linear": ("_linear", "Losses of a linear layer"),
    "runtime": ("_runtime", "Runtime"),
    "testing": ("testing", "Gradient checks"),
}


def page(module_name: str, title: str) -> str:
    """Return the page of one module: its docstring, then every function of its ``__all__``."""
    module = importlib.import_module(f"nonlin.{module_name}")
    path = module.__name__ if module_name == "testing" else "nonlin"  # everything else is used as nonlin.name
    lines = [title, "=" * len(title), "", inspect.getdoc(module) or "", "", f".. currentmodule:: {path}", ""]
    for name in module.__all__:
        kind = "class" if inspect.isclass(getattr(module, name)) else "function"
        lines += [f".. auto{kind}:: {name}", ""]
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Return all pages, by file name."""
    return {f"{name}.rst": page(*module) for name, module in MODULES.items()}
