"""Functions of nonlin on arrays of JAX: calls of XLA on the CPU, without callbacks, under `jit`, `vmap` and `grad`.

They have the names and arguments of nonlin's own functions, without `out`, and their bits:

>>> import jax
>>> import numpy as np
>>> import nonlin.jax as nlx
>>> print(np.round(np.asarray(jax.jit(nlx.gelu)(jax.numpy.array([-1.0, 2.0]))), 4))
[-0.1587  1.9545]
>>> logits, targets = jax.numpy.array([[2.0, 1.0, 0.1]]), jax.numpy.array([0])
>>> print(np.round(np.asarray(jax.grad(nlx.cross_entropy)(logits, targets)), 4))
[[-0.341   0.2424  0.0986]]

All are made from the tables of activations, rows and losses; ``help(nonlin.jax.gelu)`` says what differs from `nonlin.gelu`.
Derivatives are of first order and in reverse mode, with respect to what the ``_backward`` functions are for: arguments and
logits, not parameters, weights and targets. Functions run on nonlin's threads, as many as `nonlin.set_num_threads` allows.

Raises
------
ImportError
    On import, if there is no JAX, or one whose compiler speaks another version of XLA's foreign-function interface.
"""

import functools
import inspect
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import nonlin as nl

from . import _core
from ._engines import LOSSES, REAL, WEIGHTS, axes_of, axis_of, function_of, integer, number, parameters_of, summary_of

try:
    import jax
    import jax.numpy as jnp
    import jaxlib
    from jax.custom_derivatives import SymbolicZero
except ImportError as error:
    raise ImportError("nonlin.jax needs JAX: pip install nonlin[jax]") from error

Array = Any  # jax.Array, or what a transformation puts in its place

__all__: list[str] = []

if TYPE_CHECKING:  # functions come from the tables

    def __getattr__(name: str) -> Any: ...


_TARGET = "nonlin"
_REDUCTIONS = ("mean", "sum", "none")
_FLOATS = tuple(np.dtype(t) for t in (jnp.float32, jnp.float64, jnp.float16, jnp.bfloat16))


def _register() -> None:
    """Give XLA the handler, whose version it may compare only when the CPU is first used: hence the look at its header."""
    handler, major, minor = _core.xla_handler()
    header = Path(jax.ffi.include_dir(), "xla", "ffi", "api", "c_api.h")
    found = re.search(r"define XLA_FFI_API_MAJOR (\d+)", header.read_text() if header.exists() else "")
    cause: Exception | None = None
    if found is None or int(found[1]) == major:
        try:
            jax.ffi.register_ffi_target(_TARGET, handler, platform="cpu")
            return
        except Exception as error:  # of several types, by version
            reason, cause = str(error), error
    else:
        reason = f"its major version is {found[1]}"
    raise ImportError(
        f"nonlin.jax speaks version {major}.{minor} of XLA's foreign-function interface, and jaxlib {jaxlib.__version__} "
        f"another one; take a nonlin and a JAX of about the same age ({reason})"
    ) from cause


_register()


# The calls. Operands have one rank, so that the axis that vmap puts in front is the same for all.


def _call(name: str, results: Any, operands: Sequence[Array], **attributes: Any) -> Any:
    return jax.ffi.ffi_call(_TARGET, results, vmap_method="expand_dims")(*operands, name=name, **attributes)


def _like(x: Array, shape: Sequence[int] | None = None, dtype: Any = None) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape if shape is None else shape, dtype or x.dtype)


def _of_rank(x: Array, rank: int) -> Array:
    return x if x.ndim == rank else jnp.reshape(x, (1,) * (rank - x.ndim) + x.shape)


def _without(shape: Sequence[int], axis: int, kept: bool = True) -> tuple[int, ...]:
    """A shape whose (negative) axis has length 1, or is gone."""
    axis %= len(shape)
    return (*shape[:axis], *((1,) if kept else ()), *shape[axis + 1 :])


def _filled(gradient: Array) -> Array:
    return jnp.zeros(gradient.shape, gradient.dtype) if isinstance(gradient, SymbolicZero) else gradient


