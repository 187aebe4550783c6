"""A refuted claim about the monitor for people: which way through its code, and the state before, by field and key.

The solver's model is asked again with as many cells 0, or else small, as a greedy search finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, cast

import z3

from proofs.obligation import Answer, Explanation, Json, Obligation

BEFORE: Final = "pre."
LAYOUT: Final = "layout."
GOAL: Final = "any."
RLIMIT: Final = 4_000_000  # of one question of the search
MOST_CELLS: Final = 400
SMALL: Final = (0, 15, 255, 65_535)


def explain(obligation: Obligation, answer: Answer) -> Explanation:
    """What an `Obligation.explain` call returns; without a model there is nothing to show."""
    if answer.status != "sat":
        return Explanation("UNKNOWN", "", answer.reason)
    reason = "the claim fails from this state; whether a run from boot leads there was not searched"
    return Explanation("REFUTED", "induction", reason, values(obligation.text))


def values(text: str) -> dict[str, Json]:
    """The way through the code, and a model of the script: the state before, layout, inputs, and what differs."""
    context = z3.Context()
    solver = z3.SimpleSolver(ctx=context)
    solver.set("rlimit", RLIMIT)
    parsed = z3.parse_smt2_string(text, ctx=context)
    assertions = cast("list[z3.ExprRef]", [parsed[i] for i in range(len(parsed))])
    solver.add(assertions)
    if solver.check() != z3.sat:
        return {"path": path(text)}
    cells = list(_cells(assertions))
    model = _smallest(solver, cells[:MOST_CELLS])
    shown: dict[str, Json] = {"path": path(text)}
    shown |= {
        "state before": dict(_fields(model, cells)),
        "layout": dict(_constants(model, cells, LAYOUT)),
        "at": dict(_constants(model, cells, GOAL)),
        "inputs": dict(_inputs(model, cells)),
        "differs": list(_differences(model, assertions[-1])),
    }
    return {name: value for name, value in shown.items() if value}


def path(text: str) -> list[Json]:
    """The decisions of the path in order: yes or no to what a line asks, without the `not` that may stand there."""
    kinds = ("; decision: ", "; forced: ")
    return [line.partition(": ")[2] for line in text.splitlines() if line.startswith(kinds)]


def _cells(assertions: Iterable[z3.ExprRef]) -> Iterator[z3.BitVecRef]:
    """Every bit-vector that the text leaves open: constants, and fields at keys, outermost last."""
    seen: set[int] = set()
    stack = [(e, False) for e in reversed(list(assertions))]
    while stack:
        node, done = stack.pop()
        if done:
            if node.decl().kind() == z3.Z3_OP_UNINTERPRETED and isinstance(node, z3.BitVecRef):
                yield node
        elif node.get_id() not in seen:
            seen.add(node.get_id())
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(node.children()))


def _smallest(solver: z3.Solver, cells: list[z3.BitVecRef]) -> z3.ModelRef:
    """A model in which cell after cell is 0, or else below a small bound, where that is possible."""
    model, kept = solver.model(), list[z3.BoolRef]()
    for cell in cells:
        bounds = [z3.ULE(cell, bound) for bound in SMALL if bound < 1 << cell.size()]
        for bound in bounds:
            already = z3.is_true(model.eval(bound, model_completion=True))
            if already or solver.check(*kept, bound) == z3.sat:
                model = model if already else solver.model()
                kept.append(bound)
                break
    return model


def _fields(model: z3.ModelRef, cells: Iterable[z3.ExprRef]) -> Iterator[tuple[str, str]]:
    """Each field of the state before with its cells that are not 0."""
    found: dict[str, dict[tuple[int, ...], int]] = {}
    for cell in cells:
        name = cell.decl().name()
        if name.startswith(BEFORE):
            keys = tuple(_number(model, key) for key in cell.children())
            found.setdefault(name.removeprefix(BEFORE), {})[keys] = _number(model, cell)
    blank: list[str] = []
    for name, entries in sorted(found.items()):
        texts = [
            f"[{', '.join(map(_text, keys))}] = {_text(value)}" for keys, value in sorted(entries.items()) if value
        ]
        if texts:
            yield name, "  ".join(texts)
        else:
            blank.append(name)
    if blank:
        yield "0 wherever the claim reads them", ", ".join(blank)


def _constants(model: z3.ModelRef, cells: Iterable[z3.ExprRef], prefix: str) -> Iterator[tuple[str, str]]:
    for cell in cells:
        name = cell.decl().name()
        if not cell.children() and name.startswith(prefix):
            yield name.removeprefix(prefix), _text(_number(model, cell))


def _inputs(model: z3.ModelRef, cells: Iterable[z3.ExprRef]) -> Iterator[tuple[str, str]]:
    """The acting CPU, what was fetched from untrusted memory, and what primitives chose."""
    for cell in cells:
        name = cell.decl().name()
        if not name.startswith((BEFORE, LAYOUT, GOAL)):
            keys = ", ".join(_text(_number(model, key)) for key in cell.children())
            yield f"{name}({keys})" if keys else name, _text(_number(model, cell))


def _differences(model: z3.ModelRef, negated: z3.ExprRef) -> Iterator[str]:
    """The values of the two sides of each equation in the goal that does not hold."""
    seen: set[int] = set()
    stack = [negated]
    while stack:
        node = stack.pop()
        if node.get_id() in seen or not z3.is_bool(node):
            continue
        seen.add(node.get_id())
        if z3.is_eq(node) and z3.is_bv(node.arg(0)):
            sides = [_number(model, side) for side in node.children()]
            if sides[0] != sides[1]:
                yield f"{_text(sides[0])} where {_text(sides[1])} was expected"
        stack.extend(reversed(node.children()))


def _number(model: z3.ModelRef, term: z3.ExprRef) -> int:
    value = model.eval(term, model_completion=True)
    if not isinstance(value, z3.BitVecNumRef):
        raise TypeError(f"{term} has no value in the model")
    return value.as_long()


def _text(value: int) -> str:
    return str(value) if value < 10 else hex(value)
