"""Is the model's state after a step the state that the monitor's memory then stands for?  Component by component."""

from __future__ import annotations

from collections.abc import Iterator

from model.hyperenclave.state import HYPERENCLAVE
from model.hyperenclave.vocabulary import Cpu, Device, Enclave, Frame, Page
from model.hyperenclave.vocabulary import Range as RangeSort
from model.language.logic import And, Implies, Or, Value, as_term, eq, ite
from model.language.terms import Sort, Term
from model.language.transition import Keys, Transition
from refinement import bits
from refinement.abstraction import ENVIRONMENT, Abstraction
from refinement.engine.values import Number, condition, number_of, truth, unknown
from refinement.invariants.enclaves import INITIALISED
from refinement.measurement import Earlier, Either
from refinement.opaque import PageContents, Range, RegisterFile
from refinement.simulation.ghost import WIDTHS, leaf_has_shared_page, shared_page_has_leaf
from refinement.simulation.step import Step

COMPARED = tuple(name for name in HYPERENCLAVE.components if name not in ENVIRONMENT)
"""Every component but the environment's own: `result` is the outcome, which has an obligation of its own."""


def any_keys(component: str, which: str = "any") -> Keys:
    """Arbitrary keys of a component; `which` tells one arbitrary choice from another."""
    return tuple(any_key(sort, n, which) for n, sort in enumerate(HYPERENCLAVE.components[component].keys))


def any_key(sort: Sort, position: int, which: str = "any") -> Value:
    """An arbitrary value of a sort of keys, named after the sort and its position."""
    if sort == RangeSort:
        return Range(unknown(f"{which}.start{position}", 64), unknown(f"{which}.stop{position}", 64))
    if sort == Device:
        raise TypeError("devices have no part in the monitor's state")
    return unknown(f"{which}.{sort.name}{position}", WIDTHS[sort])


class Expected:
    """The model's state after a step that happens (or does not), with what is then delivered."""

    def __init__(self, before: Abstraction, transition: Transition | None, happens: bool, step: Step) -> None:
        self._before = before
        self._updates = transition.updates if transition is not None and happens else []
        self._step = step
        self._cpu: Number = before.monitor.acting

    def read(self, component: str, keys: Keys) -> Value:
        """The value of a component."""
        value = self._before.read(component, keys)
        for update in self._updates:
            if update.component == component:
                value = ite(update.matches(*keys), update.value(*keys), value)
        if component == "registers" and isinstance(value, RegisterFile):
            return ite(condition(keys[0] == self._cpu), self._step.deliver(value), value)
        if component == "contents" and isinstance(value, PageContents):
            return self._stored(keys[0], value)
        return value

    def _stored(self, frame: Value, page: PageContents) -> Value:
        """The page with the words that the monitor stored for its caller."""
        for place, index, word in self._step.stores:
            changed: Value = page.with_word(index, word)
            page = ite(condition(eq(frame, place)), changed, page)  # type: ignore[assignment]  # pages
        return page


def goals(after: Abstraction, expected: Expected) -> Iterator[tuple[str, Term]]:
    """For each component that both states agree wherever the monitor's state determines it."""
    for component in COMPARED:
        keys = any_keys(component)
        if component == "shared_page":
            yield component, _shared_page(after, expected)
        elif component == "measurement":
            yield component, _measurement(after, expected, keys)
        else:
            agree = eq(after.read(component, keys), expected.read(component, keys))
            yield component, condition(Implies(truth_of(after.means(component, keys)), truth_of(agree)))


def truth_of(value: Value) -> Value:
    """A formula or condition as something that the connectives take."""
    return truth(condition(value))


def _shared_page(after: Abstraction, expected: Expected) -> Term:
    """The pages for which frames stand still have the properties that make them so."""
    s = after.monitor

    def page_for(e: Number, f: Number) -> Number:
        value = expected.read("shared_page", (e, f))
        return value if isinstance(value, int) else number_of(as_term(value))

    e, v, f = (
        unknown("any.Enclave0", WIDTHS[Enclave]),
        unknown("any.Page1", WIDTHS[Page]),
        unknown("any.Frame1", WIDTHS[Frame]),
    )
    return condition(And(leaf_has_shared_page(s, page_for, e, v), shared_page_has_leaf(s, page_for, e, f)))


def mrenclave_is_digest(a: Abstraction, e: Number) -> Value:
    """Once an enclave is initialised, its MRENCLAVE is the digest of its records, which stay as they are."""
    return Implies(is_final(a, e), truth_of(_has_digest(a, e, a.beyond.measurement(e))))


def _has_digest(a: Abstraction, e: Number, records: object) -> Value:
    if isinstance(records, Either):
        yes, no = (truth_of(_has_digest(a, e, side)) for side in (records.yes, records.no))
        when = truth_of(records.when)
        return And(Implies(when, yes), Or(when, no))
    if isinstance(records, Earlier):
        return And(*(a.monitor.mrenclave[e, k] == records.digest(k) for k in range(4)))
    return False


def is_final(a: Abstraction, e: Number) -> Value:
    """The enclave was initialised: its life cycle says so, or the attribute INIT is set."""
    return truth_of(Or(a.monitor.life[e] == INITIALISED, bits.bit(a.monitor.attributes[e], 0) == 1))


def _measurement(after: Abstraction, expected: Expected, keys: Keys) -> Term:
    """The records agree, and the MRENCLAVE of an initialised enclave is their digest."""
    records = eq(after.read("measurement", keys), expected.read("measurement", keys))
    agree = condition(Implies(truth_of(after.means("measurement", keys)), truth_of(records)))
    digest = mrenclave_is_digest(after, unknown("any.Enclave0", WIDTHS[Enclave]))
    return condition(And(truth_of(agree), truth_of(digest)))


__all__ = ["COMPARED", "Cpu", "Expected", "any_keys", "goals"]
