"""The audit command, on photographs of real machines."""

from __future__ import annotations

import json
import lzma
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import pytest

from reports.summary import FIELDS, SCHEMA
from ringfence.cli import main
from tests.audit.cores import Memory
from tests.ringfence.conftest import Said

AUDIT = Path(__file__).parents[1] / "audit"
PHOTOGRAPHS = AUDIT / "photographs"
CLEAN, SHARED = PHOTOGRAPHS / "npt-4k", PHOTOGRAPHS / "npt-shared"


@pytest.fixture
def audit(capsys: pytest.CaptureFixture[str]):
    def run(*words: object) -> Said:
        code = main(["audit", *map(str, words)])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run


def test_a_clean_photograph_is_exit_code_0_and_a_short_table(audit) -> None:
    said = audit(CLEAN)
    assert (said.code, said.err) == (0, "")
    assert "Clean. Every demand holds on this photograph." in said.out
    assert "at 0x" not in said.out


def test_a_violation_is_exit_code_1_with_both_paths(audit) -> None:
    said = audit(SHARED)
    assert said.code == 1
    for words in ("0x9fae000-0x9faefff (1 frame): vm0 RWX, vm1 RWX", "0000000009faee67", "P RW US A D sw9", "T1"):
        assert words in said.out
    assert max(map(len, said.out.splitlines())) <= 115


def test_the_document_shows_what_is_printed(audit) -> None:
    document = (AUDIT.parents[1] / "README.md").read_text("utf-8")
    (block,) = [b for b in re.findall(r"```text\n(.*?)```", document, re.DOTALL) if "audit/disjoint" in b]
    printed = {line.rstrip() for line in audit(SHARED).out.splitlines()}
    assert {line for line in block.splitlines() if line != "..."} <= printed


def test_json_has_the_shape_of_every_other_result(audit) -> None:
    document = json.loads(audit(SHARED, "--json").out)
    assert document["schema"] == SCHEMA
    assert [list(row) for row in document["results"]] == [list(FIELDS)] * len(document["results"])
    assert document["exit_code"] == 1
    rows = {row["id"]: row for row in document["results"]}
    assert {row["kind"] for row in rows.values()} == {"audit"}
    row = rows["audit/disjoint/vm0/vm1"]
    assert (row["verdict"], row["theorem"], row["values"]["frames"]) == ("REFUTED", "T1", 1)
    (finding,) = row["values"]["findings"]
    assert [side["domain"] for side in finding["sides"]] == ["vm0", "vm1"]
    assert finding["sides"][0]["paths"][0]["steps"][-1]["bits"] == "P RW US A D sw9 sw10 sw11"
    assert rows["audit/tables/vm0"]["verdict"] == "TESTED"


def test_what_is_absent_is_exit_code_2(audit, tmp_path: Path) -> None:
    photograph = without_a_table(CLEAN, tmp_path / "photograph", 0x2AC7)
    said = audit(photograph, "--json")
    rows = {row["id"]: row for row in said.document["results"]}
    assert said.code == 2
    assert rows["audit/absent/vm0"]["verdict"] == "UNKNOWN"
    assert rows["audit/disjoint/vm0/vm1"]["verdict"] == "UNKNOWN"
    assert rows["audit/tables/vm1"]["verdict"] == "TESTED"


def test_a_root_table_that_is_absent_is_said_so(audit, tmp_path: Path) -> None:
    said = audit(without_a_table(CLEAN, tmp_path / "photograph", 0x2AC3))
    assert said.code == 2
    assert "the root table is absent, at 0x2ac3000" in said.out
    assert "entry -1" not in said.out


def without_a_table(photograph: Path, copy: Path, frame: int) -> Path:
    """The same photograph, with one frame left out."""
    index = json.loads((photograph / "frames.json").read_text("utf-8"))
    content = lzma.decompress((photograph / "frames.bin.xz").read_bytes())
    frames = [first + n for first, count in index["runs"] for n in range(count)]
    place = frames.index(frame)
    copy.mkdir()
    (copy / "scenario.json").write_bytes((photograph / "scenario.json").read_bytes())
    (copy / "frames.bin").write_bytes(content[: place << 12] + content[(place + 1) << 12 :])
    left = [[n, 1] for n in frames if n != frame]
    (copy / "frames.json").write_text(json.dumps({"page_size": 4096, "runs": left}), "utf-8")
    return copy


