"""Written by `make stubs`."""

__all__ = [
    "__version__",
    "binary_cross_entropy",
    "binary_cross_entropy_backward",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_backward",
    "binary_cross_entropy_with_logits_with_grad",
    "binary_focal_loss_with_logits",
    "binary_focal_loss_with_logits_backward",
    "binary_focal_loss_with_logits_with_grad",
    "categorical_cross_entropy",
    "categorical_cross_entropy_backward",
    "celu",
    "celu_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "cross_entropy_with_grad",
    "elu",
    "elu_backward",
    "focal_loss",
    "focal_loss_backward",
    "focal_loss_with_grad",
    "geglu",
    "geglu_backward",
    "gelu",
    "gelu_backward",
    "get_num_threads",
    "hard_sigmoid",
    "hard_sigmoid_backward",
    "hard_swish",
    "hard_swish_backward",
    "hard_tanh",
    "hard_tanh_backward",
    "kl_divergence",
    "kl_divergence_backward",
    "kl_divergence_with_logits",
    "kl_divergence_with_logits_backward",
    "kl_divergence_with_logits_with_grad",
    "leaky_relu",
    "leaky_relu_backward",
    "linear_cross_entropy",
    "linear_cross_entropy_backward",
    "linear_cross_entropy_with_grad",
    "log_sigmoid",
    "log_sigmoid_backward",
    "log_softmax",
    "log_softmax_backward",
    "log_softmax_from",
    "log_softmax_jacobian",
    "logsumexp",
    "logsumexp_backward",
    "logsumexp_finish",
    "logsumexp_merge",
    "logsumexp_partial",
    "mish",
    "mish_backward",
    "nll_loss",
    "nll_loss_backward",
    "num_threads",
    "reglu",
    "reglu_backward",
    "relu",
    "relu6",
    "relu6_backward",
    "relu_backward",
    "reuse_buffers",
    "selu",
    "selu_backward",
    "set_num_threads",
    "show_config",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "simd_target",
    "simd_targets",
    "softmax",
    "softmax_backward",
    "softmax_from",
    "softmax_jacobian",
    "softplus",
    "softplus_backward",
    "softsign",
    "softsign_backward",
    "swiglu",
    "swiglu_backward",
    "tanh",
    "tanh_backward",
]
from ._activations import celu as celu
from ._activations import celu_backward as celu_backward
from ._activations import elu as elu
from ._activations import elu_backward as elu_backward
from ._activations import geglu as geglu
from ._activations import geglu_backward as geglu_backward
from ._activations import gelu as gelu
from ._activations import gelu_backward as gelu_backward
from ._activations import hard_sigmoid as hard_sigmoid
from ._activations import hard_sigmoid_backward as hard_sigmoid_backward
from ._activations import hard_swish as hard_swish
from ._activations import hard_swish_backward as hard_swish_backward
from ._activations import hard_tanh as hard_tanh
from ._activations import hard_tanh_backward as hard_tanh_backward
from ._activations import leaky_relu as leaky_relu
from ._activations import leaky_relu_backward as leaky_relu_backward
from ._activations import log_sigmoid as log_sigmoid
from ._activations import log_sigmoid_backward as log_sigmoid_backward
from ._activations import mish as mish
from ._activations import mish_backward as mish_backward
from ._activations import reglu as reglu
from ._activations import reglu_backward as reglu_backward
from ._activations import relu as relu
from ._activations import relu6 as relu6
from ._activations import relu6_backward as relu6_backward
from ._activations import relu_backward as relu_backward
from ._activations import selu as selu
from ._activations import selu_backward as selu_backward
from ._activations import sigmoid as sigmoid
from ._activations import sigmoid_backward as sigmoid_backward
from ._activations import silu as silu
from ._activations import silu_backward as silu_backward
from ._activations import softplus as softplus
from ._activations import softplus_backward as softplus_backward
from ._activations import softsign as softsign
from ._activations import softsign_backward as softsign_backward
from ._activations import swiglu as swiglu
from ._activations import swiglu_backward as swiglu_backward
from ._activations import tanh as tanh
from ._activations import tanh_backward as tanh_backward
from ._core import __version__ as __version__
from ._linear import linear_cross_entropy as linear_cross_entropy
from ._linear import linear_cross_entropy_backward as linear_cross_entropy_backward
from ._linear import linear_cross_entropy_with_grad as linear_cross_entropy_with_grad
from ._losses import binary_cross_entropy as binary_cross_entropy
from ._losses import binary_cross_entropy_backward as binary_cross_entropy_backward
from ._losses import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
from ._losses import binary_cross_entropy_with_logits_backward as binary_cross_entropy_with_logits_backward
from ._losses import binary_cross_entropy_with_logits_with_grad as binary_cross_entropy_with_logits_with_grad
from ._losses import binary_focal_loss_with_logits as binary_focal_loss_with_logits
from ._losses import binary_focal_loss_with_logits_backward as binary_focal_loss_with_logits_backward
from ._losses import binary_focal_loss_with_logits_with_grad as binary_focal_loss_with_logits_with_grad
from ._losses import categorical_cross_entropy as categorical_cross_entropy
from ._losses import categorical_cross_entropy_backward as categorical_cross_entropy_backward
from ._losses import cross_entropy as cross_entropy
from ._losses import cross_entropy_backward as cross_entropy_backward
from ._losses import cross_entropy_with_grad as cross_entropy_with_grad
from ._losses import focal_loss as focal_loss
from ._losses import focal_loss_backward as focal_loss_backward
from ._losses import focal_loss_with_grad as focal_loss_with_grad
from ._losses import kl_divergence as kl_divergence
from ._losses import kl_divergence_backward as kl_divergence_backward
from ._losses import kl_divergence_with_logits as kl_divergence_with_logits
from ._losses import kl_divergence_with_logits_backward as kl_divergence_with_logits_backward
from ._losses import kl_divergence_with_logits_with_grad as kl_divergence_with_logits_with_grad
from ._losses import nll_loss as nll_loss
from ._losses import nll_loss_backward as nll_loss_backward
from ._runtime import get_num_threads as get_num_threads
from ._runtime import num_threads as num_threads
from ._runtime import reuse_buffers as reuse_buffers
from ._runtime import set_num_threads as set_num_threads
from ._runtime import show_config as show_config
from ._runtime import simd_target as simd_target
from ._runtime import simd_targets as simd_targets
from ._softmax import log_softmax as log_softmax
from ._softmax import log_softmax_backward as log_softmax_backward
from ._softmax import log_softmax_from as log_softmax_from
from ._softmax import log_softmax_jacobian as log_softmax_jacobian
from ._softmax import logsumexp as logsumexp
from ._softmax import logsumexp_backward as logsumexp_backward
from ._softmax import logsumexp_finish as logsumexp_finish
from ._softmax import logsumexp_merge as logsumexp_merge
from ._softmax import logsumexp_partial as logsumexp_partial
from ._softmax import softmax as softmax
from ._softmax import softmax_backward as softmax_backward
from ._softmax import softmax_from as softmax_from
from ._softmax import softmax_jacobian as softmax_jacobian
