"""The relation reads every field, notices when one is left out, and relates the booted machine to the initial state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import product

import pytest

from impl.machine.fields import FIELDS
from impl.machine.layout import Configuration
from impl.machine.primitives import NestedFormat as MonitorFormat
from impl.machine.registers import NESTED_ROOT
from model.hyperenclave.specification import HYPERENCLAVE
from model.hyperenclave.vocabulary import Cpu, Enclave, Frame, Offset, Page, Range
from model.language.logic import eq
from model.language.terms import Sort
from proofs.solver import Z3Solver
from refinement.abstraction import ENVIRONMENT
from refinement.bits import NestedFormat
from refinement.concrete import abstraction_of
from refinement.contracts.handlers import ENTRIES, preservation
from refinement.contracts.loops import LOOPS
from refinement.contracts.proofs import LEMMAS, lemma_claims
from refinement.contracts.setting import Setting
from refinement.correspondence import COMPUTED
from refinement.engine.explorer import Path
from refinement.engine.obligations import Claim
from refinement.handlers import STEPS
from refinement.opaque import Range as Bytes
from refinement.simulation import hardware
from refinement.simulation.compare import COMPARED
from refinement.simulation.prove import paths_of, setting_of, simulate
from refinement.simulation.tables import TableSetting
from tests.impl.world import World

ENTRY = {entry.name: entry for entry in ENTRIES}
OPERATION = {operation.name: operation for operation in hardware.OPERATIONS}
LIMIT = 3_000_000
REGISTERS = 29  # numbered from 0, see impl.machine.registers

FIELDS_BREAK = {
    "memory": "complete_entry/contents",
    "register": "complete_entry/contents",
    "xstate": "interrupt/contents",
    "tlb_frame": "enclave_fill/tlb_frame",
    "tlb_rights": "enclave_fill/tlb_rights",
    "io_root": "dma_load/conditions",
    "cpu_mode": "exit/registers",
    "cpu_enclave": "complete_entry/outcome",
    "cpu_tcs": "interrupt/contents",
    "cpu_ssa": "interrupt/contents",
    "cpu_resuming": "complete_entry/contents",
    "saved_register": "exit/registers",
    "life": "prepare_destroy/outcome",
    "elrange_first": "create/elrange",
    "elrange_end": "create/elrange",
    "ssa_frame_size": "create/shape",
    "attributes": "initialize/ENCLAVE",
    "xfrm": "create/ENCLAVE",
    "unextended": "initialize/outcome",
    "mrenclave": "initialize/measurement",
    "mrsigner": "finish_destroy/IDENTITY",
    "isv": "finish_destroy/ENCLAVE",
    "shared_first": "finish_destroy/SHARED",
    "shared_end": "finish_destroy/SHARED",
    "page_total": "finish_destroy/outcome",
    "page_at": "remove_page/EPCM-LIST",
    "page_position": "remove_page/EPCM-LIST",
    "thread_total": "prepare_destroy/outcome",
    "thread_at": "prepare_destroy/THREADS",
    "thread_position": "exit/THREADS",
    "busy": "exit/busy",
    "epcm": "remove_page/outcome",
    "pool_owner": "contract/create_root/1/RESULT",
    "pool_free": "create/outcome",
    "table_kind": "contract/create_root/1/TABLE",
    "table_level": "contract/create_root/1/TABLE",
    "table_prefix": "contract/map_leaf/2/TABLE",
    "table_at": "contract/create_root/1/ROOT",
}
"""Field of the monitor -> entry and claim that fail when neither invariant nor abstraction read the field."""

COMPONENTS_BREAK = {
    "frame_class": "remove_page/outcome",
    "contents": "exit/contents",
    "valid": "remove_page/outcome",
    "page_type": "add_page/page_type",
    "owner": "remove_page/outcome",
    "linear": "add_page/linear",
    "rights": "add_page/rights",
    "flags": "add_page/flags",
    "life": "prepare_destroy/outcome",
    "elrange": "create/elrange",
    "base": "create/base",
    "size": "create/size",
    "shape": "create/shape",
    "measurement": "create/measurement",
    "unextended": "create/unextended",
    "guest_leaf": "remove_page/guest_leaf",
    "guest_frame": "add_page/guest_frame",
    "guest_rights": "add_page/guest_rights",
    "nested_rights": "create/nested_rights",
    "nested_frame": "create/nested_frame",
    "guest_table": "create/outcome",
    "guest_table_owner": "create/guest_table_owner",
    "registered": "shared_memory_remove/outcome",
    "shared": "shared_memory_add/shared",
    "shared_range": "shared_memory_add/shared_range",
    "shared_page": "fault_load/shared_page",
    "busy": "exit/busy",
    "cssa": "interrupt/cssa",
    "aep": "interrupt/registers",
    "mode": "exit/outcome",
    "current": "complete_entry/outcome",
    "tcs": "exit/busy",
    "ssa": "interrupt/contents",
    "resuming": "complete_entry/contents",
    "registers": "exit/registers",
    "saved": "exit/registers",
    "tlb_rights": "enclave_fill/tlb_rights",
    "tlb_frame": "enclave_fill/tlb_frame",
    "normal_rights": "normal_fill/outcome",
    "normal_frame": "normal_fill/tlb_frame",
    "io_rights": "dma_load/outcome",
    "io_frame": "dma_load/value",
    "zero_frame": "create/outcome",
}
"""Component of the model -> entry and claim that fail when the abstraction says nothing of the component."""

OWN_CLAIM = {"result": "prepare_destroy/outcome", "device_state": "dma_load/value"}
"""Components that no field of the monitor stands for: what it answers, and what a device reads, are claims instead."""


def test_every_field_has_an_obligation_that_depends_on_it() -> None:
    assert list(FIELDS_BREAK) == list(FIELDS)


def test_every_component_has_an_obligation_that_depends_on_it() -> None:
    assert set(OWN_CLAIM) == ENVIRONMENT
    assert set(COMPARED) | ENVIRONMENT == set(HYPERENCLAVE.components)
    assert set(COMPONENTS_BREAK) == set(COMPARED)


@cache
def _paths(name: str) -> tuple[TableSetting, list[Path]]:
    """The paths of an entry or an operation of hardware with the whole relation, those that do something first."""
    if name in ENTRY:
        setting = setting_of(ENTRY[name], NestedFormat.EPT)
        return setting, paths_of(ENTRY[name], setting)[::-1]
    setting = TableSetting(NestedFormat.EPT, True, LOOPS)
    return setting, hardware.paths_of(OPERATION[name], setting)[::-1]


def _claims(name: str, fields: frozenset[str], components: frozenset[str]) -> Iterator[Claim]:
    """The claims about an entry, an operation or a contract with these fields and components left out."""
    if name.startswith("contract/"):
        (lemma,) = (x for x in LEMMAS if x.name == name.removeprefix("contract/"))
        yield from lemma_claims(lemma, Setting(NestedFormat.EPT, False, LOOPS, left_out=fields))
        return
    whole, paths = _paths(name)
    setting = replace(whole, left_out=fields, components_left_out=components)
    for path in paths:
        if name in ENTRY:
            yield from simulate(f"T9/{name}", path, setting, STEPS[name])
            yield from preservation(ENTRY[name], setting, [path])
        else:
            yield from hardware.claims_about(OPERATION[name], setting, path)


def _breaks(where: str, fields: Iterable[str] = (), components: Iterable[str] = ()) -> bool:
    """Some claim of this kind has a counterexample, and has none if nothing is left out."""
    entry, _, kind = where.rpartition("/")
    solver = Z3Solver()
    for claim in _claims(entry, frozenset(fields), frozenset(components)):
        if claim.name.endswith(f"/{kind}") and not claim.evident and solver.solve(claim.text, LIMIT).status == "sat":
            whole = (
                c for c in _claims(entry, frozenset(), frozenset()) if c.name == claim.name
            )  # none: nothing to prove
            return all(c.evident or solver.solve(c.text, LIMIT).status == "unsat" for c in whole)
    return False


@pytest.mark.slow
@pytest.mark.parametrize(("field", "where"), FIELDS_BREAK.items())
def test_a_field_left_out_of_the_relation_breaks_an_obligation(field: str, where: str) -> None:
    assert _breaks(where, fields=(field,))


@pytest.mark.slow
@pytest.mark.parametrize(("component", "where"), COMPONENTS_BREAK.items())
def test_a_component_left_out_of_the_relation_breaks_an_obligation(component: str, where: str) -> None:
    assert _breaks(where, components=(component,))


@pytest.mark.parametrize(("component", "where"), OWN_CLAIM.items())
def test_a_component_without_a_field_has_a_claim_of_its_own(component: str, where: str) -> None:
    entry, _, kind = where.rpartition("/")
    assert any(c.name.endswith(f"/{kind}") for c in _claims(entry, frozenset(), frozenset())), component


# --- concrete ---------------------------------------------------------------------------------------------------


def _carriers(world: World) -> dict[Sort, list[object]]:
    y = world.layout
    edges = (0, y.monitor_first, y.zero_frame, y.pool_first, y.epc_first, y.epc_end, y.device_first, y.memory_end)
    frames = sorted({f for edge in edges for f in (edge - 1, edge, edge + 1) if f >= 0})
    return {
        Frame: list(frames),
        Enclave: [0, 8, 1 << 20],
        Page: [0, 5, 1 << 20],
        Cpu: list(range(y.cpus + 1)),
        Range: [Bytes(0, 4096)],
        Offset: [0, 1],
    }


@pytest.mark.parametrize("form", list(MonitorFormat))
@pytest.mark.parametrize(
    "configuration",
    [
        Configuration(),
        Configuration(memory_frames=600, reserved_first=1, core_frames=0, device_first=0, device_end=0, cpus=1),
        Configuration(
            memory_frames=3000, reserved_first=700, epc_frames=513, device_first=2900, device_end=2950, cpus=7
        ),
    ],
)
def test_boot_gives_the_initial_state(configuration: Configuration, form: MonitorFormat) -> None:
    world = World(form, configuration)
    state, carriers = abstraction_of(world.machine).state, _carriers(world)
    for name, clause in HYPERENCLAVE.initial.items():
        for keys in product(*(carriers[sort] for sort in clause.over.values())):
            holds = clause.formula(state, **dict(zip(clause.over, keys, strict=True)))
            assert holds is True, (name, keys)


def test_invariants_hold_of_a_machine_with_a_running_enclave() -> None:
    world = World()
    enclave = world.build()
    world.enter(enclave)
    state, carriers = abstraction_of(world.machine).state, _carriers(world)
    carriers[Enclave].append(world.identity(enclave))
    carriers[Page] += [(enclave.base >> 12) + k for k in range(6)]
    for name, invariant in HYPERENCLAVE.invariants.items():
        if any(sort == Offset for sort in invariant.over.values()) or name == "measurement_has_shape":
            continue  # about records, of which the machine keeps the hash alone
        for keys in product(*(carriers[sort] for sort in invariant.over.values())):
            holds = invariant.formula(state, **dict(zip(invariant.over, keys, strict=True)))
            assert holds is True, (name, keys)


def _registers_differ(field: str, number: int, inside: bool) -> bool:
    """Two machines that differ in this word of CPU 0 stand for different register files."""
    found: list[object] = []
    for change in (0, 1):
        world = World()
        if inside:
            world.enter(world.build())
        getattr(world.s, field)[0, number] ^= change
        found.append(abstraction_of(world.machine).read("registers", (0,)))
    return not eq(*found)


@pytest.mark.parametrize("number", range(REGISTERS))
def test_each_register_of_the_normal_vm_but_the_nested_root_is_seen(number: int) -> None:
    assert _registers_differ("register", number, inside=False) == (number != NESTED_ROOT)


@pytest.mark.parametrize("number", sorted(COMPUTED))
def test_each_register_that_an_enclave_computes_with_is_seen(number: int) -> None:
    assert _registers_differ("register", number, inside=True)


@pytest.mark.parametrize("inside", [False, True])
def test_each_word_of_extended_state_is_seen(inside: bool) -> None:
    assert all(_registers_differ("xstate", word, inside) for word in (0, 3, 20, 63, 64, 71))
