"""A domain with everything that its roots reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from audit.photograph import BadInputError, Kind, Photograph, Root
from audit.policy import ANY, Domain
from audit.ranges import Ranges
from audit.reach import Reach, Rights, Trouble, Way

# Troubles after which nobody knows what a table grants; the others grant nothing.
UNKNOWN_TROUBLES = (Trouble.ABSENT, Trouble.UNTRANSLATED)

Walk = Callable[[Root, Reach | None], Reach]


@dataclass(frozen=True)
class Party:
    """A domain with the reach of each of its roots.

    horizon: if MAXPHYADDR is not known, the frame from which on the photograph has no memory: what looks like a leaf to
    a frame there may be an entry that a hypervisor marked with an address bit that is reserved.
    """

    domain: Domain
    reaches: tuple[Reach, ...]
    horizon: int | None = None
    _by_rights: dict[tuple[Rights, bool], dict[Rights, Ranges]] = field(
        default_factory=dict[tuple[Rights, bool], dict[Rights, Ranges]], repr=False
    )

    @property
    def name(self) -> str:
        """The domain's name."""
        return self.domain.name

    @property
    def outer(self) -> tuple[Reach, ...]:
        """The reaches that bound the domain: what a guest's own tables reach lies within its nested table's reach."""
        own = set(self.domain.roots)
        return tuple(reach for reach in self.reaches if reach.root.inside not in own)

    def values(self, reaches: Sequence[Reach]) -> list[tuple[Reach, Rights]]:
        """Every combination of rights that leaves of these reaches grant."""
        return [(reach, value) for reach in reaches for value in reach.spans.parts]

    def by_rights(self, mask: Rights, user: bool) -> dict[Rights, Ranges]:
        """The frames by the rights of `mask` that some leaf grants, those of the outer reaches.

        user: leaves that CPL 3 may not use grant nothing.
        """
        if (mask, user) in self._by_rights:
            return self._by_rights[mask, user]
        found: dict[Rights, list[Ranges]] = {}
        for reach, value in self.values(self.outer):
            counted = value & mask if not user or usable(reach.root, value) else Rights.NONE
            found.setdefault(counted, []).append(reach.spans.exactly(value))
        self._by_rights[mask, user] = {rights: Ranges.union(parts) for rights, parts in found.items()}
        return self._by_rights[mask, user]

    def granting(self, right: Rights) -> Ranges:
        """Every frame to which the domain has a right of these, USER among them if it is asked for."""
        return Ranges.union(ranges for rights, ranges in self.by_rights(ANY | right, False).items() if rights & right)

    def count(self, right: Rights) -> int:
        """How many frames `granting` has; cheaper than the union if there are many ranges."""
        found = [ranges for rights, ranges in self.by_rights(ANY, False).items() if rights & right]
        total = 0
        for place, ranges in enumerate(found):
            for earlier in found[:place]:
                ranges = ranges - earlier
            total += ranges.frames
        return total

    def usable(self, mask: Rights) -> Ranges:
        """Every frame to which CPL 3, or a guest, has a right of these."""
        return Ranges.union(ranges for rights, ranges in self.by_rights(mask, True).items() if rights)

    def tables(self, inner: bool) -> Ranges:
        """The frames of its tables: of outer roots, or of those that lie in the guest's own memory."""
        outer = {reach.root.name for reach in self.outer}
        chosen = [reach.tables for reach in self.reaches if (reach.root.name not in outer) is inner]
        return Ranges.union(Ranges.of(tables, np.ones_like(tables)) for tables in chosen)

    def ways(self, reaches: Sequence[Reach], first: int, count: int, rights: Rights, most: int) -> Iterator[Way]:
        """Up to `most` paths to these frames with at least these rights."""
        return islice((way for reach in reaches for way in reach.ways(first, count, rights, most)), most)

    def doubts(self, reaches: Sequence[Reach]) -> list[str]:
        """What is doubtful about the roots of these reaches, in words."""
        return [f"{reach.root.name}: {reach.root.doubt}" for reach in reaches if reach.root.doubt]

    def unknown(self, reaches: Sequence[Reach]) -> dict[str, int]:
        """How many entries of these reaches nobody can follow, by trouble in words."""
        found: dict[str, int] = {}
        for reach in reaches:
            for trouble, number in reach.troubles.items():
                if trouble in UNKNOWN_TROUBLES and number:
                    found[str(trouble)] = found.get(str(trouble), 0) + number
        return found


def usable(root: Root, value: Rights) -> bool:
    """CPL 3 may use such a leaf: a nested table's leaves serve every privilege level of the guest."""
    return root.kind is not Kind.X86 or bool(value & Rights.USER)


def walk_all(
    photograph: Photograph, domains: Sequence[Domain], roots: Sequence[Root], walk: Walk, width_known: bool
) -> tuple[Party, ...]:
    """Walk every root of every domain once, nested tables before the tables inside them.

    width_known: whether MAXPHYADDR is known.
    """
    by_name = {root.name: root for root in roots}
    done: dict[str, Reach] = {}

    def reach(name: str) -> Reach:
        if name not in done:
            root = by_name[name]
            nested = reach(root.inside) if root.inside else None
            if nested is None and root.frame >= photograph.end and not root.found:
                raise BadInputError(
                    f"{photograph.name}: the root {root.name!r} at {root.frame << 12:#x} lies beyond the last frame of"
                    f" the photograph, which ends at {photograph.end << 12:#x}."
                )
            done[name] = walk(root, nested)
        return done[name]

    horizon = None if width_known else photograph.end
    return tuple(Party(domain, tuple(reach(name) for name in domain.roots), horizon) for domain in domains)
