"""Evaluate ground terms on numbers; booleans are 0 and 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from model.language.terms import Function, Term, TermError, bv, number, value_of
from model.language.traversal import subterms

Interpret = Callable[[Function, tuple[int, ...]], int]


def evaluate(terms: Sequence[Term], interpret: Interpret, known: dict[Term, int] | None = None) -> dict[Term, int]:
    """The value of every subterm, each application as `interpret(function, arguments)` says.

    known: values found earlier with the same meaning of applications; the new ones are added to it.
    """
    values = {} if known is None else known
    for node in subterms(terms):
        if node not in values:
            values[node] = _value(node, tuple(values[a] for a in node.arguments), interpret)
    return values


def _value(node: Term, arguments: tuple[int, ...], interpret: Interpret) -> int:
    operator = node.operator
    if operator == "apply" and isinstance(node.payload, Function):
        return interpret(node.payload, arguments)
    if operator in ("true", "false"):
        return int(operator == "true")
    if operator == "not":
        return 1 - arguments[0]
    if operator == "and":
        return int(all(arguments))
    if operator == "or":
        return int(any(arguments))
    if operator == "=>":
        return int(not arguments[0] or arguments[1] == 1)
    if operator == "=":
        return int(arguments[0] == arguments[1])
    if operator == "ite":
        return arguments[1] if arguments[0] else arguments[2]
    if operator == "bits":
        return value_of(node) or 0
    if operator in ("bvule", "bvult"):
        return int(arguments[0] <= arguments[1] if operator == "bvule" else arguments[0] < arguments[1])
    if operator == "extract" and isinstance(node.payload, tuple):
        high, low = node.payload
        if isinstance(high, int) and isinstance(low, int):
            return (arguments[0] >> low) & ((1 << (high - low + 1)) - 1)
    if operator == "concat":
        return arguments[0] << node.arguments[1].sort.width | arguments[1]
    if operator.startswith("bv"):
        width = node.sort.width
        folded = value_of(bv(operator, number(arguments[0], width), number(arguments[1], width)))
        if folded is not None:
            return folded
    raise TermError(f"{operator} has no value on numbers")
