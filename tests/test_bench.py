"""The machinery of `python -m nonlin.bench`, on arrays of a few elements."""

import dataclasses
import html.parser
import importlib.util
import itertools
import json
import pathlib
import re
import time
from typing import Any

import numpy as np
import pytest

import nonlin as nl
from nonlin import _core, reference
from nonlin.bench import accuracy, cases, ceilings, company, contenders, with_litert, with_numba, with_onnxruntime

from .oracle import FUNCTIONS

pytest.importorskip("rich")
pytest.importorskip("matplotlib")

from nonlin.bench import __main__ as command
from nonlin.bench import compare, measure, page, plot, report

LOADED = {name: contenders.LOADERS[name] for name in contenders.ALWAYS}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"SMALL": 5, "MEDIUM": 9, "LARGE": 17}
    for name, size in sizes.items():
        monkeypatch.setattr(cases, name, size)
    monkeypatch.setattr(cases, "SIZES", tuple(sizes.values()))
    monkeypatch.setattr(cases, "ROW_SHAPES", ((3, 5), (2, 33)))
    monkeypatch.setattr(cases, "VOCABULARY_SHAPE", (2, 40))
    monkeypatch.setattr(cases, "AXES", (((4, 5), 0), ((2, 3, 5), 1)))
    monkeypatch.setattr(cases, "LOSS_SHAPES", {"targets": (3, 5), "rows": (3, 5), "elements": (17,)})
    for name, value in {"SAMPLE": 1e-9, "MIN_ROUNDS": 1, "MAX_ROUNDS": 1}.items():
        monkeypatch.setattr(measure, name, value)
    # XLA and LLVM take their time to compile; they have tests of their own.
    loaders = {name: loader for name, loader in contenders.LOADERS.items() if name not in ("JAX", "numba")}
    monkeypatch.setattr(contenders, "LOADERS", loaders)
    monkeypatch.setattr(ceilings, "_seconds", lambda name, source, target: 1e-3)
    programs = [company.between(8, "tanh"), company.attention(9, 4), company.training(6, 5, 4, 3)]
    monkeypatch.setattr(company, "programs", lambda: programs)
    for name, value in {"SAMPLE": 0, "ROUNDS": 1, "MIN_STEPS": 1, "MAX_STEPS": 2, "PATIENCE": 0}.items():
        monkeypatch.setattr(company, name, value)
    monkeypatch.setattr(command, "FULL_PATIENCE", 0)


def run(*arguments: str) -> int:
    """The exit code; the contenders stay on the present number of threads."""
    return command.main([*arguments, "--threads", str(nl.get_num_threads())])


def test_every_function_has_a_case() -> None:
    assert {case.key for case in cases.elementwise()} == set(FUNCTIONS)
    rows = {"softmax", "log_softmax", "logsumexp", "cross_entropy", "cross_entropy_with_grad"}
    assert {case.key for case in cases.rows()} == rows
    losses = {case.key.removesuffix("_with_grad").removesuffix("_backward") for case in cases.losses()}
    assert losses | {"cross_entropy"} == {row["name"] for row in _core.losses()}
    assert {case.shape[0] for case in cases.elementwise()} == {100, 2**16, 2**24}
    shapes = {(1, 1000), (10**6, 10), (65536, 64), (8192, 1024), (512, 32000)}
    assert {case.shape for case in cases.rows()} == shapes | {(256, 128256), (1024, 8192), (64, 8, 128, 128)}
    assert "softmax 64x8x128x128 axis=1" in {case.name for case in cases.rows()}
    functions = {case.key.removesuffix("_backward") for case in [*cases.elementwise(), *cases.losses()]}
    assert functions >= cases.WITHOUT_EXPONENTIAL


@pytest.mark.parametrize("name", [row["name"] for row in _core.losses() if "logits" in row["arguments"]])
def test_formulas_that_run_bare_warn_of_no_certain_logits(name: str) -> None:
    row = next(row for row in _core.losses() if row["name"] == name)
    for entry in (row["name"], row["name"] + "_backward", *([row["name"] + "_with_grad"] if row["with_grad"] else [])):
        formula = getattr(reference, entry).__wrapped__
        for dtype, sign in itertools.product(("float32", "float64"), (1, -1)):
            logits, y = sign * np.array([[800, 0.5], [-1, 900]], dtype), np.eye(2, dtype=dtype)
            given = {"logits": logits, "targets": y, "p": y * 0.5 + 0.25, "grad": 1.0}
            result = formula(*(given[n] for n in (["grad"] * entry.endswith("_backward") + row["arguments"])))
            assert not np.isnan(np.sum(result[0] if isinstance(result, tuple) else result))


def test_bytes() -> None:
    by_name = {case.name: case for case in cases.elementwise("float64")} | {case.name: case for case in cases.rows()}
    assert by_name["relu 64K float64"].bytes == 2 * 8 * 2**16
    assert by_name["swiglu_backward 64K float64"].bytes == 5 * 8 * 2**16
    assert by_name["softmax 512x32000"].bytes == 2 * 4 * 512 * 32000
    assert by_name["cross_entropy 1x1000"].bytes == 4 * 1000 + 8 + 4
    losses = {case.name: case for case in cases.losses()}
    assert losses["nll_loss 512x32000"].bytes == 512 * (64 + 8) + 4
    assert losses["nll_loss_backward 512x32000"].bytes == 512 * (4 * 32000 + 8)
    assert losses["categorical_cross_entropy_backward 512x32000"].bytes == 512 * (64 + 4 * 32000 + 8)
    assert losses["binary_cross_entropy 16M"].bytes == 2 * 4 * 2**24 + 4

    halves = {case.name: case for case in cases.elementwise("bfloat16")}
    assert halves["relu 64K bfloat16"].bytes == 2 * 2 * 2**16


