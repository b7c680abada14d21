"""SQUARED_DIFFERENCE: what the variance of a LayerNormalization is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.fixedpoint import quantize_multiplier, requantize
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Field, Int8s, clamped, need_ints, op
from pipeline.ops.broadcast import CONSTANT, Broadcast, Finer, finer, graph_of, output_of, pairs, typed_broadcast

LEFT_SHIFT = {"int8": 7, "int16": 0}


@op("SQUARED_DIFFERENCE")
@dataclass(frozen=True)
class SquaredDifference:
    """(a - b)^2 on a scale of twice the larger input scale, of 8-bit values / 2^7."""

    tflite_differs = "it has none of 16 bits"
    tflite_same = "int8"

    broadcast: Broadcast
    a: Finer
    b: Finer
    output_offset: int
    multiplier: int
    shift: int
    dtype: str
    slots = (0, 1)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> SquaredDifference:
        """All ratios in double; only the last product of constants is float (TFLite Micro PrepareQuantized)."""
        broadcast, a, b, y = typed_broadcast(node, graph)
        need_ints(node, graph, y, a, b)
        twice = 2.0 * max(a.scale, b.scale)
        finest = float(np.float32(1 << LEFT_SHIFT[y.dtype] * 2) * np.float32(y.scale))
        result = quantize_multiplier(twice * twice / finest)
        return cls(broadcast, finer(a, a.scale / twice), finer(b, b.scale / twice), y.zero_point, *result, y.dtype)

    def run(self, *inputs: Int8s) -> Int8s:
        """Difference, square, rescale, clamp."""
        left = LEFT_SHIFT[self.dtype]
        difference = self.a.scaled(inputs[0], left) - self.b.scaled(inputs[1], left)
        made = requantize(difference * difference, self.multiplier, self.shift) + self.output_offset
        return clamped(made, self.dtype)

    def call(self) -> Call:
        """One call for the whole layer."""
        fields: dict[str, Field] = {"broadcast": self.broadcast.fields(), "a": self.a.fields(), "b": self.b.fields()}
        rescale = {"multiplier": self.multiplier, "shift": self.shift}
        if self.dtype == "int16":
            return Call("nn_squared_difference_s16", "nn_squared_difference_s16_t", {**fields, **rescale})
        return Call("nn_squared_difference_s8", "nn_squared_difference_t",
                    {**fields, "output_offset": self.output_offset, **rescale})  # fmt: skip

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
        """Every kind of broadcast, for both widths of values."""
        for pair in pairs(rng):
            y = output_of(rng, pair, max(pair[0].scale, pair[1].scale) ** 2 * 128)
            yield graph_of(rng, "SQUARED_DIFFERENCE", pair, y, "SquaredDifferenceOptions")
        for shapes in CONSTANT[::2]:
            a, b = (cases.typed(rng, shape, name, "int16") for shape, name in zip(shapes, "ab", strict=True))
            y = cases.typed(rng, np.broadcast_shapes(*shapes), "output", "int16")
            y = cases.scaled(y, max(a.scale, b.scale) ** 2 * 30000)
            yield cases.one_node("SQUARED_DIFFERENCE", [a, b], y, "SquaredDifferenceOptions")
