"""The state of the specification: its components and the functions that it leaves open."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.vocabulary import (
    CODE,
    DEPTH,
    FLAGS,
    FRAME_CLASS,
    LEAF,
    LIFE,
    MODE,
    OPERATION,
    PAGE_TYPE,
    RECORD,
    RIGHTS,
    Code,
    Cpu,
    Data,
    Device,
    Enclave,
    Frame,
    FrameClass,
    FrameSet,
    Leaf,
    Life,
    Measurement,
    Mode,
    Offset,
    Operation,
    Page,
    PageType,
    Pointer,
    Range,
    Record,
    Registers,
    Shape,
    Size,
    Word,
)
from model.language.logic import And, eq
from model.language.specification import Specification
from model.language.terms import BOOL

HYPERENCLAVE = Specification("hyperenclave", Enclave, outcome=Code, success=Code.OK)

_c = HYPERENCLAVE.component
_k = HYPERENCLAVE.symbol

# --- physical memory and the EPCM -------------------------------------------------------------------------------
_c("frame_class", (Frame,), FRAME_CLASS, "the class of a frame, fixed at boot")
_c("contents", (Frame,), Data, "what a frame holds")
_c("valid", (Frame,), BOOL, "EPCM: the entry is in use")
_c("page_type", (Frame,), PAGE_TYPE, "EPCM: type of the page")
_c("owner", (Frame,), Enclave, "EPCM: the enclave that the page belongs to")
_c("linear", (Frame,), Page, "EPCM: the linear page at which the owner sees it")
_c("rights", (Frame,), RIGHTS, "EPCM: rights R, W, X")
_c("flags", (Frame,), FLAGS, "EPCM: PENDING, MODIFIED, PR, BLOCKED")

# --- enclaves ---------------------------------------------------------------------------------------------------
_c("life", (Enclave,), LIFE, "the life cycle of an enclave")
_c("elrange", (Enclave, Page), BOOL, "the page lies in the enclave's ELRANGE")
_c("base", (Enclave,), Page, "the first page of ELRANGE")
_c("size", (Enclave,), Size, "the number of pages of ELRANGE")
_c("shape", (Enclave,), Shape, "size and SSA frame size, as the SECS gives them")
_c("measurement", (Enclave,), Measurement, "MRENCLAVE so far; fixed once the enclave is initialised")
_c("unextended", (Enclave,), BOOL, "some page was added whose contents were not measured")
_c("guest_leaf", (Enclave, Page), LEAF, "guest page table: state of the leaf")
_c("guest_frame", (Enclave, Page), Frame, "guest page table: the frame in the leaf")
_c("guest_rights", (Enclave, Page), RIGHTS, "guest page table: rights of the leaf")
_c("nested_rights", (Enclave, Frame), RIGHTS, "nested table: rights of the leaf, none if absent")
_c("nested_frame", (Enclave, Frame), Frame, "nested table: the frame in the leaf")
_c("guest_table", (Frame,), BOOL, "the frame holds a table of some enclave's guest page table")
_c("guest_table_owner", (Frame,), Enclave, "whose guest page table")
_c("registered", (Enclave, Range), BOOL, "the range is registered as shared memory")
_c("shared", (Enclave, Page), BOOL, "the page lies in a registered range")
_c("shared_range", (Enclave, Page), Range, "the registered range in which it lies")
_c("shared_page", (Enclave, Frame), Page, "the page for which a normal frame stands in the nested table")

# --- threads and CPUs -------------------------------------------------------------------------------------------
_c("busy", (Frame,), BOOL, "TCS: a CPU is inside through it")
_c("cssa", (Frame,), DEPTH, "TCS: number of SSA frames in use")
_c("aep", (Frame,), Word, "TCS: where an asynchronous exit leads")
_c("mode", (Cpu,), MODE, "what the CPU runs")
_c("current", (Cpu,), Enclave, "the enclave that it is in, or enters")
_c("tcs", (Cpu,), Frame, "the TCS through which")
_c("ssa", (Cpu,), Frame, "the SSA frame that an exit writes, or a resume reads")
_c("resuming", (Cpu,), BOOL, "the entry under way is a resume")
_c("registers", (Cpu,), Registers, "the register file, extended state included")
_c("saved", (Cpu,), Registers, "the normal VM's registers while an enclave runs")
_c("result", (Cpu,), CODE, "outcome of the CPU's last call")
_c("tlb_rights", (Cpu, Page), RIGHTS, "TLB: cached rights, none if there is no entry")
_c("tlb_frame", (Cpu, Page), Frame, "TLB: cached frame")

# --- the normal VM and devices ----------------------------------------------------------------------------------
_c("normal_rights", (Frame,), RIGHTS, "normal VM's nested table: rights at a guest frame")
_c("normal_frame", (Frame,), Frame, "normal VM's nested table: the frame there")
_c("io_rights", (Frame,), RIGHTS, "IOMMU table: rights at a device frame")
_c("io_frame", (Frame,), Frame, "IOMMU table: the frame there")
_c("device_state", (Device,), Registers, "what a device knows")
_c("zero_frame", (), Frame, "the frame of zeros that the normal VM sees in place of reserved memory")


def _pair(name: str) -> Any:
    return lambda *arguments: (name, *arguments)


def _first(registers: Any) -> tuple[Any, Any]:
    """Concretely a register file may be a program: a tuple of (operation, page) pairs still to be run."""
    return registers[0] if registers and isinstance(registers[0], tuple) else (Operation.COMPUTE, 0)


def _next(registers: Any, *_: Any) -> Any:
    return registers[1:] if registers and isinstance(registers[0], tuple) else registers


# --- what a program, a device or a format decides ---------------------------------------------------------------
_k("zeros", (), Data, "a page of zeros", lambda: ("zeros",))
_k("loaded", (Registers, Data), Registers, "registers after a load or fetch from this page", _next)
_k("stored", (Data, Registers), Data, "the page after the store that these registers ask for", _pair("stored"))
_k("advanced", (Registers,), Registers, "registers after an instruction that loads nothing", _next)
_k("computed", (Registers, CODE, Registers), Registers, "the normal VM's next registers", lambda r, x, to: to)
_k("operation", (Registers,), OPERATION, "the class of the next instruction", lambda r: _first(r)[0])
_k("page", (Registers,), Page, "the page that the next access goes to", lambda r: _first(r)[1])
_k("exit_registers", (Registers, Registers, Word), Registers, "registers after EEXIT", _pair("exit_registers"))
_k("entry_registers", (Registers, Data, DEPTH, Page), Registers, "registers after EENTER", lambda r, *_: r)
_k("scrubbed", (Registers, Page, Word), Registers, "registers after an asynchronous exit", _pair("scrubbed"))
_k("ssa_saved", (Data, Registers, Word), Data, "the SSA frame after an asynchronous exit", lambda d, r, x: ("ssa", r))
_k("ssa_entered", (Data, Registers), Data, "the SSA frame after EENTER noted the caller's stack", _pair("ssa_entered"))
_k(
    "ssa_restored",
    (Data,),
    Registers,
    "the registers that an SSA frame holds, sanitised",
    lambda d: d[1] if d[0] == "ssa" else (),
)
_k(
    "resumed",
    (Registers,),
    Registers,
    "what a resume makes of saved registers: flags and addresses sanitised",
    lambda r: r,
)
_k("aep_of", (Registers,), Word, "the asynchronous exit pointer that the caller gives", _pair("aep_of"))
_k("no_exit_pointer", (), Word, "the asynchronous exit pointer of a TCS never entered", lambda: ("no_exit_pointer",))
_k(
    "tcs_valid",
    (Data, Size),
    BOOL,
    "a page has the format of a fresh TCS, in an ELRANGE of this size",
    lambda d, n: d != ("bad",),
)
_k("nssa", (Data,), DEPTH, "TCS: number of SSA frames", lambda d: 2)
_k(
    "ssa_page",
    (Data, DEPTH, Page),
    Page,
    "the page of SSA frame number n of this TCS, in an enclave with this base",
    lambda d, n, b: b + 1 + n,
)
_k(
    "inside",
    (Range, Page),
    BOOL,
    "the page lies in the range",
    lambda r, v: r[0] <= v < r[1] if isinstance(r, tuple) else False,
)
_k("in_set", (FrameSet, Frame), BOOL, "the frame is among those that the monitor chose", lambda x, f: f in x)
_k("offset", (Page, Page), Offset, "the offset of a page from a base", lambda b, v: v - b)
_k("page_at", (Page, Offset), Page, "the page at an offset from a base", lambda b, o: b + o)


def _record(log: Any, kind: str, offset: Any, missing: Any, position: int) -> Any:
    """Concretely a measurement is the log itself: what the last record of this kind at the offset says."""
    found = [record for record in log if record[0] == kind and record[1] == offset]
    return found[-1][position] if found else missing


# --- the measurement as a free term, and what can be read back from it ------------------------------------------
_k("started", (Shape,), Measurement, "ECREATE record: size and SSA frame size", lambda x: (("create", x),))
_k(
    "added",
    (Measurement, Offset, PAGE_TYPE, RIGHTS),
    Measurement,
    "EADD record",
    lambda m, o, t, r: (*m, ("add", o, t, r)),
)
_k(
    "extended",
    (Measurement, Offset, Data),
    Measurement,
    "EEXTEND records of one page",
    lambda m, o, d: (*m, ("extend", o, d)),
)
_k("measured_shape", (Measurement,), Shape, "size and SSA frame size in a measurement", lambda m: m[0][1] if m else ())
_k(
    "measured",
    (Measurement, Offset),
    BOOL,
    "a page was added at the offset",
    lambda m, o: any(x[0] == "add" and x[1] == o for x in m),
)
_k("measured_type", (Measurement, Offset), PAGE_TYPE, "its type", lambda m, o: _record(m, "add", o, PageType.SECS, 2))
_k("measured_rights", (Measurement, Offset), RIGHTS, "its rights", lambda m, o: _record(m, "add", o, 0, 3))
_k("measured_data", (Measurement, Offset), Data, "its contents", lambda m, o: _record(m, "extend", o, (), 2))
_k("measured_previous", (Measurement,), Measurement, "the measurement before the last record", lambda m: m[:-1])
_k(
    "last_record",
    (Measurement,),
    RECORD,
    "the kind of the last record",
    lambda m: _KINDS[m[-1][0]] if m else Record.ECREATE,
)
_k("last_offset", (Measurement,), Offset, "the offset in the last record", lambda m: m[-1][1] if len(m) > 1 else 0)
_KINDS = {"create": Record.ECREATE, "add": Record.EADD, "extend": Record.EEXTEND}


def runs(s: Any, c: Any, e: Any) -> Any:
    """CPU c executes instructions of enclave e."""
    return And(eq(s.mode[c], Mode.ENCLAVE), eq(s.current[c], e))


for _enumeration in (FrameClass, PageType, Life, Leaf, Mode, Operation, Pointer, Record, Code):
    HYPERENCLAVE.enumerations[_enumeration.__name__] = _enumeration


def _scope(frames: int, enclaves: int, pages: int, cpus: int) -> dict[str, int]:
    rest = {"Device": 1, "Range": min(frames, 2), "FrameSet": 1, "Size": 2, "Offset": pages}
    return {"Frame": frames, "Enclave": enclaves, "Page": pages, "Cpu": cpus, **rest}


HYPERENCLAVE.scopes += [
    _scope(*n) for n in ((1, 1, 1, 1), (2, 1, 2, 1), (3, 2, 2, 2), (4, 1, 4, 1), (4, 2, 3, 2), (5, 2, 3, 2))
]
HYPERENCLAVE.runs = runs
HYPERENCLAVE.runs_over = {"c": Cpu}
