"""T1, T2, T3, T3c, T4 and T8 on the model: the full product of obligations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from model.hyperenclave.scenario import ARGUMENTS, boot, life_cycle
from model.hyperenclave.specification import HYPERENCLAVE
from model.language.smtlib import script
from proofs.equivalence import derived_statements, equivalence_statements
from proofs.explanation import Story
from proofs.explanation import explain as explain_statement
from proofs.obligation import OBLIGATION, Answer, Call, Explanation, Obligation, Unit
from proofs.statements import (
    Statement,
    action_statements,
    initial_statements,
    lemma_statements,
    unwinding_statements,
)

ANY: Final = {"frames": "any", "enclaves": "any", "pages": "any", "cpus": "any", "devices": "any"}
IGNORES: Final = ("impl/*", "refinement/*", "refinement/**", "impl/**")
MAKE: Final = "ringfence.units.theorems:make"


def units() -> list[Unit]:
    """One unit for each action, and one for what speaks of no action."""
    general = [
        Unit(f"model/{part}", theorems, Call(MAKE, {"part": part, "action": ""}), "", (), IGNORES, (f"*/{part}/*",))
        for part, theorems in (
            ("initial", ("T1", "T4", "T8")),
            ("lemma", ("T4",)),
            ("equivalence", ("T2", "T3")),
            ("derived", ("T2", "T3")),
        )
    ]
    step = [
        Unit(
            f"model/{part}/{name}", theorems, Call(MAKE, {"part": part, "action": name}), name, observers, IGNORES, ids
        )
        for name in HYPERENCLAVE.actions
        for part, theorems, observers, ids in (
            ("step", ("T1", "T3", "T3c", "T4", "T8"), (), (f"*/inductive/{name}/*", f"*/step/{name}/*")),
            ("unwinding", ("T2", "T3"), tuple(HYPERENCLAVE.observers), (f"*/unwinding/{name}/*",)),
        )
    ]
    return [*general, *step]


def statements(part: str, action: str) -> Iterator[Statement]:
    """The statements of one unit."""
    makers: dict[str, Callable[[], Iterator[Statement]]] = {
        "initial": lambda: initial_statements(HYPERENCLAVE),
        "lemma": lambda: lemma_statements(HYPERENCLAVE),
        "equivalence": lambda: (
            s for o in HYPERENCLAVE.observers.values() for s in equivalence_statements(HYPERENCLAVE, o)
        ),
        "derived": lambda: (s for o in HYPERENCLAVE.observers.values() for s in derived_statements(HYPERENCLAVE, o)),
        "step": lambda: action_statements(HYPERENCLAVE, HYPERENCLAVE.actions[action]),
        "unwinding": lambda: unwinding_statements(HYPERENCLAVE, HYPERENCLAVE.actions[action]),
    }
    return makers[part]()


def make(part: str, action: str) -> Iterator[Obligation]:
    """The obligations of one unit, printed."""
    assumptions = tuple(HYPERENCLAVE.assumptions)
    for statement in statements(part, action):
        call = Call("ringfence.units.theorems:explain", {"part": part, "action": action})
        yield Obligation(
            id=statement.identifier,
            kind=OBLIGATION,
            theorem=statement.theorem,
            action=statement.action,
            observer=statement.observer,
            words=statement.words,
            text=script(statement.assertions),
            scope=ANY,
            assumptions=assumptions,
            explain=call,
        )


def explain(obligation: Obligation, answer: Answer, part: str, action: str) -> Explanation:
    """A counterexample to the statement behind the obligation."""
    del answer  # a candidate of E-matching says nothing; the finite scopes decide
    for statement in statements(part, action):
        if statement.identifier == obligation.id:
            return explain_statement(HYPERENCLAVE, statement, Story(boot, life_cycle(), ARGUMENTS))
    raise LookupError(f"no statement is called {obligation.id}")
