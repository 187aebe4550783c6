"""What an operating system keeps in memory so that it can call the monitor, as words for traces.

At the start of every trace normal memory holds its page tables: the kernel sees all physical memory at KERNEL through
2 MiB leaves, and one process has an empty page table for the 2 MiB of linear addresses from USER.  All of it is
ordinary normal memory, which later steps may change.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from impl.machine.machine import ConcreteMachine
from impl.machine.registers import CR3

KERNEL: Final = 0xFFFF_8000_0000_0000
USER: Final = 0x1000_0000
UNMAPPED: Final = 0x2000
"""An address for which there is no translation at the start."""
PAGE: Final = 4096
ROOT: Final = 1
UPPER: Final = 2
DIRECTORY: Final = 3
USER_UPPER: Final = 4
USER_DIRECTORY: Final = 5
USER_TABLE: Final = 6
FIRST_FREE: Final = 8
"""The first frame that the standard operating system does not use itself."""

LINK: Final = 7  # present, writable, user
LARGE_KERNEL: Final = 0x83  # present, writable, 2 MiB


def table_words(memory_end: int) -> Iterator[tuple[int, int, int]]:
    """Frame, index and value of every word of the page tables."""
    yield ROOT, 256, UPPER << 12 | 3
    yield UPPER, 0, DIRECTORY << 12 | 3
    for i in range((memory_end + 511) >> 9):
        yield DIRECTORY, i, i << 21 | LARGE_KERNEL
    page = USER >> 12
    yield ROOT, page >> 27 & 511, USER_UPPER << 12 | LINK
    yield USER_UPPER, page >> 18 & 511, USER_DIRECTORY << 12 | LINK
    yield USER_DIRECTORY, page >> 9 & 511, USER_TABLE << 12 | LINK


def start(machine: ConcreteMachine) -> None:
    """The operating system has booted: its tables are in memory and every CPU uses them."""
    for frame, index, value in table_words(machine.layout.memory_end):
        machine.storage.memory[frame, index] = value
    for cpu in range(machine.layout.cpus):
        machine.storage.register[cpu, CR3] = ROOT << 12


def kernel_address(frame: int, index: int = 0) -> int:
    """Where the kernel sees a word of a frame."""
    return KERNEL + (frame << 12) + 8 * index


def user_entry(address: int) -> int:
    """The index in USER_TABLE of the leaf for an address of the process."""
    return address >> 12 & 511


def words_of(data: bytes) -> tuple[int, ...]:
    """Bytes as 64-bit little-endian words, the last one padded with zeros."""
    padded = data.ljust((len(data) + 7) // 8 * 8, b"\0")
    return struct.unpack(f"<{len(padded) // 8}Q", padded)
