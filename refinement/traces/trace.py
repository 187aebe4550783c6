"""The JSON form of a trace, and what is said about one that is malformed.

    {"schema": "ringfence-trace-1", "words": "...", "configuration": {"nested": "EPT", "cpus": 2, ...},
     "steps": [{"action": "call", "cpu": 0, "number": 16, "cpl": 0, "rdi": 18446603336221196288}, ...]}

Numbers are non-negative integers; addresses are in bytes, pages and frames are numbers of 4 KiB units, an index counts
64-bit words of a page.  `configuration` may leave out what has the default value of `STANDARD`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final, cast

from impl.machine.layout import Configuration, Layout
from impl.machine.primitives import NestedFormat
from impl.machine.registers import GENERAL
from proofs.obligation import BadInputError, Json

SCHEMA: Final = "ringfence-trace-1"

STANDARD: Final = Configuration(
    memory_frames=112, reserved_first=40, core_frames=1, pool_frames=48, epc_frames=12, device_first=108,
    device_end=112, cpus=2,
)  # fmt: skip
"""Small, so that every frame can be compared after every step."""

CPU: Final = 9
PAGE: Final = 36
FRAME: Final = 40
INDEX: Final = 9
WORD: Final = 64
LOW_ADDRESS: Final = 47

ACTIONS: Final[Mapping[str, Mapping[str, int]]] = {
    "call": {"cpu": CPU, "number": 32, "cpl": 2, "rdi": WORD, "rbx": WORD, "rcx": WORD},
    "complete": {"cpu": CPU},
    "registers": {"cpu": CPU},
    "fill": {"cpu": CPU, "page": PAGE},
    "evict": {"cpu": CPU, "page": PAGE},
    "load": {"cpu": CPU, "page": PAGE, "index": INDEX},
    "fetch": {"cpu": CPU, "page": PAGE, "index": INDEX},
    "store": {"cpu": CPU, "page": PAGE, "index": INDEX, "value": WORD},
    "fault": {"cpu": CPU, "address": LOW_ADDRESS, "access": 3},
    "trap": {"cpu": CPU, "vector": 5},
    "interrupt": {"cpu": CPU, "vector": 8},
    "dma_read": {"frame": FRAME, "index": INDEX},
    "dma_write": {"frame": FRAME, "index": INDEX},
}
"""Every action with the widths of its numbers in bits.

call: VMCALL with these registers; `changes` is memory that others change before the monitor's n-th fetch.
complete: second step of EENTER or ERESUME.  registers: instructions that set registers, `values` by number.
fill, evict: the TLB.  load, fetch, store: through the TLB.  fault: an access of the enclave that is not translated
(access 1 read, 2 write, 4 execute).  trap: an exception that is no page fault.  dma_write: `words` from `index` on.
"""

OPTIONAL: Final = ("rdi", "rbx", "rcx", "cpl")
CHANGE: Final = {"fetch": WORD, "frame": FRAME, "index": INDEX, "value": WORD}
ACCESSES: Final = (1, 2, 4)
SETTABLE: Final = (*GENERAL, 16, 17, 18, 19, 20)
"""General registers, RIP, RFLAGS, FS and GS base, and CR3 (of the normal VM only)."""


@dataclass(frozen=True)
class Change:
    """Before the monitor's fetch number `fetch` of this call, others write `value` to word `index` of `frame`."""

    fetch: int
    frame: int
    index: int
    value: int


@dataclass(frozen=True)
class Step:
    """One action: its numbers by name, and for those that have them words, register values or changes."""

    action: str
    numbers: Mapping[str, int]
    words: tuple[int, ...] = ()
    values: tuple[tuple[int, int], ...] = ()
    changes: tuple[Change, ...] = ()

    def __getitem__(self, name: str) -> int:
        return self.numbers.get(name, 0)

    def to_json(self) -> dict[str, Json]:
        """As it stands in a file."""
        record: dict[str, Json] = {"action": self.action, **self.numbers}
        if self.action == "dma_write":
            record["words"] = list(self.words)
        if self.action == "registers":
            record["values"] = {str(number): value for number, value in self.values}
        if self.changes:
            record["changes"] = [asdict(change) for change in self.changes]
        return record


@dataclass(frozen=True)
class Trace:
    """A machine and the steps taken on it after boot; `words` says what it shows."""

    steps: tuple[Step, ...]
    words: str = ""
    nested: NestedFormat = NestedFormat.EPT
    configuration: Configuration = STANDARD

    def to_json(self) -> dict[str, Json]:
        """As it stands in a file."""
        standard = asdict(STANDARD)
        changed = {name: value for name, value in asdict(self.configuration).items() if value != standard[name]}
        return {
            "schema": SCHEMA,
            "words": self.words,
            "configuration": {"nested": self.nested.name, **changed},
            "steps": [step.to_json() for step in self.steps],
        }

    def save(self, path: Path) -> None:
        """Write the file, one step per line, all of it or nothing."""
        record = self.to_json()
        record.pop("steps")
        head = json.dumps(record, indent=1)[:-2]
        steps = ",\n  ".join(json.dumps(step.to_json()) for step in self.steps)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(f'{head},\n "steps": [\n  {steps}\n ]\n}}\n', "utf-8")
        partial.replace(path)


