"""What the monitor read of untrusted memory during one step, read again as the structures that they are.

The cursor follows the normal VM's own page tables with the words that the monitor fetched, in their order.  A fetch
from another place, a second fetch of a word, or a word left over is a divergence: each word is fetched once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from model.hyperenclave.vocabulary import FrameClass, Pointer
from refinement.traces.observed import Observed

PRESENT: Final = 1
WRITABLE: Final = 2
USER: Final = 4
LARGE: Final = 1 << 7
FRAME_MASK: Final = (1 << 40) - 1
PAGE_MASK: Final = (1 << 36) - 1


@dataclass(frozen=True)
class Word:
    """One word of normal memory: fetched by the monitor, or written by others meanwhile."""

    frame: int
    index: int
    value: int
    fetched: bool


class UnexpectedFetchError(Exception):
    """The monitor read untrusted memory where the format says nothing is read."""


class EndedError(Exception):
    """The monitor stopped reading here: it has refused the call before."""


@dataclass(frozen=True)
class Fault(Exception):  # noqa: N818 (an answer, not an error)
    """Following a pointer ended in this."""

    pointer: Pointer


class Cursor:
    """The words of one step; `wrote` is told about what others wrote, when its turn comes."""

    def __init__(self, words: list[Word], observed: Observed, wrote: Callable[[Word], None]) -> None:
        self._words = words
        self._position = 0
        self._observed = observed
        self._wrote = wrote

    def word(self, frame: int, index: int) -> int:
        """The next fetched word, which comes from this place."""
        self.pass_writes()
        if self._position == len(self._words):
            raise EndedError
        word = self._words[self._position]
        if (word.frame, word.index) != (frame, index):
            raise UnexpectedFetchError(
                f"word {word.index} of frame {word.frame:#x} was read instead of word {index} of frame {frame:#x}"
            )
        self._position += 1
        return word.value

    def pass_writes(self) -> None:
        """Report what others wrote up to the next fetch."""
        while self._position < len(self._words) and not self._words[self._position].fetched:
            self._wrote(self._words[self._position])
            self._position += 1

    def finish(self) -> None:
        """Nothing more was fetched."""
        self.pass_writes()
        if self._position != len(self._words):
            word = self._words[self._position]
            raise UnexpectedFetchError(f"word {word.index} of frame {word.frame:#x} was read once more")

    def is_normal(self, frame: int) -> bool:
        """The frame is normal memory."""
        return frame < self._observed.universe.frames.stop and (
            self._observed.read("frame_class", (frame,)) is FrameClass.NORMAL
        )

    def follow(self, root: int, address: int, write: bool, user: bool) -> int:
        """The frame behind a linear address by the tables from `root`; `Fault` if there is none."""
        if (address + (1 << 47)) >> 48 not in (0, 1 << 16):
            raise Fault(Pointer.GENERAL_PROTECTION)
        page = address >> 12 & PAGE_MASK
        required = PRESENT | WRITABLE * write | USER * user
        table = root
        for level in (3, 2, 1, 0):
            if not self.is_normal(table):
                raise Fault(Pointer.GENERAL_PROTECTION)
            entry = self.word(table, page >> 9 * level & 511)
            if entry & required != required:
                raise Fault(Pointer.PAGE_FAULT)
            table = entry >> 12 & FRAME_MASK
            if level in (1, 2) and entry & LARGE:
                low = (1 << 9 * level) - 1
                return table & ~low | page & low
        return table

    def structure(self, root: int, address: int, words: int, write: bool = False) -> tuple[int, int]:
        """Frame and first index of a structure of a supervisor call: aligned, in one page of normal memory."""
        index = address >> 3 & 511
        if address & 7 or index + words > 512:
            raise Fault(Pointer.GENERAL_PROTECTION)
        frame = self.follow(root, address, write, False)
        if not self.is_normal(frame):
            raise Fault(Pointer.GENERAL_PROTECTION)
        return frame, index

    def read(self, root: int, address: int, words: int) -> tuple[int, ...]:
        """The words of such a structure."""
        frame, index = self.structure(root, address, words)
        return tuple(self.word(frame, index + k) for k in range(words))

    def handle(self, root: int, address: int) -> int:
        """The enclave that a SECS pointer names: the guest-physical address to which it translates."""
        frame, index = self.structure(root, address, 1)
        return frame << 12 | index << 3
