"""LEAKY_RELU: Keras LeakyReLU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.fixedpoint import quantize_multiplier, requantize
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import ALL_INT8, Unary, clamp8, need_int8, op


@op("LEAKY_RELU")
@dataclass(frozen=True)
class LeakyRelu(Unary):
    """x, or alpha * x below zero: two rescales."""

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> LeakyRelu:
        """The ratios are taken in double (TFLite Micro CalculateOpDataLeakyRelu)."""
        x, y = graph.input(node), graph.output(node)
        need_int8(node, graph, x, y)
        above = quantize_multiplier(x.scale / y.scale)
        below = quantize_multiplier(x.scale * float(np.float32(node.options["alpha"])) / y.scale)
        values = ALL_INT8 - x.zero_point
        made = np.where(values >= 0, requantize(values, *above), requantize(values, *below))
        return cls(x.count, clamp8(made + y.zero_point))

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """All 256 values at three scales and slopes."""
        for factor, alpha in ((0.4, 0.25), (1.0, 0.015625), (1.7, 0.3125)):
            x = cases.activation(rng, (1, 256), "input")
            y = cases.activation(rng, (1, 256), "output", x.scale * factor)
            yield cases.one_node("LEAKY_RELU", [x], y, "LeakyReluOptions", alpha=alpha)
