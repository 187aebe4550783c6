"""Ask a solver about an SMT-LIB text, with a limit in its own resource units, in a context of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Protocol

import z3

from proofs.obligation import Answer, Json

MEMORY_MIB: Final = 1_400  # of one process; beyond it Z3 gives up, which is an unknown
MAX_ENTRIES: Final = 64  # of a function in a decoded model; a person reads no more


class Solver(Protocol):
    """Anything that can answer an SMT-LIB script."""

    @property
    def name(self) -> str:
        """Name and version; part of the key under which answers are kept."""
        ...

    def solve(self, text: str, rlimit: int) -> Answer:
        """Is the script satisfiable?  A text that the solver cannot read raises `MalformedTextError`."""
        ...


class MalformedTextError(ValueError):
    """The solver does not understand the script: a bug of the printer, never an unknown."""


def has_quantifier(text: str) -> bool:
    """The script mentions a quantifier (a comment that does so makes the answer weaker, never stronger)."""
    return "(forall" in text or "(exists" in text


def _e_matching(context: z3.Context) -> z3.Solver:
    solver = z3.Solver(ctx=context)
    solver.set("auto_config", False)
    solver.set("mbqi", False)
    return solver


E_MATCHING: Final = "e-matching"


@dataclass(frozen=True)
class Rung:
    """One attempt of a ladder: `share` of the limit is what it may use."""

    strategy: str
    make: Callable[[z3.Context], z3.Solver]
    share: Fraction = Fraction(1)


def _simple(share: Fraction) -> Rung:
    return Rung("simple", lambda context: z3.SimpleSolver(ctx=context), share)


def _bit_vectors(share: Fraction) -> Rung:
    return Rung("QF_UFBV", lambda context: z3.SolverFor("QF_UFBV", ctx=context), share)


QUANTIFIED: Final = (Rung(E_MATCHING, _e_matching),)
# Nearly all is easy for the first strategy, and most of what is hard for it is easy for the other.
GROUND: Final = (_simple(Fraction(1, 6)), _bit_vectors(Fraction(1, 8)), _simple(Fraction(1)), _bit_vectors(Fraction(1)))


class Z3Solver:
    """Z3, deterministic: E-matching where there are quantifiers, a fixed ladder of strategies where there are none.

    Each rung of the ladder has its share of the limit, the last of each strategy the whole.  A model of a quantified
    text is only a candidate, since E-matching does not check it, so it is an unknown.
    """

    def __init__(self) -> None:
        z3.set_param("memory_max_size", MEMORY_MIB)

    @property
    def name(self) -> str:
        """Name and version."""
        return f"z3 {z3.get_version_string()}"

    def solve(self, text: str, rlimit: int) -> Answer:
        """Answer the script: the first rung that knows, with the effort of all rungs tried."""
        used, started = 0, time.process_time()
        answer = Answer("unknown", self.name)
        for rung in QUANTIFIED if has_quantifier(text) else GROUND:
            answer = self._attempt(rung, text, int(rlimit * rung.share))
            used += answer.rlimit_used
            if answer.status != "unknown":
                break
        seconds = time.process_time() - started
        return Answer(answer.status, answer.solver, answer.reason, used, seconds, answer.values)

    def _attempt(self, rung: Rung, text: str, rlimit: int) -> Answer:
        name = f"{self.name} ({rung.strategy})"
        context = z3.Context()
        solver = rung.make(context)
        solver.set("rlimit", rlimit)
        try:
            assertions = z3.parse_smt2_string(text, ctx=context)
        except z3.Z3Exception as error:
            if "memory" in _message(error):
                return Answer("unknown", name, "out of memory")
            raise MalformedTextError(f"{self.name} cannot read the text: {_message(error)}") from error
        if len(assertions) == 0:
            raise MalformedTextError("the text asserts nothing")
        try:
            solver.add(assertions)
            result = solver.check()
        except z3.Z3Exception as error:
            return Answer("unknown", name, _message(error))
        used = _rlimit_used(solver)
        if result == z3.unsat:
            return Answer("unsat", name, "", used)
        if result == z3.unknown:
            return Answer("unknown", name, _plain(solver.reason_unknown(), rlimit), used)
        if rung.strategy == E_MATCHING:
            return Answer("unknown", name, "a candidate model, which E-matching does not check", used)
        return Answer("sat", name, "", used, 0.0, _decode(solver.model()))


def _plain(reason: str, rlimit: int) -> str:
    if "incomplete quantifiers" in reason:
        return "E-matching found no contradiction; no countermodel was searched"
    # Z3 says "canceled" for a limit that ran out inside a tactic.
    ran_out = "resource" in reason or "cancel" in reason
    return f"the limit of {rlimit} resource units was reached" if ran_out else reason


def _message(error: z3.Z3Exception) -> str:
    value = error.args[0] if error.args else ""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return " ".join(text.split())


def _rlimit_used(solver: z3.Solver) -> int:
    statistics = solver.statistics()
    # Statistics of Z3 are no mapping: `in` needs their list of keys.
    keys = list(statistics.keys())
    return int(statistics.get_key_value("rlimit count")) if "rlimit count" in keys else 0


def _decode(model: z3.ModelRef) -> dict[str, Json]:
    """Constants by value; functions as the list of their entries, each `arguments -> value`, and `else -> value`."""
    values: dict[str, Json] = {}
    for declaration in model.decls():
        meaning = model[declaration]
        if isinstance(meaning, z3.FuncInterp):
            entries = [meaning.entry(i) for i in range(min(meaning.num_entries(), MAX_ENTRIES))]
            lines = [f"{', '.join(str(e.arg_value(i)) for i in range(e.num_args()))} -> {e.value()}" for e in entries]
            values[declaration.name()] = [*lines, f"else -> {meaning.else_value()}"]
        elif meaning is not None:
            values[declaration.name()] = str(meaning)
    return values
