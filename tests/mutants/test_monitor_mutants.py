"""Every statement, check and operand of the monitor is missed by T9 or T9h, or listed with a reason."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

from ringfence.wiring import ROOT
from tests.mutants.source_parts import SourcePart, source_parts

HERE: Final = Path(__file__).parent
UNITS: Final[dict[str, list[str]]] = tomllib.loads((HERE / "monitor_units.toml").read_text("utf-8"))
TABLE: Final = tomllib.loads((HERE / "monitor_survivors.toml").read_text("utf-8"))["survivors"]
LISTED: Final[list[str]] = [name for entry in TABLE for name in entry["parts"]]
PARTS: Final = [(n, part) for file in UNITS for n, part in enumerate(source_parts(ROOT, f"impl/{file}"))]


def test_every_file_of_the_monitor_has_its_units() -> None:
    files = {str(path.relative_to(ROOT / "impl")) for path in (ROOT / "impl" / "monitor").rglob("*.py")}
    assert files - set(UNITS) == {"monitor/__init__.py", "monitor/handlers/__init__.py"}


def test_each_listed_survivor_is_a_part_of_the_monitor_and_listed_once() -> None:
    assert sorted(LISTED) == sorted(set(LISTED) & {part.name for _, part in PARTS})


def test_each_survivor_has_a_reason_in_words() -> None:
    assert all(entry["reason"].endswith(".") and len(entry["reason"].split()) > 5 for entry in TABLE)


@pytest.mark.scheduled
@pytest.mark.parametrize(("number", "part"), PARTS, ids=[part.name for _, part in PARTS])
def test_what_is_left_out_of_the_monitor_is_missed_unless_it_is_listed(number: int, part: SourcePart) -> None:
    units = UNITS[part.file.removeprefix("impl/")]
    command = [sys.executable, "-m", "tests.mutants.monitor_row", part.file, str(number), *units]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    missed = done.stdout.strip()
    if part.name in LISTED:
        assert not missed, f"it is missed by {missed}; the table is stale"
    else:
        assert missed, "no obligation misses it"
