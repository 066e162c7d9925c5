"""Cross-entropy whose classes are divided among MPI's processes: mpiexec -n 4 python mpi_vocabulary.py.

Each holds its part of each row of logits, as in a model whose last layer is divided. One Allgather brings three numbers a
row from each process: a maximum, a sum and the target's logit. Megatron-LM takes three all-reduces. All processes merge in
one order, so that they have the same bits.
"""

import numpy as np
from mpi4py import MPI

import nonlin as nl


def cross_entropy_with_grad(
    logits: np.ndarray, targets: np.ndarray, first: int, comm: MPI.Comm
) -> tuple[np.ndarray, np.ndarray]:
    """Losses of the rows, and the gradient of their mean for the classes that are here, from `first` on."""
    places = targets - first
    rows = np.flatnonzero((places >= 0) & (places < logits.shape[-1]))  # whose target is here
    target = rows, places[rows]

    m, r = nl.logsumexp_partial(logits)
    z = np.zeros_like(m)
    z[rows] = logits[target]
    gathered = np.empty((comm.size, 3, len(targets)), m.dtype)
    comm.Allgather(np.stack([m, r, z]), gathered)

    m, r = gathered[0, :2]
    for m_other, r_other, _ in gathered[1:]:
        m, r = nl.logsumexp_merge(m, r, m_other, r_other)
    losses = (m - gathered[:, 2].sum(axis=0)) + np.log1p(r)
    grad = nl.softmax_from(logits, m, r)
    grad[target] = np.expm1(-losses[rows])  # p - 1, which keeps its digits where p is nearly 1
    return losses, np.divide(grad, len(targets), out=grad)


def main() -> None:
    comm = MPI.COMM_WORLD
    rng = np.random.default_rng(0)  # the same in all processes
    logits, targets = rng.standard_normal((256, 32000), np.float32), rng.integers(0, 32000, 256)
    first, last = (k * logits.shape[1] // comm.size for k in (comm.rank, comm.rank + 1))
    losses, grad = cross_entropy_with_grad(logits[:, first:last], targets, first, comm)

    expected = nl.cross_entropy(logits, targets, reduction="none")
    expected_grad = nl.cross_entropy_backward(1.0, logits, targets)[:, first:last]
    loss_error = comm.reduce(np.abs(losses / expected - 1).max(), MPI.MAX)
    grad_error = comm.reduce(np.abs(grad / expected_grad - 1).max(), MPI.MAX)
    same = len(set(comm.allgather(losses.tobytes()))) == 1
    if comm.rank == 0:
        print(f"{comm.size} processes: losses differ by {loss_error:.1e} of their size, gradients by {grad_error:.1e};")
        print(f"all processes have the same bits: {same}")


if __name__ == "__main__":
    main()
