"""The monitor's own page tables: radix tables with 4 levels of 512 entries and 4 KiB leaves, in pool frames.

A table is named by kind and owner.  Each table frame carries a record (kind, level, prefix: the page numbers that it
covers, shifted right by 9 * level), and the directory `table_at` leads back from the record to the frame, so that the
monitor reaches a leaf without a walk.  The caller has made sure that the pool does not run out.
"""

from __future__ import annotations

from typing import Final

from impl.machine.primitives import Machine
from impl.monitor.entries import GUEST, NESTED, READ_WRITE, leaf_frame, nested_leaf, table_entry

NESTED_MAP_FRAMES: Final = 3
"""Pool frames that one nested mapping takes at most: a table on each level below the root."""
GUEST_MAP_FRAMES: Final = 3 + 3 * NESTED_MAP_FRAMES
"""... one guest mapping: three tables, each of which the nested table maps."""
CREATE_FRAMES: Final = 2 + NESTED_MAP_FRAMES
"""... a new enclave: two roots, of which the guest's is mapped."""
PAGE_FRAMES: Final = GUEST_MAP_FRAMES + NESTED_MAP_FRAMES
"""... one page of an enclave: its guest leaf and its nested leaf."""


def create_root(machine: Machine, kind: int, owner: int) -> int:
    """Take an empty root table and return its frame."""
    s = machine.storage
    root = machine.pool_take(owner)
    s.table_kind[root] = kind
    s.table_level[root] = 4
    s.table_at[kind, owner, 4, 0] = root
    return root


def leaf_word(machine: Machine, kind: int, owner: int, page: int) -> int:
    """The leaf for a page; 0 if there is none."""
    s = machine.storage
    table = s.table_at[kind, owner, 1, page >> 9]
    if table == 0:
        return 0
    return s.memory[table, page & 511]


def add_table(machine: Machine, kind: int, owner: int, level: int, prefix: int, parent: int) -> int:
    """Take an empty table, record it and link it into its parent, a table of the next level up."""
    s = machine.storage
    table = machine.pool_take(owner)
    s.table_kind[table] = kind
    s.table_level[table] = level
    s.table_prefix[table] = prefix
    s.table_at[kind, owner, level, prefix] = table
    s.memory[parent, prefix & 511] = table_entry(kind, table)
    return table


def map_leaf(machine: Machine, kind: int, owner: int, page: int, leaf: int) -> None:
    """Write the leaf for a page of a nested or IO table; takes at most NESTED_MAP_FRAMES from the pool."""
    s = machine.storage
    parent = s.table_at[kind, owner, 4, 0]
    for level in (3, 2, 1):
        prefix = page >> (9 * level)
        table = s.table_at[kind, owner, level, prefix]
        if table == 0:
            table = add_table(machine, kind, owner, level, prefix, parent)
        parent = table
    s.memory[parent, page & 511] = leaf


def write_leaf(machine: Machine, kind: int, owner: int, page: int, leaf: int) -> None:
    """Write the leaf for a page for which there is a table of level 1."""
    s = machine.storage
    s.memory[s.table_at[kind, owner, 1, page >> 9], page & 511] = leaf


def map_own_table(machine: Machine, owner: int, table: int) -> None:
    """Let hardware walk a guest table: the enclave's nested table maps its frame, identity, R and W (for A and D)."""
    map_leaf(machine, NESTED, owner, table, nested_leaf(machine.nested_format, table, READ_WRITE))


def map_guest(machine: Machine, owner: int, page: int, leaf: int) -> None:
    """Write the leaf for a page of an enclave's guest table; takes at most GUEST_MAP_FRAMES from the pool."""
    s = machine.storage
    parent = s.table_at[GUEST, owner, 4, 0]
    for level in (3, 2, 1):
        prefix = page >> (9 * level)
        table = s.table_at[GUEST, owner, level, prefix]
        if table == 0:
            table = add_table(machine, GUEST, owner, level, prefix, parent)
            map_own_table(machine, owner, table)
        parent = table
    s.memory[parent, page & 511] = leaf


def unmap(machine: Machine, kind: int, owner: int, page: int) -> None:
    """Empty the leaf for a page, if there is a table for it."""
    s = machine.storage
    table = s.table_at[kind, owner, 1, page >> 9]
    if table != 0:
        s.memory[table, page & 511] = 0


def unmap_shared(machine: Machine, owner: int, page: int) -> None:
    """Take a shared page out of both tables; the frame in its guest leaf stands in the nested table for it alone."""
    leaf = leaf_word(machine, GUEST, owner, page)
    if leaf != 0:
        unmap(machine, NESTED, owner, leaf_frame(leaf))
        unmap(machine, GUEST, owner, page)


def unmap_range(machine: Machine, owner: int, first: int, end: int) -> None:
    """Take the pages first..end-1 of a shared range out of both tables."""
    machine.each("unmap shared range", first, end, lambda page: unmap_shared(machine, owner, page))
