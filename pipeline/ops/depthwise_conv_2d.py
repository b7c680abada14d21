"""DEPTHWISE_CONV_2D: Keras DepthwiseConv1D and 2D, and the first half of separable convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from pipeline.cores import Core
from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases, pairs
from pipeline.ops.base import Call, Int8s, op
from pipeline.ops.conv_2d import Conv2D
from pipeline.ops.separable import Separable, apart, separable_cases
from pipeline.ops.weighted import Weighted, Weighted16, weighted
from pipeline.ops.window import Pair, Window, output_size, window_of


@op("DEPTHWISE_CONV_2D")
@dataclass(frozen=True)
class DepthwiseConv2D:
    """Weights int8 [1, kernel height, kernel width, output channels]; output channels = input channels * multiples."""

    window: Window
    sums: Weighted
    multiples: int
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> DepthwiseConv2D | Separable:
        """The depth multiplier is taken from the shapes."""
        if (both := apart(node, graph)) is not None:
            halves, first, second = both
            return Separable(cls._of_node(first, halves), Conv2D.from_node(second, halves))
        return cls._of_node(node, graph)

    @classmethod
    def _of_node(cls, node: Node, graph: Graph) -> DepthwiseConv2D:
        x, y = graph.input(node), graph.output(node)
        sums = weighted(node, graph, channels=y.shape[-1])
        window = window_of(node, x, y, (sums.weights.shape[1], sums.weights.shape[2]))
        return cls(window, sums, y.shape[3] // x.shape[3])

    def run(self, *inputs: Int8s) -> Int8s:
        """Input [1, h, w, c], output [1, h', w', channels]; padding counts as the zero point."""
        views = self.window.views(inputs[0].astype(np.int64) + self.sums.input_offset)
        repeated = np.repeat(views, self.multiples, axis=2)
        sums = np.einsum("yxckl,klc->yxc", repeated, self.sums.weights[0].astype(np.int64), optimize=True)
        return self.sums.finish(sums)[np.newaxis]

    def call(self) -> Call:
        """One call for the whole layer."""
        fields = {"window": self.window.fields(), "multiples": self.multiples, **self.sums.fields()}
        if isinstance(self.sums, Weighted16):
            return Call("nn_depthwise_conv2d_s16", "nn_depthwise_conv2d_s16_t", fields)
        fields["bias"] = self.sums.unsigned_bias(3)
        return Call("nn_depthwise_conv2d_s8", "nn_depthwise_conv2d_t", fields, scratch=self.window.lines_bytes,
                    in_place=self._same_shape)  # fmt: skip

    @property
    def _same_shape(self) -> tuple[int, ...]:
        """The input, where kernels have copied all that they still need of it before they write its bytes."""
        return (0,) if self.window.input == self.window.output else ()

    def ways(self, core: Core) -> tuple[Call, ...]:
        """The calls for a core: plain, or with filters in planes."""
        planes = self._planes() if core.planes and self.window.dilation == (1, 1) else None
        return (self.call(),) if planes is None else (planes, self.call())

    def _planes(self) -> Call | None:
        """The call that takes one channel at a time, as a plane with its padding; not for dilated windows.

        The longer side of the image lies across, for a row is done without a pause."""
        if isinstance(self.sums, Weighted16):
            return None
        window, turn = self.window, self.window.output[0] > self.window.output[1]
        order = (1, 0) if turn else (0, 1)
        sums = pairs.settled(replace(self.sums, weights=np.transpose(self.sums.weights[0], (2, *order))))
        scales = pairs.rescale(sums)
        if scales is None:
            return None
        sizes = {name: tuple(pair[i] for i in order) for name, pair in window.fields(dilated=False).items()}
        plane = [(sizes["output"][i] - 1) * sizes["stride"][i] + sizes["kernel"][i] for i in (0, 1)]
        plane[1] += plane[1] % 2
        fields = {**sizes, "plane": tuple(plane), "turned": int(turn), "channels": window.input[2],
                  "multiples": self.multiples, "zero": -sums.input_offset,
                  **pairs.tail(sums, sums.weights, scales)}  # fmt: skip
        return Call("nn_depthwise_conv2d_planes_s8", "nn_depthwise_conv2d_planes_t", fields,
                    scratch=2 * plane[0] * plane[1], in_place=self._same_shape, plain=self.sums.weights)  # fmt: skip

    @property
    def macs(self) -> int:
        """Products of all taps, padding included."""
        return self.window.output[0] * self.window.output[1] * self.sums.weights.size

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Both widths of values; behind some a convolution of 1 x 1."""
        yield from cases.both_widths(cls._int8_cases(rng))
        yield from separable_cases(rng, cls._case)

    @classmethod
    def _int8_cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Depth multipliers, strides, dilations, both paddings, every fused activation; the last are of 3 x 3."""
        for i in range(15):
            x = cases.activation(
                rng, (1, int(rng.integers(3, 8)), int(rng.integers(5, 11)), int(rng.integers(1, 7))), "input"
            )
            kernel = (int(rng.integers(1, 4)), int(rng.integers(1, 5))) if i < 10 else (3, 3)
            multiples = int(rng.integers(1, 4))
            dilation = (1, 1) if i % 4 or i > 9 else (2, 2)
            stride = 1 if dilation != (1, 1) else int(rng.integers(1, 3))
            padding = int(i % 2) if dilation == (1, 1) else 0
            w = cases.weights(rng, (1, *kernel, x.shape[3] * multiples), axis=3)
            yield cls._case(rng, (x, w), (stride, dilation), padding)

    @staticmethod
    def _case(rng: np.random.Generator, tensors: tuple[Tensor, Tensor], steps: tuple[int, Pair], padding: int) -> Graph:
        (x, w), (stride, dilation) = tensors, steps
        _, *kernel, channels = w.shape
        size = [output_size(padding, x.shape[1 + a], kernel[a], stride, dilation[a]) for a in (0, 1)]
        y = cases.output_for(rng, x, w, (1, *size, channels), kernel[0] * kernel[1])
        return cases.one_node(
            "DEPTHWISE_CONV_2D", [x, w, cases.bias(rng, x, w, channels)], y, "DepthwiseConv2DOptions",
            padding=padding, stride_h=stride, stride_w=stride, depth_multiplier=channels // x.shape[3],
            dilation_h_factor=dilation[0], dilation_w_factor=dilation[1],
            fused_activation_function=int(rng.choice([0, 1, 2, 3])))  # fmt: skip
