"""A trace that failed is made small, kept, and replayed first next time, until what it found is mended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from impl.machine.primitives import NestedFormat
from impl.monitor.handlers import prepare_destroy
from proofs.obligation import Unit
from proofs.results import Exit
from refinement.replay_units import units
from refinement.traces.author import Author
from refinement.traces.replay import Booted, Replay, boot
from refinement.traces.shrinking import failing, shrunk
from refinement.traces.trace import STANDARD, load
from ringfence.wiring import ROOT

WEAKENING = "eadd-rights-beyond-epcm"
ENOUGH = 6
"""Steps for a page of an enclave: SECS, ECREATE, source page, descriptor, SECINFO, EADD."""


@pytest.fixture(scope="module")
def booted() -> Booted:
    return boot(NestedFormat.EPT, STANDARD)


def _replay(ledger: Path, *arguments: str) -> tuple[int, list[dict[str, str]]]:
    command = [sys.executable, "-m", "ringfence", "replay", "--jobs", "1", "--ledger", str(ledger), "--json"]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)["results"]


def _rows(rows: list[dict[str, str]]) -> dict[str, str]:
    return {row["id"]: row["verdict"] for row in rows}


@pytest.mark.slow
def test_a_failing_trace_is_kept_and_replayed_until_the_monitor_is_mended(tmp_path: Path) -> None:
    code, rows = _replay(tmp_path, "--weaken", WEAKENING, "--id", "replay/seed-1")
    assert (code, _rows(rows)) == (Exit.REFUTED, {"replay/seed-1": "REFUTED"})
    assert len(load(tmp_path / "traces" / "seed-1.json").steps) <= ENOUGH
    kept = ("--id", "replay/kept/seed-1")
    code, rows = _replay(tmp_path, "--weaken", WEAKENING, *kept)
    assert (code, _rows(rows)) == (Exit.REFUTED, {"replay/kept/seed-1": "REFUTED"})
    code, rows = _replay(tmp_path, *kept)
    assert (code, _rows(rows)) == (Exit.ESTABLISHED, {"replay/kept/seed-1": "TESTED"})


def test_kept_traces_come_first() -> None:
    assert [unit.id for unit in units() if unit.first] == ["replay/kept"]
    assert not Unit("any", (), units()[0].make).first


def test_a_shrunk_trace_still_fails_and_needs_each_of_its_steps(
    booted: Booted, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = Author(Replay(booted))
    author.build(1)
    author.create(0)
    author.act("evict", cpu=1, page=3)
    author.call("prepare_destroy", rdi=author.secs(0))
    author.destroy(1)
    trace = author.trace("longer than it has to be")
    assert failing(trace, booted) is None
    monkeypatch.setattr(prepare_destroy, "IN_DESTROY", 2)
    found = shrunk(trace, booted, 100)
    assert [step.action for step in found.trace.steps] == ["dma_write", "call", "call"]


def test_a_trace_that_agrees_cannot_be_shrunk(booted: Booted) -> None:
    author = Author(Replay(booted))
    author.create(0)
    with pytest.raises(ValueError, match="does not fail"):
        shrunk(author.trace("fine"), booted, 10)
