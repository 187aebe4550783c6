"""Print terms as SMT-LIB 2.6 text.

The text is canonical: it depends only on the formulas, so its SHA-256 names an obligation, and the text, parsed back
by the solver, is what is solved.  Ground subterms that occur more than once become `define-fun` lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from model.language.terms import Function, Sort, Term, TermError, subterms


def script(assertions: Sequence[tuple[str, Term]]) -> str:
    """The whole script for a list of (comment, formula): declarations, definitions, one assertion each."""
    printer = _Printer([term for _, term in assertions])
    lines = [*printer.declarations(), *printer.definitions()]
    for comment, term in assertions:
        lines.append(f"; {comment}")
        lines.append(f"(assert {printer.text(term)})")
    return "\n".join(lines) + "\n"


def symbol(name: str) -> str:
    """A name as an SMT-LIB symbol, quoted where the plain form does not allow it."""
    plain = name.replace("_", "a").replace(".", "a").replace("!", "a")
    return name if plain.isalnum() and plain.isascii() and not name[0].isdigit() else f"|{name}|"


# Instances of instances of instances are rarely needed and breed more; the weight makes a solver turn to them last.
_WEIGHT = 6


class _Printer:
    def __init__(self, roots: Sequence[Term]) -> None:
        self.nodes = list(subterms(roots))
        uses: dict[int, int] = {}
        for node in self.nodes:
            for argument in node.arguments:
                uses[argument.serial] = uses.get(argument.serial, 0) + 1
        self.shared = [n for n in self.nodes if uses.get(n.serial, 0) > 1 and n.arguments and not n.free]
        self.names: dict[int, str] = {}

    def declarations(self) -> Iterable[str]:
        sorts: dict[str, Sort] = {}
        functions: dict[str, Function] = {}
        for node in self.nodes:
            parts = [node.sort]
            if isinstance(node.payload, Function):
                known = functions.setdefault(node.payload.name, node.payload)
                if known != node.payload:
                    raise TermError(f"the name {node.payload.name} stands for two functions")
                parts += node.payload.arguments
            for sort in parts:
                sorts.setdefault(sort.name, sort)
        for sort in sorts.values():
            if sort.kind in ("index", "opaque"):
                yield f"(declare-sort {symbol(sort.name)} 0)"
            elif sort.kind == "enum":
                members = " ".join(f"({symbol(f'{sort.name}.{m}')})" for m in sort.members)
                yield f"(declare-datatypes (({symbol(sort.name)} 0)) (({members})))"
        for function in functions.values():
            arguments = " ".join(_sort_text(s) for s in function.arguments)
            yield f"(declare-fun {symbol(function.name)} ({arguments}) {_sort_text(function.result)})"

    def definitions(self) -> Iterable[str]:
        for node in self.shared:
            body = self.text(node)
            name = f"d{len(self.names)}"
            self.names[node.serial] = name
            yield f"(define-fun {name} () {_sort_text(node.sort)} {body})"

    def text(self, node: Term) -> str:
        name = self.names.get(node.serial)
        return name if name is not None else self._expanded(node)

    def _expanded(self, node: Term) -> str:
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
