"""The representation invariant on a concrete machine, clause by clause, kept up to date step by step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Final

from impl.machine.machine import ConcreteMachine
from refinement.bits import NestedFormat
from refinement.invariants.clause import Layout
from refinement.invariants.rules import CLAUSES
from refinement.invariants.state import MonitorState
from refinement.traces.tracking import Cell, RecordedStorage, Tracked
from refinement.traces.universe import Universe

Keys = tuple[int, ...]
Instance = tuple[str, Keys]

BY_NAME: Final = {clause.name: clause for clause in CLAUSES}
BY_WORD: Final = tuple(clause for clause in CLAUSES if tuple(clause.keys) == ("f", "i"))
"""Clauses about every word of a frame: evaluated only at words that are not 0, at the first and the last."""
BY_TABLE: Final = tuple(clause for clause in CLAUSES if tuple(clause.keys.values()) == (2, 52, 3, 27))
"""Clauses about every entry of the directory: evaluated where there was or is one."""
BY_PAIR: Final = "ALONE"
"""The clause about two pages of an enclave: evaluated for pages with a guest leaf that a step has written."""
OTHERS: Final = tuple(c for c in CLAUSES if c not in (*BY_WORD, *BY_TABLE) and c.name != BY_PAIR)
SPECIAL_OWNERS: Final = (1, 2)


class Representation:
    """Which clauses hold of a machine; `advance` is told which cells of the storage have changed."""

    def __init__(self, machine: ConcreteMachine, universe: Universe, like: Representation | None = None) -> None:
        self._machine = machine
        self._universe = universe
        layout = Layout(**{name: getattr(machine.layout, name) for name in Layout.__dataclass_fields__})
        self._clauses: Tracked[Instance, bool] = Tracked(self._holds, lambda a, b: a is b)
        fields = RecordedStorage(machine.storage, self._clauses.note)
        self._state = MonitorState(fields, layout, NestedFormat[machine.nested_format.name])
        if like is not None:
            self._clauses.adopt(like._clauses)

    def _holds(self, instance: Instance) -> bool:
        name, keys = instance
        return BY_NAME[name].formula(self._state, *keys) is True

    def fill(self) -> list[Instance]:
        """Evaluate every clause over the universe; those that do not hold."""
        frames = set(self._universe.frames)
        tables = [key for key in self._machine.storage.sparse["table_at"] if isinstance(key, tuple)]
        wanted = [*self._all(), *self._words(frames), *self._tables(tables)]
        return [instance for instance in wanted if not self._clauses.get(instance)]

    def advance(self, changed: Iterable[Cell]) -> list[Instance]:
        """Evaluate what the changed cells decide; the instances that do not hold any more."""
        frames, tables, pairs = set[int](), list[Keys](), list[Instance]()
        storage = self._machine.storage
        for name, key in changed:
            if name == "table_at" and isinstance(key, tuple):
                tables.append(key)
            elif name in ("page", "pool_owner") and isinstance(key, int):
                frames.add(key)
            elif name == "memory" and isinstance(key, tuple) and storage.table_kind[key[0]] == 1:
                pairs += self._pairs(*key)
        different = self._clauses.refresh(changed)
        broken = [instance for instance, (_, new) in different.items() if not new]
        fresh = [
            i for i in (*self._words(frames), *self._tables(tables), *pairs, *self._new()) if not self._clauses.get(i)
        ]
        return sorted({*broken, *fresh})

    def _pairs(self, table: int, index: int) -> Iterator[Instance]:
        storage = self._machine.storage
        if storage.table_level[table] == 1:
            enclave, page = storage.pool_owner[table], storage.table_prefix[table] << 9 | index
            for other in self._universe.pages:
                yield BY_PAIR, (enclave, page, other)
                yield BY_PAIR, (enclave, other, page)

    def _new(self) -> Iterator[Instance]:
        """Instances about enclaves and pages that joined the universe."""
        size = (len(self._universe.enclaves), len(self._universe.pages))
        if size != getattr(self, "_size", None):
            self._size = size
            yield from self._all()

    def _all(self) -> Iterator[Instance]:
        for clause in OTHERS:
            for keys in product(*(self._carrier(clause.name, name) for name in clause.keys)):
                yield clause.name, keys

    def _carrier(self, clause: str, name: str) -> Iterable[int]:
        u = self._universe
        if name == "f":
            return range(self._machine.layout.memory_end)
        if name == "k":
            layout = self._machine.layout
            return range(4) if clause in ("IDENTITY", "SHARED") else range(layout.epc_end - layout.epc_first + 1)
        if name in ("c", "d"):
            return u.cpus
        if name == "o":
            return (*SPECIAL_OWNERS, *u.enclaves)
        if name == "e":
            return tuple(u.enclaves)
        return u.frames if clause in ("NORMAL-LEAF", "IO-LEAF") else dict.fromkeys((*u.pages, *u.frames))

    def _words(self, frames: Iterable[int]) -> Iterator[Instance]:
        layout, physical = self._machine.layout, self._machine.storage.physical
        for frame in frames:
            if not layout.pool_first <= frame < layout.epc_end:
                continue
            words = physical.frames.get(frame)
            indexes = {0, 511, *(i for i, word in enumerate(words or ()) if word)}
            if layout.epc_first <= frame and self._machine.storage.epcm[frame, 0] >> 15 & 1:
                indexes = {0, 511}
            yield from ((clause.name, (frame, i)) for clause in BY_WORD for i in indexes)

    def _tables(self, keys: Iterable[Keys]) -> Iterator[Instance]:
        return ((clause.name, key) for key in keys for clause in BY_TABLE)
