"""What a symbolic path promises against what the real monitor did: decisions, events, result, and every field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from impl.machine.layout import Layout
from model.language.terms import Term, number
from proofs.evaluation import evaluate
from refinement.engine.explorer import Path
from refinement.engine.instances import Instances
from refinement.engine.machine import BUSY_CPU
from refinement.engine.storage import Node
from refinement.engine.values import SymBool, SymInt
from refinement.paths.meaning import GUEST_TABLE_OF, Fields, Keys, Meaning
from refinement.paths.script import Course
from refinement.traces.tracking import Cell

WORDS: Final = 512
XSTATE: Final = 128
DIRECTORY: Final = ("table_at", "table_kind", "cpu_mode", "cpu_tcs")
"""Fields from which those that are compared in their place are read."""
PROMISED: Final = ("leaf", GUEST_TABLE_OF)
"""Fields about which contracts promise something at all keys."""
UNCOMPARED: Final = ("split", "pool_take", "fetch_page", "lines", "each")
"""Events that are no deeds of the monitor, or compared as outcomes or by themselves."""


class DisagreementError(Exception):
    """The engine and Python differ: where, what the engine says, what Python did; `model` is what it was run with."""

    def __init__(self, where: str, symbolic: object, concrete: object) -> None:
        super().__init__(f"{where}: symbolically {symbolic}, concretely {concrete}")
        self.where, self.symbolic, self.concrete = where, str(symbolic), str(concrete)
        self.model: dict[str, str] = {}


@dataclass
class Reader:
    """Evaluates the terms of a path under one meaning."""

    meaning: Meaning
    known: dict[Term, int] = field(default_factory=dict[Term, int])

    def value(self, term: Term) -> int:
        """The value of one term; a formula is 0 or 1."""
        return self.values([term])[0]

    def values(self, terms: Sequence[Term]) -> list[int]:
        """The values of several."""
        evaluate(terms, self.meaning, self.known)
        return [self.known[term] for term in terms]

    def plain(self, value: object) -> object:
        """Numbers and conditions of a result or an event as integers, all else as it is."""
        if isinstance(value, SymInt | SymBool):
            return self.value(value.term)
        return self.value(value) if isinstance(value, Term) else value

    def at(self, node: Node, keys: Keys) -> int:
        """The value of a field at these keys after everything that was written."""
        terms = _terms(node, keys)
        present: Node | None = node
        while present is not None and present.record is not None:
            record = present.record
            if record.place is not None:
                here = tuple(self.values(record.place)) == keys
            else:
                here = self.value(record.match(terms)) == 1
            if here:
                return self.value(record.value(terms))
            present = present.parent
        return self.value(node.base(*terms))


def compare(path: Path, meaning: Meaning, course: Course, changed: set[Cell], rounds: int) -> int:
    """How many cells were compared; `DisagreementError` at the first difference.

    changed: the cells of the storage in which the machine after the step differs from the machine before.
    """
    reader = Reader(meaning)
    _same("ending", path.ending, course.ending)
    if path.ending == "failed":
        _same("failure", type(path.result).__name__, type(course.result).__name__)
    _decisions(path, reader)
    _events(path, reader, course)
    if path.ending == "returned":
        _same("result", reader.plain(path.result), course.result)
    cells = {name: _cells(name, node, reader, changed) for name, node in path.post.nodes.items()}
    for name, node in path.post.nodes.items():
        for keys in cells[name]:
            _same(f"{name}{keys}", reader.at(node, keys), reader.meaning.after.read(name, keys))
    _promises(path, reader, rounds, cells)
    return sum(map(len, cells.values()))


def _same(where: str, symbolic: object, concrete: object) -> None:
    if symbolic != concrete:
        raise DisagreementError(where, symbolic, concrete)


def _decisions(path: Path, reader: Reader) -> None:
    """Every decision and guarantee of the record."""
    for entry in path.entries:
        if not reader.value(entry.term):
            raise DisagreementError(f"{entry.kind.value}: {entry.reason}", True, False)


def _promises(path: Path, reader: Reader, rounds: int, cells: Mapping[str, Sequence[Keys]]) -> None:
    """Every promise of a contract about all keys, where the record or a compared cell calls for it.

    A loop used as a whole promises the invariant, which is evaluated on the machine itself.
    """
    if path.marks:
        return
    nodes = path.post.nodes
    read = [nodes[name].read(_terms(nodes[name], keys)) for name in PROMISED if path.rules for keys in cells[name]]
    for name, formula in Instances(path.rules, rounds).grow([*path.conditions, *read]):
        if not reader.value(formula):
            raise DisagreementError(f"promise: {name}", True, False)


def _terms(node: Node, keys: Keys) -> tuple[Term, ...]:
    return tuple(number(k, w) for k, w in zip(keys, node.shape.keys, strict=True))


def _events(path: Path, reader: Reader, course: Course) -> None:
    """Walks, fetches, stores and records of measurement happen in the same order with the same values."""
    promised = [event for event in path.events if event[0] not in UNCOMPARED]
    for place in range(max(len(promised), len(course.events))):
        ours = _plain_event(promised[place], reader) if place < len(promised) else ("nothing",)
        theirs = course.events[place] if place < len(course.events) else ("nothing",)
        _same(f"event {place}", ours, theirs)


def _plain_event(event: tuple[object, ...], reader: Reader) -> tuple[object, ...]:
    plain = [reader.plain(part) for part in event if not isinstance(part, Node)]
    if event[0] == "measure_extend":  # the last part is memory at that moment
        frame, memory = plain[-1], event[-1]
        if isinstance(frame, int) and isinstance(memory, Node):
            plain.append([reader.at(memory, (frame, i)) for i in range(WORDS)])
    return tuple(plain)


def _cells(name: str, node: Node, reader: Reader, changed: set[Cell]) -> list[Keys]:
    """Every cell that was written, by the engine's log or by the real monitor; all others are as before in both."""
    before, after = reader.meaning.before, reader.meaning.after
    cells = dict.fromkeys([*_written(name, node, reader), *_changed(name, before, after, changed)])
    if name == BUSY_CPU:  # a ghost that means something only where a CPU is inside
        return [keys for keys in cells if after.read("busy", keys) == 1]
    return list(cells)


