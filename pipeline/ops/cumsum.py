"""CUMSUM: running sums along one axis."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.fixedpoint import quantize_multiplier, requantize, wrap32
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.add import LEFT_SHIFT
from pipeline.ops.base import Call, Int8s, clamp8, need_int8, op
from pipeline.ops.broadcast import Finer, finer
from pipeline.ops.moves import constant_ints
from pipeline.problem import Problem


@op("CUMSUM")
@dataclass(frozen=True)
class Cumsum:
    """The input seen as [outer, length, inner], summed on a scale of twice the input's / 2^20.

    As in TFLite Micro the sums begin at a quantized 0, which is the real 0 only where the zero point is 0.
    """

    tflite_differs = "its reference resolver takes no int8 CUMSUM"

    sizes: tuple[int, int, int]
    reverse: bool
    exclusive: bool
    finer: Finer
    rescale: tuple[int, int]
    output_offset: int
    macs = 0
    in_place = (0,)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Cumsum:
        """The axis is constant."""
        x, y = graph.input(node), graph.output(node)
        need_int8(node, graph, x, y)
        axis = constant_ints(node, graph, 1, "axes")[0] % len(x.shape)
        rescale = quantize_multiplier(2 * x.scale / ((1 << LEFT_SHIFT) * y.scale))
        if rescale[1] > 0:
            raise Problem(graph.label(node), f"its output scale {y.scale:g} is too small beside its inputs'",
                          "calibrate with data in which its output varies")  # fmt: skip
        sizes = (math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :]))
        ways = (bool(node.options.get("reverse")), bool(node.options.get("exclusive")))
        return cls(sizes, *ways, finer(x, 0.5), rescale, y.zero_point)

    def run(self, *inputs: Int8s) -> Int8s:
        """Sum, rescale, clamp; the sums wrap as on the device."""
        start, values = (self.finer.scaled(x, LEFT_SHIFT) for x in (np.zeros(1, np.int8), inputs[0]))
        values = values.reshape(self.sizes)
        values = values[:, ::-1] if self.reverse else values
        sums = start + np.cumsum(values, axis=1) - (values if self.exclusive else 0)
        made = clamp8(requantize(wrap32(sums), *self.rescale) + self.output_offset)
        return (made[:, ::-1] if self.reverse else made).reshape(inputs[0].shape)

    def call(self) -> Call:
        """One call for the whole layer."""
        outer, length, inner = self.sizes
        return Call("nn_cumsum_s8", "nn_cumsum_t", {
            "outer": outer, "length": length, "inner": inner, "reverse": int(self.reverse),
            "exclusive": int(self.exclusive), "input": self.finer.fields(), "output_offset": self.output_offset,
            "multiplier": self.rescale[0], "shift": self.rescale[1],
        })  # fmt: skip

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Every axis, from both ends, with and without the value itself."""
        for i, (shape, axis) in enumerate(
            (((1, 9, 4), 1), ((1, 5), -1), ((1, 3, 4, 2), 2), ((1, 30), 1), ((1, 6, 3), 1))
        ):
            x = cases.activation(rng, shape, "input", zero_point=0 if i % 2 else None)
            y = cases.activation(rng, shape, "output", x.scale * math.sqrt(shape[axis]) * float(rng.uniform(0.7, 3)))
            yield cases.one_node("CUMSUM", [x, cases.constant("axis", axis)], y, "CumsumOptions",
                                 exclusive=bool(i & 1), reverse=bool(i & 2))  # fmt: skip
