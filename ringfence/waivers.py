"""Waivers: somebody's dated decision to live with one obligation exactly as it is.

`waivers.toml` at the root, absent as long as there are none:

    [[waiver]]
    digest  = "..."         # of the obligation: a changed text is no longer waived
    by      = "name"
    granted = 2026-01-31
    until   = 2026-04-30    # the last day; at most 90 days after `granted`
    reason  = "..."
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from proofs.results import Result, Verdict
from ringfence.errors import InputError

LONGEST: Final = timedelta(days=90)


@dataclass(frozen=True)
class Waiver:
    """One entry of the file."""

    digest: str
    by: str
    granted: date
    until: date
    reason: str


def load(path: Path) -> dict[str, Waiver]:
    """All waivers by digest, expired ones too; a file that is not as described is an `InputError`."""
    if not path.exists():
        return {}
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path.name} cannot be read as TOML: {error}.") from error
    raw: object = table.get("waiver", [])
    if not isinstance(raw, list):
        raise InputError(f"{path.name}: [[waiver]] entries were expected.")
    found = [_waiver(f"{path.name}, waiver {number}", item) for number, item in enumerate(raw, 1)]
    return {waiver.digest: waiver for waiver in found}


def _waiver(where: str, item: object) -> Waiver:
    if not isinstance(item, dict) or set(item) != {"digest", "by", "granted", "until", "reason"}:
        raise InputError(f"{where}: exactly digest, by, granted, until and reason were expected.")
    digest, by, reason = item["digest"], item["by"], item["reason"]
    granted, until = item["granted"], item["until"]
    if not all(isinstance(text, str) and text for text in (digest, by, reason)):
        raise InputError(f"{where}: digest, by and reason must be strings that say something.")
    if type(granted) is not date or type(until) is not date or not granted <= until <= granted + LONGEST:
        raise InputError(f"{where}: granted and until must be dates, at most {LONGEST.days} days apart.")
    return Waiver(digest, by, granted, until, reason)


def waived(result: Result, waivers: Mapping[str, Waiver], today: date) -> Result:
    """The row, waived if it needs it and somebody did; errors of ours cannot be waived."""
    waiver = waivers.get(result.digest)
    if waiver is None or result.holds or result.verdict is Verdict.ERROR:
        return result
    if not waiver.granted <= today <= waiver.until:
        return replace(result, reason=f"{result.reason} (the waiver by {waiver.by} ended on {waiver.until})".strip())
    reason = f"{result.label} {result.reason}; {waiver.reason}"
    return replace(result, verdict=Verdict.WAIVED, qualifier=f"{waiver.by}, until {waiver.until}", reason=reason)
