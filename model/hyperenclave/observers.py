"""Who sees what: the coalition against an enclave, and the enclave itself."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.state import HYPERENCLAVE, runs
from model.hyperenclave.vocabulary import (
    EXECUTE,
    NO_RIGHTS,
    READ,
    Cpu,
    Device,
    Enclave,
    Frame,
    FrameClass,
    Leaf,
    Life,
    Mode,
    Page,
    PageType,
    Range,
)
from model.language.logic import And, Not, Or, eq, grants, ite, meet, ne
from model.language.specification import View, view
from model.language.terms import Sort


def secret(s: Any, e: Any, f: Any) -> Any:
    """The frame holds a REG page of e; TCS pages are public: others supply them and the enclave cannot write them."""
    return And(s.valid[f], eq(s.owner[f], e), eq(s.page_type[f], PageType.REG))


def _plain(component: str, words: str, **over: Sort) -> View:
    """A component that is visible everywhere."""

    def formula(s: Any, e: Any, /, **keys: Any) -> Any:
        return True, s.read(component, tuple(keys.values()))

    return View(component, over, formula, words)


def _where(component: str, words: str, condition: Any, **over: Sort) -> View:
    """A component that is visible where the condition holds; elsewhere its value is stale and means nothing."""

    def formula(s: Any, e: Any, /, **keys: Any) -> Any:
        return condition(s, *keys.values()), s.read(component, tuple(keys.values()))

    return View(component, over, formula, words)


def _entry(s: Any, f: Any) -> Any:
    return s.valid[f]


def _leaf(s: Any, e: Any, v: Any) -> Any:
    return ne(s.guest_leaf[e, v], Leaf.EMPTY)


def _nested(s: Any, e: Any, f: Any) -> Any:
    return ne(s.nested_rights[e, f], NO_RIGHTS)


def _common(s: Any, e: Any, f: Any) -> Any:
    return And(_nested(s, e, f), eq(s.frame_class[f], FrameClass.NORMAL))


def _inside(s: Any, c: Any) -> Any:
    return ne(s.mode[c], Mode.NORMAL)


def _lives(s: Any, e: Any) -> Any:
    return ne(s.life[e], Life.NONE)


def _thread(s: Any, f: Any) -> Any:
    return And(s.valid[f], eq(s.page_type[f], PageType.TCS))


@view("contents of every frame that holds no REG page of the protected enclave", f=Frame)
def contents(s: Any, e: Any, f: Any) -> Any:
    """Frame contents."""
    return Not(secret(s, e, f)), s.contents[f]


@view("registers of every CPU that does not run the protected enclave", c=Cpu)
def registers(s: Any, e: Any, c: Any) -> Any:
    """Register files."""
    return Not(runs(s, c, e)), s.registers[c]


@view("cached rights on every CPU that does not run the protected enclave", c=Cpu, v=Page)
def tlb_rights(s: Any, e: Any, c: Any, v: Any) -> Any:
    """TLB rights."""
    return Not(runs(s, c, e)), s.tlb_rights[c, v]


@view("cached frames there", c=Cpu, v=Page)
def tlb_frame(s: Any, e: Any, c: Any, v: Any) -> Any:
    """TLB frames."""
    return And(Not(runs(s, c, e)), ne(s.tlb_rights[c, v], NO_RIGHTS)), s.tlb_frame[c, v]


# What the coalition can learn next, wherever it reads: each is a function of what it sees now.


@view("what a CPU that does not run the protected enclave can load or fetch through its TLB", c=Cpu, v=Page)
def next_load(s: Any, e: Any, c: Any, v: Any) -> Any:
    """The page behind a cached translation."""
    usable = Or(grants(s.tlb_rights[c, v], READ), grants(s.tlb_rights[c, v], EXECUTE))
    return And(Not(runs(s, c, e)), usable), s.contents[s.tlb_frame[c, v]]


@view("what the normal VM can read at a guest frame once the translation is cached", f=Frame)
def next_normal_fill(s: Any, e: Any, f: Any) -> Any:
    """The frame behind a leaf of the normal VM's nested table."""
    return grants(s.normal_rights[f], READ), s.contents[s.normal_frame[f]]


@view("what another enclave can read at one of its pages once the translation is cached", x=Enclave, v=Page)
def next_enclave_fill(s: Any, e: Any, x: Any, v: Any) -> Any:
    """The frame behind the two tables of another enclave."""
    g = s.guest_frame[x, v]
    rights = meet(s.guest_rights[x, v], s.nested_rights[x, g])
    granted = And(eq(s.guest_leaf[x, v], Leaf.PRESENT), ne(rights, NO_RIGHTS))
    return And(ne(x, e), granted), s.contents[s.nested_frame[x, g]]


