"""QUANTIZE inside a model: int8 to int8 of another scale or zero point."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.fixedpoint import quantize_multiplier, requantize
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import ALL_INT8, Unary, clamp8, need_int8, op


@op("QUANTIZE")
@dataclass(frozen=True)
class Quantize(Unary):
    """A rescale; the float QUANTIZE and DEQUANTIZE at a model's edges are taken off by the importer."""

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Quantize:
        """The ratio of scales is taken in double (TFLite PrepareQuantize)."""
        x, y = graph.input(node), graph.output(node)
        need_int8(node, graph, x, y)
        rescaled = requantize(ALL_INT8 - x.zero_point, *quantize_multiplier(x.scale / y.scale)) + y.zero_point
        return cls(x.count, clamp8(rescaled))

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """All 256 values, finer and coarser."""
        for factor in (0.3, 0.9, 1.0, 2.7):
            x = cases.activation(rng, (1, 256), "input")
            yield cases.one_node(
                "QUANTIZE", [x], cases.activation(rng, (1, 256), "output", x.scale * factor), "QuantizeOptions"
            )
