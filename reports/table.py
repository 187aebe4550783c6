"""The closing table of a run: actions by theorems without blanks, and what is worth saying below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from proofs.obligation import COVERAGE, OBLIGATION, Json
from proofs.results import Exit, Result, Verdict, exit_code, is_hole
from reports.summary import counts, effort, kinds, natural, worst

WHOLE: Final = "(no single action)"
NONE: Final = "–"
MOST_CHARACTERS: Final = 400  # of a value's line
MOST_ROWS: Final = 40  # of rows that do not hold; the rest are counted, and in --json

# What stands before the number in a cell whose worst row is this, and its colour.
_MARKS: Final = {
    Verdict.BOUNDED: ("b", "yellow"),
    Verdict.TESTED: ("t", "yellow"),
    Verdict.WAIVED: ("w", "yellow"),
    Verdict.STALE: ("~", "yellow"),
    Verdict.VACUOUS: ("∅", "yellow"),
    Verdict.UNKNOWN: ("?", "yellow"),
    Verdict.REFUTED: ("✗", "red"),
    Verdict.ERROR: ("!", "red"),
}

_CLOSING: Final = {
    Exit.ESTABLISHED: "[green]Established.[/] Every row holds at the required level.",
    Exit.REFUTED: "[red]Refuted.[/] Something that should hold does not.",
    Exit.NOT_ESTABLISHED: "[yellow]Not established.[/] Nothing is refuted, but not everything is known to hold.",
    Exit.INTERNAL: "[red]Error.[/] Something in the workbench itself went wrong, or nothing was checked.",
}


def show(rows: Sequence[Result], console: Console, note: str = "") -> None:
    """Print waivers, matrix, battery, rows that do not hold, what is not claimed, and the closing line.

    note: heads the output, such as the name of a weakening.
    """
    say = partial(console.print, soft_wrap=True, highlight=False)
    if note:
        say(f"[bold yellow]{escape(note)}[/]")
    for row in rows:
        if row.verdict is Verdict.WAIVED:
            say(f"[yellow]{escape(row.label)}[/] {escape(row.id)}: {escape(row.reason)}")
    obligations = [row for row in rows if row.kind == OBLIGATION and row.verdict is not Verdict.NOT_CLAIMED]
    if obligations:
        console.print(_matrix(obligations))
        seen = {row.verdict for row in obligations}
        used = [f"{mark} {verdict}" for verdict, (mark, _) in _MARKS.items() if verdict in seen]
        say("; ".join(["a cell counts obligations that hold", f"{NONE} the theorem asks nothing of the action", *used]))
    for kind, members in kinds(rows).items():
        found = ", ".join(f"{number} {verdict}" for verdict, number in counts(members).items())
        say(f"{'obligations' if kind == OBLIGATION else kind}: {len(members)} rows: {found}")
    for row in rows:
        if row.kind == COVERAGE and row.holds:
            say(escape(row.words))
            _values(row, say)
    _failures([row for row in rows if not row.holds and row.verdict is not Verdict.NOT_CLAIMED], say)
    unclaimed = [row.id for row in rows if row.verdict is Verdict.NOT_CLAIMED]
    if unclaimed:
        say(f"NOT CLAIMED: {escape(', '.join(unclaimed))}")
    say(f"{_CLOSING[exit_code(rows)]} {effort(rows):.1f} CPU-seconds of solving and replay stand behind this.")


def _matrix(rows: Sequence[Result]) -> Table:
    theorems = sorted({row.theorem for row in rows}, key=natural)
    actions = sorted({row.action for row in rows})
    table = Table(title="obligations", title_justify="left")
    table.add_column("action", no_wrap=True)
    for theorem in theorems:
        table.add_column(theorem, justify="right", no_wrap=True)
    cells: dict[tuple[str, str], list[Result]] = {}
    for row in rows:
        cells.setdefault((row.action, row.theorem), []).append(row)
    for action in actions:
        table.add_row(escape(action or WHOLE), *(_cell(cells.get((action, theorem), [])) for theorem in theorems))
    return table


def _cell(rows: Sequence[Result]) -> str:
    if not rows:
        return NONE
    held = sum(row.holds for row in rows)
    mark, colour = _MARKS.get(worst(rows).verdict, ("", "green"))
    number = f"{held}" if held == len(rows) else f"{held}/{len(rows)}"
    return f"[{colour}]{mark}{number}[/]"


def _values(row: Result, say: Callable[[str], None]) -> None:
    """The values of a row, indented."""
    for name, value in list((row.values or {}).items())[:MOST_ROWS]:
        for line in _lines(name, value):
            say(f"    {escape(_cut(line))}")


def _lines(name: str, value: Json) -> list[str]:
    """A value of a counterexample: a list or mapping with one line for each element, below its name."""
    if isinstance(value, Mapping):
        return [f"{name}:", *(f"  {key}: {_brief(element)}" for key, element in value.items())]
    if isinstance(value, list | tuple):
        return [f"{name}:", *(f"  {element}" for element in value)]
    return [f"{name} = {value}"]


def _cut(line: str) -> str:
    return line if len(line) <= MOST_CHARACTERS else f"{line[:MOST_CHARACTERS]} ... (--json shows all)"


def _brief(value: Json) -> str:
    return ", ".join(f"{key} {element}" for key, element in value.items()) if isinstance(value, Mapping) else str(value)


def _failures(rows: Sequence[Result], say: Callable[[str], None]) -> None:
    for row in rows[:MOST_ROWS]:
        note = " a hole in the battery:" if is_hole(row) else ""
        say(f"[red]{escape(row.label)}[/]{note} [bold]{escape(row.id)}[/] {escape(row.words)}")
        if row.reason:
            say(f"    {escape(row.reason)}")
        _values(row, say)
    if len(rows) > MOST_ROWS:
        say(f"... and {len(rows) - MOST_ROWS} more that do not hold; --json shows all.")
