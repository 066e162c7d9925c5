"""Distil a wide network into a small one, on scikit-learn's handwritten digits.

The student knows the labels of 50 digits. It is trained on these alone, then also on the teacher's softmax of all digits,
at a temperature: on the divergence of its own softmax from that one (Hinton et al. 2015, arXiv:1503.02531).

Run it with ``python examples/distillation.py``; it needs scikit-learn. ``--plot distillation.png`` draws the losses, and
what a teacher tells beyond a label; that needs matplotlib.
"""

import argparse
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import nonlin as nl

Array = npt.NDArray[Any]

PIXELS, CLASSES, TEACHER, STUDENT = 64, 10, 256, 16  # the last two: hidden units
LABELLED, UNKNOWN = 50, -100  # digits whose label the student knows; a label that the cross-entropy ignores
STEPS, BATCH, RATE = 2000, 32, 0.1
TEMPERATURE = 4.0


class Network:
    """``logits = gelu(x @ w1 + b1) @ w2 + b2``."""

    def __init__(self, hidden: int) -> None:
        self.rng = np.random.default_rng(0)
        self.w1 = self.rng.standard_normal((PIXELS, hidden), dtype=np.float32) * np.float32(PIXELS**-0.5)
        self.b1 = np.zeros(hidden, np.float32)
        self.w2 = self.rng.standard_normal((hidden, CLASSES), dtype=np.float32) * np.float32(hidden**-0.5)
        self.b2 = np.zeros(CLASSES, np.float32)
        self.losses: list[float] = []  # of each step

    def logits(self, x: Array) -> Array:
        return np.asarray(nl.gelu(x @ self.w1 + self.b1) @ self.w2 + self.b2)

    def train(self, name: str, x: Array, labels: Array, soft: Array | None = None) -> None:
        """SGD on the labels and, where it is given, on the softmax of a teacher."""
        for step in range(1, STEPS + 1):
            batch = self.rng.integers(len(x), size=BATCH)
            z1 = x[batch] @ self.w1 + self.b1
            a1 = nl.gelu(z1)
            z2 = a1 @ self.w2 + self.b2
            # Not the mean: a batch may hold no known label.
            loss, dz2 = nl.cross_entropy_with_grad(z2, labels[batch], ignore_index=UNKNOWN, reduction="sum")
            loss, dz2 = loss / BATCH, dz2 / BATCH
            if soft is not None:  # T^2 times the divergence, whose gradient shrinks as 1 / T^2; by z2 it is dz / T
                divergence, dz = nl.kl_divergence_with_logits_with_grad(soft[batch], z2 / TEMPERATURE)
                loss, dz2 = loss + TEMPERATURE**2 * divergence, dz2 + TEMPERATURE * dz
            dz1 = nl.gelu_backward(dz2 @ self.w2.T, z1)
            self.w2 -= RATE * (a1.T @ dz2)
            self.b2 -= RATE * dz2.sum(axis=0)
            self.w1 -= RATE * (x[batch].T @ dz1)
            self.b1 -= RATE * dz1.sum(axis=0)
            self.losses.append(float(loss))
            if step % (STEPS // 4) == 0:
                print(f"{name:9}  step {step:4}  loss {loss:.4f}")


def draw(file: str, networks: dict[str, Network], digit: Array) -> None:
    """Draw the losses, averaged over 100 steps, and the teacher's softmax of a digit, with and without temperature."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    losses, picture, told = figure.subplots(1, 3, width_ratios=[2, 1, 2])
    for name, network in networks.items():
        steps = np.arange(50, STEPS, 100)
        losses.plot(steps, np.reshape(network.losses, (-1, 100)).mean(axis=1), label=name)
    losses.set(title="training loss", xlabel="step", yscale="log")
    losses.legend()
    picture.imshow(digit.reshape(8, 8), cmap="gray_r")
    picture.set(title="a digit", xticks=[], yticks=[])
    for shift, temperature in ((-0.2, 1.0), (0.2, TEMPERATURE)):
        probabilities = nl.softmax(networks["teacher"].logits(digit) / temperature)
        told.bar(np.arange(CLASSES) + shift, probabilities, 0.4, label=f"temperature {temperature:g}")
    told.set(title="what the teacher tells of it", xticks=range(CLASSES), yscale="log", ylim=(1e-6, 2))
    told.legend()
    figure.savefig(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", metavar="FILE", help="draw the losses, and the teacher's softmax of a digit")
    plot = parser.parse_args().plot
    digits = load_digits()
    pixels = (digits.data / 8 - 1).astype(np.float32)  # from 0 to 16
    data = train_test_split(pixels, digits.target, test_size=0.25, random_state=0, stratify=digits.target)
    x, x_test, labels, labels_test = data

    teacher, plain, distilled = networks = Network(TEACHER), Network(STUDENT), Network(STUDENT)
    teacher.train("teacher", x, labels)
    plain.train("plain", x[:LABELLED], labels[:LABELLED])
    known = np.where(np.arange(len(x)) < LABELLED, labels, UNKNOWN)
    distilled.train("distilled", x, known, nl.softmax(teacher.logits(x) / TEMPERATURE))

    best, alone, taught = (np.mean(network.logits(x_test).argmax(axis=-1) == labels_test) for network in networks)
    print(f"test accuracy: teacher {best:.2%}, student on {LABELLED} labels {alone:.2%}, distilled student {taught:.2%}")
    if plot:
        draw(plot, dict(zip(("teacher", "plain", "distilled"), networks, strict=True)), x_test[0])
    assert taught > alone + 0.05, "distillation has not helped the student"


if __name__ == "__main__":
    main()
