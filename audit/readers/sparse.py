"""The sparse form: a folder with some frames (frames.bin), which ones (frames.json), and scenario.json."""

from __future__ import annotations

import hashlib

from audit.photograph import Machine
from audit.readers.image import FRAME, FRAMES_END, Extent, Image
from audit.readers.scenario import Reader, is_list
from audit.readers.store import Store

_HASHED_AT_A_TIME = 1 << 20


def read_sparse(index: Reader, frames: Store, machine: Machine) -> Image:
    """The photograph whose frames are listed in `index` and lie one after the other in `frames`.

    Raises:
        BadInputError: the runs overlap or are out of order, or the frames are fewer, more or others than listed.
    """
    if "page_size" in index and index.integer("page_size") != FRAME:
        raise index.store.bad("page_size", f"expected {FRAME}")
    extents = list[Extent]()
    end, total = 0, 0
    for number, item in enumerate(index.items("runs")):
        run = item if is_list(item) else []
        first, count = run if len(run) == 2 else (None, None)
        if type(first) is not int or type(count) is not int or count < 1 or first + count > FRAMES_END:
            raise index.store.bad(
                f"runs[{number}]", "expected [first, count], frame numbers below 2^40, count at least 1"
            )
        if first < end:
            raise index.store.bad(f"runs[{number}]", f"expected a first frame of at least {end}, after the run before")
        extents.append(Extent(first, count, total * FRAME))
        end, total = first + count, total + count
    if frames.size != total * FRAME:
        raise frames.bad("size", f"expected the {total} frames of {index.store.name}, found {frames.size} bytes")
    if "n_frames" in index and index.integer("n_frames") != total:
        raise index.store.bad("n_frames", f"expected {total}, the sum of the runs")
    if "sha256" in index and index.text("sha256") != _digest(frames):
        raise frames.bad("content", f"expected the SHA-256 that {index.store.name} gives, found {_digest(frames)}")
    return Image(frames, extents, machine)


def _digest(store: Store) -> str:
    digest = hashlib.sha256()
    for offset in range(0, store.size, _HASHED_AT_A_TIME):
        digest.update(store.read(offset, min(_HASHED_AT_A_TIME, store.size - offset)))
    return digest.hexdigest()
