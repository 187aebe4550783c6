"""What the symbols of a path's terms stand for, once a model of the path was taken by the real monitor.

``pre.<field>`` is the field of the machine before the step, through its real page tables.  Values that the adversary
or hardware chose are those of the model; values that a contract promised only to exist (which frame, how many free
frames) are those that the real operations came to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from impl.machine.machine import ConcreteMachine
from impl.machine.measurement import words_of_digest
from impl.machine.primitives import NestedFormat as MonitorFormat
from model.language.terms import Function
from refinement import bits
from refinement.bits import NestedFormat
from refinement.engine.machine import BUSY_CPU, POOL_ROOM
from refinement.engine.values import Number
from refinement.invariants.check import layout_of
from refinement.invariants.state import MonitorState
from refinement.simulation.tables import FIELD as GUEST_TABLE_OF
from refinement.traces.tracking import RecordedStorage

Keys = tuple[int, ...]
BEFORE: Final = "pre"
AFTERWARDS: Final = ("tables", "removal")
"""Fresh functions of contracts that leave open what a field is afterwards."""
FETCHED: Final = "fetched"


class Fields:
    """The fields of a machine as handlers see them: tables as `leaf` and `root`, total everywhere."""

    def __init__(self, machine: ConcreteMachine) -> None:
        self.machine = machine
        self._storage = RecordedStorage(machine.storage, lambda _: None)
        form = NestedFormat[MonitorFormat(machine.nested_format).name]
        self._state = MonitorState(self._storage, layout_of(machine.layout), form)

    def read(self, name: str, keys: Keys) -> int:
        """The value of a field at these keys."""
        if name == GUEST_TABLE_OF:
            (frame,) = keys
            s = self.machine.storage
            return s.pool_owner[frame] if s.table_kind[frame] == bits.GUEST else 0
        value: Number = getattr(self._state, name)[keys[0] if len(keys) == 1 else keys]
        if not isinstance(value, int):
            raise TypeError(f"{name}{keys} of a concrete machine is not a number")
        return value

    def support(self, name: str) -> list[Keys]:
        """The keys at which a field other than memory is not 0; of `leaf` those of enclaves."""
        s = self.machine.storage
        if name in s.sparse:
            return [key if isinstance(key, tuple) else (key,) for key in s.sparse[name]]
        if name == "root":
            return [key[:2] for key in s.sparse["table_at"] if isinstance(key, tuple) and key[2] == 4]
        if name == "leaf":
            return self.leaves
        if name == "epcm":
            layout = self.machine.layout
            return [(f, k) for f in range(layout.epc_first, layout.epc_end) for k in range(3) if s.epcm[f, k]]
        if name == GUEST_TABLE_OF:
            return [(f,) for f, kind in s.sparse["table_kind"].items() if kind == bits.GUEST and isinstance(f, int)]
        if name == BUSY_CPU:
            return [(s.cpu_tcs[c],) for c in range(self.machine.layout.cpus) if s.cpu_mode[c] > 1]
        if name == POOL_ROOM:
            return [()]
        raise ValueError(f"{name} is not listed")

    @cached_property
    def leaves(self) -> list[Keys]:
        """The keys of every leaf of an enclave that is not 0."""
        s, found = self.machine.storage, list[Keys]()
        for frame, level in s.sparse["table_level"].items():
            if level == 1 and isinstance(frame, int) and s.pool_owner[frame] >= 8:
                first = s.table_prefix[frame] << 9
                words = enumerate(s.physical.page(frame))
                found += [(s.table_kind[frame], s.pool_owner[frame], first | i) for i, word in words if word]
        return found


@dataclass
class Meaning:
    """The interpretation of every function symbol of a path.

    values: constants by name.  pages: the words of each fetched page.  removed: the pages whose nested leaves the loop
    over a shared range takes away, each with the page of the range that leads there.
    """

    before: Fields
    after: Fields
    values: Mapping[str, int]
    pages: list[list[int]] = field(default_factory=list[list[int]])
    removed: Mapping[int, int] = field(default_factory=dict[int, int])

    def __call__(self, function: Function, arguments: Keys) -> int:
        """The value of an application."""
        name = function.name
        if not arguments and name in self.values:
            return self.values[name]
        epoch, _, rest = name.partition(".")
        if epoch == BEFORE:
            return self.before.read(rest, arguments)
        if epoch == "layout":
            return getattr(self.before.machine.layout, rest)
        stem = epoch.rstrip("0123456789")
        if stem in AFTERWARDS:
            return self.after.read(rest, arguments)
        if stem == FETCHED:
            return self.pages[int(epoch.removeprefix(FETCHED))][arguments[1]]
        known = _FUNCTIONS.get(stem)
        if known is None:
            raise ValueError(f"nothing says what {name} stands for")
        return known(self, arguments)


def _measured(meaning: Meaning, arguments: Keys) -> int:
    return digest_word(meaning.before.machine, *arguments)


def digest_word(machine: ConcreteMachine, enclave: int, k: int) -> int:
    """Word `k` of the digest of an enclave's records so far; 0 if there are none."""
    log = machine.logs.get(enclave)
    return 0 if log is None else log.final()[k]


_FUNCTIONS: Final[Mapping[str, Callable[[Meaning, Keys], int]]] = {
    "measured": _measured,
    "sha": lambda _, arguments: words_of_digest(arguments[:-1])[arguments[-1]],
    "removed": lambda meaning, arguments: int(arguments[0] in meaning.removed),
    "which": lambda meaning, arguments: meaning.removed.get(arguments[0], 0),
}
