"""The documents name what exists, and all of it."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model.hyperenclave.specification import HYPERENCLAVE
from proofs.results import Exit, Verdict
from reports.summary import FIELDS, SCHEMA
from ringfence import trusted
from ringfence.catalogue import CLAIMS, INVARIANTS, catalogue
from ringfence.cli import app
from ringfence.commands.listing import LISTS
from ringfence.weaken import slugs
from ringfence.wiring import WORKBENCH

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
OUR_PATH = re.compile(r"(?:audit|impl|model|proofs|refinement|reports|ringfence|tests|docs|traces)/[\w./-]*\w")
# How far the rounded line counts of docs/trusted-base.md may be from the truth.
TOLERANCE = 0.33


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def anchors(document: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def broken_links(path: Path) -> list[str]:
    found: list[str] = []
    for target in LINK.findall(path.read_text("utf-8")):
        if re.match(r"\w+:", target):
            continue
        file, _, anchor = target.partition("#")
        other = (path.parent / file).resolve() if file else path
        if not other.exists() or (anchor and anchor not in anchors(other.read_text("utf-8"))):
            found.append(target)
    return found


def rows(document: str) -> dict[str, list[str]]:
    """The cells of each table row, by the first cell."""
    lines = [line for line in document.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {row[0]: row[1:] for row in cells}


def commands(document: str) -> list[list[str]]:
    """Every command line of ours in code blocks and code spans, without its program."""
    spans = re.findall(r"`((?:\.venv/bin/)?ringfence [^`\n]+)`", document)
    blocks = re.findall(r"^(?:\.venv/bin/)?ringfence .+$", document, flags=re.MULTILINE)
    return [shlex.split(line.split("  #")[0])[1:] for line in [*spans, *blocks]]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_resolves(path: Path) -> None:
    assert broken_links(path) == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# Title\n[x](#title) [y](#other) [z](missing.md)\n", "utf-8")
    assert broken_links(page) == ["#other", "missing.md"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_of_ours_exists(path: Path) -> None:
    named = {name for name in re.findall(r"`([^`\s]+)`", path.read_text("utf-8")) if OUR_PATH.fullmatch(name)}
    named -= {SCHEMA, *(name for name in named if re.search(r"NAME|SLUG", name))}
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_all_documents_are_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            targets = (target.partition("#")[0] for target in LINK.findall(page.read_text("utf-8")))
            waiting += [(page.parent / target).resolve() for target in targets if target and ":" not in target]
    expected = {path for path in DOCUMENTS if path.parent == ROOT / "docs"}
    assert expected - reached == set()


def test_page_one_says_what_a_verdict_is_about_and_which_command_tests() -> None:
    start = text("README.md")
    assert "not about any product" in start
    assert "The test command is `make test`" in start


@pytest.mark.parametrize("name", ["README.md", "docs/verdicts.md"])
def test_every_exit_code_is_explained(name: str) -> None:
    assert {str(int(code)) for code in Exit} <= set(rows(text(name)))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_exists(path: Path) -> None:
    runner = CliRunner()
    for words in commands(path.read_text("utf-8")):
        if words[0].startswith("--"):
            continue
        known = runner.invoke(app, [words[0], "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
        assert known.exit_code == 0, words
        for option in (word for word in words if word.startswith("--")):
            assert option in re.sub(r"\x1b\[[0-9;]*m", "", known.output), words


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_name_in_a_command_exists(path: Path) -> None:
    names = {
        "--theorem": {claim.name for claim in CLAIMS},
        "--action": {*HYPERENCLAVE.actions, "NAME", "ACTION"},
        "--observer": set(HYPERENCLAVE.observers),
        "--weaken": {*slugs(WORKBENCH.weakenings), "SLUG"},
    }
    for words in commands(path.read_text("utf-8")):
        for option, value in pairwise(words):
            if option in names:
                assert value in names[option], words
        if words[0] == "list":
            assert words[1].rstrip(",") in {*LISTS, "theorems|actions|weakenings|assumptions"}, words


def test_every_theorem_is_stated() -> None:
    document = text("docs/theorems.md")
    claimed = catalogue()["theorems"]
    for claim in claimed:
        assert re.search(rf"\b{claim['id']}\b", document), claim["id"]
        if claim["claimed"]:
            assert re.search(rf"^## {claim['id']} ", document, flags=re.MULTILINE), claim["id"]


def test_the_table_of_invariants_is_that_of_the_model() -> None:
    table = rows(text("docs/theorems.md"))
    for number in INVARIANTS:
        stated = {name for name, item in HYPERENCLAVE.invariants.items() if number in item.identifiers}
        stated |= {name for name, item in HYPERENCLAVE.postconditions.items() if f"({number})" in item.words}
        cell = table[number][-1]
        assert set(re.findall(r"`(\w+)`", cell)) == stated, number
        assert ("NOT CLAIMED" in cell) == (not stated), number


def test_every_invariant_lemma_and_step_property_is_named() -> None:
    document = text("docs/theorems.md")
    names = [*HYPERENCLAVE.invariants, *HYPERENCLAVE.lemmas, *HYPERENCLAVE.postconditions]
    assert [name for name in names if f"`{name}`" not in document] == []


def test_every_release_and_endorsement_is_in_its_table() -> None:
    table = rows(text("docs/theorems.md"))
    declared: set[tuple[str, str]] = set()
    for path in (ROOT / "model" / "hyperenclave" / "actions").glob("*.py"):
        declared |= set(re.findall(r's\.(release|endorse)\("([^"]+)"', path.read_text("utf-8")))
    assert declared
    parts = text("docs/theorems.md").partition("### Endorsements")
    for kind, name in declared:
        assert f"| `{name}` |" in (parts[0] if kind == "release" else parts[2]), (kind, name)
        assert table[f"`{name}`"][0] in HYPERENCLAVE.actions


def test_the_assumptions_are_those_of_the_model() -> None:
    document = text("docs/assumptions.md")
    assert re.findall(r"^## ([a-z][\w-]*)$", document, flags=re.MULTILINE) == list(HYPERENCLAVE.assumptions)
    flat = " ".join(document.split())
    for item in HYPERENCLAVE.assumptions.values():
        assert f"| [{item.identifier}](#{item.identifier}) | {item.kind} |" in document
        assert f"{item.statement} *Why it is assumed.* {item.reason}" in flat, item.identifier


def test_every_axiom_belongs_to_an_assumption() -> None:
    table = rows(text("docs/assumptions.md"))
    for name in HYPERENCLAVE.axioms:
        assert table[f"`{name}`"][-1] in HYPERENCLAVE.assumptions, name


def test_every_action_is_in_the_table_of_steps() -> None:
    table = rows(text("docs/theorems.md"))
    assert {name: table[f"`{name}`"][0] for name in HYPERENCLAVE.actions} == {
        name: action.by for name, action in HYPERENCLAVE.actions.items()
    }


def test_every_verdict_and_field_is_explained() -> None:
    document = text("docs/verdicts.md")
    table = rows(document)
    assert [str(v) for v in Verdict if str(v) not in {name.partition("(")[0] for name in table}] == []
    assert [name for name in FIELDS if f"`{name}`" not in table] == []


def test_every_file_of_the_rooms_is_trusted_or_not() -> None:
    assert [file for file in trusted.files() if trusted.group_of(file) is None] == []


def test_the_trusted_base_is_the_one_that_the_command_prints() -> None:
    table = rows(text("docs/trusted-base.md"))
    counts = trusted.line_counts()
    for group in trusted.GROUPS:
        row = table[group.title]
        assert tuple(re.findall(r"`([^`]+)`", row[-2])) == group.patterns, group.title
        assert row[-1] == group.why
        if group.trusted:
            lines = sum(counts[group.title].values())
            assert abs(int(row[0]) - lines) <= max(50, TOLERANCE * lines), f"{group.title} has {lines} lines"


def test_the_changelog_has_an_entry_for_this_version() -> None:
    version = re.search(r'^version = "([^"]+)"', text("pyproject.toml"), flags=re.MULTILINE)
    assert version is not None
    assert f"## [{version.group(1)}]" in text("CHANGELOG.md")
