"""The elementwise functions: NumPy ufuncs, made from the table of activations in the extension.

A function without keyword parameters is the ufunc itself. One with keyword parameters is a function of the extension that
passes them on as further inputs, so that they broadcast too.
"""

from . import _core

__all__: list[str] = []


def _add_functions() -> None:
    functions = _core.functions()
    for row in _core.activations():
        if row["form_of"]:
            continue
        for name in (row["name"], row["name"] + "_backward"):
            globals()[name] = functions.get(name) or getattr(_core, name)
            __all__.append(name)
    __all__.sort()


_add_functions()
