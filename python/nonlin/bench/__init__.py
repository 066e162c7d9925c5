"""The benchmark of nonlin against pure NumPy, and against other libraries where they are installed.

These are SciPy, numexpr, numba, torch (eager, compiled, and its oneDNN), JAX, ONNX Runtime and XNNPACK (in ai-edge-litert).

It also compares nonlin with the limit of the machine: see :mod:`nonlin.bench.ceilings`.

Run ``python -m nonlin.bench``. It needs the extra ``bench``: ``pip install "nonlin[bench]"``.
"""
