"""Words of page-table entries, encoders only (SDM 3A 4.5 and 3C 29.3; APM 2, 5.4 and 15.25; VT-d 9).

| format | present | R | W | X | U | address |
|---|---|---|---|---|---|---|
| x86 guest, NPT | bit 0 | = present | bit 1 | not bit 63 | bit 2 | 51:12 |
| EPT | bits 2:0 not 0 | bit 0 | bit 1 | bit 2 | - | 51:12; memory type 5:3, 6 is write-back |
| IO (VT-d style) | bits 1:0 not 0 | bit 0 | bit 1 | - | - | 51:12 |
"""

from __future__ import annotations

from typing import Final

from impl.machine.primitives import NestedFormat
from impl.monitor.codes import FRAME_MASK, READ, WRITE

GUEST: Final = 1
NESTED: Final = 2
IO: Final = 3

READ_WRITE: Final = READ | WRITE
NO_EXECUTE: Final = 1 << 63
WRITE_BACK: Final = 6 << 3


def _x86_leaf(frame: int, rights: int) -> int:
    return (frame << 12) | 5 | (rights & WRITE) | ((((rights >> 2) & 1) ^ 1) << 63)


def guest_leaf(frame: int, rights: int) -> int:
    """A present 4 KiB leaf for user code; R is implied by presence."""
    return _x86_leaf(frame, rights)


def guest_tcs_leaf(frame: int) -> int:
    """A leaf that is occupied but not present: hardware faults, and nothing else can be put there."""
    return (frame << 12) | 6 | NO_EXECUTE


def nested_leaf(nested: NestedFormat, frame: int, rights: int) -> int:
    """A 4 KiB leaf of a nested table, write-back memory."""
    if nested is NestedFormat.EPT:
        return (frame << 12) | WRITE_BACK | rights
    return _x86_leaf(frame, rights)


def io_leaf(frame: int, rights: int) -> int:
    """A 4 KiB leaf of the IO table; devices never execute."""
    return (frame << 12) | (rights & READ_WRITE)


def table_entry(kind: int, table: int) -> int:
    """An entry that points to a table of the next level; all rights are left to the leaf."""
    if kind == IO:
        return (table << 12) | READ_WRITE
    return (table << 12) | 7


def leaf_frame(leaf: int) -> int:
    """The frame in a leaf that the monitor wrote, whatever its format."""
    return (leaf >> 12) & FRAME_MASK
