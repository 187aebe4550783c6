"""The beginning of T9 as units of work: boot, the walk of untrusted tables, and axioms about open functions.

Boot is tested on many machines (``replay/boot``), not proved; ``T9/contract/<walk>/path-k/<what>`` and
``T9/interpretation/<axiom>`` are proved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from proofs.obligation import OBLIGATION, Call, Finding, Json, Obligation, Unit

RLIMIT: Final = 60_000_000
TARGET: Final = "refinement.boot.units"
SCOPE: Final[dict[str, Json]] = {
    "frames": "any number up to 2**36",
    "layout": "any valid layout",
    "cpus": "any number up to 512",
    "words": "64 bits",
}


def units() -> list[Unit]:
    """Boot by test, the walk, the axioms."""
    return [
        Unit("replay/boot", ("T9",), Call(f"{TARGET}:tested"), yields=("replay/boot",)),
        Unit("T9 contract translate", ("T9",), Call(f"{TARGET}:walks"), yields=("T9/*",)),
        Unit("T9 interpretation", ("T9",), Call(f"{TARGET}:axioms"), yields=("T9/*",)),
    ]


def tested() -> Iterator[Finding]:
    """Many layouts booted."""
    from refinement.boot.replay import findings

    yield from findings()


def walks() -> Iterator[Obligation]:
    """The obligations of the walk of the normal VM's tables, and of what is built on it."""
    from refinement.boot.walk import ACCESSES, access_claims

    words = "the real walk of untrusted tables does what its callers are told"
    for access in ACCESSES:
        yield from _obligations(access_claims(access), "T9/contract", words)


def axioms() -> Iterator[Obligation]:
    """The obligations of the axioms about open functions."""
    from refinement.boot.axioms import axiom_claims

    yield from _obligations(axiom_claims(), "T9/interpretation", "the interpretation satisfies the axiom")


def _obligations(claims: Iterable[object], head: str, words: str) -> Iterator[Obligation]:
    from refinement.engine.obligations import Claim

    for claim in claims:
        if not isinstance(claim, Claim):
            raise TypeError(f"{claim!r} is no claim")
        what = claim.name.removeprefix(f"{head}/")
        yield Obligation(
            id=f"{head}/{what}",
            kind=OBLIGATION,
            theorem="T9",
            action="",
            observer="",
            words=f"{words}: {what}",
            text=claim.text.removesuffix("(check-sat)\n"),
            scope=SCOPE,
            rlimit=RLIMIT,
        )
