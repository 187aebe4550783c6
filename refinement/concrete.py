"""The model state that a concrete machine stands for, for replaying traces step by step in both."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from impl.machine.machine import ConcreteMachine
from model.hyperenclave.vocabulary import Cpu, Frame, Page
from model.language.logic import Value
from model.language.terms import Sort, TermError
from model.language.transition import Keys
from refinement import bits
from refinement.abstraction import Abstraction
from refinement.bits import NestedFormat
from refinement.engine.values import Number
from refinement.interpretation import NO_ACCESS, Access, functions
from refinement.invariants.clause import Layout
from refinement.invariants.state import MonitorState
from refinement.measurement import Hashed

SLOTS = 4


class ConcreteBeyond:
    """What the relation needs beyond the storage, from the machine itself.

    pages: first pages of ranges that a step is about; some page lies in two ranges exactly if the first page of one
    of them lies in the other, so that these and those of all enclaves decide every question about pages.
    environment: values of `result` and `device_state` by component and keys.
    """

    def __init__(
        self,
        machine: ConcreteMachine,
        pages: Iterable[int] = (),
        environment: Callable[[str, Keys], Value] | None = None,
    ) -> None:
        self._machine = machine
        self._pages = set(pages)
        self._environment = environment

    def measurement(self, enclave: Number) -> Hashed:
        """The hash of the records of an enclave; the empty claim if there is none."""
        log = self._machine.logs.get(_int(enclave))
        return Hashed(None) if log is None else Hashed(log.hashed())

    def shared_page(self, monitor: MonitorState, enclave: Number, frame: Number) -> int:
        """The page outside ELRANGE whose guest leaf names the frame; 0 if there is none."""
        for k in range(SLOTS):
            for page in range(_int(monitor.shared_first[enclave, k]), _int(monitor.shared_end[enclave, k])):
                word = monitor.leaf[bits.GUEST, enclave, page]
                if word != 0 and bits.frame_of(word) == frame:
                    return page
        return 0

    def unspecified(self, component: str, keys: Keys, width: int) -> int:  # noqa: ARG002 (any value will do)
        """Zero."""
        return 0

    def environment(self, component: str, keys: Keys) -> Value:
        """What the caller says."""
        if self._environment is None:
            raise TermError(f"nobody says what {component} is")
        return self._environment(component, keys)

    def quantify(self, operator: str, sort: Sort, formula: Callable[[Number], Value]) -> Value:
        """Try every frame, every CPU, or the first page of every range."""
        answers = (formula(x) for x in self._carrier(sort))
        return all(answers) if operator == "forall" else any(answers)

    def _carrier(self, sort: Sort) -> Iterable[int]:
        s, layout = self._machine.storage, self._machine.layout
        if sort == Frame:
            return range(layout.memory_end)
        if sort == Cpu:
            return range(layout.cpus)
        if sort == Page:
            firsts = self._pages | {0}
            for name in ("elrange_first", "shared_first"):
                firsts.update(s.sparse[name].values())
            return firsts
        raise TermError(f"no carrier for {sort.name}")


def monitor_state(machine: ConcreteMachine, cpu: int = 0, focus: int = 0) -> MonitorState:
    """The machine's storage as clauses and relation read it."""
    layout = Layout(**{name: getattr(machine.layout, name) for name in Layout.__dataclass_fields__})
    return MonitorState(machine.storage, layout, NestedFormat[machine.nested_format.name], cpu, focus)


def abstraction_of(
    machine: ConcreteMachine,
    access: Access = NO_ACCESS,
    pages: Iterable[int] = (),
    environment: Callable[[str, Keys], Value] | None = None,
) -> Abstraction:
    """The model state of the machine, live: copy the machine to keep it."""
    return Abstraction(monitor_state(machine), ConcreteBeyond(machine, pages, environment), functions(access))


def _int(value: Number) -> int:
    if not isinstance(value, int):
        raise TermError(f"{value!r} is not concrete")
    return value
