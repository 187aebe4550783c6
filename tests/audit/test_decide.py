from __future__ import annotations

import pytest

from audit.decide import decide
from audit.finding import Clause
from audit.party import Party
from audit.photograph import Kind
from audit.policy import (
    ANY,
    Demand,
    Disjoint,
    Domain,
    Owned,
    OwnerMap,
    Policy,
    Reserved,
    Shared,
    Tables,
    User,
    WriteXorExecute,
)
from audit.ranges import Ranges
from audit.reach import Trouble
from audit.ruling import Answer, Ruling
from tests.audit.tiny import UPPER, R, TinyReach, U, W, X, party, root

RWX = R | W | X


def ruled(demand: Demand, *parties: Party, shared: tuple[Shared, ...] = ()) -> list[Ruling]:
    policy = Policy("test", tuple(p.domain for p in parties), (demand,), shared)
    return [ruling for ruling in decide(policy, parties).rulings if ruling.clause is not Clause.ABSENT]


def frames(ruling: Ruling) -> list[tuple[int, int]]:
    return [(finding.first, finding.count) for finding in ruling.findings]


def test_a_frame_that_both_may_write_is_found_with_both_sides() -> None:
    (ruling,) = ruled(Disjoint("", "a", "b"), party("a", (10, 1, RWX)), party("b", (0, 100, R | W)))
    assert ruling.answer is Answer.VIOLATED
    assert ruling.id == "audit/disjoint/a/b"
    (finding,) = ruling.findings
    assert [(side.domain, side.rights) for side in finding.sides] == [("a", RWX), ("b", R | W)]
    assert [way.first for side in finding.sides for way in side.ways] == [10, 0]


def test_512_shared_frames_of_one_page_are_one_finding() -> None:
    small = [(512 + n, 1, RWX) for n in range(512)]
    (ruling,) = ruled(Disjoint("", "a", "b"), party("a", (512, 512, RWX)), party("b", *small))
    assert (ruling.frames, ruling.ranges, frames(ruling)) == (512, 1, [(512, 512)])


def test_frames_that_only_one_reaches_are_disjoint() -> None:
    (ruling,) = ruled(Disjoint("", "a", "b"), party("a", (0, 10, RWX)), party("b", (10, 10, RWX)))
    assert (ruling.answer, ruling.findings) == (Answer.HOLDS, ())


@pytest.mark.parametrize(
    ("a", "b", "answer"),
    [
        (R, R, Answer.HOLDS),
        (W, R, Answer.VIOLATED),
        (R, W, Answer.VIOLATED),
        (W, X, Answer.VIOLATED),
        (R, X, Answer.HOLDS),
    ],
)
def test_what_one_writes_no_other_reaches(a, b, answer) -> None:
    demand = Disjoint("", "a", "b", W, ANY)
    (ruling,) = ruled(demand, party("a", (1, 1, a), (5, 1, RWX)), party("b", (1, 1, b), (7, 1, RWX)))
    assert ruling.answer is answer


def test_disjoint_in_user_mode_ignores_what_the_kernel_reaches() -> None:
    kernel = (0, 1000, R | W)
    demand = Disjoint("", "a", "b", W, W, user=True)
    a = party("a", kernel, (3, 1, R | W | U), kind=Kind.X86)
    b = party("b", kernel, (3, 1, R | W | U), (4, 1, R | U), kind=Kind.X86)
    (ruling,) = ruled(demand, a, b)
    assert frames(ruling) == [(3, 1)]


def test_shared_ranges_are_allowed_up_to_their_rights() -> None:
    share = (Shared(("a", "b"), Ranges.between([(0, 20)]), R | W),)
    a = party("a", (5, 1, R | W), (6, 1, RWX), (30, 1, R | W))
    b = party("b", (5, 1, R), (6, 1, R), (30, 1, R))
    (ruling,) = ruled(Disjoint("", "a", "b", W, ANY), a, b, shared=share)
    assert frames(ruling) == [(6, 1), (30, 1)]


def test_a_domain_with_absent_tables_is_not_known_to_be_disjoint() -> None:
    a = party("a", (0, 1, RWX), troubles={Trouble.ABSENT: 2})
    (ruling,) = ruled(Disjoint("", "a", "b"), a, party("b", (1, 1, RWX)))
    assert ruling.answer is Answer.UNKNOWN
    assert "table frame absent from the photograph (2)" in ruling.reason


def test_a_violation_that_is_seen_counts_although_tables_are_absent() -> None:
    a = party("a", (0, 1, RWX), troubles={Trouble.ABSENT: 2})
    (ruling,) = ruled(Disjoint("", "a", "b"), a, party("b", (0, 1, RWX)))
    assert ruling.answer is Answer.VIOLATED


