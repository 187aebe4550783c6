"""Roots of guests, found in the blocks that a CPU runs them with: VMCB (AMD) and VMCS (Intel) pages.

The pages are found by scanning all frames.  A VMCB has an architectural layout (APM 2, appendix B), so it is held
against the conditions that VMRUN itself checks (APM 2, 15.5.1).  The layout of a VMCS is not architectural (SDM 3C,
25.2): what counts is the revision identifier in its first word, and a word that can be an EPT pointer (SDM 3C, 25.6.11)
to a frame that can be the top table of an EPT (SDM 3C, 29.3.2).  Which word is a guest's CR3 cannot be told there, so
that of a VMCS only the nested table is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit.photograph import Frames, Kind, Machine, Mask, Photograph, Root, Say, Words

AS_HOST = 0
"""Levels of a nested table of AMD: it has as many as the host's own tables, which no VMCB tells (APM 2, 15.25.3)."""

_AT_A_TIME = 1024
_LA57 = 1 << 12  # of CR4

# Offsets in a VMCB (APM 2, tables B-1 and B-2).
_INTERCEPTS_4, _ASID, _NESTED, _N_CR3 = 0x010, 0x058, 0x090, 0x0B0
_CPL_WORD, _EFER, _CR4, _CR3, _CR0, _DR7, _DR6 = 0x4C8, 0x4D0, 0x548, 0x550, 0x558, 0x560, 0x568
_NP_ENABLE, _SEV_ES = 1, 4  # of _NESTED
_EFER_BITS = 0x36FD01  # SCE, LME, LMA, NXE, SVME, LMSLE, FFXSR, TCE, MCOMMIT, INTWB, UAIE, AIBRSE (APM 2, 3.1.7)
_LME, _LMA, _SVME = 1 << 8, 1 << 10, 1 << 12
_PE, _NW, _CD, _PG, _PAE = 1 << 0, 1 << 29, 1 << 30, 1 << 31, 1 << 5
_CACHING = 0x18  # PWT and PCD, which may be set beside the address in CR3 and N_CR3

_POINTERS_MOST = 8
"""A page with more words than this that can be EPT pointers is no VMCS, which has one."""


@dataclass(frozen=True)
class Block:
    """What one page that may be a control block names: a nested or a shadow table, and then what lies inside it.

    page: its frame.  name: what it is and where, in words.
    """

    page: int
    name: str
    roots: tuple[Root, ...]


