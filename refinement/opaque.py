"""What the opaque sorts of the model are on the monitor: pages, register files, measurements, ranges, sets of frames.

Each value works on integers and on symbolic numbers.  `__ite__` and `__same__` are what the connectives of the
specification language ask of a value; two pages or register files are the same if they agree at one arbitrary word
(a Skolem constant) when symbolic, and at every word when concrete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from impl.machine.registers import XSTATE_WORDS
from model.language.logic import And, Or, Value, eq
from model.language.terms import TRUE, Term, TermError, bv, t_and, t_ite, t_not, t_or
from refinement.engine.values import Number, SymInt, condition, merge, number_of, unknown, word_of

WORDS: Final = 512
SOME_WORD: Final = unknown("any.word", 9)  # an arbitrary word of a page
SOME_XSTATE: Final = unknown("any.xstate", 7)  # an arbitrary word of extended state

Words = Callable[[Number], Number]


def same(a: Number, b: Number) -> Value:
    """Both numbers are equal: a bool if both are integers, else a formula."""
    return eq(a, b)


def difference(a: Number, b: Number, width: int) -> Number:
    """`a - b`, wrapping at `width` bits."""
    if isinstance(a, int) and isinstance(b, int):
        return (a - b) & ((1 << width) - 1)
    return number_of(bv("bvsub", word_of(a, width, "minuend"), word_of(b, width, "subtrahend")))


# --- enumerations -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Choice:
    """A value of an enumeration as one condition per member, of which exactly one holds."""

    cases: Mapping[Enum, Term]

    def __ite__(self, condition: Term, otherwise: object) -> Choice:
        other = choice_among(otherwise, self.members)
        members = dict.fromkeys((*self.cases, *other.cases))
        return Choice({m: t_ite(condition, self.when(m), other.when(m)) for m in members})

    def __same__(self, other: object) -> Term:
        if isinstance(other, Enum):
            return self.when(other)
        them = choice_among(other, self.members)
        if all(them.when(m) is c for m, c in self.cases.items()):
            return TRUE
        return t_or(t_and([c, them.when(m)]) for m, c in self.cases.items())

    @property
    def members(self) -> type[Enum]:
        """The enumeration."""
        return type(next(iter(self.cases)))

    def when(self, member: Enum) -> Term:
        """The condition under which the value is this member."""
        return self.cases.get(member, condition(False))

    def number(self, numbers: Mapping[Enum, int]) -> Number:
        """The number that the table gives to the member; 0 for those that it does not list."""
        result: Number = 0
        for member, value in numbers.items():
            result = merge(self.when(member), value, result)
        return result


def choice_of(value: object) -> Choice:
    """A member, a choice, or the term that the specification language builds of members, as a choice."""
    if isinstance(value, Choice):
        return value
    if isinstance(value, Enum):
        return Choice({value: TRUE})
    raise TermError(f"{value!r} is not a value of an enumeration")


def choice_among(value: object, members: type[Enum]) -> Choice:
    """As `choice_of`, also for a term over the members of this enumeration."""
    if isinstance(value, Term):
        if value.operator == "member":
            return Choice({members[str(value.payload)]: TRUE})
        if value.operator == "ite":
            when, a, b = value.arguments
            return choice_among(a, members).__ite__(when, choice_among(b, members))
    return choice_of(value)


def decoded(number: Number, meanings: Mapping[int, Enum], otherwise: Enum) -> Value:
    """The member that a number stands for; `otherwise` for every number that is not listed."""
    if isinstance(number, int):
        return meanings.get(number, otherwise)
    cases = {member: condition(same(number, value)) for value, member in meanings.items()}
    cases[otherwise] = t_and(t_not(case) for case in cases.values())
    return Choice(cases)


def selected(cases: Mapping[Enum, Value], otherwise: Enum) -> Value:
    """The member whose condition holds (they exclude each other); a member itself if the conditions are bools."""
    if all(isinstance(case, bool) for case in cases.values()):
        return next((member for member, case in cases.items() if case is True), otherwise)
    terms = {member: condition(case) for member, case in cases.items()}
    terms[otherwise] = t_and(t_not(case) for case in terms.values())
    return Choice(terms)


# --- pages ------------------------------------------------------------------------------------------------------


class PageContents:
    """The 512 words of a page, as a function of the word's number."""

    __slots__ = ("at", "symbolic")

    def __init__(self, at: Words, symbolic: bool) -> None:
        self.at = at
        self.symbolic = symbolic

    def words(self) -> tuple[Number, ...]:
        """All words of a concrete page."""
        return tuple(self.at(i) for i in range(WORDS))

    def __ite__(self, condition: Term, otherwise: object) -> PageContents:
        if not isinstance(otherwise, PageContents):
            raise TermError(f"{otherwise!r} is not a page")
        return PageContents(lambda i: merge(condition, self.at(i), otherwise.at(i)), True)

    def __same__(self, other: object) -> Value:
        if not isinstance(other, PageContents):
            raise TermError(f"{other!r} is not a page")
        if self.symbolic or other.symbolic:
            return condition(same(self.at(SOME_WORD), other.at(SOME_WORD)))
        return self.words() == other.words()

    def with_words(self, changed: Mapping[int, Number]) -> PageContents:
        """The page with some words replaced."""

        def at(index: Number) -> Number:
            word = self.at(index)
            for position, value in changed.items():
                word = merge(same(index, position), value, word)
            return word

        return PageContents(at, self.symbolic)

    def with_word(self, position: Number, value: Number) -> PageContents:
        """The page with one word replaced, at a place that may be symbolic."""
        symbolic = self.symbolic or isinstance(position, SymInt)
        return PageContents(lambda i: merge(same(i, position), value, self.at(i)), symbolic)


