"""The representation invariant as a checker of concrete states: the same clauses, at every key that matters.

A clause is evaluated wherever one of its triggers is touched: at every key of a field that ever held something, every
word of a table, every non-zero word of other monitor frames, and every leaf.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from impl.machine.layout import Layout as MonitorLayout
from impl.machine.storage import ConcreteStorage
from refinement import bits
from refinement.bits import NestedFormat
from refinement.invariants import tables
from refinement.invariants.clause import TABLE_WORD, Clause, Layout
from refinement.invariants.layout import well_formed
from refinement.invariants.rules import CLAUSES, COUNTING
from refinement.invariants.state import MonitorState

WORDS: Final = 512
Key = tuple[int, ...]


@dataclass(frozen=True)
class Violation:
    """A clause that does not hold, and the keys at which."""

    clause: str
    keys: Key


class _Memory:
    """Memory words, 0 beyond the end of memory, as clauses expect total fields."""

    def __init__(self, storage: ConcreteStorage) -> None:
        self._storage = storage

    def __getitem__(self, key: tuple[int, int]) -> int:
        return self._storage.memory[key] if key[0] < self._storage.layout.memory_end else 0


class _Epcm:
    """EPCM words, 0 for frames without an entry."""

    def __init__(self, storage: ConcreteStorage) -> None:
        self._storage = storage

    def __getitem__(self, key: tuple[int, int]) -> int:
        layout = self._storage.layout
        return self._storage.epcm[key] if layout.epc_first <= key[0] < layout.epc_end else 0


class _Fields:
    """The storage as clauses read it."""

    def __init__(self, storage: ConcreteStorage) -> None:
        self.memory = _Memory(storage)
        self.epcm = _Epcm(storage)
        self._sparse = storage.sparse

    def __getattr__(self, name: str) -> object:
        return self._sparse[name]


def layout_of(layout: MonitorLayout) -> Layout:
    """The monitor's layout as the invariant reads it."""
    return Layout(**{name: getattr(layout, name) for name in Layout.__dataclass_fields__})


def check(storage: ConcreteStorage, form: NestedFormat, deep: bool = True) -> list[Violation]:
    """Every violation of the representation invariant in a concrete state.

    Not `deep`: without the leaves of the normal VM and of the devices, which nothing changes after boot.
    """
    state = MonitorState(_Fields(storage), layout_of(storage.layout), form)
    found = [] if well_formed(state) is True else [Violation("LAYOUT", ())]
    touched = _touched(storage, deep)
    for clause in (*CLAUSES, *COUNTING):
        found.extend(
            Violation(clause.name, keys)
            for keys in _keys(clause, state, touched)
            if clause.formula(state, *keys) is not True
        )
    return found


def _keys(clause: Clause, state: MonitorState, touched: dict[str, list[Key]]) -> Iterable[Key]:
    if not clause.keys:
        return [()]
    widths = list(clause.keys.values())
    rows: dict[Key, None] = {}
    for name, suggest in clause.triggers.items():
        for place in touched.get(name, ()):
            for row in suggest(state, *place):
                keys = tuple(k for k in row if isinstance(k, int))
                if all(k < 1 << w for k, w in zip(keys, widths, strict=True)):
                    rows[keys] = None
    return rows


def _touched(storage: ConcreteStorage, deep: bool) -> dict[str, list[Key]]:
    touched: dict[str, list[Key]] = {
        name: [key if isinstance(key, tuple) else (key,) for key in field] for name, field in storage.sparse.items()
    }
    layout = storage.layout
    touched["epcm"] = [(f, 0) for f in range(layout.epc_first, layout.epc_end)]
    touched["cpu_mode"] = [(c,) for c in range(layout.cpus)]
    touched["memory"] = list(_words(storage, deep))
    leaves = list(_leaves(storage, deep))
    touched["leaf"] = leaves
    touched[TABLE_WORD] = [(owner, page) for kind, owner, page in leaves if kind == bits.NESTED]
    touched["root"] = [(kind, owner) for kind, owner, level, _ in touched["table_at"] if level == 4]
    return touched


def _words(storage: ConcreteStorage, deep: bool) -> Iterator[Key]:
    """Every word of an upper table, and every other word of pool and EPC that is not 0."""
    layout = storage.layout
    for f in range(layout.pool_first, layout.epc_end):
        is_upper_table = storage.table_level[f] > 1 and (deep or tables.is_enclave(storage.pool_owner[f]))
        page = storage.physical.page(f)
        yield from ((f, i) for i in range(WORDS) if is_upper_table or (page[i] != 0 and storage.table_level[f] != 1))


def _leaves(storage: ConcreteStorage, deep: bool) -> Iterator[Key]:
    """Every leaf of an enclave that is not 0; if deep, all of memory for the normal VM and the devices."""
    layout = storage.layout
    for f in range(layout.pool_first, layout.epc_first):
        if storage.table_level[f] == 1 and tables.is_enclave(storage.pool_owner[f]):
            page, first = storage.physical.page(f), storage.table_prefix[f] << 9
            leaves = (first | i for i in range(WORDS) if page[i] != 0)
            yield from ((storage.table_kind[f], storage.pool_owner[f], leaf) for leaf in leaves)
    if deep:
        yield from ((bits.NESTED, tables.NORMAL_VM, f) for f in range(layout.memory_end + 1))
        yield from ((bits.IO, tables.DEVICES, f) for f in range(layout.memory_end + 1))
