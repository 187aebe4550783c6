"""Structure of the page tables: what makes a four-level walk equal a look-up in the directory, one entry at a time.

Each table frame records kind, owner, level and the prefix of the page numbers that it covers (`page >> 9 * level`);
the directory points back.  These clauses hold after every table operation, also in the middle of a handler.
"""

from __future__ import annotations

from collections.abc import Sequence

from model.language.logic import And, Implies, Not
from refinement import bits
from refinement.engine.values import Number
from refinement.invariants.clause import TABLE_WORD, Clause, State, at_same_keys
from refinement.invariants.layout import in_pool

NORMAL_VM = 1  # owner of the normal virtual machine's nested table
DEVICES = 2  # owner of the DMA table
FIRST_ENCLAVE = 8  # enclave identifiers are 8-byte aligned and not 0
PREFIX_MASK = (1 << 27) - 1
PAGE_MASK = (1 << 36) - 1


def is_enclave(owner: Number) -> object:
    """The owner is an enclave identifier, not one of the special owners."""
    return owner >= FIRST_ENCLAVE


def _table(s: State, f: Number) -> object:
    owner, kind, level, prefix = s.pool_owner[f], s.table_kind[f], s.table_level[f], s.table_prefix[f]
    blank = And(kind == 0, level == 0, prefix == 0)
    roots_cover_all = Implies(level == 4, prefix == 0)
    upper_cover_less = And(Implies(level == 3, prefix < 1 << 9), Implies(level == 2, prefix < 1 << 18))
    found = s.table_at[kind, owner, level, prefix] == f
    table = And(in_pool(s.layout, f), level <= 4, roots_cover_all, upper_cover_less, found)
    return And(Implies(owner == 0, blank), Implies(owner != 0, table))


def _directory(s: State, kind: Number, owner: Number, level: Number, prefix: Number) -> object:
    f = s.table_at[kind, owner, level, prefix]
    recorded = And(
        s.pool_owner[f] == owner,
        s.table_kind[f] == kind,
        s.table_level[f] == level,
        s.table_prefix[f] == prefix,
    )
    return Implies(f != 0, And(owner != 0, in_pool(s.layout, f), recorded))


def _parent(s: State, kind: Number, owner: Number, level: Number, prefix: Number) -> object:
    present = s.table_at[kind, owner, level, prefix] != 0
    above = s.table_at[kind, owner, (level + 1) & 7, prefix >> 9]
    return Implies(And(present, level < 4), above != 0)


def _entry(s: State, f: Number, i: Number) -> object:
    owner, kind, level = s.pool_owner[f], s.table_kind[f], s.table_level[f]
    child = s.table_at[kind, owner, (level + 7) & 7, ((s.table_prefix[f] << 9) | i) & PREFIX_MASK]
    word = s.memory[f, i]
    linked = And(
        Implies(child == 0, word == 0),
        Implies(child != 0, bits.table_entry(kind, word, child)),
    )
    return And(
        Implies(And(in_pool(s.layout, f), owner == 0), word == 0),
        Implies(level >= 2, linked),
    )


def _own_tables(s: State, owner: Number, f: Number) -> object:
    word = s.leaf[bits.NESTED, owner, f & PAGE_MASK]
    own = And(s.pool_owner[f] == owner, s.table_kind[f] == bits.GUEST)
    mapped = bits.nested_leaf(s.form, word, f, bits.READ | bits.WRITE)
    here = And(is_enclave(owner), in_pool(s.layout, f))
    return Implies(here, And(Implies(own, mapped), Implies(Not(own), word == 0)))


def _with_owner(s: State, f: Number) -> Sequence[tuple[Number, ...]]:
    return [(s.pool_owner[f], f)]


def _pool(s: State) -> object:
    return s.pool_free[()] == s.pool_room[()]


POOL = Clause("POOL", "The monitor counts exactly the pool frames without an owner as free.", {}, _pool)

TABLE_CLAUSES: tuple[Clause, ...] = (
    Clause(
        "TABLE",
        "A pool frame with an owner is a table that the directory finds; one without has no record.",
        {"f": 40},
        _table,
        {
            "pool_owner": at_same_keys,
            "table_kind": at_same_keys,
            "table_level": at_same_keys,
            "table_prefix": at_same_keys,
        },
    ),
    Clause(
        "DIRECTORY",
        "What the directory finds is a pool frame recorded with that kind, owner, level and prefix.",
        {"k": 2, "o": 52, "l": 3, "p": 27},
        _directory,
        {"table_at": at_same_keys},
    ),
    Clause(
        "PARENT",
        "Every table below the top has its parent.",
        {"k": 2, "o": 52, "l": 3, "p": 27},
        _parent,
        {"table_at": at_same_keys},
    ),
    Clause(
        "ENTRY",
        "An entry above the leaf level links exactly the table of its range; free pool frames are zero.",
        {"f": 40, "i": 9},
        _entry,
        {"memory": at_same_keys},
    ),
    Clause(
        "OWN-TABLES",
        "In the pool, an enclave's nested table maps exactly its own guest tables, readable and writable.",
        {"o": 52, "f": 40},
        _own_tables,
        {"pool_owner": _with_owner, TABLE_WORD: at_same_keys},
    ),
)