def _values(function: str, names: Sequence[str], others: Sequence[Any]) -> tuple[Array, ...]:
    """Operands without a derivative, of which none may be asked for."""
    for name, other in zip(names, others, strict=True):
        if other is not None and other.perturbed:
            raise TypeError(
                f"{function}() has no derivative with respect to {name}; "
                f"pass jax.lax.stop_gradient({name}) where none is wanted"
            )
    return tuple(None if other is None else other.value for other in others)


def _array(name: str, value: Any) -> Array:
    """What JAX, which knows no strings and no byte order but the machine's, makes of a value."""
    if isinstance(value, np.ndarray):
        value = value.astype(value.dtype.newbyteorder("="), copy=False)
    try:
        leaves = jax.tree.leaves(value, is_leaf=lambda v: v is None)
        if any(leaf is None or isinstance(leaf, str | bytes) for leaf in leaves):
            raise TypeError("there are no numbers")
        return jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} is {value!r}; it takes what is or becomes an array of JAX ({error})") from error


def _float_dtype(name: str, *arrays: Array) -> np.dtype:
    """The float dtype that JAX promotes arrays to."""
    dtype: np.dtype = np.dtype(jnp.result_type(*arrays))
    if dtype.kind in "bui":
        dtype = np.dtype(jnp.result_type(float))
    if dtype not in _FLOATS:
        raise TypeError(f"{name} has dtype {dtype}; it takes {REAL}")
    return dtype


def _computed(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.float64) if dtype == np.float64 else np.dtype(np.float32)


def _rounded(number: Any, dtype: np.dtype) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray(number).astype(dtype)


# Elementwise functions


class _Activation(NamedTuple):
    name: str
    called: str
    operands: tuple[str, ...]
    parameters: tuple[str, ...]
    of_result: bool  # the gradient is computed from it


def _run(name: str, count: int, operands: Sequence[Array]) -> tuple[Array, ...]:
    x = operands[0]
    return tuple(_call(name, [_like(x)] * count, [_of_rank(operand, x.ndim) for operand in operands]))


@functools.partial(jax.jit, static_argnums=0, inline=True)
@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _elementwise(f: _Activation, operands: tuple[Array, ...], parameters: tuple[Array, ...]) -> Array:
    return _run(f.name, 1, operands + parameters)[0]


def _elementwise_forward(f: _Activation, operands: Sequence[Any], parameters: Sequence[Any]) -> tuple[Array, Any]:
    given = (*(operand.value for operand in operands), *_values(f.called, f.parameters, parameters))
    result = _run(f.name, 1, given)[0]
    return result, (result,) if f.of_result else given


def _elementwise_backward(f: _Activation, kept: tuple[Array, ...], gradient: Array) -> Any:
    return _run(f.name + "_backward", len(f.operands), (_filled(gradient), *kept)), None


_elementwise.__wrapped__.defvjp(_elementwise_forward, _elementwise_backward, symbolic_zeros=True)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0)


def _call_activation(f: _Activation, given: dict[str, Any]) -> Array:
    operands = [_array(name, given[name]) for name in f.operands]
    parameters = [given[name] if _is_number(given[name]) else _array(name, given[name]) for name in f.parameters]
    arrays = operands + [p for p in parameters if np.ndim(p) > 0]  # numbers do not widen the result
    dtype = _float_dtype(" and ".join(f.operands), *arrays)
    for name, parameter in zip(f.parameters, parameters, strict=True):
        _float_dtype(name, parameter)
    shape = jnp.broadcast_shapes(*(array.shape for array in arrays))
    operands = [jnp.broadcast_to(x.astype(dtype), shape) for x in operands]
    numbers = [_rounded(p, dtype) if _is_number(p) else p.astype(dtype) for p in parameters]
    return _elementwise(f, tuple(operands), tuple(numbers))


def _activation(row: dict[str, Any]) -> _Activation:
    operands = tuple(name for name in row["forward_inputs"] if name not in row["parameters"])
    called = row["form_of"] or row["name"]
    return _Activation(row["name"], called, operands, tuple(row["parameters"]), row["backward_inputs"][1] == "y")


def _call_form(option: str, forms: dict[Any, _Activation], given: dict[str, Any]) -> Array:
    """What an option picks."""
    value = given[option]
    if not isinstance(value, str) or value not in forms:
        raise ValueError(f"{option} is {value!r}; it takes {' or '.join(map(repr, forms))}")
    return _call_activation(forms[value], given)


