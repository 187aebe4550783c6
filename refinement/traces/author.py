"""Writes traces: what an operating system does, taken step by step in a replay and kept as a trace.

Frames of the standard operating system: SECSs from SECS on, descriptors in DESCRIPTOR, sources of pages in SOURCE,
SIGSTRUCTs in SIGSTRUCT, batches in BATCH and RESULTS, memory of the application from APPLICATION on.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from impl.monitor.dispatch import CALLS
from refinement.traces.operating_system import FIRST_FREE, USER, USER_TABLE, kernel_address, user_entry, words_of
from refinement.traces.replay import Replay, Taken
from refinement.traces.trace import Change, Step, Trace
from refinement.traces.world import (
    ADD,
    EXECUTE,
    EXTEND,
    PAGE,
    READ,
    REG,
    TCS,
    WRITE,
    secinfo,
    secs_bytes,
    sigstruct_bytes,
    tcs_bytes,
)

SECS: Final = FIRST_FREE
DESCRIPTOR: Final = FIRST_FREE + 2
SOURCE: Final = FIRST_FREE + 3
SIGSTRUCT: Final = FIRST_FREE + 4
BATCH: Final = FIRST_FREE + 5
RESULTS: Final = FIRST_FREE + 6
APPLICATION: Final = FIRST_FREE + 8
SECS_SPACING: Final = 64  # words
SECINFO_INDEX: Final = 64  # in DESCRIPTOR
NUMBERS: Final = {call.name: call.number for call in CALLS}
AEP: Final = 0x7000_0000
ENCLAVE_PAGES: Final = 8
SHARED_BASE: Final = USER + 0x100000
CODE_PAGE, DATA_PAGE, SSA_PAGE, TCS_PAGE, SECOND_TCS = 0, 1, 2, 4, 5
"""Pages of a standard enclave: code, data, two SSA frames from SSA_PAGE on, TCS, and room for a second TCS."""


def base_of(slot: int) -> int:
    """The base of the enclave in a slot."""
    return USER + slot * ENCLAVE_PAGES * PAGE


class Author:
    """An operating system whose every deed is a step of the replay."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self.steps: list[Step] = []
        self.free = list(range(replay.machine.layout.epc_first, replay.machine.layout.epc_end))

    def trace(self, words: str) -> Trace:
        """Everything so far."""
        machine = self.replay.machine
        return Trace(tuple(self.steps), words, machine.nested_format, self.replay.configuration)

    def do(self, step: Step) -> Taken:
        """Take a step; it belongs to the trace even if monitor and model differ after it."""
        self.steps.append(step)
        return self.replay.step(step)

    def act(self, action: str, **numbers: int) -> Taken:
        """A step that consists of numbers."""
        return self.do(Step(action, numbers))

    def write(self, frame: int, words: Sequence[int], index: int = 0) -> Taken:
        """Write words to a frame, by DMA."""
        return self.do(Step("dma_write", {"frame": frame, "index": index}, tuple(words)))

    def set(self, cpu: int, **registers: int) -> Taken:
        """Set registers, named r0, r1 and so on by number."""
        return self.do(Step("registers", {"cpu": cpu}, values=tuple((int(n[1:]), v) for n, v in registers.items())))

    # --- calls -------------------------------------------------------------------------------------------------------

    def call(
        self, name: str, cpu: int = 0, cpl: int | None = None, changes: tuple[Change, ...] = (), **registers: int
    ) -> Taken:
        """A call by name with the privilege that it needs, or another one."""
        number = NUMBERS[name]
        level = (3 if number >> 31 else 0) if cpl is None else cpl
        return self.do(Step("call", {"cpu": cpu, "number": number, "cpl": level, **registers}, changes=changes))

    def secs(self, slot: int) -> int:
        """The address of a SECS."""
        return kernel_address(SECS, slot * SECS_SPACING)

    def identity(self, slot: int) -> int:
        """The enclave that this SECS stands for."""
        return SECS << 12 | slot * SECS_SPACING << 3

    def create(self, slot: int, cpu: int = 0, base: int | None = None, **changes: int) -> Taken:
        """ECREATE; `changes` replace fields of the SECS."""
        fields = {"base": base_of(slot) if base is None else base, "size": ENCLAVE_PAGES * PAGE} | changes
        data = secs_bytes(**fields)
        self.write(SECS, words_of(data), slot * SECS_SPACING)
        return self.call("create", cpu, rdi=self.secs(slot))

    def add(
        self, slot: int, page: int, data: bytes = b"page", info: int = secinfo(REG, READ | WRITE), cpu: int = 0,
        frame: int | None = None, attributes: int = ADD | EXTEND, changes: tuple[Change, ...] = (),
        fields: Mapping[str, int] = MappingProxyType({}),
    ) -> Taken:  # fmt: skip
        """EADD of a page of the enclave; `fields` replace those of the descriptor."""
        frame = self.next_frame() if frame is None else frame
        self.write(SOURCE, words_of(data.ljust(PAGE, b"\0")))
        values = {
            "secs": self.secs(slot), "source": SOURCE << 12, "linear": base_of(slot) + page * PAGE,
            "physical": frame << 12, "pointer": kernel_address(DESCRIPTOR, SECINFO_INDEX), "attributes": attributes,
        } | dict(fields)  # fmt: skip
        self.write(DESCRIPTOR, tuple(values.values()))
        self.write(DESCRIPTOR, (info,), SECINFO_INDEX)
        taken = self.call("add_page", cpu, changes=changes, rdi=kernel_address(DESCRIPTOR))
        if taken.succeeded and info >> 8 == TCS:
            self.map_user(base_of(slot) + page * PAGE, frame)
        return taken

    def next_frame(self) -> int:
        """A free EPC frame, or the first one if there is none."""
        epcm = self.replay.machine.storage.epcm
        return next((f for f in self.free if not epcm[f, 0] >> 15 & 1), self.free[0])

    def map_user(self, address: int, frame: int, bits: int = 7) -> Taken:
        """Set the leaf of the process for an address."""
        return self.write(USER_TABLE, (frame << 12 | bits,), user_entry(address))

    def initialize(self, slot: int, mrenclave: bytes | None = None, cpu: int = 0) -> Taken:
        """EINIT, by default with the right MRENCLAVE."""
        log = self.replay.machine.logs.get(self.identity(slot))
        right = struct.pack("<4Q", *log.final()) if log is not None else bytes(32)
        self.write(SIGSTRUCT, words_of(sigstruct_bytes(right if mrenclave is None else mrenclave)))
        self.write(DESCRIPTOR, (self.secs(slot), kernel_address(SIGSTRUCT)))
        return self.call("initialize", cpu, rdi=kernel_address(DESCRIPTOR))

    def share(self, slot: int, start: int, end: int, name: str = "shared_memory_add", cpu: int = 0) -> Taken:
        """SharedMemoryAdd or SharedMemoryRemove."""
        self.write(DESCRIPTOR, (self.secs(slot), start, end))
        return self.call(name, cpu, rdi=kernel_address(DESCRIPTOR))

    def remove(self, slot: int, frames: Sequence[int], cpu: int = 0, batch: int | None = None) -> Taken:
        """RemovePagesAtDestroy."""
        self.write(BATCH, tuple(frame << 12 for frame in frames))
        batch = len(frames) if batch is None else batch
        self.write(DESCRIPTOR, (self.secs(slot), kernel_address(BATCH), kernel_address(RESULTS), batch))
        return self.call("remove_pages_at_destroy", cpu, rdi=kernel_address(DESCRIPTOR))

    def enter(self, slot: int, cpu: int = 0, name: str = "enter", page: int = TCS_PAGE) -> Taken:
        """First step of EENTER or ERESUME."""
        return self.call(name, cpu, rbx=base_of(slot) + page * PAGE, rcx=AEP)

    # --- whole stories ---------------------------------------------------------------------------------------------

    def build(self, slot: int, second: bool = False) -> None:
        """A standard enclave, initialised."""
        self.create(slot)
        self.add(slot, CODE_PAGE, b"\x90code", secinfo(REG, READ | EXECUTE))
        for page in (DATA_PAGE, SSA_PAGE, SSA_PAGE + 1):
            self.add(slot, page, bytes([page]))
        self.add(slot, TCS_PAGE, tcs_bytes(), secinfo(TCS, 0))
        if second:
            self.add(slot, SECOND_TCS, tcs_bytes(nssa=1, ossa=3 * PAGE), secinfo(TCS, 0))
        self.initialize(slot)

    def run(self, slot: int, cpu: int = 0, name: str = "enter") -> None:
        """Enter or resume, both steps."""
        self.enter(slot, cpu, name)
        self.act("complete", cpu=cpu)

    def frames_of(self, slot: int) -> list[int]:
        """The frames of an enclave."""
        epcm, enclave = self.replay.machine.storage.epcm, self.identity(slot)
        return [f for f in self.free if epcm[f, 0] >> 15 & 1 and epcm[f, 2] == enclave]

    def destroy(self, slot: int, cpu: int = 0) -> None:
        """The whole way out."""
        self.call("prepare_destroy", cpu, rdi=self.secs(slot))
        self.remove(slot, self.frames_of(slot), cpu)
        self.call("finish_destroy", cpu, rdi=self.secs(slot))

    def access(self, cpu: int, address: int, action: str = "load", index: int = 0, value: int = 0) -> Taken:
        """Fill the TLB, and load, fetch or store."""
        page = address >> 12 & (1 << 36) - 1
        self.act("fill", cpu=cpu, page=page)
        numbers = {"cpu": cpu, "page": page, "index": index} | ({"value": value} if action == "store" else {})
        return self.act(action, **numbers)
