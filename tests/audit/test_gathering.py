"""Frames that leaves grant, collected on the board and beyond it, against a set."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.gathering import REGION_BITS, Gathering
from audit.ranges import Ranges
from audit.reach import Rights

EDGES = st.builds(lambda region, offset: (region << REGION_BITS) + offset, st.integers(1, 4), st.integers(-3, 3))
SINGLE = st.lists(EDGES, max_size=12)
SPAN = st.lists(st.tuples(EDGES, st.integers(1, 1 << REGION_BITS + 1)), max_size=3)
PIECES = st.lists(st.tuples(st.sampled_from([Rights.READ, Rights.READ | Rights.WRITE]), SINGLE, SPAN), max_size=5)


@settings(max_examples=150, deadline=None)
@given(PIECES)
def test_what_is_collected_is_the_union_by_rights(pieces):
    gathering = Gathering("test")
    expected: dict[Rights, list[tuple[int, int]]] = {}
    for rights, frames, ranges in pieces:
        gathering.add(int(rights), np.array(frames, np.uint64))
        first, count = (np.array([one[place] for one in ranges], np.uint64) for place in (0, 1))
        gathering.add_ranges(int(rights), first, count)
        bounds = expected.setdefault(rights, [])
        bounds += [(frame, frame + 1) for frame in frames] + [(start, start + number) for start, number in ranges]
    found = {rights: list(ranges) for rights, ranges in gathering.result().items()}
    assert found == {rights: list(Ranges.between(bounds)) for rights, bounds in expected.items() if bounds}