def _written(name: str, node: Node, reader: Reader) -> Iterator[Keys]:
    """The places of single writes, and every cell that a bulk write may have reached."""
    bulk = list[Node]()
    present: Node | None = node
    while present is not None and present.record is not None:
        if present.record.place is None:
            bulk.append(present)
        else:
            yield tuple(reader.values(present.record.place))
        present = present.parent
    if bulk:
        yield from _reached(name, bulk, reader)


def _reached(name: str, bulk: list[Node], reader: Reader) -> Iterator[Keys]:
    """A bulk write to memory reaches word 0 of a frame if it reaches any; other fields are 0 almost everywhere."""
    before, after = reader.meaning.before, reader.meaning.after
    layout = before.machine.layout
    if name == "memory":
        for frame in _private(layout):
            first = _terms(bulk[0], (frame, 0))
            if any(b.record is not None and reader.value(b.record.match(first)) for b in bulk):
                yield from ((frame, i) for i in range(WORDS))
    elif name == "xstate":
        yield from ((cpu, i) for cpu in range(layout.cpus) for i in range(XSTATE))
    else:
        yield from before.support(name)
        yield from after.support(name)


def _private(layout: Layout) -> Iterator[int]:
    """The frames that handlers may write in bulk: staging frames and the EPC."""
    yield from range(layout.staging_first, layout.zero_frame)
    yield from range(layout.epc_first, layout.epc_end)


def _changed(name: str, before: Fields, after: Fields, changed: set[Cell]) -> Iterator[Keys]:
    """The cells of a field in which the machines differ; the EPCM and tables as what they say, not as words."""
    layout = before.machine.layout
    words = [_keys(key) for field_name, key in changed if field_name == "memory"]
    entries = {w for w in words if layout.epcm_first <= w[0] < layout.staging_first}
    tables = {w for w in words if layout.pool_first <= w[0] < layout.epc_first}
    if name in before.machine.storage.sparse:
        yield from (_keys(key) for field_name, key in changed if field_name == name)
    elif name == "memory":
        yield from (w for w in words if w not in entries and w not in tables)
    elif entries if name == "epcm" else tables or any(field_name in DIRECTORY for field_name, _ in changed):
        yield from before.support(name)
        yield from after.support(name)


def _keys(key: object) -> Keys:
    if isinstance(key, tuple):
        return tuple(k for k in key if isinstance(k, int))
    return (key,) if isinstance(key, int) else ()
