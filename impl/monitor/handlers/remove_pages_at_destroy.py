"""RemovePagesAtDestroy: scrub and free pages of an enclave under destruction, in batches."""

from __future__ import annotations

from impl.machine.layout import is_epc
from impl.machine.primitives import Machine
from impl.machine.registers import RDI
from impl.monitor import epcm, tables
from impl.monitor.codes import IN_DESTROY, MASK64, Code, Refusal
from impl.monitor.entries import GUEST, NESTED
from impl.monitor.guest_memory import enclave_handle, fetch_words, locate
from impl.monitor.structures import (
    REMOVE_BATCH,
    REMOVE_PAGES,
    REMOVE_RESULTS,
    REMOVE_SECS,
    REMOVE_WORDS,
)

REMOVED = 0
NOT_REMOVED = MASK64 - 21
"""-22, EINVAL, as a signed result."""


def remove_pages_at_destroy(machine: Machine, cpu: int) -> Code:
    """RDI: linear address of the descriptor.

    Both arrays are 8-byte aligned and each lies in one page of normal memory,
    so that a batch has at most 512 elements.  A page that is not the enclave's gives
    the result -22 and the batch goes on.  The arrays stay in untrusted memory: an address is fetched once, a result
    only stored.
    """
    s = machine.storage
    # FETCH
    descriptor = fetch_words(machine, cpu, s.register[cpu, RDI], REMOVE_WORDS)
    enclave = enclave_handle(machine, cpu, descriptor[REMOVE_SECS])
    pages, first_page = locate(machine, cpu, descriptor[REMOVE_PAGES], 1)
    results, first_result = locate(machine, cpu, descriptor[REMOVE_RESULTS], 1, write=True)
    batch = descriptor[REMOVE_BATCH]
    # CHECK
    if s.life[enclave] != IN_DESTROY:  # pages disappear under a live enclave
        raise Refusal(Code.EINVAL)
    if first_page + batch > 512 or first_result + batch > 512:  # an array that runs into another page
        raise Refusal(Code.EINVAL)

    # COMMIT
    def remove(i: int) -> None:
        physical = machine.fetch_word(pages, first_page + i)
        machine.store_word(results, first_result + i, _remove_page(machine, enclave, physical))

    machine.each("remove pages", 0, batch, remove)
    return Code.OK


def _remove_page(machine: Machine, enclave: int, physical: int) -> int:
    """Scrub and free one page; the result for the caller."""
    s, frame = machine.storage, physical >> 12
    if physical & 0xFFF != 0:  # a frame address inside a page
        return NOT_REMOVED
    if not is_epc(machine.layout, frame):  # memory that has no EPCM entry
        return NOT_REMOVED
    if not epcm.is_valid(machine, frame) or s.epcm[frame, 2] != enclave:  # the page of another enclave
        return NOT_REMOVED
    page = s.epcm[frame, 1] >> 12
    machine.memory_zero(frame)
    epcm.remove_page(machine, enclave, frame)
    tables.unmap(machine, GUEST, enclave, page)
    tables.unmap(machine, NESTED, enclave, frame)
    return REMOVED
