"""The representation invariant as a checker: true along a life cycle on the concrete monitor, false when damaged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from impl.machine.layout import Configuration
from impl.machine.primitives import NestedFormat as MonitorFormat
from refinement.bits import NestedFormat
from refinement.invariants.check import check
from tests.impl.world import PAGE, World

SMALL = Configuration(
    memory_frames=512, reserved_first=256, pool_frames=64, epc_frames=16, device_first=500, device_end=512, cpus=2
)
SHARED = 0x5000_0000


def names(world: World, deep: bool = False) -> set[str]:
    return {v.clause for v in check(world.s, NestedFormat[world.machine.nested_format.name], deep)}


@pytest.mark.parametrize("form", list(MonitorFormat))
def test_it_holds_along_a_life_cycle(form: MonitorFormat) -> None:
    world = World(form, SMALL)
    assert names(world, deep=True) == set()
    enclave = world.build()
    assert names(world) == set()
    assert world.share(enclave, SHARED, SHARED + 2 * PAGE).code == 0
    world.map_user(SHARED, world.allocate())
    assert world.enter(enclave).code == 0
    assert world.store(0, SHARED, 5)
    assert world.load(0, enclave.base + PAGE) is not None
    assert names(world) == set()
    world.monitor.interrupt(0, 32)
    assert names(world) == set()
    assert world.unshare(enclave, SHARED, SHARED + 2 * PAGE).code == 0
    assert names(world) == set()
    world.destroy(enclave)
    assert names(world) == set()


def damage_epcm_owner(world: World) -> None:
    world.s.epcm[world.layout.epc_first, 2] = 0x123458


def damage_scrubbing(world: World) -> None:
    world.s.memory[world.layout.epc_end - 1, 7] = 1


def damage_entry(world: World) -> None:
    root = next(f for f, level in world.s.sparse["table_level"].items() if level == 4)
    assert isinstance(root, int)
    world.s.memory[root, 300] = 0x1007


def damage_list(world: World) -> None:
    world.s.page_position[world.layout.epc_first] = 3


def damage_mode(world: World) -> None:
    world.s.cpu_mode[1] = 3


def damage_tlb(world: World) -> None:
    world.s.tlb_rights[1, 5] = 9
    world.s.tlb_frame[1, 5] = world.layout.epc_first


def damage_busy(world: World) -> None:
    world.s.busy[world.layout.epc_first + 4] = 1


def damage_shared(world: World) -> None:
    enclave = 0x123458
    world.s.shared_end[enclave, 0] = 9


def damage_count(world: World) -> None:
    world.s.pool_free[()] += 1


def damage_ownership(world: World) -> None:
    root = next(f for f, level in world.s.sparse["table_level"].items() if level == 4)
    world.s.pool_owner[root] = 0


DAMAGES: list[tuple[Callable[[World], None], str]] = [
    (damage_epcm_owner, "EPCM"),
    (damage_scrubbing, "SCRUBBED"),
    (damage_entry, "ENTRY"),
    (damage_list, "EPCM-LIST"),
    (damage_mode, "CPU"),
    (damage_tlb, "TLB"),
    (damage_busy, "BUSY"),
    (damage_shared, "SHARED"),
    (damage_count, "POOL"),
    (damage_ownership, "POOL"),
]


@pytest.mark.parametrize(("damage", "clause"), DAMAGES)
def test_damage_is_seen(damage: Callable[[World], None], clause: str) -> None:
    world = World(configuration=SMALL)
    world.build()
    damage(world)
    assert clause in names(world, deep=clause == "ENTRY")
