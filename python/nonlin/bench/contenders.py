"""The contenders. Each is a table of Python expressions in the names of a case's arguments.

To add one: write its expressions, one for a fresh result and one with ``out=`` (None if it has no such form), and a function
that returns the :class:`Contender`; name that function in :data:`LOADERS`. Those that need more than expressions are in
modules of their own, ``with_*.py``.
"""

import contextlib
import dataclasses
import importlib
import os
import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

import nonlin
from nonlin import reference
from nonlin.bench import with_litert, with_numba, with_onnxruntime
from nonlin.bench.cases import Array, Case, as_dtype
from nonlin.bench.contender import MODES, Call, Contender, Expressions

__all__ = ["ALWAYS", "LOADERS", "MODES", "Call", "Contender", "load"]


def load_nonlin(threads: int) -> Contender:
    nonlin.set_num_threads(threads)

    def expressions(case: Case) -> Expressions:
        return case.expression("nonlin"), case.expression("nonlin", out=True) if case.out else None

    return Contender("nonlin", nonlin.__version__, expressions, {"nonlin": nonlin})


def load_numpy(threads: int) -> Contender:
    del threads  # NumPy has one
    # The bare formulas: their wrappers, which convert arguments and silence warnings, cost some microseconds.
    bare = SimpleNamespace(**{name: getattr(value, "__wrapped__", value) for name, value in vars(reference).items()})

    def wide(value: Array) -> Array:
        return value if value.dtype.kind == "i" else value.astype(np.float32)

    def narrow(dtype: str, result: Any) -> Any:
        """Results of 16 bits; a loss stays float32."""
        if isinstance(result, tuple):
            return tuple(narrow(dtype, part) for part in result)
        return result.astype(as_dtype(dtype)) if result.ndim else result

    def expressions(case: Case) -> Expressions:
        if not case.half:
            return case.expression("reference"), None
        widened = dataclasses.replace(case, arguments=tuple(f"wide({name})" for name in case.arguments))
        return f"narrow({case.dtype!r}, {widened.expression('reference')})", None

    return Contender("NumPy", np.__version__, expressions, {"reference": bare, "wide": wide, "narrow": narrow})


def _not_half(table: Mapping[str, Expressions]) -> Callable[[Case], Expressions]:
    return lambda case: (None, None) if case.half else table.get(case.key, (None, None))


# Constants are whole numbers, as a float would be a double and make the result one. numexpr has no erf.
NUMEXPR = {
    "relu": "where(x > 0, x, 0)",
    "relu_backward": "where(x > 0, grad, 0)",
    "relu6": "where(x > 0, where(x < 6, x, 6), 0)",
    "relu6_backward": "where((x > 0) & (x < 6), grad, 0)",
    "leaky_relu": "where(x > 0, x, x / 100)",
    "leaky_relu_backward": "where(x > 0, grad, grad / 100)",
    "elu": "where(x > 0, x, expm1(x))",
    "elu_backward": "where(x > 0, grad, grad * exp(x))",
    "celu": "where(x > 0, x, expm1(x))",
    "celu_backward": "where(x > 0, grad, grad * exp(x))",
    "sigmoid": "1 / (1 + exp(-x))",
    "sigmoid_backward": "grad * y * (1 - y)",
    "log_sigmoid": "where(x < 0, x, 0) - log1p(exp(-abs(x)))",
    "log_sigmoid_backward": "grad / (1 + exp(x))",
    "tanh": "tanh(x)",
    "tanh_backward": "grad * (1 - y * y)",
    "softplus": "where(x > 0, x, 0) + log1p(exp(-abs(x)))",
    "softplus_backward": "grad / (1 + exp(-x))",
    "silu": "x / (1 + exp(-x))",
    "mish": "x * tanh(log1p(exp(x)))",
    "hard_sigmoid": "where(x > -3, where(x < 3, (x + 3) / 6, 1), 0)",
    "hard_sigmoid_backward": "where((x > -3) & (x < 3), grad / 6, 0)",
    "hard_swish": "where(x > -3, where(x < 3, x * (x + 3) / 6, x), 0)",
    "hard_swish_backward": "where(x > -3, where(x < 3, grad * (2 * x + 3) / 6, grad), 0)",
    "hard_tanh": "where(x > -1, where(x < 1, x, 1), -1)",
    "hard_tanh_backward": "where((x > -1) & (x < 1), grad, 0)",
    "softsign": "x / (1 + abs(x))",
    "softsign_backward": "grad / ((1 + abs(x)) * (1 + abs(x)))",
    "swiglu": "gate / (1 + exp(-gate)) * up",
    "reglu": "where(gate > 0, gate, 0) * up",
}


