"""Walk over terms: rebuild, substitute, enumerate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from model.language.terms import (
    FOLD,
    Function,
    Term,
    TermError,
    bv,
    concat,
    extract,
    quantify,
    t_and,
    t_eq,
    t_implies,
    t_ite,
    t_not,
    t_or,
    t_ule,
    t_ult,
    together,
)


def rebuild(term: Term, arguments: tuple[Term, ...]) -> Term:
    """The same operator over other arguments, simplified as the constructors do."""
    operator = term.operator
    if operator == "and":
        return t_and(arguments)
    if operator == "or":
        return t_or(arguments)
    if operator == "extract" and isinstance(term.payload, tuple):
        high, low = term.payload
        if isinstance(high, int) and isinstance(low, int):
            return extract(high, low, arguments[0])
    if operator in ("forall", "exists"):
        names = tuple(p for p in term.payload if isinstance(p, Term)) if isinstance(term.payload, tuple) else ()
        return quantify(operator, names, arguments[0], arguments[1:])
    if operator == "apply" and isinstance(term.payload, Function):
        return term.payload(*arguments)
    build = _BUILD.get(operator)
    if build is not None:
        return build(*arguments)
    if operator in FOLD:
        return bv(operator, *arguments)
    raise TermError(f"no rule to rebuild {operator}")


_BUILD: Final[dict[str, Callable[..., Term]]] = {
    "not": t_not,
    "=>": t_implies,
    "=": t_eq,
    "ite": t_ite,
    "bvule": t_ule,
    "bvult": t_ult,
    "concat": concat,
    "together": lambda *parts: together(parts),
}


def substitute(term: Term, mapping: Mapping[Term, Term]) -> Term:
    """`term` with free variables replaced; variables bound inside are never captured (names are unique)."""
    if not mapping:
        return term
    keys = frozenset(mapping)
    done: dict[Term, Term] = {}

    def visit(node: Term) -> Term:
        if not (node.free & keys):
            return node
        found = done.get(node)
        if found is None:
            if node.operator == "var":
                found = mapping[node]
            else:
                found = rebuild(node, tuple(visit(argument) for argument in node.arguments))
            done[node] = found
        return found

    return visit(term)


def subterms(roots: Iterable[Term]) -> Iterable[Term]:
    """Every node below `roots`, arguments before their parents, each once."""
    seen: set[int] = set()
    for root in roots:
        stack: list[tuple[Term, bool]] = [(root, False)]
        while stack:
            node, expanded = stack.pop()
            if expanded:
                yield node
            elif node.serial not in seen:
                seen.add(node.serial)
                stack.append((node, True))
                stack.extend((argument, False) for argument in reversed(node.arguments) if argument.serial not in seen)
