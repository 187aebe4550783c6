"""T1: the invariants of spatial isolation, and those of T4 and T8 that are invariants too.

Each has the words of the catalogue (I1..I20) that it states or helps to state.
"""

from __future__ import annotations

from typing import Any

from model.hyperenclave.isolation import (
    exact,
    own_page,
    own_table,
    ownership,
    present,
    reservation,
    zeros_for_reading,
)
from model.hyperenclave.state import HYPERENCLAVE
from model.hyperenclave.vocabulary import (
    DEPTH,
    NO_RIGHTS,
    READ,
    READ_WRITE,
    Cpu,
    Enclave,
    Frame,
    FrameClass,
    Leaf,
    Life,
    Mode,
    Offset,
    Page,
    PageType,
    Range,
)
from model.language.logic import And, Implies, Not, Or, eq, grants, ite, le, lt, meet, minus, ne, one_of

_invariant = HYPERENCLAVE.invariant

# --- EPCM -------------------------------------------------------------------------------------------------------


@_invariant("T1", "I1", f=Frame)
def epcm_only_epc(s: Any, f: Any) -> Any:
    """Only EPC frames have an EPCM entry in use."""
    return Implies(s.valid[f], eq(s.frame_class[f], FrameClass.EPC))


@_invariant("T1", "I2", f=Frame)
def epcm_well_formed(s: Any, f: Any) -> Any:
    """An entry in use is REG and readable, or TCS without rights; PENDING, MODIFIED, PR and BLOCKED are clear."""
    regular = And(eq(s.page_type[f], PageType.REG), grants(s.rights[f], READ))
    thread = And(eq(s.page_type[f], PageType.TCS), eq(s.rights[f], NO_RIGHTS))
    return Implies(s.valid[f], And(eq(s.flags[f], 0), Or(regular, thread)))


@_invariant("T1", "I2", f=Frame)
def epcm_owner_lives(s: Any, f: Any) -> Any:
    """The owner of an entry in use exists, and the linear page lies in its ELRANGE."""
    return Implies(s.valid[f], And(ne(s.life[s.owner[f]], Life.NONE), s.elrange[s.owner[f], s.linear[f]]))


@_invariant("T1", "I3", "I4", f=Frame)
def epcm_is_mapped(s: Any, f: Any) -> Any:
    """The guest leaf at (owner, linear page) of an entry in use names this frame, with its rights, present iff REG.

    Because a leaf names one frame, no two entries share owner and linear page.
    """
    e, v = s.owner[f], s.linear[f]
    regular = eq(s.page_type[f], PageType.REG)
    leaf = eq(s.guest_leaf[e, v], ite(regular, Leaf.PRESENT, Leaf.OCCUPIED))
    return Implies(s.valid[f], And(leaf, eq(s.guest_frame[e, v], f), eq(s.guest_rights[e, v], s.rights[f])))


# --- guest page tables ------------------------------------------------------------------------------------------


@_invariant("T1", "I4", e=Enclave, v=Page)
def guest_private(s: Any, e: Any, v: Any) -> Any:
    """An occupied leaf in ELRANGE names a frame whose EPCM entry names this enclave and page."""
    f = s.guest_frame[e, v]
    mine = And(s.valid[f], eq(s.owner[f], e), eq(s.linear[f], v))
    return Implies(And(s.elrange[e, v], ne(s.guest_leaf[e, v], Leaf.EMPTY)), mine)


@_invariant("T1", "I7", e=Enclave, v=Page)
def guest_shared(s: Any, e: Any, v: Any) -> Any:
    """An occupied leaf outside ELRANGE is a registered shared page over a normal frame, readable and writable only."""
    f = s.guest_frame[e, v]
    proper = And(
        s.shared[e, v],
        eq(s.guest_leaf[e, v], Leaf.PRESENT),
        eq(s.frame_class[f], FrameClass.NORMAL),
        eq(s.guest_rights[e, v], READ_WRITE),
        eq(s.shared_page[e, f], v),
        ne(s.nested_rights[e, f], NO_RIGHTS),
    )
    return Implies(And(Not(s.elrange[e, v]), ne(s.guest_leaf[e, v], Leaf.EMPTY)), proper)


@_invariant("T1", "I7", e=Enclave, v=Page)
def shared_is_registered(s: Any, e: Any, v: Any) -> Any:
    """A shared page lies outside ELRANGE, in a range registered by an existing enclave's normal VM."""
    r = s.shared_range[e, v]
    return Implies(s.shared[e, v], And(s.registered[e, r], s.K.inside(r, v), Not(s.elrange[e, v])))


@_invariant("T1", "I7", e=Enclave, r=Range, v=Page)
def registered_is_shared(s: Any, e: Any, r: Any, v: Any) -> Any:
    """Every page of a registered range is a shared page of that range; ranges do not overlap."""
    return Implies(And(s.registered[e, r], s.K.inside(r, v)), And(s.shared[e, v], eq(s.shared_range[e, v], r)))


# --- nested tables ----------------------------------------------------------------------------------------------


