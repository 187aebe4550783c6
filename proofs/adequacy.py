"""The battery: reasons to believe that the proofs say something.  It proves no theorem; each row may only be met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import z3

from model.language.logic import Value, as_term
from model.language.smtlib import script
from model.language.specification import Action, Specification
from model.language.symbolic import Named, Run, constants
from model.language.terms import TRUE, Sort, Term, constant, t_implies, t_not
from proofs.comparison import agree, indistinguishable
from proofs.explanation import explain
from proofs.finite import Scope, expand
from proofs.mutation import without
from proofs.obligation import Finding
from proofs.solver import Z3Solver, has_quantifier
from proofs.statements import (
    Premises,
    Statement,
    action_statements,
    pair,
    unwinding_statements,
)

KIND = "vacuity"
MUTANT_RLIMIT = 4_000_000


@dataclass(frozen=True)
class Witness:
    """A script that must be satisfiable in a finite scope."""

    name: str
    words: str
    text: str


def _finite(scope: Mapping[str, int], assertions: Sequence[Named]) -> str:
    return script(expand(Scope(scope), assertions))


def fires(
    specification: Specification,
    action: Action,
    scope: Mapping[str, int],
    crowd: Mapping[str, Sort],
    crowded: Callable[..., Value],
) -> Witness:
    """The invariants and the success of the action hold together, in a state with others in it."""
    premises = Premises(specification)
    run = premises.runs[0]
    step, _ = run.step(action, constants(action.parameters, "arg"))
    there = as_term(crowded(run.ghost, **constants(crowd, "crowd")))
    assertions = [*premises.all(), ("others are there", there), ("the action succeeds", as_term(step.fires))]
    words = "the hypotheses hold together with two running enclaves, and the action succeeds"
    return Witness(f"fires/{action.name}", words, _finite(scope, assertions))


def secret_pair(
    specification: Specification, action: Action, scope: Mapping[str, int], differ: Callable[..., Value]
) -> Iterator[Witness]:
    """Two runs that the coalition cannot tell apart do differ in secrets, and the action succeeds in both."""
    for observer in specification.observers.values():
        if observer.own:
            continue
        two = pair(specification, action, frozenset())
        s, t = two.states
        keys = {sort.name: sort for c in specification.components.values() for sort in c.keys}
        f, c = constant("secret.f", keys["Frame"]), constant("secret.c", keys["Cpu"])
        assertions = [
            *two.premises.all(),
            *indistinguishable(observer, s, t, two.domain),
            ("secrets differ", as_term(differ(s, t, two.domain, f, c))),
            *((f"run {i}", as_term(step.fires)) for i, step in enumerate(two.steps)),
        ]
        words = "two runs that look the same to others hold different secrets, and the action succeeds in both"
        yield Witness(f"secrets/{action.name}/{observer.name}", words, _finite(scope, assertions))


def meaningful(specification: Specification, solver: Z3Solver, scope: Mapping[str, int]) -> Iterator[tuple[str, bool]]:
    """Each property, and whether an arbitrary state (pair, or step) can violate it, hypotheses apart.

    Where a property has a quantifier, the state is one of the finite scope: it is a state like any other.
    """
    s, t = Run(specification, "s").ghost, Run(specification, "t").ghost
    domain = constant("protected", specification.protected)
    goals: dict[str, Value] = {}
    for item in specification.invariants.values():
        goals[f"invariant {item.name}"] = item.formula(s, **constants(item.over, "any"))
    for post in specification.postconditions.values():
        goals[f"step property {post.name}"] = post.formula(s, t, domain, **constants(post.over, "any"))
    for lemma in specification.lemmas.values():
        states = (s, t)[: lemma.states]
        goals[f"lemma {lemma.name}"] = lemma.formula(*states, **constants(lemma.over, "any"))
    for observer in specification.observers.values():
        for view in observer.sees:
            goals[f"view {observer.name}/{view.name}"] = agree(view, s, t, domain, constants(view.over, "any"))
    for name, goal in goals.items():
        negated = [("negated goal", t_not(as_term(goal)))]
        text = script(negated)
        if has_quantifier(text):
            text = _finite(scope, negated)
        yield name, solver.solve(text, MUTANT_RLIMIT).status == "sat"


def catches(
    specification: Specification, action: Action, kind: str, target: str, theorem: str, condition: str
) -> tuple[str, str]:
    """Which obligation of the theorem fails for the mutant, and how; two empty texts if none does."""
    mutant = without(action, kind, target)
    solver = Z3Solver()
    for statement in _about(specification, mutant):
        if statement.theorem != theorem or condition not in statement.identifier:
            continue
        if solver.solve(script(statement.assertions), MUTANT_RLIMIT).status == "unsat":
            continue
        found = explain(specification, statement)
        if found.verdict == "REFUTED":
            return statement.identifier, found.reason
    return "", ""


def _about(specification: Specification, action: Action) -> Iterator[Statement]:
    yield from action_statements(specification, action)
    yield from unwinding_statements(specification, action)


def needed(statements: Iterable[Statement]) -> Counter[str]:
    """How many proofs use each hypothesis, by unsatisfiable cores."""
    used: Counter[str] = Counter()
    for statement in statements:
        if statement.goal is TRUE:
            continue
        context = z3.Context()
        solver = z3.Solver(ctx=context)
        solver.set("auto_config", False)
        solver.set("mbqi", False)
        solver.set("rlimit", MUTANT_RLIMIT)
        solver.set("unsat_core", True)
        named = [*statement.hypotheses, ("negated goal", t_not(statement.goal))]
        guards = [f"guard {i}" for i in range(len(named))]
        text = script([(name, _guarded(g, term)) for g, (name, term) in zip(guards, named, strict=True)])
        solver.add(z3.parse_smt2_string(text, ctx=context))
        if solver.check([z3.Bool(g, ctx=context) for g in guards]) == z3.unsat:
            core = {str(x).strip("|") for x in solver.unsat_core()}
            used.update({name for g, (name, _) in zip(guards, named, strict=True) if g in core})
    return used


def _guarded(guard: str, term: Term) -> Term:
    return t_implies(constant(guard, TRUE.sort), term)


def product(specification: Specification) -> dict[str, int]:
    """How many obligations the specification must give rise to, part by part, counted without making them."""
    invariants, actions = len(specification.invariants), specification.actions.values()
    steps = sum(invariants + sum(a.by in p.by for p in specification.postconditions.values()) for a in actions)
    both = 0
    for observer in specification.observers.values():
        views = len(observer.views)
        both += 2 * views + 2 if observer.own else 2 * views + 4
    return {
        "initial": invariants,
        "lemma": len(specification.lemmas),
        "equivalence": sum(3 if observer.own else 4 for observer in specification.observers.values()),
        "derived": sum(len(observer.derived) for observer in specification.observers.values()),
        "step": steps,
        "unwinding": both * len(actions),
    }


def row(
    name: str, words: str, trouble: str, values: Mapping[str, object] | None = None, *, vacuous: bool = False
) -> Finding:
    """A row of the battery: met if there is no trouble, else a named hole.

    vacuous: the trouble is that a part of a statement does nothing, rather than that a theorem misses something.
    """
    bad = ("VACUOUS", "") if vacuous else ("REFUTED", "hole")
    verdict, qualifier = bad if trouble else ("PROVED", "")
    shown = None if values is None else {k: str(v) for k, v in values.items()}
    return Finding(f"battery/{name}", KIND, "", "", "", words, verdict, qualifier, trouble, {}, (), shown)


__all__ = [
    "KIND",
    "Witness",
    "catches",
    "fires",
    "meaningful",
    "needed",
    "product",
    "row",
    "secret_pair",
]
