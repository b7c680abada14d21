"""RSQRT: 1 / sqrt(x), as in a LayerNormalization."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.fixedpoint import inverse_sqrt, quantize_multiplier, requantize
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import ALL_INT8, Unary, clamp8, need_int8, op

SHIFT = 20  # keeps the inverse root an integer


@op("RSQRT")
@dataclass(frozen=True)
class Rsqrt(Unary):
    """By TFLite's fixed point; x = 0 gives the largest output. Below zero TFLite stops, this gives the smallest."""

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Rsqrt:
        """The root of the input's scale is taken in double (TFLite Micro SetRsqrtOutputMultiplier)."""
        x, y = graph.input(node), graph.output(node)
        need_int8(node, graph, x, y)
        multiplier, shift = quantize_multiplier(1.0 / (math.sqrt(x.scale) * y.scale))

        def answer(value: int) -> int:
            if value <= 0:
                return 127 if value == 0 else -128
            root, root_shift = inverse_sqrt(value)
            data = requantize(1, root, root_shift + SHIFT)
            return int(requantize(data, multiplier, shift - SHIFT)) + y.zero_point

        return cls(x.count, clamp8(np.array([answer(int(value)) for value in ALL_INT8 - x.zero_point], np.int64)))

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """All 256 values, none of them below zero."""
        for scale in (0.001, 0.01, 0.1):
            x = cases.activation(rng, (1, 256), "input", scale, -128)
            y = cases.activation(rng, (1, 256), "output", 1 / math.sqrt(scale) / 200, -128)
            yield cases.one_node("RSQRT", [x], y)