# Functions of rows


class _Rows(NamedTuple):
    name: str
    axis: int  # negative: what vmap adds comes in front
    scale: float

    @property
    def attributes(self) -> dict[str, Any]:
        return {"axis": np.int64(self.axis), "scale": np.float64(self.scale)}


def _is_scalar(name: str) -> bool:
    """Whether a row has one number for a result."""
    return bool(_GUFUNCS[name].signature.endswith("()"))


def _with_mask(operands: Sequence[Array], mask: Array | None) -> list[Array]:
    return [*operands] if mask is None else [*operands, mask]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _rows(f: _Rows, x: Array, mask: Array | None) -> Array:
    shape = _without(x.shape, f.axis) if _is_scalar(f.name) else x.shape
    return _call(f.name, _like(x, shape), _with_mask([x], mask), **f.attributes)


def _rows_forward(f: _Rows, x: Any, mask: Any) -> tuple[Array, Any]:
    (mask,) = _values(f.name, ["where"], [mask])
    result = _rows(f, x.value, mask)
    of_result = "y" in inspect.signature(getattr(nl, f.name + "_backward")).parameters
    return result, (result if of_result else x.value, mask)


def _rows_backward(f: _Rows, kept: tuple[Array, Array | None], gradient: Array) -> Any:
    x, mask = kept
    return _call(f.name + "_backward", _like(x), _with_mask([_filled(gradient), x], mask), **f.attributes), None


_rows.defvjp(_rows_forward, _rows_backward, symbolic_zeros=True)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3), inline=True)
def _rows_along(name: str, axes: tuple[int, ...], scale: float, keepdims: bool, x: Array, mask: Array | None) -> Array:
    if math.prod(x.shape[i] for i in axes) == 0:
        raise ValueError(f"x has shape {x.shape}, whose class axis is empty; it takes 1 class or more")
    if mask is not None and not (
        mask.ndim <= x.ndim and all(n in (1, m) for n, m in zip(mask.shape[::-1], x.shape[::-1], strict=False))
    ):
        raise ValueError(f"where has shape {mask.shape}; it takes one that broadcasts to that of x, {x.shape}")
    if len(axes) == 1:
        result = _rows(_Rows(name, axes[0] - x.ndim, scale), x, None if mask is None else _of_rank(mask, x.ndim))
        return jnp.squeeze(result, axes[0]) if _is_scalar(name) and not keepdims else result
    last = tuple(range(-len(axes), 0))
    moved = jnp.moveaxis(x, axes, last)
    outer, classes = moved.shape[: x.ndim - len(axes)], moved.shape[x.ndim - len(axes) :]
    rows = (*outer, math.prod(classes))
    if mask is not None:
        mask = jnp.moveaxis(jnp.broadcast_to(mask, x.shape), axes, last).reshape(rows)
    result = _rows(_Rows(name, -1, scale), moved.reshape(rows), mask)
    if not _is_scalar(name):
        return jnp.moveaxis(result.reshape(moved.shape), last, axes)
    return jnp.expand_dims(result[..., 0], axes) if keepdims else result[..., 0]


def _call_rows(name: str, given: dict[str, Any]) -> Array:
    x, mask = _array("x", given["x"]), given["where"]
    x = x.astype(_float_dtype("x", x))
    axes = tuple(sorted(axes_of(given["axis"], x.ndim)))
    scale = number("scale", _number("scale", given.get("scale", 1.0), " (multiply x by what is traced)"))
    if not math.isfinite(scale):
        raise ValueError(f"scale is {scale}; it takes a finite number")
    if mask is not None:
        mask = _array("where", mask)
        if mask.dtype != bool:
            raise TypeError(f"where has dtype {mask.dtype}; it takes booleans")
    return _rows_along(name, axes, float(_rounded(scale, x.dtype)), bool(given.get("keepdims", False)), x, mask)


# Losses


