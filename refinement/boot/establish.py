"""Boot proved: from any valid layout and storage that is all 0 it establishes invariant and initial states.

The real `boot` runs with its four loops by invariant rule.  Obligations are ``T9/boot/<part>/path-k/...``; a part is a
loop (that its head holds on entry and after one step) or ``done`` (what holds when boot returns).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from impl.machine import layout as machine_layout
from impl.machine.primitives import Machine
from impl.monitor.boot import boot
from model.hyperenclave.specification import HYPERENCLAVE
from model.language.logic import And, Implies, Value
from model.language.terms import TRUE, Term, number
from refinement import bits
from refinement.abstraction import Abstraction
from refinement.boot.heads import (
    LEVELS_OF_LOOPS,
    LOOPS,
    ROOTS,
    WRITTEN,
    Progress,
    begun,
    clauses,
    enough,
    keyless,
    missing_now,
    ranges_begun,
    taken_now,
    used,
)
from refinement.contracts.setting import Setting
from refinement.contracts.substitution import substituted
from refinement.engine.explorer import explore
from refinement.engine.instances import Rule
from refinement.engine.machine import Loop, SymbolicMachine
from refinement.engine.merging import merged
from refinement.engine.obligations import Claim, path_claims, split
from refinement.engine.pruning import PathOracle
from refinement.engine.run import PathEndError, Run
from refinement.engine.storage import SymbolicStorage, View
from refinement.engine.values import EngineError, Number, condition, ghost, unknown, word_of
from refinement.interpretation import functions
from refinement.invariants.layout import well_formed
from refinement.invariants.rules import CLAUSES, COUNTING, goal, instance, rules
from refinement.invariants.state import MonitorState
from refinement.invariants.tables import NORMAL_VM, PAGE_MASK
from refinement.opaque import Range, difference
from refinement.simulation.ghost import Quantifiers, SymbolicBeyond

PARTS: Final = ("epcm", "normal-vm", "devices", "cpus", "done", "sizes")
LEVEL_BITS: Final = 41
MULTIPLIED: Final = "bytes per EPC frame"
WITH_PRODUCTS: Final = "LAYOUT.2"
PURE: Final = {pure: merged(pure) for pure in (machine_layout.is_normal, machine_layout.is_epc)}
SIZES: Final = ("POOL",)
"""Claims about sizes."""
SIZES_OF: Final = ("POOL", MULTIPLIED, "room for", "lemma on", "accounts for", "more tables than ranges")
"""Premises about sizes, by words in their names."""
IN_PARTS: Final = ("ENTRY", "OWN-TABLES")
"""Clauses whose parts are claims of their own: together they are too much for one query."""
ADDRESS_BITS: Final = 48
ROUNDS: Final = 2


def part_claims(part: str, form: bits.NestedFormat) -> Iterator[Claim]:
    """Everything to prove about one part of PARTS."""
    setting = Setting(form, False, {})
    if part == "sizes":
        yield from size_claims(setting)
        return
    number_of_part = PARTS.index(part)
    facts = [*layout_facts(setting), *well_formed_parts(setting)]
    oracle = PathOracle(_known(setting, number_of_part), facts=[term for _, term in facts])
    with substituted(PURE):
        paths = explore(lambda run: _Boot(setting, run, number_of_part).run_it(), setting.shapes, oracle)
    for path in paths:
        for claim in path_claims(f"T9/boot/{part}", path, (), facts, ROUNDS):
            lean = _relevant(claim)
            yield from split(lean) if lean.name.endswith(IN_PARTS) and not lean.evident else (lean,)


def size_claims(setting: Setting) -> Iterator[Claim]:
    """Lemmas about sizes alone: a valid layout is well formed, and sums of what levels account for."""
    facts, y = layout_facts(setting), setting.layout
    with ghost():
        products = condition(Implies(y.epc_first < y.epc_end, y.epc_first * 3 < y.epc_end * 3))
    yield Claim("T9/boot/sizes/PRODUCTS", (), products, ())
    lemma = ("products", products)
    for name, goal_term in well_formed_parts(setting):
        wanted = [fact for fact in facts if (MULTIPLIED in fact[0]) == (name == WITH_PRODUCTS)]
        some = (*wanted, *(fact for fact in facts if "EPC has" in fact[0]), lemma) if name == WITH_PRODUCTS else wanted
        yield Claim(f"T9/boot/sizes/{name}", tuple(some), goal_term, ())
    count = len(LEVELS_OF_LOOPS)
    old, new = ([unknown(f"{when}.{n}", LEVEL_BITS) for n in range(count)] for when in ("old", "new"))
    taken = [unknown(f"taken.{n}", 1) for n in range(count)]
    with ghost():
        total = sums(setting, (unknown("free", 40), unknown("left", 40)), old, taken, new)
        room = rooms(setting, unknown("free", 40), old, taken, new)
    yield Claim("T9/boot/sizes/SUMS", (), condition(total), ())
    yield Claim("T9/boot/sizes/ROOM", (), condition(room), ())


def well_formed_parts(setting: Setting) -> list[tuple[str, Term]]:
    """What the invariant says of the layout, one comparison each."""
    with ghost():
        whole = condition(well_formed(setting.state(setting.before)))
    return [(f"LAYOUT.{number}", part) for number, part in enumerate(whole.arguments)]


def sums(
    setting: Setting, pool: tuple[Number, Number], old: Sequence[Number], taken: Sequence[Number], new: Sequence[Number]
) -> Value:
    """If each level accounts for what was taken there, the pool (free before, free after) still suffices."""
    free, left = pool
    accounted = And(*(t + a <= b for t, a, b in zip(taken, old, new, strict=True)))
    enough_before = enough(setting.layout, free, old)
    counted = left + _total(taken) == free
    return Implies(And(enough_before, accounted, counted), enough(setting.layout, left, new))


def rooms(
    setting: Setting, free: Number, old: Sequence[Number], missing: Sequence[Number], most: Sequence[Number]
) -> Value:
    """If no level exceeds its most with the tables that it misses now, the pool has as many frames free."""
    y = setting.layout
    below = And(*(m + a <= b for m, a, b in zip(missing, old, most, strict=True)))
    room = y.pool_first + ROOTS + _total(most) <= y.epc_first
    return Implies(And(enough(y, free, old), below, room), _total(missing) <= free)


def _total(numbers: Sequence[Number]) -> Number:
    total: Number = 0
    for each in numbers:
        total = total + each
    return total


def _relevant(claim: Claim) -> Claim:
    """Without the premises about sizes where they can not matter; fewer premises prove no more than all of them."""
    if claim.name.endswith((*SIZES, "conditions", "coverage", "ranges")):
        return claim
    return replace(claim, premises=tuple(p for p in claim.premises if not any(size in p[0] for size in SIZES_OF)))


def layout_facts(setting: Setting) -> list[tuple[str, Term]]:
    """The layout is valid: what the launcher has checked."""
    layout = cast("machine_layout.Layout", setting.layout)  # the same names, symbolic
    with ghost():
        return [(f"layout: {name}", condition(holds)) for name, holds in machine_layout.valid_layout(layout)]


def _variable(loop: int) -> Number:
    return unknown(f"step.{LOOPS[loop].part}", LOOPS[loop].width)


def _progress(setting: Setting, part: int) -> Progress:
    """At the head of the loop that is the part: the ones before are through, this one at an arbitrary step."""
    progress = begun(setting.layout, part)
    return LOOPS[part].at(progress, _variable(part)) if part < len(LOOPS) else progress


def _forget(storage: SymbolicStorage, loop: int) -> View:
    """The storage at the head of a loop: all that boot writes is arbitrary."""
    for name in WRITTEN:
        storage.havoc(name, f"head.{LOOPS[loop].part}", lambda _: TRUE)
    return storage.snapshot()


def _known(setting: Setting, part: int) -> list[Rule]:
    """The facts at the head of the part's loop, for the path oracle."""
    if part == len(LOOPS):
        return []
    view = _forget(SymbolicStorage(setting.shapes), part)
    return rules(clauses(_progress(setting, part)), setting.state(view), view)


