"""Step properties about threads: what a CPU leaves behind, what it goes on with, and who moves either."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.state import HYPERENCLAVE, runs
from model.hyperenclave.vocabulary import DEPTH, EXECUTE, NO_RIGHTS, READ, WRITE, Cpu, Leaf, Life, Mode, Operation, Page
from model.language.logic import And, Implies, Not, Or, eq, grants, ite, minus, ne, plus
from model.language.specification import DEVICE, ENCLAVE, HARDWARE, OS


def crosses(s: Any, n: Any, c: Any) -> Any:
    """The CPU starts or stops running an enclave."""
    return ne(eq(s.mode[c], Mode.ENCLAVE), eq(n.mode[c], Mode.ENCLAVE))


def _leaves(s: Any, n: Any, c: Any) -> Any:
    return And(eq(s.mode[c], Mode.ENCLAVE), eq(n.mode[c], Mode.NORMAL))


def _asks_to_leave(s: Any, c: Any) -> Any:
    return eq(s.K.operation(s.registers[c]), Operation.EXIT)


def _clean(s: Any, n: Any, c: Any) -> Any:
    t = s.tcs[c]
    return eq(n.registers[c], s.K.scrubbed(s.saved[c], s.linear[t], s.aep[t]))


def _kept(s: Any, n: Any, c: Any) -> Any:
    t = s.tcs[c]
    stored = eq(s.K.ssa_restored(n.contents[s.ssa[c]]), s.K.resumed(s.registers[c]))
    return And(stored, eq(n.cssa[t], plus(s.cssa[t], 1, DEPTH.width)), Not(n.busy[t]))


# --- T8: left registers -----------------------------------------------------------------------------------------


@HYPERENCLAVE.postcondition("T8", by=(OS, HARDWARE, DEVICE), c=Cpu)
def interrupted_registers(s: Any, n: Any, e: Any, c: Any) -> Any:
    """A CPU that others take out of an enclave keeps nothing of its registers (I19)."""
    return Implies(_leaves(s, n, c), _clean(s, n, c))


@HYPERENCLAVE.postcondition("T8", by=(ENCLAVE,), c=Cpu)
def faulted_registers(s: Any, n: Any, e: Any, c: Any) -> Any:
    """After any exit that the enclave did not ask for by EEXIT the CPU keeps nothing of its registers (I19)."""
    return Implies(And(_leaves(s, n, c), Not(_asks_to_leave(s, c))), _clean(s, n, c))


@HYPERENCLAVE.postcondition("T8", by=(OS, HARDWARE, ENCLAVE, DEVICE), c=Cpu, v=Page)
def left_translations(s: Any, n: Any, e: Any, c: Any, v: Any) -> Any:
    """A CPU that starts or stops running an enclave has nothing cached."""
    return Implies(crosses(s, n, c), eq(n.tlb_rights[c, v], NO_RIGHTS))


# --- T3: an exit is a pause, an entry continues -----------------------------------------------------------------


@HYPERENCLAVE.postcondition("T3", by=(OS, HARDWARE, DEVICE), c=Cpu)
def interrupt_is_a_pause(s: Any, n: Any, e: Any, c: Any) -> Any:
    """When others take a CPU out, the SSA frame on top of the thread's stack holds what a resume will continue with."""
    return Implies(_leaves(s, n, c), _kept(s, n, c))


@HYPERENCLAVE.postcondition("T3", by=(ENCLAVE,), c=Cpu)
def fault_is_a_pause(s: Any, n: Any, e: Any, c: Any) -> Any:
    """After a fault, too."""
    return Implies(And(_leaves(s, n, c), Not(_asks_to_leave(s, c))), _kept(s, n, c))


@HYPERENCLAVE.postcondition("T3", by=(ENCLAVE,), c=Cpu)
def exit_writes_nothing(s: Any, n: Any, e: Any, c: Any) -> Any:
    """EEXIT leaves the SSA frame and the thread's depth as they are."""
    f, t = s.ssa[c], s.tcs[c]
    same = And(eq(n.contents[f], s.contents[f]), eq(n.cssa[t], s.cssa[t]))
    return Implies(And(_leaves(s, n, c), _asks_to_leave(s, c)), same)


@HYPERENCLAVE.postcondition("T3", by=(OS, ENCLAVE, HARDWARE, DEVICE), c=Cpu)
def entry_continues(s: Any, n: Any, e: Any, c: Any) -> Any:
    """A resume continues with the SSA frame on top of the thread's stack; an entry starts where the TCS says.

    The SSA frame is the page that TCS and depth name.  A resume takes it off the stack and leaves it as it is; an entry
    notes the caller's stack there.
    """
    t, x, r, resumes = s.tcs[c], s.current[c], s.registers[c], s.resuming[c]
    depth = ite(resumes, minus(s.cssa[t], 1, DEPTH.width), s.cssa[t])
    f = s.guest_frame[x, s.K.ssa_page(s.contents[t], depth, s.base[x])]
    enters = And(ne(s.mode[c], Mode.ENCLAVE), eq(n.mode[c], Mode.ENCLAVE))
    entered = s.K.entry_registers(r, s.contents[t], s.cssa[t], s.base[x])
    continues = eq(n.registers[c], ite(resumes, s.K.ssa_restored(s.contents[f]), entered))
    noted = eq(n.contents[f], ite(resumes, s.contents[f], s.K.ssa_entered(s.contents[f], r)))
    return Implies(enters, And(continues, eq(n.cssa[t], depth), eq(s.ssa[c], f), eq(n.ssa[c], f), noted))


