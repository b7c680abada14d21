"""The line's rate: the fastest that device and line can do, agreed on by BAUD, proven by questions and answers."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from pipeline import wire
from pipeline.device import Device
from pipeline.problem import Problem
from pipeline.wire import Info

RATES = (2_000_000, 1_000_000, 921_600, 500_000, 460_800, 250_000, 230_400)
QUESTIONS = 20  # HELLOs that must come back without damage before a rate is trusted
SECONDS = 0.5  # for one of them
LAST_SECONDS = 0.2  # for a device that is asked to go back and may be gone


@contextmanager
def agreed(device: Device, info: Info, usual: int, most: int) -> Iterator[int]:
    """The line at the fastest rate up to `most` while the block runs, then at the usual one again."""
    baud = speed_up(device, info, usual, most) if most > usual else usual
    try:
        yield baud
    finally:
        if baud != usual:
            with suppress(Problem):
                device.ask(wire.BAUD, struct.pack("<I", 0), LAST_SECONDS)
            device.set_baud(usual, usual)


def speed_up(device: Device, info: Info, usual: int, most: int, rates: Iterable[int] = RATES) -> int:
    """Agree on the fastest rate up to `most` at which nothing is damaged; returns it, or `usual` when there is none."""
    for baud in (rate for rate in rates if usual < rate <= most):
        answer = device.ask(wire.BAUD, struct.pack("<I", baud), 1.0)
        if answer.type == wire.ERROR:
            if wire.parse_error(answer.body).code == "type":
                return usual  # this port cannot change its rate
            continue
        device.set_baud(baud, usual)
        if proven(device):
            return baud
        device.set_baud(usual, usual)
        device.confirm(info)  # until the device has given the rate up as well
    return usual


def proven(device: Device) -> bool:
    """Whether HELLO comes back again and again, and nothing is damaged either way."""
    stats = device.stats
    troubles = stats.damaged + stats.refused
    try:
        for _ in range(QUESTIONS):
            device.hello(SECONDS)
    except Problem:
        return False
    return stats.damaged + stats.refused == troubles
