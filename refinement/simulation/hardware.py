"""T9h, second half: TLB fill, load, store, fetch, eviction and DMA do what the model's steps of hardware say.

Walks of tables are used by the contracts that `refinement.simulation.walks` proves on real words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from impl.machine import iommu, mmu
from impl.machine.registers import NESTED_ROOT, RAX
from model.hyperenclave.vocabulary import Operation
from model.language.logic import And, Implies, Not, Value
from model.language.terms import t_not
from refinement import bits
from refinement.bits import NestedFormat
from refinement.contracts.loops import LOOPS, only_written
from refinement.contracts.setting import Setting
from refinement.contracts.substitution import substituted
from refinement.engine.explorer import Path
from refinement.engine.machine import SymbolicMachine
from refinement.engine.obligations import Claim, path_claims
from refinement.engine.values import Number, condition, ghost, unknown, word_of
from refinement.interpretation import Access
from refinement.invariants.layout import is_epc, is_reserved_memory
from refinement.invariants.rules import goal
from refinement.invariants.tables import DEVICES, NORMAL_VM
from refinement.simulation import walks
from refinement.simulation.prove import Simulation, simulate
from refinement.simulation.reading import Reading
from refinement.simulation.step import STANDS_STILL, Step
from refinement.simulation.tables import TableSetting

INDEX: Final = unknown("index", 9)
VALUE: Final = unknown("value", 64)
DEVICE_FRAME: Final = unknown("device_frame", 40)
DEVICE: Final = unknown("device", 16)
NORMAL, INSIDE = 1, 3


def _io_contract(machine: SymbolicMachine, frame: Number) -> mmu.Walk:
    table = walks.state_of(machine).root[bits.IO, DEVICES]
    machine.run.require(condition(machine.storage.io_root[()] == table), "io_walk: the devices' root")
    machine.run.require(t_not(condition(table == 0)), "io_walk: there is a root")
    return walks.leaf_walk(machine, bits.IO, DEVICES, frame)


def _enclave_walk(machine: SymbolicMachine, cpu: Number, page: Number) -> mmu.Walk:
    """The contract of a walk through the tables of the enclave that the CPU runs."""
    owner = machine.storage.cpu_enclave[cpu]
    walks.require_roots(machine, cpu, owner, page)
    return _noted(machine, walks.guest_walk(machine, owner, page))


def _noted(machine: SymbolicMachine, walk: mmu.Walk) -> mmu.Walk:
    machine.run.event("walked", walk)
    return walk


def _normal_walk(machine: SymbolicMachine, cpu: Number, page: Number) -> mmu.Walk:  # noqa: ARG001 (any page)
    """The contract of a walk through the normal VM's own tables, which may say anything, under its nested table."""
    root = walks.state_of(machine).root[bits.NESTED, NORMAL_VM]
    machine.run.require(
        condition(machine.storage.register[cpu, NESTED_ROOT] == root << 12), "walk: the normal VM's root"
    )
    machine.run.require(t_not(condition(root == 0)), "walk: there is a root")
    if machine.run.split("guest fault"):
        return mmu.Walk(mmu.Kind.GUEST_FAULT, 0, 0)
    rights = machine.run.fresh("guest_rights", 3)
    result = walks.leaf_walk(machine, bits.NESTED, NORMAL_VM, machine.run.fresh("guest_frame", 40))
    return mmu.Walk(result.kind, result.frame, result.rights & rights)  # type: ignore[arg-type]  # symbolic numbers stand in for ints


@dataclass(frozen=True)
class HardwareStep:
    """What hardware does: in which mode of the CPU, by which code, and the step of the model for each path."""

    name: str
    mode: int | None  # None: any, also when no CPU runs the normal VM
    code: Callable[[SymbolicMachine, Number], object]
    step: Callable[[Reading], Step]
    rounds: int = 1


def _fill(machine: SymbolicMachine, cpu: Number) -> object:
    return mmu.fill(machine, cpu, unknown("focus", 36))  # type: ignore[arg-type]  # symbolic machine


def _filled(reading: Reading) -> Step:
    """A fill if the walk translated; else the model must have nothing to fill."""
    arguments = {"c": reading.cpu, "v": reading.setting.focus}
    rounds: dict[str, int] = dict.fromkeys(FILLED, 2)
    return Step("enclave_fill", arguments, absent=not _translated(reading), rounds=rounds, choice=_told(reading))


