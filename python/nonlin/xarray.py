"""Softmax's family and the losses on xarray's arrays: by the name of the class dimension, with coordinates and attributes.

They have the names and arguments of nonlin's own functions, but for `out`, and `dim` in place of `axis`:

>>> import xarray as xr
>>> import nonlin.xarray
>>> logits = xr.DataArray([[2.0, 1.0], [0.0, 3.0]], dims=("class", "time"), coords={"class": ["rain", "sun"]})
>>> print(nonlin.xarray.softmax(logits, "class").sel({"class": "sun"}).values.round(3))
[0.119 0.881]

Dimensions are matched by their names, whatever their order, and coordinates have to be equal. Arrays of dask inside stay
lazy: `nonlin.dask` has their functions.
"""

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _losses, _softmax
from ._engines import LOSSES, WEIGHTS, axes_of, axis_of, function_of, given_among, loss_of, parameters_of

try:
    import xarray as xr
except ImportError as error:
    raise ImportError("nonlin.xarray needs xarray: pip install nonlin[xarray]") from error

Dims = list[Hashable]

_OF_ROWS = ("m", "r")  # operands without the class dimension


def _positional(*arrays: Any, function: Callable[..., Any], names: Sequence[str], options: Mapping[str, Any]) -> Any:
    """Call a function of nonlin on arrays whose class axes are the last."""
    return function(**dict(zip(names, arrays, strict=True)), **options)


def _named(name: str, value: Any, main: Any) -> Any:
    if isinstance(value, xr.DataArray):  # what isel left is no coordinate of the results
        return value.drop_vars([d for d in getattr(main, "dims", ()) if d in value.coords and d not in value.dims])
    if np.ndim(value) == 0:
        return value
    raise TypeError(f"{name} is a {type(value).__name__}; it takes a DataArray, whose dimensions have names")


def _dims_of(name: str, array: Any, dim: Any) -> Dims:
    """The class dimensions: one, several or, for None, all."""
    dims = list(array.dims) if dim is None or dim is ... else list(dim) if isinstance(dim, list | tuple) else [dim]
    if dim in array.dims:  # a name may be a tuple
        dims = [dim]
    missing = [d for d in dims if d not in array.dims]
    if missing or len(set(dims)) < len(dims):
        raise ValueError(f"dim is {dim!r}; it takes one of the dimensions of {name}, {array.dims}, or several")
    return [d for d in array.dims if d in dims]


def _apply(
    function: Callable[..., Any],
    arrays: dict[str, Any],
    cores: Mapping[str, Dims],
    results: Sequence[Dims],
    main: str,
    **options: Any,
) -> tuple[Any, ...]:
    """Apply a function to arrays with these core dimensions; the attributes and the name of results are those of `main`."""
    names = [main, *(n for n in arrays if n != main)]
    result = xr.apply_ufunc(
        functools.partial(_positional, function=function, names=names, options=options),
        *(arrays[n] for n in names),
        input_core_dims=[cores[n] if isinstance(arrays[n], xr.DataArray) else [] for n in names],
        output_core_dims=results,
        dask="allowed",
    )
    return result if isinstance(result, tuple) else (result,)


def _like(array: Any, result: Any) -> Any:
    """A result with the order of dimensions and the name of an array."""
    order = [d for d in array.dims if d in result.dims]
    return result.transpose(..., *order).rename(array.name)


# ---------------------------------------------------------------- row functions


