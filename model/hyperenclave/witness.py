"""What a state must contain for a statement about it to be worth proving, and which mutants each theorem must catch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from model.hyperenclave.vocabulary import Cpu, Enclave, Frame, Life, Mode, PageType
from model.language.logic import And, eq, ne
from model.language.terms import Sort

CROWD: Final[Mapping[str, Sort]] = {"a": Enclave, "b": Enclave, "c": Cpu, "d": Cpu, "f": Frame, "g": Frame, "h": Frame}
"""The constants that `crowded` speaks of."""

SCOPE: Final = {
    "Frame": 8, "Enclave": 3, "Page": 3, "Cpu": 3, "Device": 1, "Range": 1, "FrameSet": 1, "Size": 1, "Offset": 3,
}  # fmt: skip


def crowded(s: Any, a: Any, b: Any, c: Any, d: Any, f: Any, g: Any, h: Any) -> Any:
    """Two enclaves run on two CPUs, each owns a REG page, and there is a third frame in use."""

    def page(x: Any, e: Any) -> Any:
        return And(s.valid[x], eq(s.owner[x], e), eq(s.page_type[x], PageType.REG))

    def runs(k: Any, e: Any) -> Any:
        return And(eq(s.mode[k], Mode.ENCLAVE), eq(s.current[k], e))

    apart = And(ne(a, b), ne(c, d), ne(f, g), ne(g, h), ne(f, h))
    return And(apart, runs(c, a), runs(d, b), page(f, a), page(g, b), s.valid[h])


def secrets_differ(s: Any, t: Any, e: Any, f: Any, c: Any) -> Any:
    """The protected enclave is initialised, a REG page of its and its registers on CPU c differ between the runs."""
    mine = And(s.valid[f], eq(s.owner[f], e), eq(s.page_type[f], PageType.REG), eq(s.life[e], Life.INITIALIZED))
    runs = And(eq(s.mode[c], Mode.ENCLAVE), eq(s.current[c], e))
    return And(mine, ne(s.contents[f], t.contents[f]), runs, ne(s.registers[c], t.registers[c]))


CLAIM: Final = {"initial": 27, "lemma": 1, "equivalence": 7, "derived": 29, "step": 886, "unwinding": 1804}
"""How many obligations there are, part by part: a guard against one that quietly goes missing."""


@dataclass(frozen=True)
class Mutant:
    """One thing left out of one action: a refusal row, a requirement or an update, by its place.

    theorem: the one that must notice; condition: part of the identifier of the obligations that must.
    """

    name: str
    theorem: str
    action: str
    kind: str
    target: str
    condition: str = ""


MUTANTS: Final = (
    Mutant("EADD over a frame in use", "T1", "add_page", "row", "one frame under two pages"),
    Mutant("EADD over an occupied leaf", "T1", "add_page", "row", "two frames under one page"),
    Mutant("EADD into memory that is not EPC", "T1", "add_page", "row", "an enclave page in memory that others reach"),
    Mutant("flags of the normal VM taken as given", "T1", "add_page", "row", "PENDING, BLOCKED, PR or VALID"),
    Mutant("two CPUs on one TCS", "T1", "enter_check", "row", "two CPUs share one TCS"),
    Mutant("pages removed from a live enclave", "T1", "remove_page_at_destroy", "row", "pages disappear under a live"),
    Mutant("shared memory removed under a running thread", "T1", "shared_memory_remove", "row", "a cached translation"),
    Mutant("TLB kept at an interrupt", "T1", "interrupt", "update", "tlb_rights"),
    Mutant("TLB kept at EENTER", "T1", "enter_commit", "update", "tlb_rights"),
    Mutant("copy from any frame", "T2", "add_page", "row", "the monitor copies EPC", "step consistency"),
    Mutant("copy from any frame (outcome)", "T2", "add_page", "row", "the monitor copies EPC", "output consistency"),
    Mutant("registers kept at an interrupt", "T2", "interrupt", "update", "registers", "step consistency"),
    Mutant("registers kept at a fault (release)", "T2", "fault", "update", "registers", "step consistency"),
    Mutant("page not scrubbed at removal", "T2", "remove_page_at_destroy", "update", "contents", "step consistency"),
    Mutant("page of another enclave removed", "T2", "remove_page_at_destroy", "row", "the page of another", "step"),
    Mutant(
        "page of another enclave removed (integrity)",
        "T3",
        "remove_page_at_destroy",
        "row",
        "the page of another",
        "local",
    ),
    Mutant("EADD over a frame in use (integrity)", "T3", "add_page", "row", "one frame under two pages", "local"),
    Mutant("SSA frame not written at an interrupt", "T3", "interrupt", "update", "contents", "interrupt_is_a_pause"),
    Mutant("SSA frame not written at a fault", "T3", "fault", "update", "contents", "fault_is_a_pause"),
    Mutant("resume reads registers of the caller", "T3", "enter_commit", "update", "registers", "step consistency"),
    Mutant("EADD over a frame in use (contents)", "T3", "add_page", "row", "one frame under two", "private_pages_are"),
    Mutant("an entry keeps the caller's registers", "T3", "enter_commit", "update", "registers", "entry_continues"),
    Mutant("a resume keeps the depth", "T3", "enter_commit", "update", "cssa", "entry_continues"),
    Mutant("EADD after EINIT", "T3c", "add_page", "row", "a page that MRENCLAVE does not cover"),
    Mutant("shared page mapped without a fault", "T3c", "shared_fill", "requirement", "requirement"),
    Mutant("EADD without measuring", "T4", "add_page", "update", "measurement"),
    Mutant("EINIT with an unmeasured page", "T4", "initialize", "row", "a page whose contents MRENCLAVE"),
    Mutant("page not scrubbed at removal (residue)", "T8", "remove_page_at_destroy", "update", "contents"),
    Mutant("registers kept at a fault", "T8", "fault", "update", "registers"),
    Mutant("TLB kept at EEXIT", "T8", "enclave_step", "update", "tlb_rights"),
)
