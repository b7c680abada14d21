"""LEAKY_RELU: Keras LeakyReLU; and what all functions of 16 bits that are two straight lines have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.fixedpoint import quantize_multiplier, requantize
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import ALL_INT8, Call, Unary, clamp8, need_ints, op
from pipeline.problem import Problem

Rescale = tuple[int, int]  # multiplier, shift


@dataclass(frozen=True)
class Slopes16:
    """One rescale of 16-bit values from zero up, another of those below, which `turned` makes positive before."""

    count: int
    rescales: tuple[Rescale, Rescale]
    range: tuple[int, int] = (-(2**15), 2**15 - 1)
    turned: bool = False
    macs = 0
    in_place = (0,)

    def run(self, *inputs: NDArray[Any]) -> NDArray[Any]:
        """Value by value."""
        x = inputs[0].astype(np.int64)
        above, below = (requantize(values, *each) for values, each in
                        zip((x, -x if self.turned else x), self.rescales, strict=True))  # fmt: skip
        return np.where(x >= 0, above, below).clip(*self.range).astype(np.int16)

    def call(self) -> Call:
        """One call for the whole layer."""
        multipliers, shifts = zip(*self.rescales, strict=True)
        return Call("nn_slopes_s16", "nn_slopes_s16_t", {
            "count": self.count, "multiplier": multipliers, "shift": shifts, "sign": -1 if self.turned else 1,
            "min": self.range[0], "max": self.range[1],
        })  # fmt: skip


@op("LEAKY_RELU")
@dataclass(frozen=True)
class LeakyRelu(Unary):
    """x, or alpha * x below zero: two rescales."""

    tflite_differs = "it divides the scales in float, which shows where a result lies half-way"
    tflite_same = "int8"

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> LeakyRelu | Slopes16:
        """The ratios are taken in double (TFLite Micro CalculateOpDataLeakyRelu)."""
        x, y = graph.input(node), graph.output(node)
        need_ints(node, graph, x, y)
        alpha = float(np.float32(node.options["alpha"]))
        above, below = quantize_multiplier(x.scale / y.scale), quantize_multiplier(x.scale * alpha / y.scale)
        if x.dtype == "int16":
            if alpha < 0:
                raise Problem(graph.label(node), f"its slope below zero is {alpha:g}", "16-bit ones are not negative")
            return Slopes16(x.count, (above, below))
        values = ALL_INT8 - x.zero_point
        made = np.where(values >= 0, requantize(values, *above), requantize(values, *below))
        return cls(x.count, clamp8(made + y.zero_point))

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Both widths of values."""
        return cases.both_widths(cls._int8_cases(rng), share=1)

    @classmethod
    def _int8_cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """All 256 values at three scales and slopes."""
        for factor, alpha in ((0.4, 0.25), (1.0, 0.015625), (1.7, 0.3125)):
            x = cases.activation(rng, (1, 256), "input")
            y = cases.activation(rng, (1, 256), "output", x.scale * factor)
            yield cases.one_node("LEAKY_RELU", [x], y, "LeakyReluOptions", alpha=alpha)
