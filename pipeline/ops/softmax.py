"""SOFTMAX: Keras Softmax and softmax activations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.fixedpoint import (
    Ints,
    divide_by_power,
    doubling_high_mul,
    exp_on_negative,
    input_radius,
    quantize_multiplier,
    reciprocal,
    requantize,
    wrap32,
)
from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, clamp8, need_int8, need_ints, op
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


STEPS = 512  # between the nodes of a table of 16-bit values


def table16(first: float, last: float, function: Callable[[NDArray[np.float64]], NDArray[np.float64]]
            ) -> NDArray[np.int16]:  # fmt: skip
    """A function's values in Q0.15 at STEPS + 1 nodes, in float32 (TFLite LUTPopulate).

    Each but the last is lowered by half of what the straight line to the next one misses the curve by in its middle.
    """
    ends = np.array([first, last], np.float32)
    step, one = (ends[1] - ends[0]) / np.float32(STEPS), np.float32(2**15)

    def at(places: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(function(places.astype(np.float64)).astype(np.float32) * one)

    nodes = ends[0] + np.arange(STEPS + 1, dtype=np.float32) * step
    nodes[-1] = ends[1]
    middles = at(nodes[:-1] + step / np.float32(2))
    values, rounded = at(nodes), _rounded(at(nodes))
    missed = _rounded((values[1:] + rounded[:-1]) / np.float32(2)) - _rounded(middles)
    rounded[:-1] -= _rounded(missed / np.float32(2))
    return rounded.clip(-(2**15), 2**15 - 1).astype(np.int16)


def _rounded(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Halves away from zero."""
    return np.asarray(np.sign(x) * np.floor(np.abs(x) + np.float32(0.5)), np.float32)


def _between(table: NDArray[np.int16], x: Ints) -> Ints:
    """The table at x, which is brought to 16 bits, on straight lines between its nodes."""
    x = np.clip(x, -(2**15), 2**15 - 1)
    low, high = (table.astype(np.int64)[STEPS // 2 + (x >> 7) + i] for i in (0, 1))
    return np.asarray(low + (((high - low) * (x & 127) + 64) >> 7), np.int64)


@dataclass(frozen=True)
class Softmax16:
    """Of 16-bit values, by two tables; the output's scale is 2^-15 and its zero point 0."""

    rows: int
    depth: int
    multiplier: int
    shift: int
    macs = 0
    in_place = (0,)
    exps: ClassVar = table16(-10.0, 0.0, np.exp)
    reciprocal: ClassVar = table16(0.0, 1.0, lambda x: 1 / (1 + x))

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Softmax16:
        """Differences from the row's largest value become 65535 steps between -10 and 0."""
        x, y = graph.input(node), graph.output(node)
        need_ints(node, graph, x, y)
        if y.scale != 2.0**-15:
            raise Problem(graph.label(node), f"its output has scale {y.scale:g}", "16-bit ones must have 2^-15")
        rescale = quantize_multiplier(x.scale * float(np.float32(node.options["beta"])) / (10.0 / 65535.0))
        if rescale[1] > 14:
            raise Problem(graph.label(node), f"its input scale {x.scale:g} is too large", "16-bit ones take up to 2")
        return cls(x.count // x.shape[-1], x.shape[-1], *rescale)

    def run(self, *inputs: NDArray[Any]) -> NDArray[Any]:
        """exp(x - max) / sum, row by row."""
        x = inputs[0].reshape(self.rows, self.depth).astype(np.int64)
        diffs = requantize(x - x.max(axis=1, keepdims=True), self.multiplier, self.shift)
        exps = _between(self.exps, diffs + 2**15 - 1)
        sums = exps.sum(axis=1, keepdims=True)
        bits = np.frexp(sums.astype(np.float64))[1].astype(np.int64) - 1
        fraction = ((sums << (30 - bits)) + (1 << 13)) >> 14
        shares = (exps * _between(self.reciprocal, fraction - (3 << 15)) + (1 << (bits - 1))) >> bits
        return np.asarray(shares.clip(0, 2**15 - 1).astype(np.int16).reshape(inputs[0].shape))

    def call(self) -> Call:
        """One call for the whole layer."""
        return Call("nn_softmax_s16", "nn_softmax_s16_t", {
            "rows": self.rows, "depth": self.depth, "multiplier": self.multiplier, "shift": self.shift,
            "exps": self.exps, "reciprocal": self.reciprocal,
        })  # fmt: skip


@op("SOFTMAX")
@dataclass(frozen=True)
class Softmax:
    """Along the last axis; the output's scale is 1/256 and its zero point -128."""

    exps: Exps
    macs = 0
    in_place = (0,)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Softmax | Softmax16:
        """Refuses any other output quantization, as TFLite Micro does."""
        x, y = graph.input(node), graph.output(node)
        if x.dtype == "int16":
            return Softmax16.from_node(node, graph)
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
        """Both widths of values; of 16 bits on finer scales and with another output."""
        made = list(cls._int8_cases(rng))
        yield from made
        for graph in (cases.of_16_bits(graph) for graph in made):
            x, y = graph.tensors
            x, y = cases.scaled(x, x.scale * 6), cases.scaled(y, 2.0**-15)
            yield replace(graph, tensors=(x, y))

    @classmethod
    def _int8_cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
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
