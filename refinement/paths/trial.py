"""One path of the monitor, from its model to the comparison of everything that the real monitor did."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Final

from impl.machine.machine import ConcreteMachine
from impl.machine.primitives import NestedFormat
from impl.machine.registers import FS_BASE, GENERAL, GS_BASE, RFLAGS, RIP, XSTATE_WORDS
from impl.monitor.codes import Refusal
from refinement.contracts.handlers import Entry
from refinement.engine.explorer import Path
from refinement.engine.run import Run
from refinement.paths.comparison import DisagreementError, compare
from refinement.paths.lines import Line, Recorder, first_difference
from refinement.paths.meaning import Fields, Meaning
from refinement.paths.query import Model, arbitrary, models_of, walks
from refinement.paths.script import OffScriptError, ScriptedMachine, run, script_of
from refinement.paths.situations import Situation, UnrealisedError, situations
from refinement.simulation.prove import paths_of
from refinement.simulation.tables import REPLACEMENTS, TableSetting
from refinement.traces.representation import Representation
from refinement.traces.tracking import Cell, catch_up
from refinement.traces.universe import Universe

HIDDEN: Final = (*REPLACEMENTS, Refusal.__init__)
"""Functions that contracts replace, and what contracts call themselves."""


@dataclass(frozen=True)
class Taken:
    """A path that the real monitor took: where, and how many cells were compared in all its runs."""

    situation: str
    cells: int


class Bench:
    """A situation with the representation invariant evaluated on it, kept up to date with what is run from there."""

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        self._shadow = situation.machine.copy()
        self._universe = Universe(self._shadow.layout)
        self._meet(self._shadow)
        self._representation = Representation(self._shadow, self._universe)
        broken = self._representation.fill()
        if broken:
            raise UnrealisedError(f"the situation {situation.name!r} violates {broken[0]}")

    def _meet(self, machine: ConcreteMachine) -> None:
        """Enclaves that exist and pages that are mapped belong to what the invariant is evaluated for."""
        life = [key for key in machine.storage.sparse["life"] if isinstance(key, int)]
        self._universe.add(life, [page for _, _, page in Fields(machine).leaves])

    def follow(self, machine: ConcreteMachine) -> tuple[set[Cell], list[object]]:
        """The cells in which the machine differs from the one before, and the clauses that it violates."""
        changed = catch_up(self._shadow, machine)
        self._meet(machine)
        return changed, list(self._representation.advance(changed))

    @contextmanager
    def visit(self) -> Generator[None]:
        """Begin and end in the situation."""
        try:
            yield
        finally:
            self.follow(self.situation.machine)


@cache
def bench(form: NestedFormat, number: int) -> Bench:
    """The bench of one situation, made when it is first needed."""
    return Bench(situations(form)[number])


def recorded_paths(entry: Entry, setting: TableSetting) -> list[Path]:
    """Every path of an entry, with the lines that it executed as its event ``lines``."""

    @contextmanager
    def watch(run: Run) -> Generator[None]:
        recorder = Recorder(HIDDEN)
        try:
            with recorder.watching():
                yield
        finally:
            run.event("lines", recorder.lines)

    return paths_of(entry, setting, watch)


def lines_of(path: Path) -> list[Line]:
    """The lines that a recorded path executed."""
    (lines,) = (event[1] for event in path.events if event[0] == "lines")
    if not isinstance(lines, list):
        raise TypeError("the lines of a path are a list")
    return lines


def take(path: Path, entry: Entry, setting: TableSetting) -> Taken:
    """Run the path in the first situation in which it has models, once with each.

    Raises:
        DisagreementError: the real monitor did something else than the path says.
        UnrealisedError: there is no situation with a model, or the state of a model violates the invariant.
    """
    form, reasons = NestedFormat[setting.form.name], list[str]()
    for number, situation in enumerate(situations(form)):
        models = models_of(path, entry, setting, situation)
        if not isinstance(models, str):
            place = bench(form, number)
            return Taken(situation.name, sum(_visited(path, entry, model, place) for model in models))
        reasons.append(f"{situation.name}: {models}")
    raise UnrealisedError("; ".join(reasons))


def _visited(path: Path, entry: Entry, model: Model, place: Bench) -> int:
    with place.visit():
        try:
            return _run(path, entry, model, place)
        except DisagreementError as difference:
            difference.model = {"situation": place.situation.name, **model.described()}
            raise


def _run(path: Path, entry: Entry, model: Model, place: Bench) -> int:
    recorder = Recorder(HIDDEN)
    script = script_of(model, [walk.ending for walk in walks(path)], _rest(place.situation.machine))
    machine = ScriptedMachine(place.situation.machine, script, recorder)
    _write(machine, model)
    before = machine.copy()
    _, broken = place.follow(before)
    if broken:
        raise UnrealisedError(f"the state of the model violates {broken[0]}")
    constants = model.constants
    try:
        course = run(machine, entry, constants["cpu"], lambda n, width: constants.setdefault(n, arbitrary(n, width)))
    except OffScriptError as surprise:
        raise DisagreementError("fetches", "as on the path", surprise) from surprise
    changed, broken = place.follow(machine)
    if broken:
        raise DisagreementError("invariant", "kept", f"violated: {broken[0]}")
    values = {**constants, **course.outcomes}
    meaning = Meaning(Fields(before), Fields(machine), values, model.pages, course.removed)
    cells = compare(path, meaning, course, changed, entry.rounds)
    ours = lines_of(path)
    if not ours:
        raise UnrealisedError("no line of the monitor was recorded, so that nothing says which path was taken")
    apart = first_difference(ours, recorder.lines)
    if apart is not None:
        raise DisagreementError("line of the monitor", *apart)
    return cells


def _write(machine: ConcreteMachine, model: Model) -> None:
    """The cells that the model chose, in memory only where the monitor keeps private words; registers hold something.

    Which tables a CPU uses and what else the invariant says of registers stays as it is.
    """
    layout, storage = machine.layout, machine.storage
    for cpu in range(layout.cpus):
        for number in (*GENERAL, RIP, RFLAGS, FS_BASE, GS_BASE):
            storage.register[cpu, number] = arbitrary(f"register {cpu} {number}", 64)
        for index in range(XSTATE_WORDS):
            storage.xstate[cpu, index] = arbitrary(f"xstate {cpu} {index}", 64)
    for (name, keys), value in model.cells.items():
        if name == "memory" and not (
            layout.staging_first <= keys[0] < layout.zero_frame or layout.epc_first <= keys[0] < layout.epc_end
        ):
            raise UnrealisedError(f"the model chooses word {keys[1]} of frame {keys[0]:#x}")
        getattr(machine.storage, name)[keys] = value


def _rest(machine: ConcreteMachine) -> list[int]:
    """What a loop over addresses of EPC pages fetches: every EPC page in turn, and an address that is none."""
    layout = machine.layout
    return [*(frame << 12 for frame in range(layout.epc_first, layout.epc_end)), layout.pool_first << 12]
