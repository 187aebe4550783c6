"""From options to rows: the weakening, the ledger, the pool and the run that a command needs."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar, cast

from rich.console import Console

from proofs.ledger import Ledger, LedgerDamagedError, LedgerUnusableError, set_aside
from proofs.obligation import Json, Unit
from proofs.results import Result, Verdict
from proofs.scheduler import Pool
from reports.summary import in_order
from ringfence import waivers, weaken
from ringfence.catalogue import Catalogue
from ringfence.errors import InputError, InternalError, unknown
from ringfence.progress import Live
from ringfence.run import Run
from ringfence.selection import Selection
from ringfence.sources import Sources, folder_digest, read_sources
from ringfence.start import start
from ringfence.wiring import Wiring

LEDGER_VARIABLE: Final = "RINGFENCE_LEDGER"
# A solver context allocates and frees some 16 MiB; giving that back to the kernel each time costs ten times the proof.
# glibc reads these when a worker starts, other C libraries do not know them.
_KEEP_FREED_MEMORY: Final = {"MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_MMAP_THRESHOLD_": str(256 << 20)}
TRACES: Final = "traces"  # in the folder of the ledger, and beside the rooms
T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """What all commands that establish something understand; see the help of the command line."""

    selection: Selection = field(default_factory=Selection)
    weaken: str | None = None
    jobs: int | None = None
    fresh: bool = False
    ledger: Path | None = None


def ledger_folder(wiring: Wiring, given: Path | None) -> Path:
    """The folder of the ledger: the option, else the environment, else `.ringfence` beside the sources."""
    if given is not None:
        return given
    named = os.environ.get(LEDGER_VARIABLE)
    return Path(named) if named else wiring.root / ".ringfence"


@dataclass
class Session:
    """A run with everything around it, ready to be used."""

    wiring: Wiring
    run: Run

    def units(self, providers: Sequence[str]) -> list[Unit]:
        """All units of these providers; those that replay depend on the traces too, the kept and the saved ones."""
        folders = (self.run.folder / TRACES, self.wiring.root / TRACES)
        traces = " ".join(folder_digest(folder) for folder in folders)
        return self.run.units({name: traces if name in self.wiring.replay else "" for name in providers})

    def catalogue(self) -> Catalogue:
        """The names that exist, from the ledger if the sources are the same."""
        key = f"{self.run.sources.key()} {self.wiring.catalogue}"
        found = self.run.ledger.get("listing", key)
        if not isinstance(found, dict):
            found = cast("dict[str, Json]", self.run.ask(self.wiring.catalogue, dict))
            self.run.put("listing", key, found)
        return cast(Catalogue, found)

    def establish(self, units: Sequence[Unit]) -> list[Result]:
        """Run what is selected of these units; the rows in order.  Each selected name has a row, or a unit failed."""
        selection = self.run.selection
        self._check_each(replace(selection, ids=()), lambda part: any(map(part.may_yield, units)))
        chosen = [unit for unit in units if selection.may_yield(unit)]
        if selection.ids:
            chosen = self.run.locate(selection.ids, chosen)
            items = [item for _, item in self.run.items.values() if selection.selects(item)]
            self._check_each(selection, lambda part: any(map(part.selects, items)))
        self.run.execute(chosen)
        rows = in_order(self.run.rows.values())
        if not any(row.verdict is Verdict.ERROR for row in rows):
            self._check_each(selection, lambda part: any(map(part.selects, rows)))
        return rows

    def _check_each(self, selection: Selection, found: Callable[[Selection], bool]) -> None:
        """Something is found for each name of the selection; one without anything would count as a success."""
        for name, part in selection.parts():
            if found(part):
                continue
            if name in part.theorems and any(row.id == name for row in self.not_claimed()):
                raise InputError(f"{name} is NOT CLAIMED, so there is nothing to establish.")
            raise InputError(
                f"Nothing of {name} is selected: the name exists, but this command makes no row that has it and fits "
                "the other options."
            )

    def check_names(self, units: Sequence[Unit]) -> None:
        """Every selected theorem, action and observer exists."""
        selection = self.run.selection
        if selection == Selection(ids=selection.ids):
            return
        known = self.catalogue()
        given = {
            "theorem": (selection.theorems, "theorems", [name for unit in units for name in unit.theorems]),
            "action": (selection.actions, "actions", [unit.action for unit in units if unit.action]),
            "observer": (selection.observers, "observers", [name for unit in units for name in unit.observers]),
        }
        for kind, (names, listing, of_units) in given.items():
            existing = {*of_units, *(str(entry["id"]) for entry in known[listing])}
            for name in names:
                if name not in existing:
                    raise unknown(kind, name, existing)

    def claimed(self) -> list[str]:
        """The theorems for which something is to be established."""
        return [str(entry["id"]) for entry in self.catalogue()["theorems"] if entry["claimed"]]

    def not_claimed(self) -> list[Result]:
        """A row for each theorem and invariant that nothing here claims."""
        known = self.catalogue()
        entries = [*known["theorems"], *known["invariants"]]
        return [
            Result(str(e["id"]), "claim", str(e["id"]), "", "", Verdict.NOT_CLAIMED,
                   words=str(e.get("words", "")), reason=str(e.get("reason", "")))
            for e in entries if not e["claimed"]
        ]  # fmt: skip


def within(wiring: Wiring, options: Options, work: Callable[[Session], T]) -> T:
    """Do `work` in a session; a damaged ledger is set aside and the work is done again with a new one."""
    edited: dict[str, str] = {}
    if options.weaken is not None:
        edited = weaken.apply(weaken.load(wiring.weakenings, options.weaken), wiring.root)
    sources = read_sources(wiring.root, wiring.rooms, edited)
    folder = ledger_folder(wiring, options.ledger)
    try:
        try:
            with _session(wiring, options, edited, sources, folder) as session:
                return work(session)
        except LedgerDamagedError as damage:
            aside = set_aside(folder)
            print(f"The ledger is damaged ({damage}); it is now {aside.name} and is built anew.", file=sys.stderr)
        with _session(wiring, options, edited, sources, folder) as session:
            return work(session)
    except LedgerDamagedError as damage:
        raise InternalError(f"The new ledger is damaged too: {damage}.") from damage
    except LedgerUnusableError as error:
        raise InputError(f"The ledger cannot be used: {error}; --ledger names another folder.") from error


@contextlib.contextmanager
def _session(
    wiring: Wiring, options: Options, edited: dict[str, str], sources: Sources, folder: Path
) -> Generator[Session]:
    size = options.jobs or os.cpu_count() or 1
    for name, value in _KEEP_FREED_MEMORY.items():
        os.environ.setdefault(name, value)
    with contextlib.ExitStack() as stack:
        ledger = Ledger(folder)
        stack.callback(ledger.close)
        live = stack.enter_context(Live(Console(stderr=True)))
        pool = stack.enter_context(Pool(partial(start, wiring.root, edited, folder / TRACES), size))
        run = Run(ledger, sources, pool, live, folder, options.fresh, options.selection)
        run.waivers = waivers.load(wiring.waivers)
        # What comes of it counts only if no source was changed meanwhile; a half-written file makes units fail.
        try:
            yield Session(wiring, run)
        except (InputError, InternalError):
            sources.check_unchanged()
            raise
        sources.check_unchanged()
