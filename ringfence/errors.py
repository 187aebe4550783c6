"""What the front door says when it cannot do what was asked."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Something that was given is wrong: one sentence that says what, where, and what was expected.  Exit code 3."""


class InternalError(Exception):
    """Something of ours is wrong: one sentence.  Exit code 4.  traceback goes to a file."""

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """No `kind` is called `name`; the names that come closest are offered."""
    names = sorted(set(known))
    folded = {candidate.lower(): candidate for candidate in names}
    near = [folded[match] for match in difflib.get_close_matches(name.lower(), folded, n=4, cutoff=0.5)]
    others = f"; known are {_some(names)}." if names else "."
    hint = f"; did you mean {' or '.join(near)}?" if near else others
    return InputError(f"There is no {kind} {name!r}{hint}")


def _some(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
