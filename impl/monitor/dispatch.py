"""The calls of the monitor in one table, and how a call from a guest reaches its handler and gets its answer.

The ABI is that of the public monitor (src/hypercall/mod.rs): VMCALL or VMMCALL with the code in the low 32 bits of RAX;
an unknown code is ignored, a wrong privilege or CPU mode is #UD.  Supervisor calls return in RAX; any other refusal
than EENCLAVEACT is delivered as #GP(0), and the code only tells the reader why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from impl.machine.primitives import Machine
from impl.machine.registers import CPL, CR2, EVENT, RAX, RIP
from impl.monitor.codes import (
    ENCLAVE,
    MASK32,
    MASK64,
    NORMAL,
    VECTOR_GP,
    VECTOR_PF,
    VECTOR_UD,
    Code,
    Refusal,
)
from impl.monitor.handlers.add_page import add_page
from impl.monitor.handlers.asynchronous_exit import exception_event, exception_exit
from impl.monitor.handlers.create import create
from impl.monitor.handlers.enter import enter_check, enter_commit, resume_check
from impl.monitor.handlers.exit import exit_enclave
from impl.monitor.handlers.finish_destroy import finish_destroy
from impl.monitor.handlers.initialize import initialize
from impl.monitor.handlers.prepare_destroy import prepare_destroy
from impl.monitor.handlers.remove_pages_at_destroy import remove_pages_at_destroy
from impl.monitor.handlers.shared_memory_add import shared_memory_add
from impl.monitor.handlers.shared_memory_remove import shared_memory_remove
from impl.monitor.world_switch import CALL_BYTES


@dataclass(frozen=True)
class Call:
    """A row of the table: number, name, whether CPL 0 is needed (else CPL 0 is refused), CPU mode, handler."""

    number: int
    name: str
    supervisor: bool
    mode: int
    handler: Callable[[Machine, int], Code]


CALLS: Final = (
    Call(0x10, "create", True, NORMAL, create),
    Call(0x11, "add_page", True, NORMAL, add_page),
    Call(0x12, "initialize", True, NORMAL, initialize),
    Call(0x13, "prepare_destroy", True, NORMAL, prepare_destroy),
    Call(0x14, "finish_destroy", True, NORMAL, finish_destroy),
    Call(0x28, "remove_pages_at_destroy", True, NORMAL, remove_pages_at_destroy),
    Call(0x101, "shared_memory_add", True, NORMAL, shared_memory_add),
    Call(0x102, "shared_memory_remove", True, NORMAL, shared_memory_remove),
    Call(0x80000000, "enter", False, NORMAL, enter_check),
    Call(0x80000001, "exit", False, ENCLAVE, exit_enclave),
    Call(0x80000005, "resume", False, NORMAL, resume_check),
)


@dataclass(frozen=True)
class Outcome:
    """How a call ended; `pending`: an entry has passed its check, and `complete_entry` is the CPU's next step."""

    code: Code
    pending: bool = False


DONE: Final = Outcome(Code.OK)
PENDING: Final = Outcome(Code.OK, pending=True)
IGNORED: Final = Outcome(Code.IGNORED)


def dispatch(machine: Machine, cpu: int) -> Outcome:
    """The CPU, in the normal VM or an enclave, executes VMCALL or VMMCALL."""
    s = machine.storage
    number = s.register[cpu, RAX] & MASK32
    for call in CALLS:
        if number == call.number:
            return _perform(machine, cpu, call)
    _advance(machine, cpu)
    return IGNORED


def _perform(machine: Machine, cpu: int, call: Call) -> Outcome:
    s = machine.storage
    try:
        if call.supervisor:
            if s.register[cpu, CPL] != 0:  # an application makes a supervisor call
                raise Refusal(Code.INVALID_OPCODE)
        elif s.register[cpu, CPL] == 0:  # the kernel makes a user call
            raise Refusal(Code.INVALID_OPCODE)
        if s.cpu_mode[cpu] != call.mode:  # an enclave calls for the normal VM, or the other way round
            raise Refusal(Code.INVALID_OPCODE)
        code = call.handler(machine, cpu)
    except Refusal as refusal:
        _deliver(machine, cpu, refusal)
        return Outcome(refusal.code)
    if not call.supervisor:
        return DONE if call.mode == ENCLAVE else PENDING
    if code is Code.OK:
        s.register[cpu, RAX] = 0
        _advance(machine, cpu)
        return DONE
    _deliver(machine, cpu, Refusal(code))
    return Outcome(code)


def complete_entry(machine: Machine, cpu: int) -> Outcome:
    """The second step of EENTER or ERESUME."""
    code = enter_commit(machine, cpu)
    if code is Code.OK:
        return DONE
    _deliver(machine, cpu, Refusal(code))
    return Outcome(code)


def _advance(machine: Machine, cpu: int) -> None:
    """Continue behind the call."""
    s = machine.storage
    s.register[cpu, RIP] = (s.register[cpu, RIP] + CALL_BYTES) & MASK64


def _deliver(machine: Machine, cpu: int, refusal: Refusal) -> None:
    """Hand a refusal to the guest; an enclave is left first."""
    s, code = machine.storage, refusal.code
    if code is Code.EENCLAVEACT:
        s.register[cpu, RAX] = MASK64 + 1 - code
        _advance(machine, cpu)
        return
    vector = VECTOR_GP
    if code is Code.PAGE_FAULT:
        vector = VECTOR_PF
    if code is Code.INVALID_OPCODE:
        vector = VECTOR_UD
    if s.cpu_mode[cpu] == ENCLAVE:
        exception_exit(machine, cpu, vector, 0)
        return
    if vector == VECTOR_PF:
        s.register[cpu, CR2] = refusal.address
    s.register[cpu, EVENT] = exception_event(vector, refusal.error)
