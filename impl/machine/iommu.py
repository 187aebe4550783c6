"""Address translation for devices: the IOMMU walks one table for all of them, without a cache.

A decoder of its own, from the VT-d specification, 9.8 (second-stage entries): bit 0 R, bit 1 W, bit 7 large page at the
1 GiB and 2 MiB levels, address in bits 51:12.
"""

from __future__ import annotations

from typing import Final

from impl.machine.mmu import Access, Kind, Walk
from impl.machine.primitives import Machine

READ: Final = 1
WRITE: Final = 2

_FRAME: Final = (1 << 40) - 1
_LARGE: Final = 1 << 7


def io_walk(machine: Machine, device_frame: int) -> Walk:
    """From a device frame to a physical frame and rights; NESTED_FAULT if there is no translation."""
    s = machine.storage
    if device_frame >> 36 != 0:
        return Walk(Kind.NESTED_FAULT, device_frame, 0)
    table, rights = s.io_root[()], READ | WRITE
    for level in (3, 2, 1, 0):
        entry = s.memory[table, (device_frame >> (9 * level)) & 511]
        rights = rights & entry
        if rights == 0:
            return Walk(Kind.NESTED_FAULT, device_frame, 0)
        if level == 2 and entry & _LARGE != 0:
            frame = (((entry >> 30) & 0x3FFFFF) << 18) | (device_frame & 0x3FFFF)
            return Walk(Kind.TRANSLATED, frame, rights)
        if level == 1 and entry & _LARGE != 0:
            frame = (((entry >> 21) & 0x7FFFFFFF) << 9) | (device_frame & 0x1FF)
            return Walk(Kind.TRANSLATED, frame, rights)
        table = (entry >> 12) & _FRAME
    return Walk(Kind.TRANSLATED, table, rights)


def dma_load(machine: Machine, device_frame: int, index: int) -> Access:
    """A device reads a word."""
    result = io_walk(machine, device_frame)
    if result.rights & READ == 0:
        return Access(False, 0)
    return Access(True, machine.storage.memory[result.frame, index])


def dma_store(machine: Machine, device_frame: int, index: int, value: int) -> bool:
    """A device writes a word; whether it was granted."""
    result = io_walk(machine, device_frame)
    if result.rights & WRITE == 0:
        return False
    machine.storage.memory[result.frame, index] = value
    return True
