"""What a run is about: theorems, actions, observers and single obligations by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from proofs.obligation import Finding, Header, Unit


@dataclass(frozen=True)
class Selection:
    """Empty fields select everything; several names in one field are alternatives, several fields all apply."""

    theorems: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    observers: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        """Nothing is left out."""
        return self == Selection()

    def may_yield(self, unit: Unit) -> bool:
        """The unit may make something that is selected."""
        return (
            (not self.theorems or bool(set(self.theorems) & set(unit.theorems)))
            and (not self.actions or not unit.action or unit.action in self.actions)
            and (not self.observers or not unit.observers or bool(set(self.observers) & set(unit.observers)))
            and (not self.ids or not unit.yields or any(fnmatchcase(i, p) for i in self.ids for p in unit.yields))
        )

    def selects(self, row: Header | Finding) -> bool:
        """This row is selected."""
        return (
            (not self.theorems or row.theorem in self.theorems)
            and (not self.actions or row.action in self.actions)
            and (not self.observers or row.observer in self.observers)
            and (not self.ids or row.id in self.ids)
        )


def home_of(identifier: str, units: Sequence[Unit]) -> list[Unit]:
    """The units that most likely make this obligation.

    They say so in `yields`; if none does, its theorem stands first in its name, and its action somewhere.
    """
    named = [unit for unit in units if any(fnmatchcase(identifier, pattern) for pattern in unit.yields)]
    if named:
        return named
    parts = identifier.split("/")
    return [u for u in units if parts[0] in u.theorems and (not u.action or u.action in parts)]
