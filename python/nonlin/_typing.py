"""The types of arguments and results, in whose words `make stubs` writes the stubs.

A result has the floats that come in: a type variable takes them from arrays, and is float64 where there are only integers,
booleans or Python's numbers. Functions of several operands promise a type where all have the same floats or become float64.
Arrays of other packages, lists of arrays and mixtures are taken by a last overload, which gives Any.

What types do not say: arrays without axes give scalars. And to mypy a float64 scalar is a Python float, so that it does not
see float32 arrays beside one become float64.
"""

# pyright: reportIncompatibleMethodOverride=false, reportUnnecessaryTypeIgnoreComment=false

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NoReturn, Protocol, TypeAlias, TypedDict, Unpack

import numpy as np
from numpy.typing import DTypeLike, NDArray

if TYPE_CHECKING:
    from typing import type_check_only

    # In `typing`, defaults are as new as Python 3.13.
    from typing_extensions import TypeVar

    F = TypeVar("F", bound=np.floating, default=np.float64)
    L = TypeVar("L", bound=np.float32 | np.float64, default=np.float64)  # of losses: those of 16-bit floats are float32
else:
    from typing import TypeVar

    F = TypeVar("F")
    L = TypeVar("L")

Axis: TypeAlias = int | tuple[int, ...] | None
Reduction: TypeAlias = Literal["mean", "sum", "none"]

# To four axes: if they nested without end, a string would be a sequence of numbers.
Matrix: TypeAlias = Sequence[float] | Sequence[Sequence[float]]
Numbers: TypeAlias = Matrix | Sequence[Sequence[Matrix]]


class HasArray(Protocol):
    """Real numbers as `numpy.asarray` takes them: NumPy's arrays and scalars, and arrays of other packages."""

    def __array__(self) -> NDArray[np.floating | np.integer | np.bool]:
        """Return an array of NumPy."""
        ...


# One operand. Of several, the last is an array, and those beside it may be numbers; or all of them become float64.
Rows: TypeAlias = NDArray[F] | NDArray[np.integer | np.bool] | Numbers
Beside: TypeAlias = NDArray[F] | F | float
Doubles: TypeAlias = NDArray[np.float64 | np.integer | np.bool] | Numbers | float | np.integer | np.bool

Scalar: TypeAlias = F | float | np.integer | np.bool
Parameter: TypeAlias = float | np.floating | np.integer  # of an elementwise function: does not change the type of the result
RealLike: TypeAlias = float | HasArray | Numbers | Sequence[HasArray | Sequence[HasArray]]
DType: TypeAlias = type[F] | np.dtype[F]


class Keywords(TypedDict, total=False):
    """Those of every ufunc, but for `out` and `dtype`."""

    where: RealLike
    casting: Literal["no", "equiv", "safe", "same_kind", "unsafe"]
    order: Literal["K", "A", "C", "F"]
    subok: bool
    signature: str | tuple[DTypeLike | None, ...]


if TYPE_CHECKING:  # the stubs add calls, with the names of the inputs

    @type_check_only
    class Ufunc(np.ufunc):  # type: ignore[misc]  # final in NumPy's stubs
        """Without the methods that are for two inputs and one result."""

        def reduce(self, _: NoReturn, /) -> NoReturn: ...  # type: ignore[override]
        def accumulate(self, _: NoReturn, /) -> NoReturn: ...  # type: ignore[override]
        def reduceat(self, _: NoReturn, /) -> NoReturn: ...  # type: ignore[override]
        def outer(self, _: NoReturn, /) -> NoReturn: ...  # type: ignore[override]

    @type_check_only
    class BinaryUfunc(np.ufunc):  # type: ignore[misc]
        """With those whose result has the floats of the array; the others are NumPy's."""

        def accumulate(  # type: ignore[override]
            self, array: Rows[F], /, axis: int = 0, dtype: DType[F] | None = None, out: NDArray[F] | None = None
        ) -> NDArray[F]: ...
        def reduceat(  # type: ignore[override]
            self,
            array: Rows[F],
            /,
            indices: Sequence[int] | NDArray[np.integer],
            axis: int = 0,
            dtype: DType[F] | None = None,
            out: NDArray[F] | None = None,
        ) -> NDArray[F]: ...
        def outer(  # type: ignore[override]
            self, A: NDArray[F], B: NDArray[F], /, *, out: NDArray[F] | None = None, **kwargs: Unpack[Keywords]
        ) -> NDArray[F]: ...
