"""MAXIMUM and MINIMUM: Keras Maximum and Minimum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, need_same_quant, op
from pipeline.ops.broadcast import Broadcast, broadcast_of, graph_of, pairs


@op("MAXIMUM", "MINIMUM")
@dataclass(frozen=True)
class Maximum:
    """Inputs and output are quantized alike, so bytes are compared."""

    name: str
    broadcast: Broadcast
    macs = 0
    slots = (0, 1)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Maximum:
        """Refuses different quantizations, which TFLite Micro would compare without a word."""
        broadcast, a, b, y = broadcast_of(node, graph)
        need_same_quant(node, graph, a, y)
        need_same_quant(node, graph, b, y)
        return cls(node.op.lower(), broadcast)

    def run(self, *inputs: Int8s) -> Int8s:
        """Value by value."""
        return np.asarray((np.maximum if self.name == "maximum" else np.minimum)(*inputs))

    def call(self) -> Call:
        """One call for the whole layer."""
        return Call(f"nn_{self.name}_s8", f"nn_{self.name}_t", {"broadcast": self.broadcast.fields()})

    @property
    def in_place(self) -> tuple[int, ...]:
        """See Broadcast."""
        return self.broadcast.in_place

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Every kind of broadcast."""
        for name in ("MAXIMUM", "MINIMUM"):
            for pair in pairs(rng, same_quant=True):
                shape = np.broadcast_shapes(pair[0].shape, pair[1].shape)
                y = cases.activation(rng, shape, "output", pair[0].scale, pair[0].zero_point)
                yield graph_of(rng, name, pair, y, "MaximumMinimumOptions")
