"""Print terms as SMT-LIB 2.6 text.

The text is canonical: it depends only on the formulas, so its SHA-256 names an obligation, and the text, parsed back
by the solver, is what is solved.  Ground subterms that occur more than once become `define-fun` lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from model.language.terms import Function, Sort, Term, TermError
from model.language.traversal import subterms


def script(assertions: Sequence[tuple[str, Term]]) -> str:
    """The whole script for a list of (comment, formula): declarations, definitions, one assertion each."""
    printer = _Printer([term for _, term in assertions])
    lines = [*printer.declarations(), *printer.definitions()]
    for comment, term in assertions:
        lines.append(f"; {comment}")
        lines.append(f"(assert {printer.text(term)})")
    return "\n".join(lines) + "\n"


@cache
def symbol(name: str) -> str:
    """A name as an SMT-LIB symbol, quoted where the plain form does not allow it."""
    plain = name.replace("_", "a").replace(".", "a").replace("!", "a")
    return name if plain.isalnum() and plain.isascii() and not name[0].isdigit() else f"|{name}|"


# Instances of instances of instances are rarely needed and breed more; the weight makes a solver turn to them last.
_WEIGHT = 6


@dataclass(frozen=True)
class _Part:
    """A quantified formula that is printed alike wherever it stands, and what it needs declared."""

    text: str
    sorts: tuple[Sort, ...]
    functions: tuple[Function, ...]


@lru_cache(maxsize=4096)
def _part(node: Term) -> _Part | None:
    """The formula on its own, or None where a ground subterm could get a name that depends on the rest."""
    if node.operator not in ("forall", "exists") or node.free:
        return None
    nodes = list(subterms([node]))
    if any(n.arguments and not n.free and n is not node for n in nodes):
        return None
    sorts, functions = _needs(nodes)
    return _Part(_Printer([]).expanded(node), tuple(sorts.values()), tuple(functions.values()))


def _needs(nodes: Iterable[Term]) -> tuple[dict[str, Sort], dict[str, Function]]:
    sorts: dict[str, Sort] = {}
    functions: dict[str, Function] = {}
    for node in nodes:
        parts = [node.sort]
        if isinstance(node.payload, Function):
            _declare(functions, node.payload)
            parts += node.payload.arguments
        for sort in parts:
            sorts.setdefault(sort.name, sort)
    return sorts, functions


def _declare(functions: dict[str, Function], function: Function) -> None:
    if functions.setdefault(function.name, function) != function:
        raise TermError(f"the name {function.name} stands for two functions")


class _Printer:
    def __init__(self, roots: Sequence[Term]) -> None:
        loose = [root for root in roots if _part(root) is None]
        nodes = list(subterms(loose))
        uses: dict[int, int] = {}
        for node in nodes:
            for argument in node.arguments:
                uses[argument.serial] = uses.get(argument.serial, 0) + 1
        self.shared = [n for n in nodes if uses.get(n.serial, 0) > 1 and n.arguments and not n.free]
        self.names: dict[int, str] = {}
        self.sorts, self.functions = _needs(nodes)
        for part in (p for p in map(_part, roots) if p is not None):
            for sort in part.sorts:
                self.sorts.setdefault(sort.name, sort)
            for function in part.functions:
                _declare(self.functions, function)

    def declarations(self) -> Iterable[str]:
        for sort in self.sorts.values():
            if sort.kind in ("index", "opaque"):
                yield f"(declare-sort {symbol(sort.name)} 0)"
            elif sort.kind == "enum":
                members = " ".join(f"({symbol(f'{sort.name}.{m}')})" for m in sort.members)
                yield f"(declare-datatypes (({symbol(sort.name)} 0)) (({members})))"
        for function in self.functions.values():
            arguments = " ".join(_sort_text(s) for s in function.arguments)
            yield f"(declare-fun {symbol(function.name)} ({arguments}) {_sort_text(function.result)})"

    def definitions(self) -> Iterable[str]:
        for node in self.shared:
            body = self.expanded(node)
            name = f"d{len(self.names)}"
            self.names[node.serial] = name
            yield f"(define-fun {name} () {_sort_text(node.sort)} {body})"

    def text(self, node: Term) -> str:
        name = self.names.get(node.serial)
        if name is not None:
            return name
        part = _part(node)
        return self.expanded(node) if part is None else part.text

    def expanded(self, node: Term) -> str:
        operator, payload = node.operator, node.payload
        if operator in ("true", "false"):
            return operator
        if operator == "bits":
            return f"(_ bv{payload} {node.sort.width})"
        if operator == "member":
            return symbol(f"{node.sort.name}.{payload}")
        if operator == "var":
            return symbol(str(payload))
        if operator in ("forall", "exists"):
            return self._quantifier(node)
        arguments = " ".join(self.text(argument) for argument in node.arguments)
        if operator == "together":
            return arguments
        if operator == "extract" and isinstance(payload, tuple):
            return f"((_ extract {payload[0]} {payload[1]}) {arguments})"
        head = symbol(payload.name) if isinstance(payload, Function) else operator
        return f"({head} {arguments})" if node.arguments else head

    def _quantifier(self, node: Term) -> str:
        variables = [p for p in node.payload if isinstance(p, Term)] if isinstance(node.payload, tuple) else []
        binders = " ".join(f"({symbol(str(v.payload))} {_sort_text(v.sort)})" for v in variables)
        body = self.text(node.arguments[0])
        if len(node.arguments) > 1:
            patterns = " ".join(f":pattern ({self.text(p)})" for p in node.arguments[1:])
            body = f"(! {body} :weight {_WEIGHT} {patterns})"
        return f"({node.operator} ({binders}) {body})"


def _sort_text(sort: Sort) -> str:
    return sort.name if sort.kind in ("bool", "bits") else symbol(sort.name)
