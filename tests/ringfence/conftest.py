"""A toy workbench in a folder of its own, and a way to give it command lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ringfence.cli import main
from tests.ringfence import toy


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def verdicts(self) -> dict[str, str]:
        return {row["id"]: row["verdict"] for row in self.document["results"] if row["kind"] != "claim"}


@dataclass
class Bench:
    root: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, command: str, *providers: str, replay: tuple[str, ...] = ()) -> Said:
        code = main(command.split(), toy.wiring(self.root, *(providers or ("good_units",)), replay=replay))
        captured = self.capsys.readouterr()
        return Said(code, captured.out, captured.err)

    def log(self) -> list[str]:
        """What units did since the last call."""
        path = self.root / "log"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        path.write_text("", "utf-8")
        return lines


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    (tmp_path / "playground").mkdir()
    (tmp_path / "playground" / "switch.py").write_text("SAFE = True\n", "utf-8")
    (tmp_path / "weakenings").mkdir()
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    monkeypatch.delenv("RINGFENCE_LEDGER", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    return Bench(tmp_path, capsys)


Command = Callable[..., Said]
