"""Calls of the reference monitor per second on one core: one-pointer calls, and EADD with EEXTEND apart."""

from __future__ import annotations

import json
import time

from impl.machine.registers import CPL, RAX, RDI
from impl.monitor.codes import Code
from refinement.traces.world import NUMBERS, PAGE, World

CALLS = 100_000
PAGES = 8


def one_pointer_calls() -> float:
    """Successful PrepareDestroy calls per second, the four-level walk of the caller's tables included."""
    world = World()
    enclave = world.build()
    register, dispatch = world.machine.storage.register, world.monitor.dispatch
    started = time.perf_counter()
    for _ in range(CALLS):
        register[0, RAX], register[0, RDI], register[0, CPL] = NUMBERS["prepare_destroy"], enclave.secs, 0
        if dispatch(0).code is not Code.OK:
            raise RuntimeError("a call that should succeed was refused")
    return CALLS / (time.perf_counter() - started)


def pages_added() -> float:
    """EADD with EEXTEND per second: one page copied, mapped, recorded and hashed."""
    world = World()
    outcome, enclave = world.create(size=16 * PAGE)
    source, frames = world.allocate() << 12, [world.allocate_epc() for _ in range(PAGES)]
    elapsed = 0.0
    for number, frame in enumerate(frames):
        started = time.perf_counter()
        outcome = world.add(enclave, number * PAGE, frame=frame, source=source)
        elapsed += time.perf_counter() - started
        if outcome.code is not Code.OK:
            raise RuntimeError(f"page {number} was refused: {outcome}")
    return PAGES / elapsed


if __name__ == "__main__":
    figures = {"one-pointer calls per second": one_pointer_calls(), "EADD with EEXTEND per second": pages_added()}
    print(json.dumps({name: round(value) for name, value in figures.items()}))