def control_blocks(photograph: Photograph, machine: Machine, tell: Say) -> Iterator[Block]:
    """Each VMCB or VMCS that names a nested, guest's or shadow table, with the reasons; a VMCS may come twice.

    Frames are read once, in order; beside those, at most `_POINTERS_MOST` for each of them.
    tell: told of each that an audit cannot use, and why.
    """
    address_mask = _address_mask(machine)
    for frames in _pieces(photograph):
        words, _ = photograph.read(frames)
        for row in np.flatnonzero(_vmcb_like(words)).tolist():
            page, asid = int(frames[row]), int(words[row][_ASID // 8]) & 0xFFFFFFFF
            name = f"VMCB at {page << 12:#x} (ASID {asid})"
            roots = tuple(_of_vmcb(photograph, name, words[row], address_mask, tell))
            if roots:
                yield Block(page, name, roots)
        rows = np.flatnonzero(_vmcs_like(words))
        yield from _of_vmcs(photograph, frames[rows], words[rows], address_mask)


def _address_mask(machine: Machine) -> int:
    """The bits of an entry or a CR3 that are an address."""
    mask = (1 << (machine.maxphyaddr or 52)) - 4096
    return mask if machine.encryption_bit is None else mask & ~(1 << machine.encryption_bit)


def _pieces(photograph: Photograph) -> Iterator[Frames]:
    """All frames that are there, ascending, some at a time."""
    waiting, number = list[NDArray[np.uint64]](), 0
    for first, count in photograph.runs():
        end = first + count
        while first < end:
            stop = min(end, first + _AT_A_TIME - number)
            waiting.append(np.arange(first, stop, dtype=np.uint64))
            number += stop - first
            first = stop
            if number == _AT_A_TIME:
                yield np.concatenate(waiting)
                waiting, number = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _vmcb_like(words: Words) -> Mask:
    """Which frames VMRUN would take as a VMCB."""

    def at(offset: int) -> NDArray[np.uint64]:
        return words[:, offset // 8]

    def holds(offset: int, bits: int) -> Mask:
        return (at(offset) & np.uint64(bits)) == np.uint64(bits)

    def clear(offset: int, bits: int) -> Mask:
        return (at(offset) & np.uint64(bits)) == 0

    high = 0xFFFFFFFF << 32
    control = holds(_INTERCEPTS_4, 1) & clear(_NESTED, -4096 % (1 << 64)) & clear(_ASID, high & ~(0x3FF << 32))
    control &= (at(_ASID) & np.uint64(0xFFFFFFFF)) != 0
    control &= clear(_NESTED, _NP_ENABLE) | (clear(_N_CR3, 0xFFF & ~_CACHING) & clear(_N_CR3, 0xFFF << 52))
    long_mode = holds(_EFER, _LME) & holds(_CR0, _PG)
    state = holds(_EFER, _SVME) & clear(_EFER, ~_EFER_BITS % (1 << 64))
    state &= clear(_CR0, high) & clear(_CR4, high) & clear(_DR6, high) & clear(_DR7, high) & clear(_CR3, 0xFFF << 52)
    state &= holds(_CR0, _CD) | clear(_CR0, _NW)
    state &= ~long_mode | (holds(_CR4, _PAE) & holds(_CR0, _PE))
    state &= clear(_CPL_WORD, 0xFC << 24)
    # The state of a guest whose registers are encrypted lies elsewhere (APM 2, 15.35).
    return control & (state | (holds(_NESTED, _NP_ENABLE | _SEV_ES)))


def _of_vmcb(
    photograph: Photograph, block: str, words: NDArray[np.uint64], address_mask: int, tell: Say
) -> Iterator[Root]:
    """The tables that one VMCB names; block: the VMCB in words.

    A stale VMCB, or one inside a guest, mostly names a frame that is no table by now: dropped.  A frame that is absent
    is kept, because nobody knows what it maps.
    """

    def at(offset: int) -> int:
        return int(words[offset // 8])

    long_mode = bool(at(_EFER) & _LMA and at(_CR0) & _PG)
    levels = 5 if at(_CR4) & _LA57 else 4
    guest = (at(_CR3) & address_mask) >> 12
    if not at(_NESTED) & _NP_ENABLE:
        if at(_CR0) & _PG and not long_mode:
            tell(f"{block} is left out: its guest runs on shadow tables for 32-bit or PAE paging")
        elif long_mode and _top_table(photograph, guest, Kind.X86, address_mask) is not False:
            why = f"CR3 in the {block}, whose nested paging is off: a shadow table"
            yield Root(f"shadow-{guest << 12:#x}", Kind.X86, levels, guest, why=why, guest=True)
        return
    nested = (at(_N_CR3) & address_mask) >> 12
    if _top_table(photograph, nested, Kind.NPT, address_mask) is False:
        return
    name = f"npt-{nested << 12:#x}"
    yield Root(name, Kind.NPT, AS_HOST, nested, why=f"N_CR3 in the {block}", guest=True)
    if long_mode and not at(_NESTED) & _SEV_ES:
        # A guest's CR3 is a guest-physical address, whose width the guest's own CPUID tells: 52 bits at most.
        guest = (at(_CR3) & ((1 << 52) - 4096)) >> 12
        why = f"CR3 in the {block}, a guest-physical address"
        yield Root(f"{name}-guest-{guest << 12:#x}", Kind.X86, levels, guest, name, why, guest=True)


def _vmcs_like(words: Words) -> Mask:
    """Which frames begin as a VMCS does: revision identifier, neither a shadow VMCS nor aborted (SDM 3C, 25.2)."""
    return (words[:, 0] > 0) & (words[:, 0] < np.uint64(1 << 31))


def _of_vmcs(photograph: Photograph, pages: Frames, words: Words, address_mask: int) -> Iterator[Block]:
    """The nested tables that words of pages, each of which may be a VMCS, point to."""
    # SDM 3C, 25.6.11: memory type 0 or 6, length of the walk less 1, A/D, shadow-stack control; bits 11:8 reserved.
    address = words & np.uint64(address_mask)
    pointers = (address > 0) & ((words & ~np.uint64(address_mask | 0xFF)) == 0)
    low = np.arange(256)
    pointers &= (
        np.isin(low & 7, (0, 6))[words & np.uint64(0xFF)] & np.isin(low >> 3 & 7, (3, 4))[words & np.uint64(0xFF)]
    )
    pointers &= (np.count_nonzero(pointers, axis=1) <= _POINTERS_MOST)[:, None]
    rows, places = np.nonzero(pointers)
    tables = address[rows, places] >> np.uint64(12)
    known, which = np.unique(tables, return_inverse=True)
    for found in np.flatnonzero(_ept_like(photograph, known, address_mask)[which]).tolist():
        row, place, table = int(rows[found]), int(places[found]), int(tables[found])
        if _top_table(photograph, table, Kind.EPT, address_mask):
            page, levels = int(pages[row]), int(words[row, place] >> np.uint64(3) & np.uint64(7)) + 1
            name = f"VMCS at {page << 12:#x} (revision {int(words[row, 0]):#x})"
            why = f"EPT pointer at offset {place * 8:#x} of the {name}"
            yield Block(page, name, (Root(f"ept-{table << 12:#x}", Kind.EPT, levels, table, why=why, guest=True),))


def _ept_like(photograph: Photograph, frames: Frames, address_mask: int) -> Mask:
    """Which of the frames, by all of their entries, can be a table of level 4 or 5 of an EPT."""
    good = [
        _entries_fit(photograph.read(frames[begin : begin + _AT_A_TIME])[0], Kind.EPT, address_mask)
        for begin in range(0, len(frames), _AT_A_TIME)
    ]
    return np.concatenate([np.zeros(0, np.bool_), *good])


def _entries_fit(tables: Words, kind: Kind, address_mask: int) -> Mask:
    """Which tables have no present entries but such as a table of level 4 or 5 may have.

    No reserved bits (SDM 3A, 4.5; SDM 3C, 29.3.2; APM 2, 5.3), and no bit 7, since no page is as large there.
    """
    address_reserved = (1 << 52) - 4096 & ~address_mask
    present_bits, reserved = (7, address_reserved | 0xF8) if kind is Kind.EPT else (1, address_reserved | 0x80)
    present = (tables & np.uint64(present_bits)) != 0
    wrong = present & ((tables & np.uint64(reserved)) != 0)
    return ~wrong.any(axis=1)


def _top_table(photograph: Photograph, frame: int, kind: Kind, address_mask: int) -> bool | None:
    """Whether a frame can be a table of level 4 or 5 that leads to a frame that is there; None if it is absent."""
    tables, there = photograph.read(np.array([frame], np.uint64))
    if not there[0]:
        return None
    if not _entries_fit(tables, kind, address_mask)[0]:
        return False
    present = (tables[0] & np.uint64(7 if kind is Kind.EPT else 1)) != 0
    below = (tables[0][present] & np.uint64(address_mask)) >> np.uint64(12)
    return bool(photograph.read(below)[1].any())
