"""Reads a policy from TOML; every mistake is one sentence that names the place and what was expected there."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Final, cast

from audit.photograph import ROOTS_MOST, BadInputError, Kind, Machine, Root
from audit.policy import (
    DOMAINS_MOST,
    KINDS,
    Demand,
    Disjoint,
    Domain,
    Halves,
    Owned,
    OwnerMap,
    Policy,
    Reserved,
    Shared,
    Tables,
    User,
    WriteXorExecute,
    default_demands,
    group,
    slug,
)
from audit.roots import check_roots
from audit.toml_table import ADDRESSES, Table, hint, shown

HALVES: Final = ("lower", "upper")
LARGEST: Final = 1 << 20  # bytes of a policy; an owner map of 10,000 ranges needs less
ENTRIES_MOST: Final = 512  # of one clause; of an owner map there may be more
DEMANDS_MOST: Final = 1 << 16  # twice what all pairs of the domains need
PARTS_MOST: Final = 16  # of a dotted key, of which tomllib needs the square in time and memory

# What in TOML may hold dots without meaning parts of a key: strings, also without an end, and comments.
_OPAQUE: Final = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:"{3,5}|\\?\Z)'
    r"|'''(?:[^']|'(?!''))*+(?:'{3,5}|\Z)"
    r'|"(?:[^"\\\n]|\\.)*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+",
    re.DOTALL,
)
_PARTS: Final = re.compile(rf"(?:\.[^.\n=,\[\]{{}}]*+){{{PARTS_MOST}}}")

_TOP: Final = (
    "defaults", "machine", "root", "domain", "disjoint", "shared", "reserved", "tables", "write-xor-execute", "user",
    "owner-map",
)  # fmt: skip


def read_policy(path: Path) -> PolicyFile:
    """The policy in a file; raises BadInputError."""
    try:
        text = _bytes(path).decode("utf-8-sig")
        if _PARTS.search(_OPAQUE.sub("_", text)):
            raise BadInputError(f"{path}: a key has more parts than the {PARTS_MOST} that were expected at most.")
        content = cast("dict[str, object]", tomllib.loads(text))
    except OSError as error:
        raise BadInputError(f"{path}: the policy cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{path}: the policy is not TOML: {error}.") from error
    if any(isinstance(value, int) and not -(1 << 63) <= value < 1 << 63 for value in _values(content)):
        raise BadInputError(f"{path}: the policy is not TOML: a number has more than 64 bits.")
    return PolicyFile(str(path), content)


def _bytes(path: Path) -> bytes:
    """The content of a regular file that is not too large; a pipe is not waited for."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise BadInputError(f"{path}: the policy cannot be read: a regular file was expected.")
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise BadInputError(f"{path}: a policy of at most {LARGEST} bytes was expected.")
    return content


def _values(content: object) -> Iterator[object]:
    """All values at any depth."""
    left = [content]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += cast("dict[str, object]", value).values()
        elif isinstance(value, list):
            left += cast("list[object]", value)
        else:
            yield value