def _told(reading: Reading) -> Value:
    """A fill says how the walk ended; one that translates and grants nothing is a fault of the nested table."""
    ((_, walk),) = (event for event in reading.path.events if event[0] == "walked")
    result = reading.path.result
    if not isinstance(walk, mmu.Walk) or not isinstance(result, mmu.Walk):
        return False
    void = walk.kind is mmu.Kind.TRANSLATED and result.kind is mmu.Kind.NESTED_FAULT
    alike = result.kind is walk.kind or (void and condition(walk.rights == 0))
    return condition(And(alike, result.frame == walk.frame))


def _normally_filled(reading: Reading) -> Step:
    """The normal VM's tables said the last frame that was walked, with at least the rights that came out."""
    result = reading.path.result
    if not _translated(reading) or not isinstance(result, mmu.Walk):
        return STANDS_STILL
    frames = [e[1] for e in reading.path.events if e[0] == "nested"]
    rights = word_of(result.rights, 3, "rights")
    arguments = {"c": reading.cpu, "v": reading.setting.focus, "g": frames[-1], "wanted": rights}
    return Step("normal_fill", arguments)  # type: ignore[arg-type]  # events carry numbers


def _translated(reading: Reading) -> bool:
    result = reading.path.result
    return isinstance(result, mmu.Walk) and result.kind is mmu.Kind.TRANSLATED


def _read(function: Callable[..., Any]) -> Callable[[SymbolicMachine, Number], object]:
    """A load or fetch whose word goes to RAX."""

    def code(machine: SymbolicMachine, cpu: Number) -> object:
        access = _read_nothing_denied(machine, function(machine, cpu, unknown("focus", 36), INDEX))
        if access.granted is True:
            machine.storage.register[cpu, RAX] = access.value
        return access.granted

    return code


def _read_nothing_denied(machine: SymbolicMachine, access: mmu.Access) -> mmu.Access:
    """An access that is not granted carries no word, whoever may look at it."""
    if access.granted is not True:
        with ghost():
            machine.run.goals.append(("DENIED", condition(access.value == 0)))
    return access


def _store(machine: SymbolicMachine, cpu: Number) -> object:
    return mmu.store(machine, cpu, unknown("focus", 36), INDEX, VALUE)  # type: ignore[arg-type]  # symbolic


def _evict(machine: SymbolicMachine, cpu: Number) -> object:
    return mmu.evict(machine, cpu, unknown("focus", 36))  # type: ignore[arg-type]  # symbolic


def _enclave_access(operation: Operation) -> Callable[[Reading], Step]:
    def step(reading: Reading) -> Step:
        access = Access(operation, reading.setting.focus, INDEX, VALUE)
        return Step("enclave_step", {"c": reading.cpu}, access=access, rounds=dict.fromkeys(ALL, 2))

    return step


WRITTEN: Final = ("memory", "register", "tlb_frame", "tlb_rights")
"""What hardware may write; of `memory` nothing that the monitor keeps for itself."""
FILLED: Final = ("outcome", "tlb_rights", "tlb_frame", "shared_page")
ALL: Final = ("contents", "registers", "cssa", "aep")


def _normal_access(action: str, further: Mapping[str, Value]) -> Callable[[Reading], Step]:
    def step(reading: Reading) -> Step:
        access = Access(Operation.COMPUTE, reading.setting.focus, INDEX, VALUE)
        arguments = {"c": reading.cpu, "v": reading.setting.focus, **further}
        rounds: dict[str, int] = dict.fromkeys(ALL, 2)
        return Step(action, arguments, access=access, absent=reading.path.result is not True, rounds=rounds)

    return step


def _dma_load(machine: SymbolicMachine, _: Number) -> object:
    return _read_nothing_denied(machine, iommu.dma_load(machine, DEVICE_FRAME, INDEX))  # type: ignore[arg-type]  # symbolic


def _dma_store(machine: SymbolicMachine, _: Number) -> object:
    return iommu.dma_store(machine, DEVICE_FRAME, INDEX, VALUE)  # type: ignore[arg-type]  # symbolic


def _dma(action: str) -> Callable[[Reading], Step]:
    def step(reading: Reading) -> Step:
        result = reading.path.result
        granted = result.granted if isinstance(result, mmu.Access) else result
        access = Access(Operation.COMPUTE, 0, INDEX, VALUE)
        arguments = {"d": DEVICE, "g": DEVICE_FRAME}
        return Step(action, arguments, access=access, absent=granted is not True, rounds=dict.fromkeys(ALL, 2))

    return step


