"""Initial states, axioms about open functions, and the properties of single steps."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.state import HYPERENCLAVE, runs
from model.hyperenclave.threads import crosses
from model.hyperenclave.vocabulary import (
    ALL_RIGHTS,
    NO_RIGHTS,
    PAGE_TYPE,
    READ,
    READ_WRITE,
    RIGHTS,
    Cpu,
    Data,
    Enclave,
    Frame,
    FrameClass,
    Leaf,
    Life,
    Measurement,
    Mode,
    Offset,
    Operation,
    Page,
    Range,
    Record,
    Registers,
    Shape,
    Word,
)
from model.language.logic import And, Implies, Not, Or, eq, ite, meet, ne
from model.language.specification import DEVICE, ENCLAVE, HARDWARE, OS

# --- what boot builds -------------------------------------------------------------------------------------------


@HYPERENCLAVE.initially(f=Frame)
def epc_is_free(s: Any, f: Any) -> Any:
    """Every EPC frame is free and scrubbed; nothing else has an EPCM entry."""
    return And(Not(s.valid[f]), Implies(eq(s.frame_class[f], FrameClass.EPC), eq(s.contents[f], s.K.zeros())))


@HYPERENCLAVE.initially(e=Enclave)
def no_enclave(s: Any, e: Any) -> Any:
    """No enclave exists."""
    return eq(s.life[e], Life.NONE)


@HYPERENCLAVE.initially(e=Enclave, v=Page)
def no_guest_leaf(s: Any, e: Any, v: Any) -> Any:
    """No enclave has an ELRANGE, a guest leaf or a shared page."""
    return And(Not(s.elrange[e, v]), eq(s.guest_leaf[e, v], Leaf.EMPTY), Not(s.shared[e, v]))


@HYPERENCLAVE.initially(e=Enclave, f=Frame)
def no_nested_leaf(s: Any, e: Any, f: Any) -> Any:
    """No enclave has a nested leaf."""
    return eq(s.nested_rights[e, f], NO_RIGHTS)


@HYPERENCLAVE.initially(f=Frame)
def no_guest_table(s: Any, f: Any) -> Any:
    """No frame holds a guest table."""
    return Not(s.guest_table[f])


@HYPERENCLAVE.initially(e=Enclave, r=Range)
def no_range(s: Any, e: Any, r: Any) -> Any:
    """No range is registered."""
    return Not(s.registered[e, r])


@HYPERENCLAVE.initially(c=Cpu)
def normal_vm_runs(s: Any, c: Any) -> Any:
    """Every CPU runs the normal VM."""
    return eq(s.mode[c], Mode.NORMAL)


@HYPERENCLAVE.initially(c=Cpu, v=Page)
def tlbs_are_empty(s: Any, c: Any, v: Any) -> Any:
    """No translation is cached."""
    return eq(s.tlb_rights[c, v], NO_RIGHTS)


@HYPERENCLAVE.initially(f=Frame)
def normal_nested_table(s: Any, f: Any) -> Any:
    """The normal VM's nested table: normal frames are themselves, EPC and monitor memory reads as zeros."""
    normal = eq(s.frame_class[f], FrameClass.NORMAL)
    hidden = Or(eq(s.frame_class[f], FrameClass.EPC), eq(s.frame_class[f], FrameClass.MONITOR))
    rights, there = s.normal_rights[f], s.normal_frame[f]
    return And(
        Implies(normal, And(eq(rights, ALL_RIGHTS), eq(there, f))),
        Implies(hidden, And(eq(rights, READ), eq(there, s.zero_frame[()]))),
        Implies(eq(s.frame_class[f], FrameClass.RESERVED), eq(rights, NO_RIGHTS)),
    )


@HYPERENCLAVE.initially(f=Frame)
def io_table(s: Any, f: Any) -> Any:
    """The IOMMU table: normal frames are themselves, readable and writable; nothing else is there."""
    normal = eq(s.frame_class[f], FrameClass.NORMAL)
    rights = s.io_rights[f]
    return And(
        Implies(normal, And(eq(rights, READ_WRITE), eq(s.io_frame[f], f))), Implies(Not(normal), eq(rights, NO_RIGHTS))
    )


@HYPERENCLAVE.initially()
def frame_of_zeros(s: Any) -> Any:
    """The frame of zeros is a frame of the monitor that holds zeros."""
    zero = s.zero_frame[()]
    return And(eq(s.frame_class[zero], FrameClass.MONITOR), eq(s.contents[zero], s.K.zeros()))


