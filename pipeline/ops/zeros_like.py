"""ZEROS_LIKE: bytes of 0 in the shape of another tensor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, Part, need_int8, op
from pipeline.ops.moves import fill


@op("ZEROS_LIKE")
@dataclass(frozen=True)
class ZerosLike:
    """As in TFLite Micro the bytes are 0, which is the real 0 only where the zero point is 0."""

    tflite_differs = "its reference resolver takes no int8 ZEROS_LIKE"

    shape: tuple[int, ...]
    filled: Call = field(compare=False)
    macs = 0
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> ZerosLike:
        """The shape is the output's; the input is not read."""
        y = graph.output(node)
        need_int8(node, graph, graph.input(node), y)
        return cls(y.shape, fill(y, 0))

    def run(self, *inputs: Int8s) -> Int8s:
        """Zeros."""
        return np.zeros(self.shape, np.int8)

    def call(self) -> tuple[Part, ...]:
        """One fill."""
        return (Part(self.filled, ()),)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Added to the input, so that other bytes would show."""
        for shape in ((1, 5), (1, 16, 9), (1, 4, 9, 5)):
            x = cases.activation(rng, shape, "input")
            zeros = cases.activation(rng, shape, "zeros", x.scale)
            y = cases.activation(rng, shape, "output", x.scale * 2)
            nodes = (Node(0, "ZEROS_LIKE", (0,), (1,), {"table": "ZerosLikeOptions"}),
                     Node(1, "ADD", (0, 1), (2,), {"table": "AddOptions", "fused_activation_function": 0}))  # fmt: skip
            yield Graph((x, zeros, y), nodes, (0,), (2,))
