"""What a root reaches: the walk of its tables, and of a guest's tables through its nested table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from audit.descent import Descent, PhysicalSource, Tree
from audit.formats import ALL, Options, format_of
from audit.frontier import covered, tables
from audit.gathering import Gathering
from audit.nested import GuestSource, windows
from audit.photograph import Kind, Photograph, Root
from audit.reach import Mishap, Reach, Rights, Spans, Trouble, Way
from audit.troubles import Troubles
from audit.ways import Search, through_nested


@dataclass(frozen=True)
class TableReach:
    """See `Reach`.

    search: finds the ways through the root's own tables; for a guest they lead to guest-physical frames, and `nested`
    is what its nested table reaches.
    """

    root: Root
    spans: Spans
    tables: NDArray[np.uint64]
    mishaps: tuple[Mishap, ...]
    troubles: Mapping[Trouble, int]
    leaves: Mapping[int, int]
    unmapped: int
    search: Search = field(repr=False)
    nested: TableReach | None = field(repr=False)

    def ways(self, first: int, count: int, rights: Rights, most: int = 4) -> Iterator[Way]:
        """See `Reach.ways`."""
        found = self.search.ways(first, count, rights)
        if self.nested is not None:
            found = through_nested(self.search, self.nested.search, first, count, rights)
        return islice(found, most)


def reach(photograph: Photograph, root: Root, options: Options, nested: Reach | None = None) -> TableReach:
    """Walk the tables below a root; nested: what the root reaches that it is `inside` of, for a guest's own table.

    Raises BadInputError if the tables are more, or reach more separate ranges, than an audit takes.
    """
    if nested is not None and not isinstance(nested, TableReach):
        raise TypeError("the reach of a nested table comes from this walk")
    tree = Tree(
        name=f"{photograph.name}, root {root.name}",
        source=PhysicalSource(photograph)
        if nested is None
        else GuestSource(photograph, nested.search.tree, nested.root.frame),
        layout=(layout := format_of(root.kind, options)),
        rights=layout.rights,
        levels=root.levels,
        halves=root.kind is Kind.X86,
    )
    gathering, troubles = Gathering(tree.name), Troubles(root.levels, signed=root.kind is Kind.X86, nested=False)
    descent = Descent(tree, gathering, troubles)
    start = tables(1, frame=root.frame, grant=ALL, paths=1, end=covered(root.levels))
    if root.frame >> (options.maxphyaddr - 12):
        troubles.lost(Trouble.OUTSIDE, start, root.levels)
    else:
        descent.run(start)
    spans, mishaps, counts, unmapped = Spans.of(gathering.result()), troubles.mishaps(), Counter(troubles.counts), 0
    if nested is not None:
        spans, unmapped, troubles = _through(tree.name, nested, spans)
        mishaps, counts = mishaps + troubles.mishaps(), counts + Counter(troubles.counts)
    search = Search(root, tree, descent.whole)
    return TableReach(root, spans, descent.read, mishaps, counts, descent.leaves, unmapped, search, nested)


def _through(name: str, nested: TableReach, spans: Spans) -> tuple[Spans, int, Troubles]:
    """What becomes of guest-physical spans in the nested table, how many frames it does not map, and its troubles."""
    tree = nested.search.tree
    gathering, troubles = Gathering(name), Troubles(tree.levels, signed=False, nested=True)
    descent = Descent(replace(tree, name=name, rights=tree.layout.rights_of_guest), gathering, troubles)
    descent.run(windows(spans, nested.root.frame, tree.levels))
    return (
        Spans.of(gathering.result()),
        sum(ranges.frames for ranges in spans.parts.values()) - descent.frames,
        troubles,
    )
