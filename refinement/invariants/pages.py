"""EPC pages and the leaves of page tables: who owns a frame, and who can reach it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from model.language.logic import And, Implies, Not, Or
from refinement import bits
from refinement.engine.values import Number
from refinement.invariants.clause import (
    TABLE_WORD,
    Clause,
    State,
    Suggest,
    at_first_key,
    at_last_key,
    at_last_keys,
    at_same_keys,
)
from refinement.invariants.layout import in_pool, in_range, is_device, is_epc, is_normal, is_reserved_memory
from refinement.invariants.tables import DEVICES, NORMAL_VM, PAGE_MASK, is_enclave

ALL_RIGHTS = bits.READ | bits.WRITE | bits.EXECUTE
READ_WRITE = bits.READ | bits.WRITE
SHARED_SLOTS = 4


def is_live(s: State, f: Number) -> object:
    """The frame is an EPC page in use."""
    return And(is_epc(s.layout, f), bits.is_valid(s.epcm[f, 0]))


def owns(s: State, enclave: Number, f: Number, page_type: int) -> object:
    """The frame is an EPC page in use of this enclave and type."""
    return And(is_live(s, f), s.epcm[f, 2] == enclave, bits.page_type(s.epcm[f, 0]) == page_type)


def page_of(s: State, f: Number) -> Number:
    """The linear page at which an EPC page was added (36 bits)."""
    return (s.epcm[f, 1] >> 12) & PAGE_MASK


def _owner(s: State, f: Number) -> Number:
    return s.epcm[f, 2] & ((1 << 52) - 1)


def _epcm(s: State, f: Number) -> object:
    word, address, owner = s.epcm[f, 0], s.epcm[f, 1], s.epcm[f, 2]
    kind, rights = bits.page_type(word), bits.page_rights(word)
    page = page_of(s, f)
    empty = And(word == bits.EMPTY_ENTRY, address == 0, owner == 0)
    used = And(
        bits.page_status(word) == bits.SECURE,
        word >> 24 == 0,
        bits.dynamic_flags(word) == 0,
        Or(kind == bits.REG, kind == bits.TCS),
        Implies(kind == bits.REG, rights & bits.READ == bits.READ),
        Implies(kind == bits.TCS, rights == 0),
        address == page << 12,
        owner >> 52 == 0,
        in_range(page, s.elrange_first[_owner(s, f)], s.elrange_end[_owner(s, f)]),
    )
    valid = bits.is_valid(word)
    return Implies(is_epc(s.layout, f), And(Implies(valid, used), Implies(Not(valid), empty)))


def _epcm_list(s: State, f: Number) -> object:
    owner, position = _owner(s, f), s.page_position[f]
    listed = And(position < s.page_total[owner], s.page_at[owner, position] == f)
    return Implies(is_live(s, f), listed)


def _epcm_guest(s: State, f: Number) -> object:
    word = s.epcm[f, 0]
    leaf = s.leaf[bits.GUEST, _owner(s, f), page_of(s, f)]
    regular = bits.x86_leaf(leaf, f, bits.page_rights(word), 1)
    control = bits.x86_leaf(leaf, f, READ_WRITE, 0)
    is_regular = bits.page_type(word) == bits.REG
    return Implies(is_live(s, f), And(Implies(is_regular, regular), Implies(Not(is_regular), control)))


def _epcm_nested(s: State, f: Number) -> object:
    word = s.epcm[f, 0]
    leaf = s.leaf[bits.NESTED, _owner(s, f), f & PAGE_MASK]
    is_regular = bits.page_type(word) == bits.REG
    mapped = bits.nested_leaf(s.form, leaf, f, bits.page_rights(word))
    return Implies(is_live(s, f), And(Implies(is_regular, mapped), Implies(Not(is_regular), leaf == 0)))


def _scrubbed(s: State, f: Number, i: Number) -> object:
    unused = And(is_epc(s.layout, f), Not(bits.is_valid(s.epcm[f, 0])))
    return Implies(unused, s.memory[f, i] == 0)


def is_shared(s: State, enclave: Number, page: Number) -> object:
    """The page lies in a range that the enclave has registered as shared."""
    slots = range(SHARED_SLOTS)
    return Or(*(in_range(page, s.shared_first[enclave, k], s.shared_end[enclave, k]) for k in slots))


def _guest_leaf(s: State, enclave: Number, page: Number) -> object:
    leaf = s.leaf[bits.GUEST, enclave, page]
    f = bits.frame_of(leaf)
    inside = in_range(page, s.elrange_first[enclave], s.elrange_end[enclave])
    own = And(is_live(s, f), s.epcm[f, 2] == enclave, page_of(s, f) == page)
    shared = And(
        is_shared(s, enclave, page),
        is_normal(s.layout, f),
        bits.x86_leaf(leaf, f, READ_WRITE, 1),
        bits.nested_leaf(s.form, s.leaf[bits.NESTED, enclave, f & PAGE_MASK], f, READ_WRITE),
    )
    explained = And(Implies(inside, own), Implies(Not(inside), shared))
    return Implies(leaf != 0, explained)


def _alone(s: State, enclave: Number, page: Number, other: Number) -> object:
    leaf, further = s.leaf[bits.GUEST, enclave, page], s.leaf[bits.GUEST, enclave, other]
    both = And(leaf != 0, further != 0, page != other)
    return Implies(both, bits.frame_of(leaf) != bits.frame_of(further))


def _with_focus(s: State, _: Number, enclave: Number, page: Number) -> Sequence[tuple[Number, ...]]:
    return [(enclave, page, s.focus), (enclave, s.focus, page)]


def _nested_leaf(s: State, enclave: Number, page: Number) -> object:
    leaf = s.leaf[bits.NESTED, enclave, page]
    own = owns(s, enclave, page, bits.REG)
    outside = And(is_normal(s.layout, page), bits.nested_leaf(s.form, leaf, page, READ_WRITE))
    here = And(is_enclave(enclave), Not(in_pool(s.layout, page)), leaf != 0)
    return Implies(here, And(s.life[enclave] != 0, Or(own, outside)))


def normal_leaf(s: State, leaf: Number, page: Number) -> object:
    """What the normal VM's nested table says of a page."""
    y = s.layout
    return And(
        Implies(is_normal(y, page), bits.nested_leaf(s.form, leaf, page, ALL_RIGHTS)),
        Implies(is_reserved_memory(y, page), bits.nested_leaf(s.form, leaf, y.zero_frame, bits.READ)),
        Implies(is_device(y, page), leaf == 0),
    )