def test_junit_sarif_and_map_are_written(audit, tmp_path: Path) -> None:
    junit, sarif, page = tmp_path / "a.xml", tmp_path / "a.sarif", tmp_path / "a.html"
    audit(SHARED, "--junit", junit, "--sarif", sarif, "--html", page)
    suites = ElementTree.parse(junit).getroot()
    assert (suites.get("tests"), suites.get("failures")) == ("11", "1")
    results = json.loads(sarif.read_text("utf-8"))["runs"][0]["results"]
    assert [result["kind"] for result in results].count("fail") == 1
    assert "npt-shared" in page.read_text("utf-8")


def test_a_policy_decides_instead_of_the_defaults(audit) -> None:
    said = audit(CLEAN, "--policy", AUDIT / "policies" / "executable-guests.toml")
    assert said.code == 1
    assert "358 frames" in said.out


def test_a_root_can_be_named_by_hand(audit) -> None:
    rows = audit(SHARED, "--root", "again=npt:4:0x2ac5000", "--json").document["results"]
    assert "audit/absent/again" in {row["id"] for row in rows}


def test_an_earlier_photograph_is_compared(audit) -> None:
    said = audit(SHARED, "--against", CLEAN, "--json")
    comparison = said.document["comparison"]
    gained = {c["domain"] for c in comparison["changes"] if c["before"] == "-"}
    assert (comparison["against"], comparison["appeared"]) == ("npt-4k", [])
    assert {"vm0", "vm1"} <= gained
    assert audit(SHARED, "--against", SHARED, "--json").document["comparison"]["changes"] == []


def changed(photograph: Path, copy: Path, **changes: object) -> Path:
    """The same frames with another scenario."""
    copy.mkdir()
    for name in ("frames.json", "frames.bin.xz"):
        (copy / name).write_bytes((photograph / name).read_bytes())
    scenario = json.loads((photograph / "scenario.json").read_text("utf-8"))
    (copy / "scenario.json").write_text(json.dumps({**scenario, **changes}), "utf-8")
    return copy


def test_an_earlier_photograph_may_lack_a_machine_that_the_policy_names(audit, tmp_path: Path) -> None:
    roots = json.loads((CLEAN / "scenario.json").read_text("utf-8"))["roots"]
    earlier = changed(CLEAN, tmp_path / "earlier", roots=[root for root in roots if not root["name"].startswith("vm1")])
    policy = tmp_path / "policy.toml"
    policy.write_text('[domain.a]\nroots = ["vm0"]\n[domain.b]\nroots = ["vm1"]\n[[disjoint]]\ndomains = ["a", "b"]')
    comparison = audit(CLEAN, "--policy", policy, "--against", earlier, "--json").document["comparison"]
    assert comparison["appeared"] == ["vm1"]
    assert {change["domain"] for change in comparison["changes"] if change["after"] != "-"} == {"b"}


def raw(photograph: Path, image: Path) -> Path:
    """The same frames as a raw image, in which what the photograph lacks is zero."""
    index = json.loads((photograph / "frames.json").read_text("utf-8"))
    content = lzma.decompress((photograph / "frames.bin.xz").read_bytes())
    at = 0
    with image.open("wb") as file:
        for first, count in index["runs"]:
            file.seek(first << 12)
            file.write(content[at << 12 : (at + count) << 12])
            at += count
        file.truncate(160 << 20)
    return image


def test_marks_of_a_hypervisor_are_not_taken_for_sharing(audit, tmp_path: Path) -> None:
    clean, shared = raw(CLEAN, tmp_path / "clean.raw"), raw(SHARED, tmp_path / "shared.raw")
    said = audit(clean)
    assert said.code == 2
    assert "may be marks of a hypervisor" in said.out
    assert audit(clean, "--maxphyaddr", "40").code == 2
    assert audit(clean, "--maxphyaddr", "40", "--levels", "4").code == 0
    for options in (("--levels", "4"), ("--levels", "4", "--maxphyaddr", "40")):
        rows = audit(shared, *options, "--json").document["results"]
        assert [row["values"]["frames"] for row in rows if row["verdict"] == "REFUTED"] == [1]


