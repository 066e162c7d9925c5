"""Loss and gradient of logits in ray's object store, a task for each piece of the rows.

Tasks read the logits where they are, without a copy: nonlin takes read-only arrays. ray tells each task how many threads
it may use, one for each CPU that it asks for: nonlin reads that.
"""

import itertools
from typing import Any

import numpy as np
import ray

import nonlin as nl


@ray.remote(num_cpus=1)  # type: ignore[untyped-decorator, unused-ignore]
def loss_and_grad(logits: np.ndarray, targets: np.ndarray, first: int, last: int) -> Any:
    """Of the sum over rows, so that pieces can be added."""
    return nl.cross_entropy_with_grad(logits[first:last], targets[first:last], reduction="sum")


def cross_entropy_with_grad(logits: np.ndarray, targets: np.ndarray, pieces: int = 4) -> Any:
    """The mean loss and its gradient."""
    stored = ray.put(logits), ray.put(targets)
    bounds = np.linspace(0, len(logits), pieces + 1, dtype=int).tolist()
    parts = ray.get([loss_and_grad.remote(*stored, *ends) for ends in itertools.pairwise(bounds)])
    grad = np.concatenate([grad for _, grad in parts])
    return sum(float(loss) for loss, _ in parts) / len(logits), np.divide(grad, len(logits), out=grad)


def main() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.standard_normal((4000, 1000), np.float32), rng.integers(0, 1000, 4000)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    loss, grad = cross_entropy_with_grad(logits, targets)
    ray.shutdown()
    expected, expected_grad = nl.cross_entropy_with_grad(logits, targets)
    print(f"{len(logits)} rows by ray's tasks: the loss differs from that of one call by {abs(loss / expected - 1):.1e},")
    print(f"the gradient by {np.abs(grad - expected_grad).max() / np.abs(expected_grad).max():.1e}")


if __name__ == "__main__":
    main()
