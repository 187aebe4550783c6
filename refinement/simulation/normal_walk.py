"""T9h: hardware's walk for the normal VM ends in a leaf of the VM's nested table, whatever the VM's own tables say.

The VM's tables lie in memory that it may change between any two fetches, so nothing is said of their words, of CR3 or
of the privilege.  `refinement.simulation.hardware` uses the walk by contract: it faults, or translates some guest
frame as the nested table says, with at most the rights of the nested leaf, and writes nothing.  Here the real walker
is run and the contract proved; nested walks are used by the contract that ``T9h/nested_walk`` proves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from impl.machine import layout, mmu
from impl.machine.registers import NESTED_ROOT
from model.language.logic import And, Not
from model.language.terms import Term, boolean
from refinement import bits
from refinement.bits import NestedFormat
from refinement.contracts.setting import Setting
from refinement.contracts.substitution import substituted
from refinement.engine.explorer import Path, explore
from refinement.engine.machine import SymbolicMachine
from refinement.engine.merging import merged
from refinement.engine.obligations import Claim, path_claims
from refinement.engine.pruning import PathOracle
from refinement.engine.run import Run
from refinement.engine.values import Number, condition, ghost, number_of, unknown, word_of
from refinement.invariants.state import MonitorState
from refinement.invariants.tables import NORMAL_VM, PAGE_MASK
from refinement.simulation.walks import leaf_walk, raw_setting, state_of

NAME: Final = "normal_walk"
PAGE: Final = unknown("page", 36)


def nested_walk(machine: SymbolicMachine, root: Number, frame: Number) -> mmu.Walk:
    """The contract of `mmu.nested_walk` from the normal VM's root: the leaf in the directory decides."""
    table = state_of(machine).root[bits.NESTED, NORMAL_VM]
    machine.run.require(condition(And(root == table, Not(root == 0))), "nested_walk: the normal VM's root")
    return leaf_walk(machine, bits.NESTED, NORMAL_VM, frame)


def contained(s: MonitorState, frame: Number, result: mmu.Walk) -> Term:
    """The result is the nested leaf of a guest frame: its frame, and READ with no right that the leaf withholds."""
    leaf = s.leaf[bits.NESTED, NORMAL_VM, frame & PAGE_MASK]
    granted = bits.nested_rights(s.form, leaf)
    within = And(frame >> 36 == 0, Not(granted == 0), bits.within(result.rights, granted))
    return condition(And(within, bits.frame_of(leaf) == result.frame, result.rights & bits.READ == granted & bits.READ))


def paths(setting: Setting) -> list[Path]:
    """Every path of the walk, its last nested walk being the one that decides."""
    before = setting.state(setting.before)
    facts = [term for _, term in setting.facts[:2]]

    def code(run: Run) -> object:
        machine = setting.machine(run)
        machine.storage.guard = None  # hardware reads any memory
        root = before.root[bits.NESTED, NORMAL_VM]
        walks_it = And(Not(root == 0), before.register[setting.cpu, NESTED_ROOT] == root << 12)
        run.assume(condition(walks_it), "the CPU walks the normal VM's nested table")
        result = mmu.walk(machine, setting.cpu, PAGE)  # type: ignore[arg-type]  # symbolic machine
        with ghost():
            if result.kind is mmu.Kind.TRANSLATED:
                run.goals.append(("NESTED", contained(before, last_frame(run), result)))
            else:
                run.goals.append(("FAULT", condition(result.rights == 0)))
            run.goals.append(("STORAGE", boolean(run.storage.snapshot().unchanged(run.pre))))
        return result

    with substituted({mmu.nested_walk: nested_walk, layout.is_normal: merged(layout.is_normal)}):
        return explore(code, setting.shapes, PathOracle((), facts=facts))


def last_frame(run: Run) -> Number:
    """The guest frame of the last nested walk."""
    frames = [event[1] for event in run.events if event[0] == "nested"]
    frame = frames[-1]
    return frame if isinstance(frame, int) else number_of(word_of(frame, bits.FRAME_BITS, "guest frame"))  # type: ignore[arg-type]  # events carry numbers


def claims(form: NestedFormat) -> Iterator[Claim]:
    """The claims that `mmu.walk` keeps the contract, on each of its paths."""
    setting = raw_setting(form)
    for path in paths(setting):
        yield from path_claims(f"T9h/{NAME}", path, (), setting.facts[:2])
