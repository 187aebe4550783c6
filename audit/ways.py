"""Ways from a root to frames, entry by entry; found when they are asked for, by climbing from leaves to the root."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

import numpy as np

from audit.descent import CHUNK, Tree
from audit.formats import ALL, CARRIED, Grants
from audit.frontier import NO_TABLES, Tables, chunks, covered
from audit.photograph import Frames, Mask, Root, Words
from audit.reach import Rights, Step, Way
from audit.troubles import canonical

ALIASES: Final = 4096
"""How many translations in the nested table are tried for the ways of a guest to some frames."""

_BEYOND: Final = 1 << 63


@dataclass(frozen=True)
class _Entry:
    """An entry on a way.  frame, above: of its table; address: lowest input address; grant: of the way through it."""

    level: int
    frame: int
    above: int
    physical: int
    index: int
    word: int
    address: int
    grant: int


@dataclass(frozen=True)
class _Decoded:
    """Tables of one level with their entries; words, leaf and grant have shape (n, 512)."""

    level: int
    some: Tables
    physical: Frames
    words: Words
    leaf: Mask
    grant: Grants

    def entries(self, chosen: Mask) -> Iterator[_Entry]:
        """The chosen ones, by table and index."""
        for row, index in np.argwhere(chosen).tolist():
            table = self.some[row]
            yield _Entry(
                level=self.level,
                frame=int(table["frame"]),
                above=int(table["grant"]),
                physical=int(self.physical[row]),
                index=index,
                word=int(self.words[row, index]),
                address=int(table["address"]) + (index << (3 + 9 * self.level)),
                grant=int(self.grant[row, index]),
            )


class Search:
    """Ways through the tables of a root that a walk has read.  whole: these tables, by level."""

    def __init__(self, root: Root, tree: Tree, whole: Mapping[int, Tables]) -> None:
        self.root, self.tree = root, tree
        self._whole = {level: some[np.argsort(some["address"], kind="stable")] for level, some in whole.items()}
        self._extents: dict[int, tuple[Frames, Frames]] = {}

    def ways(self, first: int, count: int, rights: Rights) -> Iterator[Way]:
        """One way for each leaf that grants these rights to one of the frames, and for each grant above it."""
        for leaf in self._leaves(first, first + count, rights):
            yield self._way(next(self._up(leaf)))

    def all_ways(self, first: int, count: int, rights: Rights) -> Iterator[tuple[Way, int]]:
        """Every way to one of the frames that grants these rights, with its grant."""
        for leaf in self._leaves(first, first + count, rights):
            for entries in self._up(leaf):
                yield self._way(entries), leaf.grant

    def _decoded(self, some: Tables, level: int, wanted: Callable[[Words], Mask] | None = None) -> Iterator[_Decoded]:
        """The tables decoded; those without any entry that is wanted are left out before that."""
        index = np.arange(512, dtype=np.uint64)[None, :]
        for part in chunks(some, CHUNK):
            different, place = np.unique(part["frame"], return_inverse=True)
            reading = self.tree.source.read(different)
            words = reading.words[place]
            if wanted is not None:
                kept = wanted(words).any(axis=1)
                part, place, words = part[kept], place[kept], words[kept]
                if not len(part):
                    continue
            leaf, grant, _ = self.tree.layout.decode(words, level)
            self.tree.inherit(grant, part["grant"][:, None], index, level)
            yield _Decoded(level, part, reading.physical[place], words, leaf & (self.tree.rights[grant] != 0), grant)

    def _extent(self, level: int) -> tuple[Frames, Frames]:
        """For each table of a level, the lowest frame of its leaves and one after the highest."""
        if level not in self._extents:
            size = np.uint64(covered(level - 1))
            low, high = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
            for part in self._decoded(self._whole.get(level, NO_TABLES), level):
                frames = self.tree.layout.leaf_frame(part.words, level)
                low.append(frames.min(axis=1, where=part.leaf, initial=_BEYOND))
                high.append((frames + size).max(axis=1, where=part.leaf, initial=0))
            self._extents[level] = np.concatenate(low), np.concatenate(high)
        return self._extents[level]

    def _leaves(self, first: int, end: int, rights: Rights) -> Iterator[_Entry]:
        for level in range(self.tree.levels, 0, -1):
            low, high = self._extent(level)
            near = (low < end) & (high > first)
            meets = partial(self._meets, level=level, first=first, end=end)
            for part in self._decoded(self._whole.get(level, NO_TABLES)[near], level, meets):
                chosen = part.leaf & meets(part.words)
                yield from part.entries(chosen & ((self.tree.rights[part.grant] & rights) == rights))

    def _meets(self, words: Words, level: int, first: int, end: int) -> Mask:
        """Which entries meet some of the frames, if they are leaves."""
        frames = self.tree.layout.leaf_frame(words, level)
        return (frames < end) & (frames + np.uint64(covered(level - 1)) > first)

    def _leads(self, words: Words, frame: int) -> Mask:
        """Which entries lead to the table in this frame, if they lead to tables."""
        return self.tree.layout.table_frame(words) == frame

    def _up(self, entry: _Entry) -> Iterator[tuple[_Entry, ...]]:
        """The ways from the root to an entry, itself included."""
        if entry.level == self.tree.levels:
            yield (entry,)
            return
        found: list[_Entry] = []
        leads = partial(self._leads, frame=entry.frame)
        for part in self._decoded(self._whole[entry.level + 1], entry.level + 1, leads):
            is_table = ~self.tree.layout.is_leaf(part.words, entry.level + 1)
            found += part.entries(is_table & leads(part.words) & (part.grant == entry.above))
        for parent in sorted(found, key=lambda one: one.address):
            for above in self._up(parent):
                yield *above, entry

    def _way(self, entries: tuple[_Entry, ...]) -> Way:
        layout, leaf = self.tree.layout, entries[-1]
        address = sum(entry.index << (3 + 9 * entry.level) for entry in entries)
        if self.tree.halves:
            address = canonical(address, self.tree.levels)
        steps = (
            Step(
                table=entry.physical,
                level=entry.level,
                index=entry.index,
                entry=entry.word,
                rights=Rights(int(layout.rights[layout.decode(_single(entry.word), entry.level)[1][0]])),
                guest_table=entry.frame if self.root.inside else None,
                kind=self.root.kind,
            )
            for entry in entries
        )
        first = int(layout.leaf_frame(_single(leaf.word), leaf.level)[0])
        rights = Rights(int(self.tree.rights[leaf.grant]))
        return Way(self.root, address, tuple(steps), first, covered(leaf.level - 1), rights)


def _single(word: int) -> Words:
    return np.array([word], np.uint64)


def through_nested(guest: Search, nested: Search, first: int, count: int, rights: Rights) -> Iterator[Way]:
    """Ways of a guest: its own entries, then those of the nested table that translate the leaf.

    At most `ALIASES` translations of the nested table are tried.
    """
    access = rights & (Rights.READ | Rights.WRITE | Rights.EXECUTE)
    for below, grant in islice(nested.all_ways(first, count, access), ALIASES):
        low = max(first, below.first)
        number = min(first + count, below.first + below.count) - low
        guest_first = (below.address >> 12) + low - below.first
        for above in guest.ways(guest_first, number, rights):
            together = nested.tree.layout.rights_of_guest[(int(above.rights) << 3 & CARRIED) | grant & ALL]
            if int(together) & rights == rights and together:
                start, end = max(above.first, guest_first), min(above.first + above.count, guest_first + number)
                yield Way(
                    root=guest.root,
                    address=above.address + ((start - above.first) << 12),
                    steps=above.steps + below.steps,
                    first=low + start - guest_first,
                    count=end - start,
                    rights=Rights(int(together)),
                )
