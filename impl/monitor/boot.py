"""Launch: build the tables that never change afterwards, and hand every CPU to the normal VM."""

from __future__ import annotations

from impl.machine.fields import DEVICES, NORMAL_VM
from impl.machine.layout import is_epc, is_normal, tables_of_level
from impl.machine.primitives import Machine
from impl.machine.registers import EFER, NESTED_ROOT, RFLAGS, XCR0
from impl.monitor import tables
from impl.monitor.codes import EXECUTE, NORMAL, READ
from impl.monitor.entries import IO, NESTED, READ_WRITE, io_leaf, nested_leaf
from impl.monitor.epcm import EMPTY
from impl.monitor.structures import XFRM_LEGACY

LONG_MODE = 0xD01
"""EFER: SCE, LME, LMA, NXE."""


def boot(machine: Machine) -> None:
    """From storage that is all zero (pool_free counting every pool frame) to the running normal VM.

    The normal VM's nested table maps normal memory identity RWX, reserved memory to the zero frame read-only, and
    leaves the device hole and what lies beyond memory unmapped.  Devices reach normal memory, identity, nothing else.
    Both have all their tables before the first leaf is written; `boot_tables` is how many.
    """
    s, layout = machine.storage, machine.layout
    nested_root = tables.create_root(machine, NESTED, NORMAL_VM)
    s.io_root[()] = tables.create_root(machine, IO, DEVICES)
    machine.each("boot: tables of level 3", 0, tables_of_level(layout, 3), lambda i: _add_tables(machine, 3, i))
    machine.each("boot: tables of level 2", 0, tables_of_level(layout, 2), lambda i: _add_tables(machine, 2, i))
    machine.each("boot: tables of level 1", 0, tables_of_level(layout, 1), lambda i: _add_tables(machine, 1, i))
    machine.each("boot: frames", 0, layout.memory_end, lambda frame: _map_frame(machine, frame))
    machine.each("boot: EPCM", layout.epc_first, layout.epc_end, lambda frame: _empty_entry(machine, frame))
    machine.each("boot: CPUs", 0, layout.cpus, lambda cpu: _start(machine, cpu, nested_root))


def _add_tables(machine: Machine, level: int, prefix: int) -> None:
    for kind, owner in ((NESTED, NORMAL_VM), (IO, DEVICES)):
        parent = machine.storage.table_at[kind, owner, level + 1, prefix >> 9]
        tables.add_table(machine, kind, owner, level, prefix, parent)


def _map_frame(machine: Machine, frame: int) -> None:
    _map_normal(machine, frame)
    _map_device(machine, frame)


def _map_normal(machine: Machine, frame: int) -> None:
    layout, nested = machine.layout, machine.nested_format
    if is_normal(layout, frame):
        leaf = nested_leaf(nested, frame, READ_WRITE | EXECUTE)
        tables.write_leaf(machine, NESTED, NORMAL_VM, frame, leaf)
    elif is_epc(layout, frame) or (frame >= layout.monitor_first and frame < layout.epc_first):
        tables.write_leaf(machine, NESTED, NORMAL_VM, frame, nested_leaf(nested, layout.zero_frame, READ))


def _map_device(machine: Machine, frame: int) -> None:
    if is_normal(machine.layout, frame):
        tables.write_leaf(machine, IO, DEVICES, frame, io_leaf(frame, READ_WRITE))


def _empty_entry(machine: Machine, frame: int) -> None:
    machine.storage.epcm[frame, 0] = EMPTY


def _start(machine: Machine, cpu: int, nested_root: int) -> None:
    s = machine.storage
    s.cpu_mode[cpu] = NORMAL
    s.register[cpu, NESTED_ROOT] = nested_root << 12
    s.register[cpu, RFLAGS] = 2
    s.register[cpu, EFER] = LONG_MODE
    s.register[cpu, XCR0] = XFRM_LEGACY
    machine.xstate_reset(cpu)
