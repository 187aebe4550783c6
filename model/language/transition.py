"""What an action sees while it runs: the state before, and a place to say what changes.

Every read in an action sees the state *before* the step; assignments describe the state after it.  Refusals come as
ordered rows; the first row whose condition holds decides the outcome and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from model.language.logic import And, Not, Or, Value, ite
from model.language.specification import Action, Specification
from model.language.terms import Sort, TermError

Keys = tuple[Value, ...]
Read = Callable[[str, Keys], Value]


class Functions:
    """The open functions as an interpreter reads them: `K.name(arguments)`."""

    def __init__(self, table: Mapping[str, Callable[..., Value]]) -> None:
        self._table = table

    def __getattr__(self, name: str) -> Callable[..., Any]:
        try:
            return self._table[name]
        except KeyError:
            raise TermError(f"no open function is called {name}") from None


class Reader:
    """One component of a state: `s.owner[f]`; a component without keys is read as `s.counter[()]`."""

    def __init__(self, name: str, arity: int, read: Read) -> None:
        self._name = name
        self._arity = arity
        self._read = read

    def __getitem__(self, keys: Value) -> Any:
        return self._read(self._name, _keys(keys, self._arity, self._name))


class State:
    """A state that can be read: each component is an attribute, open functions are `s.K`."""

    def __init__(
        self,
        specification: Specification,
        read: Read,
        functions: Functions,
        quantify: Callable[[str, Sort, Callable[[Any], Value]], Value],
    ) -> None:
        self.specification = specification
        self.K = functions
        self.read = read
        self.quantify = quantify

    def __getattr__(self, name: str) -> Any:
        component = self.specification.components.get(name)
        if component is None:
            raise TermError(f"the state has no component {name}")
        return Reader(name, len(component.keys), self.read)

    def forall(self, sort: Sort, formula: Callable[[Any], Value]) -> Any:
        """The formula holds for every value of `sort`."""
        return self.quantify("forall", sort, formula)

    def exists(self, sort: Sort, formula: Callable[[Any], Value]) -> Any:
        """The formula holds for some value of `sort`."""
        return self.quantify("exists", sort, formula)


def _keys(keys: Value, arity: int, name: str) -> Keys:
    given = keys if isinstance(keys, tuple) else (keys,)
    if len(given) != arity:
        raise TermError(f"{name} takes {arity} keys, got {len(given)}")
    return given


@dataclass(frozen=True, slots=True)
class Update:
    """A change of one component where `matches(*keys)` holds."""

    component: str
    matches: Callable[..., Value]
    value: Callable[..., Value]


@dataclass(frozen=True, slots=True)
class Row:
    """One ordered refusal: when the condition holds, the outcome is `code` and nothing changes."""

    code: Enum
    condition: Value
    threat: str


@dataclass(frozen=True, slots=True)
class Flow:
    """A named release or endorsement: when active, the values cross the boundary of the protected enclave."""

    name: str
    active: Value
    values: tuple[Value, ...]


class Writer(Reader):
    """A component that an action may also assign: `s.owner[f] = e`, or in bulk with `fill`."""

    def __init__(
        self, name: str, arity: int, read: Read, updates: list[Update], same: Callable[[Keys, Keys], Value]
    ) -> None:
        super().__init__(name, arity, read)
        self._updates = updates
        self._same = same

    def __setitem__(self, keys: Value, value: Value) -> None:
        place = _keys(keys, self._arity, self._name)
        same = self._same
        self._updates.append(Update(self._name, lambda *at: same(at, place), lambda *_: value))

    def fill(self, matches: Callable[..., Value], value: Value | Callable[..., Value]) -> None:
        """Assign `value` (a value, or a function of the keys) wherever `matches(*keys)` holds."""
        chosen: Callable[..., Value] = value if callable(value) else lambda *_: value
        self._updates.append(Update(self._name, matches, chosen))


@dataclass
class Transition:
    """The record of one action while its body runs; see `model.language.symbolic` and `.concrete` for its readings."""

    before: State
    action: Action
    same: Callable[[Keys, Keys], Value]
    updates: list[Update] = field(default_factory=list[Update])
    rows: list[Row] = field(default_factory=list[Row])
    answers: list[Row] = field(default_factory=list[Row])
    requirements: list[Value] = field(default_factory=list[Value])
    releases: list[Flow] = field(default_factory=list[Flow])
    endorsements: list[Flow] = field(default_factory=list[Flow])

    @property
    def K(self) -> Functions:  # noqa: N802  # the customary name of the open functions
        """The open functions."""
        return self.before.K

    def __getattr__(self, name: str) -> Any:
        component = self.before.specification.components.get(name)
        if component is None:
            raise TermError(f"the state has no component {name}")
        return Writer(name, len(component.keys), self.before.read, self.updates, self.same)

    def forall(self, sort: Sort, formula: Callable[[Any], Value]) -> Any:
        """The formula holds for every value of `sort`."""
        return self.before.forall(sort, formula)

    def exists(self, sort: Sort, formula: Callable[[Any], Value]) -> Any:
        """The formula holds for some value of `sort`."""
        return self.before.exists(sort, formula)

    def require(self, condition: Value) -> None:
        """The action is possible only where the condition holds; elsewhere it does not happen at all."""
        self.requirements.append(condition)

    def refuse(self, code: Enum, when: Value, threat: str) -> None:
        """Refuse with `code` when the condition holds and no earlier row did; the threat says what the row stops."""
        self.rows.append(Row(code, when, threat))

    def answer(self, code: Enum, when: Value, threat: str) -> None:
        """Answer `code` instead of success although the effects do happen."""
        self.answers.append(Row(code, when, threat))

    def release(self, name: str, when: Value, *values: Value) -> None:
        """The acting enclave lets these values out (a declassification of the flow policy)."""
        self.releases.append(Flow(name, when, values))

    def endorse(self, name: str, when: Value, *values: Value) -> None:
        """The enclave concerned takes these values in (an endorsement of the flow policy)."""
        self.endorsements.append(Flow(name, when, values))

    # --- what the record says -----------------------------------------------------------------------------------

    @property
    def enabled(self) -> Value:
        """The action can happen."""
        return And(*self.requirements)

    @property
    def refused(self) -> Value:
        """Some refusal row applies."""
        return Or(*(row.condition for row in self.rows))

    @property
    def fires(self) -> Value:
        """The action happens and has its effects."""
        return And(self.enabled, Not(self.refused))

    @property
    def outcome(self) -> Value:
        """The result code: the first row that applies, else the first answer, else success."""
        success = self.before.specification.success
        if success is None:
            raise TermError("the specification declares no success code")
        result: Value = success
        for row in reversed(self.rows + self.answers):
            result = ite(row.condition, row.code, result)
        return result

    def after(self, component: str, keys: Keys) -> Value:
        """The value of a component after the step."""
        old = self.before.read(component, keys)
        caller = self.action.caller
        if component == "result" and caller:
            return old  # the interpreter adds the outcome for the calling CPU
        value = old
        for update in self.updates:
            if update.component == component:
                value = ite(update.matches(*keys), update.value(*keys), value)
        return old if value is old else ite(self.fires, value, old)


def run(
    action: Action, before: State, same: Callable[[Keys, Keys], Value], arguments: Mapping[str, Value]
) -> Transition:
    """Let the body of `action` describe the step from `before` with these arguments."""
    transition = Transition(before, action, same)
    action.body(transition, **arguments)
    return transition


def successor(transition: Transition, arguments: Mapping[str, Value]) -> State:
    """The state after the step, as a state that can be read."""
    caller = transition.action.caller
    here = (arguments[caller],) if caller else ()

    def read(component: str, keys: Keys) -> Value:
        value = transition.after(component, keys)
        if component == "result" and caller:
            told = And(transition.enabled, transition.same(keys, here))
            return ite(told, transition.outcome, value)
        return value

    before = transition.before
    return State(before.specification, read, before.K, before.quantify)
