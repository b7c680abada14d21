"""SPACE_TO_DEPTH and DEPTH_TO_SPACE: blocks of pixels become channels, and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, need_alike, op, shape3
from pipeline.ops.moves import move, strides


@op("SPACE_TO_DEPTH", "DEPTH_TO_SPACE")
@dataclass(frozen=True)
class SpaceToDepth:
    """The smaller image seen as [h, block, w, block * c]: one transpose of its two middle axes."""

    block: int
    to_depth: bool
    shape: tuple[int, ...]
    moved: Call = field(compare=False)
    macs = 0
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> SpaceToDepth:
        """Any block size."""
        x, y = graph.input(node), graph.output(node)
        need_alike(node, graph, x, y)
        block, to_depth = node.options["block_size"], node.op == "SPACE_TO_DEPTH"
        height, width, channels = shape3(y if to_depth else x)
        deep = (height, width, block, channels // block)
        steps = strides(deep)
        by_row = (height, block, width, channels // block)  # the larger image, in its own order
        deep_steps = [steps[0], steps[2], steps[1], steps[3]]
        wide_steps = strides(by_row)
        ends = ((wide_steps, 0), (deep_steps, 0))
        return cls(block, to_depth, y.shape, move(node, graph, by_row, *(ends if to_depth else ends[::-1])))

    def run(self, *inputs: Int8s) -> Int8s:
        """Pixels of a block side by side."""
        _, height, width, channels = self.shape
        if self.to_depth:
            blocks = inputs[0].reshape(height, self.block, width, channels // self.block)
            return blocks.transpose(0, 2, 1, 3).reshape(self.shape)
        _, h, w, _ = inputs[0].shape
        return inputs[0].reshape(h, w, self.block, -1).transpose(0, 2, 1, 3).reshape(self.shape)

    def call(self) -> Call:
        """One move."""
        return self.moved

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Blocks of two and three, both ways."""
        for block, height, width, channels in ((2, 4, 6, 3), (3, 3, 6, 1), (2, 2, 2, 2)):
            shape = (1, height // block, width // block, channels * block * block)
            for name, source, target in (("SPACE_TO_DEPTH", (1, height, width, channels), shape),
                                         ("DEPTH_TO_SPACE", shape, (1, height, width, channels))):  # fmt: skip
                x = cases.activation(rng, source, "input")
                y = cases.activation(rng, target, "output", x.scale, x.zero_point)
                table = "SpaceToDepthOptions" if name == "SPACE_TO_DEPTH" else "DepthToSpaceOptions"
                yield cases.one_node(name, [x], y, table, block_size=block)
