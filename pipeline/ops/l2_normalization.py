"""L2_NORMALIZATION: Keras UnitNormalization, embeddings of length 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.fixedpoint import inverse_sqrt, requantize
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, activation_range, clamp8, need_int8, op
from pipeline.problem import Problem

OUTPUT_BITS = 7


@op("L2_NORMALIZATION")
@dataclass(frozen=True)
class L2Normalization:
    """Along the last axis; the output's scale is 1/128 and its zero point 0, whatever the file says of others."""

    rows: int
    depth: int
    zero_point: int
    macs = 0
    in_place = (0,)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> L2Normalization:
        """Refuses any other output quantization and fused activations."""
        x, y = graph.input(node), graph.output(node)
        need_int8(node, graph, x, y)
        if (y.scale, y.zero_point) != (1 / 128, 0):
            raise Problem(graph.label(node), f"its output has scale {y.scale:g} and zero point {y.zero_point}",
                          "l2 normalization must have 1/128 and 0")  # fmt: skip
        if activation_range(node, graph, y) != (-128, 127):
            raise Problem(
                graph.label(node), "has a fused activation, which it does not apply", "use a layer of its own"
            )
        return cls(x.count // x.shape[-1], x.shape[-1], x.zero_point)

    def run(self, *inputs: Int8s) -> Int8s:
        """x / sqrt(sum of x^2), row by row; a row of zeros stays one."""
        rows = inputs[0].reshape(self.rows, self.depth).astype(np.int64) - self.zero_point
        made = []
        for row in rows:
            multiplier, shift = inverse_sqrt(int((row * row).sum()))
            made.append(clamp8(requantize(row, multiplier, shift + OUTPUT_BITS)))
        return np.stack(made).reshape(inputs[0].shape)

    def call(self) -> Call:
        """One call for the whole layer."""
        return Call("nn_l2_normalization_s8", "nn_l2_normalization_t", {
            "rows": self.rows, "depth": self.depth, "input_offset": -self.zero_point,
        })  # fmt: skip

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """One value and many, one row and several, every kind of zero point."""
        for shape, zero_point in (
            ((1, 7), 0),
            ((1, 300), -128),
            ((1, 3, 4), 127),
            ((1, 2, 3, 5), None),
            ((1, 4, 1), 3),
            ((1, 60, 2), 0),
        ):
            x = cases.activation(rng, shape, "input", zero_point=zero_point)
            y = cases.activation(rng, shape, "output", 1 / 128, 0)
            yield cases.one_node("L2_NORMALIZATION", [x], y, "L2NormOptions", fused_activation_function=0)
