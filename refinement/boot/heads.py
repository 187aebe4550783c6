"""What is known at the head of each loop of boot: one text for all loops, about how far each of them has come.

Boot writes only the fields WRITTEN; all others are still 0.  Tables are real words here, since what the pool has left
depends on which table frames exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from impl.machine.registers import EFER, NESTED_ROOT, RFLAGS, XCR0
from model.language.logic import And, Implies, Not, Or, Value
from refinement import bits
from refinement.engine.values import Number, merge
from refinement.invariants.clause import TABLE_WORD, Clause, Layout, State, at_first_key, at_last_key, at_same_keys
from refinement.invariants.enclaves import XFRM_LEGACY
from refinement.invariants.layout import in_pool, in_range, is_device, is_normal, is_reserved_memory
from refinement.invariants.pages import ALL_RIGHTS, READ_WRITE
from refinement.invariants.processors import NORMAL
from refinement.invariants.state import MonitorState
from refinement.invariants.tables import DEVICES, NORMAL_VM, PREFIX_MASK, TABLE_CLAUSES
from refinement.opaque import difference

WRITTEN: Final = (
    "memory", "epcm", "pool_owner", "pool_free", "table_kind", "table_level", "table_prefix", "table_at", "io_root",
    "cpu_mode", "register", "xstate",
)  # fmt: skip
LONG_MODE: Final = 0xD01  # EFER: SCE, LME, LMA, NXE (SDM 3A 2.2.1)
LEVELS: Final = (1, 2, 3)  # of the tables below a root
ROOTS: Final = 2
FLAGS_ALWAYS: Final = 2  # bit 1 of RFLAGS


@dataclass(frozen=True)
class Progress:
    """How far each loop has come, as exclusive ends.

    epcm: frames with an EPCM entry.  normal, devices: pages in the tables of each.  cpus: CPUs that run.
    """

    epcm: Number
    normal: Number
    devices: Number
    cpus: Number


@dataclass(frozen=True)
class BootLoop:
    """A loop of boot: its name in the code, the part of the progress that it makes, bits of its variable."""

    name: str
    part: str
    width: int
    ends: str

    def at(self, progress: Progress, value: Number) -> Progress:
        """The progress with this loop at a value."""
        return replace(progress, **{self.part: value})

    def after(self, progress: Progress, layout: Layout) -> Progress:
        """The progress when this loop is through."""
        return self.at(progress, getattr(layout, self.ends))


LOOPS: Final = (
    BootLoop("boot: EPCM", "epcm", 36, "epc_end"),
    BootLoop("boot: normal VM", "normal", 36, "memory_end"),
    BootLoop("boot: devices", "devices", 36, "memory_end"),
    BootLoop("boot: CPUs", "cpus", 9, "cpus"),
)


def begun(layout: Layout, loops: int) -> Progress:
    """The progress when so many of the loops are through and the next has not begun."""
    progress = Progress(layout.epc_first, 0, 0, 0)
    for loop in LOOPS[:loops]:
        progress = loop.after(progress, layout)
    return progress


def keyless(s: MonitorState, progress: Progress, nested_root: Number) -> list[tuple[str, Value]]:
    """The facts without keys: the roots, and that the pool has what the tables to come need."""
    devices = s.root[bits.IO, DEVICES]
    return [
        ("ROOTS", And(nested_root != 0, s.root[bits.NESTED, NORMAL_VM] == nested_root)),
        ("IO-ROOT", And(devices != 0, s.io_root[()] == devices)),
        ("POOL", _pool(s, progress)),
    ]


LEVELS_OF_LOOPS: Final = tuple(
    (kind, owner, part, level)
    for kind, owner, part in ((bits.NESTED, NORMAL_VM, "normal"), (bits.IO, DEVICES, "devices"))
    for level in LEVELS
)


def _pool(s: MonitorState, progress: Progress) -> Value:
    """No more frames were taken than the roots and what each level accounts for."""
    return enough(s.layout, s.pool_free[()], [used(s, progress, n) for n in range(len(LEVELS_OF_LOOPS))])


def enough(layout: Layout, free: Number, levels: Sequence[Number]) -> Value:
    """The pool is made up by what is free, the roots, and what each level accounts for."""
    total = layout.pool_first + free + ROOTS
    for level in levels:
        total = total + level
    return layout.epc_first <= total


def used(s: MonitorState, progress: Progress, number: int) -> Number:
    """An upper bound of the tables of a level: one for each range that is past, and the present one if it has one."""
    kind, owner, part, level = LEVELS_OF_LOOPS[number]
    page: Number = getattr(progress, part)
    last = difference(page, 1, 41) >> (9 * level)
    present = s.table_at[kind, owner, level, last & PREFIX_MASK] != 0
    return merge(page == 0, 0, last + merge(present, 1, 0))


def missing_now(s: MonitorState, progress: Progress, number: int) -> Number:
    """1 if the level has no table for the present page."""
    kind, owner, part, level = LEVELS_OF_LOOPS[number]
    page: Number = getattr(progress, part)
    return merge(s.table_at[kind, owner, level, (page >> (9 * level)) & PREFIX_MASK] == 0, 1, 0)


def ranges_begun(page: Number, level: int) -> Number:
    """How many ranges of tables of this level have a page below `page`."""
    return (page + ((1 << (9 * level)) - 1)) >> (9 * level)


def taken_now(before: MonitorState, after: MonitorState, progress: Progress, number: int) -> Number:
    """1 if this step of the loop gave the level a table for the present page."""
    kind, owner, part, level = LEVELS_OF_LOOPS[number]
    page: Number = getattr(progress, part)
    place = (kind, owner, level, (page >> (9 * level)) & PREFIX_MASK)
    return merge(And(before.table_at[place] == 0, after.table_at[place] != 0), 1, 0)


def clauses(progress: Progress) -> tuple[Clause, ...]:
    """The facts about every place, at a loop head with this progress."""

    def epcm(s: State, f: Number, part: Number) -> Value:
        made = And(part == 0, in_range(f, s.layout.epc_first, progress.epcm))
        return s.epcm[f, part] == merge(made, bits.EMPTY_ENTRY, 0)

    def normal(s: State, v: Number) -> Value:
        return _until(v, progress.normal, s.leaf[bits.NESTED, NORMAL_VM, v], _normal_leaf(s, v))

    def devices(s: State, v: Number) -> Value:
        return _until(v, progress.devices, s.leaf[bits.IO, DEVICES, v], _device_leaf(s, v))

    def mode(s: State, c: Number) -> Value:
        return s.cpu_mode[c] == merge(c < progress.cpus, NORMAL, 0)

    def register(s: State, c: Number, r: Number) -> Value:
        return s.register[c, r] == merge(c < progress.cpus, _register(s, r), 0)

    return (
        *TABLE_CLAUSES,
        *_ABOUT_TABLES,
        Clause("EPCM", "EPCM entries are empty so far.", {"f": 40, "part": 2}, epcm, {"epcm": at_same_keys}),
        Clause("NORMAL-LEAF", "The normal VM's leaves so far.", {"v": 36}, normal, {TABLE_WORD: at_last_key}),
        Clause("IO-LEAF", "The devices' leaves so far.", {"v": 36}, devices, {TABLE_WORD: at_last_key}),
        Clause("MODE", "The CPUs that run so far.", {"c": 9}, mode, {"cpu_mode": at_same_keys}),
        Clause("REGISTER", "Their registers.", {"c": 9, "r": 5}, register, {"register": at_same_keys}),
    )


def _until(v: Number, end: Number, leaf: Number, made: Value) -> Value:
    return And(Implies(v < end, made), Implies(end <= v, leaf == 0))


def _normal_leaf(s: State, v: Number) -> Value:
    leaf, y = s.leaf[bits.NESTED, NORMAL_VM, v], s.layout
    return And(
        Implies(is_normal(y, v), bits.nested_leaf(s.form, leaf, v, ALL_RIGHTS)),
        Implies(is_reserved_memory(y, v), bits.nested_leaf(s.form, leaf, y.zero_frame, bits.READ)),
        Implies(is_device(y, v), leaf == 0),
    )


def _device_leaf(s: State, v: Number) -> Value:
    leaf, normal = s.leaf[bits.IO, DEVICES, v], is_normal(s.layout, v)
    return And(Implies(normal, bits.io_leaf(leaf, v, READ_WRITE)), Implies(Not(normal), leaf == 0))


def _register(s: State, r: Number) -> Number:
    started = {
        NESTED_ROOT: s.root[bits.NESTED, NORMAL_VM] << 12, RFLAGS: FLAGS_ALWAYS, EFER: LONG_MODE, XCR0: XFRM_LEGACY,
    }  # fmt: skip
    value: Number = 0
    for register, given in started.items():
        value = merge(r == register, given, value)
    return value


# --- tables ---------------------------------------------------------------------------------------------------------


def _is_boots(kind: Number, owner: Number) -> Value:
    return Or(And(kind == bits.NESTED, owner == NORMAL_VM), And(kind == bits.IO, owner == DEVICES))


def _directory(s: State, kind: Number, owner: Number, level: Number, prefix: Number) -> Value:
    return Implies(s.table_at[kind, owner, level, prefix] != 0, _is_boots(kind, owner))


def _owners(s: State, f: Number) -> Value:
    return Implies(s.pool_owner[f] != 0, _is_boots(s.table_kind[f], s.pool_owner[f]))


def _outside_pool(s: State, f: Number, i: Number) -> Value:
    return Or(in_pool(s.layout, f), s.memory[f, i] == 0)


_ABOUT_TABLES: Final = (
    Clause(
        "BOOT-DIRECTORY",
        "There are tables of the normal VM and of the devices only.",
        {"k": 2, "o": 52, "l": 3, "p": 27},
        _directory,
        {"table_at": at_same_keys},
    ),
    Clause(
        "BOOT-OWNERS",
        "Pool frames are theirs or free.",
        {"f": 40},
        _owners,
        {"pool_owner": at_same_keys, "memory": at_first_key},
    ),
    Clause("ZERO", "Memory outside the pool is still 0.", {"f": 40, "i": 9}, _outside_pool, {"memory": at_same_keys}),
)
