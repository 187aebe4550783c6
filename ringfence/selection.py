"""What a run is about: theorems, actions, observers and single obligations by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from proofs.obligation import Finding, Header, Unit
from proofs.results import Result


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

    def parts(self) -> Iterator[tuple[str, Selection]]:
        """Each name with the part of the selection that it stands for: the others of its field are left out."""
        for one in fields(self):
            for name in getattr(self, one.name):
                yield name, replace(self, **{one.name: (name,)})

    def may_yield(self, unit: Unit) -> bool:
        """The unit may make something that is selected."""
        return (
            (not self.theorems or bool(set(self.theorems) & set(unit.theorems)))
            and (not self.actions or not unit.action or unit.action in self.actions)
            and (not self.observers or not unit.observers or bool(set(self.observers) & set(unit.observers)))
            and (not self.ids or any(unit.may_make(name) for name in self.ids))
        )

    def selects(self, row: Header | Finding | Result) -> bool:
        """This row is selected."""
        return (
            (not self.theorems or row.theorem in self.theorems)
            and (not self.actions or row.action in self.actions)
            and (not self.observers or row.observer in self.observers)
            and (not self.ids or row.id in self.ids)
        )
