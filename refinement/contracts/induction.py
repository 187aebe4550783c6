"""A loop by an invariant: it holds at the entry, every step keeps it, and it is all that is known at the exit.

Of the fields that the loop writes the invariant says everything that may be used afterwards; all other fields stay as
they are, and each step is checked to leave their logs alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model.language.logic import Implies
from refinement.contracts.loops import only_written
from refinement.contracts.structure import state_of
from refinement.engine.machine import SymbolicMachine
from refinement.engine.run import PathEndError, Run
from refinement.engine.values import EngineError, Number, SymInt, condition, truth
from refinement.invariants.clause import Clause
from refinement.invariants.layout import in_range
from refinement.invariants.rules import goal, instance, rule
from refinement.invariants.state import MonitorState

Invariant = Callable[[MonitorState, Number], Sequence[Clause]]


@dataclass(frozen=True)
class Induction:
    """The rule for a named loop.

    writes: the fields that the loop may write.  invariant: of the state before the loop and a number i, what holds
    when the steps first..i-1 are done.
    """

    name: str
    writes: tuple[str, ...]
    invariant: Invariant

    def __call__(
        self, run: Run, machine: SymbolicMachine, first: Number, end: Number, body: Callable[[Number], None], /
    ) -> None:
        """One run makes an arbitrary step and ends there, another one goes on from an arbitrary state at the exit."""
        before = state_of(machine, machine.storage.snapshot())
        run.establish(f"{self.name}, entry: BOUNDS", condition(first <= end))
        for clause in self.invariant(before, first):
            run.establish(f"{self.name}, entry: {clause.name}", goal(clause, before))
        if run.split(self.name):
            i = run.fresh("step", _width(end))
            run.assume(condition(in_range(i, first, end)), f"a step of {self.name}")
            self._step(run, machine, before, i, body)
            raise PathEndError
        self._assume(run, machine, before, end)

    def _step(
        self, run: Run, machine: SymbolicMachine, before: MonitorState, i: SymInt, body: Callable[[Number], None]
    ) -> None:
        middle, start, events = self._assume(run, machine, before, i), machine.storage.snapshot(), len(run.events)
        body(i)
        if any(event[0] != "pool_take" for event in run.events[events:]):
            raise EngineError(f"{self.name} does something that its invariant says nothing of")
        after = machine.storage.snapshot()
        run.goals.append((f"{self.name}, step: OTHER-FIELDS", only_written(start, after, self.writes)))
        now = state_of(machine, after)
        clauses = zip(self.invariant(before, i), self.invariant(before, i + 1), strict=True)
        for earlier, later in clauses:
            holds = Implies(truth(goal(earlier, middle)), truth(goal(later, now)))
            run.goals.append((f"{self.name}, step: {later.name}", condition(holds)))

    def _assume(self, run: Run, machine: SymbolicMachine, before: MonitorState, i: Number) -> MonitorState:
        """Forget what the loop writes, but for the invariant after the steps before i."""
        epoch = run.fresh_name("loop")
        for name in self.writes:
            machine.storage.forget(name, epoch)
        state = state_of(machine, machine.storage.snapshot())
        for clause in self.invariant(before, i):
            if clause.keys:
                # Called for by the forgotten fields alone: what was known before the loop is proved without it.
                run.rules.append(rule(clause, state, self.writes))
            else:
                run.assume(instance(clause, state, ()), f"{clause.name} in {self.name}")
        return state


def _width(end: Number) -> int:
    """Bits enough for every step."""
    return max(end.bit_length(), 1) if isinstance(end, int) else end.term.sort.width
