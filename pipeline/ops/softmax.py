"""SOFTMAX: Keras Softmax and softmax activations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.fixedpoint import (
    Ints,
    divide_by_power,
    doubling_high_mul,
    exp_on_negative,
    input_radius,
    quantize_multiplier,
    reciprocal,
)
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, clamp8, need_int8, op
from pipeline.problem import Problem

INTEGER_BITS = 5  # differences are Q5.26
SUM_BITS = 12  # the sum of exps is Q12.19


@op("SOFTMAX")
@dataclass(frozen=True)
class Softmax:
    """Along the last axis; the output's scale is 1/256 and its zero point -128."""

    rows: int
    depth: int
    multiplier: int
    shift: int
    diff_min: int
    macs = 0
    in_place = (0,)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Softmax:
        """Refuses any other output quantization, as TFLite Micro does."""
        x, y = graph.input(node), graph.output(node)
        need_int8(node, graph, x, y)
        if (y.scale, y.zero_point) != (1 / 256, -128):
            raise Problem(graph.label(node), f"its output has scale {y.scale:g} and zero point {y.zero_point}",
                          "softmax must have 1/256 and -128")  # fmt: skip
        real = min(float(np.float32(node.options["beta"])) * x.scale * 2.0 ** (31 - INTEGER_BITS), 2**31 - 1.0)
        multiplier, shift = quantize_multiplier(real)
        if shift < 0:
            raise Problem(graph.label(node), f"its input scale {x.scale:g} is too small for the fixed-point exp")
        depth = x.shape[-1]
        return cls(x.count // depth, depth, multiplier, shift, -input_radius(INTEGER_BITS, shift))

    def run(self, *inputs: Int8s) -> Int8s:
        """exp(x - max) / sum, row by row."""
        rows = inputs[0].reshape(self.rows, self.depth).astype(np.int64)
        diffs = rows - rows.max(axis=1, keepdims=True)
        exps = exp_on_negative(doubling_high_mul(diffs << self.shift, self.multiplier), INTEGER_BITS)
        counted = diffs >= self.diff_min
        sums = np.where(counted, divide_by_power(exps, SUM_BITS), 0).sum(axis=1)
        shares = np.stack([self._shares(row, int(total)) for row, total in zip(exps, sums, strict=True)])
        return clamp8(np.where(counted, shares - 128, -128)).reshape(inputs[0].shape)

    def _shares(self, exps: Ints, total: int) -> Ints:
        scale, bits = reciprocal(total, SUM_BITS)
        return divide_by_power(doubling_high_mul(scale, exps), bits + 31 - 8)

    def call(self) -> Call:
        """One call for the whole layer."""
        return Call("nn_softmax_s8", "nn_softmax_t", {
            "rows": self.rows, "depth": self.depth, "multiplier": self.multiplier, "shift": self.shift,
            "diff_min": max(self.diff_min, -(2**15)),
        })  # fmt: skip

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """One and several rows, small and large scales (from all alike to one winner), beta."""
        for i, scale in enumerate((0.001, 0.02, 0.1, 0.3, 1.0, 0.05)):
            shape = (1, int(rng.integers(1, 12))) if i % 2 else (1, int(rng.integers(1, 5)), int(rng.integers(2, 40)))
            x = cases.activation(rng, shape, "input", scale * math.sqrt(float(rng.uniform(0.5, 2))))
            y = cases.activation(rng, shape, "output", 1 / 256, -128)
            yield cases.one_node("SOFTMAX", [x], y, "SoftmaxOptions", beta=1.0 if i < 5 else 0.5)