def load_numexpr(threads: int) -> Contender:
    numexpr: Any = importlib.import_module("numexpr")
    numexpr.set_num_threads(threads)
    table = {key: (f"evaluate({text!r})", f"evaluate({text!r}, out=out)") for key, text in NUMEXPR.items()}
    return Contender("numexpr", numexpr.__version__, _not_half(table), {"evaluate": numexpr.evaluate})


SCIPY: dict[str, Expressions] = {
    "sigmoid": ("special.expit(x)", "special.expit(x, out=out)"),
    "log_sigmoid": ("special.log_expit(x)", "special.log_expit(x, out=out)"),
    "softplus": ("special.softplus(x)", "special.softplus(x, out=out)"),
    "gelu": ("x * special.ndtr(x)", None),
    "softmax": ("special.softmax(x, axis=axis)", None),
    "log_softmax": ("special.log_softmax(x, axis=axis)", None),
    "logsumexp": ("special.logsumexp(x, axis=axis)", None),
    "kl_divergence": ("special.rel_entr(p, q).sum(axis=-1).mean(dtype=p.dtype)", None),
}


def load_scipy(threads: int) -> Contender:
    del threads  # SciPy has one here
    special = importlib.import_module("scipy.special")
    version = importlib.import_module("scipy").__version__
    return Contender("SciPy", version, _not_half(SCIPY), {"special": special})


def _nn(name: str, arguments: str = "x") -> Expressions:
    return f"nn.{name}({arguments})", f"nn.{name}({arguments}, out=out)"


def _aten(name: str, arguments: str, out: str = "grad_input") -> Expressions:
    return f"aten.{name}.default({arguments})", f"aten.{name}.{out}({arguments}, {out}=out)"


def _torch(name: str, arguments: str = "x") -> Expressions:
    return f"torch.{name}({arguments})", f"torch.{name}({arguments}, out=out)"


