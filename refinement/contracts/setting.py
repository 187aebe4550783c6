"""The setting of a symbolic run of the monitor: its fields, an arbitrary state that satisfies the invariant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from impl.machine.fields import FIELDS
from impl.machine.primitives import NestedFormat as MonitorFormat
from model.language.terms import Term
from refinement.bits import NestedFormat
from refinement.contracts.machine import ContractMachine
from refinement.engine.explorer import Path, explore
from refinement.engine.instances import Rule
from refinement.engine.machine import ACTING, BUSY_CPU, POOL_ROOM, Loop, SymbolicMachine, monitor_guard, symbolic_layout
from refinement.engine.pruning import PathOracle
from refinement.engine.run import Run
from refinement.engine.storage import FieldShape, Node, Shape, SymbolicStorage, View
from refinement.engine.values import SymInt, condition, unknown
from refinement.invariants.clause import Clause, Layout
from refinement.invariants.layout import well_formed
from refinement.invariants.rules import CLAUSES, COUNTING, instance, rules
from refinement.invariants.state import MonitorState
from refinement.invariants.tables import POOL, TABLE_CLAUSES

TABLE_FIELDS = ("pool_owner", "table_kind", "table_level", "table_prefix", "table_at")
LEAF = FieldShape((2, 52, 36), 64)
ROOT = FieldShape((2, 52), 40)
GHOSTS: dict[str, Shape] = {BUSY_CPU: FieldShape((40,), 9), POOL_ROOM: FieldShape((), 40)}


def raw_shapes() -> dict[str, Shape]:
    """The fields of the monitor's storage, and the ghost fields."""
    return {**FIELDS, **GHOSTS}


def contract_shapes() -> dict[str, Shape]:
    """The fields as handlers use them: page tables are a map from pages to leaves, their frames out of sight."""
    kept: dict[str, Shape] = {name: field for name, field in FIELDS.items() if name not in TABLE_FIELDS}
    return kept | {"leaf": LEAF, "root": ROOT, **GHOSTS}


@dataclass(frozen=True)
class Setting:
    """Where a piece of the monitor is executed: nested format, and tables as words or by contract.

    left_out: fields that invariant and abstraction do not read (they find something arbitrary, the same before and
    after), to see that something depends on each.
    """

    form: NestedFormat
    by_contract: bool
    loops: Mapping[str, Loop]
    focus_name: str = "focus"
    left_out: frozenset[str] = frozenset()

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """The fields of the storage."""
        return contract_shapes() if self.by_contract else raw_shapes()

    @cached_property
    def layout(self) -> Layout:
        """The layout, arbitrary."""
        return symbolic_layout()

    @cached_property
    def cpu(self) -> SymInt:
        """The acting CPU, arbitrary."""
        return ACTING

    @cached_property
    def focus(self) -> SymInt:
        """The linear page that a step on a single page is about, arbitrary."""
        return unknown(self.focus_name, 36)

    def state(self, view: View) -> MonitorState:
        """A snapshot as invariant and abstraction read it."""
        seen = View(view.nodes | self._elsewhere) if self.left_out else view
        return MonitorState(seen, self.layout, self.form, self.cpu, self.focus)

    @cached_property
    def _elsewhere(self) -> dict[str, Node]:
        """The fields that are left out, as those of a storage that has nothing to do with the monitor's."""
        return SymbolicStorage({name: self.shapes[name] for name in self.left_out}, "elsewhere").nodes

    @cached_property
    def clauses(self) -> tuple[Clause, ...]:
        """The clauses of the invariant that speak about these fields."""
        return tuple(c for c in CLAUSES if not (self.by_contract and c in TABLE_CLAUSES))

    @cached_property
    def before(self) -> View:
        """The arbitrary state at the start."""
        return SymbolicStorage(self.shapes).snapshot()

    @cached_property
    def rules(self) -> list[Rule]:
        """The invariant at the start, with what follows from it by counting."""
        return self.facts_about(self.before)

    def facts_about(self, view: View) -> list[Rule]:
        """The invariant of another snapshot."""
        return rules((*self.clauses, *COUNTING), self.state(view))

    @cached_property
    def facts(self) -> tuple[tuple[str, Term], ...]:
        """What always holds: the layout is well formed, the acting CPU exists (POOL is used to prove itself only)."""
        shape = condition(well_formed(self.state(self.before)))
        state = self.state(self.before)
        always = [(c.name, instance(c, state, ())) for c in self.clauses if not c.keys and c is not POOL]
        return (("LAYOUT", shape), ("the acting CPU exists", condition(self.cpu < self.layout.cpus)), *always)

    def machine(self, run: Run) -> SymbolicMachine:
        """The machine for one run, its storage guarded as the monitor's."""
        kind = ContractMachine if self.by_contract else SymbolicMachine
        machine = kind(run, self.layout, impl_format(self.form), self.loops)
        machine.invariant = self.facts_about
        run.storage.guard = monitor_guard(machine)
        return machine

    def explore(
        self, code: Callable[[SymbolicMachine], object], refusals: Sequence[type[Exception]], limit: int = 5000
    ) -> list[Path]:
        """Every path of the code from an arbitrary state that satisfies the invariant."""
        oracle = PathOracle(self.rules, facts=[term for _, term in self.facts])
        return explore(lambda run: code(self.machine(run)), self.shapes, oracle, tuple(refusals), limit)


def impl_format(form: NestedFormat) -> object:
    """The monitor's own name for a nested format."""
    return MonitorFormat[form.name]
