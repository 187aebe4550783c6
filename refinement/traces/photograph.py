"""The state of the monitor's machine as a photograph for the audit: table frames, roots, and who owns which frame.

The folder has the sparse form that the audit reads (docs/audit.md): frames.bin.xz with frames.json, scenario.json with
the roots, and policy.toml.  The policy says of this state what T1 says of every state: the owner map is the EPCM, the
monitor's memory is reserved, nobody reaches another's tables, and domains share normal memory only.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, cast

from impl.machine.fields import NORMAL_VM
from impl.machine.layout import WORDS, Layout
from impl.machine.machine import ConcreteMachine
from impl.machine.primitives import NestedFormat
from impl.machine.storage import SparseField, StorageError
from impl.monitor.monitor import Monitor
from proofs.obligation import Json
from refinement import bits
from refinement.traces import operating_system
from refinement.traces.execution import Execution
from refinement.traces.trace import Trace

GUEST: Final = 1
NESTED: Final = 2
ROOT_LEVEL: Final = 4
RIGHTS: Final = ((1, "read"), (2, "write"), (4, "execute"))
ADDRESS_BITS: Final = 52


def after(trace: Trace) -> ConcreteMachine:
    """The machine after a trace, taken on the monitor alone; a step that leaves the monitor's state ends it."""
    machine = ConcreteMachine(Layout.from_configuration(trace.configuration), trace.nested)
    monitor = Monitor(machine)
    monitor.boot()
    operating_system.start(machine)
    execution = Execution(machine, monitor)
    try:
        for step in trace.steps:
            if execution.prepare(step):
                execution.perform(step)
    except StorageError:
        pass  # the replay of the same trace reports it
    return machine


def write(machine: ConcreteMachine, folder: Path) -> None:
    """Write the four files into a folder, which is made if it does not exist."""
    folder.mkdir(exist_ok=True)
    layout, physical = machine.layout, machine.storage.physical
    content = bytearray()
    for frame in range(layout.pool_first, layout.epc_first):
        words = physical.frames.get(frame)
        content += bytes(8 * WORDS) if words is None else b"".join(word.to_bytes(8, "little") for word in words)
    index = {"page_size": 4096, "runs": [[layout.pool_first, layout.epc_first - layout.pool_first]]}
    scenario: dict[str, Json] = {"name": folder.name, "maxphyaddr": ADDRESS_BITS, "roots": list(roots(machine))}
    (folder / "frames.bin.xz").write_bytes(lzma.compress(bytes(content), preset=1))
    (folder / "frames.json").write_text(json.dumps(index), "utf-8")
    (folder / "scenario.json").write_text(json.dumps(scenario, indent=1), "utf-8")
    (folder / "policy.toml").write_text("\n".join(policy(machine)) + "\n", "utf-8")


def enclaves(machine: ConcreteMachine) -> list[int]:
    """The ids of the enclaves that exist."""
    life = machine.storage.life
    assert isinstance(life, SparseField)
    return sorted(cast("Iterable[int]", life))


def roots(machine: ConcreteMachine) -> Iterator[dict[str, Json]]:
    """The nested table of the normal VM and of each enclave, each enclave's guest table, and the devices' table.

    Second-level entries of an IOMMU have the bits of EPT entries (VT-d 9.8), so they are walked as such.
    """
    s = machine.storage
    nested = "ept" if machine.nested_format is NestedFormat.EPT else "npt"
    yield _root("normal-vm", nested, s.table_at[NESTED, NORMAL_VM, ROOT_LEVEL, 0])
    yield _root("devices", "ept", s.io_root[()])
    for enclave in enclaves(machine):
        name = _name(enclave)
        yield _root(name, nested, s.table_at[NESTED, enclave, ROOT_LEVEL, 0])
        guest = _root(f"{name}-guest", f"x86-in-{nested}", s.table_at[GUEST, enclave, ROOT_LEVEL, 0])
        yield {**guest, "inside": name}


