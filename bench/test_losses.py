"""The losses with their gradients, but for cross-entropy, which is among the rows."""

from nonlin.bench import cases
from nonlin.bench.measure import disagreement

CASES = cases.losses


def test_losses(result, expected):
    assert disagreement(result, expected) is None
