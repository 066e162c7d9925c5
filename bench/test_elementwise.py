"""Forward and backward of every row of the table."""

from nonlin.bench import cases
from nonlin.bench.measure import disagreement

CASES = cases.elementwise


def test_elementwise(result, expected):
    assert disagreement(result, expected) is None
