"""How a report becomes a file: in one piece or not at all, and through a device or a pipe if that is what is named."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path


def write_output(path: Path, content: bytes) -> None:
    """Write a report.

    What a symbolic link names is written, not the link.  A regular file is written beside its place and then renamed;
    a character device or a pipe is written to directly.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if not stat.S_ISREG(mode):
        with path.open("wb", buffering=0) as device:
            _write_all(device.fileno(), content)
        return
    place = Path(os.path.realpath(path))
    partial = place.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:
            file.write(content)
        partial.replace(place)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _write_all(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
