"""A photograph whose frames lie in one file: every format ends here, with a list of what lies where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit.photograph import BadInputError, Frames, Machine, Mask, Words
from audit.readers.store import Store

FRAME = 4096
"""Bytes in a frame."""
FRAMES_END = 1 << 40
"""One more than the highest frame number: physical addresses have at most 52 bits (SDM 3A 4.1.4, APM 2 5.1)."""


@dataclass(frozen=True)
class Extent:
    """Consecutive frames that lie together in the file.  offset: in bytes, of the first one; need not be aligned."""

    first: int
    count: int
    offset: int


class Image:
    """A `Photograph` of extents: ascending, not overlapping, inside the file."""

    stride = FRAME
    """Bytes from what the file has of a frame to what it has of the next one in an extent."""

    def __init__(self, store: Store, extents: Sequence[Extent], machine: Machine | None = None) -> None:
        if not extents:
            raise BadInputError(f"{store.name}: expected at least one whole frame of memory")
        self.store = store
        self._machine = machine or Machine()
        self._first = np.array([extent.first for extent in extents], np.int64)
        self._count = np.array([extent.count for extent in extents], np.int64)
        self._offset = np.array([extent.offset for extent in extents], np.int64)

    @property
    def name(self) -> str:
        """The file, for messages."""
        return self.store.name

    @property
    def machine(self) -> Machine:
        """What the file says of the machine."""
        return self._machine

    @property
    def end(self) -> int:
        """One more than the highest frame number that the photograph holds."""
        return int(self._first[-1] + self._count[-1])

    def read(self, frames: Frames) -> tuple[Words, Mask]:
        """The contents of the frames in the order asked, and which of them are there; rows of absent ones are 0.

        Raises:
            BadInputError: the file has changed or cannot be read.
        """
        wanted = np.minimum(frames, np.uint64(FRAMES_END)).astype(np.int64)
        extent = np.maximum(np.searchsorted(self._first, wanted, side="right") - 1, 0)
        inside = wanted - self._first[extent]
        there = (inside >= 0) & (inside < self._count[extent])
        words = np.zeros((len(wanted), FRAME // 8), np.dtype("<u8"))
        rows = np.flatnonzero(there)
        if len(rows):
            self.fill(words, rows, (self._offset[extent] + inside * self.stride)[rows])
        return words, there

    def fill(self, words: Words, rows: NDArray[np.int64], offsets: NDArray[np.int64]) -> None:
        """Fill these rows (ascending) with the frames that lie at these offsets of the file."""
        # Rows that are neighbours both in the file and in what was asked are one read.
        breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(offsets) != FRAME)) + 1
        starts = np.concatenate(([0], breaks))
        stops = np.concatenate((rows[breaks - 1], rows[-1:])) + 1
        target = words.data.cast("B")
        for offset, start, stop in zip(offsets[starts].tolist(), rows[starts].tolist(), stops.tolist(), strict=True):
            self.store.read_into(offset, target[start * FRAME : stop * FRAME])

    def runs(self) -> Iterator[tuple[int, int]]:
        """The frames that are there, as (first, count), ascending and not touching; holes may be left out."""
        first, end = 0, 0
        for extent in zip(self._first.tolist(), self._count.tolist(), self._offset.tolist(), strict=True):
            for start, stop in self.filled(Extent(*extent)):
                if start > end:
                    if first < end:
                        yield first, end - first
                    first = start
                end = stop
        if first < end:
            yield first, end - first

    def filled(self, extent: Extent) -> Iterator[tuple[int, int]]:
        """The frames of an extent that do not lie in a hole of the file, as (first, end); they may touch or overlap."""
        length = extent.count * FRAME
        for start, stop in self.store.filled(extent.offset, extent.offset + length):
            first = extent.first + (start - extent.offset) // FRAME
            yield first, extent.first - (extent.offset - stop) // FRAME
