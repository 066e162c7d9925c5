"""Print what must be installed before nonlin is built without isolation, for ``pip install -r``.

``python tools/requirements.py build test lint`` prints the requirements of the package, of its build, and of its extras
``test`` and ``lint``. They are written down in pyproject.toml only.
"""

import sys
import sysconfig
import tomllib
from pathlib import Path

pyproject = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())
groups = {
    # scikit-build-core asks pip for these two where they are missing, but only in an isolated build.
    "build": [*pyproject["build-system"]["requires"], "cmake>=3.18", "ninja"],
    **pyproject["project"]["optional-dependencies"],
}
requirements = [*pyproject["project"]["dependencies"], *(r for name in sys.argv[1:] for r in groups[name])]
# Needs the global lock, and has no wheels for a Python without it; its tests are skipped there.
left_out = {"awkward"} if sysconfig.get_config_var("Py_GIL_DISABLED") else set()
print(*(r for r in requirements if r not in left_out), sep="\n")