@view("what a device can read at a device frame", f=Frame)
def next_device_read(s: Any, e: Any, f: Any) -> Any:
    """The frame behind a leaf of the IOMMU table."""
    return grants(s.io_rights[f], READ), s.contents[s.io_frame[f]]


COALITION = HYPERENCLAVE.observer(
    "coalition",
    own=False,
    words="the normal VM, all devices and all other enclaves together",
    views=(
        _plain("frame_class", "the class of every frame", f=Frame),
        contents,
        _plain("life", "life cycle of every enclave", e=Enclave),
        _plain("elrange", "ELRANGE of every enclave", e=Enclave, v=Page),
        _where("base", "base of every existing enclave", _lives, e=Enclave),
        _where("size", "size of ELRANGE of every existing enclave", _lives, e=Enclave),
        _where("measurement", "MRENCLAVE of every existing enclave", _lives, e=Enclave),
        _where("unextended", "whether all pages were measured", _lives, e=Enclave),
        _where("guest_frame", "which guest leaves are occupied, and with which frames", _leaf, e=Enclave, v=Page),
        _where("guest_rights", "rights in occupied guest leaves", _leaf, e=Enclave, v=Page),
        _where(
            "guest_table_owner", "which frames hold guest tables, and whose", lambda s, f: s.guest_table[f], f=Frame
        ),
        _plain("registered", "registered ranges", e=Enclave, r=Range),
        _where("busy", "which TCSs are busy", _thread, f=Frame),
        _where("cssa", "SSA depth of every TCS", _thread, f=Frame),
        _where("aep", "where asynchronous exits lead", _thread, f=Frame),
        _where("tcs", "which CPUs are in an enclave or enter it, and through which TCS", _inside, c=Cpu),
        _where("resuming", "whether the entry under way is a resume", _inside, c=Cpu),
        registers,
        _where(
            "saved",
            "which CPUs run an enclave, and the normal VM's saved registers",
            lambda s, c: eq(s.mode[c], Mode.ENCLAVE),
            c=Cpu,
        ),
        _plain("result", "outcome of every call", c=Cpu),
        tlb_rights,
        tlb_frame,
        _plain("normal_rights", "the normal VM's nested table: rights", f=Frame),
        _where("normal_frame", "the normal VM's nested table: frames", lambda s, f: ne(s.normal_rights[f], 0), f=Frame),
        _plain("io_rights", "the IOMMU table: rights", f=Frame),
        _where("io_frame", "the IOMMU table: frames", lambda s, f: ne(s.io_rights[f], 0), f=Frame),
        _plain("device_state", "what every device knows", d=Device),
        _plain("zero_frame", "which frame holds the zeros"),
    ),
    derived=(
        _plain("valid", "which EPCM entries are in use", f=Frame),
        _where("owner", "owner of every page", _entry, f=Frame),
        _where("linear", "linear page of every page", _entry, f=Frame),
        _where("rights", "rights of every page", _entry, f=Frame),
        _where("page_type", "type of every page", _entry, f=Frame),
        _where("flags", "EPCM flags of every page", _entry, f=Frame),
        _plain("guest_leaf", "which guest leaves are empty, present, occupied", e=Enclave, v=Page),
        _plain("guest_table", "which frames hold guest tables", f=Frame),
        _plain("nested_rights", "rights in every nested table", e=Enclave, f=Frame),
        _where("nested_frame", "frames in nested leaves", _nested, e=Enclave, f=Frame),
        _where("shared_page", "pages for which normal frames stand in nested leaves", _common, e=Enclave, f=Frame),
        _plain("shared", "shared pages", e=Enclave, v=Page),
        _where("shared_range", "the range of a shared page", lambda s, e, v: s.shared[e, v], e=Enclave, v=Page),
        _where("shape", "size and SSA frame size of every existing enclave", _lives, e=Enclave),
        _plain("mode", "what every CPU runs", c=Cpu),
        _where("current", "which enclave a CPU is in", _inside, c=Cpu),
        _where("ssa", "with which SSA frame it is in it", _inside, c=Cpu),
        next_load,
        next_normal_fill,
        next_enclave_fill,
        next_device_read,
    ),
)


# --- the enclave's own view, indexed by linear page --------------------------------------------------------------


def _mine(s: Any, e: Any, v: Any) -> Any:
    return And(s.elrange[e, v], ne(s.guest_leaf[e, v], Leaf.EMPTY))


def _granted(s: Any, e: Any, v: Any) -> Any:
    walked = meet(s.guest_rights[e, v], s.nested_rights[e, s.guest_frame[e, v]])
    return ite(eq(s.guest_leaf[e, v], Leaf.PRESENT), walked, NO_RIGHTS)


