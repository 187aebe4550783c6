"""list: what can be named on the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, cast

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from proofs.obligation import Json
from proofs.results import Exit
from ringfence import weaken
from ringfence.catalogue import Entry
from ringfence.errors import unknown
from ringfence.session import Options, within
from ringfence.wiring import Wiring

LISTS: Final = ("theorems", "actions", "observers", "weakenings", "assumptions", "invariants")


def run(wiring: Wiring, what: str, options: Options, as_json: bool) -> int:
    """Print one list, as a table or as a JSON array of objects."""
    if what not in LISTS:
        raise unknown("list", what, LISTS)
    entries = _weakenings(wiring) if what == "weakenings" else within(wiring, options, lambda s: s.catalogue()[what])
    if as_json:
        print(json.dumps(entries, ensure_ascii=False, indent=1))
    else:
        Console().print(_table(entries))
    return Exit.ESTABLISHED


def _weakenings(wiring: Wiring) -> list[Entry]:
    folder = wiring.weakenings
    return [cast(Entry, weaken.load(folder, slug).to_json()) for slug in weaken.slugs(folder)]


def _table(entries: Sequence[Entry]) -> Table:
    columns = list(entries[0]) if entries else ["(none)"]
    table = Table()
    for name in columns:
        table.add_column(name, overflow="fold")
    for entry in entries:
        table.add_row(*(escape(_cell(entry[name])) for name in columns))
    return table


def _cell(value: Json) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
