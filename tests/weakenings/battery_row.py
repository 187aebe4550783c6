"""`python -m tests.weakenings.battery_row SLUG ROW`: one row of the battery under a weakening; prints its verdict.

In a process of its own, because a weakening edits modules while they are imported.
"""

from __future__ import annotations

import sys
from importlib import import_module

from proofs.obligation import Finding, Unit
from ringfence import weaken
from ringfence.wiring import ROOT, WORKBENCH


def main(slug: str, row: str) -> str:
    weaken.install(weaken.apply(weaken.load(WORKBENCH.weakenings, slug), ROOT), ROOT)
    battery = import_module("ringfence.units.battery")
    units: list[Unit] = battery.units()
    (unit,) = (unit for unit in units if row == unit.id or row.startswith(f"{unit.id}/"))
    function = getattr(battery, unit.make.target.partition(":")[2])
    (found,) = (r for r in function(**unit.make.arguments) if isinstance(r, Finding) and r.id == row)
    return f"{found.verdict} {found.reason}"


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2]))
