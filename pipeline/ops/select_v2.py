"""SELECT_V2, SELECT: one of two tensors, value by value, as a third of bools says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases
from pipeline.ops.base import Call, need_alike, op
from pipeline.ops.broadcast import Shape, four, steps
from pipeline.problem import Problem


@op("SELECT_V2")
@dataclass(frozen=True)
class SelectV2:
    """All three are broadcast to the output's shape."""

    shapes: tuple[Shape, Shape, Shape]
    output: Shape
    width: int
    macs = 0
    slots = (0, 1, 2)
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> SelectV2:
        """The tensors chosen from are quantized like the output: bytes move."""
        condition, a, b, y = *(graph.input(node, slot) for slot in range(3)), graph.output(node)
        need_alike(node, graph, y, a, b)
        if condition.dtype != "bool":
            raise Problem(graph.label(node), f"is decided by {condition.dtype}, not bool", "compare first")
        if len(y.shape) > 4:
            raise Problem(graph.label(node), f"broadcasts to {len(y.shape)} axes", "reshape its inputs to at most 4")
        return cls((condition.shape, a.shape, b.shape), y.shape, y.itemsize)

    def run(self, *inputs: NDArray[Any]) -> NDArray[Any]:
        """The second where the first is true, else the third."""
        return np.where(inputs[0], inputs[1], inputs[2])

    def call(self) -> Call:
        """One call for the whole layer."""
        fields = {name: steps(shape) for name, shape in zip(("condition", "a", "b"), self.shapes, strict=True)}
        return Call("nn_select", "nn_select_t", {"shape": four(self.output), **fields, "width": self.width})

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Without and with broadcasts; 16 bits too."""
        for dtype, condition, a, b in (
            ("int8", (1, 3, 5), (1, 3, 5), (1, 3, 5)),
            ("int8", (1, 4, 1), (1, 4, 5), (1, 1, 5)),
            ("int8", (1, 2, 3, 4), (1, 1, 3, 1), (1, 2, 3, 4)),
            ("int16", (1, 6), (1, 6), (1, 6)),
        ):
            shape = np.broadcast_shapes(condition, a, b)
            y = cases.typed(rng, shape, "output", dtype)
            chosen = [cases.typed(rng, each, name, dtype, y) for name, each in (("a", a), ("b", b))]
            yield cases.one_node("SELECT_V2", [Tensor("condition", condition, "bool"), *chosen], y, "SelectV2Options")


@op("SELECT")
class Select(SelectV2):
    """The older one, of equal shapes: Keras selu."""

    micro_lacks = "it has no SELECT"

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> SelectV2:
        """A condition for each row, which the older one takes too, is another matter."""
        shapes = [graph.input(node, slot).shape for slot in range(3)]
        if len({*shapes, graph.output(node).shape}) > 1:
            raise Problem(
                graph.label(node), f"chooses among {shapes[1]} by {shapes[0]}", "only equal shapes are compiled"
            )
        return super().from_node(node, graph)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Those without a broadcast."""
        for graph in (*super().cases(rng), *super().cases(rng)):
            if len({tensor.shape for tensor in graph.tensors}) == 1:
                node = graph.nodes[0]
                yield replace(graph, nodes=(replace(node, op="SELECT", options={"table": "SelectOptions"}),))
