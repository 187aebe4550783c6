"""A step of a trace told by the model: which actions, with which arguments, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from model.hyperenclave.specification import HYPERENCLAVE
from model.hyperenclave.vocabulary import Code
from model.language.logic import Value
from model.language.transition import Functions, Keys, State, Transition, Update, run
from refinement.interpretation import NO_ACCESS, Access, functions
from refinement.opaque import PageContents, RegisterFile
from refinement.traces.fetches import Word
from refinement.traces.observed import Observed, Place

Function = Callable[..., Value]
DEVICE: Final = 0


class Altered(Functions):
    """Open functions of which a step fixes some: what the program or the device does now."""

    def __init__(self, base: Functions, changed: Mapping[str, Function]) -> None:
        super().__init__(dict(changed))
        self._base = base
        self._changed = changed

    def __getattr__(self, name: str) -> Callable[..., Any]:
        changed = self.__dict__["_changed"].get(name)
        return changed if changed is not None else getattr(self.__dict__["_base"], name)


@dataclass(frozen=True)
class Act:
    """An action of the model with its arguments; `decides`: its outcome is that of the step."""

    name: str
    arguments: Mapping[str, Value]
    functions: Functions
    decides: bool = False


@dataclass
class Story:
    """The acts of one step.  `expected`: the outcome, where no act of the model decides it."""

    acts: list[Act] = field(default_factory=list[Act])
    expected: Code | None = None

    def tell(self, name: str, access: Access = NO_ACCESS, **arguments: Value) -> None:
        """The next act."""
        self.acts.append(Act(name, arguments, functions(access)))

    def decide(self, name: str, arguments: Mapping[str, Value]) -> None:
        """The act whose outcome is that of the step."""
        self.acts.append(Act(name, arguments, functions(), True))

    def alter(self, name: str, changed: Mapping[str, Function], access: Access = NO_ACCESS, **arguments: Value) -> None:
        """The next act, with some open functions fixed."""
        self.acts.append(Act(name, arguments, Altered(functions(access), changed)))

    def others_write(self, frame: int, words: Mapping[int, int]) -> None:
        """Others, here a device, write words of a frame."""

        def stored(page: PageContents, _: RegisterFile) -> PageContents:
            return page.with_words(words)

        self.alter("device_write", {"stored": stored}, d=DEVICE, g=frame)

    def wrote(self, word: Word) -> None:
        """As `others_write`, for one word of the log."""
        self.others_write(word.frame, {word.index: word.value})

    def sets(self, cpu: int, registers: Mapping[int, int]) -> None:
        """The normal VM, or whoever delivers an event to it, sets registers."""
        if registers:
            self.alter("normal_compute", {"computed": lambda r, _, to: r.replaced(to)}, c=cpu, to=registers)


@dataclass
class Told:
    """A story that was run: the state after it, where it may differ from before, and the deciding outcome."""

    after: State
    bulk: set[str]
    places: set[Place]
    outcome: Value
    transitions: list[Transition]


class NotEnabledError(Exception):
    """The model has no such step in this state."""


def run_story(story: Story, observed: Observed) -> Told:
    """Run the acts from the present state of `observed`."""
    state = observed.abstract_state
    told = Told(state, set(), set(), story.expected, [])
    for act in story.acts:
        action = HYPERENCLAVE.actions[act.name]
        before = State(HYPERENCLAVE, told.after.read, act.functions, observed.quantify)
        seen: list[Keys] = []

        def same(at: Keys, place: Keys, seen: list[Keys] = seen) -> Value:
            seen.append(place)
            return at == place

        transition = run(action, before, same, act.arguments)
        if transition.enabled is not True:
            raise NotEnabledError(act.name)
        for update in transition.updates if transition.fires is True else ():
            _where(update.component, update.matches, seen, observed, told)
        if act.decides:
            told.outcome = transition.outcome
        told.transitions.append(transition)
        told.after = _after(transition, before) if transition.fires is True else before
    return told


def _after(transition: Transition, before: State) -> State:
    """The state after a step that happens: `Transition.after`, with the question whether it happens asked once."""
    updates: dict[str, list[Update]] = {}
    for update in transition.updates:
        updates.setdefault(update.component, []).append(update)

    def read(component: str, keys: Keys) -> Value:
        for update in reversed(updates.get(component, ())):
            if update.matches(*keys) is True:
                return update.value(*keys)
        return before.read(component, keys)

    return State(before.specification, read, before.K, before.quantify)


def _where(name: str, matches: Callable[..., Value], seen: list[Keys], observed: Observed, told: Told) -> None:
    """Note where an update may change its component: at the place that it names, else anywhere."""
    seen.clear()
    sorts = HYPERENCLAVE.components[name].keys
    anywhere = next(observed.universe.keys(sorts), None)
    if anywhere is None:
        told.bulk.add(name)
        return
    matches(*anywhere)
    if seen:
        told.places.update((name, place) for place in seen)
    else:
        told.bulk.add(name)
