"""Reaches made by hand: decisions are tested without a photograph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from audit.party import Party
from audit.photograph import Kind, Root
from audit.policy import Domain
from audit.ranges import Ranges
from audit.reach import Mishap, Rights, Spans, Step, Trouble, Way

R, W, X, U, UPPER = Rights.READ, Rights.WRITE, Rights.EXECUTE, Rights.USER, Rights.UPPER

Leaf = tuple[int, int, Rights]


@dataclass(frozen=True)
class TinyReach:
    """What a root reaches, as (first, count, rights)."""

    root: Root
    granted: Sequence[Leaf]
    table_frames: tuple[int, ...] = ()
    troubles: dict[Trouble, int] = field(default_factory=dict)
    mishaps: tuple[Mishap, ...] = ()
    unmapped: int = 0

    @property
    def leaves(self) -> dict[int, int]:
        return {1: len(self.granted)}

    @property
    def spans(self) -> Spans:
        rights = {leaf[2] for leaf in self.granted}
        bounds = {r: [(first, first + count) for first, count, granted in self.granted if granted == r] for r in rights}
        return Spans.of({r: Ranges.between(pairs) for r, pairs in bounds.items()})

    @property
    def tables(self) -> NDArray[np.uint64]:
        return np.array(sorted(self.table_frames), np.uint64)

    def ways(self, first: int, count: int, rights: Rights, most: int = 4) -> Iterator[Way]:
        for begin, length, granted in self.granted:
            if begin < first + count and first < begin + length and granted & rights == rights and most:
                step = Step(self.root.frame, 1, 0, begin << 12 | 7, granted)
                yield Way(self.root, 0x1000, (step,), begin, length, granted)
                most -= 1


def root(name: str, kind: Kind = Kind.NPT, frame: int = 1, inside: str = "", guest: bool = True) -> Root:
    return Root(name, kind, 4, frame, inside, "by hand", guest)


def party(name: str, *leaves: Leaf, kind: Kind = Kind.NPT, tables: tuple[int, ...] = (), **more) -> Party:
    guest = kind is not Kind.X86
    reach = TinyReach(root(name, kind, guest=guest), leaves, tables, **more)
    return Party(Domain(name, (name,)), (reach,))
