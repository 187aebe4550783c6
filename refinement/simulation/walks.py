"""T9h, first half: hardware's walk of a nested or IO table reads the leaf that the tables' directory promises.

The walker is `impl.machine.mmu` (and `iommu`), which decodes real words and shares no code with the monitor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from impl.machine import iommu, mmu
from impl.machine.registers import CR3, NESTED_ROOT
from model.language.logic import And, Not, Or
from model.language.terms import Term, boolean
from refinement import bits
from refinement.bits import NestedFormat
from refinement.contracts.loops import LOOPS
from refinement.contracts.setting import Setting
from refinement.contracts.substitution import substituted
from refinement.engine.explorer import explore
from refinement.engine.machine import SymbolicMachine
from refinement.engine.obligations import Claim, path_claims
from refinement.engine.pruning import PathOracle
from refinement.engine.run import Run
from refinement.engine.values import Number, condition, ghost, truth, unknown
from refinement.invariants.layout import in_pool
from refinement.invariants.rules import rules
from refinement.invariants.state import MonitorState
from refinement.invariants.tables import DEVICES, TABLE_CLAUSES, is_enclave

OWNER: Final = unknown("owner", 52)
FRAME: Final = unknown("guest_frame", 40)
READ_WRITE: Final = bits.READ | bits.WRITE
LEVELS: Final = 4
PAGE_MASK: Final = (1 << 36) - 1
ROUNDS: Final = 2


def raw_setting(form: NestedFormat) -> Setting:
    """Page tables as real words."""
    return Setting(form, False, LOOPS)


def agrees(s: MonitorState, kind: int, owner: Number, frame: Number, result: mmu.Walk) -> Term:
    """The walk translates exactly if the leaf grants something, to the leaf's frame, with the leaf's rights.

    Otherwise it ends in a fault of the nested table at this guest frame, without any right.
    """
    leaf = s.leaf[kind, owner, frame & PAGE_MASK]
    rights = leaf & 3 if kind == bits.IO else bits.nested_rights(s.form, leaf)
    granted = And(frame >> 36 == 0, Not(rights == 0))
    if result.kind is not mmu.Kind.TRANSLATED:
        here = And(result.kind is mmu.Kind.NESTED_FAULT, result.frame == frame, result.rights == 0)
        return condition(And(here, Not(truth(condition(granted)))))
    exact = And(bits.frame_of(leaf) == result.frame, rights == result.rights)
    return condition(And(truth(condition(granted)), truth(condition(exact))))


def walk_claims(name: str, form: NestedFormat) -> Iterator[Claim]:
    """`nested_walk` for any owner of a nested table, or `io_walk`, from any tables with their structure intact."""
    setting = raw_setting(form)
    before = setting.state(setting.before)
    known = rules(TABLE_CLAUSES, before)
    kind, owner = (bits.NESTED, OWNER) if name == "nested_walk" else (bits.IO, DEVICES)

    def code(run: Run) -> object:
        machine = setting.machine(run)
        machine.storage.guard = None
        root = before.root[kind, owner]
        run.assume(condition(And(Not(root == 0), Not(owner == 0))), "the table exists")
        if kind == bits.IO:
            run.assume(condition(before.io_root[()] == root), "the IOMMU walks it")
        result = _call(machine, name, root)
        with ghost():
            run.goals.append(("LEAF", agrees(before, kind, owner, FRAME, result)))
            run.goals.append(("STORAGE", boolean(machine.storage.snapshot().unchanged(run.pre))))
        return result

    facts = setting.facts[:2]
    oracle = PathOracle(known, rounds=ROUNDS, facts=[term for _, term in facts])
    for path in explore(code, setting.shapes, oracle):
        yield from path_claims(f"T9h/{name}", path, known, facts, ROUNDS)


def _call(machine: SymbolicMachine, name: str, root: Number) -> mmu.Walk:
    walker: Callable[..., Any] = mmu.nested_walk if name == "nested_walk" else iommu.io_walk
    arguments = (machine, root, FRAME) if name == "nested_walk" else (machine, FRAME)
    result = walker(*arguments)
    if not isinstance(result, mmu.Walk):
        raise TypeError("a walk returns a Walk")
    return result


# --- contracts of walks -----------------------------------------------------------------------------------------


def state_of(machine: SymbolicMachine) -> MonitorState:
    """The machine's present state as clauses read it."""
    form = NestedFormat[getattr(machine.nested_format, "name")]  # noqa: B009 (the monitor's own enumeration)
    return MonitorState(machine.storage.snapshot(), machine.layout, form)


def leaf_walk(machine: SymbolicMachine, kind: int, owner: Number, frame: Number) -> mmu.Walk:
    """The contract of `nested_walk` and `io_walk`: the leaf in the directory decides."""
    machine.run.event("nested", frame)
    if frame >> 36 != 0:
        return mmu.Walk(mmu.Kind.NESTED_FAULT, frame, 0)  # type: ignore[arg-type]  # symbolic numbers
    s = state_of(machine)
    leaf = s.leaf[kind, owner, frame & PAGE_MASK]
    rights = leaf & 3 if kind == bits.IO else bits.nested_rights(s.form, leaf)
    if rights == 0:
        return mmu.Walk(mmu.Kind.NESTED_FAULT, frame, 0)  # type: ignore[arg-type]  # as above
    return mmu.Walk(mmu.Kind.TRANSLATED, bits.frame_of(leaf), rights)  # type: ignore[arg-type]  # as above


