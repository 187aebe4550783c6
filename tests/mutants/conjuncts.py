"""Conjuncts of the representation invariant, each under a switch: does an obligation notice when one is left out?

`python -m tests.mutants.conjuncts UNIT [NUMBER...]` makes the obligations of a unit once, with `switch => conjunct`
in place of every conjunct, and solves them with all switches on but one.  Satisfiable means that the obligation needs
the conjunct.  Prints, for each of these conjuncts (default: all) that the unit needs, its number and the obligation.

A switch that is off leaves the conjunct out of what is assumed and of what is shown alike, as deleting it would.

`python -m tests.mutants.conjuncts defect NUMBER` makes the edit of the monitor with this number in `conjuncts.toml`,
and prints an obligation that misses it with all switches on, and not with that of its conjunct off.
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
from tests.mutants.defects import defects
from tests.mutants.monitor_row import units_by_id

TABLE: Final = ROOT / "tests" / "mutants" / "conjuncts.toml"
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
    for item in _obligations(unit):
        query = _Query(item.text)
        if not asked & set(query.switches) or query.ask(set()) != z3.unsat:
            continue
        for number in sorted(asked & query.core()):
            if query.ask({number}) == z3.sat:
                asked.discard(number)
                yield number, item.id


def missed_by(unit: Unit, claim: str, number: int) -> str:
    """An obligation whose last part begins with `claim`, and that fails because of this conjunct; or ""."""
    for item in _obligations(unit):
        if item.id.rpartition("/")[2].startswith(claim):
            query = _Query(item.text)
            if number in query.switches and query.ask(set()) == z3.sat and query.ask({number}) == z3.unsat:
                return item.id
    return ""


def _obligations(unit: Unit) -> Iterator[Obligation]:
    module, _, function = unit.make.target.partition(":")
    for item in getattr(import_module(module), function)(**unit.make.arguments):
        if isinstance(item, Obligation) and item.expect == "unsat" and not item.id.endswith("/coverage"):
            yield item


class _Query:
    """The text of an obligation, to be solved with some of its switches off."""

    def __init__(self, text: str) -> None:
        self._context = z3.Context()
        self._assertions = z3.parse_smt2_string(text, ctx=self._context)
        self._core: set[str] = set()
        numbers = {int(number) for number in re.findall(r"switch\.(\d+)", text)}
        self.switches = {number: z3.Bool(f"switch.{number}", self._context) for number in numbers}

    def ask(self, off: set[int]) -> z3.CheckSatResult:
        """The answer with these switches off and all others on."""
        solver = z3.SimpleSolver(ctx=self._context)
        solver.set("rlimit", RLIMIT)
        solver.add(self._assertions)
        switches = [z3.Not(literal) if n in off else literal for n, literal in self.switches.items()]
        answer = solver.check(*switches)
        self._core = {str(literal) for literal in solver.unsat_core()} if answer == z3.unsat else set()
        return answer

    def core(self) -> set[int]:
        """The switches that the last answer, unsatisfiable, used."""
        return {number for number in self.switches if f"switch.{number}" in self._core}


def _prepare(edited: dict[str, str]) -> dict[str, Unit]:
    weaken.install({**switched(), **edited}, ROOT)
    _keep_switches_on()
    return units_by_id()


def main(name: str, numbers: list[str]) -> None:
    """What this unit needs, of these conjuncts."""
    unit = _prepare({})[name]
    for number, obligation in needed(unit, {int(number) for number in numbers} or set(range(len(conjuncts())))):
        print(number, obligation, flush=True)


def main_defect(number: int) -> None:
    """What misses this defect, and why."""
    defect = defects(TABLE)[number]
    names = [conjunct.name for conjunct in conjuncts()]
    unit = _prepare(defect.texts(ROOT))[defect.unit]
    print(missed_by(unit, defect.claim, names.index(defect.conjunct)))


if __name__ == "__main__":
    first, *others = sys.argv[1:]
    if first == "defect":
        main_defect(int(others[0]))
    else:
        main(first, others)
