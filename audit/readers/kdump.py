"""Dumps in the kdump-compressed format: makedumpfile without -E, and QEMU's `dump-guest-memory -z`.

makedumpfile's IMPLEMENTATION describes the format, its diskdump_mod.h the fields.  After header and sub-header come two
bitmaps with a bit for each frame (there is memory; it was dumped), a descriptor for each dumped frame, and the pages,
each compressed for itself.  A frame that was not dumped, zeros included if they were left out, is absent.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from audit.photograph import Machine, Words
from audit.readers.compressed import ZstdDecompressor, ZstdError
from audit.readers.image import FRAME, FRAMES_END, Extent, Image
from audit.readers.notes import NOTES_MOST, machine_of
from audit.readers.store import Store

MAGIC = b"KDUMP   "
_MACHINE_AT = 12 + 4 * 65  # of utsname
_HEADER = struct.Struct(
    "<8sI390s22xIIIII"
)  # signature, version, utsname, status, block, sub-header, bitmaps, max_mapnr
# phys_base, dump level, split; start, end; offset and size of VMCOREINFO, notes, eraseinfo; start, end, max_mapnr anew.
_SUB_HEADER = struct.Struct("<QII4QQQQQQQQ")
_DESCRIPTOR = struct.Struct("<QIIQ")  # offset, size, flags, page flags
_VERSIONS = range(4, 7)  # notes since 4, 64-bit frame numbers since 6
_LONG_NUMBERS = 6
_ZLIB, _LZO, _SNAPPY, _INCOMPLETE, _ZSTD = 1, 2, 4, 8, 32
_BITMAP_MOST = 64 << 20
_EXTENTS_MOST = 1 << 22
_BYTES_AT_A_TIME = 1 << 17


class KdumpImage(Image):
    """A photograph whose extents are of page descriptors; pages are expanded when they are asked for."""

    stride = _DESCRIPTOR.size

    def filled(self, extent: Extent) -> Iterator[tuple[int, int]]:
        """All frames of the extent: what is left out of a dump has no descriptor."""
        yield extent.first, extent.first + extent.count

    def fill(self, words: Words, rows: NDArray[np.int64], offsets: NDArray[np.int64]) -> None:
        """Fill these rows with the pages whose descriptors lie at these offsets."""
        for row, at in zip(rows.tolist(), offsets.tolist(), strict=True):
            words[row] = np.frombuffer(self._page(at), np.dtype("<u8"))

    def _page(self, at: int) -> bytes:
        place = f"page descriptor at offset {at:#x}"
        offset, size, flags, _ = _DESCRIPTOR.unpack(self.store.read(at, _DESCRIPTOR.size))
        kind = flags & (_ZLIB | _LZO | _SNAPPY | _ZSTD)
        if kind not in (0, _ZLIB, _ZSTD):
            raise self.store.bad(
                place, f"expected a page that is plain or compressed with zlib or zstd, found flags {flags:#x}"
            )
        if not 0 < size <= FRAME:
            raise self.store.bad(place, f"expected 1 to {FRAME} bytes, found {size}")
        data = self.store.read(offset, size)
        try:
            if kind == _ZLIB:
                data = zlib.decompressobj().decompress(data, FRAME + 1)
            elif kind == _ZSTD:
                data = ZstdDecompressor().decompress(data, FRAME + 1)
        except (zlib.error, ZstdError) as error:
            raise self.store.bad(place, f"the page cannot be expanded ({error})") from error
        if len(data) != FRAME:
            raise self.store.bad(place, f"expected a page of {FRAME} bytes, found one of {len(data)}")
        return data


def read_kdump(store: Store, machine: Machine | None = None) -> Image:
    """The photograph in a kdump-compressed dump; its notes tell of the machine unless `machine` is given.

    Raises:
        BadInputError: of another version or architecture, truncated, incomplete, or one part of several.
    """
    _, version, system, status, block, sub_blocks, bitmap_blocks, last = _HEADER.unpack(store.read(0, _HEADER.size))
    if version not in _VERSIONS:
        raise store.bad("offset 0x8", f"expected header version 4, 5 or 6, found {version}")
    if not system[_MACHINE_AT - 12 :].startswith(b"x86_64\0"):
        raise store.bad(f"offset {_MACHINE_AT:#x}", "expected a dump of x86_64")
    if block != FRAME:
        raise store.bad("offset 0x1ac", f"expected blocks of {FRAME} bytes, found {block}")
    if status & _INCOMPLETE:
        raise store.bad("offset 0x1a8", "expected a complete dump, but its status says that pages were lost")
    sub_header = _SUB_HEADER.unpack(store.read(block, _SUB_HEADER.size))
    if sub_header[2]:
        raise store.bad(
            f"offset {block + 12:#x}", "expected a whole dump, found a part; join them with makedumpfile --reassemble"
        )
    frames = sub_header[-1] if version >= _LONG_NUMBERS else last
    bitmap = bitmap_blocks * block // 2
    if not 0 < frames <= min(FRAMES_END, bitmap * 8) or bitmap > _BITMAP_MOST:
        raise store.bad(
            "offset 0x1b4", f"expected two bitmaps for {frames} frames in {bitmap_blocks} blocks, 128 MiB at most"
        )
    start = (1 + sub_blocks) * block
    extents = list(_extents(store, start + bitmap, frames, start + 2 * bitmap))
    note_at, note_size = sub_header[7], sub_header[8]
    if note_size > NOTES_MOST:
        raise store.bad("offset 0x1038", f"expected at most {NOTES_MOST} bytes of notes, found {note_size}")
    notes = [store.read(note_at, note_size)] if note_size else []
    return KdumpImage(store, extents, machine or machine_of(store, notes))


def _extents(store: Store, bitmap: int, frames: int, descriptors: int) -> Iterator[Extent]:
    """The runs of set bits in the bitmap at an offset; the descriptors follow each other in the order of the bits."""
    dumped, number, open_at = 0, 0, None
    for begin in range(0, frames, _BYTES_AT_A_TIME * 8):
        count = min(_BYTES_AT_A_TIME * 8, frames - begin)
        packed = np.frombuffer(store.read(bitmap + begin // 8, -(-count // 8)), np.uint8)
        bits = np.unpackbits(packed, count=count, bitorder="little").astype(np.int8)
        edges = np.flatnonzero(np.diff(bits, prepend=np.int8(open_at is not None))) + begin
        for edge in edges.tolist():
            if open_at is None:
                open_at = edge
                continue
            yield Extent(open_at, edge - open_at, descriptors + dumped * _DESCRIPTOR.size)
            dumped, number, open_at = dumped + edge - open_at, number + 1, None
            if number > _EXTENTS_MOST:
                raise store.bad(f"offset {bitmap:#x}", f"expected at most {_EXTENTS_MOST} runs of dumped frames")
    if open_at is not None:
        yield Extent(open_at, frames - open_at, descriptors + dumped * _DESCRIPTOR.size)
        dumped += frames - open_at
    if descriptors + dumped * _DESCRIPTOR.size > store.size:
        raise store.bad(f"offset {descriptors:#x}", f"expected {dumped} page descriptors, the file ends before")
