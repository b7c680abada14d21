"""TRANSPOSE: Keras Permute, and the axes that converters turn around."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, need_alike, op
from pipeline.ops.moves import constant_ints, move, strides


@op("TRANSPOSE")
@dataclass(frozen=True)
class Transpose:
    """Output axis i is input axis permutation[i]."""

    permutation: tuple[int, ...]
    moved: Call = field(compare=False)
    types: ClassVar = {"TRANSPOSE": ("int16",)}
    macs = 0
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Transpose:
        """The permutation is constant."""
        x, y = graph.input(node), graph.output(node)
        need_alike(node, graph, x, y)
        permutation = constant_ints(node, graph, 1, "axes")
        steps = [strides(x.shape)[axis] for axis in permutation]
        return cls(permutation, move(node, graph, y.shape, (steps, 0), (strides(y.shape), 0)))

    def run(self, *inputs: Int8s) -> Int8s:
        """Axes in another order."""
        return inputs[0].transpose(self.permutation)

    def call(self) -> Call:
        """One move."""
        return self.moved

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Two to four axes in every kind of order; the batch stays in front."""
        for shape, order in (((1, 5, 7), (0, 2, 1)), ((1, 3, 4, 5), (0, 3, 1, 2)), ((1, 3, 4, 5), (0, 2, 3, 1)),
                             ((1, 3, 4, 5), (0, 3, 2, 1)), ((1, 6), (0, 1))):  # fmt: skip
            x = cases.activation(rng, shape, "input")
            y = cases.activation(rng, [shape[axis] for axis in order], "output", x.scale, x.zero_point)
            yield cases.one_node("TRANSPOSE", [x, cases.constant("axes", order)], y, "TransposeOptions")