class _Loss(NamedTuple):
    name: str
    target: str  # its name
    axis: int | None  # negative
    options: tuple[float, ...]  # of the kernel
    ignore_index: int | None
    reduction: str

    def call(self, results: Any, x: Array, target: Array, weights: Sequence[Array | None], *gradient: Array) -> Array:
        attributes = {
            "rank": np.int64(x.ndim),
            "axis": np.int64(self.axis or 0),
            "reduction": np.int64(_REDUCTIONS.index(self.reduction)),
            "present": np.int64(sum(1 << i for i, weight in enumerate(weights) if weight is not None)),
            "backward": np.int64(len(gradient)),
            "options": np.array(self.options, np.float64),
        }
        if self.ignore_index is not None:
            attributes["ignore_index"] = np.int64(self.ignore_index)
        operands = [x, target, *(weight for weight in weights if weight is not None), *gradient]
        return _call(self.name, results, operands, **attributes)

    def shape(self, x: Array, kept: bool = True) -> tuple[int, ...]:
        """Of the losses, with as many axes as x or without its class axis."""
        if self.reduction != "none":
            return (1,) * x.ndim if kept else ()
        return tuple(x.shape) if self.axis is None else _without(x.shape, self.axis, kept)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _loss(f: _Loss, x: Array, target: Array, weights: tuple[Array | None, ...]) -> Array:
    return f.call(_like(x, f.shape(x), _computed(x.dtype)), x, target, weights).reshape(f.shape(x, kept=False))


def _loss_forward(f: _Loss, x: Any, target: Any, weights: Sequence[Any]) -> tuple[Array, Any]:
    kept = (x.value, *_values(f.name, [f.target], [target]), _values(f.name, WEIGHTS, weights))
    return _loss(f, *kept), kept


def _loss_backward(f: _Loss, kept: tuple[Array, Array, Any], gradient: Array) -> Any:
    x, target, weights = kept
    return f.call(_like(x), x, target, weights, _filled(gradient).reshape(f.shape(x))), None, None


_loss.defvjp(_loss_forward, _loss_backward, symbolic_zeros=True)


def _check(row: dict[str, Any], x: Array, target: Array, options: dict[str, Any]) -> None:
    """Let nonlin raise its own errors, of arrays with these shapes and dtypes."""

    def stand_in(value: Any) -> Any:
        return np.broadcast_to(np.zeros((), value.dtype), value.shape) if hasattr(value, "dtype") else value

    given = {row["operand"]: x, row["target"]: target}
    operands = (stand_in(given[name]) for name in row["arguments"])
    getattr(_core, row["name"] + "_divisor")(*operands, **{k: stand_in(v) for k, v in options.items()})


def _class_targets(target: Array) -> Array:
    """Classes in a type that the handler reads."""
    return target if target.dtype.itemsize >= 4 else target.astype(jnp.int32)


def _float_targets(x: Array, target: Array) -> Array:
    """In the type of 16-bit logits where that holds all that targets may be, else in the one that is computed in."""
    is_small = target.dtype.kind in "bui" and target.dtype.itemsize == 1
    return target.astype(x.dtype if is_small or target.dtype == x.dtype else _computed(x.dtype))


@functools.partial(jax.jit, static_argnums=(0, 1), inline=True)
def _call_checked(name: str, numbers: tuple[tuple[str, Any], ...], x: Array, target: Array, weights: Any) -> Array:
    row, o = LOSSES[name], dict(numbers)
    if row["kind"] == "rows" and target.dtype.kind not in "bui":
        x, target = (a.astype(_float_dtype(" and ".join(row["arguments"]), x, target)) for a in (x, target))
    _check(row, x, target, {**o, **weights})
    axis = None if row["kind"] == "elements" else axis_of(o["axis"], x.ndim) - x.ndim
    rows = x.shape if axis is None else _without(x.shape, axis)
    if axis is not None and target.shape != x.shape:
        target = _class_targets(target).reshape(rows)
    else:
        target = _float_targets(x, target)
    computed = _computed(x.dtype)
    kept = []
    for option in WEIGHTS:
        weight = weights.get(option)
        if weight is not None and option == "sample_weight":  # added up in float64, whatever it comes in
            is_wide = weight.dtype == np.float64
            weight = weight if weight.ndim == 0 else weight.reshape(rows)
            weight = jnp.broadcast_to(weight, rows).astype(np.float64 if is_wide else np.float32)
        elif weight is not None and axis is None:
            weight = jnp.broadcast_to(weight, x.shape).astype(computed)
        elif weight is not None:
            weight = _of_rank(weight.astype(computed), x.ndim)
        kept.append(weight)
    options = [float(o[option]) for option in ("gamma", "label_smoothing", "z_loss") if option in o]
    if "alpha" in o:
        options += [1.0, 1.0] if o["alpha"] is None else [float(o["alpha"]), 1 - float(o["alpha"])]
    ignored = integer("ignore_index", o["ignore_index"]) if "ignore_index" in o else None
    if ignored is not None and not -(2**63) <= ignored < 2**63:
        ignored = None
    f = _Loss(name, row["target"], axis, tuple(options), ignored, o["reduction"])
    return _loss(f, x, target, tuple(kept))


