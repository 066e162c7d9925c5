"""Show the configuration, check the results of every instruction set of this machine, and say what slows calls down.

The check takes some two seconds: it computes a corpus of all functions, and compares the bits with those that came with
nonlin. The exit code is 1 where they differ.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time

from . import _core, _fingerprint, show_config

PATIENCE = 120.0  # seconds: who has not answered by then hangs
NAMED = 5  # functions that differ


def check() -> dict[str, str]:
    """What is wrong with each instruction set: nothing, or a sentence. Each is forced in a process of its own."""
    command = [sys.executable, "-m", "nonlin._fingerprint"]
    processes = {
        target: subprocess.Popen(
            command,
            env=os.environ | {"NONLIN_SIMD_TARGET": target},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for target in _core.simd_targets()
    }
    known = _fingerprint.known()
    return {target: _fault(process, known[_fingerprint.group(target)]) for target, process in processes.items()}


def _fault(process: subprocess.Popen[str], known: dict[str, str]) -> str:
    with process:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            return f"no answer within {PATIENCE:.0f} s"
    if process.returncode < 0:
        return f"ended by {signal.Signals(-process.returncode).name}"
    if process.returncode > 0:
        return (err.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
    found = json.loads(out)
    wrong = [name for name in found | known if found.get(name) != known.get(name)]
    names = ", ".join(wrong[:NAMED]) + (f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else "")
    return f"other bits than those stored: {names}" if wrong else ""


def advice() -> list[str]:
    """What slows calls down here, and what helps."""
    config, found = _core.config(), []
    cpus = os.cpu_count() or 1
    if config["threads"] < cpus:
        found.append(f"Calls use at most {config['threads']} of {cpus} CPUs: {_limit_of_threads(config)}.")
    if hasattr(os, "getloadavg") and (load := os.getloadavg()[0]) >= cpus / 2:
        found.append(f"The load average is {load:.1f} beside {cpus} CPUs: others keep them busy, and times vary.")
    target, best = config["simd_target"], config["simd_targets"][0]
    if target != best:
        found.append(f"NONLIN_SIMD_TARGET forces {target}, though this machine has {best}.")
    elif target in _fingerprint.WITHOUT_FMA:
        times = "ten to fifty" if target == "SCALAR" else "two to fourteen"
        found.append(
            f"The best instruction set here, {target}, has no fused multiply-add: most functions take {times} times as long "
            "as with AVX2. Some virtual machines hide AVX2 of their host."
        )
    if config["build"] == "debug":
        found.append("This is a debug build, without the compiler's optimisation: build with CMAKE_BUILD_TYPE=Release.")
    if re.fullmatch(r"\s*0+\s*", os.environ.get("NONLIN_KEPT_BYTES", "")):
        found.append(
            "NONLIN_KEPT_BYTES is 0, so no memory is kept: a large result without out= takes two to eight times as long."
        )
    return found


def _limit_of_threads(config: dict[str, object]) -> str:
    """What holds them down."""
    if config["threading"] == "none":
        return "this build has no threads (NONLIN_THREADS=none)"
    threads, reasons = config["threads"], []
    for name in ("NONLIN_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if re.match(rf"\s*\+?0*{threads}\b", value):
            reasons.append(f"{name} is {value}")
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) == threads:
        reasons.append("the process may run on no others (its CPU affinity)")
    return ", and ".join(reasons) or "the system grants no more (the CPU quota of a container)"


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code."""
    argparse.ArgumentParser(prog="python -m nonlin", description=__doc__).parse_args(arguments)
    show_config()
    slow = advice()  # before the check, which makes CPUs busy too
    start = time.perf_counter()
    faults = check()
    print(
        f"self-check: {len(_fingerprint.known()['with fused multiply-add'])} functions, {time.perf_counter() - start:.1f} s"
    )
    for target, fault in faults.items():
        print(f"  {target}: {fault or 'right'}")
    print("advice:" if slow else "advice: none, nothing slows calls down")
    for line in slow:
        print(f"  {line}")
    return 1 if any(faults.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
