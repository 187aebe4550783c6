"""What an audit found, as data: every output (text, JSON, SARIF, map) is a projection of these."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from audit.reach import Rights, Way


class Clause(StrEnum):
    """The predicates of the policy; `docs/audit.md` says each in words and names its theorem."""

    DISJOINT = "disjoint"
    RESERVED = "reserved"
    TABLES = "tables"
    OWNER = "owner"
    WRITE_XOR_EXECUTE = "write xor execute"
    USER = "user"
    ABSENT = "absent"
    MALFORMED = "malformed"


@dataclass(frozen=True)
class Side:
    """One domain's part in a finding: what it may do with the frames, and how it gets there."""

    domain: str
    rights: Rights
    ways: tuple[Way, ...]


@dataclass(frozen=True)
class Finding:
    """Something that a clause forbids, or that nobody can know (ABSENT): one for each maximal range of frames.

    first, count: frames.  clause_name: the name that the policy gives to the clause.  theorem: such as "T1".
    """

    clause: Clause
    clause_name: str
    theorem: str
    first: int
    count: int
    sides: tuple[Side, ...]
    words: str
