"""The rows of a run as JUnit XML: a suite per theorem or battery kind, a test case per row."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from proofs.obligation import OBLIGATION
from proofs.results import Result, Verdict, is_hole
from reports.output import write_output

# What XML 1.0 cannot carry.
_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def tree(rows: Sequence[Result]) -> ElementTree.ElementTree:
    """Failures are rows that say no, errors are rows that do not know, skipped rows claim nothing or are waived."""
    suites: dict[str, list[Result]] = {}
    for row in rows:
        suites.setdefault(row.theorem if row.kind == OBLIGATION else row.kind, []).append(row)
    root = ElementTree.Element("testsuites", name="ringfence")
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for name, members in suites.items():
        suite = ElementTree.SubElement(root, "testsuite", name=name)
        numbers = {"tests": len(members), "failures": 0, "errors": 0, "skipped": 0}
        for row in members:
            outcome = _case(suite, name, row)
            if outcome:
                numbers[outcome] += 1
        for key, number in numbers.items():
            suite.set(key, str(number))
            totals[key] += number
        suite.set("time", f"{sum(row.cpu_seconds for row in members):.3f}")
    for key, number in totals.items():
        root.set(key, str(number))
    return ElementTree.ElementTree(root)


def _case(suite: ElementTree.Element, name: str, row: Result) -> str:
    """Add the test case of a row; the counter that it belongs to, or ""."""
    seconds = f"{row.cpu_seconds:.3f}"
    case = ElementTree.SubElement(suite, "testcase", classname=f"ringfence.{name}", name=_clean(row.id), time=seconds)
    if row.verdict in (Verdict.NOT_CLAIMED, Verdict.WAIVED):
        ElementTree.SubElement(case, "skipped", message=row.label)
        return "skipped"
    if row.holds:
        return ""
    says_no = row.verdict is Verdict.REFUTED or is_hole(row)
    kind = "failure" if says_no else "error"
    message = _clean(f"{row.label}: {row.reason}" if row.reason else row.label)
    note = ElementTree.SubElement(case, kind, type=str(row.verdict), message=message)
    values = json.dumps(row.values, indent=1, ensure_ascii=False) if row.values else ""
    note.text = _clean("\n".join(part for part in (row.words, values) if part))
    return f"{kind}s"


def write(rows: Sequence[Result], path: Path) -> None:
    """Write the file."""
    element_tree = tree(rows)
    ElementTree.indent(element_tree)
    content = io.BytesIO()
    element_tree.write(content, encoding="utf-8", xml_declaration=True)
    write_output(path, content.getvalue())


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
