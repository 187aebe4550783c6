"""The main job, from nothing: every obligation there is, none missing, all established."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from model.hyperenclave.witness import CLAIM

ROOT = Path(__file__).resolve().parents[2]
COUNTS = ROOT / "tests" / "ringfence" / "obligations.json"
OTHERS = ROOT / "tests" / "ringfence" / "other_rows.json"


@pytest.mark.slow
def test_a_fresh_check_establishes_every_obligation(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ringfence", "check", "--fresh", "--json", "--ledger", str(tmp_path)]
    environment = {**os.environ, "RINGFENCE_TRACES": str(tmp_path / "traces")}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    document = json.loads(done.stdout)
    rows = document["results"]
    bad = {
        r["id"]: f"{r['verdict']} {r['reason']}"
        for r in rows
        if r["verdict"] not in ("PROVED", "TESTED", "NOT CLAIMED")
    }
    assert bad == {}
    assert (done.returncode, document["exit_code"]) == (0, 0)
    counted = Counter(r["theorem"] for r in rows if r["kind"] == "obligation" and r["verdict"] == "PROVED")
    assert dict(sorted(counted.items())) == json.loads(COUNTS.read_text("utf-8"))
    others = Counter(r["kind"] for r in rows if r["kind"] != "obligation")
    assert dict(sorted(others.items())) == json.loads(OTHERS.read_text("utf-8"))
    model = sum(n for theorem, n in counted.items() if not theorem.startswith("T9"))
    assert model == sum(CLAIM.values())
    assert all(
        r["evidence"] == "S" and r["digest"] for r in rows if r["kind"] == "obligation" and r["verdict"] == "PROVED"
    )
    run = {tuple(r["id"].split("/")[1:]) for r in rows if r["kind"] == "path"}
    entries = {entry for entry, _ in run}
    parts = [r["id"].split("/") for r in rows if r["theorem"] == "T9" and r["kind"] == "obligation"]
    assert run == {(p[1], p[2].removeprefix("path-")) for p in parts if p[1] in entries and p[2].startswith("path-")}
