"""Softmax and cross-entropy along the last axis."""

from nonlin.bench import cases
from nonlin.bench.measure import disagreement

CASES = cases.rows


def test_rows(result, expected):
    assert disagreement(result, expected) is None
