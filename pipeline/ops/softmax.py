"""SOFTMAX: Keras Softmax and softmax activations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
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
    wrap32,
)
from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, clamp8, need_int8, op
from pipeline.problem import Problem

INTEGER_BITS = 5  # differences are Q5.26
SUM_BITS = 12  # the sum of exps is Q12.19


@dataclass(frozen=True)
class Exps:
    """The exps of rows of `depth` values, relative to the largest of their row: the fields of nn_exps_t."""

    rows: int
    depth: int
    multiplier: int
    shift: int
    diff_min: int

    def run(self, x: Int8s) -> tuple[Ints, Ints, Ints]:
        """Differences [rows, depth], the same in Q5.26, and the sums of their exps [rows] in Q12.19."""
        rows = x.reshape(self.rows, self.depth).astype(np.int64)
        diffs = rows - rows.max(axis=1, keepdims=True)
        q5 = doubling_high_mul(wrap32(diffs << self.shift), self.multiplier)
        counted = np.where(diffs >= self.diff_min, divide_by_power(exp_on_negative(q5, INTEGER_BITS), SUM_BITS), 0)
        return diffs, q5, counted.sum(axis=1)

    def fields(self) -> Mapping[str, int]:
        """The struct's fields, in the kernel's order."""
        return {"rows": self.rows, "depth": self.depth, "multiplier": self.multiplier, "shift": self.shift,
                "diff_min": max(self.diff_min, -(2**15))}  # fmt: skip


def exps_of(node: Node, graph: Graph, x: Tensor, beta: float) -> Exps:
    """The exps of beta * x along the last axis (TFLite PreprocessSoftmaxScaling)."""
    real = min(beta * x.scale * 2.0 ** (31 - INTEGER_BITS), 2**31 - 1.0)
    multiplier, shift = quantize_multiplier(real)
    if shift < 0:
        raise Problem(graph.label(node), f"its input scale {x.scale:g} is too small for the fixed-point exp")
    depth = x.shape[-1]
    return Exps(x.count // depth, depth, multiplier, shift, -input_radius(INTEGER_BITS, shift))


@op("SOFTMAX")
@dataclass(frozen=True)
class Softmax:
    """Along the last axis; the output's scale is 1/256 and its zero point -128."""

    exps: Exps
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
        return cls(exps_of(node, graph, x, float(np.float32(node.options["beta"]))))

    def run(self, *inputs: Int8s) -> Int8s:
        """exp(x - max) / sum, row by row."""
        diffs, q5, sums = self.exps.run(inputs[0])
        exps = exp_on_negative(q5, INTEGER_BITS)
        shares = np.stack([self._shares(row, int(total)) for row, total in zip(exps, sums, strict=True)])
        return clamp8(np.where(diffs >= self.exps.diff_min, shares - 128, -128)).reshape(inputs[0].shape)

    def _shares(self, exps: Ints, total: int) -> Ints:
        scale, bits = reciprocal(total, SUM_BITS)
        return divide_by_power(doubling_high_mul(scale, exps), bits + 31 - 8)

    def call(self) -> Call:
        """One call for the whole layer."""
        return Call("nn_softmax_s8", "nn_softmax_t", self.exps.fields())

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """One and several rows, small and large scales (from all alike to one winner), beta; many shares of two."""
        for i, scale in enumerate((0.001, 0.02, 0.1, 0.3, 1.0, 0.05)):
            shape = (1, int(rng.integers(1, 12))) if i % 2 else (1, int(rng.integers(1, 5)), int(rng.integers(2, 40)))
            x = cases.activation(rng, shape, "input", scale * math.sqrt(float(rng.uniform(0.5, 2))))
            y = cases.activation(rng, shape, "output", 1 / 256, -128)
            yield cases.one_node("SOFTMAX", [x], y, "SoftmaxOptions", beta=1.0 if i < 5 else 0.5)
        x, y = (
            cases.activation(rng, (1, 60, 2), "input", 0.03),
            cases.activation(rng, (1, 60, 2), "output", 1 / 256, -128),
        )
        yield cases.one_node("SOFTMAX", [x], y, "SoftmaxOptions", beta=1.0)
