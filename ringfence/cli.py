"""The command line: what people type, and how every way to end maps to an exit code.

0 established, 1 refuted, 2 not established or interrupted, 3 bad input, 4 something of ours went wrong.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Annotated, Final, cast

import typer

from proofs.results import Exit
from ringfence.commands import establish, listing, show
from ringfence.errors import InputError, InternalError
from ringfence.run import save_traceback
from ringfence.selection import Selection
from ringfence.session import LEDGER_VARIABLE, Options
from ringfence.wiring import WORKBENCH, Wiring

HELP: Final = """Prove, test and explain the isolation guarantees of a HyperEnclave-style enclave monitor.

Exit codes: 0 established, 1 refuted, 2 not established, 3 bad input, 4 internal error."""

app = typer.Typer(help=HELP, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

# typer exports only one kind of its usage errors; this is what all of them are.
_USAGE_ERROR: Final = cast("type[Exception]", typer.BadParameter.__bases__[0])
_INTERRUPTED: Final = 130  # how typer reports an interrupt
_COLLECT_AFTER: Final = 100_000  # objects; a run makes tens of thousands of rows and keeps them all

Theorems = Annotated[list[str] | None, typer.Option("--theorem", help="Only this theorem; may be repeated.")]
Actions = Annotated[list[str] | None, typer.Option("--action", help="Only this action; may be repeated.")]
Observers = Annotated[list[str] | None, typer.Option("--observer", help="Only this observer; may be repeated.")]
Ids = Annotated[list[str] | None, typer.Option("--id", help="Only this obligation; may be repeated.")]
Weaken = Annotated[str | None, typer.Option("--weaken", metavar="SLUG", help="Damage model or monitor first.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and only that, on standard output.")]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Also write JUnit XML.")]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Worker processes (default: all cores).")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Make and prove everything anew.")]
LedgerFolder = Annotated[
    Path | None, typer.Option("--ledger", metavar="DIR", envvar=LEDGER_VARIABLE, help="Folder of the ledger.")
]


def _names(values: list[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values or ()))


def _wiring(context: typer.Context) -> Wiring:
    return context.obj if isinstance(context.obj, Wiring) else WORKBENCH


@app.command("check")
def check(
    context: typer.Context, theorem: Theorems = None, action: Actions = None, observer: Observers = None,
    id_: Ids = None, weaken: Weaken = None, json: AsJson = False, junit: Junit = None, jobs: Jobs = None,
    fresh: Fresh = False, ledger: LedgerFolder = None,
) -> int:  # fmt: skip
    """Prove the model, prove that the monitor refines it, and replay traces: everything."""
    selection = Selection(_names(theorem), _names(action), _names(observer), _names(id_))
    options = Options(selection, weaken, jobs, fresh, ledger)
    wiring = _wiring(context)
    return establish.run(wiring, wiring.check, options, json, junit, complete=True)


@app.command("prove")
def prove(
    context: typer.Context, theorem: Theorems = None, action: Actions = None, observer: Observers = None,
    id_: Ids = None, weaken: Weaken = None, json: AsJson = False, junit: Junit = None, jobs: Jobs = None,
    fresh: Fresh = False, ledger: LedgerFolder = None,
) -> int:  # fmt: skip
    """Prove the theorems about the model, and that these proofs can fail."""
    selection = Selection(_names(theorem), _names(action), _names(observer), _names(id_))
    options = Options(selection, weaken, jobs, fresh, ledger)
    return establish.run(_wiring(context), _wiring(context).prove, options, json, junit)


@app.command("refine")
def refine(
    context: typer.Context, theorem: Theorems = None, action: Actions = None, observer: Observers = None,
    id_: Ids = None, weaken: Weaken = None, json: AsJson = False, junit: Junit = None, jobs: Jobs = None,
    fresh: Fresh = False, ledger: LedgerFolder = None,
) -> int:  # fmt: skip
    """Prove that the monitor and the hardware do what the model says."""
    selection = Selection(_names(theorem), _names(action), _names(observer), _names(id_))
    options = Options(selection, weaken, jobs, fresh, ledger)
    return establish.run(_wiring(context), _wiring(context).refine, options, json, junit)


@app.command("replay")
def replay(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A trace as JSON; without it, all.")] = None,
    photograph: Annotated[
        Path | None, typer.Option("--photograph", metavar="DIR", help="With FILE: write the final state for `audit`.")
    ] = None,
    id_: Ids = None, weaken: Weaken = None, json: AsJson = False, junit: Junit = None, jobs: Jobs = None,
    fresh: Fresh = False, ledger: LedgerFolder = None,
) -> int:  # fmt: skip
    """Run traces through monitor and model, step by step."""
    options = Options(Selection(ids=_names(id_)), weaken, jobs, fresh, ledger)
    if file is not None:
        return establish.replay_file(_wiring(context), file, options, json, junit, photograph)
    if photograph is not None:
        raise InputError("--photograph needs FILE, the trace after which the photograph is taken.")
    return establish.run(_wiring(context), _wiring(context).replay, options, json, junit)


@app.command("audit")
def audit_one(
    photograph: Annotated[Path, typer.Argument(metavar="PHOTOGRAPH", help="An image, a core, or a folder.")],
    policy: Annotated[Path | None, typer.Option("--policy", metavar="FILE", help="What is demanded, as TOML.")] = None,
    root: Annotated[
        list[str] | None,
        typer.Option("--root", metavar="NAME=KIND:LEVELS:ADDRESS[:guest][@INSIDE]", help="A root; may be repeated."),
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", metavar="PHOTOGRAPH", help="Compare with an earlier photograph.")
    ] = None,
    maxphyaddr: Annotated[
        int | None, typer.Option("--maxphyaddr", min=32, max=52, help="Bits of a physical address.")
    ] = None,
    levels: Annotated[
        int | None, typer.Option("--levels", min=4, max=5, help="Levels of AMD's nested tables that are found.")
    ] = None,
    json: AsJson = False, junit: Junit = None,
    sarif: Annotated[Path | None, typer.Option("--sarif", metavar="FILE", help="Also write SARIF 2.1.0.")] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Also write a map as one page.")] = None,
) -> int:  # fmt: skip
    """Decide whether the page tables in a photograph of physical memory keep domains apart."""
    try:
        from ringfence.commands import audit

        request = audit.Request(photograph, policy, against, tuple(root or ()), maxphyaddr, levels)
        return audit.run(request, audit.Outputs(json, junit, sarif, html))
    except KeyboardInterrupt:
        print("Interrupted, so nothing was decided.", file=sys.stderr)
        return Exit.NOT_ESTABLISHED


@app.command("show")
def show_one(
    context: typer.Context,
    identifier: Annotated[str, typer.Argument(metavar="ID")],
    weaken: Weaken = None, json: AsJson = False, jobs: Jobs = None, ledger: LedgerFolder = None,
) -> int:  # fmt: skip
    """Show one obligation: words, assumptions, formula text, last verdict."""
    return show.run(_wiring(context), identifier, Options(weaken=weaken, jobs=jobs, ledger=ledger), json)


@app.command("recheck")
def recheck(
    context: typer.Context,
    identifier: Annotated[str, typer.Argument(metavar="ID")],
    weaken: Weaken = None, json: AsJson = False, jobs: Jobs = None, ledger: LedgerFolder = None,
) -> int:  # fmt: skip
    """Make and prove one obligation anew."""
    options = Options(Selection(ids=(identifier,)), weaken, jobs, True, ledger)
    return establish.run(_wiring(context), _wiring(context).check, options, json, None)


@app.command("list")
def list_names(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="|".join(listing.LISTS))],
    json: AsJson = False, ledger: LedgerFolder = None,
) -> int:  # fmt: skip
    """List what can be named."""
    return listing.run(_wiring(context), what, Options(ledger=ledger), json)


class _Internal:
    """Turns an exception that nobody foresaw into one sentence and a file with the traceback."""

    def __enter__(self) -> _Internal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        if isinstance(error, InternalError):
            message, text = str(error), error.traceback
        else:
            message, text = f"{type(error).__name__}: {error}.", "".join(traceback.format_exception(kind, error, trace))
        if text:
            message += f" The traceback is in {save_traceback(Path(tempfile.mkdtemp(prefix='ringfence-')), text)}."
        print(f"Internal error: {message}", file=sys.stderr)
        return True


def main(arguments: Sequence[str] | None = None, wiring: Wiring = WORKBENCH) -> int:
    """Run one command line; the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    gc.set_threshold(_COLLECT_AFTER)
    with _Internal():
        try:
            code = _run(arguments, wiring)
            if sys.stdout is not None:
                sys.stdout.flush()
            return code
        # rich and click end the process with 1, which means refuted, if nobody reads standard output any more.
        except (BrokenPipeError, SystemExit):
            print("Standard output was closed before everything was said.", file=sys.stderr)
        finally:
            _give_up_unwritten()
    return Exit.INTERNAL


def _give_up_unwritten() -> None:
    """Let what standard output did not take not be tried again at the end, which would change the exit code."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _run(arguments: Sequence[str] | None, wiring: Wiring) -> int:
    try:
        code = app(args=arguments, prog_name="ringfence", standalone_mode=False, obj=wiring)
    except InputError as error:
        print(error, file=sys.stderr)
        return Exit.USAGE
    except _USAGE_ERROR as error:
        say = getattr(error, "format_message", error.__str__)
        print(f"{str(say()).rstrip('.')}; `ringfence --help` shows what is understood.", file=sys.stderr)
        return Exit.USAGE
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        print("Interrupted. What was established so far is kept; the same command goes on from there.", file=sys.stderr)
        return Exit.NOT_ESTABLISHED
    return code if isinstance(code, int) else Exit.ESTABLISHED


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