# --- T3: who moves a thread -------------------------------------------------------------------------------------


@HYPERENCLAVE.postcondition("T3", by=(OS, ENCLAVE, HARDWARE, DEVICE), c=Cpu)
def thread_stays_or_leaves(s: Any, n: Any, e: Any, c: Any) -> Any:
    """A CPU that runs the enclave goes on in the same thread, with the same SSA frame, or returns to the normal VM."""
    same = And(eq(n.tcs[c], s.tcs[c]), eq(n.ssa[c], s.ssa[c]))
    return Implies(runs(s, c, e), Or(And(runs(n, c, e), same), eq(n.mode[c], Mode.NORMAL)))


@HYPERENCLAVE.postcondition("T3", by=(OS, HARDWARE, DEVICE), c=Cpu)
def registers_are_its_own(s: Any, n: Any, e: Any, c: Any) -> Any:
    """Nobody else changes the registers of a CPU that runs the enclave and goes on running it."""
    return Implies(And(runs(s, c, e), runs(n, c, e)), eq(n.registers[c], s.registers[c]))


@HYPERENCLAVE.postcondition("T3", by=(ENCLAVE,), c=Cpu, d=Cpu)
def one_thread_moves(s: Any, n: Any, e: Any, c: Any, d: Any) -> Any:
    """Of two CPUs that run the enclave, a step of an enclave leaves at least one where it is."""

    def stays(k: Any) -> Any:
        return And(runs(n, k, e), eq(n.registers[k], s.registers[k]))

    return Implies(And(runs(s, c, e), runs(s, d, e), ne(c, d)), Or(stays(c), stays(d)))


@HYPERENCLAVE.postcondition("T3", by=(ENCLAVE,), c=Cpu)
def instructions_are_its_own(s: Any, n: Any, e: Any, c: Any) -> Any:
    """A CPU that goes on has completed its own next instruction, in the memory that it has cached, or nothing yet."""
    r, k = s.registers[c], s.K
    page, operation = k.page(r), k.operation(r)
    rights, frame = s.tlb_rights[c, page], s.tlb_frame[c, page]
    memory = s.contents[frame]
    reads = Or(
        And(eq(operation, Operation.LOAD), grants(rights, READ)),
        And(eq(operation, Operation.FETCH), grants(rights, EXECUTE)),
    )
    stored = And(grants(rights, WRITE), eq(n.contents[frame], k.stored(memory, r)))
    advances = Or(eq(operation, Operation.COMPUTE), And(eq(operation, Operation.STORE), stored))
    completed = Or(
        And(reads, eq(n.registers[c], k.loaded(r, memory))), And(advances, eq(n.registers[c], k.advanced(r)))
    )
    return Implies(And(runs(s, c, e), runs(n, c, e)), Or(completed, eq(n.registers[c], r)))


@HYPERENCLAVE.postcondition("T3", by=(OS, ENCLAVE, HARDWARE, DEVICE), v=Page)
def threads_stay(s: Any, n: Any, e: Any, v: Any) -> Any:
    """Until destruction begins a TCS page stays in its frame, with its depth unless a CPU enters or leaves there."""
    f = s.guest_frame[e, v]
    exists = And(ne(s.life[e], Life.NONE), ne(s.life[e], Life.IN_DESTROY), ne(n.life[e], Life.NONE))
    thread = And(exists, s.elrange[e, v], eq(s.guest_leaf[e, v], Leaf.OCCUPIED))
    place = And(eq(n.guest_leaf[e, v], Leaf.OCCUPIED), eq(n.guest_frame[e, v], f))
    used = s.exists(Cpu, lambda c: And(crosses(s, n, c), eq(s.tcs[c], f)))
    return Implies(thread, And(place, Or(used, eq(n.cssa[f], s.cssa[f]))))


@HYPERENCLAVE.postcondition("T3", by=(OS, ENCLAVE, HARDWARE, DEVICE), v=Page)
def threads_begin_at_rest(s: Any, n: Any, e: Any, v: Any) -> Any:
    """A TCS page that appears has depth 0: there is nothing that it could resume."""
    appears = And(ne(s.guest_leaf[e, v], Leaf.OCCUPIED), eq(n.guest_leaf[e, v], Leaf.OCCUPIED))
    return Implies(appears, eq(n.cssa[n.guest_frame[e, v]], 0))
