"""The proof obligations that a specification gives rise to: the full product, nothing left out.

This file knows no enclave.  For a specification with actions a, invariants i, observers o:

* initial/i        every initial state satisfies i
* inductive/a/i    i holds after a from every state that satisfies all invariants
* step/a/p         the step property p holds of a
* lemma/l          l follows from the invariants
* unwinding/a/o/c  unwinding condition c of a for observer o, over two runs where c compares runs

`proofs.equivalence` has those about what observers can tell apart, whatever the actions.

Conditions for the coalition against the protected domain e: output consistency, domain consistency, step
consistency, local respect, domain respect, release policy.  For e itself: local respect, step consistency
(integrity), endorsement policy, concern policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from model.language.concrete import World
from model.language.logic import And, Implies, Not, Or, Value, as_term, eq
from model.language.specification import ENCLAVE, Action, Invariant, Observer, Postcondition, Specification, View
from model.language.symbolic import Named, Run, constants, hypothesis
from model.language.terms import Sort, Term, constant, t_implies, t_not
from model.language.transition import Flow, State, Transition
from proofs.comparison import crossing, indistinguishable, permitted, still_agree


class Decoded(Protocol):
    """A model of a statement's negation, decoded for the concrete interpreter."""

    def argument(self, term: Term) -> Value:
        """The value of a constant."""
        ...

    def world(self, run: str) -> World:
        """The state of one run."""
        ...


Confirm = Callable[[Decoded], bool]
Breaks = Callable[[World, World], bool]


@dataclass(frozen=True)
class Statement:
    """One obligation before it is printed: the hypotheses imply the goal.

    `witness` are terms worth showing when it fails, by name.  `confirm` re-executes a model of the negation on the
    concrete interpreter and says whether the property is really violated there; `breaks` says whether one concrete
    step of the action violates it, for the search from boot.
    """

    identifier: str
    theorem: str
    action: str
    observer: str
    words: str
    hypotheses: tuple[Named, ...]
    goal: Term
    witness: Mapping[str, Term] = field(default_factory=dict[str, Term])
    confirm: Confirm | None = None
    breaks: Breaks | None = None

    @property
    def assertions(self) -> list[Named]:
        """What a solver must find unsatisfiable."""
        return [*self.hypotheses, ("negated goal", t_not(self.goal))]


def protected(specification: Specification) -> Term:
    """The protected domain: one arbitrary enclave, the same in every statement."""
    return constant("protected", specification.protected)


# --- single runs ------------------------------------------------------------------------------------------------


class Premises:
    """The hypotheses about one or two runs that every statement of a specification shares."""

    def __init__(self, specification: Specification, names: tuple[str, ...] = ("s",)) -> None:
        self.specification = specification
        self.runs = tuple(Run(specification, name) for name in names)
        first = self.runs[0].ghost
        self.axioms = [hypothesis(axiom, first) for axiom in specification.axioms.values()]
        self.invariants = [
            (f"{name} of {run.name}", term)
            for run in self.runs
            for name, term in (hypothesis(item, run.ghost) for item in specification.invariants.values())
        ]

    def all(self) -> tuple[Named, ...]:
        """Axioms, invariants, and the meaning of quantifiers met while actions ran."""
        return (*self.axioms, *self.invariants, *(d for run in self.runs for d in run.definitions))


def initial_statements(specification: Specification) -> Iterator[Statement]:
    """Every initial state satisfies every invariant."""
    run = Run(specification, "s")
    clauses = [hypothesis(clause, run.ghost) for clause in specification.initial.values()]
    for item in specification.invariants.values():
        keys = constants(item.over, "any")
        goal = as_term(item.formula(run.ghost, **keys))

        def confirm(model: Decoded, item: Invariant = item, keys: Mapping[str, Term] = keys) -> bool:
            world = model.world("s")
            clean = not world.violations(list(specification.initial.values()))
            return clean and item.formula(world.state, **values(model, keys)) is False

        name = f"{item.theorem}/initial/{item.name}"
        yield Statement(name, item.theorem, "boot", "", item.words, tuple(clauses), goal, {}, confirm)


def values(model: Decoded, terms: Mapping[str, Term]) -> dict[str, Value]:
    """The values of named constants."""
    return {name: model.argument(term) for name, term in terms.items()}


