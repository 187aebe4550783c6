"""RemovePagesAtDestroy: one element of the batch."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.actions.common import concerns, supervisor_call
from model.hyperenclave.state import HYPERENCLAVE
from model.hyperenclave.vocabulary import NO_RIGHTS, Code, Cpu, Enclave, Frame, FrameClass, Leaf, Life
from model.language.logic import And, Not, eq, ne
from model.language.specification import OS
from model.language.terms import BOOL


@HYPERENCLAVE.action(
    OS,
    caller="c",
    names=concerns("e"),
    placement=("f",),
    c=Cpu,
    supervisor=BOOL,
    e=Enclave,
    frame_aligned=BOOL,
    f=Frame,
)
def remove_page_at_destroy(s: Any, c: Any, supervisor: Any, e: Any, frame_aligned: Any, f: Any) -> None:
    """RemovePagesAtDestroy, one page: scrub it, free its EPCM entry, and take it out of both tables."""
    supervisor_call(s, c, supervisor)
    s.refuse(Code.EINVAL, ne(s.life[e], Life.IN_DESTROY), "pages disappear under a live enclave")
    s.refuse(Code.EINVAL, Not(frame_aligned), "a frame address inside a page")
    s.refuse(Code.EINVAL, ne(s.frame_class[f], FrameClass.EPC), "memory that has no EPCM entry")
    s.refuse(Code.EINVAL, Not(And(s.valid[f], eq(s.owner[f], e))), "the page of another enclave")

    s.endorse("which page is removed", And(s.valid[f], eq(s.owner[f], e)), s.linear[f])

    s.valid[f] = False
    s.contents[f] = s.K.zeros()
    s.guest_leaf[e, s.linear[f]] = Leaf.EMPTY
    s.nested_rights[e, f] = NO_RIGHTS
