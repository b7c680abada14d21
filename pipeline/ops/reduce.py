"""SUM, REDUCE_MAX and REDUCE_MIN: Keras GlobalMaxPooling, and sums along axes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.fixedpoint import quantize_multiplier, requantize
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, clamp8, need_int8, need_same_quant, op
from pipeline.ops.mean import reduction


@op("SUM", "REDUCE_MAX", "REDUCE_MIN")
@dataclass(frozen=True)
class Reduce:
    """The input seen as [outer, reduced, inner]; output [outer, inner]. Only SUM rescales."""

    tflite_differs = "its SUM rounds in another way"

    name: str
    sizes: tuple[int, int, int]
    zero_points: tuple[int, int]
    rescale: tuple[int, int]
    shape: tuple[int, ...]
    macs = 0
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Reduce:
        """The axes must lie side by side."""
        x, y = graph.input(node), graph.output(node)
        need_int8(node, graph, x, y)
        if node.op != "SUM":
            need_same_quant(node, graph, x, y)
        rescale = quantize_multiplier(x.scale / y.scale)
        return cls(node.op, reduction(node, graph), (x.zero_point, y.zero_point), rescale, y.shape)

    def run(self, *inputs: Int8s) -> Int8s:
        """One value per output."""
        x = inputs[0].reshape(self.sizes).astype(np.int64)
        if self.name == "SUM":
            sums = x.sum(axis=1) - self.zero_points[0] * self.sizes[1]
            return clamp8(requantize(sums, *self.rescale) + self.zero_points[1]).reshape(self.shape)
        found: Int8s = (x.max(axis=1) if self.name == "REDUCE_MAX" else x.min(axis=1)).astype(np.int8)
        return found.reshape(self.shape)

    def call(self) -> Call:
        """A sum is a mean that does not divide."""
        outer, reduced, inner = self.sizes
        head = {"outer": outer, "reduced": reduced, "inner": inner}
        if self.name != "SUM":
            return Call(f"nn_{self.name.lower()}_s8", f"nn_{self.name.lower()}_t", head)
        return Call("nn_mean_s8", "nn_mean_t", {
            **head, "input_offset": -self.zero_points[0] * reduced, "output_offset": self.zero_points[1],
            "multiplier": self.rescale[0], "shift": self.rescale[1],
        })  # fmt: skip

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Height and width, one axis of three, the last axis; with and without keep_dims."""
        for name in ("SUM", "REDUCE_MAX", "REDUCE_MIN"):
            for i, axes in enumerate([(1, 2), (1,), (2,)]):
                shape = (1, *(int(size) for size in rng.integers(2, 9, 3 if axes == (1, 2) else 2)))
                x = cases.activation(rng, shape, "input")
                kept = tuple(
                    1 if axis in axes else size for axis, size in enumerate(shape) if i % 2 or axis not in axes
                )
                like = (x.scale * 5,) if name == "SUM" else (x.scale, x.zero_point)
                y = cases.activation(rng, kept, "output", *like)
                yield cases.one_node(
                    name, [x, cases.constant("axes", axes)], y, "ReducerOptions", keep_dims=bool(i % 2)
                )
