"""SPLIT, SPLIT_V and UNPACK: one tensor into several along an axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Int8s, Part, need_alike, op
from pipeline.ops.moves import constant_ints, move, strides

SLOTS = {"SPLIT": (1, 0), "SPLIT_V": (0, 2), "UNPACK": (0, None)}  # of the input and of the axis


class _Split:
    """Shared by the three: one move per output."""

    @staticmethod
    def parts_of(node: Node, graph: Graph) -> tuple[int, tuple[Part, ...], tuple[int, ...]]:
        """(axis, calls, where each part begins along the axis)."""
        slot, axis_slot = SLOTS[node.op]
        x = graph.input(node, slot)
        given = node.options["axis"] if axis_slot is None else constant_ints(node, graph, axis_slot, "axes")[0]
        axis, steps = given % len(x.shape), strides(x.shape)
        parts, starts, start = [], [], 0
        for number, output in enumerate(node.outputs):
            y = graph.tensors[output]
            need_alike(node, graph, x, y)
            length = 1 if node.op == "UNPACK" else y.shape[axis]
            shape = (*x.shape[:axis], length, *x.shape[axis + 1 :])
            call = move(node, graph, shape, (steps, start * steps[axis]), (strides(shape), 0))
            parts.append(Part(call, (0,), number))
            starts.append(start)
            start += length
        return axis, tuple(parts), tuple(starts)


@op("SPLIT")
@dataclass(frozen=True)
class Split(_Split):
    """Equal parts; the axis is input 0."""

    axis: int
    starts: tuple[int, ...]
    moves: tuple[Part, ...] = field(compare=False)
    types: ClassVar = {op: ("int16", "int32") for op in SLOTS}
    drop_axis = False
    macs = 0
    in_place = ()
    slots = (1,)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Split:
        """The axis is constant."""
        axis, parts, starts = cls.parts_of(node, graph)
        return cls(axis, starts, parts)

    def run(self, *inputs: Int8s) -> tuple[Int8s, ...]:
        """The parts in order."""
        made = np.split(inputs[0], self.starts[1:], axis=self.axis)
        return tuple(part.squeeze(self.axis) if self.drop_axis else part for part in made)

    def call(self) -> tuple[Part, ...]:
        """One move per part."""
        return self.moves

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Two and three parts, the last one is looked at; all of them through a sum."""
        for shape, axis, count in (((1, 6, 4), 1, 2), ((1, 4, 6), -1, 3), ((1, 4, 3, 2), 2, 3)):
            x = cases.activation(rng, shape, "input")
            length = shape[axis] // count
            part = [length if i == axis % len(shape) else size for i, size in enumerate(shape)]
            axes = cases.constant("axis", axis)
            yield cases.joined(rng, "SPLIT", [axes, x], part, count, "SplitOptions", num_splits=count)


@op("SPLIT_V")
@dataclass(frozen=True)
class SplitV(Split):
    """Parts of given sizes; the axis is input 2."""

    slots = (0,)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Equal parts under the other operator's name."""
        for shape, axis, count in (((1, 6, 4), 1, 3), ((1, 4, 6), 2, 2), ((1, 2, 3, 4), 3, 2)):
            x = cases.activation(rng, shape, "input")
            length = shape[axis] // count
            part = [length if i == axis else size for i, size in enumerate(shape)]
            inputs = [x, cases.constant("sizes", [length] * count), cases.constant("axis", axis)]
            yield cases.joined(rng, "SPLIT_V", inputs, part, count, "SplitVOptions", num_splits=count)


@op("UNPACK")
@dataclass(frozen=True)
class Unpack(Split):
    """Parts of length 1, whose axis is dropped."""

    drop_axis = True
    slots = (0,)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Along the first and the last axis after the batch."""
        for shape, axis in (((1, 3, 4), 1), ((1, 4, 2), 2), ((1, 2, 3, 2), -1)):
            x = cases.activation(rng, shape, "input")
            part = [size for i, size in enumerate(shape) if i != axis % len(shape)]
            yield cases.joined(rng, "UNPACK", [x], part, shape[axis], "UnpackOptions", num=shape[axis], axis=axis)
