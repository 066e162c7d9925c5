"""Loss and gradient of logits that no worker can hold, from a file to a file, on a small cluster.

The logits lie in logits.npy. Two workers with 1 GB of memory and one thread each take them in 8 x 8 blocks, of rows and of
classes, so every row is split among eight blocks. The loss comes back, and the gradient goes to gradient.npy. Both are
compared with what nonlin makes of whole rows.

Run it with ``python examples/out_of_core.py``; it needs dask and distributed. With ``--rows 8192 --classes 51200`` logits
and gradient take 1.7 GB each. With ``--kill`` a worker is killed in the middle of a second run, which has the same bits.
"""

import argparse
import hashlib
import os
import pathlib
import re
import signal
import time
from typing import Any

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

import nonlin as nl
import nonlin.dask

BLOCKS = 8  # of rows, and of classes


class File:
    """A .npy file that blocks are written to, by any process."""

    def __init__(self, path: pathlib.Path, shape: tuple[int, ...]) -> None:
        self.path = path
        np.lib.format.open_memmap(path, "w+", np.float32, shape).flush()

    def __setitem__(self, place: Any, block: np.ndarray) -> None:
        np.load(self.path, mmap_mode="r+")[place] = block


def make_logits(path: pathlib.Path, rows: int, classes: int) -> None:
    logits = np.lib.format.open_memmap(path, "w+", np.float32, (rows, classes))
    rng = np.random.default_rng(0)
    for start in range(0, rows, 256):
        block = logits[start : start + 256]
        block[...] = 3 * rng.standard_normal(block.shape, np.float32)
    logits.flush()


def load(path: pathlib.Path, block_info: Any = None) -> np.ndarray:
    place = tuple(slice(*ends) for ends in block_info[None]["array-location"])
    return np.array(np.load(path, mmap_mode="r")[place])


def chunks_of(length: int) -> tuple[int, ...]:
    return tuple(int(n) for n in np.diff(np.linspace(0, length, BLOCKS + 1).astype(int)))


def digest(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run(
    client: Client, logits: Any, targets: np.ndarray, path: pathlib.Path, victim: int | None
) -> tuple[np.float32, float]:
    """The loss, and the time that it and the gradient took. The victim is a process that is killed in the middle."""
    gradient_file = File(path, logits.shape)
    loss, gradient = nonlin.dask.cross_entropy_with_grad(logits, targets, label_smoothing=0.1)
    stored = gradient.store(gradient_file, lock=False, compute=False)
    corners = np.ix_(*(np.cumsum((0, *c[:-1])) for c in gradient.chunks))
    start, last = time.perf_counter(), -1
    futures = client.compute([loss, stored])
    while not all(future.done() for future in futures):
        time.sleep(0.2)
        written = int(np.count_nonzero(np.load(path, mmap_mode="r")[corners]))
        if written != last:
            print(f"  {time.perf_counter() - start:5.1f} s: {written} of {BLOCKS**2} blocks of the gradient", flush=True)
        last = written
        if victim is not None and written >= BLOCKS**2 // 4:
            os.kill(victim, signal.SIGKILL)
            print(f"  worker process {victim} is killed", flush=True)
            victim = None
    return client.gather(futures[0])[()], time.perf_counter() - start


def whole(logits: np.ndarray, targets: np.ndarray, gradient: np.ndarray) -> tuple[float, float]:
    """The loss by whole rows, and the largest difference of the gradient, in units of its largest entry."""
    total, worst, largest = 0.0, 0.0, 0.0
    for start in range(0, len(targets), 256):
        part = slice(start, start + 256)
        losses, expected = nl.cross_entropy_with_grad(logits[part], targets[part], label_smoothing=0.1, reduction="none")
        total += losses.sum(dtype=np.float64)
        expected /= len(targets)
        worst = max(worst, np.abs(gradient[part] - expected).max())
        largest = max(largest, np.abs(expected).max())
    return total / len(targets), worst / largest


def peak_memory() -> str:
    """Of this process, from Linux."""
    status = pathlib.Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    return f"{int(found[1]) * 1024 / 1e9:.2f} GB" if found else "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description="Loss and gradient of logits on disk, by dask.")
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--classes", type=int, default=6400)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(), help="where the files go")
    parser.add_argument("--kill", action="store_true", help="do it again, and kill a worker")
    options = parser.parse_args()
    shape = (options.rows, options.classes)
    path, out = (options.folder.resolve() / name for name in ("logits.npy", "gradient.npy"))
    if not path.exists() or np.load(path, mmap_mode="r").shape != shape:
        make_logits(path, *shape)
    targets = np.random.default_rng(1).integers(0, options.classes, options.rows)
    logits = da.map_blocks(
        load, path, chunks=tuple(map(chunks_of, shape)), dtype=np.float32, meta=np.empty((0, 0), np.float32)
    )
    print(f"{options.rows} x {options.classes} logits in {BLOCKS} x {BLOCKS} blocks: {logits.nbytes / 1e9:.2f} GB")

    dask.config.set({"distributed.worker.memory.terminate": 0.98})
    with (
        LocalCluster(2, threads_per_worker=1, memory_limit="1 GB", dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        found = []
        for victim in [None, next(iter(cluster.workers.values())).pid] if options.kill else [None]:
            loss, seconds = run(client, logits, targets, out, victim)
            found.append((loss.tobytes(), digest(out)))
            peaks = ", ".join(client.run(peak_memory).values())
            print(f"loss {loss:.6f}, with the gradient in {seconds:.1f} s; peak memory of the workers: {peaks}")
        if options.kill:
            print(f"bits after a worker's death: {'the same' if found[0] == found[1] else 'others'}")

    expected, difference = whole(np.load(path, mmap_mode="r"), targets, np.load(out, mmap_mode="r"))
    print(f"by whole rows: loss {expected:.6f}; the gradient differs by {difference:.1e} of its largest entry")


if __name__ == "__main__":
    main()
