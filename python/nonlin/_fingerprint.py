"""Digests of the bits of results: the same for the same bits, on any machine."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from . import _activations, _core, _losses, _softmax

# Outer axes and classes, by the layouts that they take: along, across, a few vectors, huge.
_SHAPES = [(3, 1), (37, 2), (40, 10), (33, 33), (19, 64), (9, 200), (4, 1000), (3, 2500), (1, 70_000)]
_SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -3e-39, -95.0, -100.0, -740.0]  # some with sub-normal results
_DTYPES: tuple[type[np.floating], ...] = (np.float32, np.float64, np.float16)

FILE = Path(__file__).with_name("fingerprints.json")  # what `python -m tests.bits` writes
WITHOUT_FMA = ("SSE4", "SCALAR")


class Numbers:
    """Arrays that are the same everywhere: no function of a system's library makes them."""

    def __init__(self, seed: str) -> None:
        self.random = np.random.RandomState(int(hashlib.sha256(seed.encode()).hexdigest()[:8], 16))

    def uniform(self, low: float, high: float, shape: Any) -> Any:
        return low + (high - low) * self.random.random_sample(shape)

    def classes(self, classes: int, shape: Any) -> Any:
        return self.random.randint(0, classes, shape)


def digest(results: Iterable[Any]) -> str:
    """16 hexadecimal digits of arrays or tuples of arrays; the sign and payload of NaN are left out."""
    hashed = hashlib.sha256()
    for result in results:
        for array in result if isinstance(result, tuple) else (result,):
            a = np.array(array, order="C")
            a[np.isnan(a.astype(np.float64))] = np.nan
            hashed.update(f"{a.dtype}{a.shape}".encode())
            hashed.update(a.astype(a.dtype.newbyteorder("<")).tobytes())
    return hashed.hexdigest()[:16]


def _of_elements(function: Callable[..., Any], inputs: list[str], numbers: Numbers, dtype: Any) -> Iterator[Any]:
    near_one = "y" in inputs  # the results of sigmoid and tanh
    x = numbers.uniform(-1, 1, 2000) if near_one else np.append(numbers.uniform(-20, 20, 2000), _SPECIAL)
    yield function(*((x if i == inputs[-1] else numbers.uniform(-2, 2, x.size)).astype(dtype) for i in inputs))


def _of_rows(function: Callable[..., Any], inputs: str, numbers: Numbers, dtype: Any) -> Iterator[Any]:
    scalars = "g" if function is _softmax.logsumexp_backward else "mr"  # of each row
    for shape in _SHAPES:
        given = [numbers.uniform(-20, 20, shape).astype(dtype) for _ in inputs]
        given = [a[:, 0] if i in scalars else a for i, a in zip(inputs, given, strict=True)]
        options = {"axis": -1} if function is _softmax.logsumexp else {}
        yield function(*given, **options)


def _of_losses(function: Callable[..., Any], row: dict[str, Any], numbers: Numbers, dtype: Any) -> Iterator[Any]:
    for shape in _SHAPES:
        for names_classes in (True, False) if row["kind"] == "targets" else (False,):
            given = []
            for name in row["arguments"]:
                if name == "targets" and names_classes:
                    given.append(numbers.classes(shape[1], shape[0]))
                elif name == "logits":
                    given.append(numbers.uniform(-12, 12, shape).astype(dtype))
                else:
                    probabilities = numbers.uniform(0.001, 0.999, shape)
                    given.append((-12 * probabilities if name == "log_probs" else probabilities).astype(dtype))
            yield function(*([0.75, *given] if function.__name__.endswith("_backward") else given))


def _results(dtype: Any) -> Iterator[tuple[str, Iterator[Any]]]:
    """The name of each public function, and its results."""
    name: str
    for row in _core.activations():
        for ending, inputs in (("", row["forward_inputs"]), ("_backward", row["backward_inputs"])):
            name = (row["form_of"] or row["name"]) + ending
            function = getattr(_activations, name)
            arrays = [i for i in inputs if i not in row["parameters"]]
            seed = Numbers(f"{row['name']}{ending} {np.dtype(dtype)}")
            yield name, _of_elements(lambda *a, f=function, o=row["option"]: f(*a, **o), arrays, seed, dtype)
    for name, arrays in (("logsumexp_merge", ["m1", "r1", "m2", "r2"]), ("logsumexp_finish", ["m", "r"])):
        yield name, _of_elements(getattr(_softmax, name), arrays, Numbers(f"{name} {np.dtype(dtype)}"), dtype)
    for name, inputs in (
        ("softmax", "x"),
        ("softmax_backward", "gy"),
        ("log_softmax", "x"),
        ("log_softmax_backward", "gy"),
        ("logsumexp", "x"),
        ("logsumexp_backward", "gx"),
        ("logsumexp_partial", "x"),
        ("softmax_from", "xmr"),
        ("log_softmax_from", "xmr"),
    ):
        yield name, _of_rows(getattr(_softmax, name), inputs, Numbers(f"{name} {np.dtype(dtype)}"), dtype)
    for row in _core.losses():
        for ending in ("", "_backward", "_with_grad") if row["with_grad"] else ("", "_backward"):
            name = row["name"] + ending
            yield name, _of_losses(getattr(_losses, name), row, Numbers(f"{name} {np.dtype(dtype)}"), dtype)


def fingerprints() -> dict[str, str]:
    """The digest of each public function."""
    found: dict[str, list[str]] = {}
    with np.errstate(all="ignore"):
        for dtype in _DTYPES:
            for name, results in _results(dtype):
                found.setdefault(name, []).append(digest(results))
    return {name: combined(digests) for name, digests in found.items()}


def combined(digests: Iterable[str]) -> str:
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()[:16]


def group(target: str) -> str:
    """Instruction sets with fused multiply-add have the same bits, each of the others has its own."""
    return target if target in WITHOUT_FMA else "with fused multiply-add"


def known() -> dict[str, dict[str, str]]:
    """What `fingerprints` gives where nonlin is right, by `group`."""
    digests: dict[str, dict[str, str]] = json.loads(FILE.read_text(encoding="utf-8"))
    return digests


if __name__ == "__main__":
    print(json.dumps(fingerprints()))
