"""Rows divided among joblib's processes, which read the logits from one memory-mapped file.

joblib writes large arrays to a file that every process maps, and tells each how many threads it may use: nonlin reads that.
"""

import joblib
import numpy as np

import nonlin as nl


def losses_of(logits: np.ndarray, targets: np.ndarray, rows: slice) -> np.ndarray:
    return np.asarray(nl.cross_entropy(logits[rows], targets[rows], reduction="none"))


def losses(logits: np.ndarray, targets: np.ndarray, processes: int = 2, rows: int = 1024) -> np.ndarray:
    """The loss of each row."""
    pieces = [slice(start, start + rows) for start in range(0, len(logits), rows)]
    with joblib.parallel_config("loky", n_jobs=processes, inner_max_num_threads=1):
        return np.concatenate(joblib.Parallel()(joblib.delayed(losses_of)(logits, targets, piece) for piece in pieces))


def main() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.standard_normal((4000, 1000), np.float32), rng.integers(0, 1000, 4000)
    same = np.array_equal(losses(logits, targets), nl.cross_entropy(logits, targets, reduction="none"))
    print(f"{len(logits)} rows by two processes: the bits of one call: {same}")


if __name__ == "__main__":
    main()
