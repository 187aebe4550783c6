"""The walk for the normal VM as units of work: ``T9h/normal_walk/...`` for EPT, ``T9h/normal_walk@npt/...`` for NPT."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from proofs.obligation import OBLIGATION, Call, Json, Obligation, Unit
from refinement.bits import NestedFormat
from refinement.units import suffix

RLIMIT: Final = 60_000_000
SCOPE: Final[dict[str, Json]] = {"guest frames": "any of 40 bits", "pages": "any of 36 bits", "words": "64 bits"}
ACTION: Final = "normal_fill"
WORDS: Final = "a walk for the normal VM ends in a leaf of its nested table, whatever its own tables say"


def units() -> list[Unit]:
    """One unit per nested format."""
    return [_unit(form) for form in NestedFormat]


def normal_walk(form: str) -> Iterator[Obligation]:
    """The obligations of the walk with nested tables of this format."""
    from refinement.hardware import normal_walk as walk

    nested = NestedFormat[form]
    for claim in walk.claims(nested):
        _, name, what = claim.name.split("/", 2)
        yield Obligation(
            id=f"T9h/{name}{suffix(nested)}/{what}",
            kind=OBLIGATION,
            theorem="T9h",
            action=ACTION,
            observer="",
            words=f"{WORDS}: {what}",
            text=claim.text.removesuffix("(check-sat)\n"),
            scope=SCOPE | {"nested tables": form},
            rlimit=RLIMIT,
        )


def _unit(form: NestedFormat) -> Unit:
    call = Call("refinement.hardware.units:normal_walk", {"form": form.name})
    return Unit(f"T9h normal_walk{suffix(form)}", ("T9h",), call, action=ACTION, yields=("T9h/*",))
