"""GATHER_ND with constant indices: slices picked by their place along the first axes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, need_constant, need_int8, op
from pipeline.ops.moves import strides, take
from pipeline.problem import Problem


@op("GATHER_ND")
@dataclass(frozen=True)
class GatherNd:
    """The input seen as [length, inner]; output [len(index), inner]."""

    length: int
    inner: int
    index: tuple[int, ...]
    shape: tuple[int, ...]
    macs = 0
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> GatherNd:
        """Which slices is known when compiling."""
        x, y = graph.input(node), graph.output(node)
        need_int8(node, graph, x, y)
        data = need_constant(node, graph, 1, "indices").data
        assert data is not None
        depth = data.shape[-1]
        places = data.reshape(-1, depth).astype(np.int64)
        if ((places < 0) | (places >= x.shape[:depth])).any() or math.prod(x.shape[:depth]) >= 2**15:
            what = f"picks slices outside the {list(x.shape[:depth])} there are"
            raise Problem(graph.label(node), what, "the file is damaged")
        index = places @ np.array(strides(x.shape[:depth]), np.int64)
        shape = (*data.shape[:-1], *x.shape[depth:])
        return cls(math.prod(x.shape[:depth]), math.prod(x.shape[depth:]), tuple(int(i) for i in index), shape)

    def run(self, *inputs: Int8s) -> Int8s:
        """The slices in the order of the list."""
        return inputs[0].reshape(self.length, self.inner)[list(self.index)].reshape(self.shape)

    def call(self) -> Call:
        """One list of indices."""
        return take(1, self.length, self.inner, self.index)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Slices, single values, indices in two axes."""
        for shape, depth, count in (((1, 6, 3), 2, (5,)), ((1, 4, 5), 3, (7,)), ((1, 3, 2, 4), 2, (2, 3))):
            x = cases.activation(rng, shape, "input")
            picked = np.stack([rng.integers(0, size, count) for size in shape[:depth]], axis=-1)
            y = cases.activation(rng, (*count, *shape[depth:]), "output", x.scale, x.zero_point)
            yield cases.one_node("GATHER_ND", [x, cases.constant("indices", picked)], y, "GatherNdOptions")
