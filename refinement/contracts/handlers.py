"""Every entry into the monitor as a piece of code to execute, with what is known when it happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from impl.machine import layout
from impl.monitor import guest_memory, tables
from impl.monitor.codes import ENCLAVE, ENTERING, NORMAL
from impl.monitor.handlers import asynchronous_exit, shared_fill, shared_memory_add, shared_memory_remove
from impl.monitor.monitor import Monitor
from model.language.logic import And, Or
from refinement import bits
from refinement.contracts import guest_memory as guest_memory_contracts
from refinement.contracts import loops
from refinement.contracts import tables as table_contracts
from refinement.contracts.setting import Setting
from refinement.engine.explorer import Path
from refinement.engine.machine import Loop, SymbolicMachine
from refinement.engine.merging import merged
from refinement.engine.obligations import Claim, path_claims, split
from refinement.engine.values import Number
from refinement.invariants.rules import goal

CONTRACTS: Final = {
    tables.create_root: table_contracts.create_root,
    tables.leaf_word: table_contracts.leaf_word,
    tables.map_leaf: table_contracts.map_leaf,
    tables.map_own_table: table_contracts.map_own_table,
    tables.map_guest: table_contracts.map_guest,
    tables.unmap: table_contracts.unmap,
    tables.unmap_range: loops.unmap_range,
    guest_memory.translate: guest_memory_contracts.translate,
} | {
    pure: merged(pure)
    for pure in (
        layout.is_normal,
        layout.is_epc,
        guest_memory.is_canonical,
        shared_fill.is_shared,
        shared_memory_add.overlaps_shared,
        shared_memory_remove.is_registered,
        asynchronous_exit.exit_information,
        asynchronous_exit.exception_event,
    )
}

RAX: Final = 0
NUMBERS: Final = {
    "create": 0x10,
    "add_page": 0x11,
    "initialize": 0x12,
    "prepare_destroy": 0x13,
    "finish_destroy": 0x14,
    "remove_pages_at_destroy": 0x28,
    "shared_memory_add": 0x101,
    "shared_memory_remove": 0x102,
    "enter": 0x80000000,
    "exit": 0x80000001,
    "resume": 0x80000005,
}
"""Call -> its number (public monitor, src/hypercall/mod.rs), said here again to be compared with the monitor's."""


Given = Callable[[str, int], Number]
"""What hardware tells the monitor: a value by name and width in bits, arbitrary (`unknown`) or a number."""


@dataclass(frozen=True)
class Entry:
    """One way into the monitor: a name, what is known of the state, and the monitor's method.

    `call` runs on symbolic values and on integers, as what is given to it does.  `focus` names the page of which
    instances with two pages are made, `rounds` is the depth of instantiation.
    """

    name: str
    known: Callable[[SymbolicMachine, Number], object]
    call: Callable[[Monitor, Number, Given], object]
    focus: str = "focus"
    rounds: int = 1
    loops: Mapping[str, Loop] = field(default_factory=lambda: loops.LOOPS)

    @property
    def is_call(self) -> bool:
        """Software enters here by VMCALL or VMMCALL."""
        return self.call is _dispatch


def _calls(number: int) -> Callable[[SymbolicMachine, Number], object]:
    return lambda machine, cpu: And(
        machine.storage.register[cpu, RAX] & 0xFFFFFFFF == number,
        Or(machine.storage.cpu_mode[cpu] == NORMAL, machine.storage.cpu_mode[cpu] == ENCLAVE),
    )


def _unknown_call(machine: SymbolicMachine, cpu: Number) -> object:
    number = machine.storage.register[cpu, RAX] & 0xFFFFFFFF
    return And(*(number != known for known in NUMBERS.values()))


def _neither(machine: SymbolicMachine, cpu: Number) -> object:
    """A CPU that is off or inside the monitor, with any number in RAX."""
    return And(machine.storage.cpu_mode[cpu] != NORMAL, machine.storage.cpu_mode[cpu] != ENCLAVE)


def _mode(mode: int) -> Callable[[SymbolicMachine, Number], object]:
    return lambda machine, cpu: machine.storage.cpu_mode[cpu] == mode


def _dispatch(monitor: Monitor, cpu: Number, _: Given) -> object:
    return monitor.dispatch(cpu)  # type: ignore[arg-type]  # the monitor computes with symbolic numbers


def _interrupt(monitor: Monitor, cpu: Number, given: Given) -> None:
    monitor.interrupt(cpu, given("vector", 8))  # type: ignore[arg-type]  # as above


def _exception(monitor: Monitor, cpu: Number, given: Given) -> None:
    monitor.exception(cpu, given("vector", 8), given("error", 32))  # type: ignore[arg-type]  # as above


def _fault(access: int) -> Callable[[Monitor, Number, Given], object]:
    def call(monitor: Monitor, cpu: Number, given: Given) -> object:
        address = bits.linear_address(given("focus", 36)) | given("offset", 12)
        return monitor.enclave_fault(cpu, address, access)  # type: ignore[arg-type]  # as above

    return call


def _complete(monitor: Monitor, cpu: Number, _: Given) -> object:
    return monitor.complete_entry(cpu)  # type: ignore[arg-type]  # as above


IN_PARTS: Final = ("GUEST-LEAF",)
"""Clauses whose parts are claims of their own: together they are too much for one query."""


def _always(_: SymbolicMachine, __: Number) -> object:
    return True


def _call_entry(number: int, name: str) -> Entry:
    if name == "shared_memory_remove":  # compares two pages of the enclave
        return Entry(name, _calls(number), _dispatch, focus="any.v", rounds=2)
    return Entry(name, _calls(number), _dispatch)


ENTRIES: Final = (
    *(_call_entry(number, name) for name, number in NUMBERS.items()),
    Entry("remove_page", _calls(NUMBERS["remove_pages_at_destroy"]), _dispatch, loops=loops.STEPS),
    Entry("unknown_call", _unknown_call, _dispatch),
    Entry("ignored_call", _neither, _dispatch),
    Entry("complete_entry", _mode(ENTERING), _complete),
    Entry("interrupt", _always, _interrupt),
    Entry("exception", _mode(ENCLAVE), _exception),
    Entry("fault_load", _mode(ENCLAVE), _fault(1)),
    Entry("fault_store", _mode(ENCLAVE), _fault(2)),
    Entry("fault_fetch", _mode(ENCLAVE), _fault(4)),
)


def preservation(entry: Entry, setting: Setting, paths: list[Path]) -> Iterator[Claim]:
    """On every path the conditions hold, no branch is missed, and each clause of the invariant holds at the end."""
    for path in paths:
        yield from path_claims(f"T9/{entry.name}", path, setting.rules, setting.facts, entry.rounds)
        before, after = setting.state(setting.before), setting.state(path.post)
        record = [(f"{e.kind.value}: {e.reason}", e.term) for e in path.entries]
        established = [setting.state(view) for view in path.marks.values()]
        for clause in setting.clauses:
            midway = ((f"{clause.name} after a loop", goal(clause, state)) for state in established)
            claim = Claim(
                f"T9/{entry.name}/path-{path.number}/{clause.name}",
                (*setting.facts, *record, (f"{clause.name} before", goal(clause, before)), *midway),
                goal(clause, after),
                (*setting.rules, *path.rules),
                entry.rounds,
            )
            yield from split(claim) if clause.name in IN_PARTS and not claim.evident else (claim,)
