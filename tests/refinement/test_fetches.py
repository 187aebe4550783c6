"""Whatever the monitor follows or fetches for its caller is what the interface names: damage to that is noticed."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import pytest
import z3

from impl.monitor import guest_memory
from impl.monitor.handlers.add_page import add_page
from impl.monitor.handlers.create import create
from impl.monitor.handlers.finish_destroy import finish_destroy
from impl.monitor.handlers.initialize import initialize
from impl.monitor.handlers.prepare_destroy import prepare_destroy
from impl.monitor.handlers.remove_pages_at_destroy import remove_pages_at_destroy
from impl.monitor.handlers.shared_fill import shared_fill
from refinement.bits import NestedFormat
from refinement.boot.walk import ACCESSES, access_claims
from refinement.contracts.handlers import ENTRIES
from refinement.engine.obligations import Claim
from refinement.handlers import STEPS
from refinement.simulation.prove import paths_of, setting_of, simulate
from tests.refinement.solving import failing

ENTRY = {entry.name: entry for entry in ENTRIES}


@dataclass(frozen=True)
class Damage:
    """A text in a function of the monitor, what stands there instead, and the entry and claim that must fail."""

    function: Callable[..., Any]
    old: str
    new: str
    where: str


CALLS = {
    "the page beside the faulting one": Damage(shared_fill, "page << 12", "(page ^ 1) << 12", "fault_load/operands"),
    "a walk without the right to write": Damage(shared_fill, "True, True", "False, True", "fault_store/operands"),
    "another pointer": Damage(prepare_destroy, "RDI]", "RDI] ^ 0x1000", "prepare_destroy/operands"),
    "a page fault without a walk that faults": Damage(
        prepare_destroy, "# CHECK", "raise Refusal(Code.PAGE_FAULT)", "prepare_destroy/outcome"
    ),
    "a walk that nobody asked for": Damage(
        finish_destroy, "# CHECK", "enclave_handle(machine, cpu, 0)", "finish_destroy/operands"
    ),
    "a word that nobody asked for": Damage(create, "# CHECK", "machine.fetch_word(frame, 0)", "create/operands"),
    "another CPU's walk": Damage(create, "locate(machine, cpu", "locate(machine, cpu ^ 1", "create/operands"),
    "the first address in each step": Damage(
        remove_pages_at_destroy, "(pages, first_page + i)", "(pages, first_page)", "remove_page/operands"
    ),
    "results where the caller can not write": Damage(
        remove_pages_at_destroy, ", write=True", "", "remove_pages_at_destroy/operands"
    ),
    "another word of the SIGSTRUCT": Damage(
        initialize, "index + SIGSTRUCT_ISV", "index + SIGSTRUCT_ISV + 1", "initialize/operands"
    ),
    "another source": Damage(add_page, "staging, source >> 12", "staging, (source >> 12) ^ 1", "add_page/operands"),
    "a word changed after the fetch": Damage(add_page, "# RESERVE", "s.memory[staging, 511] = 0", "add_page/contents"),
}
WALKS = {
    "rights ignored": ("required = _PRESENT |", "required = _PRESENT if True else", "write-user"),
    "the right to write ignored": ("(_WRITABLE if write else 0)", "0", "write-supervisor"),
    "the user's right ignored": ("(_USER if user else 0)", "0", "read-user"),
    "another index": ("(page >> (9 * level))", "(page >> (9 * level) ^ 1)", "read-user"),
    "another frame": ("return table", "return table ^ 1", "read-supervisor"),
    "a large page a frame further": ("(page & 0x1FF)", "(page & 0xFF)", "read-supervisor"),
    "a root beside the root": ("normal_root(machine, cpu)", "normal_root(machine, cpu) ^ 1", "read-supervisor"),
    "a refusal without a reason": ("entry & required != required", "entry >= 0", "read-supervisor"),
}


def damage(monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any], old: str, new: str) -> None:
    """Let the function be what its text says with `old` replaced."""
    assert isinstance(function, FunctionType)
    source = textwrap.dedent(inspect.getsource(function))
    assert old in source
    found: dict[str, Any] = {}
    exec(compile("from __future__ import annotations\n" + source.replace(old, new), __file__, "exec"), {}, found)
    monkeypatch.setattr(function, "__code__", found[function.__name__].__code__)


def refuted(claims: Iterable[Claim]) -> bool:
    """The first claim that is not proved has a counterexample."""
    return next(answer for _, answer in failing(claims)) == z3.sat


@pytest.mark.parametrize("name", list(CALLS))
def test_what_a_call_follows_or_fetches_is_what_its_caller_names(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = CALLS[name]
    entry, _, kind = row.where.partition("/")
    damage(monkeypatch, row.function, row.old, row.new)
    setting = setting_of(ENTRY[entry], NestedFormat.EPT)
    paths = paths_of(ENTRY[entry], setting)
    claims = (c for path in paths for c in simulate(f"T9/{entry}", path, setting, STEPS[entry]))
    assert refuted(c for c in claims if c.name.endswith(f"/{kind}"))


@pytest.mark.parametrize("name", list(WALKS))
def test_a_walk_ends_where_the_fetched_entries_say(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, rights = WALKS[name]
    damage(monkeypatch, guest_memory.translate, old, new)
    (access,) = (access for access in ACCESSES if access.name == f"translate/{rights}")
    assert refuted(c for c in access_claims(access, NestedFormat.EPT) if c.name.endswith("/WALK"))
