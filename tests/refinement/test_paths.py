"""Paths of the proof run on integers: all can be run, and a wrong engine or contract is noticed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from impl.machine.primitives import NestedFormat as MonitorFormat
from impl.monitor import guest_memory, tables
from impl.monitor.codes import Code, Refusal
from refinement import bits
from refinement.bits import NestedFormat
from refinement.contracts.handlers import ENTRIES
from refinement.engine import values
from refinement.engine.machine import SymbolicMachine
from refinement.engine.values import Number, Truth, condition, number_of
from refinement.invariants.check import check
from refinement.paths import situations
from refinement.paths.units import taken, units
from refinement.simulation.tables import FIELD, REPLACEMENTS, mapped
from refinement.units import entry


def verdicts(name: str) -> Counter[str]:
    return Counter(finding.verdict for finding in taken(name, "EPT"))


def refutations(name: str) -> Iterator[str]:
    return (finding.reason for finding in taken(name, "EPT") if finding.verdict == "REFUTED")


@pytest.mark.parametrize("form", list(MonitorFormat))
def test_the_situations_satisfy_the_invariant(form: MonitorFormat) -> None:
    for situation in situations.situations(form):
        assert check(situation.machine.storage, bits.NestedFormat[form.name]) == []


def test_there_is_a_unit_for_every_entry_and_format() -> None:
    assert len(units()) == len(ENTRIES) * len(NestedFormat)


@pytest.mark.parametrize(("name", "paths"), [("prepare_destroy", 9), ("enter", 14), ("exit", 4), ("exception", 3)])
def test_every_path_of_an_entry_is_run(name: str, paths: int) -> None:
    assert verdicts(name) == {"TESTED": paths}


def test_the_paths_that_are_run_are_those_of_the_obligations() -> None:
    run = {finding.id.rsplit("/", 1)[1] for finding in taken("complete_entry", "NPT")}
    made = {part for o in entry("complete_entry", "NPT") for part in o.id.split("/") if part.startswith("path-")}
    assert {f"path-{number}" for number in run} == made


# --- a wrong engine -------------------------------------------------------------------------------------------------


def test_a_damaged_comparison_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    original = values._less

    def at_most(a: Number, b: Number) -> Truth:
        return values._negated(original(b, a))

    monkeypatch.setattr(values, "_less", at_most)
    assert any(refutations("enter"))


def test_a_damaged_difference_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    original = values._difference

    def one_less(a: Number, b: Number) -> Number:
        return original(a, b) & 0xFFFE

    monkeypatch.setattr(values, "_difference", one_less)
    assert any(refutations("interrupt"))


def test_a_refutation_shows_both_sides_and_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SymbolicMachine, "xstate_reset", flush_nothing)
    (refuted,) = (finding for finding in taken("interrupt", "EPT") if finding.verdict == "REFUTED")
    assert refuted.values is not None
    assert refuted.values["symbolic"] != refuted.values["concrete"]
    assert isinstance(model := refuted.values["model"], dict)
    assert {"situation", "cpu"} <= model.keys()


# --- wrong contracts ------------------------------------------------------------------------------------------------


def other_error_code(machine: SymbolicMachine, cpu: Number, address: Number, write: bool, user: bool) -> Number:
    machine.run.event("translate", cpu, address, write, user)
    if machine.run.split("translated"):
        return machine.run.fresh("translated", 40)
    if machine.run.split("page_fault"):
        error = machine.run.fresh("fault_present", 1) | (2 if write else 0)  # the U bit is missing
        raise Refusal(Code.PAGE_FAULT, address, error)  # type: ignore[arg-type]  # symbolic
    raise Refusal(Code.GENERAL_PROTECTION)


def test_another_error_code_in_the_contract_of_the_walk_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REPLACEMENTS, guest_memory.translate, other_error_code)
    assert any(reason.startswith("register(") for reason in refutations("enter"))


def test_a_contract_that_unmaps_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REPLACEMENTS, tables.unmap_range, lambda *_: None)
    assert any(reason.startswith("leaf(") for reason in refutations("shared_memory_remove"))


def every_table(machine: SymbolicMachine, owner: Number, page: Number, leaf: Number) -> None:
    """Promises that all guest tables are the owner's afterwards."""
    mapped(machine, owner, page, leaf)
    now = machine.storage.nodes[FIELD]
    machine.run.facts_at("all are taken", now, lambda keys: condition(number_of(now.read(keys)) == owner))


def test_a_promise_that_the_operation_does_not_keep_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REPLACEMENTS, tables.map_guest, every_table)
    assert any(reason.startswith("promise: all are taken") for reason in refutations("fault_store"))


def flush_nothing(_: SymbolicMachine, __: Number) -> None:
    return


def save_nothing(_: SymbolicMachine, __: Number, ___: Number) -> None:
    return


@pytest.mark.parametrize(
    ("primitive", "wrong", "where"),
    [("tlb_flush", flush_nothing, "tlb_"), ("xstate_save", save_nothing, "memory(")],
)
def test_a_primitive_that_does_nothing_is_noticed(
    primitive: str, wrong: Callable[..., None], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SymbolicMachine, primitive, wrong)
    assert any(reason.startswith(where) for reason in refutations("interrupt"))


# --- nothing to run -------------------------------------------------------------------------------------------------


def test_a_path_without_a_machine_is_not_established(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: MonitorFormat) -> tuple[situations.Situation, ...]:
        raise situations.UnrealisedError("no situation can be built: a call did not end as it should")

    monkeypatch.setattr("refinement.paths.trial.situations", none)
    found = list(taken("exit", "EPT"))
    assert {finding.verdict for finding in found} == {"UNKNOWN"}
    assert all("no situation can be built" in finding.reason for finding in found)