def io_leaf(s: State, leaf: Number, page: Number) -> object:
    """What the table of the devices says of a page."""
    normal = is_normal(s.layout, page)
    return And(Implies(normal, bits.io_leaf(leaf, page, READ_WRITE)), Implies(Not(normal), leaf == 0))


def _normal_leaf(s: State, page: Number) -> object:
    return normal_leaf(s, s.leaf[bits.NESTED, NORMAL_VM, page], page)


def _io_leaf(s: State, page: Number) -> object:
    return io_leaf(s, s.leaf[bits.IO, DEVICES, page], page)


_BY_FRAME: Mapping[str, Suggest] = {"epcm": at_first_key}

PAGE_CLAUSES: tuple[Clause, ...] = (
    Clause(
        "EPCM",
        "An EPC page is empty, or a REG or TCS page of a live enclave at a page of its ELRANGE.",
        {"f": 40},
        _epcm,
        _BY_FRAME,
    ),
    Clause(
        "EPCM-LIST",
        "An EPC page in use stands in its owner's list of pages.",
        {"f": 40},
        _epcm_list,
        {**_BY_FRAME, "page_position": at_same_keys},
    ),
    Clause(
        "EPCM-GUEST",
        "The owner's guest table maps an EPC page in use at its linear page: REG with its rights, TCS not present.",
        {"f": 40},
        _epcm_guest,
        _BY_FRAME,
    ),
    Clause(
        "EPCM-NESTED",
        "The owner's nested table maps a REG page with its rights, and no TCS page.",
        {"f": 40},
        _epcm_nested,
        _BY_FRAME,
    ),
    Clause(
        "SCRUBBED",
        "An empty EPC page holds zeros.",
        {"f": 40, "i": 9},
        _scrubbed,
        {"memory": at_same_keys},
    ),
    Clause(
        "GUEST-LEAF",
        "A guest leaf is an own EPC page inside ELRANGE, or a normal frame, not executable, in a shared range.",
        {"e": 52, "v": 36},
        _guest_leaf,
        {"leaf": at_last_keys, TABLE_WORD: at_same_keys},
    ),
    Clause(
        "ALONE",
        "A frame stands behind a single page of an enclave.",
        {"e": 52, "v": 36, "w": 36},
        _alone,
        {"leaf": _with_focus},
    ),
    Clause(
        "NESTED-LEAF",
        "Outside the pool an enclave's nested table maps its own REG pages and normal frames, the latter never X.",
        {"e": 52, "v": 36},
        _nested_leaf,
        {"leaf": at_last_keys, TABLE_WORD: at_same_keys},
    ),
    Clause(
        "NORMAL-LEAF",
        "The normal VM reaches normal frames; reserved memory shows as the zero page; device windows do not show.",
        {"v": 36},
        _normal_leaf,
        {"leaf": at_last_key, TABLE_WORD: at_last_key},
    ),
    Clause(
        "IO-LEAF",
        "Devices reach normal frames only.",
        {"v": 36},
        _io_leaf,
        {"leaf": at_last_key, TABLE_WORD: at_last_key},
    ),
)
