"""The first key of the ledger: a digest over everything that decides what is made."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Final, NoReturn

from ringfence.errors import InputError

# Libraries that take part in making or judging an obligation.
TOOLS: Final = ("z3-solver", "hypothesis", "numpy")

# What stands between an obligation and the answer that is kept; if it changes, old answers do not count.
ASKS: Final = ("proofs/solver.py", "proofs/worker.py")

# What the file system says of a file: size, times of the last change of content and of inode in ns, and inode.
Signature = tuple[int, int, int, int]


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
    """Digests of all files of the rooms, as they are imported (edits of a weakening included), and of the tools.

    seen: the signatures of the files on disk, by path from `root`, taken before the files were read.
    """

    files: Mapping[str, str]
    tools: Mapping[str, str]
    root: Path
    rooms: tuple[str, ...]
    seen: Mapping[str, Signature]
    _keys: dict[tuple[str, ...], str] = field(default_factory=dict[tuple[str, ...], str], repr=False, compare=False)

    def key(self, ignores: Iterable[str] = ()) -> str:
        """SHA-256 over tools and files, without those that match one of the glob patterns."""
        patterns = tuple(ignores)
        # Hundreds of units ask with the same few tuples of patterns.
        if patterns not in self._keys:
            self._keys[patterns] = self._key(patterns)
        return self._keys[patterns]

    def _key(self, patterns: tuple[str, ...]) -> str:
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

    def check_unchanged(self) -> None:
        """Stop if a file of the rooms was changed, added or removed since the digests were taken.

        Workers import files when they need them: what they make belongs to `key` only as long as nothing changed.
        Hidden files are not imported; an editor makes some as soon as it opens a file.
        """
        now = _signatures(self.root, self.rooms)
        if now != self.seen:
            changed = [name for name in {*now, *self.seen} if now.get(name) != self.seen.get(name)]
            if visible := [name for name in changed if "/." not in name]:
                _changed(min(visible))

    def check_solver_unchanged(self) -> None:
        """Stop if one of the files behind `solver` was changed; so cheap that it can be done for every answer."""
        for name in ASKS:
            if name in self.seen and _signature(f"{self.root}/{name}") != self.seen[name]:
                _changed(name)


def read_sources(root: Path, rooms: Iterable[str], edited: Mapping[str, str]) -> Sources:
    """Digest every file of the rooms; `edited` holds texts that replace files, by path from the root."""
    watched = tuple(rooms)
    seen = _signatures(root, watched)
    files: dict[str, str] = {}
    for name in seen:
        text = edited.get(name)
        try:
            content = (root / name).read_bytes() if text is None else text.encode()
        except FileNotFoundError:
            _changed(name)
        files[name] = hashlib.sha256(content).hexdigest()
    return Sources(files, tool_versions(), root, watched, seen)


def _signatures(root: Path, rooms: Iterable[str]) -> dict[str, Signature]:
    """The signature of every file of the rooms, by path from the root; byte code does not count."""
    found: dict[str, Signature] = {}
    for room in rooms:
        for folder, folders, names in os.walk(root / room):
            folders[:] = [name for name in folders if name != "__pycache__"]
            place = Path(folder).relative_to(root).as_posix()
            for name in names:
                signature = _signature(f"{folder}/{name}")
                if signature is not None:
                    found[f"{place}/{name}"] = signature
    return found


def _signature(path: str) -> Signature | None:
    """None for what is not a file, such as the link by which an editor locks one, or is not there any more."""
    with contextlib.suppress(FileNotFoundError):
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):
            return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    return None


def _changed(name: str) -> NoReturn:
    raise InputError(
        f"{name} changed while it was being checked; what is proved so far is kept by its text: run the command again."
    )
