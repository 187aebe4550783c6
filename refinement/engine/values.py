"""Symbolic values that Python code computes with as if they were its own non-negative integers and booleans.

A `SymInt` is exact: sums and shifts widen it, masks and right shifts narrow it, so nothing ever wraps silently and
the symbolic run agrees with Python's unbounded integers by construction.  Whatever can not be represented (a
negative number, an index, a format) raises `EngineError`; a subtraction demands a proof that it is not negative.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, NoReturn, Protocol, TypeAlias

from model.language.logic import as_term
from model.language.terms import FALSE, TRUE, Term, bits, boolean, bv, constant, number, t_ite, t_not, value_of
from refinement.engine import words


class EngineError(Exception):
    """The code did something that the engine does not represent; never a verdict, always an error."""


class Host(Protocol):
    """Who answers a symbolic branch, and who takes the conditions that have to be proved."""

    def decide(self, condition: Term) -> bool:
        """The side of a branch that this run takes."""
        ...

    def require(self, condition: Term, reason: str) -> None:
        """Note that the condition must follow from the path so far."""
        ...


class _Ghost:
    """The host of specification code, which must not branch and must be total."""

    def decide(self, condition: Term) -> bool:
        raise EngineError(f"specification code branched on {condition!r}: use And, Or, Not, Implies, ite")

    def require(self, condition: Term, reason: str) -> None:
        if condition is not TRUE:
            raise EngineError(f"specification code is not total: {reason}")


_GHOST: Final = _Ghost()
_hosts: Final[list[Host]] = [_GHOST]


@contextmanager
def hosted(host: Host) -> Generator[None]:
    """Send branches and verification conditions of the body to `host`."""
    _hosts.append(host)
    try:
        yield
    finally:
        _hosts.pop()


@contextmanager
def ghost() -> Generator[None]:
    """Run specification code: a branch or a partial operation in the body is an error."""
    with hosted(_GHOST):
        yield


def require(condition: Term, reason: str) -> None:
    """Ask the present host for a proof of the condition."""
    if condition is not TRUE:
        _hosts[-1].require(condition, reason)


Number: TypeAlias = "int | SymInt"
Truth: TypeAlias = "bool | SymBool"


class SymBool:
    """A comparison of symbolic values; a branch on it takes one side and remembers which."""

    __slots__ = ("term",)
    __hash__ = None  # type: ignore[assignment]  # a set or dict of symbolic values would compare by branching

    def __init__(self, term: Term) -> None:
        self.term = term

    def __term__(self) -> Term:
        return self.term

    def __bool__(self) -> bool:
        return _hosts[-1].decide(self.term)

    def __eq__(self, other: object) -> NoReturn:  # type: ignore[override]  # equality of conditions is no question
        raise EngineError("conditions are not compared: use logic.eq")

    def __repr__(self) -> str:
        return f"<condition {self.term!r}>"


def truth(term: Term) -> Truth:
    """A formula as a condition; a plain bool when it is decided."""
    if term is TRUE:
        return True
    return False if term is FALSE else SymBool(term)


def condition(value: object) -> Term:
    """A condition, a bool or a formula as a formula."""
    return as_term(value)


def number_of(term: Term, bound: int | None = None) -> Number:
    """The number that a bit-vector stands for, known to be at most `bound` (default: what its width allows)."""
    widest = (1 << term.sort.width) - 1
    top = widest if bound is None else min(bound, widest)
    known = value_of(term)
    if known is not None:
        return known
    if top == 0:
        return 0
    return SymInt(words.fit(term, top.bit_length()), top)


def word_of(value: object, width: int, reason: str) -> Term:
    """The value as a bit-vector of `width` bits; that it fits is required where it is not evident."""
    if isinstance(value, SymInt):
        if value.bound >= 1 << width:
            require(words.less(value.term, number(1 << width, width + 1)), f"{reason} fits {width} bits")
        return words.fit(value.term, width)
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value < 1 << width:
            raise EngineError(f"{reason}: {value} does not fit {width} bits")
        return number(value, width)
    raise EngineError(f"{reason}: {value!r} is not a number")


def unknown(name: str, width: int) -> SymInt:
    """An arbitrary number of `width` bits."""
    return SymInt(constant(name, bits(width)), (1 << width) - 1)


def merge(when: object, a: Number, b: Number) -> Number:
    """`a` where the condition holds, else `b`; neither side is executed conditionally."""
    formula = condition(when)
    if formula is TRUE or formula is FALSE:
        return a if formula is TRUE else b
    (x, top), (y, roof) = _operand(a), _operand(b)
    width = max(x.sort.width, y.sort.width)
    return number_of(t_ite(formula, words.extend(x, width), words.extend(y, width)), max(top, roof))


class SymInt:
    """An exact non-negative integer: a bit-vector just wide enough for its upper bound."""

    __slots__ = ("bound", "term")
    __hash__ = None  # type: ignore[assignment]  # a set or dict of symbolic values would compare by branching

    def __init__(self, term: Term, bound: int) -> None:
        if term.sort.width != max(bound.bit_length(), 1):
            raise EngineError(f"{term!r} is not of the width of its bound {bound}")
        self.term = term
        self.bound = bound

    def __term__(self) -> Term:
        return self.term

    def __repr__(self) -> str:
        return f"<number {self.term!r}>"

    # --- choice and sameness, for the connectives of the specification language ---------------------------------

    def __ite__(self, condition: Term, otherwise: object) -> Number:
        if not isinstance(otherwise, int | SymInt):
            raise EngineError(f"{otherwise!r} is not a number")
        return merge(condition, self, otherwise)

    def __same__(self, other: object) -> Term:
        return as_term(self == other)

    # --- arithmetic --------------------------------------------------------------------------------------------

    def __add__(self, other: Number) -> Number:
        term, bound = _operand(other)
        top = self.bound + bound
        width = top.bit_length()
        return number_of(words.add(words.extend(self.term, width), words.extend(term, width)), top)

    __radd__ = __add__

    def __mul__(self, other: int) -> Number:
        if isinstance(other, SymInt):
            raise EngineError("a product of two symbolic numbers")
        if other == 0:
            return 0
        top = self.bound * other
        if other & (other - 1) == 0:
            return self << (other.bit_length() - 1)
        width = top.bit_length()
        return number_of(bv("bvmul", words.extend(self.term, width), number(other, width)), top)

    __rmul__ = __mul__

    def __sub__(self, other: Number) -> Number:
        return _difference(self, other)

    def __rsub__(self, other: Number) -> Number:
        return _difference(other, self)

    def __lshift__(self, count: int) -> Number:
        _constant(count)
        if count == 0:
            return self
        return number_of(words.join([number(0, count), self.term]), self.bound << count)

    def __rshift__(self, count: int) -> Number:
        _constant(count)
        width = self.term.sort.width
        if count >= width:
            return 0
        return number_of(words.cut(self.term, width - 1, count), self.bound >> count)

    def __rlshift__(self, other: object) -> NoReturn:
        raise EngineError("a shift by a symbolic count")

    __rrshift__ = __rlshift__

    def __and__(self, other: Number) -> Number:
        term, bound = _operand(other)
        if bound < 0:
            raise EngineError("a negative mask")
        width = min(self.term.sort.width, term.sort.width)
        return number_of(words.bit_and(words.fit(self.term, width), words.fit(term, width)), min(self.bound, bound))

    __rand__ = __and__

    def __or__(self, other: Number) -> Number:
        return self._union(other, words.bit_or)

    __ror__ = __or__

    def __xor__(self, other: Number) -> Number:
        return self._union(other, words.bit_xor)

    __rxor__ = __xor__

    def _union(self, other: Number, operation: _Binary) -> Number:
        term, bound = _operand(other)
        width = max(self.term.sort.width, term.sort.width)
        top = (1 << max(self.bound, bound).bit_length()) - 1
        return number_of(operation(words.extend(self.term, width), words.extend(term, width)), top)

    # --- comparison --------------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> Truth:  # type: ignore[override]  # the answer is a condition
        term, bound = _operand(other)
        if value_of(term) is not None and bound > self.bound:
            return False
        width = max(self.term.sort.width, term.sort.width)
        return truth(words.same(words.extend(self.term, width), words.extend(term, width)))

    def __ne__(self, other: object) -> Truth:  # type: ignore[override]  # the answer is a condition
        equal = self.__eq__(other)
        return (not equal) if isinstance(equal, bool) else truth(t_not(equal.term))

    def __lt__(self, other: Number) -> Truth:
        return _less(self, other)

    def __gt__(self, other: Number) -> Truth:
        return _less(other, self)

    def __le__(self, other: Number) -> Truth:
        return _negated(_less(other, self))

    def __ge__(self, other: Number) -> Truth:
        return _negated(_less(self, other))

    # --- what a symbolic number is not -------------------------------------------------------------------------

    def __bool__(self) -> bool:
        raise EngineError("a number used as a condition: compare it with 0")

    def _refuse(self, *_: object) -> NoReturn:
        raise EngineError("a symbolic number was used as a concrete one")

    __int__ = __index__ = __float__ = __format__ = __str__ = _refuse
    __invert__ = __neg__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __truediv__ = _refuse


class _Binary(Protocol):
    def __call__(self, a: Term, b: Term) -> Term: ...


def _operand(value: object) -> tuple[Term, int]:
    if isinstance(value, SymInt):
        return value.term, value.bound
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise EngineError(f"the negative number {value} met a symbolic one")
        return number(value, max(value.bit_length(), 1)), value
    raise EngineError(f"{value!r} is not a number")


def _constant(count: object) -> None:
    if isinstance(count, SymInt) or not isinstance(count, int):
        raise EngineError("a shift by a symbolic count")


def _less(a: Number, b: Number) -> Truth:
    (x, top), (y, roof) = _operand(a), _operand(b)
    if value_of(y) is not None and top < roof:
        return True
    if value_of(x) is not None and top >= roof:
        return False
    return truth(words.less(x, y))


def _negated(answer: Truth) -> Truth:
    return (not answer) if isinstance(answer, bool) else truth(t_not(answer.term))


def _difference(a: Number, b: Number) -> Number:
    (x, bound), (y, _) = _operand(a), _operand(b)
    if value_of(y) == 0:
        return a
    enough = _negated(_less(a, b))
    require(boolean(enough) if isinstance(enough, bool) else enough.term, "a difference is not negative")
    width = max(x.sort.width, y.sort.width)
    return number_of(bv("bvsub", words.extend(x, width), words.extend(y, width)), bound)
