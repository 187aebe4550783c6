"""Obligations, units and answers as JSON, the form in which the ledger and the pipes carry them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cache
from typing import Any, cast

from proofs.obligation import Answer, Call, Explanation, Finding, Header, Json, Unit

Record = dict[str, Json]
# What comes back from JSON was written by the functions of this file, under a seal; its shape is not checked again.
_Loaded = dict[str, Any]


def call_to(call: Call | None) -> Json:
    """A call as JSON."""
    return None if call is None else {"target": call.target, "arguments": dict(call.arguments)}


def call_from(value: Json) -> Call | None:
    """A call as `call_to` wrote it."""
    if value is None:
        return None
    loaded = cast(_Loaded, value)
    return Call(**loaded) if loaded["arguments"] else _bare_call(loaded["target"])


@cache
def _bare_call(target: str) -> Call:
    """Thousands of headers name the same function."""
    return Call(target)


def header_to(header: Header) -> Record:
    """A header as JSON."""
    return {**_plain(header), "explain": call_to(header.explain)}


def headers_to(headers: Iterable[Header]) -> list[Json]:
    """Headers as JSON, each with what differs from the one before: thousands of neighbours share most fields."""
    found: list[Json] = []
    before: Record = {}
    for record in map(header_to, headers):
        found.append({name: value for name, value in record.items() if name not in before or before[name] != value})
        before = record
    return found


def headers_from(values: Iterable[Json]) -> Iterator[Header]:
    """Headers as `headers_to` wrote them."""
    known: _Loaded = {}
    for value in values:
        changed = dict(cast(_Loaded, value))
        if "assumptions" in changed:
            changed["assumptions"] = tuple(changed["assumptions"])
        if "explain" in changed:
            changed["explain"] = call_from(changed["explain"])
        known.update(changed)
        yield Header(**known)


def finding_to(finding: Finding) -> Record:
    """A finding as JSON."""
    return _plain(finding)


def finding_from(value: Json) -> Finding:
    """A finding as `finding_to` wrote it."""
    loaded = dict(cast(_Loaded, value))
    loaded["assumptions"] = tuple(loaded["assumptions"])
    return Finding(**loaded)


def answer_to(answer: Answer) -> Record:
    """An answer as JSON."""
    return _plain(answer)


def answer_from(value: Json) -> Answer:
    """An answer as `answer_to` wrote it."""
    return Answer(**cast(_Loaded, value))


def explanation_to(explanation: Explanation) -> Record:
    """An explanation as JSON."""
    return _plain(explanation)


def explanation_from(value: Json) -> Explanation:
    """An explanation as `explanation_to` wrote it."""
    return Explanation(**cast(_Loaded, value))


def unit_to(unit: Unit) -> Record:
    """A unit as JSON."""
    return {**_plain(unit), "make": call_to(unit.make)}


def unit_from(value: Json) -> Unit:
    """A unit as `unit_to` wrote it."""
    loaded = dict(cast(_Loaded, value))
    make = call_from(loaded["make"])
    if make is None:
        raise ValueError("a unit without a function that makes it")
    for name in ("theorems", "observers", "ignores", "yields"):
        loaded[name] = tuple(loaded[name])
    loaded["make"] = make
    return Unit(**loaded)


def _plain(item: Header | Finding | Answer | Explanation | Unit) -> Record:
    record: Record = {}
    for field in fields(item):
        value = getattr(item, field.name)
        record[field.name] = list(value) if isinstance(value, tuple) else value
    return record