def _row_function(name: str, given: dict[str, Any]) -> Any:
    dim = given.pop("dim")
    main = "x" if "x" in given else "y"
    operands = list(given_among(given, ("grad", "x", "y", "m", "r", "b", "where")))
    options = {n: v for n, v in given.items() if n not in (*operands, "b", "where", "keepdims")}
    function = getattr(_softmax, name)
    if isinstance(given[main], xr.Dataset):
        return _of_dataset(name, given, operands, dim)
    arrays = {n: _named(n, given[n], given[main]) for n in operands}
    if not isinstance(arrays[main], xr.DataArray):
        raise TypeError(f"{main} is a {type(arrays[main]).__name__}; it takes a DataArray, whose dimensions have names")
    dims = _dims_of(main, arrays[main], dim)
    axis = -1 if len(dims) == 1 else tuple(range(-len(dims), 0))
    of_rows = (*_OF_ROWS, *(("grad",) if name == "logsumexp_backward" else ()))
    for n, a in arrays.items():  # what lacks class dimensions is the same for them all
        if n in of_rows and isinstance(a, xr.DataArray) and any(d in a.dims for d in dims):
            raise ValueError(f"{n} has the dimensions {a.dims}; it takes those of {main} without {dim!r}")
        if n not in of_rows and isinstance(a, xr.DataArray) and not all(d in a.dims for d in dims):
            if n not in ("where", "b"):
                raise ValueError(f"{n} has the dimensions {a.dims}; it takes those of {main}, {arrays[main].dims}")
            lengths = {d: arrays[main].sizes[d] for d in dims if d not in a.dims}
            arrays[n] = a.expand_dims(lengths)
    cores: dict[str, Dims] = {n: [] if n in of_rows else dims for n in arrays}
    sums = name.startswith("logsumexp") and not name.endswith("_backward")
    count = 2 if name == "logsumexp_partial" or options.get("return_sign") else 1
    results = _apply(function, arrays, cores, [[] if sums else dims] * count, main, axis=axis, **options)
    if given.get("keepdims"):
        results = tuple(r.expand_dims(dims) for r in results)
    results = tuple(_like(arrays[main], r) for r in results)
    return results if count > 1 else results[0]


def _of_dataset(name: str, given: dict[str, Any], operands: Sequence[str], dim: Any) -> Any:
    """The variables that have the class dimension, and the others as they are."""
    if list(operands) != ["x"]:
        raise TypeError(
            f"x is a Dataset, beside {' and '.join(n for n in operands if n != 'x')}; there it takes a DataArray"
        )
    dims = dim if isinstance(dim, list | tuple) and dim not in tuple(given["x"].dims) else [dim]

    def of_variable(x: Any) -> Any:
        return _row_function(name, {**given, "x": x, "dim": dim}) if all(d in x.dims for d in dims) else x

    if not any(all(d in v.dims for d in dims) for v in given["x"].data_vars.values()):
        raise ValueError(f"dim is {dim!r}; it takes a dimension of a variable of x, which has {tuple(given['x'].dims)}")
    return given["x"].map(of_variable)


# ---------------------------------------------------------------- losses


def _loss_function(name: str, ending: str, given: dict[str, Any]) -> Any:
    row = LOSSES[name]
    main, target = row["operand"], row["target"]
    names = list(given_among(given, ("grad", main, target, *WEIGHTS)))
    options = {n: v for n, v in given.items() if n not in (*names, "dim", *WEIGHTS)}
    by_rows = row["kind"] != "elements"
    arrays = {n: given[n] if n == "weight" and by_rows else _named(n, given[n], given[main]) for n in names}
    for n in (main, target):
        if not isinstance(arrays[n], xr.DataArray):
            raise TypeError(f"{n} is a {type(arrays[n]).__name__}; it takes a DataArray, whose dimensions have names")
    dims: Dims = []
    if by_rows:
        dims = _dims_of(main, arrays[main], [given["dim"]] if given["dim"] not in arrays[main].dims else given["dim"])
        options["axis"] = -1
    if by_rows and isinstance(arrays.get("weight"), xr.DataArray) and list(arrays["weight"].dims) != dims:
        raise ValueError(
            f"weight has the dimensions {arrays['weight'].dims}; it takes {tuple(dims)}, a number for each class"
        )

    x = arrays[main]
    alike = {n: a for n, a in arrays.items() if isinstance(a, xr.DataArray)}
    xr.align(*alike.values(), join="exact", copy=False)  # raises where coordinates differ
    broadcast = {n: a for n, a in alike.items() if a.ndim and not (n == "weight" and by_rows)}
    arrays |= dict(zip(broadcast, xr.broadcast(*broadcast.values(), exclude=dims), strict=True))
    rows = [d for d in arrays[main].dims if d not in dims]
    cores = {n: dims if n == "weight" and by_rows else rows if np.ndim(a) else [] for n, a in arrays.items()}
    cores |= {main: [*rows, *dims], target: [*rows, *(d for d in dims if d in arrays[target].dims)]}
    losses = rows if options["reduction"] == "none" else []
    gradient = [*rows, *dims]
    results = {"": [losses], "_backward": [gradient], "_with_grad": [losses, gradient]}[ending]
    found = _apply(getattr(_losses, name + ending), arrays, cores, results, main, **options)
    if ending:
        found = (*found[:-1], _like(x, found[-1]))
    return found if len(found) > 1 else found[0]


