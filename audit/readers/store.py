"""Files as bytes at offsets: read piece by piece, checked at each read, never mapped or loaded whole."""

from __future__ import annotations

import errno
import os
import stat
import weakref
from collections.abc import Iterator
from pathlib import Path

from audit.photograph import BadInputError


class Store:
    """A regular file that is open for reading.

    pread instead of a mapping: a file that shrinks while it is read is an error in words, not a SIGBUS, and pages of
    the file do not count as memory of this process.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self.name = name
        self.size = os.fstat(descriptor).st_size
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)

    def bad(self, place: str, expected: str) -> BadInputError:
        """The error that names this file, the place in it, and what was expected there."""
        return BadInputError(f"{self.name}: {place}: {expected}")

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill `target` (bytes) from `offset` on.

        Raises:
            BadInputError: the file ends before, or cannot be read.
        """
        done = 0
        while done < len(target):
            try:
                got = os.preadv(self._descriptor, [target[done:]], offset + done)
            except OSError as error:
                raise self.bad(f"offset {offset + done:#x}", f"cannot be read ({error.strerror})") from error
            if not got:
                raise self.bad(f"offset {offset:#x}", f"expected {len(target)} bytes, the file ends after {done}")
            done += got

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset` on.

        Raises:
            BadInputError: the file ends before, or cannot be read.
        """
        if length < 0 or offset + length > self.size:
            raise self.bad(f"offset {offset:#x}", f"expected {length} bytes, the file has {self.size} in all")
        target = bytearray(length)
        self.read_into(offset, memoryview(target))
        return bytes(target)

    def filled(self, offset: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of [offset, end) that are not holes, as (start, end); all of it where the system knows no holes."""
        while offset < end:
            try:
                start = os.lseek(self._descriptor, offset, os.SEEK_DATA)
                stop = os.lseek(self._descriptor, start, os.SEEK_HOLE)
            except OSError as error:
                if error.errno != errno.ENXIO:  # ENXIO: nothing but a hole up to the end
                    yield offset, end
                return
            if start < end:
                yield start, min(stop, end)
            offset = stop


def open_store(path: Path) -> Store:
    """The file at `path`.

    Raises:
        BadInputError: not there, not to be read, or not a regular file (a pipe would block, a device never ends).
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise BadInputError(f"{path}: expected a regular file or a folder")
        return Store(os.open(path, os.O_RDONLY | os.O_CLOEXEC), str(path))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInputError(f"{path}: cannot be opened ({reason})") from error
