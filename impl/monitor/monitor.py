"""The monitor as an object: the events that bring a CPU into it."""

from __future__ import annotations

from impl.machine.primitives import Machine
from impl.machine.registers import EVENT
from impl.monitor import boot, dispatch, faults
from impl.monitor.codes import ENCLAVE, NORMAL
from impl.monitor.dispatch import Outcome
from impl.monitor.handlers.asynchronous_exit import EVENT_VALID, exception_exit, interrupt_exit


class Monitor:
    """The monitor of one machine; all state is in the machine's storage, and each method is one atomic step."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def boot(self) -> None:
        """Launch, on a machine whose storage was never used."""
        boot.boot(self.machine)

    def dispatch(self, cpu: int) -> Outcome:
        """A CPU in the normal VM or an enclave makes the call that its registers describe."""
        mode = self.machine.storage.cpu_mode[cpu]
        if mode != NORMAL and mode != ENCLAVE:
            return dispatch.IGNORED  # a CPU that is off or in the monitor makes no calls
        return dispatch.dispatch(self.machine, cpu)

    def complete_entry(self, cpu: int) -> Outcome:
        """The second step of the entry that `dispatch` left pending."""
        return dispatch.complete_entry(self.machine, cpu)

    def enclave_fault(self, cpu: int, address: int, access: int) -> bool:
        """See `faults.enclave_fault`."""
        return faults.enclave_fault(self.machine, cpu, address, access)

    def exception(self, cpu: int, vector: int, error: int = 0) -> None:
        """An instruction of the enclave on this CPU raised an exception that is not a page fault."""
        exception_exit(self.machine, cpu, vector, error)

    def interrupt(self, cpu: int, vector: int) -> None:
        """An external interrupt; it stays pending while the CPU is between the steps of an entry."""
        s = self.machine.storage
        mode = s.cpu_mode[cpu]
        if mode == ENCLAVE:
            interrupt_exit(self.machine, cpu, vector)
        elif mode == NORMAL:
            s.register[cpu, EVENT] = vector | EVENT_VALID