def lemma_statements(specification: Specification) -> Iterator[Statement]:
    """Every lemma follows from the invariants of the states that it speaks of."""
    for lemma in specification.lemmas.values():
        premises = Premises(specification, ("s", "t")[: lemma.states])
        states = [run.ghost for run in premises.runs]
        goal = as_term(lemma.formula(*states, **constants(lemma.over, "any")))
        yield Statement(f"{lemma.theorem}/lemma/{lemma.name}", lemma.theorem, "", "", lemma.words, premises.all(), goal)


def action_statements(specification: Specification, action: Action) -> Iterator[Statement]:
    """Inductiveness and step properties of one action."""
    premises = Premises(specification)
    run = premises.runs[0]
    arguments = constants(action.parameters, "arg")
    _, after = run.step(action, arguments)
    for item in specification.invariants.values():
        keys = constants(item.over, "any")
        goal = as_term(item.formula(after, **keys))

        def broken(model: Decoded, item: Invariant = item, keys: Mapping[str, Term] = keys) -> bool:
            world = _stepped(specification, action, model, arguments)
            return world is not None and item.formula(world[1].state, **values(model, keys)) is False

        def breaks(_: World, after: World, item: Invariant = item) -> bool:
            return bool(after.violations([item]))

        name = f"{item.theorem}/inductive/{action.name}/{item.name}"
        words, hypotheses = item.words, premises.all()
        yield Statement(name, item.theorem, action.name, "", words, hypotheses, goal, arguments, broken, breaks)
    domain = protected(specification)
    for post in specification.postconditions.values():
        if action.by not in post.by:
            continue
        keys = constants(post.over, "any")
        goal = as_term(post.formula(run.ghost, after, domain, **keys))

        def missed(model: Decoded, post: Postcondition = post, keys: Mapping[str, Term] = keys) -> bool:
            worlds = _stepped(specification, action, model, arguments)
            if worlds is None:
                return False
            before, then = worlds
            return post.formula(before.state, then.state, model.argument(domain), **values(model, keys)) is False

        def disappoints(before: World, after: World, post: Postcondition = post) -> bool:
            over = {**post.over, "e": specification.protected}
            return any(
                post.formula(before.state, after.state, **keys) is False for keys in before.universe.assignments(over)
            )

        name = f"{post.theorem}/step/{action.name}/{post.name}"
        words, hypotheses = post.words, premises.all()
        yield Statement(name, post.theorem, action.name, "", words, hypotheses, goal, arguments, missed, disappoints)


def _stepped(
    specification: Specification, action: Action, model: Decoded, arguments: Mapping[str, Term], run: str = "s"
) -> tuple[World, World] | None:
    """The state before and after the step, or None if the state before violates an invariant."""
    before, after = model.world(run), model.world(run)
    if before.violations(list(specification.invariants.values())):
        return None
    after.step(action, values(model, arguments))
    return before, after


# --- two runs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """One action taken in two runs."""

    premises: Premises
    action: Action
    arguments: tuple[Mapping[str, Term], Mapping[str, Term]]
    steps: tuple[Transition, Transition]
    states: tuple[State, State]
    after: tuple[State, State]
    domain: Term

    def acts(self, side: int) -> Value:
        """The step is taken by the protected domain."""
        return self.concerns(side) if self.action.by == ENCLAVE else False

    def concerns(self, side: int) -> Value:
        """The step is taken by, or names, the protected domain."""
        if self.action.names is None:
            return False
        return self.action.names(self.states[side], self.domain, **self.arguments[side])

    @property
    def witness(self) -> dict[str, Term]:
        """The arguments of both runs."""
        first, second = self.arguments
        return {**first, **{f"{k} (second run)": v for k, v in second.items() if v is not first[k]}}


def pair(specification: Specification, action: Action, separate: frozenset[str]) -> Pair:
    """Take `action` in two runs with equal arguments, but for those in `separate`."""
    premises = Premises(specification, ("s", "t"))
    first = constants(action.parameters, "arg")
    second = {**first, **constants({n: action.parameters[n] for n in separate}, "arg'")}
    s, t = premises.runs
    (step_s, after_s), (step_t, after_t) = s.step(action, first), t.step(action, second)
    states, domain = (s.ghost, t.ghost), protected(specification)
    return Pair(premises, action, (first, second), (step_s, step_t), states, (after_s, after_t), domain)


def _related(observer: Observer, two: Pair) -> list[Named]:
    """Before the step the observer sees the same in both runs."""
    return [
        f for derived in (False, True) for f in indistinguishable(observer, *two.states, two.domain, derived=derived)
    ]


