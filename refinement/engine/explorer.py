"""Run a piece of code over all its paths: depth first over decision traces, by running it again for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from model.language.terms import Term, TermError
from refinement.engine.instances import Rule
from refinement.engine.run import Aside, Entry, Oracle, PathEndError, Run
from refinement.engine.storage import Shape, View
from refinement.engine.values import EngineError, hosted

Ending = Literal["returned", "refused", "failed", "cut"]

DEFECTS: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a defect of the code under execution raises; an EngineError or a TermError is a defect of ours and stops all."""


@dataclass(frozen=True, eq=False)
class Path:
    """One path: how it ended, what it decided and assumed, and the storage before and after.

    `result` is what the code returned, or the exception that it raised.  `fresh_from` is the number of leading
    entries that an earlier path already has in common; conditions among those are that path's obligations.
    """

    number: int
    ending: Ending
    result: object
    entries: tuple[Entry, ...]
    fresh_from: int
    pre: View
    post: View
    rules: tuple[Rule, ...]
    events: tuple[tuple[object, ...], ...]
    goals: tuple[tuple[str, Term], ...]
    marks: Mapping[str, View]
    asides: tuple[Aside, ...]

    @property
    def conditions(self) -> list[Term]:
        """Everything that holds on this path, in order."""
        return [entry.term for entry in self.entries]


def explore(
    code: Callable[[Run], object],
    shapes: Mapping[str, Shape],
    oracle: Oracle,
    refusals: tuple[type[Exception], ...] = (),
    limit: int = 5000,
) -> list[Path]:
    """Every path of `code`; exceptions among `refusals` are answers, other ones are failures, none is dropped."""
    paths: list[Path] = []
    pending: list[tuple[tuple[bool, bool], ...]] = [()]
    while pending:
        if len(paths) >= limit:
            raise EngineError(f"more than {limit} paths")
        prefix = pending.pop()
        run = Run(shapes, oracle, prefix)
        ending, result = _execute(code, run, refusals)
        if len(run.choices) < len(prefix):
            raise EngineError("a repeated run took fewer decisions than before: the code is not deterministic")
        for depth in range(len(prefix), len(run.choices)):
            side, forced = run.choices[depth]
            if not forced:
                pending.append((*run.choices[:depth], (not side, False)))
        paths.append(_path(len(paths), ending, result, run, paths[-1] if paths else None))
    return paths


def _execute(code: Callable[[Run], object], run: Run, refusals: tuple[type[Exception], ...]) -> tuple[Ending, object]:
    with hosted(run):
        try:
            return "returned", code(run)
        except PathEndError as end:
            return "cut", end
        except TermError:
            raise
        except refusals as refusal:
            return "refused", refusal
        except DEFECTS as defect:
            return "failed", defect


def _path(number: int, ending: Ending, result: object, run: Run, previous: Path | None) -> Path:
    shared = 0
    if previous is not None:
        for old, new in zip(previous.entries, run.entries, strict=False):
            # Of the two sides of a split, which have one term, the reason tells which it is.
            if old.term is not new.term or (old.kind, old.reason, old.promises) != (new.kind, new.reason, new.promises):
                break
            shared += 1
    return Path(
        number=number,
        ending=ending,
        result=result,
        entries=tuple(run.entries),
        fresh_from=shared,
        pre=run.pre,
        post=run.storage.snapshot(),
        rules=tuple(run.rules),
        events=tuple(run.events),
        goals=tuple(run.goals),
        marks=dict(run.marks),
        asides=tuple(run.asides),
    )
