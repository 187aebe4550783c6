"""The beginning of T9 as units of work: boot, the walk of untrusted tables, and axioms about open functions.

Identifiers are ``T9/boot/<part>/path-k/<what>`` (``T9/boot@npt/...`` for NPT), ``T9/contract/<walk>/path-k/<what>``,
``T9/interpretation/<axiom>``, and ``replay/boot``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from proofs.obligation import OBLIGATION, Call, Finding, Json, Obligation, Unit
from refinement.bits import NestedFormat

RLIMIT: Final = 60_000_000
PARTS: Final = ("epcm", "normal-vm", "devices", "cpus", "done", "sizes")
TARGET: Final = "refinement.boot.units"
SCOPE: Final[dict[str, Json]] = {
    "frames": "any number up to 2**36",
    "layout": "any valid layout",
    "cpus": "any number up to 512",
    "words": "64 bits",
}


def units() -> list[Unit]:
    """Boot by test, boot by proof, the walk, the axioms."""
    parts = [
        Unit(f"T9 boot {part}{_suffix(form)}", ("T9",), Call(f"{TARGET}:part", {"name": part, "form": form.name}))
        for form in NestedFormat
        for part in PARTS
        if form is NestedFormat.EPT or part in FORM_DEPENDENT
    ]
    return [
        Unit("replay/boot", ("T9",), Call(f"{TARGET}:tested")),
        *parts,
        Unit("T9 contract translate", ("T9",), Call(f"{TARGET}:walks")),
        Unit("T9 interpretation", ("T9",), Call(f"{TARGET}:axioms")),
    ]


FORM_DEPENDENT: Final = ("normal-vm", "done")
"""Parts whose facts about nested leaves depend on their format by more than a name."""


def tested() -> Iterator[Finding]:
    """Many layouts booted."""
    from refinement.boot.replay import findings

    yield from findings()


def part(name: str, form: str) -> Iterator[Obligation]:
    """The obligations of one part of boot."""
    from refinement.boot.establish import part_claims

    nested = NestedFormat[form]
    words = f"boot ({name}) establishes what the monitor relies on"
    yield from _obligations(part_claims(name, nested), "T9/boot", _suffix(nested), words)


def walks() -> Iterator[Obligation]:
    """The obligations of the walk of the normal VM's tables, and of what is built on it."""
    from refinement.boot.walk import ACCESSES, access_claims

    words = "the real walk of untrusted tables does what its callers are told"
    for access in ACCESSES:
        yield from _obligations(access_claims(access), "T9/contract", "", words)


def axioms() -> Iterator[Obligation]:
    """The obligations of the axioms about open functions."""
    from refinement.boot.axioms import axiom_claims

    yield from _obligations(axiom_claims(), "T9/interpretation", "", "the interpretation satisfies the axiom")


def _suffix(form: NestedFormat) -> str:
    return "" if form is NestedFormat.EPT else f"@{form.name.lower()}"


def _obligations(claims: Iterable[object], head: str, suffix: str, words: str) -> Iterator[Obligation]:
    from refinement.engine.obligations import Claim

    for claim in claims:
        if not isinstance(claim, Claim):
            raise TypeError(f"{claim!r} is no claim")
        what = claim.name.removeprefix(f"{head}/")
        yield Obligation(
            id=f"{head}{suffix}/{what}",
            kind=OBLIGATION,
            theorem="T9",
            action="",
            observer="",
            words=f"{words}: {what}",
            text=claim.text.removesuffix("(check-sat)\n"),
            scope=SCOPE,
            rlimit=RLIMIT,
        )
