"""SLICE and STRIDED_SLICE: Keras Cropping1D and 2D, indexing, the last step of a sequence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, need_alike, op
from pipeline.ops.moves import constant_ints, move, strides
from pipeline.problem import Problem


@op("SLICE", "STRIDED_SLICE")
@dataclass(frozen=True)
class Slice:
    """For each input axis: the first index, the step, and how many; `shape` is without the axes that are dropped."""

    begin: tuple[int, ...]
    step: tuple[int, ...]
    size: tuple[int, ...]
    shape: tuple[int, ...]
    moved: Call = field(compare=False)
    types: ClassVar = {"SLICE": ("int16", "int32", "bool"), "STRIDED_SLICE": ("int16", "int32", "bool")}
    macs = 0
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Slice:
        """Begin, end and strides are constant; new axes and ellipses are refused."""
        x, y = graph.input(node), graph.output(node)
        need_alike(node, graph, x, y)
        begin, step, size = (_slice if node.op == "SLICE" else _strided_slice)(node, graph, x)
        steps = strides(x.shape)
        place = sum(first * s for first, s in zip(begin, steps, strict=True))
        source = [jump * s for jump, s in zip(step, steps, strict=True)]
        return cls(begin, step, size, y.shape, move(node, graph, size, (source, place), (strides(size), 0)))

    def run(self, *inputs: Int8s) -> Int8s:
        """The chosen values."""
        ranges = [
            first + step * np.arange(size) for first, step, size in zip(self.begin, self.step, self.size, strict=True)
        ]
        chosen: Int8s = inputs[0][np.ix_(*ranges)]
        return chosen.reshape(self.shape)

    def call(self) -> Call:
        """One move."""
        return self.moved

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Both operators; negative indices, strides, masks, a dropped axis."""
        for shape, begin, size in (((1, 9, 4), (0, 2, 1), (1, 5, 3)), ((1, 4, 5, 3), (0, 1, 0, 0), (1, 2, -1, 2))):
            x = cases.activation(rng, shape, "input")
            whole = [s - b if n < 0 else n for s, b, n in zip(shape, begin, size, strict=True)]
            y = cases.activation(rng, whole, "output", x.scale, x.zero_point)
            yield cases.one_node(
                "SLICE", [x, cases.constant("begin", begin), cases.constant("size", size)], y, "SliceOptions"
            )
        for begin, end, step, masks, made in (
            ((0, 1, 0), (1, 8, 4), (1, 3, 1), (0, 0, 0), (1, 3, 4)),
            ((0, -3, 0), (1, 0, 0), (1, 1, 2), (0, 6, 0), (1, 3, 2)),
            ((0, -1, 0), (0, 0, 0), (1, 1, 1), (5, 5, 2), (1, 4)),
            ((0, 8, 0), (1, 0, 4), (1, -2, 1), (0, 2, 0), (1, 5, 4)),
        ):
            x = cases.activation(rng, (1, 9, 4), "input")
            y = cases.activation(rng, made, "output", x.scale, x.zero_point)
            constants = [cases.constant(name, v) for name, v in (("begin", begin), ("end", end), ("strides", step))]
            yield cases.one_node("STRIDED_SLICE", [x, *constants], y, "StridedSliceOptions", begin_mask=masks[0],
                                 end_mask=masks[1], shrink_axis_mask=masks[2])  # fmt: skip


Ranges = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def _slice(node: Node, graph: Graph, x: Tensor) -> Ranges:
    begin, sizes = constant_ints(node, graph, 1, "begins"), constant_ints(node, graph, 2, "sizes")
    size = tuple(x.shape[i] - begin[i] if sizes[i] < 0 else sizes[i] for i in range(len(x.shape)))
    return begin, (1,) * len(begin), size


def _strided_slice(node: Node, graph: Graph, x: Tensor) -> Ranges:
    options = node.options
    if options.get("ellipsis_mask") or options.get("new_axis_mask"):
        raise Problem(graph.label(node), "slices with an ellipsis or a new axis", "write the axes out")
    begin, end, step = (constant_ints(node, graph, slot, "bounds") for slot in (1, 2, 3))
    firsts, sizes = [], []
    for axis, length in enumerate(x.shape):
        bit = 1 << axis
        start = None if options["begin_mask"] & bit else begin[axis]
        if options["shrink_axis_mask"] & bit:
            chosen = range(length)[0 if start is None else start :][:1]
        else:
            chosen = range(length)[slice(start, None if options["end_mask"] & bit else end[axis], step[axis])]
        if not chosen:
            raise Problem(
                graph.label(node), f"slices nothing out of axis {axis}", "the file is damaged: convert it again"
            )
        firsts.append(chosen[0])
        sizes.append(len(chosen))
    return tuple(firsts), step, tuple(sizes)
