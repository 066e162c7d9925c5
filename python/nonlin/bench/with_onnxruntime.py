"""ONNX Runtime as a contender: models of one operator, written as the bytes of ONNX's protocol buffers."""

import functools
import importlib
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

from nonlin.bench.cases import Case
from nonlin.bench.contender import Contender, Expressions

Attribute = float | int | str | list[int]


class Operator(NamedTuple):
    """An operator of ONNX, or of ONNX Runtime's own domain; ``axis`` and ``axes`` are filled in by the case."""

    name: str
    attributes: Mapping[str, Attribute] = {}
    version: int = 20
    domain: str = ""


OPERATORS = {
    "relu": Operator("Relu"),
    "relu6": Operator("Clip", {"min": 0.0, "max": 6.0}, version=6),
    "leaky_relu": Operator("LeakyRelu", {"alpha": 0.01}),
    "elu": Operator("Elu"),
    "celu": Operator("Celu"),
    "selu": Operator("Selu"),
    "sigmoid": Operator("Sigmoid"),
    "tanh": Operator("Tanh"),
    "softplus": Operator("Softplus"),
    "gelu": Operator("Gelu"),
    "gelu_tanh": Operator("Gelu", {"approximate": "tanh"}),
    "silu": Operator("QuickGelu", {"alpha": 1.0}, version=1, domain="com.microsoft"),
    "mish": Operator("Mish"),
    "hard_sigmoid": Operator("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "hard_swish": Operator("HardSwish"),
    "hard_tanh": Operator("Clip", {"min": -1.0, "max": 1.0}, version=6),
    "softsign": Operator("Softsign"),
    "softmax": Operator("Softmax", {"axis": -1}),
    "log_softmax": Operator("LogSoftmax", {"axis": -1}),
    "logsumexp": Operator("ReduceLogSumExp", {"axes": [-1], "keepdims": 0}, version=13),
    "cross_entropy": Operator("SoftmaxCrossEntropyLoss"),
    "nll_loss": Operator("NegativeLogLikelihoodLoss"),
}
IN_DOUBLE = {"relu", "sigmoid", "tanh", "silu", "softmax", "log_softmax", "logsumexp", "cross_entropy", "nll_loss"}
TYPES = {"float32": 1, "int64": 7, "float64": 11}  # of TensorProto


def _varint(number: int) -> bytes:
    number &= 2**64 - 1
    head = bytearray()
    while number > 127:
        head.append(number & 127 | 128)
        number >>= 7
    return bytes([*head, number])


def _message(*fields: tuple[int, int | float | str | bytes]) -> bytes:
    """Encode a message: numbers of fields and their values."""
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts += [_varint(number << 3), _varint(value)]
        elif isinstance(value, float):
            parts += [_varint(number << 3 | 5), struct.pack("<f", value)]
        else:
            value = value.encode() if isinstance(value, str) else value
            parts += [_varint(number << 3 | 2), _varint(len(value)), value]
    return b"".join(parts)


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, list):
        return _message((1, name), *((8, item) for item in value), (20, 7))
    number, kind = (2, 1) if isinstance(value, float) else (3, 2) if isinstance(value, int) else (4, 3)
    return _message((1, name), (number, value), (20, kind))


def model(operator: Operator, inputs: Mapping[str, str], output: str) -> bytes:
    """Encode a ModelProto of one operator; inputs have names and dtypes, their shapes are left open."""

    def value(name: str, dtype: str) -> bytes:
        return _message((1, name), (2, _message((1, _message((1, TYPES[dtype]))))))

    node = _message(
        *((1, name) for name in inputs),
        (2, "result"),
        (4, operator.name),
        *((5, _attribute(*item)) for item in operator.attributes.items()),
        (7, operator.domain),
    )
    graph = _message((1, node), (2, "one"), *((11, value(*item)) for item in inputs.items()), (12, value("result", output)))
    versions = {"": 20, operator.domain: operator.version}
    imports = [_message((1, domain), (2, version)) for domain, version in versions.items()]
    return _message((1, 9), (7, graph), *((8, line) for line in imports))


def load(threads: int) -> Contender:
    runtime: Any = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")  # its threads sleep after each call

    @functools.cache
    def session(key: str, arguments: tuple[str, ...], dtype: str, axis: int) -> Any:
        operator = OPERATORS[key]
        if axis != -1:
            operator = operator._replace(attributes={"axis": axis})
        inputs = {name: "int64" if name == "targets" else dtype for name in arguments}
        try:
            return runtime.InferenceSession(model(operator, inputs, dtype), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no base of their own
            raise NotImplementedError(str(error)) from None

    def bound(case: Case, names: Mapping[str, Any]) -> dict[str, Any]:
        """The session, and input and output where they are, which a call then takes no time to look at."""
        found = session(case.key, case.arguments, case.dtype, case.axis)
        inputs, binding = {name: names[name] for name in case.arguments}, found.io_binding()
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        if "out" in names:
            out = names["out"]
            binding.bind_output("result", "cpu", 0, out.dtype, out.shape, out.ctypes.data)
        return {"session": found, "inputs": inputs, "binding": binding}

    def expressions(case: Case) -> Expressions:
        if case.key not in OPERATORS or case.half or (case.dtype == "float64" and case.key not in IN_DOUBLE):
            return None, None
        return "session.run(None, inputs)[0]", "(session.run_with_iobinding(binding), out)[1]" if case.out else None

    return Contender("ONNX Runtime", runtime.__version__, expressions, {}, model=bound)
