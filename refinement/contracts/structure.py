"""Mapping one of an enclave's own guest tables, by contract, where tables are real words: used to prove `map_guest`.

The contract gives the fields that it may change a fresh value exactly where it may change them (`frame_goals` proves
that it is only there), and promises the structure clauses and all leaves but the new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from model.language.logic import And, Implies, Not, Or
from model.language.terms import Term
from refinement import bits
from refinement.engine.instances import KeysOf, Rule
from refinement.engine.machine import SymbolicMachine
from refinement.engine.storage import Keys, View
from refinement.engine.values import Number, condition, ghost, number_of, truth, unknown, word_of
from refinement.invariants.clause import Clause, State
from refinement.invariants.layout import in_pool
from refinement.invariants.rules import goal, rules
from refinement.invariants.state import MonitorState
from refinement.invariants.tables import PAGE_MASK, TABLE_CLAUSES, is_enclave

RECORDS: Final = ("table_kind", "table_level", "table_prefix")
MOST: Final = 3  # tables below the root that the nested mapping may need


def waiving(owner: Number, frame: Number) -> tuple[Clause, ...]:
    """The structure clauses, but for OWN-TABLES of one table that is not mapped yet."""
    (own,) = (c for c in TABLE_CLAUSES if c.name == "OWN-TABLES")

    def formula(s: State, o: Number, f: Number) -> object:
        return Implies(Not(And(o == owner, f == frame)), own.formula(s, o, f))

    return tuple(replace(c, formula=formula) if c is own else c for c in TABLE_CLAUSES)


def _nested_of(s: MonitorState, owner: Number, f: Number) -> object:
    return And(s.pool_owner[f] == owner, s.table_kind[f] == bits.NESTED)


def _new_entry(s: MonitorState, owner: Number, keys: tuple[Number, Number, Number, Number]) -> object:
    kind, whose, level, _ = keys
    return And(kind == bits.NESTED, whose == owner, level >= 1, level <= 3, s.table_at[keys] == 0)


def frame_goals(owner: Number, before: MonitorState, after: MonitorState) -> Iterator[tuple[str, Term]]:
    """Records and words that stay as they are when a nested mapping of `owner` is made."""
    f, i = unknown("any.f", 40), unknown("any.i", 9)
    k, o, level, p = unknown("any.k", 2), unknown("any.o", 52), unknown("any.l", 3), unknown("any.p", 27)
    was, now = before.pool_owner[f], after.pool_owner[f]
    taken = And(was == 0, now == owner, after.table_kind[f] == bits.NESTED)
    yield "FRAME-OWNER", condition(Or(now == was, taken))
    records = And(*(getattr(after, name)[f] == getattr(before, name)[f] for name in RECORDS))
    yield "FRAME-RECORDS", condition(Implies(was != 0, records))
    word = after.memory[f, i] == before.memory[f, i]
    free = And(was == 0, in_pool(before.layout, f))
    yield "FRAME-WORDS", condition(Or(free, _nested_of(before, owner, f), word))
    entry = after.table_at[k, o, level, p] == before.table_at[k, o, level, p]
    yield "FRAME-DIRECTORY", condition(Or(_new_entry(before, owner, (k, o, level, p)), entry))


def map_own_table(machine: SymbolicMachine, owner: Number, table: Number) -> None:
    """The contract of `impl.monitor.tables.map_own_table` on real table words."""
    run, storage = machine.run, machine.storage
    old_view = storage.snapshot()
    with ghost():
        old = state_of(machine, old_view)
        _demand(machine, old, owner, table)
    epoch = run.fresh_name("mapped")
    _forget(machine, old, owner, epoch)
    left = run.fresh("pool_free", 40)
    run.assume(condition(And(left <= old.pool_free[()], old.pool_free[()] <= left + MOST)), "takes at most 3 frames")
    guard, storage.guard = storage.guard, None
    machine.leave_free(left)
    storage.guard = guard
    view = storage.snapshot()
    with ghost():
        _promise(machine, old, state_of(machine, view), view, owner, table)


def state_of(machine: SymbolicMachine, view: View) -> MonitorState:
    """A snapshot of the machine's storage as the invariant reads it."""
    form = bits.NestedFormat[getattr(machine.nested_format, "name")]  # noqa: B009  # the monitor's own enumeration
    return MonitorState(view, machine.layout, form)


def _demand(machine: SymbolicMachine, old: MonitorState, owner: Number, table: Number) -> None:
    own = And(old.pool_owner[table] == owner, old.table_kind[table] == bits.GUEST, in_pool(machine.layout, table))
    ready = And(is_enclave(owner), own, old.root[bits.NESTED, owner] != 0, old.pool_free[()] >= MOST)
    machine.run.require(condition(ready), "map_own_table is ready")
    machine.counts_the_pool("map_own_table")
    for clause in waiving(owner, table):
        machine.run.require(goal(clause, old), f"invariant {clause.name}", apart=True)


def _forget(machine: SymbolicMachine, old: MonitorState, owner: Number, epoch: str) -> None:
    storage = machine.storage

    def free(keys: Keys) -> Term:
        f = number_of(keys[0])
        return condition(And(old.pool_owner[f] == 0, in_pool(machine.layout, f)))

    def words(keys: Keys) -> Term:
        return condition(Or(truth(free(keys)), _nested_of(old, owner, number_of(keys[0]))))

    def entries(keys: Keys) -> Term:
        k, o, level, p = (number_of(key) for key in keys)
        return condition(_new_entry(old, owner, (k, o, level, p)))

    for name in ("pool_owner", *RECORDS):
        storage.havoc(name, epoch, free)
    storage.havoc("memory", epoch, words)
    storage.havoc("table_at", epoch, entries)


def _promise(
    machine: SymbolicMachine, old: MonitorState, new: MonitorState, view: View, owner: Number, table: Number
) -> None:
    run = machine.run
    run.rules.extend(rules(TABLE_CLAUSES, new))

    def owners(keys: Keys) -> Term:
        f = number_of(keys[0])
        was, now = old.pool_owner[f], new.pool_owner[f]
        taken = And(was == 0, now == owner, new.table_kind[f] == bits.NESTED)
        return condition(Or(now == was, taken))

    def leaves(keys: Keys) -> Term:
        kind, whose, page = (number_of(key) for key in keys)
        added = And(kind == bits.NESTED, whose == owner, page == table & PAGE_MASK)
        return condition(Implies(Not(added), new.leaf[kind, whose, page] == old.leaf[kind, whose, page]))

    def leaf_of_word(keys: Keys) -> list[Keys]:
        f, i = number_of(keys[0]), number_of(keys[1])
        whose, page = new.page_of_word(f, i)
        return [(word_of(new.table_kind[f], 2, "kind"), word_of(whose, 52, "owner"), word_of(page, 36, "page"))]

    each_owner: dict[str, KeysOf] = {source: lambda keys: [keys] for source in view.nodes["pool_owner"].sources}
    each_word: dict[str, KeysOf] = dict.fromkeys(view.nodes["memory"].sources, leaf_of_word)
    run.rules.append(Rule("only free frames are taken", each_owner, owners))
    run.rules.append(Rule("other leaves stay", each_word, leaves))
    anywhere = (unknown("any.kind", 2), unknown("any.owner", 52), unknown("any.page", 36))
    run.assume(leaves(tuple(k.term for k in anywhere)), "other leaves stay, at the goal's place")
    for clause in TABLE_CLAUSES:
        run.assume(goal(clause, new), f"{clause.name} after map_own_table, at the goal's place")