def test_an_unknown_width_of_addresses_is_said(audit, tmp_path: Path) -> None:
    photograph = changed(CLEAN, tmp_path / "photograph", maxphyaddr=None)
    assert "MAXPHYADDR is not known" in audit(photograph).out
    said = audit(photograph, "--maxphyaddr", "40")
    assert "MAXPHYADDR is not known" not in said.out
    assert said.code == 0


@pytest.mark.parametrize("name", ["\x1b[31mred", "a/b"])
def test_a_root_with_a_hostile_name_is_bad_input(audit, tmp_path: Path, name: str) -> None:
    root = {"name": name, "kind": "npt", "levels": 4, "root": "0x2ac5000"}
    said = audit(changed(CLEAN, tmp_path / "photograph", roots=[root]))
    assert said.code == 3
    assert "printable characters" in said.err
    assert "\x1b" not in said.err


def test_more_domains_than_can_be_paired_are_bad_input(audit, tmp_path: Path) -> None:
    roots = [{"name": f"r{n}", "kind": "npt", "levels": 4, "root": hex(n << 13)} for n in range(300)]
    said = audit(changed(CLEAN, tmp_path / "photograph", roots=roots))
    assert said.code == 3
    assert "300 domains" in said.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("/nowhere/at-all",), "there is no such photograph"),
        ((CLEAN, "--policy", "/nowhere/p.toml"), "the policy cannot be read"),
        ((CLEAN, "--policy", CLEAN / "scenario.json"), "is not TOML"),
        ((CLEAN, "--root", "x=npt:3:0x1000"), "NAME=KIND:LEVELS:ADDRESS[:guest][@INSIDE] was expected"),
        ((CLEAN, "--root", "x=npt:4:0x1001"), "a multiple of 0x1000"),
        ((CLEAN, "--root", "x=npt:4:0xfffffffffff000"), "a multiple of 0x1000"),
        ((CLEAN, "--root", "x=npt:4:0xffffff0000000"), "lies beyond the last frame of the photograph"),
        ((CLEAN, "--root", "vm0=npt:4:0x1000"), "two roots are called 'vm0'"),
        ((CLEAN, "--root", "x=x86:4:0x1000@vm7"), "lies inside 'vm7', which is not a root"),
        ((CLEAN, "--root", "a=x86:4:0x1000@a"), "--root a: lies inside 'a'; an x86 table inside a nested table"),
        ((CLEAN, "--root", "a=x86:4:0@b", "--root", "b=x86:4:0@a"), "--root a: lies inside 'b'; an x86 table"),
        ((CLEAN, "--root", "a=npt:4:0x1000@vm0"), "an x86 table inside a nested table"),
        ((CLEAN, "--root", "a=x86:4:0x1000@cpu0"), "an x86 table inside a nested table"),
        ((CLEAN, "--root", "a=npt:5:0x2ac3000"), "a table of 5 levels at 0x2ac3000, where 'vm0' has one of 4"),
        ((CLEAN, "--html", "/nowhere/at-all/a.html"), "a file in a folder that exists was expected"),
        ((CLEAN, "--against", "/nowhere/at-all"), "there is no such photograph"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_3(audit, words, sentence: str) -> None:
    said = audit(*words)
    assert (said.code, said.out) == (3, "")
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err


def test_a_photograph_without_tables_is_bad_input(audit, tmp_path: Path) -> None:
    image = tmp_path / "zeros.raw"
    image.write_bytes(bytes(16 * 4096))
    said = audit(image)
    assert said.code == 3
    assert "no page table was found" in said.err


def test_an_output_is_never_a_file_that_is_read_or_written_otherwise(audit, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(4096))
    (tmp_path / "link").symlink_to(image)
    (tmp_path / "hard").hardlink_to(image)
    policy = tmp_path / "policy.toml"
    policy.write_text("defaults = true", "utf-8")
    new = tmp_path / "new"
    for words in (
        (image, "--html", image),
        (image, "--html", tmp_path / "link"),
        (CLEAN, "--against", image, "--junit", tmp_path / "hard"),
        (image, "--policy", policy, "--sarif", policy),
        (image, "--junit", new, "--sarif", tmp_path / "." / "new"),
        (CLEAN, "--html", CLEAN / "scenario.json"),
        (CLEAN, "--html", CLEAN / "frames.bin"),
    ):
        said = audit(*words)
        assert (said.code, said.err.count("a file of its own was expected")) == (3, 1)
    assert image.read_bytes() == bytes(4096)
    assert not new.exists()


def test_links_pipes_and_devices_are_written_through(audit, tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "a.xml", tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(target)
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit(pipe.read_bytes)
        said = audit(CLEAN, "--junit", link, "--sarif", pipe, "--html", "/dev/null")
        assert json.loads(read.result(10))["version"] == "2.1.0"
    assert said.code == 0
    assert (link.is_symlink(), pipe.is_fifo(), Path("/dev/null").is_char_device()) == (True, True, True)
    assert ElementTree.parse(target).getroot().get("failures") == "0"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.xml", "link", "pipe"]


def test_a_full_device_is_bad_input(audit) -> None:
    said = audit(CLEAN, "--html", "/dev/full")
    assert (said.code, said.out) == (3, "")
    assert "--html /dev/full cannot be written: No space left on device." in said.err
    assert Path("/dev/full").is_char_device()


def test_a_root_named_by_hand_can_be_a_shadow_table(audit) -> None:
    ids = {}
    for guest in ("", ":guest"):
        rows = audit(CLEAN, "--root", f"x=x86:4:0x1000{guest}", "--json").document["results"]
        ids[guest] = {row["id"] for row in rows}
    assert "audit/disjoint/vm0/x" not in ids[""] | ids[":guest"]
    assert "audit/disjoint/x/vm0" in ids[":guest"] - ids[""]
    assert "audit/write-xor-execute/x" in ids[""] - ids[":guest"]


@pytest.mark.parametrize(
    ("policy", "options", "words"),
    [
        ("", ("--maxphyaddr", "32"), "addresses of 32 bits were expected"),
        ("maxphyaddr = 32", (), "addresses of 32 bits were expected"),
        ("encryption-bit = 32", (), "addresses below bit 32, the encryption bit, were expected"),
        ("encryption-bit = 33", ("--maxphyaddr", "33"), ""),
    ],
)
def test_memory_beyond_the_width_that_is_given_is_bad_input(audit, tmp_path, policy: str, options, words: str) -> None:
    memory = Memory()
    for name in (0xA0, 0xB0):
        memory.map(name, 4, 0, 0x100005)
    memory.frame(0x100005)[0] = 1
    (tmp_path / "policy.toml").write_text(f"defaults = true\n[machine]\n{policy}", "utf-8")
    photograph = memory.write_raw(tmp_path / "image")
    said = audit(
        photograph, "--policy", tmp_path / "policy.toml", *options,
        "--root", "a=npt:4:0xa0000", "--root", "b=npt:4:0xb0000",
    )  # fmt: skip
    assert said.code == (3 if words else 1)
    assert words in said.err


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_standard_output_that_is_closed_or_full_is_no_verdict(options) -> None:
    command = [sys.executable, "-m", "ringfence", "audit", str(SHARED), *options]
    read, write = os.pipe()
    os.close(read)
    with Path("/dev/full").open("wb") as full:
        for output, words in ((write, "Standard output was closed"), (full.fileno(), "No space left on device")):
            ended = subprocess.run(command, cwd=AUDIT.parents[1], stdout=output, stderr=subprocess.PIPE, text=True)
            assert (ended.returncode, ended.stderr.count("\n")) == (4, 1)
            assert words in ended.stderr
    os.close(write)


def test_an_interrupted_audit_keeps_nothing_and_says_so(audit, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ringfence.commands.audit.run", interrupt)
    said = audit(CLEAN)
    assert (said.code, said.out, said.err) == (2, "", "Interrupted, so nothing was decided.\n")


def test_a_width_that_replaces_the_photographs_is_noted(audit) -> None:
    assert "MAXPHYADDR is taken to be 39; the photograph says 40" in audit(CLEAN, "--maxphyaddr", "39").out
    assert "MAXPHYADDR" not in audit(CLEAN, "--maxphyaddr", "40").out


def test_the_image_that_a_folder_names_is_read_and_not_written(audit, tmp_path: Path) -> None:
    (tmp_path / "scenario.json").write_text('{"image": {"file": "memory.raw"}}', "utf-8")
    (tmp_path / "memory.raw").write_bytes(bytes(4096))
    said = audit(tmp_path, "--html", tmp_path / "memory.raw")
    assert (said.code, (tmp_path / "memory.raw").read_bytes()) == (3, bytes(4096))
    assert "a file of its own was expected" in said.err
