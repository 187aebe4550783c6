"""Trace-driven instantiation: a quantified fact is used exactly at the places that the formulas at hand mention.

A `Rule` is a fact for all keys together with its triggers: at each application of a trigger function the rule says
which keys to take.  Collecting the applications from the formulas themselves makes the instances a function of the
text alone, whatever order the execution took.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from model.language.terms import TRUE, Function, Term
from refinement.engine.storage import Keys

KeysOf: TypeAlias = Callable[[Keys], Sequence[Keys]]


@dataclass(frozen=True, eq=False)
class Rule:
    """A fact `formula(keys)` for all keys, and for each trigger function the keys that its arguments suggest."""

    name: str
    triggers: Mapping[str, KeysOf]
    formula: Callable[[Keys], Term]
    _known: dict[Keys, Term] = field(default_factory=dict[Keys, Term])

    def at(self, keys: Keys) -> Term:
        """The fact at these keys."""
        found = self._known.get(keys)
        if found is None:
            found = self._known[keys] = self.formula(keys)
        return found


_applications: dict[int, tuple[Term, ...]] = {}


def applications(term: Term) -> tuple[Term, ...]:
    """Every application of an uninterpreted function with arguments inside the term, in order of first use."""
    found = _applications.get(term.serial)
    if found is not None:
        return found
    seen: set[int] = set()
    inside: list[Term] = []
    stack: list[tuple[Term, bool]] = [(term, False)]
    while stack:
        node, done = stack.pop()
        if done:
            inside.append(node)
        elif node.serial not in seen:
            seen.add(node.serial)
            if node.operator == "apply" and node.arguments:
                stack.append((node, True))
            stack.extend((a, False) for a in reversed(node.arguments) if a.serial not in seen)
    _applications[term.serial] = tuple(inside)
    return _applications[term.serial]


class Instances:
    """The instances of a set of rules that a growing set of formulas calls for."""

    def __init__(self, rules: Iterable[Rule], rounds: int) -> None:
        self.rules = list(rules)
        self.rounds = rounds
        self._by_function: dict[str, list[tuple[Rule, KeysOf]]] = {}
        for rule in self.rules:
            for name, keys_of in rule.triggers.items():
                self._by_function.setdefault(name, []).append((rule, keys_of))
        self._seen: set[tuple[int, Keys]] = set()
        self._visited: set[int] = set()
        self._trail: list[tuple[set[tuple[int, Keys]], set[int]]] = []

    def grow(self, terms: Iterable[Term]) -> list[tuple[str, Term]]:
        """The instances (rule name, formula) that these formulas add to those of earlier calls."""
        added: list[tuple[str, Term]] = []
        frontier = list(terms)
        for _ in range(self.rounds):
            frontier = [formula for _, formula in self._round(frontier, added)]
        return added

    def _round(self, terms: Sequence[Term], added: list[tuple[str, Term]]) -> list[tuple[str, Term]]:
        start = len(added)
        for term in terms:
            for application in applications(term):
                if application.serial not in self._visited:
                    self._visited.add(application.serial)
                    self._note_visit(application.serial)
                    self._instantiate(application, added)
        return added[start:]

    def _instantiate(self, application: Term, added: list[tuple[str, Term]]) -> None:
        function = application.payload
        if not isinstance(function, Function):
            return
        for rule, keys_of in self._by_function.get(function.name, ()):
            for keys in keys_of(application.arguments):
                mark = (id(rule), keys)
                if mark in self._seen:
                    continue
                self._seen.add(mark)
                if self._trail:
                    self._trail[-1][0].add(mark)
                formula = rule.at(keys)
                if formula is not TRUE:
                    added.append((rule.name, formula))

    def _note_visit(self, serial: int) -> None:
        if self._trail:
            self._trail[-1][1].add(serial)

    def push(self) -> None:
        """Open a scope, so that `pop` forgets what was instantiated since."""
        self._trail.append((set(), set()))

    def pop(self) -> None:
        """Forget the instances of the latest scope."""
        marks, visited = self._trail.pop()
        self._seen -= marks
        self._visited -= visited
