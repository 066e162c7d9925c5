"""The dtypes that functions take and compute in."""

import numpy as np

INTEGERS = "biu"  # kinds that become float64


def is_real(dtype: np.dtype) -> bool:
    """Whether this is any float, `longdouble` included, as probabilities may be."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


def working_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype to compute in: 16-bit floats are storage only."""
    return np.dtype(np.float32) if dtype.itemsize == 2 else dtype