# --- registers --------------------------------------------------------------------------------------------------


class RegisterFile:
    """Registers by number (`impl.machine.registers`) and the XSAVE image of x87 and SSE state by word.

    `known` are the registers that mean something here; the others are arbitrary and not compared.
    """

    __slots__ = ("known", "knows_xstate", "register", "symbolic", "xstate")

    def __init__(
        self,
        register: Callable[[int], Number],
        xstate: Words,
        symbolic: bool,
        known: frozenset[int],
        knows_xstate: bool = True,
    ) -> None:
        self.register = register
        self.xstate = xstate
        self.symbolic = symbolic
        self.known = known
        self.knows_xstate = knows_xstate

    def __ite__(self, condition: Term, otherwise: object) -> RegisterFile:
        other = _file(otherwise)
        return RegisterFile(
            lambda i: merge(condition, self.register(i), other.register(i)),
            lambda i: merge(condition, self.xstate(i), other.xstate(i)),
            True,
            self.known | other.known,
            self.knows_xstate or other.knows_xstate,
        )

    def __same__(self, other: object) -> Value:
        return self.agrees(_file(other), self.known & _file(other).known, self.knows_xstate)

    def agrees(self, other: RegisterFile, registers: frozenset[int], xstate: bool) -> Value:
        """Both hold the same in these registers and, if asked, in the extended state."""
        parts = [same(self.register(i), other.register(i)) for i in sorted(registers)]
        if xstate and (self.symbolic or other.symbolic):
            inside = SOME_XSTATE < XSTATE_WORDS
            outside = t_not(condition(inside))
            parts.append(Or(outside, same(self.xstate(SOME_XSTATE), other.xstate(SOME_XSTATE))))
        elif xstate:
            parts += [same(self.xstate(i), other.xstate(i)) for i in range(XSTATE_WORDS)]
        return And(*parts)

    def replaced(self, changed: Mapping[int, Number], xstate: Words | None = None) -> RegisterFile:
        """The file with some registers, and perhaps the extended state, replaced."""

        def register(i: int) -> Number:
            return changed[i] if i in changed else self.register(i)

        known = self.known | frozenset(changed)
        return RegisterFile(register, xstate or self.xstate, self.symbolic, known, self.knows_xstate)


def _file(value: object) -> RegisterFile:
    if not isinstance(value, RegisterFile):
        raise TermError(f"{value!r} is not a register file")
    return value


# --- ranges and sets --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Range:
    """A range of linear addresses in bytes, `end` exclusive."""

    start: Number
    end: Number

    def __ite__(self, condition: Term, otherwise: object) -> Range:
        if not isinstance(otherwise, Range):
            raise TermError(f"{otherwise!r} is not a range")
        return Range(merge(condition, self.start, otherwise.start), merge(condition, self.end, otherwise.end))

    def __same__(self, other: object) -> Value:
        if not isinstance(other, Range):
            raise TermError(f"{other!r} is not a range")
        return And(same(self.start, other.start), same(self.end, other.end))

    def contains(self, page: Number) -> Value:
        """The page begins inside the range."""
        address = page << 12
        return And(self.start <= address, address < self.end)


@dataclass(frozen=True, eq=False)
class FrameSet:
    """A set of frames as a predicate."""

    contains: Callable[[Number], Value]


NO_FRAMES: Final = FrameSet(lambda _: False)
