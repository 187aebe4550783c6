"""Progress is for terminals only, and its time to go counts down to nothing."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from proofs.results import Result, Verdict
from ringfence.progress import Live

ROW = Result("T1/a", "obligation", "T1", "a", "", Verdict.REFUTED, cpu_seconds=0.5)


def follow(terminal: bool) -> str:
    stream = StringIO()
    with Live(Console(file=stream, force_terminal=terminal, width=100)) as live:
        live.begin(2.0, 2, 1)
        live.row(ROW)
        live.finished(1.0)
        live.finished(1.0)
    return stream.getvalue()


def test_a_terminal_sees_rows_and_failures() -> None:
    said = follow(terminal=True)
    assert "1 rows, 1 do not hold" in said
    assert "to go" in said


def test_a_file_sees_nothing() -> None:
    assert follow(terminal=False) == ""
