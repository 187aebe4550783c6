"""Which calls ended how: every outcome that the model gives a call must be seen, or be listed here with a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from proofs.obligation import Json
from refinement.traces.replay import Taken

_POINTERS: Final = ("PAGE_FAULT", "GENERAL_PROTECTION")
_SUPERVISOR: Final = ("OK", "INVALID_OPCODE", *_POINTERS)

OUTCOMES: Final[Mapping[str, tuple[str, ...]]] = {
    "create": (*_SUPERVISOR, "EINVAL", "EEXIST", "ENOMEM"),
    "add_page": (*_SUPERVISOR, "EFAULT", "EBUSY", "EINVAL", "ENOMEM"),
    "initialize": (*_SUPERVISOR, "EFAULT", "EBUSY", "EINVAL"),
    "prepare_destroy": (*_SUPERVISOR, "EFAULT", "EENCLAVEACT"),
    "finish_destroy": (*_SUPERVISOR, "EFAULT", "EINVAL", "EBUSY"),
    "remove_pages_at_destroy": (*_SUPERVISOR, "EINVAL"),
    "shared_memory_add": (*_SUPERVISOR, "EFAULT", "EINVAL", "ENOMEM"),
    "shared_memory_remove": (*_SUPERVISOR, "EFAULT", "EINVAL", "EENCLAVEACT"),
    "enter": (*_SUPERVISOR, "EINVAL", "EBUSY"),
    "resume": (*_SUPERVISOR, "EINVAL", "EBUSY", "EIO"),
    "complete": ("OK", "EINVAL"),
    "exit": ("OK", "INVALID_OPCODE", "GENERAL_PROTECTION"),
    "unknown call": ("IGNORED",),
    "shared_fill": ("OK",),
    "fault": ("OK",),
    "trap": ("OK",),
    "interrupt": ("OK",),
    "registers": ("OK",),
    "evict": ("OK",),
    **dict.fromkeys(("fill", "load", "store", "fetch", "dma_read", "dma_write"), ("OK", "DENIED")),
}
"""Every cell of handler x result that can be reached, from the codes of the monitor (`impl.monitor.handlers`)."""

UNREACHABLE: Final[Mapping[tuple[str, str], str]] = {
    ("enter", "EIO"): "only a resume asks whether the thread was ever interrupted",
    ("complete", "EBUSY"): "the first step has taken the TCS",
    ("remove_pages_at_destroy", "EFAULT"): "an enclave that does not exist is not under destruction, which is EINVAL",
    ("remove_pages_at_destroy", "EBUSY"): "no thread is inside an enclave under destruction",
    ("shared_memory_remove", "ENOMEM"): "removal takes nothing from the pool",
}
"""Cells of codes that exist, of which somebody may ask why they are not above."""

PREPARATION: Final = frozenset(("dma_write", "registers"))
"""Events by which the author of a trace sets the scene; they nearly always succeed."""

Cells = Counter[tuple[str, str]]


def count(taken: Iterable[Taken]) -> Cells:
    """How often each cell was hit; steps that were not possible do not count."""
    return Counter((one.event, one.outcome) for one in taken if one.outcome)


def missing(cells: Cells) -> list[tuple[str, str]]:
    """Reachable cells that were not hit."""
    return [(name, code) for name, codes in OUTCOMES.items() for code in codes if (name, code) not in cells]


def unknown(cells: Cells) -> list[tuple[str, str]]:
    """Cells that were hit although they are not listed as reachable."""
    return sorted(cell for cell in cells if cell[1] not in OUTCOMES.get(cell[0], ()))


def succeeded(cells: Cells) -> float:
    """The share of steps that did what was asked for, of those that are more than preparation."""
    asked = {cell: n for cell, n in cells.items() if cell[0] not in PREPARATION}
    return sum(n for (_, code), n in asked.items() if code == "OK") / max(1, sum(asked.values()))


def table(cells: Cells) -> dict[str, Json]:
    """Handler to result to count, with 0 for reachable cells that were not hit."""
    rows: dict[str, Json] = {}
    for name, codes in OUTCOMES.items():
        extra = sorted(code for event, code in cells if event == name and code not in codes)
        rows[name] = {code: cells[name, code] for code in (*codes, *extra)}
    return rows
