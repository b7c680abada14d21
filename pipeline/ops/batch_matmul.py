"""BATCH_MATMUL: the products of attention, where both sides are activations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from pipeline.fixedpoint import quantize_multiplier, reduced, requantize, requantize_wide
from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases
from pipeline.ops.base import Call, Field, Int8s, need_ints, op
from pipeline.ops.weighted import need_shift
from pipeline.problem import Problem


@op("BATCH_MATMUL")
@dataclass(frozen=True)
class BatchMatmul:
    """a [..., rows, depth] times b [..., depth, columns], either of them transposed or one for all the other's."""

    sizes: tuple[int, int, int]  # rows, depth, columns
    batches: tuple[int, int]  # of a, of b
    transposed: tuple[bool, bool]
    offsets: tuple[int, int, int]  # a, b, output
    rescale: tuple[int, int]
    range: tuple[int, int]
    shape: tuple[int, ...]
    dtype: str = "int8"
    in_place = ()
    slots = (0, 1)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> BatchMatmul:
        """Refuses leading axes that would have to be broadcast on both sides."""
        a, b, y = graph.input(node, 0), graph.input(node, 1), graph.output(node)
        need_ints(node, graph, y, a, b)
        batches = (math.prod(a.shape[:-2]), math.prod(b.shape[:-2]))
        if 1 not in batches and (batches[0] != batches[1] or batches[0] != math.prod(y.shape[:-2])):
            raise Problem(
                graph.label(node), f"multiplies {list(a.shape)} by {list(b.shape)}", "repeat one side: no broadcast"
            )
        transposed = (bool(node.options["adj_x"]), bool(node.options["adj_y"]))
        rows, depth = a.shape[-2:][::-1] if transposed[0] else a.shape[-2:]
        columns = b.shape[-2] if transposed[1] else b.shape[-1]
        offsets, (multiplier, shift) = product(a, b, y)
        limits = np.iinfo(y.dtype)
        if y.dtype == "int16":
            need_shift(node, graph, shift)
            multiplier = reduced(multiplier)
        return cls((rows, depth, columns), batches, transposed, offsets, (multiplier, shift),
                   (limits.min, limits.max), y.shape, y.dtype)  # fmt: skip

    def run(self, *inputs: Int8s) -> Int8s:
        """One rescaled sum per output."""
        a, b = (x.astype(np.int64) + offset for x, offset in zip(inputs, self.offsets, strict=False))
        a = a.swapaxes(-1, -2) if self.transposed[0] else a
        b = b.swapaxes(-1, -2) if self.transposed[1] else b
        made = (requantize if self.dtype == "int8" else requantize_wide)(a @ b, *self.rescale) + self.offsets[2]
        return np.asarray(made.clip(*self.range).astype(self.dtype).reshape(self.shape))

    def call(self) -> Call:
        """One call for all batches; a transposed side only changes its steps."""
        rows, depth, columns = self.sizes
        a_next = rows * depth if self.batches[0] > 1 else 0
        b_next = depth * columns if self.batches[1] > 1 else 0
        a_step = (a_next, 1, rows) if self.transposed[0] else (a_next, depth, 1)
        b_step = (b_next, 1, depth) if self.transposed[1] else (b_next, columns, 1)
        sizes: dict[str, Field] = {"batches": max(self.batches), "rows": rows, "depth": depth, "columns": columns,
                                   "a_step": a_step, "b_step": b_step}  # fmt: skip
        if self.dtype == "int16":
            rescale = {"multiplier": self.rescale[0], "shift": self.rescale[1]}
            return Call("nn_batch_matmul_s16", "nn_batch_matmul_s16_t", {**sizes, **rescale})
        return Call("nn_batch_matmul_s8", "nn_batch_matmul_t", {
            **sizes, "a_offset": self.offsets[0], "b_offset": self.offsets[1], "output_offset": self.offsets[2],
            "multiplier": self.rescale[0], "shift": self.rescale[1], "min": self.range[0], "max": self.range[1],
        })  # fmt: skip

    @property
    def macs(self) -> int:
        """Products of all sums."""
        return math.prod(self.sizes) * max(self.batches)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Both widths of values."""
        made = list(cls._int8_cases(rng))
        yield from made
        yield from (cases.of_16_bits(graph) for graph in made if all(t.data is None for t in graph.tensors))

    @classmethod
    def _int8_cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """A square activation with a rescaled copy of itself, plain and transposed, with and without heads."""
        for shape, flip in (((1, 4, 4), False), ((1, 2, 5, 3), True), ((1, 3, 2, 2), False), ((1, 6, 4), True)):
            x = cases.activation(rng, shape, "input")
            b = cases.activation(rng, shape, "b", x.scale * float(rng.uniform(0.5, 2)))
            made = (*shape[:-1], shape[-2] if flip else shape[-1])
            y = cases.activation(rng, made, "output", x.scale * b.scale * 64 * math.sqrt(shape[-1]))
            yield cases.two_nodes("QUANTIZE", "BATCH_MATMUL", [x, b, y], ((0,), (0, 1)), "BatchMatMulOptions",
                                  adj_x=False, adj_y=flip)  # fmt: skip
        for shape, other, first in (
            ((1, 3, 4, 5), (5, 2), True),
            ((1, 4, 3), (3, 6, 4), False),
            ((1, 2, 3), (3, 3), True),
        ):
            x, b = cases.activation(rng, shape, "input"), cases.activation(rng, other, "b")
            b = replace(b, data=rng.integers(-128, 128, other).astype(np.int8))
            sides = (x, b) if first else (b, x)
            made = (*max(shape[:-2], other[:-2], key=math.prod), sides[0].shape[-2], sides[1].shape[-1])
            y = cases.activation(rng, made, "output", x.scale * b.scale * 61 * math.sqrt(sides[0].shape[-1]))
            yield cases.one_node("BATCH_MATMUL", sides, y, "BatchMatMulOptions", adj_x=False, adj_y=False)


def product(a: Tensor, b: Tensor, y: Tensor) -> tuple[tuple[int, int, int], tuple[int, int]]:
    """The offsets and the rescale of a product of activations."""
    return (-a.zero_point, -b.zero_point, y.zero_point), quantize_multiplier(a.scale * b.scale / y.scale)
