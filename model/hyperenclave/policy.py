"""The flow policy: what of an enclave is a secret, what it may let out and take in, and when.

Stated of the enclave's next instruction and of the tables, not of how the actions do it.  T2 proves that others can not
tell states apart which differ in secrets alone (`T2/equivalence/coalition/secrets`), and of each action that it
releases nothing else (`T2/unwinding/ACTION/coalition/release policy`); T3 that it endorses nothing else
(`T3/unwinding/ACTION/enclave/endorsement policy`) and concerns nobody else (`.../concern policy`).  So whoever wants to
know what crosses the boundary of an enclave reads this file.  Beside it only the arguments of a step cross, which in T2
and (frames apart) in T3 are the same in both runs: `T3/step/.../instructions_are_its_own` says that no load yields one.
"""

from __future__ import annotations

from typing import Any

from model.hyperenclave.state import HYPERENCLAVE, runs
from model.hyperenclave.vocabulary import (
    EXECUTE,
    READ,
    WRITE,
    Cpu,
    Enclave,
    Frame,
    FrameClass,
    Leaf,
    Life,
    Mode,
    Operation,
    PageType,
)
from model.language.logic import And, Not, Or, eq, grants

ACCESSES = ((Operation.LOAD, READ), (Operation.STORE, WRITE), (Operation.FETCH, EXECUTE))


def _page(s: Any, c: Any) -> Any:
    return s.K.page(s.registers[c])


def _operation(s: Any, c: Any) -> Any:
    return s.K.operation(s.registers[c])


def _outside_elrange(s: Any, c: Any) -> Any:
    return Not(s.elrange[s.current[c], _page(s, c)])


def _cached(s: Any, c: Any) -> Any:
    rights = s.tlb_rights[c, _page(s, c)]
    return Or(*(And(eq(_operation(s, c), operation), grants(rights, right)) for operation, right in ACCESSES))


def _inaccessible(s: Any, c: Any) -> Any:
    """The access is not cached, and stopped by a guest leaf that is absent or too weak, or by the nested leaf."""
    e, page = s.current[c], _page(s, c)
    nested = s.nested_rights[e, s.guest_frame[e, page]]

    def denied(right: int) -> Any:
        absent = Not(eq(s.guest_leaf[e, page], Leaf.PRESENT))
        weak = Or(Not(grants(s.guest_rights[e, page], right)), Not(grants(nested, right)))
        return And(Or(absent, weak), Not(grants(s.tlb_rights[c, page], right)))

    return Or(*(And(eq(_operation(s, c), operation), denied(right)) for operation, right in ACCESSES))


# --- what is a secret --------------------------------------------------------------------------------------------


def in_its_page(s: Any, protected: Any, f: Any) -> Any:
    """The words of a REG page of the enclave, code included (as `observers.secret`, which this is to judge)."""
    return And(s.valid[f], eq(s.owner[f], protected), eq(s.page_type[f], PageType.REG))


def on_its_cpu(s: Any, protected: Any, c: Any, *_: Any) -> Any:
    """What a CPU holds that runs the enclave: registers, cached translations."""
    return runs(s, c, protected)


HYPERENCLAVE.secrets |= {
    "contents": in_its_page,
    "registers": on_its_cpu,
    "tlb_rights": on_its_cpu,
    "tlb_frame": on_its_cpu,
}


# --- whom a step concerns ----------------------------------------------------------------------------------------


def may_concern(s: Any, protected: Any, **arguments: Any) -> Any:
    """The enclave that a call names; else the one that the CPU is in or enters, or whose page the normal VM names."""
    if "e" in arguments:
        return eq(arguments["e"], protected)
    if "c" not in arguments:
        return False
    c, f = arguments["c"], arguments.get("f")
    normal = eq(s.mode[c], Mode.NORMAL)
    named = False if f is None else And(normal, s.valid[f], eq(s.owner[f], protected))
    return Or(And(Not(normal), eq(s.current[c], protected)), named)


HYPERENCLAVE.may_concern = may_concern


# --- releases ----------------------------------------------------------------------------------------------------


@HYPERENCLAVE.permission("store to shared memory", c=Cpu)
def store_to_shared_memory(s: Any, c: Any) -> Any:
    """A store to a page outside ELRANGE: the page, and what the normal frame behind it then contains."""
    frame = s.tlb_frame[c, _page(s, c)]
    shared = And(_outside_elrange(s, c), eq(s.frame_class[frame], FrameClass.NORMAL))
    stored = s.K.stored(s.contents[frame], s.registers[c])
    return And(eq(_operation(s, c), Operation.STORE), shared), (_page(s, c), stored)


@HYPERENCLAVE.permission("EEXIT", c=Cpu)
def registers_at_exit(s: Any, c: Any) -> Any:
    """An EEXIT: the registers that it leaves behind."""
    left = s.K.exit_registers(s.registers[c], s.saved[c], s.aep[s.tcs[c]])
    return eq(_operation(s, c), Operation.EXIT), (left,)


@HYPERENCLAVE.permission("exception vector and fault page", c=Cpu)
def cause_of_a_fault(s: Any, c: Any) -> Any:
    """An instruction that traps, or an access that the tables deny: its class, and the page of the access."""
    happens = Or(eq(_operation(s, c), Operation.TRAP), _inaccessible(s, c))
    return happens, (_operation(s, c), _page(s, c))


@HYPERENCLAVE.permission("shared page touched", c=Cpu)
def shared_page_touched(s: Any, c: Any) -> Any:
    """A load or store to a page outside ELRANGE, in a range that the enclave shares: the page."""
    accesses = Or(eq(_operation(s, c), Operation.LOAD), eq(_operation(s, c), Operation.STORE))
    shared = And(_outside_elrange(s, c), s.shared[s.current[c], _page(s, c)])
    return And(accesses, shared), (_page(s, c),)


# --- endorsements ------------------------------------------------------------------------------------------------


@HYPERENCLAVE.permission("entry registers", c=Cpu)
def registers_at_entry(s: Any, c: Any) -> Any:
    """An entry into an initialised enclave that is no resume: the registers of the caller."""
    enters = And(eq(s.mode[c], Mode.ENTERING), Not(s.resuming[c]))
    return And(enters, eq(s.life[s.current[c]], Life.INITIALIZED)), (s.registers[c],)


@HYPERENCLAVE.permission("load from shared memory", c=Cpu)
def load_from_shared_memory(s: Any, c: Any) -> Any:
    """A load or fetch from a page outside ELRANGE: what the normal frame behind it contains."""
    frame = s.tlb_frame[c, _page(s, c)]
    reads = Or(eq(_operation(s, c), Operation.LOAD), eq(_operation(s, c), Operation.FETCH))
    shared = And(_outside_elrange(s, c), eq(s.frame_class[frame], FrameClass.NORMAL))
    return And(reads, shared), (s.contents[frame],)


@HYPERENCLAVE.permission("translation is cached", c=Cpu)
def translation_is_cached(s: Any, c: Any) -> Any:
    """Any instruction: whether it is an access that finds its translation in the TLB."""
    return True, (_cached(s, c),)


@HYPERENCLAVE.permission("which page is removed", e=Enclave, f=Frame)
def page_to_remove(s: Any, e: Any, f: Any) -> Any:
    """The removal of one of its pages: the linear page."""
    return And(s.valid[f], eq(s.owner[f], e)), (s.linear[f],)
