"""The reading of a specification as formulas over any number of frames, enclaves, pages, CPUs and devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from model.language.logic import And, Value, as_term, eq
from model.language.specification import Action, Axiom, Invariant, Lemma, Specification, Symbol
from model.language.terms import (
    TRUE,
    Function,
    Sort,
    Term,
    TermError,
    constant,
    quantify,
    t_and,
    t_implies,
    t_not,
    together,
    variable,
)
from model.language.transition import Functions, Keys, State, Transition, run, successor
from model.language.traversal import subterms

Named = tuple[str, Term]


class Run:
    """One symbolic run: a state of uninterpreted functions named `component@name`, plus side definitions.

    Quantifiers that occur inside an action become fresh booleans; `definitions` says what they mean in both
    polarities, so that they may stand anywhere.
    """

    def __init__(self, specification: Specification, name: str) -> None:
        self.specification = specification
        self.name = name
        self.definitions: list[Named] = []
        self._count = 0
        self._base = {c.name: Function(f"{c.name}@{name}", c.keys, c.value) for c in specification.components.values()}
        functions = Functions({symbol.name: _apply(symbol) for symbol in specification.symbols.values()})
        self.state = State(specification, self._read, functions, self._quantify_in_action)
        self.ghost = State(specification, self._read, functions, plain_quantifier)

    def _read(self, component: str, keys: Keys) -> Value:
        return self._base[component](*(as_term(key) for key in keys))

    def _quantify_in_action(self, operator: str, sort: Sort, formula: Callable[[Any], Value]) -> Value:
        self._count += 1
        name = f"{operator}{self._count}@{self.name}"
        truth = constant(name, _BOOL)
        witness = constant(f"witness.{name}", sort)
        x = variable(f"x.{name}", sort)
        body = as_term(formula(x))
        at_witness = as_term(formula(witness))
        universal = closed((x,), body if operator == "forall" else t_not(body), ())
        if operator == "forall":
            meaning = (t_implies(truth, universal), t_implies(t_not(truth), t_not(at_witness)))
        else:
            meaning = (t_implies(t_not(truth), universal), t_implies(truth, at_witness))
        self.definitions.append((f"meaning of {name}", t_and(meaning)))
        return truth

    def step(self, action: Action, arguments: Mapping[str, Value]) -> tuple[Transition, State]:
        """Run an action from this state; returns its record and the state after it (for goals: see `as_ghost`)."""
        transition = run(action, self.state, same_keys, arguments)
        after = successor(transition, arguments)
        return transition, as_ghost(after)


_BOOL = as_term(True).sort


def as_ghost(state: State) -> State:
    """The same state, whose quantifiers are ordinary formulas; for invariants, views and goals."""
    return State(state.specification, state.read, state.K, plain_quantifier)


def plain_quantifier(operator: str, sort: Sort, formula: Callable[[Any], Value]) -> Value:
    """A quantifier as a formula."""
    x = variable(f"q.{sort.name}.{_depth(formula, sort)}", sort)
    body = as_term(formula(x))
    return closed((x,), body, ()) if operator == "forall" else quantify("exists", (x,), body)


def _depth(formula: Callable[[Any], Value], sort: Sort) -> int:
    probe = as_term(formula(variable(f"probe.{sort.name}", sort)))
    depths = [0]
    for node in subterms([probe]):
        if node.operator in ("forall", "exists") and isinstance(node.payload, tuple):
            depths += [_number(p) + 1 for p in node.payload if isinstance(p, Term)]
    return max(depths)


def _number(bound: Term) -> int:
    tail = str(bound.payload).rsplit(".", 1)[-1]
    return int(tail) if tail.isdigit() else 0


def _apply(symbol: Symbol) -> Callable[..., Value]:
    function = Function(f"K.{symbol.name}", symbol.arguments, symbol.result)
    return lambda *arguments: function(*(as_term(a) for a in arguments))


def same_keys(a: Keys, b: Keys) -> Value:
    """All keys are equal, as a formula."""
    return And(TRUE, *(eq(x, y) for x, y in zip(a, b, strict=True)))


def variables(over: Mapping[str, Sort], prefix: str) -> dict[str, Term]:
    """One bound variable for each name."""
    return {name: variable(f"{prefix}.{name}", sort) for name, sort in over.items()}


def constants(over: Mapping[str, Sort], prefix: str) -> dict[str, Term]:
    """One free constant (a Skolem constant, or an argument) for each name."""
    return {name: constant(f"{prefix}.{name}", sort) for name, sort in over.items()}


def closed(over: tuple[Term, ...], body: Term, triggers: tuple[Term, ...]) -> Term:
    """`forall over. body` with the given triggers, or with every term that mentions all variables plainly."""
    used = tuple(v for v in over if v in body.free)
    if not used:
        return body
    return quantify("forall", used, body, triggers or _triggers(used, body))


def _triggers(over: tuple[Term, ...], body: Term) -> tuple[Term, ...]:
    """Every application to plain variables that mentions all of them; failing that, a smallest set that does."""
    wanted = frozenset(over)
    flat = [
        node
        for node in subterms([body])
        if node.operator == "apply"
        and node.arguments
        and all(a.operator == "var" or not a.free for a in node.arguments)
    ]
    whole = tuple(node for node in flat if wanted <= node.free)
    if whole:
        return whole
    chosen: list[Term] = []
    covered: frozenset[Term] = frozenset()
    for node in flat:
        if node.free & wanted - covered:
            chosen.append(node)
            covered |= node.free
    if not wanted <= covered:
        raise TermError("no trigger mentions every variable of a hypothesis: give one by hand")
    return (together(tuple(chosen)),)


def hypothesis(item: Invariant | Axiom | Lemma, state: State) -> Named:
    """The item as a universally quantified hypothesis about `state`."""
    over = variables(item.over, item.name)
    body = as_term(item.formula(state, **over))
    wanted: tuple[Term, ...] = ()
    if not isinstance(item, Lemma) and item.triggers is not None:
        wanted = tuple(as_term(t) for t in item.triggers(state, **over))
    return item.name, closed(tuple(over.values()), body, wanted)


def goal(item: Invariant | Axiom | Lemma, state: State) -> Term:
    """The item as a goal about `state`, at Skolem constants."""
    return as_term(item.formula(state, **constants(item.over, f"any.{item.name}")))
