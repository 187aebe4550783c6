"""What the bits of hardware words mean: a decoder written from the manuals, sharing nothing with the monitor.

The relation and the representation invariant speak about words only through these functions, so an encoder of the
monitor that puts a bit in the wrong place is noticed.  Every function works on Python integers and on symbolic ones.

Sources: guest tables, SDM 3A 4.5 (table 4-20); EPT, SDM 3C 29.3.2 (table 29-7); nested tables of AMD, APM 2 15.25;
second-level tables of DMA remapping, VT-d specification 9.8.  EPCM entries: `src/enclave/epcm.rs` of the public
monitor.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from model.language.logic import And, Or
from refinement.engine.values import Number, merge


class NestedFormat(IntEnum):
    """How the processor reads nested tables."""

    EPT = 1
    NPT = 2


GUEST: Final = 1  # kind of a table: x86-64 linear addresses of an enclave
NESTED: Final = 2  # kind of a table: guest-physical addresses
IO: Final = 3  # kind of a table: device addresses

READ: Final = 1
WRITE: Final = 2
EXECUTE: Final = 4

UPPER_HALF: Final = 0xFFFF << 48  # bits that are set in a canonical address with bit 47

FRAME_BITS: Final = 40  # a frame number is bits 51:12 of a word


def frame_of(word: Number) -> Number:
    """Bits 51:12: the frame that any present entry points to."""
    return (word >> 12) & ((1 << FRAME_BITS) - 1)


def bit(word: Number, position: int) -> Number:
    """One bit of a word."""
    return (word >> position) & 1


def is_canonical(address: Number) -> object:
    """Bits 63:47 of a linear address are equal (SDM 1 3.3.7.1, four-level paging)."""
    return Or(address >> 47 == 0, address >> 47 == (1 << 17) - 1)


def linear_address(page: Number) -> Number:
    """The canonical linear address at which a page of 36 bits begins: bits 63:48 repeat bit 47 (as above)."""
    return merge(page >> 35 == 1, UPPER_HALF, 0) | (page << 12)


def x86_leaf(word: Number, frame: Number, rights: Number, present: Number) -> object:
    """The word is a 4 KiB user leaf of an x86-64 table: P 0, W 1, U 2, NX 63, nothing else set."""
    return And(
        frame_of(word) == frame,
        bit(word, 0) == present,
        bit(word, 1) == bit(rights, 1),
        bit(word, 2) == 1,
        (word >> 3) & 0x1FF == 0,
        (word >> 52) & 0x7FF == 0,
        bit(word, 63) != bit(rights, 2),
    )


def ept_leaf(word: Number, frame: Number, rights: Number) -> object:
    """The word is a 4 KiB leaf of an EPT: R 0, W 1, X 2, memory type 5:3 = 6 (write-back), nothing else set."""
    return And(
        frame_of(word) == frame,
        word & 7 == rights,
        (word >> 3) & 7 == 6,
        (word >> 6) & 0x3F == 0,
        word >> 52 == 0,
    )


def io_leaf(word: Number, frame: Number, rights: Number) -> object:
    """The word is a 4 KiB leaf of a second-level DMA table: R 0, W 1, nothing else set."""
    return And(frame_of(word) == frame, word & 3 == rights, (word >> 2) & 0x3FF == 0, word >> 52 == 0)


def nested_leaf(form: NestedFormat, word: Number, frame: Number, rights: Number) -> object:
    """The word is a 4 KiB nested leaf that grants exactly `rights` (NPT can not withhold reading)."""
    if form is NestedFormat.EPT:
        return ept_leaf(word, frame, rights)
    return x86_leaf(word, frame, rights, 1)


def table_entry(kind: Number, word: Number, child: Number) -> object:
    """The word links the next table: bits 2:0 set (P, W, U or R, W, X; R, W in a DMA table), the frame, no more."""
    low = Or(And(kind == IO, word & 7 == 3), And(kind != IO, word & 7 == 7))
    return And(frame_of(word) == child, low, (word >> 3) & 0x1FF == 0, word >> 52 == 0)


def nested_rights(form: NestedFormat, word: Number) -> Number:
    """The rights that a nested leaf grants (READ, WRITE, EXECUTE), 0 if it is not present."""
    if form is NestedFormat.EPT:
        return word & 7
    return x86_rights(word)


def x86_rights(word: Number) -> Number:
    """The rights of user code through a leaf of an x86-64 table, 0 if it is not present."""
    granted = 1 | bit(word, 1) << 1 | (bit(word, 63) ^ 1) << 2
    usable = And(bit(word, 0) == 1, bit(word, 2) == 1)
    return merge(usable, granted, 0)


# --- EPCM entries: word 0 is page status 7:0, flags 15:8, type 23:16; word 1 the linear address; word 2 the owner

SECURE: Final = 3
TCS: Final = 1
REG: Final = 2
EMPTY_ENTRY: Final = SECURE


def page_status(word: Number) -> Number:
    """The status byte; 3 (Secure) for every EPC page."""
    return word & 0xFF


def page_rights(word: Number) -> Number:
    """READ, WRITE and EXECUTE as recorded at EADD."""
    return (word >> 8) & 7


def dynamic_flags(word: Number) -> Number:
    """PENDING, MODIFIED, PR and BLOCKED."""
    return (word >> 11) & 15


def is_valid(word: Number) -> object:
    """The VALID flag."""
    return bit(word, 15) == 1


def page_type(word: Number) -> Number:
    """The page type: 1 TCS, 2 REG."""
    return (word >> 16) & 0xFF


def within(rights: Number, granted: Number) -> object:
    """Every one of the rights is granted."""
    return rights & granted == rights