OPERATIONS: Final = (
    HardwareStep("enclave_fill", INSIDE, _fill, _filled, rounds=2),
    HardwareStep("normal_fill", NORMAL, _fill, _normally_filled),
    HardwareStep("evict", None, _evict, lambda r: Step("evict", {"c": r.cpu, "v": r.setting.focus})),
    HardwareStep("enclave_load", INSIDE, _read(mmu.load), _enclave_access(Operation.LOAD)),
    HardwareStep("enclave_fetch", INSIDE, _read(mmu.fetch), _enclave_access(Operation.FETCH)),
    HardwareStep("enclave_store", INSIDE, _store, _enclave_access(Operation.STORE), rounds=2),
    HardwareStep("normal_load", NORMAL, _read(mmu.load), _normal_access("normal_load", {"fetches": False})),
    HardwareStep("normal_fetch", NORMAL, _read(mmu.fetch), _normal_access("normal_load", {"fetches": True})),
    HardwareStep("normal_store", NORMAL, _store, _normal_access("normal_store", {})),
    HardwareStep("dma_load", None, _dma_load, _dma("device_read")),
    HardwareStep("dma_store", None, _dma_store, _dma("device_write")),
)


def claims(name: str, form: NestedFormat) -> Iterator[Claim]:
    """All the claims about one operation: invariant, and step of the model."""
    (operation,) = (o for o in OPERATIONS if o.name == name)
    setting = TableSetting(form, True, LOOPS)
    for path in paths_of(operation, setting):
        yield from claims_about(operation, setting, path)


def claims_about(operation: HardwareStep, setting: TableSetting, path: Path) -> Iterator[Claim]:
    """All the claims about one path of an operation."""
    name = f"T9h/{operation.name}"
    yield from path_claims(name, path, setting.rules, setting.facts, operation.rounds)
    yield from _invariant(operation, setting, path)
    yield from simulate(name, path, setting, operation.step)
    yield from _value(operation, setting, path)


def paths_of(operation: HardwareStep, setting: TableSetting) -> list[Path]:
    """Every path of one operation, from any state that satisfies the invariant."""

    def code(machine: SymbolicMachine) -> object:
        machine.storage.guard = None
        if operation.mode is not None:
            mode = machine.storage.cpu_mode[setting.cpu]
            machine.run.assume(condition(mode == operation.mode), "what the CPU runs")
        return operation.code(machine, setting.cpu)

    with substituted(_contracts(operation)):
        return setting.explore(code, ())


def _contracts(operation: HardwareStep) -> Mapping[Callable[..., Any], Callable[..., Any]]:
    return {mmu.walk: _enclave_walk if operation.mode == INSIDE else _normal_walk, iommu.io_walk: _io_contract}


def _invariant(operation: HardwareStep, setting: Setting, path: Path) -> Iterator[Claim]:
    """The invariant is kept, and nothing is written but what hardware may write."""
    before, after = setting.state(setting.before), setting.state(path.post)
    record = [(f"{e.kind.value}: {e.reason}", e.term) for e in path.entries]
    for clause in setting.clauses:
        premises = (*setting.facts, *record, (f"{clause.name} before", goal(clause, before)))
        name = f"T9h/{operation.name}/path-{path.number}/{clause.name}"
        yield Claim(name, premises, goal(clause, after), (*setting.rules, *path.rules), operation.rounds)
    kept = only_written(path.pre, path.post, WRITTEN)
    yield Claim(f"T9h/{operation.name}/path-{path.number}/OTHER-FIELDS", (), kept, ())
    if path.post.nodes["memory"] is not path.pre.nodes["memory"]:
        f, i, y = unknown("any.f", 40), unknown("any.i", 9), setting.layout
        own = And(is_reserved_memory(y, f), Not(is_epc(y, f)))
        reserved = condition(Implies(own, after.memory[f, i] == before.memory[f, i]))
        name = f"T9h/{operation.name}/path-{path.number}/RESERVED-MEMORY"
        premises = (*setting.facts, *record)
        yield Claim(name, premises, reserved, (*setting.rules, *path.rules), operation.rounds)


def _value(operation: HardwareStep, setting: TableSetting, path: Path) -> Iterator[Claim]:
    """The word that a device reads is the word of the page that the model lets it read."""
    if operation.name != "dma_load" or not isinstance(path.result, mmu.Access) or path.result.granted is not True:
        return
    with ghost():
        simulation = Simulation(path, setting, STANDS_STILL)
        read = simulation.before.state
        page = read.contents[read.io_frame[DEVICE_FRAME]]
        wanted = condition(page.at(INDEX) == path.result.value)
    premises = (*setting.facts, *((e.reason, e.term) for e in path.entries))
    yield Claim(f"T9h/dma_load/path-{path.number}/value", premises, wanted, tuple(setting.rules), 2)