# Direct calls of the kernels behind torch.nn.functional and autograd, as only these have out=. A backward pass without a
# kernel in torch is written out, as is a gated unit.
TORCH: dict[str, Expressions] = {
    "relu": ("torch.relu(x)", "torch.clamp_min(x, 0, out=out)"),
    "relu_backward": _aten("threshold_backward", "grad, x, 0"),
    "relu6": _nn("hardtanh", "x, 0, 6"),
    "relu6_backward": _aten("hardtanh_backward", "grad, x, 0, 6"),
    "leaky_relu": _nn("leaky_relu", "x, 0.01"),
    "leaky_relu_backward": _aten("leaky_relu_backward", "grad, x, 0.01, False"),
    "elu": _nn("elu"),
    "elu_backward": _aten("elu_backward", "grad, 1, 1, 1, False, x"),
    "celu": _nn("elu", "x, 1, 1, 1"),
    "celu_backward": _aten("elu_backward", "grad, 1, 1, 1, False, x"),
    "selu": _nn("elu", f"x, {reference.SELU_ALPHA}, {reference.SELU_SCALE}, 1"),
    "selu_backward": _aten("elu_backward", f"grad, {reference.SELU_ALPHA}, {reference.SELU_SCALE}, 1, False, x"),
    "sigmoid": _torch("sigmoid"),
    "sigmoid_backward": _aten("sigmoid_backward", "grad, y"),
    "log_sigmoid": _nn("log_sigmoid"),
    "log_sigmoid_backward": ("grad * torch.sigmoid(-x)", None),
    "tanh": _torch("tanh"),
    "tanh_backward": _aten("tanh_backward", "grad, y"),
    "softplus": _nn("softplus"),
    "softplus_backward": _aten("softplus_backward", "grad, x, 1, 20"),
    "gelu": _nn("gelu"),
    "gelu_backward": _aten("gelu_backward", "grad, x"),
    "gelu_tanh": ("nn.gelu(x, approximate='tanh')", "nn.gelu(x, approximate='tanh', out=out)"),
    "gelu_tanh_backward": (
        "aten.gelu_backward.default(grad, x, approximate='tanh')",
        "aten.gelu_backward.grad_input(grad, x, approximate='tanh', grad_input=out)",
    ),
    "silu": _nn("silu"),
    "silu_backward": _aten("silu_backward", "grad, x"),
    "mish": _nn("mish"),
    "mish_backward": ("aten.mish_backward.default(grad, x)", None),
    "hard_sigmoid": _nn("hardsigmoid"),
    "hard_sigmoid_backward": _aten("hardsigmoid_backward", "grad, x"),
    "hard_swish": _nn("hardswish"),
    "hard_swish_backward": _aten("hardswish_backward", "grad, x", out="out"),
    "hard_tanh": _nn("hardtanh", "x, -1, 1"),
    "hard_tanh_backward": _aten("hardtanh_backward", "grad, x, -1, 1"),
    "softsign": ("x / (x.abs() + 1)", None),
    "softsign_backward": ("grad / (x.abs() + 1).square()", None),
    "swiglu": ("nn.silu(gate) * up", None),
    "swiglu_backward": ("(aten.silu_backward.default(grad * up, gate), grad * nn.silu(gate))", None),
    "geglu": ("nn.gelu(gate) * up", None),
    "geglu_backward": ("(aten.gelu_backward.default(grad * up, gate), grad * nn.gelu(gate))", None),
    "reglu": ("torch.relu(gate) * up", None),
    "reglu_backward": ("(aten.threshold_backward.default(grad * up, gate, 0), grad * torch.relu(gate))", None),
    "softmax": _torch("softmax", "x, axis"),
    "log_softmax": _torch("log_softmax", "x, axis"),
    "logsumexp": _torch("logsumexp", "x, axis"),
    "cross_entropy": ("functional.cross_entropy(logits, targets)", None),
    "cross_entropy_with_grad": ("with_grad(functional.cross_entropy, logits, targets)", None),
    "nll_loss": ("functional.nll_loss(log_probs, targets)", None),
    "nll_loss_backward": _aten("nll_loss_backward", "upstream, log_probs, targets, None, 1, -100, upstream * len(targets)"),
    "categorical_cross_entropy": ("functional.nll_loss(probs.log(), targets)", None),
    "categorical_cross_entropy_backward": (
        "torch.zeros_like(probs).scatter_(1, targets[:, None], -upstream / len(probs) / probs.gather(1, targets[:, None]))",
        None,
    ),
    "binary_cross_entropy": ("functional.binary_cross_entropy(probs, targets)", None),
    "binary_cross_entropy_backward": _aten("binary_cross_entropy_backward", "upstream, probs, targets, None, 1"),
    "binary_cross_entropy_with_logits": ("functional.binary_cross_entropy_with_logits(logits, targets)", None),
    "binary_cross_entropy_with_logits_with_grad": (
        "with_grad(functional.binary_cross_entropy_with_logits, logits, targets)",
        None,
    ),
    "kl_divergence": ("functional.kl_div(q.log(), p, reduction='batchmean')", None),
    "kl_divergence_backward": ("p / q * (-upstream / len(p))", None),
    "kl_divergence_with_logits": ("kl_divergence_with_logits(logits, p)", None),
    "kl_divergence_with_logits_with_grad": ("with_grad(kl_divergence_with_logits, logits, p)", None),
}


def load_torch(threads: int) -> Contender:
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(threads)
    functional = torch.nn.functional

    def with_grad(function: Any, x: Any, target: Any) -> Any:
        x = x.detach().requires_grad_()
        loss = function(x, target)
        (grad,) = torch.autograd.grad(loss, x)
        return loss.detach(), grad

    def kl_divergence_with_logits(logits: Any, p: Any) -> Any:
        return functional.kl_div(functional.log_softmax(logits, dim=-1), p, reduction="batchmean")

    names = {
        "torch": torch,
        "nn": torch._C._nn,
        "aten": torch.ops.aten,
        "functional": functional,
        "with_grad": with_grad,
        "kl_divergence_with_logits": kl_divergence_with_logits,
    }

    def expressions(case: Case) -> Expressions:
        if case.key == "hard_sigmoid_backward" and case.dtype == "float64":
            return None, None  # torch's 1 / 6 is a float32 there
        return TORCH.get(case.key, (None, None))

    def array(value: Array) -> Any:
        if value.dtype != "bfloat16":
            return torch.from_numpy(value)
        return torch.from_numpy(value.view(np.int16)).view(torch.bfloat16)

    def numpy(tensor: Any) -> Array:
        if tensor.dtype != torch.bfloat16:
            return np.asarray(tensor)
        bits: Array = tensor.view(torch.int16).numpy()
        return bits.view(as_dtype("bfloat16"))

    return Contender("torch", torch.__version__, expressions, names, array, numpy, settles=8e-3)


