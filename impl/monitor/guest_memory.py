"""Memory that the normal VM names by its own linear addresses: a walk of its page tables in software.

Everything read here is untrusted and may change between two reads, so each word is fetched once.  An address that
hardware would not translate ends in PAGE_FAULT; one that the monitor will not follow in GENERAL_PROTECTION.
Supervisor calls are walked without, user calls with the U/S requirement, on every level.
"""

from __future__ import annotations

from typing import Final

from impl.machine.layout import is_normal
from impl.machine.primitives import Machine
from impl.machine.registers import CR3
from impl.monitor.codes import (
    ENCLAVE,
    FAULT_PRESENT,
    FAULT_USER,
    FAULT_WRITE,
    FRAME_MASK,
    MASK64,
    PAGE_MASK,
    Code,
    Refusal,
)

_PRESENT: Final = 1
_WRITABLE: Final = 2
_USER: Final = 4
_LARGE: Final = 1 << 7


def is_canonical(address: int) -> bool:
    """Bits 63:47 of the address are equal (4-level paging)."""
    return ((address + (1 << 47)) & MASK64) >> 48 == 0


def normal_root(machine: Machine, cpu: int) -> int:
    """The frame of the root of the normal VM's page table, also while the CPU is in an enclave."""
    s = machine.storage
    if s.cpu_mode[cpu] == ENCLAVE:
        return (s.saved_register[cpu, CR3] >> 12) & FRAME_MASK
    return (s.register[cpu, CR3] >> 12) & FRAME_MASK


def translate(machine: Machine, cpu: int, address: int, write: bool, user: bool) -> int:
    """The frame behind a linear address of the normal VM; of any class."""
    if not is_canonical(address):  # hardware would never walk it
        raise Refusal(Code.GENERAL_PROTECTION)
    page = (address >> 12) & PAGE_MASK
    required = _PRESENT | (_WRITABLE if write else 0) | (_USER if user else 0)
    table = normal_root(machine, cpu)
    for level in (3, 2, 1, 0):
        if not is_normal(machine.layout, table):  # EPC or monitor memory read as a page table
            raise Refusal(Code.GENERAL_PROTECTION)
        entry = machine.fetch_word(table, (page >> (9 * level)) & 511)
        if entry & required != required:  # a page that the caller itself could not access so
            raise Refusal(Code.PAGE_FAULT, address, _fault_error(entry, write, user))
        if level == 2 and entry & _LARGE != 0:
            return (((entry >> 30) & 0x3FFFFF) << 18) | (page & 0x3FFFF)
        if level == 1 and entry & _LARGE != 0:
            return (((entry >> 21) & 0x7FFFFFFF) << 9) | (page & 0x1FF)
        table = (entry >> 12) & FRAME_MASK
    return table


def _fault_error(entry: int, write: bool, user: bool) -> int:
    """The error code of the page fault that hardware would raise at this entry."""
    return (entry & FAULT_PRESENT) | (FAULT_WRITE if write else 0) | (FAULT_USER if user else 0)


def translate_normal(machine: Machine, cpu: int, address: int, write: bool, user: bool) -> int:
    """As `translate`, and the frame is ordinary memory of the normal VM."""
    frame = translate(machine, cpu, address, write, user)
    if not is_normal(machine.layout, frame):  # the monitor reads EPC or its own memory for the caller
        raise Refusal(Code.GENERAL_PROTECTION)
    return frame


def locate(machine: Machine, cpu: int, address: int, words: int, write: bool = False) -> tuple[int, int]:
    """The frame and the index of the first word of a structure that a supervisor call names.

    It is 8-byte aligned and lies in one page, because two translations need not belong together; otherwise
    GENERAL_PROTECTION.
    """
    index = (address >> 3) & 511
    if address & 7 != 0 or index + words > 512:
        raise Refusal(Code.GENERAL_PROTECTION)
    return translate_normal(machine, cpu, address, write, False), index


def fetch_words(machine: Machine, cpu: int, address: int, words: int) -> tuple[int, ...]:
    """Copy a structure of a supervisor call, each word once."""
    frame, index = locate(machine, cpu, address, words)
    return tuple(machine.fetch_word(frame, index + k) for k in range(words))


def enclave_handle(machine: Machine, cpu: int, secs_address: int) -> int:
    """The enclave id that a SECS pointer stands for: the guest-physical address to which it translates now."""
    if secs_address & 7 != 0:
        raise Refusal(Code.GENERAL_PROTECTION)
    frame = translate_normal(machine, cpu, secs_address, False, False)
    return (frame << 12) | (secs_address & 0xFFF)
