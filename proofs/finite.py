"""The same statement over a small scope: finitely many frames, enclaves..., every quantifier written out.

What a small scope satisfies is never a proof; it is where counterexamples and witnesses come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from model.language.symbolic import Named
from model.language.terms import Function, Sort, Term, TermError, bits, number, t_and, t_or, t_ult, variable
from model.language.traversal import rebuild, substitute, subterms

OPAQUE_WIDTH = 3


def _width(count: int) -> int:
    return max(1, (count - 1).bit_length())


@dataclass
class Scope:
    """How many values each index sort has; opaque sorts have 2**OPAQUE_WIDTH."""

    sizes: Mapping[str, int]
    _functions: dict[str, Function] = field(default_factory=dict[str, Function])
    _done: dict[Term, Term] = field(default_factory=dict[Term, Term])
    originals: dict[str, Function] = field(default_factory=dict[str, Function])

    def count(self, sort: Sort) -> int:
        """The number of values of an index or enumeration sort."""
        if sort.kind == "enum":
            return len(sort.members)
        try:
            return self.sizes[sort.name]
        except KeyError:
            raise TermError(f"the scope gives no size for {sort.name}") from None

    def sort(self, sort: Sort) -> Sort:
        """The bit-vector sort that stands for `sort`."""
        if sort.kind in ("index", "enum"):
            return bits(_width(self.count(sort)))
        return bits(OPAQUE_WIDTH) if sort.kind == "opaque" else sort

    def function(self, function: Function) -> Function:
        """The function over the finite sorts."""
        found = self._functions.get(function.name)
        if found is None:
            found = Function(function.name, tuple(self.sort(s) for s in function.arguments), self.sort(function.result))
            self._functions[function.name] = found
            self.originals[function.name] = function
        return found

    def ground(self, term: Term) -> Term:
        """`term` with finite sorts and without quantifiers."""
        found = self._done.get(term)
        if found is None:
            found = self._convert(term)
            self._done[term] = found
        return found

    def _convert(self, term: Term) -> Term:
        operator = term.operator
        if operator == "var":
            return variable(str(term.payload), self.sort(term.sort))
        if operator == "member":
            return number(term.sort.members.index(str(term.payload)), _width(len(term.sort.members)))
        if operator in ("forall", "exists"):
            names = [p for p in term.payload if isinstance(p, Term)] if isinstance(term.payload, tuple) else []
            body = self.ground(term.arguments[0])
            instances = [substitute(body, chosen) for chosen in self.assignments(names)]
            return t_and(instances) if operator == "forall" else t_or(instances)
        arguments = tuple(self.ground(a) for a in term.arguments)
        if operator == "apply" and isinstance(term.payload, Function):
            return self.function(term.payload)(*arguments)
        return rebuild(term, arguments) if arguments else term

    def assignments(self, names: Sequence[Term]) -> Iterable[dict[Term, Term]]:
        """Every way to give the variables values of the scope."""
        ranges: list[list[Term]] = []
        for name in names:
            target = self.sort(name.sort)
            if name.sort.kind == "opaque":
                raise TermError(f"{name.sort.name} has no enumerable values")
            count = 1 << target.width if name.sort.kind == "bits" else self.count(name.sort)
            ranges.append([number(i, target.width) for i in range(count)])
        keys = [variable(str(n.payload), self.sort(n.sort)) for n in names]
        for values in product(*ranges):
            yield dict(zip(keys, values, strict=True))

    def in_range(self, terms: Iterable[Term]) -> list[Term]:
        """Every application of index or enumeration sort stays below the size of its sort."""
        found: list[Term] = []
        for node in subterms(terms):
            if node.operator != "apply" or not isinstance(node.payload, Function):
                continue
            original = self.originals[node.payload.name].result
            if original.kind in ("index", "enum"):
                count = self.count(original)
                if count < 1 << node.sort.width:
                    found.append(t_ult(node, number(count, node.sort.width)))
        return found


def _axiom_instances(scope: Scope, axiom: Term, terms: Sequence[Term]) -> Iterable[Term]:
    """Instances of an axiom over opaque values at the ground terms that occur, since those sorts are not enumerable."""
    names = [p for p in axiom.payload if isinstance(p, Term)] if isinstance(axiom.payload, tuple) else []
    opaque = [n for n in names if n.sort.kind == "opaque"]
    anchors = [
        node
        for node in subterms([axiom.arguments[0]])
        if node.operator == "apply" and set(opaque) <= {a for a in node.arguments if a.operator == "var"}
    ]
    if not anchors:
        return
    anchor = min(anchors, key=lambda n: (len(n.arguments), n.serial)) if len(opaque) == len(names) else anchors[0]
    body = scope.ground(axiom.arguments[0])
    head = anchor.payload
    for node in terms:
        if not (node.operator == "apply" and isinstance(node.payload, Function) and isinstance(head, Function)):
            continue
        if node.payload.name != head.name or node.free:
            continue
        bound = {
            variable(str(v.payload), scope.sort(v.sort)): a
            for v, a in zip(anchor.arguments, node.arguments, strict=True)
            if v.operator == "var"
        }
        rest = [n for n in names if variable(str(n.payload), scope.sort(n.sort)) not in bound]
        for chosen in scope.assignments(rest):
            yield substitute(body, {**bound, **chosen})


def expand(scope: Scope, assertions: Sequence[Named]) -> list[Named]:
    """All assertions in the scope, axioms over opaque sorts instantiated where they can matter (two rounds)."""
    finite: list[Named] = []
    axioms: list[Named] = []
    for name, term in assertions:
        (axioms if _over_opaque(term) else finite).append((name, term))
    ground = [(name, scope.ground(term)) for name, term in finite]
    for _ in range(2):
        terms = list(subterms([t for _, t in ground]))
        known = {t for _, t in ground}
        for name, axiom in axioms:
            for instance in _axiom_instances(scope, axiom, terms):
                if instance not in known:
                    known.add(instance)
                    ground.append((name, instance))
    return ground + [("a value of its sort", t) for t in scope.in_range([t for _, t in ground])]


def _over_opaque(term: Term) -> bool:
    if term.operator != "forall" or not isinstance(term.payload, tuple):
        return False
    return any(isinstance(p, Term) and p.sort.kind == "opaque" for p in term.payload)
