"""Conjuncts of step properties: the property fails on an edit of the model, and only because of the conjunct."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

from ringfence.wiring import ROOT
from tests.mutants.property_row import Conjunct, conjuncts

CONJUNCTS: Final = list(enumerate(conjuncts()))
NAMES: Final = [conjunct.defect.words for _, conjunct in CONJUNCTS]


def verdict(*arguments: str) -> str:
    command = [sys.executable, "-m", "tests.mutants.property_row", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "conjunct"), CONJUNCTS, ids=NAMES)
def test_the_property_fails_on_the_edit(number: int, conjunct: Conjunct) -> None:
    assert verdict(str(number)) == "REFUTED", conjunct.obligation


@pytest.mark.scheduled
@pytest.mark.parametrize(("number", "conjunct"), CONJUNCTS, ids=NAMES)
def test_it_fails_because_of_the_conjunct(number: int, conjunct: Conjunct) -> None:
    assert verdict(str(number), "without") == "PROVED", conjunct.obligation
