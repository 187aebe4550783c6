"""The monitor maps one shared page that a running enclave touched."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.actions.common import concerns_running, leaf_is_empty, take_tables
from model.hyperenclave.state import HYPERENCLAVE
from model.hyperenclave.vocabulary import READ_WRITE, Cpu, Frame, FrameClass, FrameSet, Leaf, Mode, Operation
from model.language.logic import And, eq, one_of
from model.language.specification import ENCLAVE


@HYPERENCLAVE.action(
    ENCLAVE,
    names=concerns_running,
    choices=("tables",),
    placement=("f", "tables"),
    c=Cpu,
    f=Frame,
    tables=FrameSet,
)
def shared_fill(s: Any, c: Any, f: Any, tables: Any) -> None:
    """A fault on a registered page: follow the normal VM's tables and map the normal frame f found there, without X.

    That the page was touched becomes visible: release "shared page touched".
    """
    e, r = s.current[c], s.registers[c]
    v = s.K.page(r)
    touches = And(
        eq(s.mode[c], Mode.ENCLAVE),
        one_of(s.K.operation(r), Operation.LOAD, Operation.STORE),
        s.shared[e, v],
        leaf_is_empty(s, e, v),
        eq(s.tlb_rights[c, v], 0),
    )
    s.require(touches)
    s.require(eq(s.frame_class[f], FrameClass.NORMAL))
    s.require(eq(s.nested_rights[e, f], 0))
    s.release("shared page touched", touches, v)

    take_tables(s, e, tables)
    s.guest_leaf[e, v] = Leaf.PRESENT
    s.guest_frame[e, v] = f
    s.guest_rights[e, v] = READ_WRITE
    s.nested_rights[e, f] = READ_WRITE
    s.nested_frame[e, f] = f
    s.shared_page[e, f] = v
