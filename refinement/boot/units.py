"""The beginning of T9 as units of work: boot, the walk of untrusted tables, and axioms about open functions.

``T9/boot/path-k/<what>`` (``T9/boot@npt/...`` for NPT), ``T9/contract/<walk>/path-k/<what>`` and
``T9/interpretation/<axiom>`` are proved.  ``replay/boot`` tests boot on many concrete machines beside that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from proofs.obligation import Call, Finding, Obligation, Unit
from refinement.bits import NestedFormat
from refinement.units import obligations, suffix

WALKS: Final = ("translate", "translate_normal", "fetch_words", "locate", "locate-write")
TARGET: Final = "refinement.boot.units"


def units() -> list[Unit]:
    """Boot, by proof in both formats and by test, the walk, the axioms."""
    walk = tuple(f"T9/contract{suffix(form)}/{name}/*" for form in NestedFormat for name in WALKS)
    return [
        *(_boot(form) for form in NestedFormat),
        Unit("replay/boot", ("T9",), Call(f"{TARGET}:tested"), yields=("replay/boot",)),
        Unit("T9 contract translate", ("T9",), Call(f"{TARGET}:walks"), yields=walk),
        Unit("T9 interpretation", ("T9",), Call(f"{TARGET}:axioms"), yields=("T9/interpretation/*",)),
    ]


def _boot(form: NestedFormat) -> Unit:
    place = f"boot{suffix(form)}"
    return Unit(f"T9 {place}", ("T9",), Call(f"{TARGET}:proved", {"form": form.name}), yields=(f"T9/{place}/*",))


def tested() -> Iterator[Finding]:
    """Many layouts booted."""
    from refinement.boot.replay import findings

    yield from findings()


def proved(form: str) -> Iterator[Obligation]:
    """The obligations of boot: its loops, its conditions, and what holds at its end."""
    from refinement.boot.establish import claims

    nested = NestedFormat[form]
    words = "boot in any valid layout establishes the invariant and an initial state"
    yield from obligations(claims(nested), nested, words)


def walks() -> Iterator[Obligation]:
    """The obligations of the walk of the normal VM's tables, and of what is built on it."""
    from refinement.boot.walk import ACCESSES, access_claims

    words = "the real walk of untrusted tables does what its callers are told"
    for form in NestedFormat:
        for access in ACCESSES:
            yield from obligations(access_claims(access, form), form, words)


def axioms() -> Iterator[Obligation]:
    """The obligations of the axioms about open functions."""
    from refinement.boot.axioms import axiom_claims

    yield from obligations(axiom_claims(), NestedFormat.EPT, "the interpretation satisfies the axiom")
