"""What an audit reads: frames of physical memory, some of which may be absent, and what the file says of the machine.

A frame that a photograph does not hold is *absent*.  Absent is neither zero nor unmapped: whoever needs the frame
reports it.  Frame numbers are physical addresses >> 12; a frame is 512 little-endian 64-bit words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Say = Callable[[str], None]
"""Told something for people, in words: what is being done now, or what was left out and why."""

ROOTS_MOST = 4096
"""More roots than this are refused: an image of noise, or a hostile index, may name any number of them."""

Frames = NDArray[np.uint64]
"""Frame numbers, shape (n,)."""
Words = NDArray[np.uint64]
"""Contents of frames, shape (n, 512)."""
Mask = NDArray[np.bool_]


class BadInputError(Exception):
    """A file that cannot be used, in one sentence: which file, where in it, and what was expected there."""


class Kind(StrEnum):
    """The format of the tables below a root; a guest's tables are addressed through the nested table of `inside`."""

    X86 = "x86"
    NPT = "npt"
    EPT = "ept"


@dataclass(frozen=True)
class Root:
    """Where a walk begins.

    frame: number of the top table's frame; guest-physical if `inside` names the root of a nested table.
    levels: 4 or 5.  why: how the root was found, in words ("CR3 of CPU 0, note 3 of the core").  guest: a virtual
    machine runs on these tables (a nested table, a guest's own table, a shadow table from a VMCB or VMCS); a table
    from a CR3 of the machine itself is not a guest's.  doubt: why nobody knows whether the root is what it says, such
    as its levels; whatever rests on such a root is not known.  found: nobody named it.
    """

    name: str
    kind: Kind
    levels: int
    frame: int
    inside: str = ""
    why: str = ""
    guest: bool = False
    doubt: str = ""
    found: bool = False


@dataclass(frozen=True)
class Processor:
    """Control registers of one CPU, as the file tells them (SDM 3A 2.5; EFER: 2.2.1)."""

    number: int
    cr3: int
    cr4: int
    cr0: int | None = None
    efer: int | None = None


@dataclass(frozen=True)
class Machine:
    """What a file says of the machine it was taken of; all of it may be missing.

    maxphyaddr: width of physical addresses in bits (SDM 3A 4.1.4), or None.  encryption_bit: number of the address bit
    that asks for memory encryption and is no part of the address (C-bit, APM 2 7.10), or None.  roots: those that the
    file names, and then all that it means.  kernel: the kernel's own top table, one root among others.  levels: of the
    hypervisor's own paging, 4 or 5, which nested tables of AMD share (APM 2 15.25.3), or None.
    """

    maxphyaddr: int | None = None
    processors: tuple[Processor, ...] = ()
    roots: tuple[Root, ...] = ()
    encryption_bit: int | None = None
    kernel: Root | None = None
    levels: int | None = None


class Photograph(Protocol):
    """Frames by number.  Nothing is loaded whole: implementations map, stream and index."""

    @property
    def name(self) -> str:
        """The file, for messages."""
        ...

    @property
    def machine(self) -> Machine:
        """What the file says of the machine."""
        ...

    @property
    def end(self) -> int:
        """One more than the highest frame number that the photograph holds."""
        ...

    def read(self, frames: Frames) -> tuple[Words, Mask]:
        """The contents of the frames in the order asked, and which of them are there; rows of absent ones are 0."""
        ...

    def runs(self) -> Iterator[tuple[int, int]]:
        """The frames that are there, as (first, count), ascending and not touching.

        Frames that are known to be zero without being read, such as a hole in a file, may be left out.
        """
        ...
