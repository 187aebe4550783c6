"""Which control blocks a guest may have made itself: those that lie in memory that it may write.

A page of a guest can look like a control block, whether the guest is a hypervisor itself or wants to mislead whoever
looks.  A hypervisor keeps its own where no guest may write.  So a block is left out if the guest of another block may
write it, one that no guest may write.  That holds as long as something else tells of the table that the block names:
another block that no guest may write, or that this table lies in the guest's memory too.  In all other cases nobody
knows who made the block, and its roots are in doubt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from audit.control_blocks import AS_HOST, Block
from audit.formats import options_of
from audit.photograph import BadInputError, Kind, Machine, Photograph, Root, Say
from audit.ranges import Ranges
from audit.reach import Rights
from audit.walk import reach

Reading = tuple[Kind, int, int]
"""A top table as it may be read: kind, frame, levels."""


def readings(root: Root, levels: int | None) -> list[Reading]:
    """How the table of a block can be read; levels: those of the host, if they are known."""
    depths = (levels,) if levels else (4, 5)
    return [(root.kind, root.frame, depth) for depth in ((root.levels,) if root.levels != AS_HOST else depths)]


def writers_of(
    photograph: Photograph, machine: Machine, tables: Iterable[Reading], frames: Iterable[int]
) -> dict[int, list[Reading]]:
    """Which of these tables let a guest write which of the frames.

    A reading of a table that is too large to walk counts for nothing: if it is the true one, the audit ends there.
    """
    asked = np.array(sorted(set(frames)), np.uint64)
    found: dict[int, list[Reading]] = {}
    for kind, frame, levels in dict.fromkeys(tables):
        root = Root(f"{kind}-{frame << 12:#x}", kind, levels, frame)
        try:
            parts = reach(photograph, root, options_of(machine)).spans.parts
        except BadInputError:
            continue
        written = Ranges.union(ranges for rights, ranges in parts.items() if rights & Rights.WRITE)
        for page in asked[written.holds(asked)].tolist():
            found.setdefault(page, []).append((kind, frame, levels))
    return found


def sifted(
    blocks: Sequence[Block], writers: Mapping[int, Sequence[Reading]], levels: int | None, tell: Say
) -> Iterator[Root]:
    """The roots of the blocks that no guest can have made, and those in doubt.

    levels: those of the host, if they are known.  tell: told of each block that is left out, and why.
    """
    outer = [readings(block.roots[0], levels) for block in blocks]
    names = {reading: block.roots[0].name for block, some in zip(blocks, outer, strict=True) for reading in some}
    writing = [[reading for reading in writers.get(block.page, ()) if reading in names] for block in blocks]
    firm = {some[0] for some, by in zip(outer, writing, strict=True) if len(some) == 1 and not by}
    tables = {(kind, frame) for kind, frame, _ in firm}
    for block, by in zip(blocks, writing, strict=True):
        root = block.roots[0]
        surely = [reading for reading in by if reading in firm]
        inside = any(reading in surely for reading in writers.get(root.frame, ()))
        if surely and (inside or (root.kind, root.frame) in tables):
            tell(f"{block.name} is left out: the guest of {names[surely[0]]} may write it")
        elif by:
            doubt = f"the {block.name} lies where the guest of {names[by[0]]} may write, so that guest may have made it"
            yield from (replace(found, doubt=found.doubt or doubt) for found in block.roots)
        else:
            yield from block.roots
