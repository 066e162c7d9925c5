"""Arrays of other packages, whose meaning NumPy's own arrays lack: it is kept, or they are refused by name.

The functions of `_core` come here where an argument is nothing that NumPy or Python makes.
"""

import functools
import importlib
import inspect
import operator
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from . import _core
from ._engines import REAL, WEIGHTS, whole

_GUFUNCS = _core.gufuncs()
_PYTHONS = {type(None), bool, int, float, str, list, tuple}
_MODULES = ("xarray", "dask")  # packages whose arrays have a module here; those of the first may hold the second's

Engine = Callable[[str, dict[str, Any], dict[str, Any]], Any]
_REGISTERED: dict[type, Engine] = {}


def register(kind: type, engine: Engine) -> None:
    """Let `engine(name, operands, options)` compute the row functions and losses that have an argument of a type."""
    _REGISTERED[kind] = engine


def engine_of(values: Iterable[Any]) -> Engine | None:
    """What computes a call with these arguments, where a type was registered or a module has functions of its package."""
    given = tuple(values)
    registered = next((_REGISTERED[type(value)] for value in given if type(value) in _REGISTERED), None)
    packages = {_package(value) for value in given}
    package = next((p for p in _MODULES if p in packages), None)
    return registered or (functools.partial(_by_module, package) if package else None)


def _by_module(package: str, name: str, operands: dict[str, Any], options: dict[str, Any]) -> Any:
    """What the function of that name in a package's module makes of a call."""
    module = importlib.import_module(f".{package}", __package__)
    given = operands | options
    if given.pop("out", None) is not None:
        raise TypeError(f"out is an array, beside one of {package}; there it takes None: use the result")
    if name == "logsumexp_signed":
        name, given = "logsumexp", given | {"return_sign": True}
    if name not in module.__all__:
        message = f"{name} takes no arrays of {package}, and computes none unasked; nonlin.{package} has what takes them"
        raise TypeError(message)
    function = getattr(module, name)
    if hasattr(module, "by_axis"):
        given = module.by_axis(name, given)
    parameters = inspect.signature(function).parameters
    unknown = [n for n, v in given.items() if n not in parameters and v not in (None, False, 1.0)]
    if unknown:
        raise TypeError(f"{unknown[0]} is {given[unknown[0]]!r}; nonlin.{package}.{name} takes none")
    return function(**{n: v for n, v in given.items() if n in parameters})


