"""TANH: Keras tanh."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.fixedpoint import divide_by_power, input_radius, requantize, round_half_away, tanh
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import ALL_INT8, Unary, clamp8, need_int8, op
from pipeline.ops.sigmoid16 import Curve16, curve16, curve_cases
from pipeline.problem import Problem

INTEGER_BITS = 4  # the input is brought to Q4.27


@op("TANH")
@dataclass(frozen=True)
class Tanh(Unary):
    """By TFLite Micro's fixed point; tflite-runtime computes it in float and may differ by one."""

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Tanh | Curve16:
        """The output's scale is 1/128 and its zero point 0."""
        x, y = graph.input(node), graph.output(node)
        if x.dtype == "int16":
            return curve16(node, graph)
        need_int8(node, graph, x, y)
        if (y.scale, y.zero_point) != (1 / 128, 0):
            raise Problem(graph.label(node), f"its output has scale {y.scale:g} and zero point {y.zero_point}",
                          "tanh must have 1/128 and 0")  # fmt: skip
        fraction, shift = math.frexp(x.scale * 2.0 ** (31 - INTEGER_BITS))
        inputs, radius = ALL_INT8 - x.zero_point, input_radius(INTEGER_BITS, shift)
        q4 = requantize(np.clip(inputs, -radius, radius), round_half_away(fraction * 2**31), shift)
        values = clamp8(divide_by_power(tanh(q4, INTEGER_BITS), 31 - 7))
        table = np.where(inputs <= -radius, -128, np.where(inputs >= radius, 127, values)).astype(np.int8)
        return cls(x.count, table)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """All 256 values at several scales; 16 bits."""
        for scale in (0.004, 0.02, 0.06, 0.15):
            x = cases.activation(rng, (1, 256), "input", scale)
            yield cases.one_node("TANH", [x], cases.activation(rng, (1, 256), "output", 1 / 128, 0))
        yield from curve_cases(rng, "TANH")
