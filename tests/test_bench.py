"""The machinery of `python -m nonlin.bench`, on arrays of a few elements."""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import pytest

import nonlin as nl
from nonlin import _core
from nonlin.bench import cases, contenders

from .oracle import FUNCTIONS

pytest.importorskip("rich")
pytest.importorskip("matplotlib")

from nonlin.bench import __main__ as command
from nonlin.bench import measure


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"SMALL": 5, "MEDIUM": 9, "LARGE": 17}
    for name, size in sizes.items():
        monkeypatch.setattr(cases, name, size)
    monkeypatch.setattr(cases, "SIZES", tuple(sizes.values()))
    monkeypatch.setattr(cases, "ROW_SHAPES", ((3, 5), (2, 33)))
    monkeypatch.setattr(cases, "LOSS_SHAPES", {"targets": (3, 5), "rows": (3, 5), "elements": (17,)})
    for name, value in {"SAMPLE": 1e-9, "MIN_ROUNDS": 1, "MAX_ROUNDS": 1}.items():
        monkeypatch.setattr(measure, name, value)
    monkeypatch.setattr(measure, "copy_bandwidth", lambda threads: 1e10)


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
    assert {case.shape for case in cases.rows()} == {(1, 1000), (10**6, 10), (65536, 64), (8192, 1024), (512, 32000)}


def test_bytes() -> None:
    by_name = {case.name: case for case in cases.elementwise("float64")} | {case.name: case for case in cases.rows()}
    assert by_name["relu 64K"].bytes == 2 * 8 * 2**16
    assert by_name["swiglu_backward 64K"].bytes == 5 * 8 * 2**16
    assert by_name["softmax 512x32000"].bytes == 2 * 4 * 512 * 32000
    assert by_name["cross_entropy 1x1000"].bytes == 4 * 1000 + 8 + 4
    losses = {case.name: case for case in cases.losses()}
    assert losses["nll_loss_backward 512x32000"].bytes == 512 * (2 * 4 * 32000 + 8)
    assert losses["binary_cross_entropy 16M"].bytes == 2 * 4 * 2**24 + 4


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_contenders_agree(dtype: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved, picture = tmp_path / "run.json", tmp_path / "run.png"
    assert run("--dtype", dtype, "--save", str(saved), "--plot", str(picture)) == 0
    text = capsys.readouterr().out
    for word in ("softmax", "gelu_tanh_backward", "GB/s", "NumPy"):
        assert word in text
    data = json.loads(saved.read_text())
    assert len(data["cases"]) == 3 * len(FUNCTIONS) + 2 * 5 + 2 * (len(_core.losses()) - 1)
    for case in data["cases"]:
        assert case["failures"] == []
        assert case["dtype"] == dtype
        assert case["results"]["fresh"]["seconds"]["nonlin"]["median"] > 0
        assert case["results"]["fresh"]["ratios"]["NumPy"]["median"] > 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("tiny")
def test_a_wrong_result_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def load_wrong(threads: int) -> contenders.Contender:
        return dataclasses.replace(
            contenders.load_numpy(threads), name="wrong", expressions=lambda case: ("x * 1.001", None)
        )

    monkeypatch.setattr(contenders, "LOADERS", [contenders.load_nonlin, contenders.load_numpy, load_wrong])
    assert run("--filter", "^relu 9$") == 1
    assert "relu 9, wrong" in capsys.readouterr().err


@pytest.mark.usefixtures("tiny")
def test_filter_list_and_quick(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list", "--filter", "^tanh") == 0
    assert capsys.readouterr().out.split("\n") == [
        "tanh 5",
        "tanh_backward 5",
        "tanh 9",
        "tanh_backward 9",
        "tanh 17",
        "tanh_backward 17",
        "",
    ]
    assert run("--list", "--quick", "--filter", "^tanh ") == 0
    assert capsys.readouterr().out == "tanh 9\n"
    assert run("--filter", "nothing") == 2
    assert "nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--threads", "0"],
        ["--filter", "("],
        ["--plot", "x.txt"],
        ["--save", "no/such/folder/x.json"],
        ["--dtype", "int8"],
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
