"""BATCH_MATMUL: the products of attention, where both sides are activations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.fixedpoint import quantize_multiplier, requantize
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, clamp8, need_int8, op
from pipeline.problem import Problem


@op("BATCH_MATMUL")
@dataclass(frozen=True)
class BatchMatmul:
    """a [..., rows, depth] times b [..., depth, columns], either of them transposed; the same leading axes."""

    sizes: tuple[int, int, int, int]  # batches, rows, depth, columns
    transposed: tuple[bool, bool]
    offsets: tuple[int, int, int]  # a, b, output
    rescale: tuple[int, int]
    shape: tuple[int, ...]
    in_place = ()
    slots = (0, 1)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> BatchMatmul:
        """Refuses leading axes that would have to be broadcast."""
        a, b, y = graph.input(node, 0), graph.input(node, 1), graph.output(node)
        need_int8(node, graph, a, b, y)
        if math.prod(a.shape[:-2]) != math.prod(b.shape[:-2]):
            raise Problem(
                graph.label(node), f"multiplies {list(a.shape)} by {list(b.shape)}", "repeat one side: no broadcast"
            )
        transposed = (bool(node.options["adj_x"]), bool(node.options["adj_y"]))
        rows, depth = a.shape[-2:][::-1] if transposed[0] else a.shape[-2:]
        columns = b.shape[-2] if transposed[1] else b.shape[-1]
        offsets = (-a.zero_point, -b.zero_point, y.zero_point)
        rescale = quantize_multiplier(a.scale * b.scale / y.scale)
        return cls((math.prod(a.shape[:-2]), rows, depth, columns), transposed, offsets, rescale, y.shape)

    def run(self, *inputs: Int8s) -> Int8s:
        """One rescaled sum per output."""
        a, b = (x.astype(np.int64) + offset for x, offset in zip(inputs, self.offsets, strict=False))
        a = a.swapaxes(-1, -2) if self.transposed[0] else a
        b = b.swapaxes(-1, -2) if self.transposed[1] else b
        return clamp8(requantize(a @ b, *self.rescale) + self.offsets[2]).reshape(self.shape)

    def call(self) -> Call:
        """One call for all batches; a transposed side only changes its steps."""
        batches, rows, depth, columns = self.sizes
        a_step = (rows * depth, 1, rows) if self.transposed[0] else (rows * depth, depth, 1)
        b_step = (depth * columns, 1, depth) if self.transposed[1] else (depth * columns, columns, 1)
        return Call("nn_batch_matmul_s8", "nn_batch_matmul_t", {
            "batches": batches, "rows": rows, "depth": depth, "columns": columns, "a_step": a_step, "b_step": b_step,
            "a_offset": self.offsets[0], "b_offset": self.offsets[1], "output_offset": self.offsets[2],
            "multiplier": self.rescale[0], "shift": self.rescale[1],
        })  # fmt: skip

    @property
    def macs(self) -> int:
        """Products of all sums."""
        return math.prod(self.sizes)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """A square activation with a rescaled copy of itself, plain and transposed, with and without heads."""
        for shape, flip in (((1, 4, 4), False), ((1, 2, 5, 3), True), ((1, 3, 2, 2), False), ((1, 6, 4), True)):
            x = cases.activation(rng, shape, "input")
            b = cases.activation(rng, shape, "b", x.scale * float(rng.uniform(0.5, 2)))
            made = (*shape[:-1], shape[-2] if flip else shape[-1])
            y = cases.activation(rng, made, "output", x.scale * b.scale * 64 * math.sqrt(shape[-1]))
            yield cases.two_nodes("QUANTIZE", "BATCH_MATMUL", [x, b, y], ((0,), (0, 1)), "BatchMatMulOptions",
                                  adj_x=False, adj_y=flip)  # fmt: skip
