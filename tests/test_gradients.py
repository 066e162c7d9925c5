"""Every backward function against central differences of the float64 reference, kinks included."""

from typing import Any

import numpy as np
import pytest

import nonlin as nl
from nonlin import reference
from nonlin.testing import check_gradient

from .oracle import BACKWARD, FUNCTIONS, LOSSES, Function, Loss, as_tuple

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


@pytest.mark.parametrize(
    ("loss", "chosen"),
    [(f, chosen) for f in LOSSES for chosen in f.choices()],
    ids=lambda v: "-".join(v) or "plain" if isinstance(v, tuple) else str(v),
)
def test_losses(loss: Loss, chosen: tuple[str, ...], rng: np.random.Generator) -> None:
    """With every set of options; the gradient that comes with a loss is that of an upstream gradient of 1."""
    value = loss.functions(reference)[0]
    _, backward, *with_grad = loss.functions()
    for reduction, shape, axis in (("mean", (4, 5), -1), ("sum", (5, 4), 0), ("none", (4, 5), -1)):
        axis = axis if loss.by_rows else -1
        given = loss.problem(rng, shape, axis)
        o = {**loss.keywords(rng, shape, axis, chosen), "reduction": reduction}
        upstream = rng.standard_normal(loss.losses_shape(shape, axis) if reduction == "none" else ())

        def operands(x: np.ndarray, given: list[np.ndarray] = given) -> list[np.ndarray]:
            return [x if i == loss.operand else a for i, a in enumerate(given)]

        def total(x: np.ndarray, by: Any = upstream, o: dict[str, Any] = o) -> Any:
            return np.sum(by * value(*operands(x), **o))

        def gradient(x: np.ndarray, by: Any = upstream, o: dict[str, Any] = o) -> Any:
            return backward(by, *operands(x), **o)

        x = given[loss.operand]
        if loss.arguments[loss.operand] in ("probs", "q"):
            x = 0.1 + 0.8 * x  # the logarithm is too steep near 0 for differences
        check_gradient(total, gradient, x, rtol=1e-7, atol=1e-9)
        for f in with_grad:
            np.testing.assert_allclose(f(*operands(x), **o)[1], gradient(x, 1.0), rtol=1e-13, atol=1e-15, err_msg=reduction)
