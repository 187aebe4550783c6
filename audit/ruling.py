"""What an audit rules about one demand, and how violating frames become findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

from audit.finding import Clause, Finding, Side
from audit.party import Party
from audit.ranges import NO_FRAMES, Ranges, profile
from audit.reach import Mishap, Reach, Rights, Way

MOST_RANGES: Final = 1000  # of one ruling that become findings; all are counted
MOST_WITH_WAYS: Final = 20  # findings of one ruling that come with their paths
MOST_WAYS: Final = 2  # paths of one side of a finding

# The theorem whose invariants a clause repeats on a real machine; the others are demands of a policy only.
THEOREM: Final = {Clause.DISJOINT: "T1", Clause.RESERVED: "T1", Clause.TABLES: "T1", Clause.OWNER: "T1"}

BEYOND: Final = (
    "{} beyond the photograph, and MAXPHYADDR is not known: what looks like a leaf may be a mark of a hypervisor; give"
    " --maxphyaddr"
)

Wanted = Callable[[Reach, Rights], bool]
"""Whether a leaf of a reach with these rights is part of a violation."""


class Answer(StrEnum):
    """What is known of a demand on this photograph."""

    HOLDS = "holds"
    VIOLATED = "violated"
    UNKNOWN = "not known"


@dataclass(frozen=True)
class Ruling:
    """One demand, decided for the domains that it binds.

    frames, ranges: how many frames violate it, in how many maximal ranges.  findings: the first MOST_RANGES of these,
    cut where the rights of a side change.
    reason: why it is not known, or what a violation rests on.  mishaps: what the walk could not follow, if that is what
    the ruling is about.
    """

    id: str
    clause: Clause
    name: str
    words: str
    domains: tuple[str, ...]
    answer: Answer
    frames: int = 0
    ranges: int = 0
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    mishaps: tuple[Mishap, ...] = ()

    @property
    def theorem(self) -> str:
        """The theorem that a violation contradicts on the photographed machine, or ""."""
        return THEOREM.get(self.clause, "")


@dataclass(frozen=True)
class Question:
    """A demand on its way to a ruling: who is bound, with which reaches, and what each party's part in a finding is."""

    id: str
    clause: Clause
    name: str
    words: str
    sides: tuple[tuple[Party, tuple[Reach, ...]], ...]

    def rule(self, violating: Ranges, wanted: Wanted, note: str = "", doubts: Sequence[str] = ()) -> Ruling:
        """The ruling, given the frames that violate the demand; wanted: which leaves are part of the violation.

        doubts: why there may be more such frames.  If a root of a side is in doubt, nothing is known.
        """
        names = tuple(party.name for party, _ in self.sides)
        ruling = partial(Ruling, self.id, self.clause, self.name, self.words, names)
        rests_on = [doubt for party, reaches in self.sides for doubt in party.doubts(reaches)]
        if rests_on:
            return ruling(Answer.UNKNOWN, reason="; ".join(rests_on))
        violating, doubtful = self._before_the_horizon(violating)
        if violating:
            pieces = self._pieces(violating.start(MOST_RANGES), wanted)
            findings = tuple(self._finding(*piece, wanted, note, n) for n, piece in enumerate(pieces))
            return ruling(Answer.VIOLATED, violating.frames, len(violating), findings, self._scanned())
        reasons = (
            [BEYOND.format("1 frame lies" if doubtful.frames == 1 else f"{doubtful.frames} frames lie")]
            if doubtful
            else []
        )
        reasons += [*doubts]
        reasons += [self._doubt(party, reaches) for party, reaches in self.sides]
        reason = "; ".join(filter(None, reasons))
        return ruling(Answer.UNKNOWN, reason=reason) if reason else ruling(Answer.HOLDS)

    def _scanned(self) -> str:
        """That only a scan tells of the roots of guests here, if so."""
        roots = [reach.root for _, reaches in self.sides for reach in reaches]
        names = ", ".join(dict.fromkeys(root.name for root in roots if root.found and root.guest))
        return f"rests on control blocks that a scan found, which may be stale: {names}" if names else ""

    def _before_the_horizon(self, violating: Ranges) -> tuple[Ranges, Ranges]:
        """The frames that certainly are memory, and the others."""
        horizon = self.sides[0][0].horizon
        if horizon is None:
            return violating, NO_FRAMES
        doubtful = violating & Ranges.between([(horizon, 1 << 52)])
        return violating - doubtful, doubtful

    def _doubt(self, party: Party, reaches: tuple[Reach, ...]) -> str:
        """Why nothing that was not found can be said to be absent."""
        unknown = party.unknown(reaches)
        if unknown:
            return f"{party.name}: " + ", ".join(f"{words} ({number})" for words, number in unknown.items())
        if not any(reach.spans.parts for reach in reaches):
            return f"{party.name} reaches no frame, so nothing could have been found"
        return ""

    def _pieces(self, violating: Ranges, wanted: Wanted) -> list[tuple[int, int, tuple[Rights, ...]]]:
        """Maximal ranges in which each side's rights are the same."""
        sets: list[tuple[int, Ranges]] = []
        for number, (party, reaches) in enumerate(self.sides):
            for reach, value in party.values(reaches):
                if wanted(reach, value):
                    sets.append((int(value) << (8 * number), reach.spans.exactly(value)))
        rows = zip(*(column.tolist() for column in profile(violating, sets)), strict=True)
        sides = range(len(self.sides))
        return [(a, b - a, tuple(Rights(found >> (8 * n) & 0xFF) for n in sides)) for a, b, found in rows]

    def _finding(
        self, first: int, count: int, rights: tuple[Rights, ...], wanted: Wanted, note: str,
        number: int,
    ) -> Finding:  # fmt: skip
        sides: list[Side] = []
        for (party, reaches), granted in zip(self.sides, rights, strict=True):
            ways = self._ways(party, reaches, first, wanted) if number < MOST_WITH_WAYS else ()
            sides.append(Side(party.name, granted, ways))
        theorem = THEOREM.get(self.clause, "")
        return Finding(self.clause, self.name, theorem, first, count, tuple(sides), note or self.words)

    def _ways(self, party: Party, reaches: tuple[Reach, ...], frame: int, wanted: Wanted) -> tuple[Way, ...]:
        """Paths to a frame whose leaves are part of the violation, each leaf once."""
        found: list[Way] = []
        within = Ranges.between([(frame, frame + 1)])
        for reach, value in party.values(reaches):
            if wanted(reach, value) and within & reach.spans.exactly(value):
                ways = party.ways((reach,), frame, 1, value, MOST_WAYS)
                found += [way for way in ways if way not in found]
        return tuple(sorted(found, key=lambda way: len(way.steps))[:MOST_WAYS])
