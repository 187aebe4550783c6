"""Terms: the formulas that an interpreter of the specification builds.

A term is an immutable, interned tree over booleans, enumerations, bit-vectors, uninterpreted sorts and
uninterpreted functions.  Nothing here decides anything; `model.language.smtlib` prints terms and a solver reads
the text.  Python must not branch on a term by accident: `if`, `and`, `or`, `not`, `in` and `==` on a term raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import Final


class TermError(TypeError):
    """A term was built or used in a way that has no meaning; always a defect of ours."""


@dataclass(frozen=True, slots=True)
class Sort:
    """A sort of the language.

    kind: ``bool``, ``bits`` (of `width`), ``enum`` (with `members`), ``index`` (uninterpreted and enumerable in
    small scopes: frames, enclaves...) or ``opaque`` (uninterpreted values: page contents, register files...).
    """

    name: str
    kind: str
    width: int = 0
    members: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


BOOL: Final = Sort("Bool", "bool")


def bits(width: int) -> Sort:
    """The sort of bit-vectors of `width` bits, read as non-negative integers."""
    if width <= 0:
        raise TermError(f"bit-vector width must be positive, got {width}")
    return Sort(f"(_ BitVec {width})", "bits", width)


def index(name: str) -> Sort:
    """An uninterpreted sort that proofs leave unbounded and that countermodels make small."""
    return Sort(name, "index")


def opaque(name: str) -> Sort:
    """An uninterpreted sort of values that the model never looks into."""
    return Sort(name, "opaque")


def enum_sort(members: type[Enum]) -> Sort:
    """The sort whose values are the members of a Python enumeration."""
    return Sort(members.__name__, "enum", members=tuple(member.name for member in members))


@dataclass(frozen=True, slots=True)
class Function:
    """An uninterpreted function symbol; a constant when it takes no arguments."""

    name: str
    arguments: tuple[Sort, ...]
    result: Sort

    def __call__(self, *arguments: Term) -> Term:
        """The application of the function; arguments of other sorts raise `TermError`."""
        if tuple(a.sort for a in arguments) != self.arguments:
            raise TermError(f"{self.name} takes {self.arguments}, got {tuple(a.sort for a in arguments)}")
        return _make("apply", arguments, self.result, self)


Payload = Function | int | str | tuple[int, int] | tuple["Term", ...] | None


class Term:
    """One interned node: an operator, its arguments, its sort, and what the operator carries."""

    __slots__ = ("_free", "arguments", "operator", "payload", "serial", "sort")

    def __init__(self, operator: str, arguments: tuple[Term, ...], sort: Sort, payload: Payload, serial: int) -> None:
        self.operator = operator
        self.arguments = arguments
        self.sort = sort
        self.payload = payload
        self.serial = serial
        self._free: frozenset[Term] | None = None

    def __bool__(self) -> bool:
        raise TermError("a term has no truth value in Python: use ite, And, Or, Not or Implies")

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        raise TermError("terms are compared with eq(a, b), not with ==")

    def __hash__(self) -> int:
        return self.serial

    def __contains__(self, item: object) -> bool:
        raise TermError("`in` has no meaning on terms: use Or(eq(..), ..)")

    def __invert__(self) -> Term:
        raise TermError("~ is not negation: use Not(..)")

    def __repr__(self) -> str:
        return f"<{self.operator} {self.sort} #{self.serial}>"

    @property
    def free(self) -> frozenset[Term]:
        """The bound-variable nodes that occur free in this term."""
        if self._free is None:
            found: frozenset[Term] = frozenset([self]) if self.operator == "var" else frozenset()
            for argument in self.arguments:
                found |= argument.free
            if self.operator in ("forall", "exists") and isinstance(self.payload, tuple):
                found -= frozenset(p for p in self.payload if isinstance(p, Term))
            self._free = found
        return self._free


_interned: dict[tuple[object, ...], Term] = {}
_serials = count(2)


def _make(operator: str, arguments: tuple[Term, ...], sort: Sort, payload: Payload = None) -> Term:
    key = (operator, tuple(a.serial for a in arguments), sort, _payload_key(payload))
    found = _interned.get(key)
    if found is None:
        found = Term(operator, arguments, sort, payload, next(_serials))
        _interned[key] = found
    return found


def _payload_key(payload: Payload) -> object:
    if isinstance(payload, tuple):
        return tuple(p.serial if isinstance(p, Term) else p for p in payload)
    return payload


TRUE: Final = Term("true", (), BOOL, None, 0)
FALSE: Final = Term("false", (), BOOL, None, 1)
_interned[("true",)] = TRUE
_interned[("false",)] = FALSE


def boolean(value: bool) -> Term:
    """The constant true or false."""
    return TRUE if value else FALSE


def number(value: int, width: int) -> Term:
    """The bit-vector constant `value` of `width` bits."""
    if not 0 <= value < 1 << width:
        raise TermError(f"{value} does not fit in {width} bits")
    return _make("bits", (), bits(width), value)


def member(sort: Sort, name: str) -> Term:
    """One value of an enumeration."""
    if name not in sort.members:
        raise TermError(f"{sort.name} has no member {name}")
    return _make("member", (), sort, name)


def constant(name: str, sort: Sort) -> Term:
    """An uninterpreted constant."""
    return Function(name, (), sort)()


def variable(name: str, sort: Sort) -> Term:
    """A variable for `forall` and `exists` to bind, or a placeholder for `substitute`."""
    return _make("var", (), sort, name)


# --- booleans ---------------------------------------------------------------------------------------------------


def t_not(a: Term) -> Term:
    """Negation."""
    _expect_bool(a)
    if a is TRUE:
        return FALSE
    if a is FALSE:
        return TRUE
    if a.operator == "not":
        return a.arguments[0]
    return _make("not", (a,), BOOL)


def t_and(items: Iterable[Term]) -> Term:
    """Conjunction of any number of terms."""
    return _junction("and", items, TRUE, FALSE)


def t_or(items: Iterable[Term]) -> Term:
    """Disjunction of any number of terms."""
    return _junction("or", items, FALSE, TRUE)


def _junction(operator: str, items: Iterable[Term], unit: Term, zero: Term) -> Term:
    kept: dict[int, Term] = {}
    for item in items:
        _expect_bool(item)
        if item is zero:
            return zero
        if item is unit:
            continue
        for part in item.arguments if item.operator == operator else (item,):
            kept.setdefault(part.serial, part)
    if not kept:
        return unit
    parts = tuple(kept.values())
    return parts[0] if len(parts) == 1 else _make(operator, parts, BOOL)


def t_implies(a: Term, b: Term) -> Term:
    """Implication."""
    _expect_bool(a)
    _expect_bool(b)
    if a is TRUE or b is TRUE:
        return b
    if a is FALSE:
        return TRUE
    return _make("=>", (a, b), BOOL)


def t_eq(a: Term, b: Term) -> Term:
    """Equality of two terms of one sort."""
    if a.sort != b.sort:
        raise TermError(f"eq of different sorts: {a.sort} and {b.sort}")
    if a is b:
        return TRUE
    if a.operator in ("bits", "member", "true", "false") and b.operator in ("bits", "member", "true", "false"):
        return FALSE
    if a.sort.kind == "bool":
        for x, y in ((a, b), (b, a)):
            if x is TRUE:
                return y
            if x is FALSE:
                return t_not(y)
    return _make("=", (a, b), BOOL)


def t_ite(condition: Term, a: Term, b: Term) -> Term:
    """If condition then a else b."""
    _expect_bool(condition)
    if a.sort != b.sort:
        raise TermError(f"ite of different sorts: {a.sort} and {b.sort}")
    if condition is TRUE or a is b:
        return a
    if condition is FALSE:
        return b
    if a.sort.kind == "bool":
        if a is TRUE and b is FALSE:
            return condition
        if a is FALSE and b is TRUE:
            return t_not(condition)
    return _make("ite", (condition, a, b), a.sort)


def _expect_bool(a: Term) -> None:
    if a.sort.kind != "bool":
        raise TermError(f"a truth value was expected, got {a.sort}")


def quantify(operator: str, variables: tuple[Term, ...], body: Term, patterns: tuple[Term, ...] = ()) -> Term:
    """``forall`` or ``exists`` over `variables`; each pattern is a term whose match instantiates the body."""
    _expect_bool(body)
    if body is TRUE or body is FALSE or not variables:
        return body
    return _make(operator, (body, *patterns), BOOL, variables)


def together(parts: tuple[Term, ...]) -> Term:
    """A pattern of several terms that must all match."""
    return parts[0] if len(parts) == 1 else _make("together", parts, BOOL)


# --- bit-vectors ------------------------------------------------------------------------------------------------


FOLD: Final[dict[str, Callable[[int, int, int], int]]] = {
    "bvadd": lambda a, b, w: (a + b) & ((1 << w) - 1),
    "bvsub": lambda a, b, w: (a - b) & ((1 << w) - 1),
    "bvmul": lambda a, b, w: (a * b) & ((1 << w) - 1),
    "bvand": lambda a, b, w: a & b,
    "bvor": lambda a, b, w: a | b,
    "bvxor": lambda a, b, w: a ^ b,
    "bvshl": lambda a, b, w: (a << b) & ((1 << w) - 1) if b < w else 0,
    "bvlshr": lambda a, b, w: a >> b if b < w else 0,
}


def bv(operator: str, a: Term, b: Term) -> Term:
    """A binary bit-vector operation (SMT-LIB name) on two terms of one width."""
    if a.sort != b.sort or a.sort.kind != "bits":
        raise TermError(f"{operator} of {a.sort} and {b.sort}")
    x, y = value_of(a), value_of(b)
    if x is not None and y is not None:
        return number(FOLD[operator](x, y, a.sort.width), a.sort.width)
    if y == 0 and operator in ("bvadd", "bvsub", "bvor", "bvxor", "bvshl", "bvlshr"):
        return a
    if x == 0 and operator in ("bvadd", "bvor", "bvxor"):
        return b
    if (x == 0 or y == 0) and operator == "bvand":
        return number(0, a.sort.width)
    return _make(operator, (a, b), a.sort)


def t_ule(a: Term, b: Term) -> Term:
    """Unsigned a <= b."""
    return _compare("bvule", a, b, lambda x, y: x <= y)


def t_ult(a: Term, b: Term) -> Term:
    """Unsigned a < b."""
    return _compare("bvult", a, b, lambda x, y: x < y)


def _compare(operator: str, a: Term, b: Term, fold: Callable[[int, int], bool]) -> Term:
    if a.sort != b.sort or a.sort.kind != "bits":
        raise TermError(f"{operator} of {a.sort} and {b.sort}")
    x, y = value_of(a), value_of(b)
    if x is not None and y is not None:
        return boolean(fold(x, y))
    if a is b:
        return boolean(fold(0, 0))
    return _make(operator, (a, b), BOOL)


def extract(high: int, low: int, a: Term) -> Term:
    """Bits high..low of a, both included."""
    width = a.sort.width
    if not 0 <= low <= high < width:
        raise TermError(f"extract {high}..{low} of {width} bits")
    if low == 0 and high == width - 1:
        return a
    value = value_of(a)
    if value is not None:
        return number((value >> low) & ((1 << (high - low + 1)) - 1), high - low + 1)
    if a.operator == "extract" and isinstance(a.payload, tuple):
        base = a.payload[1]
        if isinstance(base, int):
            return extract(high + base, low + base, a.arguments[0])
    if a.operator == "concat":
        upper, lower = a.arguments
        if high < lower.sort.width:
            return extract(high, low, lower)
        if low >= lower.sort.width:
            return extract(high - lower.sort.width, low - lower.sort.width, upper)
    return _make("extract", (a,), bits(high - low + 1), (high, low))


def concat(upper: Term, lower: Term) -> Term:
    """The bit-vector whose high bits are `upper`."""
    x, y = value_of(upper), value_of(lower)
    width = upper.sort.width + lower.sort.width
    if x is not None and y is not None:
        return number(x << lower.sort.width | y, width)
    return _make("concat", (upper, lower), bits(width))


def zero_extend(a: Term, width: int) -> Term:
    """`a` with leading zeros up to `width` bits."""
    if width == a.sort.width:
        return a
    return concat(number(0, width - a.sort.width), a)


def value_of(a: Term) -> int | None:
    """The integer that a bit-vector constant stands for, or None."""
    return a.payload if a.operator == "bits" and isinstance(a.payload, int) else None
