"""The relation between monitor and model: what each component of the model is, read off the monitor's state.

`Abstraction(monitor, beyond).state` is a model state that can be read at any key, concrete or symbolic, from one
text.  Words are decoded by `refinement.bits`, which shares no code with the monitor.  Where the monitor's state says
nothing about a component (the owner of a free EPC page, say), `means` is false and the value is arbitrary: a step of
the model must not depend on it, and is not compared there.

Frames have 40 bits, enclaves 52, pages 36, CPUs 9.  Three components are not in the storage at all and come from
`Beyond`: the records of a measurement, the page for which a shared frame stands, and the environment (`result`,
`device_state`).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol

from impl.machine.registers import NESTED_ROOT
from model.hyperenclave.state import HYPERENCLAVE
from model.hyperenclave.vocabulary import READ_WRITE, FrameClass, Leaf, Life, Mode, PageType
from model.language.logic import And, Not, Or, Value, eq, ite, ne
from model.language.terms import Sort
from model.language.transition import Functions, Keys, State
from refinement import bits
from refinement.correspondence import (
    CALLERS,
    COMPUTED,
    DEPTH_BITS,
    FLAG_BITS,
    LIVES,
    MASK32,
    MODES,
    RIGHTS_BITS,
    SIZE_BITS,
    SLOTS,
    SWITCHED,
    TCS_AEP,
    TCS_CSSA,
    TYPES,
    UNTOUCHED,
)
from refinement.engine.storage import View
from refinement.engine.values import Number, condition, merge, word_of
from refinement.invariants.layout import in_pool, in_range, is_device, is_epc, is_normal
from refinement.invariants.state import MonitorState
from refinement.invariants.tables import DEVICES, NORMAL_VM, PAGE_MASK, is_enclave
from refinement.measurement import Shape
from refinement.opaque import PageContents, Range, RegisterFile, decoded, difference, selected

Quantify = Callable[[str, Sort, Callable[[Number], Value]], Value]


class Beyond(Protocol):
    """What the relation needs and the monitor's storage does not hold."""

    def measurement(self, enclave: Number) -> object:
        """The records of an enclave."""
        ...

    def shared_page(self, monitor: MonitorState, enclave: Number, frame: Number) -> Number:
        """The page of the enclave whose guest leaf names this normal frame, if there is one."""
        ...

    def unspecified(self, component: str, keys: Keys, width: int) -> Number:
        """An arbitrary number, the same whenever asked."""
        ...

    def environment(self, component: str, keys: Keys) -> Value:
        """`result` and `device_state`."""
        ...

    def quantify(self, operator: str, sort: Sort, formula: Callable[[Number], Value]) -> Value:
        """Whether the formula holds for all, or for some, values of a sort."""
        ...


class Abstraction:
    """The model state that a monitor state stands for."""

    def __init__(self, monitor: MonitorState, beyond: Beyond, functions: Functions) -> None:
        self.monitor = monitor
        self.beyond = beyond
        self.symbolic = isinstance(monitor.fields, View)
        self.state = State(HYPERENCLAVE, self.read, functions, beyond.quantify)

    def read(self, component: str, keys: Keys) -> Value:
        """The value of a component at keys."""
        read = _READ.get(component)
        if read is None:
            return self.beyond.environment(component, keys)
        return read(self, *keys)

    def means(self, component: str, keys: Keys) -> Value:
        """The monitor's state determines the component at these keys."""
        meaning = _MEANS.get(component)
        return True if meaning is None else meaning(self, *keys)

    # --- how values are put --------------------------------------------------------------------------------------

    def bits(self, number: Number, width: int) -> Value:
        """A value of a bit-vector sort."""
        return word_of(number, width, "a value of the model") if self.symbolic else number

    def truth(self, value: Value) -> Value:
        """A value of the sort of truth values."""
        return condition(value) if self.symbolic else value

    def entry(self, frame: Number, part: int) -> Number:
        """A word of the EPCM entry of a frame; 0 (not valid) for a frame without one."""
        inside = is_epc(self.monitor.layout, frame)
        return 0 if inside is False else merge(inside, self.monitor.epcm[frame, part], 0)


# --- memory and the EPCM ----------------------------------------------------------------------------------------


def _frame_class(a: Abstraction, f: Number) -> Value:
    y = a.monitor.layout
    classes: dict[Enum, Value] = {
        FrameClass.EPC: is_epc(y, f),
        FrameClass.MONITOR: in_range(f, y.monitor_first, y.epc_first),
        FrameClass.RESERVED: is_device(y, f),
    }
    return selected(classes, FrameClass.NORMAL)


