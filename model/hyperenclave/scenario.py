"""A run from boot on concrete values in which every action happens: two enclaves, two CPUs, ten frames.

It is played on the concrete interpreter.  Around each of its states the battery also tries every call of the run with
one argument changed, so that every refusal row is seen to be reachable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from model.hyperenclave.specification import HYPERENCLAVE
from model.hyperenclave.vocabulary import (
    READ_WRITE,
    Cpu,
    Data,
    Device,
    Enclave,
    Frame,
    FrameClass,
    FrameSet,
    Leaf,
    Life,
    Measurement,
    Mode,
    Offset,
    Operation,
    Page,
    PageType,
    Pointer,
    Range,
    Registers,
    Shape,
    Size,
    Word,
)
from model.language.concrete import Cells, Universe, World
from model.language.logic import Value
from model.language.terms import Sort

Call = tuple[str, Mapping[str, Value]]

CLASSES: Final = "NNEEEEEEMMM"
ZERO: Final = 10
TABLES: Final = (frozenset({8}), frozenset({9}), frozenset[int]())
ELRANGE: Final = (0, 3)
SHARED: Final = (4, 6)

_CARRIERS: Final[Mapping[Sort, Sequence[Value]]] = {
    Frame: range(len(CLASSES)),
    Enclave: (1, 2),
    Page: range(6),
    Offset: range(6),
    Cpu: (0, 1),
    Device: (0,),
    Range: (ELRANGE, SHARED, (2, 5)),
    FrameSet: TABLES,
    Size: (3,),
}

_DEFAULTS: Final[dict[str, Value]] = {
    "frame_class": FrameClass.RESERVED,
    "page_type": PageType.SECS,
    "life": Life.NONE,
    "guest_leaf": Leaf.EMPTY,
    "mode": Mode.NORMAL,
}


def _default(sort: Sort) -> Value:
    if sort.kind == "bool":
        return False
    if sort.kind in ("bits", "index"):
        return ELRANGE if sort == Range else 0
    if sort.kind == "enum":
        return next(iter(HYPERENCLAVE.enumerations[sort.name]))
    return ()


def boot() -> World:
    """The state that boot builds."""
    defaults = {c.name: _DEFAULTS.get(c.name, _default(c.value)) for c in HYPERENCLAVE.components.values()}
    zeros = HYPERENCLAVE.symbols["zeros"].concrete()
    names = {"N": FrameClass.NORMAL, "E": FrameClass.EPC, "M": FrameClass.MONITOR}
    cells: Cells = {("zero_frame", ()): ZERO}
    for f, letter in enumerate(CLASSES):
        cells["frame_class", (f,)] = names[letter]
        cells["contents", (f,)] = ("page", f) if letter == "N" else zeros
        cells["normal_rights", (f,)] = 7 if letter == "N" else 1
        cells["normal_frame", (f,)] = f if letter == "N" else ZERO
        if letter == "N":
            cells["io_rights", (f,)] = READ_WRITE
            cells["io_frame", (f,)] = f
    return World(HYPERENCLAVE, Universe(_CARRIERS, defaults), cells)


def program(*instructions: tuple[Operation, int]) -> Value:
    """Registers of a CPU that has these instructions (class, page) before it."""
    return tuple(instructions)


_OK: Final[dict[str, Value]] = {"supervisor": True, "pointer": Pointer.READABLE, "descriptor": Pointer.READABLE}


def _create(e: int) -> Call:
    rest = {"elrange": ELRANGE, "base": 0, "size": 3, "shape": ("shape",), "exhausted": False}
    arguments = {"c": 0, "supervisor": True, "pointer": Pointer.READABLE, "well_formed": True, "e": e}
    return "create", {**arguments, **rest, "tables": TABLES[e - 1]}


def _add(e: int, v: int, kind: PageType, rights: int, f: int) -> Call:
    flags = {"add": True, "extend": True, "aligned": True, "reserved": False, "frame_aligned": True}
    page = {"e": e, "v": v, "page_type": kind, "rights": rights, "flags": 0, "f": f, "source": 0, "data": ("image", v)}
    rest = {"source_aligned": True, "exhausted": False, "tables": TABLES[2], "secinfo": Pointer.READABLE}
    return "add_page", {"c": 0, "supervisor": True, "descriptor": Pointer.READABLE, **flags, **page, **rest}


def _on_enclave(action: str, e: int, **more: Value) -> Call:
    return action, {"c": 0, "supervisor": True, "pointer": Pointer.READABLE, "e": e, **more}


def _descriptor(action: str, e: int, **more: Value) -> Call:
    return action, {"c": 0, "supervisor": True, "descriptor": Pointer.READABLE, "e": e, **more}


def _enter(c: int, f: int, *, resuming: bool = False) -> list[Call]:
    first = {"c": c, "supervisor": False, "pointer": Pointer.READABLE, "v": 0, "f": f, "resuming": resuming}
    return [("enter_check", first), ("enter_commit", {"c": c})]


def _measurement(pages: int) -> Value:
    value = HYPERENCLAVE.symbols["started"].concrete(("shape",))
    for v, (kind, rights) in enumerate(_IMAGE[:pages]):
        value = HYPERENCLAVE.symbols["added"].concrete(value, v, kind, rights)
        value = HYPERENCLAVE.symbols["extended"].concrete(value, v, ("image", v))
    return value


_IMAGE: Final = ((PageType.TCS, 0), (PageType.REG, READ_WRITE), (PageType.REG, 7))


def _build(e: int, frames: tuple[int, int, int]) -> list[Call]:
    pages = [_add(e, v, kind, rights, frames[v]) for v, (kind, rights) in enumerate(_IMAGE)]
    last = _descriptor("initialize", e, sigstruct=Pointer.READABLE, expected=_measurement(len(_IMAGE)))
    return [_create(e), *pages, last]


def _first_attempts() -> list[Call]:
    """An enclave without an SSA page, which nobody can enter, and one with an unmeasured page, which never starts."""
    name, page = _add(1, 0, PageType.TCS, 0, 2)
    start = _descriptor("initialize", 1, sigstruct=Pointer.READABLE, expected=_measurement(1))
    incomplete = [_create(1), (name, page), start, _enter(0, 2)[0], *_destroy(1, (2,))]
    return [*incomplete, _create(1), (name, {**page, "extend": False}), start, *_destroy(1, (2,))]


def _destroy(e: int, frames: tuple[int, ...]) -> list[Call]:
    pages: list[Call] = [
        ("remove_page_at_destroy", {"c": 0, "supervisor": True, "e": e, "frame_aligned": True, "f": f}) for f in frames
    ]
    return [_on_enclave("prepare_destroy", e), *pages, _on_enclave("finish_destroy", e)]


def _run_enclave(c: int, f: int, *instructions: tuple[Operation, int]) -> list[Call]:
    return [("normal_compute", {"c": c, "to": program(*instructions)}), *_enter(c, f)]


def _fill(c: int, v: int) -> Call:
    return "enclave_fill", {"c": c, "v": v}


def _step(c: int) -> Call:
    return "enclave_step", {"c": c}


def life_cycle() -> list[Call]:
    """The whole run."""
    first, second = (2, 3, 4), (5, 6, 7)
    private = (Operation.STORE, 2), (Operation.FETCH, 2), (Operation.LOAD, 4), (Operation.STORE, 4)
    return [
        *_first_attempts(),
        *_build(1, first),
        *_build(2, second),
        _descriptor("shared_memory_add", 1, well_formed=True, r=SHARED, exhausted=False),
        ("normal_fill", {"c": 0, "v": 0, "g": 0, "wanted": 7}),
        ("normal_store", {"c": 0, "v": 0}),
        ("normal_load", {"c": 0, "v": 0, "fetches": False}),
        ("evict", {"c": 0, "v": 0}),
        ("device_read", {"d": 0, "g": 0}),
        ("device_write", {"d": 0, "g": 1}),
        *_run_enclave(0, 2, *private, (Operation.TRAP, 0), (Operation.EXIT, 0)),
        *_run_enclave(1, 5, (Operation.COMPUTE, 0), (Operation.LOAD, 5), (Operation.EXIT, 0)),
        _fill(0, 2),
        _step(0),
        _step(0),
        ("shared_fill", {"c": 0, "f": 1, "tables": TABLES[2]}),
        _fill(0, 4),
        _step(0),
        _step(0),
        ("interrupt", {"c": 0, "event": ("timer",)}),
        *_run_enclave(0, 2, (Operation.EXIT, 0)),
        ("interrupt", {"c": 0, "event": ("timer",)}),
        _enter(0, 2)[0],
        *_enter(0, 2, resuming=True),
        _step(0),
        *_enter(0, 2, resuming=True),
        ("fault", {"c": 0, "event": ("trap",)}),
        _step(1),
        ("fault", {"c": 1, "event": ("page",)}),
        *_run_enclave(0, 2, (Operation.EXIT, 0)),
        _step(0),
        _descriptor("shared_memory_remove", 1, r=SHARED),
        *_run_enclave(1, 2, (Operation.EXIT, 0)),
        _on_enclave("prepare_destroy", 1),
        _step(1),
        _enter(1, 5)[0],
        _on_enclave("prepare_destroy", 2),
        _enter(1, 5)[1],
        *_destroy(1, first),
        *_destroy(2, second),
    ]


ARGUMENTS: Final[Mapping[Sort, Sequence[Any]]] = {
    **_CARRIERS,
    Registers: (program((Operation.COMPUTE, 0)),),
    Measurement: (("other",),),
    Data: (("bad",),),
    Shape: (("shape",),),
    Word: (("word",),),
}
"""Values that an argument may be changed to; enumerations, truth values and bits are tried in full."""
