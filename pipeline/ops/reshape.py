"""RESHAPE, SQUEEZE and EXPAND_DIMS: the same bytes under another shape. They cost nothing on the device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Int8s, need_alike, op
from pipeline.problem import Problem


@op("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
@dataclass(frozen=True)
class Reshape:
    """The output's shape, which the converter has already worked out."""

    shape: tuple[int, ...]
    types: ClassVar = {"RESHAPE": ("int16", "int32", "bool"), "SQUEEZE": ("int16", "int32"), "EXPAND_DIMS": ("int16",)}
    macs = 0
    in_place = (0,)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Reshape:
        """Refuses a change of quantization or of the number of elements."""
        x, y = graph.input(node), graph.output(node)
        need_alike(node, graph, x, y)
        if x.count != y.count:
            raise Problem(graph.label(node), f"makes {y.count} values out of {x.count}", "the file is damaged")
        return cls(y.shape)

    def run(self, *inputs: Int8s) -> Int8s:
        """The same values."""
        return inputs[0].reshape(self.shape)

    def call(self) -> None:
        """Nothing to call."""

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """One of each kind."""
        x = cases.activation(rng, (1, 1, 6, 4), "input")
        flat, squeezed, wide = (cases.activation(rng, shape, "output", x.scale, x.zero_point)
                                for shape in ((1, 24), (1, 6, 4), (1, 1, 1, 6, 4)))  # fmt: skip
        yield cases.one_node(
            "RESHAPE", [x, cases.constant("shape", flat.shape)], flat, "ReshapeOptions", new_shape=flat.shape
        )
        yield cases.one_node("SQUEEZE", [x], squeezed, "SqueezeOptions", squeeze_dims=(1,))
        yield cases.one_node("EXPAND_DIMS", [x, cases.constant("axis", 1)], wide, "ExpandDimsOptions")
