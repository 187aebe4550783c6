"""The audit of a machine whose page tables fill 128 MiB, beside a plain read of the same frames and beside volatility3.

The machine is made up, the same each time: two virtual machines on AMD NPT, 32 GiB each, all in pages of 4 KiB, whose
frames are dealt out at random (the worst case: no two neighbours belong together) or in order.

    .venv/bin/pip install volatility3       (the extra `benchmark`; without it its figures are left out)
    taskset -c 0 .venv/bin/python -m benchmarks.audit

Prints one JSON object.  Seconds are CPU seconds of one thread, the best of several, with the file in the page cache.
The audit is the whole command in one process; `peak MiB` is its largest resident set.  volatility3's Intel layer lists
the translations of a part of the tables; its time is scaled to all of them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ringfence.commands.audit import Outputs, Request, run

LEAVES = 1 << 23
"""Pages of each machine: 32 GiB."""
FIRST_TABLE = 0x1000
FIRST_PAGE = 1 << 20
ENTRY = 0x67
"""Present, writable, user, accessed, dirty."""
ROUNDS = 5
PART = 64
"""Tables of the lowest level that volatility3 is given."""


def write_machine(file: Path, at_random: bool) -> tuple[list[int], int, int]:
    """Write the image; the frames of the two roots, the first table frame, and how many tables there are."""
    pages = np.arange(FIRST_PAGE, FIRST_PAGE + 2 * LEAVES, dtype=np.uint64)
    if at_random:
        np.random.default_rng(1).shuffle(pages)
    roots: list[int] = []
    next_frame = FIRST_TABLE
    with file.open("wb") as image:
        for number in range(2):
            entries = (pages[number * LEAVES : (number + 1) * LEAVES] << np.uint64(12)) | np.uint64(ENTRY)
            for _ in range(4):
                tables = np.zeros(-(-len(entries) // 512) * 512, np.uint64)
                tables[: len(entries)] = entries
                image.seek(next_frame << 12)
                tables.tofile(image)
                frames = np.arange(next_frame, next_frame + len(tables) // 512, dtype=np.uint64)
                next_frame += len(frames)
                entries = (frames << np.uint64(12)) | np.uint64(ENTRY)
            roots.append(next_frame - 1)
        image.truncate((FIRST_PAGE + 2 * LEAVES) << 12)
    return roots, FIRST_TABLE, next_frame - FIRST_TABLE


def best(action: Callable[[], object]) -> float:
    """The shortest of several runs, in CPU seconds."""
    times: list[float] = []
    for _ in range(ROUNDS):
        started = time.process_time()
        action()
        times.append(time.process_time() - started)
    return min(times)


def audit(file: Path, roots: list[int]) -> None:
    """The whole command; the domains are disjoint, so it has to find that."""
    named = tuple(f"vm{number}=npt:4:{frame << 12:#x}" for number, frame in enumerate(roots))
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
        code = run(Request(file, None, None, named), Outputs(json=True, junit=None, sarif=None, html=None))
    if code != 0:
        raise RuntimeError(f"the audit of disjoint machines ended with {code}: {output.getvalue()[-2000:]}")


def volatility(file: Path, root: int) -> float:
    """CPU seconds in which volatility3 would list the translations of both machines."""
    from volatility3.framework import contexts  # an extra that need not be there
    from volatility3.framework.layers import intel, physical

    context = contexts.Context()
    context.config["file.location"] = file.as_uri()
    context.layers.add_layer(physical.FileLayer(context, "file", "file"))
    context.config["tables.memory_layer"] = "file"
    context.config["tables.page_map_offset"] = root << 12
    layer = intel.Intel32e(context, "tables", "tables")
    started = time.process_time()
    found = sum(length for _, length, *_ in layer.mapping(0, PART << 21, ignore_errors=True))
    if found != PART << 21:
        raise RuntimeError(f"volatility3 lists {found >> 12} pages where {PART << 9} are mapped")
    return (time.process_time() - started) * (2 * LEAVES // 512) / PART


def measured(file: Path, roots: list[int]) -> dict[str, float]:
    """The audit in a process of its own, so that the resident set is its."""
    command = [sys.executable, "-m", "benchmarks.audit", str(file), *map(str, roots)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def figures(file: Path, at_random: bool) -> dict[str, float]:
    """Everything about one machine."""
    roots, first, count = write_machine(file, at_random)
    read = best(lambda: np.fromfile(file, np.uint64, count * 512, offset=first << 12))
    found = measured(file, roots)
    result = {"tables MiB": count / 256, "read seconds": read, **found, "audit / read": found["audit seconds"] / read}
    if importlib.util.find_spec("volatility3") is not None:
        seconds = volatility(file, roots[0])
        result |= {"volatility3 seconds (scaled)": seconds, "volatility3 / audit": seconds / found["audit seconds"]}
    return {name: round(value, 3) for name, value in result.items()}


def main(arguments: list[str]) -> None:
    """Without arguments all figures; with a file and roots the audit alone."""
    if arguments:
        seconds = best(lambda: audit(Path(arguments[0]), [int(root) for root in arguments[1:]]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"audit seconds": seconds, "peak MiB": peak}))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "machine.raw"
        cases = {"at random": True, "in order": False}
        print(json.dumps({name: figures(file, at_random) for name, at_random in cases.items()}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
