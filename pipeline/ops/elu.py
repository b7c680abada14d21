"""ELU: Keras elu."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Unary, need_int8, op
from pipeline.ops.exp import float_table


@op("ELU")
@dataclass(frozen=True)
class Elu(Unary):
    """exp(x) - 1 below zero, x from there up, as a table that TFLite Micro too fills in float32."""

    tflite_differs = "its reference resolver takes no int8 ELU"

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Elu:
        """Any int8 scales."""
        x, y = graph.input(node), graph.output(node)
        need_int8(node, graph, x, y)
        return cls(x.count, float_table(x, y, lambda real: np.where(real < 0, np.exp(np.minimum(real, 0)) - 1, real)))

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """All 256 values at several scales."""
        for scale in (0.01, 0.03, 0.1):
            x = cases.activation(rng, (1, 256), "input", scale)
            yield cases.one_node("ELU", [x], cases.activation(rng, (1, 256), "output", scale * 0.8))
