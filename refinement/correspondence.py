"""Which registers, words and numbers of the monitor stand for which part of the model."""

from __future__ import annotations

from typing import Final

from impl.machine.registers import (
    CPL,
    CR2,
    CR3,
    EFER,
    EVENT,
    FS_BASE,
    GENERAL,
    GS_BASE,
    IDT_BASE,
    IDT_LIMIT,
    NESTED_ROOT,
    RBP,
    RFLAGS,
    RIP,
    RSP,
    XCR0,
)
from model.hyperenclave.vocabulary import Life, Mode, PageType

COMPUTED: Final = frozenset((*GENERAL, RIP, RFLAGS, FS_BASE, GS_BASE))
"""Registers that an enclave computes with; the others are the world switch's while one runs."""
CALLERS: Final = frozenset(range(29)) - {NESTED_ROOT}
"""Registers of the normal VM.  Which nested table is in use is a function of the mode, by the invariant."""
SWITCHED: Final = frozenset((RFLAGS, FS_BASE, GS_BASE, CR3, EFER, IDT_BASE, IDT_LIMIT, XCR0, RSP, RBP))
"""Registers of the normal VM that the monitor keeps in `saved_register` while an enclave runs."""
UNTOUCHED: Final = frozenset((CPL, CR2, EVENT))
"""Registers of the normal VM that stay in the CPU while an enclave runs."""

SLOTS: Final = 4
LIVES: Final = {0: Life.NONE, 1: Life.UNINITIALIZED, 2: Life.INITIALIZED, 3: Life.TRY_DESTROY}
MODES: Final = {2: Mode.ENTERING, 3: Mode.ENCLAVE}
TYPES: Final = {0: PageType.SECS, 1: PageType.TCS, 2: PageType.REG, 3: PageType.VA}
TCS_CSSA: Final = 3  # word of a TCS: bits 31:0 CSSA, 63:32 NSSA
TCS_AEP: Final = 5
MASK32: Final = (1 << 32) - 1
RIGHTS_BITS: Final = 3
DEPTH_BITS: Final = 32
FLAG_BITS: Final = 4
SIZE_BITS: Final = 37
