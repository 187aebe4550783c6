"""Hardware fills and forgets translations."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.actions.common import concerns_running
from model.hyperenclave.state import HYPERENCLAVE
from model.hyperenclave.vocabulary import NO_RIGHTS, RIGHTS, Cpu, Frame, Leaf, Mode, Page
from model.language.logic import eq, meet, ne
from model.language.specification import HARDWARE, OS


@HYPERENCLAVE.action(HARDWARE, names=concerns_running, c=Cpu, v=Page)
def enclave_fill(s: Any, c: Any, v: Any) -> None:
    """TLB fill while an enclave runs: guest table, then nested table; any page, at any time (speculation included)."""
    e = s.current[c]
    g = s.guest_frame[e, v]
    rights = meet(s.guest_rights[e, v], s.nested_rights[e, g])
    s.require(eq(s.mode[c], Mode.ENCLAVE))
    s.require(eq(s.guest_leaf[e, v], Leaf.PRESENT))
    s.require(ne(rights, NO_RIGHTS))
    s.tlb_rights[c, v] = rights
    s.tlb_frame[c, v] = s.nested_frame[e, g]


@HYPERENCLAVE.action(OS, c=Cpu, v=Page, g=Frame, wanted=RIGHTS)
def normal_fill(s: Any, c: Any, v: Any, g: Any, wanted: Any) -> None:
    """TLB fill while the normal VM runs: its own tables may say any guest frame g with any rights."""
    rights = meet(wanted, s.normal_rights[g])
    s.require(eq(s.mode[c], Mode.NORMAL))
    s.require(ne(rights, NO_RIGHTS))
    s.tlb_rights[c, v] = rights
    s.tlb_frame[c, v] = s.normal_frame[g]


@HYPERENCLAVE.action(HARDWARE, c=Cpu, v=Page)
def evict(s: Any, c: Any, v: Any) -> None:
    """Hardware may forget a translation at any time."""
    s.tlb_rights[c, v] = NO_RIGHTS
