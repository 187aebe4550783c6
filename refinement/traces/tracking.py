"""Values that remember what they were computed from, so that a step recomputes only what it touches.

A cell is a pair (name, key).  Cells of the storage are fields of the monitor at a key, with the EPCM as the memory
words that it is, `("page", frame)` for a frame as a whole and `("log", enclave)` for the records of a measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from impl.machine.layout import EPCM_ENTRY_WORDS
from impl.machine.machine import ConcreteMachine
from impl.machine.storage import ConcreteStorage

Cell = tuple[str, Hashable]
Item = TypeVar("Item", bound=Hashable)
T = TypeVar("T")


class Tracked(Generic[Item, T]):
    """Computed items, each with the cells that it read; `same` says whether a new value is the old one."""

    def __init__(self, compute: Callable[[Item], T], same: Callable[[T, T], bool]) -> None:
        self.compute = compute
        self.same = same
        self.values: dict[Item, T] = {}
        self.readers: dict[Cell, set[Item]] = {}
        self._reading: list[set[Cell]] = []

    def note(self, cell: Cell) -> None:
        """The item that is being computed reads this cell."""
        if self._reading:
            self._reading[-1].add(cell)

    def get(self, item: Item) -> T:
        """The value, computed now if it never was."""
        if item not in self.values:
            self.values[item] = self._computed(item)
        return self.values[item]

    def _computed(self, item: Item) -> T:
        cells = set[Cell]()
        self._reading.append(cells)
        try:
            value = self.compute(item)
        finally:
            self._reading.pop()
        for cell in cells:
            self.readers.setdefault(cell, set()).add(item)
        return value

    def refresh(self, changed: Iterable[Cell]) -> dict[Item, tuple[T, T]]:
        """Recompute what read one of the cells; what is different now, with old and new value."""
        stale = {item for cell in changed for item in self.readers.get(cell, ())}
        different: dict[Item, tuple[T, T]] = {}
        for item in stale:
            old, new = self.values[item], self._computed(item)
            self.values[item] = new
            if not self.same(old, new):
                different[item] = (old, new)
        return different

    def adopt(self, other: Tracked[Item, T]) -> None:
        """Start from what another one of the same kind has computed for an equal state."""
        self.values = dict(other.values)
        self.readers = {cell: set(items) for cell, items in other.readers.items()}


class RecordedField:
    """A field of a storage that reports every read."""

    def __init__(self, storage: ConcreteStorage, name: str, note: Callable[[Cell], None]) -> None:
        self._cells = getattr(storage, name)
        self._name = name
        self._note = note

    def __getitem__(self, key: Hashable) -> int:
        self._note((self._name, key))
        return self._cells[key]


class RecordedMemory:
    """Physical memory, 0 beyond its end."""

    def __init__(self, storage: ConcreteStorage, note: Callable[[Cell], None]) -> None:
        self._memory = storage.physical
        self._note = note

    def __getitem__(self, key: tuple[int, int]) -> int:
        self._note(("memory", key))
        return self._memory[key] if key[0] < self._memory.end else 0


class RecordedEpcm:
    """The EPCM, whose words are reported as words of memory; 0 for frames without an entry."""

    def __init__(self, storage: ConcreteStorage, note: Callable[[Cell], None]) -> None:
        self._storage = storage
        self._note = note

    def __getitem__(self, key: tuple[int, int]) -> int:
        layout = self._storage.layout
        if not layout.epc_first <= key[0] < layout.epc_end:
            return 0
        word = (key[0] - layout.epc_first) * EPCM_ENTRY_WORDS + key[1]
        self._note(("memory", (layout.epcm_first + (word >> 9), word & 511)))
        return self._storage.epcm[key]


class RecordedStorage:
    """All fields of a storage; reads are reported to `note`."""

    def __init__(self, storage: ConcreteStorage, note: Callable[[Cell], None]) -> None:
        self._fields: dict[str, object] = {name: RecordedField(storage, name, note) for name in storage.sparse}
        self._fields["memory"] = RecordedMemory(storage, note)
        self._fields["epcm"] = RecordedEpcm(storage, note)

    def __getattr__(self, name: str) -> object:
        return self._fields[name]


def catch_up(shadow: ConcreteMachine, live: ConcreteMachine) -> set[Cell]:
    """Make the shadow equal to the live machine; the cells in which it was not."""
    changed = set[Cell]()
    for name, field in live.storage.sparse.items():
        old = shadow.storage.sparse[name]
        if field != old:
            changed |= {(name, key) for key in field.keys() | old.keys() if field[key] != old[key]}
            dict.clear(old)
            dict.update(old, field)
    changed |= _memory(shadow, live)
    for enclave in live.logs.keys() | shadow.logs.keys():
        log, old_log = live.logs.get(enclave), shadow.logs.get(enclave)
        if log is None:
            del shadow.logs[enclave]
        elif old_log is not None and log.final() == old_log.final():
            continue
        else:
            shadow.logs[enclave] = log.copy()
        changed.add(("log", enclave))
    return changed


def _memory(shadow: ConcreteMachine, live: ConcreteMachine) -> set[Cell]:
    changed = set[Cell]()
    ours, theirs = live.storage.physical, shadow.storage.physical
    for frame in sorted(ours.frames.keys() | theirs.frames.keys()):
        new, old = ours.page(frame), theirs.page(frame)
        if new != old:
            changed.add(("page", frame))
            changed |= {("memory", (frame, i)) for i in range(512) if new[i] != old[i]}
            old[:] = new
    return changed
