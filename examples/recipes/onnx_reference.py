"""ONNX's reference evaluator with the functions of nonlin: its own are NumPy formulas, some of them a graph of ten nodes.

Names of attributes and inputs are those of ONNX's operators.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

import nonlin as nl


def losses(function: Callable[..., Any], x: Any, target: Any, weight: Any, ignore_index: int | None, reduction: str) -> Any:
    """Classes stand along axis 1; without `ignore_index` each target counts, and -1 is never one."""
    ignored = -1 if ignore_index is None else ignore_index
    loss = function(x, target, axis=1, weight=weight, ignore_index=ignored, reduction=reduction)
    return np.asarray(loss, x.dtype)


def softmax_cross_entropy(x: Any, target: Any, weight: Any = None, ignore_index: Any = None, reduction: str = "mean") -> Any:
    return losses(nl.cross_entropy, x, target, weight, ignore_index, reduction), nl.log_softmax(x, axis=1)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Celu": lambda x, alpha: nl.celu(x, alpha=alpha),
    "Elu": lambda x, alpha: nl.elu(x, alpha=alpha),
    "Gelu": lambda x, approximate: nl.gelu(x, approximate=approximate),
    "HardSigmoid": lambda x, alpha, beta: nl.hard_sigmoid(x, slope=alpha, offset=beta),
    "HardSwish": nl.hard_swish,
    "LeakyRelu": lambda x, alpha: nl.leaky_relu(x, negative_slope=alpha),
    "LogSoftmax": lambda x, axis: nl.log_softmax(x, axis=axis),
    "Mish": nl.mish,
    "NegativeLogLikelihoodLoss": lambda x, target, weight=None, **attributes: losses(
        nl.nll_loss, x, target, weight, **attributes
    ),
    "PRelu": lambda x, slope: nl.leaky_relu(x, negative_slope=slope),
    "Relu": nl.relu,
    "Sigmoid": nl.sigmoid,
    "Softmax": lambda x, axis: nl.softmax(x, axis=axis),
    "SoftmaxCrossEntropyLoss": softmax_cross_entropy,
    "Softplus": nl.softplus,
    "Softsign": nl.softsign,
    "Tanh": nl.tanh,
}


def operator(name: str, function: Callable[..., Any]) -> type[OpRun]:
    def run(self: OpRun, *inputs: Any, **attributes: Any) -> Any:
        results = function(*inputs, **attributes)
        return results[: len(self.onnx_node.output)] if isinstance(results, tuple) else (results,)

    return type(name, (OpRun,), {"op_domain": "", "_run": run})


OPERATORS = [operator(name, function) for name, function in FUNCTIONS.items()]


def main() -> None:
    x = np.random.default_rng(0).standard_normal((1000, 1000), np.float32)
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape) for name in "xy"]
    for name in ("Gelu", "HardSwish", "LogSoftmax", "Mish", "Softmax"):
        graph = helper.make_graph([helper.make_node(name, ["x"], ["y"])], name, info[:1], info[1:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)])
        results, seconds = [], []
        for evaluator in (ReferenceEvaluator(model), ReferenceEvaluator(model, new_ops=OPERATORS)):
            evaluator.run(None, {"x": x})
            start = time.perf_counter()
            results += evaluator.run(None, {"x": x})
            seconds.append(time.perf_counter() - start)
        difference = np.abs(results[0] - results[1]).max()
        print(f"{name}: differs by {difference:.1e}, {seconds[0] / seconds[1]:.1f} times as fast with nonlin")


if __name__ == "__main__":
    main()
