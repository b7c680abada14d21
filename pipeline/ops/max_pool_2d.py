"""MAX_POOL_2D: Keras MaxPooling1D and 2D."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.graph import Graph, Node
from pipeline.ops.base import Call, Int8s, op
from pipeline.ops.pooling import pool_call, pool_cases, pool_of
from pipeline.ops.window import Window


@op("MAX_POOL_2D")
@dataclass(frozen=True)
class MaxPool2D:
    """The largest value of each window; input and output are quantized alike."""

    window: Window
    limits: tuple[int, int]
    dtype: str
    macs = 0
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> MaxPool2D:
        """Refuses an output that is quantized differently."""
        return cls(*pool_of(node, graph))

    def run(self, *inputs: Int8s) -> Int8s:
        """Input [1, h, w, c], output [1, h', w', c]; padding never wins."""
        views = self.window.views(inputs[0].astype(np.int64), fill=np.iinfo(self.dtype).min)
        return np.asarray(views.max(axis=(3, 4)).clip(*self.limits).astype(self.dtype)[np.newaxis])

    def call(self) -> Call:
        """One call for the whole layer."""
        return pool_call("max_pool", self.window, self.limits, self.dtype)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """See pool_cases."""
        return pool_cases(rng, "MAX_POOL_2D")
