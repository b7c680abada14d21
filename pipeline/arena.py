"""Packing buffers that live at different times into one arena."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

ALIGNMENT = 4  # of every buffer: what 32-bit loads in kernels need
TRIES = 100  # orders of packing, from each beginning
SWAPS = 300  # more of them, where those do not reach the lower bound


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
    """Offsets of the buffers, each at the lowest place that no buffer of its time takes, in the best order found.

    An order starts with the largest first, another with those that live longest; then, again and again, the buffer
    that ends at the top goes first instead. At last two buffers of the order are swapped, where that makes the arena no
    larger.
    """
    largest = sorted(range(len(buffers)), key=lambda i: (-buffers[i].size, buffers[i].first))
    longest = sorted(largest, key=lambda i: buffers[i].first - buffers[i].last)
    best, bound = _place(buffers, largest), lower_bound(buffers)
    for order in (largest, longest):
        for _ in range(TRIES):
            if arena_size(buffers, best) <= bound:
                return best
            offsets = _place(buffers, order)
            best = min(best, offsets, key=lambda made: arena_size(buffers, made))
            top = max(order, key=lambda i: offsets[i] + buffers[i].size)
            order = [top, *(i for i in order if i != top)]
    return _swapped(buffers, largest, best, bound)


def _swapped(buffers: Sequence[Buffer], order: Sequence[int], best: list[int], bound: int) -> list[int]:
    """The best packing, or a better one that swaps in an order lead to; they are random, but the same each time."""
    rng = Random(0)
    size = arena_size(buffers, _place(buffers, order))
    for _ in range(SWAPS):
        if arena_size(buffers, best) <= bound:
            break
        a, b = rng.randrange(len(order)), rng.randrange(len(order))
        other = [order[{a: b, b: a}.get(at, at)] for at in range(len(order))]
        offsets = _place(buffers, other)
        if arena_size(buffers, offsets) <= size:
            order, size = other, arena_size(buffers, offsets)
            best = min(best, offsets, key=lambda made: arena_size(buffers, made))
    return best


def _place(buffers: Sequence[Buffer], order: Sequence[int]) -> list[int]:
    """First fit in this order."""
    offsets: dict[int, int] = {}
    for i in order:
        taken = sorted((offsets[j], offsets[j] + buffers[j].size) for j in offsets if buffers[i].meets(buffers[j]))
        place = 0
        for start, end in taken:
            if place + buffers[i].size <= start:
                break
            place = max(place, aligned(end))
        offsets[i] = place
    return [offsets[i] for i in range(len(buffers))]


def lower_bound(buffers: Sequence[Buffer]) -> int:
    """The largest set of bytes in use at one step: no packing can need less."""
    steps = {buffer.first for buffer in buffers}
    return max((sum(aligned(b.size) for b in buffers if b.first <= step <= b.last) for step in steps), default=0)


def arena_size(buffers: Sequence[Buffer], offsets: Sequence[int]) -> int:
    """Bytes of the arena that holds all of them."""
    return aligned(max((offset + buffer.size for buffer, offset in zip(buffers, offsets, strict=True)), default=0))


def aligned(size: int) -> int:
    """The size, or the next larger one at which a buffer may begin."""
    return -(-size // ALIGNMENT) * ALIGNMENT
