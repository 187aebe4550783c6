"""The claims of T9 about one entry into the monitor: each path simulates a step of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

from impl.machine.registers import CPL, RAX, RBX
from impl.monitor.dispatch import Outcome
from model.hyperenclave.specification import HYPERENCLAVE
from model.hyperenclave.vocabulary import Code
from model.language.logic import And, Not, Or
from model.language.symbolic import same_keys
from model.language.terms import FALSE, TRUE, Term, boolean, t_and, t_ite, t_not
from model.language.transition import Row, Transition, run
from refinement.bits import NestedFormat
from refinement.contracts.handlers import Entry
from refinement.contracts.substitution import substituted
from refinement.engine.explorer import Path
from refinement.engine.instances import Rule
from refinement.engine.machine import SymbolicMachine
from refinement.engine.obligations import Claim, split
from refinement.engine.run import Run
from refinement.engine.values import condition, ghost, unknown
from refinement.handlers import STEPS
from refinement.interpretation import functions
from refinement.invariants.processors import ENTERING
from refinement.simulation.choices import same_path
from refinement.simulation.compare import Expected, goals, mrenclave_is_digest
from refinement.simulation.events import in_enclave
from refinement.simulation.ghost import Quantifiers, SymbolicBeyond, shared_page_rules
from refinement.simulation.partial import abstraction
from refinement.simulation.reading import Reading, nonzero_words
from refinement.simulation.step import Step
from refinement.simulation.tables import REPLACEMENTS, TableSetting

Named = tuple[str, Term]
NAME_A_CALL: Final = (RAX, CPL)
"""Registers by which an enclave says which call it makes; RBX beside them is where EEXIT leads, if anywhere."""


def setting_of(entry: Entry, form: NestedFormat) -> TableSetting:
    """Handlers use tables, walks of untrusted tables and loops by contract; guest tables are told apart."""
    return TableSetting(form, True, entry.loops, entry.focus)


Watch = Callable[[Run], AbstractContextManager[object]]
"""Looks on while a run executes the monitor."""


def paths_of(entry: Entry, setting: TableSetting, watch: Watch = nullcontext) -> list[Path]:
    """Every path of one entry, from any state that satisfies the invariant."""
    from impl.monitor.monitor import Monitor

    def code(machine: SymbolicMachine) -> object:
        cpu = setting.cpu
        machine.run.assume(condition(entry.known(machine, cpu)), f"known at {entry.name}")
        with watch(machine.run):
            result = entry.call(Monitor(machine), cpu, unknown)  # type: ignore[arg-type]  # symbolic machine
        machine.run.require(condition(not machine.pending), "every guest root is mapped for hardware's walk")
        return result

    with substituted(REPLACEMENTS):
        return setting.explore(code, ())


@dataclass
class Simulation:
    """One path against its step: the states before, the model's record, and the quantifiers that it met."""

    path: Path
    setting: TableSetting
    step: Step

    def __post_init__(self) -> None:
        s = self.setting
        self.quantifiers = Quantifiers(self.step.hints)
        zero = self.quantifiers.zero(nonzero_words(self.path))
        table = functions(self.step.access, zero, symbolic=True)
        self.since = next(iter(self.path.marks.values()), s.before)  # a loop has steps of its own
        beyond = SymbolicBeyond(self.quantifiers), SymbolicBeyond(self.quantifiers, self.path.events)
        self.before = abstraction(s, s.state(self.since), beyond[0], table)
        self.after = abstraction(s, s.state(self.path.post), beyond[1], table)
        self.transition = self._run()

    def _run(self) -> Transition | None:
        if self.step.action is None:
            return None
        action = HYPERENCLAVE.actions[self.step.action]
        return run(action, self.before.state, same_keys, self.step.arguments)

    @property
    def happens(self) -> bool:
        """The monitor claims that the step has its effects: it succeeded, or gave an answer that is no refusal."""
        outcome = self.step.outcome
        if self.step.absent:
            return False
        if self.transition is None or outcome is None or outcome is Code.OK:
            return True
        return any(answer.code is outcome for answer in self.transition.answers)

    def outcome(self) -> Term:
        """The action is possible, and refuses or answers as the monitor did."""
        t, wanted = self.transition, self.step.outcome
        if t is None:
            return TRUE
        if self.step.absent:
            return condition(Not(condition(t.enabled)))
        parts = [condition(t.enabled)]
        if wanted is not None:
            parts.append(_first_is(wanted, [*t.rows, *t.answers]))
        refused = condition(t.refused)
        parts.append(condition(Not(refused)) if self.happens else refused)
        return t_and(parts)


def _first_is(wanted: Code, rows: list[Row]) -> Term:
    """The first row that applies has this code; for success, none applies."""
    conditions = [(row.code, condition(row.condition)) for row in rows]
    own = [n for n, (code, term) in enumerate(conditions) if code is wanted and term is not FALSE]
    if wanted is Code.OK:
        return t_and(t_not(term) for _, term in conditions)
    if len(own) == 1:
        return t_and([*(t_not(term) for _, term in conditions[: own[0]]), conditions[own[0]][1]])
    answer: Term = FALSE
    for code, term in reversed(conditions):
        answer = t_ite(term, boolean(code is wanted), answer)
    return answer


