"""An MRENCLAVE and MRSIGNER computed with hashlib alone."""

from __future__ import annotations

import hashlib
import struct

from tests.impl.world import EXECUTE, MODULUS, PAGE, READ, REG, TCS, WRITE, World, secinfo, tcs_bytes

BASE = 0x10_0000_0000


def added(offset: int, flags: int, page_type: int, data: bytes) -> bytes:
    log = struct.pack("<8sQBB46x", b"EADD", offset, flags, page_type)
    for start in range(0, PAGE, 256):
        log += struct.pack("<8sQ48x", b"EEXTEND", offset + start) + data[start : start + 256]
    return log


def test_mrenclave_and_mrsigner() -> None:
    image = struct.pack("<8sIQ44x", b"ECREATE", 1, 16 * PAGE)
    image += added(0, READ | EXECUTE, REG, b"\x90code".ljust(PAGE, b"\0"))
    for page in (1, 2, 3):
        image += added(page * PAGE, READ | WRITE, REG, bytes([page]).ljust(PAGE, b"\0"))
    image += added(4 * PAGE, 0, TCS, tcs_bytes())
    expected = hashlib.sha256(image).digest()

    world = World()
    enclave = world.build(BASE)
    identity = world.identity(enclave)
    assert struct.pack("<4Q", *(world.s.mrenclave[identity, k] for k in range(4))) == expected
    signer = struct.pack("<4Q", *(world.s.mrsigner[identity, k] for k in range(4)))
    assert signer == hashlib.sha256(MODULUS).digest()
    assert world.s.isv[identity] == 7 | 3 << 16
    assert world.s.attributes[identity] == 5


def test_placement_and_base_do_not_matter() -> None:
    one, other = World(), World()
    other.allocate_epc()
    first, second = one.build(BASE), other.build(BASE << 1)
    for k in range(4):
        assert one.s.mrenclave[one.identity(first), k] == other.s.mrenclave[other.identity(second), k]


def test_contents_and_rights_matter() -> None:
    world = World()
    seen = set[bytes]()
    for data, info in ((b"a", secinfo(REG, 3)), (b"b", secinfo(REG, 3)), (b"a", secinfo(REG, 1))):
        _, enclave = world.create()
        assert world.add(enclave, 0, data, info).code == 0
        seen.add(world.measured(enclave))
    assert len(seen) == 3
