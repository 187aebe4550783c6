"""A step of a trace on the monitor and the modelled hardware: what happened, and what was fetched meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from impl.machine import iommu, mmu
from impl.machine.layout import is_normal
from impl.machine.machine import ConcreteMachine
from impl.machine.registers import CPL, CR3, EVENT, RAX, RBX, RCX, RDI, RSI
from impl.monitor.codes import Code
from impl.monitor.monitor import Monitor
from refinement.traces.fetches import Word
from refinement.traces.trace import Change, Step

NORMAL: Final = 1
ENTERING: Final = 2
ENCLAVE: Final = 3
RIGHT_OF: Final = {"load": mmu.READ, "fetch": mmu.EXECUTE, "store": mmu.WRITE}
PAGE_FAULT_VECTOR: Final = 14


@dataclass(frozen=True)
class Happened:
    """Which event it was (a call by name), how it ended, and the words of normal memory in their order.

    granted: the access, walk or fault handling did what was asked for.
    """

    event: str
    code: Code
    words: tuple[Word, ...] = ()
    granted: bool = True


class Execution:
    """The machine under a trace."""

    def __init__(self, machine: ConcreteMachine, monitor: Monitor) -> None:
        self.machine = machine
        self.monitor = monitor

    def prepare(self, step: Step) -> bool:
        """Put the operands of a call into the registers, as the caller does; False if the step is not possible now."""
        s, cpu = self.machine.storage, step["cpu"]
        mode = s.cpu_mode[cpu]
        if step.action in ("dma_read", "dma_write"):
            return True
        if step.action in ("complete", "fault", "trap"):
            return mode == (ENTERING if step.action == "complete" else ENCLAVE) and self._faults(step)
        if mode not in (NORMAL, ENCLAVE):
            return step.action == "evict"
        if step.action == "call":
            operands = {RAX: step["number"], RDI: step["rdi"], RSI: 0, RBX: step["rbx"], RCX: step["rcx"]}
            for number, value in operands.items():
                s.register[cpu, number] = value
            if mode == NORMAL:
                s.register[cpu, CPL] = step["cpl"]
                s.register[cpu, EVENT] = 0
        return True

    def _faults(self, step: Step) -> bool:
        """A page fault needs a translation that lacks the right, in the TLB and in the tables; a trap is no #PF."""
        if step.action == "trap":
            return step["vector"] != PAGE_FAULT_VECTOR
        if step.action != "fault":
            return True
        s, cpu, page, access = self.machine.storage, step["cpu"], step["address"] >> 12, step["access"]
        return s.tlb_rights[cpu, page] & access == 0 and mmu.walk(self.machine, cpu, page).rights & access == 0

    def perform(self, step: Step) -> Happened:
        """Take a step that `prepare` has admitted."""
        log: list[Word] = []
        pending = sorted(step.changes, key=lambda change: change.fetch)
        fetched = 0

        def on_fetch(frame: int, index: int) -> None:
            nonlocal fetched
            while pending and pending[0].fetch <= fetched:
                self._interfere(pending.pop(0), log)
            fetched += 1
            log.append(Word(frame, index, self.machine.storage.memory[frame, index], True))

        self.machine.on_fetch = on_fetch
        try:
            event, code, granted = self._perform(step)
        finally:
            self.machine.on_fetch = None
        return Happened(event, code, tuple(log), granted)

    def _interfere(self, change: Change, log: list[Word]) -> None:
        """Others write to normal memory; elsewhere they can not."""
        if is_normal(self.machine.layout, change.frame):
            self.machine.storage.memory[change.frame, change.index] = change.value
            log.append(Word(change.frame, change.index, change.value, False))

    def _perform(self, step: Step) -> tuple[str, Code, bool]:
        s, cpu = self.machine.storage, step["cpu"]
        match step.action:
            case "call":
                return self._call(step)
            case "complete":
                return "complete", self.monitor.complete_entry(cpu).code, True
            case "registers":
                for number, value in step.values:
                    if number != CR3 or s.cpu_mode[cpu] == NORMAL:
                        s.register[cpu, number] = value
            case "fill":
                return "fill", Code.OK, mmu.fill(self.machine, cpu, step["page"]).kind is mmu.Kind.TRANSLATED
            case "evict":
                mmu.evict(self.machine, cpu, step["page"])
            case "load" | "fetch" | "store":
                return step.action, Code.OK, self._access(step)
            case "fault":
                return "fault", Code.OK, self.monitor.enclave_fault(cpu, step["address"], step["access"])
            case "trap":
                self.monitor.exception(cpu, step["vector"])
            case "interrupt":
                self.monitor.interrupt(cpu, step["vector"])
            case "dma_read":
                return step.action, Code.OK, iommu.dma_load(self.machine, step["frame"], step["index"]).granted
            case _:
                pairs = enumerate(step.words, step["index"])
                granted = [iommu.dma_store(self.machine, step["frame"], i, word) for i, word in pairs]
                return step.action, Code.OK, all(granted)
        return step.action, Code.OK, True

    def _call(self, step: Step) -> tuple[str, Code, bool]:
        outcome = self.monitor.dispatch(step["cpu"])
        return "call", outcome.code, True

    def _access(self, step: Step) -> bool:
        machine, cpu, page, index = self.machine, step["cpu"], step["page"], step["index"]
        if step.action == "store":
            return mmu.store(machine, cpu, page, index, step["value"])
        access = (mmu.load if step.action == "load" else mmu.fetch)(machine, cpu, page, index)
        if access.granted:
            machine.storage.register[cpu, RAX] = access.value
        return access.granted
