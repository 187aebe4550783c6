"""What a clone holds: files short enough to read, a lock file of hashes, no trace of any one machine."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 450
TEXT_SUFFIXES = {"", ".py", ".md", ".toml", ".lock", ".json", ".txt", ".yml", ".yaml", ".smt2", ".cfg"}
HIDDEN_BUT_OURS = {".ci", ".gitignore"}

# Absolute paths that only one machine has, and hosts or options that say where packages come from.
MACHINE_PATH = re.compile(r"(?<![\w.\-/])/(?:home|root|Users|opt|work|tmp|private|mnt)/[\w.]")
PACKAGE_INDEX = re.compile(
    r"https?://[^\s)>]*(?:py" r"pi|python" r"hosted|/simp" r"le)|--(?:extra-)?index-" r"url[ =]\S*:"
)
LOCKED = re.compile(
    r"(?P<name>[a-z0-9]+(?:-[a-z0-9]+)*)==[\w.!+]+(?: ; python_version < \"[\d.]+\")?((?: --hash=sha256:[0-9a-f]{64})+)"
)


def text_files(root: Path) -> Iterator[Path]:
    """Every text file of the tree, without environments, caches and what a run leaves behind."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if (not name.startswith(".") or name in HIDDEN_BUT_OURS)
            and name not in {"__pycache__", "build", "dist"}
            and not name.endswith(".egg-info")
        )
        for name in sorted(files):
            path = Path(folder, name)
            if path.suffix in TEXT_SUFFIXES and (not name.startswith(".") or name in HIDDEN_BUT_OURS):
                yield path


def lock_entries(text: str) -> list[str]:
    """The logical lines of a requirements file, without comments."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.strip().startswith("#")]


def offences(text: str) -> list[str]:
    """The machine paths and package index addresses in `text`."""
    return [match.group() for pattern in (MACHINE_PATH, PACKAGE_INDEX) for match in pattern.finditer(text)]


def test_python_files_are_short_enough_to_read() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines())
        for path in text_files(ROOT)
        if path.suffix == ".py"
    }
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_no_machine_path_and_no_package_index_in_the_tree() -> None:
    itself = Path(__file__).resolve()  # its examples below are what it looks for
    found = {
        str(path.relative_to(ROOT)): offences(path.read_text("utf-8")) for path in text_files(ROOT) if path != itself
    }
    assert {name: places for name, places in found.items() if places} == {}


def test_the_lock_holds_exact_versions_and_hashes_only() -> None:
    entries = lock_entries((ROOT / "requirements.lock").read_text("utf-8"))
    assert entries
    assert [entry for entry in entries if not LOCKED.fullmatch(entry)] == []


def test_the_lock_covers_every_dependency_of_the_project() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    locked = {entry.split("==")[0] for entry in lock_entries((ROOT / "requirements.lock").read_text("utf-8"))}
    assert {re.split(r"[\[<>=!~; ]", name)[0] for name in wanted} - locked == set()


def test_continuous_integration_calls_the_test_command() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text("utf-8").splitlines()


@pytest.mark.parametrize(
    "text",
    [
        "see /home/someone/notes",
        'open("/tmp/x")',
        "--index-" + "url https://mirror.example/simple",
        "https://pypi." + "org/project/z3-solver",
    ],
)
def test_an_address_or_a_path_is_seen(text: str) -> None:
    assert offences(text)


@pytest.mark.parametrize(
    "text", ["benchmarks/work/x", "../opt/in", "--no-emit-index-url --no", "https://www.apache.org/"]
)
def test_an_ordinary_text_is_left_alone(text: str) -> None:
    assert offences(text) == []


@pytest.mark.parametrize("line", ["rich>=13", "rich==15.0.0", "-e .", "rich @ file:///a/b --hash=sha256:" + "0" * 64])
def test_a_loose_lock_entry_is_seen(line: str) -> None:
    assert not LOCKED.fullmatch(line)
