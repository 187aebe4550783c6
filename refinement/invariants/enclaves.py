"""Enclaves: life cycle, lists of pages and threads, shared ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from model.language.logic import And, Implies, Or
from refinement import bits
from refinement.engine.values import Number
from refinement.invariants.clause import Clause, State, Suggest, at_first_key, at_last_key, at_same_keys
from refinement.invariants.layout import is_epc
from refinement.invariants.pages import SHARED_SLOTS
from refinement.invariants.tables import is_enclave

UNINITIALISED, INITIALISED, TRY_DESTROY, IN_DESTROY = 1, 2, 3, 4
ATTRIBUTE_INIT = 1
XFRM_LEGACY = 3  # x87 and SSE, the state components that the world switch handles
LOW_HALF_PAGES = 1 << 35  # user addresses are below 2**47


def _enclave(s: State, e: Number) -> object:
    life = s.life[e]
    alive = And(
        is_enclave(e),
        e & 7 == 0,
        life <= IN_DESTROY,
        s.root[bits.GUEST, e] != 0,
        s.root[bits.NESTED, e] != 0,
        s.elrange_first[e] < s.elrange_end[e],
        s.elrange_end[e] <= LOW_HALF_PAGES,
        s.ssa_frame_size[e] >= 1,
        s.xfrm[e] == XFRM_LEGACY,
        Implies(life == UNINITIALISED, s.attributes[e] & ATTRIBUTE_INIT == 0),
        Implies(life == INITIALISED, s.attributes[e] & ATTRIBUTE_INIT == ATTRIBUTE_INIT),
        Implies(Or(life == UNINITIALISED, life == IN_DESTROY), s.thread_total[e] == 0),
    )
    none = And(
        s.elrange_first[e] == 0,
        s.elrange_end[e] == 0,
        s.ssa_frame_size[e] == 0,
        s.attributes[e] == 0,
        s.xfrm[e] == 0,
        s.unextended[e] == 0,
        s.isv[e] == 0,
        s.page_total[e] == 0,
        s.thread_total[e] == 0,
    )
    return And(Implies(life != 0, alive), Implies(life == 0, none))


def _roots(s: State, e: Number) -> object:
    none = And(s.root[bits.GUEST, e] == 0, s.root[bits.NESTED, e] == 0)
    return Implies(And(is_enclave(e), s.life[e] == 0), none)


def _identity(s: State, e: Number, k: Number) -> object:
    return Implies(Or(s.life[e] == 0, s.life[e] == UNINITIALISED), And(s.mrenclave[e, k] == 0, s.mrsigner[e, k] == 0))


def _shared(s: State, e: Number, k: Number) -> object:
    first, end = s.shared_first[e, k], s.shared_end[e, k]
    inside_low_half = And(first < end, end <= LOW_HALF_PAGES)
    apart = Or(end <= s.elrange_first[e], s.elrange_end[e] <= first)
    used = And(s.life[e] >= INITIALISED, inside_low_half, apart)
    return And(Implies(end != 0, used), Implies(end == 0, first == 0))


def _shared_disjoint(s: State, e: Number) -> object:
    rows: list[object] = []
    for i, j in combinations(range(SHARED_SLOTS), 2):
        apart = Or(s.shared_end[e, i] <= s.shared_first[e, j], s.shared_end[e, j] <= s.shared_first[e, i])
        rows.append(Implies(s.shared_end[e, i] != 0, Implies(s.shared_end[e, j] != 0, apart)))
    return And(*rows)


def _pages(s: State, e: Number, k: Number) -> object:
    f = s.page_at[e, k]
    listed = And(
        is_epc(s.layout, f),
        s.epcm[f, 2] == e,
        s.page_position[f] == k,
    )
    return And(Implies(k < s.page_total[e], listed), Implies(s.page_total[e] <= k, f == 0))


def _threads(s: State, e: Number, k: Number) -> object:
    c = s.thread_at[e, k]
    listed = And(c < s.layout.cpus, s.cpu_enclave[c] == e, s.thread_position[c] == k)
    return And(Implies(k < s.thread_total[e], listed), Implies(s.thread_total[e] <= k, c == 0))


def _in_list(s: State, f: Number) -> Sequence[tuple[Number, ...]]:
    return [(s.epcm[f, 2] & ((1 << 52) - 1), s.page_position[f])]


_BY_ENCLAVE: Mapping[str, Suggest] = dict.fromkeys(
    ("life", "elrange_first", "elrange_end", "page_total", "xfrm"), at_same_keys
)

ENCLAVE_CLAUSES: tuple[Clause, ...] = (
    Clause(
        "ENCLAVE",
        "A live enclave has tables, a range of addresses and no thread unless initialised; others have no trace.",
        {"e": 52},
        _enclave,
        {**_BY_ENCLAVE, "thread_total": at_same_keys},
    ),
    Clause(
        "ROOTS",
        "An enclave that does not exist has no tables.",
        {"e": 52},
        _roots,
        {"life": at_same_keys, "root": at_last_key},
    ),
    Clause(
        "IDENTITY",
        "An enclave has no identity before it is initialised.",
        {"e": 52, "k": 2},
        _identity,
        {"mrenclave": at_same_keys, "mrsigner": at_same_keys},
    ),
    Clause(
        "SHARED",
        "A registered range is a range of user pages outside ELRANGE of an initialised enclave.",
        {"e": 52, "k": 2},
        _shared,
        {"shared_end": at_same_keys, "shared_first": at_same_keys},
    ),
    Clause(
        "SHARED-DISJOINT",
        "Registered ranges of an enclave do not overlap.",
        {"e": 52},
        _shared_disjoint,
        {"shared_end": at_first_key},
    ),
    Clause(
        "PAGES",
        "Every position of an enclave's page list holds a page of it, which knows its position.",
        {"e": 52, "k": 40},
        _pages,
        {
            "page_at": at_same_keys,
            "page_position": _in_list,
        },
    ),
    Clause(
        "THREADS",
        "Every position of an enclave's thread list holds a CPU inside it, which knows its position.",
        {"e": 52, "k": 9},
        _threads,
        {"thread_at": at_same_keys},
    ),
)


def _few_pages(s: State, e: Number) -> object:
    return s.page_total[e] < 1 << 36


def _few_threads(s: State, e: Number) -> object:
    outside = s.cpu_mode[s.acting] < 2
    return And(s.thread_total[e] <= s.layout.cpus, Implies(outside, s.thread_total[e] < s.layout.cpus))


COUNTING: tuple[Clause, ...] = (
    Clause(
        "FEW-PAGES",
        "Follows from PAGES by counting: positions below page_total hold different EPC frames, and frame 0 is not EPC.",
        {"e": 52},
        _few_pages,
        {"page_total": at_same_keys},
    ),
    Clause(
        "FEW-THREADS",
        "Follows from THREADS by counting: positions below thread_total hold different CPUs, none of which is outside.",
        {"e": 52},
        _few_threads,
        {"thread_total": at_same_keys},
    ),
)
"""Consequences of the invariant that need the pigeonhole principle, which instances can not give; only ever assumed."""
