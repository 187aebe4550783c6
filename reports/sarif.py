"""An audit as SARIF 2.1.0 (OASIS standard, 2020): a rule for each clause, a result for each finding and open question.

A physical address is an `address` object of a location (3.32); the path of entries is a code flow (3.36).
"""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Final

from audit.decide import Decision
from audit.finding import Clause, Finding, Side
from audit.reach import Way
from audit.ruling import THEOREM, Answer, Ruling
from proofs.obligation import Json
from reports.audit import bounds, letters
from reports.entries import describe
from reports.output import write_output

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
CLAUSES: Final = {
    Clause.DISJOINT: "Two domains that must be disjoint reach the same frame.",
    Clause.RESERVED: "A domain reaches a frame that is reserved against it.",
    Clause.TABLES: "A domain reaches a frame that holds a page table.",
    Clause.OWNER: "A leaf does not agree with the owner map.",
    Clause.WRITE_XOR_EXECUTE: "A leaf grants both writing and execution.",
    Clause.USER: "A user-accessible leaf lies in a half of the address space where none may be.",
    Clause.ABSENT: "A page table is not in the photograph, so nobody knows what it grants.",
    Clause.MALFORMED: "An entry has a reserved bit set or is misconfigured.",
}


def log(decision: Decision, photograph: str) -> dict[str, Json]:
    """The whole log; results of kind "pass" are demands that hold, "open" those that nobody knows."""
    results = [result for ruling in decision.rulings for result in _results(ruling, photograph)]
    rules: list[Json] = [_rule(clause) for clause in CLAUSES]
    driver: dict[str, Json] = {"name": "ringfence", "version": metadata.version("ringfence"), "rules": rules}
    artifacts: list[Json] = [{"location": {"uri": photograph.replace(" ", "%20")}}]
    run: dict[str, Json] = {"tool": {"driver": driver}, "artifacts": artifacts, "results": list(results)}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def write(decision: Decision, photograph: str, path: Path) -> None:
    """Write the file."""
    write_output(path, json.dumps(log(decision, photograph), indent=1, ensure_ascii=False).encode())


def _rule(clause: Clause) -> dict[str, Json]:
    rule: dict[str, Json] = {"id": _rule_id(clause), "shortDescription": {"text": CLAUSES[clause]}}
    if clause in THEOREM:
        rule["fullDescription"] = {"text": f"{CLAUSES[clause]} {THEOREM[clause]} excludes the same between enclaves."}
    return rule


def _rule_id(clause: Clause) -> str:
    return clause.replace(" ", "-")


def _results(ruling: Ruling, photograph: str) -> list[dict[str, Json]]:
    if ruling.answer is Answer.HOLDS:
        return [_result(ruling, "pass", f"{ruling.words}: holds on this photograph.")]
    if ruling.answer is Answer.UNKNOWN:
        return [_result(ruling, "open", f"{ruling.words}: not known: {ruling.reason}.")]
    if not ruling.findings:
        return [_result(ruling, "fail", f"{ruling.words}: {ruling.reason}.")]
    return [_found(ruling, finding, photograph) for finding in ruling.findings]


def _result(ruling: Ruling, kind: str, text: str) -> dict[str, Json]:
    return {
        "ruleId": _rule_id(ruling.clause),
        "ruleIndex": list(CLAUSES).index(ruling.clause),
        "kind": kind,
        "level": "error" if kind == "fail" else "none",
        "message": {"text": text},
        "properties": {"ruling": ruling.id, "theorem": ruling.theorem},
    }


def _found(ruling: Ruling, finding: Finding, photograph: str) -> dict[str, Json]:
    sides = ", ".join(f"{side.domain} with {letters(side.rights)}" for side in finding.sides)
    place = bounds(finding.first, finding.count)
    result = _result(ruling, "fail", f"{finding.words}: {place} ({finding.count} frames): {sides}.")
    result["locations"] = [_location(photograph, finding.first << 12, finding.count << 12, place)]
    flows: list[Json] = [_flow(side, way, photograph) for side in finding.sides for way in side.ways]
    if flows:
        result["codeFlows"] = flows
    return result


def _flow(side: Side, way: Way, photograph: str) -> dict[str, Json]:
    steps: list[Json] = []
    for step in way.steps:
        words = (
            f"level {step.level}, entry {step.index}: {step.entry:#018x} {describe(step.kind, step.level, step.entry)}"
        )
        place = _location(photograph, (step.table << 12) + 8 * step.index, 8, words)
        steps.append({"location": {**place, "message": {"text": words}}})
    text = f"{side.domain}: {way.root.name} at {way.address:#x} to {bounds(way.first, way.count)}"
    return {"message": {"text": text}, "threadFlows": [{"locations": steps}]}


def _location(photograph: str, address: int, length: int, name: str) -> dict[str, Json]:
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": photograph.replace(" ", "%20"), "index": 0},
            "address": {"absoluteAddress": address, "length": length, "name": name},
        }
    }
