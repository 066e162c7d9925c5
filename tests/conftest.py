"""Fixtures and markers for all tests."""

from collections.abc import Iterator

import numpy as np
import pytest

import nonlin as nl


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "every_target: runs once more under each SIMD target, by test_runtime.py")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.fixture(autouse=True)
def _same_threads_after() -> Iterator[None]:
    before = nl.get_num_threads()
    yield
    nl.set_num_threads(before)
