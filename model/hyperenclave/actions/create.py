"""ECREATE: a new enclave, empty and not yet initialised."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.actions.common import concerns, pointer_rows, supervisor_call, take_tables
from model.hyperenclave.state import HYPERENCLAVE
from model.hyperenclave.vocabulary import POINTER, Code, Cpu, Enclave, FrameSet, Life, Page, Range, Shape, Size
from model.language.logic import And, Not, eq, ne
from model.language.specification import OS
from model.language.terms import BOOL


@HYPERENCLAVE.action(
    OS,
    caller="c",
    names=concerns("e"),
    choices=("exhausted", "tables"),
    placement=("tables",),
    c=Cpu,
    supervisor=BOOL,
    pointer=POINTER,
    well_formed=BOOL,
    e=Enclave,
    elrange=Range,
    base=Page,
    size=Size,
    shape=Shape,
    exhausted=BOOL,
    tables=FrameSet,
)
def create(
    s: Any,
    c: Any,
    supervisor: Any,
    pointer: Any,
    well_formed: Any,
    e: Any,
    elrange: Any,
    base: Any,
    size: Any,
    shape: Any,
    exhausted: Any,
    tables: Any,
) -> None:
    """ECREATE: the SECS describes an ELRANGE; the enclave gets empty tables and a measurement of its shape."""
    supervisor_call(s, c, supervisor)
    pointer_rows(s, pointer, "the SECS pointer leads where the caller may not read")
    s.refuse(Code.EINVAL, Not(well_formed), "a SECS with a size, base, attribute or reserved byte that must not be")
    s.refuse(Code.EEXIST, ne(s.life[e], Life.NONE), "a second enclave behind the handle of a live one")
    s.refuse(Code.ENOMEM, exhausted, "tables that cannot be completed")

    take_tables(s, e, tables)
    s.life[e] = Life.UNINITIALIZED
    s.base[e] = base
    s.size[e] = size
    s.shape[e] = shape
    s.elrange.fill(lambda x, v: And(eq(x, e), s.K.inside(elrange, v)), True)
    s.measurement[e] = s.K.started(shape)
    s.unextended[e] = False
