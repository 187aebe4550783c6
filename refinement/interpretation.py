"""What the open functions `K.*` of the model are on words: the formats of TCS, SSA frame and register file.

Written from the formats (SDM 3D 38.8 and 38.9; public monitor, src/enclave/sgx.rs, src/arch/x86_64/enclave.rs and
src/enclave/measure.rs), not by calling the monitor.  Words of structures are listed once, in the tables below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from impl.machine.registers import FS_BASE, GENERAL, GS_BASE, RAX, RBP, RBX, RCX, RFLAGS, RIP, RSP, XSTATE_WORDS
from model.hyperenclave.vocabulary import Operation, PageType
from model.language.logic import And, Not, Value, eq
from model.language.terms import Term
from model.language.transition import Functions
from refinement import measurement
from refinement.correspondence import CALLERS, COMPUTED, DEPTH_BITS
from refinement.engine.values import Number, SymInt, merge, number_of, word_of
from refinement.opaque import FrameSet, PageContents, Range, RegisterFile, choice_among, difference

MASK32: Final = (1 << 32) - 1
MASK64: Final = (1 << 64) - 1
PAGE_BITS: Final = 36
LAST_PAGE: Final = (1 << PAGE_BITS) - 1
LOW_HALF_MASK: Final = (1 << 47) - 1
CALL_BYTES: Final = 3  # VMCALL and VMMCALL
ERESUME_CODE: Final = 0x80000005
XFRM_LEGACY: Final = 3  # x87 and SSE, the only value that ECREATE admits

TCS: Final = {
    "stage": 0, "flags": 1, "ossa": 2, "cssa, nssa": 3, "oentry": 4, "aep": 5, "ofsbase": 6, "ogsbase": 7, "limits": 8,
}  # fmt: skip
"""Words of a TCS; CSSA is bits 31:0 of its word, NSSA 63:32; everything behind the limits is reserved."""
TCS_RESERVED: Final = 9

SSA_GENERAL: Final = 489
SSA: Final = {
    "mxcsr": 3, "xstate_bv": 64, "exinfo address": 487, "exinfo error": 488, "rflags": 505, "rip": 506,
    "ursp": 507, "urbp": 508, "exitinfo": 509, "fs base": 510, "gs base": 511,
}  # fmt: skip
"""Words of an SSA frame; the general registers in encoding order from word 489, the XSAVE image from word 0."""
XSAVE_RESERVED: Final = range(65, 72)  # header words that XRSTOR wants to be 0

STATUS_FLAGS: Final = 0x8D5  # CF PF AF ZF SF OF
ALWAYS_FLAGS: Final = 0x202  # bit 1, IF
INTERRUPTED_FLAGS: Final = STATUS_FLAGS | 1 << 10 | 1 << 18 | 1 << 21  # and DF, AC, ID
MXCSR_MASK: Final = 0xFFFF
INITIAL_XSTATE: Final = {0: 0x37F, 3: 0x1F80}  # FCW, MXCSR; every other word 0


@dataclass(frozen=True, eq=False)
class Event:
    """What makes an enclave exit asynchronously, as its SSA frame records it.

    exit_information: EXITINFO.  detail: address and error code for EXINFO, or None for an event that has none.
    """

    exit_information: Number
    detail: tuple[Number, Number] | None = None


@dataclass(frozen=True, eq=False)
class Access:
    """What the registers of a CPU say about its next instruction: which one, where, and the word that it stores."""

    operation: Operation
    page: Number = 0
    index: Number = 0
    value: Number = 0


NO_ACCESS: Final = Access(Operation.COMPUTE)
Zero = Callable[[PageContents, int, int], Value]


def all_zero(page: PageContents, first: int, end: int) -> Value:
    """The words first..end-1 of a concrete page are 0."""
    return And(*(page.at(i) == 0 for i in range(first, end)))


# --- registers --------------------------------------------------------------------------------------------------


def _only(registers: Mapping[int, Number], xstate: Callable[[Number], Number], symbolic: bool) -> RegisterFile:
    """The registers that an enclave computes with; all others read 0."""
    return RegisterFile(lambda i: registers[i] if i in COMPUTED else 0, xstate, symbolic, CALLERS)


def entry_registers(r: RegisterFile, tcs: PageContents, cssa: Value, base: Number) -> RegisterFile:
    """EENTER: entry point and segment bases from the TCS, CSSA in RAX, the return address in RCX, the rest flows in."""
    start = base << 12

    def relative(field: str) -> Number:
        return (start + tcs.at(TCS[field])) & MASK64

    registers = {i: r.register(i) for i in GENERAL} | {
        RAX: _number(cssa),
        RCX: (r.register(RIP) + CALL_BYTES) & MASK64,
        RIP: relative("oentry"),
        RFLAGS: (r.register(RFLAGS) & STATUS_FLAGS) | ALWAYS_FLAGS,
        FS_BASE: relative("ofsbase"),
        GS_BASE: relative("ogsbase"),
    }
    return _only(registers, r.xstate, r.symbolic or tcs.symbolic)


def exit_registers(r: RegisterFile, saved: RegisterFile, aep: Number) -> RegisterFile:
    """EEXIT: RIP from RBX, the exit pointer in RCX, control state from before; all else as the enclave leaves it."""

    def register(i: int) -> Number:
        if i == RIP:
            return r.register(RBX)
        if i == RCX:
            return aep
        return r.register(i) if i in GENERAL else saved.register(i)

    return RegisterFile(register, r.xstate, r.symbolic, CALLERS)


def scrubbed(saved: RegisterFile, tcs_page: Number, aep: Number) -> RegisterFile:
    """AEX: control state, RSP and RBP from before; the ERESUME call for this TCS prepared; all else initial or 0."""

    def register(i: int) -> Number:
        if i in (RSP, RBP) or i not in (*GENERAL, RIP):
            return saved.register(i)
        return {RAX: ERESUME_CODE, RBX: tcs_page << 12, RCX: aep, RIP: aep}.get(i, 0)

    return RegisterFile(register, initial_xstate, saved.symbolic, CALLERS)


def initial_xstate(index: Number) -> Number:
    """The initial configuration of x87 and SSE (SDM 1, 13.6)."""
    word: Number = 0
    for position, value in INITIAL_XSTATE.items():
        word = merge(eq(index, position), value, word)
    return word


# --- SSA frames -------------------------------------------------------------------------------------------------


def ssa_saved(ssa: PageContents, r: RegisterFile, event: Event) -> PageContents:
    """AEX: every register into the frame, EXITINFO, and EXINFO if the event has one."""
    words = {SSA_GENERAL + i: r.register(i) for i in GENERAL} | {
        SSA["rflags"]: r.register(RFLAGS),
        SSA["rip"]: r.register(RIP),
        SSA["fs base"]: r.register(FS_BASE),
        SSA["gs base"]: r.register(GS_BASE),
        SSA["exitinfo"]: event.exit_information,
    }
    if event.detail is not None:
        words[SSA["exinfo address"]], words[SSA["exinfo error"]] = event.detail
    written = ssa.with_words(words)

    def at(index: Number) -> Number:
        return merge(index < XSTATE_WORDS, r.xstate(index & 127), written.at(index))

    return PageContents(at, ssa.symbolic or r.symbolic)


def ssa_entered(ssa: PageContents, r: RegisterFile) -> PageContents:
    """EENTER notes the caller's stack and frame pointers."""
    return ssa.with_words({SSA["ursp"]: r.register(RSP), SSA["urbp"]: r.register(RBP)})


