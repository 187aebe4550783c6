"""The row of one path: what its models and the real monitor came to."""

from __future__ import annotations

import time
from typing import Final

from proofs.obligation import Finding, Json
from refinement.contracts.handlers import Entry
from refinement.engine.explorer import Path
from refinement.paths.comparison import DisagreementError
from refinement.paths.query import MODELS
from refinement.paths.situations import UnrealisedError
from refinement.paths.trial import take
from refinement.simulation.tables import TableSetting
from refinement.units import action_of, suffix

KIND: Final = "path"
THEOREM: Final = "T9"
WORDS: Final = (
    "A solver's models of this path, run by the real monitor on machines with real page tables, take the same path to "
    "the same result and the same memory."
)


def row(path: Path, entry: Entry, setting: TableSetting) -> Finding:
    """What became of one path: TESTED, REFUTED with both sides, or UNKNOWN if it could not be run."""
    started = time.process_time()
    verdict, qualifier, reason = "TESTED", f"{MODELS} models", ""
    values: dict[str, Json] = {}
    try:
        done = take(path, entry, setting)
        values = {"situation": done.situation, "cells compared": done.cells}
    except DisagreementError as difference:
        verdict, qualifier, reason = "REFUTED", "induction", str(difference)
        values = {
            "where": difference.where, "symbolic": difference.symbolic, "concrete": difference.concrete,
            "model": difference.model,
        }  # fmt: skip
    except UnrealisedError as missing:
        verdict, qualifier, reason = "UNKNOWN", "", str(missing)
    return Finding(
        f"{KIND}/{entry.name}{suffix(setting.form)}/{path.number}",
        KIND,
        THEOREM,
        action_of(entry.name),
        "",
        WORDS,
        verdict,
        qualifier,
        reason,
        scope={"nested tables": setting.form.name, "models": MODELS},
        values=values,
        cpu_seconds=time.process_time() - started,
    )
