"""CONV_2D: Keras Conv1D and Conv2D, with the batch normalization and activation fused into it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.cores import PORTABLE, Core
from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases, pairs, sparse, tiles
from pipeline.ops.base import Call, Int8s, activation_range, op
from pipeline.ops.pooled_conv import PooledConv, pooled_cases
from pipeline.ops.weighted import Weighted, Weighted16, weighted
from pipeline.ops.window import Window, output_size, window_of
from pipeline.problem import Problem

LANES = 4  # NN_LANES of firmware/kernels/nn_block.h: places that one weight serves
SURE = -10  # the least shift where estimates of a prepared nn_output.h seldom have to be made exact


@op("CONV_2D")
@dataclass(frozen=True)
class Conv2D:
    """Weights int8 [output channels, kernel height, kernel width, input channels / groups], all else per channel."""

    window: Window
    sums: Weighted
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Conv2D | PooledConv:
        """Refuses weights that are not constant; how many groups there are is in the shapes."""
        x, y = graph.input(node), graph.output(node)
        sums = weighted(node, graph, channels=y.shape[-1])
        depth = sums.weights.shape[3]
        if x.shape[3] % depth or y.shape[3] % (x.shape[3] // depth):
            what = f"groups {x.shape[3]} channels by {depth} for {y.shape[3]} outputs"
            raise Problem(graph.label(node), what, "the file is damaged: convert it again")
        window = window_of(node, x, y, (sums.weights.shape[1], sums.weights.shape[2]))
        return cls._pooled(node, window, sums, activation_range(node, graph, y, "pool_activation"))

    @classmethod
    def _pooled(cls, node: Node, window: Window, sums: Weighted, limits: tuple[int, int]) -> Conv2D | PooledConv:
        """With the pool that fusion.py put into the node's options, which `limits` its outputs once more."""
        height, width = pool = node.options.get("pool", (1, 1))
        places = (height * window.output[0], width * window.output[1], window.output[2])
        low, high = (min(max(end, limits[0]), limits[1]) for end in sums.range)
        conv = cls(replace(window, output=places), replace(sums, range=(low, high)))
        return PooledConv(conv, pool) if "pool" in node.options else conv

    def run(self, *inputs: Int8s) -> Int8s:
        """Input [1, h, w, c], output [1, h', w', channels]; padding counts as the zero point."""
        w = self.window
        views = w.views(inputs[0].astype(np.int64) + self.sums.input_offset)
        sums = [np.einsum("yxckl,oklc->yxo", part, weights.astype(np.int64), optimize=True)
                for part, weights in zip(np.split(views, self.groups, axis=2),
                                         np.split(self.sums.weights, self.groups), strict=True)]  # fmt: skip
        return self.sums.finish(np.concatenate(sums, axis=-1))[np.newaxis]

    @property
    def groups(self) -> int:
        """How many parts of the channels do not see each other."""
        return self.window.input[2] // self.sums.weights.shape[3]

    def call(self) -> Call:
        """One call for the whole layer."""
        fields = {"window": self.window.fields(), "groups": self.groups, **self.sums.fields()}
        if isinstance(self.sums, Weighted16):
            return Call("nn_conv2d_s16", "nn_conv2d_s16_t", fields)
        if self.groups > 1:
            return Call("nn_conv2d_groups_s8", "nn_conv2d_groups_t", fields)
        return self._call("nn_conv2d", self.sums.blocks(), LANES, PORTABLE)

    def _call(self, kernel: str, fields: Mapping[str, Any], lanes: int, core: Core) -> Call:
        """The call of a kernel that brings the windows of some places into a patch."""
        scratch = lanes * self.sums.weights[0].size + core.scaler_bytes * len(self.sums.bias)
        return Call(f"{kernel}_s8", f"{kernel}_t", {"window": self.window.fields(), **fields},
                    scratch=scratch, in_place=self._places, plain=self.sums.weights)  # fmt: skip

    def ways(self, core: Core) -> tuple[Call, ...]:
        """The calls for a core: weights in tiles; in pairs, dense and sparse; plain; sparse."""
        if self.groups > 1 or isinstance(self.sums, Weighted16):
            return ()
        sums = pairs.settled(self.sums)
        plain = self._call("nn_conv2d", sums.blocks(), 1 if core.one_lane else LANES, core)
        found = sparse.fields(sums, core.only_small) if core.sparse else None
        if found is not None and core.scaler_bytes and sums.shift.min() >= SURE:
            found = {**found, "small": 0}
        thin = () if found is None else (self._call("nn_conv2d_sparse", found, core.sparse_lanes, core),)
        if core.packing == "tiles":
            return (*self._tiled(), plain)
        kernels = (("nn_conv2d_pairs", 2), ("nn_conv2d_sparse_pairs", 4))
        paired = (
            self._columns(*kernel, fields)
            for kernel, fields in zip(kernels, pairs.fields(self.sums, core), strict=False)
        )
        return (*paired, plain, *thin)

    def _columns(self, kernel: str, lanes: int, fields: Mapping[str, Any]) -> Call:
        """The call of a kernel that brings the windows of `lanes` places into columns."""
        groups = -(-self.sums.weights[0].size // pairs.BLOCK)
        head = {"window": self.window.fields(), "zero": -self.sums.input_offset, "groups": groups}
        return Call(f"{kernel}_s8", f"{kernel}_t", {**head, **fields},
                    scratch=groups * pairs.BLOCK * (2 * lanes + 1), in_place=self._places,
                    plain=self.sums.weights)  # fmt: skip

    def _tiled(self) -> tuple[Call, ...]:
        """The call with weights in tiles, if they allow it."""
        sums = tiles.fields(self.sums)
        if sums is None:
            return ()
        fields = {"window": self.window.fields(), "zero": -self.sums.input_offset, **sums}
        return (Call("nn_conv2d_tiles_s8", "nn_conv2d_tiles_t", fields, scratch=tiles.DEPTH * sums["tiles"],
                     in_place=self._places, plain=self.sums.weights),)  # fmt: skip

    @property
    def _places(self) -> tuple[int, ...]:
        """The input, where each place of the output takes that of the input of which alone it is made."""
        window = self.window
        return (0,) if window.input == window.output and window.kernel == window.stride == (1, 1) else ()

    @property
    def macs(self) -> int:
        """Products of all taps, padding included."""
        return self.window.output[0] * self.window.output[1] * self.sums.weights.size

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Both widths of values; behind some a pool."""
        yield from cases.both_widths(cls._int8_cases(rng))
        yield from pooled_cases(rng, cls._case)

    @classmethod
    def _int8_cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Strides, dilations, both paddings, every fused activation; 1-D (height 1) as Keras Conv1D makes them.

        The first after these have as many channels as SIMD kernels like, the last are grouped."""
        for i in range(18):
            height = 1 if i % 3 == 0 else int(rng.integers(3, 9))
            depth = int(rng.integers(1, 9)) if i < 12 else 4 * (i - 11)
            groups, members = (1, 0) if i < 14 else ((2, 3), (4, 1), (5, 2), (3, 4))[i - 14]
            depth = depth if i < 14 else groups * (i - 13)
            x = cases.activation(rng, (1, height, int(rng.integers(5, 14)), depth), "input")
            kernel = (1 if height == 1 else int(rng.integers(1, 4)), int(rng.integers(1, 6)))
            dilation = (1, 1) if i % 4 else (1, 2)
            stride = (1, 1) if dilation != (1, 1) else (int(rng.integers(1, 3)), int(rng.integers(1, 4)))
            channels, padding = int(rng.integers(1, 10)), int(rng.integers(0, 2))
            if padding == 1 and (kernel[1] - 1) * dilation[1] >= x.shape[2]:
                padding = 0
            w = cases.weights(rng, (groups * members or channels, *kernel, x.shape[3] // groups), axis=0)
            yield cls._case(rng, (x, w), (stride, dilation), padding, int(rng.choice([0, 1, 2, 3])))
        for padding in (0, 1):  # sparse ones, with distances that do not fit four bits
            x = cases.activation(rng, (1, 4, 7, 11), "input")
            w = cases.weights(rng, (5, 2, 3, 11), axis=0, zeros=0.9)
            yield cls._case(rng, (x, w), ((1, 1 + padding), (1, 1)), padding, 1)
        for i in range(3):  # filters of nothing, windows that are places, fewer places than kernels take at a time
            x = cases.activation(rng, (1, *((1, 3), (3, 3), (2, 9))[i], (5, 16, 4)[i]), "input")
            kernel = ((1, 2), (1, 1), (2, 3))[i]
            w = cases.weights(rng, (7 - i, *kernel, x.shape[3]), axis=0, zeros=0.85, empty=slice(2, 4))
            yield cls._case(rng, (x, w), ((1, 1), (1, 1 + i // 2)), 1 - i // 2, 0)

    @staticmethod
    def _case(rng: np.random.Generator, tensors: tuple[Tensor, Tensor], steps: tuple[tuple[int, int], tuple[int, int]],
              padding: int, activation: int) -> Graph:  # fmt: skip
        (x, w), (stride, dilation) = tensors, steps
        size = [output_size(padding, x.shape[1 + i], w.shape[1 + i], stride[i], dilation[i]) for i in (0, 1)]
        y = cases.output_for(rng, x, w, (1, *size, w.shape[0]), w.shape[1] * w.shape[2] * w.shape[3])
        return cases.one_node(
            "CONV_2D",
            [x, w, cases.bias(rng, x, w, w.shape[0])],
            y,
            "Conv2DOptions",
            padding=padding,
            stride_h=stride[0],
            stride_w=stride[1],
            dilation_h_factor=dilation[0],
            dilation_w_factor=dilation[1],
            fused_activation_function=activation,
        )
