"""An audit as one HTML page that needs nothing else: a map of the frames, the violations with their paths, the demands.

The parts of the page are in reports/map/; this module makes the data and joins them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np

from audit.compare import Comparison
from audit.decide import Decision
from audit.party import Party, usable
from audit.policy import ANY
from audit.ranges import Ranges, profile
from audit.reach import Rights
from audit.ruling import Answer
from proofs.obligation import Json
from proofs.results import Exit
from reports.audit import bounds, comparison_to, finding_to, letters, root_to, summary
from reports.output import write_output

PARTS: Final = Path(__file__).resolve().parent / "map"
MOST_RANGES: Final = 20_000  # of one domain; beyond that, gaps are closed until they fit
MOST_FINDINGS: Final = 200  # of one ruling
MOST_PAIRS: Final = 200  # of domains that share frames
GAP: Final = 2048  # frames that nobody reaches and that are left out of the map, or more

_ANY_MODE: Final = 3  # position in the code of a range of the rights that some leaf grants, in whatever mode
_ANSWERS: Final = {Answer.HOLDS: "holds", Answer.VIOLATED: "violated", Answer.UNKNOWN: "unknown"}
_VERDICTS: Final = {
    Exit.ESTABLISHED: ("good", "Clean.", "Every demand holds on this photograph."),
    Exit.REFUTED: ("bad", "Violated.", "The tables in this photograph grant what the policy forbids."),
    Exit.NOT_ESTABLISHED: ("open", "Not established.", "No violation was found, but not everything could be seen."),
    Exit.INTERNAL: ("bad", "Error.", "Nothing was demanded, so nothing was decided."),
}


def write(decision: Decision, name: str, code: Exit, comparison: Comparison | None, path: Path) -> None:
    """Write the page."""
    write_output(path, page(decision, name, code, comparison).encode())


def page(decision: Decision, name: str, code: Exit, comparison: Comparison | None = None) -> str:
    """The page as text."""
    kind, verdict, words = _VERDICTS[code]
    content = json.dumps(map_data(decision, comparison), ensure_ascii=True, separators=(",", ":"))
    fills = {
        "title": escape(f"{name}: audit"),
        "name": escape(name),
        "class": kind,
        "verdict": verdict,
        "words": words,
        "policy": escape(decision.policy.source),
        "sharing": _sharing(decision),
        "rulings": "\n".join(_rulings(decision)),
        "comparison": "" if comparison is None else _comparison(comparison),
        "notes": "".join(f'<p class="muted">{escape(note)}</p>\n' for note in decision.notes),
        # No end of the script element can stand in its text.
        "data": content.replace("<", "\\u003c"),
        "style": (PARTS / "style.css").read_text("utf-8"),
        "script": (PARTS / "map.js").read_text("utf-8"),
    }
    pieces = (PARTS / "page.html").read_text("utf-8").split("{")
    return pieces[0] + "".join(fills[key] + rest for key, _, rest in (piece.partition("}") for piece in pieces[1:]))


def map_data(decision: Decision, comparison: Comparison | None = None) -> dict[str, Json]:
    """Everything that the page draws.

    domains: ranges as [first, count, code]; bits 0 to 2 of a code are the rights (R, W, X) that CPL 3 or a guest has,
    bits 3 to 5 those that some leaf grants in whatever mode.
    regions: [first, end) of the frames that are drawn.  more: frames that violate a demand and are not listed.
    """
    domains = [_domain(party) for party in decision.parties]
    findings: list[Json] = [
        {"ruling": number, **finding_to(finding), "first": finding.first, "count": finding.count}
        for number, ruling in enumerate(decision.rulings)
        for finding in ruling.findings[:MOST_FINDINGS]
    ]
    return {
        "domains": list(domains),
        "regions": [[first, end] for first, end in _regions(decision)],
        "rulings": [
            {"id": ruling.id, "words": ruling.words, "answer": _ANSWERS[ruling.answer], "theorem": ruling.theorem}
            for ruling in decision.rulings
        ],
        "findings": findings,
        "more": _unlisted(decision),
        "comparison": None if comparison is None else comparison_to(comparison),
    }


def _domain(party: Party) -> dict[str, Json]:
    sets = [
        (
            int(value & ANY) << _ANY_MODE | int(value & ANY if usable(reach.root, value) else 0),
            reach.spans.exactly(value),
        )
        for reach, value in party.values(party.outer)
    ]
    grain = 1
    while sum(len(frames) for _, frames in sets) > MOST_RANGES:
        grain *= 2
        sets = [(code, _halved(frames)) for code, frames in sets]
    first, end, codes = profile(Ranges.union(frames for _, frames in sets), sets)
    first, end = first * np.uint64(grain), end * np.uint64(grain)
    tables = Ranges.union((party.tables(False), party.tables(True)))
    columns = (first.tolist(), (end - first).tolist(), codes.tolist())
    return {
        "name": party.name,
        "roots": [root_to(reach.root) for reach in party.reaches],
        "ranges": [list(row) for row in zip(*columns, strict=True)],
        "tables": [[a, b - a] for a, b in list(tables)[:MOST_RANGES]],
        "grain": grain,
    }


def _halved(frames: Ranges) -> Ranges:
    """The same in blocks of twice the size; a block that is touched counts whole."""
    one = np.uint64(1)
    first = frames.first >> one
    return Ranges.of(first, ((frames.end + one) >> one) - first)


def _regions(decision: Decision) -> Ranges:
    """The frames that anybody reaches, rounded to 2 MiB, without wide gaps."""
    parts = [party.granting(ANY) for party in decision.parties]
    parts += [party.tables(inner) for party in decision.parties for inner in (False, True)]
    reached, gap, block = Ranges.union(parts), np.uint64(GAP), np.uint64(512)
    first = reached.first // block * block
    joined = Ranges.of(first, (reached.end + block - np.uint64(1)) // block * block - first + gap)
    return Ranges(joined.first, joined.end - gap)


def _unlisted(decision: Decision) -> int:
    return sum(
        ruling.frames - sum(finding.count for finding in ruling.findings[:MOST_FINDINGS]) for ruling in decision.rulings
    )


def _sharing(decision: Decision) -> str:
    """How many frames each two domains reach, without leaves that only a kernel may use."""
    found: list[str] = []
    for a, b in combinations(decision.parties, 2):
        usable_by, writable_by = ([party.usable(rights) for party in (a, b)] for rights in (ANY, Rights.WRITE))
        both, written = (usable_by[0] & usable_by[1]).frames, (writable_by[0] & writable_by[1]).frames
        if both and len(found) <= MOST_PAIRS:
            cells = f'<td class="number">{both:,}</td><td class="number">{written:,}</td>'
            found.append(f"<tr><td>{escape(a.name)}, {escape(b.name)}</td>{cells}</tr>")
    if not found:
        return "<p>No two domains reach the same frame.</p>"
    more = "<p>And more pairs.</p>" if len(found) > MOST_PAIRS else ""
    head = '<tr><th>domains</th><th class="number">any right</th><th class="number">both write</th></tr>'
    return f"<table><thead>{head}</thead><tbody>{''.join(found[:MOST_PAIRS])}</tbody></table>{more}"


def _comparison(comparison: Comparison) -> str:
    """The section that says what became reachable, and what no longer is."""
    rows = [
        f"<tr><td>{escape(change.domain)}</td><td>{letters(change.before)} → {letters(change.after)}</td>"
        f'<td class="number">{change.ranges.frames}</td><td class="mono bits">{_some(change.ranges)}</td></tr>'
        for change in comparison.changes
    ]
    roots = [("new roots", comparison.appeared), ("roots that are gone", comparison.vanished)]
    told = "".join(f"<p>{words}: {escape(', '.join(names))}</p>" for words, names in roots if names)
    head = '<tr><th>domain</th><th>rights</th><th class="number">frames</th><th>ranges</th></tr>'
    table = f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
    same = "<p>Every domain reaches the same frames with the same rights.</p>"
    title = f"Compared with {escape(comparison.against)}"
    return f'<section class="wide"><h2>{title}</h2>{told}{table if rows else same}</section>'


def _some(ranges: Ranges) -> str:
    shown = [bounds(first, end - first) for first, end in list(ranges)[:6]]
    return ", ".join(shown) + (f" and {len(ranges) - 6} more" if len(ranges) > 6 else "")


def _rulings(decision: Decision) -> Iterator[str]:
    for ruling in decision.rulings:
        found = summary(ruling) or ruling.reason
        answer = f"{ruling.answer}{': ' if found else ''}{found}"
        cells = (ruling.id.removeprefix("audit/"), ruling.theorem or "–", answer, ruling.words)
        kind = _ANSWERS[ruling.answer]
        tags = ("", "", f' class="{kind}"', "")
        yield "<tr>" + "".join(f"<td{tag}>{escape(cell)}</td>" for tag, cell in zip(tags, cells, strict=True)) + "</tr>"
