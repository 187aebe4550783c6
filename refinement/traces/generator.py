"""A nasty operating system, its enclaves and devices, as choices of Hypothesis.

Most choices make sense, so that deep states are reached; about a third have one thing wrong with them: a pointer, a
frame that is aliased or not EPC, the order, the CPU, the privilege, the enclave, memory that changes between reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from hypothesis import strategies as st

from impl.machine.registers import CR3
from refinement.traces.author import (
    AEP,
    APPLICATION,
    BATCH,
    CODE_PAGE,
    DESCRIPTOR,
    ENCLAVE_PAGES,
    NUMBERS,
    RESULTS,
    SECOND_TCS,
    SECS,
    SHARED_BASE,
    SOURCE,
    SSA_PAGE,
    TCS_PAGE,
    Author,
    base_of,
)
from refinement.traces.operating_system import ROOT, UNMAPPED, USER_TABLE, kernel_address, user_entry
from refinement.traces.trace import Change, Step
from refinement.traces.world import ADD, EXECUTE, EXTEND, PAGE, READ, REG, TCS, WRITE, secinfo, tcs_bytes

T = TypeVar("T")
Draw = Callable[[st.SearchStrategy[T]], T]
SLOTS: Final = (0, 1, 2)
INFOS: Final = (
    secinfo(REG, READ | WRITE), secinfo(REG, READ | EXECUTE), secinfo(REG, WRITE), secinfo(TCS, READ), secinfo(3, READ),
)  # fmt: skip
PAGES: Final = 1 << 36


class Adversary:
    """Draws one deed after the other and does it."""

    def __init__(self, author: Author, draw: Draw[object]) -> None:
        self.author = author
        self._draw = draw
        self.machine = author.replay.machine

    def among(self, *choices: T) -> T:
        """One of these; the first is the simplest."""
        chosen = self._draw(st.sampled_from(range(len(choices))))
        assert isinstance(chosen, int)
        return choices[chosen]

    def rarely(self) -> bool:
        """True in one of six cases."""
        return self.among(False, False, False, False, False, True)

    def frame(self) -> int:
        """A frame of any class."""
        y = self.machine.layout
        return self.among(
            APPLICATION, y.epc_first, y.epc_first + 1, y.zero_frame, y.pool_first, y.monitor_first, y.staging_first,
            y.device_first, y.memory_end, USER_TABLE, SOURCE, (1 << 40) - 1,
        )  # fmt: skip

    def pointer(self) -> int:
        """An address that is no good."""
        return self.among(
            UNMAPPED, 1 << 63, (1 << 64) - 8, kernel_address(self.frame()), kernel_address(DESCRIPTOR) + 4,
            kernel_address(DESCRIPTOR, 511), 0, base_of(0),
        )  # fmt: skip

    def changes(self) -> tuple[Change, ...]:
        """Memory that changes between the reads of a call."""
        if not self.rarely():
            return ()
        frame = self.among(DESCRIPTOR, SOURCE, BATCH, USER_TABLE, ROOT, self.frame())
        when, index = self.among(0, 1, 3, 5, 8, 12, 20, 300), self.among(0, 1, 2, 3, 256, 511)
        return (Change(when, frame & (1 << 40) - 1, index, self.among(0, 1 << 63, 0x1007, base_of(1))),)

    # --- deeds -----------------------------------------------------------------------------------------------------

    def deed(self) -> None:
        """One deed, often of a CPU that is in an enclave."""
        cpu = self.among(0, 1)
        mode = self.machine.storage.cpu_mode[cpu]
        if mode == 2 and not self.rarely():
            self.author.act("complete", cpu=cpu)
        elif mode == 3 and not self.rarely():
            self.inside(cpu)
        elif self.rarely():
            self.mischief(cpu)
        else:
            self.manage(cpu)

    def manage(self, cpu: int) -> None:
        """What brings an enclave one step further in its life, or another call."""
        a, slot = self.author, self.among(*SLOTS)
        s, enclave = self.machine.storage, a.identity(slot)
        life = s.life[enclave]
        if self.rarely():
            life = self.among(0, 1, 2, 3, 4)
        if life == 0:
            wrong = self.among({}, {}, {}, {"size": 3 * PAGE}, {"xfrm": 7}, {"reserved": 1})
            a.create(slot, cpu, self.among(None, None, None, PAGE, 1 << 47), **wrong)
        elif life == 1:
            self.build(slot, cpu)
        elif life == 2:
            self.among(self.enter, self.enter, self.enter, self.share, self.prepare)(slot, cpu)
        else:
            self.destroy(slot, cpu, life)

    def build(self, slot: int, cpu: int) -> None:
        """The next page of an enclave, or EINIT if there are enough."""
        a = self.author
        total = self.machine.storage.page_total[a.identity(slot)]
        if total >= 4 and not self.rarely():
            a.initialize(slot, bytes(32) if self.rarely() else None, cpu)
            return
        page = (SSA_PAGE, TCS_PAGE, SSA_PAGE + 1, CODE_PAGE, SECOND_TCS)[min(total, 4)]
        is_thread = page in (TCS_PAGE, SECOND_TCS)
        data = tcs_bytes(nssa=self.among(2, 2, 1, 0)) if is_thread else b"page"
        info = secinfo(TCS, 0) if is_thread else self.among(INFOS[0], INFOS[1] if page == CODE_PAGE else INFOS[0])
        if self.rarely():
            info = self.among(*INFOS)
        fields: dict[str, int] = {}
        if self.rarely():
            name = self.among("physical", "source", "linear", "pointer", "secs")
            fields[name] = self.among(self.frame() << 12, self.pointer())
        attributes = self.among(ADD | EXTEND, ADD | EXTEND, ADD | EXTEND, ADD)
        a.add(slot, page, data, info, cpu, None, attributes, self.changes(), fields)

    def enter(self, slot: int, cpu: int) -> None:
        """EENTER or ERESUME, by what the TCS needs or not."""
        page = self.among(TCS_PAGE, TCS_PAGE, SECOND_TCS)
        self.author.enter(slot, cpu, self.among("enter", "enter", "resume"), page)

    def share(self, slot: int, cpu: int) -> None:
        """Register or remove a range, with the application's memory behind it."""
        first = SHARED_BASE + self.among(0, 1, 2) * 2 * PAGE
        if self.rarely():
            first = self.among(base_of(slot), SHARED_BASE + 8, (1 << 47) - PAGE)
        else:
            frame = self.among(APPLICATION, APPLICATION + 1, APPLICATION + 2, self.frame())
            self.author.map_user(first, frame, self.among(7, 7, 7, 5))
        name = self.among("shared_memory_add", "shared_memory_add", "shared_memory_remove")
        self.author.share(slot, first, (first + 2 * PAGE) % (1 << 64), name, cpu)

    def prepare(self, slot: int, cpu: int) -> None:
        """PrepareDestroy."""
        self.author.call("prepare_destroy", cpu, changes=self.changes(), rdi=self.author.secs(slot))

    def destroy(self, slot: int, cpu: int, life: int) -> None:
        """The next step of a destruction."""
        a = self.author
        if life == 3:
            self.prepare(slot, cpu)
        elif a.frames_of(slot) and not self.rarely():
            frames = a.frames_of(slot)
            a.remove(slot, [*frames, *([self.frame() & (1 << 40) - 1] if self.rarely() else [])], cpu)
        else:
            a.call("finish_destroy", cpu, rdi=a.secs(slot))

    def inside(self, cpu: int) -> None:
        """A step of the enclave on a CPU."""
        a, storage = self.author, self.machine.storage
        base = storage.elrange_first[storage.cpu_enclave[cpu]] << 12
        address = self.among(
            base + SSA_PAGE * PAGE, base, base + TCS_PAGE * PAGE, SHARED_BASE, SHARED_BASE + PAGE, AEP,
            base + (SSA_PAGE + 1) * PAGE, base + (ENCLAVE_PAGES - 1) * PAGE,
        )  # fmt: skip
        action = self.among("load", "store", "fetch", "fault", "exit", "interrupt", "registers", "trap")
        if action in ("load", "store", "fetch"):
            a.access(cpu, address, action, self.among(0, 489, 507, 511), self.among(0, 1, (1 << 64) - 1))
        elif action == "fault":
            a.act("fault", cpu=cpu, address=address + self.among(0, 5), access=self.among(1, 2, 4))
        elif action == "exit":
            a.call(self.among("exit", "exit", "create", "enter"), cpu, rbx=self.among(0x40_0000, 1 << 63))
        elif action == "interrupt":
            a.act("interrupt", cpu=cpu, vector=self.among(32, 255, 0))
        elif action == "trap":
            a.act("trap", cpu=cpu, vector=self.among(6, 3, 13, 17))
        else:
            a.set(cpu, r1=self.among(1, 1 << 63), r17=self.among(0x202, (1 << 64) - 1), r4=7)

    def mischief(self, cpu: int) -> None:
        """What no decent operating system does."""
        a = self.author
        self.among(
            lambda: a.call(self.name(), cpu, self.among(None, 0, 3), rdi=self.pointer(), rbx=self.pointer(), rcx=AEP),
            lambda: a.access(cpu, kernel_address(self.frame() & 0xFF), self.among("load", "store", "fetch"), 1, 3),
            lambda: a.act("dma_read", frame=self.frame(), index=1),
            lambda: a.write(self.frame(), (1, 2)),
            lambda: a.map_user(base_of(0) + TCS_PAGE * PAGE, self.frame() & 0xFFFF, self.among(7, 5, 0)),
            lambda: a.write(USER_TABLE, (RESULTS << 12 | 7,), user_entry(SHARED_BASE)),
            lambda: a.set(cpu, **{f"r{CR3}": self.among(ROOT << 12, self.frame() << 12 & (1 << 52) - 1)}),
            lambda: a.set(cpu, **{f"r{CR3}": ROOT << 12}),
            lambda: a.act("evict", cpu=cpu, page=(base_of(0) >> 12) % PAGES),
            lambda: a.act("interrupt", cpu=cpu, vector=32),
            lambda: a.write(SECS, (self.among(0, 1 << 63),), self.among(0, 64, 128)),
            lambda: a.do(Step("call", {"cpu": cpu, "number": self.among(0x77, 0x15, 0x80000002), "cpl": 0})),
        )()

    def name(self) -> str:
        """Any call."""
        return self.among(*NUMBERS)
