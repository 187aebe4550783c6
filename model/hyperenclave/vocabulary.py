"""The words of the specification: sorts, enumerations and rights."""

from __future__ import annotations

from enum import Enum
from typing import Final

from model.language.terms import bits, enum_sort, index, opaque


class FrameClass(Enum):
    """What a physical frame is for; fixed at boot.  Not being EPC does not make a frame normal."""

    NORMAL = 0
    EPC = 1
    MONITOR = 2
    RESERVED = 3


class PageType(Enum):
    """EPCM page types of this interface (SECINFO byte 1)."""

    SECS = 0
    TCS = 1
    REG = 2
    VA = 3
    TRIM = 4


class Life(Enum):
    """Life cycle of an enclave."""

    NONE = 0
    UNINITIALIZED = 1
    INITIALIZED = 2
    TRY_DESTROY = 3
    IN_DESTROY = 4


class Leaf(Enum):
    """A guest page-table leaf: empty, present, or occupied without being present."""

    EMPTY = 0
    PRESENT = 1
    OCCUPIED = 2


class Mode(Enum):
    """What a CPU runs: the normal VM, the monitor between the two steps of an entry, or an enclave."""

    NORMAL = 0
    ENTERING = 1
    ENCLAVE = 2


class Operation(Enum):
    """The class of an enclave's next instruction."""

    COMPUTE = 0
    LOAD = 1
    STORE = 2
    FETCH = 3
    EXIT = 4
    TRAP = 5


class Pointer(Enum):
    """What became of a pointer of the normal VM when the monitor followed it."""

    READABLE = 0
    PAGE_FAULT = 1
    GENERAL_PROTECTION = 2


class Record(Enum):
    """What a record of the measurement is about."""

    ECREATE = 0
    EADD = 1
    EEXTEND = 2


class Code(Enum):
    """Outcomes of a call, as the reference monitor distinguishes them before delivery."""

    OK = 0
    PAGE_FAULT = 1
    GENERAL_PROTECTION = 2
    INVALID_OPCODE = 3
    EIO = 5
    ENOMEM = 12
    EFAULT = 14
    EBUSY = 16
    EEXIST = 17
    EINVAL = 22
    EENCLAVEACT = 0x4000000E


Frame: Final = index("Frame")
Enclave: Final = index("Enclave")
Page: Final = index("Page")
Offset: Final = index("Offset")
Cpu: Final = index("Cpu")
Device: Final = index("Device")
Size: Final = index("Size")
Range: Final = index("Range")
FrameSet: Final = index("FrameSet")

Data: Final = opaque("Data")
Registers: Final = opaque("Registers")
Measurement: Final = opaque("Measurement")
Shape: Final = opaque("Shape")
Word: Final = opaque("Word")

FRAME_CLASS: Final = enum_sort(FrameClass)
PAGE_TYPE: Final = enum_sort(PageType)
LIFE: Final = enum_sort(Life)
LEAF: Final = enum_sort(Leaf)
MODE: Final = enum_sort(Mode)
OPERATION: Final = enum_sort(Operation)
POINTER: Final = enum_sort(Pointer)
RECORD: Final = enum_sort(Record)
CODE: Final = enum_sort(Code)

RIGHTS: Final = bits(3)
FLAGS: Final = bits(4)
DEPTH: Final = bits(32)

READ: Final = 1
WRITE: Final = 2
EXECUTE: Final = 4
NO_RIGHTS: Final = 0
READ_WRITE: Final = READ | WRITE
ALL_RIGHTS: Final = READ | WRITE | EXECUTE

PENDING: Final = 1
MODIFIED: Final = 2
RESTRICTED: Final = 4
BLOCKED: Final = 8
