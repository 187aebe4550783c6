"""Every conjunct of the representation invariant is needed by a proof, or misses a defect that nothing else does."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from typing import Final

import pytest

from ringfence.wiring import ROOT
from tests.mutants.conjuncts import TABLE, conjuncts
from tests.mutants.defects import Defect, defects

NEEDED: Final[dict[str, list[str]]] = tomllib.loads(TABLE.read_text("utf-8"))["needed"]
DEFECTS: Final = list(enumerate(defects(TABLE)))
NUMBERS: Final = {conjunct.name: number for number, conjunct in enumerate(conjuncts())}


def conjuncts_of(*arguments: str) -> list[str]:
    command = [sys.executable, "-m", "tests.mutants.conjuncts", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_each_conjunct_is_in_the_table_once() -> None:
    named = [name for names in NEEDED.values() for name in names] + [defect.conjunct for _, defect in DEFECTS]
    assert sorted(named) == sorted(NUMBERS)


@pytest.mark.parametrize(("number", "defect"), DEFECTS, ids=[defect.conjunct for _, defect in DEFECTS])
def test_each_edit_applies_to_the_monitor_as_it_is(number: int, defect: Defect) -> None:
    del number
    assert defect.texts(ROOT)


@pytest.mark.scheduled
@pytest.mark.parametrize("unit", NEEDED)
def test_the_unit_needs_these_conjuncts(unit: str) -> None:
    asked = {str(NUMBERS[name]) for name in NEEDED[unit]}
    assert {line.split()[0] for line in conjuncts_of(unit, *sorted(asked))} == asked


@pytest.mark.scheduled
@pytest.mark.parametrize(("number", "defect"), DEFECTS, ids=[defect.conjunct for _, defect in DEFECTS])
def test_the_defect_is_missed_because_of_the_conjunct(number: int, defect: Defect) -> None:
    (missed,) = conjuncts_of("defect", str(number))
    assert f"/{defect.claim}" in missed
