"""CONCATENATION and PACK: Keras Concatenate, and stacking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import ALL, Int8s, Part, need_alike, op
from pipeline.ops.moves import move, strides
from pipeline.problem import Problem


@op("CONCATENATION", "PACK")
@dataclass(frozen=True)
class Concatenation:
    """One move per input; all are quantized like the output."""

    axis: int
    stacked: bool  # PACK: along a new axis
    moves: tuple[Part, ...] = field(compare=False)
    types: ClassVar = {"CONCATENATION": ("int16", "int32", "bool"), "PACK": ("int16", "int32")}
    macs = 0
    in_place = ()
    slots = ALL

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Concatenation:
        """Refuses inputs that would have to be rescaled, as TFLite Micro does."""
        y, stacked = graph.output(node), node.op == "PACK"
        axis, parts, start = node.options["axis"] % len(y.shape), [], 0
        if not stacked and node.options.get("fused_activation_function"):
            raise Problem(
                graph.label(node), "has a fused activation, which it does not apply", "use a layer of its own"
            )
        for slot in range(len(node.inputs)):
            x = graph.input(node, slot)
            need_alike(node, graph, x, y)
            shape = (*x.shape[:axis], 1, *x.shape[axis:]) if stacked else x.shape
            target = (strides(y.shape), start * strides(y.shape)[axis])
            parts.append(Part(move(node, graph, shape, (strides(shape), 0), target), (slot,)))
            start += shape[axis]
        return cls(axis, stacked, tuple(parts))

    def run(self, *inputs: Int8s) -> Int8s:
        """The inputs one after the other."""
        return np.stack(inputs, self.axis) if self.stacked else np.concatenate(inputs, self.axis)

    def call(self) -> tuple[Part, ...]:
        """One move per input."""
        return self.moves

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """An input with itself, along every axis; stacked in front and behind."""
        for shape, axis in (((1, 5, 3), 1), ((1, 5, 3), -1), ((1, 2, 3, 4), 2)):
            x = cases.activation(rng, shape, "input")
            whole = [size * 2 if i == axis % len(shape) else size for i, size in enumerate(shape)]
            y = cases.activation(rng, whole, "output", x.scale, x.zero_point)
            node = Node(0, "CONCATENATION", (0, 0), (1,), {"table": "ConcatenationOptions", "axis": axis})
            yield Graph((x, y), (node,), (0,), (1,))
        for flat, axis in (((1, 5, 3), 1), ((1, 4, 2), 3)):
            x = cases.activation(rng, flat, "input")
            y = cases.activation(rng, (*flat[:axis], 2, *flat[axis:]), "output", x.scale, x.zero_point)
            node = Node(0, "PACK", (0, 0), (1,), {"table": "PackOptions", "axis": axis, "values_count": 2})
            yield Graph((x, y), (node,), (0,), (1,))
