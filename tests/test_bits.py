"""Results keep their bits, for a fixed corpus over functions, dtypes, layouts and instruction sets."""

import json

import pytest

import nonlin as nl

from . import bits

KNOWN = json.loads(bits.FILE.read_text())


@pytest.mark.parametrize("target", nl.simd_targets())
def test_results_keep_their_bits(target: str) -> None:
    known = KNOWN["targets"].get(target)
    if known is None or (target != "SCALAR" and bits.maker() != KNOWN["maker"]):
        pytest.skip(f"tests/bits.json has nothing for {target} of {bits.maker()}")
    found = bits.digests_of(target)
    assert [name for name, value in known.items() if found.get(name) != value] == []  # new functions may be missing there
