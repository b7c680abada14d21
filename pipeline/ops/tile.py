"""TILE (Keras RepeatVector) and BROADCAST_TO: values repeated along axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, need_alike, op
from pipeline.ops.moves import constant_ints, move, need_shape, strides

Shape = tuple[int, ...]


@dataclass(frozen=True)
class _Repeat:
    """One move that reads an axis again and again."""

    repeats: tuple[int, ...]  # of each axis of `seen`
    seen: tuple[int, ...]  # the input's shape, filled up with ones in front
    shape: tuple[int, ...]
    moved: Call = field(compare=False)
    macs = 0
    in_place = ()

    @staticmethod
    def parts(
        node: Node, graph: Graph, repeats: Sequence[int], seen: Sequence[int]
    ) -> tuple[Shape, Shape, Shape, Call]:
        """The fields: each axis of the output is `repeats` times one of `seen`."""
        y, whole = graph.output(node), [count * size for count, size in zip(repeats, seen, strict=True)]
        need_shape(node, graph, whole)
        steps, wide = strides(seen), strides(whole)
        shape, source, target = [], [], []
        for count, size, step, to in zip(repeats, seen, steps, wide, strict=True):
            shape += [count, size]
            source += [0, step]
            target += [size * to, to]
        return tuple(repeats), tuple(seen), y.shape, move(node, graph, shape, (source, 0), (target, 0))

    def run(self, *inputs: Int8s) -> Int8s:
        """The values over and over."""
        return np.tile(inputs[0].reshape(self.seen), self.repeats).reshape(self.shape)

    def call(self) -> Call:
        """One move."""
        return self.moved


@op("TILE")
@dataclass(frozen=True)
class Tile(_Repeat):
    """Whole copies side by side along every axis."""

    micro_lacks = "it has no TILE"

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Tile:
        """How often is constant."""
        x = graph.input(node)
        need_alike(node, graph, x, graph.output(node))
        return cls(*cls.parts(node, graph, constant_ints(node, graph, 1, "multiples"), x.shape))

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """One axis and several, the last and one before it."""
        for shape, repeats in (((1, 1, 6), (1, 4, 1)), ((1, 5), (1, 3)), ((1, 3, 2, 4), (1, 2, 1, 2))):
            x = cases.activation(rng, shape, "input")
            whole = [count * size for count, size in zip(repeats, shape, strict=True)]
            y = cases.activation(rng, whole, "output", x.scale, x.zero_point)
            yield cases.one_node("TILE", [x, cases.constant("multiples", repeats)], y, "TileOptions")


@op("BROADCAST_TO")
@dataclass(frozen=True)
class BroadcastTo(_Repeat):
    """Axes of length 1 become longer; new ones come in front."""

    tflite_differs = "its reference resolver takes no BROADCAST_TO"

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> BroadcastTo:
        """The shape is the output's."""
        x, y = graph.input(node), graph.output(node)
        need_alike(node, graph, x, y, any_scale=True)
        seen = (1,) * (len(y.shape) - len(x.shape)) + x.shape
        return cls(*cls.parts(node, graph, [w // s for w, s in zip(y.shape, seen, strict=True)], seen))

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Axes in front, in the middle and behind; none at all."""
        for shape, whole in (((1, 1, 90), (1, 4, 90)), ((1, 1), (2, 3, 5)), ((1, 3, 1, 4), (1, 3, 5, 4)), ((1, 7),) * 2,
                             ((1, 2, 1), (3, 1, 2, 6))):  # fmt: skip
            x = cases.activation(rng, shape, "input")
            y = cases.activation(rng, whole, "output", x.scale, x.zero_point)
            yield cases.one_node("BROADCAST_TO", [x, cases.constant("shape", whole)], y, "BroadcastToOptions")