def test_a_domain_that_reaches_nothing_proves_nothing() -> None:
    (ruling,) = ruled(Disjoint("", "a", "b"), party("a"), party("b", (1, 1, RWX)))
    assert ruling.answer is Answer.UNKNOWN


def test_absent_tables_are_a_ruling_of_their_own() -> None:
    a = party("a", (0, 1, RWX), troubles={Trouble.UNTRANSLATED: 1})
    (ruling,) = decide(Policy("test", (a.domain,), ()), (a,)).rulings
    assert (ruling.id, ruling.clause, ruling.answer) == ("audit/absent/a", Clause.ABSENT, Answer.UNKNOWN)


def test_reserved_ranges_are_cut_at_their_ends() -> None:
    demand = Reserved("monitor", ("a",), Ranges.between([(8, 12)]), ANY)
    (ruling,) = ruled(demand, party("a", (0, 10, R), (20, 5, R)))
    assert (ruling.id, frames(ruling)) == ("audit/reserved/monitor/a", [(8, 2)])


def test_a_range_reserved_against_writing_may_be_read() -> None:
    demand = Reserved("zeros", ("a",), Ranges.between([(8, 12)]), W | X)
    (ruling,) = ruled(demand, party("a", (8, 4, R)))
    assert ruling.answer is Answer.HOLDS


def test_nobody_reaches_a_nested_tables_frames_not_even_its_guest() -> None:
    a, b = party("a", (0, 4, R), (9, 1, R), tables=(9,)), party("b", (3, 1, R), tables=(50,))
    own, other = ruled(Tables("", ("a", "b"), ("a", "b")), a, b)
    assert (own.answer, frames(own), other.answer) == (Answer.VIOLATED, [(9, 1)], Answer.HOLDS)


def guest(name: str, *leaves, tables: tuple[int, ...]) -> Party:
    nested = TinyReach(root(name), leaves, (900,))
    inner = TinyReach(root(f"{name}-guest", Kind.X86, inside=name), leaves, tables)
    return Party(Domain(name, (name, f"{name}-guest")), (nested, inner))


def test_a_guests_own_tables_are_its_own() -> None:
    a, b = guest("a", (0, 4, R), tables=(2,)), guest("b", (2, 1, R), (8, 4, R), tables=(9,))
    mine, theirs = ruled(Tables("", ("a", "b"), ("a", "b"), guests=True), a, b)
    assert (mine.answer, theirs.answer, frames(theirs)) == (Answer.HOLDS, Answer.VIOLATED, [(2, 1)])


def test_writable_and_executable_leaves_are_found_by_leaf_not_by_frame() -> None:
    a = party("a", (0, 1, R | W), (0, 1, R | X), (7, 2, RWX), kind=Kind.X86)
    (ruling,) = ruled(WriteXorExecute("", "a"), a)
    assert frames(ruling) == [(7, 2)]


def test_write_xor_execute_can_be_asked_of_some_kinds_only() -> None:
    (ruling,) = ruled(WriteXorExecute("", "a", (Kind.X86,)), guest("a", (0, 4, RWX), tables=(2,)))
    assert ruling.findings[0].sides[0].ways[0].root.kind is Kind.X86


def test_user_leaves_in_the_upper_half_are_found() -> None:
    a = party("a", (0, 1, R | U), (1, 1, R | UPPER), (2, 1, R | U | UPPER), kind=Kind.X86)
    (ruling,) = ruled(User("", "a"), a)
    assert frames(ruling) == [(2, 1)]


def owned(first: int, end: int, owner: str, rights=None) -> Owned:
    return Owned(Ranges.between([(first, end)]), owner, rights)


@pytest.mark.parametrize(
    ("leaf", "found"),
    [
        ((0, 4, R | W), []),
        ((0, 4, RWX), [(0, 4)]),
        ((3, 2, R | W), [(4, 1)]),
        ((8, 1, R), [(8, 1)]),
        ((100, 1, RWX), []),
    ],
)
def test_leaves_agree_with_the_owner_map(leaf, found) -> None:
    entries = (owned(0, 4, "a", R | W), owned(4, 8, "b"), owned(8, 12, ""))
    (ruling,) = ruled(OwnerMap("", ("a",), entries), party("a", leaf))
    assert frames(ruling) == found


def test_what_a_nested_table_bounds_is_not_counted_again_for_the_guest() -> None:
    a = guest("a", (0, 4, RWX), tables=(2,))
    (ruling,) = ruled(Disjoint("", "a", "b"), a, party("b", (3, 4, R)))
    assert {way.root.name for way in ruling.findings[0].sides[0].ways} == {"a"}
