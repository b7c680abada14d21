"""SQUARED_DIFFERENCE: what the variance of a LayerNormalization is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.fixedpoint import quantize_multiplier, requantize
from pipeline.graph import Graph, Node
from pipeline.ops.base import Call, Int8s, clamp8, op
from pipeline.ops.broadcast import Broadcast, Finer, broadcast_of, finer, graph_of, output_of, pairs

LEFT_SHIFT = 7


@op("SQUARED_DIFFERENCE")
@dataclass(frozen=True)
class SquaredDifference:
    """(a - b)^2 on a scale of twice the larger input scale / 2^7."""

    broadcast: Broadcast
    a: Finer
    b: Finer
    output_offset: int
    multiplier: int
    shift: int
    slots = (0, 1)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> SquaredDifference:
        """All ratios in double; only the last product of constants is float (TFLite Micro PrepareQuantized)."""
        broadcast, a, b, y = broadcast_of(node, graph)
        twice = 2.0 * max(a.scale, b.scale)
        result = quantize_multiplier(twice * twice / float(np.float32(1 << LEFT_SHIFT * 2) * np.float32(y.scale)))
        return cls(broadcast, finer(a, a.scale / twice), finer(b, b.scale / twice), y.zero_point, *result)

    def run(self, *inputs: Int8s) -> Int8s:
        """Difference, square, rescale, clamp."""
        difference = self.a.scaled(inputs[0], LEFT_SHIFT) - self.b.scaled(inputs[1], LEFT_SHIFT)
        return clamp8(requantize(difference * difference, self.multiplier, self.shift) + self.output_offset)

    def call(self) -> Call:
        """One call for the whole layer."""
        return Call("nn_squared_difference_s8", "nn_squared_difference_t", {
            "broadcast": self.broadcast.fields(), "a": self.a.fields(), "b": self.b.fields(),
            "output_offset": self.output_offset, "multiplier": self.multiplier, "shift": self.shift,
        })  # fmt: skip

    @property
    def macs(self) -> int:
        """One product per output."""
        return int(np.prod(self.broadcast.output))

    @property
    def in_place(self) -> tuple[int, ...]:
        """See Broadcast."""
        return self.broadcast.in_place

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Every kind of broadcast."""
        for pair in pairs(rng):
            y = output_of(rng, pair, max(pair[0].scale, pair[1].scale) ** 2 * 128)
            yield graph_of(rng, "SQUARED_DIFFERENCE", pair, y, "SquaredDifferenceOptions")
