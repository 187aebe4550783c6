"""T9 and T9h as units of work: one per entry into the monitor and nested format, one per contract.

Identifiers are ``T9/<entry>/path-k/<what>`` for EPT and ``T9/<entry>@npt/...`` for NPT; `what` is a clause of the
representation invariant in capitals, a component of the model, ``outcome``, ``operands``, ``conditions`` (what the
code requires on its way), ``coverage`` (the paths are all there are), ``choice`` (the monitor may answer like this) or
``choices are public`` (secrets do not decide the path).
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

    return [*WALKS, *(operation.name for operation in OPERATIONS)]


def hardware(name: str, form: str) -> Iterator[Obligation]:
    """The obligations of one walk, or of one operation of hardware."""
    from refinement.simulation import hardware as operations
    from refinement.simulation import walks

    nested = NestedFormat[form]
    words = "hardware does over real bits what the model's step says"
    if name == "guest_walk":
        yield from _obligations(walks.guest_claims(name, nested), name, nested, words)
    elif name in WALKS:
        yield from _obligations(walks.walk_claims(name, nested), name, nested, words)
    else:
        yield from _obligations(operations.claims(name, nested), name, nested, words)


WALKS: Final = ("nested_walk", "io_walk", "guest_walk")


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
    yield from _obligations(preservation(chosen, setting, paths), name, nested, "this clause of the invariant is kept")
    yield from _obligations(claims(chosen, setting, paths), name, nested, words)


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

    nested = NestedFormat.EPT
    words = "the real code does what its callers are told"
    if name == "unmap_range":
        yield from _obligations(proofs.unmap_range_claims(Setting(nested, True, LOOPS)), name, nested, words)
        return
    (lemma,) = (x for x in proofs.LEMMAS if x.name == name)
    for form in FORMS if name in FORM_DEPENDENT else (nested,):
        setting = Setting(form, False, LOOPS)
        yield from _obligations(proofs.lemma_claims(lemma, setting), name, form, words)
        yield from _obligations(table_proofs.lemma_claims(lemma, setting), name, form, words)


FORM_DEPENDENT: Final = ("map_own_table", "map_guest")
"""Contracts whose code writes nested leaves of its own."""


def _obligations(claims: Iterable[object], name: str, form: NestedFormat, words: str) -> Iterator[Obligation]:
    from refinement.engine.obligations import Claim

    seen: set[str] = set()
    for claim in claims:
        if not isinstance(claim, Claim):
            raise TypeError(f"{claim!r} is no claim")
        head, what = f"{'/'.join(claim.name.split('/')[:2])}", claim.name.split("/", 2)[2]
        identifier = f"{head}{suffix(form)}/{what}"
        if identifier in seen:
            raise ValueError(f"{identifier} is made twice")
        seen.add(identifier)
        yield Obligation(
            id=identifier,
            kind=OBLIGATION,
            theorem=claim.name.split("/")[0],
            action=action_of(name),
            observer="",
            words=f"{words}: {what}",
            text=claim.text.removesuffix("(check-sat)\n"),
            scope=SCOPE | {"nested tables": form.name},
            rlimit=RLIMIT,
            explain=Call("refinement.counterexample:explain"),
        )
