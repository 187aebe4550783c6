"""The invariants of boot's loops, over real table words.

While tables are taken, those of the levels done are all there, those of the present level up to the step; every leaf
is 0.  Then leaves are written in the order of frames and no table is taken any more.
"""

from __future__ import annotations

from typing import Final

from impl.machine.layout import tables_of_level
from model.language.logic import And, Implies, Not, Or
from refinement import bits
from refinement.contracts.induction import Induction, Invariant
from refinement.engine.machine import POOL_ROOM
from refinement.engine.values import Number, merge
from refinement.invariants.clause import Clause, Layout, State, at_first_key, at_same_keys
from refinement.invariants.layout import in_range, is_epc
from refinement.invariants.pages import io_leaf, normal_leaf
from refinement.invariants.processors import NESTED_ROOT, NORMAL
from refinement.invariants.rules import CLAUSES
from refinement.invariants.tables import DEVICES, NORMAL_VM, POOL

TREES: Final = ((bits.NESTED, NORMAL_VM), (bits.IO, DEVICES))
"""Kind and owner of the tables that boot makes."""
LEVELS: Final = (3, 2, 1)
TABLE_RECORDS: Final = (
    "pool_owner", "pool_free", POOL_ROOM, "table_kind", "table_level", "table_prefix", "table_at",
)  # fmt: skip
_BY_NAME: Final = {clause.name: clause for clause in CLAUSES}


def _counts(layout: Layout, level: int, i: Number) -> dict[int, Number]:
    """The number of tables of each level and tree, when `i` of `level` are there."""
    return {4: 1, **{above: _all(layout, above) for above in LEVELS if above > level}, level: i}


def _all(layout: Layout, level: int) -> Number:
    """The number of tables of a level that a tree has at the end."""
    return tables_of_level(layout, level)  # type: ignore[arg-type]  # symbolic


def _present(s: State, counts: dict[int, Number], kind: Number, owner: Number, level: Number, prefix: Number) -> object:
    tree = Or(*(And(kind == k, owner == o) for k, o in TREES))
    made = And(tree, Or(*(And(level == x, prefix < n) for x, n in counts.items())))
    there = s.table_at[kind, owner, level, prefix] != 0
    return And(Implies(made, there), Implies(there, made))


def _room(s: State, level: int, i: Number) -> object:
    """Said without a difference, so that every sum has few terms."""
    missing: Number = sum(_all(s.layout, below) for below in range(1, level + 1))
    return missing * len(TREES) <= s.pool_free[()] + i * len(TREES)


def _roots_stay(s: State, before: State) -> object:
    return And(*(s.root[kind, owner] == before.root[kind, owner] for kind, owner in TREES))


def _zeros(s: State, f: Number, i: Number) -> object:
    return Implies(Or(is_epc(s.layout, f), f == s.layout.zero_frame), s.memory[f, i] == 0)


def _leaf_word(s: State, frames: Number, f: Number, i: Number) -> object:
    """A word of a table of level 1 is the final leaf of its page, or 0 if the page is not among the first `frames`."""
    word, page = s.memory[f, i], (s.table_prefix[f] << 9) | i
    kind, done = s.table_kind[f], page < frames
    final = And(
        Implies(kind == bits.NESTED, normal_leaf(s, word, page)),
        Implies(kind == bits.IO, io_leaf(s, word, page)),
    )
    return Implies(s.table_level[f] == 1, And(Implies(done, final), Implies(Not(done), word == 0)))


def _words(frames: Number) -> tuple[Clause, ...]:
    """What memory holds when the leaves of the first `frames` frames are written."""
    return (
        _BY_NAME["ENTRY"],
        Clause(
            "ZEROS",
            "EPC pages and the frame of zeros hold zeros.",
            {"f": 40, "i": 9},
            _zeros,
            {"memory": at_same_keys},
        ),
        Clause(
            "LEAF-WORD",
            "A leaf is that of its frame if the frame was visited, else 0.",
            {"f": 40, "i": 9},
            lambda s, f, i: _leaf_word(s, frames, f, i),
            {"memory": at_same_keys},
        ),
    )


def tables_invariant(level: int) -> Invariant:
    """Of the loop that takes the tables of a level."""

    def clauses(before: State, i: Number) -> tuple[Clause, ...]:
        counts = _counts(before.layout, level, i)
        return (
            _BY_NAME["TABLE"],
            _BY_NAME["DIRECTORY"],
            Clause(
                "PRESENT",
                "Tables of both trees are there up to the step, and no others.",
                {"k": 2, "o": 52, "l": 3, "p": 27},
                lambda s, *place: _present(s, counts, *place),
                {"table_at": at_same_keys},
            ),
            Clause("ROOTS-STAY", "The roots are those before the loop.", {}, lambda s: _roots_stay(s, before)),
            Clause("ROOM", "The pool has a frame for every table that is missing.", {}, lambda s: _room(s, level, i)),
            POOL,
            *_words(0),
        )

    return clauses


def _emptied(before: State, i: Number) -> tuple[Clause, ...]:
    def entry(s: State, f: Number, part: Number) -> object:
        done = And(part == 0, in_range(f, before.layout.epc_first, i))
        return s.epcm[f, part] == merge(done, bits.EMPTY_ENTRY, 0)

    meaning = "Entries are empty up to the step, and 0 from there on."
    return (Clause("EMPTY", meaning, {"f": 40, "p": 2}, entry, {"epcm": at_same_keys}),)


def _started(before: State, i: Number) -> tuple[Clause, ...]:
    def runs(s: State, c: Number) -> object:
        root = before.root[bits.NESTED, NORMAL_VM] << 12
        started = And(s.cpu_mode[c] == NORMAL, s.register[c, NESTED_ROOT] == root)
        return And(Implies(c < i, started), Implies(Not(c < i), s.cpu_mode[c] == 0))

    triggers = {"cpu_mode": at_same_keys, "register": at_first_key}
    return (Clause("STARTED", "CPUs up to the step run the normal VM, the others are off.", {"c": 9}, runs, triggers),)


LOOPS: Final = (
    *(
        Induction(f"boot: tables of level {level}", (*TABLE_RECORDS, "memory"), tables_invariant(level))
        for level in LEVELS
    ),
    Induction("boot: frames", ("memory",), lambda _, i: _words(i)),
    Induction("boot: EPCM", ("epcm",), _emptied),
    Induction("boot: CPUs", ("cpu_mode", "register", "xstate"), _started),
)
