"""What a root reaches: the result of a walk, in a form whose size does not depend on the number of virtual pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntFlag, StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from audit.photograph import Kind, Root
from audit.ranges import NO_FRAMES, Ranges

MISHAPS = 1000
"""How many mishaps of each trouble are kept one by one."""


class Rights(IntFlag):
    """What a leaf and everything above it grant together.

    USER: CPL 3 may use them; nested tables know no CPL, so what only a nested table grants is without USER.
    UPPER: the leaf is in the upper half of the virtual address space (x86 tables only).
    """

    NONE = 0
    READ = 1
    WRITE = 2
    EXECUTE = 4
    USER = 8
    UPPER = 16


@dataclass(frozen=True)
class Spans:
    """Frames by the rights with which a leaf grants them.

    parts: by rights that occur, ascending.  A frame that is reached in several ways is in several of them.
    """

    parts: Mapping[Rights, Ranges]

    @staticmethod
    def of(parts: Mapping[Rights, Ranges]) -> Spans:
        """Leaves out what is empty."""
        return Spans({rights: parts[rights] for rights in sorted(parts) if parts[rights]})

    def exactly(self, rights: Rights) -> Ranges:
        """The frames that some way grants with these rights and no others."""
        return self.parts.get(rights, NO_FRAMES)


class Trouble(StrEnum):
    """Why a part of a table grants nothing, or nobody knows what it grants."""

    ABSENT = "table frame absent from the photograph"
    OUTSIDE = "table address beyond MAXPHYADDR"
    RESERVED = "present entry with a reserved bit set"
    MISCONFIGURED = "EPT misconfiguration"
    UNTRANSLATED = "guest table not mapped by the nested table"


@dataclass(frozen=True)
class Mishap:
    """A trouble, where it first shows: an entry of a table.

    table: frame of the table (a guest's own table: as the guest numbers it).  index: its entry, or -1 if the trouble is
    the root itself.  address: first virtual (or guest-physical) address that runs into it.  nested: the entry belongs
    to the nested table below a guest.
    """

    trouble: Trouble
    table: int
    index: int
    level: int
    entry: int
    address: int
    nested: bool = False


@dataclass(frozen=True)
class Step:
    """One entry on the way from a root to a leaf.

    table: physical frame of the table; guest_table: its guest-physical frame, if it is a guest's.  level: 1 to 5.
    kind: the format of the entry.
    """

    table: int
    level: int
    index: int
    entry: int
    rights: Rights
    guest_table: int | None = None
    kind: Kind = Kind.X86


@dataclass(frozen=True)
class Way:
    """A whole path: from a root through entries to a run of frames.  address: virtual (or guest-physical) address."""

    root: Root
    address: int
    steps: tuple[Step, ...]
    first: int
    count: int
    rights: Rights


class Reach(Protocol):
    """Everything that one root reaches."""

    @property
    def root(self) -> Root:
        """Where the walk began."""
        ...

    @property
    def spans(self) -> Spans:
        """Frames that leaves grant, with rights accumulated over the levels."""
        ...

    @property
    def tables(self) -> NDArray[np.uint64]:
        """Frames of the tables that the walk read, sorted, each once (physical frames)."""
        ...

    @property
    def mishaps(self) -> tuple[Mishap, ...]:
        """What the walk could not follow: at most `MISHAPS` of each trouble, those with the lowest addresses first.

        A table that is ABSENT or UNTRANSLATED counts once for each level, and so does an entry that is RESERVED or
        MISCONFIGURED; what a guest meets in its nested table may count more often.
        """
        ...

    @property
    def troubles(self) -> Mapping[Trouble, int]:
        """How many mishaps of each trouble there are in all."""
        ...

    @property
    def leaves(self) -> Mapping[int, int]:
        """How many translations end in a leaf of each level, counted by virtual (or guest-physical) address."""
        ...

    @property
    def unmapped(self) -> int:
        """Guest-physical frames, counted for each combination of rights, that a guest's leaves grant in vain."""
        ...

    def ways(self, first: int, count: int, rights: Rights, most: int = 4) -> Iterator[Way]:
        """Up to `most` paths to frames of [first, first + count) that grant at least these rights; shortest first."""
        ...
