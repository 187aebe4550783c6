"""Leave one thing out of an action: what remains must be caught by the theorem that is there for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from model.language.specification import Action
from model.language.transition import Transition


def without(action: Action, kind: str, target: str) -> Action:
    """The action without its first row (by threat), update, release or endorsement (by name) that starts so."""

    def body(s: Transition, **arguments: Any) -> None:
        action.body(s, **arguments)
        if not _drop(s, kind, target):
            raise LookupError(f"{action.name} has no {kind} {target!r} to leave out")

    return replace(action, body=body)


def _drop(s: Transition, kind: str, target: str) -> bool:
    if kind == "row":
        return _remove(s.rows, [row.threat for row in s.rows], target)
    if kind == "update":
        return _remove(s.updates, [update.component for update in s.updates], target)
    if kind == "release":
        return _remove(s.releases, [flow.name for flow in s.releases], target)
    if kind == "endorsement":
        return _remove(s.endorsements, [flow.name for flow in s.endorsements], target)
    raise LookupError(f"{kind} is not a kind of mutant")


def _remove(items: list[Any], names: list[str], target: str) -> bool:
    for position, name in enumerate(names):
        if name.startswith(target):
            del items[position]
            return True
    return False
