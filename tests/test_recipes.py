"""Every recipe keeps what it promises, where the packages that it needs are installed; `make recipes` installs them."""

import ast
import importlib
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
from typing import Any

import numpy as np
import pytest

import nonlin as nl

from .fresh import PATIENCE

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "recipes"
RECIPES = sorted(FOLDER.glob("*.py"))


def needed(recipe: pathlib.Path) -> set[str]:
    """The packages that it imports, wherever it does."""
    nodes = list(ast.walk(ast.parse(recipe.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)


def skip_without(*packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


def program(name: str) -> str:
    """Its path, beside Python's or elsewhere."""
    path = shutil.which(name, path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")]))
    if path is None:
        pytest.skip(f"there is no {name}")
    return path


def output_of(command: list[str], folder: pathlib.Path) -> str:
    settings = {
        "HOME": str(folder),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", "")]),
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=200 * PATIENCE, cwd=folder, env={**os.environ, **settings}
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture
def recipe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of this name, imported as a user's copy of it is."""
    skip_without(*needed(FOLDER / f"{request.param}.py") - {"pyspark"})  # which that recipe imports late
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module(request.param)


def numbers(output: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?(?:e[-+]\d+)?", output)]


def has_the_same_bits(output: str) -> None:
    assert output.strip().endswith("bits of one call: True")


def mpi_vocabulary(output: str) -> None:
    processes, loss, grad = numbers(output)
    assert processes == 3
    assert loss < 4 * np.finfo(np.float32).eps
    assert grad < 8 * np.finfo(np.float32).eps
    assert output.strip().endswith("same bits: True")


def onnx_reference(output: str) -> None:
    for line in output.splitlines():
        assert numbers(line)[0] < 4e-6


def ray_rows(output: str) -> None:
    _, loss, grad = numbers(output)
    assert loss < 1e-6
    assert grad < 1e-6


def sklearn_mlp(output: str) -> None:
    for line in output.splitlines():
        theirs, ours, _ = numbers(line)
        assert abs(theirs - ours) <= 1


def thinc_ops(output: str) -> None:
    difference, of_gradients, _ = numbers(output)
    assert 0 < difference < 1e-5  # 0 would mean that they are not used
    assert 0 < of_gradients < 1e-4


PROMISES = {check.__name__: check for check in (mpi_vocabulary, onnx_reference, ray_rows, sklearn_mlp, thinc_ops)}
PROMISES |= dict.fromkeys(("joblib_rows", "shared_memory", "spark_udf"), has_the_same_bits)


LONG = {"sklearn_mlp"}  # whose functions are tested below


@pytest.mark.parametrize(
    "path", [pytest.param(p, marks=pytest.mark.slow if p.stem in LONG else (), id=p.stem) for p in RECIPES]
)
def test_recipe(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    packages = needed(path)
    skip_without(*packages)
    command = [sys.executable, str(path)]
    if "pyspark" in packages:
        program("java")
    if "mpi4py" in packages:
        command = [program("mpiexec"), "-n", "3", *command]
    PROMISES[path.stem](output_of(command, tmp_path))


def test_each_is_known_and_shown() -> None:
    names = {path.stem for path in RECIPES}
    assert names == set(PROMISES)
    assert (
        set(re.findall(r"literalinclude\} \.\./examples/recipes/(\w+)\.py", (ROOT / "docs/recipes.md").read_text())) == names
    )


@pytest.mark.parametrize("recipe", ["spark_udf"], indirect=True)
def test_functions_of_columns(recipe: Any, rng: np.random.Generator) -> None:
    """What Spark calls for each batch, without Spark."""
    pd = pytest.importorskip("pandas")
    logits, label = rng.standard_normal((7, 5)), np.arange(7) % 5
    index = pd.Index(range(3, 10))
    result = recipe.probability(pd.Series(logits[:, 0], index))
    assert result.index.equals(index)
    np.testing.assert_array_equal(result, nl.sigmoid(logits[:, 0]))
    losses = recipe.loss(pd.Series(list(logits)), pd.Series(label))
    np.testing.assert_array_equal(losses, nl.cross_entropy(logits, label, reduction="none"))


@pytest.mark.parametrize("recipe", ["sklearn_mlp"], indirect=True)
def test_patch_ends(recipe: Any) -> None:
    dictionaries = recipe._base.ACTIVATIONS, recipe._base.DERIVATIVES, recipe._base.LOSS_FUNCTIONS
    before = [dict(dictionary) for dictionary in dictionaries]
    with recipe.patched():
        for dictionary, old in zip(dictionaries, before, strict=True):
            assert dictionary.keys() == old.keys()
            assert dictionary != old
    assert [dict(dictionary) for dictionary in dictionaries] == before


@pytest.mark.slow
def test_scikit_learns_own_tests(tmp_path: pathlib.Path) -> None:
    """Those of its networks, but for those that train long."""
    skip_without("sklearn")
    code = """
import sys, pytest, sklearn_mlp
modules = ["sklearn.neural_network.tests." + name for name in ("test_base", "test_mlp")]
slow = "partial_fit or lbfgs or warm_start or n_iter or multi"
with sklearn_mlp.patched():
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-k", f"not ({slow})", "--pyargs", *modules]))
"""
    output = output_of([sys.executable, "-c", code], tmp_path)
    passed = re.search(r"(\d+) passed", output)
    assert passed is not None, output
    assert int(passed[1]) >= 20, output


@pytest.mark.parametrize("recipe", ["thinc_ops"], indirect=True)
def test_thinc_operations(recipe: Any, rng: np.random.Generator) -> None:
    """All that the class defines, beside what it inherits from, in place too."""
    theirs, ours = recipe.NumpyOps(), recipe.NonlinOps()
    x, grad = rng.standard_normal((2, 30, 20)).astype(np.float32)
    names = [name for name in vars(recipe.NonlinOps) if hasattr(recipe.NumpyOps, name) and callable(getattr(ours, name))]
    assert len(names) >= 18
    for name in [name for name in names if not name.startswith("_")]:
        y = theirs.softmax(x) if "softmax" in name else theirs.sigmoid(x) if "sigmoid" in name else x
        arguments = [x]
        if name.startswith("backprop"):
            arguments = [y, grad] if "softmax" in name else [grad, y, theirs.swish(x)] if name[9:] == "swish" else [grad, y]
        expected = getattr(theirs, name)(*[a.copy() for a in arguments])
        np.testing.assert_allclose(getattr(ours, name)(*arguments), expected, rtol=2e-5, atol=2e-6, err_msg=name)
        if name != "backprop_softmax":
            copies = [a.copy() for a in arguments]
            result = getattr(ours, name)(*copies, inplace=True)
            assert result is copies[0]
            np.testing.assert_allclose(result, expected, rtol=2e-5, atol=2e-6, err_msg=name)
    np.testing.assert_allclose(ours.softmax(x, temperature=0.5), theirs.softmax(x, temperature=0.5), rtol=1e-5)


@pytest.mark.parametrize("recipe", ["onnx_reference"], indirect=True)
@pytest.mark.filterwarnings("ignore::RuntimeWarning:onnx")
def test_onnx_own_tests(recipe: Any) -> None:
    """Each of ONNX's test models that has one of these operators in it, alone or among others."""
    cases = importlib.import_module("onnx.backend.test.case.node")
    names = {name.lower() for name in recipe.FUNCTIONS}
    for path in map(pathlib.Path, cases.__path__):
        for module in path.glob("*.py"):
            if module.stem.replace("_", "") in names:
                importlib.import_module(f"{cases.__name__}.{module.stem}")
    tested = set()
    for case in cases._NodeTestCases:
        used = {node.op_type for node in case.model.graph.node} & set(recipe.FUNCTIONS)
        if not used:
            continue
        evaluator = recipe.ReferenceEvaluator(case.model, new_ops=recipe.OPERATORS)
        for inputs, outputs in case.data_sets:
            results = evaluator.run(None, dict(zip([i.name for i in case.model.graph.input], inputs, strict=True)))
            for result, expected in zip(results, outputs, strict=True):
                assert (result.dtype, result.shape) == (expected.dtype, expected.shape), case.name
                np.testing.assert_allclose(result, expected, rtol=case.rtol, atol=case.atol, err_msg=case.name)
        tested |= used
    assert tested == set(recipe.FUNCTIONS)
