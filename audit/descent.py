"""The walk itself: level by level over arrays of tables, each table decoded once for each grant that it inherits.

A table is *whole* if all its entries matter.  Whole tables with equal frame and grant are one, so cycles, self maps and
aliases cost nothing: the work is bounded by table frames times different grants.  Only the windows of a guest's memory
cut tables; such a table has at most as many entries to look at as the guest has leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from audit.formats import CARRIED, Format, Grants
from audit.frontier import NO_TABLES, Frontier, Tables, chunks, covered, distinct, is_whole, tables
from audit.gathering import Gathering
from audit.photograph import Frames, Mask, Photograph, Words
from audit.reach import Rights, Trouble
from audit.troubles import Troubles

CHUNK: Final = 64
"""Tables decoded at a time: 256 KiB of entries and what is made of them stay in the cache."""
PAIRS: Final = 1 << 15
"""Entries of cut tables decoded at a time."""

_ZERO: Final = np.uint64(0)


@dataclass(frozen=True)
class Reading:
    """Tables as they were found.

    words: shape (n, 512).  physical: their physical frames, where they are known.  missing: which of them cannot be
    read, by the reason; their words mean nothing.
    """

    words: Words
    physical: Frames
    missing: dict[Trouble, Mask]


class Source(Protocol):
    """Where tables are read: in physical memory, or in a guest's through its nested table."""

    def read(self, frames: Frames) -> Reading:
        """The tables in these frames, which differ and ascend."""
        ...


@dataclass(frozen=True)
class Tree:
    """What is walked: tables of one format.

    rights: what the grant of a way comes to (`Format.rights` or `Format.rights_of_guest`).  halves: the top level
    decides between the halves of the virtual address space.
    """

    name: str
    source: Source
    layout: Format
    rights: Grants
    levels: int
    halves: bool

    def inherit(self, grant: Grants, above: Grants, index: Frames, level: int) -> None:
        """Turn what entries grant into what ways through them grant; above: the grants of the ways to their tables."""
        grant |= np.uint8(CARRIED)
        grant &= above
        if self.halves and level == self.levels:
            grant |= np.where(index >= 256, np.uint8(Rights.UPPER << 3), np.uint8(0))


class PhysicalSource:
    """Tables in physical memory."""

    def __init__(self, photograph: Photograph) -> None:
        self._photograph = photograph

    def read(self, frames: Frames) -> Reading:
        """See `Source.read`."""
        words, there = self._photograph.read(frames)
        return Reading(words, frames, {} if there.all() else {Trouble.ABSENT: ~there})


@dataclass(frozen=True)
class _Entries:
    """Entries to decode, shape (n, k): k of each of n tables.

    index: in the table.  first, end: the part of the input addresses of the entry that matters, in frames.
    All three are broadcast to that shape.
    """

    words: Words
    tables: Tables
    index: Frames
    first: Frames | np.uint64
    end: Frames | np.uint64


