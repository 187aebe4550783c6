"""Live machines in which every path of the monitor can happen, built by real calls from boot.

CPUs stand in every mode, enclaves in every stage of their life.  In the second situation hardly a frame of the
pool of page tables is free.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from impl.machine.layout import Configuration
from impl.machine.machine import ConcreteMachine, ContractError
from impl.machine.primitives import NestedFormat
from impl.machine.registers import CPL
from impl.machine.storage import StorageError
from impl.monitor.codes import Code
from impl.monitor.tables import PAGE_FRAMES
from refinement.engine.explorer import DEFECTS
from refinement.traces.world import ADD, EXECUTE, PAGE, READ, REG, TCS, WRITE, Enclave, World, secinfo, tcs_bytes

FAILURES: Final = (*DEFECTS, ContractError, StorageError)
"""What a defect of the monitor raises on a concrete machine."""
MEMORY: Final = 560
RESERVED: Final = 304
POOL: Final = 144
EPC: Final = 60
CPUS: Final = 6
SLOTS: Final = 4
BELOW: Final = 0x5000_0000
ABOVE: Final = 0x20_0000_0000
"""Where shared ranges begin, seen from ELRANGE."""
SHARED_PAGES: Final = 3
TOUCHED: Final = 2
"""Pages of each shared range that the enclave has touched, so that they are mapped."""


@dataclass(frozen=True)
class Situation:
    """A machine that satisfies the representation invariant, from which paths begin."""

    name: str
    machine: ConcreteMachine


class UnrealisedError(Exception):
    """There is no machine on which a path can be run; the text says why."""


@cache
def situations(form: NestedFormat) -> tuple[Situation, ...]:
    """With room in the pool, and with hardly any; `UnrealisedError` if the monitor does not come that far."""
    try:
        return _built(form)
    except FAILURES as failure:
        raise UnrealisedError(f"no situation can be built: {type(failure).__name__}: {failure}") from failure


def _built(form: NestedFormat) -> tuple[Situation, ...]:
    roomy = _Stage(form, POOL).machine
    taken = POOL - roomy.storage.pool_free[()]
    narrow = _Stage(form, taken + PAGE_FRAMES)
    narrow.exhaust()
    return Situation("plenty of free table frames", roomy), Situation("hardly a free table frame", narrow.machine)


class _Stage:
    """Builds one machine."""

    def __init__(self, form: NestedFormat, pool: int) -> None:
        self._world = World(
            form,
            Configuration(
                memory_frames=MEMORY, reserved_first=RESERVED, core_frames=0, pool_frames=pool, epc_frames=EPC,
                device_first=MEMORY - 8, device_end=MEMORY, cpus=CPUS,
            ),
        )  # fmt: skip
        self._scratch = self._world.allocate()
        self._enclaves = 0
        self._play()
        self.machine = self._world.machine

    def _play(self) -> None:
        self._unfinished(measured=True)
        self._unfinished(measured=False)
        for slots in range(SLOTS + 1):
            self._share(self._initialised(), slots, ABOVE)
        self._destroyed(emptied=False)
        self._destroyed(emptied=True)
        busy = self._initialised(3)
        self._share(busy, SLOTS, BELOW)
        self._resuming(busy, 3)
        self._enter(busy, 2, complete=False)
        self._enter(busy, 1)
        doomed = self._initialised(2)
        self._share(doomed, SLOTS, ABOVE)
        self._enter(doomed, 5, complete=False)
        self._enter(doomed, 4)
        _demand(self._world.call("prepare_destroy", doomed.secs).code == Code.EENCLAVEACT)
        self._cache(0)

    def exhaust(self) -> None:
        """Create empty enclaves until no further one fits."""
        while self._world.create()[0].code == 0:
            pass

    # --- enclaves ---------------------------------------------------------------------------------------------------

    def _created(self) -> Enclave:
        self._enclaves += 1
        outcome, enclave = self._world.create(0x10_0000_0000 + (self._enclaves << 20))
        _demand(outcome.code == 0)
        return enclave

    def _add(self, enclave: Enclave, page: int, info: int, data: bytes = b"", **more: int) -> None:
        _demand(self._world.add(enclave, page * PAGE, data, info, **more).code == 0)

    def _unfinished(self, measured: bool) -> None:
        enclave = self._created()
        self._add(enclave, 0, secinfo(REG, READ | WRITE), b"\x11")
        self._add(enclave, 1, secinfo(TCS, 0), tcs_bytes())
        if not measured:
            self._add(enclave, 2, secinfo(REG, READ), attributes=ADD)

    def _initialised(self, threads: int = 1) -> Enclave:
        """Code at page 0, two SSA frames at 2 and 3, for each thread a TCS from page 5 on, the rest empty."""
        enclave = self._created()
        self._add(enclave, 0, secinfo(REG, READ | EXECUTE), b"\x90")
        self._add(enclave, 2, secinfo(REG, READ | WRITE))
        self._add(enclave, 3, secinfo(REG, READ | WRITE), b"\x03")
        for thread in range(threads + 1):
            self._add(enclave, 5 + thread, secinfo(TCS, 0), tcs_bytes())
        _demand(self._world.initialize(enclave).code == 0)
        return enclave

    def _destroyed(self, emptied: bool) -> None:
        enclave = self._initialised()
        _demand(self._world.call("prepare_destroy", enclave.secs).code == 0)
        if emptied:
            _demand(self._world.remove(enclave, list(enclave.pages.values()))[0].code == 0)

    def _share(self, enclave: Enclave, slots: int, start: int) -> None:
        """Register ranges in this many slots and touch some pages of each."""
        starts = [start + (slot << 16) for slot in range(slots)]
        touched = [first + page * PAGE for first in starts for page in range(TOUCHED)]
        for first in starts:
            _demand(self._world.share(enclave, first, first + SHARED_PAGES * PAGE).code == 0)
        for address in touched:
            self._world.map_user(address, self._world.allocate())
        if touched:
            self._enter(enclave, 0)
            for address in touched:
                _demand(self._world.store(0, address, 7))
            self._world.monitor.interrupt(0, 32)

    # --- threads ----------------------------------------------------------------------------------------------------

    def _enter(self, enclave: Enclave, cpu: int, complete: bool = True, call: str = "enter") -> None:
        """The CPU enters through the TCS that nobody is inside through and that has seen no interrupt."""
        s = self._world.s
        for address, frame in enclave.pages.items():
            if s.epcm[frame, 0] >> 16 == TCS and not s.busy[frame] and s.memory[frame, 3] & 1 == (call == "resume"):
                self._cache(cpu)
                _demand(self._world.call(call, cpu=cpu, rbx=address, rcx=0x7000_0000).pending)
                if complete:
                    _demand(self._world.monitor.complete_entry(cpu).code == 0)
                    _demand(self._world.load(cpu, enclave.base) is not None)
                return
        _demand(False)

    def _cache(self, cpu: int) -> None:
        """The kernel on a CPU reads something, so that a translation is cached."""
        self._world.s.register[cpu, CPL] = 0
        _demand(self._world.load(cpu, self._world.kernel_address(self._scratch)) is not None)

    def _resuming(self, enclave: Enclave, cpu: int) -> None:
        """The CPU was interrupted and is about to resume."""
        self._enter(enclave, cpu, complete=False, call="resume")


def _demand(done: bool) -> None:
    if not done:
        raise UnrealisedError("no situation can be built: a call did not end as it should")
