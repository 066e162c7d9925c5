"""``python -m nonlin``: configuration, self-check and advice."""

import os
import re
import signal
import subprocess
import sys
from typing import Any

import pytest

import nonlin as nl
from nonlin import __main__ as command
from nonlin import _core, _fingerprint

from .fresh import PATIENCE

RIGHT = dict.fromkeys(nl.simd_targets(), "")


def test_the_command_finds_every_instruction_set_right() -> None:
    result = subprocess.run([sys.executable, "-m", "nonlin"], capture_output=True, text=True, timeout=60 * PATIENCE)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == f"nonlin {nl.__version__}"
    for target in nl.simd_targets():
        assert f"  {target}: right" in lines
    assert [line.split(":")[0] for line in lines if not line.startswith(" ")][1:] == ["self-check", "advice"]


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"])
    assert ended.value.code == 0
    assert "exit code is 1" in " ".join(capsys.readouterr().out.split())


def test_other_bits_are_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    group = _fingerprint.group(nl.simd_target())
    wrong = _fingerprint.known()
    wrong[group] |= {"softmax": "0" * 16, "gone": "0" * 16}
    monkeypatch.setattr(_fingerprint, "known", lambda: wrong)
    monkeypatch.setattr(_core, "simd_targets", lambda: [nl.simd_target()])
    assert command.main([]) == 1
    assert f"  {nl.simd_target()}: other bits than those stored: softmax, gone\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("print('{}')", "other bits than those stored: a, b, c, d, e and 2 more"),
        ("""print('{"' + '": "1", "'.join("abcdefg") + '": "1"}')""", ""),
        ("raise ImportError('no such target')", "ImportError: no such target"),
        ("import sys; sys.exit(3)", "exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "ended by SIGILL"),
    ],
)
def test_faults(code: str, fault: str) -> None:
    if "SIGILL" in code and not hasattr(signal, "SIGKILL"):
        pytest.skip("no process is ended by a signal")
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True)
    assert command._fault(process, dict.fromkeys("abcdefg", "1")) == fault


def test_a_check_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "PATIENCE", 0.0)
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert command._fault(process, {}) == "no answer within 0 s"
    assert process.returncode is not None


# Circumstances, and a part of the line of advice that each gives.
IDLE = {"threads": 8, "threading": "pool", "simd_target": "AVX2", "simd_targets": ["AVX2", "SSE4"], "build": "optimised"}
ADVICE: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "variable": ({"threads": 1}, {"OMP_NUM_THREADS": " 1,2"}, "1 of 8 CPUs: OMP_NUM_THREADS is  1,2."),
    "both": (
        {"threads": 2},
        {"NONLIN_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"},
        "NONLIN_NUM_THREADS is 2, and OMP_NUM_THREADS is 2.",
    ),
    "other variable": ({"threads": 3}, {"NONLIN_NUM_THREADS": "30"}, "3 of 8 CPUs: the system grants no more"),
    "affinity": ({"threads": 4}, {}, "4 of 8 CPUs: the process may run on no others"),
    "no threads": ({"threads": 1, "threading": "none"}, {}, "this build has no threads"),
    "forced": ({"simd_target": "SSE4"}, {"NONLIN_SIMD_TARGET": "SSE4"}, "forces SSE4, though this machine has AVX2"),
    "old": (
        {"simd_target": "SSE4", "simd_targets": ["SSE4", "SCALAR"]},
        {},
        "SSE4, has no fused multiply-add: .* two to fourteen",
    ),
    "none": ({"simd_target": "SCALAR", "simd_targets": ["SCALAR"]}, {}, "SCALAR, has no fused .* ten to fifty"),
    "debug": ({"build": "debug"}, {}, "debug build"),
    "memory": ({}, {"NONLIN_KEPT_BYTES": "0"}, "NONLIN_KEPT_BYTES is 0"),
    "load": ({"load": 4.0}, {}, "load average is 4.0 beside 8 CPUs"),
}


def advised(changes: dict[str, Any], variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    for name in ("NONLIN_NUM_THREADS", "OMP_NUM_THREADS", "NONLIN_KEPT_BYTES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "getloadavg", lambda: (changes.get("load", 3.9), 0, 0), raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(_core, "config", lambda: IDLE | changes)
    return command.advice()


def test_no_advice_without_need(monkeypatch: pytest.MonkeyPatch) -> None:
    assert advised({}, {"NONLIN_KEPT_BYTES": "1000", "OMP_NUM_THREADS": "8"}, monkeypatch) == []


@pytest.mark.parametrize("name", ADVICE)
def test_advice(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changes, variables, part = ADVICE[name]
    (line,) = advised(changes, variables, monkeypatch)
    assert re.search(part, line), line


def test_advice_for_everything_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"threads": 1, "build": "debug", "simd_target": "SSE4", "load": 9.0}
    lines = advised(changes, {"NONLIN_KEPT_BYTES": "00", "NONLIN_NUM_THREADS": "1"}, monkeypatch)
    assert len(set(lines)) == 5


def test_the_configuration_has_what_advice_reads() -> None:
    assert set(IDLE) <= set(_core.config())
