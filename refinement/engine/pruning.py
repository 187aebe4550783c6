"""The path oracle: asks Z3 whether a branch is possible.  Untrusted: what it rules out becomes an obligation."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

import z3

from model.language.terms import Function, Sort, Term, TermError
from model.language.traversal import subterms
from refinement.engine.instances import Instances, Rule
from refinement.engine.run import Run

_BUILD: Final[dict[str, Callable[..., Any]]] = {
    "not": z3.Not,
    "and": z3.And,
    "or": z3.Or,
    "=>": z3.Implies,
    "=": operator.eq,
    "ite": z3.If,
    "bvadd": operator.add,
    "bvsub": operator.sub,
    "bvmul": operator.mul,
    "bvand": operator.and_,
    "bvor": operator.or_,
    "bvxor": operator.xor,
    "bvule": z3.ULE,
    "bvult": z3.ULT,
    "concat": z3.Concat,
}


class Translator:
    """Terms as Z3 expressions of one context, each translated once."""

    def __init__(self) -> None:
        self.context = z3.Context()
        self._done: dict[int, z3.ExprRef] = {}
        self._functions: dict[Function, z3.FuncDeclRef] = {}

    def __call__(self, term: Term) -> z3.ExprRef:
        """The expression for a term."""
        if term.serial not in self._done:
            for node in subterms([term]):
                if node.serial not in self._done:
                    self._done[node.serial] = self._node(node, [self._done[a.serial] for a in node.arguments])
        return self._done[term.serial]

    def _node(self, node: Term, arguments: list[z3.ExprRef]) -> z3.ExprRef:
        operator, payload = node.operator, node.payload
        if operator in ("true", "false"):
            return z3.BoolVal(operator == "true", self.context)
        if operator == "bits" and isinstance(payload, int):
            return z3.BitVecVal(payload, node.sort.width, self.context)
        if operator == "apply" and isinstance(payload, Function):
            return self.function(payload)(*arguments)
        if operator == "extract" and isinstance(payload, tuple):
            return z3.Extract(payload[0], payload[1], arguments[0])
        build = _BUILD.get(operator)
        if build is None:
            raise TermError(f"the path oracle does not know {operator}")
        return build(*arguments)

    def function(self, function: Function) -> z3.FuncDeclRef:
        """The declaration of a function symbol."""
        found = self._functions.get(function)
        if found is None:
            sorts = [self._sort(s) for s in (*function.arguments, function.result)]
            found = self._functions[function] = z3.Function(function.name, *sorts)
        return found

    def _sort(self, sort: Sort) -> z3.SortRef:
        if sort.kind == "bool":
            return z3.BoolSort(self.context)
        if sort.kind == "bits":
            return z3.BitVecSort(sort.width, self.context)
        raise TermError(f"the path oracle does not know the sort {sort}")


class PathOracle:
    """Keeps one solver whose scopes follow the record of the present run, with the invariant at the places read."""

    def __init__(
        self, rules: Sequence[Rule], rounds: int = 1, rlimit: int = 400_000, facts: Sequence[Term] = ()
    ) -> None:
        self._translate = Translator()
        self._solver = z3.SimpleSolver(ctx=self._translate.context)
        self._solver.set("rlimit", rlimit)
        self._rules = list(rules)
        self._instances = Instances(rules, rounds)
        self._stack: list[Term] = []
        self.queries = 0
        for fact in facts:
            self._assert(fact)

    def possible(self, run: Run, condition: Term) -> bool:
        """False only if the solver refutes record, invariant instances and condition together."""
        self._follow([entry.term for entry in run.entries])
        self.queries += 1
        self._push()
        self._assert(condition)
        answer = self._solver.check()
        self._pop()
        return answer != z3.unsat

    def _follow(self, record: Sequence[Term]) -> None:
        shared = 0
        while shared < min(len(record), len(self._stack)) and record[shared] is self._stack[shared]:
            shared += 1
        while len(self._stack) > shared:
            self._stack.pop()
            self._pop()
        for term in record[shared:]:
            self._push()
            self._assert(term)
            self._stack.append(term)

    def _assert(self, term: Term) -> None:
        self._solver.add(self._translate(term))
        for _, formula in self._instances.grow([term]):
            self._solver.add(self._translate(formula))

    def _push(self) -> None:
        self._solver.push()
        self._instances.push()

    def _pop(self) -> None:
        self._solver.pop()
        self._instances.pop()
