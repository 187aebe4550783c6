"""What a clause of the representation invariant is, and the state that it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from refinement.bits import NestedFormat
from refinement.engine.values import Number


@dataclass(frozen=True)
class Layout:
    """The partition of physical memory, in frame numbers; ends are exclusive.

    Reserved memory is [monitor_first, epc_end): monitor image, EPCM, one staging frame per CPU, zero frame; table
    pool; EPC.
    """

    memory_end: Number
    monitor_first: Number
    epcm_first: Number
    staging_first: Number
    zero_frame: Number
    pool_first: Number
    epc_first: Number
    epc_end: Number
    device_first: Number
    device_end: Number
    cpus: Number


class Cells(Protocol):
    """A field of the state."""

    def __getitem__(self, key: Any) -> Number:
        """The value at a key or a tuple of keys."""
        ...


class State(Protocol):
    """What clauses read: the monitor's fields by name, plus the contents of page tables by page.

    `leaf[kind, owner, page]` is the leaf word that the monitor's tables hold (0 if none), and `root[kind, owner]` the
    frame of the top table (0 if none): read through the directory on real storage, primitive where tables are used
    by contract.
    """

    @property
    def layout(self) -> Layout:
        """The partition of memory."""
        ...

    @property
    def form(self) -> NestedFormat:
        """The format of nested tables."""
        ...

    @property
    def focus(self) -> Number:
        """The linear page that the step is about (a hint for instantiation, never part of what a clause says)."""
        ...

    @property
    def acting(self) -> Number:
        """The CPU that takes the step (a hint for instantiation, never part of what a clause says)."""
        ...

    def __getattr__(self, name: str) -> Cells:
        """A field of the monitor's storage."""
        ...


TABLE_WORD = "table word"
"""Trigger: a word of a table frame is read; the keys offered are the table's owner and the page of that word."""

Suggest = Callable[..., Sequence[tuple[Number, ...]]]


@dataclass(frozen=True)
class Clause:
    """One local fact about the state, for all keys.

    `keys` gives each key's name and width in bits.  `triggers` says, for a field, which keys of the clause a read of
    that field at given keys suggests: a function (state, *field keys) -> key tuples.
    """

    name: str
    meaning: str
    keys: Mapping[str, int]
    formula: Callable[..., object]
    triggers: Mapping[str, Suggest] = field(default_factory=dict[str, Suggest])


def at_same_keys(_: State, *keys: Number) -> Sequence[tuple[Number, ...]]:
    """Trigger: the field's keys are the clause's keys."""
    return [keys]


def at_first_key(_: State, *keys: Number) -> Sequence[tuple[Number, ...]]:
    """Trigger: the field's first key is the clause's only key."""
    return [keys[:1]]


def at_last_keys(_: State, *keys: Number) -> Sequence[tuple[Number, ...]]:
    """Trigger: the field's keys but the first are the clause's keys."""
    return [keys[1:]]


def at_last_key(_: State, *keys: Number) -> Sequence[tuple[Number, ...]]:
    """Trigger: the field's last key is the clause's only key."""
    return [keys[-1:]]
