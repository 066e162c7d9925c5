"""Activations, softmax and cross-entropy on NumPy arrays: fast, accurate, forward and backward."""

from . import _startup, _threadpoolctl  # noqa: F401
from ._core import __version__
from .activations import *  # noqa: F403
from .activations import __all__ as _activations
from .linear import *  # noqa: F403
from .linear import __all__ as _linear
from .losses import *  # noqa: F403
from .losses import __all__ as _losses
from .runtime import *  # noqa: F403
from .runtime import __all__ as _runtime
from .softmax import *  # noqa: F403
from .softmax import __all__ as _softmax

__all__ = ["__version__", *_activations, *_softmax, *_losses, *_linear, *_runtime]
