"""XNNPACK as a contender, through LiteRT: models of one operator or two, built from LiteRT's own schema."""

import functools
import importlib
import importlib.metadata
from collections.abc import Mapping
from typing import Any

from nonlin.bench.cases import Case, Shape
from nonlin.bench.contender import Contender, Expressions

# The operator of LiteRT, its options and their values; silu is two operators, as models have it. XNNPACK has no
# log_softmax and no softplus: LiteRT computes these by loops of its own.
OPERATORS: dict[str, tuple[str, str, Mapping[str, Any]]] = {
    "relu": ("RELU", "", {}),
    "relu6": ("RELU6", "", {}),
    "hard_tanh": ("RELU_N1_TO_1", "", {}),
    "leaky_relu": ("LEAKY_RELU", "LeakyReluOptions", {"alpha": 0.01}),
    "elu": ("ELU", "", {}),
    "sigmoid": ("LOGISTIC", "", {}),
    "silu": ("LOGISTIC", "", {}),
    "tanh": ("TANH", "", {}),
    "gelu": ("GELU", "GeluOptions", {"approximate": False}),
    "gelu_tanh": ("GELU", "GeluOptions", {"approximate": True}),
    "hard_swish": ("HARD_SWISH", "HardSwishOptions", {}),
    "softmax": ("SOFTMAX", "SoftmaxOptions", {"beta": 1.0}),
}


def model(key: str, shape: Shape) -> bytes:
    """Encode a model that maps an array of that shape to one of the same shape, in float32."""
    schema: Any = importlib.import_module("ai_edge_litert.schema_py_generated")
    flatbuffers: Any = importlib.import_module("flatbuffers")

    def made(kind: str, **fields: Any) -> Any:
        made = getattr(schema, kind + "T")()
        for field, value in fields.items():
            setattr(made, field, value)
        return made

    def operator(number: int, inputs: list[int], output: int, options: str, values: Mapping[str, Any]) -> Any:
        made_options = made(options, **values) if options else None
        kind = getattr(schema.BuiltinOptions, options or "NONE")
        return made(
            "Operator",
            opcodeIndex=number,
            inputs=inputs,
            outputs=[output],
            builtinOptionsType=kind,
            builtinOptions=made_options,
        )

    name, options, values = OPERATORS[key]
    names, operators = [name], [operator(0, [0], 1, options, values)]
    if key == "silu":
        names, operators = [name, "MUL"], [*operators, operator(1, [0, 1], 2, "MulOptions", {})]
    last = len(operators)
    tensors = [
        made("Tensor", shape=list(shape), type=schema.TensorType.FLOAT32, buffer=0, name=f"tensor{number}")
        for number in range(last + 1)
    ]
    codes = [getattr(schema.BuiltinOperator, name) for name in names]
    content = made(
        "Model",
        version=3,
        operatorCodes=[made("OperatorCode", builtinCode=c, deprecatedBuiltinCode=min(c, 127), version=1) for c in codes],
        subgraphs=[made("SubGraph", tensors=tensors, inputs=[0], outputs=[last], operators=operators)],
        buffers=[made("Buffer")],
    )
    builder = flatbuffers.Builder(1024)
    builder.Finish(content.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def load(threads: int) -> Contender:
    interpreters: Any = importlib.import_module("ai_edge_litert.interpreter")
    importlib.import_module("flatbuffers")

    def filled(case: Case, names: Mapping[str, Any]) -> dict[str, Any]:
        """An interpreter that holds the input in memory of its own, as its result too."""
        interpreter = interpreters.Interpreter(model_content=model(case.key, case.shape), num_threads=threads)
        interpreter.allocate_tensors()
        if not any(line["op_name"] == "DELEGATE" for line in interpreter._get_ops_details()):
            raise NotImplementedError(f"XNNPACK has no {case.key}")
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], names["x"])
        return {
            "invoke": interpreter.invoke,
            "result": functools.partial(interpreter.get_tensor, interpreter.get_output_details()[0]["index"]),
        }

    def expressions(case: Case) -> Expressions:
        if case.key not in OPERATORS or case.dtype != "float32" or case.axis != -1:
            return None, None
        return "invoke() or result()", "invoke() or result"

    def numpy(result: Any) -> Any:
        return result() if callable(result) else result

    version = importlib.metadata.version("ai-edge-litert")
    return Contender("XNNPACK", version, expressions, {}, numpy=numpy, model=filled)