def _number(name: str, value: Any, advice: str = "") -> Any:
    """An option as what the compiled function depends on."""
    if isinstance(value, jax.core.Tracer):
        raise TypeError(f"{name} is traced; it takes what is known when the function is compiled{advice}")
    if hasattr(value, "item") and np.ndim(value) == 0:
        value = value.item()
    try:
        hash(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; it takes a single value") from None
    return value


def _call_loss(name: str, given: dict[str, Any]) -> Array:
    row = LOSSES[name]
    x, target = (_array(n, given.pop(n)) for n in (row["operand"], row["target"]))
    x = x.astype(_float_dtype(row["operand"], x))
    weights = {n: _array(n, given.pop(n)) for n in WEIGHTS if given.get(n) is not None}
    weights = {n: weight.astype(_float_dtype(n, weight)) for n, weight in weights.items()}
    numbers = tuple((n, _number(n, value)) for n, value in given.items() if n not in WEIGHTS)
    return _call_checked(name, numbers, x, target, weights)


# The functions of the module


_NOTES = """{summary}

    `nonlin.{name}` on arrays of JAX, with its bits, shapes and errors.

    Parameters
    ----------
    {parameters}
        As for `nonlin.{name}`; arrays of any kind that JAX takes.

    Returns
    -------
    jax.Array
        Float dtypes are kept and promoted as JAX does; booleans and integers give JAX's default float.

    Raises
    ------
    TypeError, ValueError, numpy.exceptions.AxisError
        When it is called or traced, as `nonlin.{name}`. TypeError for a derivative that is not by {derivative}.
    ValueError, jax.errors.JaxRuntimeError
        When it runs, for values that are not taken: classes out of range, probabilities outside [0, 1].
    """


def _add(name: str, taken: Sequence[str], call: Callable[[dict[str, Any]], Array], derivative: str) -> None:
    """A function with those of the parameters of nonlin's own that are taken."""
    parameters = [p for p in parameters_of(name) if p.name in taken]
    names = ", ".join(p.name for p in parameters)
    notes = _NOTES.format(summary=summary_of(name), name=name, parameters=names, derivative=derivative)
    globals()[name] = function_of(__name__, name, parameters, call, notes)
    __all__.append(name)


def _add_activations() -> None:
    rows = _core.activations()
    for row in (row for row in rows if not row["form_of"]):
        name, f = row["name"], _activation(row)
        forms = [other for other in rows if other["form_of"] == name]
        options = {option for form in forms for option in form["option"]}
        call = functools.partial(_call_activation, f)
        for option in options:
            usual = next(p.default for p in parameters_of(name) if p.name == option)
            values = {form["option"][option]: _activation(form) for form in forms}
            call = functools.partial(_call_form, option, {usual: f, **values})
        _add(name, [*row["forward_inputs"], *options], call, " and ".join(f.operands))


def _add_rows() -> None:
    for name in _GUFUNCS:
        if name + "_backward" in _GUFUNCS:
            _add(name, ["x", "axis", "scale", "keepdims", "where"], functools.partial(_call_rows, name), "x")


def _add_losses() -> None:
    for name, row in LOSSES.items():
        call = functools.partial(_call_loss, name)
        _add(name, [*row["arguments"], *row["options"]], call, row["operand"])


_GUFUNCS = _core.gufuncs()
_add_activations()
_add_rows()
_add_losses()
__all__.sort()
