"""Layouts of the structures that calls take and enclaves hold: offsets in 64-bit words, little-endian.

Sources: public monitor, src/enclave/structs.rs and src/enclave/sgx.rs; SDM 3D 38.7 to 38.14.
"""

from __future__ import annotations

from typing import Final

# SECS, the 264 bytes that are used.
SECS_WORDS: Final = 33
SECS_SIZE: Final = 0
SECS_BASE: Final = 1
SECS_SSA_FRAME_SIZE: Final = 2  # bits 31:0 pages; bits 63:32 MISCSELECT
SECS_MS_BUF_SIZE: Final = 5  # bytes; an extension in a field that SGX reserves
SECS_ATTRIBUTES: Final = 6
SECS_XFRM: Final = 7
SECS_RESERVED: Final = (3, 4, 12, 13, 14, 15, 20, 21, 22, 23)
ATTRIBUTE_INIT: Final = 1
ATTRIBUTE_MODE64: Final = 4
XFRM_LEGACY: Final = 3  # x87 and SSE

# NewPageDesc, 44 bytes.
NEW_PAGE_WORDS: Final = 6
NEW_PAGE_SECS: Final = 0
NEW_PAGE_SOURCE: Final = 1  # guest-physical address
NEW_PAGE_LINEAR: Final = 2
NEW_PAGE_EPC: Final = 3  # physical address
NEW_PAGE_SECINFO: Final = 4  # linear address
NEW_PAGE_ATTRIBUTES: Final = 5  # bits 31:0; what lies above does not belong to the structure
ADD: Final = 1
EXTEND: Final = 2

# SECINFO, 8 bytes: flags in bits 7:0, type in bits 15:8, reserved above.
SECINFO_RIGHTS: Final = 7
SECINFO_RESERVED: Final = (
    (1 << 64) - 1
) ^ 0xFF07  # PENDING, MODIFIED, PR, BLOCKED and VALID are not the caller's to give
TYPE_TCS: Final = 1
TYPE_REG: Final = 2

# InitDesc, 16 bytes, and the SIGSTRUCT fields that are used.
INIT_WORDS: Final = 2
INIT_SECS: Final = 0
INIT_SIGSTRUCT: Final = 1
SIGSTRUCT_WORDS: Final = 226
SIGSTRUCT_MODULUS: Final = 16
MODULUS_WORDS: Final = 48
SIGSTRUCT_MRENCLAVE: Final = 120
SIGSTRUCT_ISV: Final = 128  # bits 15:0 ISVPRODID, 31:16 ISVSVN

# SharedMemDesc, 24 bytes; the range is [start, end) in bytes.
SHARED_WORDS: Final = 3
SHARED_SECS: Final = 0
SHARED_START: Final = 1
SHARED_END: Final = 2

# RemovePagesAtDestroy, 32 bytes.
REMOVE_WORDS: Final = 4
REMOVE_SECS: Final = 0
REMOVE_PAGES: Final = 1  # linear address of the physical addresses, u64 each
REMOVE_RESULTS: Final = 2  # linear address of the results, i64 each
REMOVE_BATCH: Final = 3

# TCS, 4096 bytes.
TCS_STAGE: Final = 0
TCS_FLAGS: Final = 1
TCS_OSSA: Final = 2
TCS_CSSA: Final = 3  # bits 31:0 CSSA, 63:32 NSSA
TCS_OENTRY: Final = 4
TCS_AEP: Final = 5
TCS_OFSBASE: Final = 6
TCS_OGSBASE: Final = 7
TCS_RESERVED: Final = 9

# SSA frame, 4096 bytes: XSAVE area in words 0..71, MISC and GPR areas at the end.
SSA_MXCSR: Final = 3  # bits 31:0
SSA_XSTATE_BV: Final = 64
SSA_XSAVE_RESERVED: Final = (65, 66, 67, 68, 69, 70, 71)
SSA_EXINFO_ADDRESS: Final = 487
SSA_EXINFO_ERROR: Final = 488  # bits 31:0
SSA_GENERAL: Final = 489  # RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8..R15
SSA_RFLAGS: Final = 505
SSA_RIP: Final = 506
SSA_URSP: Final = 507
SSA_URBP: Final = 508
SSA_EXITINFO: Final = 509  # bits 31:0
SSA_FS_BASE: Final = 510
SSA_GS_BASE: Final = 511
