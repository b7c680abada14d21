"""MUL: Keras Multiply, gates, and batch normalization that could not be folded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.fixedpoint import quantize_multiplier, requantize
from pipeline.graph import Graph, Node
from pipeline.ops.base import Call, Int8s, activation_range, clamp8, op
from pipeline.ops.broadcast import Broadcast, broadcast_of, graph_of, output_of, pairs
from pipeline.ops.wide import Wide, wide, wide_cases


@op("MUL")
@dataclass(frozen=True)
class Mul:
    """One rescale of the product."""

    broadcast: Broadcast
    a_offset: int
    b_offset: int
    output_offset: int
    multiplier: int
    shift: int
    range: tuple[int, int]
    slots = (0, 1)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Mul | Wide:
        """The product of scales is taken in double."""
        if graph.output(node).dtype in ("int16", "int32"):
            return wide(node, graph)
        broadcast, a, b, y = broadcast_of(node, graph)
        rescale = quantize_multiplier(a.scale * b.scale / y.scale)
        return cls(broadcast, -a.zero_point, -b.zero_point, y.zero_point, *rescale, activation_range(node, graph, y))

    def run(self, *inputs: Int8s) -> Int8s:
        """Product, rescale, clamp."""
        a, b = inputs[0].astype(np.int64) + self.a_offset, inputs[1].astype(np.int64) + self.b_offset
        return clamp8(requantize(a * b, self.multiplier, self.shift) + self.output_offset, *self.range)

    def call(self) -> Call:
        """One call for the whole layer."""
        return Call("nn_mul_s8", "nn_mul_t", {
            "broadcast": self.broadcast.fields(), "a_offset": self.a_offset, "b_offset": self.b_offset,
            "output_offset": self.output_offset, "multiplier": self.multiplier, "shift": self.shift,
            "min": self.range[0], "max": self.range[1],
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
        """Every kind of broadcast, every fused activation."""
        for pair in pairs(rng):
            y = output_of(rng, pair, pair[0].scale * pair[1].scale * 400)
            yield graph_of(rng, "MUL", pair, y, "MulOptions", fused_activation_function=int(rng.choice([0, 1, 2, 3])))
        yield from wide_cases(rng, "MUL")
