"""Steps that several actions share."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.vocabulary import NO_RIGHTS, READ_WRITE, Code, Frame, FrameClass, Leaf, Mode, Pointer
from model.language.logic import And, Implies, Not, eq, ne


def supervisor_call(s: Any, c: Any, supervisor: Any) -> None:
    """A call of the normal VM's kernel: only a CPU that runs the normal VM makes it, and only at CPL 0."""
    s.require(eq(s.mode[c], Mode.NORMAL))
    s.refuse(Code.INVALID_OPCODE, Not(supervisor), "an application makes a supervisor call")


def user_call(s: Any, c: Any, supervisor: Any) -> None:
    """A call of a normal application: never at CPL 0."""
    s.require(eq(s.mode[c], Mode.NORMAL))
    s.refuse(Code.INVALID_OPCODE, supervisor, "the kernel makes a user call")


def pointer_rows(s: Any, pointer: Any, threat: str) -> None:
    """What following a pointer through the normal VM's own page tables may end in."""
    s.refuse(Code.PAGE_FAULT, eq(pointer, Pointer.PAGE_FAULT), threat)
    s.refuse(Code.GENERAL_PROTECTION, eq(pointer, Pointer.GENERAL_PROTECTION), threat)


def concerns(enclave: str) -> Any:
    """The call names the enclave in parameter `enclave`."""

    def formula(s: Any, protected: Any, **arguments: Any) -> Any:
        return eq(arguments[enclave], protected)

    return formula


def concerns_running(s: Any, protected: Any, **arguments: Any) -> Any:
    """The step happens on a CPU that is in, or enters, the enclave."""
    c = arguments["c"]
    return And(ne(s.mode[c], Mode.NORMAL), eq(s.current[c], protected))


def flush(s: Any, c: Any) -> None:
    """Forget every translation that the CPU has cached."""
    s.tlb_rights.fill(lambda k, v: eq(k, c), NO_RIGHTS)


def take_tables(s: Any, e: Any, tables: Any) -> None:
    """Pool frames become guest page tables of e, and e's nested table maps them, because hardware walks through it.

    Which frames is the monitor's choice; it may choose only frames of its own that hold nothing.
    """
    zero = s.zero_frame[()]

    def spare(f: Any) -> Any:
        return And(eq(s.frame_class[f], FrameClass.MONITOR), Not(s.guest_table[f]), ne(f, zero))

    s.require(s.forall(Frame, lambda f: Implies(s.K.in_set(tables, f), spare(f))))
    s.guest_table.fill(lambda f: s.K.in_set(tables, f), True)
    s.guest_table_owner.fill(lambda f: s.K.in_set(tables, f), e)
    s.nested_rights.fill(lambda x, f: And(eq(x, e), s.K.in_set(tables, f)), READ_WRITE)
    s.nested_frame.fill(lambda x, f: And(eq(x, e), s.K.in_set(tables, f)), lambda x, f: f)


def leave(s: Any, c: Any, registers: Any) -> None:
    """CPU c goes back to the normal VM with these registers."""
    s.busy[s.tcs[c]] = False
    s.mode[c] = Mode.NORMAL
    s.registers[c] = registers
    flush(s, c)


def leaf_is_empty(s: Any, e: Any, v: Any) -> Any:
    """Nothing occupies the guest leaf."""
    return eq(s.guest_leaf[e, v], Leaf.EMPTY)
