"""The CPUs that are in an enclave, or enter it."""

from __future__ import annotations

from impl.machine.primitives import Machine
from impl.monitor.codes import NORMAL


def join(machine: Machine, cpu: int, enclave: int) -> None:
    """Append the CPU to the enclave's list."""
    s = machine.storage
    position = s.thread_total[enclave]
    s.thread_at[enclave, position] = cpu
    s.thread_position[cpu] = position
    s.thread_total[enclave] = position + 1


def leave(machine: Machine, cpu: int) -> None:
    """The CPU belongs to the normal VM again: its TCS is free, its place in the list taken by the last CPU."""
    s = machine.storage
    enclave = s.cpu_enclave[cpu]
    last = s.thread_total[enclave] - 1
    position = s.thread_position[cpu]
    moved = s.thread_at[enclave, last]
    s.thread_at[enclave, position] = moved
    s.thread_position[moved] = position
    s.thread_at[enclave, last] = 0
    s.thread_position[cpu] = 0
    s.thread_total[enclave] = last
    s.busy[s.cpu_tcs[cpu]] = 0
    s.cpu_mode[cpu] = NORMAL
    s.cpu_enclave[cpu] = 0
    s.cpu_tcs[cpu] = 0
    s.cpu_ssa[cpu] = 0
    s.cpu_resuming[cpu] = 0
