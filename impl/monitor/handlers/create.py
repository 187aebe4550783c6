"""ECREATE: a new enclave from a SECS in normal memory."""

from __future__ import annotations

from impl.machine.primitives import Machine
from impl.machine.registers import RDI
from impl.monitor import tables
from impl.monitor.codes import LOW_HALF, MASK32, NONE, UNINITIALIZED, Code, Refusal
from impl.monitor.entries import GUEST, NESTED
from impl.monitor.guest_memory import locate
from impl.monitor.structures import (
    ATTRIBUTE_MODE64,
    SECS_ATTRIBUTES,
    SECS_BASE,
    SECS_MS_BUF_SIZE,
    SECS_RESERVED,
    SECS_SIZE,
    SECS_SSA_FRAME_SIZE,
    SECS_WORDS,
    SECS_XFRM,
    XFRM_LEGACY,
)


def create(machine: Machine, cpu: int) -> Code:
    """RDI: linear address of the SECS, whose guest-physical address becomes the enclave's id.

    Stricter than the public monitor: base aligned to size and in the canonical low half, reserved fields and MISCSELECT
    zero, no attribute but MODE64, XFRM exactly x87 and SSE, SSA frames of one page (so that one page holds both the
    XSAVE area and the registers), and an id that is not 0.
    """
    s = machine.storage
    # FETCH
    frame, index = locate(machine, cpu, s.register[cpu, RDI], SECS_WORDS)
    secs = tuple(machine.fetch_word(frame, index + k) for k in range(SECS_WORDS))
    enclave = (frame << 12) | (index << 3)
    # CHECK
    size, base = secs[SECS_SIZE], secs[SECS_BASE]
    ssa_frame_size = secs[SECS_SSA_FRAME_SIZE] & MASK32
    if enclave == 0:  # the owner of free frames
        raise Refusal(Code.EINVAL)
    if size < 4096 or size > LOW_HALF or size & (size - 1) != 0:  # ELRANGE that no mask describes
        raise Refusal(Code.EINVAL)
    if base & (size - 1) != 0 or base + size > LOW_HALF:  # ELRANGE that wraps, or reaches non-canonical addresses
        raise Refusal(Code.EINVAL)
    if secs[SECS_MS_BUF_SIZE] == 0 or secs[SECS_MS_BUF_SIZE] & 0xFFF != 0:  # shared memory of part of a page
        raise Refusal(Code.EINVAL)
    if secs[SECS_XFRM] != XFRM_LEGACY:  # state components that the world switch does not scrub
        raise Refusal(Code.EINVAL)
    if secs[SECS_SSA_FRAME_SIZE] != 1:  # registers saved beyond the page that was checked; MISCSELECT components
        raise Refusal(Code.EINVAL)
    if secs[SECS_ATTRIBUTES] & (ATTRIBUTE_MODE64 ^ ((1 << 64) - 1)) != 0:  # INIT before EINIT, DEBUG, provisioning
        raise Refusal(Code.EINVAL)
    reserved = 0
    for k in SECS_RESERVED:
        reserved = reserved | secs[k]
    if reserved != 0:  # a meaning that a later version may give
        raise Refusal(Code.EINVAL)
    if s.life[enclave] != NONE:  # a second enclave behind the handle of a live one
        raise Refusal(Code.EEXIST)
    # RESERVE
    if s.pool_free[()] < tables.CREATE_FRAMES:  # tables that cannot be completed
        raise Refusal(Code.ENOMEM)
    # COMMIT
    root = tables.create_root(machine, GUEST, enclave)
    tables.create_root(machine, NESTED, enclave)
    tables.map_own_table(machine, enclave, root)
    s.life[enclave] = UNINITIALIZED
    s.elrange_first[enclave] = base >> 12
    s.elrange_end[enclave] = (base + size) >> 12
    s.ssa_frame_size[enclave] = ssa_frame_size
    s.attributes[enclave] = secs[SECS_ATTRIBUTES]
    s.xfrm[enclave] = secs[SECS_XFRM]
    machine.measure_start(enclave, ssa_frame_size, size)
    return Code.OK
