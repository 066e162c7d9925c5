"""What OpenMP's runtime reads from the environment when the extension brings it along; imported before anything else.

Its threads wait actively by default. Beside a BLAS library, whose threads want the same cores, each then waits for the
scheduler, for milliseconds.
"""

import os

from ._build import THREADS

if THREADS == "openmp" and not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
    os.environ["OMP_WAIT_POLICY"] = "passive"
    try:
        from . import _core  # noqa: F401
    finally:
        del os.environ["OMP_WAIT_POLICY"]  # for this runtime alone