def ssa_restored(ssa: PageContents) -> RegisterFile:
    """ERESUME: what the frame holds; reserved and system bits are masked, since threads may write anything there."""
    registers = {i: ssa.at(SSA_GENERAL + i) for i in GENERAL} | {
        RFLAGS: (ssa.at(SSA["rflags"]) & INTERRUPTED_FLAGS) | ALWAYS_FLAGS,
        RIP: ssa.at(SSA["rip"]) & LOW_HALF_MASK,
        FS_BASE: ssa.at(SSA["fs base"]) & LOW_HALF_MASK,
        GS_BASE: ssa.at(SSA["gs base"]) & LOW_HALF_MASK,
    }

    def xstate(index: Number) -> Number:
        word = ssa.at(index)
        word = merge(eq(index, SSA["mxcsr"]), word & ((MASK32 << 32) | MXCSR_MASK), word)
        word = merge(eq(index, SSA["xstate_bv"]), word & XFRM_LEGACY, word)
        return merge(index >= XSAVE_RESERVED.start, 0, word)

    return _only(registers, xstate, ssa.symbolic)


# --- TCS --------------------------------------------------------------------------------------------------------


def tcs_valid(zero: Zero, tcs: PageContents, pages: Number) -> Value:
    """A fresh TCS: no state of its own, SSA, entry point and segments inside ELRANGE, reserved words 0."""
    size, counts = pages << 12, tcs.at(TCS["cssa, nssa"])
    return And(
        tcs.at(TCS["stage"]) == 0,
        tcs.at(TCS["flags"]) == 0,
        tcs.at(TCS["aep"]) == 0,
        counts & ((1 << 32) - 1) == 0,
        Not(counts >> 32 == 0),
        tcs.at(TCS["ossa"]) & 0xFFF == 0,
        *(tcs.at(TCS[field]) < size for field in ("ossa", "oentry", "ofsbase", "ogsbase")),
        zero(tcs, TCS_RESERVED, 512),
    )


