"""Every weakening can be applied, and what should notice it does."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ringfence import weaken
from ringfence.wiring import ROOT, WORKBENCH

SLUGS = weaken.slugs(WORKBENCH.weakenings)
EXPECTATIONS: dict[str, list[dict[str, Any]]] = tomllib.loads(
    (Path(__file__).parent / "expectations.toml").read_text("utf-8")
)


def cases(table: str) -> list[Any]:
    """The quick rows as they are, the others only in the scheduled job."""
    rows = EXPECTATIONS[table]
    marks = {True: (), False: (pytest.mark.scheduled,)}
    return [pytest.param(row, id=row["slug"], marks=marks[row.get("quick", False)]) for row in rows]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("slug", SLUGS)
def test_a_weakening_can_be_applied(slug: str) -> None:
    weakening = weaken.load(WORKBENCH.weakenings, slug)
    edited = weaken.apply(weakening, ROOT)
    rooms = {Path(file).parts[0] for file in edited}
    expected = {"model": {"model"}, "monitor": {"impl"}, "both": {"model", "impl"}, "proof": {"proofs"}}
    assert rooms == expected[weakening.kind]
    assert weakening.theorem.startswith("T")
    assert weakening.threat.endswith(".")


def slugs_in(*tables: str) -> set[str]:
    return {row["slug"] for table in tables for row in EXPECTATIONS[table]}


def test_every_weakening_has_an_expectation() -> None:
    assert slugs_in(*EXPECTATIONS) == set(SLUGS)


def test_a_theorem_or_the_battery_notices_every_weakening() -> None:
    assert slugs_in("replay") <= slugs_in("model", "refinement", "battery")


def test_every_weakening_of_the_monitor_alone_is_noticed_by_the_refinement_or_a_trace() -> None:
    monitor = {slug for slug in SLUGS if weaken.load(WORKBENCH.weakenings, slug).kind == "monitor"}
    assert monitor <= slugs_in("refinement", "replay")


def test_the_document_says_who_notices() -> None:
    lines = (ROOT / "docs" / "weakenings.md").read_text("utf-8").splitlines()
    for table, column in (("model", "obligation"), ("refinement", "obligation"), ("replay", "trace")):
        for row in EXPECTATIONS[table]:
            slug, wanted = row["slug"], f"`{row[column]}`"
            assert any(line.startswith(f"| `{slug}` |") and wanted in line for line in lines), (slug, wanted)


def test_the_theorem_that_a_weakening_names_is_the_one_that_notices() -> None:
    for row in EXPECTATIONS["model"]:
        named = weaken.load(WORKBENCH.weakenings, row["slug"]).theorem
        assert row["obligation"].split("/")[0] == named, row["slug"]


def test_a_weakening_of_the_proofs_names_the_weakening_that_it_hides() -> None:
    proofs = [s for s in SLUGS if weaken.load(WORKBENCH.weakenings, s).kind == "proof"]
    assert len(proofs) >= 4
    for slug in proofs:
        hidden = tomllib.loads((WORKBENCH.weakenings / f"{slug}.toml").read_text("utf-8"))["hides"]
        assert weaken.load(WORKBENCH.weakenings, hidden).kind != "proof"


def test_at_least_two_weakenings_damage_what_boot_builds() -> None:
    files = [weaken.load(WORKBENCH.weakenings, slug).edits for slug in SLUGS]
    assert sum(any(edit.file == "impl/monitor/boot.py" for edit in edits) for edits in files) >= 2


def refuted(command: str, row: dict[str, Any], ledger: Path) -> dict[str, Any]:
    """The row of the obligation that must fail under the weakening, with values."""
    options = ("--weaken", row["slug"], "--id", row["obligation"], "--jobs", "1", "--ledger", str(ledger), "--json")
    ended = python("-m", "ringfence", command, *options)
    assert ended.returncode == 1, ended.stderr
    (result,) = (r for r in json.loads(ended.stdout)["results"] if r["kind"] == "obligation")
    assert (result["id"], result["verdict"]) == (row["obligation"], "REFUTED")
    assert result["values"]
    return result


@pytest.mark.parametrize("row", cases("model"))
def test_the_proofs_refute_a_weakened_model(row: dict[str, Any], tmp_path: Path) -> None:
    assert refuted("prove", row, tmp_path)["qualifier"] in ("reachable", "induction")


@pytest.mark.parametrize("row", cases("refinement"))
def test_the_refinement_refutes_a_weakened_monitor(row: dict[str, Any], tmp_path: Path) -> None:
    assert refuted("refine", row, tmp_path)["qualifier"] == "induction"


@pytest.mark.parametrize("row", cases("replay"))
def test_monitor_and_model_part_on_a_trace(row: dict[str, Any], tmp_path: Path) -> None:
    trace = str(ROOT / "traces" / f"{row['trace']}.json")
    command = ("replay", trace, "--weaken", row["slug"], "--jobs", "1", "--ledger", str(tmp_path))
    ended = python("-m", "ringfence", *command, "--json")
    assert ended.returncode == 1, ended.stderr
    (result,) = json.loads(ended.stdout)["results"]
    assert result["verdict"] == "REFUTED"
    assert result["reason"]


@pytest.mark.parametrize("row", cases("battery"))
def test_the_battery_names_the_hole_in_weakened_proofs(row: dict[str, Any]) -> None:
    ended = python("-m", "tests.weakenings.battery_row", row["slug"], row["row"])
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("REFUTED"), ended.stdout
