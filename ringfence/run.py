"""One run: units are made or remembered, obligations solved or remembered, and every row is kept as it arrives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final, Protocol, TypeVar

from proofs.codec import (
    explanation_from,
    explanation_to,
    finding_from,
    finding_to,
    headers_from,
    headers_to,
    unit_from,
    unit_to,
)
from proofs.ledger import Ledger, LedgerDamagedError, answer_key
from proofs.messages import Failed, Job, Outcome, Reply
from proofs.obligation import OBLIGATION, Answer, Explanation, Finding, Header, Json, Unit
from proofs.results import Result, Verdict, of_answer, of_finding
from proofs.scheduler import Pool, QuestionError
from ringfence.errors import InputError, InternalError, unknown
from ringfence.selection import Selection
from ringfence.sources import Sources
from ringfence.waivers import Waiver, waived

DEFAULT_COST: Final = 5.0  # CPU seconds that a unit is expected to take before anything is known of it
Item = Header | Finding
T = TypeVar("T")


class Watcher(Protocol):
    """Who shows how far a run has come.  Costs are CPU seconds."""

    def begin(self, expected: float, jobs: int, workers: int) -> None:
        """This much is expected to be done, in so many jobs by so many workers."""
        ...

    def row(self, result: Result) -> None:
        """A row was established."""
        ...

    def finished(self, expected: float) -> None:
        """A job is over; it was expected to take this long."""
        ...


@dataclass
class Run:
    """Everything that one command establishes; `rows` holds it by id, as far as it has come.

    fresh: neither texts nor answers of earlier runs count, but what is found is written.  folder: where tracebacks
    go.  items: everything that the units asked for have made, selected or not, by id, with the unit that made it.
    """

    ledger: Ledger
    sources: Sources
    pool: Pool
    watcher: Watcher
    folder: Path
    fresh: bool = False
    selection: Selection = field(default_factory=Selection)
    rows: dict[str, Result] = field(default_factory=dict[str, Result])
    items: dict[str, tuple[Unit, Item]] = field(default_factory=dict[str, tuple[Unit, Item]])
    waivers: Mapping[str, Waiver] = field(default_factory=dict[str, Waiver])
    today: date = field(default_factory=date.today)
    _salts: dict[str, str] = field(default_factory=dict[str, str])
    _solving: bool = True
    _making: dict[str, dict[str, Item]] = field(default_factory=dict[str, dict[str, Item]])
    _complete: dict[str, list[Item]] = field(default_factory=dict[str, list[Item]])
    _costs: dict[str, float] = field(default_factory=dict[str, float])
    # Two units may make the same text; in one run it is solved once.  Keys of `_answer_key`: what a worker is asked at
    # this moment, what was answered in this run, and the units that left something to another worker.
    _asked: set[str] = field(default_factory=set[str])
    _answered: set[str] = field(default_factory=set[str])
    _postponed: dict[str, Unit] = field(default_factory=dict[str, Unit])

    # --- units --------------------------------------------------------------------------------------------------

    def units(self, providers: Mapping[str, str]) -> list[Unit]:
        """All units of these providers, from the ledger if the sources are the same.

        The value of a provider is a digest of what it reads beside the sources, or "".
        """
        found: list[Unit] = []
        for provider, salt in providers.items():
            key = f"{self.sources.key()} {provider} {salt}"
            known = None if self.fresh else self.ledger.get("listing", key)
            if not isinstance(known, list):
                known = [unit_to(unit) for unit in self.ask(provider, list) if isinstance(unit, Unit)]
                self.put("listing", key, known)
            units = [unit_from(item) for item in known]
            self._salts.update((unit.id, salt) for unit in units)
            found += units
        names = [unit.id for unit in found]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InternalError(f"Two units are called {twice[0]}.")
        return found

    def ask(self, target: str, kind: type[T]) -> T:
        """What a function without arguments returns in a worker, where edits apply."""
        try:
            return self.pool.ask(target, kind)
        except QuestionError as error:
            raise InternalError(f"{target} failed: {error}.", error.traceback) from error

    def put(self, kind: str, key: str, value: Json) -> None:
        """Write a row whose key says from which sources it was made, if it was made from these."""
        self.sources.check_unchanged()
        self.ledger.put(kind, key, value)

    def locate(self, identifiers: Sequence[str], units: Sequence[Unit]) -> list[Unit]:
        """The units that make these rows; a name that no unit makes is an `InputError`.  Nothing is solved."""
        self._list([unit for unit in units if any(unit.may_make(name) for name in identifiers)])
        for name in identifiers:
            if name not in self.items:
                raise unknown("obligation", name, self.items or {p for unit in units for p in unit.yields})
        homes = {self.items[name][0].id for name in identifiers}
        return [unit for unit in units if unit.id in homes]

    def last(self, identifier: str) -> Result | None:
        """What is known about something that was located, or None; nothing is solved."""
        _, item = self.items[identifier]
        if isinstance(item, Finding):
            return of_finding(item)
        answer = self._known_answer(item)
        return None if answer is None else of_answer(item, answer, self._known_explanation(item))

    def _list(self, units: Sequence[Unit]) -> None:
        self._solving = False
        self.execute(units)
        self._solving = True

    # --- running ------------------------------------------------------------------------------------------------

    def execute(self, units: Sequence[Unit]) -> None:
        """Establish everything that is selected of these units."""
        while jobs := [job for unit in units if (job := self._recall(unit)) is not None]:
            for job in jobs:
                cost = self.ledger.get("cost", job.unit.id)
                self._costs[job.unit.id] = cost if isinstance(cost, float) else DEFAULT_COST
            expected = sum(self._costs[job.unit.id] for job in jobs)
            self.watcher.begin(expected, len(jobs), self.pool.size)
            self.pool.run(jobs, self, lambda job: self._costs[job.unit.id])
            units = list(self._postponed.values())
            self._postponed.clear()
            self._asked.clear()

    def _recall(self, unit: Unit) -> Job | None:
        """What remains to be done for a unit after the ledger was asked."""
        items = self._remembered_items(unit)
        if items is None:
            return Job(unit)
        keys = {item.id: self._answer_key(item) for item in items if isinstance(item, Header) and self._wanted(item)}
        answers = self._known_answers(list(keys.values()))
        missing: list[Header] = []
        for item in items:
            self._own(unit, item)
            if item.id in self.rows:
                continue
            if isinstance(item, Finding):
                self._keep_finding(item)
            elif item.id in keys and not self._remembered(item, answers.get(keys[item.id])):
                missing.append(item)
        texts = [(header, self.ledger.text(header.digest)) for header in missing]
        if any(text is None for _, text in texts):
            return Job(unit)
        try:
            stored = tuple(header.with_text(text) for header, text in texts if text is not None)
        except ValueError as error:
            raise LedgerDamagedError(str(error)) from error
        return Job(unit, stored) if stored else None

    def _remembered_items(self, unit: Unit) -> list[Item] | None:
        """What the unit makes, if this run or an earlier one has seen all of it."""
        if unit.id in self._complete:
            return self._complete[unit.id]
        known = None if self.fresh else self.ledger.get("unit", self._unit_key(unit))
        if not isinstance(known, dict):
            return None
        headers, findings = known["headers"], known["findings"]
        if not isinstance(headers, list) or not isinstance(findings, list):
            raise LedgerDamagedError(f"the record of unit {unit.id} cannot be read")
        return [*headers_from(headers), *map(finding_from, findings)]

    def _unit_key(self, unit: Unit) -> str:
        return f"{self.sources.key(unit.ignores)} {unit_to(unit)} {self._salts.get(unit.id, '')}"

    def _own(self, unit: Unit, item: Item) -> None:
        owner, _ = self.items.setdefault(item.id, (unit, item))
        if owner.id != unit.id:
            raise InternalError(f"Two units, {owner.id} and {unit.id}, make something called {item.id}.")

    def _check_announced(self, unit: Unit, item: Item) -> None:
        """Of what is made; what is remembered of a unit was checked when it was made."""
        if item.kind == OBLIGATION and item.theorem not in unit.theorems:
            raise InternalError(f"Unit {unit.id} makes {item.id} of {item.theorem}, which it does not announce.")
        if not unit.may_make(item.id):
            raise InternalError(f"Unit {unit.id} makes {item.id}, which it does not announce.")

    def _wanted(self, item: Item) -> bool:
        return self._solving and self.selection.selects(item)

    def _remembered(self, header: Header, answer: Answer | None) -> bool:
        """Take the row from the ledger if everything that it needs is there."""
        if answer is None:
            return False
        explanation = None if answer.status == header.expect else self._known_explanation(header)
        if answer.status != header.expect and explanation is None and header.explain is not None:
            return False
        self._row(of_answer(header, answer, explanation))
        return True

    def _known_answers(self, keys: Sequence[str]) -> dict[str, Answer]:
        """What the ledger knows by these keys (`_answer_key`); in a fresh run what this run put there."""
        return self.ledger.answers([key for key in keys if not self.fresh or key in self._answered])

    def _known_answer(self, header: Header) -> Answer | None:
        key = self._answer_key(header)
        return self._known_answers([key]).get(key)

    def _answer_key(self, header: Header) -> str:
        return answer_key(header.digest, self.sources.solver, header.rlimit)

    def _known_explanation(self, header: Header) -> Explanation | None:
        found = self.ledger.get("explanation", self._explanation_key(header))
        return None if found is None else explanation_from(found)

    def _explanation_key(self, header: Header) -> str:
        # What an explanation finds depends on all sources, not only on the text.
        return f"{self.sources.key()} {header.id} {header.digest}"

    def _row(self, result: Result) -> None:
        settled = waived(result, self.waivers, self.today)
        self.rows[settled.id] = settled
        self.watcher.row(settled)

    def _keep_finding(self, finding: Finding) -> None:
        if self._wanted(finding):
            self._row(of_finding(finding))

    # --- what the pool calls ------------------------------------------------------------------------------------

    def made(self, job: Job, header: Header) -> Reply:
        """Decide what happens with an obligation."""
        if job.stored is None:
            self._record(job.unit, header)
        want_text = not self.ledger.has("text", header.digest)
        answer = self._known_answer(header)
        if not self._wanted(header) or header.id in self.rows or self._remembered(header, answer):
            return Reply("skip", None, want_text)
        if answer is not None:
            return Reply("explain", answer, want_text)
        key = self._answer_key(header)
        if key in self._asked:
            self._postponed[job.unit.id] = job.unit
            return Reply("skip", None, want_text=False)
        self._asked.add(key)
        return Reply("solve", None, want_text)

    def _record(self, unit: Unit, item: Item) -> None:
        self._own(unit, item)
        self._check_announced(unit, item)
        made = self._making.setdefault(unit.id, {})
        if item.id in made:
            raise InternalError(f"Unit {unit.id} makes two things called {item.id}.")
        made[item.id] = item

    def answered(self, header: Header, outcome: Outcome) -> None:
        """Keep what a worker found."""
        if outcome.packed is not None:
            self.ledger.put_text(header.digest, outcome.packed)
        if outcome.answer is None:
            return
        key = self._answer_key(header)
        self.sources.check_solver_unchanged()
        self.ledger.put_answer(key, outcome.answer)
        self._answered.add(key)
        self._asked.discard(key)
        if outcome.explanation is not None:
            self.put("explanation", self._explanation_key(header), explanation_to(outcome.explanation))
        self._row(of_answer(header, outcome.answer, outcome.explanation))

    def found(self, job: Job, finding: Finding) -> None:
        """Keep a ready result."""
        self._record(job.unit, finding)
        self._keep_finding(finding)

    def finished(self, job: Job, cpu_seconds: float) -> None:
        """A unit is complete: remember what it made, and what it took."""
        unit = job.unit
        if job.stored is None:
            items = list(self._making.pop(unit.id, {}).values())
            self._complete[unit.id] = items
            headers = headers_to(item for item in items if isinstance(item, Header))
            findings: list[Json] = [finding_to(item) for item in items if isinstance(item, Finding)]
            self.put("unit", self._unit_key(unit), {"headers": headers, "findings": findings})
        self.ledger.put("cost", unit.id, cpu_seconds)
        self.watcher.finished(self._costs[unit.id])

    def failed(self, job: Job, failure: Failed) -> None:
        """A unit failed on our side: a row that says so and where the traceback is; it is not tried again."""
        self._making.pop(job.unit.id, None)
        self._postponed.pop(job.unit.id, None)
        if failure.bad_input:
            raise InputError(failure.message)
        if not self._solving:
            raise InternalError(f"{job.unit.id} failed: {failure.message}.", failure.traceback)
        where = save_traceback(self.folder, failure.traceback)
        reason = f"{failure.message}; traceback in {where}" if where else failure.message
        theorem = job.unit.theorems[0] if job.unit.theorems else ""
        self._row(Result(f"{job.unit.id}", "error", theorem, job.unit.action, "", Verdict.ERROR, reason=reason))
        self.watcher.finished(self._costs[job.unit.id])

    def died(self, job: Job, header: Header | None) -> None:
        """The worker is gone: an unknown if it was over an obligation, and the job starts over without that one."""
        self._making.pop(job.unit.id, None)
        if header is not None:
            self._asked.discard(self._answer_key(header))
            self._row(of_answer(header, Answer("unknown", self.sources.solver, "the solver died")))


def save_traceback(folder: Path, traceback: str) -> Path | None:
    """Write a traceback to a new file in `folder`; None if there is nothing to write."""
    if not traceback:
        return None
    errors = folder / "errors"
    errors.mkdir(parents=True, exist_ok=True)
    path = errors / f"error-{len(list(errors.iterdir())) + 1}.txt"
    path.write_text(traceback, "utf-8")
    return path
