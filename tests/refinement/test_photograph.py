"""States of the monitor, audited as if they were those of a real machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audit.decide import Decision
from audit.examine import Told, examine
from audit.photograph import BadInputError
from audit.readers import open_photograph
from audit.ruling import Answer
from impl.machine.primitives import NestedFormat
from refinement.traces.photograph import after, write
from refinement.traces.trace import Trace, load
from ringfence.cli import main

TRACES = sorted((Path(__file__).parents[2] / "traces").glob("*.json"))
SHARED = next(path for path in TRACES if path.stem == "shared-memory")


def audited(folder: Path) -> Decision:
    return examine(open_photograph(folder), Told(folder / "policy.toml"), lambda _: None)


def wrong(folder: Path) -> set[str]:
    return {ruling.id for ruling in audited(folder).rulings if ruling.answer is not Answer.HOLDS}


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
@pytest.mark.parametrize("nested", NestedFormat, ids=lambda nested: nested.name)
def test_a_state_of_the_monitor_audits_clean(path: Path, nested: NestedFormat, tmp_path: Path) -> None:
    trace = load(path)
    write(after(Trace(trace.steps, trace.words, nested, trace.configuration)), tmp_path / "state")
    assert wrong(tmp_path / "state") == set()


def test_the_audit_sees_what_an_enclave_reaches(tmp_path: Path) -> None:
    trace = load(SHARED)
    write(after(Trace(trace.steps[:46], trace.words, trace.nested, trace.configuration)), tmp_path / "state")
    parties = {party.name: party for party in audited(tmp_path / "state").parties}
    guest = next(reach for reach in parties["enclave-0x8000"].reaches if reach.root.inside)
    # Four REG pages and one shared page.
    assert sum(frames.frames for frames in guest.spans.parts.values()) == 5


def pointing_at_the_monitor(tmp_path: Path) -> Path:
    """The trace up to the fault at a shared page, for which the normal VM names a frame of the monitor."""
    content = json.loads(SHARED.read_text("utf-8"))
    machine = after(load(SHARED))
    (entry,) = [s for s in content["steps"] if s.get("frame") == 6 and s.get("index") == 258]
    entry["words"] = [machine.layout.monitor_first << 12 | 7]
    content["steps"] = content["steps"][:52]
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(content), "utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weakening", "found"),
    [
        ("boot-normal-vm-maps-epc", {"audit/owner/normal-vm", "audit/disjoint/normal-vm/enclave-0x8000"}),
        ("boot-iommu-maps-epc", {"audit/owner/devices"}),
        ("boot-zero-frame-writable", {"audit/reserved/frame-of-zeros/normal-vm"}),
        ("eadd-rights-beyond-epcm", {"audit/owner/enclave-0x8000"}),
        ("shared-not-epc", {"audit/reserved/monitor/enclave-0x8000"}),
    ],
)
def test_a_weakened_monitor_is_caught_by_the_audit(weakening: str, found: set[str], tmp_path: Path, capsys) -> None:
    trace, state = pointing_at_the_monitor(tmp_path), tmp_path / "state"
    main(
        [
            "replay",
            str(trace),
            "--weaken",
            weakening,
            "--photograph",
            str(state),
            "--jobs",
            "1",
            "--ledger",
            str(tmp_path),
        ]
    )
    capsys.readouterr()
    assert found <= wrong(state)


@pytest.mark.slow
def test_the_hostile_trace_alone_is_not_what_is_caught(tmp_path: Path, capsys) -> None:
    trace, state = pointing_at_the_monitor(tmp_path), tmp_path / "state"
    assert main(["replay", str(trace), "--photograph", str(state), "--jobs", "1", "--ledger", str(tmp_path)]) == 0
    capsys.readouterr()
    assert wrong(state) == set()


def test_a_photograph_needs_a_trace(capsys, tmp_path: Path) -> None:
    assert main(["replay", "--photograph", str(tmp_path / "state")]) == 3
    assert "--photograph needs FILE" in capsys.readouterr().err


def test_the_policy_of_a_state_fits_its_photograph_only(tmp_path: Path) -> None:
    write(after(load(SHARED)), tmp_path / "state")
    write(after(load(TRACES[0])), tmp_path / "other")
    with pytest.raises(BadInputError, match="does not exist"):
        examine(open_photograph(tmp_path / "state"), Told(tmp_path / "other" / "policy.toml"), lambda _: None)