class PolicyFile:
    """A policy as its file says it, to be completed with the roots of a photograph."""

    def __init__(self, file: str, content: dict[str, object]) -> None:
        self.file = file
        self.top = Table(file, "top level", content)
        self.top.only(*_TOP)
        roots = self.named("root")
        if len(roots) > ROOTS_MOST:
            self.top.fail(f"{len(roots)} tables [root.NAME]; at most {ROOTS_MOST} were expected")
        self.added = tuple(self._root(table, name) for name, table in roots)

    @property
    def stands_alone(self) -> bool:
        """Every root of every domain is given by address, so that none has to be found."""
        own = {root.name for root in self.added}
        domains = [table.content.get("roots") for _, table in self.named("domain")]
        return bool(domains) and all(isinstance(roots, list) and set(map(str, roots)) <= own for roots in domains)

    def machine(self, machine: Machine) -> Machine:
        """The machine as the photograph tells it, corrected by the policy."""
        table = self.table("machine")
        table.only("maxphyaddr", "encryption-bit", "malformed")
        width, bit = table.optional("maxphyaddr", 32, 52), table.optional("encryption-bit", 32, 51)
        return replace(
            machine,
            maxphyaddr=width or machine.maxphyaddr,
            encryption_bit=machine.encryption_bit if bit is None else bit,
        )

    def check_roots(self, roots: Sequence[Root]) -> None:
        """Refuse roots of the file that contradict one another, or these ones; raises BadInputError."""
        check_roots(roots, self.added, lambda root: f"{self.file}: [root.{root.name}]")

    def policy(self, roots: Sequence[Root], halves: Halves) -> Policy:
        """The policy for a photograph with these roots, without those that the file adds; raises BadInputError."""
        return _Reader(self, roots, halves).policy()

    def table(self, key: str) -> Table:
        """A table of the file, empty if it is missing."""
        content = self.top.take(key, dict, cast("dict[str, object]", {}), f"a table [{key}]")
        return Table(self.file, f"[{key}]", content)

    def named(self, key: str) -> list[tuple[str, Table]]:
        """The tables below a table, by name."""
        table = self.table(key)
        for name, content in table.content.items():
            if not table.named(name):
                table.fail("a name is empty")
            if not isinstance(content, dict):
                table.fail(f"{name!r} is {shown(content)}; a table [{key}.{name}] was expected")
        tables = cast("Mapping[str, dict[str, object]]", table.content)
        return [(name, Table(self.file, f"[{key}.{name}]", content)) for name, content in tables.items()]

    def _root(self, table: Table, name: str) -> Root:
        table.only("kind", "levels", "address", "inside", "guest")
        kind = self._kind(table)
        address = table.number("address", 0, ADDRESSES - 1)
        if address % 4096:
            table.fail(f"'address' is {address:#x}; a multiple of 0x1000 was expected")
        inside = table.text("inside", "")
        guest = table.flag("guest") or kind is not Kind.X86 or bool(inside)
        levels = table.number("levels", 4, 5)
        return Root(name, kind, levels, address >> 12, inside, f"named in {self.file}", guest)

    def _kind(self, table: Table) -> Kind:
        value = table.text("kind")
        if value not in KINDS:
            table.fail(f"'kind' is {shown(value)}; one of {', '.join(KINDS)} was expected")
        return Kind(value)


