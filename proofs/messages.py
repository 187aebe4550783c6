"""What the scheduler and its workers say to each other over a pipe; every message is one of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from proofs.obligation import Answer, Explanation, Finding, Header, Obligation, Unit


@dataclass(frozen=True)
class Job:
    """To a worker: run the unit, or only solve the obligations that the ledger already has of it."""

    unit: Unit
    stored: tuple[Obligation, ...] | None = None


@dataclass(frozen=True)
class Question:
    """To a worker: call this function without arguments and send what it returns."""

    target: str


@dataclass(frozen=True)
class Made:
    """From a worker: an obligation without its text; it waits for `Reply`."""

    header: Header


@dataclass(frozen=True)
class Reply:
    """To a worker: leave the obligation, solve it, or explain the answer that is known; and send its text or not."""

    do: Literal["skip", "solve", "explain"]
    answer: Answer | None = None
    want_text: bool = False


@dataclass(frozen=True)
class Outcome:
    """From a worker: what became of the obligation that it asked about.  packed is its text if it was wanted."""

    answer: Answer | None
    explanation: Explanation | None
    packed: bytes | None


@dataclass(frozen=True)
class Found:
    """From a worker: a result that needed no solver."""

    finding: Finding


@dataclass(frozen=True)
class Done:
    """From a worker: the job is finished; CPU seconds of this process for all of it.  value answers a `Question`."""

    cpu_seconds: float
    value: object = None


@dataclass(frozen=True)
class Failed:
    """From a worker: an exception ended the job.  bad_input: what it was given is at fault, not the workbench."""

    message: str
    traceback: str
    bad_input: bool = False
