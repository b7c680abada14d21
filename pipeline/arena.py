"""Packing buffers that live at different times into one arena."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 4  # of every buffer: what 32-bit loads in kernels need


@dataclass(frozen=True)
class Buffer:
    """`size` bytes that are in use from step `first` to step `last`, both included."""

    size: int
    first: int
    last: int

    def meets(self, other: Buffer) -> bool:
        """True when both are in use at some step."""
        return self.first <= other.last and other.first <= self.last


def pack(buffers: Sequence[Buffer]) -> list[int]:
    """Offsets of the buffers: largest first, each at the lowest place that no buffer of its time takes."""
    offsets: dict[int, int] = {}
    for i in sorted(range(len(buffers)), key=lambda i: (-buffers[i].size, buffers[i].first)):
        taken = sorted((offsets[j], offsets[j] + buffers[j].size) for j in offsets if buffers[i].meets(buffers[j]))
        place = 0
        for start, end in taken:
            if place + buffers[i].size <= start:
                break
            place = max(place, _aligned(end))
        offsets[i] = place
    return [offsets[i] for i in range(len(buffers))]


def lower_bound(buffers: Sequence[Buffer]) -> int:
    """The largest set of bytes in use at one step: no packing can need less."""
    steps = {buffer.first for buffer in buffers}
    return max((sum(_aligned(b.size) for b in buffers if b.first <= step <= b.last) for step in steps), default=0)


def arena_size(buffers: Sequence[Buffer], offsets: Sequence[int]) -> int:
    """Bytes of the arena that holds all of them."""
    return _aligned(max((offset + buffer.size for buffer, offset in zip(buffers, offsets, strict=True)), default=0))


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
