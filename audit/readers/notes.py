"""Notes of an ELF core: control registers as QEMU writes them, and VMCOREINFO as Linux writes it."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from audit.photograph import Kind, Machine, Processor, Root
from audit.readers.store import Store

NOTES_MOST = 64 << 20
"""Bytes of notes in one core: 360 of NT_PRSTATUS and 440 of QEMU's note for each CPU, with room for 80,000 CPUs."""
_HEAD = struct.Struct("<III")
# QEMU, target/i386/arch_dump.c, struct QEMUCPUState, version 1: version, size, 18 registers, 10 segments of 24 bytes,
# then CR0 to CR4, and kernel_gs_base in later ones.
_QEMU_HEAD = struct.Struct("<II")
_QEMU_CONTROL = struct.Struct("<5Q")
_QEMU_CONTROL_AT = 392
_QEMU_VERSION = 1
_QEMU_SIZES = (432, 440)
# Linux, arch/x86/include/asm/page_64_types.h, __START_KERNEL_map: where the kernel's image is mapped.
_KERNEL_MAP = 0xFFFFFFFF80000000
_ADDRESS = (1 << 52) - 1


@dataclass(frozen=True)
class Note:
    """One note; `place` says which, for messages."""

    name: bytes
    content: bytes
    place: str


def _notes(store: Store, segments: Sequence[bytes]) -> Iterator[Note]:
    """Each note of each segment; name and content are padded to 4 bytes, also in 64-bit cores."""
    for number, data in enumerate(segments):
        at = 0
        while at < len(data):
            place = f"note segment {number}, offset {at:#x}"
            if at + _HEAD.size > len(data):
                raise store.bad(place, "expected a note's head of 12 bytes")
            name_size, content_size, _ = _HEAD.unpack_from(data, at)
            if not name_size and not content_size:
                # Linux ends the notes of a CPU with an empty one.
                if any(data[at:]):
                    raise store.bad(place, "expected nothing but zeros after an empty note")
                break
            content_at = at + _HEAD.size + (name_size + 3 & ~3)
            if content_at + content_size > len(data):
                raise store.bad(
                    place, f"expected a name of {name_size} and content of {content_size} bytes in the segment"
                )
            name = data[at + _HEAD.size : at + _HEAD.size + name_size].rstrip(b"\0")
            yield Note(name, data[content_at : content_at + content_size], place)
            at = content_at + (content_size + 3 & ~3)


def machine_of(store: Store, segments: Sequence[bytes]) -> Machine:
    """What the notes say.

    Raises:
        BadInputError: a note leaves its segment, or one that is understood has another layout than expected.
    """
    processors = list[Processor]()
    kernel, encryption_bit = None, None
    for note in _notes(store, segments):
        if note.name == b"QEMU":
            processors.append(_processor(store, note, len(processors)))
        elif note.name == b"VMCOREINFO":
            kernel, encryption_bit = _kernel(store, note)
    return Machine(processors=tuple(processors), kernel=kernel, encryption_bit=encryption_bit)


def _processor(store: Store, note: Note, number: int) -> Processor:
    """The control registers in a note of QEMU's."""
    size = len(note.content)
    found = _QEMU_HEAD.unpack_from(note.content) if size >= _QEMU_HEAD.size else (0, 0)
    if found[0] != _QEMU_VERSION or found[1] not in _QEMU_SIZES or found[1] > size:
        raise store.bad(
            note.place,
            f"expected QEMU's CPU state, version 1, 432 or 440 bytes, found version {found[0]}, {found[1]} bytes",
        )
    cr0, _, _, cr3, cr4 = _QEMU_CONTROL.unpack_from(note.content, _QEMU_CONTROL_AT)
    return Processor(number=number, cr0=cr0, cr3=cr3, cr4=cr4)


def _value(store: Store, note: Note, key: str, base: int) -> int | None:
    """The number after `key` on a line of its own."""
    line = re.search(rb"^" + re.escape(key.encode()) + rb"=(.*)$", note.content, re.MULTILINE)
    if line is None:
        return None
    try:
        return int(line[1][:32], base)
    except ValueError as error:
        raise store.bad(note.place, f"expected a number after {key}=, found {line[1][:32]!r}") from error


def _kernel(store: Store, note: Note) -> tuple[Root | None, int | None]:
    """The kernel's own top table, and the C-bit (Linux, Documentation/admin-guide/kdump/vmcoreinfo.rst)."""
    mask = _value(store, note, "NUMBER(sme_mask)", 0)
    if mask is not None and (mask < 0 or mask & (mask - 1) or mask >> 52):
        raise store.bad(note.place, f"expected one bit below 52 as NUMBER(sme_mask), found {mask:#x}")
    encryption_bit = mask.bit_length() - 1 if mask else None
    table = _value(store, note, "SYMBOL(swapper_pg_dir)", 16)
    base = _value(store, note, "NUMBER(phys_base)", 10)
    if table is None or base is None:
        return None, encryption_bit
    address = table - _KERNEL_MAP + base
    if address % 4096 or not 0 <= address <= _ADDRESS:
        raise store.bad(note.place, f"expected swapper_pg_dir at a frame, found physical address {address:#x}")
    levels = 5 if _value(store, note, "NUMBER(pgtable_l5_enabled)", 10) else 4
    return Root("kernel", Kind.X86, levels, address >> 12, why="swapper_pg_dir of VMCOREINFO"), encryption_bit