# --- axioms about open functions --------------------------------------------------------------------------------


@HYPERENCLAVE.axiom(b=Page, v=Page, triggers=lambda s, b, v: [s.K.offset(b, v)])
def offset_inverse(s: Any, b: Any, v: Any) -> Any:
    """The page at the offset of v is v."""
    return eq(s.K.page_at(b, s.K.offset(b, v)), v)


@HYPERENCLAVE.axiom(b=Page, o=Offset, triggers=lambda s, b, o: [s.K.page_at(b, o)])
def page_inverse(s: Any, b: Any, o: Any) -> Any:
    """The offset of the page at offset o is o."""
    return eq(s.K.offset(b, s.K.page_at(b, o)), o)


@HYPERENCLAVE.axiom(d=Data, r=Registers, x=Word, triggers=lambda s, d, r, x: [s.K.ssa_saved(d, r, x)])
def ssa_inverse(s: Any, d: Any, r: Any, x: Any) -> Any:
    """A resume continues with the registers that the exit saved, sanitised."""
    return eq(s.K.ssa_restored(s.K.ssa_saved(d, r, x)), s.K.resumed(r))


@HYPERENCLAVE.axiom(x=Shape, o=Offset, triggers=lambda s, x, o: [s.K.measured(s.K.started(x), o)])
def hash_started(s: Any, x: Any, o: Any) -> Any:
    """A fresh measurement contains no page."""
    return Not(s.K.measured(s.K.started(x), o))


@HYPERENCLAVE.axiom(x=Shape, triggers=lambda s, x: [s.K.started(x)])
def hash_shape(s: Any, x: Any) -> Any:
    """A fresh measurement determines its shape, and is nothing but the ECREATE record."""
    n = s.K.started(x)
    return And(eq(s.K.measured_shape(n), x), eq(s.K.last_record(n), Record.ECREATE))


def _about(wanted: str, term: Any) -> Any:
    return lambda s, **k: [getattr(s.K, name)(term(s, **k), k["o"]) for name in wanted.split()]


_OBSERVED = "measured measured_type measured_rights measured_data"


def _added(s: Any, m: Any, p: Any, t: Any, r: Any, **_: Any) -> Any:
    return s.K.added(m, p, t, r)


def _extended(s: Any, m: Any, p: Any, d: Any, **_: Any) -> Any:
    return s.K.extended(m, p, d)


@HYPERENCLAVE.axiom(m=Measurement, p=Offset, t=PAGE_TYPE, r=RIGHTS, o=Offset, triggers=_about(_OBSERVED, _added))
def hash_added(s: Any, m: Any, p: Any, t: Any, r: Any, o: Any) -> Any:
    """An EADD record is not lost, and it does not change the record of another page."""
    n = s.K.added(m, p, t, r)
    here = eq(o, p)
    return And(
        eq(s.K.measured(n, o), Or(here, s.K.measured(m, o))),
        eq(s.K.measured_type(n, o), ite(here, t, s.K.measured_type(m, o))),
        eq(s.K.measured_rights(n, o), ite(here, r, s.K.measured_rights(m, o))),
        eq(s.K.measured_data(n, o), s.K.measured_data(m, o)),
    )


@HYPERENCLAVE.axiom(m=Measurement, p=Offset, d=Data, o=Offset, triggers=_about(_OBSERVED, _extended))
def hash_extended(s: Any, m: Any, p: Any, d: Any, o: Any) -> Any:
    """EEXTEND records fix the contents of their page, and nothing of another page."""
    n = s.K.extended(m, p, d)
    return And(
        eq(s.K.measured(n, o), s.K.measured(m, o)),
        eq(s.K.measured_type(n, o), s.K.measured_type(m, o)),
        eq(s.K.measured_rights(n, o), s.K.measured_rights(m, o)),
        eq(s.K.measured_data(n, o), ite(eq(o, p), d, s.K.measured_data(m, o))),
    )


@HYPERENCLAVE.axiom(m=Measurement, p=Offset, t=PAGE_TYPE, r=RIGHTS, triggers=lambda s, **k: [_added(s, **k)])
def hash_added_chain(s: Any, m: Any, p: Any, t: Any, r: Any) -> Any:
    """An EADD record, the measurement before it, and the shape can be read back."""
    n = s.K.added(m, p, t, r)
    last = And(eq(s.K.last_record(n), Record.EADD), eq(s.K.last_offset(n), p))
    return And(last, eq(s.K.measured_previous(n), m), eq(s.K.measured_shape(n), s.K.measured_shape(m)))


