"""What can be named on the command line: theorems, actions, observers, assumptions; and what is not claimed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from inspect import cleandoc
from pkgutil import walk_packages
from typing import Final

from proofs.obligation import Json

Entry = dict[str, Json]
Catalogue = dict[str, list[Entry]]


@dataclass(frozen=True)
class Claim:
    """A theorem in words; `open_because` is empty where it is claimed."""

    name: str
    title: str
    words: str
    open_because: str = ""


_LATER: Final = "its actions or its proof come with a later version"

CLAIMS: Final = (
    Claim(
        "T1",
        "Spatial isolation",
        "The invariants hold initially and every action preserves them, for any number of frames, enclaves, CPUs and "
        "devices.",
    ),
    Claim(
        "T2",
        "Confidentiality",
        "Two states that differ only in the secrets of one enclave stay indistinguishable to everyone else under every "
        "action, named releases apart, after destruction included.",
    ),
    Claim(
        "T3",
        "Integrity",
        "What an enclave computes depends only on its own state, its inputs through the named channels, and the "
        "schedule.",
    ),
    Claim("T3c", "Consent", "Once initialised, an enclave's accessible memory and rights grow only by its own acts."),
    Claim("T4", "Secure measurement: injectivity", "Enclaves with equal MRENCLAVE have equal initial images."),
    Claim("T4b", "Secure measurement: behaviour", "Equal images and equal inputs give equal behaviour.", _LATER),
    Claim(
        "T5",
        "Keys and reports",
        "Keys are separated by identity and policy; a verified report names an enclave initialised with that image.",
        _LATER,
    ),
    Claim("T6", "Freshness", "An evicted page comes back unchanged, once, where it was, or not at all.", _LATER),
    Claim("T7", "TLB coherence", "No CPU uses a translation that the tables no longer grant.", _LATER),
    Claim("T8", "No residue", "Freed frames and left registers carry nothing of their former owner."),
    Claim(
        "T9",
        "Refinement",
        "Boot establishes the representation invariant and an initial state of the model. Every handler of the "
        "monitor, on every path and from every memory that satisfies the invariant, keeps it, returns what the model "
        "returns, and changes the abstracted state as the model says.",
    ),
    Claim(
        "T9h",
        "Hardware",
        "Walks, TLB fill, load, store, fetch and DMA over the real bits do what the steps of the model say.",
    ),
    Claim("T10", "Transport", "T1 to T8 carry over from model to monitor.", _LATER),
    Claim("T11", "Progress", "The normal VM can always get its memory back.", _LATER),
    Claim("T12", "Platforms", "T1 to T3 for each platform profile.", _LATER),
)

INVARIANTS: Final = tuple(f"I{number}" for number in range(1, 21))


def catalogue() -> Catalogue:
    """Everything by kind; asked of a worker, because it loads the specification."""
    package = import_module("model.hyperenclave")
    for module in walk_packages(package.__path__, f"{package.__name__}."):
        import_module(module.name)
    from model.hyperenclave.state import HYPERENCLAVE as SPECIFICATION

    stated = {name for item in SPECIFICATION.invariants.values() for name in item.identifiers}
    stated |= _identifiers(item.words for item in SPECIFICATION.postconditions.values())
    theorems: list[Entry] = [
        {"id": c.name, "title": c.title, "words": c.words, "claimed": not c.open_because, "reason": c.open_because}
        for c in CLAIMS
    ]
    return {
        "theorems": theorems,
        "actions": [{"id": a.name, "by": a.by, "words": cleandoc(a.words)} for a in SPECIFICATION.actions.values()],
        "observers": [{"id": o.name, "words": o.words} for o in SPECIFICATION.observers.values()],
        "assumptions": [
            {"id": a.identifier, "kind": a.kind, "statement": a.statement, "reason": a.reason}
            for a in SPECIFICATION.assumptions.values()
        ],
        "invariants": [{"id": name, "claimed": name in stated} for name in INVARIANTS],
    }


def _identifiers(texts: Iterable[str]) -> set[str]:
    return {name for text in texts for name in re.findall(r"\bI\d+\b", text)}
