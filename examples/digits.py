"""Train a two-layer network on scikit-learn's handwritten digits: gelu, softmax cross-entropy, plain SGD.

The activations and the loss, forward and backward, come from nonlin, the matrix products from NumPy. The same network
is then trained on the plain NumPy formulas of ``nonlin.reference``, for the time beside it.

Run it with ``python examples/digits.py``; it needs scikit-learn. ``--plot digits.png`` draws the training, and how sure the
network is of its answers beside how often it is right; that needs matplotlib.
"""

import argparse
import time
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import nonlin
import nonlin.reference

Array = npt.NDArray[Any]

PIXELS, HIDDEN, CLASSES = 64, 256, 10
EPOCHS, BATCH, RATE = 30, 32, 0.2
SMOOTHING = 0.1  # of the labels; without it a network this small is about 0.5 % less accurate


class Network:
    """``logits = gelu(x @ w1 + b1) @ w2 + b2``; ``f`` is the module that the functions come from."""

    def __init__(self, f: ModuleType, rng: np.random.Generator) -> None:
        self.f = f
        self.w1 = rng.standard_normal((PIXELS, HIDDEN), dtype=np.float32) * np.float32(PIXELS**-0.5)
        self.b1 = np.zeros(HIDDEN, np.float32)
        self.w2 = rng.standard_normal((HIDDEN, CLASSES), dtype=np.float32) * np.float32(HIDDEN**-0.5)
        self.b2 = np.zeros(CLASSES, np.float32)
        self.epochs: list[tuple[float, float]] = []  # loss and test accuracy of each

    def logits(self, x: Array) -> Array:
        return np.asarray(self.f.gelu(x @ self.w1 + self.b1) @ self.w2 + self.b2)

    def step(self, x: Array, labels: Array) -> float:
        """One step down the gradient of the mean loss; returns the loss."""
        z1 = x @ self.w1 + self.b1
        a1 = self.f.gelu(z1)
        loss, dz2 = self.f.cross_entropy_with_grad(a1 @ self.w2 + self.b2, labels, label_smoothing=SMOOTHING)
        dz1 = self.f.gelu_backward(dz2 @ self.w2.T, z1)
        self.w2 -= RATE * (a1.T @ dz2)
        self.b2 -= RATE * dz2.sum(axis=0)
        self.w1 -= RATE * (x.T @ dz1)
        self.b1 -= RATE * dz1.sum(axis=0)
        return float(loss)

    def accuracy(self, x: Array, labels: Array) -> float:
        return float((self.logits(x).argmax(axis=-1) == labels).mean())


def load_data() -> list[Array]:
    """Pixels and labels, those to train with and those to test with."""
    digits = load_digits()
    pixels = (digits.data / 8 - 1).astype(np.float32)  # from 0 to 16
    x, x_test, labels, labels_test = train_test_split(
        pixels, digits.target, test_size=0.25, random_state=0, stratify=digits.target
    )
    return [x, x_test, labels, labels_test]


def train(f: ModuleType, data: list[Array], *, verbose: bool, kind: type[Network] = Network) -> tuple[Network, float]:
    """Train from a fixed seed; returns the network and the seconds spent in training."""
    x, x_test, labels, labels_test = data
    rng = np.random.default_rng(0)
    network = kind(f, rng)
    seconds = 0.0
    for epoch in range(1, EPOCHS + 1):
        batches = np.array_split(rng.permutation(len(x)), len(x) // BATCH)
        start = time.perf_counter()
        loss = float(np.mean([network.step(x[batch], labels[batch]) for batch in batches]))
        seconds += time.perf_counter() - start
        network.epochs.append((loss, network.accuracy(x_test, labels_test)))
        if verbose:
            print(f"epoch {epoch:2}  loss {loss:.4f}  test accuracy {network.epochs[-1][1]:.2%}")
    return network, seconds


def draw(file: str, epochs: list[tuple[float, float]], probabilities: Array, labels: Array) -> None:
    """Draw loss and accuracy by epoch, and a calibration curve: of ten groups, from the unsure to the sure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    loss, accuracy, calibration = figure.subplots(1, 3)
    for axes, values, title in zip(
        (loss, accuracy), zip(*epochs, strict=True), ("training loss", "test accuracy"), strict=True
    ):
        axes.plot(range(1, len(values) + 1), values, marker=".")
        axes.set(title=title, xlabel="epoch")
    order = probabilities.max(axis=-1).argsort()
    sure, right = probabilities.max(axis=-1)[order], (probabilities.argmax(axis=-1) == labels)[order]
    means = [[part.mean() for part in np.array_split(values, 10)] for values in (sure, right)]
    calibration.plot([0, 1], [0, 1], color="grey", linewidth=1)
    calibration.plot(*means, marker="o")
    calibration.set(
        title="calibration, test set", xlabel="how sure", ylabel="how often right", xlim=(0.3, 1.02), ylim=(0.3, 1.02)
    )
    calibration.annotate(f"above the line: too modest,\nas labels were smoothed by {SMOOTHING}", (0.6, 0.36), fontsize=8)
    figure.savefig(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", metavar="FILE", help="draw the training and the calibration")
    plot = parser.parse_args().plot
    data = load_data()
    network, seconds = train(nonlin, data, verbose=True)
    network_numpy, seconds_numpy = train(nonlin.reference, data, verbose=False)
    accuracy, accuracy_numpy = network.epochs[-1][1], network_numpy.epochs[-1][1]
    print(f"nonlin         test accuracy {accuracy:.2%}  training {seconds:.2f} s")
    print(f"NumPy formulas test accuracy {accuracy_numpy:.2%}  training {seconds_numpy:.2f} s")
    if plot:
        draw(plot, network.epochs, nonlin.softmax(network.logits(data[1])), data[3])
    assert accuracy >= 0.97, f"test accuracy {accuracy:.2%} is below 97 %"


if __name__ == "__main__":
    main()
