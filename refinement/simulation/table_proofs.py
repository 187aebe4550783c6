"""The contracts of `refinement.simulation.tables` proved: what each real table operation does to guest tables.

A frame is a guest table of `pool_owner` where `table_kind` says so.  Obligations are
``T9/contract/<name>/path-k/GUEST-TABLES``, about an arbitrary frame.
"""

from __future__ import annotations

from collections.abc import Iterator

from model.language.logic import And, Or
from model.language.terms import Term
from refinement import bits
from refinement.contracts import structure
from refinement.contracts.proofs import LEMMAS, OWNER, Lemma
from refinement.contracts.setting import Setting
from refinement.contracts.substitution import substituted
from refinement.engine.explorer import explore
from refinement.engine.obligations import Claim, path_claims
from refinement.engine.pruning import PathOracle
from refinement.engine.run import Run
from refinement.engine.values import Number, SymInt, condition, ghost, merge, unknown
from refinement.invariants.layout import in_pool
from refinement.invariants.rules import rules
from refinement.invariants.state import MonitorState
from refinement.invariants.tables import TABLE_CLAUSES

FRAME = unknown("any.f", 40)


def guest_table_of(s: MonitorState, f: Number) -> Number:
    """The owner of a guest table, 0 for any other frame."""
    return merge(s.table_kind[f] == bits.GUEST, s.pool_owner[f], 0)


def promise(lemma: Lemma, before: MonitorState, after: MonitorState, result: object) -> Term:
    """What the contract says of the frame."""
    was, now = guest_table_of(before, FRAME), guest_table_of(after, FRAME)
    if lemma.name.startswith("create_root"):
        if not isinstance(result, SymInt):
            raise TypeError("create_root returns a frame")
        own = lemma.name.endswith(f"/{bits.GUEST}")
        expected = merge(result == FRAME, OWNER, was) if own else was
        return condition(And(now == expected, guest_table_of(before, result) == 0))
    if lemma.name == "map_guest":
        return condition(Or(now == was, And(in_pool(before.layout, FRAME), was == 0, now == OWNER)))
    if lemma.name == "pool_release":
        return condition(now == merge(was == OWNER, 0, was))
    return condition(now == was)


def lemma_claims(lemma: Lemma, setting: Setting) -> Iterator[Claim]:
    """Run the real code on real table words and state what it does to guest tables."""
    before = setting.state(setting.before)
    clauses = TABLE_CLAUSES if lemma.waived is None else structure.waiving(*lemma.waived)
    known = rules(clauses, before)

    def code(run: Run) -> object:
        machine = setting.machine(run)
        run.assume(condition(lemma.known(before)), f"precondition of {lemma.name}")
        result = lemma.code(machine)
        with ghost():
            after = setting.state(run.storage.snapshot())
            run.goals.append(("GUEST-TABLES", promise(lemma, before, after, result)))
        return result

    oracle = PathOracle(known, facts=[term for _, term in setting.facts[:2]])
    with substituted(lemma.uses):
        paths = explore(code, setting.shapes, oracle)
    for path in paths:
        for claim in path_claims(f"T9/contract/{lemma.name}", path, known, setting.facts[:2]):
            if claim.name.endswith("GUEST-TABLES"):
                yield claim


__all__ = ["LEMMAS", "guest_table_of", "lemma_claims"]
