"""The contract of the walk of the normal VM's tables, proved of the real code under arbitrary untrusted fetches.

`refinement.contracts.guest_memory.translate` says: an arbitrary frame, or GENERAL_PROTECTION, or PAGE_FAULT at the
address with an error code of 4.7 in SDM 3A; nothing is written.  Here the real `translate`, and what is built on it,
run on every path; that each frame it fetches from is ordinary memory is a condition of `fetch_word`.  That frame or
refusal is the one that the fetched entries call for, the claims ``WALK`` say with a decoder of their own (SDM 3A 4.5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from impl.machine import layout
from impl.machine.registers import CR3
from impl.monitor import guest_memory
from impl.monitor.codes import Code, Refusal
from impl.monitor.structures import INIT_WORDS, NEW_PAGE_WORDS, REMOVE_WORDS, SECS_WORDS, SHARED_WORDS, SIGSTRUCT_WORDS
from model.language.logic import And, Not, Or, Value, as_term
from model.language.terms import Term
from refinement import bits
from refinement.bits import NestedFormat
from refinement.contracts.setting import Setting
from refinement.contracts.substitution import substituted
from refinement.engine.explorer import Path, explore
from refinement.engine.merging import merged
from refinement.engine.obligations import Claim, path_claims
from refinement.engine.pruning import PathOracle
from refinement.engine.run import Run
from refinement.engine.values import Number, condition, ghost, merge, number_of, unknown
from refinement.invariants.layout import is_normal

ADDRESS: Final = unknown("address", 64)
FRAME_LIMIT: Final = 1 << 40
ERROR_WRITE: Final = 2
ERROR_USER: Final = 4
INSIDE: Final = 3
PURE: Final = {pure: merged(pure) for pure in (layout.is_normal, guest_memory.is_canonical)}


@dataclass(frozen=True)
class Access:
    """One use of the walk: the real code, and what the caller may rely on.

    write, user: the rights that the walk demands.  result: what holds of the value that the code returns.
    """

    name: str
    code: Callable[[Any, Number], object]
    write: bool
    user: bool
    result: Callable[[Setting, Any], Value]

    @property
    def is_walk(self) -> bool:
        """It is the walk itself, and nothing beside."""
        return self.name.startswith("translate/")


def _frame(_: Setting, frame: Any) -> Value:
    return frame < FRAME_LIMIT


def _normal(setting: Setting, frame: Any) -> Value:
    return And(_frame(setting, frame), is_normal(setting.layout, frame))


def _place(words: int) -> Callable[[Setting, Any], Value]:
    def inside(setting: Setting, place: Any) -> Value:
        frame, index = place
        return And(_normal(setting, frame), index + words <= layout.WORDS)

    return inside


def _copied(words: int) -> Callable[[Setting, Any], Value]:
    return lambda _, values: len(values) == words


def _walks() -> Iterator[Access]:
    for write in (False, True):
        for user in (False, True):
            rights = f"{'write' if write else 'read'}-{'user' if user else 'supervisor'}"
            yield Access(f"translate/{rights}", _call(guest_memory.translate, write, user), write, user, _frame)
            normal = _call(guest_memory.translate_normal, write, user)
            yield Access(f"translate_normal/{rights}", normal, write, user, _normal)


def _structures() -> Iterator[Access]:
    """Sizes in words of the structures that calls name."""
    for words in sorted({1, INIT_WORDS, NEW_PAGE_WORDS, REMOVE_WORDS, SHARED_WORDS}):
        yield Access(f"fetch_words/{words}", _call(guest_memory.fetch_words, words), False, False, _copied(words))
    for words in sorted({1, SECS_WORDS, SIGSTRUCT_WORDS}):
        yield Access(f"locate/{words}", _call(guest_memory.locate, words), False, False, _place(words))
    yield Access("locate-write/1", _call(guest_memory.locate, 1, True), True, False, _place(1))


def _call(function: Callable[..., object], *arguments: object) -> Callable[[Any, Number], object]:
    return lambda machine, cpu: function(machine, cpu, ADDRESS, *arguments)


ACCESSES: Final = (*_walks(), *_structures())


def access_claims(access: Access, form: NestedFormat) -> Iterator[Claim]:
    """Every path of one use of the walk, from any state of the monitor in a well-formed layout."""
    setting = Setting(form, True, {})
    facts = setting.facts[:2]

    def code(run: Run) -> object:
        return access.code(setting.machine(run), setting.cpu)

    with substituted(PURE):
        paths = explore(code, setting.shapes, PathOracle([], facts=[term for _, term in facts]), (Refusal,))
    for path in paths:
        stem = f"T9/contract/{access.name}"
        yield from path_claims(stem, path, [], facts)
        premises = (*facts, *((f"{e.kind.value}: {e.reason}", e.term) for e in path.entries))
        for name, goal in _goals(access, setting, path):
            yield Claim(f"{stem}/path-{path.number}/{name}", premises, goal, ())


def _goals(access: Access, setting: Setting, path: Path) -> Iterator[tuple[str, Term]]:
    with ghost():
        yield "WRITES-NOTHING", condition(path.post.unchanged(path.pre) and {e[0] for e in path.events} <= {"fetch"})
        if isinstance(path.result, Refusal):
            yield "REFUSAL", condition(_refused(access, path.result))
        elif path.ending == "returned":
            yield "RESULT", condition(access.result(setting, path.result))
        if access.is_walk and path.ending != "failed":
            yield "WALK", condition(_decoded(access, setting, path))


def _refused(access: Access, refusal: Refusal) -> Value:
    if refusal.code is Code.GENERAL_PROTECTION:
        return True
    error: Number = refusal.error
    rights = (ERROR_WRITE if access.write else 0) | (ERROR_USER if access.user else 0)
    exact = And(error & 1 | rights == error, refusal.address == ADDRESS)
    return And(refusal.code is Code.PAGE_FAULT, exact)


def _decoded(access: Access, setting: Setting, path: Path) -> Value:
    """Each entry is the one that the entry before it leads to, and the end is what the last one calls for."""
    s = setting.state(path.pre)
    inside = s.cpu_mode[setting.cpu] == INSIDE
    table = bits.frame_of(merge(inside, s.saved_register[setting.cpu, CR3], s.register[setting.cpu, CR3]))
    entries: list[Number] = []
    parts: list[Value] = []
    for level, (_, *fetched) in zip((3, 2, 1, 0), _fetches(path), strict=False):
        place, index, entry = (number_of(as_term(part)) for part in fetched)
        if entries:
            parts += [_grants(access, entries[-1]), Not(_large(entries[-1], level + 1))]
        parts += [place == table, index == (ADDRESS >> (12 + 9 * level)) & 511]
        entries.append(entry)
        table = bits.frame_of(entry)
    whole = len(entries) == len(_fetches(path))
    return And(whole, *parts, _ended(access, setting, path.result, entries, table))


def _ended(access: Access, setting: Setting, result: Any, entries: list[Number], table: Number) -> Value:
    canonical = bits.is_canonical(ADDRESS)
    level = 4 - len(entries)
    granted = _grants(access, entries[-1]) if entries else True
    leaf = _large(entries[-1], level) if entries else False
    if not isinstance(result, Refusal):
        below = (1 << (9 * level)) - 1
        frame = (table >> (9 * level)) << (9 * level) | (ADDRESS >> 12) & below
        return And(canonical, granted, leaf, result == frame)
    if result.code is Code.PAGE_FAULT:
        return And(canonical, Not(granted), result.error & 1 == entries[-1] & 1) if entries else False
    if not entries:
        return Or(Not(canonical), Not(is_normal(setting.layout, table)))
    return And(canonical, granted, Not(leaf), Not(is_normal(setting.layout, table)))


def _fetches(path: Path) -> list[tuple[object, ...]]:
    return [event for event in path.events if event[0] == "fetch"]


def _grants(access: Access, entry: Number) -> Value:
    """P 0, W 1 if the access writes, U 2 if it is a user's."""
    wanted = [True, access.write, access.user]
    return And(*(bits.bit(entry, position) == 1 for position, asked in enumerate(wanted) if asked))


def _large(entry: Number, level: int) -> Value:
    """The entry at this level ends the walk: the last one does, and in the two above PS 7."""
    return level == 0 or (level < 3 and bits.bit(entry, 7) == 1)


__all__ = ["ACCESSES", "Access", "access_claims"]