def nssa(tcs: PageContents) -> Value:
    """NSSA of a TCS."""
    return _bits(tcs.at(TCS["cssa, nssa"]) >> 32, DEPTH_BITS)


def ssa_page(tcs: PageContents, depth: Value, base: Number) -> Number:
    """Page base + OSSA + depth, SSA frames having one page; the last page of all if there is no such page."""
    page = base + (tcs.at(TCS["ossa"]) >> 12) + _number(depth)
    return merge(page > LAST_PAGE, LAST_PAGE, page) & LAST_PAGE


# --- addresses and measurement ----------------------------------------------------------------------------------


def page_at(base: Number, offset: Number) -> Number:
    """The page at an offset, modulo the number of pages."""
    return (base + offset) & LAST_PAGE


def added(m: object, offset: Number, page_type: Value, rights: Value) -> object:
    """EADD record: byte offset; SECINFO with rights in bits 2:0, type in bits 15:8."""
    kinds: dict[Enum, int] = {PageType.TCS: 1, PageType.REG: 2, PageType.VA: 3, PageType.TRIM: 4}
    chosen = choice_among(page_type, PageType)
    kind = kinds.get(page_type, 0) if isinstance(page_type, PageType) else chosen.number(kinds)
    return measurement.add(m, offset << 12, (kind << 8) | _number(rights))


def extended(m: object, offset: Number, page: PageContents) -> object:
    """EEXTEND records of a whole page."""
    return measurement.extend(m, offset << 12, page)


# --- the table --------------------------------------------------------------------------------------------------


def functions(access: Access = NO_ACCESS, zero: Zero = all_zero, symbolic: bool = False) -> Functions:
    """The open functions, for a step whose registers ask for `access`.

    zero: how to say that words first..end-1 of a page are 0.  `K.computed` is any change of the registers.
    """

    def stored(page: PageContents, _: RegisterFile) -> PageContents:
        return page.with_word(access.index, access.value)

    def loaded(r: RegisterFile, page: PageContents) -> RegisterFile:
        return r.replaced({RAX: page.at(access.index)})

    return Functions(
        {
            "zeros": lambda: PageContents(lambda _: 0, symbolic),
            "loaded": loaded,
            "stored": stored,
            "advanced": lambda r: r,
            "computed": lambda r, result, to: to,  # noqa: ARG005 (any successor of both)
            "operation": lambda r: access.operation,  # noqa: ARG005 (the access stands for the registers)
            "page": lambda r: access.page,  # noqa: ARG005 (likewise)
            "exit_registers": exit_registers,
            "entry_registers": entry_registers,
            "scrubbed": scrubbed,
            "ssa_saved": ssa_saved,
            "ssa_entered": ssa_entered,
            "ssa_restored": ssa_restored,
            "aep_of": lambda r: r.register(RCX),
            "no_exit_pointer": lambda: 0,
            "tcs_valid": lambda page, pages: tcs_valid(zero, page, pages),
            "nssa": nssa,
            "ssa_page": ssa_page,
            "inside": Range.contains,
            "in_set": _member,
            "offset": lambda base, v: difference(v, base, PAGE_BITS),
            "page_at": page_at,
            "started": measurement.start,
            "added": added,
            "extended": extended,
        }
    )


def _member(frames: FrameSet, f: Number) -> Value:
    return frames.contains(f)


def _number(value: Value) -> Number:
    """A value of a bit-vector sort as a number."""
    if isinstance(value, Term):
        return number_of(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError(f"{value!r} is no number")


def _bits(value: Number, width: int) -> Value:
    """A number as a value of a bit-vector sort."""
    return word_of(value, width, "a value of the model") if isinstance(value, SymInt) else value
