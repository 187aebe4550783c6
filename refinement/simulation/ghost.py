"""What a symbolic step knows beyond the storage: measurement records, shared pages, quantifiers of the model.

Quantified conditions of an action become booleans of which both meanings are given: at a fresh witness, and at the
places (hints) that a handler names.  More hints make more provable; none makes anything false provable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from model.hyperenclave.vocabulary import Cpu, Enclave, Frame, Page
from model.language.logic import And, Implies, Not, Value
from model.language.terms import (
    BOOL,
    FALSE,
    Function,
    Sort,
    Term,
    TermError,
    bits,
    constant,
    number,
    t_and,
    t_implies,
    t_not,
)
from model.language.transition import Keys
from refinement import bits as decoder
from refinement.engine import words
from refinement.engine.instances import Rule
from refinement.engine.storage import Node, View
from refinement.engine.values import Number, SymInt, condition, ghost, merge, number_of, truth, unknown, word_of
from refinement.invariants.layout import is_normal
from refinement.invariants.state import MonitorState
from refinement.invariants.tables import is_enclave
from refinement.measurement import Added, Earlier, Extended, Shape, Started
from refinement.opaque import PageContents, RegisterFile

WIDTHS: Mapping[Sort, int] = {Frame: 40, Enclave: 52, Page: 36, Cpu: 9}
SHARED_PAGE = Function("ghost.shared_page", (bits(52), bits(40)), bits(36))
"""The page for which a normal frame stands; any function with the properties of `shared_page_rules` will do."""


@dataclass
class Quantifiers:
    """Truth values of quantified formulas, with their meanings; `hints` are the places where to use them."""

    hints: Mapping[Sort, Sequence[Number]] = field(default_factory=dict[Sort, Sequence[Number]])
    definitions: list[tuple[str, Term]] = field(default_factory=list[tuple[str, Term]])

    def __call__(self, operator: str, sort: Sort, formula: Callable[[Number], Value]) -> Value:
        """A boolean for `operator x of sort: formula(x)`."""
        return self.over(operator, WIDTHS[sort], formula, self.hints.get(sort, ()))

    def over(self, operator: str, width: int, formula: Callable[[Number], Value], hints: Iterable[Number]) -> Term:
        """As `__call__`, for numbers of a width and hints of the caller's."""
        name = f"{operator}.{len(self.definitions)}"
        answer = constant(name, BOOL)
        witness = condition(formula(unknown(f"witness.{name}", width)))
        places = [condition(formula(hint)) for hint in hints]
        if operator == "forall":
            meaning = [t_implies(t_not(answer), t_not(witness)), *(t_implies(answer, p) for p in places)]
        else:
            meaning = [t_implies(answer, witness), *(t_implies(t_not(answer), t_not(p)) for p in places)]
        self.definitions.append((f"meaning of {name}", t_and(meaning)))
        return answer

    def zero(self, hints: Iterable[Number]) -> Callable[[PageContents, int, int], Value]:
        """How to say that the words first..end-1 of a page are 0."""
        places = list(hints)

        def all_zero(page: PageContents, first: int, end: int) -> Value:
            def word(i: Number) -> Value:
                return Implies(And(first <= i, i < end), page.at(i) == 0)

            return self.over("forall", 9, word, places)

        return all_zero


class SymbolicBeyond:
    """The part of the relation that is not in the storage, at the start of a step or after its events."""

    def __init__(self, quantify: Quantifiers, events: Sequence[tuple[object, ...]] = ()) -> None:
        self.quantify = quantify
        self._events = [event for event in events if str(event[0]).startswith("measure")]

    def measurement(self, enclave: Number) -> object:
        """The records of an enclave: those that it had, and what the step did to them."""
        value: object = Earlier(enclave)
        for event in self._events:
            value = _recorded(event, enclave, value)
        return value

    def shared_page(self, monitor: MonitorState, enclave: Number, frame: Number) -> Number:  # noqa: ARG002 (a ghost)
        """The ghost function."""
        return shared_page(enclave, frame)

    def unspecified(self, component: str, keys: Keys, width: int) -> Number:
        """An uninterpreted function of the keys."""
        terms = [word_of(key, _width(key), component) for key in keys]
        sorts = tuple(term.sort for term in terms)
        return number_of(Function(f"unspecified.{component}", sorts, bits(width))(*terms))

    def environment(self, component: str, keys: Keys) -> Value:
        """What a device knows is arbitrary; no step reads `result`."""
        if component != "device_state":
            raise TermError(f"a step reads {component}, which belongs to the environment")
        (device,) = keys
        return RegisterFile(lambda i: self.unspecified(f"device.{i}", (device,), 64), lambda _: 0, True, frozenset())


