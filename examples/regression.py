"""Fit two linear models on medical data from scikit-learn: one by squared error, one by binary cross-entropy.

The first predicts the progress of diabetes, a number; its loss and gradient are two lines of NumPy. The second tells benign
from malignant tumours; its loss and gradient come from nonlin. Both gradients, with respect to the weights, are compared
with central differences before gradient descent takes them.

Run it with ``python examples/regression.py``; it needs scikit-learn. ``--plot regression.png`` draws the losses, the numbers
predicted, and the tumours on a map of the decision; that needs matplotlib.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.model_selection import train_test_split

import nonlin as nl
from nonlin.testing import check_gradient

Array = npt.NDArray[Any]
Loss = Callable[[Array, Array], tuple[Any, Array]]  # of predictions and targets; returns the gradient by predictions too


def squared_error(y: Array, targets: Array) -> tuple[Any, Array]:
    error = y - targets
    return np.mean(error**2), 2 / error.size * error


def fit(loss: Loss, x: Array, targets: Array, *, steps: int, rate: float) -> tuple[Array, list[float]]:
    """Return the weights that gradient descent finds for ``x @ weights``, and the loss of each step."""

    def value(weights: Array) -> Any:
        return loss(x @ weights, targets)[0]

    def gradient(weights: Array) -> Array:
        return np.asarray(x.T @ loss(x @ weights, targets)[1])

    check_gradient(value, gradient, np.random.default_rng(0).standard_normal(x.shape[1]))
    weights, losses = np.zeros(x.shape[1]), []
    for step in range(steps + 1):
        losses.append(float(value(weights)))
        if step % (steps // 4) == 0:
            print(f"step {step:5}  loss {losses[-1]:.5g}")
        weights -= rate * gradient(weights)
    return weights, losses


def split(data: Any) -> list[Array]:
    """Return features and targets, each for training and for the test; features standardised, with a 1 for the bias."""
    x, x_test, targets, targets_test = train_test_split(data.data, data.target, test_size=0.25, random_state=0)
    mean, std = x.mean(axis=0), x.std(axis=0)
    x, x_test = (np.column_stack([(part - mean) / std, np.ones(len(part))]) for part in (x, x_test))
    return [x, x_test, targets, targets_test]


def draw(
    file: str, losses: dict[str, list[float]], progress: tuple[Array, Array], tumours: tuple[Array, Array, Array]
) -> None:
    """Draw the losses, predicted and true progress, and the tumours: their logit, and what of them varies most besides."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.8), layout="constrained")
    loss, scatter, decision = figure.subplots(1, 3)
    for name, values in losses.items():
        loss.plot(np.arange(1, len(values) + 1), np.divide(values, values[0]), label=name)
    loss.set(title="training loss over the first", xlabel="step", xscale="log", ylim=(0, 1))
    loss.legend()
    scatter.plot(*progress, ".")
    scatter.axline((150, 150), slope=1, color="grey", linewidth=1)
    scatter.set(title="progress of diabetes, test set", xlabel="predicted", ylabel="true")

    features, benign, weights = tumours
    direction = weights / np.linalg.norm(weights)
    rest = features - np.outer(features @ direction, direction)
    logits, across = features @ weights, rest @ np.linalg.svd(rest - rest.mean(axis=0))[2][0]
    ends = [logits.min() - 1, logits.max() + 1, across.min() - 1, across.max() + 1]
    steps = np.linspace(ends[0], ends[1], 400)
    shown = decision.imshow(
        nl.sigmoid(steps)[np.newaxis], extent=ends, aspect="auto", cmap="coolwarm_r", vmin=0, vmax=1, alpha=0.5
    )
    for kind, colour, name in ((0, "#b40426", "malignant"), (1, "#3b4cc0", "benign")):
        points = logits[benign == kind], across[benign == kind]
        decision.plot(*points, "o", color=colour, markersize=4.5, markeredgecolor="white", markeredgewidth=0.5, label=name)
    decision.axvline(0, color="black", linewidth=1)
    decision.set(title="tumours, test set", xlabel="logit", ylabel="largest variation besides")
    decision.legend(loc="lower left")
    figure.colorbar(shown, label="probability of benign")
    figure.savefig(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", metavar="FILE", help="draw losses, predictions and decisions")
    plot = parser.parse_args().plot
    print("diabetes")
    x, x_test, targets, targets_test = split(load_diabetes())
    weights, losses = fit(squared_error, x, targets, steps=4000, rate=0.1)
    progress = x_test @ weights, targets_test
    exact = np.linalg.lstsq(x, targets)[0]
    r2, r2_exact = (1 - squared_error(x_test @ w, targets_test)[0] / targets_test.var() for w in (weights, exact))

    print("breast cancer")
    x, x_test, targets, targets_test = split(load_breast_cancer())
    weights, losses_tumours = fit(nl.binary_cross_entropy_with_logits_with_grad, x, targets, steps=400, rate=0.5)
    accuracy = np.mean((x_test @ weights > 0) == targets_test)

    print(f"diabetes: R^2 {r2:.4f} on the test set, {r2_exact:.4f} by least squares")
    print(f"breast cancer: test accuracy {accuracy:.2%}")
    if plot:
        draw(plot, {"diabetes": losses, "breast cancer": losses_tumours}, progress, (x_test, targets_test, weights))
    assert r2 >= 0.3, f"R^2 is {r2:.4f}, below 0.3"
    assert abs(r2 - r2_exact) < 0.001, "gradient descent has not arrived at the least squares"
    assert accuracy >= 0.95, f"test accuracy {accuracy:.2%} is below 95 %"


if __name__ == "__main__":
    main()
