"""EADD with EEXTEND: one page of the image, before the enclave is initialised."""

from __future__ import annotations

from impl.machine.layout import is_epc, is_normal
from impl.machine.primitives import Machine
from impl.machine.registers import RDI
from impl.monitor import epcm, tables
from impl.monitor.codes import MASK32, NONE, READ, UNINITIALIZED, Code, Refusal
from impl.monitor.entries import GUEST, NESTED, guest_leaf, guest_tcs_leaf, nested_leaf
from impl.monitor.guest_memory import enclave_handle, fetch_words
from impl.monitor.structures import (
    ADD,
    EXTEND,
    NEW_PAGE_ATTRIBUTES,
    NEW_PAGE_EPC,
    NEW_PAGE_LINEAR,
    NEW_PAGE_SECINFO,
    NEW_PAGE_SECS,
    NEW_PAGE_SOURCE,
    NEW_PAGE_WORDS,
    SECINFO_RESERVED,
    SECINFO_RIGHTS,
    TCS_AEP,
    TCS_CSSA,
    TCS_FLAGS,
    TCS_OENTRY,
    TCS_OFSBASE,
    TCS_OGSBASE,
    TCS_OSSA,
    TCS_RESERVED,
    TCS_STAGE,
    TYPE_REG,
    TYPE_TCS,
)


def add_page(machine: Machine, cpu: int) -> Code:
    """RDI: linear address of a NewPageDesc.

    SECINFO and the source page are fetched between the checks, to keep the order of the codes; each is fetched once,
    the page into this CPU's staging frame, before any effect.
    """
    s, layout = machine.storage, machine.layout
    # FETCH
    descriptor = fetch_words(machine, cpu, s.register[cpu, RDI], NEW_PAGE_WORDS)
    enclave = enclave_handle(machine, cpu, descriptor[NEW_PAGE_SECS])
    linear, physical, source = descriptor[NEW_PAGE_LINEAR], descriptor[NEW_PAGE_EPC], descriptor[NEW_PAGE_SOURCE]
    attributes = descriptor[NEW_PAGE_ATTRIBUTES] & MASK32
    # CHECK
    if s.life[enclave] == NONE:  # a page for an enclave that does not exist
        raise Refusal(Code.EFAULT)
    if s.life[enclave] != UNINITIALIZED:  # a page that MRENCLAVE does not cover
        raise Refusal(Code.EBUSY)
    if attributes & ADD == 0:  # a call that does not ask for EADD
        raise Refusal(Code.EINVAL)
    if linear & 0xFFF != 0:  # a linear address inside a page
        raise Refusal(Code.EINVAL)
    page, frame = linear >> 12, physical >> 12
    if page < s.elrange_first[enclave] or page >= s.elrange_end[enclave]:  # an enclave page outside ELRANGE
        raise Refusal(Code.EINVAL)
    (secinfo,) = fetch_words(machine, cpu, descriptor[NEW_PAGE_SECINFO], 1)
    page_type, rights = (secinfo >> 8) & 0xFF, secinfo & SECINFO_RIGHTS
    if page_type != TYPE_REG and page_type != TYPE_TCS:  # a forged version array, SECS or trimmed page
        raise Refusal(Code.EINVAL)
    if secinfo & SECINFO_RESERVED != 0:  # PENDING, BLOCKED, PR or VALID given by the normal VM
        raise Refusal(Code.EINVAL)
    if page_type == TYPE_REG and rights & READ == 0:  # a page that hardware reads although EPCM says no
        raise Refusal(Code.EINVAL)
    if page_type == TYPE_TCS and rights != 0:  # a TCS that enclave code can reach
        raise Refusal(Code.EINVAL)
    if physical & 0xFFF != 0:  # a frame address inside a page
        raise Refusal(Code.EINVAL)
    if not is_epc(layout, frame):  # an enclave page in memory that others reach
        raise Refusal(Code.EINVAL)
    if epcm.is_valid(machine, frame):  # one frame under two pages
        raise Refusal(Code.EINVAL)
    if tables.leaf_word(machine, GUEST, enclave, page) != 0:  # two frames under one page
        raise Refusal(Code.EINVAL)
    if source & 0xFFF != 0:  # a source address inside a page
        raise Refusal(Code.EINVAL)
    if not is_normal(layout, source >> 12):  # the monitor copies EPC or its own memory for the caller
        raise Refusal(Code.EINVAL)
    staging = layout.staging_first + cpu
    machine.fetch_page(staging, source >> 12)
    if page_type == TYPE_TCS:
        _check_tcs(machine, enclave, staging)
    # RESERVE
    if s.pool_free[()] < tables.PAGE_FRAMES:  # tables that cannot be completed
        raise Refusal(Code.ENOMEM)
    # COMMIT
    epcm.add_page(machine, enclave, frame, page, rights, page_type)
    if page_type == TYPE_REG:
        tables.map_leaf(machine, NESTED, enclave, frame, nested_leaf(machine.nested_format, frame, rights))
        tables.map_guest(machine, enclave, page, guest_leaf(frame, rights))
    else:
        tables.map_guest(machine, enclave, page, guest_tcs_leaf(frame))
    machine.memory_copy(frame, staging)
    offset = (page - s.elrange_first[enclave]) << 12
    machine.measure_add(enclave, offset, secinfo)
    if attributes & EXTEND != 0:
        machine.measure_extend(enclave, offset, frame)
    else:
        s.unextended[enclave] = 1
    return Code.OK


def _check_tcs(machine: Machine, enclave: int, frame: int) -> None:
    """The format of a fresh TCS, on the private copy."""
    s = machine.storage
    size = (s.elrange_end[enclave] - s.elrange_first[enclave]) << 12
    counts = s.memory[frame, TCS_CSSA]
    if s.memory[frame, TCS_STAGE] != 0 or s.memory[frame, TCS_AEP] != 0:  # a TCS with state of its own
        raise Refusal(Code.EINVAL)
    if s.memory[frame, TCS_FLAGS] != 0:  # debugging by the normal VM
        raise Refusal(Code.EINVAL)
    if counts & MASK32 != 0 or counts >> 32 == 0:  # a thread that was never interrupted is resumed; no SSA frame
        raise Refusal(Code.EINVAL)
    if s.memory[frame, TCS_OSSA] & 0xFFF != 0 or s.memory[frame, TCS_OSSA] >= size:  # SSA inside a page, or outside
        raise Refusal(Code.EINVAL)
    if s.memory[frame, TCS_OENTRY] >= size:  # execution starts outside ELRANGE
        raise Refusal(Code.EINVAL)
    if s.memory[frame, TCS_OFSBASE] >= size or s.memory[frame, TCS_OGSBASE] >= size:  # thread data outside ELRANGE
        raise Refusal(Code.EINVAL)
    if not machine.memory_is_zero(frame, TCS_RESERVED, 512):  # a meaning that a later version may give
        raise Refusal(Code.EINVAL)
