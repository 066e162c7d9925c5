"""Fixtures and options for all tests."""

import copy
import functools
import inspect
import zlib
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import pytest

import nonlin as nl


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sample", metavar="I/N", help="of each function's tests only a part, the I-th of N; I is 0 to N - 1")


def sample(ids: list[str], i: int, n: int) -> set[str]:
    """The I-th of N parts, the same in every run and at least one of each function; all parts together are everything."""
    functions: dict[str, list[str]] = {}
    for name in sorted(ids, key=lambda name: zlib.crc32(name.encode())):
        functions.setdefault(name.split("[")[0], []).append(name)
    return {name for names in functions.values() for name in names[i % len(names) :: n]}


@pytest.hookimpl(trylast=True)  # after -m
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    part = config.getoption("--sample", default=None)
    if part:
        chosen = sample([item.nodeid for item in items], *map(int, part.split("/")))
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in chosen])
        items[:] = [item for item in items if item.nodeid in chosen]


def each(name: str, values: Collection[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """As parametrize, but within one test, where a case takes no longer than what a test costs; a failure names the value.

    What a value skips is not skipped for others. It stands below all other decorators.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def with_all(**given: Any) -> None:
            skipped: list[BaseException] = []
            for value in values:
                fresh = {k: copy.deepcopy(v) if isinstance(v, np.random.Generator) else v for k, v in given.items()}
                try:
                    test(**{name: value}, **fresh)
                except pytest.skip.Exception as skip:
                    skipped.append(skip)
                except Exception as error:
                    error.add_note(f"where {name} is {value!r}")
                    raise
            if len(skipped) == len(values):
                raise skipped[0]

        signature = inspect.signature(test)
        rest = [parameter for key, parameter in signature.parameters.items() if key != name]
        with_all.__dict__ |= {"__signature__": signature.replace(parameters=rest)}
        del with_all.__dict__["__wrapped__"]
        return with_all

    return decorate


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.fixture(autouse=True)
def _same_threads_after() -> Iterator[None]:
    before = nl.get_num_threads()
    yield
    nl.set_num_threads(before)
