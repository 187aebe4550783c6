"""Calls of the normal VM: the arguments of the model's actions, read off what the monitor fetched.

Every function fills in the arguments in the order in which the call's structures are read.  Where a pointer leads
nowhere, or the monitor has refused before, the rest keeps values that would let the call succeed, so that the model
must find the reason for the refusal itself.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from impl.machine.machine import ConcreteMachine
from impl.machine.registers import CPL, CR3, RBX, RCX, RDI
from model.hyperenclave.vocabulary import Code, Life, PageType, Pointer
from model.language.logic import Value
from refinement.measurement import Hashed, Shape
from refinement.opaque import FrameSet, RegisterFile
from refinement.traces.fetches import Cursor, EndedError, Fault
from refinement.traces.observed import BLANK, FixedPage, Observed
from refinement.traces.story import Story

FRAME_MASK: Final = (1 << 40) - 1
LOW_HALF: Final = 1 << 47
CREATE_FRAMES: Final = 5
PAGE_FRAMES: Final = 15
SLOTS: Final = 4
MAXIMUM_SHARED_PAGES: Final = 1 << 16
TYPES: Final = {0: PageType.SECS, 1: PageType.TCS, 2: PageType.REG, 3: PageType.VA}
SECS_RESERVED: Final = (3, 4, 12, 13, 14, 15, 20, 21, 22, 23)
SIGSTRUCT_WORDS: Final = 226


@dataclass
class Call:
    """A call under way: who makes it, what was read, the arguments so far; `pointer` names the one followed now."""

    cpu: int
    registers: RegisterFile
    cursor: Cursor
    observed: Observed
    live: ConcreteMachine
    story: Story
    arguments: dict[str, Value]
    pointer: str

    def register(self, number: int) -> int:
        """A register of the caller."""
        value = self.registers.register(number)
        assert isinstance(value, int)
        return value

    @property
    def root(self) -> int:
        """The frame of the caller's top page table."""
        return self.register(CR3) >> 12 & FRAME_MASK

    def tables(self) -> FrameSet:
        """The pool frames that have become guest tables."""
        return FrameSet(new_tables(self.observed, self.live).__contains__)

    def short_of(self, frames: int) -> bool:
        """The pool has fewer free frames than this."""
        return self.observed.shadow.storage.pool_free[()] < frames


def new_tables(observed: Observed, live: ConcreteMachine) -> frozenset[int]:
    """Frames that the machine records as guest tables now and did not before."""
    kinds = live.storage.sparse["table_kind"]
    before = observed.shadow.storage.table_kind
    return frozenset(f for f, kind in kinds.items() if kind == 1 and isinstance(f, int) and before[f] != 1)


def _create(call: Call) -> None:
    a = call.arguments
    frame, index = call.cursor.structure(call.root, call.register(RDI), 33)
    a["e"] = enclave = frame << 12 | index << 3
    secs = [call.cursor.word(frame, index + k) for k in range(33)]
    size, base, buffer = secs[0], secs[1], secs[5]
    power = size >= 4096 and size & (size - 1) == 0 and size <= LOW_HALF
    placed = power and base & (size - 1) == 0 and base + size <= LOW_HALF
    shaped = buffer != 0 and buffer & 0xFFF == 0 and secs[7] == 3 and secs[2] == 1 and secs[6] & ~4 == 0
    reserved = any(secs[k] for k in SECS_RESERVED)
    a["well_formed"] = enclave != 0 and placed and shaped and not reserved
    a["base"], a["size"] = base >> 12, size >> 12
    a["elrange"] = call.observed.universe.range_of(base, base + size)
    a["shape"] = Shape(secs[2] & 0xFFFFFFFF, size)
    call.observed.universe.add((enclave,), range(base >> 12, (base + min(size, 1 << 16)) >> 12) if placed else ())


def _add_page(call: Call) -> None:
    a, cursor = call.arguments, call.cursor
    secs, source, linear, physical, info, attributes = cursor.read(call.root, call.register(RDI), 6)
    a["e"] = cursor.handle(call.root, secs)
    a["add"], a["extend"] = attributes & 1 != 0, attributes & 2 != 0
    a["aligned"], a["v"] = linear & 0xFFF == 0, linear >> 12
    a["frame_aligned"], a["f"] = physical & 0xFFF == 0, physical >> 12
    a["source_aligned"], a["source"] = source & 0xFFF == 0, source >> 12
    call.pointer = "secinfo"
    (secinfo,) = cursor.read(call.root, info, 1)
    a["page_type"] = TYPES.get(secinfo >> 8 & 0xFF, PageType.TRIM)
    a["rights"], a["flags"] = secinfo & 7, secinfo >> 3 & 15
    a["reserved"] = secinfo & ~0xFF7F != 0
    a["data"] = FixedPage(tuple(cursor.word(source >> 12, k) for k in range(512)))


def _initialize(call: Call) -> None:
    a, cursor = call.arguments, call.cursor
    secs, sigstruct = cursor.read(call.root, call.register(RDI), 2)
    a["e"] = cursor.handle(call.root, secs)
    call.pointer = "sigstruct"
    frame, index = cursor.structure(call.root, sigstruct, SIGSTRUCT_WORDS)
    words = [cursor.word(frame, index + k) for k in range(120, 124)]
    a["expected"] = Hashed(None, struct.pack("<4Q", *words))
    for k in (*range(16, 64), 128):  # modulus and ISV: they decide nothing
        cursor.word(frame, index + k)


def _named(call: Call) -> None:
    call.arguments["e"] = call.cursor.handle(call.root, call.register(RDI))


