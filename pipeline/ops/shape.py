"""SHAPE of a static tensor, and FILL: what converters leave of arithmetic on shapes; most of it is folded away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases
from pipeline.ops.base import Call, Part, load, need_alike, op
from pipeline.ops.moves import move, strides
from pipeline.problem import Problem


@op("SHAPE")
@dataclass(frozen=True)
class Shape:
    """A constant: no value of the input is read."""

    shape: tuple[int, ...]
    macs = 0
    in_place = ()
    slots = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Shape:
        """As int32, like TFLite Micro."""
        if graph.output(node).dtype != "int32":
            raise Problem(graph.label(node), f"gives a shape as {graph.output(node).dtype}", "int32 is compiled")
        return cls(graph.input(node).shape)

    def run(self, *inputs: NDArray[Any]) -> NDArray[Any]:
        """The sizes."""
        return np.array(self.shape, np.int32)

    def call(self) -> tuple[Part, ...]:
        """Where it is asked for on the device after all."""
        return (Part(load(self.run()), ()),)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Of one to four axes."""
        for sizes in ((7,), (1, 6, 2), (1, 3, 4, 5)):
            x, y = cases.activation(rng, sizes, "input"), Tensor("output", (len(sizes),), "int32")
            yield cases.one_node("SHAPE", [x], y, "ShapeOptions", out_type=2)


@op("FILL")
@dataclass(frozen=True)
class Fill:
    """One value again and again."""

    shape: tuple[int, ...]
    moved: Call = field(compare=False)
    macs = 0
    in_place = ()
    slots = (1,)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Fill:
        """The output's shape is known, whatever makes the sizes."""
        x, y = graph.input(node, 1), graph.output(node)
        need_alike(node, graph, x, y)
        if x.count != 1:
            raise Problem(graph.label(node), f"fills with {x.count} values", "the file is damaged: convert it again")
        return cls(y.shape, move(node, graph, y.shape, ([0] * len(y.shape), 0), (strides(y.shape), 0)))

    def run(self, *inputs: NDArray[Any]) -> NDArray[Any]:
        """The value everywhere."""
        return np.full(self.shape, inputs[0].reshape(()), inputs[0].dtype)

    def call(self) -> Call:
        """One move that stays where it reads."""
        return self.moved

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """8 and 32 bits."""
        for dtype, sizes in (("int8", (1, 9)), ("int8", (2, 3, 4)), ("int32", (1, 2, 3, 2))):
            x = cases.typed(rng, (), "value", dtype)
            y = cases.typed(rng, sizes, "output", dtype, x)
            yield cases.one_node("FILL", [cases.constant("sizes", sizes), x], y, "FillOptions")
