"""The edits of `defects.toml` and `conjuncts.toml`: what a defect does, in words, and the claim that must miss it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TABLE: Final = Path(__file__).parent / "defects.toml"


@dataclass(frozen=True)
class Defect:
    """Edits as (file, text that occurs once, text in its place); the unit to ask, and how the claim's name begins.

    conjunct: the one of the representation invariant by which the claim misses it, or "".
    """

    words: str
    edits: tuple[tuple[str, str, str], ...]
    unit: str
    claim: str
    conjunct: str = ""

    def texts(self, root: Path) -> dict[str, str]:
        """The edited files; a text that does not occur exactly once is a `ValueError`."""
        texts: dict[str, str] = {}
        for file, was, becomes in self.edits:
            text = texts.get(file) or (root / file).read_text("utf-8")
            if text.count(was) != 1:
                raise ValueError(f"{file} has {text.count(was)} times what {self.words!r} edits")
            texts[file] = text.replace(was, becomes)
        return texts


def defects(table: Path = TABLE) -> list[Defect]:
    """Every defect, in the order of the file."""
    return [
        Defect(
            e["words"],
            tuple((x["file"], x["was"], x["becomes"]) for x in e["edits"]),
            e["unit"],
            e["claim"],
            e.get("conjunct", ""),
        )
        for e in tomllib.loads(table.read_text("utf-8"))["defects"]
    ]
