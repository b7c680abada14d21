"""MEAN: Keras GlobalAveragePooling1D and 2D."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.fixedpoint import quantize_multiplier, requantize
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, clamp8, need_constant, need_int8, op
from pipeline.problem import Problem


@op("MEAN")
@dataclass(frozen=True)
class Mean:
    """The input seen as [outer, reduced, inner]; output [outer, inner]."""

    outer: int
    reduced: int
    inner: int
    zero_points: tuple[int, int]
    multiplier: int
    shift: int
    shape: tuple[int, ...]
    macs = 0
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Mean:
        """The axes must lie side by side (axes of length 1 do not count)."""
        x, y = graph.input(node), graph.output(node)
        need_int8(node, graph, x, y)
        outer, reduced, inner = reduction(node, graph)
        multiplier, shift = _with_division(*quantize_multiplier(x.scale / y.scale), reduced)
        return cls(outer, reduced, inner, (x.zero_point, y.zero_point), multiplier, shift, y.shape)

    def run(self, *inputs: Int8s) -> Int8s:
        """One rescaled sum per output."""
        x = inputs[0].reshape(self.outer, self.reduced, self.inner).astype(np.int64)
        sums = x.sum(axis=1) - self.zero_points[0] * self.reduced
        return clamp8(requantize(sums, self.multiplier, self.shift) + self.zero_points[1]).reshape(self.shape)

    def call(self) -> Call:
        """One call for the whole layer."""
        return Call("nn_mean_s8", "nn_mean_t", {
            "outer": self.outer, "reduced": self.reduced, "inner": self.inner,
            "input_offset": -self.zero_points[0] * self.reduced, "output_offset": self.zero_points[1],
            "multiplier": self.multiplier, "shift": self.shift,
        })  # fmt: skip

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Height and width, one axis of three, the last axis; with and without keep_dims."""
        for i, axes in enumerate([(1, 2), (1,), (2,), (1, 2), (3,), (1, 2)]):
            rank = 3 if axes in ((1,), (2,)) else 4
            shape = (1, *(int(size) for size in rng.integers(1, 11, rank - 1)))
            keep = i % 2
            x = cases.activation(rng, shape, "input")
            kept = tuple(1 if axis in axes else size for axis, size in enumerate(shape) if keep or axis not in axes)
            y = cases.activation(rng, kept, "output", x.scale * float(rng.uniform(0.3, 1.5)))
            yield cases.one_node("MEAN", [x, cases.constant("axes", axes)], y, "ReducerOptions", keep_dims=bool(keep))


def reduction(node: Node, graph: Graph) -> tuple[int, int, int]:
    """(outer, reduced, inner) sizes for the constant axes in slot 1, which must lie side by side."""
    x, data = graph.input(node), need_constant(node, graph, 1, "axes").data
    assert data is not None
    axes = sorted({int(axis) % len(x.shape) for axis in data.reshape(-1)})
    first, last = (axes[0], axes[-1]) if axes else (0, -1)
    if any(x.shape[axis] != 1 for axis in range(first, last + 1) if axis not in axes):
        raise Problem(graph.label(node), f"reduces axes {axes}, which are not side by side", "reduce them one by one")
    return math.prod(x.shape[:first]), math.prod(x.shape[first : last + 1]), math.prod(x.shape[last + 1 :])


def _with_division(multiplier: int, shift: int, count: int) -> tuple[int, int]:
    """Fold 1 / count into the rescale (TFLite QuantizedMeanOrSum)."""
    power = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << power) // count, shift - power
