"""Compares two photographs of one machine: which frames a domain reaches with other rights than before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from audit.party import Party
from audit.policy import ANY
from audit.ranges import NO_FRAMES, Ranges, profile
from audit.reach import Rights

_ALL: Final = ANY | Rights.USER


@dataclass(frozen=True)
class Change:
    """Frames that a domain has other rights to than before; each right counts if some leaf grants it.

    USER counts as a right: CPL 3 may use some leaf.
    """

    domain: str
    before: Rights
    after: Rights
    ranges: Ranges

    @property
    def gained(self) -> Rights:
        """Rights that the domain did not have before."""
        return self.after & ~self.before


@dataclass(frozen=True)
class Comparison:
    """against: the earlier photograph.  appeared, vanished: names of roots.  changes: what was gained stands first."""

    against: str
    appeared: tuple[str, ...]
    vanished: tuple[str, ...]
    changes: tuple[Change, ...]


def compare(now: Sequence[Party], before: Sequence[Party], against: str) -> Comparison:
    """What became reachable since the photograph `against`, and what no longer is; domains are matched by name."""
    new, old = {party.name: party for party in now}, {party.name: party for party in before}
    roots = [{reach.root.name for party in parties for reach in party.reaches} for parties in (now, before)]
    changes = [change for name in {**new, **old} for change in _changes(name, new.get(name), old.get(name))]
    changes.sort(key=lambda change: not change.gained)
    return Comparison(against, tuple(sorted(roots[0] - roots[1])), tuple(sorted(roots[1] - roots[0])), tuple(changes))


def _changes(name: str, now: Party | None, before: Party | None) -> list[Change]:
    sides = ((now, 8), (before, 0))
    sets = [
        (int(rights) << place, frames)
        for party, place in sides
        if party is not None
        for rights, frames in party.by_rights(_ALL, False).items()
    ]
    first, end, found = profile(_differing(now, before), sets)
    return [
        Change(name, Rights(value & 0xFF), Rights(value >> 8), Ranges.of(first[chosen], (end - first)[chosen]))
        for value in np.unique(found).tolist()
        for chosen in [found == value]
    ]


def _differing(now: Party | None, before: Party | None) -> Ranges:
    """The frames to which one side has a right that the other has not."""
    found: list[Ranges] = []
    for right in (Rights.READ, Rights.WRITE, Rights.EXECUTE, Rights.USER):
        a, b = (NO_FRAMES if party is None else party.granting(right) for party in (now, before))
        found += [a - b, b - a]
    return Ranges.union(found)
