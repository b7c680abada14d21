"""GATHER with constant indices, RESIZE_NEAREST_NEIGHBOR (Keras UpSampling) and MIRROR_PAD: slices picked by a list."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pipeline.fixedpoint import round_half_away
from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, need_alike, op
from pipeline.ops.moves import constant_ints, need_shape, take
from pipeline.problem import Problem


@op("GATHER", "RESIZE_NEAREST_NEIGHBOR", "MIRROR_PAD")
@dataclass(frozen=True)
class Take:
    """The input seen as [outer, length, inner]; output [outer, len(index), inner]."""

    outer: int
    length: int
    inner: int
    width: int  # bytes of a value
    index: tuple[int, ...]
    shape: tuple[int, ...]
    types: ClassVar = {"RESIZE_NEAREST_NEIGHBOR": ("int16",)}
    macs = 0
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Take:
        """Which slices is known when compiling."""
        x, y = graph.input(node), graph.output(node)
        need_alike(node, graph, x, y)
        outer, inner, index = {"GATHER": _gather, "RESIZE_NEAREST_NEIGHBOR": _nearest, "MIRROR_PAD": _mirror}[node.op](
            node, graph, x, y
        )
        length = x.count // (outer * inner)
        if not all(0 <= i < length for i in index) or length >= 2**15:
            raise Problem(graph.label(node), f"picks slices outside the {length} there are", "the file is damaged")
        return cls(outer, length, inner, x.itemsize, tuple(index), y.shape)

    def run(self, *inputs: Int8s) -> Int8s:
        """The slices in the order of the list."""
        slices = inputs[0].reshape(self.outer, self.length, self.inner)
        return slices[:, list(self.index)].reshape(self.shape)

    def call(self) -> Call:
        """One list of indices."""
        return take(self.outer, self.length, self.inner * self.width, self.index)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Each of the three."""
        for axis, shape in ((1, (1, 6, 3)), (2, (1, 4, 5))):
            x = cases.activation(rng, shape, "input")
            picked = rng.integers(0, shape[axis], 7).astype(np.int32)
            whole = [7 if i == axis else size for i, size in enumerate(shape)]
            y = cases.activation(rng, whole, "output", x.scale, x.zero_point)
            yield cases.one_node("GATHER", [x, cases.constant("indices", picked)], y, "GatherOptions", axis=axis)
        for axis, shape, count in ((1, (3, 5, 2), -1), (2, (2, 3, 4), 1)):  # in each batch others
            x = cases.activation(rng, shape, "input")
            picked = rng.integers(0, shape[axis], (shape[0], 6)).astype(np.int32)
            whole = [6 if i == axis else size for i, size in enumerate(shape)]
            y = cases.activation(rng, whole, "output", x.scale, x.zero_point)
            yield cases.one_node(
                "GATHER", [x, cases.constant("indices", picked)], y, "GatherOptions", axis=axis, batch_dims=count
            )
        for size, align, half in (
            ((6, 8), False, False),
            ((5, 7), True, False),
            ((9, 6), False, True),
            ((2, 3), False, False),
        ):
            x = cases.activation(rng, (1, 3, 4, 2), "input")
            y = cases.activation(rng, (1, *size, 2), "output", x.scale, x.zero_point)
            inputs, table = [x, cases.constant("size", size)], "ResizeNearestNeighborOptions"
            options = {"align_corners": align, "half_pixel_centers": half}
            yield cases.one_node("RESIZE_NEAREST_NEIGHBOR", inputs, y, table, **options)
        for mode in (0, 1):
            x = cases.activation(rng, (1, 4, 5, 2), "input")
            y = cases.activation(rng, (1, 6, 8, 2), "output", x.scale, x.zero_point)
            border = cases.constant("paddings", ((0, 0), (1, 1), (2, 1), (0, 0)))
            yield cases.one_node("MIRROR_PAD", [x, border], y, "MirrorPadOptions", mode=mode)


Picked = tuple[int, int, Sequence[int]]


def _gather(node: Node, graph: Graph, x: Tensor, y: Tensor) -> Picked:
    axis, indices = node.options["axis"] % len(x.shape), constant_ints(node, graph, 1, "indices")
    inner, shape = math.prod(x.shape[axis + 1 :]), graph.input(node, 1).shape
    count = node.options.get("batch_dims", 0)
    batches = math.prod(shape[: count if count >= 0 else count + len(shape)])
    if batches == 1:
        return math.prod(x.shape[:axis]), inner, indices
    if not all(0 <= i < x.shape[axis] for i in indices):
        return 1, inner, (-1,)
    places = np.arange(x.count // inner).reshape(batches, -1, x.shape[axis])
    picked = [of[:, each] for of, each in zip(places, np.reshape(indices, (batches, -1)), strict=True)]
    return 1, inner, [int(place) for place in np.stack(picked).reshape(-1)]


def _nearest(node: Node, graph: Graph, x: Tensor, y: Tensor) -> Picked:
    (_, height, width, channels), (_, tall, wide, _) = x.shape, y.shape
    rows = [_neighbour(node, i, height, tall) for i in range(tall)]
    columns = [_neighbour(node, i, width, wide) for i in range(wide)]
    return 1, channels, [row * width + column for row in rows for column in columns]


def _neighbour(node: Node, place: int, length: int, made: int) -> int:
    """The input index that an output index shows (TFLite GetNearestNeighbor, in float32)."""
    align, half = node.options["align_corners"], node.options["half_pixel_centers"]
    number = np.float32
    scale = number(length - 1) / number(made - 1) if align and made > 1 else number(length) / number(made)
    exact = float((number(place) + number(0.5 if half else 0)) * scale)
    return max(0, min(round_half_away(exact) if align else math.floor(exact), length - 1))


def _mirror(node: Node, graph: Graph, x: Tensor, y: Tensor) -> Picked:
    flat = constant_ints(node, graph, 1, "paddings")
    places = np.arange(x.count).reshape(x.shape)
    borders = list(zip(flat[::2], flat[1::2], strict=True))
    need_shape(node, graph, (size + sum(pair) for size, pair in zip(x.shape, borders, strict=True)))
    mirrored = np.pad(places, borders, mode="symmetric" if node.options["mode"] else "reflect")
    return 1, 1, [int(place) for place in mirrored.reshape(-1)]
