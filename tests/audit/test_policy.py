from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from audit.photograph import BadInputError, Kind, Machine, Root
from audit.policy import (
    ANY,
    Disjoint,
    Domain,
    Owned,
    OwnerMap,
    Policy,
    Reserved,
    Tables,
    WriteXorExecute,
    defaults,
    group,
)
from audit.policy_file import read_policy
from audit.ranges import Ranges
from audit.reach import Rights

ROOTS = (
    Root("cpu0", Kind.X86, 4, 0x66AB),
    Root("cpu0-kernel-half", Kind.X86, 4, 0x66AA),
    Root("cpu1", Kind.X86, 4, 0x6631),
    Root("vm0", Kind.NPT, 4, 0x2AC3, guest=True),
    Root("vm0-guest", Kind.X86, 4, 1, "vm0", guest=True),
    Root("vm1", Kind.X86, 4, 0x2A91, guest=True),
)


def read(tmp_path: Path, text: str) -> Policy:
    file = tmp_path / "policy.toml"
    file.write_text(text, "utf-8")
    found = read_policy(file)
    found.machine(Machine())
    return found.policy(ROOTS, lambda _: True)


def test_roots_that_belong_together_are_one_domain() -> None:
    assert group(ROOTS, lambda _: True) == (
        Domain("cpu0", ("cpu0", "cpu0-kernel-half")),
        Domain("cpu1", ("cpu1",)),
        Domain("vm0", ("vm0", "vm0-guest")),
        Domain("vm1", ("vm1",)),
    )


def test_two_cpus_in_one_address_space_are_one_domain() -> None:
    roots = Root("cpu0", Kind.X86, 4, 7), Root("cpu1", Kind.X86, 4, 7)
    assert group(roots, lambda _: False) == (Domain("cpu0", ("cpu0", "cpu1")),)


def test_tables_side_by_side_that_are_no_halves_are_two_domains() -> None:
    roots = Root("a", Kind.X86, 4, 6), Root("b", Kind.X86, 4, 7)
    assert group(roots, lambda _: False) == (Domain("a", ("a",)), Domain("b", ("b",)))


def test_two_virtual_cpus_of_one_nested_table_are_one_domain() -> None:
    inner = Root("g1", Kind.X86, 4, 9, "b", guest=True)
    roots = (Root("a", Kind.EPT, 4, 5, guest=True), Root("b", Kind.EPT, 4, 5, guest=True), inner)
    assert group(roots, lambda _: False) == (Domain("a", ("a", "b", "g1")),)


def test_defaults_bind_guests_and_the_machines_own_address_spaces() -> None:
    demands = defaults(ROOTS, lambda _: True).demands
    pairs = [(d.first, d.second, d.user) for d in demands if isinstance(d, Disjoint)]
    assert pairs == [("vm0", "vm1", False), ("cpu0", "cpu1", True)]
    assert [d.domains for d in demands if isinstance(d, Tables)] == [("vm0", "vm1"), ("cpu0", "cpu1")]
    assert [d.domain for d in demands if isinstance(d, WriteXorExecute)] == ["cpu0", "cpu1"]


def test_a_policy_says_what_each_clause_says(tmp_path: Path) -> None:
    policy = read(
        tmp_path,
        """
        [domain.host]
        roots = ["cpu0", "cpu1"]
        [domain.vm0]
        roots = ["vm0", "vm0-guest"]
        [domain.vm1]
        roots = ["vm1"]
        [[disjoint]]
        domains = ["vm0", "vm1"]
        by = ["write"]
        against = ["read", "write", "execute"]
        [[shared]]
        domains = ["vm0", "vm1"]
        ranges = [[0x5000, 0x7000]]
        rights = ["read"]
        [[reserved]]
        name = "firmware"
        except = ["host"]
        ranges = [[0xF0000, 0x100000], [0x9F000, 0xA0000]]
        [owner-map]
        except = ["host"]
        [[owner-map.entries]]
        owner = "vm1"
        ranges = [[0x200000, 0x201000]]
        rights = ["read", "write"]
        """,
    )
    assert [domain.name for domain in policy.domains] == ["host", "vm0", "vm1"]
    disjoint, reserved, owners = policy.demands
    assert disjoint == Disjoint("", "vm0", "vm1", Rights.WRITE, ANY)
    assert isinstance(reserved, Reserved)
    assert (reserved.domains, list(reserved.ranges)) == (("vm0", "vm1"), [(0x9F, 0xA0), (0xF0, 0x100)])
    assert isinstance(owners, OwnerMap)
    (entry,) = owners.entries
    assert isinstance(entry, Owned)
    assert (entry.owner, entry.rights, list(entry.ranges)) == ("vm1", Rights.READ | Rights.WRITE, [(0x200, 0x201)])
    assert list(policy.shared[0].ranges) == list(Ranges.between([(5, 7)]))


