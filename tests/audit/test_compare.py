from __future__ import annotations

from audit.compare import Change, compare
from audit.photograph import Kind
from audit.reach import Rights
from tests.audit.tiny import R, U, W, X, party

RWX = R | W | X


def told(changes: tuple[Change, ...]) -> list[tuple[str, Rights, Rights, list[tuple[int, int]]]]:
    return [(change.domain, change.before, change.after, list(change.ranges)) for change in changes]


def test_gained_and_lost_rights_are_told_by_range() -> None:
    before, now = party("a", (0, 10, R), (20, 5, RWX)), party("a", (0, 4, R), (4, 6, R | W), (22, 3, RWX))
    comparison = compare([now], [before], "earlier")
    assert told(comparison.changes) == [
        ("a", R, R | W, [(4, 10)]),
        ("a", RWX, Rights.NONE, [(20, 22)]),
    ]


def test_equal_photographs_have_no_change() -> None:
    assert compare([party("a", (0, 10, R))], [party("a", (0, 5, R), (5, 5, R))], "earlier").changes == ()


def test_roots_that_appeared_and_vanished_are_named() -> None:
    comparison = compare([party("a", (0, 1, R)), party("c", (1, 1, R))], [party("a", (0, 1, R)), party("b")], "x")
    assert (comparison.appeared, comparison.vanished) == (("c",), ("b",))
    assert told(comparison.changes) == [("c", Rights.NONE, R, [(1, 2)])]


def test_a_page_that_user_mode_may_use_now_is_a_gain() -> None:
    kernel, user = party("a", (1, 2, R), kind=Kind.X86), party("a", (1, 1, R), (2, 1, R | U), kind=Kind.X86)
    assert told(compare([user], [kernel], "x").changes) == [("a", R, R | U, [(2, 3)])]


def test_what_a_second_leaf_grants_is_added() -> None:
    before, now = party("a", (0, 2, R)), party("a", (0, 2, R), (1, 1, W))
    assert told(compare([now], [before], "x").changes) == [("a", R, R | W, [(1, 2)])]