def _is_thread(a: Abstraction, f: Number) -> Value:
    word = a.entry(f, 0)
    return And(bits.is_valid(word), bits.page_type(word) == bits.TCS)


def _contents(a: Abstraction, f: Number) -> PageContents:
    """Memory; of a TCS without its mutable parts, of the monitor's frames only the frame of zeros."""
    s, y = a.monitor, a.monitor.layout
    thread = _is_thread(a, f)
    hidden = And(in_range(f, y.monitor_first, y.epc_first), ne(f, y.zero_frame))
    if hidden is True or (not a.symbolic and is_beyond_memory(s, f)):
        return PageContents(lambda _: 0, a.symbolic)

    def at(index: Number) -> Number:
        word = s.memory[f, index]
        counts = merge(And(thread, index == TCS_CSSA), (word >> 32) << 32, word)
        kept = merge(And(thread, index == TCS_AEP), 0, counts)
        return merge(hidden, 0, kept)

    return PageContents(at, a.symbolic)


def is_beyond_memory(s: MonitorState, f: Number) -> bool:
    """A concrete frame number outside physical memory, which has no words."""
    return bool(s.layout.memory_end <= f)


def _valid(a: Abstraction, f: Number) -> Value:
    return a.truth(And(is_epc(a.monitor.layout, f), bits.is_valid(a.entry(f, 0))))


def _page_type(a: Abstraction, f: Number) -> Value:
    return decoded(bits.page_type(a.entry(f, 0)), TYPES, PageType.TRIM)


def _owner(a: Abstraction, f: Number) -> Number:
    return a.entry(f, 2) & ((1 << 52) - 1)


def _linear(a: Abstraction, f: Number) -> Number:
    return (a.entry(f, 1) >> 12) & PAGE_MASK


def _rights(a: Abstraction, f: Number) -> Value:
    return a.bits(bits.page_rights(a.entry(f, 0)), RIGHTS_BITS)


def _flags(a: Abstraction, f: Number) -> Value:
    return a.bits(bits.dynamic_flags(a.entry(f, 0)), FLAG_BITS)


# --- enclaves ---------------------------------------------------------------------------------------------------


def _life(a: Abstraction, e: Number) -> Value:
    return decoded(a.monitor.life[e], LIVES, Life.IN_DESTROY)


def _lives(a: Abstraction, e: Number) -> Value:
    return Not(a.monitor.life[e] == 0)


def _elrange(a: Abstraction, e: Number, v: Number) -> Value:
    return a.truth(in_range(v, a.monitor.elrange_first[e], a.monitor.elrange_end[e]))


def _base(a: Abstraction, e: Number) -> Number:
    return a.monitor.elrange_first[e]


def _size(a: Abstraction, e: Number) -> Number:
    return difference(a.monitor.elrange_end[e], a.monitor.elrange_first[e], SIZE_BITS)


def _shape(a: Abstraction, e: Number) -> Value:
    return Shape(a.monitor.ssa_frame_size[e], _size(a, e) << 12)


def _unextended(a: Abstraction, e: Number) -> Value:
    return a.truth(a.monitor.unextended[e] == 1)


def _guest_word(a: Abstraction, e: Number, v: Number) -> Number:
    return a.monitor.leaf[bits.GUEST, e, v]


def _guest_leaf(a: Abstraction, e: Number, v: Number) -> Value:
    """Empty where the enclave has no table; the monitor's other tables are no guest tables."""
    word = _guest_word(a, e, v)
    return selected(
        {Leaf.EMPTY: word == 0, Leaf.PRESENT: And(Not(word == 0), bits.bit(word, 0) == 1)},
        Leaf.OCCUPIED,
    )


def _guest_frame(a: Abstraction, e: Number, v: Number) -> Number:
    return bits.frame_of(_guest_word(a, e, v))


def _guest_rights(a: Abstraction, e: Number, v: Number) -> Value:
    """Rights of a present leaf; of an occupied one none."""
    return a.bits(bits.x86_rights(_guest_word(a, e, v)), RIGHTS_BITS)


def _nested_word(a: Abstraction, e: Number, f: Number) -> Number:
    return a.monitor.leaf[bits.NESTED, e, f & PAGE_MASK]


def _translates(f: Number) -> Value:
    """Four levels translate guest frames of 36 bits."""
    return f <= PAGE_MASK