def simulate(prefix: str, path: Path, setting: TableSetting, step_of: Callable[[Reading], Step]) -> Iterator[Claim]:
    """The claims that this path does what its step says."""
    with ghost():
        reading = Reading(path, setting)
        step = step_of(reading)
        operands = [*reading.conditions, *reading.stored(step.stores)]
        simulation = Simulation(path, setting, step)
        outcome, choice = simulation.outcome(), condition(step.choice)
        wanted = list(
            goals(simulation.after, Expected(simulation.before, simulation.transition, simulation.happens, step))
        )
        kept = list(_kept(simulation, reading))
        premises = list(_premises(simulation))
        rules = _rules(simulation)
    stem = f"{prefix}/path-{path.number}"
    if step.action is not None or step.outcome is not None:
        claim = Claim(f"{stem}/outcome", tuple(premises), outcome, rules, step.rounds.get("outcome", 1))
        yield from split(claim) if step.apart else (claim,)
    if choice is not TRUE:
        yield Claim(f"{stem}/choice", tuple(premises), choice, rules)
    for name, formula in (*step.also, *kept):
        yield Claim(f"{stem}/{name}", tuple(premises), formula, rules)
    if operands:
        yield Claim(f"{stem}/operands", tuple(premises), t_and(operands), rules)
    same = [name for name, goal in wanted if goal is TRUE]
    yield Claim(f"{stem}/untouched: {', '.join(same)}", (), TRUE, ())
    for name, goal in wanted:
        if goal is not TRUE:
            yield Claim(f"{stem}/{name}", tuple(premises), goal, rules, step.rounds.get(name, 1))


IDENTITY: Final = ("attributes", "xfrm", "mrsigner", "isv")
"""What a report says of an enclave beside MRENCLAVE; the model has no components for it."""


def _kept(simulation: Simulation, reading: Reading) -> Iterator[Named]:
    """What the abstraction does not show: who an enclave is, which CPUs are on, and whether an entry is pending."""
    before, after, nodes = reading.before, reading.after, reading.path.post.nodes
    changed = [name for name in IDENTITY if nodes[name] is not reading.path.pre.nodes[name]]
    if changed:
        e, k, identified = unknown("any.e", 52), unknown("any.k", 2), simulation.step.identified
        keys = {name: (e, k) if len(nodes[name].shape.keys) > 1 else e for name in changed}
        same = (getattr(after, name)[at] == getattr(before, name)[at] for name, at in keys.items())
        yield "identity kept", condition(Or(identified is not None and e == identified, And(*same)))
    if nodes["cpu_mode"] is not reading.path.pre.nodes["cpu_mode"]:
        c = unknown("any.c", 9)
        on = (before.cpu_mode[c] != 0, after.cpu_mode[c] != 0)
        yield "CPUs on", condition(Or(And(*on), And(*(Not(x) for x in on))))
    if isinstance(reading.path.result, Outcome):
        c = reading.cpu
        entering = condition(And(before.cpu_mode[c] != ENTERING, after.cpu_mode[c] == ENTERING))
        yield "pending", entering if reading.path.result.pending else t_not(entering)


def _premises(simulation: Simulation) -> Iterator[Named]:
    yield from simulation.setting.facts
    for entry in simulation.path.entries:
        yield f"{entry.kind.value}: {entry.reason}", entry.term
    yield from simulation.step.known
    yield from simulation.quantifiers.definitions
    digest = condition(mrenclave_is_digest(simulation.before, unknown("any.Enclave0", 52)))
    yield "MRENCLAVE is the digest, before", digest


def _rules(simulation: Simulation) -> tuple[Rule, ...]:
    s, path = simulation.setting, simulation.path
    shared = shared_page_rules(s.state(simulation.since), simulation.since) if s.by_contract else []
    return (*s.rules, *path.rules, *shared)


def claims(entry: Entry, setting: TableSetting, paths: list[Path] | None = None) -> Iterator[Claim]:
    """All the claims of simulation about one entry."""
    for path in paths_of(entry, setting) if paths is None else paths:
        yield from simulate(f"T9/{entry.name}", path, setting, STEPS[entry.name])
        yield from _choices(entry, path, setting)


def _choices(entry: Entry, path: Path, setting: TableSetting) -> Iterator[Claim]:
    """The path is the same whatever enclaves keep secret."""
    with ghost():
        calls = entry.is_call and in_enclave(Reading(path, setting))
        operands = (*NAME_A_CALL, RBX) if entry.name == "exit" else NAME_A_CALL
        goal = same_path(path, setting, operands if calls else ())
    premises = (*setting.facts, *((f"{e.kind.value}: {e.reason}", e.term) for e in path.entries))
    yield Claim(f"T9/{entry.name}/path-{path.number}/choices are public", premises, goal, (*setting.rules, *path.rules))
