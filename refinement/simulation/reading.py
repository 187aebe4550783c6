"""Reading a path: which side it took, what it fetched and from where, how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from impl.monitor.codes import Code as MonitorCode
from impl.monitor.dispatch import Outcome
from model.hyperenclave.vocabulary import Code, Pointer
from model.language.logic import And, Not, Or, Value, as_term
from model.language.terms import FALSE, TRUE, Term, bits, constant, t_not
from refinement.contracts.setting import Setting
from refinement.engine import words
from refinement.engine.explorer import Path
from refinement.engine.storage import Node
from refinement.engine.values import Number, condition, number_of, unknown, word_of
from refinement.invariants.layout import is_normal
from refinement.invariants.state import MonitorState
from refinement.opaque import PageContents, difference, same
from refinement.simulation.ghost import page_of_node

OFFSET_MASK = 0xFFF
WORD_INDEX = 511


@dataclass
class Reading:
    """A path with the conditions under which its fetches are the operands that the interface names.

    `operands` collects, for each walk, that it went where the interface says with the rights that it demands, and for
    each word and page taken from a fetch, that it was fetched from the place that the interface says.
    """

    path: Path
    setting: Setting
    operands: list[Term] = field(default_factory=list[Term])
    _pointers: dict[int, Term] = field(default_factory=dict[int, Term])
    _next: int = 0
    _walked: set[int] = field(default_factory=set[int])
    _copied: bool = False

    @property
    def before(self) -> MonitorState:
        """The monitor's state before the step."""
        return self.setting.state(self.path.pre)

    @property
    def after(self) -> MonitorState:
        """The monitor's state after it."""
        return self.setting.state(self.path.post)

    @property
    def cpu(self) -> Number:
        """The acting CPU."""
        return self.setting.cpu

    def register(self, number: int) -> Number:
        """A register of the acting CPU before the step."""
        return self.before.register[self.cpu, number]

    def took(self, fact: Value) -> bool:
        """The path decided, or knew, that the fact holds."""
        term = condition(fact)
        return any(term is part for entry in self.path.entries for part in (entry.term, *_parts(entry.term)))

    def decided(self, fact: Value) -> bool:
        """The path got to the question whether the fact holds."""
        return self.took(fact) or self.took(t_not(condition(fact)))

    # --- untrusted memory ----------------------------------------------------------------------------------------

    @property
    def splits(self) -> list[tuple[str, bool]]:
        """The outcomes of the walks, as (question, answer)."""
        return [(str(e[1]), bool(e[2])) for e in self._events("split")]

    def _events(self, kind: str) -> list[tuple[object, ...]]:
        return [e for e in self.path.events if e[0] == kind]

    @property
    def translations(self) -> int:
        """How many pointers were followed to a frame."""
        return sum(1 for question, answer in self.splits if question == "translated" and answer)

    @property
    def walks(self) -> int:
        """How many walks began."""
        return len(self._events("translate"))

    def looped(self, first: Number, end: Number) -> Value:
        """The one loop of the path had the steps first..end-1."""
        loops = self._events("each")
        if len(loops) != 1:
            return False
        ((_, start, stop),) = loops
        return And(same(start, first), same(stop, end))  # type: ignore[arg-type]  # events carry numbers

    def pointer_to(self, number: int, address: Number, size: int) -> None:
        """What the walk number `number` leads to has `size` words, from an aligned address on and in one page."""
        index = (address >> 3) & WORD_INDEX
        self._pointers[number] = condition(And(address & 7 == 0, index + size <= WORD_INDEX + 1))

    @property
    def refused_rightly(self) -> Term:
        """A #GP has its reason: the walk's, or the next pointer's form, or a frame behind the last that is not normal.

        That a walk has reason to end in #GP is proved of the walk (`refinement.boot.walk`).
        """
        if self.code is not MonitorCode.GENERAL_PROTECTION or ("page_fault", False) in self.splits:
            return TRUE
        done = self.translations
        malformed = t_not(self._pointers.get(done, TRUE))
        elsewhere = Not(is_normal(self.setting.layout, self.translated(done - 1))) if done else False
        return condition(Or(malformed, elsewhere))

    def walk(self, number: int, address: Number, write: bool = False, user: bool = False) -> None:
        """The walk number `number` (from 0), if there is one, must be the acting CPU's for this access."""
        if number in self._walked or number >= len(self._events("translate")):
            return
        self._walked.add(number)
        _, cpu, walked, *rights = self._events("translate")[number]
        asked = zip((cpu, walked), (self.cpu, address), strict=True)
        self.operands += [condition(same(number_of(as_term(a)), b)) for a, b in asked]
        self.operands.append(condition(rights == [write, user]))

    @property
    def conditions(self) -> list[Term]:
        """The operands, and that pointers that are followed have their form.

        With a walk, a fetched word or a copied page that no step names, they can not be proved.
        """
        happened = [len(self._events(kind)) for kind in ("translate", "fetch", "fetch_page")]
        named = [len(self._walked), self._next, int(self._copied)]
        followed = [self._pointers[number] for number in sorted(self._walked & self._pointers.keys())]
        return [*self.operands, *followed, *([] if happened == named else [FALSE])]

    def stored(self, stores: Sequence[tuple[Number, Number, Number]]) -> list[Term]:
        """The words that the monitor stored to untrusted memory are exactly these (frame, index, value), in order."""
        happened = self._events("store")
        if len(happened) != len(stores):
            return [FALSE]
        pairs = [pair for (_, *e), named in zip(happened, stores, strict=True) for pair in zip(e, named, strict=True)]
        return [condition(same(number_of(as_term(a)), b)) for a, b in pairs]

    def translated(self, number: int) -> Number:
        """The frame that the walk number `number` (from 0) led to; arbitrary if there was none."""
        return unknown(f"translated{number}", 40)

    def word(self, translation: int, address: Number, offset: Number) -> Number:
        """The next fetched word, which must be word `offset` behind a linear address in the frame of that walk."""
        self.walk(translation, address)
        fetches = self._events("fetch")
        if self._next >= len(fetches):
            return unknown(f"unread.{translation}.{offset}", 64)
        _, frame, index, word = fetches[self._next]
        self._next += 1
        if not (isinstance(frame, Term) and isinstance(index, Term) and isinstance(word, Term)):
            raise TypeError("a fetch event carries terms")
        start = number_of(words.cut(word_of(address, 64, "address"), 11, 3))
        wanted = difference(start, (512 - offset) & 511, 9) if isinstance(offset, int) else (start + offset) & 511
        self.operands.append(words.same(frame, word_of(self.translated(translation), 40, "frame")))
        self.operands.append(words.same(index, word_of(wanted, 9, "index")))
        return number_of(word)

    def page(self, source: Number) -> PageContents:
        """The page as it was copied from untrusted memory, which must be from this frame; arbitrary if none was."""
        copies = self._events("fetch_page")
        if not copies:
            return page_of_node(self.path.pre.nodes["memory"], unknown("unread.page", 40))
        self._copied = True
        _, place, frame, memory = copies[0]
        if not (isinstance(place, Term) and isinstance(frame, Term) and isinstance(memory, Node)):
            raise TypeError("the event of a copied page carries its places and memory behind it")
        self.operands.append(condition(same(number_of(frame), source)))
        return page_of_node(memory, number_of(place))

    def handle(self, translation: int, address: Number) -> Number:
        """The enclave that a pointer to a SECS names: the guest-physical address behind it."""
        self.walk(translation, address)
        if translation not in self._pointers:
            self.pointer_to(translation, address, 1)
        frame = word_of(self.translated(translation), 40, "frame")
        return number_of(words.join([words.cut(word_of(address, 64, "address"), 11, 0), frame]))

    # --- how it ended --------------------------------------------------------------------------------------------

    @property
    def code(self) -> MonitorCode | None:
        """The monitor's code, or None for an event that has none."""
        result = self.path.result
        return result.code if isinstance(result, Outcome) else None

    @property
    def outcome(self) -> Code:
        """The model's name of the code."""
        if self.code is None:
            raise TypeError("this entry has no outcome")
        return Code[self.code.name]

    @property
    def pointer(self) -> Pointer:
        """What became of the pointer whose walk failed, or that was refused without one; READABLE if none was."""
        if self.faulted:
            return Pointer.PAGE_FAULT
        refused = ("page_fault", False) in self.splits or self.code is MonitorCode.GENERAL_PROTECTION
        return Pointer.GENERAL_PROTECTION if refused else Pointer.READABLE

    @property
    def faulted(self) -> bool:
        """A walk ended in a page fault."""
        return ("page_fault", True) in self.splits


def _parts(term: Term) -> tuple[Term, ...]:
    return term.arguments if term.operator == "and" else ()


def nonzero_words(path: Path) -> list[Number]:
    """The witnesses of every `memory_is_zero` of a path."""
    names = {a.payload for e in path.entries for a in _constants(e.term)}
    found = sorted(str(getattr(f, "name", "")) for f in names)
    return [number_of(constant(name, bits(9))) for name in found if name.startswith("nonzero_word")]


def _constants(term: Term) -> list[Term]:
    seen: set[int] = set()
    found: list[Term] = []
    stack = [term]
    while stack:
        node = stack.pop()
        if node.serial not in seen:
            seen.add(node.serial)
            if node.operator == "apply" and not node.arguments:
                found.append(node)
            stack.extend(node.arguments)
    return found