def _nested_rights(a: Abstraction, e: Number, f: Number) -> Value:
    """Where tables are used by contract, leaves of pool frames are those that the clause OWN-TABLES demands."""
    here = And(is_enclave(e), _translates(f))
    rights = bits.nested_rights(a.monitor.form, _nested_word(a, e, f))
    if a.monitor.by_contract:
        own = merge(_guest_table_owner(a, f) == e, READ_WRITE, 0)
        rights = merge(in_pool(a.monitor.layout, f), own, rights)
    return a.bits(merge(here, rights, 0), RIGHTS_BITS)


def _nested_frame(a: Abstraction, e: Number, f: Number) -> Number:
    frame = bits.frame_of(_nested_word(a, e, f))
    return merge(in_pool(a.monitor.layout, f), f, frame) if a.monitor.by_contract else frame


def _guest_table_owner(a: Abstraction, f: Number) -> Number:
    """The owner of a guest table, 0 for any other frame; a field of its own where tables are used by contract."""
    s = a.monitor
    if s.by_contract:
        return s.guest_table_of[f]
    return merge(s.table_kind[f] == bits.GUEST, s.pool_owner[f], 0)


def _guest_table(a: Abstraction, f: Number) -> Value:
    return a.truth(And(in_pool(a.monitor.layout, f), Not(_guest_table_owner(a, f) == 0)))


# --- shared ranges ----------------------------------------------------------------------------------------------


def _slot(a: Abstraction, e: Number, k: int) -> Range:
    return Range(a.monitor.shared_first[e, k] << 12, a.monitor.shared_end[e, k] << 12)


def _registered(a: Abstraction, e: Number, r: Range) -> Value:
    used = (And(Not(a.monitor.shared_end[e, k] == 0), eq(_slot(a, e, k), r)) for k in range(SLOTS))
    return a.truth(Or(*used))


def _shared(a: Abstraction, e: Number, v: Number) -> Value:
    slots = (in_range(v, a.monitor.shared_first[e, k], a.monitor.shared_end[e, k]) for k in range(SLOTS))
    return a.truth(Or(*slots))


def _shared_range(a: Abstraction, e: Number, v: Number) -> Value:
    result: Value = _slot(a, e, 0)
    for k in range(1, SLOTS):
        inside = in_range(v, a.monitor.shared_first[e, k], a.monitor.shared_end[e, k])
        result = ite(inside, _slot(a, e, k), result)
    return result


# --- threads and CPUs -------------------------------------------------------------------------------------------


def _busy(a: Abstraction, f: Number) -> Value:
    return a.truth(a.monitor.busy[f] == 1)


def _cssa(a: Abstraction, f: Number) -> Value:
    if not a.symbolic and _is_thread(a, f) is False:
        return 0
    return a.bits(a.monitor.memory[f, TCS_CSSA] & MASK32, DEPTH_BITS)


def _aep(a: Abstraction, f: Number) -> Number:
    if not a.symbolic and _is_thread(a, f) is False:
        return 0
    return a.monitor.memory[f, TCS_AEP]


def _mode_number(a: Abstraction, c: Number) -> Number:
    """The mode; a CPU that does not exist never leaves the normal VM."""
    return merge(c < a.monitor.layout.cpus, a.monitor.cpu_mode[c], 1)


def _mode(a: Abstraction, c: Number) -> Value:
    return decoded(_mode_number(a, c), MODES, Mode.NORMAL)


def _inside(a: Abstraction, c: Number) -> Value:
    return _mode_number(a, c) == 3


def _occupied(a: Abstraction, c: Number) -> Value:
    return _mode_number(a, c) >= 2


def _registers(a: Abstraction, c: Number) -> RegisterFile:
    """In an enclave those that it computes with; in the normal VM all but the root of its nested table."""
    s, inside = a.monitor, _inside(a, c)

    def register(i: int) -> Number:
        if i == NESTED_ROOT:
            return 0
        return s.register[c, i] if i in COMPUTED else merge(inside, 0, s.register[c, i])

    return RegisterFile(register, lambda j: s.xstate[c, j], a.symbolic, CALLERS)


def _saved(a: Abstraction, c: Number) -> RegisterFile:
    """What the normal VM gets back: kept by the monitor, or left in the CPU; the rest is lost."""
    s = a.monitor

    def register(i: int) -> Number:
        if i in SWITCHED:
            return s.saved_register[c, i]
        return s.register[c, i] if i in UNTOUCHED else a.beyond.unspecified(f"saved.{i}", (c,), 64)

    def xstate(_: Number) -> Number:
        return a.beyond.unspecified("saved.xstate", (c,), 64)

    return RegisterFile(register, xstate, a.symbolic, SWITCHED | UNTOUCHED, knows_xstate=False)


