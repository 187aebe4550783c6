"""The monitor's state as the model sees it, kept up to date step by step, with everything that must hold of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Final

from impl.machine.machine import ConcreteMachine
from model.hyperenclave.observers import OWN
from model.hyperenclave.specification import HYPERENCLAVE
from model.hyperenclave.vocabulary import Code, Enclave, Frame, FrameClass
from model.language.logic import Value, eq
from model.language.terms import Sort
from model.language.transition import Functions, Keys, State
from refinement.abstraction import Abstraction
from refinement.bits import NestedFormat
from refinement.concrete import ConcreteBeyond
from refinement.engine.values import Number
from refinement.interpretation import functions
from refinement.invariants.clause import Layout
from refinement.invariants.state import MonitorState
from refinement.measurement import Hashed
from refinement.opaque import PageContents, RegisterFile
from refinement.traces.tracking import Cell, RecordedStorage, Tracked, catch_up
from refinement.traces.universe import Universe

Place = tuple[str, Keys]  # a component and its keys
Changes = dict[Place, tuple[Value, Value]]

WORDS: Final = 512
XSTATE: Final = 72
XSTATE_INDEXES: Final = 128
"""Formulas evaluate both sides of a choice, so the extended state is asked for any index of 7 bits."""
HASH_INVARIANTS: Final = frozenset(n for n, invariant in HYPERENCLAVE.invariants.items() if invariant.theorem == "T4")
"""They speak of the inverse of the hash, which nobody can run; a replay compares the hashes themselves."""
NOWHERE: Final = RegisterFile(lambda _: 0, lambda _: 0, False, frozenset(range(29)))


class FixedPage(PageContents):
    """A page whose words are known now."""

    __slots__ = ("fixed",)

    def __init__(self, words: tuple[int, ...]) -> None:
        super().__init__(lambda i: words[i] if isinstance(i, int) else 0, False)
        self.fixed = words

    def words(self) -> tuple[Number, ...]:
        """All words."""
        return self.fixed

    def with_words(self, changed: dict[int, int]) -> PageContents:  # type: ignore[override]  # integers only
        """The page with some words replaced."""
        words = list(self.fixed)
        for index, value in changed.items():
            words[index] = value
        return FixedPage(tuple(words))


OWN_VIEWS: Final = {view.name: view for view in OWN.sees}


BLANK: Final = FixedPage((0,) * WORDS)


def same_value(a: Value, b: Value) -> bool:
    """Both are one value of the model."""
    return a is b or eq(a, b) is True


class _Beyond(ConcreteBeyond):
    """As for any concrete machine; reads of measurements are reported, and questions are asked of the universe."""

    def __init__(self, machine: ConcreteMachine, observed: Observed) -> None:
        super().__init__(machine, (), observed.environment)
        self._observed = observed

    def measurement(self, enclave: Number) -> Hashed:
        self._observed.cells.note(("log", enclave if isinstance(enclave, int) else 0))
        found = super().measurement(enclave)
        # The model describes what a refused step would do too, so that every enclave needs records.
        return found if found.digest else Hashed(hashlib.sha256())

    def quantify(self, operator: str, sort: Sort, formula: Callable[[Number], Value]) -> Value:
        """Try every member of the universe."""
        return self._observed.quantify(operator, sort, formula)


class Observed:
    """The state of a machine through the relation.

    `read` is the state as of the last `advance`; the machine itself may be ahead of it.
    """

    def __init__(self, live: ConcreteMachine, universe: Universe, like: Observed | None = None) -> None:
        self.live = live
        self.shadow = live.copy()
        self.universe = universe
        layout = Layout(**{name: getattr(live.layout, name) for name in Layout.__dataclass_fields__})
        form = NestedFormat[live.nested_format.name]
        self.cells: Tracked[Place, Value] = Tracked(self._abstract, same_value)
        fields = RecordedStorage(self.shadow.storage, self.cells.note)
        self._covered: object = like._covered if like is not None else None
        self.watched: object = None  # how much of the world the views cover
        self.abstraction = Abstraction(MonitorState(fields, layout, form), _Beyond(self.shadow, self), functions())
        self.facts: Tracked[tuple[str, Keys], bool] = Tracked(self._holds, lambda a, b: a is b)
        self.views: Tracked[tuple[str, int, Keys], Value] = Tracked(self._seen, same_sight)
        if like is not None:
            self.cells.adopt(like.cells)
            self.facts.adopt(like.facts)

    # --- the abstract state ----------------------------------------------------------------------------------------

    def state(self, k: Functions) -> State:
        """The present state with these open functions."""
        return State(HYPERENCLAVE, self.read, k, self.quantify)

    def read(self, component: str, keys: Keys) -> Value:
        """A component of the abstract state."""
        if component == "registered":
            keys = (keys[0], self._range(keys[1]))
        place = (component, keys)
        cell: Cell = (component, keys)
        self.facts.note(cell)
        self.views.note(cell)
        return self.cells.get(place)

    def _range(self, r: Value) -> Value:
        start, end = getattr(r, "start", 0), getattr(r, "end", 0)
        return self.universe.range_of(start, end)

    def environment(self, component: str, keys: Keys) -> Value:  # noqa: ARG002 (the same everywhere)
        """What no storage holds and nobody compares."""
        return Code.OK if component == "result" else NOWHERE

    def quantify(self, operator: str, sort: Sort, formula: Callable[[Number], Value]) -> Value:
        """Whether the formula holds for all, or for some, members of the universe."""
        answers = (formula(x) for x in self.universe.carrier(sort) if isinstance(x, int))
        return all(answers) if operator == "forall" else any(answers)

    def _abstract(self, place: Place) -> Value:
        component, keys = place
        if component == "contents":
            return self._contents(keys[0])
        value = self.abstraction.read(component, keys)
        return _fixed(value) if isinstance(value, RegisterFile) else value

    def _contents(self, frame: Value) -> Value:
        assert isinstance(frame, int)
        storage, layout = self.shadow.storage, self.shadow.layout
        self.cells.note(("page", frame))
        value = self.abstraction.read("contents", (frame,))
        assert isinstance(value, PageContents)
        if layout.monitor_first <= frame < layout.epc_first and frame != layout.zero_frame:
            return BLANK
        if frame >= layout.memory_end or frame not in storage.physical.frames:
            return BLANK
        words = list(storage.physical.page(frame))
        for index in (3, 5):  # the words of a TCS that the relation masks
            word = value.at(index)
            words[index] = word if isinstance(word, int) else 0
        return FixedPage(tuple(words))

    def advance(self) -> tuple[Changes, set[Cell]]:
        """Catch up with the machine; every place that changed, with old and new value, and the cells behind them."""
        changed = catch_up(self.shadow, self.live)
        self._grow(changed)
        return self.cells.refresh(changed), changed

    def _grow(self, changed: Iterable[Cell]) -> None:
        """Pages and enclaves that a storage cell is about belong to the universe."""
        storage = self.shadow.storage
        for name, key in changed:
            if name == "memory" and isinstance(key, tuple):
                frame, index = key
                if storage.table_kind[frame] == 1 and storage.table_level[frame] == 1:
                    self.universe.add((), (storage.table_prefix[frame] << 9 | index,))
            elif name in ("tlb_rights", "tlb_frame") and isinstance(key, tuple):
                self.universe.add((), (key[1],))
            elif name == "life" and isinstance(key, int):
                self.universe.add((key,))
                first = storage.elrange_first[key]
                self.universe.add((), range(first, min(storage.elrange_end[key], first + 16)))
            elif name == "shared_end" and isinstance(key, tuple) and storage.shared_end[key]:
                first, end = storage.shared_first[key], storage.shared_end[key]
                self.universe.add((), range(first, min(end, first + 16)))
                self.universe.range_of(first << 12, end << 12)

    def means(self, component: str, keys: Keys) -> bool:
        """The monitor's state determines the component at these keys."""
        return self.abstraction.means(component, keys) is True

    # --- what must hold --------------------------------------------------------------------------------------------

    def fill(self) -> None:
        """Compute everything that is to be watched from now on."""
        for name, component in HYPERENCLAVE.components.items():
            for keys in self.universe.keys(component.keys):
                self.cells.get((name, keys))
        self.broken({})

    def violations(self) -> Iterator[tuple[str, Keys]]:
        """Invariants of the model that do not hold, over the whole universe."""
        for name, invariant in HYPERENCLAVE.invariants.items():
            if name not in HASH_INVARIANTS:
                for keys in self.universe.keys(invariant.over.values()):
                    if self.facts.get((name, keys)) is not True:
                        yield name, keys

    def broken(self, changes: Changes) -> list[tuple[str, Keys]]:
        """Invariants that a step has broken, or that do not hold of something that is new in the universe."""
        different = self.facts.refresh(changes)
        found = [fact for fact, (_, new) in different.items() if not new]
        size = tuple(map(len, (self.universe.enclaves, self.universe.pages, self.universe.ranges)))
        if size != self._covered:
            self._covered = size
            found += self.violations()
        return sorted(found, key=repr)

    def _holds(self, fact: tuple[str, Keys]) -> bool:
        name, keys = fact
        invariant = HYPERENCLAVE.invariants[name]
        return invariant.formula(self.abstract_state, **dict(zip(invariant.over, keys, strict=True))) is True

    @property
    def abstract_state(self) -> State:
        """The present state, with the functions that formats decide."""
        return self.state(self.abstraction.state.K)

    # --- what observers see ----------------------------------------------------------------------------------------

    def _seen(self, item: tuple[str, int, Keys]) -> Value:
        name, enclave, keys = item
        view = OWN_VIEWS[name]
        return view.formula(self.abstract_state, enclave, **dict(zip(view.over, keys, strict=True)))

    def living(self) -> list[int]:
        """The enclaves that exist."""
        return sorted(e for e in self.shadow.storage.sparse["life"] if isinstance(e, int))

    def frames_of_class(self, kind: FrameClass) -> list[int]:
        """All frames of a class."""
        return [f for f in self.universe.frames if self.read("frame_class", (f,)) is kind]


def same_sight(a: Value, b: Value) -> bool:
    """Two sights (visible, value) are the same."""
    assert isinstance(a, tuple)
    assert isinstance(b, tuple)
    if a[0] is not b[0]:
        return False
    return a[0] is not True or same_value(a[1], b[1])


def _fixed(r: RegisterFile) -> RegisterFile:
    """The register file with all values read now."""
    registers = tuple(r.register(i) for i in range(29))
    kept = tuple(r.xstate(i) for i in range(XSTATE)) if r.knows_xstate else ()
    xstate = kept + (0,) * (XSTATE_INDEXES - len(kept))
    return RegisterFile(
        registers.__getitem__, lambda i: xstate[i] if isinstance(i, int) else 0, False, r.known, r.knows_xstate
    )


__all__ = ["BLANK", "Changes", "Enclave", "Frame", "Hashable", "Observed", "Place", "same_value"]
