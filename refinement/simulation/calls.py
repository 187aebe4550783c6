"""The arguments of the model's actions for the calls of the normal VM, read off a path of the monitor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from impl.machine.registers import CPL, RBX, RCX, RDI
from model.hyperenclave.vocabulary import Code, Cpu, Frame, Page, PageType, Pointer
from model.language.logic import And, Not, Value
from refinement import bits
from refinement.contracts.tables import GUEST_FRAMES, NESTED_FRAMES
from refinement.correspondence import SLOTS
from refinement.engine.machine import sha256
from refinement.engine.values import Number, condition, merge, truth, unknown, word_of
from refinement.interpretation import LAST_PAGE, MASK32
from refinement.invariants.enclaves import ATTRIBUTE_INIT
from refinement.invariants.state import MonitorState
from refinement.measurement import Digest, Shape
from refinement.opaque import FrameSet, Range, decoded, difference, same
from refinement.simulation.delivery import delivered
from refinement.simulation.reading import OFFSET_MASK, Reading
from refinement.simulation.step import Deliver, Step
from refinement.simulation.tables import FIELD

NORMAL: Final = 1
IN_DESTROY: Final = 4
LOW_HALF: Final = 1 << 47
MAXIMUM_SHARED_PAGES: Final = 1 << 16
FAULT_ERROR_OF_TCS: Final = 7  # present, write, user: the page is there, but no TCS of the caller's
NOT_REMOVED: Final = (1 << 64) - 22  # -22, EINVAL, as a signed word
NO_PAGE: Final = 1 << 52
LAST_FRAME: Final = (1 << 40) - 1
CREATE_FRAMES: Final = 2 + NESTED_FRAMES  # two roots, of which the guest's is mapped
PAGE_FRAMES: Final = GUEST_FRAMES + NESTED_FRAMES  # a guest mapping and a nested one
TYPES: Final = {0: PageType.SECS, 1: PageType.TCS, 2: PageType.REG, 3: PageType.VA}

# Words of the structures that calls take (public monitor, src/enclave/structs.rs; SDM 3D 38.7).
SECS: Final = {"size": 0, "base": 1, "ssa frame size, misc": 2, "buffer size": 5, "attributes": 6, "xfrm": 7}
SECS_WORDS: Final = 33
NEW_PAGE_WORDS: Final = 6
INIT_WORDS: Final = 2
SIGSTRUCT_WORDS: Final = 226
SHARED_WORDS: Final = 3
REMOVE_WORDS: Final = 4
SECS_RESERVED: Final = (3, 4, 12, 13, 14, 15, 20, 21, 22, 23)
SIGSTRUCT_MRENCLAVE: Final = 120
SIGSTRUCT_MODULUS: Final = range(16, 64)
SIGSTRUCT_ISV: Final = 128  # ISVPRODID and ISVSVN


def saturated(number: Number, last: int) -> Number:
    """The number, or the last one (which is no page of an ELRANGE, no frame of memory) if it is greater."""
    return merge(number > last, last, number) & last


def supervisor(reading: Reading) -> Value:
    """The caller runs at CPL 0."""
    return condition(same(reading.register(CPL), 0))


def answer(reading: Reading, address: Number = 0, error: Number = 0) -> Deliver:
    """How the outcome reaches the normal VM; a page fault of a walk with the address and the bits of that walk.

    That each walk is the one that the interface demands is among the operands.
    """
    walks = [e for e in reading.path.events if e[0] == "translate"]
    if reading.faulted:
        _, _, walked, write, user = walks[-1]
        address = walked  # type: ignore[assignment]  # events carry numbers
        error = unknown("fault_present0", 1) | (2 if write else 0) | (4 if user else 0)
    return lambda r: delivered(r, reading.outcome, address, error)


def short_of(reading: Reading, frames: int) -> Value:
    """Fewer pool frames are free than the call may have to take, before it has looked at any table."""
    return condition(reading.before.pool_free[()] < frames)


def no_slot(s: MonitorState, e: Number) -> Value:
    """Every slot for a shared range of the enclave is taken."""
    return condition(And(*(Not(s.shared_end[e, k] == 0) for k in range(SLOTS))))


def tables(reading: Reading) -> FrameSet:
    """The pool frames that became guest tables in this step."""
    before, after = getattr(reading.before, FIELD), getattr(reading.after, FIELD)
    return FrameSet(lambda f: condition(And(before[f] == 0, Not(after[f] == 0))))


def _step(reading: Reading, action: str, arguments: Mapping[str, Value], hints: object = None) -> Step:
    common = {"c": reading.cpu, "supervisor": supervisor(reading)}
    given = hints if isinstance(hints, dict) else {}
    choice = arguments["exhausted"] if reading.outcome is Code.ENOMEM else reading.refused_rightly
    return Step(action, common | dict(arguments), reading.outcome, deliver=answer(reading), hints=given, choice=choice)


def by_handle(action: str) -> Callable[[Reading], Step]:
    """PrepareDestroy and FinishDestroy: RDI points to the SECS."""

    def step(reading: Reading) -> Step:
        e = reading.handle(0, reading.register(RDI))
        s = reading.before
        hints = {Cpu: [s.thread_at[e, 0]], Frame: [s.page_at[e, 0]]}
        taken = _step(reading, action, {"pointer": reading.pointer, "e": e}, hints)
        ended = action == "finish_destroy" and reading.outcome is Code.OK
        return replace(taken, identified=e) if ended else taken

    return step


def create(reading: Reading) -> Step:
    """ECREATE: RDI points to the SECS, whose guest-physical address is the handle."""
    pointer = reading.register(RDI)
    reading.pointer_to(0, pointer, SECS_WORDS)
    secs = [reading.word(0, pointer, k) for k in range(SECS_WORDS)]
    e = reading.handle(0, pointer)
    size, base = secs[SECS["size"]], secs[SECS["base"]]
    frame_size = secs[SECS["ssa frame size, misc"]]
    power = Not(size & difference(size, 1, 64) != 0)
    aligned = Not(base & difference(size, 1, 64) != 0)
    buffer = secs[SECS["buffer size"]]
    well_formed = And(
        Not(e == 0),
        size >= 4096, size <= LOW_HALF, power, aligned, base + size <= LOW_HALF,
        Not(buffer == 0), buffer & OFFSET_MASK == 0,
        secs[SECS["xfrm"]] == 3,
        frame_size == 1,
        secs[SECS["attributes"]] | 4 == 4,
        *(secs[k] == 0 for k in SECS_RESERVED),
    )  # fmt: skip
    arguments = {
        "pointer": reading.pointer,
        "well_formed": condition(well_formed),
        "e": e,
        "elrange": Range(base, base + size),
        "base": (base >> 12) & LAST_PAGE,
        "size": (size >> 12) & ((1 << 37) - 1),
        "shape": Shape(frame_size & MASK32, size),
        "exhausted": short_of(reading, CREATE_FRAMES),
        "tables": tables(reading),
    }
    step = _step(reading, "create", arguments)
    if reading.outcome is not Code.OK:
        return step
    kept = reading.after.attributes[e] == secs[SECS["attributes"]]
    return replace(step, also=(("identity", condition(kept)),), identified=e)


def add_page(reading: Reading) -> Step:
    """EADD: RDI points to a NewPageDesc, which points to the SECS and to SECINFO."""
    pointer = reading.register(RDI)
    reading.pointer_to(0, pointer, NEW_PAGE_WORDS)
    secs, source, linear, physical, info, attributes = (reading.word(0, pointer, k) for k in range(6))
    e = reading.handle(1, secs)
    # The descriptor and the handle were read: their walks are over and the next one began, or what they say was used.
    reached = reading.walks > 2 or reading.decided(reading.before.life[e] == 0)
    reading.pointer_to(2, info, 1)
    secinfo = reading.word(2, info, 0)
    arguments = {
        "descriptor": Pointer.READABLE if reached else reading.pointer,
        "secinfo": reading.pointer if reached else Pointer.READABLE,
        "e": e,
        "add": condition(attributes & 1 == 1),
        "extend": condition(attributes & 2 == 2),
        "aligned": condition(linear & OFFSET_MASK == 0),
        "v": saturated(linear >> 12, LAST_PAGE),
        "page_type": decoded((secinfo >> 8) & 0xFF, TYPES, PageType.TRIM),
        "rights": word_of(secinfo & 7, 3, "rights"),
        "flags": word_of((secinfo >> 3) & 15, 4, "flags"),
        "reserved": condition(Not(And(secinfo >> 16 == 0, (secinfo >> 7) & 1 == 0))),
        "f": saturated(physical >> 12, LAST_FRAME),
        "frame_aligned": condition(physical & OFFSET_MASK == 0),
        "source": saturated(source >> 12, LAST_FRAME),
        "source_aligned": condition(source & OFFSET_MASK == 0),
        "data": reading.page(source >> 12),
        "exhausted": short_of(reading, PAGE_FRAMES),
        "tables": tables(reading),
    }
    return _step(reading, "add_page", arguments)


def initialize(reading: Reading) -> Step:
    """EINIT: RDI points to an InitDesc, which points to the SECS and the SIGSTRUCT."""
    pointer = reading.register(RDI)
    reading.pointer_to(0, pointer, INIT_WORDS)
    secs, sigstruct = reading.word(0, pointer, 0), reading.word(0, pointer, 1)
    reading.pointer_to(2, sigstruct, SIGSTRUCT_WORDS)
    expected = [reading.word(2, sigstruct, SIGSTRUCT_MRENCLAVE + k) for k in range(4)]
    modulus = [reading.word(2, sigstruct, k) for k in SIGSTRUCT_MODULUS]
    isv = reading.word(2, sigstruct, SIGSTRUCT_ISV)
    reached = reading.translations >= 2
    arguments = {
        "descriptor": Pointer.READABLE if reached else reading.pointer,
        "sigstruct": reading.pointer if reached else Pointer.READABLE,
        "e": reading.handle(1, secs),
        "expected": Digest(expected),
    }
    step = _step(reading, "initialize", arguments)
    if reading.outcome is not Code.OK:
        return step
    s, e = reading.after, arguments["e"]
    signer = (s.mrsigner[e, k] == sha256(modulus, k) for k in range(4))
    attributes = s.attributes[e] == reading.before.attributes[e] | ATTRIBUTE_INIT
    return replace(
        step, also=(("identity", condition(And(s.isv[e] == isv & MASK32, attributes, *signer))),), identified=e
    )


def _shared(reading: Reading) -> tuple[Number, Range]:
    pointer = reading.register(RDI)
    reading.pointer_to(0, pointer, SHARED_WORDS)
    secs, start, stop = (reading.word(0, pointer, k) for k in range(3))
    return reading.handle(1, secs), Range(start, stop)


def shared_memory_add(reading: Reading) -> Step:
    """SharedMemoryAdd: RDI points to a SharedMemDesc."""
    e, r = _shared(reading)
    s = reading.before
    aligned = And(r.start & OFFSET_MASK == 0, r.end & OFFSET_MASK == 0)
    small = (r.end >> 12) <= (r.start >> 12) + MAXIMUM_SHARED_PAGES
    first = saturated(r.start >> 12, LAST_PAGE)
    arguments = {
        "descriptor": reading.pointer,
        "e": e,
        "well_formed": condition(And(aligned, r.start < r.end, r.end <= LOW_HALF, small)),
        "r": r,
        "exhausted": no_slot(s, e),
    }
    starts = [first, s.elrange_first[e], *(s.shared_first[e, k] for k in range(4))]
    return replace(_step(reading, "shared_memory_add", arguments, {Page: starts}), apart=True)


def shared_memory_remove(reading: Reading) -> Step:
    """SharedMemoryRemove: RDI points to a SharedMemDesc."""
    e, r = _shared(reading)
    hints = {Cpu: [reading.before.thread_at[e, 0]]}
    step = _step(reading, "shared_memory_remove", {"descriptor": reading.pointer, "e": e, "r": r}, hints)
    return replace(step, rounds={"nested_rights": 2, "shared_page": 2})


def remove_pages(reading: Reading) -> Step:
    """RemovePagesAtDestroy as a whole: its pages are removed by steps of their own (`remove_page`), then it answers.

    The model has no step for the whole, so when it may answer like this is said here.
    """
    if reading.path.ending == "cut":
        return remove_page(reading)
    return Step(None, deliver=answer(reading), choice=_answered_rightly(reading, _batch(reading)))


@dataclass(frozen=True)
class _Batch:
    """The enclave, the arrays of addresses to read and of results to write, and how many elements they have."""

    enclave: Number
    pages: Number
    results: Number
    size: Number

    @property
    def fits(self) -> Value:
        """Both arrays end in the pages in which they begin."""
        return And(*(((start >> 3) & 511) + self.size <= 512 for start in (self.pages, self.results)))


def _batch(reading: Reading) -> _Batch:
    pointer = reading.register(RDI)
    reading.pointer_to(0, pointer, REMOVE_WORDS)
    secs, pages, results, size = (reading.word(0, pointer, k) for k in range(REMOVE_WORDS))
    e = reading.handle(1, secs)
    for number, array in ((2, pages), (3, results)):
        reading.pointer_to(number, array, 1)
        reading.walk(number, array, write=number == 3)
    return _Batch(e, pages, results, size)


def _answered_rightly(reading: Reading, batch: _Batch) -> Value:
    s, code = reading.before, reading.outcome
    called = And(same(s.cpu_mode[reading.cpu], NORMAL), supervisor(reading))
    if code is Code.PAGE_FAULT:
        return And(called, reading.faulted)
    if code is Code.GENERAL_PROTECTION:
        return condition(And(called, truth(reading.refused_rightly)))
    allowed = And(same(s.life[batch.enclave], IN_DESTROY), batch.fits)
    done = And(called, allowed, reading.looped(0, batch.size))
    expected = {Code.INVALID_OPCODE: Not(called), Code.EINVAL: And(called, Not(allowed)), Code.OK: done}
    return condition(expected.get(code, False))


def remove_page(reading: Reading) -> Step:
    """One element of the batch; its address comes from the caller's array, its result goes to the other."""
    batch = _batch(reading)
    element = unknown("step0", 10)
    physical = reading.word(2, batch.pages, element)
    (since,) = reading.path.marks.values()  # the state before this step of the loop
    removed = reading.path.post.nodes["epcm"] is not since.nodes["epcm"]
    index = ((batch.results >> 3) & 511) + element
    return Step(
        "remove_page_at_destroy",
        {
            "c": reading.cpu,
            "supervisor": supervisor(reading),
            "e": batch.enclave,
            "frame_aligned": condition(physical & OFFSET_MASK == 0),
            "f": saturated(physical >> 12, LAST_FRAME),
        },
        Code.OK if removed else Code.EINVAL,
        stores=((reading.translated(3), index, 0 if removed else NOT_REMOVED),),
    )


