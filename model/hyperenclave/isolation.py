"""The predicates of spatial isolation on one leaf of a table.

The invariants of T1 are made of them, and an audit evaluates the same functions on the leaves of a real machine.
They speak of values, not of a state: `domain` and `owner` are enclaves (or names of domains), rights are bits R, W, X.
"""

from __future__ import annotations

from typing import Any

from model.hyperenclave.vocabulary import NO_RIGHTS, READ, FrameClass, PageType
from model.language.logic import And, Implies, Or, eq, ne


def present(rights: Any) -> Any:
    """A leaf with these rights grants something."""
    return ne(rights, NO_RIGHTS)


def own_page(valid: Any, page_type: Any, owner: Any, domain: Any) -> Any:
    """An EPCM entry in use says REG, and that the page is the domain's."""
    return And(valid, eq(page_type, PageType.REG), eq(owner, domain))


def exact(rights: Any, page_rights: Any, identity: Any) -> Any:
    """A leaf grants what the page's entry says, and leads to the frame itself."""
    return And(eq(rights, page_rights), identity)


def ownership(rights: Any, frame_class: Any, mine: Any, agrees: Any) -> Any:
    """A leaf on an EPC frame is for the domain's own page, and agrees with the page's entry."""
    return Implies(And(present(rights), eq(frame_class, FrameClass.EPC)), And(mine, agrees))


def own_table(frame_class: Any, is_table: Any, table_owner: Any, domain: Any) -> Any:
    """The frame is monitor memory that holds a page table of the domain."""
    return And(eq(frame_class, FrameClass.MONITOR), is_table, eq(table_owner, domain))


def zeros_for_reading(is_zeros: Any, rights: Any) -> Any:
    """The frame is the frame of zeros, and the leaf grants reading only."""
    return And(is_zeros, eq(rights, READ))


def reservation(is_present: Any, frame_class: Any, *excuses: Any) -> Any:
    """A leaf leads to a normal frame, or to a reserved one for which there is an excuse."""
    return Implies(is_present, Or(eq(frame_class, FrameClass.NORMAL), *excuses))


def disjointness(first_rights: Any, second_rights: Any, first: Any, second: Any) -> Any:
    """A frame that two domains' leaves lead to can be owned by one of them so that `ownership` holds of both leaves.

    For two domains that differ, this is so exactly if one of the leaves grants nothing.
    """
    return Or(*(_owned_by(owner, first_rights, second_rights, first, second) for owner in (first, second)))


def _owned_by(owner: Any, first_rights: Any, second_rights: Any, first: Any, second: Any) -> Any:
    sides = ((first_rights, first), (second_rights, second))
    return And(
        *(
            ownership(rights, FrameClass.EPC, own_page(True, PageType.REG, owner, domain), True)
            for rights, domain in sides
        )
    )
