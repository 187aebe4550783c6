"""Verdicts and what they add up to: nothing counts as established unless it is known to be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import Final

from proofs.obligation import OBLIGATION, Answer, Expect, Explanation, Finding, Header, Json, no_arguments


class Verdict(StrEnum):
    """What was established."""

    PROVED = "PROVED"
    BOUNDED = "BOUNDED"
    TESTED = "TESTED"
    WAIVED = "WAIVED"
    NOT_CLAIMED = "NOT CLAIMED"
    STALE = "STALE"
    VACUOUS = "VACUOUS"
    UNKNOWN = "UNKNOWN"
    REFUTED = "REFUTED"
    ERROR = "ERROR"


# From the best to the worst: a cell of a table shows its worst.
SEVERITY: Final = {verdict: place for place, verdict in enumerate(Verdict)}


class Exit(IntEnum):
    """The exit codes of the command."""

    ESTABLISHED = 0
    REFUTED = 1
    NOT_ESTABLISHED = 2
    USAGE = 3
    INTERNAL = 4


# C: certificate re-checked, X: two solvers agree, S: one solver.
EVIDENCE: Final = ("", "S", "X", "C")
REQUIRED: Final = "S"


@dataclass(frozen=True)
class Result:
    """One row of a run.

    qualifier stands in brackets behind the verdict: reachable or induction (REFUTED), how many and which seed
    (TESTED), until when (WAIVED).  scope names what the row ranges over, widths in bits.  rlimit_used is in resource
    units of the solver.  values is a counterexample or witness.  digest is that of the obligation, "" for findings.
    """

    id: str
    kind: str
    theorem: str
    action: str
    observer: str
    verdict: Verdict
    qualifier: str = ""
    evidence: str = ""
    scope: Mapping[str, Json] = field(default_factory=no_arguments)
    solver: str = ""
    rlimit_used: int = 0
    cpu_seconds: float = 0.0
    digest: str = ""
    words: str = ""
    reason: str = ""
    assumptions: tuple[str, ...] = ()
    values: Mapping[str, Json] | None = None

    @property
    def label(self) -> str:
        """The verdict with its qualifier, such as REFUTED(reachable)."""
        return f"{self.verdict}({self.qualifier})" if self.qualifier else str(self.verdict)

    @cached_property
    def holds(self) -> bool:
        """The row is as good as it has to be."""
        if self.verdict is Verdict.WAIVED:
            return True
        if self.kind == OBLIGATION:
            return self.verdict is Verdict.PROVED and EVIDENCE.index(self.evidence) >= EVIDENCE.index(REQUIRED)
        return self.verdict in (Verdict.PROVED, Verdict.TESTED)

    def to_json(self) -> dict[str, Json]:
        """The documented fields, in the order of this class."""
        record: dict[str, Json] = dict(vars(self))  # for thousands of rows asking for each field costs more
        record.pop("holds", None)
        record["verdict"] = str(self.verdict)
        record["cpu_seconds"] = round(self.cpu_seconds, 6)
        return record


def of_finding(finding: Finding) -> Result:
    """A finding as a row; it never carries evidence of a solver."""
    return Result(
        id=finding.id,
        kind=finding.kind,
        theorem=finding.theorem,
        action=finding.action,
        observer=finding.observer,
        verdict=Verdict(finding.verdict),
        qualifier=finding.qualifier,
        scope=finding.scope,
        cpu_seconds=finding.cpu_seconds,
        words=finding.words,
        reason=finding.reason,
        assumptions=finding.assumptions,
        values=finding.values,
    )


def of_answer(header: Header, answer: Answer, explanation: Explanation | None = None) -> Result:
    """The row of an obligation that a solver answered, and perhaps somebody explained."""
    verdict, qualifier, reason = judge(header.kind, header.expect, answer)
    values = answer.values if verdict is not Verdict.PROVED or header.expect == "sat" else None
    if explanation is not None and verdict is not Verdict.PROVED:
        verdict, qualifier = Verdict(explanation.verdict), explanation.qualifier
        reason, values = explanation.reason or reason, explanation.values or values
    return Result(
        id=header.id,
        kind=header.kind,
        theorem=header.theorem,
        action=header.action,
        observer=header.observer,
        verdict=verdict,
        qualifier=qualifier,
        evidence="S" if verdict is Verdict.PROVED else "",
        scope=header.scope,
        solver=answer.solver,
        rlimit_used=answer.rlimit_used,
        cpu_seconds=answer.cpu_seconds,
        digest=header.digest,
        words=header.words,
        reason=reason,
        assumptions=header.assumptions,
        values=values,
    )


def judge(kind: str, expect: Expect, answer: Answer) -> tuple[Verdict, str, str]:
    """Verdict, qualifier and reason that an answer alone justifies."""
    if answer.status == expect:
        return Verdict.PROVED, "", ""
    if answer.status == "unknown":
        return Verdict.UNKNOWN, "", answer.reason
    if expect == "sat":
        return Verdict.VACUOUS, "", "no state satisfies it"
    # A model of one step shows a step that breaks the goal, not that its first state is reachable.
    return Verdict.REFUTED, "induction" if kind == OBLIGATION else "", "the solver found a model"


def exit_code(results: Iterable[Result]) -> Exit:
    """What the rows of a run add up to; rows that claim nothing do not count, and no row at all is an error."""
    rows = [row for row in results if row.verdict is not Verdict.NOT_CLAIMED]
    if not rows or any(row.verdict is Verdict.ERROR for row in rows):
        return Exit.INTERNAL
    if any(row.verdict is Verdict.REFUTED or is_hole(row) for row in rows):
        return Exit.REFUTED
    return Exit.ESTABLISHED if all(row.holds for row in rows) else Exit.NOT_ESTABLISHED


def is_hole(row: Result) -> bool:
    """A row of the battery that says for certain that a theorem could not fail."""
    return row.kind != OBLIGATION and row.verdict is Verdict.VACUOUS
