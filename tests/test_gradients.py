"""Every backward function against central differences of the float64 reference."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nonlin as nl
from nonlin import reference

from .oracle import BACKWARD, FUNCTIONS, Function, as_tuple

H = 1e-5
KINKS = np.array([-3, -1, 0, 1, 3, 6])


def slopes(f: Callable[[np.ndarray], Any], x: np.ndarray) -> np.ndarray:
    """``d f_i / d x_i`` of an elementwise function."""
    return (f(x + H) - f(x - H)) / (2 * H)


def gradient(f: Callable[[np.ndarray], Any], x: np.ndarray) -> np.ndarray:
    """The gradient of a function to scalars, one entry at a time."""
    result = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = H
        result[i] = (f(x + step) - f(x - step)) / (2 * H)
    return result


@pytest.mark.parametrize("scale", [1, 0.6])
@pytest.mark.parametrize("f", BACKWARD, ids=lambda f: f.name)
def test_elementwise(f: Function, scale: float, rng: np.random.Generator) -> None:
    """Also with parameters other than the defaults."""
    forward = FUNCTIONS[f.activation]
    parameters = {key: scale * value for key, value in f.parameters.items()}
    x = np.linspace(-9, 9, 301)
    x = x[np.min(np.abs(x[:, None] - np.concatenate([KINKS, [*parameters.values(), 0]])), axis=1) > 1e-3]
    grad, up = rng.standard_normal((2, x.size))
    if f.outputs == 2:
        expected = (
            grad * slopes(lambda g: forward.reference(g, up), x),
            grad * slopes(lambda u: forward.reference(x, u), up),
        )
    else:
        expected = (grad * slopes(lambda v: forward.reference(v, **parameters), x),)
    given = forward.reference(x) if "y" in f.inputs else x
    for got, e in zip(as_tuple(f.public(*f.arguments(given, up, grad), **parameters)), expected, strict=True):
        np.testing.assert_allclose(got, e, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_rows(name: str, axis: int, rng: np.random.Generator) -> None:
    forward = getattr(reference, name)
    x = rng.standard_normal((3, 4, 2))
    grad = rng.standard_normal(forward(x, axis).shape)
    given = x if name == "logsumexp" else getattr(nl, name)(x, axis)
    expected = gradient(lambda v: np.sum(grad * forward(v, axis)), x)
    np.testing.assert_allclose(getattr(nl, f"{name}_backward")(grad, given, axis), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_jacobians(name: str, rng: np.random.Generator) -> None:
    forward = getattr(reference, name)
    x = rng.standard_normal(5)
    expected = np.array([gradient(lambda v, i=i: forward(v)[i], x) for i in range(5)])
    np.testing.assert_allclose(getattr(nl, f"{name}_jacobian")(getattr(nl, name)(x)), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight": np.array([0.5, 1, 2, 0.25])},
        {"label_smoothing": 0.2},
        {"z_loss": 0.05},
        {"ignore_index": 1},
        {"weight": np.array([0.5, 1, 2, 0.25]), "label_smoothing": 0.2, "z_loss": 0.05, "ignore_index": 1, "axis": 0},
    ],
    ids=lambda o: "-".join(o) or "plain",
)
@pytest.mark.parametrize("soft", [False, True], ids=["classes", "probabilities"])
def test_cross_entropy(soft: bool, options: dict[str, Any], reduction: str, rng: np.random.Generator) -> None:
    axis = options.get("axis", -1)
    logits = rng.standard_normal((4, 6) if axis == 0 else (6, 4))
    targets = reference.softmax(rng.standard_normal(logits.shape), axis) if soft else np.array([0, 1, 2, 3, 1, 0])
    o = {**options, "reduction": reduction}
    upstream = rng.standard_normal(6 if reduction == "none" else ())
    expected = gradient(lambda z: np.sum(upstream * reference.cross_entropy(z, targets, **o)), logits)
    np.testing.assert_allclose(nl.cross_entropy_backward(upstream, logits, targets, **o), expected, rtol=1e-7, atol=1e-9)
    total = gradient(lambda z: np.sum(reference.cross_entropy(z, targets, **o)), logits)
    np.testing.assert_allclose(nl.cross_entropy_with_grad(logits, targets, **o)[1], total, rtol=1e-7, atol=1e-9)
