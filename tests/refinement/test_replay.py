"""Replays agree where monitor and model do, and notice each kind of difference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from impl.machine.machine import ConcreteMachine
from impl.machine.primitives import NestedFormat
from impl.monitor import epcm
from impl.monitor.handlers import add_page, prepare_destroy
from impl.monitor.handlers import asynchronous_exit as aex
from impl.monitor.tables import unmap
from impl.monitor.world_switch import leave_enclave
from refinement.replay_units import FOLDER, file_findings, saved, units
from refinement.traces import coverage
from refinement.traces.author import DATA_PAGE, Author, base_of
from refinement.traces.replay import Booted, DivergenceError, Replay, boot, replay
from refinement.traces.trace import STANDARD, load
from refinement.traces.world import PAGE


@pytest.fixture(scope="module")
def booted() -> Booted:
    return boot(NestedFormat.EPT, STANDARD)


def test_the_life_cycle_agrees_and_is_the_same_when_replayed(booted: Booted) -> None:
    trace = load(FOLDER / "life-cycle.json")
    first = replay(trace, booted, thorough=False)
    assert [one.outcome for one in first] == [one.outcome for one in replay(trace, booted, thorough=False)]
    assert {one.outcome for one in first} == {"OK"}


def test_a_replay_leaves_the_booted_machine_alone(booted: Booted) -> None:
    before = booted.machine.copy()
    Author(Replay(booted)).build(0)
    assert booted.machine.storage.same(before.storage)


def _run(a: Author) -> None:
    a.build(0)
    a.run(0)
    a.access(0, base_of(0) + DATA_PAGE * PAGE, "store", 3, 0x5EC2E7)
    a.act("interrupt", cpu=0, vector=32)
    a.call("prepare_destroy", rdi=a.secs(0))
    a.remove(0, a.frames_of(0))


def _not_unmapped(monkeypatch: pytest.MonkeyPatch) -> None:
    def guest_only(machine: ConcreteMachine, kind: int, owner: int, page: int) -> None:
        if kind == 1:
            unmap(machine, kind, owner, page)

    monkeypatch.setattr("impl.monitor.tables.unmap", guest_only)


def _not_scrubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("impl.machine.machine.ConcreteMachine.memory_zero", lambda *_: None)


def _registers_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aex, "load_synthetic", leave_enclave)


def _no_life_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_destroy, "IN_DESTROY", 2)


def _entry_for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epcm, "VALID", 0)


def _right_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(add_page, "guest_leaf", lambda frame, _: frame << 12 | 5 | 2 | 1 << 63)


@pytest.mark.parametrize(
    "damage", [_not_unmapped, _not_scrubbed, _registers_kept, _no_life_check, _entry_for_everybody, _right_lost]
)
def test_a_damaged_monitor_diverges(
    booted: Booted, monkeypatch: pytest.MonkeyPatch, damage: Callable[[pytest.MonkeyPatch], None]
) -> None:
    author = Author(Replay(booted))
    damage(monkeypatch)
    with pytest.raises(DivergenceError) as caught:
        _run(author)
    assert caught.value.number == len(author.steps)


def test_a_second_fetch_of_a_word_diverges(booted: Booted, monkeypatch: pytest.MonkeyPatch) -> None:
    author = Author(Replay(booted))
    single = prepare_destroy.enclave_handle

    def twice(machine, cpu, address):
        single(machine, cpu, address)
        return single(machine, cpu, address)

    author.create(0)
    monkeypatch.setattr(prepare_destroy, "enclave_handle", twice)
    with pytest.raises(DivergenceError, match="read once more"):
        author.call("prepare_destroy", rdi=author.secs(0))


def test_steps_that_are_not_possible_are_passed_over(booted: Booted) -> None:
    author = Author(Replay(booted))
    assert author.act("complete", cpu=0).outcome == ""
    assert author.act("trap", cpu=0, vector=6).outcome == ""


def test_a_file_is_replayed_and_a_failing_one_shows_its_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    author = Author(Replay(boot(NestedFormat.EPT, STANDARD)))
    author.create(0)
    author.call("prepare_destroy", rdi=author.secs(0))
    path = tmp_path / "trace.json"
    author.trace("two calls").save(path)
    assert [f.verdict for f in file_findings(str(path))] == ["TESTED"]
    monkeypatch.setattr(prepare_destroy, "IN_DESTROY", 2)
    (finding,) = file_findings(str(path))
    assert (finding.verdict, finding.qualifier) == ("REFUTED", "reachable")
    assert finding.values is not None
    assert finding.values["step"] == len(author.steps)


@pytest.mark.slow
def test_the_saved_traces_reach_every_outcome_and_a_third_of_their_steps_succeed() -> None:
    found = {finding.id: finding for finding in saved()}
    row = found["replay/coverage"]
    assert (row.verdict, row.reason) == ("TESTED", "")
    assert row.values is not None
    handlers, share = row.values["handlers"], row.values["succeeded"]
    assert isinstance(handlers, dict)
    assert isinstance(share, float)
    hit = {
        name: {code for code, n in cells.items() if n} for name, cells in handlers.items() if isinstance(cells, dict)
    }
    assert hit == {name: set(codes) for name, codes in coverage.OUTCOMES.items()}
    assert share >= 0.3


def test_units_have_different_names_and_traces_do_not_leave_the_table() -> None:
    assert len({unit.id for unit in units()}) == len(units())
    assert not {cell for cell in coverage.UNREACHABLE if cell[1] in coverage.OUTCOMES[cell[0]]}
