"""An audit for people: what was looked at, what was ruled, and each violation with the entries that lead to it."""

from __future__ import annotations

from functools import partial
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from audit.compare import Comparison
from audit.decide import Decision
from audit.finding import Finding
from audit.party import Party
from audit.reach import Mishap, Rights, Trouble, Way
from audit.ruling import Answer, Ruling
from proofs.results import Exit
from reports.audit import bounds, letters, summary
from reports.entries import describe

_NEXT: Final = {
    Exit.REFUTED: "Next: --html FILE draws it, a policy allows what is meant to be, docs/audit.md explains.",
    Exit.NOT_ESTABLISHED: "Next: docs/audit.md says what would have to be known.",
}
MOST_FINDINGS: Final = 8  # of one ruling; the rest are counted, and in --json
MOST_MISHAPS: Final = 5
MOST_HOLDING: Final = 50  # demands that hold; the rest are counted

_MARKS: Final = {
    Answer.HOLDS: "[green]holds[/]",
    Answer.VIOLATED: "[red]violated[/]",
    Answer.UNKNOWN: "[yellow]not known[/]",
}
_CLOSING: Final = {
    Exit.ESTABLISHED: "[green]Clean.[/] Every demand holds on this photograph.",
    Exit.REFUTED: "[red]Violated.[/] The tables in this photograph grant what the policy forbids.",
    Exit.NOT_ESTABLISHED: "[yellow]Not established.[/] No violation was found, but not everything could be seen.",
    Exit.INTERNAL: "[red]Error.[/] Nothing was demanded, so nothing was decided.",
}


def show(decision: Decision, name: str, code: Exit, console: Console, comparison: Comparison | None = None) -> None:
    """Print domains, rulings, what does not hold, notes, and the closing line."""
    say = partial(console.print, soft_wrap=True, highlight=False)
    tables = sum(len(party.reaches) for party in decision.parties)
    say(
        f"[bold]{escape(name)}[/]: {_number(len(decision.parties), 'domain')} on {_number(tables, 'root')},"
        f" {_number(len(decision.rulings), 'demand')} (policy: {escape(decision.policy.source)})"
    )
    say(f"{_CLOSING[code]}{_tally(decision)}")
    console.print(_domains(decision.parties))
    console.print(_rulings(decision.rulings))
    for ruling in decision.rulings:
        if ruling.answer is not Answer.HOLDS:
            _explain(ruling, console)
    for note in decision.notes:
        say(f"note: {escape(note)}")
    if comparison is not None:
        show_comparison(comparison, console)
    say(_CLOSING[code])
    if code in _NEXT:
        say(_NEXT[code])


