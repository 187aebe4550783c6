"""The connectives that specifications use: one text for Python values, terms, and interpreted values.

On plain Python values they compute, on terms they build terms.  An interpreter may bring values of its own (a page
as a function of a word index, say) by giving them `__ite__` and `__same__`.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import Protocol, cast

from model.language.terms import (
    TRUE,
    Term,
    TermError,
    boolean,
    bv,
    enum_sort,
    member,
    number,
    t_and,
    t_eq,
    t_implies,
    t_ite,
    t_not,
    t_or,
    t_ule,
    t_ult,
)

Value = object


class Mergeable(Protocol):
    """A value with its own notion of choice and of sameness."""

    def __ite__(self, condition: Term, otherwise: object) -> object:
        """`self` where condition holds, `otherwise` elsewhere."""
        ...

    def __same__(self, other: object) -> Term:
        """The formula that says that both stand for one value."""
        ...


class Termlike(Protocol):
    """A value that wraps a term, such as the symbolic booleans of an execution engine."""

    def __term__(self) -> Term:
        """The wrapped term."""
        ...


def as_term(value: Value, like: Term | None = None) -> Term:
    """A Python boolean, enumeration member or integer as a term (an integer takes the width of `like`)."""
    if isinstance(value, Term):
        return value
    if _wraps(type(value)):
        return cast(Termlike, value).__term__()
    if isinstance(value, bool):
        return boolean(value)
    if isinstance(value, Enum):
        return member(enum_sort(type(value)), value.name)
    if isinstance(value, int) and like is not None and like.sort.kind == "bits":
        return number(value, like.sort.width)
    raise TermError(f"{value!r} is not a term")


@cache
def _wraps(kind: type) -> bool:
    return hasattr(kind, "__term__")


@cache
def _merges(kind: type) -> bool:
    return hasattr(kind, "__ite__")


def _symbolic(*values: Value) -> bool:
    for value in values:
        kind = type(value)
        if kind is not bool and (kind is Term or _wraps(kind) or _merges(kind)):
            return True
    return False


def And(*items: Value) -> Value:
    """All of the items hold."""
    if _symbolic(*items):
        return t_and(as_term(i) for i in items)
    return all(_truth(i) for i in items)


def Or(*items: Value) -> Value:
    """Some item holds."""
    if _symbolic(*items):
        return t_or(as_term(i) for i in items)
    return any(_truth(i) for i in items)


def Not(item: Value) -> Value:
    """The item does not hold."""
    return t_not(as_term(item)) if _symbolic(item) else not _truth(item)


def Implies(a: Value, b: Value) -> Value:
    """If a then b."""
    if _symbolic(a, b):
        return t_implies(as_term(a), as_term(b))
    return not _truth(a) or _truth(b)


def eq(a: Value, b: Value) -> Value:
    """Both are the same value."""
    if _merges(type(a)):
        return cast(Mergeable, a).__same__(b)
    if _merges(type(b)):
        return cast(Mergeable, b).__same__(a)
    if isinstance(a, Term) or isinstance(b, Term):
        x = as_term(a, b if isinstance(b, Term) else None)
        return t_eq(x, as_term(b, x))
    if type(a) is not type(b):
        raise TermError(f"eq of {a!r} and {b!r}, which are of different types")
    return a == b


def ne(a: Value, b: Value) -> Value:
    """The values differ."""
    return Not(eq(a, b))


def one_of(a: Value, *choices: Value) -> Value:
    """`a` is one of the choices."""
    return Or(*(eq(a, choice) for choice in choices))


def ite(condition: Value, a: Value, b: Value) -> Value:
    """`a` if the condition holds, else `b`."""
    if _wraps(type(condition)):
        condition = cast(Termlike, condition).__term__()
    if not isinstance(condition, Term):
        return a if _truth(condition) else b
    if condition is TRUE:
        return a
    if _merges(type(a)):
        return cast(Mergeable, a).__ite__(condition, b)
    if _merges(type(b)):
        return cast(Mergeable, b).__ite__(t_not(condition), a)
    x = as_term(a, b if isinstance(b, Term) else None)
    return t_ite(condition, x, as_term(b, x))


def lt(a: Value, b: Value) -> Value:
    """Unsigned a < b."""
    if isinstance(a, Term) or isinstance(b, Term):
        x = as_term(a, b if isinstance(b, Term) else None)
        return t_ult(x, as_term(b, x))
    return _integer(a) < _integer(b)


def le(a: Value, b: Value) -> Value:
    """Unsigned a <= b."""
    if isinstance(a, Term) or isinstance(b, Term):
        x = as_term(a, b if isinstance(b, Term) else None)
        return t_ule(x, as_term(b, x))
    return _integer(a) <= _integer(b)


def meet(a: Value, b: Value) -> Value:
    """Bitwise and: the rights that both grant."""
    if isinstance(a, Term) or isinstance(b, Term):
        x = as_term(a, b if isinstance(b, Term) else None)
        return bv("bvand", x, as_term(b, x))
    return _integer(a) & _integer(b)


def plus(a: Value, b: int, width: int) -> Value:
    """`a` + `b`, wrapping at `width` bits."""
    if isinstance(a, Term):
        return bv("bvadd", a, number(b, a.sort.width))
    return (_integer(a) + b) & ((1 << width) - 1)


def minus(a: Value, b: int, width: int) -> Value:
    """`a` - `b`, wrapping at `width` bits."""
    if isinstance(a, Term):
        return bv("bvsub", a, number(b, a.sort.width))
    return (_integer(a) - b) & ((1 << width) - 1)


def grants(rights: Value, wanted: int) -> Value:
    """`rights` contains every bit of `wanted`."""
    return eq(meet(rights, wanted), wanted)


def _truth(value: Value) -> bool:
    if not isinstance(value, bool):
        raise TermError(f"a truth value was expected, got {value!r}")
    return value


def _integer(value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TermError(f"an integer was expected, got {value!r}")
    return value