def _resuming(a: Abstraction, c: Number) -> Value:
    return a.truth(a.monitor.cpu_resuming[c] == 1)


def _tlb_rights(a: Abstraction, c: Number, v: Number) -> Value:
    return a.bits(a.monitor.tlb_rights[c, v] & 7, RIGHTS_BITS)


# --- the normal VM and devices ----------------------------------------------------------------------------------


def _normal_word(a: Abstraction, f: Number) -> Number:
    return a.monitor.leaf[bits.NESTED, NORMAL_VM, f & PAGE_MASK]


def _normal_rights(a: Abstraction, f: Number) -> Value:
    rights = merge(_translates(f), bits.nested_rights(a.monitor.form, _normal_word(a, f)), 0)
    return a.bits(rights, RIGHTS_BITS)


def _io_word(a: Abstraction, f: Number) -> Number:
    return a.monitor.leaf[bits.IO, DEVICES, f & PAGE_MASK]


def _io_rights(a: Abstraction, f: Number) -> Value:
    return a.bits(merge(_translates(f), _io_word(a, f) & 3, 0), RIGHTS_BITS)


_READ: Final[dict[str, Callable[..., Value]]] = {
    "frame_class": _frame_class,
    "contents": _contents,
    "valid": _valid,
    "page_type": _page_type,
    "owner": _owner,
    "linear": _linear,
    "rights": _rights,
    "flags": _flags,
    "life": _life,
    "elrange": _elrange,
    "base": _base,
    "size": _size,
    "measurement": lambda a, e: a.beyond.measurement(e),
    "shape": _shape,
    "unextended": _unextended,
    "guest_leaf": _guest_leaf,
    "guest_frame": _guest_frame,
    "guest_rights": _guest_rights,
    "nested_rights": _nested_rights,
    "nested_frame": _nested_frame,
    "guest_table": _guest_table,
    "guest_table_owner": _guest_table_owner,
    "registered": _registered,
    "shared": _shared,
    "shared_range": _shared_range,
    "shared_page": lambda a, e, f: a.beyond.shared_page(a.monitor, e, f),
    "busy": _busy,
    "cssa": _cssa,
    "aep": _aep,
    "mode": _mode,
    "current": lambda a, c: a.monitor.cpu_enclave[c],
    "tcs": lambda a, c: a.monitor.cpu_tcs[c],
    "ssa": lambda a, c: a.monitor.cpu_ssa[c],
    "resuming": _resuming,
    "registers": _registers,
    "saved": _saved,
    "tlb_rights": _tlb_rights,
    "tlb_frame": lambda a, c, v: a.monitor.tlb_frame[c, v],
    "normal_rights": _normal_rights,
    "normal_frame": lambda a, f: bits.frame_of(_normal_word(a, f)),
    "io_rights": _io_rights,
    "io_frame": lambda a, f: bits.frame_of(_io_word(a, f)),
    "zero_frame": lambda a: a.monitor.layout.zero_frame,
}

ENVIRONMENT: Final = frozenset(("result", "device_state"))

_MEANS: Final[dict[str, Callable[..., Value]]] = {
    **dict.fromkeys(("page_type", "owner", "linear", "rights", "flags"), _valid),
    **dict.fromkeys(("base", "size", "shape", "measurement", "unextended"), _lives),
    **dict.fromkeys(("guest_frame", "guest_rights"), lambda a, e, v: Not(_guest_word(a, e, v) == 0)),
    "nested_frame": lambda a, e, f: ne(_nested_rights(a, e, f), 0),
    "guest_table_owner": _guest_table,
    "shared_range": _shared,
    "shared_page": lambda a, e, f: And(is_normal(a.monitor.layout, f), ne(_nested_rights(a, e, f), 0)),
    **dict.fromkeys(("cssa", "aep"), _is_thread),
    **dict.fromkeys(("current", "tcs", "ssa", "resuming"), _occupied),
    "saved": _inside,
    "tlb_frame": lambda a, c, v: ne(_tlb_rights(a, c, v), 0),
    "normal_frame": lambda a, f: ne(_normal_rights(a, f), 0),
    "io_frame": lambda a, f: ne(_io_rights(a, f), 0),
}

if set(_READ) | ENVIRONMENT != set(HYPERENCLAVE.components):
    raise TypeError("the relation and the model differ in their components")
