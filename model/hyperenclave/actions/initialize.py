"""EINIT: the image is complete; from here on the enclave may run."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.actions.common import concerns, pointer_rows, supervisor_call
from model.hyperenclave.state import HYPERENCLAVE
from model.hyperenclave.vocabulary import POINTER, Code, Cpu, Enclave, Life, Measurement
from model.language.logic import eq, ne
from model.language.specification import OS
from model.language.terms import BOOL


@HYPERENCLAVE.action(
    OS,
    caller="c",
    names=concerns("e"),
    c=Cpu,
    supervisor=BOOL,
    descriptor=POINTER,
    sigstruct=POINTER,
    e=Enclave,
    expected=Measurement,
)
def initialize(s: Any, c: Any, supervisor: Any, descriptor: Any, sigstruct: Any, e: Any, expected: Any) -> None:
    """EINIT: compare MRENCLAVE with the SIGSTRUCT's and let the enclave run."""
    supervisor_call(s, c, supervisor)
    pointer_rows(s, descriptor, "the descriptor pointer leads where the caller may not read")
    pointer_rows(s, sigstruct, "the SIGSTRUCT pointer leads where the caller may not read")
    s.refuse(Code.EFAULT, eq(s.life[e], Life.NONE), "initialising an enclave that does not exist")
    s.refuse(Code.EBUSY, ne(s.life[e], Life.UNINITIALIZED), "initialising twice, or during destruction")
    s.refuse(Code.EINVAL, s.unextended[e], "a page whose contents MRENCLAVE does not cover")
    s.refuse(Code.EINVAL, ne(s.measurement[e], expected), "an image that nobody signed")

    s.life[e] = Life.INITIALIZED