def test_exponentials() -> None:
    by_name = {case.name: case.exponentials for case in [*cases.elementwise(), *cases.rows(), *cases.losses()]}
    for name in (
        "relu 100",
        "hard_swish_backward 100",
        "sigmoid_backward 100",
        "nll_loss 512x32000",
        "kl_divergence 512x32000",
    ):
        assert by_name[name] == 0
    for name in ("sigmoid 100", "gelu 100", "softplus_backward 100", "swiglu_backward 100"):
        assert by_name[name] == 100
    for name in ("softmax 1x1000", "logsumexp 1x1000", "cross_entropy_with_grad 1x1000"):
        assert by_name[name] == 1000
    assert by_name["kl_divergence_with_logits_with_grad 512x32000"] == 512 * 32000


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_passes(dtype: str) -> None:
    """They do what they claim, whatever the number of threads."""
    source, target = ceilings._arrays(1 << 15)
    numbers = source.view(dtype)
    numbers[:] = np.random.default_rng(0).uniform(-3, 3, numbers.size)
    passes = [name for names in ceilings.PASSES.values() for name in names]
    with nl.num_threads(1):
        total = _core.run_pass(f"exponentials of {dtype}", source, target, 3)
        np.testing.assert_allclose(total, 3 * np.exp(numbers).sum(dtype=np.float64), rtol=1e-5)
        if dtype == "float32":
            np.testing.assert_allclose(_core.run_pass("read", source, target, 1), numbers.sum(), rtol=1e-3)
    for name in passes:
        with nl.num_threads(2):
            target[:] = 0
            _core.run_pass(name, source, target, 1)
            if name.startswith("copy"):
                np.testing.assert_array_equal(target, source)
            elif name.startswith("write"):
                np.testing.assert_array_equal(target.view(np.float32), 1)
    assert ceilings._seconds("copy", source, target) > 0
    source[:] = 1  # the arrays are kept
    for name, a, b in (("none", source, target), ("copy", source[1:], target[1:]), ("copy", source[:4096], target)):
        with pytest.raises(ValueError, match=name):
            _core.run_pass(name, a, b, 1)


def test_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {"copy": 100.0, "read": 50.0, "write": 25.0}
    monkeypatch.setattr(ceilings.Ceilings, "_bandwidth", lambda self, kind, size: rates[kind])
    monkeypatch.setattr(ceilings.Ceilings, "_exponentials", lambda self, dtype: 10.0)
    by_name = {case.name: case for case in [*cases.elementwise(), *cases.rows(), *cases.losses()]}
    limits = {name: ceilings.Ceilings(1).limit(case) for name, case in by_name.items()}
    assert limits["relu 100"] == ceilings.Limit(800 / 100, 0)
    assert limits["relu 100"].by == "memory"
    assert limits["reglu 100"] == ceilings.Limit(800 / 100 + 400 / 50, 0)
    assert limits["sigmoid 100"] == ceilings.Limit(800 / 100, 100 / 10)
    assert (limits["sigmoid 100"].seconds, limits["sigmoid 100"].by) == (10, "exponentials")
    nll = by_name["nll_loss_backward 512x32000"]
    assert limits[nll.name].memory == pytest.approx(
        2 * nll.bytes_read / 100 + (nll.bytes_written - nll.bytes_read) / 25, rel=0.01
    )
    assert [ceilings.footprint(n) for n in (1, 65535, 65536, 2**40)] == [2**15, 2**15, 2**16, 2**27]


@pytest.mark.slow
def test_programs_in_company_agree() -> None:
    """Those that are measured, in their sizes; scikit-learn's trains as with its own functions, which it keeps."""
    pytest.importorskip("sklearn")
    base = importlib.import_module("sklearn.neural_network._base")
    before = dict(base.ACTIVATIONS), dict(base.DERIVATIVES)
    programs = company.programs()
    assert len(programs) == 8
    for program in programs:
        loops = company.compared_loops(program, None)
        assert set(loops) == {"nonlin", "NumPy"}
    assert before == (base.ACTIVATIONS, base.DERIVATIVES)


