"""What a run establishes, remembers and survives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ringfence.errors import InputError
from ringfence.sources import read_sources
from tests.ringfence.conftest import Bench

ROOT = Path(__file__).resolve().parents[2]


def test_everything_that_holds_is_established(bench: Bench) -> None:
    said = bench("check --json", "good_units", "battery_units", replay=("replay_units",))
    assert said.code == 0
    assert len(said.verdicts) == 9
    assert said.verdicts["replay/seed 1"] == "TESTED"
    assert said.err == ""


def test_a_unit_that_wants_to_be_first_is(bench: Bench) -> None:
    assert bench("prove --jobs 1", "ordered_units").code == 0
    assert [line for line in bench.log() if "make" in line] == ["make drop", "make add"]


def test_an_id_makes_only_the_unit_that_names_it(bench: Bench) -> None:
    assert bench("prove --jobs 1 --id T2/add/0", "ordered_units", "refuted_units").code == 0
    assert [line for line in bench.log() if "make" in line] == ["make add"]


def test_an_unchanged_run_makes_nothing_and_says_the_same(bench: Bench) -> None:
    first = bench("prove --json", "good_units", "refuted_units")
    assert "make add" in bench.log()
    second = bench("prove --json", "good_units", "refuted_units")
    assert bench.log() == []
    assert second.out == first.out


def test_changed_sources_are_made_anew_but_equal_texts_are_not_proved_anew(bench: Bench) -> None:
    first = bench("prove --json").document
    (bench.root / "playground" / "new.py").write_text("", "utf-8")
    bench.log()
    second = bench("prove --json").document
    assert {"make add", "make drop"} <= set(bench.log())
    assert second["results"] == first["results"]  # CPU seconds too: the old answers were taken


def test_a_file_that_a_unit_ignores_does_not_touch_it_and_any_other_does(bench: Bench) -> None:
    bench("prove", "focused_units")
    bench.log()
    (bench.root / "playground" / "drop.py").write_text("", "utf-8")
    bench("prove", "focused_units")
    assert [line for line in bench.log() if "make" in line] == ["make drop"]
    (bench.root / "playground" / "common.py").write_text("", "utf-8")
    bench("prove", "focused_units")
    assert {"make add", "make drop"} <= set(bench.log())


@pytest.mark.parametrize("text", ["SAFE = True\n", "SAFE = False\n", "SAFE = ("])
def test_a_source_edited_during_a_run_ends_it(bench: Bench, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    file = bench.root / "playground" / "switch.py"
    file.write_text("SAFE = False\n", "utf-8")
    monkeypatch.setenv("TOY_EDIT", text)
    said = bench("prove", "edited_units")
    assert said.code == 3
    assert said.out == ""
    assert said.err.startswith("playground/switch.py changed while it was being checked;")
    assert said.err.count("\n") == 1
    monkeypatch.delenv("TOY_EDIT")
    file.write_text("SAFE = False\n", "utf-8")
    assert bench("prove", "edited_units").code == 1  # what was made of the other text is not remembered


@pytest.mark.parametrize("command", ["prove --weaken unsafe", "prove --fresh"])
def test_a_weakening_does_not_hide_an_edit(bench: Bench, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    edit = '[[edits]]\nfile = "playground/other.py"\nold = "1"\nnew = "2"\n'
    head = 'class = "toy"\ntheorem = "T1"\nthreat = "none"\nkind = "model"\n'
    (bench.root / "weakenings" / "unsafe.toml").write_text(head + edit, "utf-8")
    (bench.root / "playground" / "other.py").write_text("N = 1\n", "utf-8")
    assert bench(command, "edited_units").code == 0
    monkeypatch.setenv("TOY_EDIT", "SAFE = 1\n")
    assert bench(f"{command} --fresh", "edited_units").code == 3


@pytest.mark.parametrize(
    ("provider", "line"), [("edited_listing_units", "list"), ("explained_edited_units", "explain")]
)
def test_listings_and_explanations_of_edited_sources_are_not_remembered(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, provider: str, line: str
) -> None:
    monkeypatch.setenv("TOY_EDIT", "SAFE = False\n")
    assert bench("prove", provider).code == 3
    monkeypatch.delenv("TOY_EDIT")
    (bench.root / "playground" / "switch.py").write_text("SAFE = True\n", "utf-8")
    bench.log()
    assert bench("prove", provider).code == (0 if line == "list" else 1)
    assert [entry for entry in bench.log() if entry.startswith(line)]


def test_any_change_of_any_file_is_seen_but_not_what_nobody_imports(tmp_path: Path) -> None:
    room = tmp_path / "proofs"
    (room / "inner").mkdir(parents=True)
    for name in ("solver.py", "inner/a.py", "inner/b.py"):
        (room / name).write_text("x = 1\n", "utf-8")
    sources = read_sources(tmp_path, ["proofs"], {})
    (room / "__pycache__").mkdir()
    (room / "__pycache__" / "a.pyc").write_text("", "utf-8")
    (room / "inner" / ".a.py.swp").write_text("", "utf-8")
    (room / ".#a.py").symlink_to("nobody@nowhere")
    sources.check_unchanged()
    _same_size_and_time(room / "inner" / "a.py")
    with pytest.raises(InputError, match=r"^proofs/inner/a\.py changed"):
        sources.check_unchanged()
    sources.check_solver_unchanged()
    for change, name in ((Path.unlink, "inner/b.py"), (Path.touch, "new.py"), (_same_size_and_time, "solver.py")):
        sources = read_sources(tmp_path, ["proofs"], {})
        change(room / name)
        with pytest.raises(InputError, match=f"^proofs/{name} changed"):
            sources.check_unchanged()
    with pytest.raises(InputError, match=r"^proofs/solver\.py changed"):
        sources.check_solver_unchanged()


def _same_size_and_time(path: Path) -> None:
    """An edit that is followed by putting the time back, as `cp -p` does with a copy."""
    before = path.stat()
    time.sleep(0.02)  # the clock of the file system is coarse
    path.write_text("x = 2\n", "utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_showing_something_of_a_unit_that_fails_is_an_internal_error(bench: Bench) -> None:
    said = bench("show T1/malformed/y", "crash_units")
    assert said.code == 4
    assert "the toy is broken" in said.err
    assert said.err.count("\n") == 1


def test_an_id_that_no_unit_announces_is_refused_before_anything_is_made(bench: Bench) -> None:
    said = bench("show T1/other/0", "announced_units")
    assert said.code == 3
    assert "no obligation 'T1/other/0'; known are T?/add/*, T?/drop/*." in said.err
    assert not [line for line in bench.log() if "make" in line]


@pytest.mark.parametrize("units", ["lying_units", "misplaced_units"])
def test_a_unit_that_makes_what_it_does_not_announce_is_an_internal_error(bench: Bench, units: str) -> None:
    said = bench("prove", units)
    assert said.code == 4
    assert "which it does not announce" in said.err


def test_fresh_ignores_what_is_known(bench: Bench) -> None:
    bench("prove")
    bench.log()
    assert bench("prove --fresh").code == 0
    assert {"list good", "make add", "make drop"} <= set(bench.log())


@pytest.mark.parametrize("command", ["prove --json --fresh --jobs 2", "prove --json --fresh --jobs 1", "prove --json"])
def test_what_two_units_make_alike_is_solved_once_and_explained_for_each(bench: Bench, command: str) -> None:
    said = bench(command, "alike_units")
    assert said.code == 1
    rows = {row["id"]: row for row in said.document["results"]}
    assert sum(row["kind"] == "obligation" for row in rows.values()) == 6
    for name in ("slow", "explained", "after"):
        left, right = rows[f"T1/left/{name}"], rows[f"T1/right/{name}"]
        assert left["cpu_seconds"] == right["cpu_seconds"]  # of the one answer
        assert left["verdict"] == right["verdict"]
    assert sorted(line.split()[1] for line in bench.log() if "explain" in line) == [
        "T1/left/explained",
        "T1/right/explained",
    ]


def test_refuted_rows_carry_values_and_say_how_they_were_found(bench: Bench) -> None:
    said = bench("prove --json", "refuted_units")
    assert said.code == 1
    rows = {row["id"]: row for row in said.document["results"]}
    assert rows["T1/bad/explained"]["qualifier"] == "reachable"
    assert rows["T1/bad/explained"]["values"] == {"n": 7}
    assert rows["T1/bad/model"]["qualifier"] == "induction"
    assert int(rows["T1/bad/model"]["values"]["x"]) < 5
    assert rows["T1/bad/fine"]["verdict"] == "PROVED"
    shown = bench("prove", "refuted_units")
    assert "REFUTED(reachable) T1/bad/explained" in shown.out
    assert "n = 7" in shown.out


def test_unknowns_are_not_established(bench: Bench) -> None:
    said = bench("prove --json", "unknown_units")
    assert said.code == 2
    assert set(said.verdicts.values()) == {"UNKNOWN"}


def test_a_hole_in_the_battery_is_named_and_refutes(bench: Bench) -> None:
    said = bench("prove", "good_units", "hole_units")
    assert said.code == 1
    assert "hole in the battery: vacuity/add/hole" in said.out


def test_a_solver_that_dies_costs_one_obligation(bench: Bench) -> None:
    said = bench("prove --json", "deadly_units")
    assert said.code == 2
    assert said.verdicts == {
        "T1/deadly/before": "PROVED",
        "T1/deadly/killer": "UNKNOWN",
        "T1/deadly/after": "PROVED",
    }


@pytest.mark.parametrize("provider", ["lethal_units", "malformed_units", "crash_units"])
def test_a_unit_that_fails_is_an_error_row_beside_the_others(bench: Bench, provider: str) -> None:
    said = bench("prove --json", provider)
    assert said.code == 4
    errors = [row for row in said.document["results"] if row["verdict"] == "ERROR"]
    assert len(errors) == 1
    if provider == "crash_units":
        assert said.verdicts["T1/add/0"] == "PROVED"
        assert "the toy is broken" in errors[0]["reason"]
        path = Path(errors[0]["reason"].split("traceback in ")[1])
        assert "RuntimeError" in path.read_text("utf-8")


@pytest.mark.parametrize(("provider", "words"), [("twice_units", "T1/same/0"), ("empty_units", "not a single")])
def test_two_of_a_name_and_none_at_all_are_internal_errors(bench: Bench, provider: str, words: str) -> None:
    said = bench("prove", provider)
    assert said.code == 4
    assert words in said.err
    assert said.out == ""


def test_a_claimed_theorem_without_obligations_is_an_error_of_check(bench: Bench) -> None:
    said = bench("check --json", "battery_units")
    assert said.code == 4
    assert said.verdicts["T1"] == "ERROR"


def test_what_is_not_claimed_is_listed_and_harmless(bench: Bench) -> None:
    said = bench("prove")
    assert said.code == 0
    assert "NOT CLAIMED: T7, I1" in said.out


def test_a_damaged_ledger_is_set_aside_and_built_anew(bench: Bench) -> None:
    bench("prove")
    ledger = bench.root / ".ringfence" / "ledger.sqlite"
    ledger.write_bytes(b"garbage" * 1000)
    said = bench("prove")
    assert said.code == 0
    assert said.err.count("\n") == 1
    assert "ledger.corrupt-1" in said.err
    assert (bench.root / ".ringfence" / "ledger.corrupt-1").exists()
    assert bench("prove").err == ""


def test_a_ledger_cut_short_is_set_aside(bench: Bench) -> None:
    bench("prove")
    ledger = bench.root / ".ringfence" / "ledger.sqlite"
    ledger.write_bytes(ledger.read_bytes()[:6000])
    said = bench("prove")
    assert said.code == 0
    assert "ledger.corrupt-1" in said.err


def test_the_ledger_may_be_elsewhere(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench(f"prove --ledger {tmp_path}/one")
    assert (tmp_path / "one" / "ledger.sqlite").exists()
    monkeypatch.setenv("RINGFENCE_LEDGER", str(tmp_path / "two"))
    bench("prove")
    assert (tmp_path / "two" / "ledger.sqlite").exists()
    assert not (tmp_path / ".ringfence").exists()
    (tmp_path / "file").write_text("")
    said = bench(f"prove --ledger {tmp_path}/file/x")
    assert said.code == 3
    assert "cannot be used" in said.err


@pytest.mark.parametrize("folder", [".ringfence/traces", "traces"])
def test_traces_are_replayed_again_although_no_source_changed(bench: Bench, folder: str) -> None:
    bench("replay", replay=("replay_units",))
    bench.log()
    bench("replay", replay=("replay_units",))
    assert bench.log() == []
    traces = bench.root / folder
    traces.mkdir()
    (traces / "one.json").write_text("{}", "utf-8")
    bench("replay", replay=("replay_units",))
    assert "replay" in bench.log()


@pytest.mark.slow
def test_an_interrupt_loses_nothing(bench: Bench) -> None:
    program = (
        # A test run in the background of a shell ignores interrupts, and so would its children.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import sys; from pathlib import Path; from tests.ringfence import toy; from ringfence.cli import main\n"
        f"sys.exit(main(['prove', '--jobs', '1'], toy.wiring(Path({str(bench.root)!r}), 'good_units')))"
    )
    environment = {**os.environ, "TOY_SLOW": "2", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, stderr=subprocess.PIPE, text=True)
    log = bench.root / "log"
    while process.poll() is None and not (log.exists() and log.read_text("utf-8").count("make") == 2):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 2
    assert err.startswith("Interrupted.")
    assert err.count("\n") == 1
    first = next(line for line in bench.log() if line.startswith("make"))
    assert bench("prove").code == 0
    assert first not in bench.log()
