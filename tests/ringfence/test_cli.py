"""The command line: selections, reports, and one clear sentence for bad input."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from proofs.obligation import COVERAGE, Json
from proofs.results import Result, Verdict
from reports import table
from reports.summary import FIELDS, SCHEMA, natural
from tests.ringfence.conftest import Bench


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--theorem T2", {"T2/add/0", "T2/drop/0"}),
        ("--theorem T2 --action add", {"T2/add/0"}),
        ("--id T1/add/1 --id T2/drop/0", {"T1/add/1", "T2/drop/0"}),
        ("--action add", {"T1/add/0", "T1/add/1", "T2/add/0"}),
    ],
)
def test_a_selection_is_what_is_established(bench: Bench, options: str, expected: set[str]) -> None:
    said = bench(f"prove --json {options}")
    assert said.code == 0
    assert set(said.verdicts) == expected


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("prove --theorem T3", "no theorem 'T3'; did you mean"),
        ("prove --action ad", "no action 'ad'; did you mean add?"),
        ("prove --observer other", "no observer 'other'; did you mean others?"),
        ("prove --id T1/add/9", "no obligation 'T1/add/9'; did you mean T1/add/"),
        ("recheck T1/ad/0", "no obligation 'T1/ad/0'"),
        ("show nothing", "no obligation 'nothing'"),
        ("prove --weaken nope", "no weakening 'nope'"),
        ("list moods", "no list 'moods'"),
        ("prove --jobs 0", "--jobs"),
        ("prove --jobs two", "--jobs"),
        ("prove --colour", "--colour"),
        ("prov", "prov"),
        ("show", "ID"),
        ("prove --junit /nowhere/at/all/x.xml", "--junit"),
        ("replay /nowhere/trace.json", "cannot be read"),
        ("prove --theorem T7", "NOT CLAIMED"),
        ("prove --observer others", "Nothing of others is selected"),
        ("prove --theorem T1 --theorem T7", "T7 is NOT CLAIMED"),
        ("prove --theorem T1 --theorem T7 --action add", "T7 is NOT CLAIMED"),
        ("prove --theorem T1 --id T1/add/0 --id T2/add/0", "Nothing of T2/add/0 is selected"),
        ("prove --theorem T1 --theorem T2 --id T1/add/0", "Nothing of T2 is selected"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_3(bench: Bench, command: str, words: str) -> None:
    said = bench(command)
    assert said.code == 3
    assert words in said.err
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    ("options", "words", "made"),
    [
        ("--action bad --action add", "Nothing of add is selected", False),  # no unit is about it
        ("--theorem T1 --theorem T7", "T7 is NOT CLAIMED", False),
        ("--theorem T2 --id T1/bad/model --id T1/bad/fine", "Nothing of T2 is selected", False),
        ("--theorem T1 --theorem T2", "Nothing of T2 is selected", True),  # the unit announces it and makes none
        ("--action bad --observer others", "Nothing of bad is selected", True),
    ],
)
def test_each_selected_name_needs_a_row_and_is_refused_as_soon_as_that_is_known(
    bench: Bench, options: str, words: str, made: bool
) -> None:
    said = bench(f"prove {options}", "refuted_units")
    assert said.code == 3
    assert words in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    solved = json.loads(bench("show T1/bad/fine --json", "refuted_units").out)["last"] is not None
    assert solved == (made and "--observer" not in options)


def test_a_selected_name_without_a_row_does_not_hide_a_failure(bench: Bench) -> None:
    assert bench("prove --theorem T1 --theorem T2", "malformed_units").code == 4


def test_json_has_the_documented_shape(bench: Bench) -> None:
    document = bench("prove --json").document
    assert list(document) == ["schema", "tool", "results", "summary", "exit_code"]
    assert document["schema"] == SCHEMA
    assert document["tool"]["name"] == "ringfence"
    assert all(tuple(row) == FIELDS for row in document["results"])
    assert document["exit_code"] == 0
    assert document["summary"]["kinds"]["obligation"] == {"rows": 7, "PROVED": 7}
    assert [row["id"] for row in document["results"]][:3] == ["T1/add/0", "T1/add/1", "T1/drop/0"]


def test_junit_has_a_case_for_each_row(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "out.xml"
    said = bench(f"prove --junit {file}", "good_units", "refuted_units", "unknown_units", "hole_units")
    assert said.code == 1
    root = ElementTree.parse(file).getroot()
    assert root.get("failures") == "3"
    assert root.get("errors") == "2"
    assert root.get("skipped") == "2"
    cases = root.findall("testsuite/testcase")
    assert len(cases) == int(root.get("tests", "0")) == 16
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)
    note = next(case for case in cases if case.get("name") == "T1/bad/explained").find("failure")
    assert note is not None
    assert '"n": 7' in (note.text or "")


def test_the_table_has_no_blanks(bench: Bench) -> None:
    said = bench("prove", "good_units", "refuted_units")
    lines = [line for line in said.out.splitlines() if line.startswith("│")]
    assert len(lines) == 3
    assert all(cell.strip() for line in lines for cell in line.strip("│").split("│"))
    assert "✗1/3" in said.out


def test_lists_and_tables_among_values_take_a_line_for_each_element() -> None:
    values: dict[str, Json] = {"path": ["yes  a", "no  b"], "state": {"life": "[8] = 1"}, "n": 7}
    row = Result("T9/x", "obligation", "T9", "x", "", Verdict.REFUTED, values=values)
    covered = Result("c", COVERAGE, "T9", "", "", Verdict.TESTED, words="w", values={"handlers": {"h": {"OK": 2}}})
    written = StringIO()
    table.show([row, covered], Console(width=100, file=written))
    lines = [line.strip() for line in written.getvalue().splitlines()]
    start = lines.index("path:")
    assert lines[start : start + 6] == ["path:", "yes  a", "no  b", "state:", "life: [8] = 1", "n = 7"]
    assert lines[lines.index("handlers:") + 1] == "h: OK 2"


def test_show_prints_words_text_and_the_last_verdict(bench: Bench) -> None:
    before = json.loads(bench("show T1/add/0 --json").out)
    assert before["last"] is None
    assert before["text"].startswith("; add 0\n(declare-fun")
    bench("prove")
    said = bench("show T1/add/0")
    assert said.code == 0
    assert "words of T1/add/0" in said.out
    assert "PROVED" in said.out
    assert "(assert (bvult x x))" in said.out


def test_recheck_proves_one_thing_afresh(bench: Bench) -> None:
    bench("prove")
    bench.log()
    said = bench("recheck T1/add/0 --json")
    assert said.code == 0
    assert said.verdicts == {"T1/add/0": "PROVED"}
    assert "make add" in bench.log()
    assert bench("recheck T1/bad/model", "refuted_units").code == 1


@pytest.mark.parametrize("what", ["theorems", "actions", "observers", "assumptions", "invariants", "weakenings"])
def test_lists_are_arrays_of_objects(bench: Bench, what: str) -> None:
    said = bench(f"list {what} --json")
    assert said.code == 0
    assert isinstance(json.loads(said.out), list)
    assert bench(f"list {what}").code == 0


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ('{"steps": []}', 0, ""),
        ('{"steps": [], "evil": 1}', 1, ""),
        ('{"steps": [', 3, "not complete JSON"),
        ("[]", 3, "not a JSON object"),
        ("{}", 3, "has no field steps"),
    ],
)
def test_a_trace_file_is_replayed_or_refused(bench: Bench, tmp_path: Path, content: str, code: int, words: str) -> None:
    file = tmp_path / "trace.json"
    file.write_text(content, "utf-8")
    said = bench(f"replay {file}")
    assert said.code == code
    assert words in said.err


def test_a_trace_file_is_read_again_each_time(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    file.write_text('{"steps": []}', "utf-8")
    assert bench(f"replay {file}").code == 0
    file.write_text('{"steps": [], "evil": 1}', "utf-8")
    assert bench(f"replay {file}").code == 1


def test_names_are_sorted_as_people_do() -> None:
    assert sorted(["T10", "T2", "T9h", "T9", "I1", "T3c", "T3"], key=natural) == [
        "I1",
        "T2",
        "T3",
        "T3c",
        "T9",
        "T9h",
        "T10",
    ]
