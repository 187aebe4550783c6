"""show: one obligation with its words, what it assumes, its text, and what is known about it."""

from __future__ import annotations

import json

from rich.console import Console
from rich.markup import escape

from proofs.codec import finding_to, header_to
from proofs.obligation import Finding, Header, Json
from proofs.results import Exit, Result
from reports.formula import goal, hypotheses
from ringfence.errors import InternalError
from ringfence.selection import Selection
from ringfence.session import Options, Session, within
from ringfence.wiring import Wiring


def run(wiring: Wiring, identifier: str, options: Options, as_json: bool) -> int:
    """Print it; nothing is solved.  A verdict is the last one for exactly this text, this solver and this limit."""

    def work(session: Session) -> dict[str, Json]:
        session.run.locate((identifier,), session.units(wiring.check))
        _, item = session.run.items[identifier]
        result = session.run.last(identifier)
        if isinstance(item, Finding):
            return {**finding_to(item), "formula": "", "text": "", "last": _last(result), "assumed": []}
        return {
            **header_to(item),
            "hypotheses": hypotheses(text := _text(session, item)),
            "formula": goal(text),
            "text": text,
            "last": _last(result),
            "assumed": [entry for entry in session.catalogue()["assumptions"] if entry["id"] in item.assumptions],
        }

    shown = within(wiring, Options(Selection(), options.weaken, options.jobs, False, options.ledger), work)
    if as_json:
        print(json.dumps(shown, ensure_ascii=False, indent=1))
    else:
        _print(shown, Console())
    return Exit.ESTABLISHED


def _text(session: Session, header: Header) -> str:
    text = session.run.ledger.text(header.digest)
    if text is None:
        raise InternalError(f"The text of {header.id} was made but not kept.")
    return text


def _last(result: Result | None) -> Json:
    return None if result is None else result.to_json()


def _print(shown: dict[str, Json], console: Console) -> None:
    def line(name: str, value: Json) -> None:
        console.print(f"[bold]{name:<12}[/] {escape(str(value))}", highlight=False)

    for name in ("id", "kind", "theorem", "action", "observer", "words", "scope", "expect", "rlimit", "digest"):
        if shown.get(name) not in (None, ""):
            line(name, shown[name])
    assumed = shown["assumed"]
    for entry in assumed if isinstance(assumed, list) else []:
        if isinstance(entry, dict):
            line("assumes", f"{entry['id']}: {entry['statement']}")
    known = shown.get("hypotheses")
    if isinstance(known, list):
        line("hypotheses", ", ".join(str(name) for name in known) or "none")
        line("formula", shown["formula"])
    last = shown["last"]
    if isinstance(last, dict):
        line("last verdict", f"{last['verdict']} {last['qualifier']} {last['reason']}".strip())
    else:
        line("last verdict", "none for this text")
    if shown["text"]:
        console.print()
        print(shown["text"], end="")