@_invariant("T1", "I5", e=Enclave, f=Frame)
def nested_private(s: Any, e: Any, f: Any) -> Any:
    """A nested leaf on an EPC frame is the identity, for a REG page of this enclave, with the page's rights."""
    mine = own_page(s.valid[f], s.page_type[f], s.owner[f], e)
    agrees = exact(s.nested_rights[e, f], s.rights[f], eq(s.nested_frame[e, f], f))
    return ownership(s.nested_rights[e, f], s.frame_class[f], mine, agrees)


@_invariant("T1", "I5", f=Frame)
def nested_holds_pages(s: Any, f: Any) -> Any:
    """Every REG page is in its owner's nested table."""
    regular = And(s.valid[f], eq(s.page_type[f], PageType.REG))
    return Implies(regular, eq(s.nested_rights[s.owner[f], f], s.rights[f]))


@_invariant("T1", "I6", e=Enclave, f=Frame)
def nested_other(s: Any, e: Any, f: Any) -> Any:
    """A nested leaf on another frame is the identity, RW: a guest table of this enclave, or a shared normal frame."""
    table = own_table(s.frame_class[f], s.guest_table[f], s.guest_table_owner[f], e)
    page = s.shared_page[e, f]
    stands = And(s.shared[e, page], eq(s.guest_leaf[e, page], Leaf.PRESENT), eq(s.guest_frame[e, page], f))
    common = And(eq(s.frame_class[f], FrameClass.NORMAL), stands)
    agrees = exact(s.nested_rights[e, f], READ_WRITE, eq(s.nested_frame[e, f], f))
    elsewhere = And(present(s.nested_rights[e, f]), ne(s.frame_class[f], FrameClass.EPC))
    return Implies(elsewhere, And(agrees, Or(table, common)))


@_invariant("T1", "I8", f=Frame)
def guest_tables_in_pool(s: Any, f: Any) -> Any:
    """A guest table lies in monitor memory, is not the frame of zeros, and belongs to one existing enclave."""
    e = s.guest_table_owner[f]
    there = And(eq(s.frame_class[f], FrameClass.MONITOR), ne(f, s.zero_frame[()]), ne(s.life[e], Life.NONE))
    return Implies(s.guest_table[f], And(there, eq(s.nested_rights[e, f], READ_WRITE)))


@_invariant("T1", "I9", f=Frame)
def normal_nested(s: Any, f: Any) -> Any:
    """The normal VM's nested table leads to normal frames, or to the frame of zeros and then only for reading."""
    there = s.normal_frame[f]
    zeros = zeros_for_reading(eq(there, s.zero_frame[()]), s.normal_rights[f])
    return reservation(present(s.normal_rights[f]), s.frame_class[there], zeros)


@_invariant("T1", "I10", f=Frame)
def io_normal(s: Any, f: Any) -> Any:
    """The IOMMU table leads to normal frames only."""
    return reservation(present(s.io_rights[f]), s.frame_class[s.io_frame[f]])


@_invariant("T1", "I9")
def zero_frame_is_monitors(s: Any) -> Any:
    """The frame of zeros is monitor memory."""
    return eq(s.frame_class[s.zero_frame[()]], FrameClass.MONITOR)


# --- CPUs and TLBs ----------------------------------------------------------------------------------------------


@_invariant("T1", "I13", "I17", c=Cpu)
def inside_through_tcs(s: Any, c: Any) -> Any:
    """A CPU in (or entering) an enclave is there through a busy TCS of that enclave, which is not being destroyed."""
    t, e = s.tcs[c], s.current[c]
    thread = And(s.valid[t], eq(s.page_type[t], PageType.TCS), eq(s.owner[t], e), s.busy[t])
    return Implies(ne(s.mode[c], Mode.NORMAL), And(thread, one_of(s.life[e], Life.INITIALIZED, Life.TRY_DESTROY)))


@_invariant("T1", "I13", c=Cpu)
def ssa_is_private(s: Any, c: Any) -> Any:
    """The SSA frame of a CPU in an enclave is the enclave's own writable page that the TCS and its depth name."""
    t, e, f = s.tcs[c], s.current[c], s.ssa[c]
    pending = And(eq(s.mode[c], Mode.ENTERING), s.resuming[c])
    mine = And(s.valid[f], eq(s.page_type[f], PageType.REG), eq(s.owner[f], e), grants(s.rights[f], READ_WRITE))
    bounded = lt(s.cssa[t], s.K.nssa(s.contents[t]))
    interrupted = And(ne(s.cssa[t], 0), le(s.cssa[t], s.K.nssa(s.contents[t])))
    p = s.K.ssa_page(s.contents[t], ite(pending, minus(s.cssa[t], 1, DEPTH.width), s.cssa[t]), s.base[e])
    named = And(s.elrange[e, p], eq(s.guest_leaf[e, p], Leaf.PRESENT), eq(s.guest_frame[e, p], f))
    return Implies(ne(s.mode[c], Mode.NORMAL), And(mine, named, ite(pending, interrupted, bounded)))


