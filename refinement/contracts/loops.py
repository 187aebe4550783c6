"""The monitor's loops by contract: the effect of the whole loop, proved of one step in `refinement.contracts.proofs`.

``unmap shared range`` empties the guest leaves of a range and, for each leaf that was there, the nested leaf of its
frame; which nested leaves went is described by two functions: `removed(page)`, and `which(page)`, the page of the
range whose leaf led there.  ``remove pages`` keeps the representation invariant and the life of every enclave.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from model.language.logic import And, Implies, Or, Value
from model.language.terms import TRUE, Function, Term, bits, boolean, number, t_and, t_ite
from refinement import bits as decoder
from refinement.engine import words
from refinement.engine.instances import Rule
from refinement.engine.machine import Loop, SymbolicMachine
from refinement.engine.run import PathEndError, Run
from refinement.engine.storage import Keys, Node, View
from refinement.engine.values import EngineError, Number, condition, merge, number_of, truth, unknown, word_of
from refinement.invariants.layout import in_range
from refinement.invariants.tables import is_enclave

PAGE_WIDTH: Final = 36
REMOVAL_FIELDS: Final = ("epcm", "page_total", "page_at", "page_position", "leaf", "memory")
"""What one step of ``remove pages`` may write."""


@dataclass(frozen=True)
class Removal:
    """The leaves that the first steps of ``unmap shared range`` took away."""

    before: Node  # the field `leaf` before the loop
    owner: Term
    first: Number
    end: Number  # exclusive; the step that comes next
    removed: Function  # page -> 1 bit
    which: Function  # page -> page

    def leaf(self, keys: Keys) -> Term:
        """The leaf at (kind, owner, page) after these steps."""
        kind, owner, page = keys
        old = self.before.read(keys)
        guest = t_and([words.same(kind, number(decoder.GUEST, 2)), condition(self.inside(page))])
        nested = t_and([words.same(kind, number(decoder.NESTED, 2)), words.same(self.removed(page), number(1, 1))])
        gone = t_ite(guest, number(0, 64), t_ite(nested, number(0, 64), old))
        return t_ite(words.same(owner, self.owner), gone, old)

    def inside(self, page: Term) -> object:
        """The page belongs to the steps that were taken."""
        return in_range(number_of(page), self.first, self.end)

    def frame_at(self, page: Term) -> Number:
        """The frame in the guest leaf that the page had before the loop."""
        return decoder.frame_of(self.guest(page))

    def guest(self, page: Term) -> Number:
        """The guest leaf that the page had before the loop."""
        return number_of(self.before.read((number(decoder.GUEST, 2), self.owner, page)))

    def only_if(self, page: Term) -> Term:
        """A nested leaf went only because `which` of its page led there."""
        source = self.which(page)
        led = And(
            truth(condition(self.inside(source))), self.guest(source) != 0, self.frame_at(source) == number_of(page)
        )
        return condition(Implies(truth(words.same(self.removed(page), number(1, 1))), led))

    def whenever(self, page: Term) -> Term:
        """The nested leaf of every frame that a page of the range led to has gone."""
        target = words.fit(word_of(self.frame_at(page), 40, "frame"), PAGE_WIDTH)
        gone = truth(words.same(self.removed(target), number(1, 1)))
        return condition(Implies(And(truth(condition(self.inside(page))), self.guest(page) != 0), gone))

    def rules(self) -> list[Rule]:
        """What is known of `removed` and `which`."""
        triggers = {source: lambda keys: [(keys[2],)] for source in self.before.sources}
        return [
            Rule("unmap: only", {self.removed.name: lambda keys: [keys]}, lambda keys: self.only_if(keys[0])),
            Rule("unmap: all", triggers, lambda keys: self.whenever(keys[0])),
        ]

    @staticmethod
    def fresh(run: Run, before: Node, owner: Number, first: Number, end: Number) -> Removal:
        """Some leaves of the range [first, end) have gone, and the nested leaves behind them."""
        page, flag = bits(PAGE_WIDTH), bits(1)
        return Removal(
            before,
            word_of(owner, 52, "owner"),
            first,
            end,
            Function(run.fresh_name("removed"), (page,), flag),
            Function(run.fresh_name("which"), (page,), page),
        )


def only_written(before: View, after: View, writes: Collection[str]) -> Term:
    """Every field but those that a step may write has the very same log before and after it."""
    return boolean(all(node is before.nodes[name] for name, node in after.nodes.items() if name not in writes))


def step_goals(done: Removal, i: Number, node: Node) -> list[tuple[str, Term]]:
    """After the step at page i the leaves are as if the range [first, i + 1) was done, with these witnesses."""
    page, other = unknown("any.v", PAGE_WIDTH), unknown("any.w", PAGE_WIDTH)
    here = word_of(i, PAGE_WIDTH, "page")
    gone_now = And(done.guest(here) != 0, done.frame_at(here) == page)
    removed = condition(Or(truth(words.same(done.removed(page.term), number(1, 1))), gone_now))
    which = number_of(t_ite(condition(gone_now), here, done.which(page.term)))
    kind = unknown("any.kind", 2)
    nested = And(kind == decoder.NESTED, truth(removed))
    guest = And(kind == decoder.GUEST, in_range(page, done.first, i + 1))
    old = number_of(done.before.read((kind.term, done.owner, page.term)))
    now = number_of(node.read((kind.term, done.owner, page.term)))
    led = And(in_range(which, done.first, i + 1), done.guest(which_term(which)) != 0)
    leads = And(led, done.frame_at(which_term(which)) == page)
    target = words.fit(word_of(done.frame_at(other.term), 40, "frame"), PAGE_WIDTH)
    earlier = truth(words.same(done.removed(target), number(1, 1)))
    at_step = And(done.guest(here) != 0, done.frame_at(here) == number_of(target))
    visited = And(in_range(other, done.first, i + 1), done.guest(other.term) != 0)
    return [
        ("LEAVES", condition(now == merge(Or(guest, nested), 0, old))),
        ("ONLY", condition(Implies(truth(removed), leads))),
        ("ALL", condition(Implies(visited, Or(earlier, at_step)))),
    ]


def which_term(page: Number) -> Term:
    """The page as a key of the field `leaf`."""
    return word_of(page, PAGE_WIDTH, "page")


def may_be_unmapped(s: Any, owner: Number, first: Number, end: Number) -> Value:
    """The pages first..end-1 are outside the ELRANGE of an enclave that exists."""
    outside = Or(end <= first, end <= s.elrange_first[owner], s.elrange_end[owner] <= first)
    return And(is_enclave(owner), s.life[owner] != 0, outside)


def unmap_range(machine: SymbolicMachine, owner: Number, first: Number, end: Number) -> None:
    """The contract of `impl.monitor.tables.unmap_range`, for a shared range."""
    _begin(machine)
    ready = may_be_unmapped(machine.run.pre, owner, first, end)
    machine.run.establish(f"{machine.run.fresh_name('unmap_range')}: SHARED-RANGE", condition(ready))
    removal = Removal.fresh(machine.run, machine.storage.nodes["leaf"], owner, first, end)
    machine.storage.fill("leaf", lambda keys: words.same(keys[1], removal.owner), removal.leaf)
    machine.run.rules.extend(removal.rules())


def _begin(machine: SymbolicMachine) -> None:
    """The loop begins in the state at the start of the run, of which the invariant is known."""
    if not machine.storage.snapshot().unchanged(machine.run.pre):
        raise EngineError("the loop begins in a state of which the invariant is not known")


def removal_loop(
    run: Run, machine: SymbolicMachine, first: Number, end: Number, _: Callable[[Number], None], /
) -> None:
    """The whole of ``remove pages``: the invariant holds again, and only REMOVAL_FIELDS may have changed."""
    run.event("each", first, end)
    _havoc_removal(run, machine)


def _havoc_removal(run: Run, machine: SymbolicMachine) -> None:
    _begin(machine)
    epoch = run.fresh_name("removal")
    for name in REMOVAL_FIELDS:
        machine.storage.havoc(name, epoch, lambda _: TRUE)
    run.marks[epoch] = machine.storage.snapshot()
    run.rules.extend(machine.invariant(run.marks[epoch]))


LOOPS: Final[dict[str, Loop]] = {"remove pages": removal_loop}


def removal_step(
    run: Run, machine: SymbolicMachine, first: Number, end: Number, body: Callable[[Number], None], /
) -> None:
    """One arbitrary step of ``remove pages``, after any number of others; the run ends there.

    Of REMOVAL_FIELDS only the invariant is known, as at the loop's end; each step is checked to leave the logs of all
    other fields alone, so that what the caller has decided on them still holds.
    """
    _havoc_removal(run, machine)
    first_removal(run, machine, first, end, body)


def first_removal(
    run: Run, machine: SymbolicMachine, first: Number, end: Number, body: Callable[[Number], None], /
) -> None:
    """One arbitrary step of ``remove pages`` from the state at the loop's entry; the run ends there."""
    i = run.fresh("step", 10)
    run.assume(condition(in_range(i, first, end)), "a step of the loop")
    start, events = machine.storage.snapshot(), len(run.events)
    body(i)
    if any(event[0] not in ("fetch", "store") for event in run.events[events:]):
        raise EngineError("a step of remove pages does something that its contract says nothing of")
    kept = only_written(start, machine.storage.snapshot(), REMOVAL_FIELDS)
    run.goals.append(("remove pages, step: OTHER-FIELDS", kept))
    raise PathEndError


STEPS: Final[dict[str, Loop]] = {"remove pages": removal_step}
FIRST_STEPS: Final[dict[str, Loop]] = {"remove pages": first_removal}
"""The steps without others before them: what a machine can be asked to do that real calls have built."""
