"""Results keep their bits: between versions, machines, layouts, numbers of threads and modes of the processor."""

import json
import platform
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nonlin as nl
from nonlin import _fingerprint, testing

from . import bits
from .fresh import printed
from .oracle import LOSSES, as_tuple

KNOWN = json.loads(bits.FILE.read_text())
FINGERPRINTS = _fingerprint.known()

# Without fused multiply-add, bits are not promised, but kept.
TARGETS = [pytest.param(t, marks=pytest.mark.slow if _fingerprint.group(t) == t else ()) for t in nl.simd_targets()]


@pytest.mark.parametrize("target", TARGETS)
def test_results_keep_their_bits(target: str) -> None:
    known, found = KNOWN[_fingerprint.group(target)], bits.digests_of(target)
    assert [name for name, value in known.items() if found.get(name) != value] == []  # new functions may be missing there


@pytest.mark.parametrize("target", nl.simd_targets())
def test_fingerprints_are_the_same(target: str) -> None:
    """By three threads; test_command.py has them by as many as the machine gives."""
    code = """
        import json, nonlin as nl
        from nonlin import _fingerprint
        nl.set_num_threads(3)
        print(json.dumps(_fingerprint.fingerprints()))
    """
    found, known = json.loads(printed(code, NONLIN_SIMD_TARGET=target)), FINGERPRINTS[_fingerprint.group(target)]
    assert {name for name in known if found[name] != known[name]} == set()
    assert set(found) - set(known) == set(), "python -m tests.bits adds them"


def test_fingerprints_are_those_of_the_sources() -> None:
    """What is installed has the table that ``python -m tests.bits`` writes."""
    if bits.FINGERPRINTS.exists():  # not so where the tests stand alone
        assert json.loads(bits.FINGERPRINTS.read_text()) == FINGERPRINTS


def test_fingerprint() -> None:
    found = _fingerprint.fingerprints()
    assert testing.fingerprint() == _fingerprint.combined(found.values())
    assert testing.fingerprint("gelu") == found["gelu"]
    assert len(set(found.values())) == len(found)
    public = {name for name in nl.__all__ if name.removesuffix("_backward").removesuffix("_with_grad") in found}
    assert set(found) == public
    with pytest.raises(ValueError, match=r"function is 'sofmax'; it takes the name of a function, one of .*softmax"):
        testing.fingerprint("sofmax")


ROWS = ["softmax", "log_softmax", "logsumexp", "softmax_backward", "log_softmax_backward", "logsumexp_backward"]
ROWS += ["logsumexp_partial", "softmax_from", "log_softmax_from"]


def with_other_layouts(arrays: list[Any]) -> list[tuple[str, list[Any]]]:
    """The same operands, but the classes elsewhere in memory, which leads to other kernels."""
    wide = [np.repeat(a, 2, -1)[..., ::2] if a.ndim > 1 else a for a in arrays]
    return [("across", [np.asfortranarray(a) for a in arrays]), ("with gaps", wide)]


def assert_rows_are_the_same(function: Callable[..., Any], operands: list[Any], per_row: bool = True) -> None:
    expected = as_tuple(function(*operands))
    others = [(name, function(*given)) for name, given in with_other_layouts(operands)]
    for name, results in others:
        for found, want in zip(as_tuple(results), expected, strict=True):
            assert _fingerprint.digest([found]) == _fingerprint.digest([want]), name
    for i in (0, len(operands[-1]) - 1) if per_row else ():
        alone = as_tuple(function(*(a[i : i + 1] for a in operands)))
        for found, want in zip(alone, expected, strict=True):
            assert _fingerprint.digest([found]) == _fingerprint.digest([want[i : i + 1]]), "alone"