@_invariant("T1", "I13", f=Frame)
def ssa_depth(s: Any, f: Any) -> Any:
    """The SSA stack of a TCS never exceeds its size."""
    return Implies(And(s.valid[f], eq(s.page_type[f], PageType.TCS)), le(s.cssa[f], s.K.nssa(s.contents[f])))


@_invariant("T1", "I13", c=Cpu, d=Cpu)
def tcs_exclusive(s: Any, c: Any, d: Any) -> Any:
    """No two CPUs are inside through one TCS."""
    both = And(ne(s.mode[c], Mode.NORMAL), ne(s.mode[d], Mode.NORMAL), ne(c, d))
    return Implies(both, ne(s.tcs[c], s.tcs[d]))


@_invariant("T1", "I14", c=Cpu, v=Page)
def tlb_of_enclave(s: Any, c: Any, v: Any) -> Any:
    """What a CPU in an enclave has cached is what the enclave's two tables grant now."""
    e, f = s.current[c], s.tlb_frame[c, v]
    g = s.guest_frame[e, v]
    walked = meet(s.guest_rights[e, v], s.nested_rights[e, g])
    granted = And(eq(s.guest_leaf[e, v], Leaf.PRESENT), eq(f, s.nested_frame[e, g]), eq(s.tlb_rights[c, v], walked))
    return Implies(And(eq(s.mode[c], Mode.ENCLAVE), ne(s.tlb_rights[c, v], NO_RIGHTS)), granted)


@_invariant("T1", "I14", c=Cpu, v=Page)
def tlb_of_normal_vm(s: Any, c: Any, v: Any) -> Any:
    """What any other CPU has cached is a normal frame, or the frame of zeros for reading."""
    f = s.tlb_frame[c, v]
    zeros = zeros_for_reading(eq(f, s.zero_frame[()]), s.tlb_rights[c, v])
    cached = And(ne(s.mode[c], Mode.ENCLAVE), present(s.tlb_rights[c, v]))
    return reservation(cached, s.frame_class[f], zeros)


@_invariant("T1", e=Enclave, v=Page)
def absent_enclave_has_no_pages(s: Any, e: Any, v: Any) -> Any:
    """An enclave that does not exist has no ELRANGE, no leaf and no shared page."""
    nothing = And(Not(s.elrange[e, v]), eq(s.guest_leaf[e, v], Leaf.EMPTY), Not(s.shared[e, v]))
    return Implies(eq(s.life[e], Life.NONE), nothing)


@_invariant("T1", e=Enclave, f=Frame)
def absent_enclave_has_no_frames(s: Any, e: Any, f: Any) -> Any:
    """An enclave that does not exist has nothing in its nested table."""
    return Implies(eq(s.life[e], Life.NONE), eq(s.nested_rights[e, f], NO_RIGHTS))


@_invariant("T1", e=Enclave, r=Range)
def absent_enclave_has_no_ranges(s: Any, e: Any, r: Any) -> Any:
    """Only an enclave that has been initialised has registered ranges."""
    return Implies(one_of(s.life[e], Life.NONE, Life.UNINITIALIZED), Not(s.registered[e, r]))


# --- T8 ---------------------------------------------------------------------------------------------------------


@_invariant("T8", "I12", f=Frame)
def free_page_is_scrubbed(s: Any, f: Any) -> Any:
    """A free EPC frame holds zeros; so does the frame of zeros."""
    free = And(eq(s.frame_class[f], FrameClass.EPC), Not(s.valid[f]))
    return Implies(Or(free, eq(f, s.zero_frame[()])), eq(s.contents[f], s.K.zeros()))


# --- T4 ---------------------------------------------------------------------------------------------------------


@_invariant("T4", "I16", e=Enclave)
def measurement_has_shape(s: Any, e: Any) -> Any:
    """The measurement of an existing enclave starts with its size and SSA frame size."""
    return Implies(ne(s.life[e], Life.NONE), eq(s.K.measured_shape(s.measurement[e]), s.shape[e]))


def _image_triggers(s: Any, e: Any, o: Any) -> list[Any]:
    m, k = s.measurement[e], s.K
    return [
        k.page_at(s.base[e], o),
        k.measured(m, o),
        k.measured_type(m, o),
        k.measured_rights(m, o),
        k.measured_data(m, o),
    ]


@_invariant("T4", "I16", triggers=_image_triggers, e=Enclave, o=Offset)
def measurement_is_image(s: Any, e: Any, o: Any) -> Any:
    """Before initialisation: exactly the pages of the image are measured, with type and rights.

    Contents too, if every page so far was added with EEXTEND.
    """
    v = s.K.page_at(s.base[e], o)
    f, m = s.guest_frame[e, v], s.measurement[e]
    occupied = And(s.elrange[e, v], ne(s.guest_leaf[e, v], Leaf.EMPTY))
    same = And(eq(s.K.measured_type(m, o), s.page_type[f]), eq(s.K.measured_rights(m, o), s.rights[f]))
    content = Implies(Not(s.unextended[e]), eq(s.K.measured_data(m, o), s.contents[f]))
    image = And(eq(s.K.measured(m, o), occupied), Implies(occupied, And(same, content)))
    return Implies(eq(s.life[e], Life.UNINITIALIZED), image)