class _Boot:
    """One run of boot up to a part."""

    def __init__(self, setting: Setting, run: Run, part: int) -> None:
        self.setting = setting
        self.run = run
        self.part = part
        self.machine: SymbolicMachine = setting.machine(run)
        self.machine.loops = {loop.name: self._loop(n) for n, loop in enumerate(LOOPS)}
        self.nested_root: Number = 0

    def run_it(self) -> None:
        """Boot from 0; what holds at the end of the part becomes goals."""
        self._zero()
        boot(cast("Machine", self.machine))
        view = self.run.storage.snapshot()
        with ghost():
            self.run.goals.extend(_established(self.setting.state(view)))

    def _zero(self) -> None:
        """Storage that is all 0, every pool frame being free."""
        storage, y = self.run.storage, self.setting.layout
        for name, node in storage.nodes.items():
            nothing = number(0, node.shape.width)
            storage.fill(name, lambda _: TRUE, lambda _, nothing=nothing: nothing)
        free = word_of(difference(y.epc_first, y.pool_first, 40), 40, "pool_free")
        storage.fill("pool_free", lambda _: TRUE, lambda _: free)

    def _loop(self, loop: int) -> Loop:
        def rule(
            run: Run, machine: SymbolicMachine, first: Number, end: Number, body: Callable[[Number], None], /
        ) -> None:
            del run, machine
            if loop == 0:
                self.nested_root = self._state().root[bits.NESTED, NORMAL_VM]
            if loop < self.part:
                self._assume(loop, LOOPS[loop].after(begun(self.setting.layout, loop), self.setting.layout))
            else:
                self._step(loop, first, end, body)

        return rule

    def _state(self) -> MonitorState:
        return self.setting.state(self.run.storage.snapshot())

    def _step(self, loop: int, first: Number, end: Number, body: Callable[[Number], None]) -> None:
        """The head holds on entry; from any step at which it holds it holds at the next one."""
        run, i = self.run, _variable(loop)
        run.require(condition(first <= end), "the loop does not begin behind its end")
        run.require(condition(end <= 1 << LOOPS[loop].width), "its variable has enough bits")
        started = LOOPS[loop].at(begun(self.setting.layout, loop), first)
        for name, term in self._facts(started):
            run.require(term, f"entry {name}", apart=True)
        self._assume(loop, _progress(self.setting, loop))
        run.assume(condition(first <= i), "a step of the loop")
        run.assume(condition(i < end), "a step of the loop")
        untouched, head = _untouched(run.storage), self._state()
        self._make_room(loop, head)
        body(i)
        if _untouched(run.storage) != untouched:
            raise EngineError(f"{LOOPS[loop].name} writes more than {WRITTEN}")
        run.goals.extend(self._facts(self._account(loop, head)))
        raise PathEndError

    def _make_room(self, loop: int, head: MonitorState) -> None:
        """The pool has a frame for each table that this step may need."""
        progress, y, numbers = _progress(self.setting, loop), self.setting.layout, range(len(LEVELS_OF_LOOPS))
        with ghost():
            old = [used(head, progress, n) for n in numbers]
            own = [LEVELS_OF_LOOPS[n][2] == LOOPS[loop].part for n in numbers]
            missing = [missing_now(head, progress, n) if own[n] else 0 for n in numbers]
            most = [ranges_begun(y.memory_end, LEVELS_OF_LOOPS[n][3]) for n in numbers]
            below = [condition(missing[n] + old[n] <= most[n]) for n in numbers]
            room = condition(y.pool_first + ROOTS + _total(most) <= y.epc_first)
            enough_left = rooms(self.setting, head.pool_free[()], old, missing, most)
        for n in numbers:
            self.run.require(below[n], f"level {n} has no more tables than ranges", apart=True)
        self.run.require(room, "POOL has room for all ranges", apart=True)
        self.run.assume(condition(enough_left), "by the lemma on room")

    def _account(self, loop: int, head: MonitorState) -> Progress:
        """The progress after the step, and why the pool still suffices: level by level, then by the lemma on sums."""
        before = _progress(self.setting, loop)
        after = LOOPS[loop].at(before, _variable(loop) + 1)
        now, numbers = self._state(), range(len(LEVELS_OF_LOOPS))
        with ghost():
            old, new = ([used(s, p, n) for n in numbers] for s, p in ((head, before), (now, after)))
            taken = [
                taken_now(head, now, before, n) if LEVELS_OF_LOOPS[n][2] == LOOPS[loop].part else 0 for n in numbers
            ]
            free, left = head.pool_free[()], now.pool_free[()]
            accounted = [condition(taken[n] + old[n] <= new[n]) for n in numbers]
            counted = condition(left + _total(taken) == free)
            total = sums(self.setting, (free, left), old, taken, new)
        for n in numbers:
            self.run.require(accounted[n], f"level {n} accounts for its tables", apart=True)
        self.run.require(counted, "all that is taken is accounted for", apart=True)
        self.run.assume(condition(total), "by the lemma on sums")
        return after

    def _assume(self, loop: int, progress: Progress) -> None:
        """Go to the head of a loop with this progress."""
        view = _forget(self.run.storage, loop)
        self.run.rules.extend(rules(clauses(progress), self.setting.state(view), view))
        for name, term in self._facts(progress) if loop == self.part else self._through(progress):
            self.run.assume(term, f"{name} at the head")

    def _through(self, progress: Progress) -> list[tuple[str, Term]]:
        """The facts without keys, and those about leaves at the pages that goals are about."""
        state = self._state()
        places = (unknown("any.v", 36), unknown("any.f", 40) & PAGE_MASK)
        terms = [word_of(place, 36, "a page") for place in places]
        leaves = [clause for clause in clauses(progress) if tuple(clause.keys) == ("v",)]
        return [*self._keyless(progress), *((c.name, instance(c, state, (term,))) for c in leaves for term in terms)]

    def _facts(self, progress: Progress) -> list[tuple[str, Term]]:
        """The head in the present state, at arbitrary places."""
        state = self._state()
        return [*self._keyless(progress), *((clause.name, goal(clause, state)) for clause in clauses(progress))]

    def _keyless(self, progress: Progress) -> list[tuple[str, Term]]:
        with ghost():
            facts = keyless(self._state(), progress, self.nested_root)
            return [(name, condition(value)) for name, value in facts]


