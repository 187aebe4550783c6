"""What the rows of a run add up to, for people and for programs."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final

from proofs.obligation import OBLIGATION, Json
from proofs.results import SEVERITY, Result, Verdict, exit_code, is_hole

_NUMBER: Final = re.compile(r"\d+")
_DIGITS: Final = 12

SCHEMA: Final = "ringfence/results/1"

# The fields of each element of `results`, in order; a change here is named in CHANGELOG.md.
FIELDS: Final = (
    "id", "kind", "theorem", "action", "observer", "verdict", "qualifier", "evidence", "scope", "solver",
    "rlimit_used", "cpu_seconds", "digest", "words", "reason", "assumptions", "values",
)  # fmt: skip


def in_order(rows: Iterable[Result]) -> list[Result]:
    """Obligations first, then by theorem and id; numbers in names count as numbers."""
    return sorted(rows, key=lambda row: (row.kind != OBLIGATION, row.kind, natural(row.theorem), _place(row.id)))


def _place(identifier: str) -> str:
    """As `natural`; thousands of rows share the beginnings and the ends of their names."""
    beginning, _, end = identifier.rpartition("/")
    return f"{natural(beginning)}/{natural(end)}"


@cache
def natural(name: str) -> str:
    """A sorting key under which T2 stands before T10."""
    return _NUMBER.sub(lambda found: found[0].zfill(_DIGITS), name)


def worst(rows: Iterable[Result]) -> Result:
    """The row with the worst verdict; rows must not be empty."""
    return max(rows, key=lambda row: SEVERITY[row.verdict])


def counts(rows: Iterable[Result]) -> dict[str, int]:
    """How many rows have each verdict, from the best to the worst; verdicts that do not occur are left out."""
    found = Counter(row.verdict for row in rows)
    return {str(verdict): found[verdict] for verdict in Verdict if found[verdict]}


def kinds(rows: Iterable[Result]) -> dict[str, list[Result]]:
    """Rows by kind, obligations first; what is not claimed is left out."""
    found: dict[str, list[Result]] = {OBLIGATION: []}
    for row in rows:
        if row.verdict is not Verdict.NOT_CLAIMED:
            found.setdefault(row.kind, []).append(row)
    return {kind: members for kind, members in found.items() if members}


def effort(rows: Iterable[Result]) -> float:
    """CPU seconds behind these rows; rows of one text have one answer, which counts once."""
    return sum({row.digest or row.id: row.cpu_seconds for row in rows}.values())


def summary(rows: Sequence[Result]) -> dict[str, Json]:
    """Counts by kind and by theorem, what is not claimed, the holes of the battery, and the effort."""
    theorems: dict[str, list[Result]] = {}
    for row in rows:
        if row.kind == OBLIGATION:
            theorems.setdefault(row.theorem, []).append(row)
    return {
        "kinds": {kind: {"rows": len(members), **counts(members)} for kind, members in kinds(rows).items()},
        "theorems": {name: counts(theorems[name]) for name in sorted(theorems, key=natural)},
        "not_claimed": [row.id for row in rows if row.verdict is Verdict.NOT_CLAIMED],
        "waived": [row.id for row in rows if row.verdict is Verdict.WAIVED],
        "holes": [row.id for row in rows if is_hole(row)],
        "cpu_seconds": round(effort(rows), 3),
    }


def document(rows: Sequence[Result], tool: dict[str, Json]) -> dict[str, Json]:
    """The whole run as JSON: schema, tool, results, summary, exit_code."""
    results: list[Json] = [row.to_json() for row in rows]
    return {
        "schema": SCHEMA,
        "tool": tool,
        "results": results,
        "summary": summary(rows),
        "exit_code": int(exit_code(rows)),
    }


def printed(document: dict[str, Json]) -> str:
    """The JSON text of a document: every member on a line, every row of `results` on a line of its own.

    One line for a row is found by line tools, and written by the fast half of the library, which knows no indentation.
    """
    encode = json.JSONEncoder(ensure_ascii=False).encode
    members: list[str] = []
    for name, value in document.items():
        rows = value if isinstance(value, list) else []
        text = "[\n" + ",\n".join(map(encode, rows)) + "\n]" if rows else encode(value)
        members.append(f"{encode(name)}: {text}")
    return "{\n" + ",\n".join(members) + "\n}"