def guest_walk(machine: SymbolicMachine, owner: Number, page: Number) -> mmu.Walk:
    """The contract of `walk` in an enclave: its guest leaf, then the nested leaf of the frame in it."""
    leaf = state_of(machine).leaf[bits.GUEST, owner, page]
    rights = bits.x86_rights(leaf)
    if rights == 0:
        return mmu.Walk(mmu.Kind.GUEST_FAULT, page, 0)  # type: ignore[arg-type]  # as above
    result = leaf_walk(machine, bits.NESTED, owner, bits.frame_of(leaf))
    if result.kind is not mmu.Kind.TRANSLATED:
        return result
    return mmu.Walk(mmu.Kind.TRANSLATED, result.frame, rights & result.rights)  # type: ignore[arg-type]  # as above


def for_user_code(s: MonitorState, owner: Number, page: Number) -> object:
    """A present leaf has bit U, so that the privilege inside the enclave makes no difference."""
    leaf = s.leaf[bits.GUEST, owner, page]
    return Or(bits.bit(leaf, 0) == 0, And(bits.bit(leaf, 2) == 1, (leaf >> 7) & 1 == 0))


def require_roots(machine: SymbolicMachine, cpu: Number, owner: Number, page: Number) -> None:
    """The CPU walks the tables of this enclave, whose leaves are for user code."""
    s, run = state_of(machine), machine.run
    run.require(
        condition(machine.storage.register[cpu, CR3] == s.root[bits.GUEST, owner] << 12), "walk: the guest root"
    )
    nested = machine.storage.register[cpu, NESTED_ROOT] == s.root[bits.NESTED, owner] << 12
    run.require(condition(nested), "walk: the nested root")
    both = And(Not(s.root[bits.GUEST, owner] == 0), Not(s.root[bits.NESTED, owner] == 0), is_enclave(owner))
    run.require(condition(both), "walk: both tables exist")
    run.require(condition(for_user_code(s, owner, page)), "walk: a leaf for user code")


def guest_claims(name: str, form: NestedFormat) -> Iterator[Claim]:
    """`walk` with the roots of any enclave, each of its table fetches translated, from intact tables."""
    setting = raw_setting(form)
    before = setting.state(setting.before)
    known = rules(TABLE_CLAUSES, before)
    cpu, page = setting.cpu, unknown("page", 36)

    def contract(machine: SymbolicMachine, root: Number, frame: Number) -> mmu.Walk:
        table = state_of(machine).root[bits.NESTED, OWNER]
        machine.run.require(condition(And(root == table, Not(root == 0))), "nested_walk: the enclave's root")
        if sum(event[0] == "nested" for event in machine.run.events) == LEVELS:
            return leaf_walk(machine, bits.NESTED, OWNER, frame)
        machine.run.event("nested", frame)
        own = And(
            before.pool_owner[frame] == OWNER, before.table_kind[frame] == bits.GUEST, in_pool(before.layout, frame)
        )
        machine.run.require(condition(own), "a table of the enclave's guest table")
        mapped = bits.nested_leaf(before.form, before.leaf[bits.NESTED, OWNER, frame & PAGE_MASK], frame, READ_WRITE)
        machine.run.require(condition(And(frame >> 36 == 0, mapped)), "which the nested table maps")
        return mmu.Walk(mmu.Kind.TRANSLATED, frame, READ_WRITE)  # type: ignore[arg-type]  # symbolic numbers

    def code(run: Run) -> object:
        machine = setting.machine(run)
        machine.storage.guard = None
        roots = And(Not(before.root[bits.GUEST, OWNER] == 0), Not(before.root[bits.NESTED, OWNER] == 0))
        registers = And(
            before.register[cpu, CR3] == before.root[bits.GUEST, OWNER] << 12,
            before.register[cpu, NESTED_ROOT] == before.root[bits.NESTED, OWNER] << 12,
            for_user_code(before, OWNER, page),
        )
        run.assume(condition(And(is_enclave(OWNER), roots, registers)), "the CPU walks the enclave's tables")
        result = mmu.walk(machine, cpu, page)  # type: ignore[arg-type]  # symbolic machine
        with ghost():
            run.goals.append(("LEAF", _guest_agrees(before, page, result)))
            run.goals.append(("STORAGE", boolean(machine.storage.snapshot().unchanged(run.pre))))
        return result

    facts = setting.facts[:2]
    oracle = PathOracle(known, rounds=ROUNDS, facts=[term for _, term in facts])
    with substituted({mmu.nested_walk: contract}):
        paths = explore(code, setting.shapes, oracle)
    for path in paths:
        yield from path_claims(f"T9h/{name}", path, known, facts, ROUNDS)


def _guest_agrees(s: MonitorState, page: Number, result: mmu.Walk) -> Term:
    """Translated exactly if both leaves grant something, with what both grant; else a fault of the first that does not.

    A fault, which has no rights, is of the guest table at the page, or of the nested table at the frame in the leaf.
    """
    leaf = s.leaf[bits.GUEST, OWNER, page]
    rights, frame = bits.x86_rights(leaf), bits.frame_of(leaf)
    nested = s.leaf[bits.NESTED, OWNER, frame & PAGE_MASK]
    further = bits.nested_rights(s.form, nested)
    granted = And(Not(rights == 0), frame >> 36 == 0, Not(further == 0))
    if result.kind is mmu.Kind.GUEST_FAULT:
        return condition(And(result.frame == page, result.rights == 0, rights == 0))
    if result.kind is mmu.Kind.NESTED_FAULT:
        here = And(result.frame == frame, result.rights == 0)
        return condition(And(here, Not(rights == 0), Not(truth(condition(granted)))))
    exact = And(bits.frame_of(nested) == result.frame, result.rights == rights & further)
    return condition(And(truth(condition(granted)), truth(condition(exact))))
