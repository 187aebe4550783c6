"""Every kind of step told by the model; calls of the normal VM are read in `refinement.traces.calls`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from impl.machine.layout import Layout
from impl.machine.machine import ConcreteMachine
from impl.machine.registers import CPL, CR2, CR3, EVENT, RAX, RBX, RIP
from model.hyperenclave.vocabulary import Code, FrameClass, Leaf, Mode, Operation, Pointer
from refinement.interpretation import CALL_BYTES, Access, Event
from refinement.opaque import RegisterFile
from refinement.traces.calls import PAGE_FRAMES, READINGS, REMOVE_PAGES, Call, tell_call
from refinement.traces.execution import Happened
from refinement.traces.fetches import Cursor, EndedError, Fault
from refinement.traces.observed import NOWHERE, Observed
from refinement.traces.story import Story
from refinement.traces.trace import Step

MASK64: Final = (1 << 64) - 1
FRAME_MASK: Final = (1 << 40) - 1
EXIT_CALL: Final = 0x80000001
LOW_HALF: Final = 1 << 47
SSA_ERROR: Final = 488  # word of an SSA frame: error code in EXINFO
UD, GP, PF = 6, 13, 14
VALID: Final = 1 << 31
EXCEPTION: Final = 3 << 8
SOFTWARE: Final = 6 << 8
WITH_ERROR: Final = frozenset((8, 10, 11, 12, 13, 14, 17, 21))
REPORTED: Final = frozenset((0, 1, 3, 5, 6, 13, 14, 16, 17, 19))  # SDM 3D, 38.9.1.1
OPERATIONS: Final = {"load": Operation.LOAD, "fetch": Operation.FETCH, "store": Operation.STORE}
BY_ACCESS: Final = {1: Operation.LOAD, 2: Operation.STORE, 4: Operation.FETCH}
FAULT_BITS: Final = 0x1F
MUST_EXIT: Final = -1


class Teller:
    """Tells one step: the state before is `observed`, the machine after it is `live`."""

    def __init__(self, step: Step, happened: Happened, observed: Observed, live: ConcreteMachine) -> None:
        self.step = step
        self.happened = happened
        self.observed = observed
        self.live = live
        self.story = Story()
        self.cursor = Cursor(list(happened.words), observed, self.story.wrote)
        self.cpu = step["cpu"]
        self.layout: Layout = live.layout

    @property
    def registers(self) -> RegisterFile:
        """The CPU's registers before the step."""
        value = self.observed.read("registers", (self.cpu,))
        assert isinstance(value, RegisterFile)
        return value

    @property
    def inside(self) -> bool:
        """The CPU runs an enclave."""
        return self.observed.read("mode", (self.cpu,)) is Mode.ENCLAVE

    def after(self, number: int) -> int:
        """A register as it is now."""
        return self.live.storage.register[self.cpu, number]

    def tell(self) -> Story:
        """The story of the step."""
        _TELL[self.step.action](self)
        self.cursor.finish()
        return self.story

    # --- what the normal VM is told ------------------------------------------------------------------------------

    def deliver(self, code: Code) -> None:
        """The outcome of a call of the normal VM arrives in its registers."""
        rip = self.registers.register(RIP)
        assert isinstance(rip, int)
        behind = {RIP: (rip + CALL_BYTES) & MASK64}
        if code is Code.OK:
            self.story.sets(self.cpu, {RAX: 0} | behind)
        elif code is Code.EENCLAVEACT:
            self.story.sets(self.cpu, {RAX: MASK64 + 1 - code.value} | behind)
        elif code is Code.PAGE_FAULT:
            self.exception(PF, self.after(CR2))
        else:
            self.exception(UD if code is Code.INVALID_OPCODE else GP, None)

    def exception(self, vector: int, address: int | None) -> None:
        """An exception for the normal VM; of the error code of a page fault any of the five bits may be set."""
        error = self.after(EVENT) >> 32 & FAULT_BITS if vector == PF else 0
        event = vector | EXCEPTION | VALID | (1 << 11 | error << 32 if vector in WITH_ERROR else 0)
        self.story.sets(self.cpu, {EVENT: event} | ({} if address is None else {CR2: address}))

    # --- enclaves --------------------------------------------------------------------------------------------------

    def trapped(self, vector: int, access: Access, detail: tuple[int, int] | None, address: int | None) -> None:
        """The enclave raised an exception: it is left, and the normal VM gets the vector."""
        kind = (SOFTWARE if vector == 3 else EXCEPTION) | VALID if vector in REPORTED else 0
        event = Event(vector | kind, detail)
        self.story.tell("fault", access, c=self.cpu, event=event)
        self.exception(vector, address)

    def call_from_enclave(self) -> None:
        """EEXIT, or a call that an enclave may not make, or one that does not exist."""
        number, target = self.step["number"], self.registers.register(RBX)
        assert isinstance(target, int)
        trap = Access(Operation.TRAP)
        if number == EXIT_CALL and (target + LOW_HALF) >> 48 in (0, 1 << 16):
            self.story.expected = Code.OK
            self.story.tell("enclave_step", Access(Operation.EXIT), c=self.cpu)
        elif number == EXIT_CALL:
            self.story.expected = Code.GENERAL_PROTECTION
            self.trapped(GP, trap, (0, 0), None)
        elif number in READINGS or number == REMOVE_PAGES:
            self.story.expected = Code.INVALID_OPCODE
            self.trapped(UD, trap, None, None)
        else:
            self.compute({RIP: self.after(RIP)})

    def compute(self, registers: Mapping[int, int]) -> None:
        """Instructions that set registers, of whoever runs on the CPU."""
        if self.inside:
            changed = {"advanced": lambda r: r.replaced(registers)}
            self.story.alter("enclave_step", changed, Access(Operation.COMPUTE), c=self.cpu)
        else:
            self.story.sets(self.cpu, registers)


