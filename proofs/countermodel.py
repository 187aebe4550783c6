"""Find, minimise and decode a model of a statement's assertions in a small scope."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import product

import z3

from model.language.concrete import Cells, Universe, World
from model.language.logic import Value
from model.language.smtlib import script
from model.language.specification import Specification
from model.language.symbolic import Named
from model.language.terms import BOOL, Function, Sort, Term, number, t_and, t_eq, t_implies, t_not
from model.language.transition import Functions
from model.language.traversal import subterms
from proofs.evaluation import evaluate
from proofs.finite import Scope, expand

RLIMIT = 40_000_000
Table = dict[tuple[str, tuple[int, ...]], int]


@dataclass(frozen=True)
class Model:
    """Values of the functions of a statement over the finite sorts; 0 where nothing was asked."""

    specification: Specification
    scope: Scope
    table: Table

    def argument(self, term: Term) -> Value:
        """The value of a constant of the statement, as the concrete interpreter has it."""
        function = term.payload
        if not isinstance(function, Function):
            raise TypeError(f"{term!r} is not a constant")
        return self._decode(function.result, self.table.get((function.name, ()), 0))

    def world(self, run: str) -> World:
        """The state of one run, for the concrete interpreter; open functions as the model has them."""
        specification = self.specification
        carriers = {sort: range(n) for sort, n in self._carriers().items()}
        defaults = {c.name: self._decode(c.value, 0) for c in specification.components.values()}
        cells: Cells = {}
        for component in specification.components.values():
            for keys in product(*(carriers[sort] for sort in component.keys)):
                raw = self.table.get((f"{component.name}@{run}", keys), 0)
                if raw:
                    cells[component.name, keys] = self._decode(component.value, raw)
        world = World(specification, Universe(carriers, defaults), cells)
        world.functions = Functions({name: self._open(name) for name in specification.symbols})
        return world

    def _carriers(self) -> dict[Sort, int]:
        sorts = [s for c in self.specification.components.values() for s in (*c.keys, c.value)]
        sorts += [s for a in self.specification.actions.values() for s in a.parameters.values()]
        sorts += [s for k in self.specification.symbols.values() for s in (*k.arguments, k.result)]
        return {s: self.scope.count(s) for s in sorts if s.kind == "index"}

    def _open(self, name: str):  # a function of as many arguments as the symbol has
        symbol = self.specification.symbols[name]

        def function(*arguments: Value) -> Value:
            keys = tuple(self._encode(s, a) for s, a in zip(symbol.arguments, arguments, strict=True))
            return self._decode(symbol.result, self.table.get((f"K.{name}", keys), 0))

        return function

    def _decode(self, sort: Sort, raw: int) -> Value:
        if sort.kind == "bool":
            return bool(raw)
        if sort.kind == "enum":
            return list(self.specification.enumerations[sort.name])[raw]
        return raw

    def _encode(self, sort: Sort, value: Value) -> int:
        if isinstance(value, Enum):
            return list(self.specification.enumerations[sort.name]).index(value)
        if isinstance(value, int):
            return int(value)
        raise TypeError(f"{value!r} has no number in a finite scope")

    def listing(self, runs: Sequence[str]) -> dict[str, str]:
        """The cells that are not at their default, one line for each component, `a | b` where two runs differ."""
        lines: dict[str, str] = {}
        for component in self.specification.components.values():
            shown: list[str] = []
            keys = {k for (name, k), v in self.table.items() if v and name in {f"{component.name}@{r}" for r in runs}}
            for key in sorted(keys):
                values = [
                    self._decode(component.value, self.table.get((f"{component.name}@{r}", key), 0)) for r in runs
                ]
                texts = [_text(v) for v in values]
                same = len(set(texts)) == 1
                shown.append(f"{','.join(map(str, key))}={texts[0] if same else ' | '.join(texts)}")
            if shown:
                lines[component.name] = "  ".join(shown)
        return lines


def _text(value: Value) -> str:
    return str(getattr(value, "name", value))


def search(
    specification: Specification, assertions: Sequence[Named], sizes: Mapping[str, int], *, minimise: bool = True
) -> Model | None:
    """A model in a scope of these sizes, with as few non-default cells as a greedy search finds; None if there is none.

    A solver that gives up counts as none: what is found is re-executed, what is not found proves nothing.
    """
    scope = Scope(sizes)
    ground = expand(scope, assertions)
    context = z3.Context()
    solver = z3.SimpleSolver(ctx=context)
    solver.set("rlimit", RLIMIT)
    cells = _cells([t for _, t in ground]) if minimise else []
    switches = [("switch", _switch(i, cell)) for i, cell in enumerate(cells)]
    solver.add(z3.parse_smt2_string(script([*ground, *switches]), ctx=context))
    if solver.check() != z3.sat:
        return None
    model = solver.model()
    kept: list[z3.BoolRef] = []
    for i in range(len(cells)):
        switch = z3.Bool(f"default.{i}", ctx=context)
        already = z3.is_true(model.eval(z3.Bool(f"shows.{i}", ctx=context), model_completion=True))
        if already or solver.check(*kept, switch) == z3.sat:
            kept.append(switch)
            model = model if already else solver.model()
    return Model(specification, scope, _tabulate(model, [t for _, t in ground], context))


def _cells(terms: Iterable[Term]) -> list[Term]:
    return [
        n
        for n in subterms(terms)
        if n.operator == "apply" and all(a.operator in ("bits", "true", "false") for a in n.arguments)
    ]


def _switch(position: int, cell: Term) -> Term:
    default = t_not(cell) if cell.sort.kind == "bool" else t_eq(cell, number(0, cell.sort.width))
    switch = Function(f"default.{position}", (), BOOL)()
    shows = Function(f"shows.{position}", (), BOOL)()
    return t_and([t_implies(switch, default), t_eq(shows, default)])


def _tabulate(model: z3.ModelRef, terms: Sequence[Term], context: z3.Context) -> Table:
    declared = {d.name(): d for d in model.decls()}
    table: Table = {}

    def interpret(function: Function, arguments: tuple[int, ...]) -> int:
        declaration = declared.get(function.name)
        value = 0
        if declaration is not None:
            literals = [_literal(a, s, context) for a, s in zip(arguments, function.arguments, strict=True)]
            value = _number(model.eval(declaration(*literals), model_completion=True))
        table[function.name, arguments] = value
        return value

    evaluate(terms, interpret)
    return table


def _literal(value: int, sort: Sort, context: z3.Context) -> z3.ExprRef:
    if sort.kind == "bool":
        return z3.BoolVal(bool(value), ctx=context)
    return z3.BitVecVal(value, sort.width, ctx=context)


def _number(value: z3.ExprRef) -> int:
    if isinstance(value, z3.BitVecNumRef):
        return value.as_long()
    return int(z3.is_true(value))
