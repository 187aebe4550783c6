"""Roots that nobody named: from the CR3 of each CPU, from the kernel's own table, and from VMCB and VMCS pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

import numpy as np

from audit.control_blocks import control_blocks
from audit.photograph import ROOTS_MOST, BadInputError, Kind, Machine, Photograph, Processor, Root
from audit.toml_table import hint, shown

_PG, _PAE, _LA57, _LMA = 1 << 31, 1 << 5, 1 << 12, 1 << 10  # CR0.PG, CR4.PAE, CR4.LA57, EFER.LMA
_PAGE_SIZE = np.uint64(1 << 7)  # which no entry of level 4 or 5 has set (SDM 3A, 4.5)
_REASONS_MOST = 4
# What Linux keeps different in the two copies of an entry of the user half: A, D (set by the CPU) and NX.
_DIFFERING = np.uint64(1 << 5 | 1 << 6 | 1 << 63)


def find_roots(photograph: Photograph, machine: Machine) -> tuple[Root, ...]:
    """The roots that the photograph names, or else all candidates, each table once, with every reason.

    machine: what the photograph says of itself, or what a policy knows better.

    Raises:
        BadInputError: a CPU uses another kind of paging, its CR3 leads nowhere, or there are over `ROOTS_MOST` roots.
    """
    return machine.roots or _joined(photograph, _candidates(photograph, machine))


def check_roots(known: Sequence[Root], added: Sequence[Root], place: Callable[[Root], str]) -> None:
    """Refuse roots named by hand that contradict one another, or those that are known beside them.

    place: where a root was named, for the message.
    """
    by_name: dict[str, Root] = {}
    by_frame: dict[tuple[str, int], Root] = {}
    for number, root in enumerate((*known, *added)):
        new = number >= len(known)
        if new and root.name in by_name:
            raise BadInputError(f"{place(root)}: two roots are called {root.name!r}; names that differ were expected")
        by_name[root.name] = root
        same = by_frame.setdefault((root.inside, root.frame), root)
        if new and same.levels != root.levels:
            raise BadInputError(
                f"{place(root)}: a table of {root.levels} levels at {root.frame << 12:#x}, where {same.name!r} has one"
                f" of {same.levels}"
            )
    for root in added:
        if not root.inside:
            continue
        outer = by_name.get(root.inside)
        if outer is None:
            raise BadInputError(
                f"{place(root)}: lies inside {shown(root.inside)}, which is not a root{hint(root.inside, by_name)}"
            )
        if root.kind is not Kind.X86 or outer.kind is Kind.X86 or outer.inside:
            raise BadInputError(
                f"{place(root)}: lies inside {root.inside!r}; an x86 table inside a nested table (npt or ept) was"
                " expected, and nothing else"
            )


def _candidates(photograph: Photograph, machine: Machine) -> Iterator[Root]:
    blocks = _joined(photograph, control_blocks(photograph, machine))
    guests = {root.frame for root in blocks if root.inside}
    for processor in machine.processors:
        yield from _of_processor(photograph, machine, processor, guests)
    if machine.kernel:
        yield machine.kernel
    yield from blocks


def _joined(photograph: Photograph, candidates: Iterable[Root]) -> tuple[Root, ...]:
    """Candidates for one table as one root, with the first name and the first reasons."""
    roots = dict[tuple[Kind, int, str], Root]()
    reasons = dict[tuple[Kind, int, str], int]()
    for root in candidates:
        key = root.kind, root.frame, root.inside
        reasons[key] = reasons.get(key, 0) + 1
        if key not in roots:
            roots[key] = root
        elif reasons[key] <= _REASONS_MOST:
            roots[key] = replace(roots[key], why=f"{roots[key].why}; {root.why}", guest=roots[key].guest or root.guest)
        if len(roots) > ROOTS_MOST:
            raise BadInputError(
                f"{photograph.name}: found more than {ROOTS_MOST} candidates for roots; name them in a policy"
            )
    more = {key: count - _REASONS_MOST for key, count in reasons.items() if count > _REASONS_MOST}
    return tuple(
        replace(root, why=f"{root.why}; and {more[key]} more") if key in more else root for key, root in roots.items()
    )


def _of_processor(
    photograph: Photograph, machine: Machine, processor: Processor, guests: AbstractSet[int]
) -> Iterator[Root]:
    """The table that a CPU uses, and its other half under kernel page-table isolation.

    guests: guest-physical frames of the tables of guests.  While a CPU runs a guest, CR3 is the guest's: nothing tells
    that but the frame, which is no table in the memory of the machine.
    """
    place = f"CPU {processor.number}"
    if processor.cr0 is not None and not processor.cr0 & _PG:
        return  # a CPU without paging, such as one that waits to be started, uses no table
    if not processor.cr4 & _PAE or (processor.efer is not None and not processor.efer & _LMA):
        raise BadInputError(
            f"{photograph.name}: {place}: expected 4-level or 5-level paging (SDM 3A 4.1.1), not 32-bit or PAE"
        )
    mask = (1 << (machine.maxphyaddr or 52)) - 4096
    if machine.encryption_bit is not None:
        mask &= ~(1 << machine.encryption_bit)
    frame = (processor.cr3 & mask) >> 12
    if not _can_be_table(photograph, frame, mask):
        if frame in guests:
            return
        raise BadInputError(
            f"{photograph.name}: {place}: expected a page table at {frame << 12:#x}, where CR3 points; if that is a CR3"
            " of a guest, name the roots in a policy"
        )
    levels = 5 if processor.cr4 & _LA57 else 4
    name = f"cpu{processor.number}"
    yield Root(name, Kind.X86, levels, frame, why=f"CR3 of {place}")
    if _is_pair(photograph, frame):
        half = "kernel" if frame & 1 else "user"
        why = (
            f"the {half} half that belongs to CR3 of {place}: bit 12 of CR3 tells them apart, their lower halves agree"
        )
        yield Root(f"{name}-{half}-half", Kind.X86, levels, frame ^ 1, why=why)


def _can_be_table(photograph: Photograph, frame: int, address_mask: int) -> bool:
    """Whether at least half of what is present in a frame are entries of level 4 or 5 with addresses in memory.

    Half, so that damaged tables are walked, and reported.  A frame that is absent can be one.
    """
    tables, there = photograph.read(np.array([frame], np.uint64))
    present = tables[0][(tables[0] & np.uint64(1)) != 0]
    within = (present & np.uint64(address_mask)) >> np.uint64(12) < np.uint64(photograph.end)
    fitting = int((within & ((present & _PAGE_SIZE) == 0)).sum())
    return not there[0] or 0 < len(present) <= 2 * fitting


def _is_pair(photograph: Photograph, frame: int) -> bool:
    """Whether a table and the one beside it are the halves of kernel page-table isolation.

    Linux (Documentation/arch/x86/pti.rst) keeps the kernel's table at an even frame, the user's at the next one, and
    every entry of the lower half in both, except that the kernel's copy may not be executed.
    """
    tables, _ = photograph.read(np.array([frame & ~1, frame | 1], np.uint64))
    lower = tables[:, :256] & ~_DIFFERING
    return bool(lower[0].any() and (lower[0] == lower[1]).all())