@HYPERENCLAVE.axiom(m=Measurement, p=Offset, d=Data, triggers=lambda s, **k: [_extended(s, **k)])
def hash_extended_chain(s: Any, m: Any, p: Any, d: Any) -> Any:
    """EEXTEND records of one page, the measurement before them, and the shape can be read back."""
    n = s.K.extended(m, p, d)
    last = And(eq(s.K.last_record(n), Record.EEXTEND), eq(s.K.last_offset(n), p))
    return And(last, eq(s.K.measured_previous(n), m), eq(s.K.measured_shape(n), s.K.measured_shape(m)))


# --- T4: equal MRENCLAVE, equal image ---------------------------------------------------------------------------


@HYPERENCLAVE.lemma("T4", states=2, a=Enclave, b=Enclave, o=Offset)
def measurement_binds_image(s: Any, t: Any, a: Any, b: Any, o: Any) -> Any:
    """Two complete images with one MRENCLAVE have one shape and, at each offset, one page: type, rights, contents."""

    def complete(x: Any, e: Any) -> Any:
        return And(eq(x.life[e], Life.UNINITIALIZED), Not(x.unextended[e]))

    v, w = s.K.page_at(s.base[a], o), t.K.page_at(t.base[b], o)
    f, g = s.guest_frame[a, v], t.guest_frame[b, w]

    def occupied(x: Any, e: Any, p: Any) -> Any:
        return And(x.elrange[e, p], ne(x.guest_leaf[e, p], Leaf.EMPTY))

    page = And(eq(s.page_type[f], t.page_type[g]), eq(s.rights[f], t.rights[g]), eq(s.contents[f], t.contents[g]))
    image = And(eq(occupied(s, a, v), occupied(t, b, w)), Implies(occupied(s, a, v), page))
    shape = eq(s.shape[a], t.shape[b])
    premise = And(complete(s, a), complete(t, b), eq(s.measurement[a], t.measurement[b]))
    return Implies(premise, And(shape, image))


@HYPERENCLAVE.postcondition("T4", by=(OS, ENCLAVE, DEVICE, HARDWARE))
def measurement_binds_order(s: Any, n: Any, e: Any) -> Any:
    """MRENCLAVE starts with the shape alone; each page that appears is its last record, behind what was there before.

    So MRENCLAVE, read back record by record, tells the pages in the order in which they were added.
    """
    k, before, after = s.K, s.measurement[e], n.measurement[e]
    extended = eq(k.last_record(after), Record.EEXTEND)
    added = ite(extended, k.measured_previous(after), after)
    o = k.last_offset(added)
    v = k.page_at(s.base[e], o)
    appears = And(eq(s.guest_leaf[e, v], Leaf.EMPTY), ne(n.guest_leaf[e, v], Leaf.EMPTY))
    chained = And(eq(k.last_record(added), Record.EADD), eq(k.measured_previous(added), before))
    appended = And(chained, Implies(extended, eq(k.last_offset(after), o)), appears)
    starts = And(eq(s.life[e], Life.NONE), ne(n.life[e], Life.NONE))
    grows = And(eq(s.life[e], Life.UNINITIALIZED), ne(n.life[e], Life.NONE))
    return And(
        Implies(starts, eq(after, k.started(n.shape[e]))),
        Implies(grows, Or(eq(after, before), appended)),
    )


@HYPERENCLAVE.postcondition("T4", by=(OS, ENCLAVE, DEVICE, HARDWARE))
def measurement_is_final(s: Any, n: Any, e: Any) -> Any:
    """An enclave becomes initialised only as a complete image, and MRENCLAVE then stays as it is until it is gone."""
    starts = And(ne(s.life[e], Life.INITIALIZED), eq(n.life[e], Life.INITIALIZED))
    complete = And(eq(s.life[e], Life.UNINITIALIZED), Not(s.unextended[e]))
    fixed = And(ne(s.life[e], Life.NONE), ne(s.life[e], Life.UNINITIALIZED), ne(n.life[e], Life.NONE))
    kept = eq(n.measurement[e], s.measurement[e])
    return And(Implies(starts, And(complete, kept)), Implies(fixed, kept))


