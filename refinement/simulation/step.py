"""The step of the model that a path of the monitor is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from model.hyperenclave.vocabulary import Code
from model.language.logic import Value
from model.language.terms import Sort, Term
from refinement.engine.values import Number
from refinement.interpretation import NO_ACCESS, Access
from refinement.opaque import RegisterFile

Deliver = Callable[[RegisterFile], RegisterFile]


def as_it_is(r: RegisterFile) -> RegisterFile:
    """Nothing is delivered."""
    return r


@dataclass(frozen=True)
class Step:
    """An action with its arguments, or none (the model stands still).

    outcome: what the monitor answered, None for a step that has no answer.  deliver: what happens to the registers
    of the acting CPU after the action.  hints: where to use the meanings of quantifiers.  known: what hardware
    guarantees at this moment, beyond the invariant.  rounds: for the obligations named, how often instances of the
    invariant breed others (once elsewhere).  stores: words that the monitor stores for the caller beside the action,
    as (frame, index, value); like any store of the normal VM's own.  absent: the monitor or
    hardware did nothing because the model's action is not possible.  apart: the parts of the outcome are obligations
    of their own, because together they are too much for one query.  choice: when the monitor may answer like this where
    the model leaves it the choice, as a condition on public state; an obligation of its own.  also: what holds after
    the step of fields that the model does not have, by name; obligations of their own.  identified: the enclave whose
    attributes and identity the step may change, None for none.
    """

    action: str | None
    arguments: Mapping[str, Value] = field(default_factory=dict[str, Value])
    outcome: Code | None = None
    access: Access = NO_ACCESS
    deliver: Deliver = as_it_is
    hints: Mapping[Sort, Sequence[Number]] = field(default_factory=dict[Sort, Sequence[Number]])
    known: tuple[tuple[str, Term], ...] = ()
    rounds: Mapping[str, int] = field(default_factory=dict[str, int])
    stores: tuple[tuple[Number, Number, Number], ...] = ()
    absent: bool = False
    apart: bool = False
    choice: Value = True
    also: tuple[tuple[str, Term], ...] = ()
    identified: Number | None = None


STANDS_STILL = Step(None)
