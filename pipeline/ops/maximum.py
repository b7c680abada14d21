"""MAXIMUM and MINIMUM: Keras Maximum and Minimum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Field, Int8s, need_alike, op
from pipeline.ops.broadcast import CONSTANT, Broadcast, graph_of, pairs, typed_broadcast


@op("MAXIMUM", "MINIMUM")
@dataclass(frozen=True)
class Maximum:
    """Inputs and output are quantized alike, so bytes are compared."""

    name: str
    broadcast: Broadcast
    width: int
    macs = 0
    slots = (0, 1)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Maximum:
        """Refuses different quantizations, which TFLite Micro would compare without a word."""
        broadcast, a, b, y = typed_broadcast(node, graph)
        need_alike(node, graph, y, a, b)
        return cls(node.op.lower(), broadcast, y.itemsize)

    def run(self, *inputs: Int8s) -> Int8s:
        """Value by value."""
        return np.asarray((np.maximum if self.name == "maximum" else np.minimum)(*inputs))

    def call(self) -> Call:
        """One call for the whole layer; the least value is the largest of those with all bits turned."""
        if self.width > 1:
            turned = -int(self.name == "minimum")
            fields: dict[str, Field] = {"broadcast": self.broadcast.fields(), "width": self.width, "turned": turned}
            return Call("nn_maximum_wide", "nn_maximum_wide_t", fields)
        return Call(f"nn_{self.name}_s8", f"nn_{self.name}_t", {"broadcast": self.broadcast.fields()})

    @property
    def in_place(self) -> tuple[int, ...]:
        """See Broadcast."""
        return self.broadcast.in_place

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Every kind of broadcast; wider values."""
        for name in ("MAXIMUM", "MINIMUM"):
            for pair in pairs(rng, same_quant=True):
                shape = np.broadcast_shapes(pair[0].shape, pair[1].shape)
                y = cases.activation(rng, shape, "output", pair[0].scale, pair[0].zero_point)
                yield graph_of(rng, name, pair, y, "MaximumMinimumOptions")
            for dtype, shapes in (("int16", CONSTANT[4]), ("int32", CONSTANT[1])):
                y = cases.typed(rng, np.broadcast_shapes(*shapes), "output", dtype)
                a, b = (cases.typed(rng, shape, each, dtype, y) for each, shape in zip("ab", shapes, strict=True))
                yield cases.one_node(name, [a, b], y, "MaximumMinimumOptions")
