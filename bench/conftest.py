"""Suites on the cases of ``python -m nonlin.bench``: one test per case, contender and mode, compared per case.

``pytest bench`` takes the elementwise functions at 64K elements; ``--all-sizes`` adds 100 and 16M.
"""

import functools

import pytest

import nonlin
from nonlin.bench import cases, contenders


def pytest_addoption(parser):
    parser.addoption("--all-sizes", action="store_true", help="elementwise functions at 100 and 16M elements, too")


def pytest_generate_tests(metafunc):
    """``entry``: a contender, a case and a mode, for all cases that the module's CASES yields."""
    if "entry" not in metafunc.fixturenames:
        return
    entries = []
    for case in metafunc.module.CASES():
        if case.kind == "elementwise" and case.shape[0] != cases.MEDIUM and not metafunc.config.getoption("--all-sizes"):
            continue
        mark = pytest.mark.benchmark(group=case.name, min_rounds=3, max_time=0.1)
        for contender in competing():
            for mode in contender.modes(case):
                name = f"{case.name} {contender.name} {mode}"
                entries.append(pytest.param((contender, case, mode), marks=mark, id=name))
    metafunc.parametrize("entry", entries)


@functools.cache
def competing():
    return contenders.load(nonlin.get_num_threads())


@functools.lru_cache(maxsize=1)
def numpy_result(case):
    numpy = next(contender for contender in competing() if contender.name == "NumPy")
    return numpy.arrays(numpy.call(case, "fresh", case.inputs()).function())


@pytest.fixture
def result(benchmark, entry):
    """What was timed."""
    contender, case, mode = entry
    return contender.arrays(benchmark(contender.call(case, mode, case.inputs()).function))


@pytest.fixture
def expected(entry):
    """The result of the NumPy formula."""
    return numpy_result(entry[1])
