"""makedumpfile's flattened form, which QEMU's `dump-guest-memory -z` writes: a dump as pieces with their offsets.

makedumpfile's IMPLEMENTATION: a header of 4096 bytes, then records of offset and size (64 bits each, big-endian) with
that many bytes after them, until both are -1.  Rearranged once, to a temporary file without a name.
"""

from __future__ import annotations

import os
import struct
import tempfile

from audit.readers.image import FRAME, FRAMES_END
from audit.readers.store import Store

MAGIC = b"makedumpfile\0\0\0\0"
PIECE = 1 << 20
"""Bytes that are copied at a time."""
RECORD_LEAST = 256
"""Bytes of a record on the average, or more; pages are written by the dozen."""

_HEADER = struct.Struct(">16sqq")
_RECORD = struct.Struct(">qq")
_RECORDS_FEW = 4096


def rearrange(source: Store, limit: int) -> Store:
    """The dump in `source`, which begins with `MAGIC`, as a file of its own.  limit: bytes that it may have.

    Raises:
        BadInputError: truncated, not what the form allows, or too large.
    """
    _, kind, version = _HEADER.unpack(source.read(0, _HEADER.size))
    if (kind, version) != (1, 1):
        raise source.bad("offset 0x10", f"expected type 1 and version 1 of the flattened form, found {kind}, {version}")
    try:
        with tempfile.TemporaryFile(prefix="ringfence-") as file:
            _copy(source, file.fileno(), limit)
            return Store(os.dup(file.fileno()), source.name)
    except OSError as error:
        raise source.bad("the rearranged dump", f"cannot be kept ({error.strerror})") from error


def _copy(source: Store, descriptor: int, limit: int) -> None:
    at, most = FRAME, _RECORDS_FEW + source.size // RECORD_LEAST
    for _ in range(most):
        offset, size = _RECORD.unpack(source.read(at, _RECORD.size))
        if (offset, size) == (-1, -1):
            return
        if offset < 0 or size <= 0 or offset + size > FRAMES_END * FRAME:
            raise source.bad(f"offset {at:#x}", f"expected an offset and a size, found {offset} and {size}")
        at += _RECORD.size
        if at + size > source.size:
            raise source.bad(f"offset {at:#x}", f"expected {size} bytes, the file has {source.size} in all")
        if at + size > limit:
            raise source.bad(f"offset {at:#x}", f"there are more than the {limit} bytes that are rearranged")
        for done in range(0, size, PIECE):
            piece = source.read(at + done, min(PIECE, size - done))
            if os.pwrite(descriptor, piece, offset + done) != len(piece):
                raise source.bad("the rearranged dump", "does not fit into the folder for temporary files")
        at += size
    raise source.bad(f"offset {at:#x}", f"expected at most {most} records in a file of {source.size} bytes")
