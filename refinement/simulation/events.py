"""The model's steps for what happens while an enclave runs: exits, interrupts, exceptions, faults, misplaced calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from impl.machine.registers import CPL, RBX
from impl.monitor.codes import Code as MonitorCode
from model.hyperenclave.vocabulary import Code, Operation
from model.language.logic import And, Not, Or, Value
from refinement import bits
from refinement.engine.values import Number, condition, merge, unknown
from refinement.interpretation import Access, Event
from refinement.invariants.layout import in_range, is_normal
from refinement.simulation import delivery
from refinement.simulation.calls import PAGE_FRAMES, short_of, tables
from refinement.simulation.reading import Reading
from refinement.simulation.step import Deliver, Step

INSIDE: Final = 3
NORMAL: Final = 1
TRAPS: Final = {MonitorCode.INVALID_OPCODE: 6, MonitorCode.GENERAL_PROTECTION: 13}
GP: Final = 13
PF: Final = 14
PRESENT, WRITE, USER, FETCH = 1, 2, 4, 16  # page-fault error code (SDM 3A 4.7)
ATTRIBUTES: Final = 1 << 15  # EXINFO: the EPCM refuses
SHARED: Final = 1 << 31  # EXINFO: in a registered shared range
OPERATIONS: Final = {1: Operation.LOAD, 2: Operation.STORE, 4: Operation.FETCH}


def in_enclave(reading: Reading) -> bool:
    """The path is one on which the CPU runs an enclave."""
    return reading.took(reading.before.cpu_mode[reading.cpu] == INSIDE)


def call_step(step: Callable[[Reading], Step]) -> Callable[[Reading], Step]:
    """A call: in the normal VM the action, in an enclave an illegal instruction."""

    def called(reading: Reading) -> Step:
        if in_enclave(reading):
            return replace(trap(reading), choice=reading.code is MonitorCode.INVALID_OPCODE)
        return step(reading)

    return called


def trap(reading: Reading) -> Step:
    """A call that an enclave must not make, or makes wrongly, is an exception of its own doing."""
    vector = TRAPS[reading.code] if reading.code is not None else GP
    detail = (0, 0) if vector == GP else None
    event = Event(delivery.exit_information(vector), detail)
    pending = delivery.injected(vector, 0)
    return Step(
        "fault",
        {"c": reading.cpu, "event": event},
        access=Access(Operation.TRAP),
        deliver=lambda r: delivery.with_event(r, pending),
    )


def leave(reading: Reading) -> Step:
    """EEXIT; from the normal VM an illegal instruction."""
    if not in_enclave(reading):
        return Step(
            None,
            deliver=lambda r: delivery.delivered(r, Code.INVALID_OPCODE, 0, 0),
            choice=_runs_none(reading, INSIDE),
        )
    if reading.code is not MonitorCode.OK:
        target, level = reading.register(RBX), reading.register(CPL)
        wrong = level == 0 if reading.code is MonitorCode.INVALID_OPCODE else Not(bits.is_canonical(target))
        return replace(trap(reading), choice=condition(wrong))
    reachable = condition(bits.is_canonical(reading.register(RBX)))
    return Step("enclave_step", {"c": reading.cpu}, access=Access(Operation.EXIT), choice=reachable)


def unknown_call(reading: Reading) -> Step:
    """Nothing happens, in an enclave as in the normal VM; a CPU in neither makes no calls."""
    if reading.took(reading.before.cpu_mode[reading.cpu] == NORMAL) or in_enclave(reading):
        return Step(None, deliver=delivery.advanced, choice=reading.code is MonitorCode.IGNORED)
    return ignored_call(reading)


def ignored_call(reading: Reading) -> Step:
    """A CPU that is off or inside the monitor makes no calls, whatever its registers say."""
    ignored = reading.code is MonitorCode.IGNORED
    return Step(None, choice=condition(And(ignored, _runs_none(reading, NORMAL, INSIDE))))


def _runs_none(reading: Reading, *modes: int) -> Value:
    """The CPU is in none of these modes."""
    mode = reading.before.cpu_mode[reading.cpu]
    return condition(And(*(mode != other for other in modes)))


def interrupt(reading: Reading) -> Step:
    """In an enclave an asynchronous exit; in the normal VM it is delivered; otherwise it stays pending."""
    vector = unknown("vector", 8)
    pending = delivery.interrupt(vector)
    if in_enclave(reading):
        arguments = {"c": reading.cpu, "event": Event(vector)}
        return Step("interrupt", arguments, deliver=lambda r: delivery.with_event(r, pending))
    if reading.took(reading.before.cpu_mode[reading.cpu] == NORMAL):
        return Step(None, deliver=lambda r: delivery.with_event(r, pending))
    return Step(None, choice=_runs_none(reading, NORMAL, INSIDE))


def exception(reading: Reading) -> Step:
    """An exception with any vector and error code; EXINFO is written for #PF and #GP."""
    vector, error = unknown("vector", 8), unknown("error", 32)
    page_fault = reading.took(vector == PF)
    detailed = page_fault or reading.took(vector == GP)
    others = And(vector != PF, vector != GP)
    event = Event(delivery.exit_information(vector), (0, error) if detailed else None)
    pending = delivery.injected(vector, 0 if page_fault else error)
    return Step(
        "fault",
        {"c": reading.cpu, "event": event},
        access=Access(Operation.TRAP),
        deliver=lambda r: delivery.with_event(r, pending, 0 if page_fault else None),
        choice=True if detailed else condition(others),
    )