def _width(key: object) -> int:
    if isinstance(key, int):
        return max(key.bit_length(), 1)
    term = getattr(key, "term", None)
    if not isinstance(term, Term):
        raise TermError(f"{key!r} is no key")
    return term.sort.width


def _recorded(event: tuple[object, ...], enclave: Number, before: object) -> object:
    """What an event of the machine makes of the records of an enclave."""
    name, whose = event[0], event[1]
    if not isinstance(whose, type(unknown("x", 1))):
        raise TermError("the enclave of a measurement event is symbolic")
    here = condition(whose == enclave)
    after: object = before
    match event:
        case ("measure_start", _, ssa_frame_size, size):
            after = Started(Shape(ssa_frame_size, size))  # type: ignore[arg-type]  # events carry numbers
        case ("measure_add", _, offset, secinfo):
            after = Added(before, offset, secinfo)  # type: ignore[arg-type]  # events carry numbers
        case ("measure_extend", _, offset, frame, Node() as memory):
            after = Extended(before, offset, page_of_node(memory, frame))  # type: ignore[arg-type]  # as above
        case ("measure_drop", _):  # what is recorded of nobody is anything
            after = Started(Shape(unknown("dropped.ssa_frame_size", 32), unknown("dropped.size", 64)))
        case _:
            raise TermError(f"unknown event {name}")
    return after if here is condition(True) else _either(here, after, before)


def _either(here: Term, after: object, before: object) -> object:
    if here is FALSE:
        return before
    choose = getattr(after, "__ite__")  # noqa: B009 (every measurement has it)
    return choose(here, before)


def page_of_node(memory: Node, frame: Number) -> PageContents:
    """The contents of a frame in a snapshot of memory."""
    place = words.fit(frame.term, 40) if isinstance(frame, SymInt) else number(frame, 40)
    return PageContents(lambda i: number_of(memory.read((place, word_of(i, 9, "index")))), True)


# --- shared pages -----------------------------------------------------------------------------------------------


def shared_page(enclave: Number, frame: Number) -> Number:
    """The ghost function at an enclave and a frame."""
    return number_of(SHARED_PAGE(word_of(enclave, 52, "enclave"), word_of(frame, 40, "frame")))


PageFor = Callable[[Number, Number], Number]


def _outside(s: MonitorState, e: Number, v: Number) -> Value:
    from model.language.logic import Or

    return Or(v < s.elrange_first[e], s.elrange_end[e] <= v)


def leaf_has_shared_page(s: MonitorState, page_for: PageFor, e: Number, v: Number) -> Value:
    """A frame that a guest leaf outside ELRANGE names stands for the page of that leaf."""
    leaf = s.leaf[decoder.GUEST, e, v]
    mapped = And(is_enclave(e), Not(leaf == 0), _outside(s, e, v))
    return Implies(mapped, page_for(e, decoder.frame_of(leaf)) == v)


def shared_page_has_leaf(s: MonitorState, page_for: PageFor, e: Number, f: Number) -> Value:
    """A normal frame in the nested table stands for a page outside ELRANGE whose guest leaf names it."""
    page = page_for(e, f)
    leaf = s.leaf[decoder.GUEST, e, page]
    mapped = And(
        is_enclave(e), is_normal(s.layout, f), f >> 36 == 0, Not(s.leaf[decoder.NESTED, e, f & ((1 << 36) - 1)] == 0)
    )
    return Implies(mapped, And(Not(leaf == 0), decoder.frame_of(leaf) == f, _outside(s, e, page)))


def shared_page_rules(s: MonitorState, view: View) -> list[Rule]:
    """Both properties of the ghost function in a snapshot, at every leaf that is read."""

    def at(formula: Callable[..., Value]) -> Callable[[tuple[Term, ...]], Term]:
        def instance(keys: tuple[Term, ...]) -> Term:
            with ghost():
                return condition(formula(s, shared_page, *(number_of(k) for k in keys)))

        return instance

    def frames(keys: tuple[Term, ...]) -> list[tuple[Term, ...]]:
        return [(keys[1], words.extend(keys[2], 40))]

    sources = view.nodes["leaf"].sources
    return [
        Rule("SHARED-PAGE", {x: lambda keys: [keys[1:]] for x in sources}, at(leaf_has_shared_page)),
        Rule(
            "SHARED-FRAME",
            dict.fromkeys(sources, frames) | {SHARED_PAGE.name: lambda keys: [keys]},
            at(shared_page_has_leaf),
        ),
    ]


__all__ = ["Quantifiers", "SymbolicBeyond", "merge", "page_of_node", "shared_page", "shared_page_rules", "truth"]
