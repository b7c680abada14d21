"""Two activations brought to one shape: what the elementwise operators of two inputs have in common."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.fixedpoint import Ints, quantize_multiplier, requantize
from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases
from pipeline.ops.base import Int8s, need_alike, need_int8
from pipeline.ops.moves import strides
from pipeline.problem import Problem

Shape = tuple[int, ...]
LONGEST = 32767  # of an axis: int16 in C


@dataclass(frozen=True)
class Broadcast:
    """Shapes of both inputs and the output, of at most four axes."""

    a: Shape
    b: Shape
    output: Shape

    def fields(self) -> Mapping[str, Any]:
        """The fields of nn_broadcast_t: an axis of length 1 that is broadcast has step 0; last axes along which both
        inputs go are one, for a row is done without a pause."""
        shapes = [four(shape) for shape in (self.output, self.a, self.b)]
        for _ in range(3):
            if len({shape[-2:] for shape in shapes}) == 1 and math.prod(shapes[0][-2:]) <= LONGEST:
                shapes = [(1, *shape[:-2], shape[-2] * shape[-1]) for shape in shapes]
        output, a, b = shapes
        return {"shape": output, "a": steps(a), "b": steps(b)}

    @property
    def in_place(self) -> tuple[int, ...]:
        """Inputs of the output's own size may be overwritten."""
        return tuple(slot for slot, shape in enumerate((self.a, self.b)) if math.prod(shape) == math.prod(self.output))


def four(shape: Shape) -> Shape:
    """The shape with ones in front."""
    return (1,) * (4 - len(shape)) + shape


def steps(shape: Shape) -> Shape:
    """How far one step along each of four axes moves; 0 where an axis of length 1 is read again and again."""
    return tuple(0 if size == 1 else step for size, step in zip(four(shape), strides(four(shape)), strict=True))


def broadcast_of(node: Node, graph: Graph) -> tuple[Broadcast, Tensor, Tensor, Tensor]:
    """The checked broadcast of a node of two int8 inputs, with its tensors a, b and output."""
    need_int8(node, graph, graph.input(node, 0), graph.input(node, 1), graph.output(node))
    return typed_broadcast(node, graph)


def typed_broadcast(node: Node, graph: Graph) -> tuple[Broadcast, Tensor, Tensor, Tensor]:
    """The same of two inputs of any one type."""
    a, b = graph.input(node, 0), graph.input(node, 1)
    need_alike(node, graph, a, b, any_scale=True)
    return shapes_of(node, graph), a, b, graph.output(node)


def shapes_of(node: Node, graph: Graph) -> Broadcast:
    """The broadcast of a node of two inputs, whatever their types."""
    a, b, y = graph.input(node, 0), graph.input(node, 1), graph.output(node)
    shapes = (a.shape, b.shape, y.shape) if len(y.shape) <= 4 else _fewer(a.shape, b.shape, y.shape)
    if len(shapes[2]) > 4:
        raise Problem(graph.label(node), f"broadcasts to {len(y.shape)} axes", "reshape its inputs to at most 4")
    return Broadcast(*shapes)


def _fewer(a: Shape, b: Shape, output: Shape) -> tuple[Shape, Shape, Shape]:
    """The same shapes with neighbouring axes as one where each input goes along both or neither."""
    merged: list[tuple[int, int, int]] = []
    padded = ((1,) * (len(output) - len(shape)) + shape for shape in (a, b, output))
    for axis in zip(*padded, strict=True):
        last = merged[-1] if merged else (1, 1, 1)
        alike = all((last[side] == last[2]) == (axis[side] == axis[2]) for side in (0, 1))
        if merged and alike and last[2] * axis[2] <= LONGEST:
            merged[-1] = (last[0] * axis[0], last[1] * axis[1], last[2] * axis[2])
        elif axis[2] != 1:
            merged.append((axis[0], axis[1], axis[2]))
    return tuple(x for x, _, _ in merged), tuple(x for _, x, _ in merged), tuple(x for _, _, x in merged)


@dataclass(frozen=True)
class Finer:
    """The rescale of one input to the finer scale that both inputs share."""

    offset: int
    multiplier: int
    shift: int

    def scaled(self, x: Int8s, left_shift: int) -> Ints:
        """x on the finer scale."""
        return requantize((x.astype(np.int64) + self.offset) << left_shift, self.multiplier, self.shift)

    def fields(self) -> Mapping[str, int]:
        """The fields of nn_finer_t."""
        return {"offset": self.offset, "multiplier": self.multiplier, "shift": self.shift}


def finer(x: Tensor, ratio: float) -> Finer:
    """The rescale of x by `ratio`, its share of twice the larger input scale."""
    return Finer(-x.zero_point, *quantize_multiplier(ratio))


# The shapes that the cases of these operators go through

EQUAL = ((1, 5, 6, 3), (1, 40), (1, 7, 2))
CONSTANT = (((1, 4, 5, 3), (1, 1, 1, 3)), ((1, 1, 5, 3), (1, 4, 5, 3)), ((1, 3, 4, 2), (1, 3, 1, 2)),
            ((1, 12), (1, 1)), ((1, 3, 3, 2), (1, 3, 3, 2)))  # fmt: skip


def pairs(rng: np.random.Generator, same_quant: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs of every kind of broadcast: the second is an activation (no data) or a constant."""
    for shape in EQUAL:
        x = cases.activation(rng, shape, "input")
        scale, zero_point = (x.scale, x.zero_point) if same_quant else (x.scale * float(rng.uniform(0.4, 2.5)), None)
        yield x, cases.activation(rng, shape, "b", scale, zero_point)
    for shape, other in CONSTANT:
        x = cases.activation(rng, shape, "input")
        b = cases.activation(rng, other, "b", *((x.scale, x.zero_point) if same_quant else ()))
        yield x, replace(b, data=rng.integers(-128, 128, other).astype(np.int8))


def graph_of(
    rng: np.random.Generator, op: str, pair: tuple[Tensor, Tensor], y: Tensor, table: str, **options: Any
) -> Graph:
    """`op` on the pair; where both are activations, the second is made from the first by QUANTIZE."""
    a, b = pair
    if b.data is None:
        return cases.two_nodes("QUANTIZE", op, [a, b, y], ((0,), (0, 1)), table, **options)
    return cases.one_node(op, [a, b] if rng.integers(2) else [b, a], y, table, **options)


def output_of(rng: np.random.Generator, pair: tuple[Tensor, Tensor], scale: float) -> Tensor:
    """An output of the broadcast shape with about this scale."""
    shape = tuple(np.broadcast_shapes(pair[0].shape, pair[1].shape))
    return cases.activation(rng, shape, "output", scale * float(rng.uniform(0.3, 1.2)))
