"""SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND: every n-th pixel becomes an image of its own, and back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases
from pipeline.ops.base import Int8s, Part, need_int8, need_same_quant, op
from pipeline.ops.moves import constant_ints, move, strides
from pipeline.problem import Problem


@dataclass(frozen=True)
class _Blocks:
    """One move for each place in a block; the small images [block * batch, ...] and the large one [batch, ...]."""

    block: tuple[int, int]
    border: tuple[int, int, int, int]  # crops: above, below, left, right
    large: tuple[int, ...]  # [batch, height, width, channels] with its border
    shape: tuple[int, ...]
    moves: tuple[Part, ...] = field(compare=False)
    macs = 0
    in_place = ()

    def call(self) -> tuple[Part, ...]:
        """The moves."""
        return self.moves


@op("SPACE_TO_BATCH_ND")
@dataclass(frozen=True)
class SpaceToBatch(_Blocks):
    """Output image (row * block width + column) * batch + b has the pixels at that row and column of every block."""

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> SpaceToBatch:
        """Refuses padding: TFLite Micro's kernel pads with memory that nobody has set."""
        x, y = graph.input(node), graph.output(node)
        block, border, large = _checked(node, graph, x, y)
        if any(border):
            raise Problem(graph.label(node), f"pads by {border}, with whatever TFLite Micro finds in its memory",
                          "use a ZeroPadding layer before it")  # fmt: skip
        images = (_image(x.shape), _image(y.shape))
        return cls(block, border, large, y.shape, tuple(_moves(node, graph, (block, border), images, to_batch=True)))

    def run(self, *inputs: Int8s) -> Int8s:
        """Split both axes by the block."""
        (batch, height, width, channels), (rows, columns) = self.large, self.block
        split = inputs[0].reshape(batch, height // rows, rows, width // columns, columns, channels)
        return split.transpose(2, 4, 0, 1, 3, 5).reshape(self.shape)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """One axis and two."""
        for shape, block in (((1, 8, 3), (2,)), ((1, 6, 2), (3,)), ((1, 4, 6, 2), (2, 3)), ((1, 6, 2, 1), (2, 2))):
            x = cases.activation(rng, shape, "input")
            yield cases.one_node("SPACE_TO_BATCH_ND", *_small(x, block), "SpaceToBatchNDOptions")


@op("BATCH_TO_SPACE_ND")
@dataclass(frozen=True)
class BatchToSpace(_Blocks):
    """The other way round; what is cropped is not moved."""

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> BatchToSpace:
        """Block and crops are constant."""
        x, y = graph.input(node), graph.output(node)
        block, border, large = _checked(node, graph, y, x)
        moves = _moves(node, graph, (block, border), (_image(y.shape), _image(x.shape)), to_batch=False)
        return cls(block, border, large, y.shape, tuple(moves))

    def run(self, *inputs: Int8s) -> Int8s:
        """Put the pixels side by side, then crop."""
        batch, height, width, channels = self.large
        small = inputs[0].reshape(*self.block, batch, height // self.block[0], width // self.block[1], channels)
        whole = small.transpose(2, 3, 0, 4, 1, 5).reshape(self.large)
        above, below, left, right = self.border
        return whole[:, above : height - below, left : width - right].reshape(self.shape)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """The images that the other operator makes, from its input, with and without crops."""
        for shape, block, crops in (((1, 8, 3), (2,), ((0, 0),)), ((1, 6, 2), (3,), ((1, 2),)),
                                    ((1, 4, 6, 2), (2, 3), ((0, 0), (0, 0))),
                                    ((1, 6, 8, 1), (2, 2), ((1, 1), (2, 1)))):  # fmt: skip
            (x, given, none), small = _small(cases.activation(rng, shape, "input"), block)
            cut = [s - sum(pair) for s, pair in zip(shape[1:], crops, strict=False)]
            y = cases.activation(rng, (1, *cut, shape[-1]), "output", x.scale, x.zero_point)
            nodes = (Node(0, "SPACE_TO_BATCH_ND", (0, 1, 2), (4,), {"table": "SpaceToBatchNDOptions"}),
                     Node(1, "BATCH_TO_SPACE_ND", (4, 1, 3), (5,), {"table": "BatchToSpaceNDOptions"}))  # fmt: skip
            yield Graph((x, given, none, cases.constant("crops", crops), small, y), nodes, (0,), (5,))


def _small(x: Tensor, block: tuple[int, ...]) -> tuple[list[Tensor], Tensor]:
    """Inputs of SPACE_TO_BATCH_ND without padding, and its output."""
    size = [s // b for s, b in zip(x.shape[1:], block, strict=False)]
    small = replace(x, name="small", shape=(math.prod(block), *size, x.shape[-1]))
    return [x, cases.constant("block", block), cases.constant("paddings", np.zeros((len(block), 2)))], small


Image = tuple[int, int, int, int]
Borders = tuple[tuple[int, int], tuple[int, int, int, int]]


def _image(shape: tuple[int, ...]) -> Image:
    """[batch, height, width, channels]; three axes have no width."""
    batch, height, width, channels = shape if len(shape) == 4 else (*shape[:2], 1, shape[2])
    return batch, height, width, channels


def _checked(node: Node, graph: Graph, large: Tensor, small: Tensor) -> tuple[tuple[int, int], Image, Image]:
    """(block, border, the large image with its border), which the small images fill exactly."""
    need_int8(node, graph, large, small)
    need_same_quant(node, graph, large, small)
    block, flat = constant_ints(node, graph, 1, "block"), constant_ints(node, graph, 2, "borders")
    rows, columns = block if len(block) == 2 else (block[0], 1)
    above, below, left, right = flat if len(flat) == 4 else (flat[0], flat[1], 0, 0)
    batch, height, width, channels = _image(large.shape)
    bordered = (batch, height + above + below, width + left + right, channels)
    if _image(small.shape) != (rows * columns * batch, bordered[1] // rows, bordered[2] // columns, channels):
        raise ValueError(f"blocks of {rows} x {columns} in {list(large.shape)} do not fill {list(small.shape)}")
    return (rows, columns), (above, below, left, right), bordered


def _moves(node: Node, graph: Graph, borders: Borders, images: tuple[Image, Image], to_batch: bool) -> list[Part]:
    """One move for each place in a block: that of the pixels that are inside the large image."""
    (block, border), (large, small), parts = borders, images, []
    steps, wide = strides(small), strides(large)
    for row, column in itertools.product(range(block[0]), range(block[1])):
        first, count, place = [], [], []
        for at, size, length, before, tiny in zip(
            (row, column), block, large[1:3], border[::2], small[1:3], strict=True
        ):
            start = max(-(-(before - at) // size), 0)  # the first small pixel that is not border
            stop = min(-(-(before + length - at) // size), tiny)
            first.append(start)
            count.append(stop - start)
            place.append(start * size + at - before)
        if min(count) <= 0:
            continue
        in_small = (row * block[1] + column) * large[0] * steps[0] + first[0] * steps[1] + first[1] * steps[2]
        ends = (([wide[0], block[0] * wide[1], block[1] * wide[2], 1], place[0] * wide[1] + place[1] * wide[2]),
                (steps, in_small))  # fmt: skip
        parts.append(Part(move(node, graph, (large[0], *count, large[3]), *(ends if to_batch else ends[::-1])), (0,)))
    return parts
