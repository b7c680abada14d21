"""AVERAGE_POOL_2D: Keras AveragePooling1D and 2D."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.graph import Graph, Node
from pipeline.ops.base import Call, Int8s, op
from pipeline.ops.pooling import pool_call, pool_cases, pool_of
from pipeline.ops.window import Window


@op("AVERAGE_POOL_2D")
@dataclass(frozen=True)
class AveragePool2D:
    """The mean of each window's values inside the input; input and output are quantized alike."""

    window: Window
    limits: tuple[int, int]
    dtype: str
    macs = 0
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> AveragePool2D:
        """Refuses an output that is quantized differently."""
        return cls(*pool_of(node, graph))

    def run(self, *inputs: Int8s) -> Int8s:
        """Input [1, h, w, c], output [1, h', w', c]; halves are rounded away from zero."""
        sums = self.window.views(inputs[0].astype(np.int64)).sum(axis=(3, 4))
        counts = self.window.views(np.ones_like(inputs[0], np.int64)).sum(axis=(3, 4))
        rounded = (np.abs(sums) + counts // 2) // counts * np.sign(sums)
        return np.asarray(rounded.clip(*self.limits).astype(self.dtype)[np.newaxis])

    def call(self) -> Call:
        """One call for the whole layer."""
        return pool_call("average_pool", self.window, self.limits, self.dtype)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """See pool_cases."""
        return pool_cases(rng, "AVERAGE_POOL_2D")
