"""FinishDestroy: the last trace of an enclave goes."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.actions.common import concerns, pointer_rows, supervisor_call
from model.hyperenclave.state import HYPERENCLAVE
from model.hyperenclave.vocabulary import NO_RIGHTS, POINTER, Code, Cpu, Enclave, Frame, Leaf, Life
from model.language.logic import And, eq, ne
from model.language.specification import OS
from model.language.terms import BOOL


@HYPERENCLAVE.action(OS, caller="c", names=concerns("e"), c=Cpu, supervisor=BOOL, pointer=POINTER, e=Enclave)
def finish_destroy(s: Any, c: Any, supervisor: Any, pointer: Any, e: Any) -> None:
    """FinishDestroy: release the tables and the handle of an enclave that owns no page any more."""
    supervisor_call(s, c, supervisor)
    pointer_rows(s, pointer, "the SECS pointer leads where the caller may not read")
    s.refuse(Code.EFAULT, eq(s.life[e], Life.NONE), "destroying an enclave that does not exist")
    s.refuse(Code.EINVAL, ne(s.life[e], Life.IN_DESTROY), "destruction that was not prepared")
    s.refuse(Code.EBUSY, s.exists(Frame, lambda f: And(s.valid[f], eq(s.owner[f], e))), "pages without an owner")

    s.life[e] = Life.NONE
    s.elrange.fill(lambda x, v: eq(x, e), False)
    s.guest_leaf.fill(lambda x, v: eq(x, e), Leaf.EMPTY)
    s.nested_rights.fill(lambda x, f: eq(x, e), NO_RIGHTS)
    s.guest_table.fill(lambda f: And(s.guest_table[f], eq(s.guest_table_owner[f], e)), False)
    s.registered.fill(lambda x, r: eq(x, e), False)
    s.shared.fill(lambda x, v: eq(x, e), False)
