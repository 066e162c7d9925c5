"""The network of digits.py once more, with gradients that HIPS autograd composes: only the forward pass is written.

The activations and the loss come from nonlin all the same: ``import nonlin.autograd`` tells autograd their derivatives.

Run it with ``python examples/digits_autograd.py``; it needs scikit-learn and autograd.
"""

from typing import Any

import autograd.numpy as np
from autograd import value_and_grad
from digits import RATE, SMOOTHING, Array, Network, load_data, train

import nonlin
import nonlin.autograd


class TracedNetwork(Network):
    """The same weights, and a step that is written without a derivative."""

    def loss(self, weights: tuple[Array, ...], x: Array, labels: Array) -> Any:
        w1, b1, w2, b2 = weights
        logits = np.matmul(self.f.gelu(np.matmul(x, w1) + b1), w2) + b2
        return self.f.cross_entropy(logits, labels, label_smoothing=SMOOTHING)

    def step(self, x: Array, labels: Array) -> float:
        """One step down the gradient of the mean loss; returns the loss."""
        weights = self.w1, self.b1, self.w2, self.b2
        loss, slopes = value_and_grad(self.loss)(weights, x, labels)
        for weight, slope in zip(weights, slopes, strict=True):
            weight -= RATE * slope
        return float(loss)


def main() -> None:
    data = load_data()
    network, seconds = train(nonlin, data, verbose=True, kind=TracedNetwork)
    by_hand, seconds_by_hand = train(nonlin, data, verbose=False)
    accuracy, accuracy_by_hand = network.epochs[-1][1], by_hand.epochs[-1][1]
    print(f"by hand   test accuracy {accuracy_by_hand:.2%}  training {seconds_by_hand:.2f} s")
    print(f"autograd  test accuracy {accuracy:.2%}  training {seconds:.2f} s")
    assert accuracy >= 0.97, f"test accuracy {accuracy:.2%} is below 97 %"


if __name__ == "__main__":
    main()
