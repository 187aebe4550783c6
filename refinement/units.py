"""T9 and T9h as units of work: one per entry into the monitor and nested format, one per contract.

Identifiers are ``T9/<entry>/path-k/<what>`` for EPT and ``T9/<entry>@npt/...`` for NPT; `what` is a clause of the
representation invariant in capitals, a component of the model, ``outcome``, ``operands``, ``conditions`` (what the
code requires on its way), ``coverage`` (the paths are all there are), ``choice`` (the monitor may answer like this,
or do nothing) or ``choices are public`` (secrets do not decide the path).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from model.hyperenclave.state import HYPERENCLAVE
from proofs.obligation import OBLIGATION, Call, Json, Obligation, Unit
from refinement.bits import NestedFormat

RLIMIT: Final = 60_000_000
SCOPE: Final[dict[str, Json]] = {
    "frames": "any number of 40 bits",
    "enclaves": "any of 52 bits",
    "pages": "any of 36 bits",
    "cpus": "any number up to 512",
    "words": "64 bits",
}
ASSUMPTIONS: Final = {
    "T9": ("ideal-hash", "counting", "sigstruct-signature", "machine-primitives", "launch", "atomic-calls", "solver"),
    "T9h": ("hardware", "machine-primitives", "solver"),
}
"""What the obligations of a theorem rest on; axioms of other assumptions are proved of the interpretation."""
FORMS: Final = tuple(NestedFormat)


def units() -> list[Unit]:
    """Everything of T9, the entries with the most paths first."""
    from refinement.contracts.handlers import ENTRIES

    found = [_entry(e.name, form) for form in FORMS for e in ENTRIES]
    found += [_contract(name) for name in contract_names()]
    found += [_hardware(name, form) for form in FORMS for name in hardware_names()]
    return found


def _hardware(name: str, form: NestedFormat) -> Unit:
    call = Call("refinement.units:hardware", {"name": name, "form": form.name})
    place = f"{name}{suffix(form)}"
    return Unit(f"T9h {place}", ("T9h",), call, action=action_of(name), yields=(f"T9h/{place}/*",))


def hardware_names() -> list[str]:
    """Walks, and what hardware does with them."""
    from refinement.simulation.hardware import OPERATIONS

    return [*WALKS, NORMAL_WALK, *(operation.name for operation in OPERATIONS)]


def hardware(name: str, form: str) -> Iterator[Obligation]:
    """The obligations of one walk, or of one operation of hardware."""
    from refinement.simulation import hardware as operations
    from refinement.simulation import normal_walk, walks

    nested = NestedFormat[form]
    words = "hardware does over real bits what the model's step says"
    if name == NORMAL_WALK:
        words = "a walk for the normal VM ends in a leaf of its nested table, whatever its own tables say"
        claims = normal_walk.claims(nested)
    elif name == "guest_walk":
        claims = walks.guest_claims(name, nested)
    elif name in WALKS:
        claims = walks.walk_claims(name, nested)
    else:
        claims = operations.claims(name, nested)
    yield from obligations(claims, nested, words, action_of(name))


WALKS: Final = ("nested_walk", "io_walk", "guest_walk")
NORMAL_WALK: Final = "normal_walk"


def _entry(name: str, form: NestedFormat) -> Unit:
    place = f"{name}{suffix(form)}"
    call = Call("refinement.units:entry", {"name": name, "form": form.name})
    return Unit(f"T9 {place}", ("T9",), call, action=action_of(name), yields=(f"T9/{place}/*",))


def _contract(name: str) -> Unit:
    call = Call("refinement.units:contract", {"name": name})
    yields = tuple(f"T9/contract{suffix(form)}/{name}/*" for form in FORMS)
    return Unit(f"T9 contract {name}", ("T9",), call, yields=yields)


def suffix(form: NestedFormat) -> str:
    """What follows the name of an entry in identifiers: nothing for EPT."""
    return "" if form is NestedFormat.EPT else f"@{form.name.lower()}"


def action_of(name: str) -> str:
    """The action of the model that the entry refines, as far as one name says it."""
    stem = name.split("@")[0]
    names = {
        "enter": "enter_check",
        "resume": "enter_check",
        "complete_entry": "enter_commit",
        "exit": "enclave_step",
        "exception": "fault",
        "enclave_load": "enclave_step",
        "enclave_fetch": "enclave_step",
        "enclave_store": "enclave_step",
        "normal_fetch": "normal_load",
        "normal_walk": "normal_fill",
        "dma_load": "device_read",
        "dma_store": "device_write",
        "remove_page": "remove_page_at_destroy",
        "remove_pages_at_destroy": "remove_page_at_destroy",
    }
    known = names.get(stem, "fault" if stem.startswith("fault_") else stem)
    return known if known in HYPERENCLAVE.actions else ""


def entry(name: str, form: str) -> Iterator[Obligation]:
    """The obligations of one entry: invariant and simulation on each of its paths."""
    from refinement.contracts.handlers import ENTRIES, preservation
    from refinement.simulation.prove import claims, paths_of, setting_of

    (chosen,) = (e for e in ENTRIES if e.name == name)
    nested = NestedFormat[form]
    setting = setting_of(chosen, nested)
    paths = paths_of(chosen, setting)
    words = f"on this path the monitor's {name} does what the model says"
    kept = "this clause of the invariant is kept"
    yield from obligations(preservation(chosen, setting, paths), nested, kept, action_of(name))
    yield from obligations(claims(chosen, setting, paths), nested, words, action_of(name))


def contract_names() -> list[str]:
    """The contracts that are proved apart."""
    from refinement.contracts.proofs import LEMMAS

    return [*(lemma.name for lemma in LEMMAS), "unmap_range"]


def contract(name: str) -> Iterator[Obligation]:
    """The obligations of one contract, on real table words."""
    from refinement.contracts import proofs
    from refinement.contracts.loops import LOOPS
    from refinement.contracts.setting import Setting
    from refinement.simulation import table_proofs

    words = "the real code does what its callers are told"
    if name == "unmap_range":
        for form in FORMS:
            yield from obligations(proofs.unmap_range_claims(Setting(form, True, LOOPS)), form, words)
        return
    (lemma,) = (x for x in proofs.LEMMAS if x.name == name)
    for form in FORMS:
        setting = Setting(form, False, LOOPS)
        yield from obligations(proofs.lemma_claims(lemma, setting), form, words)
        yield from obligations(table_proofs.lemma_claims(lemma, setting), form, words)


def obligations(claims: Iterable[object], form: NestedFormat, words: str, action: str = "") -> Iterator[Obligation]:
    """Claims, named like ``T9/<entry>/<what>``, as obligations."""
    from refinement.engine.obligations import Claim

    seen: set[str] = set()
    for claim in claims:
        if not isinstance(claim, Claim):
            raise TypeError(f"{claim!r} is no claim")
        theorem, name, what = claim.name.split("/", 2)
        identifier = f"{theorem}/{name}{suffix(form)}/{what}"
        if identifier in seen:
            raise ValueError(f"{identifier} is made twice")
        seen.add(identifier)
        yield Obligation(
            id=identifier,
            kind=OBLIGATION,
            theorem=theorem,
            action=action,
            observer="",
            words=f"{words}: {what}",
            text=claim.text.removesuffix("(check-sat)\n"),
            scope=SCOPE | {"nested tables": form.name},
            assumptions=ASSUMPTIONS[theorem],
            rlimit=RLIMIT,
            explain=Call("refinement.counterexample:explain"),
        )
