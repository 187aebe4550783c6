"""An operating system in miniature on a booted machine: it owns normal memory, its page tables, and one process.

The kernel sees all physical memory at KERNEL (2 MiB leaves, supervisor); the process has what `map_user` puts there.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from impl.machine import mmu
from impl.machine.layout import Configuration, Layout, is_normal
from impl.machine.machine import ConcreteMachine
from impl.machine.primitives import NestedFormat
from impl.machine.registers import CPL, CR3, EVENT, RAX, RBX, RCX, RDI, RIP, RSI
from impl.monitor.dispatch import CALLS, Outcome
from impl.monitor.monitor import Monitor

KERNEL = 0xFFFF_8000_0000_0000
PAGE = 4096
NUMBERS = {call.name: call.number for call in CALLS}

READ, WRITE, EXECUTE = 1, 2, 4
REG, TCS = 2, 1
ADD, EXTEND = 1, 2
AEP = 0x7000_0000
MODULUS = bytes(range(256)) + bytes(128)


def secinfo(page_type: int, rights: int) -> int:
    """The SECINFO word."""
    return page_type << 8 | rights


def secs_bytes(base: int, size: int, **changes: int) -> bytes:
    """A SECS; `changes` replace fields by name."""
    fields = {"size": size, "base": base, "ssa_frame_size": 1, "misc": 0, "reserved": 0, "ms_buf_size": PAGE}
    v = fields | {"attributes": 4, "xfrm": 3, "reserved2": 0} | changes
    assert len(v) == 9, f"unknown field in {changes}"
    head = struct.pack("<QQIIQQ", v["size"], v["base"], v["ssa_frame_size"], v["misc"], v["reserved"], 0)
    head += struct.pack("<QQQ", v["ms_buf_size"], v["attributes"], v["xfrm"])
    return head + bytes(32) + struct.pack("<Q", v["reserved2"]) + bytes(264 - 64 - 32 - 8)


def tcs_bytes(**changes: int) -> bytes:
    """A fresh TCS page; `changes` replace fields by name."""
    fields = {"stage": 0, "flags": 0, "ossa": 2 * PAGE, "cssa": 0, "nssa": 2, "oentry": 0x10, "aep": 0}
    v = fields | {"ofs": PAGE, "ogs": PAGE, "fslimit": 0xFFF, "gslimit": 0xFFF, "reserved": 0} | changes
    assert len(v) == 12, f"unknown field in {changes}"
    return struct.pack("<QQQIIQQQQIIQ", *v.values()).ljust(PAGE, b"\0")


def sigstruct_bytes(mrenclave: bytes, modulus: bytes = MODULUS, product: int = 7, version: int = 3) -> bytes:
    """A SIGSTRUCT with the fields that are used."""
    data = bytearray(1808)
    data[128:512] = modulus
    data[960:992] = mrenclave
    data[1024:1028] = struct.pack("<HH", product, version)
    return bytes(data)


@dataclass
class Enclave:
    """What the operating system knows of an enclave that it builds."""

    secs: int  # linear address
    base: int
    size: int
    pages: dict[int, int] = field(default_factory=dict[int, int])  # linear address -> EPC frame
    tcs: int = 0  # linear address of the last TCS
    shared: int = 0


class World:
    """A machine, its monitor, and the operating system's allocator and page tables."""

    def __init__(self, nested: NestedFormat = NestedFormat.EPT, configuration: Configuration | None = None) -> None:
        self.layout = Layout.from_configuration(configuration or Configuration())
        self.machine = ConcreteMachine(self.layout, nested)
        self.s = self.machine.storage
        self.monitor = Monitor(self.machine)
        self.monitor.boot()
        self._next_normal = 16
        self._next_epc = self.layout.epc_first
        self.root = self.allocate()
        upper, directory = self.allocate(), self.allocate()
        self.s.memory[self.root, 256] = upper << 12 | 3
        self.s.memory[upper, 0] = directory << 12 | 3
        for i in range((self.layout.memory_end + 511) >> 9):
            self.s.memory[directory, i] = i << 21 | 0x83
        for cpu in range(self.layout.cpus):
            self.s.register[cpu, CR3] = self.root << 12

    # --- memory -------------------------------------------------------------------------------------------------------

    def allocate(self) -> int:
        """A fresh normal frame."""
        while not is_normal(self.layout, self._next_normal):
            self._next_normal += 1
        self._next_normal += 1
        return self._next_normal - 1

    def allocate_epc(self) -> int:
        """An EPC frame that was not handed out yet."""
        self._next_epc += 1
        return self._next_epc - 1

    def kernel_address(self, frame: int) -> int:
        """Where the kernel sees a frame."""
        return KERNEL + (frame << 12)

    def map_user(self, address: int, frame: int, bits: int = 7) -> None:
        """Put a 4 KiB leaf into the process's page table; bits 0 P, 1 W, 2 U."""
        table = self.root
        for level in (3, 2, 1):
            index = address >> (12 + 9 * level) & 511
            entry = self.s.memory[table, index]
            if entry == 0:
                entry = self.allocate() << 12 | 7
                self.s.memory[table, index] = entry
            table = entry >> 12
        self.s.memory[table, address >> 12 & 511] = frame << 12 | bits

    def write(self, frame: int, data: bytes, offset: int = 0) -> None:
        """Write bytes to a normal frame, directly."""
        assert is_normal(self.layout, frame)
        page = self.s.physical.page(frame)
        raw = bytearray(page.tobytes())
        raw[offset : offset + len(data)] = data
        for i in range(512):
            page[i] = int.from_bytes(raw[8 * i : 8 * i + 8], "little")

    def read(self, frame: int) -> bytes:
        """The bytes of any frame, directly."""
        return self.s.physical.page(frame).tobytes()

    def place(self, data: bytes, offset: int = 0) -> int:
        """Write bytes to a fresh normal frame; their kernel address."""
        frame = self.allocate()
        self.write(frame, data, offset)
        return self.kernel_address(frame) + offset

    def place_words(self, *words: int) -> int:
        """Write words to a fresh normal frame; their kernel address."""
        return self.place(struct.pack(f"<{len(words)}Q", *words))

    # --- calls --------------------------------------------------------------------------------------------------------

    def call(
        self, name: str, rdi: int = 0, cpu: int = 0, cpl: int | None = None, rbx: int = 0, rcx: int = 0
    ) -> Outcome:
        """Make a call by name with the privilege that it needs, or another one."""
        number = NUMBERS[name]
        s = self.s
        s.register[cpu, RAX] = number
        s.register[cpu, RDI] = rdi
        s.register[cpu, RSI] = 0
        if number >> 30 != 0:
            s.register[cpu, RBX] = rbx
            s.register[cpu, RCX] = rcx
        s.register[cpu, CPL] = (3 if number >> 30 else 0) if cpl is None else cpl
        s.register[cpu, EVENT] = 0
        return self.monitor.dispatch(cpu)

    def create(self, base: int = 0x10_0000_0000, size: int = 16 * PAGE, **changes: int) -> tuple[Outcome, Enclave]:
        """ECREATE with a SECS in a fresh frame."""
        enclave = Enclave(self.place(secs_bytes(base, size, **changes)), base, size)
        return self.call("create", enclave.secs), enclave

    def identity(self, enclave: Enclave) -> int:
        """The enclave's id."""
        return enclave.secs - KERNEL

    def add(
        self,
        enclave: Enclave,
        offset: int,
        data: bytes = b"",
        info: int = secinfo(REG, READ | WRITE),
        attributes: int = ADD | EXTEND,
        frame: int | None = None,
        source: int | None = None,
    ) -> Outcome:
        """EADD of a page at an offset from the base."""
        frame = self.allocate_epc() if frame is None else frame
        if source is None:
            source = self.allocate()
            self.write(source, data.ljust(PAGE, b"\0"))
            source <<= 12
        outcome = self.call(
            "add_page", self.new_page(enclave.secs, source, enclave.base + offset, frame << 12, info, attributes)
        )
        if outcome.code == 0:
            enclave.pages[enclave.base + offset] = frame
            if info >> 8 == TCS:
                enclave.tcs = enclave.base + offset
                self.map_user(enclave.tcs, frame)
        return outcome

    def new_page(self, secs: int, source: int, linear: int, physical: int, info: int, attributes: int) -> int:
        """A NewPageDesc, its kernel address."""
        return self.place(struct.pack("<QQQQQI", secs, source, linear, physical, self.place_words(info), attributes))

    def measured(self, enclave: Enclave) -> bytes:
        """The MRENCLAVE that the monitor would find now."""
        return struct.pack("<4Q", *self.machine.measure_final(self.identity(enclave)))

    def initialize(self, enclave: Enclave, mrenclave: bytes | None = None) -> Outcome:
        """EINIT, by default with the right MRENCLAVE."""
        sigstruct = self.place(sigstruct_bytes(self.measured(enclave) if mrenclave is None else mrenclave))
        return self.call("initialize", self.place_words(enclave.secs, sigstruct))

    def share(self, enclave: Enclave, start: int, end: int) -> Outcome:
        """SharedMemoryAdd."""
        return self.call("shared_memory_add", self.place_words(enclave.secs, start, end))

    def unshare(self, enclave: Enclave, start: int, end: int) -> Outcome:
        """SharedMemoryRemove."""
        return self.call("shared_memory_remove", self.place_words(enclave.secs, start, end))

    def enter(self, enclave: Enclave, cpu: int = 0, name: str = "enter", aep: int = AEP) -> Outcome:
        """EENTER (or ERESUME), both steps."""
        outcome = self.call(name, cpu=cpu, rbx=enclave.tcs, rcx=aep)
        return self.monitor.complete_entry(cpu) if outcome.pending else outcome

    def remove(self, enclave: Enclave, frames: Sequence[int], batch: int | None = None) -> tuple[Outcome, list[int]]:
        """RemovePagesAtDestroy, and the signed results."""
        pages = self.place_words(*(frame << 12 for frame in frames))
        results = self.place(b"")
        batch = len(frames) if batch is None else batch
        outcome = self.call("remove_pages_at_destroy", self.place_words(enclave.secs, pages, results, batch))
        return outcome, list(struct.unpack(f"<{len(frames)}q", self.read((results - KERNEL) >> 12)[: 8 * len(frames)]))

    def destroy(self, enclave: Enclave) -> None:
        """The whole way out; no thread may be inside."""
        assert self.call("prepare_destroy", enclave.secs).code == 0
        assert self.remove(enclave, list(enclave.pages.values()))[0].code == 0
        assert self.call("finish_destroy", enclave.secs).code == 0

    def build(self, base: int = 0x10_0000_0000) -> Enclave:
        """An initialised enclave: code at 0, data at 1, two SSA frames at 2 and 3, TCS at 4."""
        outcome, enclave = self.create(base)
        assert outcome.code == 0
        assert self.add(enclave, 0, b"\x90code", secinfo(REG, READ | EXECUTE)).code == 0
        for page in (1, 2, 3):
            assert self.add(enclave, page * PAGE, bytes([page])).code == 0
        assert self.add(enclave, 4 * PAGE, tcs_bytes(), secinfo(TCS, 0)).code == 0
        assert self.initialize(enclave).code == 0
        return enclave

    # --- what a CPU does by itself ------------------------------------------------------------------------------------

    def load(self, cpu: int, address: int) -> int | None:
        """A load by whoever runs on the CPU, with one retry after a fault of an enclave; None if it is denied."""
        access = mmu.load(self.machine, cpu, self._cached(cpu, address, READ), address >> 3 & 511)
        return access.value if access.granted else None

    def fetch(self, cpu: int, address: int) -> int | None:
        """An instruction fetch."""
        access = mmu.fetch(self.machine, cpu, self._cached(cpu, address, EXECUTE), address >> 3 & 511)
        return access.value if access.granted else None

    def store(self, cpu: int, address: int, value: int) -> bool:
        """A store."""
        return mmu.store(self.machine, cpu, self._cached(cpu, address, WRITE), address >> 3 & 511, value)

    def _cached(self, cpu: int, address: int, wanted: int) -> int:
        page = address >> 12 & (1 << 36) - 1
        for _ in range(2):
            if self.s.tlb_rights[cpu, page] & wanted or mmu.fill(self.machine, cpu, page).rights & wanted:
                return page
            if self.s.cpu_mode[cpu] != 3 or not self.monitor.enclave_fault(cpu, address, wanted):
                return page
        return page

    def event(self, cpu: int = 0) -> tuple[int, int]:
        """Vector and error code of the event that the monitor injected; (-1, 0) if none."""
        event = self.s.register[cpu, EVENT]
        return (event & 0xFF, event >> 32) if event else (-1, 0)

    def set_ip(self, value: int, cpu: int = 0) -> None:
        """Set RIP."""
        self.s.register[cpu, RIP] = value