def _views_differ(two: Pair, observer: Observer, view: View, *, one_run: bool) -> Confirm:
    """Re-execute both runs: the view agreed before (in two runs) and does not agree after."""

    def confirm(model: Decoded) -> bool:
        specification, domain = two.premises.specification, model.argument(two.domain)
        first = _stepped(specification, two.action, model, two.arguments[0])
        second = _stepped(specification, two.action, model, two.arguments[1], "s" if one_run else "t")
        if first is None or second is None:
            return False
        before = (first[0], first[0] if one_run else second[0])
        after = (first[0] if one_run else second[1], first[1])
        equal = all(before[0].seen([v], domain) == before[1].seen([v], domain) for v in observer.views)
        return equal and after[0].seen([view], domain) != after[1].seen([view], domain)

    return confirm


def coalition_statements(specification: Specification, action: Action, observer: Observer) -> Iterator[Statement]:
    """Confidentiality: what the coalition against e sees, and may do next, is a function of what it saw."""
    two = pair(specification, action, frozenset())
    s = two.states[0]
    related = _related(observer, two)
    base = (*two.premises.all(), *related)
    relevant = Or(two.acts(0), two.acts(1))
    released = tuple(crossing(two.steps[0].releases, two.steps[1].releases, relevant, shows=True))
    outside = as_term(And(Not(two.acts(0)), Not(two.acts(1))))
    same_output = _same_output(two)
    lemma = ("output consistency (an obligation of its own)", as_term(Implies(outside, same_output)))

    def statement(
        condition: str, words: str, hypotheses: tuple[Named, ...], goal: Value, confirm: Confirm | None = None
    ) -> Statement:
        name = f"T2/unwinding/{action.name}/{observer.name}/{condition}"
        return Statement(name, "T2", action.name, observer.name, words, hypotheses, as_term(goal), two.witness, confirm)

    yield statement(
        "output consistency",
        "whether the step happens, and with which outcome, is a function of the view",
        base,
        Implies(outside, same_output),
    )
    yield statement(
        "domain consistency",
        "who takes the step, and whom it concerns, is a function of the view",
        base,
        And(eq(as_term(two.acts(0)), as_term(two.acts(1))), eq(as_term(two.concerns(0)), as_term(two.concerns(1)))),
    )
    for view, goal in still_agree(observer, two.after[0], two.after[1], two.domain):
        words = "equal views stay equal, named releases apart"
        confirm = _views_differ(two, observer, view, one_run=False)
        yield statement(f"step consistency/{view.name}", words, (*base, *released, lemma), goal, confirm)
    silent = And(two.acts(0), *(Not(flow.active) for flow in two.steps[0].releases))
    for view, goal in still_agree(observer, s, two.after[0], two.domain):
        words = "a step of the protected enclave that releases nothing changes nothing that others see"
        confirm = _views_differ(two, observer, view, one_run=True)
        yield statement(f"local respect/{view.name}", words, two.premises.all(), Implies(silent, goal), confirm)
    yield _domain_respect(specification, two, statement)
    allowed, confirm = _policy(two, two.steps[0].releases, two.acts(0))
    words = "the enclave lets out nothing but what the flow policy permits in that state, by name and by value"
    yield statement("release policy", words, two.premises.all(), allowed, confirm)


def _same_output(two: Pair) -> Term:
    """Both runs take the step or neither does, with the same refusal or effect and the same outcome."""
    s, t = two.steps
    enabled = eq(as_term(s.enabled), as_term(t.enabled))
    told = And(eq(as_term(s.refused), as_term(t.refused)), eq(as_term(s.outcome), as_term(t.outcome)))
    return as_term(And(enabled, Implies(s.enabled, told)))


def _domain_respect(specification: Specification, two: Pair, statement: Callable[..., Statement]) -> Statement:
    if specification.runs is None:
        goal: Value = False
    else:
        over = constants(_one_cpu(specification), "any")
        before = specification.runs(two.states[0], *over.values(), two.domain)
        after = specification.runs(two.after[0], *over.values(), two.domain)
        goal = Implies(Not(two.concerns(0)), eq(as_term(before), as_term(after)))
    return statement(
        "domain respect",
        "only steps that concern the protected enclave start or stop running it",
        two.premises.all(),
        goal,
    )


