"""The documentation's table of what objects of other packages give: each of its cells is run."""

import ctypes
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nonlin as nl

PAGE = Path(__file__).parents[1] / "docs" / "objects.md"
if not PAGE.exists():
    pytest.skip("no documentation beside the tests", allow_module_level=True)

TABLE = np.array([[-2.0, 0.5, 1.0], [0.0, 3.0, -1.0]])
ROW = np.array([-2.0, 0.5, 1.0])
HOLED = np.array([-2.0, np.nan, 1.0])
MASK = np.array([[False, False, True], [False, False, False]])


class OnDevice:
    """An array that follows the array API's standard, and lets nobody copy it to the host unasked, as CuPy's do."""

    def __init__(self, x: Any) -> None:
        self.ndim = x.ndim

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        raise AssertionError("nothing is computed by it")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed")


def memmap(x: Any) -> Any:
    """A file of nobody's: it is gone when the array is."""
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, x.dtype, "w+", shape=x.shape)
    mapped[...] = x
    return mapped


# By the first cell of the row: the package, how an object is made of an array, and that array.
Row = tuple[str, Callable[[Any, Any], Any], Any]
OBJECTS: dict[str, Row] = {
    "lists": ("numpy", lambda _, x: x.tolist(), TABLE),
    "`numpy.memmap`": ("numpy", lambda _, x: memmap(x), TABLE),
    "`numpy.ma.MaskedArray`": ("numpy", lambda np, x: np.ma.array(x, mask=MASK), TABLE),
    "`torch.Tensor`": ("torch", lambda torch, x: torch.tensor(x), TABLE),
    "... that requires a gradient": ("torch", lambda torch, x: torch.tensor(x, requires_grad=True), TABLE),
    "`jax.Array`": ("jax.numpy", lambda jnp, x: jnp.asarray(x, np.float32), TABLE),
    "`pandas.DataFrame`": ("pandas", lambda pd, x: pd.DataFrame(x), TABLE),
    "`pandas.Series`": ("pandas", lambda pd, x: pd.Series(x), ROW),
    "... nullable": ("pandas", lambda pd, x: pd.Series(x, dtype="Float64"), ROW),
    "... nullable, with missing entries": ("pandas", lambda pd, _: pd.Series([-2.0, None, 1.0], dtype="Float64"), HOLED),
    "... backed by Arrow": ("pandas,pyarrow", lambda pd, x: pd.Series(x, dtype="double[pyarrow]"), ROW),
    "... by Arrow, with missing entries": (
        "pandas,pyarrow",
        lambda pd, _: pd.Series([-2.0, None, 1.0], dtype="double[pyarrow]"),
        HOLED,
    ),
    "`polars.Series`": ("polars", lambda pl, x: pl.Series(x), ROW),
    "... of polars, with nulls": ("polars", lambda pl, _: pl.Series([-2.0, None, 1.0]), HOLED),
    "`polars.DataFrame`": ("polars", lambda pl, x: pl.DataFrame(x), TABLE),
    "... of polars, with nulls in a column": (
        "polars",
        lambda pl, _: pl.DataFrame({"a": [-2.0], "b": [None], "c": [1.0]}),
        HOLED,
    ),
    "`pyarrow.Array`": ("pyarrow", lambda pa, x: pa.array(x), ROW),
    "... of pyarrow, with nulls": ("pyarrow", lambda pa, _: pa.array([-2.0, None, 1.0]), HOLED),
    "`pyarrow.Table`": ("pyarrow", lambda pa, x: pa.table({"abc"[i]: x[:, i] for i in range(3)}), TABLE),
    "`xarray.DataArray`": ("xarray", lambda xr, x: xr.DataArray(x, dims=("sample", "class")), TABLE),
    "`dask.array.Array`": ("dask.array", lambda da, x: da.from_array(x, chunks=(1, 2)), TABLE),
    "`zarr.Array`": ("zarr", lambda zarr, x: zarr.array(x), TABLE),
    "`awkward.Array`, rows of one length": ("awkward", lambda ak, x: ak.Array(x.tolist()), TABLE),
    "... ragged": ("awkward", lambda ak, _: ak.Array([[-2.0, 0.5], [1.0]]), ROW),
    "`scipy.sparse.csr_array`": ("scipy.sparse", lambda sparse, x: sparse.csr_array(x), TABLE),
    "`sparse.COO`": ("sparse", lambda sparse, x: sparse.COO.from_numpy(x), TABLE),
    "`pint.Quantity`": ("pint", lambda pint, x: pint.UnitRegistry().Quantity(x, "m"), TABLE),
    "`astropy.units.Quantity`": ("astropy.units", lambda u, x: x * u.m, TABLE),
    "array API (`array_api_strict`)": ("array_api_strict", lambda xp, x: xp.asarray(x), TABLE),
    "arrays of a device, as CuPy's": ("numpy", lambda _, x: OnDevice(x), TABLE),
}


def gelu(x: Any) -> Any:
    return nl.gelu(x)


def softmax(x: Any) -> Any:
    return nl.softmax(x)


def logsumexp(x: Any) -> Any:
    return nl.logsumexp(x)


def losses(x: Any) -> Any:
    return nl.cross_entropy(x, targets(x), reduction="none")


def gradient(x: Any) -> Any:
    return nl.cross_entropy_with_grad(x, targets(x))[1]


