"""The arrows between the rooms run one way (ARCHITECTURE.md), and everything is imported in the open."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# What each room may import of ours, apart from itself.
MAY_IMPORT = {
    "impl": set[str](),
    "model": set[str](),
    "audit": {"model"},
    "proofs": {"model"},
    "refinement": {"model", "impl", "proofs"},
    "reports": {"proofs", "refinement", "model", "audit"},
    "ringfence": {"impl", "model", "audit", "proofs", "refinement", "reports"},
}

# Libraries that the monitor may use beside the standard library: a crypto library and nothing else.
MONITOR_LIBRARIES = {"cryptography"}

# (module, what it must not reach through any chain of imports, why)
INDEPENDENT = [
    ("impl.machine.mmu", "impl.monitor", "the hardware decodes the bits by itself"),
    ("impl.machine.iommu", "impl.monitor", "the hardware decodes the bits by itself"),
    ("refinement.bits", "impl", "the decoder of the relation shares no code with the monitor's encoder"),
]

# Rooms whose verdicts depend on their text: what they import must be readable from it.
OPEN_IMPORTS = ("audit", "impl", "model", "proofs")


def module_name(path: Path, root: Path) -> str:
    """The dotted name under which the file at `path` is imported."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(source: str, package: str) -> set[str]:
    """Every dotted name that `source`, a module of `package`, imports; of `from a import b` both `a` and `a.b`."""
    names = set[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names


def package_of(path: Path, root: Path) -> str:
    """The package against which relative imports of the file at `path` are resolved."""
    return ".".join(path.relative_to(root).parts[:-1])


def rooms(root: Path) -> dict[Path, str]:
    """Each Python file of each room that exists, with its room."""
    return {path: room for room in MAY_IMPORT for path in sorted((root / room).rglob("*.py"))}


def imports_against_the_arrows(root: Path) -> list[str]:
    """One sentence for each import that the table does not allow."""
    found: list[str] = []
    for path, room in rooms(root).items():
        tops = {name.split(".")[0] for name in imported(path.read_text("utf-8"), package_of(path, root))}
        ours = tops & {*MAY_IMPORT, "tests", "benchmarks"}
        allowed = MAY_IMPORT[room] | {room}
        found += [f"{path.relative_to(root)} imports {top}" for top in sorted(ours - allowed)]
    return found


def closure(module: str, root: Path) -> set[str]:
    """Every module of ours that `module` reaches through imports written in the files, itself included."""
    files = {module_name(path, root): path for path in rooms(root)}
    reached, waiting = set[str](), [module]
    while waiting:
        name = waiting.pop()
        if name in files and name not in reached:
            reached.add(name)
            waiting += imported(files[name].read_text("utf-8"), package_of(files[name], root))
    return reached


def hidden_imports(source: str) -> list[str]:
    """Calls that import by a computed name, and star imports, as `line: name`."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            found.append(f"{node.lineno}: import *")
        if isinstance(node, ast.Call):
            # A solver's model has a method `eval`; only the bare built-ins run text.
            name = ast.unparse(node.func).removeprefix("importlib.")
            if name in {"__import__", "import_module", "exec", "eval"}:
                found.append(f"{node.lineno}: {name}")
    return found


def test_no_import_runs_against_the_arrows() -> None:
    assert imports_against_the_arrows(ROOT) == []


def test_the_arrows_have_no_cycle() -> None:
    done: set[str] = set()
    while left := {room for room in MAY_IMPORT if room not in done}:
        ready = {room for room in left if MAY_IMPORT[room] <= done}
        assert ready, f"cycle among {sorted(left)}"
        done |= ready


def test_the_monitor_imports_the_standard_library_only() -> None:
    allowed = sys.stdlib_module_names | MONITOR_LIBRARIES | {"impl"}
    found = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path, room in rooms(ROOT).items()
        if room == "impl"
        for name in imported(path.read_text("utf-8"), package_of(path, ROOT))
        if name.split(".")[0] not in allowed
    }
    assert found == set()


@pytest.mark.parametrize(("module", "forbidden", "why"), INDEPENDENT)
def test_decoders_share_no_code_with_what_they_check(module: str, forbidden: str, why: str) -> None:
    reached = closure(module, ROOT)
    assert reached, f"{module} does not exist; the test names a file that has moved"
    assert {name for name in reached if name == forbidden or name.startswith(f"{forbidden}.")} == set(), why


def test_nothing_is_imported_by_a_star_or_a_computed_name() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{place}"
        for path, room in rooms(ROOT).items()
        for place in hidden_imports(path.read_text("utf-8"))
        if place.endswith("*") or room in OPEN_IMPORTS
    ]
    assert found == []


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("impl/a.py", "import model.language", "impl/a.py imports model"),
        ("model/a.py", "def f():\n    from proofs import solver", "model/a.py imports proofs"),
        ("proofs/deep/a.py", "from refinement.engine import run", "proofs/deep/a.py imports refinement"),
        ("reports/a.py", "import impl", "reports/a.py imports impl"),
        ("model/a.py", "import tests.conftest", "model/a.py imports tests"),
    ],
)
def test_an_import_against_an_arrow_is_seen(tmp_path: Path, file: str, text: str, expected: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(text, "utf-8")
    assert imports_against_the_arrows(tmp_path) == [expected]


def test_an_indirect_import_is_seen(tmp_path: Path) -> None:
    for file, text in {
        "impl/machine/mmu.py": "from impl.machine import words",
        "impl/machine/words.py": "from ..monitor.tables import leaf",
        "impl/monitor/tables.py": "leaf = 0",
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text, "utf-8")
    assert "impl.monitor.tables" in closure("impl.machine.mmu", tmp_path)


def test_hidden_imports_are_seen() -> None:
    source = "from z3 import *\nimport importlib\nimportlib.import_module('model')\n__import__('z3')\nmodel.eval(x)\n"
    assert hidden_imports(source) == ["1: import *", "3: import_module", "4: __import__"]
