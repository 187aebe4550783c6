"""Processors: mode, thread membership, translation roots and TLB."""

from __future__ import annotations

from collections.abc import Sequence

from model.language.logic import And, Implies, Not, Or
from refinement import bits
from refinement.engine.values import Number
from refinement.invariants.clause import Clause, State, at_first_key, at_same_keys
from refinement.invariants.layout import is_normal
from refinement.invariants.pages import owns
from refinement.invariants.tables import DEVICES, NORMAL_VM, PAGE_MASK

OFF, NORMAL, ENTERING, INSIDE = 0, 1, 2, 3
TLB_VALID = 8
SCE = 1  # of EFER: SYSCALL is enabled
MASK64 = (1 << 64) - 1
# Numbers in `impl.machine.registers`.
CR3, CPL, EFER, IDT_BASE, IDT_LIMIT, XCR0, NESTED_ROOT = 20, 22, 23, 24, 25, 26, 27


def _processor(s: State, c: Number) -> object:
    mode, e, tcs = s.cpu_mode[c], s.cpu_enclave[c], s.cpu_tcs[c]
    position = s.thread_position[c]
    member = And(
        position < s.thread_total[e],
        s.thread_at[e, position] == c,
        owns(s, e, tcs, bits.TCS),
        s.busy[tcs] == 1,
        owns(s, e, s.cpu_ssa[c], bits.REG),
    )
    ours = mode >= ENTERING
    nothing = And(e == 0, tcs == 0, s.cpu_ssa[c] == 0, position == 0, s.cpu_resuming[c] == 0)
    return Implies(c < s.layout.cpus, And(Implies(ours, member), Implies(Not(ours), nothing)))


def _registers(s: State, c: Number) -> object:
    mode, e = s.cpu_mode[c], s.cpu_enclave[c]
    normal_root = s.root[bits.NESTED, NORMAL_VM] << 12
    inside = And(
        s.register[c, CR3] == s.root[bits.GUEST, e] << 12,
        s.register[c, NESTED_ROOT] == s.root[bits.NESTED, e] << 12,
        s.saved_register[c, NESTED_ROOT] == normal_root,
        s.register[c, EFER] == s.saved_register[c, EFER] & (MASK64 ^ SCE),
        s.register[c, IDT_BASE] == 0,
        s.register[c, IDT_LIMIT] == 0,
        s.register[c, XCR0] == s.xfrm[e],
    )
    outside = s.register[c, NESTED_ROOT] == normal_root
    user = Implies(mode >= ENTERING, s.register[c, CPL] != 0)
    here = And(Implies(mode == INSIDE, inside), Implies(mode != INSIDE, outside), user)
    return Implies(c < s.layout.cpus, here)


def _roots_of_machine(s: State) -> object:
    normal, devices = s.root[bits.NESTED, NORMAL_VM], s.root[bits.IO, DEVICES]
    return And(normal != 0, devices != 0, s.io_root[()] == devices)


def _other_tcs(s: State, c: Number, d: Number) -> object:
    both = And(c < s.layout.cpus, d < s.layout.cpus, s.cpu_mode[d] >= ENTERING)
    return Implies(And(both, c != d), s.cpu_tcs[c] != s.cpu_tcs[d])


def _busy(s: State, f: Number) -> object:
    e = s.epcm[f, 2] & ((1 << 52) - 1)
    c = s.busy_cpu[f]
    inside = And(c < s.layout.cpus, s.cpu_tcs[c] == f)
    return Implies(s.busy[f] == 1, And(owns(s, e, f, bits.TCS), inside))


def _tlb(s: State, c: Number, v: Number) -> object:
    mode, e = s.cpu_mode[c], s.cpu_enclave[c]
    rights, f = s.tlb_rights[c, v], s.tlb_frame[c, v]
    zero_page = And(f == s.layout.zero_frame, bits.within(rights & 7, bits.READ))
    normal = Or(is_normal(s.layout, f), zero_page)
    guest = s.leaf[bits.GUEST, e, v]
    nested = s.leaf[bits.NESTED, e, f & PAGE_MASK]
    granted = And(
        bits.frame_of(guest) == f,
        bits.within(rights & 7, bits.x86_rights(guest)),
        bits.within(rights & 7, bits.nested_rights(s.form, nested)),
    )
    inside = mode == INSIDE
    used = And(rights != TLB_VALID, Implies(inside, granted), Implies(Not(inside), normal))
    valid = rights >= TLB_VALID
    return Implies(c < s.layout.cpus, And(Implies(valid, used), Implies(Not(valid), rights == 0)))


def _with_acting(s: State, c: Number) -> Sequence[tuple[Number, ...]]:
    return [(c, s.acting), (s.acting, c)]


PROCESSOR_CLAUSES: tuple[Clause, ...] = (
    Clause(
        "CPU",
        "A CPU inside an enclave is in its thread list, holds a busy TCS and an SSA page of it.",
        {"c": 9},
        _processor,
        {
            "cpu_mode": at_same_keys,
            "cpu_enclave": at_same_keys,
            "cpu_tcs": at_same_keys,
            "thread_position": at_same_keys,
        },
    ),
    Clause(
        "REGISTERS",
        "A CPU translates through the roots of what it runs, and gets the normal VM's back at the exit.",
        {"c": 9},
        _registers,
        {"register": at_first_key, "saved_register": at_first_key, "cpu_mode": at_same_keys},
    ),
    Clause(
        "MACHINE-ROOTS",
        "The tables of the normal VM and of the devices exist, and the IOMMU walks the latter.",
        {},
        _roots_of_machine,
    ),
    Clause(
        "OTHER-TCS",
        "Two CPUs inside enclaves use different TCS pages.",
        {"c": 9, "d": 9},
        _other_tcs,
        {"cpu_tcs": _with_acting},
    ),
    Clause(
        "BUSY", "A busy frame is a TCS page through which a CPU is inside.", {"f": 40}, _busy, {"busy": at_same_keys}
    ),
    Clause(
        "TLB",
        "A TLB entry grants no more than the tables of what the CPU runs: normal frames, or guest and nested leaf.",
        {"c": 9, "v": 36},
        _tlb,
        {
            "tlb_rights": at_same_keys,
            "tlb_frame": at_same_keys,
        },
    ),
)
