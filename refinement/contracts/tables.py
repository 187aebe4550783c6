"""Contracts of the table operations: what callers may rely on when page tables are a map from pages to leaves.

Each function mirrors one of `impl.monitor.tables`: it demands the precondition and has the effect that
`refinement.contracts.proofs` proves of the real function.  Out of sight are the table frames themselves, and with
them the nested leaves of pool frames (an enclave's own guest tables), which structure clauses govern.
"""

from __future__ import annotations

from model.language.logic import And, Not
from model.language.terms import Term, t_and
from refinement import bits
from refinement.engine import words
from refinement.engine.machine import SymbolicMachine
from refinement.engine.storage import Keys
from refinement.engine.values import Number, condition, number_of, word_of
from refinement.invariants.layout import in_pool
from refinement.invariants.tables import is_enclave

NESTED_FRAMES = 3  # tables below the root that one nested mapping may need
GUEST_FRAMES = 12  # three guest tables, each mapped by a nested mapping


def create_root(machine: SymbolicMachine, kind: int, owner: Number) -> Number:
    """A new empty table; takes one frame.  A guest table is complete once `map_own_table` has mapped its root."""
    s, run = machine.storage, machine.run
    run.require(condition(owner != 0), "create_root: for an owner")
    run.require(condition(s.root[kind, owner] == 0), "create_root: there is none yet")
    run.require(condition(s.pool_free[()] >= 1), "create_root: a free frame")
    machine.counts_the_pool("create_root")
    root = run.fresh("root", 40)
    run.assume(condition(in_pool(machine.layout, root)), "create_root gives a pool frame")
    for other in (bits.GUEST, bits.NESTED, bits.IO):
        if other != kind:
            run.assume(condition(s.root[other, owner] != root), "create_root gives a fresh frame")
    s.root[kind, owner] = root
    machine.leave_free(s.pool_free[()] - 1)
    if kind == bits.GUEST:
        machine.pending.append(root)
    run.event("pool_take", root)
    return root


def leaf_word(machine: SymbolicMachine, kind: int, owner: Number, page: Number) -> Number:
    """The leaf of a page, 0 if there is none."""
    _visible(machine, kind, owner, page, "leaf_word")
    return machine.storage.leaf[kind, owner, page]


def map_leaf(machine: SymbolicMachine, kind: int, owner: Number, page: Number, leaf: Number) -> None:
    """The leaf of a page of a nested or DMA table becomes `leaf`; takes at most NESTED_FRAMES."""
    s, run = machine.storage, machine.run
    run.require(condition(kind != bits.GUEST), "map_leaf: a nested or DMA table")
    run.require(condition(s.root[kind, owner] != 0), "map_leaf: the table exists")
    _visible(machine, kind, owner, page, "map_leaf")
    _take(machine, NESTED_FRAMES, "map_leaf")
    s.leaf[kind, owner, page] = leaf


def map_own_table(machine: SymbolicMachine, owner: Number, table: Number) -> None:
    """The guest table root that awaits it is mapped for the hardware's walk; takes at most NESTED_FRAMES."""
    s, run = machine.storage, machine.run
    run.require(condition(is_enclave(owner)), "map_own_table: of an enclave")
    run.require(condition(s.root[bits.NESTED, owner] != 0), "map_own_table: the nested table exists")
    run.require(condition(s.root[bits.GUEST, owner] == table), "map_own_table: the guest root")
    _take(machine, NESTED_FRAMES, "map_own_table")
    machine.pending.clear()
    _forget_pool_leaves(machine, owner)


def map_guest(machine: SymbolicMachine, owner: Number, page: Number, leaf: Number) -> None:
    """The guest leaf of a page becomes `leaf`; takes at most GUEST_FRAMES."""
    s, run = machine.storage, machine.run
    run.require(condition(is_enclave(owner)), "map_guest: of an enclave")
    both = And(s.root[bits.GUEST, owner] != 0, s.root[bits.NESTED, owner] != 0)
    run.require(condition(both), "map_guest: both tables exist")
    _take(machine, GUEST_FRAMES, "map_guest")
    s.leaf[bits.GUEST, owner, page] = leaf
    _forget_pool_leaves(machine, owner)


def unmap(machine: SymbolicMachine, kind: int, owner: Number, page: Number) -> None:
    """The leaf of a page becomes 0."""
    _visible(machine, kind, owner, page, "unmap")
    machine.storage.leaf[kind, owner, page] = 0


def pool_release(machine: SymbolicMachine, owner: Number) -> None:
    """All tables of an owner are gone."""
    run = machine.run
    run.require(condition(owner != 0), "pool_release: of an owner")
    whose = word_of(owner, 52, "owner of pool_release")
    for name in ("leaf", "root"):
        zero = words.fit(word_of(0, 1, "zero"), machine.storage.nodes[name].shape.width)
        machine.storage.fill(name, lambda keys: words.same(keys[1], whose), lambda _, zero=zero: zero)
    before, after = machine.storage.pool_free[()], run.fresh("pool_free", 40)
    run.assume(condition(before <= after), "pool_release frees frames")
    machine.leave_free(after)


def _visible(machine: SymbolicMachine, kind: int, owner: Number, page: Number, reason: str) -> None:
    """Nested leaves of an enclave's pool frames belong to the structure of the tables."""
    if kind == bits.NESTED:
        hidden = And(is_enclave(owner), in_pool(machine.layout, page))
        machine.run.require(condition(Not(hidden)), f"{reason}: not a pool frame")


def _take(machine: SymbolicMachine, most: int, reason: str) -> None:
    free, run = machine.storage.pool_free[()], machine.run
    run.require(condition(most <= free), f"{reason}: at least {most} free frames")
    machine.counts_the_pool(reason)
    if machine.pending and reason != "map_own_table":
        run.require(condition(False), f"{reason}: no guest root awaits its mapping")
    left = run.fresh("pool_free", 40)
    run.assume(condition(And(left <= free, free <= left + most)), f"{reason} takes at most {most} frames")
    machine.leave_free(left)


def _forget_pool_leaves(machine: SymbolicMachine, owner: Number) -> None:
    whose = word_of(owner, 52, "owner")

    def hidden(keys: Keys) -> Term:
        kind = words.same(keys[0], word_of(bits.NESTED, 2, "kind"))
        inside = condition(in_pool(machine.layout, number_of(keys[2])))
        return t_and([kind, words.same(keys[1], whose), inside])

    machine.storage.havoc("leaf", machine.run.fresh_name("tables"), hidden)
