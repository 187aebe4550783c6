"""Boot by test: many layouts booted on the concrete machine, invariant and initial clauses checked on each."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Final

from impl.machine.layout import Configuration, Layout, boot_tables
from impl.machine.machine import ConcreteMachine
from impl.machine.primitives import NestedFormat
from impl.monitor.boot import boot
from model.hyperenclave.specification import HYPERENCLAVE
from model.hyperenclave.vocabulary import Cpu, Enclave, Frame, Page, Range
from model.language.terms import Sort
from proofs.obligation import Finding, Json
from refinement import bits
from refinement.concrete import abstraction_of
from refinement.invariants.check import check
from refinement.opaque import Range as Addresses

IDENTIFIER: Final = "replay/boot"
SEED: Final = 1
DRAWN: Final = 4
MOST_FRAMES: Final = 1100
WORDS: Final = (
    "Booted from a valid layout, the machine satisfies the representation invariant, and the state that it stands for "
    "satisfies every initial clause of the model."
)
EDGES: Final[tuple[Configuration, ...]] = (
    Configuration(memory_frames=1600, device_first=1590, device_end=1600),
    Configuration(
        memory_frames=64, reserved_first=1, core_frames=0, pool_frames=8, epc_frames=1, device_first=0, device_end=0,
        cpus=1,
    ),
    Configuration(memory_frames=513, reserved_first=3, pool_frames=10, epc_frames=2, device_first=512, device_end=513),
    Configuration(memory_frames=2048, reserved_first=1500, pool_frames=20, epc_frames=9, device_first=0, device_end=1),
    Configuration(
        memory_frames=700, reserved_first=1, core_frames=0, pool_frames=20, epc_frames=100, device_first=634,
        device_end=700, cpus=511,
    ),
)  # fmt: skip
"""The smallest, a hole that is the last frame or the first, memory that ends in the hole, and very many CPUs."""


def configurations(seed: int = SEED, drawn: int = DRAWN) -> Iterator[tuple[Configuration, Layout]]:
    """The edges, then drawn configurations, with valid layouts; the pool is often as small as it may be."""
    for edge in EDGES:
        yield edge, Layout.from_configuration(edge)
    source = random.Random(seed)
    while drawn:
        candidate = _candidate(source)
        try:
            layout = Layout.from_configuration(candidate)
        except ValueError:
            continue  # no valid layout: the launcher would refuse it
        drawn -= 1
        yield candidate, layout


def _candidate(source: random.Random) -> Configuration:
    memory = source.randint(16, MOST_FRAMES)
    first = source.randint(0, memory)
    blank = Layout(memory, *[0] * 10)
    return Configuration(
        memory_frames=memory,
        reserved_first=source.randint(1, memory),
        core_frames=source.randint(0, 5),
        pool_frames=boot_tables(blank) + source.choice((0, 0, 1, 40)),
        epc_frames=source.randint(1, 200),
        device_first=first,
        device_end=min(memory, first + source.choice((0, 1, 30, 600))),
        cpus=source.choice((1, 2, 5, 64)),
    )


def booted(layout: Layout, form: NestedFormat) -> ConcreteMachine:
    """A machine right after boot."""
    machine = ConcreteMachine(layout, form)
    boot(machine)
    return machine


def failures(machine: ConcreteMachine) -> list[str]:
    """What does not hold of a booted machine: violations of the invariant, then initial clauses with their keys."""
    form = bits.NestedFormat[machine.nested_format.name]
    found = [f"{violation.clause}{violation.keys}" for violation in check(machine.storage, form)]
    state = abstraction_of(machine).state
    carriers = _carriers(machine.layout)
    for name, clause in HYPERENCLAVE.initial.items():
        for keys in product(*(carriers[sort] for sort in clause.over.values())):
            if clause.formula(state, **dict(zip(clause.over, keys, strict=True))) is not True:
                found.append(f"{name}{keys}")
    return found


def _carriers(layout: Layout) -> Mapping[Sort, Sequence[object]]:
    """Every frame of memory and one beyond, every CPU, and a few of everything else: at boot they are all alike."""
    last = (1 << 40) - 1
    return {
        Frame: (*range(layout.memory_end + 1), 1 << 36, last),
        Cpu: range(layout.cpus),
        Enclave: (0, 8, (1 << 52) - 8),
        Page: (0, 1, layout.epc_first, (1 << 36) - 1),
        Range: (Addresses(0, 0), Addresses(0, 0x1000), Addresses(0x1000, 0x3000)),
    }


def findings() -> Iterator[Finding]:
    """One finding for all the configurations, in both nested formats."""
    started, count = time.process_time(), 0
    for configuration, layout in configurations():
        for form in NestedFormat:
            broken = failures(booted(layout, form))
            count += 1
            if broken:
                values: dict[str, Json] = {"configuration": repr(configuration), "failures": broken[:20]}
                reason = f"boot in {form.name} from a valid layout: {broken[0]}"
                yield _finding("REFUTED", "reachable", values, reason, time.process_time() - started)
                return
    initial: list[Json] = list(HYPERENCLAVE.initial)
    values = {"machines": count, "initial clauses": initial}
    yield _finding("TESTED", f"{count} machines, seed {SEED}", values, "", time.process_time() - started)


def _finding(verdict: str, qualifier: str, values: dict[str, Json], reason: str, seconds: float) -> Finding:
    return Finding(
        IDENTIFIER, "replay", "T9", "", "", WORDS, verdict, qualifier, reason, values=values, cpu_seconds=seconds
    )
