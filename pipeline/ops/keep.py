"""What streaming makes of a PAD in time: the rows before this hop, instead of zeros. No operator of TFLite's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.graph import Graph, Node
from pipeline.ops.base import Call, Int8s, Stateful, need_alike


@dataclass(frozen=True)
class Keep(Stateful):
    """`kept` values stand before each input, at first all `fill`; the last ones are kept for the next."""

    kept: int
    fill: int
    count: int
    shape: tuple[int, ...]
    paddings: tuple[tuple[int, int], ...]
    dtype: str
    value: None = None  # a Pad's has one; this is no padding that a convolution could do for itself
    macs = 0
    in_place = ()

    @classmethod
    def from_pad(cls, node: Node, graph: Graph, paddings: tuple[tuple[int, int], ...]) -> Keep:
        """Of a PAD with the option `keep`: what it fills with is the start."""
        x, y = graph.input(node), graph.output(node)
        need_alike(node, graph, x, y)
        return cls(y.count - x.count, y.zero_point if y.quant else 0, x.count, y.shape, paddings, y.dtype)

    @property
    def start(self) -> Int8s:
        """What a PAD would fill with."""
        return np.full(self.kept, self.fill, self.dtype).view(np.int8)

    def step(self, state: Int8s, *inputs: Int8s) -> tuple[Int8s, Int8s]:
        """Input [1, rows, ...], output [1, kept + rows, ...]."""
        made = np.concatenate([state.view(self.dtype), inputs[0].reshape(-1)])
        return made.reshape(self.shape), made[self.count :].view(np.int8)

    def call(self) -> Call:
        """One call, which counts in bytes."""
        width = np.dtype(self.dtype).itemsize
        return Call("nn_keep_s8", "nn_keep_t", {"kept": width * self.kept, "count": width * self.count},
                    state=self.start)  # fmt: skip
