"""The reading of a specification on ordinary Python values: run it, check its invariants, compare its views."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from model.language.logic import Value
from model.language.specification import Action, Axiom, Invariant, Specification, View
from model.language.terms import Sort, TermError
from model.language.transition import Functions, Keys, State, Transition, run, successor

Cells = dict[tuple[str, Keys], Value]


@dataclass(frozen=True)
class Universe:
    """The finite carriers of the index sorts, and the value that every cell of a component has at first."""

    carriers: Mapping[Sort, Sequence[Value]]
    defaults: Mapping[str, Value]

    def assignments(self, over: Mapping[str, Sort]) -> Iterator[dict[str, Value]]:
        """Every way to give the named variables values."""
        names = list(over)
        for values in product(*(self.carriers[over[name]] for name in names)):
            yield dict(zip(names, values, strict=True))


@dataclass(frozen=True)
class Step:
    """What one concrete step did."""

    enabled: bool
    outcome: Value
    cells: Cells


class World:
    """A concrete state over a finite universe; `step` replaces its cells."""

    def __init__(self, specification: Specification, universe: Universe, cells: Cells | None = None) -> None:
        self.specification = specification
        self.universe = universe
        self.cells: Cells = dict(cells or {})
        self.functions = Functions({s.name: s.concrete for s in specification.symbols.values()})

    @property
    def state(self) -> State:
        """The present state, for reading."""
        cells, defaults = self.cells, self.universe.defaults

        def read(component: str, keys: Keys) -> Value:
            return cells.get((component, keys), defaults[component])

        return State(self.specification, read, self.functions, self._quantify)

    def _quantify(self, operator: str, sort: Sort, formula: Callable[[Any], Value]) -> Value:
        if sort not in self.universe.carriers:
            raise TermError(f"no finite carrier for {sort.name}")
        answers = (formula(x) for x in self.universe.carriers[sort])
        return all(answers) if operator == "forall" else any(answers)

    def describe(self, action: Action, arguments: Mapping[str, Value]) -> Transition:
        """The record of the step, as the action's body gives it."""
        return run(action, self.state, lambda a, b: a == b, arguments)

    def try_step(self, action: Action, arguments: Mapping[str, Value]) -> Step:
        """What the action would do, without doing it."""
        transition = self.describe(action, arguments)
        if transition.enabled is not True:
            return Step(False, transition.outcome, self.cells)
        after = successor(transition, arguments)
        touched = {update.component for update in transition.updates} if transition.fires else set[str]()
        touched |= {"result"} if action.caller else set()
        cells = dict(self.cells)
        for name in touched:
            component = self.specification.components[name]
            for keys in product(*(self.universe.carriers[sort] for sort in component.keys)):
                value = after.read(name, keys)
                if value == self.universe.defaults[name]:
                    cells.pop((name, keys), None)
                else:
                    cells[name, keys] = value
        return Step(True, transition.outcome, cells)

    def step(self, action: Action, arguments: Mapping[str, Value]) -> Step:
        """Take the step."""
        done = self.try_step(action, arguments)
        self.cells = done.cells
        return done

    def violations(self, items: Sequence[Invariant | Axiom]) -> list[tuple[str, dict[str, Value]]]:
        """Every (name, assignment) at which one of the properties does not hold now."""
        state = self.state
        found: list[tuple[str, dict[str, Value]]] = []
        for item in items:
            for assignment in self.universe.assignments(item.over):
                if item.formula(state, **assignment) is not True:
                    found.append((item.name, assignment))
        return found

    def seen(self, views: Sequence[View], protected: Value) -> dict[tuple[str, tuple[Value, ...]], Value]:
        """Everything that an observer of `protected` sees: (view, keys) to value, invisible ones left out."""
        state = self.state
        found: dict[tuple[str, tuple[Value, ...]], Value] = {}
        for item in views:
            for assignment in self.universe.assignments(item.over):
                visible, value = item.formula(state, protected, **assignment)
                if visible is True:
                    found[item.name, tuple(assignment.values())] = value
        return found
