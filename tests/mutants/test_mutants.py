"""Every check, requirement, effect and invariant of the model is missed by an obligation, or listed with a reason."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

import pytest

from model.hyperenclave.specification import HYPERENCLAVE
from proofs.dropping import catch
from proofs.mutation import Part, parts

KINDS: Final = ("requirement", "row", "answer", "update", "invariant")
PARTS: Final = list(parts(HYPERENCLAVE, KINDS))
FILE: Final = tomllib.loads((Path(__file__).parent / "survivors.toml").read_text("utf-8"))
TABLE: Final = [*FILE["survivors"], *FILE["undecided"]]
UNDECIDED: Final[list[str]] = [name for entry in FILE["undecided"] for name in entry["parts"]]
LISTED: Final[list[str]] = [name for entry in TABLE for name in entry["parts"]]


def title(part: Part) -> str:
    """`KIND ACTION: NAME`, or `invariant: NAME`."""
    return f"{part.kind} {part.where}".rstrip() + f": {part.name}"


def test_each_listed_survivor_is_a_part_of_the_model_and_listed_once() -> None:
    assert sorted(LISTED) == sorted(set(LISTED) & {title(part) for part in PARTS})


def test_each_survivor_has_a_reason_in_words() -> None:
    assert all(entry["reason"].endswith(".") and len(entry["reason"].split()) > 5 for entry in TABLE)


@pytest.mark.scheduled
@pytest.mark.parametrize("part", PARTS, ids=title)
def test_what_is_left_out_is_missed_unless_it_is_listed(part: Part) -> None:
    caught = catch(HYPERENCLAVE, part)
    if title(part) in UNDECIDED:
        assert caught is not None, "it is decided; the table is stale"
        assert not caught.confirmed, "it is decided; the table is stale"
    elif title(part) in LISTED:
        assert caught is None, f"it is missed by {caught.obligation}: {caught.how}; the table is stale"
    else:
        assert caught is not None, "no obligation misses it"
        assert caught.confirmed, f"{caught.obligation}: {caught.how}"
