"""The first key of the ledger: a digest over everything that decides what is made."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Final

# Libraries that take part in making or judging an obligation.
TOOLS: Final = ("z3-solver", "hypothesis", "numpy")

# What stands between an obligation and the answer that is kept; if it changes, old answers do not count.
ASKS: Final = ("proofs/solver.py", "proofs/worker.py")


def tool_versions() -> dict[str, str]:
    """Python and each library by version; "absent" for one that is not installed."""
    versions = {"python": platform.python_version()}
    for name in TOOLS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of the files in a folder; "" for none."""
    files = sorted(path for path in folder.glob("*") if path.is_file())
    listing = "".join(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in files)
    return hashlib.sha256(listing.encode()).hexdigest() if files else ""


@dataclass(frozen=True)
class Sources:
    """Digests of all files of the rooms, as they are imported (edits of a weakening included), and of the tools."""

    files: Mapping[str, str]
    tools: Mapping[str, str]

    def key(self, ignores: Iterable[str] = ()) -> str:
        """SHA-256 over tools and files, without those that match one of the glob patterns."""
        patterns = tuple(ignores)
        digest = hashlib.sha256()
        for name, version in sorted(self.tools.items()):
            digest.update(f"{name} {version}\n".encode())
        for name, content in sorted(self.files.items()):
            if not any(fnmatchcase(name, pattern) for pattern in patterns):
                digest.update(f"{name} {content}\n".encode())
        return digest.hexdigest()

    @cached_property
    def solver(self) -> str:
        """The solver part of the second key: its version, and the text of what asks it and hands its answer over."""
        asks = "".join(self.files.get(name, "") for name in ASKS)
        return f"z3 {self.tools['z3-solver']} {hashlib.sha256(asks.encode()).hexdigest()[:16]}"


def read_sources(root: Path, rooms: Iterable[str], edited: Mapping[str, str]) -> Sources:
    """Digest every file of the rooms; `edited` holds texts that replace files, by path from the root."""
    files: dict[str, str] = {}
    for room in rooms:
        for path in sorted((root / room).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(root).as_posix()
                text = edited.get(name)
                content = path.read_bytes() if text is None else text.encode()
                files[name] = hashlib.sha256(content).hexdigest()
    return Sources(files, tool_versions())
