"""Fresh interpreters, for what concerns a whole process."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap

TESTS = pathlib.Path(__file__).parent
try:  # qemu shows its program's name at /proc/self/exe, but not here
    EMULATED = "qemu" in os.path.basename(os.readlink("/proc/thread-self/exe"))
except OSError:
    EMULATED = False
# A factor of every time limit, for what slows the tests down: an emulator, a sanitizer, valgrind.
PATIENCE = float(os.environ.get("NONLIN_TEST_PATIENCE", "20" if EMULATED else "1"))

# Under a sanitizer or valgrind, whose library is loaded first, the sizes of memory are others.
INSTRUMENTED = any(name in os.environ.get("LD_PRELOAD", "") for name in ("libasan", "libtsan", "vgpreload"))


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter, with a time limit instead of a hang."""
    # Settings of this process must not leak into the one under test.
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("NONLIN_", "OMP_"))}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=kept | environment, stdout=pipe, stderr=pipe, text=True, cwd=TESTS, start_new_session=True
    ) as process:
        try:
            out, err = process.communicate(timeout=60 * PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its forks too
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def printed(code: str, **environment: str) -> str:
    result = run(code, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()
