"""Sets of frames as sorted ranges: what the decisions are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]

_NOTHING: Final = np.zeros(0, np.uint64)
_LAST: Final = np.uint64(1 << 63)
_BLOCK: Final = 1 << 12


@dataclass(frozen=True)
class Ranges:
    """A set of frames: ranges [first, end), ascending, neither overlapping nor touching.

    first, end: uint64, shape (n,).
    """

    first: Numbers
    end: Numbers

    @staticmethod
    def of(first: Numbers, count: Numbers) -> Ranges:
        """The union of [first, first + count); they may overlap and stand in any order."""
        if not len(first):
            return NO_FRAMES
        if np.any(first[1:] < first[:-1]):
            order = np.argsort(first, kind="stable")
            first, count = first[order], count[order]
        ends = np.maximum.accumulate(first + count)
        starts = np.flatnonzero(first[1:] > ends[:-1]) + 1
        begins = np.concatenate(([0], starts))
        return Ranges(first[begins], ends[np.concatenate((starts - 1, [len(ends) - 1]))])

    @staticmethod
    def between(bounds: Iterable[tuple[int, int]]) -> Ranges:
        """The union of [first, end)."""
        pairs = np.array(sorted(bounds), np.uint64).reshape(-1, 2)
        return Ranges.of(pairs[:, 0], pairs[:, 1] - pairs[:, 0])

    @staticmethod
    def union(sets: Iterable[Ranges]) -> Ranges:
        """All frames of all sets."""
        some = [ranges for ranges in sets if len(ranges.first)]
        if len(some) < 2:
            return some[0] if some else NO_FRAMES
        first = np.concatenate([ranges.first for ranges in some])
        return Ranges.of(first, np.concatenate([ranges.end for ranges in some]) - first)

    def __and__(self, other: Ranges) -> Ranges:
        """The frames in both."""
        a, b = (self, other) if len(self.first) <= len(other.first) else (other, self)
        meeting, low = _meeting(a, b)
        number = np.searchsorted(b.first, a.end[meeting], "left") - low
        mine = np.repeat(meeting, number)
        theirs = np.arange(len(mine)) - np.repeat(np.cumsum(number) - number, number) + np.repeat(low, number)
        return Ranges(np.maximum(a.first[mine], b.first[theirs]), np.minimum(a.end[mine], b.end[theirs]))

    def __sub__(self, other: Ranges) -> Ranges:
        """The frames in this one only."""
        return self & Ranges(np.append(np.uint64(0), other.end), np.append(other.first, _LAST))

    def __bool__(self) -> bool:
        return bool(len(self.first))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(first, end) of each range."""
        return zip(self.first.tolist(), self.end.tolist(), strict=True)

    def __len__(self) -> int:
        return len(self.first)

    def start(self, most: int) -> Ranges:
        """The first ranges."""
        return Ranges(self.first[:most], self.end[:most])

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return int((self.end - self.first).sum())

    def holds(self, frames: Numbers) -> NDArray[np.bool_]:
        """Which of the frames are in the set."""
        at = np.searchsorted(self.end, frames, "right")
        return (at < len(self.first)) & (np.append(self.first, _LAST)[at] <= frames)


def _meeting(a: Ranges, b: Ranges) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which ranges of a meet some of b, and the first that each meets; block by block, so that searches are short."""
    meeting, first_met = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)]
    low = 0
    for start in range(0, len(a), _BLOCK):
        first, end = a.first[start : start + _BLOCK], a.end[start : start + _BLOCK]
        high = int(np.searchsorted(b.first, end[-1], "left"))
        met = np.searchsorted(b.end[low:high], first, "right") + low
        some = np.flatnonzero(met < high)
        some = some[b.first[met[some]] < end[some]]
        meeting.append(some + start)
        first_met.append(met[some])
        low = max(low, high - 1)
    return np.concatenate(meeting), np.concatenate(first_met)


NO_FRAMES: Final = Ranges(_NOTHING, _NOTHING)


def profile(within: Ranges, sets: Iterable[tuple[int, Ranges]]) -> tuple[Numbers, Numbers, NDArray[np.int64]]:
    """Cut `within` where the membership in any set changes: first, end, and the bitwise or of the sets' numbers."""
    inside = [(number, ranges & within) for number, ranges in sets]
    bounds = [within.first, within.end, *(edge for _, ranges in inside for edge in (ranges.first, ranges.end))]
    cuts = np.unique(np.concatenate(bounds))
    starts = cuts[:-1][within.holds(cuts[:-1])] if len(cuts) else _NOTHING
    ends = cuts[np.searchsorted(cuts, starts, "right")] if len(starts) else _NOTHING
    found = reduce(
        np.bitwise_or,
        (np.where(ranges.holds(starts), number, 0) for number, ranges in inside),
        np.zeros(len(starts), np.int64),
    )
    same = (ends[:-1] == starts[1:]) & (found[:-1] == found[1:])
    kept = np.concatenate(([True], ~same)) if len(starts) else np.zeros(0, bool)
    last = np.concatenate((~same, [True])) if len(starts) else np.zeros(0, bool)
    return starts[kept], ends[last], found[kept]
