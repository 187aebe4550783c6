"""Symbolic storage: each field is an uninterpreted function plus a log of what was written since.

A read walks the log backwards and becomes a choice between the written values and the field as it was; records whose
key is evidently hit or missed cost nothing.  Bulk operations (zero a frame, copy one, flush a TLB) are single records
that say where they apply and what the value is there.  Logs are immutable linked lists, so a snapshot is free.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from model.language.terms import FALSE, TRUE, Function, Term, bits, t_and, t_ite
from refinement.engine import words
from refinement.engine.values import EngineError, Number, number_of, word_of

Keys: TypeAlias = tuple[Term, ...]


class Shape(Protocol):
    """What the engine has to know of a field: bits of each key, bits of the value."""

    @property
    def keys(self) -> tuple[int, ...]:
        """The width of each key in bits."""
        ...

    @property
    def width(self) -> int:
        """The width of the value in bits."""
        ...


@dataclass(frozen=True)
class FieldShape:
    """A field's key widths and value width, in bits."""

    keys: tuple[int, ...]
    width: int


@dataclass(frozen=True, eq=False)
class Record:
    """One log entry: where `match` holds the value is `value`; `place` are the keys of a write to a single place."""

    match: Callable[[Keys], Term]
    value: Callable[[Keys], Term]
    place: Keys | None = None


class Node:
    """A field at one moment: a base function, or an older node with one more record."""

    __slots__ = ("_known", "base", "parent", "record", "shape", "sources")

    def __init__(self, shape: Shape, base: Function, parent: Node | None = None, record: Record | None = None) -> None:
        self.shape = shape
        self.base = base
        self.parent = parent
        self.record = record
        self.sources: tuple[str, ...] = (base.name,) if parent is None else parent.sources
        self._known: dict[Keys, Term] = {}

    def with_record(self, record: Record, source: str | None = None) -> Node:
        """This field with one more record, which may bring a further base function."""
        node = Node(self.shape, self.base, self, record)
        if source is not None:
            node.sources = (*self.sources, source)
        return node

    def read(self, keys: Keys) -> Term:
        """The value at `keys`, as a term over the base function."""
        choices: list[tuple[Term, Term]] = []
        node, passed = self, list[Node]()
        result = node._known.get(keys)
        while result is None:
            if node.parent is None or node.record is None:
                result = node.base(*keys)
                break
            match = node.record.match(keys)
            if match is TRUE:
                result = node.record.value(keys)
                break
            if match is not FALSE:
                passed.append(node)
                choices.append((match, node.record.value(keys)))
            node = node.parent
            result = node._known.get(keys)
        for owner, (match, value) in zip(reversed(passed), reversed(choices), strict=True):
            result = t_ite(match, value, result)
            owner._known[keys] = result
        self._known[keys] = result
        return result


def base_function(epoch: str, name: str, shape: Shape) -> Function:
    """The uninterpreted function that stands for a field at the start of an epoch."""
    return Function(f"{epoch}.{name}", tuple(bits(w) for w in shape.keys), bits(shape.width))


def matching(place: Keys) -> Callable[[Keys], Term]:
    """The condition of a write to a single place."""
    return lambda keys: t_and(words.same(a, b) for a, b in zip(keys, place, strict=True))


def key_terms(shape: Shape, name: str, key: object) -> Keys:
    """A subscript as key terms of the widths of the field; that each fits is required where it is not evident."""
    given = key if isinstance(key, tuple) else (key,)
    if len(given) != len(shape.keys):
        raise EngineError(f"{name} takes {len(shape.keys)} keys, got {len(given)}")
    return tuple(word_of(k, w, f"key of {name}") for k, w in zip(given, shape.keys, strict=True))


class Reader:
    """One field of a snapshot, read as `view.life[e]`."""

    __slots__ = ("_name", "_node")

    def __init__(self, name: str, node: Node) -> None:
        self._name = name
        self._node = node

    def __getitem__(self, key: object) -> Number:
        shape = self._node.shape
        return number_of(self._node.read(key_terms(shape, self._name, key)))


class View:
    """A snapshot of all fields, for reading only."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self.nodes = dict(nodes)
        self._readers = {name: Reader(name, node) for name, node in self.nodes.items()}

    def __getattr__(self, name: str) -> Reader:
        try:
            return self.__dict__["_readers"][name]
        except KeyError:
            raise EngineError(f"the storage has no field {name}") from None

    def unchanged(self, other: View) -> bool:
        """Both snapshots hold the very same logs."""
        return all(node is other.nodes[name] for name, node in self.nodes.items())


class Cells:
    """One mutable field of a symbolic storage, used as `storage.life[e] = 1`."""

    __slots__ = ("_name", "_storage")

    def __init__(self, storage: SymbolicStorage, name: str) -> None:
        self._storage = storage
        self._name = name

    def __getitem__(self, key: object) -> Number:
        node = self._storage.nodes[self._name]
        place = key_terms(node.shape, self._name, key)
        self._storage.before("read", self._name, place)
        return number_of(node.read(place))

    def __setitem__(self, key: object, value: object) -> None:
        node = self._storage.nodes[self._name]
        place = key_terms(node.shape, self._name, key)
        stored = word_of(value, node.shape.width, f"value of {self._name}")
        self._storage.before("write", self._name, place)
        self._storage.put(self._name, place, stored)


Access: TypeAlias = Literal["read", "write"]
Guard: TypeAlias = Callable[[Access, str, Keys], None]


class SymbolicStorage:
    """The mutable state of a run; every field starts as an arbitrary function."""

    def __init__(self, shapes: Mapping[str, Shape], epoch: str = "pre") -> None:
        self.nodes = {name: Node(shape, base_function(epoch, name, shape)) for name, shape in shapes.items()}
        self.guard: Guard | None = None
        self._cells = {name: Cells(self, name) for name in shapes}

    def __getattr__(self, name: str) -> Cells:
        try:
            return self.__dict__["_cells"][name]
        except KeyError:
            raise EngineError(f"the storage has no field {name}") from None

    def add_cells(self, name: str, cells: Cells) -> None:
        """Show something else under the name of a field."""
        self._cells[name] = cells

    def before(self, access: Access, name: str, place: Keys) -> None:
        """Let the guard demand what every single read or write must satisfy."""
        if self.guard is not None:
            self.guard(access, name, place)

    def put(self, name: str, place: Keys, value: Term) -> None:
        """Assign one value at one place, without asking the guard."""
        self.nodes[name] = self.nodes[name].with_record(Record(matching(place), lambda _: value, place))

    def fill(self, name: str, match: Callable[[Keys], Term], value: Callable[[Keys], Term]) -> None:
        """Assign `value(keys)` wherever `match(keys)` holds; both read only the state before."""
        self.nodes[name] = self.nodes[name].with_record(Record(match, value))

    def havoc(self, name: str, epoch: str, changed: Callable[[Keys], Term]) -> Function:
        """Forget a field wherever `changed(keys)` holds: it is a fresh function there, which is returned."""
        node = self.nodes[name]
        fresh = base_function(epoch, name, node.shape)
        self.nodes[name] = node.with_record(Record(changed, lambda keys: fresh(*keys)), fresh.name)
        return fresh

    def forget(self, name: str, epoch: str) -> None:
        """Make a field an arbitrary function, of which nothing is known."""
        shape = self.nodes[name].shape
        self.nodes[name] = Node(shape, base_function(epoch, name, shape))

    def snapshot(self) -> View:
        """The present state, for reading later."""
        return View(self.nodes)
