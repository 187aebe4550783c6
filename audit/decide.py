"""Decides a policy on what the roots of a photograph reach.

Disjointness, reservation and ownership are the predicates of T1 (`model/hyperenclave/isolation.py`).  Each is
evaluated once for each combination of rights, owner and class that occurs, never for each page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from audit.finding import Clause
from audit.party import UNKNOWN_TROUBLES, Party, usable
from audit.photograph import Kind
from audit.policy import (
    ANY,
    Demand,
    Disjoint,
    OwnerMap,
    Policy,
    Reserved,
    Tables,
    User,
    WriteXorExecute,
    slug,
)
from audit.ranges import Ranges
from audit.reach import Reach, Rights
from audit.ruling import Answer, Question, Ruling
from model.hyperenclave.isolation import disjointness, exact, own_page, own_table, ownership, present, reservation
from model.hyperenclave.vocabulary import FrameClass, PageType

_WORDS: Final = {Rights.READ: "read", Rights.WRITE: "write", Rights.EXECUTE: "execute"}


@dataclass(frozen=True)
class Decision:
    """Everything that was decided about one photograph.  notes: what a reader should know and no clause says."""

    policy: Policy
    parties: tuple[Party, ...]
    rulings: tuple[Ruling, ...]
    notes: tuple[str, ...]


def decide(policy: Policy, parties: Sequence[Party]) -> Decision:
    """Every demand of the policy, and whether everything was there to see."""
    by_name = {party.name: party for party in parties}
    rulings = [ruling for demand in policy.demands for ruling in _decide(demand, by_name, policy)]
    rulings += [_complete(party, reach) for party in parties for reach in party.reaches]
    if policy.malformed:
        rulings += [_well_formed(party, reach) for party in parties for reach in party.reaches]
    return Decision(policy, tuple(parties), tuple(rulings), tuple(_notes(policy, parties)))


def _decide(demand: Demand, parties: dict[str, Party], policy: Policy) -> Iterator[Ruling]:
    if isinstance(demand, Disjoint):
        yield _disjoint(demand, parties, policy)
    elif isinstance(demand, WriteXorExecute):
        yield _write_xor_execute(demand, parties[demand.domain])
    elif isinstance(demand, User):
        yield _user(demand, parties[demand.domain])
    else:
        for name in demand.domains:
            if isinstance(demand, Reserved):
                yield _reserved(demand, parties[name])
            elif isinstance(demand, Tables):
                yield _tables(demand, parties[name], parties)
            else:
                yield _owners(demand, parties[name])


def _disjoint(demand: Disjoint, parties: dict[str, Party], policy: Policy) -> Ruling:
    a, b = parties[demand.first], parties[demand.second]
    violating: list[Ranges] = []
    for by, against in {(demand.by, demand.against), (demand.against, demand.by)}:
        ours, theirs = a.by_rights(by, demand.user), b.by_rights(against, demand.user)
        violating += [
            mine & yours
            for first, mine in ours.items()
            for second, yours in theirs.items()
            if not disjointness(int(first), int(second), a.name, b.name)
        ]
    counted = demand.by | demand.against
    found = Ranges.union(violating) - _shared(policy, a, b)
    mode = " in user mode" if demand.user else ""
    words = f"no frame that one of {a.name} and {b.name} may {_or(demand.by)} and the other {_or(demand.against)}{mode}"
    question = Question(
        _id(Clause.DISJOINT, demand.name, a.name, b.name), Clause.DISJOINT, demand.name, words,
        ((a, a.outer), (b, b.outer)),
    )  # fmt: skip
    return question.rule(found, _counting(counted, demand.user))


def _shared(policy: Policy, a: Party, b: Party) -> Ranges:
    """The frames that the policy lets both share, where neither has a right beyond those that may be shared."""
    found: list[Ranges] = []
    for shared in policy.shared:
        if {a.name, b.name} <= set(shared.domains):
            beyond = [f for p in (a, b) for r, f in p.by_rights(ANY & ~shared.rights, False).items() if r]
            found.append(shared.ranges - Ranges.union(beyond))
    return Ranges.union(found)


def _reserved(demand: Reserved, party: Party) -> Ruling:
    violating = [
        frames & demand.ranges
        for rights, frames in party.by_rights(demand.rights, demand.user).items()
        if not reservation(present(int(rights)), FrameClass.RESERVED)
    ]
    words = f"{party.name} may not {_or(demand.rights)} {demand.name}{_mode(demand.user)}"
    question = _question(Clause.RESERVED, demand.name, words, party)
    return question.rule(Ranges.union(violating), _counting(demand.rights, demand.user))


def _tables(demand: Tables, party: Party, parties: dict[str, Party]) -> Ruling:
    violating: list[Ranges] = []
    doubts = {owner: parties[owner].doubts(parties[owner].reaches) for owner in demand.of if owner != party.name}
    certain = [owner for owner in demand.of if not doubts.get(owner)]
    for rights, frames in party.by_rights(demand.rights, demand.user).items():
        for owner in certain:
            for guests in (False, True) if demand.guests else (False,):
                own = own_table(FrameClass.MONITOR, guests, owner, party.name)
                if not reservation(present(int(rights)), FrameClass.MONITOR, own):
                    violating.append(frames & parties[owner].tables(guests))
    words = f"{party.name} may not {_or(demand.rights)} a page table of {', '.join(demand.of)}{_mode(demand.user)}"
    question = _question(Clause.TABLES, demand.name, words, party)
    counting = _counting(demand.rights, demand.user)
    return question.rule(
        Ranges.union(violating), counting, doubts=[doubt for some in doubts.values() for doubt in some]
    )


def _owners(demand: OwnerMap, party: Party) -> Ruling:
    alike: dict[tuple[str, Rights | None], list[Ranges]] = {}
    for entry in demand.entries:
        alike.setdefault((entry.owner, entry.rights), []).append(entry.ranges)
    violating: list[Ranges] = []
    for (owner, page_rights), ranges in alike.items():
        mine = own_page(bool(owner), PageType.REG, owner, party.name)
        for rights, frames in party.by_rights(ANY, False).items():
            agrees = exact(int(rights), int(rights if page_rights is None else page_rights), True)
            if not ownership(int(rights), FrameClass.EPC, mine, agrees):
                violating.append(frames & Ranges.union(ranges))
    words = f"{party.name} reaches pages of the owner map only if they are its own, with the page's rights"
    return _question(Clause.OWNER, demand.name, words, party).rule(Ranges.union(violating), _counting(ANY, False))


def _write_xor_execute(demand: WriteXorExecute, party: Party) -> Ruling:
    both = Rights.WRITE | Rights.EXECUTE

    def wanted(reach: Reach, value: Rights) -> bool:
        return value & both == both and (not demand.user or usable(reach.root, value))

    reaches = tuple(reach for reach in party.reaches if reach.root.kind in demand.kinds)
    words = f"no leaf of {party.name} grants writing and execution{_mode(demand.user)}"
    clause = Clause.WRITE_XOR_EXECUTE
    return _question(clause, demand.name, words, party, reaches).rule(_of_leaves(party, reaches, wanted), wanted)


def _user(demand: User, party: Party) -> Ruling:
    def wanted(_: Reach, value: Rights) -> bool:
        return bool(value & ANY and value & Rights.USER and (demand.upper if value & Rights.UPPER else demand.lower))

    reaches = tuple(reach for reach in party.reaches if reach.root.kind is Kind.X86)
    halves = " or ".join(half for half, chosen in (("upper", demand.upper), ("lower", demand.lower)) if chosen)
    words = f"no user-accessible leaf of {party.name} in the {halves} half of the address space"
    return _question(Clause.USER, demand.name, words, party, reaches).rule(_of_leaves(party, reaches, wanted), wanted)


def _complete(party: Party, reach: Reach) -> Ruling:
    """Whether every table that the root leads to could be read."""
    name = reach.root.name
    unknown, doubts = party.unknown((reach,)), party.doubts((reach,))
    words = f"every table that {name} leads to is in the photograph"
    reason = "; ".join([*doubts, *([", ".join(f"{t} ({n})" for t, n in unknown.items())] if unknown else [])])
    mishaps = tuple(m for m in reach.mishaps if m.trouble in UNKNOWN_TROUBLES)
    answer = Answer.UNKNOWN if reason else Answer.HOLDS
    identifier = _id(Clause.ABSENT, "", name)
    return Ruling(identifier, Clause.ABSENT, "", words, (party.name,), answer, reason=reason, mishaps=mishaps)


def _well_formed(party: Party, reach: Reach) -> Ruling:
    """Whether no entry is malformed."""
    name = reach.root.name
    malformed = {t: n for t, n in reach.troubles.items() if t not in UNKNOWN_TROUBLES and n}
    words = f"no entry that {name} leads to has a reserved bit set or is misconfigured"
    doubt = "; ".join(party.doubts((reach,)))
    reason = doubt or ", ".join(f"{trouble} ({number})" for trouble, number in malformed.items())
    mishaps = tuple(m for m in reach.mishaps if m.trouble not in UNKNOWN_TROUBLES)
    answer = (
        Answer.VIOLATED
        if malformed and not doubt
        else Answer.UNKNOWN
        if doubt or party.unknown((reach,))
        else Answer.HOLDS
    )
    identifier = _id(Clause.MALFORMED, "", name)
    return Ruling(identifier, Clause.MALFORMED, "", words, (party.name,), answer, reason=reason, mishaps=mishaps)


def _notes(policy: Policy, parties: Sequence[Party]) -> Iterator[str]:
    for party in parties:
        for reach in party.reaches:
            found = {t: n for t, n in reach.troubles.items() if t not in UNKNOWN_TROUBLES and n}
            if found and not policy.malformed:
                what = ", ".join(f"{trouble}: {number}" for trouble, number in found.items())
                yield f"{reach.root.name}: entries that grant nothing ({what})"


def _of_leaves(party: Party, reaches: Sequence[Reach], wanted: Callable[[Reach, Rights], bool]) -> Ranges:
    return Ranges.union(reach.spans.exactly(value) for reach, value in party.values(reaches) if wanted(reach, value))


def _counting(rights: Rights, user: bool) -> Callable[[Reach, Rights], bool]:
    """Leaves with any of these rights."""
    return lambda reach, value: bool(value & rights) and (not user or usable(reach.root, value))


def _question(
    clause: Clause, name: str, words: str, party: Party, reaches: tuple[Reach, ...] | None = None
) -> Question:
    chosen = party.outer if reaches is None else reaches
    return Question(_id(clause, name, party.name), clause, name, words, ((party, chosen),))


def _id(clause: Clause, name: str, *subjects: str) -> str:
    return "/".join(("audit", clause.replace(" ", "-"), *filter(None, (slug(name),)), *subjects))


def _or(rights: Rights) -> str:
    words = [word for right, word in _WORDS.items() if right & rights]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _mode(user: bool) -> str:
    return " in user mode" if user else ""
