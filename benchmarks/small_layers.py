"""Small random layers, of the shapes that models for microcontrollers have: what calibrate.py measures."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.board import Board
from pipeline.cores import PORTABLE
from pipeline.fusion import fused, pointed
from pipeline.graph import Graph, Tensor
from pipeline.importer import operators
from pipeline.ops import cases, pooled_conv, separable
from pipeline.ops.base import known_ops
from pipeline.ops.window import output_size

MANY = 36  # layers of each of the kinds that nearly all of a network's time goes into
BEHIND_RELU = -128  # a zero point
ZEROS = (0.0, 0.5, 0.8, 0.9)
Rng = np.random.Generator


@dataclass(frozen=True)
class Room:
    """Bytes that a board has for the input of one layer, for its weights, for those of all layers, for the arena."""

    input: int
    layer: int
    weights: int
    arena: int


def room_of(board: Board) -> Room:
    """What a board has, where constants may lie in RAM too."""
    if board.ram_bytes < 16_384:
        return Room(768, 3_000, 40_000, 3_000)
    return Room(8_192, 12_000, board.ram_bytes // 2, 60_000)


def convolutions(rng: Rng, room: Room) -> Iterator[Graph]:
    """Of one and two dimensions, with shapes as sensor models and image models have them."""
    sizes, kernels = (1, 3, 4, 6, 9, 16, 25, 40), ((1, 1), (1, 5), (3, 3), (3, 3), (1, 3), (5, 4), (10, 4))
    for i in itertools.count():
        height, width = (1, int(rng.integers(8, 100))) if i % 3 == 0 else (int(rng.choice(sizes[1:])) for _ in "hw")
        kernel = kernels[int(rng.integers(len(kernels)))] if height > 1 else (1, int(rng.choice([1, 3, 5])))
        x = activation(rng, (1, height, width, int(rng.choice([1, 3, 6, 8, 8, 16, 24, 32, 64, 128]))))
        w = cases.weights(rng, (int(rng.choice([4, 7, 8, 16, 32, 64])), *kernel, x.shape[3]), 0, ZEROS[i % len(ZEROS)])
        stride = int(rng.choice([1, 1, 2]))
        yield window("CONV_2D", rng, x, w, stride)


def pooled(rng: Rng, room: Room) -> Iterator[Graph]:
    """The same with a MAX_POOL_2D behind them, as one operator."""
    for graph in convolutions(rng, room):
        _, height, width, _ = graph.tensors[graph.outputs[0]].shape
        pool = (
            ((2, 2), (2, 2), (3, 3), (1, 2))[int(rng.integers(4))] if height > 1 else (1, int(rng.choice([2, 2, 3, 4])))
        )
        if height >= pool[0] and width >= pool[1]:
            yield as_one(pooled_conv.pooled(graph, pool))


def as_one(apart: Graph) -> Graph:
    """Two operators."""
    return pointed(*fused(apart, operators(apart, "layer"), PORTABLE), PORTABLE)[0]


def depthwise(rng: Rng, room: Room) -> Iterator[Graph]:
    """Mostly of 3 x 3."""
    for i in itertools.count():
        height, width = (1, int(rng.integers(8, 60))) if i % 4 == 0 else (int(rng.integers(3, 26)) for _ in "hw")
        kernel = (1, 5) if height == 1 else [(3, 3), (3, 3), (5, 3), (3, 3)][i % 4]
        x = activation(rng, (1, height, width, int(rng.choice([1, 4, 8, 16, 32, 64]))))
        w = cases.weights(rng, (1, *kernel, x.shape[3] * (2 if i % 9 == 8 else 1)), 3)
        yield window("DEPTHWISE_CONV_2D", rng, x, w, 1 + i // 4 % 2, depth_multiplier=w.shape[3] // x.shape[3])


def separables(rng: Rng, room: Room) -> Iterator[Graph]:
    """The same with a convolution of 1 x 1 behind them, as one operator."""
    for i, graph in enumerate(depthwise(rng, room)):
        channels = int(rng.choice([4, 7, 8, 16, 32, 64, 128]))
        yield as_one(separable.pointed(rng, graph, channels, ZEROS[i % len(ZEROS)]))


def window(op: str, rng: Rng, x: Tensor, w: Tensor, stride: int, **options: Any) -> Graph:
    """A convolution with the same padding."""
    channels = w.shape[0] if op == "CONV_2D" else w.shape[3]
    size = [output_size(0, x.shape[1 + a], w.shape[1 + a], stride) for a in (0, 1)]
    y = cases.output_for(rng, x, w, (1, *size, channels), w.count // channels)
    table = "Conv2DOptions" if op == "CONV_2D" else "DepthwiseConv2DOptions"
    return cases.one_node(op, [x, w, cases.bias(rng, x, w, channels)], y, table, padding=0, stride_h=stride,
                          stride_w=stride, fused_activation_function=int(rng.integers(2)), **options)  # fmt: skip


def dense(rng: Rng, room: Room) -> Iterator[Graph]:
    """Of one vector."""
    for i in itertools.count():
        x = activation(rng, (1, int(rng.choice([8, 16, 30, 32, 64, 100, 128, 256, 640]))))
        outputs = int(rng.choice([3, 7, 8, 10, 12, 16, 32, 64, 128]))
        w = cases.weights(rng, (outputs, x.shape[1]), None, ZEROS[i % len(ZEROS)])
        y = cases.output_for(rng, x, w, (1, outputs), x.shape[1])
        yield cases.one_node("FULLY_CONNECTED", [x, w, cases.bias(rng, x, w, outputs)], y, "FullyConnectedOptions",
                             keep_num_dims=False, fused_activation_function=int(rng.integers(2)))  # fmt: skip


def pools(rng: Rng, room: Room) -> Iterator[Graph]:
    """Of 2 x 2, and of all there is."""
    for i in range(8):
        x = activation(rng, (1, int(rng.integers(2, 12)), int(rng.integers(2, 12)), int(rng.choice([8, 16, 32, 64]))))
        kernel = x.shape[1:3] if i % 2 else (2, 2)
        y = replace(x, name="output", shape=(1, *(size // k for size, k in zip(x.shape[1:3], kernel, strict=True)),
                                             x.shape[3]))  # fmt: skip
        op = ("AVERAGE_POOL_2D", "MAX_POOL_2D")[i // 2 % 2]
        yield cases.one_node(op, [x], y, "Pool2DOptions", padding=1, stride_h=kernel[0], stride_w=kernel[1],
                             filter_height=kernel[0], filter_width=kernel[1], fused_activation_function=0)  # fmt: skip


def elementwise(rng: Rng, room: Room) -> Iterator[Graph]:
    """Sums and products of whole images, softmax, means of all places."""
    for i in range(4):
        x = activation(rng, (1, 4, 4 + 4 * i, 16))
        for op in ("ADD", "MUL"):
            y = cases.activation(rng, x.shape, "output", 2 * x.scale)
            other = cases.activation(rng, x.shape, "b", x.scale / 2, x.zero_point)
            yield cases.one_node(op, [x, other], y, f"{op.capitalize()}Options", fused_activation_function=i % 2)
        vector = cases.activation(rng, (1, 4 + 6 * i), "input", 0.1, 0)
        y = cases.activation(rng, vector.shape, "output", 1 / 256, -128)
        yield cases.one_node("SOFTMAX", [vector], y, "SoftmaxOptions", beta=1.0)
        y = cases.activation(rng, (1, 16), "output", x.scale)
        yield cases.one_node("MEAN", [x, cases.constant("axes", (1, 2))], y, "ReducerOptions", keep_dims=False)


def others(rng: Rng, room: Room) -> Iterator[Graph]:
    """A few cases of every other operator of one call."""
    for name, cls in known_ops().items():
        if name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            yield from itertools.islice((g for g in cls.cases(rng) if g.nodes[0].op == name and len(g.nodes) == 1), 3)


def activation(rng: Rng, shape: tuple[int, ...]) -> Tensor:
    """An input, every second one as a ReLU leaves it."""
    return cases.activation(rng, shape, "input", 0.05, int(rng.choice([BEHIND_RELU, int(rng.integers(-20, 20))])))


Kinds = Sequence[Callable[[Rng, Room], Iterator[Graph]]]
KINDS: Kinds = (convolutions, depthwise, dense, pools, elementwise, others)
ENDLESS: Kinds = (convolutions, depthwise, dense, pooled, separables)


def drawn(room: Room, kinds: Kinds = KINDS) -> Iterator[Graph]:
    """Layers that there is room for, the kinds in turn, the same ones each time."""
    fitting = [fits(kind(np.random.default_rng(1), room), room) for kind in kinds]
    bounded = [itertools.islice(each, MANY) if kind in ENDLESS else each for kind, each in
               zip(kinds, fitting, strict=True)]  # fmt: skip
    return (graph for turn in itertools.zip_longest(*bounded) for graph in turn if graph is not None)


def fits(graphs: Iterator[Graph], room: Room) -> Iterator[Graph]:
    """Those whose activations are int8, and small enough."""
    for graph in graphs:
        inputs, outputs = graph.edge("input"), graph.edge("output")
        moved = sum(tensor.bytes for tensor in (*inputs, *outputs))
        weights = sum(tensor.bytes for tensor in graph.tensors if tensor.data is not None)
        if {t.dtype for t in (*inputs, *outputs)} == {"int8"} and inputs and moved <= room.arena / 2 and \
                max(t.bytes for t in inputs) <= room.input and weights <= room.layer and \
                not any(t.is_variable for t in graph.tensors):  # fmt: skip
            yield graph
