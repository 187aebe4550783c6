"""The first thing that a worker process runs: edits before imports, then jobs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, cast

from ringfence.weaken import install

# Tells replay units where traces that failed are kept, to be replayed first next time.
TRACES_VARIABLE: Final = "RINGFENCE_TRACES"


def resolve(target: str) -> Callable[..., object]:
    """The function that `module:function` names."""
    module, _, name = target.partition(":")
    return cast(Callable[..., object], getattr(import_module(module), name))


def start(root: Path, edited: Mapping[str, str], traces: Path, connection: Connection) -> None:
    """Serve jobs; an interrupt at the keyboard is for the parent, which then ends this process."""
    os.environ[TRACES_VARIABLE] = str(traces)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    install(edited, root)
    from proofs.solver import Z3Solver
    from proofs.worker import serve

    serve(connection, resolve, Z3Solver())
