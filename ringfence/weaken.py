"""Weakenings: edits of our own sources that are applied while they are imported; nothing on disk changes.

A weakening is a TOML file, `<slug>.toml`:

    class   = "physical aliasing"      # of the catalogue of faults
    theorem = "T1"                     # expected to notice; for documents only, no prover reads it
    threat  = "..."                    # what an adversary gains
    kind    = "model"                  # model, monitor, both or proof

    [[edits]]
    file = "impl/monitor/add_page.py"  # from the root of the repository
    old  = "..."                       # occurs exactly once
    new  = "..."
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

from ringfence.errors import InputError, unknown

KINDS: Final = ("model", "monitor", "both", "proof")


@dataclass(frozen=True)
class Edit:
    """Replace the only occurrence of `old` in `file` (a path from the root) by `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Weakening:
    """A named mutation of model, monitor or proofs; see the head of this file."""

    slug: str
    fault: str
    theorem: str
    threat: str
    kind: str
    edits: tuple[Edit, ...]

    def to_json(self) -> dict[str, object]:
        """The fields that `ringfence list weakenings --json` shows."""
        files = sorted({edit.file for edit in self.edits})
        return {
            "slug": self.slug,
            "class": self.fault,
            "theorem": self.theorem,
            "threat": self.threat,
            "kind": self.kind,
            "files": files,
        }


def slugs(folder: Path) -> list[str]:
    """The names of all weakenings, in alphabetical order."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def load(folder: Path, slug: str) -> Weakening:
    """Read one weakening; anything unexpected in the file is an `InputError`."""
    if slug not in slugs(folder):
        raise unknown("weakening", slug, slugs(folder))
    path = folder / f"{slug}.toml"
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} is not a TOML file: {error}.") from error
    raw: object = table.get("edits")
    if not isinstance(raw, list) or not raw:
        raise InputError(f"{path.name}: [[edits]] with file, old and new was expected.")
    edits = tuple(_edit(path.name, number, item) for number, item in enumerate(raw, 1))
    kind = _string(path.name, table, "kind")
    if kind not in KINDS:
        raise InputError(f"{path.name}: kind is {kind!r}, expected one of {', '.join(KINDS)}.")
    names = ("class", "theorem", "threat")
    fault, theorem, threat = (_string(path.name, table, name) for name in names)
    return Weakening(slug, fault, theorem, threat, kind, edits)


def _edit(where: str, number: int, item: object) -> Edit:
    if not isinstance(item, dict):
        raise InputError(f"{where}: edit {number} is not a table with file, old and new.")
    return Edit(*(_string(f"{where}, edit {number}", item, name) for name in ("file", "old", "new")))


def _string(where: str, table: Mapping[str, object], name: str) -> str:
    value = table.get(name)
    if not isinstance(value, str):
        raise InputError(f"{where}: {name} is missing or is not a string.")
    return value


def apply(weakening: Weakening, root: Path) -> dict[str, str]:
    """The edited sources, by path from the root; each `old` must occur exactly once."""
    edited: dict[str, str] = {}
    for number, edit in enumerate(weakening.edits, 1):
        place = f"Weakening {weakening.slug}, edit {number}"
        path = root / edit.file
        if not path.is_file():
            raise InputError(f"{place}: there is no file {edit.file}.")
        text = edited.get(edit.file) or path.read_text("utf-8")
        count = text.count(edit.old)
        if not edit.old or count != 1:
            raise InputError(
                f"{place}: the text to replace occurs {count} times in {edit.file}, expected exactly once."
            )
        edited[edit.file] = text.replace(edit.old, edit.new)
    for file, text in edited.items():
        try:
            compile(text, file, "exec")
        except SyntaxError as error:
            raise InputError(f"Weakening {weakening.slug}: {file} is no longer Python, {error}.") from error
    return edited


def install(edited: Mapping[str, str], root: Path) -> None:
    """From now on, imports of these files in this process see the edited text."""
    if edited:
        sys.meta_path.insert(0, _Finder({str((root / file).resolve()): text for file, text in edited.items()}))


class _Finder(MetaPathFinder):
    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = sources

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = PathFinder.find_spec(fullname, path, target)
        if found is None or found.origin is None:
            return None
        text = self._sources.get(str(Path(found.origin).resolve()))
        if text is None:
            return None
        search = found.submodule_search_locations
        return spec_from_file_location(
            fullname, found.origin, loader=_Loader(fullname, found.origin, text), submodule_search_locations=search
        )


class _Loader(SourceFileLoader):
    """Compiles the edited text, and never reads or writes byte code: that belongs to the file on disk."""

    def __init__(self, fullname: str, path: str, text: str) -> None:
        super().__init__(fullname, path)
        self._text = text

    def get_data(self, path: str) -> bytes:
        return self._text.encode("utf-8") if path == self.path else super().get_data(path)

    def get_code(self, fullname: str) -> CodeType:
        del fullname  # the only module that this loader loads
        return compile(self._text, self.path, "exec", dont_inherit=True)
