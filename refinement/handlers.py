"""Which action of the model each entry into the monitor refines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from refinement.simulation import calls, events
from refinement.simulation.reading import Reading
from refinement.simulation.step import Step

STEPS: Final[dict[str, Callable[[Reading], Step]]] = {
    "create": events.call_step(calls.create),
    "add_page": events.call_step(calls.add_page),
    "initialize": events.call_step(calls.initialize),
    "prepare_destroy": events.call_step(calls.by_handle("prepare_destroy")),
    "finish_destroy": events.call_step(calls.by_handle("finish_destroy")),
    "shared_memory_add": events.call_step(calls.shared_memory_add),
    "shared_memory_remove": events.call_step(calls.shared_memory_remove),
    "remove_pages_at_destroy": events.call_step(calls.remove_pages),
    "remove_page": events.call_step(calls.remove_pages),
    "enter": events.call_step(calls.enter_check(False)),
    "resume": events.call_step(calls.enter_check(True)),
    "exit": events.leave,
    "unknown_call": events.unknown_call,
    "ignored_call": events.ignored_call,
    "complete_entry": calls.enter_commit,
    "interrupt": events.interrupt,
    "exception": events.exception,
    "fault_load": events.fault(1),
    "fault_store": events.fault(2),
    "fault_fetch": events.fault(4),
}
"""Entry into the monitor -> the step of the model for one of its paths."""
