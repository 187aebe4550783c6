"""How an outcome or an event reaches the guest: RAX and RIP, or an injected event with CR2 (facts of the ABI).

In the model a call leaves its outcome in `result` and the registers alone; the guest's next `normal_compute` makes
registers of both.  This is that step: the registers that the normal VM finds are a function of those before, the
outcome, and what its own page tables said (address and error code of a page fault).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from impl.machine.registers import CR2, EVENT, RAX, RIP
from model.hyperenclave.vocabulary import Code
from refinement.engine.values import Number, merge
from refinement.opaque import RegisterFile

MASK64: Final = (1 << 64) - 1
CALL_BYTES: Final = 3
VECTORS: Final = {Code.INVALID_OPCODE: 6, Code.PAGE_FAULT: 14}
GENERAL_PROTECTION: Final = 13
HARDWARE_EXCEPTION: Final = 3 << 8
HAS_ERROR_CODE: Final = (8, 10, 11, 12, 13, 14, 17, 21)
VALID: Final = 1 << 31
REPORTED: Final = (0, 1, 3, 5, 6, 13, 14, 16, 17, 19)
BREAKPOINT: Final = 3
SOFTWARE_EXCEPTION: Final = 6 << 8


def behind_call(r: RegisterFile) -> Number:
    """RIP behind VMCALL or VMMCALL."""
    return (r.register(RIP) + CALL_BYTES) & MASK64


def advanced(r: RegisterFile) -> RegisterFile:
    """A call that does nothing."""
    return r.replaced({RIP: behind_call(r)})


def injected(vector: Number, error: Number) -> Number:
    """The pending event of an exception; the error code counts only for vectors that have one."""
    has_error: Number = 0
    for number in HAS_ERROR_CODE:
        has_error = merge(vector == number, 1, has_error)
    plain = vector | HARDWARE_EXCEPTION | VALID
    return merge(has_error == 1, plain | 1 << 11 | (error << 32), plain)


def interrupt(vector: Number) -> Number:
    """The pending event of an external interrupt."""
    return vector | VALID


def exit_information(vector: Number) -> Number:
    """EXITINFO of an exception: vector, type and valid bit if it is a reported one (SDM 3D 38.9.1.1), else vector."""
    value = vector
    for number in REPORTED:
        kind = SOFTWARE_EXCEPTION if number == BREAKPOINT else HARDWARE_EXCEPTION
        value = merge(vector == number, number | kind | VALID, value)
    return value


def with_event(r: RegisterFile, event: Number, address: Number | None = None) -> RegisterFile:
    """An event is pending; for a page fault CR2 holds the address."""
    changed: Mapping[int, Number] = {EVENT: event} | ({} if address is None else {CR2: address})
    return r.replaced(changed)


def delivered(r: RegisterFile, code: Code, address: Number, error: Number) -> RegisterFile:
    """The answer to a call of the normal VM."""
    if code is Code.OK:
        return r.replaced({RAX: 0, RIP: behind_call(r)})
    if code is Code.EENCLAVEACT:
        return r.replaced({RAX: MASK64 + 1 - code.value, RIP: behind_call(r)})
    vector = VECTORS.get(code, GENERAL_PROTECTION)
    if code is Code.PAGE_FAULT:
        return with_event(r, injected(vector, error), address)
    return with_event(r, injected(vector, 0))
