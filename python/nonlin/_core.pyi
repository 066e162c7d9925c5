"""Written by `make stubs`."""

import typing
from contextvars import ContextVar
from typing import Any

import numpy
import numpy.typing

__version__: str

def activations() -> list[dict[str, Any]]: ...

binary_cross_entropy: numpy.ufunc
binary_cross_entropy_backward: numpy.ufunc
binary_cross_entropy_with_logits: numpy.ufunc
binary_cross_entropy_with_logits_backward: numpy.ufunc
binary_cross_entropy_with_logits_with_grad: numpy.ufunc
categorical_cross_entropy_class: numpy.ufunc
categorical_cross_entropy_class_backward: numpy.ufunc
categorical_cross_entropy_probabilities: numpy.ufunc
categorical_cross_entropy_probabilities_backward: numpy.ufunc
celu: numpy.ufunc
celu_backward: numpy.ufunc

def close_handler(handler: object) -> None: ...
def config() -> dict[str, Any]: ...

context_limit: ContextVar[int]
count_outside: numpy.ufunc
count_outside_class: numpy.ufunc
cross_entropy_class: numpy.ufunc
cross_entropy_class_backward: numpy.ufunc
cross_entropy_class_with_grad: numpy.ufunc
cross_entropy_probabilities: numpy.ufunc
cross_entropy_probabilities_backward: numpy.ufunc
cross_entropy_probabilities_with_grad: numpy.ufunc

def data_handler() -> object: ...

elu: numpy.ufunc
elu_backward: numpy.ufunc

def functions() -> dict[str, Any]: ...

geglu: numpy.ufunc
geglu_backward: numpy.ufunc
gelu: numpy.ufunc
gelu_backward: numpy.ufunc
gelu_tanh: numpy.ufunc
gelu_tanh_backward: numpy.ufunc

def get_num_threads() -> int: ...

hard_sigmoid: numpy.ufunc
hard_sigmoid_backward: numpy.ufunc
hard_swish: numpy.ufunc
hard_swish_backward: numpy.ufunc
hard_tanh: numpy.ufunc
hard_tanh_backward: numpy.ufunc

def kept_bytes(handler: object) -> int: ...

kl_divergence: numpy.ufunc
kl_divergence_backward: numpy.ufunc
kl_divergence_with_logits: numpy.ufunc
kl_divergence_with_logits_backward: numpy.ufunc
kl_divergence_with_logits_with_grad: numpy.ufunc
leaky_relu: numpy.ufunc
leaky_relu_backward: numpy.ufunc

def limit_context(count: typing.SupportsInt | typing.SupportsIndex) -> object: ...

log_sigmoid: numpy.ufunc
log_sigmoid_backward: numpy.ufunc
log_softmax: numpy.ufunc
log_softmax_backward: numpy.ufunc
log_softmax_where: numpy.ufunc
logsumexp: numpy.ufunc
logsumexp_backward: numpy.ufunc
logsumexp_finish: numpy.ufunc
logsumexp_merge: numpy.ufunc
logsumexp_partial: numpy.ufunc
logsumexp_where: numpy.ufunc

def losses() -> list[dict[str, Any]]: ...

mish: numpy.ufunc
mish_backward: numpy.ufunc
nll_loss_class: numpy.ufunc
nll_loss_class_backward: numpy.ufunc
nll_loss_probabilities: numpy.ufunc
nll_loss_probabilities_backward: numpy.ufunc

def plain_loss(*arguments: Any) -> Any: ...
def prepare_targets(
    targets: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    classes: typing.SupportsInt | typing.SupportsIndex,
    ignore_index: typing.SupportsInt | typing.SupportsIndex,
    weight: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None,
) -> tuple[Any, ...]: ...
def reduce(losses: object, divisor: typing.SupportsFloat | typing.SupportsIndex, dtype: numpy.dtype) -> object: ...

reglu: numpy.ufunc
reglu_backward: numpy.ufunc
relu: numpy.ufunc
relu6: numpy.ufunc
relu6_backward: numpy.ufunc
relu_backward: numpy.ufunc

def reusing_handler(max_bytes: typing.SupportsInt | typing.SupportsIndex) -> object: ...
def rows(ufunc: numpy.ufunc, *operands: Any, **keywords: Any) -> Any: ...
def run_pass(
    name: str,
    source: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
    target: numpy.typing.NDArray[numpy.uint8],
    repeats: typing.SupportsInt | typing.SupportsIndex,
) -> float: ...

selu: numpy.ufunc
selu_backward: numpy.ufunc

def set_data_handler(handler: object) -> None: ...
def set_num_threads(arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...

sigmoid: numpy.ufunc
sigmoid_backward: numpy.ufunc
silu: numpy.ufunc
silu_backward: numpy.ufunc

def simd_target() -> str: ...
def simd_targets() -> list[str]: ...

softmax: numpy.ufunc
softmax_backward: numpy.ufunc
softmax_where: numpy.ufunc
softplus: numpy.ufunc
softplus_backward: numpy.ufunc
softsign: numpy.ufunc
softsign_backward: numpy.ufunc
swiglu: numpy.ufunc
swiglu_backward: numpy.ufunc
tanh: numpy.ufunc
tanh_backward: numpy.ufunc

def ufuncs_of(target: str) -> dict[str, Any]: ...
