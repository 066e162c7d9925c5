"""A few seconds of `make fuzz-calls`: the same cases in every run."""

import functools
import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nonlin as nl

from . import fuzz_calls

PARTS, CASES = 4, 6  # of each function


@pytest.mark.parametrize("part", range(PARTS))
def test_calls_with_anything(part: int) -> None:
    count, wrong = fuzz_calls.run(fuzz_calls.NAMES, range(part * CASES, (part + 1) * CASES))
    assert count == CASES * len(fuzz_calls.NAMES)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("options", [{}, {"return_sign": True}, {"out": np.ones(())}, {"b": [1, -1]}], ids=str)
def test_what_has_no_truth_is_no_keepdims(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="truth"):
        nl.logsumexp([1.0, 2.0], keepdims=np.ones(2), **options)
    with pytest.raises(fuzz_calls.Refused):
        nl.logsumexp([1.0, 2.0], keepdims=fuzz_calls.hostile("__bool__"), **options)


def raises_system_error(*_: Any, **__: Any) -> Any:
    raise SystemError


def warns(*_: Any, **__: Any) -> Any:
    warnings.warn("overflow", RuntimeWarning, stacklevel=1)


def changes_inputs(*given: Any, **_: Any) -> Any:
    for a in given:
        if isinstance(a, np.ndarray) and a.flags.writeable and a.nbytes and not a.dtype.hasobject:
            a.view(np.ndarray).flat[0] = np.frombuffer(bytes(255 - b for b in a.tobytes()[: a.itemsize]), a.dtype)[0]


def writes_before_it_raises(*_: Any, out: Any = None, **__: Any) -> Any:
    changes_inputs(out)
    raise ValueError


@pytest.mark.parametrize("what", [raises_system_error, warns, changes_inputs, writes_before_it_raises])
def test_what_is_wrong_is_found(what: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nl, "softmax", functools.wraps(nl.softmax)(what))
    assert fuzz_calls.run(["softmax"], range(60))[1]


def test_a_call_that_ends_the_process_is_found(tmp_path: Any, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the calls go on after it."""
    (tmp_path / "sitecustomize.py").write_text("import os, nonlin\nnonlin.relu = lambda x, out=None: os._exit(3)\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    assert fuzz_calls.main(["--only=relu", "--stop=5"]) == 1
    printed = capfd.readouterr().out
    assert printed.count("the process ended with 3") > 1
    assert f"5 calls of 1 functions, {printed.count('repeat(')} wrong" in printed
