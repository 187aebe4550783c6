"""What a worker makes and a solver answers: obligations, ready findings, and the units of work that yield them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Final, Literal

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
Expect = Literal["unsat", "sat"]
Status = Literal["unsat", "sat", "unknown"]

DEFAULT_RLIMIT: Final = 20_000_000
OBLIGATION: Final = "obligation"
COVERAGE: Final = "coverage"  # a finding whose values people should see even if all is well


class BadInputError(ValueError):
    """A unit was given something malformed, such as a truncated trace; the text is one sentence for the user."""


def no_arguments() -> dict[str, Json]:
    """The default of every `arguments` field."""
    return {}


@dataclass(frozen=True)
class Call:
    """A function of ours by name, `module:function`, and JSON arguments: the same in every process."""

    target: str
    arguments: Mapping[str, Json] = field(default_factory=no_arguments)


@dataclass(frozen=True)
class Obligation:
    """One question for a solver.

    text: an SMT-LIB script, declarations and assertions without check-sat; it is what is solved.
    expect: the answer under which the obligation holds, "unsat" for theorems, "sat" for witnesses of the battery.
    scope: what the text ranges over, such as {"frames": "any"} or widths in bits.
    assumptions: identifiers of what the verdict rests on.
    rlimit: the limit, in resource units of the solver.
    explain: asked when the solver does not answer as expected; see `Explanation`.
    """

    id: str
    kind: str
    theorem: str
    action: str
    observer: str
    words: str
    text: str
    expect: Expect = "unsat"
    scope: Mapping[str, Json] = field(default_factory=no_arguments)
    assumptions: tuple[str, ...] = ()
    rlimit: int = DEFAULT_RLIMIT
    explain: Call | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the expected answer and the text, in hexadecimal."""
        return hashlib.sha256(f"{self.expect}\n{self.text}".encode()).hexdigest()

    def header(self) -> Header:
        """Everything but the text."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "text"}
        return Header(**values, digest=self.digest)


@dataclass(frozen=True)
class Header:
    """An obligation without its text, which may be long and is stored once under the digest."""

    id: str
    kind: str
    theorem: str
    action: str
    observer: str
    words: str
    expect: Expect
    scope: Mapping[str, Json]
    assumptions: tuple[str, ...]
    rlimit: int
    explain: Call | None
    digest: str

    def with_text(self, text: str) -> Obligation:
        """The whole obligation again; a text that is not its own is a `ValueError`."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "digest"}
        obligation = Obligation(**values, text=text)
        if obligation.digest != self.digest:
            raise ValueError(f"the text does not belong to {self.id}")
        return obligation


@dataclass(frozen=True)
class Answer:
    """What a solver said.

    solver: its name, version and the strategy that answered.  rlimit_used: in resource units of that solver.
    cpu_seconds: of the process that ran it.  values: a model by symbol, only where a model counts.
    """

    status: Status
    solver: str
    reason: str = ""
    rlimit_used: int = 0
    cpu_seconds: float = 0.0
    values: Mapping[str, Json] | None = None


@dataclass(frozen=True)
class Explanation:
    """What an `explain` function found out about an obligation that did not hold.

    The function is called as `function(obligation, answer, **arguments)` in the worker that asked the solver.
    verdict is "REFUTED" or "UNKNOWN"; qualifier is "reachable" or "induction" for the former.
    """

    verdict: Literal["REFUTED", "UNKNOWN"]
    qualifier: str = ""
    reason: str = ""
    values: Mapping[str, Json] | None = None


@dataclass(frozen=True)
class Finding:
    """A result that needs no solver, such as the outcome of a replay.

    verdict is one of the words of `proofs.results.Verdict`; qualifier is what stands in brackets behind it.
    """

    id: str
    kind: str
    theorem: str
    action: str
    observer: str
    words: str
    verdict: str
    qualifier: str = ""
    reason: str = ""
    scope: Mapping[str, Json] = field(default_factory=no_arguments)
    assumptions: tuple[str, ...] = ()
    values: Mapping[str, Json] | None = None
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Unit:
    """What one worker runs in one go: one action of the model, one handler of the monitor, one replay.

    theorems: those that it can yield, so that a selection need not run it to know; likewise `action` and
    `observers`, where "" and () mean any.
    make: the function that yields `Obligation` and `Finding` objects, always the same ones from the same sources.
    ignores: files that cannot change what is made, as glob patterns from the root; everything else counts.
    yields: glob patterns of the ids of what it makes, so that one id need not run every unit; making anything else is
    an error of ours; () means any.
    first: runs before all units that do not say so, whatever they cost.
    """

    id: str
    theorems: tuple[str, ...]
    make: Call
    action: str = ""
    observers: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()
    yields: tuple[str, ...] = ()
    first: bool = False

    def may_make(self, identifier: str) -> bool:
        """Something of this name may be among what the unit makes."""
        return not self.yields or any(fnmatchcase(identifier, pattern) for pattern in self.yields)
