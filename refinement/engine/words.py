"""Bit-level algebra on terms: slices, joins and bitwise operations that resolve known bits at once.

A word is read as a row of pieces (a `concat` tree, flattened).  Masks, shifts and unions of disjoint bits then need
no solver: `(frame << 12 | 7) >> 12 & MASK40` is the term `frame` again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from model.language.terms import (
    FALSE,
    TRUE,
    Term,
    bv,
    concat,
    extract,
    number,
    t_and,
    t_eq,
    t_ite,
    t_not,
    t_or,
    t_ule,
    t_ult,
    value_of,
)


def width_of(term: Term) -> int:
    """The number of bits of a bit-vector term."""
    return term.sort.width


def pieces(term: Term) -> list[Term]:
    """The parts of a concatenation, lowest bits first."""
    found: list[Term] = []
    stack = [term]
    while stack:
        node = stack.pop()
        if node.operator == "concat":
            stack.extend(node.arguments)
        else:
            found.append(node)
    return found


def join(parts: Sequence[Term]) -> Term:
    """The concatenation of parts (lowest bits first), adjacent constants and adjacent slices of one term merged."""
    merged: list[Term] = []
    for part in parts:
        if merged:
            fused = _fuse(part, merged[-1])
            if fused is not None:
                merged[-1] = fused
                continue
        merged.append(part)
    word = merged[0]
    for part in merged[1:]:
        word = concat(part, word)
    return word


def _fuse(upper: Term, lower: Term) -> Term | None:
    if value_of(upper) is not None and value_of(lower) is not None:
        return concat(upper, lower)
    if upper.operator == lower.operator == "extract" and upper.arguments[0] is lower.arguments[0]:
        above, below = _range(upper), _range(lower)
        if above[1] == below[0] + 1:
            return extract(above[0], below[1], upper.arguments[0])
    return None


def _range(term: Term) -> tuple[int, int]:
    match term.payload:
        case (int() as high, int() as low):
            return high, low
        case _:
            raise AssertionError("an extract carries its range")


def cut(term: Term, high: int, low: int) -> Term:
    """Bits high..low of a term, both included, pushed through concatenations and choices of known words."""
    if low == 0 and high == width_of(term) - 1:
        return term
    if term.operator == "concat":
        parts: list[Term] = []
        start = 0
        for piece in pieces(term):
            end = start + width_of(piece)
            if start <= high and end > low:
                parts.append(cut(piece, min(high, end - 1) - start, max(low, start) - start))
            start = end
        return join(parts)
    if term.operator == "ite":
        condition, a, b = term.arguments
        if any(branch.operator in ("concat", "bits") for branch in (a, b)):
            return t_ite(condition, cut(a, high, low), cut(b, high, low))
    return extract(high, low, term)


def extend(term: Term, width: int) -> Term:
    """The term with leading zeros up to `width` bits."""
    missing = width - width_of(term)
    return term if missing == 0 else concat(number(0, missing), term)


def fit(term: Term, width: int) -> Term:
    """The term with leading zeros added, or leading bits dropped, to have `width` bits."""
    return extend(term, width) if width_of(term) <= width else cut(term, width - 1, 0)


def _aligned(a: Term, b: Term) -> list[tuple[Term, Term]]:
    """Both terms cut at the borders of either (lowest first)."""
    rows: list[tuple[Term, Term]] = []
    left, right = pieces(a), pieces(b)
    left.reverse()
    right.reverse()
    while left:
        x, y = left.pop(), right.pop()
        shorter = min(width_of(x), width_of(y))
        if width_of(x) > shorter:
            left.append(cut(x, width_of(x) - 1, shorter))
            x = cut(x, shorter - 1, 0)
        if width_of(y) > shorter:
            right.append(cut(y, width_of(y) - 1, shorter))
            y = cut(y, shorter - 1, 0)
        rows.append((x, y))
    return rows


def _bitwise(a: Term, b: Term, rule: Callable[[Term, Term], Term]) -> Term:
    rows: list[Term] = []
    for x, y in _aligned(a, b):
        for low, high in _runs(x, y):
            rows.append(rule(cut(x, high, low), cut(y, high, low)))
    return join(rows)


def _runs(x: Term, y: Term) -> list[tuple[int, int]]:
    """The (low, high) borders of the runs of equal bits of whichever of the two is constant."""
    constant = value_of(x) if value_of(x) is not None else value_of(y)
    width = width_of(x)
    if constant is None:
        return [(0, width - 1)]
    found: list[tuple[int, int]] = []
    low = 0
    while low < width:
        high = low
        while high + 1 < width and constant >> (high + 1) & 1 == constant >> low & 1:
            high += 1
        found.append((low, high))
        low = high + 1
    return found


def _is_ones(term: Term) -> bool:
    return value_of(term) == (1 << width_of(term)) - 1


def _and(x: Term, y: Term) -> Term:
    for known, other in ((x, y), (y, x)):
        if value_of(known) == 0:
            return known
        if _is_ones(known):
            return other
    return x if x is y else bv("bvand", x, y)


def _or(x: Term, y: Term) -> Term:
    for known, other in ((x, y), (y, x)):
        if value_of(known) == 0:
            return other
        if _is_ones(known):
            return known
    return x if x is y else bv("bvor", x, y)


def _xor(x: Term, y: Term) -> Term:
    return bv("bvxor", x, y)


def bit_and(a: Term, b: Term) -> Term:
    """Bitwise and of two words of one width."""
    return _bitwise(a, b, _and)


def bit_or(a: Term, b: Term) -> Term:
    """Bitwise or of two words of one width."""
    return _bitwise(a, b, _or)


def bit_xor(a: Term, b: Term) -> Term:
    """Bitwise exclusive or of two words of one width."""
    return _bitwise(a, b, _xor)


def add(a: Term, b: Term) -> Term:
    """The sum modulo the common width; of words without common bits it is their union."""
    if all(value_of(x) == 0 or value_of(y) == 0 for x, y in _aligned(a, b)):
        return bit_or(a, b)
    return bv("bvadd", a, b)


def same(a: Term, b: Term) -> Term:
    """Equality of two words of one width, decided bit run by bit run where bits are known."""
    if a is b:
        return TRUE
    for choice, known in ((a, b), (b, a)):
        if choice.operator == "ite" and value_of(known) is not None:
            folded = _choice_is(choice, known)
            if folded is not None:
                return folded
    rows = [t_eq(x, y) for x, y in _aligned(a, b)]
    if any(row is FALSE for row in rows):
        return FALSE
    if len(rows) > 1 and (any(row is TRUE for row in rows) or value_of(a) is not None or value_of(b) is not None):
        return t_and(rows)
    return t_eq(a, b) if len(rows) > 1 else rows[0]


def _choice_is(choice: Term, known: Term) -> Term | None:
    condition, a, b = choice.arguments
    if value_of(a) is not None:
        rest = same(b, known)
        return t_or([condition, rest]) if a is known else t_and([t_not(condition), rest])
    if value_of(b) is not None:
        rest = same(a, known)
        return t_or([t_not(condition), rest]) if b is known else t_and([condition, rest])
    return None


def at_most(a: Term, b: Term) -> Term:
    """Unsigned a <= b, of any widths."""
    width = max(width_of(a), width_of(b))
    return t_ule(extend(a, width), extend(b, width))


def less(a: Term, b: Term) -> Term:
    """Unsigned a < b, of any widths."""
    width = max(width_of(a), width_of(b))
    return t_ult(extend(a, width), extend(b, width))