def load_compiled(threads: int) -> Contender:
    torch: Any = importlib.import_module("torch")
    eager = load_torch(threads)
    dynamo: Any = importlib.import_module("torch._dynamo")
    dynamo.config.recompile_limit = dynamo.config.accumulated_recompile_limit = 10**6  # as each case has its own shape
    compiled: dict[str, Any] = {}  # by case

    def expressions(case: Case) -> Expressions:
        expression, _ = eager.expressions(case)
        if expression is None:
            return None, None
        arguments = ", ".join(case.arguments)
        into_out = {1: f"out.copy_({expression})", 2: f"tuple(o.copy_(r) for o, r in zip(out, {expression}))"}[
            len(case.results)
        ]
        if len(case.results) == 2 and len(case.out) == 1:  # a loss, which has no place in out
            into_out = f"(lambda loss, grad: (loss, out.copy_(grad)))(*{expression})"
        if case.name not in compiled:
            names = {**eager.names, "axis": case.axis}
            texts = f"lambda {arguments}: {expression}", f"lambda {arguments}, out: {into_out}"
            # They compile when they are called. A copy at the end becomes stores into out.
            compiled[case.name] = [torch.compile(eval(text, names), dynamic=False) for text in texts]
        call = f"compiled[{case.name!r}]"
        return f"{call}[0]({arguments})", f"{call}[1]({arguments}, out)" if case.out else None

    names = {"compiled": compiled}
    return dataclasses.replace(eager, name="torch.compile", expressions=expressions, names=names, compiles=True)


ONEDNN = {
    "relu": "torch.relu(x)",
    "sigmoid": "torch.sigmoid(x)",
    "tanh": "torch.tanh(x)",
    "gelu": "nn.gelu(x)",
    "softmax": "torch.softmax(x, axis)",
}


def load_onednn(threads: int) -> Contender:
    """Intel's library as torch has it built in, through those operators that take its tensors; they have no ``out``."""
    eager = load_torch(threads)
    torch = eager.names["torch"]
    if not torch.backends.mkldnn.is_available():
        raise ModuleNotFoundError("torch was built without oneDNN")

    def expressions(case: Case) -> Expressions:
        return (ONEDNN.get(case.key) if case.dtype == "float32" else None), None

    def array(value: Array) -> Any:
        return torch.from_numpy(value).to_mkldnn()

    def numpy(tensor: Any) -> Array:
        return np.asarray(tensor.to_dense())

    version = re.search(r"MKL-DNN v(\S+)", torch.__config__.show())
    return dataclasses.replace(
        eager, name="oneDNN", version=version[1] if version else "?", expressions=expressions, array=array, numpy=numpy
    )


def load_jax(threads: int) -> Contender:
    # XLA reads the size of its thread pool from this variable when the first array is made.
    before = os.environ.get("PJRT_NPROC")
    os.environ["PJRT_NPROC"] = str(threads)
    try:
        jax: Any = importlib.import_module("jax")
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_enable_x64", True)
        jax.devices()
    finally:
        if before is None:
            del os.environ["PJRT_NPROC"]
        else:
            os.environ["PJRT_NPROC"] = before
    functions = {key: jax.jit(function) for key, function in _jax_functions(jax).items()}
    functions["softmax"] = jax.jit(jax.nn.softmax, static_argnames="axis")

    def expressions(case: Case) -> Expressions:
        if case.key not in functions:
            return None, None
        arguments = [*case.arguments, *([] if case.axis == -1 else ["axis=axis"])]
        call = f"{case.key}({', '.join(arguments)})"
        return f"{call}.block_until_ready()" if len(case.results) == 1 else f"block_until_ready({call})", None

    names = {**functions, "block_until_ready": jax.block_until_ready}
    return Contender("JAX", jax.__version__, expressions, names, jax.numpy.asarray, compiles=True)


