"""Replay: each step on the monitor and in the model, and everything that is compared after it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Final

from impl.machine.layout import Configuration, Layout
from impl.machine.machine import ConcreteMachine
from impl.machine.primitives import NestedFormat
from impl.machine.storage import StorageError
from impl.monitor.dispatch import CALLS
from impl.monitor.monitor import Monitor
from model.hyperenclave.specification import HYPERENCLAVE
from model.language.logic import Value
from refinement import bits
from refinement.invariants.check import check
from refinement.opaque import PageContents, RegisterFile
from refinement.traces import operating_system
from refinement.traces.execution import Execution, Happened
from refinement.traces.fetches import EndedError, UnexpectedFetchError
from refinement.traces.observed import Changes, Observed, Place, same_value
from refinement.traces.representation import Representation
from refinement.traces.sights import Quiet, changed_sights, quiet
from refinement.traces.stories import Teller
from refinement.traces.story import NotEnabledError, Story, Told, run_story
from refinement.traces.trace import Step, Trace
from refinement.traces.universe import Universe

NOT_COMPARED: Final = frozenset(("result", "device_state"))
"""What no storage holds."""
REMOVED: Final = {"OK": 0, "EINVAL": (1 << 64) - 22}


class DivergenceError(Exception):
    """Monitor and model differ; the values say where."""

    def __init__(self, what: str, where: str = "", monitor: str = "", model: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.monitor, self.model = what, where, monitor, model
        self.number, self.action = 0, ""

    def sentence(self) -> str:
        """The whole finding in one sentence."""
        place = f" at {self.where}" if self.where else ""
        values = f": the monitor has {self.monitor}, the model {self.model}" if self.monitor or self.model else ""
        return f"step {self.number} ({self.action}): {self.what}{place}{values}"


@dataclass(frozen=True)
class Taken:
    """What a step did: the event, and how it ended; "" for a step that was not possible then."""

    event: str
    outcome: str

    @property
    def succeeded(self) -> bool:
        """It did what was asked for."""
        return self.outcome == "OK"


@dataclass
class Booted:
    """A machine right after boot with everything computed about it, from which replays start."""

    machine: ConcreteMachine
    universe: Universe
    observed: Observed
    representation: Representation
    configuration: Configuration


@dataclass
class Replay:
    """A replay under way; `taken` has an entry for every step."""

    booted: Booted
    taken: list[Taken] = field(default_factory=list[Taken])

    def __post_init__(self) -> None:
        self.machine = self.booted.machine.copy()
        self.execution = Execution(self.machine, Monitor(self.machine))
        self.universe = self.booted.universe.copy()
        self.observed = Observed(self.machine, self.universe, self.booted.observed)
        self.representation = Representation(self.observed.shadow, self.universe, self.booted.representation)

    @property
    def configuration(self) -> Configuration:
        """How the machine was configured."""
        return self.booted.configuration

    def step(self, step: Step) -> Taken:
        """Take a step on both sides and compare; `DivergenceError` if they differ."""
        try:
            taken = self._step(step)
        except DivergenceError as divergence:
            divergence.number, divergence.action = len(self.taken) + 1, step.action
            raise
        self.taken.append(taken)
        return taken

    def _step(self, step: Step) -> Taken:
        if not self.execution.prepare(step):
            return Taken(step.action, "")
        self._settle()
        try:
            happened = self.execution.perform(step)
        except StorageError as error:
            raise DivergenceError(f"the monitor reached beyond its state, {error}") from error
        self._reserve(step)
        story = self._told_story(step, happened)
        told = self._run(story)
        self._compare_outcome(story, told, happened)
        before = quiet(self.observed, story, told)
        expected = self._expected_bulk(told)
        changes = self._advance()
        self._compare(changes, expected)
        self._invariants(changes)
        self._views(before, changes)
        return Taken(event_name(step, happened), outcome_name(happened))

    def _settle(self) -> None:
        """Registers that the caller has set are part of the state before the step."""
        changes = self._advance()
        self._invariants(changes)

    def _advance(self) -> Changes:
        changes, self._touched = self.observed.advance()
        return changes

    def _reserve(self, step: Step) -> None:
        """The pages that a step names are compared."""
        if "page" in step.numbers:
            self.universe.add((), (step["page"],))
        if step.action == "fault":
            self.universe.add((), (step["address"] >> 12,))

    def _told_story(self, step: Step, happened: Happened) -> Story:
        try:
            return Teller(step, happened, self.observed, self.machine).tell()
        except UnexpectedFetchError as error:
            raise DivergenceError(f"an unexpected read of untrusted memory, {error}") from error
        except EndedError as error:
            raise DivergenceError("untrusted memory that decides the step was not read") from error

    def _run(self, story: Story) -> Told:
        try:
            return run_story(story, self.observed)
        except NotEnabledError as error:
            raise DivergenceError(f"the monitor took a step that the model does not have, {error}") from error

    def _compare_outcome(self, story: Story, told: Told, happened: Happened) -> None:
        outcome = told.outcome
        if outcome is not None and getattr(outcome, "name", "") != happened.code.name:
            raise DivergenceError("the outcomes differ", "", happened.code.name, getattr(outcome, "name", str(outcome)))
        for act, transition, following in zip(story.acts, told.transitions, story.acts[1:], strict=False):
            if act.name == "remove_page_at_destroy":
                name = getattr(transition.outcome, "name", "")
                frame = following.arguments["g"]
                page = told.after.read("contents", (frame,))
                assert isinstance(page, PageContents)
                if REMOVED.get(name) not in page.words():
                    raise DivergenceError("the results of a batch differ", f"frame {act.arguments['f']}", "", name)

    def _expected_bulk(self, told: Told) -> dict[Place, Value]:
        """What the model says wherever its steps may have changed something; asked before the state moves on."""
        places = set(told.places)
        for name in told.bulk:
            places.update((name, keys) for keys in self.universe.keys(HYPERENCLAVE.components[name].keys))
        return {
            place: value
            for place in places
            if place[0] not in NOT_COMPARED
            and not _unchanged(value := told.after.read(*place), self.observed.read(*place))
        }

    def _compare(self, changes: Changes, expected: dict[Place, Value]) -> None:
        for place in sorted({*changes, *expected}, key=repr):
            name, keys = place
            model = expected[place] if place in expected else changes[place][0]
            monitor = self.observed.read(name, keys)
            if self.observed.means(name, keys) and not same_value(monitor, model):
                raise DivergenceError("the states differ", show_place(place), *difference(monitor, model))

    def _invariants(self, changes: Changes) -> None:
        broken = self.representation.advance(self._touched)
        if broken:
            name, keys = broken[0]
            raise DivergenceError(f"the representation invariant {name} does not hold", f"{keys}", "false", "true")
        facts = self.observed.broken(changes)
        if facts:
            name, keys = facts[0]
            raise DivergenceError(f"the invariant {name} does not hold", f"{keys}", "false", "true")

    def _views(self, before: Quiet, changes: Changes) -> None:
        for observer, enclave, view, keys in changed_sights(self.observed, before, changes):
            raise DivergenceError(
                f"the step changed what the {observer} of enclave {enclave:#x} sees", f"{view}{keys}", "another value",
                "the same",
            )  # fmt: skip

    def finish(self) -> None:
        """Check the whole representation invariant once, over every word."""
        self._settle()
        violations = check(self.machine.storage, bits.NestedFormat[self.machine.nested_format.name])
        if violations:
            first = violations[0]
            raise DivergenceError(f"the representation invariant {first.clause} does not hold", f"{first.keys}")


# --- names and values -------------------------------------------------------------------------------------------


EVENTS: Final = {call.number: call.name for call in CALLS}


def event_name(step: Step, happened: Happened) -> str:
    """A call by name; a fault that was answered by mapping a shared page as shared_fill; else the action."""
    if happened.event == "call":
        return EVENTS.get(step["number"], "unknown call")
    if happened.event == "fault" and happened.granted:
        return "shared_fill"
    return happened.event


def outcome_name(happened: Happened) -> str:
    """The code of a call; DENIED for an access or walk that was not granted."""
    if happened.event in ("fill", "load", "store", "fetch", "dma_read", "dma_write") and not happened.granted:
        return "DENIED"
    return happened.code.name


def show_place(place: Place) -> str:
    """A component at its keys."""
    return f"{place[0]}[{', '.join(hex(k) if isinstance(k, int) else str(k) for k in place[1])}]"


def difference(monitor: Value, model: Value) -> tuple[str, str]:
    """Both values, of pages and register files the first part that differs."""
    if isinstance(monitor, PageContents) and isinstance(model, PageContents):
        for i, (a, b) in enumerate(zip(monitor.words(), model.words(), strict=True)):
            if a != b:
                return f"word {i} = {a:#x}", f"{b:#x}"
    if isinstance(monitor, RegisterFile) and isinstance(model, RegisterFile):
        parts = [(f"register {i}", monitor.register(i), model.register(i)) for i in sorted(monitor.known & model.known)]
        parts += [(f"xstate {i}", monitor.xstate(i), model.xstate(i)) for i in range(72)]
        for name, a, b in parts:
            if a != b:
                return f"{name} = {a:#x}", f"{b:#x}"
    return show(monitor), show(model)


def show(value: Value) -> str:
    """A value for people."""
    return value.name if isinstance(value, Enum) else hex(value) if type(value) is int else str(value)


def _unchanged(after: Value, before: Value) -> bool:
    return after is before


# --- whole traces -----------------------------------------------------------------------------------------------

ENCLAVES_PER_FRAME: Final = 3


@cache
def boot(nested: NestedFormat, configuration: Configuration) -> Booted:
    """A machine after boot, with everything checked about it; replays start from copies, so one is enough."""
    machine = ConcreteMachine(Layout.from_configuration(configuration), nested)
    Monitor(machine).boot()
    operating_system.start(machine)
    universe = Universe(machine.layout)
    frame = operating_system.FIRST_FREE
    universe.add(frame << 12 | 8 * 64 * k for k in range(ENCLAVES_PER_FRAME))
    observed = Observed(machine, universe)
    representation = Representation(observed.shadow, universe)
    broken = representation.fill()
    observed.fill()
    if broken or any(True for _ in observed.violations()):
        raise DivergenceError(f"boot does not establish {broken or next(observed.violations())}")
    return Booted(machine, universe, observed, representation, configuration)


def replay(trace: Trace, booted: Booted | None = None, thorough: bool = True) -> list[Taken]:
    """Replay a whole trace; `DivergenceError` at the first step after which monitor and model differ.

    thorough: at the end evaluate the representation invariant at every key once more.
    """
    replaying = Replay(booted or boot(trace.nested, trace.configuration))
    for step in trace.steps:
        replaying.step(step)
    if thorough:
        replaying.finish()
    return replaying.taken
