from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from audit.ranges import NO_FRAMES, Ranges, profile

BOUNDS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)).map(lambda p: (p[0], p[0] + p[1])), max_size=6)


def members(ranges: Ranges) -> set[int]:
    return {frame for first, end in ranges for frame in range(first, end)}


def expected(bounds: list[tuple[int, int]]) -> set[int]:
    return {frame for first, end in bounds for frame in range(first, end)}


@given(BOUNDS, BOUNDS)
def test_ranges_are_sets_of_frames(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    x, y = Ranges.between(a), Ranges.between(b)
    assert members(x) == expected(a)
    assert members(x & y) == expected(a) & expected(b)
    assert members(x - y) == expected(a) - expected(b)
    assert members(Ranges.union([x, y])) == expected(a) | expected(b)
    assert (x & y).frames == len(expected(a) & expected(b))
    assert x.holds(np.arange(50, dtype=np.uint64)).tolist() == [frame in expected(a) for frame in range(50)]


@given(BOUNDS, BOUNDS)
def test_ranges_neither_overlap_nor_touch(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    for ranges in (Ranges.between(a), Ranges.between(a) - Ranges.between(b), Ranges.between(a) & Ranges.between(b)):
        pairs = list(ranges)
        assert all(first < end for first, end in pairs)
        assert all(end < first for (_, end), (first, _) in pairwise(pairs))


@given(BOUNDS, BOUNDS, BOUNDS)
def test_a_profile_cuts_where_membership_changes(
    within: list[tuple[int, int]], a: list[tuple[int, int]], b: list[tuple[int, int]]
) -> None:
    cut = profile(Ranges.between(within), [(1, Ranges.between(a)), (2, Ranges.between(b))])
    found = {f: n for first, end, n in zip(*cut, strict=True) for f in range(int(first), int(end))}
    assert found == {f: (f in expected(a)) + 2 * (f in expected(b)) for f in expected(within)}


def test_the_whole_physical_address_space_is_a_range() -> None:
    everything = Ranges.between([(0, 1 << 40)])
    assert (everything - NO_FRAMES).frames == 1 << 40
    assert not everything - everything