def _policy(two: Pair, flows: Sequence[Flow], relevant: Value) -> tuple[Term, Confirm]:
    """What crosses here is permitted; and whether a model says that it is not."""
    specification, state, arguments = two.premises.specification, two.states[0], two.arguments[0]
    goal = permitted(specification, flows, state, arguments)

    def confirm(model: Decoded) -> bool:
        world, known = model.world("s"), values(model, arguments)
        taken = world.describe(two.action, known)
        allowed = permitted(specification, [*taken.releases, *taken.endorsements], world.state, known)
        return allowed is False and not world.violations(list(specification.invariants.values()))

    return as_term(Implies(relevant, goal)), confirm


def _one_cpu(specification: Specification) -> Mapping[str, Sort]:
    return dict(specification.runs_over)


def own_statements(specification: Specification, action: Action, observer: Observer) -> Iterator[Statement]:
    """Integrity: what e computes depends on its own state and on what it takes in by name."""
    two = pair(specification, action, action.placement)
    s = two.states[0]
    endorsed = tuple(crossing(two.steps[0].endorsements, two.steps[1].endorsements, two.concerns(0), shows=False))
    fires = [as_term(step.fires) for step in two.steps]
    named = ("both runs concern the enclave", as_term(And(two.concerns(0), two.concerns(1))))
    schedule = ("whether the step succeeds belongs to the schedule", as_term(eq(fires[0], fires[1])))
    answers = _equal_answers(two)
    inputs = (*two.premises.all(), *_related(observer, two), *endorsed, named, schedule, *answers)

    def statement(condition: str, words: str, hypotheses: tuple[Named, ...], goal: Term, confirm: Confirm) -> Statement:
        name = f"T3/unwinding/{action.name}/{observer.name}/{condition}"
        return Statement(name, "T3", action.name, observer.name, words, hypotheses, goal, two.witness, confirm)

    elsewhere = t_not(as_term(two.concerns(0)))
    for view, goal in still_agree(observer, s, two.after[0], two.domain):
        words = "a step that does not concern the enclave changes nothing of it"
        confirm = _views_differ(two, observer, view, one_run=True)
        yield statement(f"local respect/{view.name}", words, two.premises.all(), t_implies(elsewhere, goal), confirm)
    for view, goal in still_agree(observer, two.after[0], two.after[1], two.domain):
        words = "equal enclaves stay equal under a step that concerns them, with equal named inputs"
        confirm = _views_differ(two, observer, view, one_run=False)
        yield statement(f"step consistency/{view.name}", words, inputs, goal, confirm)
    allowed, confirm = _policy(two, two.steps[0].endorsements, And(two.concerns(0), fires[0]))
    words = "the enclave takes in nothing but what the flow policy permits in that state, by name and by value"
    yield statement("endorsement policy", words, two.premises.all(), allowed, confirm)
    yield statement("concern policy", *_concern_policy(two))


def _concern_policy(two: Pair) -> tuple[str, tuple[Named, ...], Term, Confirm]:
    """A step that concerned everybody would have nothing to leave alone: local and domain respect would say nothing."""
    specification, action = two.premises.specification, two.action

    def goal(state: State, domain: Value, arguments: Mapping[str, Value]) -> Value:
        names, may = action.names, specification.may_concern
        if names is None:
            return True
        return Implies(names(state, domain, **arguments), may is not None and may(state, domain, **arguments))

    def confirm(model: Decoded) -> bool:
        world = model.world("s")
        refuted = goal(world.state, model.argument(two.domain), values(model, two.arguments[0])) is False
        return refuted and not world.violations(list(specification.invariants.values()))

    words = "the step concerns only whom it may: who runs on the CPU, or who is named, or whose page is named"
    return words, two.premises.all(), as_term(goal(two.states[0], two.domain, two.arguments[0])), confirm


def _equal_answers(two: Pair) -> list[Named]:
    pairs = zip(two.steps[0].answers, two.steps[1].answers, strict=True)
    return [
        (f"schedule: {a.code.name} in both runs or in none", as_term(eq(as_term(a.condition), as_term(b.condition))))
        for a, b in pairs
    ]


def unwinding_statements(specification: Specification, action: Action) -> Iterator[Statement]:
    """Both kinds of unwinding conditions of one action, for every observer."""
    for observer in specification.observers.values():
        if observer.own:
            yield from own_statements(specification, action, observer)
        else:
            yield from coalition_statements(specification, action, observer)