def _number(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"


def _tally(decision: Decision) -> str:
    """How many demands do not hold."""
    counts = [(sum(r.answer is answer for r in decision.rulings), answer) for answer in Answer]
    total = _number(len(decision.rulings), "demand")
    return "".join(f" {n} of {total} {answer}." for n, answer in counts if n and answer is not Answer.HOLDS)


def _domains(parties: tuple[Party, ...]) -> Table:
    table = Table(title="domains, in frames of 4 KiB", title_justify="left")
    for column in ("domain", "roots"):
        table.add_column(column, overflow="fold")
    for column in ("tables", "read", "write", "execute"):
        table.add_column(column, justify="right", no_wrap=True)
    for party in parties:
        roots = ", ".join(f"{r.root.name} ({r.root.kind}{', inside' if r.root.inside else ''})" for r in party.reaches)
        tables = party.tables(False).frames + party.tables(True).frames
        reached = (party.count(right) for right in (Rights.READ, Rights.WRITE, Rights.EXECUTE))
        table.add_row(escape(party.name), escape(roots), str(tables), *map(str, reached))
    return table


def _rulings(rulings: tuple[Ruling, ...]) -> Table:
    table = Table(title="demands", title_justify="left")
    table.add_column("demand", overflow="fold")
    table.add_column("theorem", no_wrap=True)
    table.add_column("on this photograph", no_wrap=True)
    holding = [ruling for ruling in rulings if ruling.answer is Answer.HOLDS]
    hidden = {ruling.id for ruling in holding[MOST_HOLDING:]}
    for ruling in (ruling for ruling in rulings if ruling.id not in hidden):
        found = summary(ruling)
        mark = _MARKS[ruling.answer] + (f": {found}" if found else "")
        table.add_row(escape(ruling.id.removeprefix("audit/")), ruling.theorem or "–", mark)
    if hidden:
        table.add_row(f"... and {len(hidden)} more", "", _MARKS[Answer.HOLDS])
    return table


def _explain(ruling: Ruling, console: Console) -> None:
    say = partial(console.print, soft_wrap=True, highlight=False)
    colour = "red" if ruling.answer is Answer.VIOLATED else "yellow"
    say(f"\n[bold {colour}]{escape(ruling.id)}[/] {escape(ruling.words)}")
    if ruling.reason:
        say(f"    {escape(ruling.reason)}")
    for mishap in ruling.mishaps[:MOST_MISHAPS]:
        say(f"    {escape(_mishap(mishap))}")
    for finding in ruling.findings[:MOST_FINDINGS]:
        _finding(finding, ruling, console)
    left = ruling.frames - sum(finding.count for finding in ruling.findings[:MOST_FINDINGS])
    if left:
        say(f"    ... and {left} more frames; --json shows more of them.")


def _mishap(mishap: Mishap) -> str:
    if mishap.index < 0:
        trouble = (
            "the root table is absent" if mishap.trouble is Trouble.ABSENT else f"{mishap.trouble}: the root table"
        )
        return f"{trouble}, at {mishap.table << 12:#x}"
    place = f"table {mishap.table << 12:#x} entry {mishap.index} (level {mishap.level})"
    return f"{mishap.trouble}: {place} = {mishap.entry:#x}, first at address {mishap.address:#x}"


def _finding(finding: Finding, ruling: Ruling, console: Console) -> None:
    size = f"{finding.count} frame{'s' * (finding.count != 1)}"
    rights = ", ".join(f"{side.domain} {letters(side.rights)}" for side in finding.sides)
    breaks = f"; against {ruling.theorem}" if ruling.theorem else ""
    console.print(
        f"  [bold]{bounds(finding.first, finding.count)}[/] ({size}): {escape(rights)}{breaks}",
        soft_wrap=True, highlight=False,
    )  # fmt: skip
    ways = [(side.domain, way) for side in finding.sides for way in side.ways[:1]]
    if ways:
        console.print(_paths(ways))


def _paths(ways: list[tuple[str, Way]]) -> Table:
    table = Table(pad_edge=False, box=None, padding=(0, 1))
    table.add_column("    domain, root, address", overflow="fold")
    for column in ("level", "table", "entry"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("value", no_wrap=True)
    table.add_column("bits", overflow="fold")
    for domain, way in ways:
        head = [f"    {domain}, {way.root.name}", f"    at {way.address:#x}"]
        for place, step in enumerate(way.steps):
            name = head[place] if place < len(head) else ""
            where = f"{step.table << 12:#x}"
            bits = describe(step.kind, step.level, step.entry)
            table.add_row(escape(name), str(step.level), where, str(step.index), f"{step.entry:016x}", bits)
        leads = f"{bounds(way.first, way.count)} with {letters(way.rights)}"
        table.add_row("", "", "", "", "", f"→ {leads}")
    return table


def show_comparison(comparison: Comparison, console: Console) -> None:
    """Print what became reachable, and what no longer is."""
    say = partial(console.print, soft_wrap=True, highlight=False)
    say(f"\n[bold]compared with {escape(comparison.against)}[/]")
    for word, names in (("new roots", comparison.appeared), ("roots that are gone", comparison.vanished)):
        if names:
            say(f"  {word}: {escape(', '.join(names))}")
    if not comparison.changes:
        say("  every domain reaches the same frames with the same rights")
        return
    table = Table(title="frames whose rights differ", title_justify="left")
    for column in ("domain", "change", "frames"):
        table.add_column(column, justify="right" if column == "frames" else "left")
    table.add_column("ranges", overflow="fold")
    for change in comparison.changes:
        shown = [bounds(first, end - first) for first, end in list(change.ranges)[:3]]
        more = f" and {len(change.ranges) - 3} more" if len(change.ranges) > 3 else ""
        words = f"{letters(change.before)} → {letters(change.after)}"
        table.add_row(escape(change.domain), words, str(change.ranges.frames), ", ".join(shown) + more)
    console.print(table)
