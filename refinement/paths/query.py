"""A solver's models of a path in a situation: registers, private words and everything that untrusted memory answers.

What the invariant leaves open may be chosen: registers, extended state, the words of EPC pages in use and of staging
frames.  All else is as in the situation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final
from zlib import crc32

import z3

from impl.machine.registers import CR3
from model.language.logic import And, Implies, Or
from model.language.terms import Function, Term, number, t_and, t_ite
from proofs.evaluation import evaluate
from refinement.contracts.handlers import Entry
from refinement.engine import words
from refinement.engine.explorer import Path
from refinement.engine.instances import Instances
from refinement.engine.pruning import Translator
from refinement.engine.values import Number, SymInt, condition, ghost, merge, unknown, word_of
from refinement.invariants.layout import is_normal
from refinement.invariants.processors import INSIDE
from refinement.paths.meaning import BEFORE, FETCHED, Fields, Keys, digest_word
from refinement.paths.situations import Situation
from refinement.simulation.tables import TableSetting

FREE: Final = ("memory", "register", "saved_register", "xstate")
"""Fields of which the model may choose the cells that the path reads."""
LIMITS: Final = ("REGISTERS", "SCRUBBED")
"""Clauses of the invariant about these fields."""
RLIMIT: Final = 20_000_000
RANDOM_PHASE: Final = 5
MODELS: Final = 2
"""How many models of a path are run, each found with a random choice of its own."""
WORDS: Final = 512
FRAME_MASK: Final = (1 << 40) - 1
MASK64: Final = (1 << 64) - 1
FRAME, PAGE_FAULT, GENERAL_PROTECTION = "translated", "page_fault", "general_protection"


@dataclass(frozen=True)
class Walk:
    """A walk of the normal VM's tables on a path: what is asked for, and how it ends; `number` among its kind."""

    cpu: Number
    address: Number
    write: bool
    user: bool
    ending: str
    number: int


@dataclass
class Model:
    """Numbers under which a path is taken.

    constants: by name.  cells: of the fields before the step.  pages: the words of each fetched page.
    """

    constants: dict[str, int] = field(default_factory=dict[str, int])
    cells: dict[tuple[str, Keys], int] = field(default_factory=dict[tuple[str, Keys], int])
    pages: list[list[int]] = field(default_factory=list[list[int]])

    def described(self) -> dict[str, str]:
        """The constants and cells, in hexadecimal."""
        cells = {f"{name}[{', '.join(map(hex, keys))}]": hex(value) for (name, keys), value in self.cells.items()}
        return {name: hex(value) for name, value in self.constants.items()} | cells


def walks(path: Path) -> list[Walk]:
    """The walks of a path in their order."""
    found: list[Walk] = []
    for place, event in enumerate(path.events):
        if event[0] != "translate":
            continue
        _, cpu, address, write, user = event
        answers = takewhile(lambda e: e[0] == "split", path.events[place + 1 :])
        ending = next((str(question) for _, question, yes in answers if yes is True), GENERAL_PROTECTION)
        count = sum(1 for walk in found if walk.ending == ending)
        found.append(Walk(_number(cpu), _number(address), write is True, user is True, ending, count))
    return found


def _number(value: object) -> Number:
    if not isinstance(value, int | SymInt):
        raise TypeError(f"a walk is asked for {value!r}, which is no number")
    return value


def realisable(walk: Walk, setting: TableSetting) -> Term:
    """Some words of untrusted memory make the real walk end like this."""
    s = setting.state(setting.before)
    inside = s.cpu_mode[walk.cpu] == INSIDE
    root = (merge(inside, s.saved_register[walk.cpu, CR3], s.register[walk.cpu, CR3]) >> 12) & FRAME_MASK
    canonical = ((walk.address + (1 << 47)) & MASK64) >> 48 == 0
    begins = And(canonical, is_normal(setting.layout, root))
    if walk.ending == FRAME:
        return condition(begins)
    if walk.ending == PAGE_FAULT:
        present = unknown(f"fault_present{walk.number}", 1)
        return condition(And(begins, Implies(present == 1, Or(walk.write, walk.user))))
    return condition(True)


class _Pinned(Translator):
    """Terms in a situation: its fields are tables of numbers, apart from the free ones."""

    def __init__(self, fields: Fields) -> None:
        super().__init__()
        self._fields = fields
        self._cells: dict[str, dict[Keys, int]] = {}

    def _node(self, node: Term, arguments: list[z3.ExprRef]) -> z3.ExprRef:
        function = node.payload
        if node.operator != "apply" or not isinstance(function, Function) or not is_pinned(function.name):
            return super()._node(node, arguments)
        value: Term = number(0, node.sort.width)
        for keys, found in self.table(function.name).items():
            given = zip(node.arguments, keys, strict=True)
            here = t_and(words.same(argument, number(key, argument.sort.width)) for argument, key in given)
            value = t_ite(here, number(found, node.sort.width), value)
        return self(value)

    def table(self, name: str) -> dict[Keys, int]:
        """The values of a pinned function that are not 0."""
        if name not in self._cells:
            self._cells[name] = dict(_cells(name, self._fields))
        return self._cells[name]


