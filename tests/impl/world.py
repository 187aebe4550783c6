"""The operating system in miniature of the traces, under the name by which the monitor's tests know it."""

from __future__ import annotations

from refinement.traces.world import (
    ADD,
    AEP,
    EXECUTE,
    EXTEND,
    KERNEL,
    MODULUS,
    NUMBERS,
    PAGE,
    READ,
    REG,
    TCS,
    WRITE,
    Enclave,
    World,
    secinfo,
    secs_bytes,
    sigstruct_bytes,
    tcs_bytes,
)

__all__ = [
    "ADD",
    "AEP",
    "EXECUTE",
    "EXTEND",
    "KERNEL",
    "MODULUS",
    "NUMBERS",
    "PAGE",
    "READ",
    "REG",
    "TCS",
    "WRITE",
    "Enclave",
    "World",
    "secinfo",
    "secs_bytes",
    "sigstruct_bytes",
    "tcs_bytes",
]