@HYPERENCLAVE.postcondition("T4", by=(OS, ENCLAVE, DEVICE, HARDWARE), v=Page)
def image_is_started(s: Any, n: Any, e: Any, v: Any) -> Any:
    """What becomes initialised is the image that was measured: base, shape and each page are as they were."""
    f = s.guest_frame[e, v]
    starts = And(eq(s.life[e], Life.UNINITIALIZED), eq(n.life[e], Life.INITIALIZED))
    shape = And(eq(n.base[e], s.base[e]), eq(n.shape[e], s.shape[e]), eq(n.elrange[e, v], s.elrange[e, v]))
    leaf = And(eq(n.guest_leaf[e, v], s.guest_leaf[e, v]), eq(n.guest_frame[e, v], f))
    page = And(eq(n.page_type[f], s.page_type[f]), eq(n.rights[f], s.rights[f]), eq(n.contents[f], s.contents[f]))
    there = And(s.elrange[e, v], ne(s.guest_leaf[e, v], Leaf.EMPTY))
    return Implies(starts, And(shape, leaf, Implies(there, page)))


# --- T3: what a step leaves alone -------------------------------------------------------------------------------


def _settled(s: Any, n: Any, e: Any) -> Any:
    return And(Or(eq(s.life[e], Life.INITIALIZED), eq(s.life[e], Life.TRY_DESTROY)), ne(n.life[e], Life.NONE))


def _written(s: Any, n: Any, e: Any, v: Any) -> Any:
    """A page of the enclave changes that is no SSA frame of a CPU that starts or stops running it."""
    f = s.guest_frame[e, v]
    there = And(s.elrange[e, v], ne(s.guest_leaf[e, v], Leaf.EMPTY))
    saves = s.exists(Cpu, lambda c: And(crosses(s, n, c), eq(s.current[c], e), eq(s.ssa[c], f)))
    return And(there, Not(saves), ne(n.contents[f], s.contents[f]))


@HYPERENCLAVE.postcondition("T3", by=(OS, DEVICE, HARDWARE), v=Page)
def private_pages_are_its_own(s: Any, n: Any, e: Any, v: Any) -> Any:
    """Nobody else moves an initialised enclave or writes a page of it, but for SSA frames at entry and exit."""
    return Implies(_settled(s, n, e), And(eq(n.base[e], s.base[e]), Not(_written(s, n, e, v))))


@HYPERENCLAVE.postcondition("T3", by=(ENCLAVE,), v=Page)
def stores_are_its_own(s: Any, n: Any, e: Any, v: Any) -> Any:
    """A step of an enclave writes a page of an initialised enclave only by a store of its own, as registers say."""
    f = s.guest_frame[e, v]

    def stores(c: Any) -> Any:
        r = s.registers[c]
        asked = And(eq(s.K.operation(r), Operation.STORE), eq(s.K.page(r), v))
        return And(runs(s, c, e), asked, eq(n.contents[f], s.K.stored(s.contents[f], r)))

    allowed = Or(Not(_written(s, n, e, v)), s.exists(Cpu, stores))
    return Implies(_settled(s, n, e), And(eq(n.base[e], s.base[e]), allowed))


# --- T3c: consent -----------------------------------------------------------------------------------------------


@HYPERENCLAVE.postcondition("T3c", by=(OS, ENCLAVE, DEVICE, HARDWARE), v=Page)
def consent(s: Any, n: Any, e: Any, v: Any) -> Any:
    """No step adds a page to ELRANGE of an initialised enclave, swaps the frame behind one, or widens rights."""

    def granted(x: Any) -> Any:
        walked = meet(x.guest_rights[e, v], x.nested_rights[e, x.guest_frame[e, v]])
        return ite(eq(x.guest_leaf[e, v], Leaf.PRESENT), walked, NO_RIGHTS)

    before, after = granted(s), granted(n)
    place = eq(n.nested_frame[e, n.guest_frame[e, v]], s.nested_frame[e, s.guest_frame[e, v]])
    narrower = eq(meet(after, before), after)
    settled = _settled(s, n, e)
    accessible = And(s.elrange[e, v], ne(after, NO_RIGHTS))
    return And(
        Implies(settled, eq(n.elrange[e, v], s.elrange[e, v])),
        Implies(And(settled, accessible), And(narrower, place)),
    )
