"""What a root reaches: the result of a walk, in a form whose size does not depend on the number of virtual pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntFlag, StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from audit.photograph import Root


class Rights(IntFlag):
    """What a leaf and everything above it grant together.

    USER: CPL 3 may use them.  UPPER: the leaf is in the upper half of the virtual address space (x86 tables only).
    """

    NONE = 0
    READ = 1
    WRITE = 2
    EXECUTE = 4
    USER = 8
    UPPER = 16


@dataclass(frozen=True)
class Spans:
    """Ranges of physical frames with equal rights: sorted by first frame; ranges with different rights may overlap.

    first, count: uint64, shape (n,), in 4 KiB frames.  rights: uint8, shape (n,), bits of `Rights`.
    """

    first: NDArray[np.uint64]
    count: NDArray[np.uint64]
    rights: NDArray[np.uint8]


class Trouble(StrEnum):
    """Why a part of a table grants nothing, or nobody knows what it grants."""

    ABSENT = "table frame absent from the photograph"
    OUTSIDE = "table address beyond MAXPHYADDR"
    RESERVED = "present entry with a reserved bit set"
    MISCONFIGURED = "EPT misconfiguration"
    UNTRANSLATED = "guest table not mapped by the nested table"
    CYCLE = "a table leads back to itself"


@dataclass(frozen=True)
class Mishap:
    """A trouble, where it first shows.  address: first virtual (or guest-physical) address that runs into it."""

    trouble: Trouble
    table: int
    index: int
    level: int
    entry: int
    address: int


@dataclass(frozen=True)
class Step:
    """One entry on the way from a root to a leaf.

    table: physical frame of the table; guest_table: its guest-physical frame, if it is a guest's.  level: 1 to 5.
    """

    table: int
    level: int
    index: int
    entry: int
    rights: Rights
    guest_table: int | None = None


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
        """What the walk could not follow, each (trouble, table, index) once."""
        ...

    def ways(self, first: int, count: int, rights: Rights, most: int = 4) -> Iterator[Way]:
        """Up to `most` paths to frames of [first, first + count) that grant at least these rights; shortest first."""
        ...