class _Reader:
    """A policy on its way from a file to data, for a photograph with known roots."""

    def __init__(self, policy_file: PolicyFile, roots: Sequence[Root], halves: Halves) -> None:
        self.source, self.file, self.top = policy_file, policy_file.file, policy_file.top
        self.added = policy_file.added
        self.roots = (*roots, *self.added)
        policy_file.check_roots(roots)
        self._halves = halves
        self.domains = self._domains()
        self.names = tuple(domain.name for domain in self.domains)

    def policy(self) -> Policy:
        """Everything, checked for contradictions."""
        machine = self.source.table("machine")
        demands: list[Demand] = [
            *self._disjoint(), *self._reserved(), *self._tables(), *self._executable(), *self._user(), *self._owners(),
        ]  # fmt: skip
        if self.top.flag("defaults"):
            said = set(map(_about, demands))
            demands += [d for d in default_demands(self.domains, self.roots) if _about(d) not in said]
        malformed = machine.text("malformed", "allow")
        if malformed not in ("allow", "forbid"):
            machine.fail(f'\'malformed\' is {shown(malformed)}; "allow" or "forbid" was expected')
        if not demands and malformed == "allow":
            self.top.fail("demands nothing, so nothing could ever be found; a clause or defaults = true was expected")
        if len(demands) > DEMANDS_MOST:
            self.top.fail(f"demands {len(demands)} things; at most {DEMANDS_MOST} were expected")
        shared = self._shared(demands)
        return Policy(self.file, self.domains, tuple(demands), shared, self.added, malformed == "forbid")

    def _each(self, key: str, *known: str) -> list[Table]:
        entries = self.top.take(key, list, cast("list[object]", []), f"tables [[{key}]]")
        if len(entries) > ENTRIES_MOST:
            self.top.fail(f"{len(entries)} tables [[{key}]]; at most {ENTRIES_MOST} were expected")
        found: list[Table] = []
        for number, entry in enumerate(entries, 1):
            if not isinstance(entry, dict):
                self.top.fail(f"{key!r} holds {shown(entry)}; tables [[{key}]] were expected")
            found.append(Table(self.file, f"[[{key}]] number {number}", cast("dict[str, object]", entry)))
            found[-1].only(*known)
        return found

    def _domains(self) -> tuple[Domain, ...]:
        names = [root.name for root in self.roots]
        found: list[Domain] = []
        taken: dict[str, str] = {}
        for name, table in self.source.named("domain"):
            table.only("roots")
            roots = table.texts("roots", names)
            if not roots:
                table.fail("'roots' is empty; a domain runs on at least one root")
            for root in roots:
                if root in taken:
                    table.fail(f"the root {root!r} already belongs to the domain {taken[root]!r}")
                taken[root] = name
            found.append(Domain(name, roots))
        domains = tuple(found) or group(self.roots, self._halves)
        if len(domains) > DOMAINS_MOST:
            self.top.fail(f"there are {len(domains)} domains; at most {DOMAINS_MOST} were expected")
        return domains

    def _bound(self, table: Table) -> tuple[str, ...]:
        """The domains that a clause binds: those of `domains`, or all but those of `except`."""
        if "domains" in table.content and "except" in table.content:
            table.fail("either 'domains' or 'except' was expected, not both")
        excused = table.texts("except", self.names, ())
        bound = table.texts("domains", self.names, [n for n in self.names if n not in excused])
        return bound or table.fail("binds no domain, so nothing could ever be found")

    def _disjoint(self) -> list[Demand]:
        found: dict[tuple[frozenset[str], str], Disjoint] = {}
        for table in self._each("disjoint", "name", "domains", "by", "against", "user"):
            domains = table.texts("domains", self.names)
            if len(domains) < 2:
                table.fail("'domains' names fewer than two domains")
            by = table.some_rights("by")
            against = table.some_rights("against", by)
            name, user = table.name(), table.flag("user")
            for first, second in combinations(domains, 2):
                key = (frozenset((first, second)), slug(name))
                if key in found:
                    table.fail(f"{first!r} and {second!r} are already disjoint by another entry of the same name")
                found[key] = Disjoint(name, first, second, by, against, user)
            if len(found) > DEMANDS_MOST:
                table.fail(f"with this one, more than {DEMANDS_MOST} pairs are disjoint")
        return list(found.values())

    def _shared(self, demands: Sequence[Demand]) -> tuple[Shared, ...]:
        found: list[Shared] = []
        reserved = [d for d in demands if isinstance(d, Reserved)]
        for table in self._each("shared", "domains", "ranges", "rights"):
            domains = table.texts("domains", self.names)
            if len(domains) < 2:
                table.fail("'domains' names fewer than two domains")
            if "ranges" not in table.content:
                table.fail(f"{' and '.join(domains)} are shared without 'ranges', which contradicts being disjoint")
            shared = Shared(domains, table.ranges(), table.some_rights("rights"))
            for demand in reserved:
                if set(domains) & set(demand.domains) and shared.rights & demand.rights and not demand.user:
                    both = shared.ranges & demand.ranges
                    if both:
                        first = next(iter(both))[0] << 12
                        table.fail(f"{first:#x} is shared here and reserved against the same domain by {demand.name!r}")
            found.append(shared)
        return tuple(found)

    def _reserved(self) -> list[Demand]:
        found: list[Reserved] = []
        for table in self._each("reserved", "name", "domains", "except", "ranges", "rights", "user"):
            name = table.name(otherwise=None)
            if not name or slug(name) in {slug(demand.name) for demand in found}:
                table.fail(f"'name' is {name!r}; a name that no other [[reserved]] has was expected")
            ranges, bound = table.ranges(), self._bound(table)
            demand = Reserved(name, bound, ranges, table.some_rights("rights"), table.flag("user"))
            for other in found:
                both = other.ranges & ranges
                if both and set(other.domains) & set(bound) and other.rights != demand.rights:
                    first = next(iter(both))[0] << 12
                    table.fail(f"{first:#x} is also reserved by {other.name!r}, for other rights of the same domain")
            found.append(demand)
        return list(found)

    def _tables(self) -> list[Demand]:
        tables = self._each("tables", "name", "domains", "except", "of", "rights", "user", "guest-tables")
        found = [
            Tables(
                t.name(), self._bound(t), t.texts("of", self.names, self.names), t.some_rights("rights"),
                t.flag("user"), t.flag("guest-tables"),
            )
            for t in tables
        ]  # fmt: skip
        self._distinct("tables", [demand.name for demand in found])
        return list(found)

    def _executable(self) -> list[Demand]:
        found = [
            WriteXorExecute(t.name(), name, tuple(Kind(k) for k in t.texts("kinds", KINDS, KINDS)), t.flag("user"))
            for t in self._each("write-xor-execute", "name", "domains", "except", "kinds", "user")
            for name in self._bound(t)
        ]
        self._distinct("write-xor-execute", [f"{demand.name}/{demand.domain}" for demand in found])
        return list(found)

    def _user(self) -> list[Demand]:
        found: list[User] = []
        for table in self._each("user", "name", "domains", "except", "forbidden"):
            halves = table.texts("forbidden", HALVES, ("upper",))
            if not halves:
                table.fail("'forbidden' is empty, so nothing could ever be found")
            name = table.name()
            found += [User(name, domain, "upper" in halves, "lower" in halves) for domain in self._bound(table)]
        self._distinct("user", [f"{demand.name}/{demand.domain}" for demand in found])
        return list(found)

    def _owners(self) -> list[Demand]:
        if "owner-map" not in self.top.content:
            return []
        table = self.source.table("owner-map")
        table.only("name", "domains", "except", "entries")
        entries: list[Owned] = []
        pairs: list[tuple[int, int]] = []
        for number, content in enumerate(
            cast("list[object]", table.take("entries", list, None, "a list of tables")), 1
        ):
            if not isinstance(content, dict):
                table.fail(f"'entries' holds {shown(content)}; tables [[owner-map.entries]] were expected")
            entry = Table(self.file, f"[[owner-map.entries]] number {number}", cast("dict[str, object]", content))
            entry.only("ranges", "owner", "rights")
            owner = entry.text("owner")
            if owner and owner not in self.names:
                entry.fail(f"'owner' names {shown(owner)}, which does not exist{hint(owner, self.names)}")
            rights = entry.rights("rights", None) if "rights" in entry.content else None
            entries.append(Owned(entry.ranges(), owner, rights))
            pairs += list(entries[-1].ranges)
        for (_, end), (first, _) in zip(sorted(pairs), sorted(pairs)[1:], strict=False):
            if first < end:
                table.fail(f"two entries say who owns {first << 12:#x}")
        if not entries:
            table.fail("'entries' is empty, so nothing could ever be found")
        return [OwnerMap(table.name(), self._bound(table), tuple(entries))]

    def _distinct(self, key: str, names: Sequence[str]) -> None:
        for name, number in Counter(map(slug, names)).items():
            if number > 1:
                self.top.fail(f"two entries of [[{key}]] say {name.strip('/')!r}; give them names that differ")


def _about(demand: Demand) -> tuple[type[Demand], object]:
    """What a demand is about: what a file says itself replaces defaults about the same."""
    if isinstance(demand, Disjoint):
        return Disjoint, frozenset((demand.first, demand.second))
    return type(demand), demand.domain if isinstance(demand, WriteXorExecute | User) else slug(demand.name)