def filled(out: Any) -> Any:
    return nl.gelu(ROW if dims(out) == 1 else TABLE, out=out)


def dims(x: Any) -> int:
    return int(x.ndim if hasattr(x, "ndim") else np.ndim(x))


def targets(x: Any) -> Any:
    """Of a row, or of rows."""
    return 2 if dims(x) == 1 else [2, 1]


COLUMNS = (gelu, softmax, logsumexp, losses, gradient, filled)


def table() -> dict[str, list[str]]:
    """The page's cells by the first one of their row."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in lines]
    return {row[0]: row[1:] for row in rows[1:]}


def made(name: str) -> Any:
    """The object of a row, where its packages are installed."""
    packages, make, x = OBJECTS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the others
        first, *_ = [pytest.importorskip(package) for package in packages.split(",")]
        return make(first, x.copy())


def kind(result: Any) -> str:
    """The type of a result, and what a column of pandas or polars consists of."""
    package = type(result).__module__.partition(".")[0]
    package, name = package.replace("jaxlib", "jax"), type(result).__name__.replace("ArrayImpl", "Array")
    name = name if package in ("numpy", "tests") else f"{package}.{name}"
    return f"{name}[{result.dtype}]" if name == "pandas.Series" else name


def numbers(result: Any) -> Any:
    """A result as an array, with NaN for what is masked or missing."""
    if isinstance(result, np.ma.MaskedArray):
        return result.filled(np.nan)
    if hasattr(result, "todense"):
        return result.todense()
    if kind(result).startswith("awkward"):
        return result.layout.to_packed().content.data
    if kind(result).startswith("pandas"):
        return result.to_numpy(float, na_value=np.nan)
    return np.asarray(result, float)


def expected(column: Callable[[Any], Any], name: str) -> Any:
    _, _, x = OBJECTS[name]
    if column is filled:
        return nl.gelu(ROW if x.ndim == 1 else TABLE)
    if "MaskedArray" not in name:
        return column(x)
    if column is gelu:
        return np.where(MASK, np.nan, nl.gelu(x))
    result = getattr(nl, column.__name__)(x, where=~MASK)
    return np.where(MASK, np.nan, result) if column is softmax else result


def outcome(column: Callable[[Any], Any], name: str, told: str) -> str:
    """What a cell should say; of an error's message, the words that the cell has, if they are in it."""
    given = made(name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the others
            result = column(given)
    except Exception as error:
        word = told.partition(": ")[2]
        return f"`{type(error).__name__}`: {word if word and word in str(error) else error}"
    if column is filled:
        result = given  # pandas returns another one
    found, right = numbers(result), expected(column, name)
    assert np.shape(found) == np.shape(right) or "awkward" in kind(result)
    np.testing.assert_allclose(np.ravel(found), np.ravel(right), rtol=1e-6)
    return "filled" if column is filled else f"`{kind(result)}`"


def test_every_object_has_its_row() -> None:
    assert list(table()) == list(OBJECTS)
    assert all(len(cells) == len(COLUMNS) for cells in table().values())


@pytest.mark.parametrize("column", COLUMNS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", OBJECTS)
def test_cell(name: str, column: Callable[[Any], Any]) -> None:
    told = table()[name][COLUMNS.index(column)]
    assert outcome(column, name, told) == told


def test_results_of_the_length_of_a_series_are_series() -> None:
    """Two from one call too, which polars computes none of; with the name of the first."""
    pl = pytest.importorskip("polars")
    x, y = pl.Series("x", ROW), pl.Series("y", [0.0, 1.0, 1.0])
    pairs = [
        (nl.swiglu_backward(1.0, x, y), nl.swiglu_backward(1.0, ROW, y.to_numpy())),
        (
            nl.binary_cross_entropy_with_logits_with_grad(x, y, reduction="none"),
            nl.binary_cross_entropy_with_logits_with_grad(ROW, y.to_numpy(), reduction="none"),
        ),
    ]
    for found, right in pairs:
        for a, b in zip(found, right, strict=True):
            assert (kind(a), a.name) == ("polars.Series", "x")
            np.testing.assert_array_equal(a.to_numpy(), b)
    with pytest.raises(TypeError, match="up is a Series of polars with missing entries"):
        nl.swiglu_backward(1.0, x, pl.Series([1.0, None, 2.0]))


def test_loops_of_a_ufunc() -> None:
    """They stand where C finds those of NumPy's, and compute what a call does."""
    head = object.__basicsize__

    class Loops(ctypes.Structure):
        _fields_ = [
            ("head", ctypes.c_char * head),
            ("counts", ctypes.c_int * 4),  # nin, nout, nargs, identity
            ("functions", ctypes.POINTER(ctypes.c_void_p)),
            ("data", ctypes.POINTER(ctypes.c_void_p)),
            ("types", ctypes.c_int),  # how many
        ]

    loops = Loops.from_address(id(nl.mish))
    assert (*loops.counts[:3], loops.types) == (1, 1, 2, len(nl.mish.types))
    run = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)
    y = np.empty_like(ROW)
    which = nl.mish.types.index("d->d")
    arrays, steps = (ctypes.c_void_p * 2)(ROW.ctypes.data, y.ctypes.data), (ctypes.c_ssize_t * 2)(8, 8)
    run(loops.functions[which])(arrays, ctypes.byref(ctypes.c_ssize_t(ROW.size)), steps, loops.data[which])
    np.testing.assert_array_equal(y, nl.mish(ROW))