# Of few vectors, of many, of more than a run, than a block, and huge.
@pytest.mark.parametrize("classes", [1, 2, 10, 16, 33, 100, 129, 256, 1000, 4097, 70_000])
@pytest.mark.parametrize("dtype", bits.DTYPES, ids=str)
def test_rows_have_the_same_bits_in_every_layout(dtype: np.dtype, classes: int, rng: np.random.Generator) -> None:
    shape = (min(37, max(2, 20_000 // classes)), classes)
    for name in ROWS:
        function = getattr(nl, name)
        given = [(4 * rng.standard_normal(shape)).astype(dtype) for _ in range(1 + name.endswith("_backward"))]
        if name == "logsumexp_backward":
            given[0] = given[0][:, 0]
        if name.endswith("_from"):
            given += nl.logsumexp_partial(given[0])
        assert_rows_are_the_same(lambda *a, f=function: f(*a, axis=-1), given)
        if name in ("softmax", "log_softmax", "logsumexp"):
            assert_rows_are_the_same(lambda x, f=function: f(x, axis=-1, where=np.full(shape[1:], True)), given)
            masked = function(*given, axis=-1, where=np.full(shape, True))
            assert _fingerprint.digest([masked]) == _fingerprint.digest([function(*given, axis=-1)])
    for loss in LOSSES:
        given = loss.problem(rng, shape, dtype=dtype)
        for function in loss.functions():
            grad = [np.float64(0.75)] if function.__name__.endswith("_backward") else []
            assert_rows_are_the_same(lambda *a, f=function, g=grad: f(*g, *a, reduction="none"), given)
            assert_rows_are_the_same(lambda *a, f=function, g=grad: f(*g, *a, reduction="mean"), given, per_row=False)


def mixed_rows(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Rows of numbers of all sizes, some of which have shorter ways: small, large or masked ones, one far above others."""
    rows = rng.standard_normal(shape) * rng.choice([1e-3, 1, 4, 12, 30, 1e4], shape[0])[:, np.newaxis]
    rows += rng.choice([0, 0, 15, -24, 90, -300], shape[0])[:, np.newaxis]
    rows[rng.random(shape) < rng.choice([0, 0, 0.4, 0.9], shape[0])[:, np.newaxis]] = -np.inf
    far = rng.random(shape[0]) < 0.2
    rows[far] = np.where(rng.random(shape) < 0.1, 0, -70)[far]
    rows[rng.random(shape) < 0.2 / shape[1]] = np.inf
    rows[rng.random(shape) < 0.2 / shape[1]] = np.nan
    return rows


@pytest.mark.parametrize("classes", [2, 5, 10, 16, 20, 31, 64, 65, 129, 300, 1000, 5000])
@pytest.mark.parametrize("dtype", bits.DTYPES, ids=str)
def test_rows_have_the_same_bits_beside_any_others(dtype: np.dtype, classes: int, rng: np.random.Generator) -> None:
    rows = min(45, max(4, 20_000 // classes))
    x, order = mixed_rows((rows, classes), rng).astype(dtype), rng.permutation(rows)
    targets = np.where(rng.random(rows) < 0.1, -100, rng.integers(0, classes, rows))
    grad = 10 ** rng.uniform(-14, 14, rows).astype(np.float64 if dtype == np.float64 else np.float32)
    functions: list[tuple[Callable[..., Any], list[Any]]] = [
        (lambda x, **out: nl.softmax(x, **out), [x]),
        (lambda x, **out: nl.log_softmax(x, **out), [x]),
        (lambda x: nl.logsumexp(x, axis=-1), [x]),
        (lambda x, t: nl.cross_entropy(x, t, reduction="none"), [x, targets]),
        (lambda x, t, **out: nl.cross_entropy_with_grad(x, t, reduction="none", **out)[1], [x, targets]),
        (lambda x, t, g, **out: nl.cross_entropy_backward(g, x, t, reduction="none", **out), [x, targets, grad]),
    ]
    for number, (function, operands) in enumerate(functions):
        assert_rows_are_the_same(function, operands)
        expected = function(*operands)
        moved = function(*(a[order] for a in operands))
        assert _fingerprint.digest([moved]) == _fingerprint.digest([expected[order]]), number
        if expected.shape == x.shape:
            overwritten = x.copy()
            function(overwritten, *operands[1:], out=overwritten)
            assert _fingerprint.digest([overwritten]) == _fingerprint.digest([expected]), number


# What a mode sets in the words of glibc's fenv_t, by the machine: the word, then the bits.
WORD, MODES = {
    "x86_64": (7, {"flush": 0x8040, "down": 0x2000, "up": 0x4000, "truncate": 0x6000}),
    "aarch64": (0, {"flush": 1 << 24, "down": 2 << 22, "up": 1 << 22, "truncate": 3 << 22}),
}.get(platform.machine(), (0, {}))
CALL_IN_MODE = """
    import ctypes, functools, json, nonlin as nl
    from nonlin import _activations, _fingerprint, _losses, _softmax

    libm, words = ctypes.CDLL("libm.so.6"), ctypes.c_uint32 * 64
    nl.set_num_threads(2)

    def in_mode(function):
        @functools.wraps(function)
        def call(*arguments, **options):
            before, mode, after = words(), words(), words()
            libm.fegetenv(before)
            libm.fegetenv(mode)
            mode[WORD] |= BITS
            libm.fesetenv(mode)
            result = function(*arguments, **options)
            libm.fegetenv(after)
            libm.fesetenv(before)
            assert (after[WORD] ^ mode[WORD]) & ~0x3F == 0, function  # but for flags
            return result
        return call

    for module in _activations, _losses, _softmax:
        for name in module.__all__:
            setattr(module, name, in_mode(getattr(module, name)))
    print(json.dumps(_fingerprint.fingerprints()))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or not MODES, reason="the layout of fenv_t is not known")
@pytest.mark.parametrize("mode", MODES)
def test_mode_of_the_processor_has_no_effect(mode: str) -> None:
    code = CALL_IN_MODE.replace("WORD", str(WORD)).replace("BITS", str(MODES[mode]))
    found, known = json.loads(printed(code)), FINGERPRINTS[_fingerprint.group(nl.simd_target())]
    assert {name for name in known if found[name] != known[name]} == set()
