"""Clauses of the representation invariant as rules and goals of the symbolic engine."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from model.language.terms import Term
from refinement.engine.instances import KeysOf, Rule
from refinement.engine.storage import Keys, View
from refinement.engine.values import EngineError, condition, ghost, number_of, unknown, word_of
from refinement.invariants.clause import TABLE_WORD, Clause, Suggest
from refinement.invariants.enclaves import COUNTING, ENCLAVE_CLAUSES
from refinement.invariants.pages import PAGE_CLAUSES
from refinement.invariants.processors import PROCESSOR_CLAUSES
from refinement.invariants.state import MonitorState
from refinement.invariants.tables import POOL, TABLE_CLAUSES

CLAUSES: tuple[Clause, ...] = (*TABLE_CLAUSES, POOL, *PAGE_CLAUSES, *ENCLAVE_CLAUSES, *PROCESSOR_CLAUSES)


__all__ = ["CLAUSES", "COUNTING", "goal", "instance", "rule", "rules"]


def instance(clause: Clause, state: MonitorState, keys: Keys) -> Term:
    """The clause at the given keys, as a formula."""
    with ghost():
        return condition(clause.formula(state, *(number_of(k) for k in keys)))


def goal(clause: Clause, state: MonitorState) -> Term:
    """The clause at arbitrary keys: constants named after the clause's keys, of which nothing is known."""
    with ghost():
        return condition(clause.formula(state, *(unknown(f"any.{name}", w) for name, w in clause.keys.items())))


def rule(clause: Clause, state: MonitorState, only: Collection[str] | None = None) -> Rule:
    """The clause as a fact about a symbolic state, to be used wherever one of its trigger fields is read.

    only: of the trigger fields, those whose reads count (default: all).
    """
    view, triggers = state.fields, dict[str, KeysOf]()
    if not isinstance(view, View):
        raise EngineError("only a symbolic state has facts to be instantiated")
    for name, suggest in clause.triggers.items():
        field = "memory" if name == TABLE_WORD else name
        called_for = field in view.nodes and (only is None or field in only)
        if not called_for or (name == TABLE_WORD and state.by_contract):
            continue
        for source in view.nodes[field].sources:
            _add(triggers, source, _keys_of(clause, state, suggest, name == TABLE_WORD))
    return Rule(clause.name, triggers, lambda keys: instance(clause, state, keys))


def rules(clauses: Iterable[Clause], state: MonitorState) -> list[Rule]:
    """All the clauses as facts about a symbolic state."""
    return [rule(clause, state) for clause in clauses]


def _keys_of(clause: Clause, state: MonitorState, suggest: Suggest, table_word: bool) -> KeysOf:
    widths = list(clause.keys.values())

    def keys_of(arguments: Keys) -> Sequence[Keys]:
        with ghost():
            numbers = [number_of(a) for a in arguments]
            if table_word:
                numbers = list(state.page_of_word(numbers[0], numbers[1]))
            rows = suggest(state, *numbers)
            return [tuple(word_of(k, w, clause.name) for k, w in zip(row, widths, strict=True)) for row in rows]

    return keys_of


def _add(triggers: dict[str, KeysOf], source: str, keys_of: KeysOf) -> None:
    earlier = triggers.get(source)
    if earlier is None:
        triggers[source] = keys_of
    else:
        triggers[source] = lambda arguments: [*earlier(arguments), *keys_of(arguments)]
