"""Boot proved: from storage never used, in any valid layout, to the representation invariant and an initial state.

The real code runs on real table words; its loops go by the invariants of `refinement.boot.loops`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from impl.machine import layout as layouts
from impl.monitor.monitor import Monitor
from model.hyperenclave.specification import HYPERENCLAVE
from model.language.logic import And, Or
from model.language.terms import TRUE, Term, number, t_and
from refinement.abstraction import Abstraction
from refinement.bits import NestedFormat
from refinement.boot.loops import LOOPS
from refinement.contracts.induction import Induction
from refinement.contracts.setting import Setting
from refinement.contracts.substitution import substituted
from refinement.engine.explorer import explore
from refinement.engine.machine import POOL_ROOM, SymbolicMachine
from refinement.engine.merging import merged
from refinement.engine.obligations import Claim, path_claims, split
from refinement.engine.pruning import PathOracle
from refinement.engine.run import Run
from refinement.engine.values import condition, ghost, number_of, unknown
from refinement.interpretation import NO_ACCESS, functions
from refinement.invariants.layout import is_reserved_memory, well_formed
from refinement.invariants.processors import NORMAL
from refinement.invariants.rules import CLAUSES, goal
from refinement.invariants.state import MonitorState
from refinement.simulation.compare import any_key, mrenclave_is_digest
from refinement.simulation.ghost import (
    Quantifiers,
    SymbolicBeyond,
    leaf_has_shared_page,
    shared_page,
    shared_page_has_leaf,
)

ARBITRARY: Final = ("register", "xstate")
"""Fields of which nothing has to be known before boot; `memory` is the third, outside reserved memory."""
PURE: Final = {pure: merged(pure) for pure in (layouts.is_normal, layouts.is_epc)}
ROUNDS: Final = 2


def claims(form: NestedFormat, loops: Sequence[Induction] = LOOPS) -> Iterator[Claim]:
    """Every path of boot: its conditions, its loops, and what holds at its end."""
    setting = Setting(form, False, {loop.name: loop for loop in loops})
    facts = _layout_facts(setting)
    valid = tuple((name, condition(holds)) for name, holds in layouts.valid_layout(setting.layout))  # type: ignore[arg-type]  # symbolic
    yield from split(Claim("T9/boot/LAYOUT", valid, t_and(term for _, term in facts), ()))

    def code(run: Run) -> None:
        machine = setting.machine(run)
        _unused(machine)
        Monitor(machine).boot()  # type: ignore[arg-type]  # symbolic machine
        with ghost():
            run.goals.extend(_goals(setting.state(run.storage.snapshot())))

    with substituted(PURE):
        paths = explore(code, setting.shapes, PathOracle([], facts=[term for _, term in facts]))
    for path in paths:
        yield from path_claims("T9/boot", path, [], facts, ROUNDS)


def _layout_facts(setting: Setting) -> tuple[tuple[str, Term], ...]:
    """What is used of a valid layout."""
    y = setting.layout
    room = y.pool_first + layouts.boot_tables(y) <= y.epc_first  # type: ignore[arg-type]  # symbolic
    shape = well_formed(setting.state(setting.before))
    return (("the layout is well formed", condition(shape)), ("the pool has room for boot", condition(room)))


def _unused(machine: SymbolicMachine) -> None:
    """Storage that was never used: 0, with all of the pool free; registers and memory of others are arbitrary."""
    storage, layout = machine.storage, machine.layout
    for name, node in storage.nodes.items():
        if name not in (*ARBITRARY, "memory", "pool_free", POOL_ROOM):
            zero = number(0, node.shape.width)
            storage.fill(name, lambda _: TRUE, lambda _, zero=zero: zero)
    storage.fill(
        "memory",
        lambda keys: condition(is_reserved_memory(layout, number_of(keys[0]))),
        lambda _: number(0, 64),
    )
    free = layout.pool_first + storage.pool_free[()] == layout.epc_first
    machine.run.assume(condition(free), "every pool frame is free")
    storage.put(POOL_ROOM, (), storage.nodes["pool_free"].read(()))


def _goals(s: MonitorState) -> Iterator[tuple[str, Term]]:
    """The invariant, the initial clauses of the model, and what T9 assumes beside the invariant."""
    for clause in CLAUSES:
        yield clause.name, goal(clause, s)
    table = functions(NO_ACCESS, symbolic=True)
    abstraction = Abstraction(s, SymbolicBeyond(Quantifiers()), table)
    for name, clause in HYPERENCLAVE.initial.items():
        keys = {key: any_key(sort, n) for n, (key, sort) in enumerate(clause.over.items())}
        yield f"initial {name}", condition(clause.formula(abstraction.state, **keys))
    e, v, f = (unknown(f"any.{name}", width) for name, width in (("e", 52), ("v", 36), ("f", 40)))
    pages = And(leaf_has_shared_page(s, shared_page, e, v), shared_page_has_leaf(s, shared_page, e, f))
    yield "shared pages", condition(pages)
    c = unknown("any.c", 9)
    yield "CPUs on", condition(Or(s.layout.cpus <= c, s.cpu_mode[c] == NORMAL))
    yield "MRENCLAVE is the digest", condition(mrenclave_is_digest(abstraction, e))


__all__ = ["LOOPS", "claims"]
