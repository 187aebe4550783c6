"""The finite part of the state that a replay compares: all frames and CPUs; enclaves, pages and ranges in use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Final

from impl.machine.layout import Layout
from model.hyperenclave.vocabulary import Cpu, Enclave, Frame, Page, Range
from model.language.logic import Value
from model.language.terms import Sort
from model.language.transition import Keys
from refinement.opaque import Range as Addresses

ENCLAVE_BITS: Final = 52
PAGE_BITS: Final = 36


class Universe:
    """Carriers of the index sorts; enclaves, pages and ranges are added when a step is about them.

    One frame beyond physical memory belongs to it.  Ranges are kept as pairs of addresses, so that equal ranges are
    one.
    """

    def __init__(self, layout: Layout) -> None:
        self.frames = range(layout.memory_end + 1)
        self.cpus = range(layout.cpus)
        self.enclaves = dict[int, None]()
        self.pages = {0: None}
        self.ranges = dict[tuple[int, int], Addresses]()

    def copy(self) -> Universe:
        """An independent universe with the same members."""
        other = object.__new__(Universe)
        other.frames, other.cpus = self.frames, self.cpus
        other.enclaves, other.pages, other.ranges = dict(self.enclaves), dict(self.pages), dict(self.ranges)
        return other

    def range_of(self, start: int, end: int) -> Addresses:
        """The one object that stands for this range."""
        return self.ranges.setdefault((start, end), Addresses(start, end))

    def add(self, enclaves: Iterable[int] = (), pages: Iterable[int] = ()) -> None:
        """Let these belong to it; numbers that are too wide stand for nothing in the state."""
        self.enclaves.update(dict.fromkeys(e for e in enclaves if e < 1 << ENCLAVE_BITS))
        self.pages.update(dict.fromkeys(v for v in pages if v < 1 << PAGE_BITS))

    def carrier(self, sort: Sort) -> list[Value]:
        """The members of a sort; of a sort without keys of its own, none."""
        table: Mapping[Sort, Iterable[Value]] = {
            Frame: self.frames, Cpu: self.cpus, Enclave: self.enclaves, Page: self.pages, Range: self.ranges.values(),
        }  # fmt: skip
        return list(table.get(sort, ()))

    def keys(self, sorts: Iterable[Sort]) -> Iterator[Keys]:
        """All keys of these sorts."""
        return product(*(self.carrier(sort) for sort in sorts))
