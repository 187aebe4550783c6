"""The relation reads every field, notices when one is left out, and relates the booted machine to the initial state."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from impl.machine.fields import FIELDS
from impl.machine.layout import Configuration
from impl.machine.primitives import NestedFormat as MonitorFormat
from model.hyperenclave.specification import HYPERENCLAVE
from model.hyperenclave.vocabulary import Cpu, Enclave, Frame, Offset, Page, Range
from model.language.terms import Sort
from proofs.solver import Z3Solver
from refinement.abstraction import ENVIRONMENT
from refinement.bits import NestedFormat
from refinement.concrete import abstraction_of
from refinement.contracts.handlers import ENTRIES
from refinement.contracts.setting import TABLE_FIELDS
from refinement.engine.obligations import Claim
from refinement.invariants.rules import CLAUSES
from refinement.opaque import Range as Bytes
from refinement.simulation import hardware
from refinement.simulation.compare import COMPARED
from refinement.simulation.prove import claims, paths_of, setting_of
from tests.impl.world import World

LIMIT = 3_000_000

BREAKS = {
    "memory": "complete_entry", "register": "complete_entry", "xstate": "interrupt", "cpu_mode": "exit",
    "cpu_enclave": "enter", "cpu_tcs": "enter", "cpu_ssa": "enter", "cpu_resuming": "resume", "saved_register": "exit",
    "life": "prepare_destroy", "elrange_first": "create", "elrange_end": "create", "ssa_frame_size": "create",
    "unextended": "add_page", "mrenclave": "initialize", "shared_first": "shared_memory_add",
    "shared_end": "shared_memory_add", "busy": "enter", "epcm": "remove_page", "leaf": "add_page",
    "guest_table_of": "create",
}  # fmt: skip
"""Field of the relation -> an entry whose simulation fails when the relation does not read the field."""
BREAKS_IN_HARDWARE = {"tlb_rights": "enclave_fill", "tlb_frame": "enclave_fill"}

ONLY_IN_INVARIANT = frozenset(
    ("io_root", "attributes", "xfrm", "mrsigner", "isv", "page_total", "page_at", "page_position", "thread_total")
) | {"thread_at", "thread_position", "pool_free", *TABLE_FIELDS}
"""Fields that have no counterpart in the model: book-keeping, which the invariant ties to what has one."""


def test_every_field_is_related_or_bound_by_the_invariant() -> None:
    related = (set(BREAKS) | set(BREAKS_IN_HARDWARE)) - {"leaf", "guest_table_of"}
    assert related | ONLY_IN_INVARIANT == set(FIELDS)


def test_every_component_is_compared() -> None:
    assert set(COMPARED) | ENVIRONMENT == set(HYPERENCLAVE.components)


def test_the_invariant_reads_the_book_keeping() -> None:
    read = {name for clause in CLAUSES for name in _names(clause.formula)}
    free = {"pool_free"}  # how many frames are left is no state of the model, and no clause needs it
    assert ONLY_IN_INVARIANT - free <= read


def _names(function: object, depth: int = 3) -> set[str]:
    code = getattr(function, "__code__", None)
    if code is None:
        return set()
    found = set(code.co_names)
    if depth:
        scope = getattr(function, "__globals__", {})
        for name in code.co_names:
            found |= _names(scope.get(name), depth - 1)
    return found


def _refuted(found: Iterator[Claim]) -> bool:
    solver = Z3Solver()
    return any(not c.evident and solver.solve(c.text, LIMIT).status == "sat" for c in found)


@pytest.mark.parametrize(("field", "entry"), BREAKS.items())
def test_a_field_left_out_of_the_relation_breaks_an_obligation(field: str, entry: str) -> None:
    (chosen,) = (e for e in ENTRIES if e.name == entry)
    setting = setting_of(chosen, NestedFormat.EPT)
    paths = [p for p in paths_of(chosen, setting) if p.ending != "refused"]
    assert _refuted(claims(chosen, setting, paths[::-1], frozenset((field,))))


@pytest.mark.parametrize(("field", "name"), BREAKS_IN_HARDWARE.items())
def test_a_tlb_field_left_out_of_the_relation_breaks_an_obligation(field: str, name: str) -> None:
    assert _refuted(hardware.claims(name, NestedFormat.EPT, frozenset((field,))))


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
