"""Activations, softmax and cross-entropy on NumPy arrays: fast, accurate, forward and backward."""

from . import _startup  # noqa: F401

# isort: split
from . import _activations, _linear, _losses, _runtime, _softmax, _threadpoolctl  # noqa: F401
from ._activations import *  # noqa: F403
from ._core import __version__
from ._linear import *  # noqa: F403
from ._losses import *  # noqa: F403
from ._runtime import *  # noqa: F403
from ._softmax import *  # noqa: F403

__all__ = ["__version__"]
__all__ += _activations.__all__
__all__ += _softmax.__all__
__all__ += _losses.__all__
__all__ += _linear.__all__
__all__ += _runtime.__all__
