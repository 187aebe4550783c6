"""What a specification consists of: components, functions, actions, invariants, observers, and how to declare them.

Everything here is data plus plain Python functions over a state `s`.  Interpreters (`symbolic`, `concrete`) decide
what `s` is; the functions are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeVar

from model.language.terms import BOOL, Sort, TermError, enum_sort

T = TypeVar("T")
Body = Callable[..., Any]

OS: Final = "normal VM"
ENCLAVE: Final = "enclave"
DEVICE: Final = "device"
HARDWARE: Final = "hardware"


@dataclass(frozen=True, slots=True)
class Component:
    """One part of the state: a total function from `keys` to `value`; `initial` is its value before boot has run."""

    name: str
    keys: tuple[Sort, ...]
    value: Sort
    words: str


@dataclass(frozen=True, slots=True)
class Symbol:
    """A function that the specification leaves open (`K.name`), with a concrete reading for running it."""

    name: str
    arguments: tuple[Sort, ...]
    result: Sort
    words: str
    concrete: Body


@dataclass(frozen=True, slots=True)
class Action:
    """One atomic step of a principal.

    parameters: chosen by the principal (equal in both runs); choices: chosen by the monitor, as a function of
    public state; placement: parameters that name physical frames, which an enclave must not be able to tell apart.
    caller: the CPU parameter whose result register receives the outcome, or "".
    names: the enclave that the action concerns, or None when it concerns nobody in particular.
    """

    name: str
    by: str
    parameters: Mapping[str, Sort]
    choices: frozenset[str]
    placement: frozenset[str]
    caller: str
    names: Body | None
    body: Body
    words: str
    later: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Invariant:
    """A property of every reachable state, for all values of `over`."""

    name: str
    theorem: str
    over: Mapping[str, Sort]
    formula: Body
    words: str
    identifiers: tuple[str, ...] = ()
    triggers: Body | None = None


@dataclass(frozen=True, slots=True)
class View:
    """One thing that an observer sees: for all values of `over`, whether it is visible, and the value."""

    name: str
    over: Mapping[str, Sort]
    formula: Body
    words: str


@dataclass(frozen=True, slots=True)
class Observer:
    """A named observer with its views; `own` says whether it is the protected enclave or the coalition against it.

    derived: what the views determine under the invariants, each an obligation of its own, in order of proof: parts
    of the state that need no view, and what the observer can learn next.
    """

    name: str
    own: bool
    views: tuple[View, ...]
    words: str
    derived: tuple[View, ...] = ()

    @property
    def sees(self) -> tuple[View, ...]:
        """The views, and what they determine."""
        return (*self.views, *self.derived)


@dataclass(frozen=True, slots=True)
class Assumption:
    """Something that a verdict rests on and that is not proved here."""

    identifier: str
    kind: str
    statement: str
    reason: str


@dataclass(frozen=True, slots=True)
class Postcondition:
    """A property of one step (before, after) of every action: `formula(before, after, e, **over)`."""

    name: str
    theorem: str
    over: Mapping[str, Sort]
    formula: Body
    words: str
    by: frozenset[str]


@dataclass(frozen=True, slots=True)
class Permission:
    """What the release or endorsement of this name may carry, and when: `formula(s, **over) -> (when, values)`.

    over: parameters that every action with such a release or endorsement has, by name.
    """

    name: str
    over: Mapping[str, Sort]
    formula: Body
    words: str


@dataclass(frozen=True, slots=True)
class Lemma:
    """A consequence of the invariants in one state (or two): proved from them once."""

    name: str
    theorem: str
    over: Mapping[str, Sort]
    formula: Body
    words: str
    states: int = 1


@dataclass(frozen=True, slots=True)
class Axiom:
    """A named property of open functions, for all values of `over`; an assumption of every theorem that uses it."""

    name: str
    over: Mapping[str, Sort]
    formula: Body
    words: str
    triggers: Body | None = None


@dataclass
class Specification:
    """A whole specification; filled by the `declare` methods while its modules are imported."""

    name: str
    protected: Sort
    components: dict[str, Component] = field(default_factory=dict[str, Component])
    symbols: dict[str, Symbol] = field(default_factory=dict[str, Symbol])
    actions: dict[str, Action] = field(default_factory=dict[str, Action])
    invariants: dict[str, Invariant] = field(default_factory=dict[str, Invariant])
    observers: dict[str, Observer] = field(default_factory=dict[str, Observer])
    assumptions: dict[str, Assumption] = field(default_factory=dict[str, Assumption])
    postconditions: dict[str, Postcondition] = field(default_factory=dict[str, Postcondition])
    permissions: dict[str, Permission] = field(default_factory=dict[str, Permission])
    lemmas: dict[str, Lemma] = field(default_factory=dict[str, Lemma])
    axioms: dict[str, Axiom] = field(default_factory=dict[str, Axiom])
    initial: dict[str, Axiom] = field(default_factory=dict[str, Axiom])
    enumerations: dict[str, type[Enum]] = field(default_factory=dict[str, type[Enum]])
    scopes: list[dict[str, int]] = field(default_factory=list[dict[str, int]])
    outcome: type[Enum] | None = None
    success: Enum | None = None
    # Who runs the protected domain, and whom a step may concern at most: without them domain respect and the concern
    # policy can not be proved.  secrets: by component, at which keys it is one of the protected domain.
    secrets: dict[str, Body] = field(default_factory=dict[str, Body])
    runs: Body | None = None
    runs_over: Mapping[str, Sort] = field(default_factory=dict[str, Sort])
    may_concern: Body | None = None

    def component(self, name: str, keys: tuple[Sort, ...], value: Sort, words: str) -> Component:
        """Declare a part of the state."""
        return _add(self.components, name, Component(name, keys, value, words))

    def symbol(self, name: str, arguments: tuple[Sort, ...], result: Sort, words: str, concrete: Body) -> Symbol:
        """Declare an open function."""
        return _add(self.symbols, name, Symbol(name, arguments, result, words, concrete))

    def action(
        self,
        by: str,
        *,
        caller: str = "",
        names: Body | None = None,
        choices: tuple[str, ...] = (),
        placement: tuple[str, ...] = (),
        later: tuple[str, ...] = (),
        **parameters: Sort,
    ) -> Callable[[Body], Body]:
        """Declare the decorated function as an action; its docstring says in words what it does.

        later: outcomes that need an action of a later version to become reachable (listed, never proved reachable).
        """
        if not set(choices) | set(placement) | ({caller} - {""}) <= set(parameters):
            raise TermError("choices, placement and caller must be parameters")

        def declare(body: Body) -> Body:
            name = body.__name__
            words = (body.__doc__ or "").strip()
            action = Action(
                name,
                by,
                dict(parameters),
                frozenset(choices),
                frozenset(placement),
                caller,
                names,
                body,
                words,
                frozenset(later),
            )
            _add(self.actions, name, action)
            return body

        return declare

    def invariant(
        self, theorem: str, *identifiers: str, triggers: Body | None = None, **over: Sort
    ) -> Callable[[Body], Body]:
        """Declare the decorated formula as an invariant; identifiers are its names in the catalogue, I1..I20."""

        def declare(body: Body) -> Body:
            name = body.__name__
            words = (body.__doc__ or "").strip()
            _add(self.invariants, name, Invariant(name, theorem, dict(over), body, words, identifiers, triggers))
            return body

        return declare

    def postcondition(self, theorem: str, *, by: tuple[str, ...], **over: Sort) -> Callable[[Body], Body]:
        """Declare a property of every step that a principal in `by` takes."""

        def declare(body: Body) -> Body:
            words = (body.__doc__ or "").strip()
            post = Postcondition(body.__name__, theorem, dict(over), body, words, frozenset(by))
            _add(self.postconditions, body.__name__, post)
            return body

        return declare

    def permission(self, flow: str, **over: Sort) -> Callable[[Body], Body]:
        """Declare what the release or endorsement of this name may carry, and when."""

        def declare(body: Body) -> Body:
            words = (body.__doc__ or "").strip()
            _add(self.permissions, flow, Permission(flow, dict(over), body, words))
            return body

        return declare

    def lemma(self, theorem: str, *, states: int = 1, **over: Sort) -> Callable[[Body], Body]:
        """Declare a consequence of the invariants."""

        def declare(body: Body) -> Body:
            words = (body.__doc__ or "").strip()
            _add(self.lemmas, body.__name__, Lemma(body.__name__, theorem, dict(over), body, words, states))
            return body

        return declare

    def axiom(self, *, triggers: Body | None = None, **over: Sort) -> Callable[[Body], Body]:
        """Declare a property of open functions; it must be listed among the assumptions under the same name."""

        def declare(body: Body) -> Body:
            words = (body.__doc__ or "").strip()
            _add(self.axioms, body.__name__, Axiom(body.__name__, dict(over), body, words, triggers))
            return body

        return declare

    def initially(self, **over: Sort) -> Callable[[Body], Body]:
        """Declare one clause of what boot builds."""

        def declare(body: Body) -> Body:
            words = (body.__doc__ or "").strip()
            _add(self.initial, body.__name__, Axiom(body.__name__, dict(over), body, words))
            return body

        return declare

    def observer(
        self, name: str, *, own: bool, words: str, views: tuple[View, ...], derived: tuple[View, ...] = ()
    ) -> Observer:
        """Declare an observer."""
        return _add(self.observers, name, Observer(name, own, views, words, derived))

    def assume(self, identifier: str, kind: str, statement: str, reason: str) -> Assumption:
        """Declare an assumption."""
        return _add(self.assumptions, identifier, Assumption(identifier, kind, statement, reason))

    @property
    def outcome_sort(self) -> Sort:
        """The sort of outcomes (result codes)."""
        if self.outcome is None:
            raise TermError(f"{self.name} declares no outcomes")
        return enum_sort(self.outcome)


def _add(table: dict[str, T], name: str, item: T) -> T:
    if name in table:
        raise TermError(f"{name} is declared twice")
    table[name] = item
    return item


def view(words: str, **over: Sort) -> Callable[[Body], View]:
    """Make the decorated function `(s, e, **over) -> (visible, value)` a view."""

    def declare(body: Body) -> View:
        return View(body.__name__, dict(over), body, words)

    return declare


__all__ = [
    "BOOL",
    "DEVICE",
    "ENCLAVE",
    "HARDWARE",
    "OS",
    "Action",
    "Assumption",
    "Axiom",
    "Component",
    "Invariant",
    "Lemma",
    "Observer",
    "Permission",
    "Postcondition",
    "Specification",
    "Symbol",
    "View",
    "view",
]
