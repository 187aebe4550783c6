"""Each refusal of each call, with its code, how it reaches the caller, and that it changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from impl.machine.registers import CR2, EVENT, RAX, RIP
from impl.monitor.codes import Code
from impl.monitor.dispatch import CALLS, Call
from tests.impl.refusing import refused
from tests.impl.world import (
    ADD,
    EXTEND,
    KERNEL,
    PAGE,
    REG,
    TCS,
    Enclave,
    World,
    secinfo,
    tcs_bytes,
)

BASE = 0x10_0000_0000
BAD_POINTERS = [
    (0x1000, Code.PAGE_FAULT),  # nothing there
    (KERNEL + (1 << 39), Code.PAGE_FAULT),  # nothing there, other level
    (0x0000_8000_0000_0000, Code.GENERAL_PROTECTION),  # not canonical
    (KERNEL + 0x10004, Code.GENERAL_PROTECTION),  # not aligned
    (KERNEL + 0x10FFC, Code.GENERAL_PROTECTION),
]


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("call", [c for c in CALLS if c.supervisor], ids=lambda c: c.name)
@pytest.mark.parametrize(("address", "code"), BAD_POINTERS)
def test_bad_descriptor_pointers(world: World, call: Call, address: int, code: Code) -> None:
    refused(world, code, lambda: world.call(call.name, address))
    if code is Code.PAGE_FAULT:
        assert world.s.register[0, CR2] == address


@pytest.mark.parametrize("call", [c for c in CALLS if c.supervisor], ids=lambda c: c.name)
def test_descriptors_in_reserved_memory(world: World, call: Call) -> None:
    for frame in (world.layout.epc_first, world.layout.pool_first, world.layout.zero_frame, world.layout.device_first):
        address = world.kernel_address(frame)
        refused(world, Code.GENERAL_PROTECTION, lambda a=address: world.call(call.name, a))


@pytest.mark.parametrize("call", CALLS, ids=lambda c: c.name)
def test_wrong_privilege(world: World, call: Call) -> None:
    wrong = 3 if call.supervisor else 0
    refused(world, Code.INVALID_OPCODE, lambda: world.call(call.name, cpl=wrong))


def test_exit_outside_an_enclave(world: World) -> None:
    refused(world, Code.INVALID_OPCODE, lambda: world.call("exit"))


def test_unknown_calls_are_ignored(world: World) -> None:
    world.s.register[0, RAX] = 0x99
    world.set_ip(0x5000)
    assert world.monitor.dispatch(0).code is Code.IGNORED
    assert (world.s.register[0, RAX], world.s.register[0, RIP], world.s.register[0, EVENT]) == (0x99, 0x5003, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 0}, {"size": 2048}, {"size": 3 * PAGE}, {"size": 1 << 48},
        {"base": BASE + PAGE}, {"base": (1 << 47) - PAGE}, {"base": 1 << 47}, {"base": (1 << 64) - 16 * PAGE},
        {"ms_buf_size": 0}, {"ms_buf_size": 100}, {"xfrm": 1}, {"xfrm": 7}, {"ssa_frame_size": 0},
        {"ssa_frame_size": 2}, {"misc": 1}, {"attributes": 1}, {"attributes": 2}, {"attributes": 0x14}, {"reserved": 1},
        {"reserved2": 1 << 63},
    ],
    ids=str,
)  # fmt: skip
def test_create(world: World, changes: dict[str, int]) -> None:
    values = {"base": BASE, "size": 16 * PAGE} | changes
    refused(world, Code.EINVAL, lambda: world.create(**values)[0])


def test_create_twice_and_without_memory(world: World) -> None:
    _, enclave = world.create()
    refused(world, Code.EEXIST, lambda: world.call("create", enclave.secs))
    while world.s.pool_free[()] >= 5:
        world.machine.pool_take(2)
    refused(world, Code.ENOMEM, lambda: world.create()[0])


def test_create_for_nobody(world: World) -> None:
    world.write(0, world.read((world.create()[1].secs - KERNEL) >> 12))
    refused(world, Code.EINVAL, lambda: world.call("create", KERNEL))


@pytest.mark.parametrize(
    "options",
    [
        {"attributes": EXTEND}, {"attributes": 0}, {"offset": 8}, {"offset": -PAGE}, {"offset": 16 * PAGE},
        {"offset": PAGE},
        {"info": secinfo(0, 3)}, {"info": secinfo(3, 3)}, {"info": secinfo(4, 3)}, {"info": secinfo(REG, 0x83)},
        {"info": secinfo(REG, 0x0B)}, {"info": secinfo(REG, 3) | 1 << 16}, {"info": secinfo(REG, 2)},
        {"info": secinfo(TCS, 1), "data": tcs_bytes()}, {"frame": 20}, {"source": 0x3001},
    ],
    ids=lambda o: str({k: v for k, v in o.items() if k != "data"}),
)  # fmt: skip
def test_add_page(world: World, options: dict[str, Any]) -> None:
    _, enclave = world.create()
    assert world.add(enclave, PAGE).code == 0
    arguments: dict[str, Any] = {"offset": 2 * PAGE} | options
    refused(world, Code.EINVAL, lambda: world.add(enclave, **arguments))


def test_add_page_frames(world: World) -> None:
    layout = world.layout
    _, enclave = world.create()
    assert world.add(enclave, 0).code == 0
    used = enclave.pages[BASE]
    for frame in (used, layout.epc_first - 1, layout.epc_end, layout.zero_frame, layout.memory_end, (1 << 52) - 1):
        refused(world, Code.EINVAL, lambda f=frame: world.add(enclave, PAGE, frame=f))
    for source in (used, layout.pool_first, layout.zero_frame, layout.device_first, layout.memory_end, (1 << 52) - 1):
        refused(world, Code.EINVAL, lambda f=source: world.add(enclave, PAGE, source=f << 12))


def test_add_page_at_an_unaligned_physical_address(world: World) -> None:
    _, enclave = world.create()
    address = (world.allocate_epc() << 12) + 8
    descriptor = world.new_page(enclave.secs, world.allocate() << 12, BASE, address, secinfo(REG, 3), ADD)
    refused(world, Code.EINVAL, lambda: world.call("add_page", descriptor))


@pytest.mark.parametrize(
    "changes",
    [
        {"stage": 1}, {"aep": 1}, {"flags": 1}, {"cssa": 1}, {"nssa": 0}, {"ossa": 8}, {"ossa": 16 * PAGE},
        {"oentry": 16 * PAGE}, {"ofs": 16 * PAGE}, {"ogs": 1 << 63}, {"reserved": 1},
    ],
    ids=str,
)  # fmt: skip
def test_add_page_with_a_bad_tcs(world: World, changes: dict[str, int]) -> None:
    _, enclave = world.create()
    refused(world, Code.EINVAL, lambda: world.add(enclave, 0, tcs_bytes(**changes), secinfo(TCS, 0)))
    assert world.add(enclave, 0, tcs_bytes(), secinfo(TCS, 0)).code == 0


def test_add_page_life_cycle_and_memory(world: World) -> None:
    enclave = world.build()
    refused(world, Code.EBUSY, lambda: world.add(enclave, 5 * PAGE))
    missing = Enclave(world.place(b""), BASE, 16 * PAGE)
    refused(world, Code.EFAULT, lambda: world.add(missing, 0))
    _, other = world.create()
    while world.s.pool_free[()] >= 15:
        world.machine.pool_take(2)
    refused(world, Code.ENOMEM, lambda: world.add(other, 0))


@pytest.mark.parametrize(("address", "code"), BAD_POINTERS)
def test_add_page_secinfo_and_secs_pointers(world: World, address: int, code: Code) -> None:
    _, enclave = world.create()
    words = (enclave.secs, world.allocate() << 12, BASE, world.allocate_epc() << 12, address, ADD)
    if address & 7 == 0 or code is not Code.PAGE_FAULT:
        refused(world, code, lambda: world.call("add_page", world.place_words(*words)))
        refused(world, code, lambda: world.call("add_page", world.place_words(address, *words[1:])))


def test_initialize(world: World) -> None:
    _, enclave = world.create()
    assert world.add(enclave, 0).code == 0
    refused(world, Code.EINVAL, lambda: world.initialize(enclave, bytes(32)))
    right = bytearray(world.measured(enclave))
    right[31] ^= 0x80
    refused(world, Code.EINVAL, lambda: world.initialize(enclave, bytes(right)))
    assert world.initialize(enclave).code == 0
    refused(world, Code.EBUSY, lambda: world.initialize(enclave, bytes(32)))
    refused(world, Code.EFAULT, lambda: world.initialize(Enclave(world.place(b""), 0, 0), bytes(32)))


def test_initialize_with_an_unmeasured_page(world: World) -> None:
    _, enclave = world.create()
    assert world.add(enclave, 0, attributes=ADD).code == 0
    refused(world, Code.EINVAL, lambda: world.initialize(enclave))


def test_initialize_with_a_sigstruct_across_pages(world: World) -> None:
    _, enclave = world.create()
    descriptor = world.place_words(enclave.secs, world.place(b"", 0) + PAGE - 1800)
    refused(world, Code.GENERAL_PROTECTION, lambda: world.call("initialize", descriptor))


def test_destroy(world: World) -> None:
    enclave = world.build()
    missing = world.place(b"")
    for name in ("prepare_destroy", "finish_destroy"):
        refused(world, Code.EFAULT, lambda n=name: world.call(n, missing))
    refused(world, Code.EINVAL, lambda: world.call("finish_destroy", enclave.secs))
    refused(world, Code.EINVAL, lambda: world.remove(enclave, list(enclave.pages.values()))[0])
    assert world.call("prepare_destroy", enclave.secs).code == 0
    assert world.call("prepare_destroy", enclave.secs).code == 0
    refused(world, Code.EBUSY, lambda: world.call("finish_destroy", enclave.secs))
    refused(world, Code.EINVAL, lambda: world.remove(enclave, [], batch=513)[0])
    refused(world, Code.EINVAL, lambda: world.remove(Enclave(missing, 0, 0), [])[0])


def test_remove_pages_arrays(world: World) -> None:
    enclave = world.build()
    assert world.call("prepare_destroy", enclave.secs).code == 0
    good, late = world.place(b""), world.place(b"") + PAGE - 8
    world.map_user(0x4000_0000, (good - KERNEL) >> 12, bits=5)
    for pages, results, batch, code in (
        (late, good, 2, Code.EINVAL),
        (good, late, 2, Code.EINVAL),
        (good + 4, good, 1, Code.GENERAL_PROTECTION),
        (good, 0x4000_0000, 1, Code.PAGE_FAULT),  # not writable
        (good, world.kernel_address(world.layout.epc_first), 1, Code.GENERAL_PROTECTION),
    ):
        descriptor = world.place_words(enclave.secs, pages, results, batch)
        refused(world, code, lambda d=descriptor: world.call("remove_pages_at_destroy", d))


def test_remove_pages_one_by_one(world: World) -> None:
    enclave, other = world.build(), world.build(BASE << 1)
    assert world.call("prepare_destroy", enclave.secs).code == 0
    mine, foreign = enclave.pages[BASE + PAGE], other.pages[other.base]
    free, pool = world.allocate_epc(), world.layout.pool_first
    outcome, results = world.remove(enclave, [mine, foreign, free, pool, 16, mine, world.layout.memory_end])
    assert outcome.code == 0
    assert results == [0, -22, -22, -22, -22, -22, -22]
    assert world.machine.memory_is_zero(mine, 0, 512)


def test_shared_memory_add(world: World) -> None:
    _, early = world.create(BASE << 2)
    refused(world, Code.EINVAL, lambda: world.share(early, 0x1000, 0x2000))
    refused(world, Code.EFAULT, lambda: world.share(Enclave(world.place(b""), 0, 0), 0x1000, 0x2000))
    enclave = world.build()
    assert world.share(enclave, 0x10000, 0x20000).code == 0
    end = BASE + 16 * PAGE
    for start, stop in (
        (0x1000, 0x1000), (0x2000, 0x1000), (0x1001, 0x3000), (0x1000, 0x3001), (1 << 47, (1 << 47) + PAGE),
        ((1 << 64) - PAGE, 0), (BASE, BASE + PAGE), (end - PAGE, end + PAGE), (BASE - PAGE, end + PAGE),
        (0x1F000, 0x21000), (0xF000, 0x11000), (0x11000, 0x12000), (0xF000, 0x30000),
        (0x100000, 0x100000 + (PAGE << 16) + PAGE),
    ):  # fmt: skip
        refused(world, Code.EINVAL, lambda a=start, b=stop: world.share(enclave, a, b))
    for start in (0x20000, 0x30000, end):
        assert world.share(enclave, start, start + PAGE).code == 0
    refused(world, Code.ENOMEM, lambda: world.share(enclave, 0x1000, 0x2000))


def test_shared_memory_remove(world: World) -> None:
    enclave = world.build()
    assert world.share(enclave, 0x10000, 0x20000).code == 0
    for start, stop in ((0x10000, 0x11000), (0x11000, 0x20000), (0x10000, 0x20001), (0, 0), (1 << 63, 0x20000)):
        refused(world, Code.EINVAL, lambda a=start, b=stop: world.unshare(enclave, a, b))
    refused(world, Code.EFAULT, lambda: world.unshare(Enclave(world.place(b""), 0, 0), 0x10000, 0x20000))
    assert world.enter(enclave, cpu=1).code == 0
    refused(world, Code.EENCLAVEACT, lambda: world.unshare(enclave, 0x10000, 0x20000))
