"""A guest's tables through its nested table: the tables are found, and what the leaves grant is translated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audit.descent import Reading, Tree
from audit.formats import ALL, CARRIED
from audit.frontier import NO_TABLES, Tables, covered, tables
from audit.photograph import Frames, Mask, Photograph
from audit.ranges import Ranges
from audit.reach import Rights, Spans, Trouble


class GuestSource:
    """Tables in a guest's memory.

    A nested table has to let them be read.  That it also has to let them be written, in order to set A and D bits
    (APM 2 15.25.5; SDM 3C 29.3.5), is not asked: so a guest is never said to reach less than it does.
    """

    def __init__(self, photograph: Photograph, nested: Tree, root: int) -> None:
        self._photograph, self._nested, self._levels, self._root = photograph, nested.layout, nested.levels, root

    def read(self, frames: Frames) -> Reading:
        """See `Source.read`."""
        physical, absent, unmapped = self.translate(frames)
        words, there = self._photograph.read(physical)
        absent |= ~there & ~unmapped
        found = {Trouble.ABSENT: absent, Trouble.UNTRANSLATED: unmapped}
        return Reading(words, physical, {trouble: mask for trouble, mask in found.items() if mask.any()})

    def translate(self, frames: Frames) -> tuple[Frames, Mask, Mask]:
        """Physical frames of guest-physical ones; where a nested table is absent; where nothing is mapped to read."""
        physical = np.zeros(len(frames), np.uint64)
        absent, unmapped = np.zeros(len(frames), np.bool_), frames >= covered(self._levels)
        table = np.full(len(frames), self._root, np.uint64)
        walking = np.flatnonzero(~unmapped)
        for level in range(self._levels, 0, -1):
            words, there = self._words(table[walking], frames[walking], level)
            absent[walking[~there]] = True
            leaf, grant, _ = self._nested.decode(words, level)
            readable = there & ((grant & Rights.READ) != 0)
            unmapped[walking[there & ~readable]] = True
            inside = frames[walking] % np.uint64(covered(level - 1))
            ends = readable & leaf
            physical[walking[ends]] = (self._nested.leaf_frame(words, level) + inside)[ends]
            table[walking] = self._nested.table_frame(words)
            walking = walking[readable & ~leaf]
        return physical, absent, unmapped

    def _words(self, tables_: Frames, frames: Frames, level: int) -> tuple[NDArray[np.uint64], Mask]:
        """The entries of the tables that translate the frames, and whether the tables are there."""
        different, place = np.unique(tables_, return_inverse=True)
        words, there = self._photograph.read(different)
        index = (frames // np.uint64(covered(level - 1))) & np.uint64(511)
        return words[place, index.view(np.int64)], there[place]


def windows(spans: Spans, root: int, levels: int) -> Tables:
    """What a guest's leaves grant, as parts of its nested table to walk, as far as that table reaches.

    The guest's rights are carried along.
    """
    within = Ranges.between([(0, covered(levels))])
    parts = [NO_TABLES]
    for rights, ranges in spans.parts.items():
        some = ranges & within
        grant = (int(rights) << 3 & CARRIED) | ALL
        parts.append(tables(len(some), frame=root, grant=grant, paths=1, first=some.first, end=some.end))
    return np.concatenate(parts)
