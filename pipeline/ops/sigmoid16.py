"""Sigmoid and tanh of 16-bit values as TFLite Micro has them, the twins of firmware/kernels/nn_sigmoid.h.

Both go along straight lines between the nodes of one table: tanh(x) = 2 * sigmoid(2 * x) - 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, need_ints
from pipeline.problem import Problem

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


@dataclass(frozen=True)
class Curve16:
    """LOGISTIC or TANH of 16-bit values; the output's scale is 2^-15."""

    name: str
    count: int
    multiplier: int
    shift: int
    macs = 0
    in_place = (0,)

    def run(self, *inputs: NDArray[Any]) -> NDArray[Any]:
        """Value by value."""
        half = (1 << self.shift) >> 1
        x = (inputs[0].astype(np.int64) * self.multiplier + half) >> self.shift
        return (sigmoid16 if self.name == "LOGISTIC" else tanh16)(x).astype(np.int16)

    def call(self) -> Call:
        """One call for the whole layer."""
        fields = {"count": self.count, "multiplier": self.multiplier, "shift": self.shift}
        return Call(f"nn_{self.name.lower()}_s16", "nn_curve_t", fields)


def curve16(node: Node, graph: Graph) -> Curve16:
    """The argument's rescale has 15 bits and is not rounded; scales near 2^-12, of TANH also 2^-11, are taken for these
    (TFLite Micro LogisticPrepare and TanhPrepare)."""
    x, y = graph.input(node), graph.output(node)
    need_ints(node, graph, x, y)
    if y.scale != 2.0**-15:
        raise Problem(graph.label(node), f"its output has scale {y.scale:g}", "16-bit ones must have 2^-15")
    power = math.log2(x.scale)
    left = 12 + round(power)
    if abs(power - round(power)) < 1e-3 and left in ((0,) if node.op == "LOGISTIC" else (0, 1)):
        return Curve16(node.op, x.count, 3 << left, 0)
    multiplier, shift = x.scale * ONE, 0
    if multiplier >= 2**15:
        raise Problem(graph.label(node), f"its input scale {x.scale:g} is too large", "16-bit ones take less than 8/3")
    while multiplier <= (2**15 - 1) / 2 and shift <= 30:
        multiplier, shift = multiplier * 2, shift + 1
    return Curve16(node.op, x.count, int(multiplier), shift)


def curve_cases(rng: np.random.Generator, op: str) -> Iterator[Graph]:
    """Random scales, powers of two and nearly so, and the ends."""
    for scale in (0.00013, 0.0006, 2.0**-12, 2.0**-11 * 1.0005, 2.0**-10, 1e-10, 2.6):
        x, y = (cases.typed(rng, (1, 250), name, "int16") for name in ("input", "output"))
        x, y = (cases.scaled(tensor, size) for tensor, size in ((x, scale), (y, 2.0**-15)))
        yield cases.one_node(op, [x], y)