def test_training_in_company_has_the_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a rate that counts, its loss falls in every step, and nearly to nothing: a wrong gradient would not do that."""
    monkeypatch.setattr(company, "RATE", 0.1)
    step = company.training(6, 5, 4, 3).build(company.of_nonlin()).step
    losses = [step() for _ in range(200)]
    assert losses[-1] < 0.1 * losses[0]
    assert all(after < before for before, after in itertools.pairwise(losses))


@pytest.mark.parametrize("wrong", ["softmax", "tanh"])
def test_a_wrong_program_is_reported(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nl, wrong, lambda x, out: np.multiply(x, 1.1, out=out))
    program = company.between(8, "tanh") if wrong == "tanh" else company.attention(9, 4)
    with pytest.raises(AssertionError, match="nonlin and NumPy disagree"):
        company.compared_loops(program, None)


@pytest.mark.usefixtures("tiny")
def test_torch_agrees_in_company() -> None:
    torch = pytest.importorskip("torch")
    for program in company.programs():
        assert "torch" in company.compared_loops(program, torch)


@pytest.mark.usefixtures("tiny")
def test_company_is_measured(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "run.json"
    assert run("--only", "8 wide|training", "--save", str(saved)) == 0
    assert "In company" in capsys.readouterr().out
    data = json.loads(saved.read_text())
    assert data["cases"] == []
    assert [c["circumstance"] for c in data["company"]] == 2 * list(company.CIRCUMSTANCES)
    for c in data["company"]:
        assert c["ratios"]["NumPy"] > 0
        assert (c["of_parts"] is None) == c["program"].startswith("training")
        assert c["seconds"]["nonlin"]["median"] > 0


def test_the_usual_pace_is_that_of_the_quickest_product(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(np.repeat([1.0, 0.6, 0.7, 0.8, 0.6], 10))
    monkeypatch.setattr(company, "_timed", lambda step: next(seconds))
    pace = company.Pace()
    assert [pace.is_usual(pace.measure()) for _ in range(5)] == [True, True, True, False, True]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("patience", "counted", "unusual"), [(0, [0, 1], 1), (1e9, [1, 2], 0)])
def test_rounds_beside_slow_products_are_left_out(
    patience: float, counted: list[float], unusual: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of the rounds, at whose end products are slow, counts only where there is no patience."""
    seconds = iter(np.repeat([0.5, 0.9, 0.5, 0.5, 0.5, 0.5], 10))
    monkeypatch.setattr(company, "_timed", lambda step: next(seconds))
    rounds = iter(range(9))
    monkeypatch.setattr(company, "_round", lambda *_: ({"nonlin": [float(next(rounds))]}, {}))
    comparison = company.comparisons()[0]
    company.compare(comparison, None, 2, company.Pace(patience))
    assert comparison.seconds == {"nonlin": counted}
    assert comparison.unusual(0.5) == unusual
    assert comparison.unusual(0.3) == 2  # as when the least time came later


SLOW = {"bfloat16", "float64"}  # which go the ways of float16 and float32


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("dtype", [pytest.param(t, marks=pytest.mark.slow if t in SLOW else ()) for t in cases.DTYPES])
def test_all_contenders_agree(dtype: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    saved = tmp_path / "run.json"
    assert run("--dtype", dtype, "--save", str(saved)) == 0
    text = capsys.readouterr().out
    for word in ("softmax", "gelu_tanh_backward", "GB/s", "NumPy", "of limit", "best peer"):
        assert word in text
    data = json.loads(saved.read_text())
    losses = 0 if dtype in cases.HALVES else 2 * (len(_core.losses()) - 1)
    assert len(data["cases"]) == 3 * len(FUNCTIONS) + 2 * 5 + 3 + losses
    for case in data["cases"]:
        assert case["failures"] == []
        assert case["dtype"] == dtype
        assert case["results"]["fresh"]["seconds"]["nonlin"]["median"] > 0
        assert case["results"]["fresh"]["ratios"]["NumPy"]["median"] > 0
        assert case["results"]["fresh"]["share_of_limit"] > 0


def fixed_run(seconds: float, chosen: list[cases.Case]) -> report.Run:
    """As if each case took ``seconds`` or up to three times that, on a machine whose ceilings are 10 GB/s."""
    limits = ceilings.Ceilings(2)
    limits.exponentials["float32"] = [1e9]
    measurements = []
    for number, case in enumerate(chosen):
        limits.bandwidth[ceilings.footprint(case.bytes), "copy"] = [1e10]
        mode = "out=" if case.out else "fresh"
        ours = seconds * (1 + number % 3)
        times = {("nonlin", mode): [ours], ("nonlin", "fresh"): [2 * ours], ("NumPy", "fresh"): [(0.5 + number) * ours]}
        expressions = dict.fromkeys(times, "f(x)")
        measurements.append(measure.Measurement(case, times, expressions, limits=[ceilings.Limit(1e-5, 1e-5)]))
    return report.Run(measurements, [contenders.load_nonlin(nl.get_num_threads()), contenders.load_numpy(1)], limits)


@pytest.mark.parametrize(
    "seconds", [pytest.param(1e-12, marks=pytest.mark.slow), 1e-4, pytest.param(1e3, marks=pytest.mark.slow)]
)
def test_pictures_are_readable_whatever_the_figures(seconds: float) -> None:
    """All labels inside, none on another, and no warning of the layout."""
    run = fixed_run(seconds, [*cases.elementwise(), *cases.rows(), *cases.losses()])
    figure = plot.roofline(run)
    figure.draw_without_rendering()
    assert len(figure.axes) == 5
    for axes in figure.axes:
        low, high = axes.get_ylim()
        x_low, x_high = axes.get_xlim()
        assert (axes.bbox.width, axes.bbox.height) > (800, 300)
        columns: dict[float, list[float]] = {}
        for text in axes.texts:
            x, y = text.get_position()
            assert x_low <= x <= x_high
            assert low * 0.999 <= y <= high * 1.001
            columns.setdefault(x, []).append(axes.transData.transform((x, y))[1])
        for places in columns.values():
            assert min(np.diff(places), default=np.inf) > 0.9 * plot.FONT * figure.dpi / 72
        for line in axes.get_lines():  # points, ceilings and the lines to labels, but for the slope's ends
            heights = np.asarray(line.get_ydata())
            assert heights.size > 2 or low <= heights.min() <= heights.max() <= high * 1.001


def test_bars_are_drawn() -> None:
    """Without a warning of the layout; they are of ratios, and do not depend on the time."""
    plot.bars(fixed_run(1e-4, [*cases.elementwise(), *cases.rows(), *cases.losses()])).draw_without_rendering()


def test_picture_without_exponentials() -> None:
    plot.roofline(fixed_run(1e-4, [c for c in cases.elementwise() if c.key == "relu"])).draw_without_rendering()


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch, tiny: None) -> None:
    """Nothing is timed."""

    def draw(measurement: measure.Measurement, *_: Any) -> None:
        measurement.__dict__ |= fixed_run(1e-4, [measurement.case]).measurements[0].__dict__

    monkeypatch.setattr(measure, "measure", draw)


