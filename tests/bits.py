"""The bits of results for a fixed corpus: the same on all machines, and what a change of the machinery must leave alone.

``python -m tests.bits`` writes tests/bits.json anew, after a change of a formula or of an order of summation, and
fingerprints.json of the package with it: for the instruction sets of this machine.
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

import nonlin as nl
from nonlin._fingerprint import Numbers, digest, group

from .fresh import printed
from .oracle import FUNCTIONS, LOSSES, Function, Loss

FILE = Path(__file__).with_suffix(".json")
FINGERPRINTS = FILE.parents[1] / "python" / "nonlin" / "fingerprints.json"  # of the sources, not of what is installed
DTYPES = [np.dtype(t) for t in (np.float32, np.float64, np.float16, ml_dtypes.bfloat16)]
# Outer axes and classes, by the layouts that they take: along, across, a few vectors, huge, masked stores.
SHAPES = [(3, 1), (37, 2), (70, 10), (33, 33), (19, 64), (5, 128), (9, 200), (4, 1000), (3, 2500), (1, 70_000)]


def ordered(x: np.ndarray, layout: str) -> np.ndarray:
    """`x`, which is C-contiguous, with its values elsewhere in memory."""
    return np.asfortranarray(x) if layout == "fortran" else x


LAYOUTS = ("plain", "fortran")


SPECIAL = [
    0.0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    1e-45,
    -1e-40,
    1e-30,
    3e38,
    -88.5,
    88.5,
    104.0,
    -104.0,
    710.0,
    -746.0,
    1.0,
    -1.0,
]


def elementwise(f: Function, dtype: np.dtype) -> Iterator[Any]:
    numbers = Numbers(f"{f.name} {dtype}")
    with np.errstate(all="ignore"):
        x = np.concatenate([numbers.uniform(-20, 20, 1900), numbers.uniform(-1, 1, 200), SPECIAL]).astype(dtype)
        operands = [
            x if i == 0 or name in "xy" else numbers.uniform(-2, 2, x.size).astype(dtype)
            for i, name in enumerate(reversed(f.inputs))
        ][::-1]
    for layout in LAYOUTS:
        given = [ordered(a, layout) for a in operands]
        yield f.public(*given)
        for parameter in f.parameters:
            yield f.public(*given, **{parameter: 0.75})


def rows(name: str, dtype: np.dtype) -> Iterator[Any]:
    function = getattr(nl, name)
    numbers = Numbers(f"{name} {dtype}")
    for shape in SHAPES:
        x = numbers.uniform(-20, 20, shape).astype(dtype)
        x[0, :1] = np.inf
        x[-1, :] = -np.inf if shape[0] > 1 else x[-1, :]
        g = numbers.uniform(-2, 2, shape).astype(dtype)
        mask = numbers.uniform(0, 1, shape) < 0.7
        for layout in LAYOUTS:
            a, b = ordered(x, layout), ordered(g, layout)
            if name == "logsumexp_backward":
                yield function(b[:, 0], a)
            elif name.endswith("_backward"):
                yield function(b, a)
            elif name.endswith("_from"):
                yield function(a, *nl.logsumexp_partial(a))
            else:
                yield function(a)
                if name != "logsumexp_partial":
                    yield function(a, where=mask)
        if shape[1] < 1000:
            cube = numbers.uniform(-20, 20, (3, shape[1], 5)).astype(dtype)
            if name == "logsumexp_backward":
                yield function(cube[:, 0, :], cube, axis=1)
            elif name.endswith("_backward"):
                yield function(cube, cube[::-1], axis=1)
            elif name.endswith("_from"):
                yield function(cube, *nl.logsumexp_partial(cube, axis=1), axis=1)
            else:
                yield function(cube, axis=1)


def options_of(loss: Loss, numbers: Numbers, shape: tuple[int, ...], dtype: np.dtype) -> Iterator[dict[str, Any]]:
    weights = {"weight": shape[-1:] if loss.by_rows else shape, "pos_weight": shape}
    # Multiples of 1 / 64, whose sums are exact in any order.
    values: dict[str, Any] = {n: ((16 + numbers.classes(112, s)) / 64).astype(dtype) for n, s in weights.items()}
    values |= {"ignore_index": 1, "label_smoothing": 0.125, "z_loss": 0.25}
    names = [name for name in loss.options if name in values]
    yield {}
    for name in names:
        yield {name: values[name]}
    yield {name: values[name] for name in names}


def losses(loss: Loss, dtype: np.dtype) -> Iterator[Any]:
    numbers = Numbers(f"{loss} {dtype}")
    functions = loss.functions()
    with np.errstate(all="ignore"):
        for shape in SHAPES:
            x = numbers.uniform(-12, 12, shape)
            if loss.arguments[loss.operand] in ("probs", "q"):
                x = numbers.uniform(0.001, 0.999, shape)
            elif loss.arguments[loss.operand] == "log_probs":
                x = -np.abs(x)
            y = numbers.uniform(0.001, 0.999, shape)
            if not loss.by_rows:
                y = np.where(y < 0.6, np.rint(y), y)
            if not loss.soft:
                y = numbers.classes(shape[-1], shape[:1])
            x = x.astype(dtype)
            y = y.astype(dtype) if y.dtype.kind == "f" else y
            choices = list(options_of(loss, numbers, shape, dtype))
            for layout, reduction in itertools.product(LAYOUTS, ("mean", "sum", "none")):
                operands = [ordered(x, layout), y]
                if loss.operand == 1:
                    operands.reverse()
                for options in choices if layout == "plain" else choices[-1:]:
                    given = options | {"reduction": reduction}
                    yield functions[0](*operands, **given)
                    grad = numbers.uniform(-1, 1, loss.losses_shape(shape)) if reduction == "none" else 0.75
                    yield functions[1](grad, *operands, **given)
                    for with_grad in functions[2:]:
                        yield with_grad(*operands, **given)
        if loss.by_rows:
            for n in (2, 10, 40):
                x = numbers.uniform(0.001, 0.999, (4, n, 3)).astype(dtype)
                y = numbers.uniform(0.001, 0.999, x.shape).astype(dtype) if loss.soft else numbers.classes(n, (4, 3))
                operands = [x, y] if loss.operand == 0 else [y, x]
                yield functions[0](*operands, axis=1)
                yield functions[1](1.0, *operands, axis=1)


def digests() -> dict[str, str]:
    """The digest of every function and dtype, on the instruction set in use."""
    found = {}
    for dtype in DTYPES:
        for f in FUNCTIONS.values():
            found[f"{f.name} {dtype}"] = digest(elementwise(f, dtype))
        for name in ("softmax", "log_softmax", "logsumexp"):
            for ending in ("", "_backward"):
                found[f"{name}{ending} {dtype}"] = digest(rows(name + ending, dtype))
        for name in ("logsumexp_partial", "softmax_from", "log_softmax_from"):
            found[f"{name} {dtype}"] = digest(rows(name, dtype))
        for loss in LOSSES:
            found[f"{loss} {dtype}"] = digest(losses(loss, dtype))
    return found


def digests_of(target: str) -> dict[str, str]:
    code = "import json, sys; sys.path.insert(0, '..'); from tests import bits; print(json.dumps(bits.digests()))"
    found: dict[str, str] = json.loads(printed(code, NONLIN_SIMD_TARGET=target))
    return found


def fingerprints_of(target: str) -> dict[str, str]:
    code = "import json; from nonlin import _fingerprint; print(json.dumps(_fingerprint.fingerprints()))"
    found: dict[str, str] = json.loads(printed(code, NONLIN_SIMD_TARGET=target))
    return found


if __name__ == "__main__":
    for file, of in ((FILE, digests_of), (FINGERPRINTS, fingerprints_of)):
        known = json.loads(file.read_text())  # of instruction sets that this machine may not have
        found = {group(target): of(target) for target in nl.simd_targets()}
        file.write_text(json.dumps(known | found, indent=1, sort_keys=True) + "\n")
