"""DMA: devices reach memory through the IOMMU table only."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.state import HYPERENCLAVE
from model.hyperenclave.vocabulary import READ, WRITE, Device, Frame
from model.language.logic import grants
from model.language.specification import DEVICE


@HYPERENCLAVE.action(DEVICE, d=Device, g=Frame)
def device_read(s: Any, d: Any, g: Any) -> None:
    """A device reads device frame g."""
    s.require(grants(s.io_rights[g], READ))
    s.device_state[d] = s.K.loaded(s.device_state[d], s.contents[s.io_frame[g]])


@HYPERENCLAVE.action(DEVICE, d=Device, g=Frame)
def device_write(s: Any, d: Any, g: Any) -> None:
    """A device writes what it knows to device frame g."""
    s.require(grants(s.io_rights[g], WRITE))
    f = s.io_frame[g]
    s.contents[f] = s.K.stored(s.contents[f], s.device_state[d])
