"""What an audit demands: domains, the clauses that bind them, and the defaults for a photograph without a policy.

A policy is plain data; `audit.policy_file` reads one from TOML.  docs/audit.md says each clause in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from audit.photograph import Kind, Root
from audit.ranges import Ranges
from audit.reach import Rights

ANY: Final = Rights.READ | Rights.WRITE | Rights.EXECUTE
KINDS: Final = tuple(Kind)

Halves = Callable[[int], bool]
"""Whether the table at a frame and the one beside it are the halves of kernel page-table isolation."""

DOMAINS_MOST: Final = 256
"""More domains than this are refused: each pair of them would be decided."""


@dataclass(frozen=True)
class Domain:
    """One party: the names of the roots that it runs on, such as a nested table with the guest's own, or a PTI pair."""

    name: str
    roots: tuple[str, ...]


@dataclass(frozen=True)
class Disjoint:
    """No frame to which `first` has a right of `by` and `second` one of `against`, nor the other way round.

    user: only leaves that CPL 3 may use count.
    """

    name: str
    first: str
    second: str
    by: Rights = ANY
    against: Rights = ANY
    user: bool = False


@dataclass(frozen=True)
class Reserved:
    """None of the domains has a right of `rights` to a frame of the ranges."""

    name: str
    domains: tuple[str, ...]
    ranges: Ranges
    rights: Rights = ANY
    user: bool = False


@dataclass(frozen=True)
class Tables:
    """None of the domains has a right of `rights` to a frame that holds a page table of the domains in `of`.

    guests: tables inside a nested table, which are a guest's own, count too; only that guest may reach them.
    """

    name: str
    domains: tuple[str, ...]
    of: tuple[str, ...]
    rights: Rights = ANY
    user: bool = False
    guests: bool = False


@dataclass(frozen=True)
class WriteXorExecute:
    """No leaf of the domain, in tables of these kinds, grants both writing and execution."""

    name: str
    domain: str
    kinds: tuple[Kind, ...] = KINDS
    user: bool = False


@dataclass(frozen=True)
class User:
    """No leaf in the named half of the domain's address space (x86 tables) may be used by CPL 3."""

    name: str
    domain: str
    upper: bool = True
    lower: bool = False


@dataclass(frozen=True)
class Owned:
    """An entry of the owner map (the EPCM): frames, the domain that owns them or "" for nobody, its rights or None."""

    ranges: Ranges
    owner: str
    rights: Rights | None = None


@dataclass(frozen=True)
class OwnerMap:
    """Leaves of the domains on frames of the map are for the owner's own pages, with the page's rights if told."""

    name: str
    domains: tuple[str, ...]
    entries: tuple[Owned, ...]


@dataclass(frozen=True)
class Shared:
    """The domains may share these frames with at most these rights: an exception to `Disjoint` among them."""

    domains: tuple[str, ...]
    ranges: Ranges
    rights: Rights


Demand = Disjoint | Reserved | Tables | WriteXorExecute | User | OwnerMap


@dataclass(frozen=True)
class Policy:
    """Domains and demands.

    source: the file, or "defaults".  roots: those that the policy adds to the photograph's.
    malformed: whether entries that grant nothing because a bit in them is reserved or misconfigured are a violation.
    """

    source: str
    domains: tuple[Domain, ...]
    demands: tuple[Demand, ...]
    shared: tuple[Shared, ...] = ()
    roots: tuple[Root, ...] = ()
    malformed: bool = False


def slug(name: str) -> str:
    """The name of a demand as it stands in identifiers; names of one clause differ in this."""
    return name.replace(" ", "-")


def group(roots: Sequence[Root], halves: Halves) -> tuple[Domain, ...]:
    """The domains that roots suggest.

    A nested table and the tables inside it are one machine.  Of the other tables of guests (shadow tables) each is one.
    Tables of the machine's own CPUs are one domain if they are the same frame, or differ in address bit 12 only and are
    the two halves of kernel page-table isolation.
    """
    members: dict[tuple[str, int | str], list[Root]] = {}
    by_name = {root.name: root for root in roots}
    for root in roots:
        outer = root
        for _ in roots:
            outer = by_name.get(outer.inside, outer)
        key: tuple[str, int | str] = outer.kind, outer.frame
        if not outer.guest:
            key = ("halves", outer.frame >> 1) if halves(outer.frame) else ("", outer.frame)
        members.setdefault(key, []).append(root)
    return tuple(Domain(_first(found).name, tuple(root.name for root in found)) for found in members.values())


def _first(roots: Sequence[Root]) -> Root:
    """The root that gives a domain its name: not inside another."""
    return next((root for root in roots if not root.inside), roots[0])


def defaults(roots: Sequence[Root], halves: Halves) -> Policy:
    """What is demanded of a photograph without a policy.

    Guests are pairwise disjoint: what one may write no other may reach.  No guest, and nothing in user mode of the
    machine itself, reaches a table frame.  Address spaces of the machine's own CPUs share no frame that both may
    write in user mode, have no leaf that is writable and executable, and no user leaf in the upper half.
    """
    domains = group(roots, halves)
    return Policy("defaults", domains, tuple(default_demands(domains, roots)))


def default_demands(domains: Sequence[Domain], roots: Sequence[Root]) -> list[Demand]:
    """The default demands on these domains."""
    guest_roots = {root.name for root in roots if root.guest}
    guests = [d.name for d in domains if guest_roots & set(d.roots)]
    hosts = [d.name for d in domains if not guest_roots & set(d.roots)]
    names = tuple(d.name for d in domains)
    demands: list[Demand] = [Disjoint("", a, b, Rights.WRITE, ANY) for a, b in combinations(guests, 2)]
    demands += [Disjoint("", a, b, Rights.WRITE, Rights.WRITE, user=True) for a, b in combinations(hosts, 2)]
    if guests:
        demands.append(Tables("", tuple(guests), names))
    if hosts:
        demands.append(Tables("user mode", tuple(hosts), names, user=True))
    for name in hosts:
        demands += [WriteXorExecute("", name, (Kind.X86,)), User("", name)]
    return demands
