"""numba as a contender: loops as its users write them, in parallel, without fast-math."""

import functools
import importlib
import math
from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from nonlin import reference
from nonlin.bench.cases import Case
from nonlin.bench.contender import Contender, Expressions

# Constants are called `number`, as a Python number would be a double and make the result one.
ELEMENTWISE = {
    "relu": "max(x, number(0))",
    "relu6": "min(max(x, number(0)), number(6))",
    "leaky_relu": "x if x > 0 else x * number(0.01)",
    "elu": "x if x > 0 else math.expm1(x)",
    "celu": "x if x > 0 else math.expm1(x)",
    "selu": f"number({reference.SELU_SCALE}) * (x if x > 0 else number({reference.SELU_ALPHA}) * math.expm1(x))",
    "sigmoid": "number(1) / (number(1) + math.exp(-x))",
    "log_sigmoid": "min(x, number(0)) - math.log1p(math.exp(-abs(x)))",
    "tanh": "math.tanh(x)",
    "softplus": "max(x, number(0)) + math.log1p(math.exp(-abs(x)))",
    "gelu": f"number(0.5) * x * math.erfc(-x * number({0.5**0.5}))",
    "silu": "x / (number(1) + math.exp(-x))",
    "silu_backward": "grad * (number(1) + x - x / (number(1) + math.exp(-x))) / (number(1) + math.exp(-x))",
    "mish": "x * math.tanh(max(x, number(0)) + math.log1p(math.exp(-abs(x))))",
    "hard_sigmoid": "min(max(x + number(3), number(0)), number(6)) / number(6)",
    "hard_swish": "x * (min(max(x + number(3), number(0)), number(6)) / number(6))",
    "hard_tanh": "min(max(x, number(-1)), number(1))",
    "softsign": "x / (number(1) + abs(x))",
}
ROWS = """
def softmax(x, out):
    for i in prange(len(x)):
        row, result = x[i], out[i]
        largest, total = row.max(), number(0)
        for j in range(row.size):
            result[j] = math.exp(row[j] - largest)
            total += result[j]
        for j in range(row.size):
            result[j] /= total
    return out

def log_softmax(x, out):
    for i in prange(len(x)):
        row, result = x[i], out[i]
        largest, total = row.max(), number(0)
        for j in range(row.size):
            total += math.exp(row[j] - largest)
        less = math.log(total)
        for j in range(row.size):
            result[j] = (row[j] - largest) - less
    return out

def logsumexp(x, out):
    for i in prange(len(x)):
        row = x[i]
        largest, total = row.max(), number(0)
        for j in range(row.size):
            total += math.exp(row[j] - largest)
        out[i] = largest + math.log(total)
    return out

def cross_entropy(logits, targets):
    loss = 0.0
    for i in prange(len(logits)):
        row = logits[i]
        largest, total = row.max(), number(0)
        for j in range(row.size):
            total += math.exp(row[j] - largest)
        loss += math.log(total) - (row[targets[i]] - largest)
    return number(loss / len(logits))

def cross_entropy_with_grad(logits, targets, out):
    loss = 0.0
    for i in prange(len(logits)):
        row, grad = logits[i], out[i]
        largest, total = row.max(), number(0)
        for j in range(row.size):
            grad[j] = math.exp(row[j] - largest)
            total += grad[j]
        loss += math.log(total) - (row[targets[i]] - largest)
        factor = number(1) / (total * number(len(logits)))
        for j in range(row.size):
            grad[j] *= factor
        grad[targets[i]] -= number(1) / number(len(logits))
    return number(loss / len(logits)), out
"""
IN_ROWS = {"softmax": "x", "log_softmax": "x", "logsumexp": "x", "cross_entropy_with_grad": "logits, targets"}


def load(threads: int) -> Contender:
    numba: Any = importlib.import_module("numba")
    numba.config.THREADING_LAYER = "workqueue"  # whose threads sleep between calls; the others spin
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))

    @functools.cache
    def functions(dtype: str) -> SimpleNamespace:
        """Functions of rows and of elements, which are compiled when they are called first."""
        names: dict[str, Any] = {"math": math, "prange": numba.prange, "number": np.dtype(dtype).type}
        exec(ROWS, names)
        made = {name: numba.njit(parallel=True)(names[name]) for name in (*IN_ROWS, "cross_entropy")}
        return SimpleNamespace(**made, number=names["number"], elements=functools.cache(partial(_element, numba, names)))

    def chosen(case: Case, names: Mapping[str, Any]) -> dict[str, Any]:
        of_dtype = functions(case.dtype)
        if case.key in ELEMENTWISE:
            return {"function": of_dtype.elements(case.key, case.dtype)}
        number = of_dtype.number  # numba returns Python's floats
        typed = number if case.out == () else lambda result: (number(result[0]), result[1])
        return {"function": getattr(of_dtype, case.key), "typed": typed, "empty": np.empty}

    def expressions(case: Case) -> Expressions:
        if case.half or case.axis != -1:
            return None, None
        if case.key in ELEMENTWISE:
            arguments = ", ".join(case.arguments)
            return f"function({arguments})", f"function({arguments}, out=out)"
        if case.key == "cross_entropy":
            return "typed(function(logits, targets))", None
        if case.key in IN_ROWS:
            x = case.arguments[0]
            call = f"function({IN_ROWS[case.key]}, {{}})"
            call = f"typed({call})" if len(case.results) == 2 else call
            return call.format(f"empty({x}.shape[:{len(case.out[0])}], {x}.dtype)"), call.format("out")
        return None, None

    return Contender("numba", numba.__version__, expressions, {}, model=chosen, compiles=True)


def _element(numba: Any, names: dict[str, Any], key: str, dtype: str) -> Any:
    """Make a ufunc of a formula."""
    formula = ELEMENTWISE[key]
    arguments = ["grad", "x"] if key.endswith("_backward") else ["x"]
    function = eval(f"lambda {', '.join(arguments)}: {formula}", dict(names))
    return numba.vectorize([f"{dtype}({', '.join([dtype] * len(arguments))})"], target="parallel")(function)
