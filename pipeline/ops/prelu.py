"""PRELU: Keras PReLU, with a slope per channel as a rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from pipeline.fixedpoint import quantize_multiplier, requantize
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, clamped, need_int8, need_ints, op
from pipeline.ops.broadcast import Broadcast, shapes_of


@op("PRELU")
@dataclass(frozen=True)
class Prelu:
    """x, or x * alpha below zero; alpha is broadcast over x."""

    tflite_differs = "it has no alpha of 8 bits beside values of 16"
    tflite_same = "int8"

    broadcast: Broadcast
    offsets: tuple[int, int, int]  # input, alpha, output
    above: tuple[int, int]  # multiplier, shift
    below: tuple[int, int]
    dtype: str
    macs = 0
    in_place = (0,)
    slots = (0, 1)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Prelu:
        """Two rescales: one for x, one for x * alpha."""
        x, alpha, y = graph.input(node, 0), graph.input(node, 1), graph.output(node)
        need_ints(node, graph, x, y)
        need_int8(node, graph, alpha)
        above, below = quantize_multiplier(x.scale / y.scale), quantize_multiplier(x.scale * alpha.scale / y.scale)
        offsets = (-x.zero_point, -alpha.zero_point, y.zero_point)
        return cls(shapes_of(node, graph), offsets, above, below, y.dtype)

    def run(self, *inputs: Int8s) -> Int8s:
        """Value by value."""
        x, alpha = inputs[0].astype(np.int64) + self.offsets[0], inputs[1].astype(np.int64) + self.offsets[1]
        result = np.where(x >= 0, requantize(x, *self.above), requantize(x * alpha, *self.below))
        return clamped(result + self.offsets[2], self.dtype)

    def call(self) -> Call:
        """One call for the whole layer."""
        above, below = ({"multiplier": multiplier, "shift": shift} for multiplier, shift in (self.above, self.below))
        return Call("nn_prelu_s8" if self.dtype == "int8" else "nn_prelu_s16", "nn_prelu_t", {
            "broadcast": self.broadcast.fields(), "input_offset": self.offsets[0], "alpha_offset": self.offsets[1],
            "output_offset": self.offsets[2], "above": above, "below": below,
        })  # fmt: skip

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Both widths of values."""
        return cases.both_widths(cls._int8_cases(rng), share=1)

    @classmethod
    def _int8_cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """A slope per channel, one for all, one for each value."""
        for shape, slopes in (((1, 4, 5, 3), (1, 1, 3)), ((1, 12, 10), (1, 1)), ((1, 20, 9), (20, 9))):
            x = cases.activation(rng, shape, "input")
            alpha = cases.activation(rng, slopes, "alpha")
            alpha = replace(alpha, data=rng.integers(-128, 128, slopes).astype(np.int8))
            y = cases.activation(rng, shape, "output", x.scale * float(rng.uniform(0.5, 1.5)))
            yield cases.one_node("PRELU", [x, alpha], y)
