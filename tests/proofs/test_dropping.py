"""A part of a specification that is left out is caught, unless nothing rests on it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.hyperenclave.specification import HYPERENCLAVE
from model.language.smtlib import script
from model.language.specification import Specification
from proofs.dropping import catch
from proofs.equivalence import derived_statements
from proofs.explanation import explain
from proofs.mutation import Part, parts
from proofs.obligation import DEFAULT_RLIMIT
from proofs.solver import Z3Solver
from proofs.statements import Statement
from tests.proofs.toy import LOCKERS


def part(kind: str, where: str, name: str) -> Part:
    """The part of the lockers of this name."""
    (found,) = (p for p in parts(LOCKERS, (kind,)) if (p.where, p.name) == (where, name))
    return found


def deriving(name: str) -> Specification:
    """The lockers, where what the others see of `name` is derived instead of seen."""
    others = LOCKERS.observers["others"]
    derived = tuple(view for view in others.views if view.name == name)
    views = tuple(view for view in others.views if view.name != name)
    changed = replace(others, views=views, derived=derived)
    return replace(LOCKERS, observers={**LOCKERS.observers, "others": changed})


def derived(name: str) -> tuple[Specification, Statement]:
    """The obligation that what the others see determines `name`."""
    specification = deriving(name)
    (statement,) = derived_statements(specification, specification.observers["others"])
    return specification, statement


@pytest.mark.parametrize(
    ("kind", "where", "name", "obligation"),
    [
        ("row", "hand_out", "two tenants share a locker", "T2/unwinding/hand_out/others/step consistency/contents"),
        ("update", "take_back", "contents", "T1/inductive/take_back/free_is_empty"),
        ("requirement", "put", "requirement", "T1/inductive/put/free_is_empty"),
        ("invariant", "", "free_is_empty", "T3/unwinding/hand_out/tenant/step consistency/own_contents"),
    ],
)
def test_a_part_that_is_needed_is_caught(kind: str, where: str, name: str, obligation: str) -> None:
    caught = catch(LOCKERS, part(kind, where, name))
    assert caught is not None
    assert caught.confirmed
    assert caught.obligation == obligation


def test_a_view_that_is_needed_is_caught() -> None:
    (result,) = (p for p in parts(HYPERENCLAVE, ("view",)) if (p.where, p.name) == ("coalition", "result"))
    caught = catch(HYPERENCLAVE, result)
    assert caught is not None
    assert caught.confirmed
    assert caught.obligation == "T2/unwinding/normal_compute/coalition/step consistency/registers"


def test_a_view_that_the_others_determine_is_not_missed() -> None:
    assert catch(LOCKERS, part("view", "others", "used")) is None


def test_a_component_that_the_views_determine_is_proved() -> None:
    _, statement = derived("used")
    assert statement.identifier == "T2/derived/others/used"
    assert Z3Solver().solve(script(statement.assertions), DEFAULT_RLIMIT).status == "unsat"


def test_a_component_that_the_views_do_not_determine_is_refuted() -> None:
    specification, statement = derived("contents")
    found = explain(specification, statement)
    assert (found.verdict, found.qualifier) == ("REFUTED", "induction")
    assert "re-executed on the concrete interpreter" in found.reason


def test_parts_with_one_name_are_told_apart() -> None:
    found = list(parts(HYPERENCLAVE, ("row", "requirement", "update")))
    names = {(p.kind, p.where, p.name) for p in found}
    assert len(names) == len(found)
