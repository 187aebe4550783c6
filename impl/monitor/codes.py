"""Outcomes of calls, and the refusal that carries one."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Code(IntEnum):
    """How a call ends (public monitor: src/error.rs, src/enclave/sgx.rs; the exceptions have numbers of our own)."""

    OK = 0
    PAGE_FAULT = 1
    GENERAL_PROTECTION = 2
    INVALID_OPCODE = 3
    IGNORED = 4  # an unknown call: nothing happens
    EIO = 5
    ENOMEM = 12
    EFAULT = 14
    EBUSY = 16
    EEXIST = 17
    EINVAL = 22
    EENCLAVEACT = 0x4000000E


class Refusal(Exception):  # noqa: N818 (an answer, not an error)
    """A call ends without an effect; for a page fault with its linear address and its error code."""

    def __init__(self, code: Code, address: int = 0, error: int = 0) -> None:
        super().__init__(code.name)
        self.code = code
        self.address = address
        self.error = error


# Page-fault error codes (SDM 3A, 4.7) and the vectors that the monitor injects.
FAULT_PRESENT: Final = 1
FAULT_WRITE: Final = 2
FAULT_USER: Final = 4
FAULT_FETCH: Final = 16
VECTOR_UD: Final = 6
VECTOR_GP: Final = 13
VECTOR_PF: Final = 14

# Modes of a CPU (field cpu_mode).
OFF: Final = 0
NORMAL: Final = 1
ENTERING: Final = 2
ENCLAVE: Final = 3

# Life cycle of an enclave (field life).
NONE: Final = 0
UNINITIALIZED: Final = 1
INITIALIZED: Final = 2
TRY_DESTROY: Final = 3
IN_DESTROY: Final = 4

# Access rights, as in SECINFO, EPCM and the TLB.
READ: Final = 1
WRITE: Final = 2
EXECUTE: Final = 4

MASK64: Final = (1 << 64) - 1
MASK32: Final = (1 << 32) - 1
FRAME_MASK: Final = (1 << 40) - 1
PAGE_MASK: Final = (1 << 36) - 1
LOW_HALF: Final = 1 << 47
"""End of the canonical low half: the linear addresses of applications and enclaves."""
