"""DIV: quotients, as in softsign."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from pipeline.fixedpoint import Ints, divide_by_power, doubling_high_mul, quantize_multiplier, reciprocal
from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, activation_range, clamp8, op
from pipeline.ops.broadcast import Broadcast, broadcast_of
from pipeline.problem import Problem

RECIPROCALS = np.array([(0, 0), *(reciprocal(value, 31) for value in range(1, 256))], np.int64)  # of |b|: scale, bits


@op("DIV")
@dataclass(frozen=True)
class Div:
    """a times the reciprocal of b, by TFLite Micro's fixed point.

    That has two holes: a divisor of zero, which counts as one step here, and quotients too small to be shifted, which
    become 1 or -1 as they do on Arm.
    """

    tflite_differs = "its reference resolver takes no int8 DIV"

    broadcast: Broadcast
    offsets: tuple[int, int, int]  # a, b, output
    multiplier: int
    shift: int
    range: tuple[int, int]
    macs = 0
    slots = (0, 1)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Div:
        """The ratio of scales is taken in double (TFLite Micro CalculateOpDataDiv)."""
        broadcast, a, b, y = broadcast_of(node, graph)
        real = a.scale / (b.scale * y.scale)
        multiplier, shift = quantize_multiplier(float(real))
        if shift > 23:
            raise Problem(graph.label(node), f"its output scale {y.scale:g} is too small for a quotient of its inputs",
                          "calibrate with data in which its output varies")  # fmt: skip
        offsets = (-a.zero_point, -b.zero_point, y.zero_point)
        return cls(broadcast, offsets, multiplier, shift, activation_range(node, graph, y))

    def run(self, *inputs: Int8s) -> Int8s:
        """Value by value."""
        a, b = (x.astype(np.int64) + offset for x, offset in zip(inputs, self.offsets, strict=False))
        inverse, bits = RECIPROCALS[np.maximum(np.abs(b), 1)].transpose(-1, *range(b.ndim))
        a = np.where(b < 0, -a, a)
        headroom = 31 - _bits(np.where(a < 0, ~a, a))
        quotient = doubling_high_mul(doubling_high_mul(a << headroom, inverse), self.multiplier)
        right = bits + headroom - self.shift
        tiny = np.where(quotient < 0, -1, 1)
        value = np.where(right > 31, tiny, divide_by_power(quotient, np.minimum(right, 31)))
        return clamp8(value + self.offsets[2], *self.range)

    def call(self) -> Call:
        """One call for the whole layer."""
        return Call("nn_div_s8", "nn_div_t", {
            "broadcast": self.broadcast.fields(), "a_offset": self.offsets[0], "b_offset": self.offsets[1],
            "output_offset": self.offsets[2], "multiplier": self.multiplier, "shift": self.shift,
            "min": self.range[0], "max": self.range[1],
        })  # fmt: skip

    @property
    def in_place(self) -> tuple[int, ...]:
        """See Broadcast."""
        return self.broadcast.in_place

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Divisors that are never zero: constants on either side of it, and the larger of the input and a constant."""
        for i, (shape, other) in enumerate((((1, 4, 5, 3), (3,)), ((1, 40), (1, 1)), ((1, 3, 4, 2), (1, 3, 1, 2)))):
            x = cases.activation(rng, shape, "input")
            b = cases.activation(rng, other, "b", zero_point=0)
            b = replace(b, data=(rng.integers(1, 128, other) * rng.choice([-1, 1], other)).astype(np.int8))
            y = cases.activation(rng, shape, "output", x.scale / b.scale / (70, 500, 9e4)[i])
            yield cases.one_node("DIV", [x, b], y, "DivOptions", fused_activation_function=(0, 1, 3)[i])
        for zero_point, floor in ((-128, -127), (-20, 0), (100, 101)):
            yield cls._case(rng, cases.activation(rng, (1, 6, 20), "input", zero_point=zero_point), floor)

    @staticmethod
    def _case(rng: np.random.Generator, x: Tensor, floor: int) -> Graph:
        """A constant divided by max(x, floor); 0 / 255 is too small to be shifted, the next below and above are not."""
        low = replace(x, name="floor", shape=(1, 1), data=np.array([[floor]], np.int8))
        a = cases.activation(rng, (20,), "a", zero_point=0)
        a = replace(a, data=(rng.integers(3, 128, 20) * rng.integers(-1, 2, 20)).astype(np.int8))
        divisor = replace(x, name="divisor")
        y = cases.activation(rng, x.shape, "output", a.scale / x.scale / 30)
        nodes = (
            Node(0, "MAXIMUM", (0, 1), (2,), {"table": "MaximumMinimumOptions"}),
            Node(1, "DIV", (3, 2), (4,), {"table": "DivOptions", "fused_activation_function": 0}),
        )
        return Graph((x, low, divisor, a, y), nodes, (0,), (4,))


def _bits(x: Ints) -> Ints:
    """How many bits each value in [0, 255] takes."""
    return np.asarray(np.ceil(np.log2(x + 1)), np.int64)
