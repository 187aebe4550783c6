"""Collects the frames that leaves grant: once each, by rights, in space that duplicates do not enlarge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audit.photograph import BadInputError, Frames, Mask
from audit.ranges import NO_FRAMES, Ranges
from audit.reach import Rights

REGION_BITS: Final = 18
"""A region is 1 GiB of physical memory; its frames have a byte each on the board once one of them is granted."""
REGIONS: Final = 1 << 10
LARGEST: Final = 1 << 23
"""How many separate ranges a walk may find: every other frame of 64 GiB."""

_REGION: Final = 1 << REGION_BITS
_PENDING: Final = 1 << 20
_FRAME_BITS: Final = 40
_OFF_BOARD: Final = 1 << (_FRAME_BITS + 1)  # keeps the shifts of regions on the board from 0, which means: not there


@dataclass
class _Collected:
    """Frames with equal rights.  shifts: by region, what to add to a frame for its place on the board, or 0."""

    shifts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1 << (_FRAME_BITS - REGION_BITS), np.int64))
    regions: set[int] = field(default_factory=set[int])
    pending: list[tuple[Frames, Frames]] = field(default_factory=list[tuple[Frames, Frames]])
    waiting: int = 0
    ranges: Ranges = NO_FRAMES

    def places(self, frames: Frames) -> NDArray[np.int64]:
        """Where on the board the frames are; negative if their region is not on it."""
        places = self.shifts.take((frames >> np.uint64(REGION_BITS)).view(np.int64))
        places += frames.view(np.int64)
        places -= _OFF_BOARD
        return places

    def merge(self) -> None:
        """Turn what is pending into ranges that neither overlap nor touch."""
        first = np.concatenate([self.ranges.first, *(some for some, _ in self.pending)])
        count = np.concatenate([self.ranges.end - self.ranges.first, *(some for _, some in self.pending)])
        self.ranges, self.pending, self.waiting = Ranges.of(first, count), [], 0


class Gathering:
    """Frames by rights.

    Single frames are ticked on a board that has room for some regions of physical memory (its pages are only taken when
    they are written).  Large leaves, and single frames of regions beyond, are collected as ranges and merged now and
    then.  Raises BadInputError, with the name of what is audited, if that comes to more than `LARGEST` ranges.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._board: Mask = np.zeros(REGIONS << REGION_BITS, np.bool_)
        self._taken = 0
        self._by_rights: dict[int, _Collected] = {}

    def add(self, rights: int, frames: Frames) -> None:
        """Single frames, in any order."""
        collected = self._by_rights.setdefault(rights, _Collected())
        places = collected.places(frames)
        if places.min(initial=0) < 0:
            self._take_regions(collected, np.unique(frames[places < 0] >> np.uint64(REGION_BITS)))
            places = collected.places(frames)
            beyond = places < 0
            self.add_ranges(rights, frames[beyond], np.ones(int(beyond.sum()), np.uint64))
            places = places[~beyond]
        self._board[places] = True

    def add_ranges(self, rights: int, first: Frames, count: Frames) -> None:
        """Ranges of frames, in any order; they may overlap."""
        collected = self._by_rights.setdefault(rights, _Collected())
        collected.pending.append((first, count))
        collected.waiting += len(first)
        if collected.waiting > max(_PENDING, len(collected.ranges)):
            collected.merge()
            self._check(len(collected.ranges))

    def result(self) -> dict[Rights, Ranges]:
        """The frames that were granted with exactly these rights."""
        found: dict[Rights, Ranges] = {}
        for rights, collected in self._by_rights.items():
            collected.merge()
            frames = Ranges.union((self._ticked(collected), collected.ranges))
            self._check(len(frames))
            if frames:
                found[Rights(rights)] = frames
        return found

    def _take_regions(self, collected: _Collected, regions: Frames) -> None:
        """Put regions on the board, as far as there is room."""
        some = regions[: REGIONS - self._taken].view(np.int64)
        collected.shifts[some] = ((self._taken + np.arange(len(some)) - some) << REGION_BITS) + _OFF_BOARD
        collected.regions.update(some.tolist())
        self._taken += len(some)

    def _ticked(self, collected: _Collected) -> Ranges:
        """What is on the board, region by region."""
        bounds = [np.zeros(0, np.int64)]
        number, reached = 0, -1  # reached: the end of the region before, if a range goes on to there
        for region in sorted(collected.regions):
            base = region << REGION_BITS
            ticks = self._board[base + int(collected.shifts[region]) - _OFF_BOARD :][:_REGION]
            starts = [base] if ticks[0] else []
            if reached == base and starts:
                starts = []
            elif reached >= 0:
                starts.insert(0, reached)
            edges = np.flatnonzero(ticks[1:] != ticks[:-1])
            edges += base + 1
            bounds += [np.array(starts, np.int64), edges]
            reached = base + _REGION if ticks[-1] else -1
            number += len(edges)
            self._check(number // 2)
        bounds.append(np.array([reached] if reached >= 0 else [], np.int64))
        both = np.concatenate(bounds).view(np.uint64)
        return Ranges(both[0::2], both[1::2])

    def _check(self, ranges: int) -> None:
        if ranges > LARGEST:
            raise BadInputError(f"{self._name}: reaches more than {LARGEST} separate ranges of frames")
