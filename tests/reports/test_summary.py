"""The JSON document of a run."""

from __future__ import annotations

import json

from proofs.results import Result, Verdict
from reports.summary import document, printed


def test_a_row_is_a_line_whatever_stands_in_it() -> None:
    rows = [Result('}, {"id": "a', "obligation", "T1", "", "", Verdict.PROVED, evidence="S", reason='}, {"id": ')] * 3
    text = printed(document(rows, {}))
    assert [line.rstrip(",") for line in text.splitlines()[4:7]] == [json.dumps(row.to_json()) for row in rows]
    assert len(json.loads(text)["results"]) == 3
