"""Every conjunct of the representation invariant is needed by an obligation of T9 or T9h, or listed with a reason."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from ringfence.wiring import ROOT
from tests.mutants.conjuncts import conjuncts

TABLE: Final[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "conjuncts.toml").read_text("utf-8"))
NEEDED: Final[dict[str, list[str]]] = TABLE["needed"]
NUMBERS: Final = {conjunct.name: number for number, conjunct in enumerate(conjuncts())}


def test_each_conjunct_is_in_the_table_once() -> None:
    named = [name for names in NEEDED.values() for name in names]
    named += [name for entry in TABLE["survivors"] for name in entry["conjuncts"]]
    assert sorted(named) == sorted(NUMBERS)


def test_each_survivor_has_a_reason_in_words() -> None:
    assert all(e["reason"].endswith(".") and len(e["reason"].split()) > 5 for e in TABLE["survivors"])


@pytest.mark.scheduled
@pytest.mark.parametrize("unit", NEEDED)
def test_the_unit_needs_these_conjuncts(unit: str) -> None:
    asked = {str(NUMBERS[name]) for name in NEEDED[unit]}
    command = [sys.executable, "-m", "tests.mutants.conjuncts", unit, *sorted(asked)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {line.split()[0] for line in done.stdout.splitlines()} == asked
