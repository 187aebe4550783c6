"""The real monitor on a machine whose untrusted memory follows a script: what it did, step by step.

Table operations, walks and the rest run on real words.  Where the symbolic run uses a contract, the outcome of the
real operation is noted under the name that the contract gave it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from itertools import chain, repeat
from typing import Any, Final

from impl.machine.machine import ConcreteMachine
from impl.monitor import guest_memory, tables
from impl.monitor.entries import GUEST, leaf_frame
from impl.monitor.monitor import Monitor
from refinement.contracts.handlers import Entry
from refinement.contracts.substitution import substituted
from refinement.engine.run import PathEndError
from refinement.paths.lines import Recorder
from refinement.paths.query import FRAME, PAGE_FAULT, Model
from refinement.paths.situations import FAILURES
from refinement.simulation.tables import REPLACEMENTS

LINK: Final = 7
"""Present, writable, user: an entry that every walk follows."""
LEVELS: Final = 4


class OffScriptError(Exception):
    """The monitor read untrusted memory where the path does not, or asked for more walks than the path has."""


@dataclass
class Script:
    """What untrusted memory answers: words by fetch, walks by ending and frame or present bit, pages by copy.

    step: of a loop of which the path takes a single step, that step; None where loops run as a whole, and then `rest`
    are the words that they fetch.
    """

    words: list[int]
    walks: list[tuple[str, int]]
    pages: list[list[int]]
    step: int | None = None
    rest: Sequence[int] = (0,)


@dataclass
class Course:
    """How a run went.

    events: walks, fetches, stores and records of measurement in the form that the engine notes.  outcomes: what
    contracts leave open, by name.  removed: as in `Meaning`.  ending and result are as those of a path.
    """

    events: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])
    outcomes: dict[str, int] = field(default_factory=dict[str, int])
    removed: dict[int, int] = field(default_factory=dict[int, int])
    ending: str = ""
    result: object = None

    def note(self, stem: str, value: int) -> None:
        """The next outcome of this name."""
        number = sum(1 for name in self.outcomes if name.rstrip("0123456789") == stem)
        self.outcomes[f"{stem}{number}"] = value


class ScriptedMachine(ConcreteMachine):
    """The concrete machine, whose untrusted memory follows the script and holds what it held again afterwards."""

    def __init__(self, origin: ConcreteMachine, script: Script, recorder: Recorder) -> None:
        super().__init__(origin.layout, origin.nested_format)
        self.storage = origin.storage.copy()
        self.logs = {enclave: log.copy() for enclave, log in origin.logs.items()}
        self.on_fetch = lambda _, __: None  # so that pages are fetched word by word
        self.course = Course()
        self.recorder = recorder
        self._script = script
        self._words, self._walks, self._pages = iter(script.words), iter(script.walks), iter(script.pages)
        self._source: Iterator[int] | None = None  # of a walk, a page or a loop; None: single fetches

    # --- untrusted memory -------------------------------------------------------------------------------------------

    def fetch_word(self, frame: int, index: int) -> int:
        """The scripted word, which is in memory just for this fetch."""
        single = self._source is None
        word = next(self._words if self._source is None else self._source, None)
        if word is None:
            raise OffScriptError(f"word {index} of frame {frame:#x} is fetched, which the path does not do")
        memory = self.storage.memory
        before, memory[frame, index] = memory[frame, index], word
        try:
            found = super().fetch_word(frame, index)
        finally:
            memory[frame, index] = before
        if single:
            self.course.events.append(("fetch", frame, index, found))
        return found

    def store_word(self, frame: int, index: int, value: int) -> None:
        """Notes the word, but in a whole loop, of which a path promises no step."""
        super().store_word(frame, index, value)
        if self._source is None:
            self.course.events.append(("store", frame, index, value))

    def fetch_page(self, destination: int, source: int) -> None:
        """Word by word from the script."""
        page = next(self._pages, None)
        if page is None:
            raise OffScriptError(f"frame {source:#x} is copied, which the path does not do")
        with self._answering(page):
            super().fetch_page(destination, source)

    @contextmanager
    def _answering(self, words: Iterable[int]) -> Generator[None]:
        earlier, self._source = self._source, iter(words)
        try:
            yield
        finally:
            self._source = earlier

    @contextmanager
    def walking(self) -> Generator[None]:
        """The next walk of the script answers the fetches of the body."""
        ending = next(self._walks, None)
        if ending is None:
            raise OffScriptError("a pointer is followed, which the path does not do")
        with self._answering(self._entries(*ending)):
            yield

    def _entries(self, ending: str, value: int) -> list[int]:
        """Table entries with this ending: a frame, a page fault with this present bit, a table that is not normal."""
        if ending == PAGE_FAULT:
            return [value]
        if ending == FRAME:
            return [*[self.layout.monitor_first - 1 << 12 | LINK] * (LEVELS - 1), value << 12 | LINK]
        return [self.layout.monitor_first << 12 | LINK]

    # --- what contracts leave open ----------------------------------------------------------------------------------

    def memory_is_zero(self, frame: int, first: int, end: int) -> bool:
        """Notes the answer and a word that is not 0."""
        answer = super().memory_is_zero(frame, first, end)
        words = self.storage.physical.page(frame)
        self.course.note("all_zero", int(answer))
        self.course.note("nonzero_word", next((i for i in range(first, end) if words[i]), 0))
        return answer

    def pool_release(self, owner: int) -> None:
        """Notes how many frames are free."""
        super().pool_release(owner)
        self.course.note("pool_free", self.storage.pool_free[()])

    def measure_start(self, enclave: int, ssa_frame_size: int, size: int) -> None:
        """Notes the record."""
        super().measure_start(enclave, ssa_frame_size, size)
        self.course.events.append(("measure_start", enclave, ssa_frame_size, size))

    def measure_add(self, enclave: int, offset: int, secinfo: int) -> None:
        """Notes the record."""
        super().measure_add(enclave, offset, secinfo)
        self.course.events.append(("measure_add", enclave, offset, secinfo))

    def measure_extend(self, enclave: int, offset: int, frame: int) -> None:
        """Notes the records with the words of the page."""
        super().measure_extend(enclave, offset, frame)
        self.course.events.append(("measure_extend", enclave, offset, frame, list(self.storage.physical.page(frame))))

    def measure_drop(self, enclave: int) -> None:
        """Notes it."""
        super().measure_drop(enclave)
        self.course.events.append(("measure_drop", enclave))

    def each(self, name: str, first: int, end: int, body: Callable[[int], None]) -> None:
        """The whole loop, out of the recorder's sight; or its one step, with which the path ends."""
        step = self._script.step
        if step is None:
            rest = chain.from_iterable(repeat(self._script.rest))
            with self.recorder.covered(), self._answering(rest):
                super().each(name, first, end, body)
            return
        if not first <= step < end:
            raise OffScriptError(f"step {step} is not one of the steps {first} to {end - 1} of the loop {name!r}")
        body(step)
        raise PathEndError


