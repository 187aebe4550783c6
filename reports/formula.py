"""The goal of an obligation as mathematics, for reading; what is solved is the text, never this."""

from __future__ import annotations

from typing import Any, Final, cast

import z3

MOST_TERMS: Final = 400
"""A goal with more terms than this is not printed: nobody reads it, and the text has names for what repeats."""

_INFIX: Final = {
    z3.Z3_OP_AND: " ∧ ", z3.Z3_OP_OR: " ∨ ", z3.Z3_OP_IMPLIES: " ⇒ ", z3.Z3_OP_EQ: " = ", z3.Z3_OP_ULEQ: " ≤ ",
    z3.Z3_OP_ULT: " < ", z3.Z3_OP_UGEQ: " ≥ ", z3.Z3_OP_UGT: " > ", z3.Z3_OP_BAND: " & ", z3.Z3_OP_BOR: " | ",
    z3.Z3_OP_BXOR: " ^ ", z3.Z3_OP_BADD: " + ", z3.Z3_OP_BSUB: " - ", z3.Z3_OP_BMUL: " · ", z3.Z3_OP_CONCAT: " ∘ ",
}  # fmt: skip


def hypotheses(text: str) -> list[str]:
    """What an obligation assumes, by name: the comments of its assertions but the last."""
    return [line.removeprefix("; ") for line in text.splitlines() if line.startswith("; ")][:-1]


def goal(text: str) -> str:
    """The last assertion of a script: what must not hold of an obligation is shown as what must."""
    assertions = cast("Any", z3.parse_smt2_string(text, ctx=z3.Context()))
    last = assertions[len(assertions) - 1]
    denied = z3.is_not(last)
    shown = last.arg(0) if denied else last
    terms = _terms(shown, {})
    if terms > MOST_TERMS:
        return f"({terms} terms, too many to read as one formula; the text has names for what repeats)"
    return _show(shown, ()) if denied else f"satisfiable: {_show(shown, ())}"


def _terms(node: Any, known: dict[int, int]) -> int:
    """The number of terms when everything that is shared is written out."""
    if node.get_id() not in known:
        known[node.get_id()] = 1 + sum(_terms(child, known) for child in node.children())
    return known[node.get_id()]


def _show(node: Any, bound: tuple[str, ...]) -> str:
    if z3.is_quantifier(node):
        names = tuple(node.var_name(i) for i in range(node.num_vars()))
        sign = "∀" if node.is_forall() else "∃"
        return f"{sign} {', '.join(names)}: {_show(node.body(), (*bound, *names))}"
    if z3.is_var(node):
        return bound[-1 - z3.get_var_index(node)]
    if z3.is_bv_value(node):
        return str(node.as_long())
    kind, children = node.decl().kind(), node.children()
    if kind == z3.Z3_OP_NOT:
        return _negated(children[0], bound)
    if kind == z3.Z3_OP_ITE:
        condition, then, otherwise = (_part(child, bound) for child in children)
        return f"if {condition} then {then} else {otherwise}"
    if kind in _INFIX:
        return _INFIX[kind].join(_part(child, bound) for child in children)
    return _applied(node, [_show(child, bound) for child in children])


def _negated(node: Any, bound: tuple[str, ...]) -> str:
    if z3.is_eq(node):
        return " ≠ ".join(_part(child, bound) for child in node.children())
    return f"¬{_part(node, bound)}"


def _part(node: Any, bound: tuple[str, ...]) -> str:
    """In brackets if it is made of several parts."""
    shown = _show(node, bound)
    compound = z3.is_quantifier(node) or (z3.is_app(node) and node.decl().kind() in (*_INFIX, z3.Z3_OP_ITE))
    return f"({shown})" if compound else shown


def _applied(node: Any, arguments: list[str]) -> str:
    """A function of the state, `name@s` being the one of state s, or a constant."""
    name, _, state = node.decl().name().partition("@")
    if node.decl().kind() == z3.Z3_OP_EXTRACT:
        high, low = node.params()
        return f"{arguments[0]}[{high}:{low}]"
    head = f"{name}ₛ" if state == "s" else f"{name}ₜ" if state == "t" else node.decl().name()
    return f"{head}({', '.join(arguments)})" if arguments else head
