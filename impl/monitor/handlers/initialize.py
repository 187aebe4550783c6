"""EINIT: the image is complete; from here on the enclave may run."""

from __future__ import annotations

from impl.machine.primitives import Machine
from impl.machine.registers import RDI
from impl.monitor.codes import INITIALIZED, MASK32, NONE, UNINITIALIZED, Code, Refusal
from impl.monitor.guest_memory import enclave_handle, fetch_words, locate
from impl.monitor.structures import (
    ATTRIBUTE_INIT,
    INIT_SECS,
    INIT_SIGSTRUCT,
    INIT_WORDS,
    MODULUS_WORDS,
    SIGSTRUCT_ISV,
    SIGSTRUCT_MODULUS,
    SIGSTRUCT_MRENCLAVE,
    SIGSTRUCT_WORDS,
)


def initialize(machine: Machine, cpu: int) -> Code:
    """RDI: linear address of an InitDesc.

    Of the SIGSTRUCT, MRENCLAVE, the modulus, ISVPRODID and ISVSVN are used; its signature is not verified.  Stricter
    than the public monitor: an enclave with a page whose contents were not measured is refused.
    """
    s = machine.storage
    # FETCH
    descriptor = fetch_words(machine, cpu, s.register[cpu, RDI], INIT_WORDS)
    enclave = enclave_handle(machine, cpu, descriptor[INIT_SECS])
    frame, index = locate(machine, cpu, descriptor[INIT_SIGSTRUCT], SIGSTRUCT_WORDS)
    expected = tuple(machine.fetch_word(frame, index + SIGSTRUCT_MRENCLAVE + k) for k in range(4))
    modulus = tuple(machine.fetch_word(frame, index + SIGSTRUCT_MODULUS + k) for k in range(MODULUS_WORDS))
    isv = machine.fetch_word(frame, index + SIGSTRUCT_ISV) & MASK32
    # CHECK
    if s.life[enclave] == NONE:  # initialising an enclave that does not exist
        raise Refusal(Code.EFAULT)
    if s.life[enclave] != UNINITIALIZED:  # initialising twice, or during destruction
        raise Refusal(Code.EBUSY)
    if s.unextended[enclave] != 0:  # a page whose contents MRENCLAVE does not cover
        raise Refusal(Code.EINVAL)
    measured = machine.measure_final(enclave)
    difference = 0
    for k in range(4):
        difference = difference | (measured[k] ^ expected[k])
    if difference != 0:  # an image that nobody signed
        raise Refusal(Code.EINVAL)
    # COMMIT
    signer = machine.digest_words(modulus)
    for k in range(4):
        s.mrenclave[enclave, k] = measured[k]
        s.mrsigner[enclave, k] = signer[k]
    s.isv[enclave] = isv
    s.attributes[enclave] = s.attributes[enclave] | ATTRIBUTE_INIT
    s.life[enclave] = INITIALIZED
    return Code.OK
