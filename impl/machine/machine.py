"""The concrete machine: the primitives of `impl.machine.primitives`, done on real words."""

from __future__ import annotations

from collections.abc import Callable

from impl.machine.layout import WORDS, Layout
from impl.machine.measurement import MeasurementLog, words_of_digest
from impl.machine.primitives import NestedFormat
from impl.machine.registers import XSTATE_WORDS
from impl.machine.storage import ConcreteStorage

INITIAL_FCW = 0x37F
INITIAL_MXCSR = 0x1F80


class ContractError(Exception):
    """A primitive was used outside its precondition: a bug of the caller."""


class ConcreteMachine:
    """Storage, layout and primitives.

    `on_fetch(frame, index)`, if set, is called before each fetch of untrusted memory and may change that memory: it
    stands for the other CPUs and devices, which run while the monitor reads.
    """

    def __init__(self, layout: Layout, nested_format: NestedFormat = NestedFormat.EPT) -> None:
        self.layout = layout
        self.nested_format = nested_format
        self.storage = ConcreteStorage(layout)
        self.storage.pool_free[()] = layout.epc_first - layout.pool_first
        self.logs: dict[int, MeasurementLog] = {}
        self.on_fetch: Callable[[int, int], None] | None = None
        self._pool_hint = layout.pool_first  # no free pool frame lies below it

    def copy(self) -> ConcreteMachine:
        """An independent machine in the same state, without the hook."""
        other = ConcreteMachine(self.layout, self.nested_format)
        other.storage = self.storage.copy()
        other.logs = {enclave: log.copy() for enclave, log in self.logs.items()}
        return other

    # --- trusted memory ---------------------------------------------------------------------------------------------

    def memory_zero(self, frame: int) -> None:
        """See `Machine.memory_zero`."""
        self.storage.physical.zero(frame)

    def memory_copy(self, destination: int, source: int) -> None:
        """See `Machine.memory_copy`."""
        if destination == source:
            raise ContractError("a frame is copied to itself")
        self.storage.physical.copy(destination, source)

    def memory_is_zero(self, frame: int, first: int, end: int) -> bool:
        """See `Machine.memory_is_zero`."""
        return not any(self.storage.physical.page(frame)[first:end])

    # --- untrusted memory -------------------------------------------------------------------------------------------

    def fetch_word(self, frame: int, index: int) -> int:
        """See `Machine.fetch_word`."""
        if self.on_fetch is not None:
            self.on_fetch(frame, index)
        return self.storage.memory[frame, index]

    def store_word(self, frame: int, index: int, value: int) -> None:
        """See `Machine.store_word`."""
        self.storage.memory[frame, index] = value

    def fetch_page(self, destination: int, source: int) -> None:
        """See `Machine.fetch_page`."""
        if destination == source:
            raise ContractError("a frame is fetched to itself")
        if self.on_fetch is None:
            self.storage.physical.copy(destination, source)
        else:
            target = self.storage.physical.page(destination)
            for index in range(WORDS):
                target[index] = self.fetch_word(source, index)

    # --- CPU --------------------------------------------------------------------------------------------------------

    def tlb_flush(self, cpu: int) -> None:
        """See `Machine.tlb_flush`."""
        for field in (self.storage.sparse["tlb_rights"], self.storage.sparse["tlb_frame"]):
            if field:
                for key in [key for key in field if isinstance(key, tuple) and key[0] == cpu]:
                    field[key] = 0

    def xstate_save(self, cpu: int, frame: int) -> None:
        """See `Machine.xstate_save`."""
        page, xstate = self.storage.physical.page(frame), self.storage.xstate
        for index in range(XSTATE_WORDS):
            page[index] = xstate[cpu, index]

    def xstate_restore(self, cpu: int, frame: int) -> None:
        """See `Machine.xstate_restore`."""
        page, xstate = self.storage.physical.page(frame), self.storage.xstate
        for index in range(XSTATE_WORDS):
            xstate[cpu, index] = page[index]

    def xstate_reset(self, cpu: int) -> None:
        """See `Machine.xstate_reset`."""
        xstate = self.storage.xstate
        for index in range(XSTATE_WORDS):
            xstate[cpu, index] = 0
        xstate[cpu, 0] = INITIAL_FCW
        xstate[cpu, 3] = INITIAL_MXCSR

    # --- frame pool -------------------------------------------------------------------------------------------------

    def pool_take(self, owner: int) -> int:
        """See `Machine.pool_take`; it is the free frame with the lowest number."""
        storage = self.storage
        if owner == 0 or storage.pool_free[()] == 0:
            raise ContractError("a pool frame is taken for nobody, or from an empty pool")
        frame, owners = self._pool_hint, storage.pool_owner
        while owners[frame]:
            frame += 1
        if frame >= self.layout.epc_first:
            raise ContractError("pool_free disagrees with pool_owner")
        self._pool_hint = frame + 1
        owners[frame] = owner
        storage.pool_free[()] -= 1
        return frame

    def pool_release(self, owner: int) -> None:
        """See `Machine.pool_release`."""
        if owner == 0:
            raise ContractError("the frames of nobody are released")
        storage = self.storage
        frames = [f for f, o in storage.sparse["pool_owner"].items() if o == owner and isinstance(f, int)]
        for frame in frames:
            self.memory_zero(frame)
            kind, level, prefix = (storage.table_kind[frame], storage.table_level[frame], storage.table_prefix[frame])
            storage.table_at[kind, owner, level, prefix] = 0
            for field in (storage.pool_owner, storage.table_kind, storage.table_level, storage.table_prefix):
                field[frame] = 0
            self._pool_hint = min(self._pool_hint, frame)
        storage.pool_free[()] += len(frames)

    # --- measurement ------------------------------------------------------------------------------------------------

    def measure_start(self, enclave: int, ssa_frame_size: int, size: int) -> None:
        """See `Machine.measure_start`."""
        self.logs[enclave] = MeasurementLog.started(ssa_frame_size, size)

    def measure_add(self, enclave: int, offset: int, secinfo: int) -> None:
        """See `Machine.measure_add`."""
        self.logs[enclave].add(offset, secinfo)

    def measure_extend(self, enclave: int, offset: int, frame: int) -> None:
        """See `Machine.measure_extend`."""
        self.logs[enclave].extend(offset, self.storage.physical.page(frame))

    def measure_final(self, enclave: int) -> tuple[int, int, int, int]:
        """See `Machine.measure_final`."""
        return self.logs[enclave].final()

    def measure_drop(self, enclave: int) -> None:
        """See `Machine.measure_drop`."""
        self.logs.pop(enclave, None)

    def digest_words(self, words: tuple[int, ...]) -> tuple[int, int, int, int]:
        """See `Machine.digest_words`."""
        return words_of_digest(words)

    # --- loops ------------------------------------------------------------------------------------------------------

    def each(self, name: str, first: int, end: int, body: Callable[[int], None]) -> None:  # noqa: ARG002 (for provers)
        """See `Machine.each`."""
        for i in range(first, end):
            body(i)
