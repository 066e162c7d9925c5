"""The benchmark of nonlin against pure NumPy, and against SciPy, numexpr, torch and JAX where they are installed.

It also compares nonlin with the limit of the machine: see :mod:`nonlin.bench.ceilings`.

Run ``python -m nonlin.bench``. It needs the extra ``bench``: ``pip install "nonlin[bench]"``.
"""