def _untouched(storage: SymbolicStorage) -> list[int]:
    """The fields that boot leaves alone, as they are."""
    return [id(node) for name, node in storage.nodes.items() if name not in WRITTEN]


# --- what boot is for -----------------------------------------------------------------------------------------------


def _established(state: MonitorState) -> Iterator[tuple[str, Term]]:
    """Every clause of the invariant, and every initial clause of the model."""
    for clause in (*CLAUSES, *COUNTING):
        yield clause.name, goal(clause, state)
    model = Abstraction(state, SymbolicBeyond(Quantifiers()), functions(symbolic=True)).state
    for name, clause in HYPERENCLAVE.initial.items():
        keys: dict[str, Any] = {key: _any(key, sort.name) for key, sort in clause.over.items()}
        yield name, condition(cast("Value", clause.formula(model, **keys)))


def _any(key: str, sort: str) -> object:
    """An arbitrary value of a sort of the model."""
    if sort == "Range":
        return Range(unknown(f"any.{key}.start", ADDRESS_BITS), unknown(f"any.{key}.end", ADDRESS_BITS))
    return unknown(f"any.{key}", {"Frame": 40, "Enclave": 52, "Page": 36, "Cpu": 9}[sort])


__all__ = ["PARTS", "layout_facts", "part_claims"]
