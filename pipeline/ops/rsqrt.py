"""RSQRT: 1 / sqrt(x), as in a LayerNormalization."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.fixedpoint import inverse_sqrt, quantize_multiplier, requantize
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import ALL_INT8, Call, Unary, clamp8, clamped, need_ints, op

SHIFT = 20  # keeps the inverse root an integer


@dataclass(frozen=True)
class Rsqrt16:
    """The same of 16-bit values, one by one."""

    count: int
    rescale: tuple[int, int]  # multiplier, shift
    macs = 0
    in_place = (0,)

    def run(self, *inputs: NDArray[Any]) -> NDArray[Any]:
        """Value by value."""
        found = {value: _answer(value, self.rescale, (-(2**15), 2**15 - 1)) for value in np.unique(inputs[0]).tolist()}
        return clamped(np.vectorize(found.__getitem__, otypes=[np.int64])(inputs[0]), "int16")

    def call(self) -> Call:
        """One call for the whole layer."""
        fields = {"count": self.count, "multiplier": self.rescale[0], "shift": self.rescale[1]}
        return Call("nn_rsqrt_s16", "nn_rsqrt_s16_t", fields)


def _answer(value: int, rescale: tuple[int, int], ends: tuple[int, int]) -> int:
    if value <= 0:
        return ends[1] if value == 0 else ends[0]
    root, shift = inverse_sqrt(value)
    return int(requantize(requantize(1, root, shift + SHIFT), *rescale))


@op("RSQRT")
@dataclass(frozen=True)
class Rsqrt(Unary):
    """By TFLite's fixed point; x = 0 gives the largest output. Below zero TFLite stops, this gives the smallest."""

    tflite_differs = "it has none of 16 bits"
    tflite_same = "int8"

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Rsqrt | Rsqrt16:
        """The root of the input's scale is taken in double (TFLite Micro SetRsqrtOutputMultiplier)."""
        x, y = graph.input(node), graph.output(node)
        need_ints(node, graph, x, y)
        multiplier, shift = quantize_multiplier(1.0 / (math.sqrt(x.scale) * y.scale))
        rescale = (multiplier, shift - SHIFT)
        if x.dtype == "int16":
            return Rsqrt16(x.count, rescale)
        ends = (-128 - y.zero_point, 127 - y.zero_point)
        answers = [_answer(int(value), rescale, ends) + y.zero_point for value in ALL_INT8 - x.zero_point]
        return cls(x.count, clamp8(np.array(answers, np.int64)))

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """All 256 values, none of them below zero; of 16 bits behind an ABS."""
        for scale in (0.001, 0.01, 0.1):
            x = cases.activation(rng, (1, 256), "input", scale, -128)
            y = cases.activation(rng, (1, 256), "output", 1 / math.sqrt(scale) / 200, -128)
            yield cases.one_node("RSQRT", [x], y)
        for scale in (0.00001, 0.002):
            x, above, y = (cases.typed(rng, (1, 200), name, "int16") for name in ("input", "above", "output"))
            graph_scales = (scale, scale, 1 / math.sqrt(scale) / 5000)
            tensors = [cases.scaled(each, size) for each, size in zip((x, above, y), graph_scales, strict=True)]
            yield cases.two_nodes("ABS", "RSQRT", tensors, ((0,), (1,)), None)
