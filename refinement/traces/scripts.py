"""The saved traces of `traces/`, as programs: `python -m refinement.traces.scripts` writes them anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from impl.machine.primitives import NestedFormat
from impl.machine.registers import CR3
from refinement.traces.author import (
    AEP,
    APPLICATION,
    BATCH,
    DATA_PAGE,
    DESCRIPTOR,
    NUMBERS,
    SECOND_TCS,
    SHARED_BASE,
    SIGSTRUCT,
    SOURCE,
    SSA_PAGE,
    TCS_PAGE,
    Author,
    base_of,
)
from refinement.traces.operating_system import ROOT, UNMAPPED, kernel_address
from refinement.traces.replay import Replay, boot
from refinement.traces.trace import STANDARD, Change, Step
from refinement.traces.world import ADD, PAGE, READ, REG, TCS, WRITE, secinfo, tcs_bytes

FOLDER: Final = Path(__file__).resolve().parents[2] / "traces"


def life_cycle(a: Author) -> None:
    """One enclave from ECREATE to FinishDestroy; its frames then serve another one."""
    a.build(0)
    a.set(0, r4=0x5000, r5=0x6000, r8=7)
    a.run(0)
    a.access(0, base_of(0), "fetch")
    a.access(0, base_of(0) + DATA_PAGE * PAGE, "store", 3, 0x5EC2E7)
    a.access(0, base_of(0) + DATA_PAGE * PAGE, "load", 3)
    a.set(0, r3=0x40_0000)
    a.call("exit", rbx=0x40_0000)
    a.destroy(0)
    a.build(1)
    a.run(1)
    a.access(0, base_of(1) + DATA_PAGE * PAGE, "load", 3)
    a.call("exit", rbx=0x40_0000)


def interrupt_and_resume(a: Author) -> None:
    """Interrupts, exceptions and ERESUME; the enclave writes to its SSA frames in between."""
    a.build(0)
    a.run(0)
    a.set(0, r4=0x1234, r9=0x5EC2E7, r16=base_of(0) + 0x20)
    a.act("interrupt", cpu=0, vector=32)
    a.run(0)
    a.access(0, base_of(0) + SSA_PAGE * PAGE, "store", 489, 0xFFFF)
    a.act("trap", cpu=0, vector=6)
    a.enter(0)
    for vector in (3, 13):
        a.run(0, name="resume")
        a.act("trap", cpu=0, vector=vector)
    a.run(0, name="resume")
    a.act("fault", cpu=0, address=base_of(0) + 7 * PAGE + 5, access=1)
    a.run(0, name="resume")
    a.act("fault", cpu=0, address=base_of(0) + 4 * PAGE, access=2)
    a.act("interrupt", cpu=0, vector=33)
    a.run(0, name="resume")
    a.run(0, 1)


def shared_memory(a: Author) -> None:
    """Two threads of an enclave share memory with the application; ranges are added, filled, refused and removed."""
    a.build(0, second=True)
    a.map_user(SHARED_BASE, APPLICATION)
    a.map_user(SHARED_BASE + PAGE, APPLICATION)
    a.map_user(SHARED_BASE + 2 * PAGE, a.free[0])
    a.map_user(SHARED_BASE + 3 * PAGE, APPLICATION + 1, 5)
    a.share(0, SHARED_BASE, SHARED_BASE + 4 * PAGE)
    a.share(0, SHARED_BASE + 3 * PAGE, SHARED_BASE + 5 * PAGE)
    a.share(0, base_of(0), base_of(0) + PAGE)
    a.run(0)
    a.act("fault", cpu=0, address=SHARED_BASE + 8, access=2)
    a.access(0, SHARED_BASE, "store", 1, 0xABC)
    a.share(0, SHARED_BASE, SHARED_BASE + 4 * PAGE, "shared_memory_remove", cpu=1)
    for page in (1, 2, 3):  # a frame for two pages, EPC memory, memory that the application may only read
        a.act("fault", cpu=0, address=SHARED_BASE + page * PAGE, access=1)
        a.run(0, name="resume")
    a.act("fault", cpu=0, address=SHARED_BASE + 3 * PAGE, access=4)
    a.run(0, 1)
    a.act("interrupt", cpu=1, vector=34)
    a.act("dma_read", frame=APPLICATION, index=1)
    for slot in range(1, 4):
        a.share(0, SHARED_BASE + 8 * slot * PAGE, SHARED_BASE + (8 * slot + 1) * PAGE)
    a.share(0, SHARED_BASE + 64 * PAGE, SHARED_BASE + 65 * PAGE)
    a.share(0, SHARED_BASE, SHARED_BASE + 3 * PAGE, "shared_memory_remove")
    a.share(0, SHARED_BASE, SHARED_BASE + 4 * PAGE, "shared_memory_remove")
    a.destroy(0)


def destroy_race(a: Author) -> None:
    """Destruction comes between the two steps of entries; the other enclave runs on."""
    a.build(0)
    a.build(1)
    a.run(1, 1)
    a.enter(0)
    a.call("prepare_destroy", 1, rdi=a.secs(0))
    a.act("interrupt", cpu=1, vector=35)
    a.call("prepare_destroy", 1, rdi=a.secs(0))
    a.remove(0, a.frames_of(0), cpu=1)
    a.act("complete", cpu=0)
    a.enter(0)
    a.call("finish_destroy", rdi=a.secs(0))
    a.call("prepare_destroy", rdi=a.secs(0))
    a.call("finish_destroy", rdi=a.secs(0))
    frames = a.frames_of(0)
    a.remove(0, [frames[0], frames[0], a.frames_of(1)[0], APPLICATION])
    a.write(BATCH, (frames[1] << 12 | 8,))
    a.call("remove_pages_at_destroy", rdi=kernel_address(DESCRIPTOR))
    a.remove(0, frames, batch=513)
    a.destroy(0)
    a.enter(1, 1, "resume")
    a.act("complete", cpu=1)
    a.call("exit", 1, rbx=1 << 63)
    a.enter(1, 1, "resume")
    a.act("complete", cpu=1)
    a.call("create", 1)
    a.do(Step("call", {"cpu": 0, "number": 0x7777, "cpl": 0}))


def nasty_pointers(a: Author) -> None:
    """Every call with pointers that lead nowhere, into EPC, into the monitor, and with the wrong privilege."""
    a.create(0)
    unmapped, crooked, epc = UNMAPPED, kernel_address(DESCRIPTOR) + 4, kernel_address(a.free[0])
    monitor = kernel_address(a.replay.machine.layout.monitor_first)
    for name, number in NUMBERS.items():
        if number < 1 << 31:
            for pointer in (unmapped, crooked, epc, monitor, 1 << 63):
                a.call(name, rdi=pointer)
            a.call(name, cpl=3, rdi=a.secs(0))
        else:
            for pointer in (unmapped, 1 << 63):
                a.call(name, rbx=pointer, rcx=AEP)
            a.call(name, rbx=base_of(0), rcx=1 << 63)
            a.call(name, cpl=0, rbx=base_of(0))
    missing = a.secs(5)
    a.write(DESCRIPTOR, (missing, kernel_address(SIGSTRUCT), 0, 0, 0, 0))
    for name in ("add_page", "initialize", "shared_memory_add", "shared_memory_remove", "remove_pages_at_destroy"):
        a.call(name, rdi=kernel_address(DESCRIPTOR))
    for name in ("prepare_destroy", "finish_destroy"):
        a.call(name, rdi=missing)
    a.call("finish_destroy", rdi=a.secs(0))
    for sigstruct in (unmapped, 1 << 63):
        a.write(DESCRIPTOR, (a.secs(0), sigstruct))
        a.call("initialize", rdi=kernel_address(DESCRIPTOR))


def bad_pages(a: Author) -> None:
    """EADD and EINIT refused for every reason, memory that changes between reads, and the pool running dry."""
    a.create(0)
    a.create(0)
    a.create(1, size=3 * PAGE)
    free, code = a.free[0], secinfo(REG, READ)
    wrong: tuple[dict[str, int], ...] = (
        {"attributes": 2}, {"linear": base_of(0) + 8}, {"linear": base_of(1)}, {"physical": free << 12 | 8},
        {"physical": APPLICATION << 12}, {"source": SOURCE << 12 | 8}, {"source": free << 12},
        {"source": (1 << 64) - PAGE}, {"pointer": UNMAPPED}, {"pointer": 1 << 63},
    )  # fmt: skip
    for fields in wrong:
        a.add(0, 0, info=code, fields=fields)
    for info in (secinfo(0, READ), secinfo(3, READ), secinfo(REG, WRITE), secinfo(TCS, READ), code | 8, code | 1 << 20):
        a.add(0, 0, info=info)
    for changed in (
        {"cssa": 1},
        {"nssa": 0},
        {"flags": 1},
        {"ossa": 8},
        {"ossa": 1 << 40},
        {"aep": 1},
        {"reserved": 1},
    ):
        a.add(0, 4, tcs_bytes(**changed), secinfo(TCS, 0))
    a.add(0, 0, info=code, changes=(Change(40, SOURCE, 511, 0xBAD), Change(3, DESCRIPTOR, 2, base_of(1))))
    a.add(0, 0, info=code)
    a.add(0, 1, info=code, frame=a.frames_of(0)[0])
    a.initialize(0, bytes(32))
    a.share(0, SHARED_BASE, SHARED_BASE + PAGE)
    a.add(0, 4, tcs_bytes(nssa=3, ossa=0), secinfo(TCS, 0))
    a.initialize(0)
    a.initialize(0)
    a.add(0, 2)
    a.enter(0)
    for slot in (1, 2, 3, 4, 5, 6):
        a.create(slot)
        a.add(slot, 0, attributes=ADD)
    a.initialize(1)
    a.create(1, reserved=1)
    a.access(1, kernel_address(APPLICATION), "store", 5, 9)
    a.access(1, kernel_address(a.free[0]), "store", 5, 9)
    a.access(1, kernel_address(a.free[0]))
    a.act("evict", cpu=1, page=kernel_address(APPLICATION) >> 12 & (1 << 36) - 1)


def denied(a: Author) -> None:
    """Resumes that are refused, accesses without a translation, and devices at EPC memory."""
    a.build(0)
    a.enter(0, name="resume")
    a.run(0)
    a.enter(0, 1, "resume")
    a.act("dma_read", frame=a.free[0], index=0)
    a.write(a.free[0], (1,))
    for action in ("load", "fetch"):
        a.access(1, UNMAPPED, action)
    a.act("interrupt", cpu=0, vector=36)
    a.call("prepare_destroy", rdi=a.secs(0))
    a.enter(0, name="resume")


def residue(a: Author) -> None:
    """What entries and exits must not take along: registers, flags, extended state, translations."""
    a.build(0, second=True)
    a.access(0, kernel_address(APPLICATION))
    a.run(0)
    a.set(0, r15=0x5EC2E7, r17=(1 << 64) - 1)
    a.act("interrupt", cpu=0, vector=33)
    a.enter(0, 1, page=SECOND_TCS)
    a.act("complete", cpu=1)
    a.access(1, base_of(0) + SSA_PAGE * PAGE, "store", 20, 0x5EC2E7)
    a.access(1, base_of(0) + SSA_PAGE * PAGE, "store", 64, 3)
    a.call("exit", 1, rbx=0x40_0000)
    a.run(0, name="resume")
    a.act("interrupt", cpu=0, vector=34)


def near_misses(a: Author) -> None:
    """Calls that are wrong by one bit or one frame, and what the normal VM's tables must not lead to."""
    y = a.replay.machine.layout
    a.create(2, base=1 << 47)
    a.create(1)
    a.add(1, DATA_PAGE)
    a.add(1, DATA_PAGE)
    a.add(1, SSA_PAGE, frame=y.epc_end)
    a.add(1, SSA_PAGE, fields={"source": a.free[0] << 12})
    a.add(1, TCS_PAGE, tcs_bytes(), secinfo(TCS, READ))
    a.call("enter", 1, rbx=kernel_address(APPLICATION), rcx=AEP)
    a.set(1, **{f"r{CR3}": y.zero_frame << 12})
    a.create(2, 1)
    a.set(1, **{f"r{CR3}": ROOT << 12})
    a.build(0)
    a.share(0, SHARED_BASE, SHARED_BASE + PAGE)
    a.map_user(SHARED_BASE, y.zero_frame)
    a.run(0)
    a.act("fault", cpu=0, address=SHARED_BASE, access=1)
    a.create(2)
    for page in (SSA_PAGE, SSA_PAGE + 1):
        a.add(2, page)
    a.add(2, TCS_PAGE, tcs_bytes(nssa=1, ossa=SSA_PAGE * PAGE), secinfo(TCS, 0))
    a.initialize(2)
    a.run(2, 1)
    a.act("interrupt", cpu=1, vector=35)
    a.enter(2, 1)


SCRIPTS: Final[Mapping[str, tuple[Callable[[Author], None], NestedFormat]]] = {
    "life-cycle": (life_cycle, NestedFormat.EPT),
    "interrupt-and-resume": (interrupt_and_resume, NestedFormat.NPT),
    "shared-memory": (shared_memory, NestedFormat.EPT),
    "destroy-race": (destroy_race, NestedFormat.NPT),
    "nasty-pointers": (nasty_pointers, NestedFormat.EPT),
    "bad-pages": (bad_pages, NestedFormat.EPT),
    "denied": (denied, NestedFormat.EPT),
    "residue": (residue, NestedFormat.NPT),
    "near-misses": (near_misses, NestedFormat.NPT),
}


def main() -> None:
    """Write every saved trace."""
    for name, (script, nested) in SCRIPTS.items():
        author = Author(Replay(boot(nested, STANDARD)))
        script(author)
        author.trace((script.__doc__ or "").strip()).save(FOLDER / f"{name}.json")


if __name__ == "__main__":
    main()
