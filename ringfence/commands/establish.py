"""check, prove, refine, replay and recheck: establish what is selected, and report it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NoReturn, cast

from rich.console import Console

from proofs.obligation import Call, Json, Unit
from proofs.results import Result, Verdict, exit_code
from reports import junit, table
from reports.summary import document, printed
from ringfence.errors import InputError, InternalError
from ringfence.outputs import check_outputs, write_output
from ringfence.session import Options, Session, within
from ringfence.sources import tool_versions
from ringfence.wiring import Wiring


def run(
    wiring: Wiring, providers: Sequence[str], options: Options, as_json: bool, junit_file: Path | None,
    complete: bool = False,
) -> int:  # fmt: skip
    """Establish everything selected of these providers.  complete: a claimed theorem without a row is an error."""
    check_outputs({"--junit": junit_file})

    def work(session: Session) -> list[Result]:
        units = session.units(providers)
        session.check_names(units)
        rows = session.establish(units)
        if not rows:
            _nothing()
        if not options.selection.everything:
            return rows
        return [*rows, *(_missing(session, rows) if complete else []), *session.not_claimed()]

    return _report(within(wiring, options, work), options, as_json, junit_file)


def replay_file(
    wiring: Wiring, file: Path, options: Options, as_json: bool, junit_file: Path | None, photograph: Path | None = None
) -> int:
    """Replay one trace from a file.  photograph: a folder for the monitor's state after it, for `audit`."""
    check_outputs({"--junit": junit_file}, (file,))
    if photograph is not None and (photograph.is_file() or not photograph.absolute().parent.is_dir()):
        raise InputError(f"--photograph {photograph}: a folder, in a folder that exists, was expected.")
    try:
        content: object = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"The trace {file} cannot be read: {error.strerror}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The trace {file} is not complete JSON: {error}.") from error
    if not isinstance(content, dict):
        raise InputError(f"The trace {file} is not a JSON object.")
    arguments: dict[str, Json] = {"path": str(file.resolve())}
    if photograph is not None:
        arguments["photograph"] = str(photograph.resolve())
    unit = Unit(f"replay/{file}", (), Call(wiring.replay_file, arguments))
    # What a file says is not among the sources, so nothing that was kept about it counts.
    afresh = Options(options.selection, options.weaken, options.jobs, True, options.ledger)

    def work(session: Session) -> list[Result]:
        return session.establish([unit]) or _nothing()

    return _report(within(wiring, afresh, work), options, as_json, junit_file)


def _nothing() -> NoReturn:
    """A selected name without a row was refused before."""
    raise InternalError("There is not a single obligation, which is never a success.")


def _missing(session: Session, rows: Sequence[Result]) -> list[Result]:
    """A theorem that is claimed must have been asked about."""
    present = {row.theorem for row in rows}
    reason = "the theorem is claimed, but no obligation was made for it"
    return [
        Result(name, "obligation", name, "", "", Verdict.ERROR, reason=reason)
        for name in session.claimed()
        if name not in present
    ]


def _report(rows: list[Result], options: Options, as_json: bool, junit_file: Path | None) -> int:
    if junit_file is not None:
        write_output("--junit", junit_file, lambda file: junit.write(rows, file))
    if as_json:
        said = document(rows, _tool(options))
        print(printed(said))
        return cast(int, said["exit_code"])
    note = f"weakened: {options.weaken}" if options.weaken else ""
    table.show(rows, _console(), note)
    return int(exit_code(rows))


def _console() -> Console:
    console = Console()
    # Into a file or a pipe the table needs no room on anybody's screen.
    return console if console.is_terminal else Console(width=160)


def _tool(options: Options) -> dict[str, Json]:
    versions: dict[str, Json] = dict(tool_versions())
    weakening: Json = options.weaken
    return {"name": "ringfence", "version": metadata.version("ringfence"), "versions": versions, "weakening": weakening}
