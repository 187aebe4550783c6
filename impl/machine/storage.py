"""The storage of the concrete machine: every field of `FIELDS` as plain integers.

Reading what was never written gives 0.  A key or value that does not fit its field, or a word outside physical memory,
raises `StorageError`: it is a bug of the caller, never a matter of input.
"""

from __future__ import annotations

from array import array
from typing import Final

from impl.machine.fields import FIELDS, Field
from impl.machine.layout import EPCM_ENTRY_WORDS, WORDS, Layout
from impl.machine.primitives import Cells, Key

ZEROS: Final = bytes(8 * WORDS)


class StorageError(Exception):
    """A key or value that does not fit its field."""


class SparseField(dict[Key, int]):
    """A field that holds only what is not 0, so that equal states are equal dictionaries."""

    __slots__ = ("limits", "name", "values_end")

    def __init__(self, name: str, field: Field) -> None:
        super().__init__()
        self.name = name
        self.limits = tuple(1 << width for width in field.keys)
        self.values_end = 1 << field.width

    def _check_key(self, key: Key) -> None:
        parts = key if isinstance(key, tuple) else (key,)
        if len(parts) != len(self.limits) or not all(0 <= k < end for k, end in zip(parts, self.limits, strict=True)):
            raise StorageError(f"{self.name} has no element {key}")

    def __missing__(self, key: Key) -> int:
        self._check_key(key)
        return 0

    def __setitem__(self, key: Key, value: int) -> None:
        if not 0 <= value < self.values_end:
            raise StorageError(f"{value:#x} does not fit into {self.name}")
        if value:
            if key not in self:
                self._check_key(key)
            super().__setitem__(key, value)
        elif key in self:
            super().__delitem__(key)
        else:
            self._check_key(key)


class PhysicalMemory:
    """All physical memory as words; frames come into being when they are first written."""

    __slots__ = ("end", "frames")

    def __init__(self, end: int) -> None:
        self.end = end
        self.frames: dict[int, array[int]] = {}

    def __getitem__(self, key: Key) -> int:
        assert isinstance(key, tuple)
        frame, index = key
        words = self.frames.get(frame)
        if words is None or index < 0:
            self._check(frame, index)
            return 0
        try:
            return words[index]
        except IndexError as error:
            raise StorageError(f"there is no word {index} of frame {frame:#x}") from error

    def __setitem__(self, key: Key, value: int) -> None:
        assert isinstance(key, tuple)
        frame, index = key
        self._check(frame, index)
        if not 0 <= value < 1 << 64:
            raise StorageError(f"{value:#x} does not fit into a memory word")
        self.page(frame)[index] = value

    def _check(self, frame: int, index: int) -> None:
        if not (0 <= frame < self.end and 0 <= index < WORDS):
            raise StorageError(f"there is no word {index} of frame {frame:#x}")

    def page(self, frame: int) -> array[int]:
        """The words of a frame, to be changed in place."""
        words = self.frames.get(frame)
        if words is None:
            self._check(frame, 0)
            words = self.frames[frame] = array("Q", ZEROS)
        return words

    def zero(self, frame: int) -> None:
        """Make a frame all zeros."""
        self._check(frame, 0)
        self.frames.pop(frame, None)

    def copy(self, destination: int, source: int) -> None:
        """Copy a frame."""
        self._check(destination, 0)
        self.frames[destination] = array("Q", self.page(source))


class EpcmView:
    """The EPCM entries as words of the monitor's memory: 24 bytes per EPC frame, contiguous from `epcm_first`."""

    __slots__ = ("_layout", "_memory")

    def __init__(self, memory: PhysicalMemory, layout: Layout) -> None:
        self._memory = memory
        self._layout = layout

    def _place(self, key: Key) -> tuple[int, int]:
        assert isinstance(key, tuple)
        frame, part = key
        layout = self._layout
        if not (layout.epc_first <= frame < layout.epc_end and 0 <= part < EPCM_ENTRY_WORDS):
            raise StorageError(f"there is no word {part} of an EPCM entry of frame {frame:#x}")
        word = (frame - layout.epc_first) * EPCM_ENTRY_WORDS + part
        return layout.epcm_first + (word >> 9), word & 511

    def __getitem__(self, key: Key) -> int:
        return self._memory[self._place(key)]

    def __setitem__(self, key: Key, value: int) -> None:
        self._memory[self._place(key)] = value


