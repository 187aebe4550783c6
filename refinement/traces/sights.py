"""What observers see before and after a step that must not show.

Own view: a step that does not concern an enclave leaves everything that the enclave sees of itself as it was.
Coalition: a step of an enclave that releases nothing leaves everything that all others together see as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

from model.hyperenclave.observers import COALITION, OWN
from model.hyperenclave.specification import HYPERENCLAVE
from model.hyperenclave.state import runs
from model.language.logic import Value
from model.language.specification import View
from model.language.transition import Keys, State
from refinement.traces.observed import Changes, Observed, Place, same_sight
from refinement.traces.story import Story, Told

SILENT: Final = frozenset(("enclave_step", "enclave_fill", "evict"))
"""Actions of an enclave, or of the hardware under it, that nobody else sees unless they release something."""

Sight = tuple[str, int, str, Keys]  # observer, protected enclave, view, keys


@dataclass(frozen=True)
class Quiet:
    """The enclaves that a step does not concern, and the one whose coalition must not notice it."""

    own: frozenset[int]
    coalition: frozenset[int]


def quiet(observed: Observed, story: Story, told: Told) -> Quiet:
    """Judged in the state before the step."""
    state, living = observed.abstract_state, observed.living()
    own = {e for e in living if not any(_concerns(state, e, act.name, act.arguments) for act in story.acts)}
    silent = bool(story.acts) and all(act.name in SILENT for act in story.acts)
    released = any(flow.active is True for transition in told.transitions for flow in transition.releases)
    coalition = set[int]()
    if silent and not released:
        cpu = story.acts[0].arguments["c"]
        coalition = {e for e in living if runs(state, cpu, e) is True}
    return Quiet(frozenset(own), frozenset(coalition))


def _concerns(state: State, enclave: int, action: str, arguments: object) -> bool:
    names = HYPERENCLAVE.actions[action].names
    if names is None or not isinstance(arguments, dict):
        return False
    return names(state, enclave, **arguments) is not False


def changed_sights(observed: Observed, before: Quiet, changes: Changes) -> Iterator[Sight]:
    """What has changed in the views of those for whom the step was quiet."""
    for (name, enclave, keys), _ in observed.views.refresh(changes).items():
        if enclave in before.own:
            yield OWN.name, enclave, name, keys
    _watch(observed)
    for enclave in before.coalition:
        yield from _coalition(observed, enclave, changes)


def _watch(observed: Observed) -> None:
    """Know the own view of every enclave over all pages, so that the next step can be judged."""
    size = (tuple(observed.living()), len(observed.universe.pages))
    if size == observed.watched:
        return
    observed.watched = size
    for enclave in observed.living():
        for view in OWN.sees:
            for keys in observed.universe.keys(view.over.values()):
                observed.views.get((view.name, enclave, keys))


def _coalition(observed: Observed, enclave: int, changes: Changes) -> Iterator[Sight]:
    """Every view at the keys of a changed place: what a view shows depends on its own keys only."""
    now, earlier = observed.abstract_state, _as_before(observed, changes)
    for view in COALITION.sees:
        for keys in _keys(observed, view, changes):
            over = dict(zip(view.over, keys, strict=True))
            if not same_sight(view.formula(earlier, enclave, **over), view.formula(now, enclave, **over)):
                yield COALITION.name, enclave, view.name, keys


def _as_before(observed: Observed, changes: Changes) -> State:
    def read(component: str, keys: Keys) -> Value:
        place: Place = (component, keys)
        return changes[place][0] if place in changes else observed.read(component, keys)

    return State(HYPERENCLAVE, read, observed.abstract_state.K, observed.quantify)


def _keys(observed: Observed, view: View, changes: Changes) -> set[Keys]:
    found = set[Keys]()
    for component, keys in changes:
        fixed = dict(zip(HYPERENCLAVE.components[component].keys, keys, strict=True))
        if all(sort in view.over.values() for sort in fixed):
            choices = (
                [fixed[sort]] if sort in fixed else observed.universe.carrier(sort) for sort in view.over.values()
            )
            found.update(product(*choices))
    return found
