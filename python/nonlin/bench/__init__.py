"""The benchmark of nonlin against pure NumPy, and against SciPy and torch where they are installed.

Run ``python -m nonlin.bench``. It needs the extra ``bench``: ``pip install "nonlin[bench]"``.
"""
