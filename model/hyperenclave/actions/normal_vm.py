"""What the normal VM does without asking the monitor."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.state import HYPERENCLAVE
from model.hyperenclave.vocabulary import EXECUTE, READ, WRITE, Cpu, Mode, Page, Registers
from model.language.logic import eq, grants, ite
from model.language.specification import OS
from model.language.terms import BOOL


@HYPERENCLAVE.action(OS, c=Cpu, to=Registers)
def normal_compute(s: Any, c: Any, to: Any) -> None:
    """Any change of the registers, with the outcome of the last call at hand."""
    s.require(eq(s.mode[c], Mode.NORMAL))
    s.registers[c] = s.K.computed(s.registers[c], s.result[c], to)


@HYPERENCLAVE.action(OS, c=Cpu, v=Page, fetches=BOOL)
def normal_load(s: Any, c: Any, v: Any, fetches: Any) -> None:
    """A load or fetch through the TLB."""
    cached = s.tlb_rights[c, v]
    s.require(eq(s.mode[c], Mode.NORMAL))
    s.require(ite(fetches, grants(cached, EXECUTE), grants(cached, READ)))
    s.registers[c] = s.K.loaded(s.registers[c], s.contents[s.tlb_frame[c, v]])


@HYPERENCLAVE.action(OS, c=Cpu, v=Page)
def normal_store(s: Any, c: Any, v: Any) -> None:
    """A store through the TLB of what the registers say."""
    s.require(eq(s.mode[c], Mode.NORMAL))
    s.require(grants(s.tlb_rights[c, v], WRITE))
    f = s.tlb_frame[c, v]
    s.contents[f] = s.K.stored(s.contents[f], s.registers[c])
