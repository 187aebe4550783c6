"""Weakenings change what is imported, never what is on disk; waivers bind one text and end."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from proofs.results import Result, Verdict
from ringfence import waivers
from ringfence.errors import InputError
from ringfence.weaken import apply, load, slugs
from ringfence.wiring import WORKBENCH
from tests.ringfence.conftest import Bench

GOOD = """
class = "toy"
theorem = "T1"
threat = "none"
kind = "model"
[[edits]]
file = "playground/switch.py"
old = "SAFE = True"
new = "SAFE = False"
"""


def write(bench: Bench, text: str, slug: str = "unsafe") -> None:
    (bench.root / "weakenings" / f"{slug}.toml").write_text(text, "utf-8")


def test_a_weakening_is_seen_by_the_prover_only_as_another_text(bench: Bench) -> None:
    write(bench, GOOD)
    assert bench("prove", "switch_units").code == 0
    weakened = bench("prove --weaken unsafe", "switch_units")
    assert weakened.code == 1
    assert weakened.out.startswith("weakened: unsafe\n")
    assert bench("prove --json --weaken unsafe", "switch_units").document["tool"]["weakening"] == "unsafe"
    assert bench("prove", "switch_units").code == 0
    assert (bench.root / "playground" / "switch.py").read_text("utf-8") == "SAFE = True\n"


def test_byte_code_of_the_file_on_disk_is_neither_used_nor_written(bench: Bench) -> None:
    write(bench, GOOD)
    assert bench("prove --weaken unsafe --fresh", "switch_units").code == 1
    assert bench("prove --fresh", "switch_units").code == 0
    assert bench("prove --weaken unsafe --fresh", "switch_units").code == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("SAFE = True", "SAFE = Maybe"), "occurs 0 times"),
        (GOOD.replace('"SAFE = True"', '"S"').replace("switch.py", "twice.py"), "occurs 2 times"),
        (GOOD.replace("switch.py", "absent.py"), "no file playground/absent.py"),
        (GOOD.replace('"SAFE = False"', '"SAFE = ("'), "no longer Python"),
        (GOOD.replace('threat = "none"', ""), "threat is missing"),
        (GOOD.replace('kind = "model"', 'kind = "odd"'), "kind is 'odd'"),
        (GOOD.split("[[edits]]")[0], "[[edits]]"),
        ("= =", "is not a TOML file"),
    ],
)
def test_a_weakening_that_does_not_fit_is_bad_input(bench: Bench, text: str, words: str) -> None:
    write(bench, text)
    (bench.root / "playground" / "twice.py").write_text("S = S\n", "utf-8")
    said = bench("prove --weaken unsafe", "switch_units")
    assert said.code == 3
    assert words in said.err
    assert said.err.count("\n") == 1


def test_every_weakening_of_the_workbench_fits_the_sources() -> None:
    for slug in slugs(WORKBENCH.weakenings):
        weakening = load(WORKBENCH.weakenings, slug)
        assert apply(weakening, WORKBENCH.root)
        assert weakening.fault
        assert weakening.theorem
        assert weakening.threat


def test_weakenings_are_listed_with_their_slug(bench: Bench) -> None:
    write(bench, GOOD)
    said = bench("list weakenings --json")
    assert '"slug": "unsafe"' in said.out
    assert '"class": "toy"' in said.out


# --- waivers ----------------------------------------------------------------------------------------------------

ROW = Result("T1/a", "obligation", "T1", "a", "", Verdict.UNKNOWN, digest="d", reason="limit")
WAIVER = waivers.Waiver("d", "somebody", date(2026, 1, 1), date(2026, 3, 31), "for now")


def test_a_waiver_binds_one_digest_until_its_last_day() -> None:
    table = {"d": WAIVER}
    settled = waivers.waived(ROW, table, date(2026, 3, 31))
    assert settled.label == "WAIVED(somebody, until 2026-03-31)"
    assert settled.holds
    assert waivers.waived(ROW, table, date(2026, 4, 1)).verdict is Verdict.UNKNOWN
    assert waivers.waived(ROW, table, date(2025, 12, 31)).verdict is Verdict.UNKNOWN
    other = Result("T1/a", "obligation", "T1", "a", "", Verdict.UNKNOWN, digest="e")
    assert waivers.waived(other, table, date(2026, 1, 1)) == other


def test_an_error_cannot_be_waived() -> None:
    row = Result("T1/a", "obligation", "T1", "a", "", Verdict.ERROR, digest="d")
    assert waivers.waived(row, {"d": WAIVER}, date(2026, 1, 1)) == row


def entry(granted: str = "2026-01-01", until: str = "2026-04-01", by: str = '"somebody"') -> str:
    return f'[[waiver]]\ndigest = "d"\nby = {by}\ngranted = {granted}\nuntil = {until}\nreason = "r"\n'


def test_waivers_are_read(tmp_path: Path) -> None:
    file = tmp_path / "waivers.toml"
    assert waivers.load(file) == {}
    file.write_text(entry(), "utf-8")
    assert waivers.load(file)["d"].until == date(2026, 4, 1)


@pytest.mark.parametrize(
    "text",
    [
        entry(until="2026-04-02"),
        entry(until="2025-12-31"),
        entry(by='""'),
        entry(by="1"),
        "[[waiver]]\n",
        "waiver = 1",
        "=",
    ],
)
def test_a_waiver_that_is_too_long_or_incomplete_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "waivers.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(InputError):
        waivers.load(file)