def script_of(model: Model, endings: Sequence[str], rest: Sequence[int]) -> Script:
    """The script that a model describes; `endings` are those of its walks."""
    found, walks = model.constants, list[tuple[str, int]]()
    for ending in endings:
        number = sum(1 for earlier, _ in walks if earlier == ending)
        name = {FRAME: "translated", PAGE_FAULT: "fault_present"}.get(ending, "")
        walks.append((ending, found.get(f"{name}{number}", 0)))
    fetched = sorted((name for name in found if name.rstrip("0123456789") == "fetch"), key=lambda n: int(n[5:]))
    return Script([found[name] for name in fetched], walks, model.pages, found.get("step0"), rest)


def run(machine: ScriptedMachine, entry: Entry, cpu: int, given: Callable[[str, int], int]) -> Course:
    """Take the entry with the real monitor."""
    course = machine.course
    with substituted({original: _noting(original, machine) for original in REPLACEMENTS}):
        try:
            with machine.recorder.watching():
                course.result = entry.call(Monitor(machine), cpu, given)
            course.ending = "returned"
        except PathEndError:
            course.ending = "cut"
        except FAILURES as failure:
            course.ending, course.result = "failed", failure
    return course


def _noting(original: Callable[..., Any], machine: ScriptedMachine) -> Callable[..., Any]:
    """The operation itself, out of the recorder's sight; what its contract leaves open is noted."""

    @wraps(original)
    def operation(*arguments: Any) -> Any:
        inside_another = machine.recorder.is_covered
        with machine.recorder.covered():
            if inside_another or original not in _NOTED:
                return original(*arguments)
            return _NOTED[original](original, *arguments)

    return operation


Operation = Callable[..., Any]


def _translate(walk: Operation, machine: ScriptedMachine, *asked: int) -> int:
    """The real walk over scripted entries."""
    machine.course.events.append(("translate", *asked))
    with machine.walking():
        return walk(machine, *asked)


def _create_root(create: Operation, machine: ScriptedMachine, kind: int, owner: int) -> int:
    root = create(machine, kind, owner)
    machine.course.note("root", root)
    return root


def _map(operation: Operation, machine: ScriptedMachine, *arguments: int) -> None:
    operation(machine, *arguments)
    machine.course.note("pool_free", machine.storage.pool_free[()])


def _unmap_range(unmap: Operation, machine: ScriptedMachine, owner: int, first: int, end: int) -> None:
    """Notes the nested pages behind the guest leaves of the range, each with the page that leads there."""
    for page in range(first, end):
        leaf = tables.leaf_word(machine, GUEST, owner, page)
        if leaf:
            machine.course.removed[leaf_frame(leaf)] = page
    unmap(machine, owner, first, end)


_NOTED: Final[dict[Operation, Operation]] = {
    guest_memory.translate: _translate,
    tables.create_root: _create_root,
    tables.map_leaf: _map,
    tables.map_own_table: _map,
    tables.map_guest: _map,
    tables.unmap_range: _unmap_range,
}
"""Operations whose contracts give new names: to free frames, to a root, to what a loop took away."""