def _call(t: Teller) -> None:
    number = t.step["number"]
    if t.inside:
        t.call_from_enclave()
    elif number == EXIT_CALL:
        t.story.expected = Code.INVALID_OPCODE
        t.deliver(Code.INVALID_OPCODE)
    elif number in READINGS or number == REMOVE_PAGES:
        call = Call(t.cpu, t.registers, t.cursor, t.observed, t.live, t.story, {}, "")
        tell_call(call, number)
        code = Code[t.happened.code.name]
        t.cursor.pass_writes()
        if number < EXIT_CALL - 1 or code is not Code.OK:
            t.deliver(code)
    else:
        t.compute({RIP: t.after(RIP)})


def _complete(t: Teller) -> None:
    t.story.decide("enter_commit", {"c": t.cpu})
    if t.happened.code != 0:
        t.deliver(Code.EINVAL)


def _registers(t: Teller) -> None:
    values = {number: value for number, value in t.step.values if number != CR3 or not t.inside}
    t.compute(values)


def _fill(t: Teller) -> None:
    page = t.step["page"]
    if t.inside:
        if t.happened.granted:
            t.story.tell("enclave_fill", c=t.cpu, v=page)
        else:
            t.story.expected = None if _translates(t, page) else Code.OK
        return
    found = _normal_walk(t, page)
    if found is not None:
        t.story.tell("normal_fill", c=t.cpu, v=page, g=found[0], wanted=found[1])


def _translates(t: Teller, page: int) -> bool:
    """The tables of the enclave on this CPU grant something at the page."""
    o, c = t.observed, t.cpu
    enclave = o.read("current", (c,))
    frame = o.read("guest_frame", (enclave, page))
    guest, nested = o.read("guest_rights", (enclave, page)), o.read("nested_rights", (enclave, frame))
    present = o.read("guest_leaf", (enclave, page)) is Leaf.PRESENT
    return present and isinstance(guest, int) and isinstance(nested, int) and guest & nested != 0


def _normal_walk(t: Teller, page: int) -> tuple[int, int] | None:
    """Guest frame and rights by the normal VM's own tables, each fetched through its nested table."""
    o, cpl = t.observed, t.registers.register(CPL)
    cr3 = t.registers.register(CR3)
    assert isinstance(cr3, int)
    guest, rights, required = cr3 >> 12 & FRAME_MASK, 7, 5 if cpl == 3 else 1
    for level in (3, 2, 1, 0):
        if not _may_read(o, guest):
            return None
        frame = o.read("normal_frame", (guest,))
        assert isinstance(frame, int)
        hidden = o.read("frame_class", (frame,)) is not FrameClass.NORMAL
        entry = 0 if hidden else t.cursor.word(frame, page >> 9 * level & 511)
        if entry & required != required:
            return None
        rights &= 1 | entry & 2 | (entry >> 63 ^ 1) << 2
        guest = entry >> 12 & FRAME_MASK
        if level in (1, 2) and entry & 1 << 7:
            low = (1 << 9 * level) - 1
            guest = guest & ~low | page & low
            break
    granted = o.read("normal_rights", (guest,))
    return (guest, rights) if isinstance(granted, int) and granted & rights else None


