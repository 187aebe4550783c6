"""What has to be proved about the paths of a piece of code, as SMT-LIB text whose unsatisfiability is the proof.

Per path: every condition that the run met follows from what precedes it (``conditions``); every branch that was
followed on one side only has no other side (``coverage``: with it the paths are all there are); and each goal holds
at the end.  The text asserts the path, the instances of the invariant that it calls for, and the negated goal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from model.language.smtlib import script
from model.language.terms import FALSE, TRUE, Term, t_and, t_implies, t_not, t_or
from refinement.engine.explorer import Path
from refinement.engine.instances import Instances, Rule
from refinement.engine.run import Entry, Kind


@dataclass(frozen=True)
class Claim:
    """A thing to prove: under `premises` and the rules, `goal`."""

    name: str
    premises: tuple[tuple[str, Term], ...]
    goal: Term
    rules: tuple[Rule, ...]
    rounds: int = 1

    @property
    def evident(self) -> bool:
        """The goal is the constant true, or one of the premises or instances to the letter."""
        if self.goal is TRUE:
            return True
        known = {term for _, premise in self.hypotheses() for term in _conjuncts(premise)}
        return all(part in known for part in _conjuncts(self.goal))

    def hypotheses(self) -> list[tuple[str, Term]]:
        """The premises and the instances of the rules that premises and goal call for."""
        instances = Instances(self.rules, self.rounds)
        added = instances.grow([*(term for _, term in self.premises), self.goal])
        return [*self.premises, *added]

    @property
    def text(self) -> str:
        """The claim as a script that is unsatisfiable exactly if the claim holds."""
        return script([*self.hypotheses(), ("the negated goal", t_not(self.goal))])


def _conjuncts(term: Term) -> tuple[Term, ...]:
    return term.arguments if term.operator == "and" else (term,)


def split(claim: Claim) -> Iterator[Claim]:
    """The claim as one for each part of its goal, `a => (b and c)` having two; a single part is the claim itself."""
    parts = list(_parts(claim.goal))
    if len(parts) == 1:
        yield claim
    else:
        for number, part in enumerate(parts):
            yield replace(claim, name=f"{claim.name}.{number}", goal=part)


def _parts(goal: Term) -> Iterator[Term]:
    if goal.operator == "and":
        for part in goal.arguments:
            yield from _parts(part)
    elif goal.operator == "=>":
        for part in _parts(goal.arguments[1]):
            yield t_implies(goal.arguments[0], part)
    else:
        yield goal


def path_claims(
    prefix: str, path: Path, rules: Sequence[Rule], facts: Sequence[tuple[str, Term]] = (), rounds: int = 1
) -> Iterator[Claim]:
    """The claims of one path, `prefix` being like ``T9/add_page``; the facts hold on every path."""
    everything = (*rules, *path.rules)
    stem = f"{prefix}/path-{path.number}"
    yield from _on_the_way(stem, path, rules, facts, rounds)
    yield from _apart(stem, path, rules, facts, rounds)
    for aside in path.asides:
        known = (*rules, *path.rules[: aside.rules])
        yield Claim(f"{stem}/{aside.name}", _premises(facts, path.entries[: aside.entries]), aside.goal, known, rounds)
    premises = _premises(facts, path.entries)
    if path.ending == "failed":
        yield Claim(f"{stem}/no-{type(path.result).__name__}", premises, FALSE, everything, rounds)
    for name, goal in path.goals:
        yield Claim(f"{stem}/{name}", premises, goal, everything, rounds)


def _premises(facts: Sequence[tuple[str, Term]], entries: Sequence[Entry]) -> tuple[tuple[str, Term], ...]:
    return (*facts, *((f"{e.kind.value}: {e.reason}", e.term) for e in entries))


def _on_the_way(
    stem: str, path: Path, rules: Sequence[Rule], facts: Sequence[tuple[str, Term]], rounds: int
) -> Iterator[Claim]:
    """Conditions and coverage, for each part of the path with the rules that were known in it."""
    start = 0
    for number, (promises, part) in enumerate(groupby(path.entries, lambda entry: entry.promises), 1):
        entries = list(part)
        premises = _premises(facts, path.entries[:start])
        where = f", part {number}" if number > 1 else ""
        for label, kind in (("conditions", Kind.CONDITION), ("coverage", Kind.FORCED)):
            goal = _always(entries, kind, path.fresh_from - start)
            if goal is not TRUE:
                yield Claim(f"{stem}/{label}{where}", premises, goal, (*rules, *path.rules[:promises]), rounds)
        start += len(entries)


def _always(entries: Sequence[Entry], kind: Kind, fresh_from: int) -> Term:
    """Each entry of this kind, from `fresh_from` on, follows from the entries before it."""
    goal: Term = TRUE
    for position in range(len(entries) - 1, -1, -1):
        entry = entries[position]
        if entry.kind is kind and position >= fresh_from and not entry.apart:
            goal = t_and([entry.term, t_or([t_not(entry.term), goal])]) if goal is not TRUE else entry.term
        elif goal is not TRUE:
            goal = t_or([t_not(entry.term), goal])
    return goal


def _apart(
    stem: str, path: Path, rules: Sequence[Rule], facts: Sequence[tuple[str, Term]], rounds: int
) -> Iterator[Claim]:
    """A claim for each condition that is big enough to be proved by itself, with the rules that were known then."""
    for position, entry in enumerate(path.entries):
        if entry.apart and position >= path.fresh_from:
            name = f"{stem}/{position}-{entry.reason.replace(' ', '-')}"
            known = (*rules, *path.rules[: entry.promises])
            yield Claim(name, _premises(facts, path.entries[:position]), entry.term, known, rounds)