@pytest.mark.usefixtures("fixed")
def test_pictures_are_written(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roofline, bars = tmp_path / "run.png", tmp_path / "bars.svg"
    monkeypatch.setattr(ceilings.Ceilings, "median_bandwidth", lambda self: {2**15: {"copy": 1e10}})
    assert run("--only", "^(relu|softmax) ", "--plot", str(roofline), "--bars", str(bars)) == 0
    assert roofline.read_bytes().startswith(b"\x89PNG")
    assert b"PLTE" in roofline.read_bytes()[:200]  # few colours: a small file
    assert "<svg" in bars.read_text()


@pytest.mark.usefixtures("tiny")
def test_jax_agrees(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    known = {*contenders._jax_functions(pytest.importorskip("jax")), "softmax"}
    monkeypatch.setattr(contenders, "LOADERS", LOADED | {"JAX": contenders.load_jax})
    monkeypatch.setattr(cases, "ROW_SHAPES", ((3, 5),))
    saved = tmp_path / "run.json"
    assert run("--quick", "--save", str(saved)) == 0
    for case in json.loads(saved.read_text())["cases"]:
        assert ("JAX" in case["results"]["fresh"]["ratios"]) == (case["name"].split()[0] in known), case["name"]


IN_NUMBA = {*with_numba.ELEMENTWISE, *with_numba.IN_ROWS, "cross_entropy"}


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("loader", "keys", "keys64"),
    [
        (with_numba.load, IN_NUMBA, IN_NUMBA),
        (contenders.load_torch, set(contenders.TORCH), set(contenders.TORCH) - {"hard_sigmoid_backward"}),
        (contenders.load_onednn, set(contenders.ONEDNN), set()),
        (with_onnxruntime.load, set(with_onnxruntime.OPERATORS), with_onnxruntime.IN_DOUBLE),
        (with_litert.load, set(with_litert.OPERATORS), set()),
    ],
    ids=["numba", "torch", "oneDNN", "ONNX Runtime", "XNNPACK"],
)
def test_a_peer_computes_its_table(loader: Any, keys: set[str], keys64: set[str], dtype: str) -> None:
    """In both modes, with results like NumPy's; what is in its table is run."""
    try:
        peer = loader(nl.get_num_threads())
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    computed = set()
    for case in [*cases.elementwise(dtype), *cases.rows(dtype), *cases.losses(dtype)]:
        measurement = measure.Measurement(case)
        if peer.modes(case):
            samplers = list(measure.prepare(measurement, [contenders.load_numpy(1), peer], accuracy.Errors()))
            assert (measurement.failures, measurement.missing) == (set(), set())
            assert [mode for name, mode in measurement.seconds if name == peer.name] == peer.modes(case)
            assert not accuracy.measurable(case) or measurement.errors[peer.name] >= 0
            for sampler in samplers:
                sampler.sample()
            computed.add(case.key)
    assert computed == (keys if dtype == "float32" else keys64)


@pytest.mark.usefixtures("tiny")
@pytest.mark.filterwarnings("ignore")  # of torch's compiler
@pytest.mark.parametrize("name", ["relu 9", "swiglu_backward 9", "softmax 4x5 axis=0", "cross_entropy_with_grad 3x5"])
def test_compiled_functions_store_into_out(name: str) -> None:
    pytest.importorskip("torch")
    case = next(case for case in [*cases.elementwise(), *cases.rows()] if case.name == name)
    compiled, numpy, inputs = contenders.load_compiled(nl.get_num_threads()), contenders.load_numpy(1), case.inputs()
    call = compiled.call(case, "out=", inputs)
    results = compiled.arrays(call.function())
    assert measure.disagreement(results, numpy.arrays(numpy.call(case, "fresh", inputs).function())) is None
    for _ in range(2):  # the same memory again
        again = compiled.arrays(call.function())
        assert all(
            a.ctypes.data == b.ctypes.data for a, b in zip(results[-len(case.out) :], again[-len(case.out) :], strict=True)
        )


def test_largest_errors_are_counted_in_units() -> None:
    case = next(case for case in cases.elementwise() if case.name == "tanh 64K")

    def error(result: Any, exact: Any, dtype: Any = np.float32) -> float:
        value = np.array([exact], np.float64)
        return accuracy.largest_error(case, [np.array([result]).astype(dtype)], [accuracy.Exact(value, np.abs(value))])

    assert error(1, 1) == 0
    assert error(1, 1 + 2**-24) == 0.5
    assert error(2 - 2**-23, 2 + 2**-22) == pytest.approx(1.5)  # the unit is that of the exact value
    assert error(np.nan, 1) == np.inf
    assert error(0, 2.0**-126) == 2**23
    assert error(0, 2.0**-127) == 0  # flushed to zero
    assert error(2.0**-149, 0) == 1
    assert error(1, 1 + 2**-9, cases.as_dtype("float16")) == 2
    pytest.importorskip("ml_dtypes")
    assert error(1, 1 + 2**-7, cases.as_dtype("bfloat16")) == 1


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_errors_of_nonlin_are_those_promised(dtype: str) -> None:
    """The oracle is right on all numbers that are asked for, and finds a result that is four units off."""
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    nonlin, errors, found = contenders.load_nonlin(nl.get_num_threads()), accuracy.Errors(), set()
    seen: set[Any] = set()
    for case in cases.elementwise(dtype):
        # A large factor brings a gate's sub-normal digits into the normal range, where the bounds know no such factors.
        if case.shape[0] != cases.SMALL or len(case.arguments) > 1 or not accuracy.measurable(case):
            continue
        results = nonlin.arrays(nonlin.call(case, "fresh", case.inputs()).function())
        f = FUNCTIONS[case.key]
        assert errors.largest(nonlin, "fresh", case, results) <= f.ulp[dtype] + f.slack, case
        off = [result.copy() for result in results]
        place = int(np.argmax(np.abs(off[0])))
        off[0].view(f"u{off[0].itemsize}")[place] -= 8  # four units where a power of two begins
        assert errors.largest(nonlin, "fresh", case, off) > 3
        found.add(case.key)
        (last,) = set(errors.known) - seen  # the further numbers, measured once
        seen.add(last)
        errors.known[last] = 99
        assert errors.largest(nonlin, "fresh", case, results) == 99
    assert len(errors.known) == len(found) >= 15


@pytest.mark.parametrize("key", accuracy.CROSSING)
def test_errors_of_gradients_that_cross_zero(key: str) -> None:
    """They count in units of the terms that cancel there; elsewhere in those of the result."""
    nonlin = contenders.load_nonlin(nl.get_num_threads())
    case = next(case for case in cases.elementwise() if case.name == f"{key} 64K")
    results, wanted = nonlin.arrays(nonlin.call(case, "fresh", case.inputs()).function()), accuracy._exact(case)
    assert accuracy.largest_error(case, results, wanted) <= 4
    assert accuracy.largest_error(case, [result * np.float32(1 + 2**-19) for result in results], wanted) > 8


def test_errors_along_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every so many rows; those of losses from all."""
    nonlin = contenders.load_nonlin(nl.get_num_threads())
    monkeypatch.setattr(accuracy, "COMPARED", 64 * 100)
    for case in cases.rows():
        if case.shape != (65536, 64):
            continue
        case = dataclasses.replace(
            case,
            shape=(1000, 64),
            results=tuple((1000, *shape[1:]) if shape else shape for shape in case.results),
            out=tuple((1000, *shape[1:]) for shape in case.out),
        )
        assert accuracy.step(case) == (1 if "cross" in case.key else 11)
        results = nonlin.arrays(nonlin.call(case, "fresh", case.inputs()).function())
        errors = accuracy.Errors()
        assert errors.largest(nonlin, "fresh", case, results) <= 4
        again = accuracy.further(case)
        assert again is not None
        assert (again.shape, *errors.known) == ((4096, 64), ("nonlin", "fresh", again))
        wrong = [result * np.float32(1 + 2**-19) for result in results]
        assert errors.largest(nonlin, "fresh", case, wrong) > 8


def test_cases_of_the_comparison_with_all_peers(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--peers", "--list"]) == 0
    rows = "1000000x10", "65536x64", "8192x1024"
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(
        [
            *("tanh 100", "sigmoid 100", "sigmoid 256K float64", "silu 256K float64", "silu_backward 4M"),
            *(f"{name} 64K" for name in ("tanh", "sigmoid", "silu", "silu_backward", "softplus", "mish", "gelu")),
            *("softplus 16M", "mish 16M", "gelu 16M", "softmax 1x1000", "softmax 512x32000"),
            *("cross_entropy_with_grad 512x32000", "cross_entropy_with_grad 256x128256"),
            *(f"{name} {size}" for name in ("softmax", "log_softmax") for size in rows),
            *(f"{name} {size}" for name in ("cross_entropy", "cross_entropy_with_grad") for size in rows),
        ]
    )
    full = [case.name for case in command.select(command.parse(["--full"]))]
    assert len(full) == len(set(full))
    assert set(full) >= {case.name for case, _ in cases.peers()}
    assert not any("float64" in case.name or "4M" in case.name for case in command.select(command.parse([])))


@pytest.mark.usefixtures("tiny")
def test_peers_stand_in_one_table(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load_close(threads: int) -> contenders.Contender:
        return dataclasses.replace(contenders.load_numpy(threads), name="close")

    def load_rough(threads: int) -> contenders.Contender:
        function = contenders.load_numpy(threads).expressions
        return dataclasses.replace(
            contenders.load_numpy(threads), name="rough", expressions=lambda case: (f"{function(case)[0]} * 1.00001", None)
        )

    loaders = LOADED | {"close": load_close, "torch.compile": load_rough}
    monkeypatch.setattr(contenders, "LOADERS", loaders)
    saved = tmp_path / "run.json"
    assert run("--peers", "--only", "^(tanh|sigmoid) |with_grad 2x", "--save", str(saved)) == 0
    text = capsys.readouterr().out
    assert text.count("All peers") == 1
    assert "Nearest within 2.5 ULP, of 9 results: " in text.replace("\n", " ")
    found = {case["name"]: case for case in json.loads(saved.read_text())["cases"]}
    assert set(found) == {
        *("tanh 5", "tanh 9", "sigmoid 5", "sigmoid 9", "sigmoid 36 float64"),
        *("cross_entropy_with_grad 2x33", "cross_entropy_with_grad 2x40"),
    }
    assert set(found["cross_entropy_with_grad 2x33"]["results"]) == {"fresh", "out="}
    tanh = found["tanh 9"]
    assert set(tanh["results"]) == {"out="}
    assert tanh["errors"]["nonlin"] <= 1
    assert tanh["errors"]["NumPy"] == tanh["errors"]["close"] < 2.5 < 50 < tanh["errors"]["rough"]
    assert set(tanh["results"]["out="]["ratios"]) == {"NumPy", "close", "rough"}


def test_nearest_is_accurate() -> None:
    assert report.nearest_sentence([(2.0, "a"), (2.0, "b"), (0.25, "b"), None], [None]) == (
        "Nearest within 2.5 ULP, of 4 results: b in 2, a in 1; geometric mean 1.00x. "
        "Nearest, whatever the error, of 1 results: nobody."
    )
    measured = fixed_run(1e-4, [next(cases.elementwise())])
    (m,) = measured.measurements
    assert measured.best(m, "out=") == (0.5, "NumPy")
    for error, best in ((2.5, (0.5, "NumPy")), (2.6, None)):
        m.errors = {"NumPy": error}
        assert measured.best(m, "out=", report.ACCURATE) == best
    assert [report.error_text(ulp) for ulp in (0.5, 12.3, 184.2, 16777216.0)] == ["0.5", "12", "184", "2e7"]


def test_spinning_threads_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """After long calls too."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    call = contenders.Call("1", {})
    for repeats in (1, 3):
        measure.Sampler(call, repeats, [], settles=8e-3).sample()
        measure.Sampler(call, repeats, []).sample()
    assert slept == [8e-3, 8e-3]


@pytest.mark.usefixtures("tiny")
def test_page(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page and the README's table hold what was measured."""
    path = pathlib.Path(__file__).parents[1] / "tools" / "benchmark_page.py"
    spec = importlib.util.spec_from_file_location("benchmark_page", path)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    saved, page, readme = (tmp_path / name for name in ("run.json", "benchmarks.md", "README.md"))
    readme.write_text("before\n<!-- company -->\nold\n<!-- /company -->\nafter\n")
    for name, value in {"PAGE": page, "README": readme}.items():
        monkeypatch.setattr(tool, name, value)
    monkeypatch.setattr(command, "COMPANY_ROUNDS", 1)
    assert run("--full", "--only", "^(relu|softmax|product)", "--save", str(saved)) == 0
    tool.main(str(saved), str(saved))
    text = page.read_text()
    for part in (
        "| product, tanh, product, 8 wide, a core taken |",
        "## Elementwise, 9 elements",
        "| softmax, `out=` |",
        "## Rows, 4x5 axis=0",
        "| All |",
        "exponentials per second",
        "## All peers\n\nNearest within",  # the sentence
        "| softmax 3x5, `out=` |",
    ):
        assert part in text
    lines = readme.read_text().split("\n")
    assert (lines[0], lines[-2]) == ("before", "after")
    assert "old" not in lines
    assert sum(line.startswith("| product, tanh, product, 8 wide | ") for line in lines) == 1


def test_readme_has_the_marks_of_the_table() -> None:
    text = (pathlib.Path(__file__).parents[1] / "README.md").read_text()
    assert text.count("<!-- company -->\n| program, time of a step | nonlin |") == text.count("<!-- /company -->") == 1


@pytest.mark.usefixtures("tiny")
def test_a_contender_that_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first call is no time of measuring, and what it cannot run is missing, not wrong."""
    calls: list[str] = []

    def load_slow(threads: int) -> contenders.Contender:
        def slow(x: Any) -> Any:
            calls.append("call")
            if x.ndim == 2:
                raise RuntimeError("cannot compile\nand much more")
            return np.maximum(x, 0)

        numpy = contenders.load_numpy(threads)
        return dataclasses.replace(
            numpy, name="slow", expressions=lambda case: ("slow(x)", None), names={"slow": slow}, compiles=True
        )

    for case in (c for c in [*cases.elementwise(), *cases.rows()] if c.name in ("relu 9", "softmax 3x5")):
        measurement = measure.Measurement(case)
        competing = [contenders.load_nonlin(nl.get_num_threads()), contenders.load_numpy(1), load_slow(1)]
        measure.measure(measurement, competing, ceilings.Ceilings(1), 0)
        assert len(measurement.limits) == 1
        if case.flat:
            assert ("slow", "fresh") in measurement.seconds
            assert measurement.compiling > 0
        else:
            assert ("slow", "fresh") not in measurement.seconds
            assert measurement.missing == {"slow: slow(x): cannot compile"}
    assert len(calls) >= 3


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("name", "code"), [("nonlin", 1), ("contender", 0)])
def test_a_wrong_result_is_reported(
    name: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load_wrong(threads: int) -> contenders.Contender:
        return dataclasses.replace(contenders.load_numpy(threads), name=name, expressions=lambda case: ("x * 1.001", None))

    monkeypatch.setattr(contenders, "LOADERS", LOADED | {"wrong": load_wrong})
    assert run("--only", "^relu 9$") == code
    assert f"{name}: relu 9" in capsys.readouterr().err


@pytest.mark.usefixtures("tiny")
def test_only_list_and_quick(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list", "--only", "^tanh") == 0
    assert capsys.readouterr().out.split("\n") == [
        "tanh 5",
        "tanh_backward 5",
        "tanh 9",
        "tanh_backward 9",
        "tanh 17",
        "tanh_backward 17",
        "",
    ]
    assert run("--list", "--quick", "--only", "^tanh ") == 0
    assert capsys.readouterr().out == "tanh 9\n"
    assert run("--only", "nothing") == 2
    assert "nothing" in capsys.readouterr().err


def test_contenders_by_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = []

    def loader(name: str) -> Any:
        def contender(threads: int) -> Any:
            if name == "JAX":
                raise ModuleNotFoundError("No module named 'jax'", name="jax")
            loaded.append(name)
            return name

        return contender

    assert all(contenders.LOADERS[name](1).name == name for name in contenders.ALWAYS)
    monkeypatch.setattr(contenders, "LOADERS", {name: loader(name) for name in contenders.LOADERS})
    load: Any = contenders.load
    assert command.parse(["--against", "numpy, onnx runtime"]).against == ["NumPy", "ONNX Runtime"]
    assert command.parse(["--against", "torch", "--compile"]).against == ["torch", "torch.compile"]
    assert load(1, ["ONNX Runtime"]) == loaded == ["nonlin", "NumPy", "ONNX Runtime"]
    assert "JAX" not in load(1)
    assert "torch.compile" not in load(1)
    assert load(1, compiled=True)[-1] == "torch.compile"
    assert command.main(["--against", "jax", "--only", "^relu 64K$"]) == 2
    assert "not installed: jax" in capsys.readouterr().err
    assert [command.parse(["--peers", *more]).compile for more in ([], ["--against", "torch"])] == [True, False]


def figures(ours: float, numpy: float, spread: float = 0) -> dict[str, Any]:
    """A saved run of a case and a program."""
    seconds = {"median": ours, "q1": ours * (1 - spread / 2), "q3": ours * (1 + spread / 2)}
    result = {"seconds": {"nonlin": seconds}, "ratios": {"NumPy": {"median": numpy / ours}}}
    program = {"program": "p", "circumstance": "alone", "seconds": {"nonlin": seconds}, "ratios": {"NumPy": numpy / ours}}
    return {"cases": [{"name": "relu 9", "results": {"fresh": result}}], "company": [program]}


@pytest.mark.parametrize(
    ("after", "verdict", "factor"),
    [
        (figures(1, 5), "same", 1),
        (figures(1.3, 5), "slower", 1.3),
        (figures(1.3, 5.5), "slower", 1.3 / 1.1),  # NumPy takes longer too
        (figures(1.3, 6.5), "same", 1),  # the whole machine does
        (figures(1, 3), "same", 1),  # NumPy takes less
        (figures(1.1, 5), "same", 1.1),
        (figures(1.3, 5, 0.5), "same", 1.3),  # that is noise
        (figures(0.5, 5), "faster", 0.5),
        (figures(0.5, 2.5), "same", 1),
        (figures(0.95, 5), "same", 0.95),
    ],
)
def test_a_result_is_slower_where_two_figures_say_so(after: dict[str, Any], verdict: str, factor: float) -> None:
    found = compare.changes(figures(1, 5), after, 10.5)
    assert [change.name for change in found] == ["p, alone", "relu 9, fresh"]
    for change in found:
        assert change.verdict == verdict
        assert change.factor == pytest.approx(factor)


def test_results_of_both_runs_are_compared() -> None:
    before, after = figures(1, 5), figures(2, 5)
    after["cases"][0]["name"] = "new 9"
    del before["company"][0]["ratios"]["NumPy"]  # its own time alone
    assert [(c.name, c.before, c.after, c.factor) for c in compare.changes(before, after, 0)] == [("p, alone", 1, 2, 2)]


@pytest.mark.usefixtures("fixed")
def test_compare(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved, written = tmp_path / "run.json", tmp_path / "run.html"
    assert run("--only", "^(relu|tanh) 9$", "--save", str(saved)) == 0
    data = json.loads(saved.read_text())
    assert run("--only", "^(relu|tanh) 9$", "--compare", str(saved)) == 0
    assert "0 slower, 0 faster, 4 within the noise" in " ".join(capsys.readouterr().out.split())
    for result in data["cases"][0]["results"].values():  # as if relu had taken 0.8 of the time
        for figure in ("median", "q1", "q3"):
            result["seconds"]["nonlin"][figure] *= 0.8
            result["ratios"]["NumPy"][figure] /= 0.8
    data["machine"]["processor"] = "another"
    saved.write_text(json.dumps(data))
    assert run("--only", "^(relu|tanh) 9$", "--compare", str(saved), "--html", str(written)) == 1
    text = capsys.readouterr().out
    assert "2 slower, 0 faster, 2 within the noise" in " ".join(text.split())
    assert "relu 9, out=" in text
    assert "1.25x" in text
    assert "processor: another, now" in text
    assert page.VERDICTS["slower"] in written.read_text()
    assert run("--only", "^(relu|tanh) 9$", "--compare", str(saved), "--noise", "30") == 0
    assert run("--only", "^gelu 9$", "--compare", str(saved)) == 2
    assert "none of these cases" in capsys.readouterr().err


class Svg(html.parser.HTMLParser):
    """The points of plots, with their titles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.circles: list[dict[str, str | None]] = []
        self.titles: list[str] = []
        self.links: list[str | None] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "circle":
            self.circles.append(dict(attrs))
        self.links += [value for name, value in attrs if name in ("href", "src", "srcset", "data", "xlink:href")]

    def handle_data(self, data: str) -> None:
        if self.tags[-2:] == ["circle", "title"]:
            self.tags.append("")
            self.titles.append(data)


@pytest.mark.usefixtures("fixed")
def test_html(tmp_path: pathlib.Path) -> None:
    """A point for every ratio, with its figures; nothing from elsewhere."""
    saved, report_file = tmp_path / "run.json", tmp_path / "run.html"
    assert run("--quick", "--only", "^(relu|softmax|nll)", "--save", str(saved), "--html", str(report_file)) == 0
    cases_found, text = json.loads(saved.read_text())["cases"], report_file.read_text()
    found = Svg(text)
    ratios = [result["ratios"]["NumPy"]["median"] for case in cases_found for result in case["results"].values()]
    assert len(found.circles) == len(found.titles) == len(ratios) > 10
    for ratio, title in zip(ratios, found.titles, strict=True):
        assert f"NumPy: {ratio:.2f}x nonlin's" in title
    assert found.links == []
    assert all(part not in text for part in ("http:", "https:", "@import", "url("))
    assert {case["title"] for case in cases_found} <= set(re.findall("<h2>(.*?)</h2>", text))
    assert "Ceilings (GB/s), by footprint" in text  # the tables


def test_plot_of_the_report() -> None:
    """Points lie in the picture, in order, the line of 1 between them; what they say is escaped."""
    for xs in ([1e-3, 0.5, 1.0, 2.0, 1e5], [1.0], [3.0, 7.0], [0.2, 0.3], []):
        text = page.plot([page.Row("a < b", [page.Dot(x, "#000", f"<{x}>") for x in xs], 1.5)])
        places = [float(circle["cx"] or "nan") for circle in Svg(text).circles]
        assert places == sorted(places)
        assert all(page.LEFT <= place <= page.LEFT + page.WIDTH for place in places)
        assert "a &lt; b" in text
        ticks = [float(tick) for tick in re.findall(r">([\d.e+-]+)x</text>", text)]
        assert 1 in ticks
        assert 2 <= len(ticks) <= 20


@pytest.mark.parametrize(
    "arguments",
    [
        ["--threads", "0"],
        ["--only", "("],
        ["--against", "torsh"],
        ["--compare", "no/such/run.json"],
        ["--compare", __file__],
        ["--noise", "-1"],
        ["--html", "no/such/folder/x.html"],
        ["--plot", "x.txt"],
        ["--bars", "x.txt"],
        ["--save", "no/such/folder/x.json"],
        ["--dtype", "int8"],
        ["--dtype", "float64", "--peers"],
        ["x"],
    ],
    ids=str,
)
def test_wrong_options(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        command.main(arguments)
    assert error.value.code == 2
    assert arguments[0].lstrip("-") in capsys.readouterr().err


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_disagreement(dtype: Any) -> None:
    x = np.linspace(-1, 1, 1001, dtype=dtype)
    assert measure.disagreement([x], [x]) is None
    assert measure.disagreement([x + np.finfo(dtype).eps], [x]) is None
    for wrong in (x * dtype(1.01), x[:-1], x.astype(np.float16), np.where(x == 0, np.nan, x)):
        assert measure.disagreement([wrong], [x])
    assert measure.disagreement([x, x], [x])


@pytest.mark.parametrize("dtype", cases.HALVES)
def test_disagreement_of_halves(dtype: str) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    kind = cases.as_dtype(dtype)
    x = np.linspace(1, 2, 101, dtype=np.float32)
    assert measure.disagreement([x.astype(kind)], [(x * 1.003).astype(kind)]) is None
    assert measure.disagreement([(x * 1.2).astype(kind)], [x.astype(kind)])
    assert measure.disagreement([x], [x.astype(kind)])
    loss = np.float32(1.5)
    assert measure.disagreement([np.asarray(loss.astype(kind))], [np.asarray(loss)]) is None  # a loss of 16 bits


def test_spread() -> None:
    assert plot.spread([0.0, 10.0, 20.0], 1.0) == [0.0, 10.0, 20.0]
    assert plot.spread([5.0, 5.0, 5.0], 1.0) == [4.0, 5.0, 6.0]
    assert plot.spread([0.0, 0.0, 0.25], 1.0) == pytest.approx([-0.91666667, 0.08333333, 1.08333333])
    assert plot.spread([0.0, 11.0, 12.0], 1.0, (2.0, 10.0)) == [2.0, 9.0, 10.0]
    assert plot.spread([1.0, 1.0, 1.0], 1.0, (0.0, 1.0)) == [0.0, 1.0, 2.0]  # no room