def load(path: Path) -> Trace:
    """Read a trace; whatever is wrong with it is a `BadInputError` of one sentence."""
    try:
        content: object = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadInputError(f"The trace {path.name} cannot be read: {error.strerror}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadInputError(f"The trace {path.name} is not complete JSON: {error}.") from error
    except RecursionError as error:
        raise BadInputError(f"The trace {path.name} is nested too deeply for a trace.") from error
    return trace_from(content, path.name)


def trace_from(content: object, name: str) -> Trace:
    """The trace in a decoded JSON value; `name` is that of its file."""
    table = _table(content, f"The trace {name}")
    if table.get("schema") != SCHEMA:
        raise BadInputError(f"The trace {name} has the schema {table.get('schema')!r}, expected {SCHEMA!r}.")
    unknown = sorted(set(table) - {"schema", "words", "configuration", "steps"})
    if unknown:
        raise BadInputError(f"The trace {name} has a field {unknown[0]!r}, which no trace has.")
    words, steps = table.get("words", ""), table.get("steps")
    if not isinstance(words, str):
        raise BadInputError(f"The trace {name}: words is {words!r}, expected a text.")
    if not isinstance(steps, list):
        raise BadInputError(f"The trace {name}: steps is missing or no list.")
    nested, configuration = _configuration(table.get("configuration", {}), f"The trace {name}, configuration")
    listed = cast("list[object]", steps)
    read = tuple(_step(item, f"The trace {name}, step {k}", configuration) for k, item in enumerate(listed, 1))
    return Trace(read, words, nested, configuration)


def _configuration(content: object, place: str) -> tuple[NestedFormat, Configuration]:
    table = dict(_table(content, place))
    nested = table.pop("nested", "EPT")
    if nested not in NestedFormat.__members__:
        raise BadInputError(f"{place}: nested is {nested!r}, expected EPT or NPT.")
    known = {field.name for field in fields(Configuration)}
    for name in table:
        if name not in known:
            raise BadInputError(f"{place}: there is no {name!r}, only {', '.join(sorted(known))}.")
    numbers = {name: _number(table, name, FRAME, place) for name in table}
    configuration = Configuration(**{**asdict(STANDARD), **numbers})
    try:
        Layout.from_configuration(configuration)
    except ValueError as error:
        raise BadInputError(f"{place}: {error}.") from error
    if configuration.memory_frames > 1 << 16:
        raise BadInputError(f"{place}: memory_frames is {configuration.memory_frames}, expected at most 65536.")
    return NestedFormat[str(nested)], configuration


def _step(content: object, place: str, configuration: Configuration) -> Step:
    table = _table(content, place)
    action = table.get("action")
    if not isinstance(action, str) or action not in ACTIONS:
        raise BadInputError(f"{place}: action is {action!r}, expected one of {', '.join(ACTIONS)}.")
    widths = ACTIONS[action]
    extra = {"call": {"changes"}, "registers": {"values"}, "dma_write": {"words"}}.get(action, set[str]())
    for name in table:
        if name not in {"action", *widths, *extra}:
            raise BadInputError(f"{place}: {action} has no {name!r}, only {', '.join((*widths, *sorted(extra)))}.")
    numbers = {
        name: _number(table, name, width, place)
        for name, width in widths.items()
        if name in table or name not in OPTIONAL
    }
    if numbers.get("cpu", 0) >= configuration.cpus:
        raise BadInputError(f"{place}: cpu is {numbers['cpu']}, but there are only {configuration.cpus}.")
    if action == "fault" and numbers["access"] not in ACCESSES:
        raise BadInputError(f"{place}: access is {numbers['access']}, expected 1 (read), 2 (write) or 4 (execute).")
    words = tuple(_words(table, place)) if action == "dma_write" else ()
    if action == "dma_write" and numbers["index"] + len(words) > 512:
        raise BadInputError(f"{place}: the words run beyond the end of the frame.")
    values = tuple(_values(table, place)) if action == "registers" else ()
    return Step(action, numbers, words, values, tuple(_changes(table, place)))


def _words(table: Mapping[str, object], place: str) -> list[int]:
    words = _list(table, "words", place)
    return [_number({"word": word}, "word", WORD, place) for word in words]


def _values(table: Mapping[str, object], place: str) -> list[tuple[int, int]]:
    values = _table(table.get("values"), f"{place}, values")
    found: list[tuple[int, int]] = []
    for name in values:
        if not name.isdecimal() or int(name) not in SETTABLE:
            raise BadInputError(f"{place}, values: there is no register {name!r} that a program sets, only 0 to 20.")
        found.append((int(name), _number(values, name, WORD, f"{place}, values")))
    return found


def _changes(table: Mapping[str, object], place: str) -> list[Change]:
    if "changes" not in table:
        return []
    found: list[Change] = []
    for k, item in enumerate(_list(table, "changes", place), 1):
        where = f"{place}, change {k}"
        change = _table(item, where)
        if set(change) != set(CHANGE):
            raise BadInputError(f"{where}: expected exactly {', '.join(CHANGE)}.")
        found.append(Change(**{name: _number(change, name, width, where) for name, width in CHANGE.items()}))
    return found


def _table(content: object, place: str) -> Mapping[str, object]:
    if not isinstance(content, dict):
        raise BadInputError(f"{place} is not a JSON object.")
    return cast("dict[str, object]", content)


def _list(table: Mapping[str, object], name: str, place: str) -> Sequence[object]:
    content = table.get(name)
    if not isinstance(content, list):
        raise BadInputError(f"{place}: {name} is missing or no list.")
    return cast("list[object]", content)


def _number(table: Mapping[str, object], name: str, width: int, place: str) -> int:
    value = table.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << width:
        raise BadInputError(f"{place}: {name} is {value!r}, expected an integer from 0 to 2**{width} - 1.")
    return value
