"""thinc's operations with the functions of nonlin: every layer of thinc and spaCy takes them from the current Ops."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from thinc.api import Gelu, Mish, NumpyOps, Softmax, chain, fix_random_seed, glorot_uniform_init, use_ops
from thinc.config import registry

import nonlin as nl


def forward(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, X, inplace=False, **_: function(X, out=X if inplace else None)


def backward(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, dY, X, inplace=False, **_: function(dY, X, out=dY if inplace else None)


@registry.ops("nonlin")
class NonlinOps(NumpyOps):  # type: ignore[misc]
    name = "nonlin"
    relu, backprop_relu = forward(nl.relu), backward(nl.relu_backward)
    gelu, backprop_gelu = forward(nl.gelu), backward(nl.gelu_backward)
    gelu_approx = forward(partial(nl.gelu, approximate="tanh"))
    backprop_gelu_approx = backward(partial(nl.gelu_backward, approximate="tanh"))
    mish, backprop_mish = forward(nl.mish), backward(nl.mish_backward)
    sigmoid, backprop_sigmoid = forward(nl.sigmoid), backward(nl.sigmoid_backward)
    hard_tanh, backprop_hard_tanh = forward(nl.hard_tanh), backward(nl.hard_tanh_backward)
    hard_swish_mobilenet, backprop_hard_swish_mobilenet = forward(nl.hard_swish), backward(nl.hard_swish_backward)
    swish = forward(nl.silu)

    def backprop_swish(self, dY: Any, X: Any, Y: Any, inplace: bool = False) -> Any:
        return nl.silu_backward(dY, X, out=dY if inplace else None)

    def softmax(self, x: Any, *, inplace: bool = False, axis: int = -1, temperature: float = 1.0) -> Any:
        return nl.softmax(x, axis, scale=1 / temperature, out=x if inplace else None)

    def backprop_softmax(self, Y: Any, dY: Any, *, axis: int = -1, temperature: float = 1.0) -> Any:
        return nl.softmax_backward(dY, Y, axis, scale=1 / temperature)


def step(ops: str, x: np.ndarray, grad: np.ndarray) -> tuple[Any, Any, float]:
    """Result and gradient of a small network, and the time of a pass there and back."""
    fix_random_seed(0)
    with use_ops(ops):
        model = chain(
            Gelu(512, normalize=True), Mish(512, normalize=True), Softmax(grad.shape[1], init_W=glorot_uniform_init)
        )
        model.initialize(x, grad)
        model.begin_update(x)
        start = time.perf_counter()
        y, backprop = model.begin_update(x)
        grad_x = backprop(grad)
        return y, grad_x, time.perf_counter() - start


def main() -> None:
    x, grad = (np.random.default_rng(0).standard_normal((1024, n), np.float32) for n in (64, 10))
    (y, grad_x, before), (ours, our_grad_x, after) = step("numpy", x, grad), step("nonlin", x, grad)
    print(f"results differ by {np.abs(ours - y).max():.1e}, gradients by {np.abs(our_grad_x - grad_x).max():.1e},")
    print(f"a training step takes {before / after:.1f} times as long without nonlin")


if __name__ == "__main__":
    main()
