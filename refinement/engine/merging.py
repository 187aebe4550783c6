"""Run a pure function over all its paths at once: its results become one choice, and its caller does not fork."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from model.language.terms import FALSE, TRUE, Term, boolean, t_and, t_implies, t_ite, t_not
from refinement.engine.values import EngineError, SymBool, SymInt, hosted, merge, require, truth

_LIMIT = 200


class _Fork:
    """The host of one run of the function: answers from a prefix, then with true."""

    def __init__(self, prefix: tuple[bool, ...]) -> None:
        self.sides = list(prefix)
        self.terms: list[Term] = []
        self.conditions: list[tuple[Term, str]] = []

    @property
    def path(self) -> Term:
        """What was decided so far."""
        return t_and(t if side else t_not(t) for t, side in zip(self.terms, self.sides, strict=False))

    def decide(self, condition: Term) -> bool:
        """A side of a branch; a condition that was met before keeps its side."""
        if condition is TRUE or condition is FALSE:
            return condition is TRUE
        for term, side in zip(self.terms, self.sides, strict=False):
            if term is condition:
                return side
            if term is t_not(condition):
                return not side
        self.terms.append(condition)
        if len(self.sides) < len(self.terms):
            self.sides.append(True)
        return self.sides[len(self.terms) - 1]

    def require(self, condition: Term, reason: str) -> None:
        """A condition that is needed on this path only."""
        self.conditions.append((t_implies(self.path, condition), reason))


def merged(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function without branches; it must return a number or a truth value, raise nothing, write nothing.

    That it neither raises nor writes is checked: an `EngineError` if it raises, or if the storage or the events of a
    machine among its arguments are not as they were.
    """

    def run(*arguments: object) -> object:
        results: list[tuple[Term, object]] = []
        before = _traces(arguments)
        pending: list[tuple[bool, ...]] = [()]
        while pending:
            prefix = pending.pop()
            fork = _Fork(prefix)
            result = _called(function, arguments, fork)
            for depth in range(len(prefix), len(fork.terms)):
                pending.append((*fork.sides[:depth], not fork.sides[depth]))
            results.append((fork.path, result))
            for condition, reason in fork.conditions:
                require(condition, reason)
            if len(results) > _LIMIT:
                raise EngineError(f"{function.__name__} has too many paths to be merged")
        if any(now is not then for now, then in zip(_traces(arguments), before, strict=True)):
            raise EngineError(f"{function.__name__} does something beside returning a result")
        return _join(results)

    return run


def _called(function: Callable[..., Any], arguments: tuple[object, ...], fork: _Fork) -> object:
    try:
        with hosted(fork):
            return function(*arguments)
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(f"{function.__name__} is merged, so it must not raise {type(error).__name__}") from error


def _traces(arguments: tuple[object, ...]) -> list[object]:
    """Where the logs of the machines among the arguments end: the last event, and the last record of each field."""
    machines = [argument for argument in arguments if isinstance(argument, _Machine)]
    return [end for m in machines for end in (m.run.events[-1] if m.run.events else None, *m.storage.nodes.values())]


class _Noting(Protocol):
    events: list[tuple[object, ...]]


class _Keeping(Protocol):
    nodes: dict[str, Any]


@runtime_checkable
class _Machine(Protocol):
    """What a merged function might write to."""

    run: _Noting
    storage: _Keeping


def _join(results: list[tuple[Term, object]]) -> object:
    *others, (_, joined) = results
    for path, result in reversed(others):
        joined = _choose(path, result, joined)
    return joined


def _choose(path: Term, a: object, b: object) -> object:
    if isinstance(a, bool | SymBool) and isinstance(b, bool | SymBool):
        return truth(t_ite(path, _formula(a), _formula(b)))
    if isinstance(a, int | SymInt) and isinstance(b, int | SymInt):
        return merge(path, a, b)
    raise EngineError(f"results {a!r} and {b!r} can not be merged")


def _formula(value: bool | SymBool) -> Term:
    return boolean(value) if isinstance(value, bool) else value.term
