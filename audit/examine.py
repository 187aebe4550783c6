"""One audit from beginning to end: roots, policy, walks, rulings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

from audit.decide import Decision, decide
from audit.formats import options_of
from audit.party import Party, walk_all
from audit.photograph import BadInputError, Machine, Photograph, Root, Say
from audit.policy import DOMAINS_MOST, Domain, Policy, defaults, group
from audit.policy_file import PolicyFile, read_policy
from audit.reach import Reach
from audit.roots import are_halves, check_roots, find_roots
from audit.walk import reach

MOST_LEFT_OUT: Final = 20  # candidates for roots that were left out; all are counted


@dataclass(frozen=True)
class Told:
    """What the user says beside the photograph.

    policy: a file, or None for the defaults.  roots: beside those of the photograph, or in their place if it names
    none.  maxphyaddr: width of physical addresses, whatever photograph and policy say.  levels: of nested tables of
    AMD that are found.
    """

    policy: Path | None = None
    roots: tuple[Root, ...] = ()
    maxphyaddr: int | None = None
    levels: int | None = None


def examine(photograph: Photograph, told: Told, say: Say) -> Decision:
    """Decide the policy in a file, or the defaults, on a photograph; raises BadInputError."""
    file, machine, roots, left_out = _begin(photograph, told, say)
    halves = partial(are_halves, photograph)
    if file is None:
        _check(photograph, roots, group(roots, halves), left_out)
    policy = file.policy(roots, halves) if file else defaults(roots, halves)
    roots = (*roots, *policy.roots)
    _check(photograph, roots, policy.domains, left_out)
    parties = _walked(photograph, policy.domains, machine, roots, say)
    say("deciding")
    decision = decide(policy, parties)
    return replace(decision, notes=(*decision.notes, *_notes(photograph, machine, policy, roots), *left_out))


def survey(photograph: Photograph, told: Told, domains: Sequence[Domain], say: Say) -> tuple[Party, ...]:
    """What these domains reach, as far as the photograph has their roots; other roots are domains as by default."""
    file, machine, roots, left_out = _begin(photograph, told, say)
    if file:
        file.check_roots(roots)
        roots = (*roots, *file.added)
    names = {root.name for root in roots}
    known = [Domain(d.name, tuple(name for name in d.roots if name in names)) for d in domains]
    taken = {name for domain in known for name in domain.roots}
    others = group([root for root in roots if root.name not in taken], partial(are_halves, photograph))
    found = (*(domain for domain in known if domain.roots), *others)
    _check(photograph, roots, found, left_out)
    return _walked(photograph, found, machine, roots, say)


def _begin(
    photograph: Photograph, told: Told, say: Say
) -> tuple[PolicyFile | None, Machine, tuple[Root, ...], tuple[str, ...]]:
    """The policy, the machine, all roots but the policy's, and what was no root, in words."""
    file = read_policy(told.policy) if told.policy else None
    machine = file.machine(photograph.machine) if file else photograph.machine
    machine = replace(machine, maxphyaddr=told.maxphyaddr or machine.maxphyaddr, levels=told.levels)
    _check_widths(photograph, machine)
    say("finding roots")
    alone = bool(told.roots) or (file is not None and file.stands_alone)
    left_out: list[str] = []
    found = machine.roots if alone else find_roots(photograph, machine, left_out.append)
    more = len(left_out) - MOST_LEFT_OUT
    if more > 0:
        left_out[MOST_LEFT_OUT:] = [f"and {more} more candidate{'s' * (more != 1)} for roots left out"]
    check_roots((*found, *(file.added if file else ())), told.roots, lambda root: f"--root {root.name}")
    return file, machine, (*told.roots, *found), tuple(left_out)


def _check_widths(photograph: Photograph, machine: Machine) -> None:
    """Refuse a number of address bits that the frames in the photograph contradict."""
    needed = max(photograph.end - 1, 0).bit_length() + 12
    for bits, words in (
        (machine.maxphyaddr, f"addresses of {machine.maxphyaddr} bits"),
        (machine.encryption_bit, f"addresses below bit {machine.encryption_bit}, the encryption bit,"),
    ):
        if bits is not None and bits < needed:
            last = (photograph.end << 12) - 1
            raise BadInputError(f"{photograph.name}: {words} were expected, but it holds memory up to {last:#x}")


def _walked(
    photograph: Photograph, domains: Sequence[Domain], machine: Machine, roots: Sequence[Root], say: Say
) -> tuple[Party, ...]:
    options = options_of(machine)

    def walk(root: Root, nested: Reach | None) -> Reach:
        say(f"walking {root.name}")
        return reach(photograph, root, options, nested)

    return walk_all(photograph, domains, roots, walk, machine.maxphyaddr is not None)


def _check(photograph: Photograph, roots: Sequence[Root], domains: Sequence[Domain], left_out: Sequence[str]) -> None:
    """One sentence for what no walk could begin with."""

    def refuse(what: str) -> NoReturn:
        raise BadInputError(f"{photograph.name}: {what}.")

    if not roots:
        why = f" ({left_out[0]})" if left_out else ""
        refuse(
            f"no page table was found in it{why}; name a root in a policy or with --root, such as --root"
            " vm0=npt:4:0x2ac3000"
        )
    if len(domains) > DOMAINS_MOST:
        refuse(f"{len(domains)} domains, of which each pair would be decided; at most {DOMAINS_MOST} were expected")
    names = [root.name for root in roots]
    counts = Counter(names)
    for root in roots:
        if not root.name.isprintable() or "/" in root.name:
            refuse(f"a root is called {root.name!r}; printable characters without a slash were expected")
        if counts[root.name] > 1:
            refuse(f"two roots are called {root.name!r}; names that differ were expected")


def _notes(photograph: Photograph, machine: Machine, policy: Policy, roots: Sequence[Root]) -> Iterator[str]:
    """On the width of addresses, on roots that had to be found, and on those that no domain has."""
    if machine.maxphyaddr is None:
        yield (
            "MAXPHYADDR is not known and taken to be 52, so leaves to frames beyond the photograph may be marks of a"
            " hypervisor; give --maxphyaddr, or maxphyaddr in a policy"
        )
    elif photograph.machine.maxphyaddr not in (None, machine.maxphyaddr):
        yield f"MAXPHYADDR is taken to be {machine.maxphyaddr}; the photograph says {photograph.machine.maxphyaddr}"
    if not photograph.machine.roots:
        for root in roots:
            if root.why:
                yield f"{root.name}, {root.levels} levels: {root.why}{root.doubt and '; '}{root.doubt}"
    used = {name for domain in policy.domains for name in domain.roots}
    left = [root.name for root in roots if root.name not in used]
    if left:
        yield f"roots in no domain, so nothing is demanded of them: {', '.join(left)}"