def enter_check(resuming: bool) -> Callable[[Reading], Step]:
    """EENTER and ERESUME: RBX holds the linear address of the TCS; an unaligned one is no page's address."""

    def step(reading: Reading) -> Step:
        address = reading.register(RBX)
        reading.walk(0, address, write=True, user=True)
        walked = reading.translations == 1
        pointer = Pointer.READABLE if walked else reading.pointer
        arguments: dict[str, Value] = {
            "c": reading.cpu,
            "supervisor": supervisor(reading),
            "pointer": pointer,
            "v": merge(address & OFFSET_MASK == 0, address >> 12, NO_PAGE),
            "f": reading.translated(0),
            "resuming": resuming,
        }
        return Step(
            "enter_check",
            arguments,
            reading.outcome,
            deliver=_entered(reading, address),
            rounds={"outcome": 2},
            choice=_way_out(reading),
        )

    return step


def _way_out(reading: Reading) -> Value:
    """Before the walk a CPU can continue at the asynchronous exit pointer; #GP is that it can not, or of the walk."""
    possible = bits.is_canonical(reading.register(RCX))
    if reading.splits:
        return condition(possible)
    return condition(Not(possible)) if reading.outcome is Code.GENERAL_PROTECTION else True


def _entered(reading: Reading, address: Number) -> Deliver:
    if reading.outcome is Code.OK:
        return lambda r: r
    return answer(reading, address, FAULT_ERROR_OF_TCS)


def enter_commit(reading: Reading) -> Step:
    """The second step of an entry."""
    deliver: Deliver = (lambda r: r) if reading.outcome is Code.OK else answer(reading)
    return Step("enter_commit", {"c": reading.cpu}, reading.outcome, deliver=deliver)
