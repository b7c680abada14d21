"""HARD_SWISH: x * relu6(x + 3) / 6."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.fixedpoint import Ints, divide_by_power, quantize_multiplier
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import ALL_INT8, Unary, clamp8, need_int8, op
from pipeline.problem import Problem

Number = np.float32


@op("HARD_SWISH")
@dataclass(frozen=True)
class HardSwish(Unary):
    """By TFLite's 16-bit fixed point (reference_ops HardSwish)."""

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> HardSwish:
        """Refuses an output so fine that the rescale would shift left, as TFLite Micro does."""
        x, y = graph.input(node), graph.output(node)
        need_int8(node, graph, x, y)
        fine = Number(1 / 128) * Number(x.scale)
        to_output, output_shift = _multiplier16(float(fine / Number(y.scale)))
        to_gate, gate_shift = _multiplier16(float(fine / (Number(3) / Number(32768))))
        if output_shift > 0:
            raise Problem(graph.label(node), f"its output scale {y.scale:g} is too small beside {x.scale:g}",
                          "train with quantized ranges in mind")  # fmt: skip
        value = (ALL_INT8 - x.zero_point) << 7
        gate = value if gate_shift <= 0 else _saturate16(value << (gate_shift - 1))
        gate = _high_mul16(gate, to_gate)
        gate = _saturate16(gate << 1) if gate_shift > 0 else _divide16(gate, -gate_shift)
        product = ((gate + (1 << 15)) >> 1) * _high_mul16(value, to_output)
        truncated = np.where(product >= 0, product >> 15, -((-product) >> 15))
        return cls(x.count, clamp8(_divide16(truncated, -output_shift) + y.zero_point))

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """All 256 values; gates that shift left and right."""
        for scale in (0.004, 0.02, 0.05, 0.2):
            x = cases.activation(rng, (1, 256), "input", scale)
            yield cases.one_node("HARD_SWISH", [x], cases.activation(rng, (1, 256), "output", scale * 0.9))


def _multiplier16(real: float) -> tuple[int, int]:
    """A multiplier in Q0.15 and its shift (TFLite DownScaleInt32ToInt16Multiplier)."""
    multiplier, shift = quantize_multiplier(real)
    return 32767 if multiplier >= 2**31 - 2**15 else (multiplier + (1 << 15)) >> 16, shift


def _saturate16(x: Ints) -> Ints:
    return np.clip(x, -(2**15), 2**15 - 1)


def _high_mul16(a: Ints, b: int) -> Ints:
    """round(a * b / 2^15), half away from zero as gemmlowp's 16-bit doubling high multiplication."""
    product = a * b
    nudged = product + np.where(product >= 0, 1 << 14, 1 - (1 << 14))
    return _saturate16(np.where(nudged >= 0, nudged >> 15, -((-nudged) >> 15)))


def _divide16(x: Ints, exponent: int) -> Ints:
    """round(x / 2^exponent) of 16 bits; from 2^16 on gemmlowp's mask is all ones, which leaves 1 or -1."""
    return divide_by_power(x, exponent) if exponent < 16 else np.where(x < 0, -1, 1)
