"""The ledger gives back what was put in, or says that it is damaged."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from proofs.codec import (
    explanation_from,
    explanation_to,
    finding_from,
    finding_to,
    headers_from,
    headers_to,
    unit_from,
    unit_to,
)
from proofs.ledger import FILE, Ledger, LedgerDamagedError, LedgerUnusableError, answer_key, pack, set_aside
from proofs.obligation import Answer, Call, Explanation, Finding, Obligation, Unit

KEY = answer_key("d", "z3", 7)
ANSWER = Answer("sat", "z3", "", 12, 0.5, {"x": "1", "f": ["1 -> 2", "else -> 3"]})
OBLIGATION = Obligation("T1/a", "obligation", "T1", "a", "", "w", "(assert false)", explain=Call("m:f", {"n": 1}))


def test_rows_survive_closing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.put("unit", "u", {"headers": [1, "two"]})
    ledger.put_answer(KEY, ANSWER)
    ledger.put_text("d", pack("(assert true)\n"))
    ledger.close()
    again = Ledger(tmp_path)
    assert again.get("unit", "u") == {"headers": [1, "two"]}
    assert again.answers([KEY, "another"]) == {KEY: ANSWER}
    assert again.text("d") == "(assert true)\n"
    again.close()


def test_another_solver_or_limit_is_another_question(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.put_answer(KEY, ANSWER)
    assert ledger.answers([answer_key("d", "z3", 8), answer_key("d", "z4", 7)]) == {}
    ledger.close()


@pytest.mark.parametrize("content", [b"not a database, but long enough" * 50, b"SQLite format 3\0" + b"x" * 5000])
def test_a_file_that_is_no_ledger_is_damaged_and_can_be_set_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(LedgerDamagedError):
        Ledger(tmp_path)
    assert set_aside(tmp_path).name == "ledger.corrupt-1"
    (tmp_path / FILE).write_bytes(content)
    assert set_aside(tmp_path).name == "ledger.corrupt-2"
    Ledger(tmp_path).close()


def test_a_row_that_was_changed_is_noticed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.put_answer(KEY, ANSWER)
    ledger.put_answer(answer_key("e", "z3", 7), Answer("unsat", "z3"))
    ledger.close()
    with sqlite3.connect(tmp_path / FILE) as db:
        other = db.execute("SELECT body, seal FROM rows WHERE key LIKE 'e %'").fetchone()
        db.execute("UPDATE rows SET body=?, seal=? WHERE key LIKE 'd %'", other)
    db.close()
    ledger = Ledger(tmp_path)
    with pytest.raises(LedgerDamagedError):
        ledger.answers([KEY])
    ledger.close()


def test_a_folder_that_cannot_be_made_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerUnusableError):
        Ledger(tmp_path / "file" / "folder")


def test_everything_that_is_kept_comes_back_equal() -> None:
    header = OBLIGATION.header()
    headers = [header, replace(header, id="T1/b"), replace(header, id="T2/c", theorem="T2", explain=Call("m:g"))]
    assert list(headers_from(headers_to(headers))) == headers
    assert header.with_text(OBLIGATION.text) == OBLIGATION
    finding = Finding("r", "replay", "", "", "", "w", "TESTED", assumptions=("A",), values={"n": 1})
    assert finding_from(finding_to(finding)) == finding
    unit = Unit("u", ("T1",), Call("m:f", {"a": [1]}), "a", ("o",), ("impl/*",))
    assert unit_from(unit_to(unit)) == unit
    explanation = Explanation("REFUTED", "reachable", "r", {"n": 1})
    assert explanation_from(explanation_to(explanation)) == explanation


def test_a_text_is_only_taken_for_its_own_obligation() -> None:
    with pytest.raises(ValueError, match="does not belong"):
        OBLIGATION.header().with_text("(assert true)")


def test_the_digest_covers_text_and_expectation() -> None:
    same = Obligation("other", "vacuity", "", "", "", "", OBLIGATION.text)
    opposite = Obligation("T1/a", "obligation", "T1", "a", "", "w", OBLIGATION.text, "sat")
    assert same.digest == OBLIGATION.digest
    assert opposite.digest != OBLIGATION.digest


def test_many_rows_are_read_at_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for number in range(1200):
        ledger.put("unit", str(number), number)
    wanted = [str(number) for number in range(600, 1800)]
    assert ledger.get_all("unit", wanted) == {str(number): number for number in range(600, 1200)}
    ledger.close()