class Descent:
    """One walk from some tables of the top level down to the leaves.

    gathering: gets the frames of the leaves.  troubles: gets what cannot be followed.  After `run`: `leaves`, by level,
    and `frames`, both counted by input address (uint64); `read`, the physical frames of the tables that were read;
    `whole`, by level, those of them that matter as a whole.
    """

    def __init__(self, tree: Tree, gathering: Gathering, troubles: Troubles) -> None:
        self._tree, self._layout = tree, tree.layout
        self._gathering, self._troubles = gathering, troubles
        self._frontiers = [Frontier(tree.name) for _ in range(tree.levels + 1)]
        self._read: list[Frames] = []
        self.leaves: dict[int, int] = {}
        self.frames = 0
        self.whole: dict[int, Tables] = {}

    @property
    def read(self) -> Frames:
        """The physical frames of the tables that were read, ascending."""
        return np.unique(np.concatenate([np.zeros(0, np.uint64), *self._read]))

    def run(self, start: Tables) -> None:
        """Walk from these tables, all of the top level."""
        self._go_on(start, self._tree.levels)
        for level in range(self._tree.levels, 0, -1):
            parts = [self._whole_tables(some, level) for some in chunks(self._frontiers[level].merged(), CHUNK)]
            self.whole[level] = np.concatenate([NO_TABLES, *parts])

    def _go_on(self, some: Tables, level: int) -> None:
        """Put whole tables aside for their level; follow the others at once, because nothing can be merged there."""
        whole = is_whole(some, level)
        self._frontiers[level].add(some[whole])
        for cut in _cut_chunks(some[~whole], level):
            self._cut_tables(cut, level)

    def _read_tables(self, some: Tables, level: int) -> tuple[Tables, Words, NDArray[np.intp]]:
        """The tables that can be read, the contents of the different ones, and whose contents are whose."""
        different, place = distinct(some["frame"])
        reading = self._tree.source.read(different)
        missing = np.zeros(len(different), np.bool_)
        for trouble, mask in reading.missing.items():
            self._troubles.lost(trouble, some[mask[place]], level)
            missing |= mask
        self._read.append(reading.physical[~missing])
        found = ~missing[place]
        return (some, reading.words, place) if found.all() else (some[found], reading.words, place[found])

    def _whole_tables(self, some: Tables, level: int) -> Tables:
        """Follow them; those that could be read."""
        some, words, place = self._read_tables(some, level)
        if len(some):
            index = np.arange(512, dtype=np.uint64)[None, :]
            end = np.uint64(covered(level - 1))
            words = words if np.array_equal(place, np.arange(len(words))) else words[place]
            self._entries(_Entries(words, some, index, _ZERO, end), level)
        return some

    def _cut_tables(self, some: Tables, level: int) -> None:
        some, words, place = self._read_tables(some, level)
        if not len(some):
            return
        size = np.uint64(covered(level - 1))
        lowest = some["first"] // size
        number = ((some["end"] - np.uint64(1)) // size - lowest + np.uint64(1)).view(np.int64)
        row = np.repeat(np.arange(len(some)), number)
        index = lowest[row] + (np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)).view(np.uint64)
        start = index * size
        first = np.maximum(some["first"][row], start) - start
        end = np.minimum(some["end"][row], start + size) - start
        words = words[place[row], index.view(np.int64)]
        self._entries(
            _Entries(words[:, None], some[row], index[:, None], first[:, None], end[:, None]),
            level,
        )

    def _entries(self, of: _Entries, level: int) -> None:
        """Decode entries: leaves to the gathering, tables to the next level, the rest to the troubles."""
        leaf, grant, faulty = self._layout.decode(of.words, level)
        if faulty is not None:
            self._faults(of, faulty, level)
        self._tree.inherit(grant, of.tables["grant"][:, None], of.index, level)
        for value in _distinct_grants(grant):
            rights = int(self._tree.rights[value])
            if rights:
                self._leaves(of, leaf & (grant == value), rights, level)
        if level > 1:
            self._go_on(self._children(of, ~leaf & (self._tree.rights[grant] != 0), grant, level), level - 1)

    def _leaves(self, of: _Entries, chosen: Mask, rights: int, level: int) -> None:
        number = np.count_nonzero(chosen, axis=1).astype(np.uint64)
        paths = of.tables["paths"]
        self.leaves[level] = self.leaves.get(level, 0) + int((number * paths).sum())
        words = of.words[chosen]
        frames = self._layout.leaf_frame(words, level)
        if level == 1:
            self.frames += int((number * paths).sum())
            self._gathering.add(rights, frames)
        elif len(words):
            first = np.broadcast_to(of.first, chosen.shape)[chosen]
            count = np.broadcast_to(of.end, chosen.shape)[chosen] - first
            self.frames += int((count * np.broadcast_to(paths[:, None], chosen.shape)[chosen]).sum())
            self._gathering.add_ranges(rights, frames + first, count)

    def _children(self, of: _Entries, chosen: Mask, grant: NDArray[np.uint8], level: int) -> Tables:
        row, _ = np.nonzero(chosen)
        above, words = of.tables[row], of.words[chosen]
        index = np.broadcast_to(of.index, chosen.shape)[chosen]
        return tables(
            len(words),
            frame=self._layout.table_frame(words),
            grant=grant[chosen],
            address=above["address"] + (index << np.uint64(3 + 9 * level)),
            paths=above["paths"],
            parent=above["frame"],
            entry=words,
            first=np.broadcast_to(of.first, chosen.shape)[chosen],
            end=np.broadcast_to(of.end, chosen.shape)[chosen],
        )

    def _faults(self, of: _Entries, faulty: Mask, level: int) -> None:
        faulty = faulty & of.tables["fresh"][:, None]
        row, _ = np.nonzero(faulty)
        index = np.broadcast_to(of.index, faulty.shape)[faulty]
        self._troubles.entries(
            self._layout.trouble,
            len(row),
            table=of.tables["frame"][row],
            index=index,
            level=level,
            entry=of.words[faulty],
            address=of.tables["address"][row] + (index << np.uint64(3 + 9 * level)),
        )


def _distinct_grants(grant: NDArray[np.uint8]) -> list[int]:
    lowest, highest = int(grant.min()), int(grant.max())
    if lowest == highest:
        return [lowest]
    return np.flatnonzero(np.bincount(grant.ravel(), minlength=256)).tolist()


def _cut_chunks(some: Tables, level: int) -> Iterator[Tables]:
    """Pieces of at most `CHUNK` different frames and about `PAIRS` entries."""
    some = some[np.argsort(some["frame"], kind="stable")]
    if not len(some):
        return
    size = np.uint64(covered(level - 1))
    entries = np.cumsum((some["end"] - np.uint64(1)) // size - some["first"] // size + np.uint64(1))
    frame = np.cumsum(np.append(False, some["frame"][1:] != some["frame"][:-1]))
    piece, block = entries // np.uint64(PAIRS), frame // CHUNK
    cuts = np.flatnonzero((piece[1:] != piece[:-1]) | (block[1:] != block[:-1])) + 1
    yield from np.split(some, cuts)
