"""Which obligation fails when one part of a specification is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model.language.logic import as_term
from model.language.smtlib import script
from model.language.specification import Specification
from model.language.symbolic import Named, Run, constants
from model.language.terms import Function, Term
from model.language.traversal import subterms
from proofs.equivalence import derived_statements
from proofs.explanation import explain
from proofs.mutation import Part, leave_out
from proofs.solver import Z3Solver
from proofs.statements import (
    Statement,
    action_statements,
    lemma_statements,
    protected,
    unwinding_statements,
)

RLIMIT = 4_000_000


@dataclass(frozen=True)
class Caught:
    """An obligation that is not proved any more, and why; confirmed: by a finite counterexample."""

    obligation: str
    how: str
    confirmed: bool


def catch(specification: Specification, part: Part) -> Caught | None:
    """The first obligation with a finite counterexample once the part is left out; None if all are still proved.

    Where some are not proved but none has a counterexample, the first of them, not confirmed: that decides nothing.
    """
    mutant, solver = leave_out(specification, part), Z3Solver()
    open_question: Caught | None = None
    statements = (s for s in _statements(mutant, part) if part.kind != "view" or s.observer == part.where)
    for statement in _likely_first(statements, _components(specification, part)):
        if _proved(solver, statement.assertions):
            continue
        found = explain(mutant, statement, minimise=False)
        if found.verdict == "REFUTED":
            return Caught(statement.identifier, found.reason, confirmed=True)
        # E-matching depends on the order of the hypotheses; a proof in any order is one.
        if not _proved(solver, statement.assertions[::-1]):
            open_question = open_question or Caught(statement.identifier, found.reason, confirmed=False)
    return open_question


def _proved(solver: Z3Solver, assertions: Sequence[Named]) -> bool:
    return solver.solve(script(assertions), RLIMIT).status == "unsat"


def _statements(specification: Specification, part: Part) -> Iterator[Statement]:
    """The obligations that the part can bear on, cheapest first."""
    about = [part.where] if part.where in specification.actions else list(specification.actions)
    if part.kind in ("view", "invariant"):
        for observer in specification.observers.values():
            yield from derived_statements(specification, observer)
    if part.kind == "invariant":
        yield from lemma_statements(specification)
    if part.kind not in ("view", "release", "endorsement"):
        for name in about:
            yield from action_statements(specification, specification.actions[name])
    for name in about:
        yield from unwinding_statements(specification, specification.actions[name])


def _likely_first(statements: Iterator[Statement], components: set[str]) -> Iterator[Statement]:
    """Those whose goal reads one of the components, then the others: only the order, none is left out."""
    others: list[Statement] = []
    for statement in statements:
        if components & _read([statement.goal]):
            yield statement
        else:
            others.append(statement)
    yield from others


def _components(specification: Specification, part: Part) -> set[str]:
    """What the part is about."""
    state = Run(specification, "s").ghost
    if part.kind == "update":
        return {part.name.partition(" ")[0]}
    if part.kind == "invariant":
        item = specification.invariants[part.name]
        return _read([as_term(item.formula(state, **constants(item.over, "any")))])
    if part.kind == "view":
        view = specification.observers[part.where].views[part.position]
        return _read([as_term(view.formula(state, protected(specification), **constants(view.over, "any"))[1])])
    return set()


def _read(terms: list[Term]) -> set[str]:
    """The components of the state that occur."""
    functions = [node.payload for node in subterms(terms) if node.operator == "apply"]
    return {f.name.partition("@")[0] for f in functions if isinstance(f, Function) and "@" in f.name}
