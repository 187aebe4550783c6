"""Which rows of which actions a concrete run from the initial state reaches, and what one changed argument adds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random

from model.language.concrete import World
from model.language.logic import Value
from model.language.specification import Action
from model.language.terms import Sort, TermError
from model.language.transition import Transition, run

Call = tuple[str, Mapping[str, Value]]
SAMPLE = 100  # how many changed calls are tried at each state in the search for an attack
Breaks = Callable[[World, World], bool]
EFFECT = "effect"


@dataclass
class Reached:
    """What was seen: for each action the set of rows (by number, or `EFFECT`), and the trouble met on the way."""

    rows: dict[str, set[int | str]] = field(default_factory=dict[str, "set[int | str]"])
    trouble: list[str] = field(default_factory=list[str])

    def missing(self, action: Action, transition: Transition) -> list[str]:
        """The refusals, answers and effect of an action that were never seen."""
        seen = self.rows.get(action.name, set())
        names = [f"{row.code.name}: {row.threat}" for row in transition.rows + transition.answers]
        lost = [name for i, name in enumerate(names) if i not in seen]
        return lost + ([] if EFFECT in seen else ["its effect"])


EVERY = 12  # at each state the next call is tried with changes; at every twelfth all calls of the run are


def explore(world: World, calls: Sequence[Call], domains: Mapping[Sort, Sequence[Value]]) -> Reached:
    """Play the run; before its steps also try calls of it with at most one argument changed."""
    reached = Reached()
    specification = world.specification
    items = list(specification.invariants.values())
    start = world.violations(list(specification.initial.values()))
    reached.trouble += [f"the initial state violates {name}" for name, _ in start]
    distinct = list({(name, tuple(sorted(a.items(), key=str))): (name, a) for name, a in calls}.values())
    for number, (name, arguments) in enumerate(calls):
        tried = distinct if number % EVERY == 0 else [(name, arguments)]
        for other, given in tried:
            action = specification.actions[other]
            for changed in _variants(action, given, specification.enumerations, domains):
                _note(reached, world, action, changed)
        done = world.step(specification.actions[name], arguments)
        if not done.enabled:
            reached.trouble.append(f"step {number} ({name}) is not possible")
        reached.trouble += [f"after step {number} ({name}): {lost} fails" for lost, _ in world.violations(items)]
    return reached


def attack(
    world: World, calls: Sequence[Call], domains: Mapping[Sort, Sequence[Value]], action: Action, breaks: Breaks
) -> list[Call] | None:
    """A run from boot whose last step is of `action` and breaks a property: a run of ours, its last step changed."""
    specification = world.specification
    given = list({tuple(sorted(a.items(), key=str)): a for name, a in calls if name == action.name}.values())
    tries = [t for call in given for t in _variants(action, call, specification.enumerations, domains)]
    chance = Random(0)
    for number, (name, arguments) in enumerate(calls):
        for changed in chance.sample(tries, min(SAMPLE, len(tries))):
            if run(action, world.state, lambda a, b: a == b, changed).fires is not True:
                continue
            after = World(specification, world.universe, world.try_step(action, changed).cells)
            if breaks(world, after):
                return [*calls[:number], (action.name, changed)]
        if not world.step(specification.actions[name], arguments).enabled:
            return None
    return None


def _note(reached: Reached, world: World, action: Action, arguments: Mapping[str, Value]) -> None:
    transition = run(action, world.state, lambda a, b: a == b, arguments)
    if transition.enabled is not True:
        return
    first = next((i for i, row in enumerate(transition.rows) if row.condition is True), None)
    seen = reached.rows.setdefault(action.name, set())
    if first is not None:
        seen.add(first)
        return
    seen.add(EFFECT)
    seen |= {len(transition.rows) + i for i, row in enumerate(transition.answers) if row.condition is True}


def _variants(
    action: Action,
    given: Mapping[str, Value],
    enumerations: Mapping[str, type[Enum]],
    domains: Mapping[Sort, Sequence[Value]],
) -> Iterator[dict[str, Value]]:
    yield dict(given)
    for name, sort in action.parameters.items():
        for value in _values(sort, enumerations, domains):
            if value != given[name]:
                yield {**given, name: value}


def _values(
    sort: Sort, enumerations: Mapping[str, type[Enum]], domains: Mapping[Sort, Sequence[Value]]
) -> Sequence[Value]:
    if sort.kind == "bool":
        return (False, True)
    if sort.kind == "enum":
        return list(enumerations[sort.name])
    if sort.kind == "bits":
        return range(1 << min(sort.width, 3))
    try:
        return domains[sort]
    except KeyError:
        if sort.kind == "opaque":
            return ()
        raise TermError(f"no values are given for {sort.name}") from None
