"""Trace files: what is written is read back, and whatever is wrong with one is said in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proofs.obligation import BadInputError
from refinement.replay_units import FOLDER
from refinement.traces.trace import SCHEMA, Change, Step, Trace, load, trace_from

CALL = {"action": "call", "cpu": 0, "number": 16, "rdi": 5}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_saved_traces_are_as_they_would_be_written(path: Path, tmp_path: Path) -> None:
    load(path).save(tmp_path / path.name)
    assert (tmp_path / path.name).read_text("utf-8") == path.read_text("utf-8")


def test_a_trace_with_everything_is_read_back(tmp_path: Path) -> None:
    steps = (
        Step("call", {"cpu": 1, "number": 17, "cpl": 0, "rdi": (1 << 64) - 1}, changes=(Change(1, 2, 3, 4),)),
        Step("registers", {"cpu": 0}, values=((3, 9), (16, 0))),
        Step("dma_write", {"frame": 9, "index": 511}, words=(7,)),
    )
    trace = Trace(steps, "words")
    trace.save(tmp_path / "t.json")
    assert load(tmp_path / "t.json") == trace


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([], "is not a JSON object"),
        ({"schema": "other"}, "has the schema 'other'"),
        ({"schema": SCHEMA}, "steps is missing"),
        ({"schema": SCHEMA, "steps": [], "stpes": []}, "'stpes', which no trace has"),
        ({"schema": SCHEMA, "steps": [{"action": "jump"}]}, "step 1: action is 'jump'"),
        ({"schema": SCHEMA, "steps": [CALL, {"action": "complete"}]}, "step 2: cpu is None"),
        ({"schema": SCHEMA, "steps": [CALL | {"cpu": 7}]}, "cpu is 7, but there are only 2"),
        ({"schema": SCHEMA, "steps": [CALL | {"cpu": True}]}, "cpu is True"),
        ({"schema": SCHEMA, "steps": [CALL | {"rdi": 1 << 64}]}, "2\\*\\*64 - 1"),
        ({"schema": SCHEMA, "steps": [CALL | {"rdx": 1}]}, "call has no 'rdx'"),
        ({"schema": SCHEMA, "steps": [CALL | {"changes": [{"fetch": 1}]}]}, "change 1: expected exactly"),
        ({"schema": SCHEMA, "steps": [{"action": "registers", "cpu": 0, "values": {"27": 1}}]}, "no register '27'"),
        ({"schema": SCHEMA, "steps": [{"action": "dma_write", "frame": 1, "index": 511, "words": [1, 2]}]}, "beyond"),
        ({"schema": SCHEMA, "steps": [{"action": "fault", "cpu": 0, "address": 1, "access": 3}]}, "access is 3"),
        ({"schema": SCHEMA, "steps": [], "configuration": {"nested": "SLAT"}}, "expected EPT or NPT"),
        ({"schema": SCHEMA, "steps": [], "configuration": {"epc": 1}}, "there is no 'epc'"),
        ({"schema": SCHEMA, "steps": [], "configuration": {"cpus": 0}}, "there is a CPU"),
    ],
)
def test_what_is_wrong_is_said(content: object, sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence):
        trace_from(content, "x.json")


def test_a_truncated_file_is_said_to_be_incomplete(tmp_path: Path) -> None:
    whole = json.dumps({"schema": SCHEMA, "steps": [CALL]})
    path = tmp_path / "t.json"
    for length in range(len(whole)):
        path.write_text(whole[:length], "utf-8")
        with pytest.raises(BadInputError, match=r"t\.json is not complete JSON"):
            load(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="cannot be read"):
        load(tmp_path / "none.json")
