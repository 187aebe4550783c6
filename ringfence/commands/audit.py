"""audit: decide whether the page tables in a photograph of physical memory keep its domains apart."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from rich.console import Console

from audit.compare import Comparison, compare
from audit.decide import Decision
from audit.examine import Told, examine, survey
from audit.photograph import BadInputError, Kind, Photograph, Root, Say
from audit.readers import files_of, open_photograph
from proofs.obligation import Json
from proofs.results import Result, exit_code
from reports import audit_map, audit_text, junit, sarif
from reports.audit import comparison_to, rows
from reports.summary import document
from ringfence.errors import InputError
from ringfence.outputs import check_outputs, write_output

_ROOT: Final = re.compile(
    r"(?P<name>[^=/]+)=(?P<kind>x86|npt|ept):(?P<levels>[45]):(?P<address>0x[0-9a-fA-F]{1,16}|[1-9][0-9]{0,18}|0)"
    r"(?P<guest>:guest)?(@(?P<inside>.+))?"
)


@dataclass(frozen=True)
class Request:
    """What was asked: the photograph, a policy or None for the defaults, an earlier photograph, roots named by hand.

    maxphyaddr: width of physical addresses, or None.  levels: of nested tables of AMD that are found, or None.
    """

    photograph: Path
    policy: Path | None
    against: Path | None
    roots: tuple[str, ...]
    maxphyaddr: int | None = None
    levels: int | None = None


@dataclass(frozen=True)
class Outputs:
    """Where the outcome goes beside the terminal."""

    json: bool
    junit: Path | None
    sarif: Path | None
    html: Path | None


def run(request: Request, outputs: Outputs) -> int:
    """Audit, report, and return the exit code."""
    read = [file for given in (request.photograph, request.against) if given for file in files_of(given)]
    files = {"--junit": outputs.junit, "--sarif": outputs.sarif, "--html": outputs.html}
    check_outputs(files, [*read, *([request.policy] if request.policy else [])])
    told = Told(request.policy, tuple(_root(text) for text in request.roots), request.maxphyaddr, request.levels)
    started = time.process_time()
    with Console(stderr=True).status("opening") as status:
        try:
            decision = examine(_opened(request.photograph), told, status.update)
            comparison = _compare(request, told, decision, status.update)
        except BadInputError as error:
            raise InputError(str(error).rstrip(".") + ".") from error
        except OSError as error:
            raise InputError(f"{request.photograph}: it cannot be read: {error.strerror or error}.") from error
    found = rows(decision, request.photograph.name, time.process_time() - started)
    return _report(request, outputs, decision, found, comparison)


def _opened(file: Path) -> Photograph:
    if not file.exists():
        raise BadInputError(f"{file}: there is no such photograph.")
    return open_photograph(file)


def _compare(request: Request, told: Told, now: Decision, say: Say) -> Comparison | None:
    if request.against is None:
        return None
    before = survey(_opened(request.against), told, now.policy.domains, say)
    return compare(now.parties, before, request.against.name)


def _root(text: str) -> Root:
    """A root given as NAME=KIND:LEVELS:ADDRESS[:guest][@INSIDE]; guest: a virtual machine runs on it."""
    found = _ROOT.fullmatch(text)
    address = int(found["address"], 0) if found else 1
    if found is None or address % 4096 or address >> 52:
        raise InputError(
            f"--root {text}: NAME=KIND:LEVELS:ADDRESS[:guest][@INSIDE] was expected, such as vm0=npt:4:0x2ac3000, with"
            f" a kind of {', '.join(Kind)}, 4 or 5 levels, and an address that is a multiple of 0x1000."
        )
    kind, inside = Kind(found["kind"]), found["inside"] or ""
    guest = kind is not Kind.X86 or bool(inside or found["guest"])
    return Root(found["name"], kind, int(found["levels"]), address >> 12, inside, "named by --root", guest)


def _report(
    request: Request, outputs: Outputs, decision: Decision, found: list[Result], comparison: Comparison | None
) -> int:
    code = exit_code(found)
    name = request.photograph.name
    if outputs.junit is not None:
        write_output("--junit", outputs.junit, lambda file: junit.write(found, file))
    if outputs.sarif is not None:
        write_output("--sarif", outputs.sarif, lambda file: sarif.write(decision, name, file))
    if outputs.html is not None:
        write_output("--html", outputs.html, lambda file: audit_map.write(decision, name, code, comparison, file))
    if outputs.json:
        print(json.dumps(_document(decision, found, comparison), ensure_ascii=False, indent=1))
    else:
        console = Console()
        audit_text.show(decision, name, code, console if console.is_terminal else Console(width=100), comparison)
    return int(code)


def _document(decision: Decision, found: list[Result], comparison: Comparison | None) -> dict[str, Json]:
    versions: dict[str, Json] = {name: metadata.version(name) for name in ("numpy",)}
    tool: dict[str, Json] = {"name": "ringfence", "version": metadata.version("ringfence"), "versions": versions}
    content = document(found, {**tool, "weakening": None})
    content["notes"] = list(decision.notes)
    if comparison is not None:
        content["comparison"] = comparison_to(comparison)
    return content
