"""ADD and SUB: Keras Add and Subtract, and the residual connections of a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from pipeline.fixedpoint import quantize_multiplier, requantize
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, activation_range, clamp8, op
from pipeline.ops.broadcast import Broadcast, Finer, broadcast_of, finer, graph_of, output_of, pairs
from pipeline.ops.wide import Wide, wide, wide_cases
from pipeline.problem import Problem

LEFT_SHIFT = 20


@op("ADD", "SUB")
@dataclass(frozen=True)
class Add:
    """Both inputs go to a finer scale, twice the larger of theirs / 2^20, and the result to the output's."""

    name: str
    broadcast: Broadcast
    a: Finer
    b: Finer
    output_offset: int
    multiplier: int
    shift: int
    range: tuple[int, int]
    macs = 0
    slots = (0, 1)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Add | Wide:
        """The ratios of scales are taken in double (TFLite Micro CalculateOpDataAdd)."""
        if graph.output(node).dtype in ("int16", "int32"):
            return wide(node, graph)
        broadcast, a, b, y = broadcast_of(node, graph)
        twice = 2 * max(a.scale, b.scale)
        result = quantize_multiplier(twice / ((1 << LEFT_SHIFT) * y.scale))
        if result[1] >= 0:
            raise Problem(graph.label(node), f"its output scale {y.scale:g} is too small beside its inputs'",
                          "calibrate with data in which its output varies")  # fmt: skip
        limits = activation_range(node, graph, y)
        return cls(
            node.op.lower(),
            broadcast,
            finer(a, a.scale / twice),
            finer(b, b.scale / twice),
            y.zero_point,
            *result,
            limits,
        )

    def run(self, *inputs: Int8s) -> Int8s:
        """Sum or difference, rescale, clamp."""
        a, b = self.a.scaled(inputs[0], LEFT_SHIFT), self.b.scaled(inputs[1], LEFT_SHIFT)
        result = requantize(a + b if self.name == "add" else a - b, self.multiplier, self.shift)
        return clamp8(result + self.output_offset, *self.range)

    def call(self) -> Call:
        """One call for the whole layer."""
        return Call(f"nn_{self.name}_s8", f"nn_{self.name}_t", {
            "broadcast": self.broadcast.fields(), "a": self.a.fields(), "b": self.b.fields(),
            "output_offset": self.output_offset, "multiplier": self.multiplier, "shift": self.shift,
            "min": self.range[0], "max": self.range[1],
        })  # fmt: skip

    @property
    def in_place(self) -> tuple[int, ...]:
        """See Broadcast."""
        return self.broadcast.in_place

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Every kind of broadcast, every fused activation; five axes, some of which go together."""
        for name in ("ADD", "SUB"):
            for pair in pairs(rng):
                y = output_of(rng, pair, pair[0].scale + pair[1].scale)
                activation = int(rng.choice([0, 1, 2, 3]))
                yield graph_of(rng, name, pair, y, f"{name.capitalize()}Options", fused_activation_function=activation)
            x, b = cases.activation(rng, (1, 2, 3, 2, 4), "input"), cases.activation(rng, (2, 1), "b")
            pair = (x, replace(b, data=rng.integers(-128, 128, b.shape).astype(np.int8)))
            y = output_of(rng, pair, x.scale + b.scale)
            yield graph_of(rng, name, pair, y, f"{name.capitalize()}Options", fused_activation_function=0)
            yield from wide_cases(rng, name)
