"""The rulings of an audit as rows of a run, with findings and their paths as values."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from audit.compare import Comparison
from audit.decide import Decision
from audit.finding import Finding, Side
from audit.photograph import Root
from audit.reach import Mishap, Rights, Way
from audit.ruling import Answer, Ruling
from proofs.obligation import Json
from proofs.results import Result, Verdict
from reports.entries import describe

KIND: Final = "audit"
# Of the mishaps of a ruling in a row; all are counted in its reason.
MOST_MISHAPS: Final = 20

_VERDICTS: Final = {
    Answer.HOLDS: (Verdict.TESTED, "one photograph"),
    Answer.VIOLATED: (Verdict.REFUTED, "photograph"),
    Answer.UNKNOWN: (Verdict.UNKNOWN, ""),
}
_LETTERS: Final = {
    Rights.READ: "R",
    Rights.WRITE: "W",
    Rights.EXECUTE: "X",
    Rights.USER: "U",
}


def rows(decision: Decision, photograph: str, cpu_seconds: float) -> list[Result]:
    """One row for each ruling; the time of the whole audit stands in the first."""
    found = [_row(ruling, decision, photograph) for ruling in decision.rulings]
    if found:
        found[0] = replace(found[0], cpu_seconds=cpu_seconds)
    return found


def _row(ruling: Ruling, decision: Decision, photograph: str) -> Result:
    verdict, qualifier = _VERDICTS[ruling.answer]
    values: dict[str, Json] = {}
    if ruling.answer is Answer.VIOLATED:
        values = {"frames": ruling.frames, "ranges": ruling.ranges}
        values["findings"] = [finding_to(finding) for finding in ruling.findings]
    if ruling.mishaps:
        values["mishaps"] = [mishap_to(mishap) for mishap in ruling.mishaps[:MOST_MISHAPS]]
    return Result(
        id=ruling.id,
        kind=KIND,
        theorem=ruling.theorem,
        action="",
        observer="",
        verdict=verdict,
        qualifier=qualifier,
        scope={"photograph": photograph, "policy": decision.policy.source, "domains": list(ruling.domains)},
        words=ruling.words,
        reason="; ".join(filter(None, (summary(ruling), ruling.reason))),
        values=values or None,
    )


def summary(ruling: Ruling) -> str:
    """How much violates the demand, in words; "" if nothing is known to."""
    if not ruling.frames:
        return ""
    frames = f"{ruling.frames} frame{'s' * (ruling.frames != 1)}"
    return f"{frames} in {ruling.ranges} range{'s' * (ruling.ranges != 1)}"


def letters(rights: Rights) -> str:
    """R, W, X for the rights, U if CPL 3 has them."""
    return "".join(letter for right, letter in _LETTERS.items() if rights & right) or "-"


def bounds(first: int, count: int) -> str:
    """A range of frames as addresses, the last one included."""
    return f"{first << 12:#x}-{((first + count) << 12) - 1:#x}"


def finding_to(finding: Finding) -> dict[str, Json]:
    """A finding as JSON; addresses are hexadecimal texts."""
    return {
        "first": f"{finding.first << 12:#x}",
        "end": f"{(finding.first + finding.count) << 12:#x}",
        "frames": finding.count,
        "clause": str(finding.clause),
        "theorem": finding.theorem,
        "words": finding.words,
        "sides": [_side(side) for side in finding.sides],
    }


def _side(side: Side) -> dict[str, Json]:
    paths: list[Json] = [_way(way) for way in side.ways]
    return {"domain": side.domain, "rights": letters(side.rights), "paths": paths}


def _way(way: Way) -> dict[str, Json]:
    return {
        "root": root_to(way.root),
        "address": f"{way.address:#x}",
        "first": f"{way.first << 12:#x}",
        "frames": way.count,
        "rights": letters(way.rights),
        "steps": [
            {
                "level": step.level,
                "table": f"{step.table << 12:#x}",
                "guest_table": None if step.guest_table is None else f"{step.guest_table << 12:#x}",
                "index": step.index,
                "entry": f"{step.entry:#018x}",
                "bits": describe(step.kind, step.level, step.entry),
            }
            for step in way.steps
        ],
    }


def root_to(root: Root) -> dict[str, Json]:
    """A root as JSON."""
    return {
        "name": root.name,
        "kind": str(root.kind),
        "levels": root.levels,
        "address": f"{root.frame << 12:#x}",
        "inside": root.inside,
        "why": root.why,
    }


def mishap_to(mishap: Mishap) -> dict[str, Json]:
    """A mishap as JSON."""
    return {
        "trouble": str(mishap.trouble),
        "table": f"{mishap.table << 12:#x}",
        "index": mishap.index,
        "level": mishap.level,
        "entry": f"{mishap.entry:#018x}",
        "address": f"{mishap.address:#x}",
    }


def comparison_to(comparison: Comparison) -> dict[str, Json]:
    """A comparison as JSON."""
    return {
        "against": comparison.against,
        "appeared": list(comparison.appeared),
        "vanished": list(comparison.vanished),
        "changes": [
            {
                "domain": change.domain,
                "before": letters(change.before),
                "after": letters(change.after),
                "frames": change.ranges.frames,
                "ranges": [[f"{first << 12:#x}", f"{end << 12:#x}"] for first, end in change.ranges],
            }
            for change in comparison.changes
        ],
    }
