"""Files that a command writes beside what it prints: checked before anything runs, written by one way."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ringfence.errors import InputError


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[Path] = ()) -> None:
    """Refuse an output that cannot be written, or that is also an input, another output, or standard output.

    outputs: by option; None was not asked for.  inputs: the files that are read.
    """
    taken = [(_identity(path, _status(path)), f"{path}, which is read") for path in inputs]
    taken += _standard_output()
    for option, path in outputs.items():
        if path is None:
            continue
        status = _checked(option, path)
        if status is not None and stat.S_ISCHR(status.st_mode):
            continue
        identity = _identity(path, status)
        for other, words in taken:
            if identity == other:
                raise InputError(f"{option} {path}: a file of its own was expected, not {words}.")
        taken.append((identity, f"what {option} writes"))


def write_output(option: str, path: Path, write: Callable[[Path], None]) -> None:
    """Write an output that was checked; an error is one sentence."""
    try:
        write(path)
    except OSError as error:
        raise InputError(f"{option} {path} cannot be written: {error.strerror}.") from error


def _checked(option: str, path: Path) -> os.stat_result | None:
    """The status of an output, None if it does not exist."""
    try:
        status = path.stat()
    except FileNotFoundError:
        status = None
    except OSError as error:
        raise InputError(f"{option} {path} cannot be written: {error.strerror}.") from error
    known = status is None or any(kind(status.st_mode) for kind in (stat.S_ISREG, stat.S_ISCHR, stat.S_ISFIFO))
    if not known or (status is None and not Path(os.path.realpath(path)).parent.is_dir()):
        raise InputError(f"{option} {path}: a file in a folder that exists was expected.")
    return status


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _identity(path: Path, status: os.stat_result | None) -> tuple[int, int] | str:
    """What two names of one file have in common."""
    return os.path.realpath(path) if status is None else (status.st_dev, status.st_ino)


def _standard_output() -> list[tuple[tuple[int, int] | str, str]]:
    """Standard output, if a file that is renamed would take its place."""
    try:
        status = os.fstat(1)
    except OSError:
        return []
    return [((status.st_dev, status.st_ino), "standard output")] if stat.S_ISREG(status.st_mode) else []
