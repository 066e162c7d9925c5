"""Functions of nonlin on tensors of PyTorch: custom operators for the CPU, differentiable, without a break in torch.compile.

They have the names and arguments of nonlin's own functions (``axis``, not ``dim``), and their bits. Results are tensors:

>>> import torch
>>> import nonlin.torch as nlt
>>> x = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
>>> nlt.gelu(x, approximate="tanh").sum().backward()
>>> x.grad
tensor([-0.0830,  0.5000,  1.0861])
>>> nlt.cross_entropy(torch.tensor([[2.0, 1.0, 0.1]]), torch.tensor([0]), label_smoothing=0.1)
tensor(0.5137)

Tensors share their memory with nonlin both ways. All are operators of the namespace ``torch.ops.nonlin``, made from the
tables of activations and losses; ``help(nonlin.torch.gelu)`` says what differs from nonlin.gelu. A function without
formulas of second derivatives has first ones all the same, and raises for others.
"""

import contextlib
import functools
import inspect
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import nonlin as nl

from . import _core
from ._derivatives import BY_PARAMETER, HESSIANS, SECOND, Functions
from ._engines import LOSSES, REAL, axes_of, axis_of, bound, named, number, parameters_of, summary_of, whole

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise ImportError("nonlin.torch needs PyTorch, 2.4 or newer: pip install nonlin[torch]") from error

_BFLOAT16: np.dtype | None  # which NumPy has from another package
try:
    from ml_dtypes import bfloat16

    _BFLOAT16 = np.dtype(bfloat16)
except ImportError:
    _BFLOAT16 = None

_Rule = Callable[..., Any]

__all__: list[str] = []

if TYPE_CHECKING:  # functions come from the tables

    def __getattr__(name: str) -> Any: ...