class ConcreteStorage:
    """All fields; `memory` and its view `epcm` are words of `physical`, the others are in `sparse` by name."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.physical = PhysicalMemory(layout.memory_end)
        self.sparse = {n: SparseField(n, field) for n, field in FIELDS.items() if n not in ("memory", "epcm")}
        self.memory: Cells = self.physical
        self.epcm: Cells = EpcmView(self.physical, layout)
        self.register: Cells = self.sparse["register"]
        self.xstate: Cells = self.sparse["xstate"]
        self.tlb_frame: Cells = self.sparse["tlb_frame"]
        self.tlb_rights: Cells = self.sparse["tlb_rights"]
        self.io_root: Cells = self.sparse["io_root"]
        self.cpu_mode: Cells = self.sparse["cpu_mode"]
        self.cpu_enclave: Cells = self.sparse["cpu_enclave"]
        self.cpu_tcs: Cells = self.sparse["cpu_tcs"]
        self.cpu_ssa: Cells = self.sparse["cpu_ssa"]
        self.cpu_resuming: Cells = self.sparse["cpu_resuming"]
        self.saved_register: Cells = self.sparse["saved_register"]
        self.life: Cells = self.sparse["life"]
        self.elrange_first: Cells = self.sparse["elrange_first"]
        self.elrange_end: Cells = self.sparse["elrange_end"]
        self.ssa_frame_size: Cells = self.sparse["ssa_frame_size"]
        self.attributes: Cells = self.sparse["attributes"]
        self.xfrm: Cells = self.sparse["xfrm"]
        self.unextended: Cells = self.sparse["unextended"]
        self.mrenclave: Cells = self.sparse["mrenclave"]
        self.mrsigner: Cells = self.sparse["mrsigner"]
        self.isv: Cells = self.sparse["isv"]
        self.shared_first: Cells = self.sparse["shared_first"]
        self.shared_end: Cells = self.sparse["shared_end"]
        self.page_total: Cells = self.sparse["page_total"]
        self.page_at: Cells = self.sparse["page_at"]
        self.page_position: Cells = self.sparse["page_position"]
        self.thread_total: Cells = self.sparse["thread_total"]
        self.thread_at: Cells = self.sparse["thread_at"]
        self.thread_position: Cells = self.sparse["thread_position"]
        self.busy: Cells = self.sparse["busy"]
        self.pool_owner: Cells = self.sparse["pool_owner"]
        self.pool_free: Cells = self.sparse["pool_free"]
        self.table_kind: Cells = self.sparse["table_kind"]
        self.table_level: Cells = self.sparse["table_level"]
        self.table_prefix: Cells = self.sparse["table_prefix"]
        self.table_at: Cells = self.sparse["table_at"]

    def copy(self) -> ConcreteStorage:
        """An independent storage with the same contents."""
        other = ConcreteStorage(self.layout)
        other.physical.frames = {frame: array("Q", words) for frame, words in self.physical.frames.items()}
        for name, field in other.sparse.items():
            dict.update(field, self.sparse[name])
        return other

    def same(self, other: ConcreteStorage) -> bool:
        """Both hold the same values."""
        if self.sparse != other.sparse:
            return False
        blank = array("Q", ZEROS)
        ours, theirs = self.physical.frames, other.physical.frames
        return all(ours.get(f, blank) == theirs.get(f, blank) for f in ours.keys() | theirs.keys())


__all__ = ["FIELDS", "ConcreteStorage", "Field", "PhysicalMemory", "SparseField", "StorageError"]