def _package(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _is_pandas(value: Any) -> bool:
    return _package(value) == "pandas" and hasattr(value, "index")


def is_lazy(value: Any) -> bool:
    """Whether a value is computed when it is asked for; only dask's are, and what holds them."""
    return hasattr(value, "__dask_graph__") and value.__dask_graph__() is not None


def elementwise(ufunc: np.ufunc, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Call a ufunc on values whose packages leave ufuncs to NumPy; the result is of the first one's kind."""
    given = inputs[: ufunc.nin]
    names = list(inspect.signature(ufunc).parameters)
    operands = [plain(n, v) if _is_foreign(v) else v for n, v in zip(names, given, strict=False)]
    result = ufunc(*operands, *inputs[ufunc.nin :], **keywords)
    if len(inputs) > ufunc.nin or keywords.get("out") is not None:
        return result
    return _of_kind(next(filter(_is_foreign, given)), result)


def refused(ufunc: np.ufunc, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """What is made of a call that the package of an argument refused; or NotImplemented, which leaves its error."""
    given = dict(zip(inspect.signature(ufunc).parameters, inputs, strict=False))
    for name, value in (given | keywords).items():
        if _has_unit(value):
            plain(name, value)  # which raises
    if ufunc.nout == 1 or keywords or len(inputs) != ufunc.nin:
        return NotImplemented
    if engine := engine_of(inputs):
        return engine(ufunc.__name__, given, {})
    column = next(filter(_is_column, inputs), None)
    return NotImplemented if column is None else _of_kind(column, ufunc(*(plain(n, v) for n, v in given.items())))


def _is_dispatched(value: Any) -> bool:
    """Whether a type takes calls of ufuncs itself, and can be trusted with those of rows."""
    dispatch = getattr(type(value), "__array_ufunc__", None)
    if dispatch is None or dispatch is np.ndarray.__array_ufunc__:
        return False
    return not (_is_pandas(value) or _has_unit(value) or _package(value) in ("awkward", "sparse"))


def _is_foreign(value: Any) -> bool:
    """Whether a value is of another package, which leaves ufuncs to NumPy."""
    return not hasattr(value, "__array_ufunc__") and type(value) not in _PYTHONS


def _has_unit(value: Any) -> bool:
    return (hasattr(value, "magnitude") and hasattr(value, "units")) or (
        isinstance(value, np.ndarray) and hasattr(value, "unit")
    )


def _is_column(value: Any) -> bool:
    """Whether a value is a Series of polars."""
    return _package(value) == "polars" and type(value).__name__ == "Series"


def _of_pandas(name: str, value: Any) -> Any:
    """The values of a Series or DataFrame; nullable columns become floats."""
    frame = value.to_frame() if value.ndim == 1 else value
    nullable = [i for i, dtype in enumerate(frame.dtypes) if not isinstance(dtype, np.dtype)]
    if not nullable:
        return value.to_numpy()
    for i in nullable:
        if frame.iloc[:, i].isna().any():
            raise TypeError(
                f"{name} has missing entries in column {frame.columns[i]!r} of dtype {frame.dtypes.iloc[i]}; "
                f"it takes columns without any: fill them (fillna) or drop them (dropna)"
            )
    dtypes = [getattr(dtype, "numpy_dtype", dtype) for dtype in frame.dtypes]
    if not all(isinstance(dtype, np.dtype) for dtype in dtypes):
        found = " and ".join(map(str, dict.fromkeys(frame.dtypes)))
        raise TypeError(f"{name} has columns of dtype {found}; it takes {REAL}")
    return value.astype(np.result_type(*dtypes)).to_numpy()


def _has_nulls(value: Any) -> bool:
    """Whether entries are missing in a column, or in a table, of polars or pyarrow."""
    if _package(value) == "polars":
        if not hasattr(value, "to_numpy"):  # an expression, or a frame that is lazy
            return False
        count = value.null_count()
        return bool(count if isinstance(count, int) else sum(count.row(0)))
    columns = [value] if hasattr(value, "null_count") else getattr(value, "columns", [])
    return any(column.null_count for column in columns)


def plain(name: str, value: Any) -> Any:
    """What a value is as an array of NumPy, where nothing is lost by that; NumPy's and Python's own stay as they are."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; it takes one without a mask: fill it ({name}.filled(0))")
    package = _package(value)
    if type(value) in _REGISTERED or package == "autograd":
        raise TypeError(
            f"{name} is of type {type(value).__name__} of {package}; activations, row functions and losses take it where "
            f"nonlin.{package} is imported, and this function takes NumPy's arrays alone"
        )
    if _has_unit(value):
        numbers = "magnitude" if hasattr(value, "magnitude") else "value"
        raise TypeError(f"{name} is a quantity of {package}; it takes numbers without a unit: pass {name}.{numbers}")
    if package == "awkward":
        try:
            return np.asarray(value)
        except ValueError:
            raise TypeError(
                f"{name} is an awkward array that is ragged or has missing entries; it takes rows of one length: pad them "
                f"(ak.pad_none, ak.fill_none, ak.to_regular), and leave the padding out by where="
            ) from None
    if package in ("polars", "pyarrow") and _has_nulls(value):
        raise TypeError(
            f"{name} is a {type(value).__name__} of {package} with missing entries; fill them or drop them first"
        )
    if package in ("scipy", "sparse"):
        dense = next((method for method in ("toarray", "todense") if hasattr(value, method)), None)
        if dense:
            raise TypeError(f"{name} is a sparse array of {package}; it takes dense ones: pass {name}.{dense}()")
    if is_lazy(value):
        raise TypeError(
            f"{name} is a {package}.{type(value).__name__} that is not computed yet; it takes arrays that are: nonlin.dask "
            f"has functions of others, or pass {name}.compute()"
        )
    if _is_pandas(value):
        return _of_pandas(name, value)
    return value if type(value) in _PYTHONS else np.asarray(value)


def _like_pandas(value: Any, result: Any, axes: set[int]) -> Any:
    """A result with the labels of a Series or DataFrame that it belongs to; without the axes that were summed over."""
    pandas = sys.modules["pandas"]
    if np.shape(result) == value.shape:
        if value.ndim == 1:
            return pandas.Series(result, index=value.index, name=value.name)
        return pandas.DataFrame(result, index=value.index, columns=value.columns)
    if np.ndim(result) == 1 and value.ndim == 2 and len(axes) == 1:
        return pandas.Series(result, index=value.columns if axes == {0} else value.index)
    return result


def _of_kind(value: Any, result: Any) -> Any:
    """A result as an array of the package that an argument is of: by the array API's standard, or as ufuncs wrap theirs."""
    if isinstance(result, tuple):
        return tuple(_of_kind(value, r) for r in result)
    if _is_column(value):
        return type(value)(value.name, result) if np.shape(result) == value.shape else result
    if not _is_foreign(value) or not (type(result) is np.ndarray or isinstance(result, np.generic)):
        return result
    if hasattr(value, "__array_namespace__"):
        return value.__array_namespace__().asarray(result)
    return value.__array_wrap__(np.asarray(result)) if hasattr(value, "__array_wrap__") else result


def _wrapped(value: Any, result: Any, axes: set[int]) -> Any:
    """A result as the type of an argument, for pandas and subclasses of ndarray."""
    if isinstance(result, tuple):
        return tuple(_wrapped(value, r, axes) for r in result)
    if _is_pandas(value):
        return _like_pandas(value, result, axes)
    if isinstance(value, np.ndarray) and isinstance(result, np.ndarray):
        return value.__array_wrap__(result)
    return _of_kind(value, result)


def _axes(axis: Any, ndim: int) -> set[int]:
    if axis is None:
        return set(range(ndim))
    return {operator.index(i) % ndim for i in (axis if isinstance(axis, tuple) else (axis,))}


def _check_labels(names: Sequence[str], values: Sequence[Any], rows_first: bool = False) -> None:
    """Frames of one shape have the same labels; so have a frame and a Series of its rows, where the rows come first."""
    frames = [(name, value) for name, value in zip(names, values, strict=True) if _is_pandas(value)]
    for name, value in frames[1:]:
        first, other = frames[0]
        alike = other.shape == value.shape or (rows_first and len(other) == len(value))
        same_columns = other.ndim == 1 or value.ndim == 1 or other.columns.equals(value.columns)
        if alike and not (other.index.equals(value.index) and same_columns):
            raise ValueError(f"{first} and {name} have different labels; they take the same ones, in one order (reindex)")


def rows(name: str, arguments: tuple[str, ...], operands: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Call a row function on arrays that are not all NumPy's own; options come in the order in which it takes them."""
    function: Callable[..., Any] = getattr(_core, name)
    where = options.get("where")
    engine = engine_of((*operands, where, options.get("scale")))
    if engine is not None:
        return engine(name, dict(zip(arguments, operands, strict=True)), options)
    for argument, value in zip((*arguments, "where"), (*operands, where), strict=True):
        if _is_dispatched(value):
            return _dispatched(name, operands, type(value).__name__, **options)
        if isinstance(value, np.ma.MaskedArray) and argument == "where":
            raise TypeError("where is a masked array; it takes booleans without a mask: fill it (where.filled(False))")
    if any(isinstance(value, np.ma.MaskedArray) for value in operands):
        return _masked(name, arguments, operands, **options)
    arrays = [plain(a, v) for a, v in zip(arguments, operands, strict=True)]
    _check_labels(arguments, operands)
    given = options if where is None else options | {"where": plain("where", where)}
    result = function(*arrays, *given.values())
    model = next((v for v in reversed(operands) if _is_pandas(v) or isinstance(v, np.ndarray) or _is_foreign(v)), None)
    if options.get("out") is not None:
        return result
    return _wrapped(model, result, _axes(options["axis"], max(map(np.ndim, arrays))))


def _dispatched(
    name: str,
    operands: tuple[Any, ...],
    kind: str,
    *,
    axis: Any,
    scale: float = 1.0,
    where: Any = None,
    out: Any = None,
    keepdims: bool = False,
) -> Any:
    """Call a generalised ufunc, which other packages take over."""
    if axis is None or isinstance(axis, tuple):
        raise TypeError(f"axis is {axis}; for a {kind} it takes an integer")
    first, *others = operands
    given = [first if scale == 1 else first * scale, *others]
    gufunc = _GUFUNCS[name] if where is None else _GUFUNCS[name + "_where"]
    keywords: dict[str, Any] = {"keepdims": True} if keepdims else {}
    if out is not None:
        keywords["out"] = out
    return gufunc(*given, *(() if where is None else (where,)), axis=axis, **keywords)


def _masked(
    name: str,
    arguments: tuple[str, ...],
    operands: tuple[Any, ...],
    *,
    axis: Any,
    scale: float = 1.0,
    where: Any = None,
    out: Any = None,
    keepdims: bool = False,
) -> Any:
    """Masked entries are left out, as by ``where``, and the result is masked there."""
    if name + "_where" not in _GUFUNCS:
        raise TypeError(f"{arguments[0]} is a masked array; {name} takes arrays without a mask")
    shape = np.shape(operands[-1])
    data = [np.ma.getdata(v) if np.shape(v) == shape else np.ma.filled(v, 0) for v in operands]
    kept = np.ones(shape, bool)
    for value in operands:
        if np.shape(value) == shape:
            kept &= ~np.ma.getmaskarray(value)
    if where is not None:
        mask = np.asarray(plain("where", where))
        if mask.dtype != np.bool_:
            raise TypeError(f"where has dtype {mask.dtype}; it takes booleans")
        try:
            kept &= mask
        except ValueError:
            message = f"where has shape {mask.shape}; it takes one that broadcasts to that of {arguments[-1]}, {shape}"
            raise ValueError(message) from None
    target = np.ma.getdata(out) if isinstance(out, np.ma.MaskedArray) else out
    results = getattr(_core, name)(*data, axis, scale, kept, target, keepdims)

    def masked(result: Any) -> Any:
        of_rows = name.endswith("_backward") or not name.startswith("logsumexp")
        mask = ~kept if of_rows else ~kept.any(axis=axis, keepdims=keepdims)
        if out is not None and result is target:
            if isinstance(out, np.ma.MaskedArray):
                out[...] = np.ma.array(result, mask=mask)
            return out
        return np.ma.array(result, mask=mask) if np.ndim(result) else (np.ma.masked if mask else result)

    return tuple(map(masked, results)) if isinstance(results, tuple) else masked(results)


def losses(name: str, operand: str, target: str, operands: dict[str, Any], options: dict[str, Any]) -> Any:
    """Call a function of a loss on arrays that are not all NumPy's own; `operand` is what gradients are taken by."""
    function: Callable[..., Any] = getattr(_core, name)
    engine = engine_of((*operands.values(), *options.values()))
    if engine is not None:
        return engine(name, operands, options)
    axis = options.get("axis", -1)
    rows_first = isinstance(axis, (int, np.integer)) and axis in (-1, 1)
    _check_labels(list(operands), list(operands.values()), rows_first)
    for argument, value in (operands | options).items():
        if isinstance(value, np.ma.MaskedArray) and argument != target and argument != "out":
            raise TypeError(f"{argument} is a masked array; it takes one without a mask: masks of {target} leave rows out")
    mask = np.ma.getmaskarray(operands[target]) if isinstance(operands[target], np.ma.MaskedArray) else None
    arrays = {a: plain(a, v) for a, v in operands.items() if a != target or mask is None}
    taken = {o: plain(o, v) if o in WEIGHTS and v is not None else v for o, v in options.items()}
    ignored = None
    if mask is not None:
        x = np.asarray(arrays[operand])
        arrays[target], taken, ignored = _without_masked(np.ma.getdata(operands[target]), mask, x, taken)
    results = function(*(arrays[a] for a in operands), **taken)
    loss, gradient = results if isinstance(results, tuple) else (None, results) if "grad" in operands else (results, None)
    model = operands[operand]
    if gradient is not None and _is_pandas(model) and options.get("out") is None:
        gradient = _like_pandas(model, gradient, set())
    if loss is not None and options["reduction"] == "none":
        if ignored is not None:
            loss = np.ma.array(loss, mask=ignored)
        elif _is_pandas(model):
            axes = {options["axis"] % model.ndim} if "axis" in options else set()
            loss = _like_pandas(model, loss, axes)
    loss = None if loss is None else _of_kind(model, loss)
    if gradient is not None and options.get("out") is None:
        gradient = _of_kind(model, gradient)
    if isinstance(results, tuple):
        return loss, gradient
    return gradient if loss is None else loss


def _kept(mask: Any, factor: Any) -> Any:
    """0 where masked; factors that do not fit are left as they are to the function that names them."""
    try:
        return np.where(mask, 0, 1.0 if factor is None else factor)
    except (TypeError, ValueError):
        return factor


def _without_masked(data: Any, mask: Any, x: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
    """Targets and options under which rows or entries with masked targets do not count, and these rows or entries."""
    if "axis" not in options:  # a loss of entries: its mean is over those that are left
        weight = _kept(mask, options.get("weight"))
        left = {"divisor": float(mask.size - np.count_nonzero(mask))} if options["reduction"] == "mean" else {}
        return np.where(mask, 0, data), options | {"weight": weight} | left, mask
    if "ignore_index" in options and data.ndim < x.ndim and data.dtype.kind in "iu":
        return np.where(mask, whole("ignore_index", options["ignore_index"]), data.astype(np.int64)), options, mask
    rows = mask.any(axis=options["axis"])
    sample_weight = _kept(rows, options.get("sample_weight"))
    return np.where(mask, 0, data).astype(data.dtype), options | {"sample_weight": sample_weight}, rows
