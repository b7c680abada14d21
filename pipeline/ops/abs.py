"""ABS: the absolute value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.fixedpoint import quantize_multiplier, requantize
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import ALL_INT8, Unary, clamp8, need_ints, op
from pipeline.ops.leaky_relu import Slopes16


@op("ABS")
@dataclass(frozen=True)
class Abs(Unary):
    """|x|, rescaled to the output's scale."""

    tflite_differs = "it divides the scales in float, which shows where a result lies half-way"

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Abs | Slopes16:
        """The ratio of scales is taken in double (TFLite Micro SetAbsOutputMultiplier)."""
        x, y = graph.input(node), graph.output(node)
        need_ints(node, graph, x, y)
        rescale = quantize_multiplier(x.scale / y.scale)
        if x.dtype == "int16":
            return Slopes16(x.count, (rescale, rescale), turned=True)
        return cls(x.count, clamp8(requantize(np.abs(ALL_INT8 - x.zero_point), *rescale) + y.zero_point))

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Both widths of values."""
        return cases.both_widths(cls._int8_cases(rng))

    @classmethod
    def _int8_cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """All 256 values; finer, coarser and the same scale, zero points at both ends."""
        for factor, zero_points in ((1.0, (0, -128)), (0.5, (-3, -128)), (1.0, (-128, -128)), (2.1, (127, 127)),
                                    (0.9, (20, -100))):  # fmt: skip
            x = cases.activation(rng, (1, 256), "input", None, zero_points[0])
            y = cases.activation(rng, (1, 256), "output", x.scale * factor, zero_points[1])
            yield cases.one_node("ABS", [x], y, "AbsOptions")
