"""Conjuncts of the representation invariant, each under a switch: does an obligation notice when one is left out?

`python -m tests.mutants.conjuncts UNIT [NUMBER...]` makes the obligations of a unit once, with `switch => conjunct`
in place of every conjunct, and solves them with all switches on but one.  Satisfiable means that the obligation needs
the conjunct.  Prints, for each of these conjuncts (default: all) that the unit needs, its number and the obligation.

A switch that is off leaves the conjunct out of what is assumed and of what is shown alike, as deleting it would.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Final, TypeGuard

import z3

from model.language.logic import Implies
from model.language.terms import BOOL, Term, constant
from proofs.obligation import Obligation, Unit
from ringfence import weaken
from ringfence.wiring import ROOT

FOLDER: Final = "refinement/invariants"
FILES: Final = ("enclaves", "layout", "pages", "processors", "tables")
RLIMIT: Final = 20_000_000
HEADER: Final = "from __future__ import annotations\n"


@dataclass(frozen=True)
class Conjunct:
    """Bytes start..end of a file; `name` is the same when lines move."""

    file: str
    name: str
    start: int
    end: int


def conjuncts() -> list[Conjunct]:
    """Every operand of an `And`, and what a clause without one returns; numbered in this order."""
    found: list[Conjunct] = []
    for file in FILES:
        seen: Counter[str] = Counter()
        for one in sorted(_of_file(file), key=lambda c: (c.start, -c.end)):
            seen[one.name] += 1
            name = one.name if seen[one.name] == 1 else f"{one.name} ({seen[one.name]})"
            found.append(Conjunct(file, name, one.start, one.end))
    return found


def _of_file(file: str) -> Iterator[Conjunct]:
    text = (ROOT / FOLDER / f"{file}.py").read_text("utf-8")
    starts = [0]
    for line in text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for function in ast.parse(text).body:
        if not isinstance(function, ast.FunctionDef) or (file == "layout" and function.name != "well_formed"):
            continue
        for node in ast.walk(function):
            for part in _parts(function, node):
                what = " ".join((ast.get_source_segment(text, part) or "").split())
                end = starts[(part.end_lineno or 1) - 1] + (part.end_col_offset or 0)
                start = starts[part.lineno - 1] + part.col_offset
                yield Conjunct(file, f"{file} {function.name}: {what}", start, end)


def _parts(function: ast.FunctionDef, node: ast.AST) -> list[ast.expr]:
    if _is_conjunction(node):
        return node.args
    says = isinstance(function.returns, ast.Name) and function.returns.id == "object"
    if isinstance(node, ast.Return) and node.value and says and not _is_conjunction(node.value):
        return [node.value]
    return []


def _is_conjunction(node: ast.AST) -> TypeGuard[ast.Call]:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id != "And":
        return False
    return not any(isinstance(argument, ast.Starred) for argument in node.args)


def switched() -> dict[str, str]:
    """The files of the invariant with every conjunct under its switch."""
    places: dict[str, list[tuple[int, int, str]]] = {file: [] for file in FILES}
    for number, one in enumerate(conjuncts()):
        places[one.file] += [(one.start, -one.end, f"under_switch({number}, "), (one.end, 0, ")")]
    texts: dict[str, str] = {}
    for file, edits in places.items():
        text = (ROOT / FOLDER / f"{file}.py").read_bytes()
        for at, _, inserted in sorted(edits, reverse=True):
            text = text[:at] + inserted.encode() + text[at:]
        header = f"{HEADER}from {__spec__.name} import under_switch\n"
        texts[f"{FOLDER}/{file}.py"] = text.decode().replace(HEADER, header, 1)
    return texts


def under_switch(number: int, part: object) -> object:
    """`switch.NUMBER => part`; a Python boolean stays as it is."""
    return part if isinstance(part, bool) else Implies(constant(f"switch.{number}", BOOL), part)


def _keep_switches_on() -> None:
    """The path oracle rules out paths as it does with the invariant as it stands."""
    from refinement.engine.pruning import Translator

    plain = Translator._node

    def node(self: Translator, term: Term, arguments: list[z3.ExprRef]) -> z3.ExprRef:
        is_switch = term.operator == "apply" and str(getattr(term.payload, "name", "")).startswith("switch.")
        return z3.BoolVal(True, self.context) if is_switch else plain(self, term, arguments)

    Translator._node = node  # type: ignore[method-assign]


def needed(unit: Unit, asked: set[int]) -> Iterator[tuple[int, str]]:
    """Number and obligation of each conjunct of `asked` that the unit needs."""
    module, _, function = unit.make.target.partition(":")
    for item in getattr(import_module(module), function)(**unit.make.arguments):
        if not isinstance(item, Obligation) or item.expect != "unsat" or item.id.endswith("/coverage"):
            continue
        here = {int(number) for number in re.findall(r"switch\.(\d+)", item.text)}
        for number in _needed_by(item.text, here, asked & here) if asked & here else ():
            asked.discard(number)
            yield number, item.id


def _needed_by(text: str, here: set[int], asked: set[int]) -> Iterator[int]:
    context = z3.Context()
    solver = z3.SimpleSolver(ctx=context)
    solver.set("rlimit", RLIMIT)
    solver.add(z3.parse_smt2_string(text, ctx=context))
    switch = {number: z3.Bool(f"switch.{number}", context) for number in here}
    if solver.check(*switch.values()) != z3.unsat:
        return
    core = {str(literal) for literal in solver.unsat_core()}
    for number in sorted(n for n in asked if f"switch.{n}" in core):
        others = z3.SimpleSolver(ctx=context)
        others.set("rlimit", RLIMIT)
        others.add(solver.assertions())
        if others.check(*(literal for n, literal in switch.items() if n != number)) == z3.sat:
            yield number


def main(name: str, numbers: list[str]) -> None:
    """What this unit needs, of these conjuncts."""
    weaken.install(switched(), ROOT)
    _keep_switches_on()
    units = {unit.id: unit for m in ("refinement.units", "refinement.boot.units") for unit in import_module(m).units()}
    asked = {int(number) for number in numbers} or set(range(len(conjuncts())))
    for number, obligation in needed(units[name], asked):
        print(number, obligation, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
