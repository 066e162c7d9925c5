"""What type checkers are told: mypy checks these files, and pytest runs them, so that it is true as well."""

from typing import TYPE_CHECKING, Any, get_args, get_origin

import numpy as np

if TYPE_CHECKING:
    from typing import assert_type as assert_type
else:

    def assert_type(value: Any, kind: Any) -> Any:
        """Compare a value with its type; an array with its floats too."""
        if get_origin(kind) is tuple:
            for v, k in zip(value, get_args(kind), strict=True):
                assert_type(v, k)
        elif get_origin(kind) is np.ndarray:
            assert type(value) is np.ndarray
            assert value.dtype.type is get_args(get_args(kind)[1])[0]
        elif kind is not Any:
            assert type(value) is kind
        return value