def _may_read(o: Observed, guest: int) -> bool:
    rights = o.read("normal_rights", (guest,))
    return isinstance(rights, int) and rights & 1 == 1


def _evict(t: Teller) -> None:
    t.story.tell("evict", c=t.cpu, v=t.step["page"])


def _access(t: Teller) -> None:
    operation, page = OPERATIONS[t.step.action], t.step["page"]
    access = Access(operation, page, t.step["index"], t.step["value"])
    if t.inside:
        t.story.tell("enclave_step", access, c=t.cpu)
    elif t.happened.granted and operation is Operation.STORE:
        t.story.tell("normal_store", access, c=t.cpu, v=page)
    elif t.happened.granted:
        t.story.tell("normal_load", access, c=t.cpu, v=page, fetches=operation is Operation.FETCH)


def _fault(t: Teller) -> None:
    address, operation = t.step["address"], BY_ACCESS[t.step["access"]]
    page, o = address >> 12, t.observed
    access, enclave = Access(operation, page), o.read("current", (t.cpu,))
    empty = o.read("guest_leaf", (enclave, page)) is Leaf.EMPTY
    vector = PF
    shared = o.read("shared", (enclave, page)) is True
    if shared and empty and operation is not Operation.FETCH:
        frame, vector = _shared_frame(t, address)
        if vector == 0:
            call = Call(t.cpu, NOWHERE, t.cursor, o, t.live, t.story, {}, "")
            t.story.tell("shared_fill", access, c=t.cpu, f=frame, tables=call.tables())
            return
    ssa = o.read("ssa", (t.cpu,))
    assert isinstance(ssa, int)
    detail = (address, t.live.storage.memory[ssa, SSA_ERROR] & 0xFFFFFFFF)
    t.trapped(vector, access, detail, address & ~0xFFF if vector == PF else None)


def _shared_frame(t: Teller, address: int) -> tuple[int, int]:
    """The frame of the application, and 0 if it can be mapped, else the vector of the exception."""
    o, saved = t.observed, t.observed.read("saved", (t.cpu,))
    assert isinstance(saved, RegisterFile)
    root = saved.register(CR3)
    assert isinstance(root, int)
    page = address & ~0xFFF
    try:
        frame = t.cursor.follow(root >> 12 & FRAME_MASK, page, True, True)
    except Fault as fault:
        return 0, PF if fault.pointer is Pointer.PAGE_FAULT else GP
    except EndedError:
        return 0, MUST_EXIT
    taken = o.read("nested_rights", (o.read("current", (t.cpu,)), frame)) != 0
    short = o.shadow.storage.pool_free[()] < PAGE_FRAMES
    return frame, GP if not t.cursor.is_normal(frame) or taken or short else 0


def _trap(t: Teller) -> None:
    vector = t.step["vector"]
    t.trapped(vector, Access(Operation.TRAP), (0, 0) if vector == GP else None, None)


def _interrupt(t: Teller) -> None:
    vector = t.step["vector"]
    if t.inside:
        t.story.tell("interrupt", c=t.cpu, event=Event(vector))
    t.story.sets(t.cpu, {EVENT: vector | VALID})


def _dma_read(t: Teller) -> None:
    if t.happened.granted:
        t.story.tell("device_read", d=0, g=t.step["frame"])


def _dma_write(t: Teller) -> None:
    if t.happened.granted and t.step.words:
        t.story.others_write(t.step["frame"], dict(enumerate(t.step.words, t.step["index"])))


_TELL: Final[Mapping[str, Callable[[Teller], None]]] = {
    "call": _call, "complete": _complete, "registers": _registers, "fill": _fill, "evict": _evict, "load": _access,
    "fetch": _access, "store": _access, "fault": _fault, "trap": _trap, "interrupt": _interrupt, "dma_read": _dma_read,
    "dma_write": _dma_write,
}  # fmt: skip
