"""Physical memory made by hand, and tables made by hand or by chance in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from audit.photograph import Frames, Machine, Mask, Words
from tests.audit.plain_walker import Processor

PRESENT, WRITE, USER, LARGE = 1, 2, 4, 1 << 7
READ_EPT, WRITE_EPT, EXECUTE_EPT = 1, 2, 4
RWX = {"x86": 7, "npt": 7, "ept": 7}


@dataclass
class MemoryPhotograph:
    """A photograph of a few frames."""

    frames: dict[int, list[int]] = field(default_factory=dict)
    name: str = "memory"
    machine: Machine = field(default_factory=Machine)

    @property
    def end(self) -> int:
        return max(self.frames, default=-1) + 1

    def read(self, frames: Frames) -> tuple[Words, Mask]:
        words = np.zeros((len(frames), 512), np.uint64)
        there = np.zeros(len(frames), np.bool_)
        for row, frame in enumerate(frames.tolist()):
            if frame in self.frames:
                words[row], there[row] = self.frames[frame], True
        return words, there

    def runs(self) -> Iterator[tuple[int, int]]:
        for frame in sorted(self.frames):
            yield frame, 1

    def table(self, frame: int) -> list[int]:
        """The words of a frame, which is there from now on."""
        return self.frames.setdefault(frame, [0] * 512)


INDEXES = st.one_of(st.sampled_from([0, 1, 2, 255, 256, 510, 511]), st.integers(0, 511))
FLAGS = st.lists(
    st.sampled_from([0, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 20, 21, 29, 30, 40, 45, 51, 52, 58, 62, 63]),
    max_size=3,
)
PERMISSIONS = st.sampled_from([7, 7, 7, 7, 3, 1, 5, 4, 2, 6, 0])
PROCESSORS = st.builds(
    Processor,
    maxphyaddr=st.sampled_from([36, 40, 46, 52]),
    encryption_mask=st.sampled_from([0, 0, 1 << 47, 1 << 51, 0b111 << 40]),
    no_execute=st.booleans(),
    gigabyte_pages=st.booleans(),
    execute_only=st.booleans(),
    mode_based_execute=st.booleans(),
)


@st.composite
def entries(draw: st.DrawFn, targets: list[int]) -> int:
    """An entry: mostly one that leads somewhere, sometimes with any bits at all."""
    large = draw(st.sampled_from([0, 0, 0, LARGE]))
    word = draw(st.sampled_from(targets)) << 12 | draw(PERMISSIONS) | large
    if large and draw(st.booleans()):
        word &= ~((1 << 21) - 1) | 0xFFF
    for number in draw(FLAGS) if draw(st.integers(0, 2)) == 0 else []:
        word ^= 1 << number
    return word


@st.composite
def memories(draw: st.DrawFn, places: list[int], most: int = 24) -> dict[int, dict[int, int]]:
    """Frames, with the words in them that are not 0.

    There is a way from the first place down; the other entries lead up and down (in cycles, too), to frames that are
    absent, and out of memory.
    """
    missing = draw(st.lists(st.sampled_from(places[1:]), max_size=2, unique=True))
    memory: dict[int, dict[int, int]] = {frame: {} for frame in places if frame not in missing}
    there = list(memory)
    targets = [*there * 3, *places, 0x12345, 0x200, 0x40000, (1 << 40) - 1, 1 << 35]
    for above, below in pairwise(there):
        memory[above][draw(INDEXES)] = below << 12 | draw(st.sampled_from([7, 7, 5]))
    for _ in range(draw(st.integers(4, most))):
        memory[draw(st.sampled_from(there))][draw(INDEXES)] = draw(entries(targets))
    return memory


def filled(memory: dict[int, dict[int, int]]) -> dict[int, list[int]]:
    """The same memory with all its words."""
    return {frame: [words.get(index, 0) for index in range(512)] for frame, words in memory.items()}
