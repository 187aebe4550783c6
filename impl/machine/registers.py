"""Numbers of the registers in the fields `register` and `saved_register`.

The general registers stand in the order of their encodings, which is also their order in the GPR area of an SSA frame.
"""

from __future__ import annotations

from typing import Final

RAX: Final = 0
RCX: Final = 1
RDX: Final = 2
RBX: Final = 3
RSP: Final = 4
RBP: Final = 5
RSI: Final = 6
RDI: Final = 7
GENERAL: Final = range(16)
RIP: Final = 16
RFLAGS: Final = 17
FS_BASE: Final = 18
GS_BASE: Final = 19
CR3: Final = 20  # root of the guest page table; bits 51:12
CR2: Final = 21  # linear address of the last page fault
CPL: Final = 22
EFER: Final = 23
IDT_BASE: Final = 24
IDT_LIMIT: Final = 25
XCR0: Final = 26
NESTED_ROOT: Final = 27  # physical address of the root of the nested table in use
EVENT: Final = 28  # the event that is delivered next: bits 7:0 vector, 31 valid, 63:32 error code; 0 if none

SWITCHED: Final = (RFLAGS, FS_BASE, GS_BASE, CR3, EFER, IDT_BASE, IDT_LIMIT, XCR0, NESTED_ROOT)
"""What the monitor saves of the normal VM at an entry and gives back at the exit."""

KEPT: Final = (*SWITCHED, RSP, RBP)
"""What it saves in all; an asynchronous exit gives the stack and frame pointers back too."""

XSTATE_WORDS: Final = 72
"""Words of the XSAVE image of x87 and SSE state: 512 bytes legacy area, 64 bytes header (SDM 1, 13.4)."""
