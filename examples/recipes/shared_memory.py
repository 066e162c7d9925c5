"""Processes that compute in place in one array of shared memory: nothing is pickled, nothing is copied.

Each worker opens the block by its name and overwrites its own rows, with one thread.
"""

import itertools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.shared_memory import SharedMemory

import numpy as np

import nonlin as nl


def softmax_rows(name: str, shape: tuple[int, int], first: int, last: int) -> None:
    """Overwrite rows of the float32 array in the block of this name."""
    block = SharedMemory(name)
    try:
        rows = np.ndarray(shape, np.float32, block.buf)[first:last]
        with nl.num_threads(1):
            nl.softmax(rows, out=rows)
        del rows  # no view may be left when the block is closed
    finally:
        block.close()


def main() -> None:
    x = np.random.default_rng(0).standard_normal((4000, 1000), np.float32)
    block = SharedMemory(create=True, size=x.nbytes)
    try:
        shared = np.ndarray(x.shape, x.dtype, block.buf)
        shared[:] = x
        bounds = np.linspace(0, len(x), 5, dtype=int).tolist()
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            jobs = [pool.submit(softmax_rows, block.name, x.shape, *ends) for ends in itertools.pairwise(bounds)]
            for job in jobs:
                job.result()
        print(f"{len(x)} rows by two processes: the bits of one call: {np.array_equal(shared, nl.softmax(x))}")
        del shared
    finally:
        block.close()
        block.unlink()


if __name__ == "__main__":
    main()
