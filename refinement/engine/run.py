"""One run of a piece of code on symbolic values: its decisions, what it may assume, what must be proved about it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from importlib.abc import InspectLoader
from inspect import currentframe
from typing import Protocol

from model.language.terms import FALSE, TRUE, Term, t_and, t_not
from refinement.engine.instances import Rule
from refinement.engine.storage import Keys, Node, Shape, SymbolicStorage, View
from refinement.engine.values import EngineError, SymInt, unknown


class Kind(Enum):
    """What a step of the record is."""

    DECISION = "decision"  # the side of a branch that was taken
    ASSUMPTION = "assumption"  # what the contract of a primitive guarantees about the values that it returned
    CONDITION = "condition"  # what must follow from everything before it
    FORCED = "forced"  # a branch with one possible side: that side must follow from everything before it


@dataclass(frozen=True, eq=False)
class Entry:
    """One step of the record of a run; a condition that stands `apart` is an obligation of its own.

    promises: how many rules were known before; a condition is proved without those that came later, since a contract
    promises something only to callers that meet its conditions.
    """

    kind: Kind
    term: Term
    reason: str
    promises: int
    apart: bool = False


@dataclass(frozen=True, eq=False)
class Aside:
    """A goal of the middle of a run: it must follow from the first entries and rules, and nothing uses it."""

    name: str
    goal: Term
    entries: int
    rules: int


class Oracle(Protocol):
    """Whether a condition is possible after a record; an untrusted help that only saves paths."""

    def possible(self, run: Run, condition: Term) -> bool:
        """False only if the condition certainly contradicts the record."""
        ...


def place() -> str:
    """The line of the code under execution (`impl`) that asks: module and text; "branch" if nothing of it runs."""
    frame = currentframe()
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("impl."):
            lines = _source(module)
            text = lines[frame.f_lineno - 1].strip() if frame.f_lineno <= len(lines) else ""
            return f"{module.rpartition('.')[2]}.py  {text}"
        frame = frame.f_back
    return "branch"


@cache
def _source(module: str) -> list[str]:
    """The lines of a module as it was loaded."""
    loader = getattr(sys.modules[module], "__loader__", None)
    text = loader.get_source(module) if isinstance(loader, InspectLoader) else None
    return (text or "").splitlines()


class PathEndError(Exception):
    """The run ends here on purpose: what follows is covered by a contract, and everything needed is recorded."""


@dataclass
class Run:
    """The state of one run; `prefix` holds the (side, forced) decisions that it repeats from an earlier one."""

    shapes: Mapping[str, Shape]
    oracle: Oracle
    prefix: tuple[tuple[bool, bool], ...] = ()
    entries: list[Entry] = field(default_factory=list[Entry])
    choices: list[tuple[bool, bool]] = field(default_factory=list[tuple[bool, bool]])
    rules: list[Rule] = field(default_factory=list[Rule])
    events: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])
    goals: list[tuple[str, Term]] = field(default_factory=list[tuple[str, Term]])
    marks: dict[str, View] = field(default_factory=dict[str, View])
    asides: list[Aside] = field(default_factory=list[Aside])
    _settled: dict[Term, bool] = field(default_factory=dict[Term, bool])
    _counters: dict[str, int] = field(default_factory=dict[str, int])

    def __post_init__(self) -> None:
        self.storage = SymbolicStorage(self.shapes, "pre")
        self.pre = self.storage.snapshot()

    # --- the host of symbolic values -------------------------------------------------------------------------------

    def decide(self, condition: Term) -> bool:
        """Take a side of a branch: the recorded one, else the first that is possible."""
        if condition is TRUE or condition is FALSE:
            return condition is TRUE
        known = self.known(condition)
        if known is not None:
            return known
        if len(self.choices) < len(self.prefix):
            side, forced = self.prefix[len(self.choices)]
        else:
            side = self.oracle.possible(self, condition)
            forced = not side or not self.oracle.possible(self, t_not(condition))
        self.choices.append((side, forced))
        taken = condition if side else t_not(condition)
        self._note(Kind.FORCED if forced else Kind.DECISION, taken, f"{'yes' if side else 'no'}  {place()}")
        return side

    def known(self, condition: Term) -> bool | None:
        """The side of a branch that an earlier entry with the same text already settled."""
        return self._settled.get(condition)

    def _note(self, kind: Kind, term: Term, reason: str, apart: bool = False) -> None:
        self.entries.append(Entry(kind, term, reason, len(self.rules), apart))
        for part in term.arguments if term.operator == "and" else (term,):
            self._settled[part] = True
            self._settled[t_not(part)] = False

    def require(self, condition: Term, reason: str, apart: bool = False) -> None:
        """Note a condition that must follow from the record so far; what follows may use it."""
        if condition is not TRUE and self.known(condition) is not True:
            self._note(Kind.CONDITION, condition, reason, apart)

    def establish(self, name: str, goal: Term) -> None:
        """Note a goal that must follow from what is known now; a run that repeats an earlier one leaves it to that."""
        if len(self.choices) >= len(self.prefix):
            self.asides.append(Aside(name, goal, len(self.entries), len(self.rules)))

    def assume(self, condition: Term, reason: str) -> None:
        """Note a guarantee of a contract."""
        if condition is not TRUE:
            self._note(Kind.ASSUMPTION, condition, reason)

    def facts_at(self, name: str, node: Node, formula: Callable[[Keys], Term]) -> None:
        """Note a guarantee that holds at all keys of a field as it was at `node`."""
        self.rules.append(Rule(name, {source: lambda keys: [keys] for source in node.sources}, formula))

    def split(self, name: str) -> bool:
        """Go both ways, each in a run of its own: the two sides of a contract that are proved separately."""
        if len(self.choices) < len(self.prefix):
            side, _ = self.prefix[len(self.choices)]
        else:
            side = True
        self.choices.append((side, False))
        self.entries.append(Entry(Kind.DECISION, TRUE, f"{'yes' if side else 'no'}  {name}", len(self.rules)))
        self.event("split", name, side)
        return side

    # --- names -------------------------------------------------------------------------------------------------------

    def fresh_name(self, name: str) -> str:
        """`name` with a number that depends only on how often this run asked for it."""
        number = self._counters.get(name, 0)
        self._counters[name] = number + 1
        return f"{name}{number}"

    def fresh(self, name: str, width: int) -> SymInt:
        """A new arbitrary number."""
        return unknown(self.fresh_name(name), width)

    def event(self, *what: object) -> None:
        """Note something that the run did outside the storage (a measurement record, a choice of the monitor)."""
        self.events.append(what)

    @property
    def path_condition(self) -> Term:
        """The conjunction of the decisions and guarantees."""
        return t_and(e.term for e in self.entries)

    def context(self, position: int) -> list[Entry]:
        """What may be used to prove entry number `position`."""
        if not 0 <= position <= len(self.entries):
            raise EngineError("no such entry")
        return self.entries[:position]
