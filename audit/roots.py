"""Roots that nobody named: from the CR3 of each CPU, from the kernel's own table, and from VMCB and VMCS pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

import numpy as np

from audit.control_blocks import AS_HOST, control_blocks
from audit.forgeries import readings, sifted, writers_of
from audit.photograph import ROOTS_MOST, BadInputError, Kind, Machine, Photograph, Processor, Root, Say
from audit.toml_table import hint, shown

_PG, _PAE, _LA57, _LMA = 1 << 31, 1 << 5, 1 << 12, 1 << 10  # CR0.PG, CR4.PAE, CR4.LA57, EFER.LMA
_PAGE_SIZE = np.uint64(1 << 7)  # which no entry of level 4 or 5 has set (SDM 3A, 4.5)
_REASONS_MOST = 4
DEPTH_UNKNOWN = (
    "nothing in the file tells whether it has 4 levels or 5; give --levels 4 or --levels 5, or name it as a root"
)
LEVELS_DISAGREE = "what names this table disagrees on whether it has 4 levels or 5; name it as a root"
# What Linux keeps different in the two copies of an entry of the user half: A, D (set by the CPU) and NX.
_DIFFERING = np.uint64(1 << 5 | 1 << 6 | 1 << 63)


def find_roots(photograph: Photograph, machine: Machine, tell: Say = lambda _: None) -> tuple[Root, ...]:
    """The roots that the photograph names, or else all candidates, each table once, with every reason.

    machine: what the photograph says of itself, or what a policy knows better.  tell: told of each candidate that is
    left out, and why.

    Raises:
        BadInputError: there are over `ROOTS_MOST` roots.
    """
    return machine.roots or _joined(photograph, _candidates(photograph, machine, tell))


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


def _candidates(photograph: Photograph, machine: Machine, tell: Say) -> Iterator[Root]:
    blocks = list(control_blocks(photograph, machine, tell))
    _bound(photograph, len({(block.roots[0].kind, block.roots[0].frame) for block in blocks}))
    guests = {root.frame for block in blocks for root in block.roots if root.inside}
    processors = [
        root for processor in machine.processors for root in _of_processor(photograph, machine, processor, guests, tell)
    ]
    yield from processors
    if machine.kernel:
        yield machine.kernel
    told = machine.levels or (machine.kernel and machine.kernel.levels)
    frames = [*(root.frame for root in processors), *(block.page for block in blocks)]
    tables = [reading for block in blocks for reading in readings(block.roots[0], told)]
    writers = writers_of(photograph, machine, tables, [*frames, *(frame for _, frame, _ in tables)])
    first = [block.roots[0] for block in blocks if block.page not in writers]
    shadows = {root.frame for root in first if root.kind is Kind.X86}
    hosts = [root for root in processors if root.frame not in guests | shadows | writers.keys()]
    levels = told or _levels_of(photograph, hosts)
    yield from (_as_host(root, levels) for root in sifted(blocks, writers, levels, tell))


def _bound(photograph: Photograph, number: int) -> None:
    if number > ROOTS_MOST:
        raise BadInputError(
            f"{photograph.name}: found more than {ROOTS_MOST} candidates for roots; name them in a policy"
        )


def _levels_of(photograph: Photograph, tables: Sequence[Root]) -> int | None:
    """Levels of the hypervisor's own paging, as CPUs tell them; tables: of those whose CR3 is no guest's.

    A CPU whose table is absent counts for nothing: its CR3, and with it CR4, may be a guest's.
    """
    there = photograph.read(np.array([root.frame for root in tables], np.uint64))[1]
    said = {root.levels for root, known in zip(tables, there.tolist(), strict=True) if known}
    return said.pop() if len(said) == 1 else None


def _as_host(root: Root, levels: int | None) -> Root:
    """A root whose levels are the host's."""
    if root.levels != AS_HOST:
        return root
    return replace(root, levels=levels or 4, doubt=root.doubt if levels else DEPTH_UNKNOWN)


def _joined(photograph: Photograph, candidates: Iterable[Root]) -> tuple[Root, ...]:
    """Candidates for one table as one root, with the first name and the first reasons.

    Candidates that are in doubt say nothing beside one that is not.  The root is in doubt if all of them are, if they
    disagree on its levels, or if it lies inside one that is.
    """
    groups = dict[tuple[Kind, int, str], list[Root]]()
    for root in candidates:
        groups.setdefault((root.kind, root.frame, root.inside), []).append(root)
        _bound(photograph, len(groups))
    roots = [_one(group) for group in groups.values()]
    doubts = {root.name: root.doubt for root in roots}
    return tuple(
        replace(root, doubt=root.doubt or (f"{root.inside}: {doubts[root.inside]}" if doubts.get(root.inside) else ""))
        for root in roots
    )


def _one(group: Sequence[Root]) -> Root:
    """The root that all of these name."""
    sure = [root for root in group if not root.doubt] or group
    why = "; ".join(root.why for root in group[:_REASONS_MOST])
    if len(group) > _REASONS_MOST:
        why = f"{why}; and {len(group) - _REASONS_MOST} more"
    doubt = sure[0].doubt if len({root.levels for root in sure}) == 1 else LEVELS_DISAGREE
    guest = any(root.guest for root in sure)
    return replace(sure[0], name=group[0].name, why=why, guest=guest, doubt=doubt, found=True)


def _of_processor(
    photograph: Photograph, machine: Machine, processor: Processor, guests: AbstractSet[int], tell: Say
) -> Iterator[Root]:
    """The table that a CPU uses, and its other half under kernel page-table isolation.

    guests: guest-physical frames of the tables of guests.  While a CPU runs a guest, CR3 is the guest's: nothing tells
    that but the frame, which is no table in the memory of the machine.
    """
    place = f"CPU {processor.number}"
    if processor.cr0 is not None and not processor.cr0 & _PG:
        tell(f"{place} is left out: it does not page, as one that waits to be started")
        return
    if not processor.cr4 & _PAE or (processor.efer is not None and not processor.efer & _LMA):
        tell(f"{place} is left out: it uses 32-bit or PAE paging (SDM 3A 4.1.1), itself or for a guest that it runs")
        return
    mask = (1 << (machine.maxphyaddr or 52)) - 4096
    if machine.encryption_bit is not None:
        mask &= ~(1 << machine.encryption_bit)
    frame = (processor.cr3 & mask) >> 12
    if not _can_be_table(photograph, frame, mask):
        runs = "runs" if frame in guests else "may run"
        tell(f"{place} is left out: CR3 points to {frame << 12:#x}, which is no page table; it {runs} a guest")
        return
    levels = 5 if processor.cr4 & _LA57 else 4
    name = f"cpu{processor.number}"
    yield Root(name, Kind.X86, levels, frame, why=f"CR3 of {place}")
    if are_halves(photograph, frame):
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


def are_halves(photograph: Photograph, frame: int) -> bool:
    """Whether a table and the one beside it are the halves of kernel page-table isolation.

    Linux (Documentation/arch/x86/pti.rst) keeps the kernel's table at an even frame, the user's at the next one, and
    every entry of the lower half in both, except that the kernel's copy may not be executed.  Two processes that happen
    to have tables side by side differ there.
    """
    tables, _ = photograph.read(np.array([frame & ~1, frame | 1], np.uint64))
    lower = tables[:, :256] & ~_DIFFERING
    return bool(lower[0].any() and (lower[0] == lower[1]).all())