def _jax_functions(jax: Any) -> dict[str, Callable[..., Any]]:
    """Functions of jax.nn, and their gradients by autograd."""
    nn, np = jax.nn, jax.numpy
    alike = "relu relu6 leaky_relu elu celu selu sigmoid log_sigmoid softplus silu mish hard_sigmoid hard_swish hard_tanh"
    functions: dict[str, Callable[..., Any]] = {
        **{name: getattr(nn, name) for name in alike.split()},
        "tanh": np.tanh,
        "gelu": partial(nn.gelu, approximate=False),
        "gelu_tanh": nn.gelu,
        "softsign": nn.soft_sign,
        "swiglu": lambda gate, up: nn.silu(gate) * up,
        "geglu": lambda gate, up: nn.gelu(gate, approximate=False) * up,
        "reglu": lambda gate, up: nn.relu(gate) * up,
    }

    def backward(function: Callable[..., Any]) -> Callable[..., Any]:
        def gradients(grad: Any, *arguments: Any) -> Any:
            found = jax.vjp(function, *arguments)[1](grad)
            return found if len(found) > 1 else found[0]

        return gradients

    functions |= {f"{name}_backward": backward(function) for name, function in functions.items()}
    functions["sigmoid_backward"] = lambda grad, y: grad * y * (1 - y)
    functions["tanh_backward"] = lambda grad, y: grad * (1 - y * y)

    def picked(values: Any, targets: Any) -> Any:
        return np.take_along_axis(values, targets[:, None], axis=1)

    def cross_entropy(logits: Any, targets: Any) -> Any:
        return -picked(nn.log_softmax(logits), targets).mean()

    def binary_cross_entropy(probs: Any, targets: Any) -> Any:
        return -(targets * np.log(probs) + (1 - targets) * np.log1p(-probs)).mean()

    def binary_cross_entropy_with_logits(logits: Any, targets: Any) -> Any:
        return (nn.softplus(logits) - targets * logits).mean()

    def nll_loss(log_probs: Any, targets: Any) -> Any:
        return -picked(log_probs, targets).mean()

    def categorical_cross_entropy(probs: Any, targets: Any) -> Any:
        return -np.log(picked(probs, targets)).mean()

    def kl_divergence(q: Any, p: Any) -> Any:
        return (p * (np.log(p) - np.log(q))).sum(axis=-1).mean()

    def kl_divergence_with_logits(logits: Any, p: Any) -> Any:
        return (p * (np.log(p) - nn.log_softmax(logits))).sum(axis=-1).mean()

    def gradient(loss: Callable[..., Any]) -> Callable[..., Any]:
        return lambda upstream, x, targets: upstream * jax.grad(loss)(x, targets)

    return functions | {
        "log_softmax": nn.log_softmax,
        "logsumexp": partial(nn.logsumexp, axis=-1),
        "cross_entropy": cross_entropy,
        "cross_entropy_with_grad": jax.value_and_grad(cross_entropy),
        "nll_loss": nll_loss,
        "nll_loss_backward": gradient(nll_loss),
        "categorical_cross_entropy": categorical_cross_entropy,
        "categorical_cross_entropy_backward": gradient(categorical_cross_entropy),
        "binary_cross_entropy": binary_cross_entropy,
        "binary_cross_entropy_backward": gradient(binary_cross_entropy),
        "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
        "binary_cross_entropy_with_logits_with_grad": jax.value_and_grad(binary_cross_entropy_with_logits),
        "kl_divergence": lambda p, q: kl_divergence(q, p),
        "kl_divergence_backward": lambda upstream, p, q: upstream * jax.grad(kl_divergence)(q, p),
        "kl_divergence_with_logits": lambda p, logits: kl_divergence_with_logits(logits, p),
        "kl_divergence_with_logits_with_grad": lambda p, logits: jax.value_and_grad(kl_divergence_with_logits)(logits, p),
    }


# By name. nonlin first, then NumPy, whose results the others are checked against.
LOADERS: dict[str, Callable[[int], Contender]] = {
    "nonlin": load_nonlin,
    "NumPy": load_numpy,
    "SciPy": load_scipy,
    "numexpr": load_numexpr,
    "numba": with_numba.load,
    "torch": load_torch,
    "oneDNN": load_onednn,
    "JAX": load_jax,
    "ONNX Runtime": with_onnxruntime.load,
    "XNNPACK": with_litert.load,
    "torch.compile": load_compiled,  # takes minutes
}
ALWAYS = "nonlin", "NumPy"


def load(threads: int, names: Collection[str] | None = None, *, compiled: bool = False) -> list[Contender]:
    """Those of some names, beside nonlin and NumPy. By default all that are installed, torch.compile only if asked for."""
    if names is not None:
        return [loader(threads) for name, loader in LOADERS.items() if name in (*ALWAYS, *names)]
    contenders = []
    for name, loader in LOADERS.items():
        if compiled or name != "torch.compile":
            with contextlib.suppress(ModuleNotFoundError):
                contenders.append(loader(threads))
    return contenders
