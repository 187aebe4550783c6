"""Images compressed with xz or zstd, expanded once to a temporary file without a name.

How far a file may expand is bounded before it is read: by its own size, and by a limit.  Frames of zeros stay holes.
"""

from __future__ import annotations

import lzma
import os
import sys
import tempfile
from typing import Protocol

import numpy as np

from audit.readers.image import FRAME
from audit.readers.store import Store

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

LIMIT = 64 << 30
"""No image may expand to more bytes than this."""
RATIO = 4096
"""Nor to more than this many times its own size, if that is more than 1 GiB: zeros shrink to about 1/7000 with xz."""
PIECE = 1 << 20
"""Bytes that are read, and that are expanded, at a time."""
XZ_MEMORY = 256 << 20
"""Bytes that the dictionary of an xz file may need; `xz -9` needs 65 MiB."""
ZSTD_WINDOW = 27
"""Logarithm of the largest window of a zstd file, as the zstd program has it without --long=31."""

MAGIC_XZ = b"\xfd7zXZ\x00"
MAGIC_ZSTD = b"\x28\xb5\x2f\xfd"
MAGIC_SKIPPABLE = b"\x2a\x4d\x18"
"""Bytes 1 to 3 of a skippable zstd frame (RFC 8878, 3.1.2), with which files of pzstd begin; byte 0 is 0x50 to 0x5f."""


class _Decompressor(Protocol):
    """What lzma and zstd have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def _is_xz(magic: bytes) -> bool:
    return magic.startswith(MAGIC_XZ)


def is_compressed(magic: bytes) -> bool:
    """Whether a file that begins with these bytes (at least 6) is one that `expand` reads."""
    skippable = magic[1:4] == MAGIC_SKIPPABLE and magic[0] >> 4 == 5
    return _is_xz(magic) or magic.startswith(MAGIC_ZSTD) or skippable


class _Sink:
    """The temporary file: a frame of zeros is left out, which makes a hole."""

    def __init__(self, source: Store, descriptor: int, allowed: int) -> None:
        self._source = source
        self._allowed = allowed
        self._descriptor = descriptor
        self._size = 0
        self._waiting = bytearray()

    def write(self, data: bytes) -> None:
        """Append; at most `PIECE` bytes wait in memory for the rest of their frame."""
        self._waiting += data
        if self._size + len(self._waiting) > self._allowed:
            raise self._source.bad(
                f"offset {self._size:#x} of the expanded image",
                f"expands to more than the {self._allowed} bytes allowed for {self._source.size} compressed ones;"
                " if it should, expand it first",
            )
        whole = len(self._waiting) // FRAME * FRAME
        if whole >= PIECE:
            self._flush(whole)

    def _flush(self, whole: int) -> None:
        piece = bytes(self._waiting[:whole])
        filled = np.frombuffer(piece, np.uint8).reshape(-1, FRAME).any(axis=1)
        edges = np.flatnonzero(np.diff(filled, prepend=False, append=False))
        for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            self._put(piece[begin * FRAME : end * FRAME], self._size + begin * FRAME)
        self._size += whole
        del self._waiting[:whole]

    def _put(self, part: bytes, offset: int) -> None:
        if os.pwrite(self._descriptor, part, offset) != len(part):
            raise self._source.bad("the expanded image", "does not fit into the folder for temporary files")

    def finish(self) -> None:
        """Write what waits, and give the file its size."""
        self._flush(len(self._waiting) // FRAME * FRAME)
        self._put(bytes(self._waiting), self._size)
        os.ftruncate(self._descriptor, self._size + len(self._waiting))


def _stream(source: Store, sink: _Sink) -> None:
    """Expand all streams (xz) or frames (zstd) of `source`, which follow each other."""
    xz = _is_xz(source.read(0, min(source.size, len(MAGIC_XZ))))
    offset, pending = 0, b""
    while True:
        # What follows a stream of xz may be padding with zeros (The .xz File Format 1.2.1, 2.2).
        pending = pending.lstrip(b"\0") if xz else pending
        if not pending:
            if offset == source.size:
                return
            pending = source.read(offset, min(PIECE, source.size - offset))
            offset += len(pending)
            continue
        decompressor: _Decompressor
        if xz:
            decompressor = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
        else:
            decompressor = ZstdDecompressor(options={DecompressionParameter.window_log_max: ZSTD_WINDOW})
        while not decompressor.eof:
            if decompressor.needs_input and not pending:
                if offset == source.size:
                    raise source.bad(f"offset {offset:#x}", "the compressed data end too early")
                pending = source.read(offset, min(PIECE, source.size - offset))
                offset += len(pending)
            sink.write(decompressor.decompress(pending, PIECE))
            pending = b""
        pending = decompressor.unused_data


def expand(source: Store, limit: int = LIMIT) -> Store:
    """The image in `source`, which is compressed with xz or zstd, as a file of its own.

    Raises:
        BadInputError: damaged, truncated, or expanding beyond `limit` bytes or beyond `RATIO` times its size.
    """
    try:
        with tempfile.TemporaryFile(prefix="ringfence-") as file:
            sink = _Sink(source, file.fileno(), min(limit, max(1 << 30, RATIO * source.size)))
            _stream(source, sink)
            sink.finish()
            return Store(os.dup(file.fileno()), source.name)
    except (lzma.LZMAError, ZstdError) as error:
        raise source.bad("compressed data", f"cannot be expanded ({error})") from error
    except OSError as error:
        raise source.bad("the expanded image", f"cannot be kept ({error.strerror})") from error