def test_defaults_fill_in_what_the_file_does_not_say(tmp_path: Path) -> None:
    policy = read(tmp_path, 'defaults = true\n[[disjoint]]\ndomains = ["vm0", "vm1"]\nby = ["read"]')
    found = [d for d in policy.demands if isinstance(d, Disjoint)]
    assert [(d.first, d.second, d.by) for d in found] == [
        ("vm0", "vm1", Rights.READ),
        ("cpu0", "cpu1", Rights.WRITE),
    ]


def test_the_policy_corrects_what_the_photograph_says_of_the_machine(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("[machine]\nmaxphyaddr = 40\nencryption-bit = 47", "utf-8")
    assert read_policy(file).machine(Machine(maxphyaddr=52)) == Machine(maxphyaddr=40, encryption_bit=47)
    file.write_text("", "utf-8")
    assert read_policy(file).machine(Machine(maxphyaddr=36)) == Machine(maxphyaddr=36)


def test_no_root_has_to_be_found_if_all_are_given_by_address(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('[root.x]\nkind = "ept"\nlevels = 4\naddress = 0\n[domain.a]\nroots = ["x"]', "utf-8")
    assert read_policy(file).stands_alone
    file.write_text('[domain.a]\nroots = ["vm0"]', "utf-8")
    assert not read_policy(file).stands_alone


def test_a_root_can_be_named_by_address(tmp_path: Path) -> None:
    policy = read(
        tmp_path, 'defaults = true\n[root.x]\nkind = "ept"\nlevels = 5\naddress = 0x7000\n[domain.x]\nroots = ["x"]'
    )
    (added,) = policy.roots
    assert (added.kind, added.levels, added.frame, added.guest) == (Kind.EPT, 5, 7, True)


PAIR = '[[disjoint]]\ndomains = ["vm0", "vm1"]\n'
RANGE = "ranges = [[0x1000, 0x2000]]\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = ", "is not TOML"),
        ("x = " + "[" * 5000, "is not TOML"),
        ("x = " + "9" * 5000, "is not TOML"),
        ("[machine]\nmaxphyaddr = 0x" + "f" * 5000, "a number has more than 64 bits"),
        ("a." * 100_000 + "a = 1", "a key has more parts"),
        ('"""\n\\' * 50_000, "is not TOML"),
        ("'a' . \"b\"." * 10 + "c = 1", "a key has more parts"),
        ("#" * (1 << 20) + "#", "at most 1048576 bytes"),
        ("[[tables]]\n" * 600, "600 tables [[tables]]; at most 512"),
        ("\n".join(f"[root.r{n}]" for n in range(5000)), "5000 tables [root.NAME]; at most 4096"),
        ("defaults = '" + "x" * 10_000 + "'", "xxx'; true or false was expected"),
        ('[domain."a\\u001b"]', "at most 200 printable characters"),
        ('[[tables]]\nname = "a\\nb"', "at most 200 printable characters"),
        ('[[tables]]\nname = "a/b"', "without a slash"),
        (f'[[reserved]]\nname = "x y"\n{RANGE}[[reserved]]\nname = "x-y"\n{RANGE}', "a name that no other"),
        ('[[tables]]\nname = "x y"\n[[tables]]\nname = "x-y"', "give them names that differ"),
        (PAIR + PAIR + "user = true", "already disjoint"),
        ("", "demands nothing"),
        ('[domain.a]\nroots = ["vm0"]', "demands nothing"),
        ("[[disjont]]\n", "unknown key 'disjont'; perhaps 'disjoint' is meant"),
        ('[[disjoint]]\ndomain = ["vm0"]', "[[disjoint]] number 1: unknown key 'domain'; perhaps 'domains' is meant"),
        ('[[disjoint]]\ndomains = ["vm0", "wm1"]', "names 'wm1', which does not exist; perhaps 'vm1' is meant"),
        ('[[disjoint]]\ndomains = ["vm0"]', "fewer than two"),
        ('[[disjoint]]\ndomains = ["vm0", "vm0"]', "twice"),
        ("[[disjoint]]\ndomains = 7", "'domains' is 7; a list of texts was expected"),
        (PAIR + 'by = ["writ"]', "perhaps 'write' is meant"),
        (PAIR + "by = []", "nothing could ever be found"),
        (PAIR + PAIR, "[[disjoint]] number 2: 'vm0' and 'vm1' are already disjoint"),
        (PAIR + '[[shared]]\ndomains = ["vm0", "vm1"]', "contradicts being disjoint"),
        (PAIR + '[[shared]]\ndomains = ["vm0", "vm1"]\nranges = [[0x1000, 0x1000]]', "first < end was expected"),
        (PAIR + '[[shared]]\ndomains = ["vm0", "vm1"]\nranges = [[0x1001, 0x2000]]', "multiples of 0x1000"),
        (
            PAIR + '[[shared]]\ndomains = ["vm0", "vm1"]\nranges = [[0, 0x4000], [0x3000, 0x5000]]',
            "overlaps itself at 0x3000",
        ),
        ("[[reserved]]\n" + RANGE, "'name' is missing"),
        ('[[reserved]]\nname = "m"\nexcept = ["cpu0"]\ndomains = ["vm0"]\n' + RANGE, "not both"),
        ('[[reserved]]\nname = "m"\nranges = [[-4096, 4096]]', "in bytes with first < end"),
        ('[[reserved]]\nname = "m"\nexcept = ["cpu0", "cpu1", "vm0", "vm1"]\n' + RANGE, "binds no domain"),
        (
            f'[[reserved]]\nname = "m"\n{RANGE}[[reserved]]\nname = "n"\nrights = ["write"]\n{RANGE}',
            "0x1000 is also reserved by 'm'",
        ),
        (
            f'[[reserved]]\nname = "m"\n{RANGE}[[shared]]\ndomains = ["vm0", "vm1"]\n{RANGE}',
            "shared here and reserved",
        ),
        ('[domain.a]\nroots = ["vm9"]', "names 'vm9', which does not exist"),
        ('[domain.a]\nroots = ["vm0"]\n[domain.b]\nroots = ["vm0"]', "already belongs to the domain 'a'"),
        ("[domain.a]\nroots = []", "at least one root"),
        ("domain = 3", "a table [domain] was expected"),
        ("[domain]\na = 3", "a table [domain.a] was expected"),
        ('[root.vm0]\nkind = "npt"\nlevels = 4\naddress = 0', "[root.vm0]: two roots are called 'vm0'"),
        ('[root.a]\nkind = "nested"\nlevels = 4\naddress = 0', "one of x86, npt, ept was expected"),
        ('[root.a]\nkind = "npt"\nlevels = 3\naddress = 0', "a number from 4 to 5"),
        ('[root.a]\nkind = "npt"\nlevels = 4\naddress = 0x123', "a multiple of 0x1000"),
        ('[root.a]\nkind = "x86"\nlevels = 4\naddress = 0\ninside = "vm2"', "perhaps 'vm1' is meant"),
        ('[root.a]\nkind = "x86"\nlevels = 4\naddress = 0\ninside = "cpu0"', "inside a nested table"),
        ('[root.a]\nkind = "npt"\nlevels = 5\naddress = 0x2AC3000', "'vm0' has one of 4"),
        ("[machine]\nmaxphyaddr = 60", "a number from 32 to 52"),
        ("[machine]\nmaxphyaddr = true", "'maxphyaddr' is True"),
        ('[machine]\nmalformed = "no"', '"allow" or "forbid"'),
        ("defaults = 1", "true or false"),
        ("[owner-map]\nentries = []", "nothing could ever be found"),
        ('[owner-map]\n[[owner-map.entries]]\nowner = "vm7"\n' + RANGE, "names 'vm7', which does not exist"),
        (
            f'[owner-map]\n[[owner-map.entries]]\nowner = "vm0"\n{RANGE}[[owner-map.entries]]\nowner = ""\n{RANGE}',
            "two entries say who owns 0x1000",
        ),
        ("[[write-xor-execute]]\n[[write-xor-execute]]", "give them names that differ"),
        ('[[user]]\nforbidden = ["middle"]', "'middle', which does not exist"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadInputError) as caught:
        read(tmp_path, text)
    sentence = str(caught.value)
    assert words in sentence
    assert sentence.startswith(str(tmp_path / "policy.toml"))
    assert "\n" not in sentence
    assert len(sentence) < 600


def test_a_policy_that_is_no_file_is_bad_input(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing.toml", ".", "pipe", "/dev/zero"):
        with pytest.raises(BadInputError, match="cannot be read"):
            read_policy(tmp_path / name)


def test_a_policy_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeffdefaults = true").demands


def test_dots_in_strings_and_comments_are_no_parts_of_a_key(tmp_path: Path) -> None:
    dots = "." * 40
    text = f'[[tables]] # {dots}\nname = "{dots}"\n[[tables]]\nname = """\\"{dots}"""\n[[tables]]\nname = \'{dots} \''
    assert [demand.name for demand in read(tmp_path, text).demands] == [dots, f'"{dots}', f"{dots} "]


def test_a_policy_that_is_not_text_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInputError, match="not TOML"):
        read_policy(tmp_path / "p.toml")


def test_the_policy_in_the_document_is_one(tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "audit.md").read_text("utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", document, re.DOTALL)
    policy = read(tmp_path, example)
    assert {type(demand).__name__ for demand in policy.demands} == {
        "Disjoint", "Reserved", "Tables", "WriteXorExecute", "User", "OwnerMap",
    }  # fmt: skip
