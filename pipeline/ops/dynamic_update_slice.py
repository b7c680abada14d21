"""DYNAMIC_UPDATE_SLICE at a constant place: a part of a tensor is replaced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Int8s, Part, need_int8, need_same_quant, op
from pipeline.ops.moves import constant_ints, move, strides


@op("DYNAMIC_UPDATE_SLICE")
@dataclass(frozen=True)
class DynamicUpdateSlice:
    """The tensor is moved, then the part over it."""

    start: tuple[int, ...]
    moves: tuple[Part, ...] = field(compare=False)
    macs = 0
    in_place = ()
    slots = (0, 1)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> DynamicUpdateSlice:
        """The place is shifted until the part fits in."""
        x, part, y = graph.input(node), graph.input(node, 1), graph.output(node)
        need_int8(node, graph, x, part, y)
        need_same_quant(node, graph, x, y)
        need_same_quant(node, graph, part, y)
        asked = constant_ints(node, graph, 2, "places")
        start = tuple(max(0, min(i, size - own)) for i, size, own in zip(asked, x.shape, part.shape, strict=True))
        steps = strides(x.shape)
        place = sum(i * step for i, step in zip(start, steps, strict=True))
        whole = move(node, graph, x.shape, (steps, 0), (steps, 0))
        over = move(node, graph, part.shape, (strides(part.shape), 0), (steps, place))
        return cls(start, (Part(whole, (0,)), Part(over, (1,))))

    def run(self, *inputs: Int8s) -> Int8s:
        """The first input with the second in it."""
        made = inputs[0].copy()
        made[tuple(slice(i, i + size) for i, size in zip(self.start, inputs[1].shape, strict=True))] = inputs[1]
        return made

    def call(self) -> tuple[Part, ...]:
        """Two moves."""
        return self.moves

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Inside, at the edge, beyond it; the whole."""
        for shape, own, start in (((1, 6, 3), (1, 2, 3), (0, 3, 0)), ((1, 4, 5), (1, 2, 2), (0, 9, -4)),
                                  ((1, 4, 4, 2), (1, 3, 1, 2), (0, 1, 2, 0)), ((1, 5), (1, 5), (0, 0))):  # fmt: skip
            x = cases.activation(rng, shape, "input")
            part = cases.activation(rng, own, "part", x.scale, x.zero_point)
            y = cases.activation(rng, shape, "output", x.scale, x.zero_point)
            whole = cases.constant("begin", (0,) * len(shape)), cases.constant("size", own)
            nodes = (
                Node(0, "SLICE", (0, 1, 2), (4,), {"table": "SliceOptions"}),
                Node(1, "DYNAMIC_UPDATE_SLICE", (0, 4, 3), (5,), {"table": "DynamicUpdateSliceOptions"}),
            )
            yield Graph((x, *whole, cases.constant("start", start), part, y), nodes, (0,), (5,))
