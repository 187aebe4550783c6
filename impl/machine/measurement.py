"""MRENCLAVE: SHA-256 over 64-byte records in the format of SGX.

Sources: SDM 3D, 38.4; public monitor, src/enclave/measure.rs.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from array import array
from typing import Final, Protocol

CHUNK: Final = 256
RECORD: Final = 64


def _four(digest: bytes) -> tuple[int, int, int, int]:
    a, b, c, d = struct.unpack("<4Q", digest)
    return a, b, c, d


def words_of_digest(words: tuple[int, ...]) -> tuple[int, int, int, int]:
    """SHA-256 of 64-bit words in little-endian order, as four little-endian words."""
    return _four(hashlib.sha256(struct.pack(f"<{len(words)}Q", *words)).digest())


class HashState(Protocol):
    """A hash under way, as `hashlib` makes it."""

    def update(self, data: bytes, /) -> None:
        """Append bytes."""
        ...

    def digest(self) -> bytes:
        """The hash of the bytes so far."""
        ...

    def copy(self) -> HashState:
        """An independent hash of the same bytes."""
        ...


class MeasurementLog:
    """The hash of an enclave's records so far."""

    def __init__(self, state: HashState) -> None:
        self._state = state

    @staticmethod
    def started(ssa_frame_size: int, size: int) -> MeasurementLog:
        """The ECREATE record: tag, SSA frame size u32 at 8, size of ELRANGE u64 at 12."""
        return MeasurementLog(hashlib.sha256(struct.pack("<8sIQ44x", b"ECREATE", ssa_frame_size, size)))

    def add(self, offset: int, secinfo: int) -> None:
        """The EADD record: tag, byte offset of the page u64 at 8, SECINFO u64 at 16."""
        self._state.update(struct.pack("<8sQQ40x", b"EADD", offset, secinfo))

    def extend(self, offset: int, page: array[int]) -> None:
        """For each 256-byte chunk an EEXTEND record (tag, byte offset of the chunk u64 at 8) and the chunk itself."""
        data = page.tobytes() if sys.byteorder == "little" else struct.pack("<512Q", *page)
        for start in range(0, len(data), CHUNK):
            self._state.update(struct.pack("<8sQ48x", b"EEXTEND", offset + start))
            self._state.update(data[start : start + CHUNK])

    def final(self) -> tuple[int, int, int, int]:
        """The digest as four little-endian words; more records may follow."""
        return _four(self._state.digest())

    def hashed(self) -> HashState:
        """The hash under way, independent of this log."""
        return self._state.copy()

    def copy(self) -> MeasurementLog:
        """An independent log with the same records."""
        return MeasurementLog(self._state.copy())