# --- page faults of an enclave ----------------------------------------------------------------------------------


def fault(access: int) -> Callable[[Reading], Step]:
    """The enclave's access at page `focus` has no translation: a shared page is mapped, or the enclave is left.

    Or it is tried again, if it is granted by now.
    """

    def step(reading: Reading) -> Step:
        wanted = Access(OPERATIONS[access], reading.setting.focus)
        reading.walk(0, bits.linear_address(reading.setting.focus), write=True, user=True)
        if reading.path.result is not True:
            return _fault_exit(reading, access, wanted)
        if not reading.path.events:  # another CPU mapped the page since: the access, tried again, will be granted
            enclave = reading.before.cpu_enclave[reading.cpu]
            return Step(None, choice=condition(Not(_denied(reading, enclave, reading.setting.focus, access))))
        arguments = {"c": reading.cpu, "f": reading.translated(0), "tables": tables(reading)}
        return Step("shared_fill", arguments, access=wanted)

    return step


def _fault_exit(reading: Reading, access: int, wanted: Access) -> Step:
    s, page = reading.before, reading.setting.focus
    enclave = s.cpu_enclave[reading.cpu]
    leaf = s.leaf[bits.GUEST, enclave, page]
    address = bits.linear_address(page) | unknown("offset", 12)
    basic = USER | (WRITE if access == bits.WRITE else 0) | (FETCH if access == bits.EXECUTE else 0)
    inside = in_range(page, s.elrange_first[enclave], s.elrange_end[enclave])
    slots = ((s.shared_first[enclave, k], s.shared_end[enclave, k]) for k in range(4))
    registered = Or(*(in_range(page, first, end) for first, end in slots))
    absent: Number = basic | PRESENT
    occupied = merge(leaf & 1 == 0, absent | ATTRIBUTES, absent)
    private = merge(leaf == 0, basic, occupied)
    refused = reading.translations == 0 and bool(reading.splits)
    vector = PF if not reading.splits or (refused and reading.faulted) else GP
    error = merge(inside, private, merge(registered, basic | SHARED, basic)) if vector == PF else SHARED
    event = Event(delivery.exit_information(vector), (address, error))
    deliver = _shown(reading, vector, merge(inside, private & 0x7FFF, _outside(reading, access, registered, basic)))
    return Step(
        "fault",
        {"c": reading.cpu, "event": event},
        access=wanted,
        deliver=deliver,
        choice=_not_mapped(reading, enclave, access, condition(And(Not(inside), registered))),
        known=(("the faulting access is not granted", condition(_denied(reading, enclave, page, access))),),
    )


def _not_mapped(reading: Reading, enclave: Number, access: int, shared: Value) -> Value:
    """A page that stays unmapped is not shared, or not to be executed, or its walk or its frame gives the reason."""
    if reading.translations:
        return _unmappable(reading, enclave)
    return True if reading.splits or access == bits.EXECUTE else condition(Not(shared))


def _unmappable(reading: Reading, enclave: Number) -> Value:
    """The frame that the normal VM's tables name is not normal, or stands for another page, or tables have run out."""
    s, frame = reading.before, reading.translated(0)
    taken = Not(s.leaf[bits.NESTED, enclave, frame & ((1 << 36) - 1)] == 0)
    return condition(Or(Not(is_normal(s.layout, frame)), taken, short_of(reading, PAGE_FRAMES)))


def _outside(reading: Reading, access: int, registered: object, basic: int) -> Number:
    """The error code that the normal VM sees for an address outside ELRANGE: its own walk's, or that of no page."""
    if reading.splits:
        return unknown("fault_present0", 1) | (WRITE | USER)
    return merge(registered, basic, PRESENT | USER) if access == bits.EXECUTE else PRESENT | USER


def _shown(reading: Reading, vector: int, error: Number) -> Deliver:
    page = reading.setting.focus
    if vector == PF:
        return lambda r: delivery.with_event(r, delivery.injected(PF, error), bits.linear_address(page))
    return lambda r: delivery.with_event(r, delivery.injected(GP, 0))


def _denied(reading: Reading, enclave: Number, page: Number, access: int) -> object:
    """Hardware found no translation with the right: guest and nested leaf together do not grant it (T9h)."""
    s = reading.before
    leaf = s.leaf[bits.GUEST, enclave, page]
    nested = s.leaf[bits.NESTED, enclave, bits.frame_of(leaf) & ((1 << 36) - 1)]
    granted = And(
        bits.within(access, bits.x86_rights(leaf)),
        bits.within(access, bits.nested_rights(s.form, nested)),
        bits.frame_of(leaf) >> 36 == 0,
    )
    return Not(granted)