# ---------------------------------------------------------------- the public functions


def by_axis(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of one of nonlin's own functions as this module's takes them: axes have names, of plain arrays too."""
    loss = LOSSES[loss_of(name)[0]] if name in _losses.__all__ else None
    arguments = loss["arguments"] if loss else ["x" if "x" in given else "y"]
    main = loss["operand"] if loss else arguments[0]
    array = given[main]
    if not isinstance(array, xr.DataArray):
        raise TypeError(f"{main} is a {type(array).__name__}; beside other arrays of xarray it takes a DataArray")
    dims, given = list(array.dims), dict(given)
    rows = dims
    if "axis" in given:
        axis = given.pop("axis")
        chosen = [dims[i] for i in ([axis_of(axis, array.ndim)] if loss else axes_of(axis, array.ndim))]
        given["dim"] = chosen[0] if len(chosen) == 1 else chosen
        rows = [d for d in dims if d not in chosen]
    of_rows = {"targets", "sample_weight", *_OF_ROWS, *(["grad"] if loss or name == "logsumexp_backward" else [])}
    for n in (*arguments, "grad", *_OF_ROWS, "b", "where", "sample_weight", "pos_weight"):
        count = np.ndim(given[n]) if given.get(n) is not None and not isinstance(given[n], xr.DataArray) else 0
        if 0 < count <= array.ndim:
            given[n] = xr.DataArray(
                given[n], dims=rows if n in of_rows and count == len(rows) else dims[array.ndim - count :]
            )
    return given


_NOTES = """`nonlin.{name}` on arrays of xarray.

    Parameters
    ----------
    {parameters}
        As for `nonlin.{name}`. Arrays are DataArrays, which are matched by the names of their dimensions.{dim}

    Returns
    -------
    xarray.DataArray
        What `nonlin.{name}` returns, with the coordinates; a tuple where that does. Attributes are kept as xarray's option
        ``keep_attrs`` says. Where arrays of dask are inside, nothing is computed.

    Raises
    ------
    TypeError
        For arrays whose dimensions have no names.
    ValueError
        For dimensions that do not fit, and coordinates that differ.
    """


def _public(name: str, run: Callable[[dict[str, Any]], Any], dims: str) -> Callable[..., Any]:
    """A function with the parameters of nonlin's own, but for `out`, and with a dimension for the axis."""
    parameters = [p.replace(name="dim", default=p.empty) if p.name == "axis" else p for p in parameters_of(name)]
    names = [p.name for p in parameters if p.name != "dim"]
    dim = f"\n    dim : {dims}\n        The class dimension." if len(names) < len(parameters) else ""
    return function_of(__name__, name, parameters, run, _NOTES.format(name=name, parameters=", ".join(names), dim=dim))


def _functions() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    for name in _softmax.__all__:
        if any(p.name == "axis" for p in parameters_of(name)) and not name.endswith("_jacobian"):
            run = functools.partial(_row_function, name)
            found[name] = _public(name, run, "hashable, or a list of them, or None for all dimensions")
    for name in _losses.__all__:
        found[name] = _public(name, functools.partial(_loss_function, *loss_of(name)), "hashable")
    return found


_FUNCTIONS = _functions()
globals().update(_FUNCTIONS)
__all__ = sorted(_FUNCTIONS)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Callable[..., Any]: ...
