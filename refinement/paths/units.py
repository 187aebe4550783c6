"""Every path of T9 as a row: a solver's models of it, run by the real monitor, take the same path to the same memory.

Identifiers are ``path/<entry>/<k>`` and ``path/<entry>@npt/<k>``, `k` as in ``T9/<entry>/path-k/...``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from proofs.obligation import Call, Finding, Unit
from refinement.bits import NestedFormat
from refinement.units import FORMS, action_of, suffix


def units() -> list[Unit]:
    """One for each entry into the monitor and nested format."""
    from refinement.contracts.handlers import ENTRIES

    return [_unit(entry.name, form) for form in FORMS for entry in ENTRIES]


def _unit(name: str, form: NestedFormat) -> Unit:
    stem = f"path/{name}{suffix(form)}"
    call = Call("refinement.paths.units:taken", {"name": name, "form": form.name})
    return Unit(stem, ("T9",), call, action=action_of(name), yields=(f"{stem}/*",))


def taken(name: str, form: str) -> Iterator[Finding]:
    """The paths of one entry, each run once."""
    from refinement.contracts.handlers import ENTRIES
    from refinement.contracts.loops import FIRST_STEPS, STEPS
    from refinement.paths.rows import row
    from refinement.paths.trial import recorded_paths
    from refinement.simulation.prove import setting_of

    (entry,) = (e for e in ENTRIES if e.name == name)
    if entry.loops is STEPS:
        entry = replace(entry, loops=FIRST_STEPS)
    setting = setting_of(entry, NestedFormat[form])
    paths = recorded_paths(entry, setting)
    if not paths:
        raise RuntimeError(f"{name} has no path")
    for path in paths:
        yield row(path, entry, setting)