def policy(machine: ConcreteMachine) -> Iterator[str]:
    """The lines of a policy that says what T1 says, with the EPCM of this state as owner map."""
    y = machine.layout
    names = ["normal-vm", "devices", *(_name(enclave) for enclave in enclaves(machine))]
    for name in names:
        parts = [name] if name in ("normal-vm", "devices") else [name, f"{name}-guest"]
        yield f"[domain.{name}]\nroots = {json.dumps(parts)}\n"
    yield f"# T1: domains share normal memory only.\n[[disjoint]]\ndomains = {json.dumps(names)}\n"
    yield f"[[shared]]\ndomains = {json.dumps(names)}\nranges = {_ranges(_normal(y))}\n"
    yield "# T1, I9 and I10: nobody reaches what is not normal, except for the frame of zeros, which may be read."
    zeros = (y.zero_frame, y.zero_frame + 1)
    yield from _reserved("monitor", [(y.monitor_first, y.staging_first), (y.staging_first, y.zero_frame)])
    yield from _reserved("frame of zeros", [zeros], ["write", "execute"])
    yield from _reserved("outside memory", [(y.device_first, y.device_end), (y.memory_end, 1 << ADDRESS_BITS - 12)])
    yield from _reserved("free pool", _runs(f for f in range(y.pool_first, y.epc_first) if not _is_guest(machine, f)))
    yield "# T1, I6 and I8: an enclave reaches its own guest tables, and nobody another table.\n[[tables]]"
    yield "guest-tables = true\n"
    yield "# T1, I4 and I5: the EPCM.\n[owner-map]"
    for frame in range(y.epc_first, y.epc_end):
        status, owner = machine.storage.epcm[frame, 0], machine.storage.epcm[frame, 2]
        in_use = bool(bits.is_valid(status))
        rights = [name for bit, name in RIGHTS if bits.page_type(status) == bits.REG and bits.page_rights(status) & bit]
        said = f"rights = {json.dumps(rights)}\n" if in_use else ""
        yield "[[owner-map.entries]]"
        yield f"ranges = {_ranges([(frame, frame + 1)])}\nowner = {json.dumps(_name(owner) if in_use else '')}\n{said}"


def _is_guest(machine: ConcreteMachine, frame: int) -> bool:
    return machine.storage.table_kind[frame] == GUEST


def _reserved(name: str, ranges: list[tuple[int, int]], rights: list[str] | None = None) -> Iterator[str]:
    if any(first < end for first, end in ranges):
        said = "" if rights is None else f"rights = {json.dumps(rights)}\n"
        yield f"[[reserved]]\nname = {json.dumps(name)}\nranges = {_ranges(ranges)}\n{said}"


def _normal(layout: Layout) -> list[tuple[int, int]]:
    """Memory without the reserved part and the device hole."""
    y = layout
    edges = sorted({0, y.monitor_first, y.epc_end, y.device_first, y.device_end, y.memory_end})
    parts = pairwise(edges)
    taken = ((y.monitor_first, y.epc_end), (y.device_first, y.device_end))
    return [(a, b) for a, b in parts if b <= y.memory_end and not any(t <= a < end for t, end in taken)]


def _runs(frames: Iterator[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for frame in frames:
        if found and found[-1][1] == frame:
            found[-1] = (found[-1][0], frame + 1)
        else:
            found.append((frame, frame + 1))
    return found


def _ranges(ranges: list[tuple[int, int]]) -> str:
    return "[" + ", ".join(f"[{first << 12:#x}, {end << 12:#x}]" for first, end in ranges if first < end) + "]"


def _name(enclave: int) -> str:
    return f"enclave-{enclave:#x}"


def _root(name: str, kind: str, frame: int) -> dict[str, Json]:
    return {"name": name, "kind": kind, "levels": ROOT_LEVEL, "root": f"{frame << 12:#x}"}
