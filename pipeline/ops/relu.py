"""RELU and RELU6 where they were not fused into the layer before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.fixedpoint import quantize_multiplier, requantize
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import ALL_INT8, Unary, clamp8, need_ints, need_same_quant, op, quantized
from pipeline.ops.leaky_relu import Slopes16


@op("RELU", "RELU6")
@dataclass(frozen=True)
class Relu(Unary):
    """A rescale from the input's scale to the output's, clamped at 0 and, for RELU6, at 6."""

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Relu | Slopes16:
        """The ratio of scales is taken in double (TFLite Micro ReluPrepare)."""
        x, y = graph.input(node), graph.output(node)
        need_ints(node, graph, x, y)
        if node.op == "RELU6":
            need_same_quant(node, graph, x, y)
        multiplier, shift = quantize_multiplier(x.scale / y.scale)
        limit = np.iinfo(y.dtype).max
        most = min(limit, quantized(6.0, y)) if node.op == "RELU6" else limit
        if x.dtype == "int16":
            return Slopes16(x.count, ((multiplier, shift), (0, 0)), (0, most))
        rescaled = requantize(ALL_INT8 - x.zero_point, multiplier, shift) + y.zero_point
        return cls(x.count, clamp8(rescaled, max(-128, y.zero_point), most))

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Both widths of values."""
        return cases.both_widths(cls._int8_cases(rng))

    @classmethod
    def _int8_cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """With and without a change of scale (RELU6 never changes it); all 256 values."""
        for i in range(6):
            op_name = "RELU6" if i >= 4 else "RELU"
            x = cases.activation(rng, (1, 256), "input")
            factor = float(rng.uniform(0.4, 1.0)) if i < 3 else 1.0
            same = x.zero_point if op_name == "RELU6" else None
            yield cases.one_node(op_name, [x], cases.activation(rng, (1, 256), "output", x.scale * factor, same))