def _shared(call: Call) -> None:
    a = call.arguments
    secs, start, stop = call.cursor.read(call.root, call.register(RDI), 3)
    a["e"] = enclave = call.cursor.handle(call.root, secs)
    a["r"] = call.observed.universe.range_of(start, stop)
    a["well_formed"] = (
        (start | stop) & 0xFFF == 0 and start < stop <= LOW_HALF and stop - start <= (MAXIMUM_SHARED_PAGES << 12)
    )
    slots = call.observed.shadow.storage.shared_end
    a["exhausted"] = all(slots[enclave, k] for k in range(SLOTS))
    call.observed.universe.add((), (start >> 12,))


def _enter(call: Call) -> None:
    address, aep = call.register(RBX), call.register(RCX)
    a = call.arguments
    a["v"] = address >> 12
    if (aep + LOW_HALF) >> 48 not in (0, 1 << 16):
        raise Fault(Pointer.GENERAL_PROTECTION)
    a["f"] = call.cursor.follow(call.root, address, True, True)
    if address & 0xFFF:
        raise Fault(Pointer.PAGE_FAULT)


@dataclass(frozen=True)
class Reading:
    """How a call is read: the model's action, what reads it, its first pointer, and its other arguments."""

    action: str
    read: Callable[[Call], None]
    pointer: str
    others: Mapping[str, Value]


_NAMED: Final[Mapping[str, Value]] = {"e": 8}
_PAGE: Final[Mapping[str, Value]] = {
    "e": 8, "secinfo": Pointer.READABLE, "add": True, "extend": True, "aligned": True, "v": 0, "rights": 1,
    "page_type": PageType.REG, "flags": 0,
    "reserved": False, "f": 0, "frame_aligned": True, "source": 0, "source_aligned": True,
    "data": BLANK, "exhausted": False,
}  # fmt: skip
READINGS: Final[Mapping[int, Reading]] = {
    0x10: Reading("create", _create, "pointer", {
        "e": 8, "well_formed": True, "base": 0, "size": 1, "elrange": None, "shape": Shape(1, 4096), "exhausted": False,
    }),
    0x11: Reading("add_page", _add_page, "descriptor", _PAGE),
    0x12: Reading("initialize", _initialize, "descriptor", {
        "e": 8, "sigstruct": Pointer.READABLE, "expected": Hashed(None),
    }),
    0x13: Reading("prepare_destroy", _named, "pointer", _NAMED),
    0x14: Reading("finish_destroy", _named, "pointer", _NAMED),
    0x101: Reading("shared_memory_add", _shared, "descriptor", {
        "e": 8, "r": None, "well_formed": True, "exhausted": False,
    }),
    0x102: Reading("shared_memory_remove", _shared, "descriptor", {"e": 8, "r": None}),
    0x80000000: Reading("enter_check", _enter, "pointer", {"v": 0, "f": 0, "resuming": False}),
    0x80000005: Reading("enter_check", _enter, "pointer", {"v": 0, "f": 0, "resuming": True}),
}  # fmt: skip
REMOVE_PAGES: Final = 0x28
FRAMES_NEEDED: Final = {"create": CREATE_FRAMES, "add_page": PAGE_FRAMES}


def tell_call(call: Call, number: int) -> None:
    """The act of the model for a call of the normal VM by number."""
    if number == REMOVE_PAGES:
        _tell_remove(call)
        return
    reading, a = READINGS[number], call.arguments
    a.update(reading.others)
    call.pointer = reading.pointer
    nothing = call.observed.universe.range_of(0, 0)
    a.update({name: nothing for name in ("elrange", "r") if name in a})
    a.update({"c": call.cpu, "supervisor": call.register(CPL) == 0, reading.pointer: Pointer.READABLE})
    try:
        reading.read(call)
    except Fault as fault:
        a[call.pointer] = fault.pointer
    except EndedError:
        pass
    if reading.action == "shared_memory_remove":
        a.pop("well_formed", None)
        a.pop("exhausted", None)
    if reading.action in FRAMES_NEEDED:
        a["exhausted"] = call.short_of(FRAMES_NEEDED[reading.action])
        a["tables"] = call.tables()
    call.story.decide(reading.action, a)


def _tell_remove(call: Call) -> None:
    """RemovePagesAtDestroy: the model has one element of the batch; what comes before the first is told here."""
    if call.register(CPL) != 0:
        call.story.expected = Code.INVALID_OPCODE
        return
    codes = {Pointer.PAGE_FAULT: Code.PAGE_FAULT, Pointer.GENERAL_PROTECTION: Code.GENERAL_PROTECTION}
    cursor, root = call.cursor, call.root
    try:
        secs, pages, results, batch = cursor.read(root, call.register(RDI), 4)
        enclave = cursor.handle(root, secs)
        page_frame, first_page = cursor.structure(root, pages, 1)
        result_frame, first_result = cursor.structure(root, results, 1, write=True)
    except Fault as fault:
        call.story.expected = codes[fault.pointer]
        return
    dying = call.observed.read("life", (enclave,)) is Life.IN_DESTROY
    if not dying or first_page + batch > 512 or first_result + batch > 512:
        call.story.expected = Code.EINVAL
        return
    call.story.expected = Code.OK
    for i in range(batch):
        try:
            physical = cursor.word(page_frame, first_page + i)
        except EndedError:
            return
        cursor.pass_writes()
        call.story.tell(
            "remove_page_at_destroy", c=call.cpu, supervisor=True, e=enclave, f=physical >> 12,
            frame_aligned=physical & 0xFFF == 0,
        )  # fmt: skip
        result = call.live.storage.memory[result_frame, first_result + i]
        call.story.others_write(result_frame, {first_result + i: result})
