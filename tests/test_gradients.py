"""Every backward function against central differences of the float64 reference, kinks included."""

from typing import Any

import numpy as np
import pytest

import nonlin as nl
from nonlin import reference
from nonlin.testing import check_gradient

from .oracle import BACKWARD, FUNCTIONS, Function, as_tuple

KINKS = np.array([-3, -1, 0, 1, 3, 6])


@pytest.mark.parametrize("scale", [1, 0.6])
@pytest.mark.parametrize("f", BACKWARD, ids=lambda f: f.name)
def test_elementwise(f: Function, scale: float, rng: np.random.Generator) -> None:
    """Also with parameters other than the defaults."""
    forward = FUNCTIONS[f.activation]
    parameters = {key: scale * value for key, value in f.parameters.items()}
    x = np.concatenate([np.linspace(-9, 9, 301), KINKS, [*parameters.values()]])
    grad, up = rng.standard_normal((2, x.size))

    def value(x: np.ndarray, up: np.ndarray) -> np.ndarray:
        return forward.reference(*forward.arguments(x, up), **parameters)

    def gradients(x: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, ...]:
        given = value(x, up) if "y" in f.inputs else x
        return as_tuple(f.public(*f.arguments(given, up, grad), **parameters))

    check_gradient(lambda x: grad * value(x, up), lambda x: gradients(x, up)[0], x, rtol=1e-7)
    if f.outputs == 2:
        check_gradient(lambda up: grad * value(x, up), lambda up: gradients(x, up)[1], up, rtol=1e-7)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_rows(name: str, axis: int, rng: np.random.Generator) -> None:
    """From nonlin's own result, where the backward function takes that."""
    forward, backward = getattr(reference, name), getattr(nl, f"{name}_backward")
    given = (lambda x: x) if name == "logsumexp" else (lambda x: getattr(nl, name)(x, axis))
    x = rng.standard_normal((3, 4, 2))
    grad = rng.standard_normal(forward(x, axis).shape)
    check_gradient(
        lambda x: np.sum(grad * forward(x, axis)), lambda x: backward(grad, given(x), axis), x, rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_jacobians(name: str, rng: np.random.Generator) -> None:
    forward, jacobian = getattr(reference, name), getattr(nl, f"{name}_jacobian")
    x = rng.standard_normal(5)
    rows = jacobian(getattr(nl, name)(x))
    for i in range(5):
        check_gradient(lambda x, i=i: forward(x)[i], lambda _, i=i: rows[i], x, rtol=1e-7, atol=1e-9)


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

    def loss(upstream: Any, z: np.ndarray) -> Any:
        return np.sum(upstream * reference.cross_entropy(z, targets, **o))

    check_gradient(
        lambda z: loss(upstream, z),
        lambda z: nl.cross_entropy_backward(upstream, z, targets, **o),
        logits,
        rtol=1e-7,
        atol=1e-9,
    )
    check_gradient(
        lambda z: loss(1, z), lambda z: nl.cross_entropy_with_grad(z, targets, **o)[1], logits, rtol=1e-7, atol=1e-9
    )