_FLOAT_NAMES = ("float16", "float32", "float64")
_FLOATS = (torch.bfloat16, *(getattr(torch, name) for name in _FLOAT_NAMES))
_NUMPY: dict[torch.dtype, Any] = {
    getattr(torch, name): np.dtype(name)
    for name in ["bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), *_FLOAT_NAMES]
} | {torch.bfloat16: _BFLOAT16}


def _promoted() -> dict[tuple[torch.dtype, torch.dtype], torch.dtype]:
    """The common type of two, as NumPy has it, where there is one."""
    found = {(one, one): one for one in _NUMPY}
    types = {dtype: one for one, dtype in _NUMPY.items()}
    for (one, a), (other, b) in itertools.permutations(_NUMPY.items(), 2):
        if a is not None and b is not None:
            with contextlib.suppress(TypeError):
                found[one, other] = types[np.promote_types(a, b)]
    return found


_PROMOTED = _promoted()


# Tensors and arrays that share memory


def _array(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach()
    if tensor.dtype is torch.bfloat16:  # which tensor.numpy() refuses
        if _BFLOAT16 is None:
            raise TypeError("a tensor has dtype bfloat16, which NumPy has from the package ml_dtypes: pip install ml_dtypes")
        return tensor.view(torch.int16).numpy().view(_BFLOAT16)  # type: ignore[no-any-return]
    return tensor.numpy()  # type: ignore[no-any-return]


def _arrays(values: Iterable[Any]) -> list[Any]:
    return [_array(v) if isinstance(v, Tensor) else v for v in values]


def _tensor(result: Any) -> Tensor:
    array = np.asarray(result, order="C")
    if _BFLOAT16 is not None and array.dtype == _BFLOAT16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


# Results have the memory of NumPy's arrays where their layout is the usual one: nonlin keeps that of results freed before,
# torch asks the system anew. Other layouts are left to torch, so that fake tensors have the same.
def _kernel(function: _Rule, operands: int, options: Sequence[str], model: int | None = None) -> _Rule:
    """A function of nonlin on tensors, with options by name; results are laid out as tensor number `model`, if given."""

    def kernel(*values: Any) -> Tensor:
        given = _arrays(values)
        named = dict(zip(options, given[operands:], strict=True))
        if isinstance(named.get("axis"), list):
            named["axis"] = named["axis"][0] if len(named["axis"]) == 1 else tuple(named["axis"])
        if model is None or values[model].is_contiguous():
            return _tensor(function(*given[:operands], **named))
        result = torch.empty_like(values[model])
        function(*given[:operands], out=_array(result), **named)
        return result

    return kernel


def _wide(value: Any) -> Any:
    """16-bit floats as float32: what is composed of several functions is rounded to 16 bits once."""
    return value.float() if isinstance(value, Tensor) and value.dtype.itemsize == 2 else value


# Operators


def _refuse(*values: Any) -> Any:
    for value in values:
        if isinstance(value, Tensor) and (value.device.type != "cpu" or value.layout != torch.strided):
            raise TypeError(
                f"a tensor is {value.layout} on the device {value.device}; nonlin.torch takes dense ones on the CPU: "
                f"move or convert it (.cpu(), .to_dense())"
            )
    raise TypeError("nonlin.torch takes dense tensors on the CPU")


_library = torch.library.Library("nonlin", "DEF")
_OPERATORS: dict[str, Any] = {}  # all of them, those of gradients too, by name


def _empty_like(model: int) -> _Rule:
    return lambda *values: torch.empty_like(values[model])


def _operator(name: str, arguments: Sequence[str], results: int, kernel: _Rule, fake: _Rule) -> Any:
    """A new operator on the CPU's tensors; what it would give for fake ones is an empty tensor of that shape and layout."""
    returned = "Tensor" if results == 1 else f"({', '.join(['Tensor'] * results)})"

    def checked_fake(*values: Any) -> Any:
        made = fake(*values)
        for result in made if isinstance(made, tuple) else (made,):
            if type(result) is Tensor and result.device.type != "meta":  # a tensor of the CPU beside one without numbers
                _refuse(*values)
        return made

    _library.define(f"{name}({', '.join(arguments)}) -> {returned}", tags=(torch.Tag.pt2_compliant_tag,))
    _library.impl(name, kernel, "CPU")
    _library.impl(name, _refuse, "CompositeExplicitAutograd")  # all other kinds of tensors
    torch.library.register_fake(f"nonlin::{name}", checked_fake, lib=_library)
    base, _, overload = name.partition(".")
    _OPERATORS[name] = getattr(getattr(torch.ops.nonlin, base), overload or "default")
    if hasattr(torch.library, "register_vmap"):  # torch 2.5; by itself torch does the same, with a warning
        rule = functools.partial(_one_after_another, _OPERATORS[name])
        torch.library.register_vmap(f"nonlin::{name}", rule, lib=_library)
    return _OPERATORS[name]


def _one_after_another(op: Any, info: Any, batched: Sequence[Any], *values: Any) -> Any:
    """What an operator gives for a batch, and where it has the batch's axis."""
    if info.batch_size == 0:
        raise ValueError(f"vmap is over an axis of length 0; {op.name().partition('::')[2]} of nonlin.torch takes 1 or more")
    given = list(zip(values, batched, strict=True))
    each = [op(*(v.select(d, i) if isinstance(d, int) else v for v, d in given)) for i in range(info.batch_size)]
    if isinstance(each[0], tuple):
        return tuple(map(torch.stack, zip(*each, strict=True))), (0,) * len(each[0])
    return torch.stack(each), 0


def _differentiable(op: Any, rule: _Rule, by: Sequence[int], of_result: bool = False) -> None:
    """Register ``rule(needed, arguments, *grads)``, which gives the gradients by the arguments whose places are `by`.

    `needed` says for each of them whether it is wanted. With `of_result` the rule gets the result for the first argument.
    Autograd itself sums gradients over what was broadcast, and rounds them to the type of what they belong to.
    """
    schema = op._schema
    names = [argument.name for argument in schema.arguments]
    tensors = [i for i, argument in enumerate(schema.arguments) if "Tensor" in str(argument.type)]
    others = [i for i in range(len(names)) if i not in tensors]
    without = [i for i in tensors if i not in by]

    def setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        for i in without:
            if ctx.needs_input_grad[i]:
                raise TypeError(
                    f"{names[i]} requires a gradient; {schema.name.partition('::')[2]} of nonlin.torch has one by "
                    f"{' and '.join(names[k] for k in by)}: pass {names[i]}.detach()"
                )
        given = (output, *inputs[1:]) if of_result else inputs
        ctx.save_for_backward(*[given[i] for i in tensors])
        ctx.others = [given[i] for i in others]

    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        given: list[Any] = [None] * len(names)
        gradients: list[Any] = [None] * len(names)
        for i, value in zip([*tensors, *others], [*ctx.saved_tensors, *ctx.others], strict=True):
            given[i] = value
        for i, gradient in zip(by, rule([ctx.needs_input_grad[i] for i in by], given, *grads), strict=True):
            gradients[i] = gradient
        return tuple(gradients)

    name = f"{schema.name}.{schema.overload_name}".rstrip(".")
    torch.library.register_autograd(name, backward, setup_context=setup, lib=_library)


def _no_derivative(function: str, argument: str, order: str = "second") -> Any:
    raise NotImplementedError(f"{function} of nonlin.torch has no {order} derivative by {argument}")


# Activations


_of = torch.ops.nonlin


def _slope(name: str, *given: Any, **options: Any) -> Tensor:
    return getattr(_of, name + "_backward")(given[0].new_ones(()), *given, **options)


def _total(x: Tensor, axis: int | Sequence[int]) -> Tensor:
    return x if axis == [] else x.sum(axis, keepdim=True)


_functions = Functions(
    _of,
    asarray=torch.asarray,
    exp=torch.exp,
    expand_dims=torch.unsqueeze,
    expm1=torch.expm1,
    full_like=torch.full_like,
    sign=torch.sign,
    slope=_slope,
    tiny=lambda x: torch.finfo(x.dtype).tiny,
    total=_total,
    where=torch.where,
    zeros=torch.zeros,
)


def _product(h: Tensor, formula: _Rule | None, like: Tensor, *values: Any, **options: Any) -> Tensor:
    """``h`` times what a formula gives."""
    return torch.zeros_like(like) if formula is None else h * formula(_functions, *map(_wide, values), **options)


def _add_elementwise(name: str, arguments: Sequence[str], tensors: int, results: int, model: int) -> Any:
    """The operator of an elementwise function, whose first arguments are tensors; results are laid out as number `model`."""
    function = _core.functions().get(name.partition(".")[0]) or getattr(_core, name.partition(".")[0])

    def kernel(*values: Any) -> Any:
        given, like = _arrays(values), values[model]
        shape = like.shape
        if all(value.shape == shape for value in values[:tensors]) and not like.is_contiguous():
            made = [torch.empty_like(like) for _ in range(results)]
            function(*given, out=tuple(map(_array, made)))
            return made[0] if results == 1 else tuple(made)
        result = function(*given)
        return _tensor(result) if results == 1 else tuple(map(_tensor, result))

    def fake(*values: Any) -> Any:
        like = values[model]
        shape = torch.broadcast_shapes(*(value.shape for value in values[:tensors]))
        same = all(value.shape == like.shape for value in values[:tensors])
        made = [torch.empty_like(like) if same else like.new_empty(shape) for _ in range(results)]
        return made[0] if results == 1 else tuple(made)

    schema = [("Tensor " if i < tensors else "float ") + argument for i, argument in enumerate(arguments)]
    return _operator(name, schema, results, kernel, fake)


def _add_activation(row: dict[str, Any], overload: str) -> Any:
    """The operators of an activation; those of the overload take parameters that are tensors."""
    name, inputs, results = row["name"], row["forward_inputs"], row["backward_outputs"]
    tensors = len(inputs) if overload else len(inputs) - len(row["parameters"])
    of_result = row["backward_inputs"][1] == "y"
    forward = _add_elementwise(name + overload, inputs, tensors, 1, 0)
    backward = _add_elementwise(f"{name}_backward{overload}", row["backward_inputs"], 1 + tensors, results, 1)
    if results == 2:
        _add_gated_rules(name, forward, backward)
        return forward

    def rule(i: int, k: int, order: str) -> Any:
        if i == 0 and name in SECOND:
            return SECOND[name]
        known = BY_PARAMETER.get((name, inputs[i]))
        return known[k] if known else _no_derivative(name, inputs[i], order)

    def gradients(needed: list[bool], given: list[Any], grad: Tensor) -> Any:
        yield backward(grad, *given) if needed[0] else None
        for i in range(1, tensors):
            yield _product(grad, rule(i, 0, "first"), given[i], *given) if needed[i] else None

    def seconds(needed: list[bool], given: list[Any], h: Tensor) -> Any:
        grad, *values = given
        yield backward(h, *values) if needed[0] else None
        for i in range(tensors):
            yield _product(_wide(h) * grad, rule(i, 1, "second"), values[i], *values) if needed[1 + i] else None

    _differentiable(forward, gradients, range(tensors), of_result)
    _differentiable(backward, seconds, range(1 + tensors))
    return forward


def _add_gated_rules(name: str, forward: Any, backward: Any) -> None:
    def slope(grad: Tensor, gate: Tensor) -> Any:
        return backward(grad, gate, torch.ones_like(grad))[0]

    def gradients(needed: list[bool], given: list[Any], grad: Tensor) -> Any:
        return [g if n else None for g, n in zip(backward(grad, *given), needed, strict=True)]

    def seconds(needed: list[bool], given: list[Any], by_gate: Tensor, by_up: Tensor) -> Any:
        """Of ``grad up act'(gate)`` and ``grad act(gate)``."""
        grad, gate, up, by_gate, by_up = map(_wide, (*given, by_gate, by_up))
        yield slope(by_gate * up, gate) + forward(gate, by_up) if needed[0] else None
        if needed[1]:
            second = SECOND[name] if name in SECOND else _no_derivative(name, "gate")
            yield _product(by_gate * grad * up, second, gate, gate) + slope(by_up * grad, gate)
        else:
            yield None
        yield slope(by_gate * grad, gate) if needed[2] else None

    _differentiable(forward, gradients, range(2))
    _differentiable(backward, seconds, range(3))


# Softmax and its family


def _shape_without(shape: Sequence[Any], axes: Sequence[int], keepdims: bool = False) -> list[Any]:
    if keepdims:
        return [1 if i in axes else n for i, n in enumerate(shape)]
    return [n for i, n in enumerate(shape) if i not in axes]


def _kept(x: Tensor, where: Tensor | None) -> Tensor:
    return x if where is None else torch.where(where, x, 0.0)


# Derivatives of the gradients ``y (g - sum g y)`` and ``g - exp(y) sum g``, times h: by g, then by y.
_SECOND_OF_ROWS: dict[str, tuple[_Rule, _Rule]] = {
    "softmax": (
        lambda h, y, axis: y * (h - _total(h * y, axis)),
        lambda h, g, y, axis: h * (g - _total(g * y, axis)) - g * _total(h * y, axis),
    ),
    "log_softmax": (
        lambda h, y, axis: h - _total(h * torch.exp(y), axis),
        lambda h, g, y, axis: -h * torch.exp(y) * _total(g, axis),
    ),
}


def _add_softmax(name: str) -> Any:
    schema, names = ["int[] axis", "float scale", "Tensor? where"], ["axis", "scale", "where"]
    function, slope = _kernel(getattr(nl, name), 1, names, 0), _kernel(getattr(nl, name + "_backward"), 2, names, 1)
    forward = _operator(name, ["Tensor x", *schema], 1, function, _empty_like(0))
    backward = _operator(name + "_backward", ["Tensor grad", "Tensor y", *schema], 1, slope, _empty_like(1))

    def gradients(needed: list[bool], given: list[Any], grad: Tensor) -> Any:
        return [backward(grad, *given)]

    def seconds(needed: list[bool], given: list[Any], h: Tensor) -> Any:
        grad, y, axis, scale, where = given
        h, g = (_kept(_wide(v), where) for v in (h, grad))
        by_grad, by_y = _SECOND_OF_ROWS[name]
        yield _kept(scale * by_grad(h, _wide(y), axis), where) if needed[0] else None
        yield _kept(scale * by_y(h, g, _wide(y), axis), where) if needed[1] else None

    _differentiable(forward, gradients, [0], of_result=True)
    _differentiable(backward, seconds, [0, 1])
    return forward


def _add_logsumexp() -> Any:
    def fake(x: Tensor, axis: Sequence[int], keepdims: bool, where: Tensor | None) -> Tensor:
        return x.new_empty(_shape_without(x.shape, axis, keepdims))

    function = _kernel(nl.logsumexp, 1, ["axis", "keepdims", "where"])
    slope = _kernel(nl.logsumexp_backward, 2, ["axis", "where"], 1)
    forward = _operator("logsumexp", ["Tensor x", "int[] axis", "bool keepdims", "Tensor? where"], 1, function, fake)
    schema = ["Tensor grad", "Tensor x", "int[] axis", "Tensor? where"]
    backward = _operator("logsumexp_backward", schema, 1, slope, _empty_like(1))

    def gradients(needed: list[bool], given: list[Any], grad: Tensor) -> Any:
        x, axis, _, where = given
        return [backward(grad.reshape(_shape_without(x.shape, axis)), x, axis, where)]

    def seconds(needed: list[bool], given: list[Any], h: Tensor) -> Any:
        """Of ``grad softmax(x)``."""
        grad, x, axis, where = given
        y = _wide(_of.softmax(x, axis, 1.0, where))
        g, h = _wide(grad).reshape(_shape_without(x.shape, axis, True)), _wide(h)
        yield _total(_kept(h * y, where), axis).reshape(grad.shape) if needed[0] else None
        yield _of.softmax_backward(h * g, y, axis, 1.0, where) if needed[1] else None

    _differentiable(forward, gradients, [0])
    _differentiable(backward, seconds, [0, 1])
    return forward


# Losses


def _loss_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype is torch.float64 else torch.float32


def _schema_of(signature: inspect.Signature) -> list[str]:
    """The arguments of an operator: tensors, but for options whose annotation says otherwise."""
    plain = {"int": "int", "float": "float", "Reduction": "str", "float | None": "float?", "int | None": "int?"}
    return [
        f"{'Tensor' if p.kind is p.POSITIONAL_OR_KEYWORD else plain.get(p.annotation, 'Tensor?')} {p.name}"
        for p in signature.parameters.values()
    ]


def _losses_shape(x: Tensor, axis: int | None, reduction: str) -> Sequence[Any]:
    if reduction != "none":
        return ()
    return x.shape if axis is None else _shape_without(x.shape, [axis % x.ndim])


def _rows_of(g: Tensor, x: Tensor, options: dict[str, Any]) -> Tensor:
    """What belongs to losses, one for all or one for each, as it broadcasts to their argument."""
    if g.ndim == 0 or "axis" not in options:
        return g
    return g.unsqueeze(options["axis"] % x.ndim)


def _add_loss(row: dict[str, Any]) -> Any:
    name = row["name"]
    signature = inspect.signature(getattr(nl, name))
    schema, names, place = _schema_of(signature), list(signature.parameters), row["arguments"].index(row["operand"])

    def fake(*values: Any) -> Tensor:
        x, options = values[place], dict(zip(names, values, strict=True))
        return x.new_empty(_losses_shape(x, options.get("axis"), options["reduction"]), dtype=_loss_dtype(x))

    slope = _kernel(getattr(nl, name + "_backward"), 3, names[2:], 1 + place)
    forward = _operator(name, schema, 1, _kernel(getattr(nl, name), 2, names[2:]), fake)
    backward = _operator(name + "_backward", ["Tensor grad", *schema], 1, slope, _empty_like(1 + place))

    def gradients(needed: list[bool], given: list[Any], grad: Tensor) -> Any:
        return [backward(grad, *given)]

    def seconds(needed: list[bool], given: list[Any], h: Tensor) -> Any:
        grad, *values = given
        options = dict(zip(names[2:], values[2:], strict=True))
        x = values[place]
        if needed[0]:  # the gradient is linear in it
            product = _wide(h) * _wide(backward(torch.ones_like(grad), *values))
            if grad.ndim == 0:
                product = product.sum()
            elif "axis" in options:
                product = product.sum(options["axis"])
            yield product.to(grad.dtype)
        else:
            yield None
        if needed[1]:
            hessian = HESSIANS[name] if name in HESSIANS else _no_derivative(name, names[place])
            yield _product(_rows_of(grad, x, options), hessian, x, h, *values[:2], **options)
        else:
            yield None

    _differentiable(forward, gradients, [place])
    _differentiable(backward, seconds, [0, 1 + place])
    return forward


def _add_linear_cross_entropy() -> Any:
    signature = inspect.signature(nl.linear_cross_entropy)
    schema, names = _schema_of(signature), list(signature.parameters)
    places = [names.index(name) for name in ("x", "weight", "bias")]

    def fake(x: Tensor, *values: Any) -> Tensor:
        options = dict(zip(names[1:], values, strict=True))
        return x.new_empty(_losses_shape(x, -1, options["reduction"]), dtype=_loss_dtype(x))

    def backward_kernel(*values: Any) -> tuple[Tensor, ...]:
        grad, x, weight, targets, *options = _arrays(values)
        made = nl.linear_cross_entropy_backward(grad, x, weight, targets, **dict(zip(names[3:], options, strict=True)))
        return tuple(_tensor(np.zeros(0, made[0].dtype) if g is None else g).to(values[1].dtype) for g in made)

    def backward_fake(grad: Tensor, *values: Any) -> tuple[Tensor, ...]:
        given = [values[i] for i in places]
        return tuple(values[0].new_empty(0 if v is None else v.shape) for v in given)

    forward = _operator("linear_cross_entropy", schema, 1, _kernel(nl.linear_cross_entropy, 3, names[3:]), fake)
    backward = _operator("linear_cross_entropy_backward", ["Tensor grad", *schema], 3, backward_kernel, backward_fake)

    def gradients(needed: list[bool], given: list[Any], grad: Tensor) -> Any:
        return [g if n else None for g, n in zip(backward(grad, *given), needed, strict=True)]

    def seconds(needed: list[bool], given: list[Any], *h: Tensor) -> Any:
        return [_no_derivative("linear_cross_entropy", "its arguments")]

    _differentiable(forward, gradients, places)
    _differentiable(backward, seconds, [0, *(i + 1 for i in places)])
    return forward


# The functions: they check arguments, and bring tensors to one type


def _is_tensor(name: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is a {type(value).__name__}; nonlin.torch takes tensors: torch.as_tensor({name})")
    if value.is_nested:
        raise TypeError(f"{name} is a nested tensor; nonlin.torch takes dense ones: {name}.to_padded_tensor(0.0)")
    return value


def _real(name: str, value: Any) -> Tensor:
    tensor = _is_tensor(name, value)
    if tensor.dtype not in _NUMPY:
        raise TypeError(f"{name} has dtype {tensor.dtype}; it takes {REAL}")
    return tensor


def _float(name: str, value: Any) -> Tensor:
    """A tensor of floats; integers and booleans become float64."""
    tensor = _real(name, value)
    return tensor if tensor.dtype in _FLOATS else tensor.to(torch.float64)


def _floats(names: Sequence[str], values: Sequence[Any]) -> list[Tensor]:
    """Tensors of floats of one type, that of NumPy's result."""
    tensors = [_real(name, value) for name, value in zip(names, values, strict=False)]
    common: torch.dtype | None = tensors[0].dtype
    for tensor in tensors[1:]:
        common = _PROMOTED.get((common, tensor.dtype))
    if common is None:
        types = " and ".join(str(t.dtype).removeprefix("torch.") for t in tensors)
        raise TypeError(f"{' and '.join(names)} are {types}, which have no common type: convert one")
    return [t.to(common if common in _FLOATS else torch.float64) for t in tensors]


def _option(schema: str, value: Any) -> Any:
    """An option of a loss, of the type that the operator takes."""
    kind, name = schema.split()
    if name == "reduction" and not (isinstance(value, str) and value in ("mean", "sum", "none")):
        raise ValueError(f"reduction is {value!r}; it takes 'mean', 'sum' or 'none'")
    if isinstance(value, Tensor) and kind != "Tensor?":
        raise TypeError(f"{name} is a tensor; it takes a number")
    if kind == "str" or isinstance(value, Tensor) or (value is None and kind.endswith("?")):
        return value
    if kind.startswith("int"):
        return whole(name, value)
    if kind.startswith("float"):
        return number(name, value)
    return torch.tensor(number(name, value, "a tensor or a number"), dtype=torch.float64)


def _where(where: Any) -> Tensor | None:
    if where is None:
        return None
    if _is_tensor("where", where).dtype is not torch.bool:
        raise TypeError(f"where has dtype {where.dtype}; it takes booleans")
    return where


_NOTES = """

    `nonlin.{name}` on tensors of the CPU, with the same arguments and bits; {by}.

    Parameters
    ----------
    {parameters}
        As for `nonlin.{name}`: tensors for arrays, Python's numbers for numbers.

    Returns
    -------
    torch.Tensor
        What `nonlin.{name}` returns, in memory that is nonlin's.

    Raises
    ------
    TypeError
        As `nonlin.{name}`; for what is no tensor, and for tensors that are sparse or on another device.
    ValueError
        As `nonlin.{name}`.
    NotImplementedError
        By a second differentiation for which there is no rule.
    """


def _public(name: str, parameters: list[inspect.Parameter], call: Callable[..., Any], by: str) -> None:
    """A function of this module, which hands its arguments on in their order; torch.compile sees through no `bind`."""
    signature = inspect.Signature(parameters)
    names = [p.name for p in parameters]
    positional = sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
    required = sum(p.default is p.empty for p in parameters)
    defaults = [p.default for p in parameters]

    def function(*args: Any, **kwargs: Any) -> Any:
        values = [*args, *defaults[len(args) :]]
        for key, value in kwargs.items():
            if key in names[len(args) :]:
                values[names.index(key)] = value
            else:
                bound(name, signature, args, kwargs)  # says what is wrong
        if len(args) > positional or any(n not in kwargs for n in names[len(args) : required]):
            bound(name, signature, args, kwargs)
        return call(*values)

    notes = summary_of(name) + _NOTES.format(name=name, by=by, parameters=", ".join(names))
    globals()[name] = named(function, __name__, name, signature, notes)
    __all__.append(name)


def _add_activations() -> None:
    rows = _core.activations()
    for row in rows:
        ops = [_add_activation(row, overload) for overload in ("", ".parameters")[: 1 + bool(row["parameters"])]]
        if not row["form_of"]:
            forms = {o: value for other in rows if other["form_of"] == row["name"] for o, value in other["option"].items()}
            _add_public_activation(row, forms, *ops)


def _add_public_activation(row: dict[str, Any], forms: dict[str, str], plain: Any, by_tensors: Any = None) -> None:
    name, inputs, count = row["name"], row["forward_inputs"], len(row["forward_inputs"]) - len(row["parameters"])
    signature = [p for p in parameters_of(name) if p.name in inputs or p.name in forms]

    def call(*values: Any) -> Any:
        tensors = _floats(inputs[:count], values[:count]) if count > 1 else [_float(inputs[0], values[0])]
        return plain(*tensors)

    def call_with_parameters(*values: Any) -> Any:
        if not any(isinstance(value, Tensor) for value in values[1:]):
            numbers = zip(inputs[1:], values[1:], strict=True)
            return plain(_float(inputs[0], values[0]), *(number(n, value, "a number or a tensor") for n, value in numbers))
        wide = [i for i, value in enumerate(values) if i == 0 or (isinstance(value, Tensor) and value.ndim > 0)]
        floats = dict(zip(wide, _floats([inputs[i] for i in wide], [values[i] for i in wide]), strict=True))
        dtype, parameters = floats[0].dtype, []
        for i, value in enumerate(values):  # numbers and tensors of no dimensions are of the type of the others
            if i in floats:
                parameters.append(floats[i])
            elif isinstance(value, Tensor):
                parameters.append(_real(inputs[i], value).to(dtype))
            else:
                parameters.append(torch.tensor(number(inputs[i], value), dtype=dtype))
        return by_tensors(*parameters)

    def call_of_form(x: Any, choice: Any) -> Any:
        ((option, usual),) = ((p.name, p.default) for p in signature[count:])
        if isinstance(choice, str) and choice == usual:
            return plain(_float(inputs[0], x))
        if not (isinstance(choice, str) and choice == forms[option]):
            raise ValueError(f"{option} is {choice!r}; it takes {usual!r} or {forms[option]!r}")
        return _OPERATORS[f"{name}_{choice}"](_float(inputs[0], x))

    by = "differentiable by " + " and ".join(f"`{n}`" for n in inputs)
    if row["parameters"]:
        _public(name, signature, call_with_parameters, by + ", those that are tensors")
    else:
        _public(name, signature, call_of_form if forms else call, by)


def _add_all_rows() -> None:
    for name in ("softmax", "log_softmax"):
        op = _add_softmax(name)

        def call(x: Any, axis: Any, scale: Any, where: Any, op: Any = op) -> Any:
            x = _float("x", x)
            return op(x, list(axes_of(axis, x.ndim)), number("scale", scale), _where(where))

        _public(name, parameters_of(name), call, "differentiable by `x`")
    logsumexp = _add_logsumexp()

    def call_logsumexp(x: Any, axis: Any, keepdims: Any, where: Any) -> Any:
        x = _float("x", x)
        return logsumexp(x, list(axes_of(axis, x.ndim)), bool(keepdims), _where(where))

    by = "differentiable by `x`; without factors `b` and their sign"
    _public("logsumexp", parameters_of("logsumexp", ["out", "b", "return_sign"]), call_logsumexp, by)


def _add_losses() -> None:
    for name, row in LOSSES.items():
        target = row["target"] if row["kind"] == "rows" else ""
        _add_public_loss(name, _add_loss(row), row["arguments"], [row["operand"]], target)
    _add_public_loss(
        "linear_cross_entropy", _add_linear_cross_entropy(), ["x", "weight", "targets"], ["x", "weight", "bias"]
    )


def _add_public_loss(name: str, op: Any, arguments: list[str], operands: list[str], target: str = "") -> None:
    """A loss whose `arguments` are tensors; `operands`, if given, are floats of one type, as a target of floats is too."""
    parameters = parameters_of(name)
    schema = _schema_of(inspect.signature(getattr(nl, name)))
    names = [p.name for p in parameters]
    defaults = [p.default for p in parameters]
    places = [names.index(a) for a in operands]

    def call(*values: Any) -> Any:
        alike = [i for i in places if i < len(arguments) or values[i] is not None]
        tensors = [_float(names[i], values[i]) for i in alike]
        if target and isinstance(values[0], Tensor) and values[0].dtype in _FLOATS:
            alike, tensors = [0, *alike], [values[0], *tensors]
        floats = dict(zip(alike, _floats([names[i] for i in alike], tensors), strict=True))
        checked = []
        for i, value in enumerate(values):
            if i in floats:
                checked.append(floats[i])
            elif i < len(arguments):
                checked.append(_is_tensor(names[i], value))
            elif names[i] == "axis":
                checked.append(axis_of(value, floats[places[0]].ndim))
            else:
                checked.append(value if value is defaults[i] else _option(schema[i], value))
        return op(*checked)

    _public(name, parameters, call, "differentiable by " + " and ".join(f"`{operand}`" for operand in operands))


_add_activations()
_add_all_rows()
_add_losses()
__all__.sort()
