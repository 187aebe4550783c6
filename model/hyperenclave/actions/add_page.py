"""EADD with EEXTEND: one page of the image, before the enclave is initialised."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.actions.common import (
    concerns,
    leaf_is_empty,
    pointer_rows,
    supervisor_call,
    take_tables,
)
from model.hyperenclave.state import HYPERENCLAVE
from model.hyperenclave.vocabulary import (
    FLAGS,
    PAGE_TYPE,
    POINTER,
    READ,
    RIGHTS,
    Code,
    Cpu,
    Data,
    Enclave,
    Frame,
    FrameClass,
    FrameSet,
    Leaf,
    Life,
    Page,
    PageType,
)
from model.language.logic import And, Not, Or, eq, grants, ite, ne, one_of
from model.language.specification import OS
from model.language.terms import BOOL


@HYPERENCLAVE.action(
    OS,
    caller="c",
    names=concerns("e"),
    choices=("exhausted", "tables"),
    placement=("f", "source", "tables"),
    c=Cpu,
    supervisor=BOOL,
    descriptor=POINTER,
    secinfo=POINTER,
    e=Enclave,
    add=BOOL,
    extend=BOOL,
    aligned=BOOL,
    v=Page,
    page_type=PAGE_TYPE,
    rights=RIGHTS,
    flags=FLAGS,
    reserved=BOOL,
    f=Frame,
    frame_aligned=BOOL,
    source=Frame,
    source_aligned=BOOL,
    data=Data,
    exhausted=BOOL,
    tables=FrameSet,
)
def add_page(
    s: Any,
    c: Any,
    supervisor: Any,
    descriptor: Any,
    secinfo: Any,
    e: Any,
    add: Any,
    extend: Any,
    aligned: Any,
    v: Any,
    page_type: Any,
    rights: Any,
    flags: Any,
    reserved: Any,
    f: Any,
    frame_aligned: Any,
    source: Any,
    source_aligned: Any,
    data: Any,
    exhausted: Any,
    tables: Any,
) -> None:
    """EADD: copy a page of normal memory, once, into a free EPC frame; map, record and measure it.

    `data` is what a normal source held at the moment of the copy; `flags` are the SECINFO bits above X.
    """
    fetched = ite(eq(s.frame_class[source], FrameClass.NORMAL), data, s.contents[source])
    supervisor_call(s, c, supervisor)
    pointer_rows(s, descriptor, "the descriptor pointer leads where the caller may not read")
    s.refuse(Code.EFAULT, eq(s.life[e], Life.NONE), "a page for an enclave that does not exist")
    s.refuse(Code.EBUSY, ne(s.life[e], Life.UNINITIALIZED), "a page that MRENCLAVE does not cover")
    s.refuse(Code.EINVAL, Not(add), "a call that does not ask for EADD")
    s.refuse(Code.EINVAL, Not(aligned), "a linear address inside a page")
    s.refuse(Code.EINVAL, Not(s.elrange[e, v]), "an enclave page outside ELRANGE")
    pointer_rows(s, secinfo, "the SECINFO pointer leads where the caller may not read")
    s.refuse(
        Code.EINVAL, Not(one_of(page_type, PageType.REG, PageType.TCS)), "a forged version array, SECS or trimmed page"
    )
    s.refuse(Code.EINVAL, Or(reserved, ne(flags, 0)), "PENDING, BLOCKED, PR or VALID given by the normal VM")
    s.refuse(
        Code.EINVAL,
        And(eq(page_type, PageType.REG), Not(grants(rights, READ))),
        "a page that hardware reads although EPCM says no",
    )
    s.refuse(Code.EINVAL, And(eq(page_type, PageType.TCS), ne(rights, 0)), "a TCS that enclave code can reach")
    s.refuse(Code.EINVAL, Not(frame_aligned), "a frame address inside a page")
    s.refuse(Code.EINVAL, ne(s.frame_class[f], FrameClass.EPC), "an enclave page in memory that others reach")
    s.refuse(Code.EINVAL, s.valid[f], "one frame under two pages")
    s.refuse(Code.EINVAL, Not(leaf_is_empty(s, e, v)), "two frames under one page")
    s.refuse(Code.EINVAL, Not(source_aligned), "a source address inside a page")
    s.refuse(
        Code.EINVAL,
        ne(s.frame_class[source], FrameClass.NORMAL),
        "the monitor copies EPC or its own memory for the caller",
    )
    s.refuse(
        Code.EINVAL,
        And(eq(page_type, PageType.TCS), Not(s.K.tcs_valid(fetched, s.size[e]))),
        "a TCS with state of its own",
    )
    s.refuse(Code.ENOMEM, exhausted, "tables that cannot be completed")

    regular = eq(page_type, PageType.REG)
    take_tables(s, e, tables)
    s.valid[f] = True
    s.page_type[f] = page_type
    s.owner[f] = e
    s.linear[f] = v
    s.rights[f] = rights
    s.flags[f] = flags
    s.contents[f] = fetched
    s.busy[f] = False
    s.cssa[f] = 0
    s.aep[f] = s.K.no_exit_pointer()
    s.guest_leaf[e, v] = ite(regular, Leaf.PRESENT, Leaf.OCCUPIED)
    s.guest_frame[e, v] = f
    s.guest_rights[e, v] = rights
    s.nested_rights[e, f] = ite(regular, rights, s.nested_rights[e, f])
    s.nested_frame[e, f] = ite(regular, f, s.nested_frame[e, f])

    offset = s.K.offset(s.base[e], v)
    record = s.K.added(s.measurement[e], offset, page_type, rights)
    s.measurement[e] = ite(extend, s.K.extended(record, offset, fetched), record)
    s.unextended[e] = Or(s.unextended[e], Not(extend))
