"""Checks and settings needed before the extension and its libraries are loaded; imported before anything else."""

import contextlib
import importlib
import os

from ._build import THREADS


def _refuse_subinterpreters() -> None:
    """Raise in a sub-interpreter: loading the extension would wait forever for the main interpreter's lock."""
    for name in ("_interpreters", "_xxsubinterpreters"):  # from Python 3.13 on, and before
        with contextlib.suppress(ModuleNotFoundError):
            interpreters = importlib.import_module(name)
            if interpreters.get_current() != interpreters.get_main():
                raise ImportError("nonlin cannot be imported in a sub-interpreter; import it in the main one")
            return


def _load_with_passive_waiting() -> None:
    """Load OpenMP's runtime with threads that wait passively, unless the user says otherwise.

    By default they spin. Beside a BLAS library, whose threads want the same cores, each library then waits milliseconds for
    the scheduler.
    """
    if {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
        return
    os.environ["OMP_WAIT_POLICY"] = "passive"
    try:
        importlib.import_module("nonlin._core")
    finally:
        del os.environ["OMP_WAIT_POLICY"]  # for this runtime alone


_refuse_subinterpreters()
if THREADS == "openmp":
    _load_with_passive_waiting()
