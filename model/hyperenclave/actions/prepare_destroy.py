"""PrepareDestroy: no thread enters any more; destruction starts once none is inside."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.actions.common import concerns, pointer_rows, supervisor_call
from model.hyperenclave.state import HYPERENCLAVE
from model.hyperenclave.vocabulary import POINTER, Code, Cpu, Enclave, Life, Mode
from model.language.logic import And, eq, ite, ne
from model.language.specification import OS
from model.language.terms import BOOL


@HYPERENCLAVE.action(OS, caller="c", names=concerns("e"), c=Cpu, supervisor=BOOL, pointer=POINTER, e=Enclave)
def prepare_destroy(s: Any, c: Any, supervisor: Any, pointer: Any, e: Any) -> None:
    """PrepareDestroy: entries stop at once; with a thread inside the answer is EENCLAVEACT and the caller retries."""
    supervisor_call(s, c, supervisor)
    pointer_rows(s, pointer, "the SECS pointer leads where the caller may not read")
    s.refuse(Code.EFAULT, eq(s.life[e], Life.NONE), "destroying an enclave that does not exist")
    occupied = s.exists(Cpu, lambda k: And(ne(s.mode[k], Mode.NORMAL), eq(s.current[k], e)))
    s.answer(Code.EENCLAVEACT, occupied, "pages disappear under a running thread")

    s.life[e] = ite(occupied, Life.TRY_DESTROY, Life.IN_DESTROY)