@view("its life cycle")
def own_life(s: Any, e: Any) -> Any:
    """Life cycle."""
    return True, s.life[e]


@view("its ELRANGE", v=Page)
def own_elrange(s: Any, e: Any, v: Any) -> Any:
    """ELRANGE."""
    return True, s.elrange[e, v]


@view("its base, if it exists")
def own_base(s: Any, e: Any) -> Any:
    """Base."""
    return ne(s.life[e], Life.NONE), s.base[e]


@view("its size and SSA frame size, if it exists")
def own_shape(s: Any, e: Any) -> Any:
    """Shape."""
    return ne(s.life[e], Life.NONE), s.shape[e]


@view("its MRENCLAVE, if it exists")
def own_measurement(s: Any, e: Any) -> Any:
    """Measurement."""
    return ne(s.life[e], Life.NONE), s.measurement[e]


@view("which of its pages exist and are accessible", v=Page)
def own_leaf(s: Any, e: Any, v: Any) -> Any:
    """Leaves in ELRANGE."""
    return s.elrange[e, v], s.guest_leaf[e, v]


@view("the type of each of its pages", v=Page)
def own_type(s: Any, e: Any, v: Any) -> Any:
    """Page types."""
    return _mine(s, e, v), s.page_type[s.guest_frame[e, v]]


@view("the rights of each of its pages", v=Page)
def own_rights(s: Any, e: Any, v: Any) -> Any:
    """Rights."""
    return _mine(s, e, v), s.rights[s.guest_frame[e, v]]


@view("the contents of each of its pages", v=Page)
def own_contents(s: Any, e: Any, v: Any) -> Any:
    """Page contents."""
    return _mine(s, e, v), s.contents[s.guest_frame[e, v]]


@view("the SSA depth of each of its TCSs", v=Page)
def own_depth(s: Any, e: Any, v: Any) -> Any:
    """SSA depth."""
    return And(_mine(s, e, v), eq(s.guest_leaf[e, v], Leaf.OCCUPIED)), s.cssa[s.guest_frame[e, v]]


@view("which CPUs are in it, or enter it", c=Cpu)
def own_inside(s: Any, e: Any, c: Any) -> Any:
    """CPUs inside."""
    return And(_inside(s, c), eq(s.current[c], e)), s.mode[c]


@view("through which of its TCS pages", c=Cpu)
def own_tcs(s: Any, e: Any, c: Any) -> Any:
    """The TCS page of each CPU inside."""
    return And(_inside(s, c), eq(s.current[c], e)), s.linear[s.tcs[c]]


@view("with which of its SSA pages", c=Cpu)
def own_ssa(s: Any, e: Any, c: Any) -> Any:
    """The SSA page of each CPU inside."""
    return And(_inside(s, c), eq(s.current[c], e)), s.linear[s.ssa[c]]


@view("whether the entry is a resume", c=Cpu)
def own_resuming(s: Any, e: Any, c: Any) -> Any:
    """Kind of entry."""
    return And(_inside(s, c), eq(s.current[c], e)), s.resuming[c]


@view("the registers of each CPU that runs it", c=Cpu)
def own_registers(s: Any, e: Any, c: Any) -> Any:
    """Registers."""
    return runs(s, c, e), s.registers[c]


@view("what its tables grant at each of its pages", v=Page)
def own_next_access(s: Any, e: Any, v: Any) -> Any:
    """Guest leaf and nested leaf together: whether its next access succeeds."""
    return _mine(s, e, v), _granted(s, e, v)


@view("what it can load or fetch at each of its pages", v=Page)
def own_next_load(s: Any, e: Any, v: Any) -> Any:
    """The page behind both tables."""
    readable = And(s.elrange[e, v], ne(_granted(s, e, v), NO_RIGHTS))
    return readable, s.contents[s.nested_frame[e, s.guest_frame[e, v]]]


@view("whether an entry under way will be completed", c=Cpu)
def own_next_entry(s: Any, e: Any, c: Any) -> Any:
    """The check that the second step of an entry makes."""
    entering = And(eq(s.mode[c], Mode.ENTERING), eq(s.current[c], e))
    return entering, eq(s.life[e], Life.INITIALIZED)


OWN = HYPERENCLAVE.observer(
    "enclave",
    own=True,
    words="the protected enclave: its pages by linear address, its threads, its registers",
    views=(
        own_life,
        own_base,
        own_measurement,
        own_leaf,
        own_rights,
        own_contents,
        own_depth,
        own_tcs,
        own_resuming,
        own_registers,
    ),
    derived=(
        own_elrange,
        own_shape,
        own_type,
        own_inside,
        own_ssa,
        own_next_access,
        own_next_load,
        own_next_entry,
    ),
)
