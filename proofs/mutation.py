"""Leave one thing out of a specification: what remains must be caught by some obligation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from model.language.specification import Action, Specification
from model.language.symbolic import Run, constants
from model.language.transition import Transition

IN_ACTIONS: Final = ("requirement", "row", "answer", "update", "release", "endorsement")


@dataclass(frozen=True)
class Part:
    """One thing that can be left out of a specification.

    kind: one of `IN_ACTIONS`, "view" or "invariant"; where: its action or observer, "" for an invariant; name: its
    threat, component or name, with a number where one name occurs twice; position: its place in declaration order.
    """

    kind: str
    where: str
    name: str
    position: int


def parts(specification: Specification, kinds: Sequence[str]) -> Iterator[Part]:
    """Every part of these kinds."""
    for action in specification.actions.values():
        step, _ = Run(specification, "s").step(action, constants(action.parameters, "arg"))
        for kind in IN_ACTIONS:
            if kind in kinds:
                yield from _numbered(kind, action.name, _names(step, kind))
    if "view" in kinds:
        for observer in specification.observers.values():
            yield from _numbered("view", observer.name, [view.name for view in observer.views])
    if "invariant" in kinds:
        yield from _numbered("invariant", "", list(specification.invariants))


def _numbered(kind: str, where: str, names: list[str]) -> Iterator[Part]:
    for position, name in enumerate(names):
        count = names[: position + 1].count(name)
        yield Part(kind, where, name if names.count(name) == 1 else f"{name} ({count})", position)


def leave_out(specification: Specification, part: Part) -> Specification:
    """The specification without the part."""
    if part.kind == "view":
        observer = specification.observers[part.where]
        views = tuple(view for i, view in enumerate(observer.views) if i != part.position)
        return replace(specification, observers={**specification.observers, part.where: replace(observer, views=views)})
    if part.kind == "invariant":
        kept = {name: item for name, item in specification.invariants.items() if name != part.name}
        return replace(specification, invariants=kept)
    action = _without(specification.actions[part.where], part.kind, part.position)
    return replace(specification, actions={**specification.actions, part.where: action})


def without(action: Action, kind: str, target: str) -> Action:
    """The action without its first row (by threat), update, release or endorsement (by name) that starts so."""
    return _without(action, kind, target)


def _without(action: Action, kind: str, target: str | int) -> Action:
    def body(s: Transition, **arguments: Any) -> None:
        action.body(s, **arguments)
        place = target if isinstance(target, int) else _find(_names(s, kind), target)
        if place is None:
            raise LookupError(f"{action.name} has no {kind} {target!r} to leave out")
        del _items(s, kind)[place]

    return replace(action, body=body)


def _find(names: list[str], start: str) -> int | None:
    return next((i for i, name in enumerate(names) if name.startswith(start)), None)


def _items(s: Transition, kind: str) -> list[Any]:
    tables: dict[str, list[Any]] = {
        "requirement": s.requirements,
        "row": s.rows,
        "answer": s.answers,
        "update": s.updates,
        "release": s.releases,
        "endorsement": s.endorsements,
    }
    try:
        return tables[kind]
    except KeyError:
        raise LookupError(f"{kind} is not a kind of mutant") from None


def _names(s: Transition, kind: str) -> list[str]:
    named = {"row": "threat", "answer": "threat", "update": "component", "release": "name", "endorsement": "name"}
    items = _items(s, kind)
    return [getattr(item, named[kind]) if kind in named else kind for item in items]
