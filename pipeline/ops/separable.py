"""DEPTHWISE_CONV_2D with the CONV_2D of 1 x 1 behind it in one kernel, between which no tensor lies: see fusion.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from pipeline.cores import PORTABLE, Core
from pipeline.costs import lanes_on
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s
from pipeline.ops.window import Window

KERNELS = ("nn_conv2d_s8", "nn_conv2d_sparse_s8")  # of the second one, that have another beside the first one


class Half(Protocol):
    """What is asked of a DepthwiseConv2D and of a Conv2D."""

    @property
    def window(self) -> Window:
        """Of all its places."""

    @property
    def macs(self) -> int:
        """Products of all taps."""

    def run(self, *inputs: Int8s) -> Int8s:
        """The integer oracle."""

    def call(self) -> Call:
        """The portable call."""

    def ways(self, core: Core) -> tuple[Call, ...]:
        """The calls for a core."""


@dataclass(frozen=True)
class Separable:
    """Of the second one each place is made of that place of the first one alone."""

    depthwise: Half
    point: Half
    in_place = ()

    @property
    def window(self) -> Window:
        """Where an output comes from."""
        return replace(self.depthwise.window, output=self.point.window.output)

    def run(self, *inputs: Int8s) -> Int8s:
        """One after the other."""
        return np.asarray(self.point.run(self.depthwise.run(*inputs)))

    def call(self) -> Call:
        """The call in a layout that every core reads."""
        return self.ways(PORTABLE)[0]

    def ways(self, core: Core) -> tuple[Call, ...]:
        """Dense and sparse, as the second one has them."""
        lanes = lanes_on(core)
        return tuple(self._call(call, lanes[call.kernel]) for call in self.point.ways(core) if call.kernel in KERNELS)

    def _call(self, point: Call, lanes: int) -> Call:
        """Its output may lie where its input does: kernels copy lines before they write what is made of them."""
        depthwise, window = self.depthwise.call(), self.window
        kernel, struct = (name.replace("nn_conv2d", "nn_depthwise_conv2d") for name in (point.kernel, point.struct))
        return replace(point, kernel=kernel.replace("_s8", "_point_s8"), struct=struct.replace("_t", "_point_t"),
                       fields={"depthwise": depthwise.fields, "point": point.fields}, lanes=lanes,
                       scratch=point.scratch + depthwise.scratch,
                       in_place=(0,) if window.input == window.output else ())  # fmt: skip

    @property
    def macs(self) -> int:
        """Of both."""
        return self.depthwise.macs + self.point.macs


def joined(depthwise: Node, point: Node, pads: tuple[int, int]) -> Node:
    """Both nodes as one, where a DEPTHWISE_CONV_2D has its place."""
    options = {**depthwise.options, "pads": pads, "between": depthwise.outputs[0], "point": point.options}
    inputs = (*_three(depthwise), *_three(point)[1:])
    return replace(depthwise, inputs=inputs, outputs=point.outputs, options=options)


def apart(node: Node, graph: Graph) -> tuple[Graph, Node, Node] | None:
    """The nodes that are one in `node`, and a graph with the tensor between them, which is as large as the node's
    output asks for; None where it is an ordinary one."""
    if "point" not in node.options:
        return None
    between, (_, height, width, _) = node.options["between"], graph.output(node).shape
    tensors = list(graph.tensors)
    tensors[between] = replace(tensors[between], shape=(1, height, width, graph.input(node, 1).shape[3]))
    options = {name: value for name, value in node.options.items() if name != "point"}
    first = replace(node, inputs=node.inputs[:3], outputs=(between,), options=options)
    second = Node(node.index, "CONV_2D", (between, *node.inputs[3:]), node.outputs, node.options["point"])
    return replace(graph, tensors=tuple(tensors)), first, second


def _three(node: Node) -> tuple[int, ...]:
    """Its input, weights and bias, which need not be there."""
    return (*node.inputs, -1)[:3]


# Input, kernel, stride, dilation, padding and multiples of the first one; outputs and zeros of the second.
SHAPES = (
    ((1, 9, 16), (1, 5), 1, 1, 0, 1, 16, 0.0),
    ((1, 3, 8), (1, 3), 2, 1, 0, 1, 5, 0.9),
    ((5, 7, 12), (3, 3), 1, 1, 0, 1, 12, 0.9),
    ((6, 5, 3), (3, 2), 2, 1, 1, 2, 9, 0.0),
    ((7, 4, 11), (2, 2), 1, 2, 0, 1, 6, 0.85),
    ((1, 1, 8), (1, 1), 1, 1, 1, 1, 7, 0.0),
)


def separable_cases(rng: np.random.Generator, convolution: Callable[..., Graph]) -> Iterator[Graph]:
    """Depthwise convolutions with one of 1 x 1 behind them."""
    for shape, kernel, stride, dilation, padding, multiples, outputs, zeros in SHAPES:
        x = cases.activation(rng, (1, *shape), "input")
        w = cases.weights(rng, (1, *kernel, shape[2] * multiples), axis=3)
        yield pointed(rng, convolution(rng, (x, w), (stride, (dilation, dilation)), padding), outputs, zeros)


def pointed(rng: np.random.Generator, graph: Graph, channels: int, zeros: float = 0.0) -> Graph:
    """The graph with a CONV_2D of 1 x 1 behind it, of whose weights a share is zero."""
    x = graph.edge("output")[0]
    w = cases.weights(rng, (channels, 1, 1, x.shape[3]), axis=0, zeros=zeros)
    y = cases.output_for(rng, x, w, (*x.shape[:3], channels), x.shape[3])
    return cases.behind(graph, "CONV_2D", [w, cases.bias(rng, x, w, channels)], y, {
        "table": "Conv2DOptions", "padding": int(rng.integers(2)), "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1,
        "dilation_w_factor": 1, "fused_activation_function": int(rng.integers(4))})  # fmt: skip
