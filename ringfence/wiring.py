"""Which functions of the rooms the commands call: by name, so that nothing is imported before it is needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Wiring:
    """Where units come from, as `module:function` names of functions without arguments that return `list[Unit]`.

    catalogue: returns a `ringfence.catalogue.Catalogue`.  rooms: folders whose files decide what is made.
    replay_file: called with the path of a trace, returns what it yields as findings.
    """

    root: Path
    rooms: tuple[str, ...]
    weakenings: Path
    prove: tuple[str, ...]
    refine: tuple[str, ...]
    replay: tuple[str, ...]
    catalogue: str
    replay_file: str

    @property
    def check(self) -> tuple[str, ...]:
        """Everything."""
        return (*self.prove, *self.refine, *self.replay)

    @property
    def waivers(self) -> Path:
        """The file of waivers, which need not exist."""
        return self.root / "waivers.toml"


WORKBENCH: Final = Wiring(
    root=ROOT,
    rooms=("impl", "model", "proofs", "refinement", "ringfence/units"),
    weakenings=ROOT / "ringfence" / "weakenings",
    prove=("ringfence.units.theorems:units", "ringfence.units.battery:units"),
    refine=(
        "refinement.units:units",
        "refinement.boot.units:units",
        "refinement.paths.units:units",
    ),
    replay=("refinement.replay_units:units",),
    catalogue="ringfence.catalogue:catalogue",
    replay_file="refinement.replay_units:file_findings",
)
