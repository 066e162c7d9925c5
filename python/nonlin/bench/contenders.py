"""Who is measured. A contender is a table of Python expressions in the names of a case's arguments.

To add one: write its expressions, one for a fresh result and one with ``out=`` where it has that (None where it has not),
and a function that returns the :class:`Contender`; list that function in :data:`LOADERS`.
"""

import contextlib
import importlib
import timeit
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

import nonlin
from nonlin import reference
from nonlin.bench.cases import Array, Case

Expressions = tuple[str | None, str | None]  # for a fresh result, for out=
MODES = ("fresh", "out=")


class Call:
    """An expression, ready to run."""

    def __init__(self, expression: str, names: dict[str, Any]) -> None:
        self.expression = expression
        self.function: Callable[[], Any] = eval(f"lambda: {expression}", names)
        self._timer = timeit.Timer(expression, globals=names)

    def seconds(self, repeats: int) -> float:
        """The time of ``repeats`` calls."""
        return self._timer.timeit(repeats)


def arrays(result: Any) -> list[Array]:
    """What a call returned, one array or a tuple of them, as NumPy arrays."""
    return [np.asarray(part) for part in (result if isinstance(result, tuple) else (result,))]


@dataclass(frozen=True)
class Contender:
    """A library, and how it computes a case."""

    name: str
    version: str
    expressions: Callable[[Case], Expressions]
    names: Mapping[str, Any] = field(repr=False)  # what the expressions refer to, beside the arguments
    array: Callable[[Array], Any] = lambda array: array  # the contender's own view of an array

    def modes(self, case: Case) -> list[str]:
        """Those of ``"fresh"`` and ``"out="`` that it has for a case."""
        return [mode for mode, expression in zip(MODES, self.expressions(case), strict=True) if expression]

    def call(self, case: Case, mode: str, inputs: Mapping[str, Array]) -> Call:
        expression = self.expressions(case)[MODES.index(mode)]
        assert expression is not None
        names = {**self.names, **{name: self.array(value) for name, value in inputs.items()}}
        if mode == "out=":
            out = case.empty()
            names["out"] = tuple(map(self.array, out)) if isinstance(out, tuple) else self.array(out)
        return Call(expression, names)


def load_nonlin(threads: int) -> Contender:
    nonlin.set_num_threads(threads)

    def expressions(case: Case) -> Expressions:
        return case.expression("nonlin"), case.expression("nonlin", out=True) if case.out else None

    return Contender("nonlin", nonlin.__version__, expressions, {"nonlin": nonlin})


def load_numpy(threads: int) -> Contender:
    del threads  # NumPy has one
    # The bare formulas: what wraps them, to convert the arguments and silence warnings, costs some microseconds.
    bare = SimpleNamespace(**{name: getattr(value, "__wrapped__", value) for name, value in vars(reference).items()})
    return Contender("NumPy", np.__version__, lambda case: (case.expression("reference"), None), {"reference": bare})


SCIPY: dict[str, Expressions] = {
    "sigmoid": ("special.expit(x)", "special.expit(x, out=out)"),
    "log_sigmoid": ("special.log_expit(x)", "special.log_expit(x, out=out)"),
    "softplus": ("special.softplus(x)", "special.softplus(x, out=out)"),
    "gelu": ("x * special.ndtr(x)", None),
    "softmax": ("special.softmax(x, axis=-1)", None),
    "log_softmax": ("special.log_softmax(x, axis=-1)", None),
    "logsumexp": ("special.logsumexp(x, axis=-1)", None),
    "kl_divergence": ("special.rel_entr(p, q).sum(axis=-1).mean(dtype=p.dtype)", None),
}


def load_scipy(threads: int) -> Contender:
    del threads  # SciPy has one here
    special = importlib.import_module("scipy.special")
    version = importlib.import_module("scipy").__version__
    return Contender("SciPy", version, lambda case: SCIPY.get(case.key, (None, None)), {"special": special})


def _nn(name: str, arguments: str = "x") -> Expressions:
    return f"nn.{name}({arguments})", f"nn.{name}({arguments}, out=out)"


def _aten(name: str, arguments: str, out: str = "grad_input") -> Expressions:
    return f"aten.{name}.default({arguments})", f"aten.{name}.{out}({arguments}, {out}=out)"


def _torch(name: str, arguments: str = "x") -> Expressions:
    return f"torch.{name}({arguments})", f"torch.{name}({arguments}, out=out)"


# The kernels that torch.nn.functional and autograd call, straight, with the out= that only they have. A backward pass that
# torch has no kernel for is written out, as is a gated unit.
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
    "softmax": _torch("softmax", "x, -1"),
    "log_softmax": _torch("log_softmax", "x, -1"),
    "logsumexp": _torch("logsumexp", "x, -1"),
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

    return Contender("torch", torch.__version__, expressions, names, torch.from_numpy)


# nonlin first, then NumPy: its results are what the others are checked against.
LOADERS: list[Callable[[int], Contender]] = [load_nonlin, load_numpy, load_scipy, load_torch]


def load(threads: int) -> list[Contender]:
    """All contenders that are installed."""
    contenders = []
    for loader in LOADERS:
        with contextlib.suppress(ModuleNotFoundError):
            contenders.append(loader(threads))
    return contenders
