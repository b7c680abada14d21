"""REVERSE_V2: axes backwards, as recurrent layers that go backwards have it, and so Bidirectional."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import need_alike, op
from pipeline.ops.moves import constant_ints, move, strides
from pipeline.ops.slice import Slice


@op("REVERSE_V2")
@dataclass(frozen=True)
class Reverse(Slice):
    """A slice of everything with steps of -1 along the reversed axes."""

    types: ClassVar = {"REVERSE_V2": ("int16", "int32", "bool")}
    tflite_differs = "of several axes it turns only the first"

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Reverse:
        """The axes are constant. TFLite Micro never rescales here, though in a Bidirectional the two scales differ."""
        x, y = graph.input(node), graph.output(node)
        need_alike(node, graph, x, y, any_scale=True)
        axes = {axis % len(x.shape) for axis in constant_ints(node, graph, 1, "axes")}
        begin = tuple(size - 1 if axis in axes else 0 for axis, size in enumerate(x.shape))
        step = tuple(-1 if axis in axes else 1 for axis in range(len(x.shape)))
        dense = strides(x.shape)
        place = sum(first * stride for first, stride in zip(begin, dense, strict=True))
        source = [jump * stride for jump, stride in zip(step, dense, strict=True)]
        return cls(begin, step, x.shape, x.shape, move(node, graph, x.shape, (source, place), (dense, 0)))

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """The first, a middle and the last axis, and two at once."""
        for shape, axes in (((1, 7), [1]), ((1, 4, 5, 3), [2]), ((1, 6, 4), [-1]), ((1, 5, 4, 3), [1, 2])):
            x = cases.activation(rng, shape, "input")
            y = cases.activation(rng, shape, "output", x.scale, x.zero_point)
            yield cases.one_node("REVERSE_V2", [x, cases.constant("axes", axes)], y, "ReverseV2Options")
