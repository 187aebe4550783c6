"""SharedMemoryAdd: a range outside ELRANGE becomes shared memory."""

from __future__ import annotations

from typing import Final

from impl.machine.primitives import Machine
from impl.machine.registers import RDI
from impl.monitor.codes import INITIALIZED, LOW_HALF, NONE, Code, Refusal
from impl.monitor.guest_memory import enclave_handle, fetch_words
from impl.monitor.structures import SHARED_END, SHARED_SECS, SHARED_START, SHARED_WORDS

SLOTS: Final = 4
"""Shared ranges that an enclave can have at a time."""

MAXIMUM_PAGES: Final = 1 << 16
"""Pages of one shared range: its removal visits each of them in one call."""


def overlaps_shared(machine: Machine, enclave: int, k: int, first: int, end: int) -> bool:
    """Some page first..end-1 lies in the range in slot k of the enclave."""
    s = machine.storage
    return first < s.shared_end[enclave, k] and s.shared_first[enclave, k] < end


def shared_memory_add(machine: Machine, cpu: int) -> Code:
    """RDI: linear address of a SharedMemDesc.

    Nothing is mapped yet: the enclave's first access to a page maps it (`shared_fill`).
    """
    s = machine.storage
    # FETCH
    descriptor = fetch_words(machine, cpu, s.register[cpu, RDI], SHARED_WORDS)
    enclave = enclave_handle(machine, cpu, descriptor[SHARED_SECS])
    start, stop = descriptor[SHARED_START], descriptor[SHARED_END]
    first, end = start >> 12, stop >> 12
    # CHECK
    if s.life[enclave] == NONE:  # sharing with an enclave that does not exist
        raise Refusal(Code.EFAULT)
    if s.life[enclave] != INITIALIZED:  # shared memory before the image is fixed, or during destruction
        raise Refusal(Code.EINVAL)
    if (start | stop) & 0xFFF != 0:  # memory shared beside the range, in the same page
        raise Refusal(Code.EINVAL)
    if first >= end or stop > LOW_HALF:  # an empty range, or one that reaches non-canonical addresses
        raise Refusal(Code.EINVAL)
    if end > first + MAXIMUM_PAGES:  # a removal that does not end
        raise Refusal(Code.EINVAL)
    if first < s.elrange_end[enclave] and s.elrange_first[enclave] < end:  # memory of the normal VM inside ELRANGE
        raise Refusal(Code.EINVAL)
    for k in range(SLOTS):
        if overlaps_shared(machine, enclave, k, first, end):  # one page in two ranges
            raise Refusal(Code.EINVAL)
    # RESERVE
    for k in range(SLOTS):
        if s.shared_end[enclave, k] == 0:
            # COMMIT
            s.shared_first[enclave, k] = first
            s.shared_end[enclave, k] = end
            return Code.OK
    raise Refusal(Code.ENOMEM)  # a range that cannot be recorded
