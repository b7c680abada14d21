"""SUM, REDUCE_MAX and REDUCE_MIN: Keras GlobalMaxPooling, and sums along axes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.fixedpoint import quantize_multiplier, requantize
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, clamped, need_int8, need_ints, need_same_quant, op
from pipeline.ops.mean import Axes, left, mean_call, reduction


@op("SUM", "REDUCE_MAX", "REDUCE_MIN")
@dataclass(frozen=True)
class Reduce:
    """One value for all along the reduced axes. Only SUM rescales."""

    tflite_differs = "its SUM rounds in another way"

    name: str
    axes: Axes
    zero_points: tuple[int, int]
    rescale: tuple[int, int]
    shape: tuple[int, ...]
    dtype: str
    macs = 0
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Reduce:
        """The axes are constant."""
        x, y = graph.input(node), graph.output(node)
        (need_ints if node.op == "SUM" else need_int8)(node, graph, x, y)  # TFLite Micro has no other of 16 bits
        if node.op != "SUM":
            need_same_quant(node, graph, x, y)
        rescale = quantize_multiplier(x.scale / y.scale)
        return cls(node.op, reduction(node, graph), (x.zero_point, y.zero_point), rescale, y.shape, y.dtype)

    def run(self, *inputs: Int8s) -> Int8s:
        """One value per output."""
        x, reduced = self.axes.view(inputs[0])
        if self.name == "SUM":
            sums = x.sum(axis=reduced) - self.zero_points[0] * self.axes.count
            made = requantize(sums, *self.rescale) + self.zero_points[1]
            return clamped(made, self.dtype).reshape(self.shape)
        found = x.max(axis=reduced) if self.name == "REDUCE_MAX" else x.min(axis=reduced)
        return np.asarray(found, np.int8).reshape(self.shape)

    def call(self) -> Call:
        """A sum is a mean that does not divide."""
        if self.name == "SUM":
            return mean_call(self.axes, self.zero_points, self.rescale, self.dtype)
        plain = self.axes.plain()
        if plain is None:
            largest = int(self.name == "REDUCE_MAX")
            return Call("nn_reduce_axes_s8", "nn_reduce_axes_t", {"axes": self.axes.fields(), "largest": largest})
        kernel = f"nn_{self.name.lower()}"
        return Call(f"{kernel}_s8", f"{kernel}_t", dict(zip(("outer", "reduced", "inner"), plain, strict=True)))

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Both widths of values for SUM."""
        made = list(cls._int8_cases(rng))
        sums = [graph for graph in made if graph.nodes[0].op == "SUM"]
        return iter([*made, *(cases.of_16_bits(graph) for graph in sums)])

    @classmethod
    def _int8_cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Height and width, one axis, the last, some that do not lie side by side; with and without keep_dims."""
        for name in ("SUM", "REDUCE_MAX", "REDUCE_MIN"):
            for i, (rank, axes) in enumerate(((4, (1, 2)), (3, (1,)), (3, (2,)), (4, (1, 3)), (4, (0, 2)), (2, (-1,)))):
                shape = (1, *(int(size) for size in rng.integers(2, 9, rank - 1)))
                x = cases.activation(rng, shape, "input")
                like = (x.scale * 5,) if name == "SUM" else (x.scale, x.zero_point)
                y = cases.activation(rng, left(shape, axes, bool(i % 2)), "output", *like)
                yield cases.one_node(
                    name, [x, cases.constant("axes", axes)], y, "ReducerOptions", keep_dims=bool(i % 2)
                )
