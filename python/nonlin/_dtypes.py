"""The dtypes that functions take."""

import numpy as np
from numpy.typing import ArrayLike

INTEGERS = "biu"  # kinds that become float64

_FLOATS: tuple[type, ...] = (np.float16, np.float32, np.float64)
try:
    from ml_dtypes import bfloat16
except ModuleNotFoundError:
    pass
else:
    _FLOATS += (bfloat16,)


def is_float(dtype: np.dtype) -> bool:
    """Whether results keep this dtype."""
    return dtype.type in _FLOATS


def is_real(dtype: np.dtype) -> bool:
    """Whether this is any float, `longdouble` too: what probabilities may be."""
    return dtype.kind == "f" or is_float(dtype)


def working_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype that is computed in: 16-bit floats are only stored."""
    return np.dtype(np.float32) if dtype.itemsize == 2 else dtype


def float_array(name: str, value: ArrayLike) -> np.ndarray:
    """`value` as an array of a float type in native byte order; booleans and integers become float64."""
    array = np.asarray(value)
    if array.dtype.kind in INTEGERS:
        return array.astype(np.float64)
    if not is_float(array.dtype):
        raise TypeError(
            f"{name} has dtype {array.dtype}; it takes float16, bfloat16, float32, float64, booleans or integers"
        )
    return array.astype(array.dtype.newbyteorder("="), copy=False)
