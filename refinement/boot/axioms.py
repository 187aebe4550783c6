"""Axioms of the model about open functions, proved of what the interpretation puts in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from model.hyperenclave.specification import HYPERENCLAVE
from model.language.logic import Value
from model.language.terms import BOOL, Function, TermError, bits, constant
from model.language.transition import Functions, State
from refinement import interpretation
from refinement.abstraction import CALLERS
from refinement.engine.obligations import Claim
from refinement.engine.values import Number, condition, ghost, number_of, unknown, word_of
from refinement.opaque import PageContents, RegisterFile

AXIOMS: Final = ("offset_inverse", "page_inverse", "ssa_inverse")
"""Those about functions that the interpretation defines; measurements are chains of records by assumption."""


def axiom_claims() -> Iterator[Claim]:
    """One claim for each axiom, at arbitrary arguments."""
    for name in AXIOMS:
        axiom = HYPERENCLAVE.axioms[name]
        with ghost():
            state = State(HYPERENCLAVE, _no_state, _functions(), _no_quantifier)
            arguments = {key: _any(key, sort.name) for key, sort in axiom.over.items()}
            goal = condition(axiom.formula(state, **arguments))
        yield Claim(f"T9/interpretation/{name}", (), goal, ())


def _functions() -> Functions:
    """The interpretation; a word stands for the event, which may or may not have a detail."""
    given = interpretation.functions(symbolic=True)

    def ssa_saved(page: PageContents, registers: RegisterFile, information: Number) -> PageContents:
        plain = given.ssa_saved(page, registers, interpretation.Event(information))
        detail = (unknown("any.address", 64), unknown("any.error", 64))
        detailed = given.ssa_saved(page, registers, interpretation.Event(information, detail))
        return detailed.__ite__(constant("any.has_detail", BOOL), plain)

    table: dict[str, Callable[..., Any]] = {
        "offset": given.offset,
        "page_at": given.page_at,
        "ssa_restored": given.ssa_restored,
        "ssa_saved": ssa_saved,
        "resumed": resumed,
    }
    return Functions(table)


def resumed(r: RegisterFile) -> RegisterFile:
    """What a resume makes of saved registers: they go through an SSA frame of which nothing else is known."""
    blank = PageContents(lambda _: 0, True)
    return interpretation.ssa_restored(interpretation.ssa_saved(blank, r, interpretation.Event(0)))


def _any(key: str, sort: str) -> object:
    """An arbitrary value of a sort of the model."""
    if sort in ("Page", "Offset"):
        return unknown(f"any.{key}", 36)
    if sort == "Word":
        return unknown(f"any.{key}", 64)
    if sort == "Data":
        return PageContents(_words(f"any.{key}", 9), True)
    if sort == "Registers":
        register = _words(f"any.{key}", 5)
        return RegisterFile(register, _words(f"any.{key}.xstate", 7), True, CALLERS)
    raise TermError(f"no arbitrary value of the sort {sort}")


def _words(name: str, width: int) -> Callable[[Number], Number]:
    """An arbitrary function from numbers of a width to words."""
    function = Function(name, (bits(width),), bits(64))
    return lambda index: number_of(function(word_of(index, width, name)))


def _no_state(component: str, _: object) -> Value:
    raise TermError(f"an axiom about open functions reads {component}")


def _no_quantifier(operator: str, *_: object) -> Value:
    raise TermError(f"an axiom about open functions says {operator}")


__all__ = ["AXIOMS", "axiom_claims", "resumed"]
