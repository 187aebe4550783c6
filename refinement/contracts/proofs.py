"""The contracts proved: the real table operations, run on real table words, do what callers are told.

States here satisfy the structure clauses of the tables (`refinement.invariants.tables`) and nothing else is assumed.
Every obligation is ``T9/contract/<name>/path-k/...``; ``LEAF`` and ``ROOT`` compare the tables, read at an arbitrary
place, with the map that the contract promises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from impl.monitor import tables
from model.language.logic import And, Implies, Not, Or
from model.language.terms import Term, boolean, t_and
from refinement import bits
from refinement.contracts import loops, structure
from refinement.contracts import tables as table_contracts
from refinement.contracts.setting import TABLE_FIELDS, Setting
from refinement.contracts.substitution import substituted
from refinement.engine import words
from refinement.engine.explorer import explore
from refinement.engine.machine import POOL_ROOM, SymbolicMachine
from refinement.engine.obligations import Claim, path_claims, split
from refinement.engine.pruning import PathOracle
from refinement.engine.run import PathEndError, Run
from refinement.engine.values import EngineError, Number, condition, ghost, merge, truth, unknown
from refinement.invariants.layout import in_pool
from refinement.invariants.rules import goal, rules
from refinement.invariants.state import MonitorState
from refinement.invariants.tables import TABLE_CLAUSES, is_enclave

OWNER: Final = unknown("owner", 52)
PAGE: Final = unknown("page", 36)
TABLE: Final = unknown("table", 40)
WORD: Final = unknown("word", 64)
ANY_KIND, ANY_OWNER, ANY_PAGE = unknown("any.kind", 2), unknown("any.owner", 52), unknown("any.page", 36)

POOL_MASK: Final = (1 << 40) - 1

WHOLE: Final = "unmap shared range"
"""The name of the loop of `impl.monitor.tables.unmap_range`."""

IN_PARTS: Final = ("ENTRY", "OWN-TABLES")
"""Clauses whose parts are claims of their own: together they are too much for one query."""

Promise = Callable[[MonitorState, object], Number]


@dataclass(frozen=True)
class Lemma:
    """One contract: what is known before, the real code, and what its result and the tables are afterwards.

    `leaf(before, result)` and `root(before, result)` give the promised map at ANY_KIND, ANY_OWNER, ANY_PAGE;
    `loose` says where the leaf is not promised; `most` bounds the frames taken.
    """

    name: str
    known: Callable[[MonitorState], object]
    code: Callable[[SymbolicMachine], object]
    leaf: Promise
    root: Promise
    most: int | None
    loose: Callable[[MonitorState], object] = lambda _: False
    result: Callable[[MonitorState, object], object] = lambda _, __: True
    exempt: Callable[[MonitorState, object], object] | None = None  # where OWN-TABLES need not hold afterwards
    waived: tuple[Number, Number] | None = None  # the (owner, frame) of which OWN-TABLES is not known before
    uses: Mapping[Callable[..., Any], Callable[..., Any]] = field(default_factory=dict[Any, Any])  # by contract
    frame: bool = False  # what callers on real words rely on: which records and words stay as they are


def _old_leaf(s: MonitorState, _: object) -> Number:
    return s.leaf[ANY_KIND, ANY_OWNER, ANY_PAGE]


def _old_root(s: MonitorState, _: object) -> Number:
    return s.root[ANY_KIND, ANY_OWNER]


def _here(kind: int) -> object:
    return And(kind == ANY_KIND, ANY_OWNER == OWNER, ANY_PAGE == PAGE)


def _written(kind: int, word: Number) -> Promise:
    return lambda s, _: merge(_here(kind), word, _old_leaf(s, _))


def _new_root(kind: int) -> Promise:
    def promised(s: MonitorState, result: object) -> Number:
        if not isinstance(result, int | type(OWNER)):
            raise AssertionError("create_root returns a frame")
        return merge(And(kind == ANY_KIND, ANY_OWNER == OWNER), result, _old_root(s, result))

    return promised


def _released(old: Promise) -> Promise:
    return lambda s, result: merge(ANY_OWNER == OWNER, 0, old(s, result))


def _visible(s: MonitorState, kind: int) -> object:
    return Not(And(kind == bits.NESTED, is_enclave(OWNER), in_pool(s.layout, PAGE)))


def _pool_leaves(s: MonitorState) -> object:
    return And(ANY_KIND == bits.NESTED, ANY_OWNER == OWNER, in_pool(s.layout, ANY_PAGE))


def _has(s: MonitorState, kind: int) -> object:
    return And(OWNER != 0, s.root[kind, OWNER] != 0)


def _call(function: Callable[..., Any], *arguments: object) -> Callable[[SymbolicMachine], object]:
    return lambda machine: function(machine, *arguments)


def _create_root(kind: int) -> Lemma:
    def known(s: MonitorState) -> object:
        free = And(OWNER != 0, s.root[kind, OWNER] == 0, s.pool_free[()] >= 1)
        return And(free, s.root[bits.GUEST, OWNER] == TABLE) if kind == bits.NESTED else free

    def frame(s: MonitorState, result: Any) -> object:
        others = And(*(s.root[k, OWNER] != result for k in (1, 2, 3)))
        return And(result != 0, in_pool(s.layout, result), others)

    ours, any_frame = unknown("any.o", 52) == OWNER, unknown("any.f", 40)
    exempt: dict[int, Callable[[MonitorState, object], object] | None] = {
        bits.GUEST: lambda _, result: And(ours, any_frame == result),
        bits.NESTED: lambda _, __: And(ours, any_frame == TABLE),
        bits.IO: None,
    }
    return Lemma(
        f"create_root/{kind}",
        known,
        _call(tables.create_root, kind, OWNER),
        _old_leaf,
        _new_root(kind),
        1,
        result=frame,
        exempt=exempt[kind],
        # ECREATE makes the nested root while the guest root is not mapped yet.
        waived=(OWNER, TABLE) if kind == bits.NESTED else None,
    )


def _map_leaf(kind: int) -> Lemma:
    return Lemma(
        f"map_leaf/{kind}",
        lambda s: And(_has(s, kind), _visible(s, kind), s.pool_free[()] >= table_contracts.NESTED_FRAMES),
        _call(tables.map_leaf, kind, OWNER, PAGE, WORD),
        _written(kind, WORD),
        _old_root,
        table_contracts.NESTED_FRAMES,
    )


def _unmap(kind: int) -> Lemma:
    return Lemma(
        f"unmap/{kind}",
        lambda s: _visible(s, kind),
        _call(tables.unmap, kind, OWNER, PAGE),
        _written(kind, 0),
        _old_root,
        0,
    )


def _leaf_word(kind: int) -> Lemma:
    return Lemma(
        f"leaf_word/{kind}",
        lambda _: True,
        _call(tables.leaf_word, kind, OWNER, PAGE),
        _old_leaf,
        _old_root,
        0,
        result=lambda s, result: s.leaf[kind, OWNER, PAGE] == result,
    )


def _pending(s: MonitorState) -> object:
    own = And(is_enclave(OWNER), s.pool_owner[TABLE] == OWNER, s.table_kind[TABLE] == bits.GUEST)
    return And(own, in_pool(s.layout, TABLE), _has(s, bits.NESTED), s.pool_free[()] >= table_contracts.NESTED_FRAMES)


MAP_OWN_TABLE: Final = Lemma(
    "map_own_table",
    _pending,
    _call(tables.map_own_table, OWNER, TABLE),
    _old_leaf,
    _old_root,
    table_contracts.NESTED_FRAMES,
    loose=lambda _: And(ANY_KIND == bits.NESTED, ANY_OWNER == OWNER, ANY_PAGE == TABLE),
    waived=(OWNER, TABLE),
    frame=True,
)

MAP_GUEST: Final = Lemma(
    "map_guest",
    lambda s: And(
        is_enclave(OWNER), _has(s, bits.GUEST), _has(s, bits.NESTED), s.pool_free[()] >= table_contracts.GUEST_FRAMES
    ),
    _call(tables.map_guest, OWNER, PAGE, WORD),
    _written(bits.GUEST, WORD),
    _old_root,
    table_contracts.GUEST_FRAMES,
    loose=_pool_leaves,
    uses={tables.map_own_table: structure.map_own_table},
)

RELEASE: Final = Lemma(
    "pool_release",
    lambda _: OWNER != 0,
    lambda machine: machine.pool_release(OWNER),
    _released(_old_leaf),
    _released(_old_root),
    None,
)

LEMMAS: Final[tuple[Lemma, ...]] = (
    *(_create_root(kind) for kind in (bits.GUEST, bits.NESTED, bits.IO)),
    *(_map_leaf(kind) for kind in (bits.NESTED, bits.IO)),
    *(_unmap(kind) for kind in (bits.GUEST, bits.NESTED)),
    *(_leaf_word(kind) for kind in (bits.GUEST, bits.NESTED)),
    MAP_OWN_TABLE,
    MAP_GUEST,
    RELEASE,
)


def lemma_claims(lemma: Lemma, setting: Setting) -> Iterator[Claim]:
    """Run the real code on real table words and state what the contract promises."""
    before = setting.state(setting.before)
    clauses = TABLE_CLAUSES if lemma.waived is None else structure.waiving(*lemma.waived)
    known = rules(clauses, before)

    def code(run: Run) -> object:
        machine = setting.machine(run)
        run.assume(condition(lemma.known(before)), f"precondition of {lemma.name}")
        result = lemma.code(machine)
        machine.storage.guard = None
        with ghost():
            after = setting.state(run.storage.snapshot())
            run.goals.extend(_goals(lemma, before, after, result))
            run.goals.extend(_nothing_else(run, before, after))
            if lemma.frame:
                run.goals.extend(structure.frame_goals(OWNER, before, after))
        return result

    oracle = PathOracle(known, facts=[term for _, term in setting.facts[:2]])
    with substituted(lemma.uses):
        paths = explore(code, setting.shapes, oracle)
    for path in paths:
        for claim in path_claims(f"T9/contract/{lemma.name}", path, known, setting.facts[:2]):
            yield from split(claim) if claim.name.endswith(IN_PARTS) and not claim.evident else (claim,)


def _goals(lemma: Lemma, before: MonitorState, after: MonitorState, result: object) -> Iterator[tuple[str, Term]]:
    leaf = after.leaf[ANY_KIND, ANY_OWNER, ANY_PAGE] == lemma.leaf(before, result)
    yield "LEAF", condition(Or(lemma.loose(before), leaf))
    yield "ROOT", condition(after.root[ANY_KIND, ANY_OWNER] == lemma.root(before, result))
    yield "RESULT", condition(lemma.result(before, result))
    left, free = after.pool_free[()], before.pool_free[()]
    yield "ROOM", _moved_alike(before, after)
    if lemma.most is not None:
        yield "POOL", condition(And(left <= free, free <= left + lemma.most))
    for clause in TABLE_CLAUSES:
        holds = goal(clause, after)
        if lemma.waived is None or clause.name != "OWN-TABLES":
            holds = condition(Implies(truth(goal(clause, before)), truth(holds)))
        if clause.name == "OWN-TABLES" and lemma.exempt is not None:
            holds = condition(Or(lemma.exempt(before, result), truth(holds)))
        yield clause.name, holds


TABLE_STATE: Final = ("pool_owner", "pool_free", POOL_ROOM, "memory", *(n for n in TABLE_FIELDS if n != "pool_owner"))
"""What table operations may write; of `memory` frames of the pool only."""


def _nothing_else(run: Run, before: MonitorState, after: MonitorState) -> Iterator[tuple[str, Term]]:
    """Other fields, memory outside the pool and the records of measurement stay as they are."""
    silent = all(event[0] in ("pool_take", "split") for event in run.events)
    kept = loops.only_written(run.pre, run.storage.snapshot(), TABLE_STATE)
    yield "OTHER-FIELDS", t_and([boolean(silent), kept])
    f, i = unknown("any.f", 40), unknown("any.i", 9)
    if run.storage.nodes["memory"] is not run.pre.nodes["memory"]:
        yield "OTHER-MEMORY", condition(Or(in_pool(before.layout, f), after.memory[f, i] == before.memory[f, i]))


def _moved_alike(before: MonitorState, after: MonitorState) -> Term:
    """As many frames were taken or given back as `pool_free` says, modulo the width of the fields."""
    left, free = after.pool_free[()] + before.pool_room[()], before.pool_free[()] + after.pool_room[()]
    return condition(left & POOL_MASK == free & POOL_MASK)


def unmap_range_claims(setting: Setting) -> Iterator[Claim]:
    """The function is its loop, over the whole range, and nothing else; and what one step of the loop does.

    A step turns the state after the first steps into the state after one more (tables by contract).
    """
    before = setting.state(setting.before)
    first, end = unknown("first", 36), unknown("end", 37)

    def loop(
        run: Run, machine: SymbolicMachine, start: Number, stop: Number, body: Callable[[Number], None], /
    ) -> None:
        run.establish("RANGE", condition(And(start == first, stop == end)))
        if run.split(WHOLE):
            _step_of_unmapping(run, machine, first, unknown("step", 36), end, body)
            raise PathEndError

    def code(run: Run) -> object:
        machine = replace(setting, loops={WHOLE: loop}).machine(run)
        machine.storage.guard = None
        run.assume(condition(loops.may_be_unmapped(before, OWNER, first, end)), "the range is shared")
        tables.unmap_range(machine, OWNER, first, end)  # type: ignore[arg-type]  # symbolic machine
        once = run.events == [("split", WHOLE, False)]
        run.goals.append(("LOOP", boolean(once and machine.storage.snapshot().unchanged(run.pre))))
        return None

    with substituted(TABLES_BY_CONTRACT):
        paths = explore(code, setting.shapes, PathOracle(setting.rules, facts=[term for _, term in setting.facts]))
    for path in paths:
        yield from path_claims("T9/contract/unmap_range", path, setting.rules, setting.facts, 2)


def _step_of_unmapping(
    run: Run, machine: SymbolicMachine, first: Number, i: Number, end: Number, body: Callable[[Number], None]
) -> None:
    run.assume(condition(And(first <= i, i < end)), "a step")
    done = loops.Removal.fresh(run, machine.storage.nodes["leaf"], OWNER, first, i)
    machine.storage.fill("leaf", lambda keys: words.same(keys[1], done.owner), done.leaf)
    run.rules.extend(done.rules())
    start, events = machine.storage.snapshot(), len(run.events)
    body(i)
    if run.events[events:]:
        raise EngineError("a step of unmap shared range does something that its contract says nothing of")
    run.goals.append(("OTHER-FIELDS", loops.only_written(start, machine.storage.snapshot(), ("leaf",))))
    with ghost():
        run.goals.extend(loops.step_goals(done, i, machine.storage.nodes["leaf"]))


TABLES_BY_CONTRACT: Final = {
    tables.leaf_word: table_contracts.leaf_word,
    tables.unmap: table_contracts.unmap,
}
