"""Lets threadpoolctl see and limit nonlin's threads, whichever of the two is imported first."""

import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from . import _core


def _register(threadpoolctl: ModuleType) -> None:
    if not hasattr(threadpoolctl, "register"):  # older than 3.2
        return

    class Controller(threadpoolctl.LibController):  # type: ignore[misc, name-defined]
        user_api = internal_api = "nonlin"
        filename_prefixes = (os.path.basename(_core.__file__ or "").lower(),)  # pathlib takes 4 ms to import
        check_symbols = ("nonlin_num_threads",)  # other packages have a _core too

        def get_num_threads(self) -> int:
            return _core.get_num_threads()

        def set_num_threads(self, num_threads: int) -> None:
            _core.set_num_threads(num_threads)

        def get_version(self) -> str:
            return _core.__version__

    threadpoolctl.register(Controller)


class _WhenImported:
    """Finds threadpoolctl once, as the usual finders do, and registers with it after it has run."""

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "threadpoolctl":
            return None
        from importlib.util import find_spec

        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_register(module: ModuleType) -> None:
                run(module)
                _register(module)

            spec.loader.exec_module = run_and_register  # type: ignore[method-assign]
        return spec


if "threadpoolctl" in sys.modules:
    _register(sys.modules["threadpoolctl"])
else:
    sys.meta_path.insert(0, _WhenImported())
