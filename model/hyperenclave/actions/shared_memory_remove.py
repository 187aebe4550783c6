"""SharedMemoryRemove: a registered range stops being shared memory."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.actions.common import concerns, pointer_rows, supervisor_call
from model.hyperenclave.state import HYPERENCLAVE
from model.hyperenclave.vocabulary import (
    NO_RIGHTS,
    POINTER,
    Code,
    Cpu,
    Enclave,
    FrameClass,
    Leaf,
    Life,
    Mode,
    Range,
)
from model.language.logic import And, Not, eq, ne
from model.language.specification import OS
from model.language.terms import BOOL


@HYPERENCLAVE.action(
    OS, caller="c", names=concerns("e"), c=Cpu, supervisor=BOOL, descriptor=POINTER, e=Enclave, r=Range
)
def shared_memory_remove(s: Any, c: Any, supervisor: Any, descriptor: Any, e: Any, r: Any) -> None:
    """SharedMemoryRemove: take the range's pages out of both tables; no thread may be inside with cached entries."""
    supervisor_call(s, c, supervisor)
    pointer_rows(s, descriptor, "the descriptor pointer leads where the caller may not read")
    s.refuse(Code.EFAULT, eq(s.life[e], Life.NONE), "an enclave that does not exist")
    s.refuse(Code.EINVAL, Not(s.registered[e, r]), "a range that was never shared, or a part of one")
    occupied = s.exists(Cpu, lambda k: And(ne(s.mode[k], Mode.NORMAL), eq(s.current[k], e)))
    s.refuse(Code.EENCLAVEACT, occupied, "a cached translation outlives the range")

    def removed(v: Any) -> Any:
        return And(s.shared[e, v], eq(s.shared_range[e, v], r))

    s.registered[e, r] = False
    s.shared.fill(lambda x, v: And(eq(x, e), removed(v)), False)
    s.guest_leaf.fill(lambda x, v: And(eq(x, e), removed(v)), Leaf.EMPTY)
    s.nested_rights.fill(
        lambda x, f: And(eq(x, e), eq(s.frame_class[f], FrameClass.NORMAL), removed(s.shared_page[e, f])), NO_RIGHTS
    )
