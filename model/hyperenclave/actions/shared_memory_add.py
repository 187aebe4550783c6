"""SharedMemoryAdd: a range outside ELRANGE becomes shared memory."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.actions.common import concerns, pointer_rows, supervisor_call
from model.hyperenclave.state import HYPERENCLAVE
from model.hyperenclave.vocabulary import POINTER, Code, Cpu, Enclave, Life, Page, Range
from model.language.logic import And, Not, eq, ne
from model.language.specification import OS
from model.language.terms import BOOL


@HYPERENCLAVE.action(
    OS,
    caller="c",
    names=concerns("e"),
    choices=("exhausted",),
    c=Cpu,
    supervisor=BOOL,
    descriptor=POINTER,
    e=Enclave,
    well_formed=BOOL,
    r=Range,
    exhausted=BOOL,
)
def shared_memory_add(
    s: Any, c: Any, supervisor: Any, descriptor: Any, e: Any, well_formed: Any, r: Any, exhausted: Any
) -> None:
    """SharedMemoryAdd: register the range; its pages are mapped one at a time when the enclave touches them."""
    supervisor_call(s, c, supervisor)
    pointer_rows(s, descriptor, "the descriptor pointer leads where the caller may not read")
    s.refuse(Code.EFAULT, eq(s.life[e], Life.NONE), "sharing with an enclave that does not exist")
    s.refuse(
        Code.EINVAL, ne(s.life[e], Life.INITIALIZED), "shared memory before the image is fixed, or during destruction"
    )
    s.refuse(Code.EINVAL, Not(well_formed), "a range that is empty, unaligned or wraps around")
    s.refuse(
        Code.EINVAL,
        s.exists(Page, lambda v: And(s.K.inside(r, v), s.elrange[e, v])),
        "memory of the normal VM inside ELRANGE",
    )
    s.refuse(
        Code.EINVAL,
        s.exists(Page, lambda v: And(s.K.inside(r, v), s.shared[e, v])),
        "one page in two ranges, of which one is removed",
    )
    s.refuse(Code.ENOMEM, exhausted, "a range that cannot be recorded")

    s.registered[e, r] = True
    s.shared.fill(lambda x, v: And(eq(x, e), s.K.inside(r, v)), True)
    s.shared_range.fill(lambda x, v: And(eq(x, e), s.K.inside(r, v)), r)
