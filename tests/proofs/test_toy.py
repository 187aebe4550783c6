"""The framework on a specification of one page: everything is proved, and what is broken is caught."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from model.language.logic import eq
from model.language.smtlib import script
from model.language.specification import Action, Specification
from model.language.terms import TermError
from proofs.equivalence import equivalence_statements
from proofs.explanation import explain
from proofs.mutation import without
from proofs.obligation import DEFAULT_RLIMIT
from proofs.solver import Z3Solver
from proofs.statements import (
    Statement,
    action_statements,
    initial_statements,
    unwinding_statements,
)
from tests.proofs.toy import LOCKERS


def all_statements(specification: Specification) -> Iterator[Statement]:
    yield from initial_statements(specification)
    for action in specification.actions.values():
        yield from action_statements(specification, action)
        yield from unwinding_statements(specification, action)
    for observer in specification.observers.values():
        yield from equivalence_statements(specification, observer)


def proved(statement: Statement) -> bool:
    return Z3Solver().solve(script(statement.assertions), DEFAULT_RLIMIT).status == "unsat"


def broken(action: Action) -> Specification:
    """The lockers with one action replaced."""
    return replace(LOCKERS, actions={**LOCKERS.actions, action.name: action})


def not_proved(specification: Specification) -> dict[str, Statement]:
    return {s.identifier: s for s in all_statements(specification) if not proved(s)}


def test_everything_is_proved() -> None:
    assert not_proved(LOCKERS) == {}


def test_a_specification_without_secrets_or_that_says_not_who_runs_or_may_be_concerned_is_not_proved() -> None:
    silent = replace(LOCKERS, runs=None, may_concern=None, secrets={})
    conditions = {name.rpartition("/")[2] for name in not_proved(silent)}
    assert conditions == {"domain respect", "concern policy", "secrets"}


def test_a_secret_that_is_no_component_is_refused() -> None:
    misspelt = replace(LOCKERS, secrets={"content": LOCKERS.secrets["contents"]})
    with pytest.raises(TermError, match="a secret is a component of the state, not 'content'"):
        list(all_statements(misspelt))


def test_a_view_of_what_is_a_secret_is_refuted() -> None:
    clerk = LOCKERS.observers["others"]
    curious = replace(clerk, views=(*clerk.views, replace(LOCKERS.observers["tenant"].views[0], name="peeked")))
    observers = {**LOCKERS.observers, "others": curious}
    assert "T2/equivalence/others/secrets" in not_proved(replace(LOCKERS, observers=observers))


def test_a_step_that_concerns_everybody_is_refuted() -> None:
    everybody = replace(LOCKERS.actions["hand_out"], names=lambda _s, me, **_: eq(me, me))
    assert "T3/unwinding/hand_out/tenant/concern policy" in not_proved(broken(everybody))


def test_the_product_is_full() -> None:
    actions, invariants = len(LOCKERS.actions), len(LOCKERS.invariants)
    others, tenant = (len(LOCKERS.observers[name].views) for name in ("others", "tenant"))
    # Per action: output and domain consistency, domain respect, three policies, and two conditions for each view.
    unwinding = actions * (6 + 2 * others + 2 * tenant)
    equivalence = 3 + 4
    assert len(list(all_statements(LOCKERS))) == invariants * (1 + actions) + unwinding + equivalence


@pytest.mark.parametrize(
    ("action", "kind", "target", "noticed"),
    [
        ("take_back", "update", "contents", "T1/inductive/take_back/free_is_empty"),
        ("take_back", "update", "contents", "T2/unwinding/take_back/others/step consistency/contents"),
        ("hand_out", "row", "two tenants", "T2/unwinding/hand_out/others/step consistency/contents"),
        ("hand_out", "row", "two tenants", "T3/unwinding/hand_out/tenant/local respect/own_contents"),
    ],
)
def test_what_is_left_out_is_caught_with_values(action: str, kind: str, target: str, noticed: str) -> None:
    specification = broken(without(LOCKERS.actions[action], kind, target))
    statement = not_proved(specification)[noticed]
    found = explain(specification, statement)
    assert (found.verdict, found.qualifier) == ("REFUTED", "induction")
    assert found.values is not None
    assert found.values["arguments"]
    assert found.values["state"]