def is_pinned(name: str) -> bool:
    """The function means the same in every model of a situation."""
    epoch, _, rest = name.partition(".")
    return epoch in ("layout", "measured") or (epoch == BEFORE and rest not in FREE)


def _cells(name: str, fields: Fields) -> Iterator[tuple[Keys, int]]:
    epoch, _, rest = name.partition(".")
    if epoch == "layout":
        yield (), getattr(fields.machine.layout, rest)
    elif epoch == "measured":
        machine = fields.machine
        yield from (((e, k), digest_word(machine, e, k)) for e in machine.logs for k in range(4))
    else:
        yield from ((keys, fields.read(rest, keys)) for keys in fields.support(rest))


def models_of(path: Path, entry: Entry, setting: TableSetting, situation: Situation) -> list[Model] | str:
    """Models of the path in the situation, or why there are none: "impossible" or what the solver says."""
    terms = conditions(path, entry, setting)
    translate = _Pinned(Fields(situation.machine))
    assertions = [translate(term) for term in terms]
    models: list[Model] = []
    for seed in range(MODELS):
        solver = z3.SimpleSolver(ctx=translate.context)
        solver.set("rlimit", RLIMIT)
        solver.set("random_seed", seed)
        solver.set("phase_selection", RANDOM_PHASE)  # not zeros wherever zeros will do
        solver.add(assertions)
        answer = solver.check()
        if answer == z3.unsat:
            return "impossible"
        if answer != z3.sat:
            return f"the solver gave up: {solver.reason_unknown()}"
        models.append(_read_off(path, terms, solver.model(), translate))
    return models


def conditions(path: Path, entry: Entry, setting: TableSetting) -> list[Term]:
    """What a model has to satisfy: the record of the path, the invariant where it says something, possible walks."""
    with ghost():
        possible = [realisable(walk, setting) for walk in walks(path)]
    exists = words.less(setting.cpu.term, word_of(setting.layout.cpus, 10, "cpus"))
    terms = [exists, *path.conditions, *possible]
    rules = [rule for rule in setting.rules if rule.name in LIMITS]
    added = Instances([*rules, *path.rules], entry.rounds).grow(terms)
    return [*terms, *(formula for _, formula in added)]


def _read_off(path: Path, terms: list[Term], answer: z3.ModelRef, translate: _Pinned) -> Model:
    model, chosen = Model(), dict[tuple[int, int], int]()

    def value(function: Function, arguments: Keys) -> int:
        name = function.name
        if is_pinned(name):
            return translate.table(name).get(arguments, 0)
        given = [
            z3.BitVecVal(a, s.width, translate.context) for a, s in zip(arguments, function.arguments, strict=True)
        ]
        found = _as_number(answer.eval(translate.function(function)(*given), model_completion=True))
        epoch, _, rest = name.partition(".")
        if not arguments:
            model.constants[name] = found
        elif epoch == BEFORE:
            model.cells[rest, arguments] = found
        elif epoch.startswith(FETCHED):
            chosen[int(epoch.removeprefix(FETCHED)), arguments[1]] = found
        return found

    values = evaluate(terms, value)
    if not all(values[term] for term in terms):
        raise RuntimeError("the solver's model does not satisfy the conditions of the path")
    _complete(path, model, chosen)
    return model


def _as_number(value: object) -> int:
    if not isinstance(value, z3.BitVecNumRef):
        raise TypeError(f"the model says {value} where a number was expected")
    return value.as_long()


def _complete(path: Path, model: Model, chosen: Mapping[tuple[int, int], int]) -> None:
    """Say what untrusted memory holds where the path does not ask: anything but zeros, unless zeros are required."""
    for event in path.events:
        word = event[-1]
        if event[0] == "fetch" and isinstance(word, Term) and isinstance(word.payload, Function):
            model.constants.setdefault(word.payload.name, arbitrary(word.payload.name, 64))
    for walk in walks(path):
        name = {FRAME: "translated", PAGE_FAULT: "fault_present"}.get(walk.ending)
        if name is not None:
            model.constants.setdefault(f"{name}{walk.number}", 0)
    sources = [s for s in path.post.nodes["memory"].sources if s.startswith(FETCHED)]
    zeros = "all_zero0" in model.constants
    for page in range(len(sources)):
        words = (chosen.get((page, i), 0 if zeros else arbitrary(f"{page}.{i}", 64)) for i in range(WORDS))
        model.pages.append(list(words))


def arbitrary(name: str, width: int) -> int:
    """A number for something that may be anything: always the same for a name, rarely 0."""
    return crc32(name.encode()) * 0x9E3779B97F4A7C15 >> 7 & (1 << width) - 1
