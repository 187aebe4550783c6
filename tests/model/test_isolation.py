"""The predicates on one leaf, exhaustively: T1 and the audit say the same with them."""

from __future__ import annotations

from itertools import product

from model.hyperenclave.isolation import (
    disjointness,
    exact,
    own_page,
    own_table,
    ownership,
    reservation,
    zeros_for_reading,
)
from model.hyperenclave.vocabulary import READ, FrameClass, PageType

RIGHTS = range(8)
NAMES = ("a", "b")


def test_two_domains_are_disjoint_at_a_frame_exactly_if_one_has_no_right_to_it() -> None:
    for first, second in product(RIGHTS, RIGHTS):
        assert disjointness(first, second, "a", "b") == (first == 0 or second == 0)


def test_what_t1_says_of_one_epcm_entry_makes_two_enclaves_disjoint() -> None:
    reached = 0
    for valid, kind, owner in product((True, False), PageType, NAMES):
        for page_rights, first, second in product(RIGHTS, RIGHTS, RIGHTS):
            sides = [
                ownership(rights, FrameClass.EPC, own_page(valid, kind, owner, name), exact(rights, page_rights, True))
                for rights, name in ((first, "a"), (second, "b"))
            ]
            if all(sides):
                reached += 1
                assert disjointness(first, second, "a", "b")
    assert reached


def test_a_leaf_on_an_epc_frame_needs_an_owner() -> None:
    assert not ownership(READ, FrameClass.EPC, own_page(True, PageType.REG, "b", "a"), True)
    assert not ownership(READ, FrameClass.EPC, own_page(False, PageType.REG, "a", "a"), True)
    assert not ownership(READ, FrameClass.EPC, own_page(True, PageType.TCS, "a", "a"), True)
    assert ownership(READ, FrameClass.NORMAL, False, False)
    assert ownership(0, FrameClass.EPC, False, False)


def test_a_reserved_frame_needs_an_excuse() -> None:
    assert not reservation(True, FrameClass.MONITOR)
    assert not reservation(True, FrameClass.RESERVED, False)
    assert reservation(True, FrameClass.MONITOR, own_table(FrameClass.MONITOR, True, "a", "a"))
    assert not reservation(True, FrameClass.MONITOR, own_table(FrameClass.MONITOR, True, "b", "a"))
    assert reservation(True, FrameClass.MONITOR, zeros_for_reading(True, READ))
    assert not reservation(True, FrameClass.MONITOR, zeros_for_reading(True, READ | 2))
    assert reservation(False, FrameClass.MONITOR)
