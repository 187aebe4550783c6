"""Which pool frames are guest tables, where page tables are used by contract: a field beside the map of leaves.

`guest_table_of[f]` is the owner of a guest table, 0 for every other frame.  Each contract of a table operation says
in addition what it does to this field; `refinement.simulation.table_proofs` proves it of the real operations, for
which the field is `pool_owner` where `table_kind` is that of guest tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from impl.monitor import tables as monitor_tables
from model.language.logic import Implies, Or
from model.language.terms import Term, t_and
from refinement import bits
from refinement.contracts import tables
from refinement.contracts.handlers import CONTRACTS
from refinement.contracts.machine import ContractMachine
from refinement.contracts.setting import Setting, contract_shapes, impl_format
from refinement.engine import words
from refinement.engine.machine import SymbolicMachine, monitor_guard
from refinement.engine.run import Run
from refinement.engine.storage import FieldShape, Keys, Shape
from refinement.engine.values import Number, condition, number_of, truth, word_of
from refinement.invariants.layout import in_pool

FIELD: Final = "guest_table_of"


def created(machine: SymbolicMachine, kind: int, owner: Number) -> Number:
    """`create_root`: a guest root becomes a guest table of its owner; the frame was none."""
    root = tables.create_root(machine, kind, owner)
    machine.run.assume(condition(machine.storage.guest_table_of[root] == 0), "create_root gives a frame without table")
    if kind == bits.GUEST:
        machine.storage.guest_table_of[root] = owner
    return root


def mapped(machine: SymbolicMachine, owner: Number, page: Number, leaf: Number) -> None:
    """`map_guest`: frames of the pool that were no guest tables may become the owner's."""
    tables.map_guest(machine, owner, page, leaf)
    storage, run = machine.storage, machine.run
    before = storage.nodes[FIELD]

    def spare(keys: Keys) -> Term:
        inside = condition(in_pool(machine.layout, number_of(keys[0])))
        return t_and([inside, words.same(before.read(keys), word_of(0, 52, "nobody"))])

    fresh = storage.havoc(FIELD, run.fresh_name("tables"), spare)

    def theirs(keys: Keys) -> Term:
        value = number_of(fresh(*keys))
        return condition(Implies(truth(spare(keys)), Or(value == 0, value == owner)))

    run.facts_at("map_guest takes tables for the owner", storage.nodes[FIELD], theirs)


class TableMachine(ContractMachine):
    """A contract machine that keeps the field."""

    def pool_release(self, owner: Number) -> None:
        """The owner has no guest tables any more."""
        super().pool_release(owner)
        whose = word_of(owner, 52, "owner of pool_release")
        before = self.storage.nodes[FIELD]
        self.storage.fill(FIELD, lambda keys: words.same(before.read(keys), whose), lambda _: word_of(0, 52, "nobody"))


@dataclass(frozen=True)
class TableSetting(Setting):
    """The setting of the handlers with the field.

    components_left_out: components of the model of which the abstraction says nothing (each is the same everywhere, an
    arbitrary constant), to see that something depends on each.
    """

    components_left_out: frozenset[str] = frozenset()

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """The fields of the handlers' storage, and this one."""
        return contract_shapes() | {FIELD: FieldShape((40,), 52)}

    def machine(self, run: Run) -> SymbolicMachine:
        """A machine that keeps the field."""
        machine = TableMachine(run, self.layout, impl_format(self.form), self.loops)
        machine.invariant = self.facts_about
        run.storage.guard = monitor_guard(machine)
        return machine


REPLACEMENTS: Final[dict[Callable[..., Any], Callable[..., Any]]] = {
    **CONTRACTS,
    monitor_tables.create_root: created,
    monitor_tables.map_guest: mapped,
}
