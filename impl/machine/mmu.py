"""Address translation as the CPU does it: guest tables, nested tables, TLB.

A decoder of its own, from SDM 3A 4.5 (4-level paging), SDM 3C 29.3 (EPT) and APM 2, 5.3 and 15.25 (NPT); it shares no
code with the monitor's encoders.  Every fetch of a guest table entry is itself translated by the nested table.
Assumed: CR0.WP, CR4.PAE, EFER.NXE and LMA set, SMEP, SMAP, PKU and 5-level paging off, memory types and reserved bits
without effect, A and D bits not updated.  TLB entries are 4 KiB pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from impl.machine.layout import is_normal
from impl.machine.primitives import Machine, NestedFormat
from impl.machine.registers import CPL, CR3, NESTED_ROOT

READ: Final = 1
WRITE: Final = 2
EXECUTE: Final = 4
ALL: Final = 7
TLB_VALID: Final = 8

_FRAME: Final = (1 << 40) - 1
_LARGE: Final = 1 << 7
_SUPERVISOR_ACCESS: Final = 1
_USER_ACCESS: Final = 5
_LEVELS: Final = (3, 2, 1, 0)


class Kind(IntEnum):
    """What a walk ended in."""

    TRANSLATED = 0
    GUEST_FAULT = 1  # the guest's table has no translation: #PF
    NESTED_FAULT = 2  # the nested table has none: EPT violation, nested page fault


@dataclass(frozen=True)
class Walk:
    """A frame and rights (bit 0 R, 1 W, 2 X), or the guest frame at which the nested walk ended."""

    kind: Kind
    frame: int
    rights: int


@dataclass(frozen=True)
class Access:
    """Whether the TLB granted an access, and the word that was read."""

    granted: bool
    value: int


DENIED: Final = Access(False, 0)


def _entry(machine: Machine, frame: int, index: int) -> int:
    """A word of physical memory; normal memory may change between two reads."""
    if is_normal(machine.layout, frame):
        return machine.fetch_word(frame, index)
    return machine.storage.memory[frame, index]


def _large_frame(entry: int, level: int, page: int) -> int:
    """The 4 KiB frame of a page in a 1 GiB (level 2) or 2 MiB (level 1) leaf."""
    low = 9 * level
    return (((entry >> (12 + low)) & ((1 << (40 - low)) - 1)) << low) | (page & ((1 << low) - 1))


def _x86_rights(entry: int, required: int) -> int:
    """Rights of a guest or NPT entry; 0 if it lacks a required bit: P, and U/S for a user access."""
    if entry & required != required:
        return 0
    return READ | (entry & WRITE) | ((((entry >> 63) & 1) ^ 1) << 2)


def _nested_rights(machine: Machine, entry: int) -> int:
    """Rights of an entry of a nested table; NPT treats every access as a user access."""
    if machine.nested_format is NestedFormat.EPT:
        return entry & ALL
    return _x86_rights(entry, _USER_ACCESS)


def nested_walk(machine: Machine, root: int, guest_frame: int) -> Walk:
    """From a guest frame to a physical frame through the nested table with this root frame."""
    if guest_frame >> 36 != 0:
        return Walk(Kind.NESTED_FAULT, guest_frame, 0)
    table, rights = root, ALL
    for level in _LEVELS:
        entry = machine.storage.memory[table, (guest_frame >> (9 * level)) & 511]
        granted = _nested_rights(machine, entry)
        if granted == 0:
            return Walk(Kind.NESTED_FAULT, guest_frame, 0)
        rights = rights & granted
        if level == 2 and entry & _LARGE != 0:
            return Walk(Kind.TRANSLATED, _large_frame(entry, 2, guest_frame), rights)
        if level == 1 and entry & _LARGE != 0:
            return Walk(Kind.TRANSLATED, _large_frame(entry, 1, guest_frame), rights)
        table = (entry >> 12) & _FRAME
    return Walk(Kind.TRANSLATED, table, rights)


def walk(machine: Machine, cpu: int, page: int) -> Walk:
    """From a linear page to a physical frame with the CPU's own roots and privilege."""
    s = machine.storage
    required = _SUPERVISOR_ACCESS
    if s.register[cpu, CPL] == 3:
        required = _USER_ACCESS
    nested_root = (s.register[cpu, NESTED_ROOT] >> 12) & _FRAME
    guest_frame, rights, finished = (s.register[cpu, CR3] >> 12) & _FRAME, ALL, False
    for level in _LEVELS:
        if not finished:
            table = nested_walk(machine, nested_root, guest_frame)
            if table.kind is not Kind.TRANSLATED or table.rights & READ == 0:
                return Walk(Kind.NESTED_FAULT, guest_frame, 0)
            entry = _entry(machine, table.frame, (page >> (9 * level)) & 511)
            granted = _x86_rights(entry, required)
            if granted == 0:
                return Walk(Kind.GUEST_FAULT, page, 0)
            rights = rights & granted
            guest_frame = (entry >> 12) & _FRAME
            if level == 2 and entry & _LARGE != 0:
                guest_frame, finished = _large_frame(entry, 2, page), True
            elif level == 1 and entry & _LARGE != 0:
                guest_frame, finished = _large_frame(entry, 1, page), True
    last = nested_walk(machine, nested_root, guest_frame)
    if last.kind is not Kind.TRANSLATED:
        return last
    return Walk(Kind.TRANSLATED, last.frame, rights & last.rights)


def fill(machine: Machine, cpu: int, page: int) -> Walk:
    """Walk, and cache the translation if it grants anything; a walk may happen at any time, unasked."""
    s = machine.storage
    result = walk(machine, cpu, page)
    if result.kind is Kind.TRANSLATED:
        if result.rights == 0:
            return Walk(Kind.NESTED_FAULT, result.frame, 0)
        s.tlb_frame[cpu, page] = result.frame
        s.tlb_rights[cpu, page] = TLB_VALID | result.rights
    return result


def evict(machine: Machine, cpu: int, page: int) -> None:
    """Forget a translation; that too may happen at any time."""
    s = machine.storage
    s.tlb_rights[cpu, page] = 0
    s.tlb_frame[cpu, page] = 0


def load(machine: Machine, cpu: int, page: int, index: int) -> Access:
    """Read a word through the TLB."""
    s = machine.storage
    if s.tlb_rights[cpu, page] & READ == 0:
        return DENIED
    return Access(True, s.memory[s.tlb_frame[cpu, page], index])


def fetch(machine: Machine, cpu: int, page: int, index: int) -> Access:
    """Read a word as an instruction through the TLB."""
    s = machine.storage
    if s.tlb_rights[cpu, page] & EXECUTE == 0:
        return DENIED
    return Access(True, s.memory[s.tlb_frame[cpu, page], index])


def store(machine: Machine, cpu: int, page: int, index: int, value: int) -> bool:
    """Write a word through the TLB; whether it was granted."""
    s = machine.storage
    if s.tlb_rights[cpu, page] & WRITE == 0:
        return False
    s.memory[s.tlb_frame[cpu, page], index] = value
    return True
