"""Small machines made by hand, and the files in which their memory is photographed."""

from __future__ import annotations

import json
import struct
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

if sys.version_info >= (3, 14):
    from compression.zstd import compress as zstd
else:
    from backports.zstd import compress as zstd

__all__ = ["LA57", "LONG_MODE", "Memory", "Segment", "note", "qemu_note", "write_core", "write_kdump", "zstd"]

LONG_MODE = (0x80050033, 0x20)
"""CR0 with paging, CR4 with PAE."""
LA57 = 1 << 12


@dataclass
class Memory:
    """Frames by number; tables are allocated from `free` on."""

    frames: dict[int, NDArray[np.uint64]] = field(default_factory=dict)
    free: int = 0x100

    def frame(self, number: int) -> NDArray[np.uint64]:
        """The words of a frame, zero at first."""
        return self.frames.setdefault(number, np.zeros(512, np.uint64))

    def table(self) -> int:
        """A new frame for a table."""
        self.free += 1
        self.frame(self.free)
        return self.free

    def map(self, root: int, levels: int, address: int, frame: int, bits: int = 7, leaf_level: int = 1) -> None:
        """Map `address` to `frame`; `bits` 7 grants everything in each of the three formats."""
        table = root
        for level in range(levels, leaf_level, -1):
            words, index = self.frame(table), address >> 12 + 9 * (level - 1) & 511
            if not words[index]:
                words[index] = self.table() << 12 | bits
            table = int(words[index]) >> 12 & (1 << 40) - 1
        large = 0x80 if leaf_level > 1 else 0
        self.frame(table)[address >> 12 + 9 * (leaf_level - 1) & 511] = frame << 12 | bits | large

    def vmcb(
        self, number: int, *, asid: int = 1, n_cr3: int = 0, cr3: int = 0, nested: int = 1, la57: bool = False
    ) -> None:
        """A VMCB that VMRUN takes (APM 2, appendix B), for a guest in long mode."""
        words = self.frame(number)
        cr4 = 0x20 | (LA57 if la57 else 0)
        for offset, value in {
            0x010: 1,
            0x058: asid,
            0x090: nested,
            0x0B0: n_cr3,
            0x4D0: 0x1D00,
            0x548: cr4,
            0x550: cr3,
            0x558: 0x80050033,
            0x560: 0x400,
            0x568: 0xFFFF0FF0,
        }.items():
            words[offset // 8] = value

    def vmcs(self, number: int, eptp: int, *, revision: int = 0x2B, at: int = 0x478) -> None:
        """A VMCS with an EPT pointer somewhere."""
        words = self.frame(number)
        words[0], words[at // 8] = revision, eptp

    def runs(self) -> list[tuple[int, bytes]]:
        """Address and content of each run of frames."""
        runs = list[tuple[int, bytes]]()
        for number in sorted(self.frames):
            content = self.frames[number].tobytes()
            if runs and runs[-1][0] + len(runs[-1][1]) == number << 12:
                runs[-1] = runs[-1][0], runs[-1][1] + content
            else:
                runs.append((number << 12, content))
        return runs

    def write_raw(self, path: Path) -> Path:
        """A raw image: what is not there is zero."""
        with path.open("wb") as file:
            for address, content in self.runs():
                file.seek(address)
                file.write(content)
        return path

    def write_sparse(self, folder: Path, **scenario) -> Path:
        """A folder in the sparse form; `scenario` are the members of its scenario.json."""
        folder.mkdir(exist_ok=True)
        runs = self.runs()
        index = {"page_size": 4096, "runs": [[address >> 12, len(content) >> 12] for address, content in runs]}
        (folder / "frames.json").write_text(json.dumps(index))
        (folder / "frames.bin").write_bytes(b"".join(content for _, content in runs))
        (folder / "scenario.json").write_text(json.dumps(scenario))
        return folder

    def write_kdump(self, path: Path, *notes: bytes, compress: int = 1, **fields: int) -> Path:
        """A kdump-compressed dump; `compress` is the flag of its pages (0, 1: zlib, 32: zstd)."""
        return write_kdump(path, self.frames, notes, compress, **fields)

    def write_core(self, path: Path, **more) -> Path:
        """An ELF core of the frames; see `write_core`."""
        return write_core(path, [Segment(address, content) for address, content in self.runs()], **more)


@dataclass(frozen=True)
class Segment:
    """A PT_LOAD.  memsz: bytes in memory, if more than in the file.  again: segment whose bytes it shares."""

    paddr: int
    content: bytes
    memsz: int | None = None
    vaddr: int = 0
    again: int | None = None


def note(name: bytes, content: bytes, kind: int = 0) -> bytes:
    """One note, padded as in a core."""
    name += b"\0"
    head = struct.pack("<III", len(name), len(content), kind)
    return head + name + bytes(-len(name) % 4) + content + bytes(-len(content) % 4)


def qemu_note(cr0: int, cr3: int, cr4: int, version: int = 1, size: int = 440) -> bytes:
    """What QEMU tells of one CPU (struct QEMUCPUState)."""
    state = struct.pack("<II", version, size) + bytes(384) + struct.pack("<5Q", cr0, 0, 0, cr3, cr4) + bytes(8)
    return note(b"QEMU", state[:size])


def write_core(
    path: Path,
    segments: Sequence[Segment],
    processors: Sequence[tuple[int, int, int]] = (),
    notes: Sequence[bytes] = (),
    *,
    note_segments: int = 1,
    extended: bool = False,
) -> Path:
    """Write an ELF core.

    processors: (CR0, CR3, CR4) of each.  notes: further ones.  note_segments: over how many PT_NOTE they are spread.
    extended: e_phnum is PN_XNUM, and the number of program headers stands in section header 0.
    """
    prstatus = note(b"CORE", bytes(336), 1)
    texts = [prstatus] * len(processors) + [qemu_note(*processor) for processor in processors] + list(notes)
    spread = [b"".join(texts[number::note_segments]) for number in range(note_segments)]
    count = len(spread) + len(segments)
    at = 64 + 64 + 56 * count
    table, content, places = list[bytes](), list[bytes](), list[int]()

    def add(kind: int, data: bytes, memsz: int, paddr: int = 0, vaddr: int = 0, again: int | None = None) -> None:
        nonlocal at
        places.append(at if again is None else places[note_segments + again])
        table.append(struct.pack("<IIQQQQQQ", kind, 7, places[-1], vaddr, paddr, len(data), memsz, 0))
        if again is None:
            content.append(data)
            at += len(data)

    for text in spread:
        add(4, text, len(text))
    for segment in segments:
        memsz = len(segment.content) if segment.memsz is None else segment.memsz
        add(1, segment.content, memsz, segment.paddr, segment.vaddr, segment.again)
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    number = 0xFFFF if extended else count
    header = struct.pack("<16sHHIQQQIHHHHHH", identity, 4, 62, 1, 0, 128, 64, 0, 64, 56, number, 64, 1, 0)
    section = struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 0, 0, count if extended else 0, 0, 0)
    path.write_bytes(b"".join([header, section, *table, *content]))
    return path


def write_kdump(
    path: Path,
    frames: Mapping[int, NDArray[np.uint64]],
    notes: Sequence[bytes],
    compress: int,
    *,
    version: int = 6,
    status: int = 0,
    split: int = 0,
) -> Path:
    """Write a kdump-compressed dump; pages are plain (0), zlib (1) or zstd (32)."""
    end = max(frames) + 1
    blocks = -(-end // (8 * 4096))
    system = bytes(4 * 65) + b"x86_64".ljust(65, b"\0") + bytes(65)
    header = struct.pack("<8sI390s22xIIIII", b"KDUMP   ", version, system, status, 4096, 1, 2 * blocks, end)
    text = b"".join(notes)
    bits = np.zeros(blocks * 4096 * 8, np.uint8)
    bits[sorted(frames)] = 1
    bitmap = np.packbits(bits, bitorder="little").tobytes()
    at = (2 + 2 * blocks) * 4096 + 24 * len(frames)
    numbers = (0, 0, split, 0, 0, 0, 0, at, len(text), 0, 0, 0, 0, end if version > 5 else 0)
    sub_header = struct.pack("<QII11Q", *numbers)
    at += len(text)
    descriptors, pages = list[bytes](), list[bytes]()
    for _, words in sorted(frames.items()):
        page = {0: bytes, 1: zlib.compress, 32: zstd}[compress](words.tobytes())
        descriptors.append(struct.pack("<QIIQ", at, len(page), compress, 0))
        pages.append(page)
        at += len(page)
    parts = [header.ljust(4096, b"\0"), sub_header.ljust(4096, b"\0"), bitmap, bitmap, *descriptors, text, *pages]
    path.write_bytes(b"".join(parts))
    return path


def flattened(*records: tuple[int, bytes]) -> bytes:
    """A file in makedumpfile's flattened form; records: offset and content."""
    parts = [struct.pack(">qq", offset, len(content)) + content for offset, content in records]
    return struct.pack(">16sqq4064x", b"makedumpfile", 1, 1) + b"".join(parts) + struct.pack(">qq", -1, -1)
