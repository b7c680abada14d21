"""Sigmoid and tanh of 16-bit values as TFLite Micro has them, the twins of firmware/kernels/nn_sigmoid.h.

Both go along straight lines between the nodes of one table: tanh(x) = 2 * sigmoid(2 * x) - 1.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
ONE = 3 << 12  # 1.0 in the arguments of sigmoid16 and tanh16
NODES = 256  # of the table, 1/24 apart


def _node(i: int) -> int:
    """sigmoid(i / 24) in Q0.16, raised by half of what the straight line to the next node misses the curve by."""
    step = 1 / 24
    value = 1 / (1 + math.exp(-i * step))
    bend = value * (1 - value) * (2 * value - 1)  # minus the second derivative
    return math.floor(65536 * (value + step**2 / 16 * bend) + 0.5)


TABLE = np.array([*(_node(i) for i in range(NODES - 1)), 65535], np.int64)


def _between(x: Ints, bits: int) -> Ints:
    """The table at |x| / 2^bits, linear between its nodes, with `bits` more fractional bits than it has."""
    place, rest = x >> bits, x & ((1 << bits) - 1)
    low, high = TABLE[np.minimum(place, NODES - 1)], TABLE[np.minimum(place + 1, NODES - 1)]
    return np.asarray((low << bits) + rest * (high - low), np.int64)


def sigmoid16(x: Ints) -> Ints:
    """1 / (1 + exp(-x)) in Q0.15 for int32 x in units of 1 / ONE."""
    size = np.abs(x)
    value = np.where(size >> 9 >= NODES - 1, 0x7FFF << 10, _between(size, 9))
    return np.where(x >= 0, value + 512, (1 << 25) - value + 511) >> 10


def tanh16(x: Ints) -> Ints:
    """tanh(x) in Q0.15 for int32 x in units of 1 / ONE."""
    size = np.abs(x)
    value = np.where(size >> 8 >= NODES - 1, 0xFFFF << 8, _between(size, 8))
    return np.where(x >= 0, value - (1 << 23) + 128, (1 << 23) - value + 127) >> 8
