"""An audit as one HTML page that needs nothing else: a map of the frames, the violations with their paths, the demands.

The parts of the page are in reports/map/; this module makes the data and joins them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audit.compare import Comparison
from audit.decide import Decision
from audit.party import Party, usable
from audit.policy import ANY
from audit.ranges import Numbers, Ranges, profile
from audit.ruling import Answer
from proofs.obligation import Json
from proofs.results import Exit
from reports.audit import bounds, comparison_to, finding_to, letters, root_to, summary

Codes = NDArray[np.int64]

PARTS: Final = Path(__file__).resolve().parent / "map"
MOST_RANGES: Final = 20_000  # of one domain; beyond that, gaps are closed until they fit
MOST_FINDINGS: Final = 500
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
    """Write the page, in one piece or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(page(decision, name, code, comparison), "utf-8")
    partial.replace(path)


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
    regions: [first, end) of the frames that are drawn.  more: ranges that violate a demand and are not listed.
    """
    domains = [_domain(party) for party in decision.parties]
    findings: list[Json] = [
        {"ruling": number, **finding_to(finding), "first": finding.first, "count": finding.count}
        for number, ruling in enumerate(decision.rulings)
        for finding in ruling.findings
    ]
    return {
        "domains": list(domains),
        "regions": [[first, end] for first, end in _regions(decision)],
        "rulings": [
            {"id": ruling.id, "words": ruling.words, "answer": _ANSWERS[ruling.answer], "theorem": ruling.theorem}
            for ruling in decision.rulings
        ],
        "findings": findings[:MOST_FINDINGS],
        "more": sum(ruling.ranges for ruling in decision.rulings) - len(findings[:MOST_FINDINGS]),
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
    every = Ranges.union(frames for _, frames in sets)
    grain = 1
    first, end, codes = profile(every, sets)
    while len(first) > MOST_RANGES:
        grain *= 2
        first, end, codes = _coarser(first, end, codes, grain)
    tables = Ranges.union((party.tables(False), party.tables(True)))
    columns = (first.tolist(), (end - first).tolist(), codes.tolist())
    return {
        "name": party.name,
        "roots": [root_to(reach.root) for reach in party.reaches],
        "ranges": [list(row) for row in zip(*columns, strict=True)],
        "tables": [[a, b - a] for a, b in list(tables)[:MOST_RANGES]],
        "grain": grain,
    }


def _coarser(first: Numbers, end: Numbers, codes: Codes, grain: int) -> tuple[Numbers, Numbers, Codes]:
    """Blocks of `grain` frames, each with the rights of all ranges in it."""
    size = np.uint64(grain)
    starts, ends = first // size, (end + size - np.uint64(1)) // size
    sets = [(int(code), Ranges.of(starts[codes == code], (ends - starts)[codes == code])) for code in np.unique(codes)]
    blocks = profile(Ranges.union(frames for _, frames in sets), sets)
    return blocks[0] * size, blocks[1] * size, blocks[2]


def _regions(decision: Decision) -> Ranges:
    """The frames that anybody reaches, rounded to 2 MiB, without wide gaps."""
    parts = [party.granting(ANY) for party in decision.parties]
    parts += [party.tables(inner) for party in decision.parties for inner in (False, True)]
    reached, gap, block = Ranges.union(parts), np.uint64(GAP), np.uint64(512)
    first = reached.first // block * block
    joined = Ranges.of(first, (reached.end + block - np.uint64(1)) // block * block - first + gap)
    return Ranges(joined.first, joined.end - gap)


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
