"""The ledger: what was made and what was answered, so that only what changed is done again.

One table of sealed rows, by (kind, key).  Kinds: `text` (obligation texts, once each, by digest), `answer` (by digest,
solver and limit), `listing`, `unit`, `explanation` and `cost` (by keys that their writers choose).  Every write is
committed at once.  A row whose seal does not fit, or a file that SQLite rejects, makes the ledger damaged.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import zlib
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final, cast

from proofs.codec import answer_from, answer_to
from proofs.obligation import Answer, Json

FILE: Final = "ledger.sqlite"
SCHEMA: Final = 1
_BUSY_SECONDS: Final = 30.0
_AT_ONCE: Final = 500  # rows of one query; SQLite takes at least 999 parameters
_CREATE: Final = (
    "CREATE TABLE IF NOT EXISTS rows (kind TEXT, key TEXT, body BLOB, seal BLOB, PRIMARY KEY (kind, key)) WITHOUT ROWID"
)


class LedgerDamagedError(Exception):
    """The file is not a ledger, or a row of it is not what was written."""


class LedgerUnusableError(Exception):
    """The ledger cannot be opened or written: no permission, no space, or locked by another run."""


def answer_key(digest: str, solver: str, rlimit: int) -> str:
    """The second key: what was asked, of whom, with which limit in resource units."""
    return f"{digest} {rlimit} {solver}"


class Ledger:
    """An open ledger in `folder`; a folder that is not there is made."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        with _translated(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, SCHEMA):
                raise LedgerDamagedError(f"{self.path} has schema {version}, expected {SCHEMA}")
            self._db.execute(_CREATE)
            self._db.execute(f"PRAGMA user_version={SCHEMA}")

    def close(self) -> None:
        """Close the file; rows are already on disk."""
        self._db.close()

    # --- rows ---------------------------------------------------------------------------------------------------

    def get(self, kind: str, key: str) -> Json:
        """The value of a row, or None."""
        return self.get_all(kind, (key,)).get(key)

    def get_all(self, kind: str, keys: Sequence[str]) -> dict[str, Json]:
        """The values of those of these rows that exist, by key."""
        found: dict[str, Json] = {}
        for some in (keys[i : i + _AT_ONCE] for i in range(0, len(keys), _AT_ONCE)):
            marks = ",".join("?" * len(some))
            query = f"SELECT key, body, seal FROM rows WHERE kind=? AND key IN ({marks})"
            with _translated(self.path):
                rows = self._db.execute(query, (kind, *some)).fetchall()
            bodies = [self._sealed(kind, key, body, seal) for key, body, seal in rows]
            try:
                # Decoded in one call: for thousands of small answers the calls cost more than what they decode.
                together = b",".join(map(zlib.decompress, bodies)).decode()
                values = cast(list[Json], json.loads(f"[{together}]"))
                found.update(zip((key for key, _, _ in rows), values, strict=True))
            except (zlib.error, ValueError) as error:
                raise LedgerDamagedError(f"{self.path}: rows of kind {kind} cannot be read") from error
        return found

    def put(self, kind: str, key: str, value: Json) -> None:
        """Write a row, committed on return."""
        self._write(kind, key, zlib.compress(json.dumps(value).encode(), 1))

    def has(self, kind: str, key: str) -> bool:
        """Is there such a row?"""
        with _translated(self.path):
            return self._db.execute("SELECT 1 FROM rows WHERE kind=? AND key=?", (kind, key)).fetchone() is not None

    # --- texts and answers --------------------------------------------------------------------------------------

    def text(self, digest: str) -> str | None:
        """The text of an obligation, or None."""
        value = self.get("text", digest)
        return value if isinstance(value, str) else None

    def put_text(self, digest: str, packed: bytes) -> None:
        """Store a text as `pack` made it."""
        self._write("text", digest, packed)

    def answers(self, keys: Sequence[str]) -> dict[str, Answer]:
        """What was answered, by `answer_key`."""
        return {key: answer_from(value) for key, value in self.get_all("answer", keys).items()}

    def put_answer(self, key: str, answer: Answer) -> None:
        """Keep an answer under its `answer_key`."""
        self.put("answer", key, answer_to(answer))

    # --- inside -------------------------------------------------------------------------------------------------

    def _sealed(self, kind: str, key: str, body: object, seal: object) -> bytes:
        if not isinstance(body, bytes) or _seal(kind, key, body) != seal:
            raise LedgerDamagedError(f"{self.path}: {kind} {key} is not what was written")
        return body

    def _write(self, kind: str, key: str, body: bytes) -> None:
        with _translated(self.path):
            row = (kind, key, body, _seal(kind, key, body))
            self._db.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)", row)


def pack(text: str) -> bytes:
    """A text as the ledger stores it; done where the text was made."""
    return zlib.compress(json.dumps(text).encode(), 1)


def set_aside(folder: Path) -> Path:
    """Move a damaged ledger out of the way, to the first free ledger.corrupt-N; its new path."""
    number = 1
    while (folder / f"ledger.corrupt-{number}").exists():
        number += 1
    target = folder / f"ledger.corrupt-{number}"
    (folder / FILE).rename(target)
    for suffix in ("-wal", "-shm"):
        (folder / f"{FILE}{suffix}").unlink(missing_ok=True)
    return target


def _seal(kind: str, key: str, body: bytes) -> bytes:
    """Against accidents, not against forgers: whoever can write the ledger can write seals."""
    return hashlib.sha256(f"{kind}\0{key}\0".encode() + body).digest()[:12]


@contextlib.contextmanager
def _translated(path: Path) -> Generator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise LedgerUnusableError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise LedgerDamagedError(f"{path}: {error}") from error
    except OSError as error:
        raise LedgerUnusableError(f"{path}: {error.strerror or error}") from error
