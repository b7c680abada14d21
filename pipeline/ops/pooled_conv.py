"""CONV_2D with the MAX_POOL_2D behind it in one kernel, which makes outputs of the largest sums only: see fusion.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from pipeline.cores import PORTABLE, Core, core_of
from pipeline.costs import LANES, lanes_on
from pipeline.graph import Graph
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s
from pipeline.ops.pairs import settled
from pipeline.ops.weighted import Weighted, Weighted16
from pipeline.ops.window import Pair, Window


class Convolution(Protocol):
    """What is asked of a Conv2D."""

    @property
    def window(self) -> Window:
        """Of all places."""

    @property
    def sums(self) -> Weighted:
        """Of all channels."""

    @property
    def groups(self) -> int:
        """How many parts of the channels do not see each other."""

    @property
    def macs(self) -> int:
        """Products of all taps."""

    def run(self, *inputs: Int8s) -> Int8s:
        """The integer oracle."""

    def ways(self, core: Core) -> tuple[Call, ...]:
        """The calls for a core."""


def grows(conv: Convolution) -> bool:
    """Whether outputs grow with the sums of their channel: kernels have them, and no sum of 32 bits wraps, also where
    it is shifted to the left. The multipliers are not negative, so that all else is monotone."""
    if conv.groups > 1 or isinstance(conv.sums, Weighted16):
        return False
    sums = settled(conv.sums)
    rows = np.abs(sums.weights.reshape(len(sums.bias), -1).astype(np.int64)).sum(axis=1)
    most = np.abs(sums.bias.astype(np.int64)) + 255 * rows
    return bool((most << np.maximum(sums.shift, 0).astype(np.int64)).max() < 2**31)


@dataclass(frozen=True)
class PooledConv:
    """`conv` is that of the places that are pooled, with the clamps of both; `pool` has places side by side."""

    conv: Convolution
    pool: Pair
    in_place = ()

    @property
    def window(self) -> Window:
        """Where an output comes from."""
        w, (height, width, channels) = self.conv.window, self.conv.window.output
        reach = [(self.pool[i] - 1) * w.stride[i] + (w.kernel[i] - 1) * w.dilation[i] + 1 for i in (0, 1)]
        return Window(w.input, (height // self.pool[0], width // self.pool[1], channels), (reach[0], reach[1]),
                      (w.stride[0] * self.pool[0], w.stride[1] * self.pool[1]), (1, 1), w.pad)  # fmt: skip

    def run(self, *inputs: Int8s) -> Int8s:
        """The convolution, then the largest of its outputs."""
        height, width, channels = self.window.output
        places = self.conv.run(*inputs).reshape(1, height, self.pool[0], width, self.pool[1], channels)
        return np.asarray(places.max(axis=(2, 4)))

    def call(self) -> Call:
        """The call in a layout that every core reads."""
        return self.ways(PORTABLE)[0]

    def ways(self, core: Core) -> tuple[Call, ...]:
        """Those of the convolution that have a kernel with a maximum."""
        return tuple(self._call(call, core) for call in self.conv.ways(core) if call.kernel in LANES)

    def _call(self, call: Call, core: Core) -> Call:
        """The call with a maximum; its scratch has those of unfinished places, where some are left unfinished."""
        kernel, struct = (name.replace("nn_conv2d", "nn_conv2d_pool") for name in (call.kernel, call.struct))
        lanes = [lanes_on(each)[call.kernel] for each in (core, core_of(core.name))]  # of which repro.py changes one
        unfinished = any(each % (self.pool[0] * self.pool[1]) for each in lanes)
        scratch = call.scratch + unfinished * 16 * -(-len(self.conv.sums.bias) // 4)
        fields: Mapping[str, Any] = {**call.fields, "pool": self.pool}
        return replace(call, kernel=kernel, struct=struct, fields=fields, scratch=scratch, in_place=(), lanes=lanes[0])

    @property
    def macs(self) -> int:
        """Of the places that are pooled."""
        return self.conv.macs


POOLED = (  # input, kernel, stride and dilation of the convolution; its padding and activation; the pool and its; zeros
    ((1, 17, 3), (1, 5), (1, 1), (1, 1), 0, 1, (1, 2), 0, 0.0),
    ((1, 23, 4), (1, 2), (1, 2), (1, 1), 1, 0, (1, 3), 3, 0.0),
    ((1, 16, 8), (1, 3), (1, 1), (1, 1), 0, 1, (1, 2), 0, 0.9),
    ((1, 11, 5), (1, 3), (1, 1), (1, 2), 1, 2, (1, 7), 0, 0.0),
    ((6, 9, 3), (3, 3), (1, 1), (1, 1), 0, 1, (2, 2), 0, 0.0),
    ((8, 8, 4), (1, 1), (1, 1), (1, 1), 1, 3, (2, 2), 1, 0.0),
    ((7, 10, 2), (2, 3), (1, 1), (1, 1), 0, 0, (3, 3), 0, 0.0),
    ((5, 6, 11), (2, 3), (1, 1), (1, 1), 0, 1, (2, 2), 0, 0.9),
    ((9, 7, 2), (3, 2), (2, 1), (1, 1), 1, 0, (1, 2), 2, 0.0),
    ((7, 9, 6), (3, 3), (1, 1), (1, 1), 0, 0, (3, 2), 0, 0.85),
    ((9, 6, 4), (2, 2), (1, 1), (2, 2), 1, 0, (2, 1), 0, 0.0),
    ((3, 3, 4), (2, 2), (1, 1), (1, 1), 1, 1, (2, 2), 0, 0.0),
)


def pooled_cases(rng: np.random.Generator, convolution: Callable[..., Graph]) -> Iterator[Graph]:
    """Convolutions with a pool behind them; of one dimension through reshapes, as Keras makes them."""
    for shape, kernel, stride, dilation, padding, activation, pool, again, zeros in POOLED:
        x = cases.activation(rng, (1, *shape), "input")
        w = cases.weights(rng, (int(rng.integers(3, 11)), *kernel, shape[2]), axis=0, zeros=zeros)
        graph = convolution(rng, (x, w), (stride, dilation), padding, activation)
        yield pooled(graph, pool, again, column=shape[0] == 1)


def pooled(graph: Graph, pool: Pair, activation: int = 0, column: bool = False) -> Graph:
    """The graph of a convolution with a MAX_POOL_2D of windows side by side, before which a row becomes a column."""
    y = graph.edge("output")[0]
    _, height, width, channels = y.shape
    if column:
        graph = cases.reshaped(cases.reshaped(graph, (1, width, channels)), (1, width, 1, channels))
        pool, height, width = (pool[1], pool[0]), width, height
    made = (1, height // pool[0], width // pool[1], channels)
    graph = cases.behind(graph, "MAX_POOL_2D", (), replace(y, shape=made), {
        "table": "Pool2DOptions", "padding": 1, "stride_h": pool[0], "stride_w": pool[1], "filter_height": pool[0],
        "filter_width": pool[1], "fused_activation_function": activation})  # fmt: skip
    return cases.reshaped(graph, (1, made[1], channels)) if column else graph
