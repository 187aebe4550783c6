"""Defects that leave nothing out of the monitor are missed by the claim of T9 or T9h that should."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ringfence.wiring import ROOT
from tests.mutants.defects import Defect, defects

DEFECTS = list(enumerate(defects()))


@pytest.mark.parametrize(("number", "defect"), DEFECTS, ids=[defect.words for _, defect in DEFECTS])
def test_each_edit_applies_to_the_monitor_as_it_is(number: int, defect: Defect) -> None:
    del number
    assert defect.texts(ROOT)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "defect"), DEFECTS, ids=[defect.words for _, defect in DEFECTS])
def test_each_defect_is_missed_by_its_claim(number: int, defect: Defect) -> None:
    command = [sys.executable, "-m", "tests.mutants.monitor_row", "defect", str(number)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"/{defect.claim}" in done.stdout, "the claim still holds"
