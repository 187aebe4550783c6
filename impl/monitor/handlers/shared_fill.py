"""A page of shared memory is mapped when the enclave touches it."""

from __future__ import annotations

from impl.machine.layout import is_normal
from impl.machine.primitives import Machine
from impl.monitor import tables
from impl.monitor.codes import Code, Refusal
from impl.monitor.entries import NESTED, READ_WRITE, guest_leaf, nested_leaf
from impl.monitor.guest_memory import translate
from impl.monitor.handlers.shared_memory_add import SLOTS


def is_shared(machine: Machine, enclave: int, page: int) -> bool:
    """The page lies in a registered range of the enclave."""
    s = machine.storage
    for k in range(SLOTS):
        first, end = s.shared_first[enclave, k], s.shared_end[enclave, k]
        if page >= first and page < end:
            return True
    return False


def shared_fill(machine: Machine, cpu: int, page: int) -> None:
    """Map a registered page, R and W, to the normal frame that the application has there.

    The caller knows that the CPU is in the enclave, the page registered, its guest leaf empty.  Refused with the page
    fault of the application, or ENOMEM, or EINVAL if the frame already stands for another page: removing one of two
    pages would leave a way to the frame.
    """
    s, layout = machine.storage, machine.layout
    enclave = s.cpu_enclave[cpu]
    # FETCH
    frame = translate(machine, cpu, page << 12, True, True)
    # CHECK
    if not is_normal(layout, frame):  # EPC or monitor memory passes for shared memory
        raise Refusal(Code.GENERAL_PROTECTION)
    if tables.leaf_word(machine, NESTED, enclave, frame) != 0:  # two pages share a frame
        raise Refusal(Code.EINVAL)
    # RESERVE
    if s.pool_free[()] < tables.PAGE_FRAMES:  # tables that cannot be completed
        raise Refusal(Code.ENOMEM)
    # COMMIT
    tables.map_leaf(machine, NESTED, enclave, frame, nested_leaf(machine.nested_format, frame, READ_WRITE))
    tables.map_guest(machine, enclave, page, guest_leaf(frame, READ_WRITE))
