"""ELF cores: QEMU's `dump-guest-memory`, /proc/vmcore and what makedumpfile -E writes (System V gABI, chapters 4, 5).

Segments lie at their physical addresses.  What a segment has in memory beyond its bytes in the file is absent: QEMU
and makedumpfile leave pages out that way.  A frame that no segment holds whole is absent, too.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit.photograph import Machine
from audit.readers.image import FRAME, FRAMES_END, Extent, Image
from audit.readers.notes import NOTES_MOST, machine_of
from audit.readers.store import Store

MAGIC = b"\x7fELF"
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = np.dtype(
    [
        ("type", "<u4"),
        ("flags", "<u4"),
        ("offset", "<u8"),
        ("vaddr", "<u8"),
        ("paddr", "<u8"),
        ("filesz", "<u8"),
        ("memsz", "<u8"),
        ("align", "<u8"),
    ]
)
_SECTION_INFO = 44  # of sh_info in an Elf64_Shdr
_SECTION_SIZE = 64
_MANY = 0xFFFF  # PN_XNUM: the number is sh_info of section 0
_SEGMENTS_MOST = 1 << 20
_CORE, _X86_64 = 4, 62
_LOAD, _NOTE = 1, 4
_COMPARED_AT_A_TIME = 1 << 20


@dataclass(frozen=True)
class Run:
    """Physical addresses [start, end) at the file's offset address + delta."""

    start: int
    end: int
    delta: int


def read_core(store: Store, machine: Machine | None = None) -> Image:
    """The photograph in an ELF core; its notes tell of the machine unless `machine` is given.

    Raises:
        BadInputError: not a 64-bit little-endian x86-64 core, truncated, or it contradicts itself.
    """
    segments = _segments(store)
    loads = segments[segments["type"] == _LOAD]
    extents = list[Extent]()
    for run in _runs(store, loads):
        first, end = -(-run.start // FRAME), run.end // FRAME
        if first < end:
            extents.append(Extent(first, end - first, first * FRAME + run.delta))
    notes = list[bytes]()
    for segment in segments[segments["type"] == _NOTE]:
        notes.append(store.read(int(segment["offset"]), int(segment["filesz"])))
    return Image(store, extents, machine or machine_of(store, notes))


def _segments(store: Store) -> NDArray[np.void]:
    """The program headers, each inside file and physical address space."""
    header = _HEADER.unpack(store.read(0, _HEADER.size))
    identity, kind, machine, _, _, table, sections, _, _, entry_size, count, section_size, _, _ = header
    if identity[4:7] != b"\x02\x01\x01":
        found = identity[4:7].hex(" ")
        raise store.bad("offset 0x4", f"expected 64 bits, little-endian, version 1 (02 01 01), found {found}")
    if (kind, machine) != (_CORE, _X86_64):
        raise store.bad("offset 0x10", f"expected e_type 4 and e_machine 62 (a core, x86-64), found {kind}, {machine}")
    if entry_size != _SEGMENT.itemsize:
        raise store.bad("offset 0x36", f"expected e_phentsize {_SEGMENT.itemsize}, found {entry_size}")
    if count == _MANY:
        if not sections or section_size != _SECTION_SIZE:
            raise store.bad("offset 0x28", "expected a section header of 64 bytes, because e_phnum is PN_XNUM")
        (count,) = struct.unpack("<I", store.read(sections + _SECTION_INFO, 4))
    if not 0 < count <= _SEGMENTS_MOST:
        raise store.bad("offset 0x38", f"expected 1 to {_SEGMENTS_MOST} program headers, found {count}")
    segments = np.frombuffer(store.read(table, count * _SEGMENT.itemsize), _SEGMENT)
    _check(store, table, segments)
    return segments


def _check(store: Store, table: int, segments: NDArray[np.void]) -> None:
    """Raise BadInputError at the first segment that leaves the file or the physical address space."""
    used = np.isin(segments["type"], (_LOAD, _NOTE)) & (segments["filesz"] > 0)
    size, room = np.uint64(store.size), np.uint64(FRAMES_END * FRAME)
    beyond = used & ((segments["offset"] > size) | (segments["filesz"] > size - np.minimum(segments["offset"], size)))
    outside = used & (segments["type"] == _LOAD) & (segments["paddr"] > room - np.minimum(segments["filesz"], room))
    longer = used & (segments["type"] == _LOAD) & (segments["filesz"] > segments["memsz"])
    notes = used & (segments["type"] == _NOTE)
    crowded = np.cumsum(np.where(notes, np.minimum(segments["filesz"], size), 0)) > NOTES_MOST
    for wrong, expected in (
        (beyond, f"expected p_offset + p_filesz within the {store.size} bytes of the file"),
        (outside, "expected p_paddr + p_filesz within 52 bits"),
        (longer, "expected p_filesz of at most p_memsz"),
        (notes & crowded, f"expected at most {NOTES_MOST} bytes of notes in all"),
    ):
        if wrong.any():
            index = int(np.argmax(wrong))
            raise store.bad(f"program header {index} at offset {table + index * _SEGMENT.itemsize:#x}", expected)


def _runs(store: Store, loads: NDArray[np.void]) -> Sequence[Run]:
    """The segments as disjoint runs, ascending.  What several segments hold must be the same everywhere."""
    order = np.lexsort((loads["filesz"], loads["paddr"]))
    runs = list[Run]()
    compared = 0
    for paddr, size, offset in loads[["paddr", "filesz", "offset"]][order].tolist():
        new = Run(paddr, paddr + size, offset - paddr)
        for old in runs[bisect_right(runs, new.start, key=lambda run: run.end) :]:
            start, end = max(old.start, new.start), min(old.end, new.end)
            if start >= end:
                break
            if old.delta != new.delta:
                compared += max(end - start, FRAME)
                if compared > store.size:
                    raise store.bad(f"physical address {start:#x}", "segments overlap in more bytes than the file has")
                _compare(store, old, new, start, end)
        start = max(new.start, runs[-1].end) if runs else new.start
        if start < new.end:
            if runs and runs[-1].end == start and runs[-1].delta == new.delta:
                runs[-1] = Run(runs[-1].start, new.end, new.delta)
            else:
                runs.append(Run(start, new.end, new.delta))
    return runs


def _compare(store: Store, old: Run, new: Run, start: int, end: int) -> None:
    """Raise BadInputError unless both hold the same bytes at [start, end)."""
    for address in range(start, end, _COMPARED_AT_A_TIME):
        length = min(end - address, _COMPARED_AT_A_TIME)
        if store.read(address + old.delta, length) != store.read(address + new.delta, length):
            raise store.bad(
                f"physical address {address:#x}",
                f"held twice with different bytes, at offsets {address + old.delta:#x} and {address + new.delta:#x}",
            )
