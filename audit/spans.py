"""Sets of frames as ranges, and the operations by which a policy is decided; their cost is that of the ranges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

FRAME_BITS = 40
"""Width of frame numbers: physical addresses have at most 52 bits (SDM 3A 4.1.4)."""

Numbers = NDArray[np.uint64]


class Rights(IntFlag):
    """What a leaf and everything above it grant together; USER means that CPL 3 may use them.

    Nested tables know no CPL, so what only a nested table grants is without USER.
    """

    NONE = 0
    READ = 1
    WRITE = 2
    EXECUTE = 4
    USER = 8


ACCESS = Rights.READ | Rights.WRITE | Rights.EXECUTE
"""The rights of which a leaf has to grant one in order to reach anything."""


@dataclass(frozen=True)
class Ranges:
    """A set of frames.  bounds: first, end, first, end, ... strictly ascending; an end is one after the last frame."""

    bounds: Numbers

    @staticmethod
    def of(ranges: Iterable[tuple[int, int]]) -> Ranges:
        """The frames of ranges (first, count), which may overlap."""
        pairs = np.array(list(ranges), dtype=np.uint64).reshape(-1, 2)
        return Ranges.union(pairs[:, 0], pairs[:, 0] + pairs[:, 1])

    @staticmethod
    def of_frames(frames: Numbers) -> Ranges:
        """Single frames, in any order."""
        return Ranges.union(frames, frames + np.uint64(1))

    @staticmethod
    def union(first: Numbers, end: Numbers) -> Ranges:
        """The frames of ranges first..end-1, which may overlap, in any order."""
        if (first[1:] < first[:-1]).any():
            order = np.argsort(first, kind="stable")
            first, end = first[order], end[order]
        filled = end > first
        first, end = first[filled], end[filled]
        reached = np.maximum.accumulate(end)
        gaps = np.flatnonzero(first[1:] > reached[:-1])
        bounds = np.empty(2 * len(gaps) + 2 if len(first) else 0, dtype=np.uint64)
        if len(first):
            bounds[0], bounds[-1] = first[0], reached[-1]
            bounds[1:-1:2], bounds[2:-1:2] = reached[gaps], first[gaps + 1]
        return Ranges(bounds)

    @property
    def first(self) -> Numbers:
        """First frame of each range."""
        return self.bounds[0::2]

    @property
    def end(self) -> Numbers:
        """One after the last frame of each range."""
        return self.bounds[1::2]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(self.end.sum()) - int(self.first.sum())

    def __len__(self) -> int:
        """Number of ranges."""
        return len(self.bounds) // 2

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The ranges as (first, count), ascending."""
        for first, end in zip(self.first.tolist(), self.end.tolist(), strict=True):
            yield first, end - first

    def __and__(self, other: Ranges) -> Ranges:
        """The frames in both."""
        return self._combined(other, (False, False, False, True))

    def __or__(self, other: Ranges) -> Ranges:
        """The frames in either."""
        return self._combined(other, (False, True, True, True))

    def __sub__(self, other: Ranges) -> Ranges:
        """The frames in this one and not in the other."""
        return self._combined(other, (False, True, False, False))

    def _combined(self, other: Ranges, keep: tuple[bool, bool, bool, bool]) -> Ranges:
        """The frames to keep, of those in neither, only here, only there, and in both.

        One sweep over the bounds of both; the low bit of a key says whose bound it is.
        """
        if not len(self) or not len(other):
            chosen = self if keep[1] and len(self) else other if keep[2] and len(other) else None
            return chosen or Ranges(np.empty(0, dtype=np.uint64))
        keys = np.concatenate((self.bounds << np.uint64(1), (other.bounds << np.uint64(1)) | np.uint64(1)))
        keys.sort(kind="stable")
        passed_there = np.cumsum(keys & np.uint64(1), dtype=np.uint64)
        passed_here = np.arange(1, len(keys) + 1, dtype=np.uint64) - passed_there
        inside = (passed_here & np.uint64(1)) | ((passed_there & np.uint64(1)) << np.uint64(1))
        kept = np.array(keep)[inside.view(np.int64)]
        position = keys >> np.uint64(1)
        last = np.append(position[1:] != position[:-1], True)
        position, kept = position[last], kept[last]
        return Ranges(position[np.diff(kept, prepend=False)])


@dataclass(frozen=True)
class Spans:
    """Ranges of physical frames with equal rights, sorted by rights, then by first frame.

    Ranges with equal rights are disjoint and do not touch; ranges with different rights may overlap, where a frame is
    reached in several ways.
    first, count: uint64, shape (n,), in 4 KiB frames.  rights: uint8, shape (n,), bits of `Rights`.
    """

    first: Numbers
    count: Numbers
    rights: NDArray[np.uint8]

    @staticmethod
    def of(parts: dict[Rights, Ranges]) -> Spans:
        """The frames that are granted with exactly these rights."""
        ordered = sorted((int(rights), ranges) for rights, ranges in parts.items() if len(ranges))
        none = np.empty(0, dtype=np.uint64)
        return Spans(
            first=np.concatenate([none, *(ranges.first for _, ranges in ordered)]),
            count=np.concatenate([none, *(ranges.end - ranges.first for _, ranges in ordered)]),
            rights=np.repeat(
                np.array([rights for rights, _ in ordered], dtype=np.uint8), [len(ranges) for _, ranges in ordered]
            ),
        )

    def exactly(self, rights: Rights) -> Ranges:
        """The frames that some way grants with these rights and no others."""
        low, high = np.searchsorted(self.rights, [int(rights), int(rights) + 1])
        bounds = np.stack((self.first[low:high], self.first[low:high] + self.count[low:high]), axis=1)
        return Ranges(bounds.ravel())

    def granting(self, rights: Rights) -> Ranges:
        """The frames that some way grants with at least these rights; with NONE: everything that is reached."""
        result = Ranges(np.empty(0, dtype=np.uint64))
        for value in np.unique(self.rights).tolist():
            if value & rights == rights:
                result |= self.exactly(Rights(value))
        return result
