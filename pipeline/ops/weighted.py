"""Sums of products with constant weights, a bias and a rescale: what convolutions and dense layers have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.fixedpoint import quantize_multiplier, reduced, requantize, requantize_wide, wrap32
from pipeline.graph import Graph, Node, Tensor, scales
from pipeline.ops.base import Int8s, activation_range, clamp8, need_constant, need_ints, need_one_batch
from pipeline.ops.cases import NARROWING
from pipeline.problem import Problem

ROWS = 4  # NN_ROWS of firmware/kernels/nn_block.h: rows of weights that lie side by side


@dataclass(frozen=True)
class Weighted:
    """Constants of a layer: arrays are per output channel, but dense layers may have one multiplier and shift."""

    weights: Int8s = field(compare=False)
    bias: NDArray[Any] = field(compare=False)  # int32, of 16-bit layers int64
    multiplier: NDArray[np.int32] = field(compare=False)
    shift: NDArray[np.int8] = field(compare=False)
    input_offset: int
    output_offset: int
    range: tuple[int, int]

    def finish(self, sums: NDArray[np.int64]) -> NDArray[Any]:
        """Bias, rescale, offset and clamp of sums [..., channels]."""
        scaled = requantize(sums + self.bias, self.multiplier, self.shift) + self.output_offset
        return clamp8(scaled, *self.range)

    def fields(self) -> Mapping[str, Any]:
        """The struct's fields, in the kernels' order."""
        return {"input_offset": self.input_offset, "output_offset": self.output_offset, "min": self.range[0],
                "max": self.range[1], "weights": self.weights, "bias": self.bias, "multiplier": self.multiplier,
                "shift": self.shift}  # fmt: skip

    def blocks(self) -> Mapping[str, Any]:
        """The same for kernels that read nn_block.h's weights: uint8 [rows / ROWS, count, ROWS], 128 more than they
        are, and take unsigned values; the rows are filled up with zeros."""
        rows = self.weights.reshape(len(self.bias), -1)
        wide = np.zeros((-(-len(rows) // ROWS) * ROWS, rows.shape[1]), np.int8)
        wide[: len(rows)] = rows
        weights = np.moveaxis(wide.reshape(-1, ROWS, rows.shape[1]), 1, 2).view(np.uint8) ^ 0x80
        return {**self.fields(), "weights": np.ascontiguousarray(weights), "bias": self.unsigned_bias(0)}

    def unsigned_bias(self, axis: int) -> NDArray[np.int32]:
        """The bias for kernels that take x + 128 for x: plus (input_offset - 128) * the sum of the channel's weights,
        int32 as the kernels' sums wrap; `axis` is that of the channels."""
        channels = np.moveaxis(self.weights, axis, 0).reshape(len(self.bias), -1)
        sums = channels.sum(axis=1, dtype=np.int64)
        return wrap32(self.bias.astype(np.int64) + (self.input_offset - 128) * sums).astype(np.int32)


@dataclass(frozen=True)
class Weighted16(Weighted):
    """Those of a layer of 16-bit values, which are around zero, and 8-bit weights.

    Sums have 64 bits and their rescale a multiplier of 16; narrow ones, beside biases of 32 bits, have 32 and are
    rescaled as in layers of 8 bits.
    """

    narrow: bool

    def finish(self, sums: NDArray[np.int64]) -> NDArray[Any]:
        """Bias, rescale and clamp of sums [..., channels]."""
        rescale = requantize if self.narrow else requantize_wide
        made = wrap32(sums + self.bias) if self.narrow else sums + self.bias
        return rescale(made, self.multiplier, self.shift).clip(*self.range).astype(np.int16)

    def fields(self) -> Mapping[str, Any]:
        """The struct's fields, in the kernels' order."""
        return {"narrow": int(self.narrow), "min": self.range[0], "max": self.range[1], "weights": self.weights,
                "bias": self.bias, "multiplier": self.multiplier, "shift": self.shift}  # fmt: skip


def weighted(node: Node, graph: Graph, channels: int, slots: tuple[int, int] = (0, 2)) -> Weighted:
    """Input and optional bias in `slots`, weights in slot 1, checked, with the multipliers of the rescale."""
    x, y = graph.input(node, slots[0]), graph.output(node)
    need_ints(node, graph, x, y)
    if node.op != "FULLY_CONNECTED":
        need_one_batch(node, graph, x)
    w = symmetric(node, graph, 1)
    reals = [x.scale * float(scale) / y.scale for scale in scales(w)]
    if len(reals) not in (1, channels):
        what = f"has {len(reals)} weight scales for {channels} channels"
        raise Problem(graph.label(node), what, "the file is damaged: convert it again")
    pairs = [quantize_multiplier(real) for real in reals]
    if node.op != "FULLY_CONNECTED":
        pairs = pairs * (channels // len(pairs))  # one scale for all: the kernel reads one per channel
    assert w.data is not None
    made = Weighted(
        weights=w.data,
        bias=biases(node, graph, slots[1], channels, x.dtype),
        multiplier=np.array([multiplier for multiplier, _ in pairs], np.int32),
        shift=np.array([shift for _, shift in pairs], np.int8),
        input_offset=-x.zero_point,
        output_offset=y.zero_point,
        range=activation_range(node, graph, y),
    )
    return made if x.dtype == "int8" else _of_16_bits(node, graph, made, graph.tensor(node, slots[1]))


INT32 = 2  # of the schema's TensorType


def _of_16_bits(node: Node, graph: Graph, made: Weighted, bias: Tensor | None) -> Weighted16:
    """Without a bias the option quantized_bias_type says what it would have been (TFLite Micro ConvEval)."""
    narrow = node.options.get("quantized_bias_type") == INT32 if bias is None else bias.dtype == "int32"
    narrow = narrow and node.op in NARROWING
    need_shift(node, graph, int(made.shift.max()), 30 if narrow else 7)
    multipliers = made.multiplier if narrow else np.array([reduced(m) for m in made.multiplier.tolist()], np.int32)
    known = {**vars(made), "bias": made.bias.astype(np.int64), "multiplier": multipliers}
    return Weighted16(**known, narrow=narrow)


def need_shift(node: Node, graph: Graph, shift: int, most: int = 7) -> None:
    """The rescale of a 16-bit layer's sums leaves them in 32 bits."""
    if shift > most:
        raise Problem(graph.label(node), f"its sums are rescaled by 2^{shift}, at most 2^{most} is possible",
                      "calibrate with data in which its output varies")  # fmt: skip


def symmetric(node: Node, graph: Graph, slot: int) -> Tensor:
    """Constant int8 weights with zero point 0."""
    w = need_constant(node, graph, slot, "weights")
    if w.dtype != "int8" or w.quant is None or any(w.quant.zero_point):
        raise Problem(graph.label(node), f"its weights are not symmetric int8 but {w.dtype}",
                      "convert with full integer quantization: python -m pipeline.quantize")  # fmt: skip
    return w


def biases(node: Node, graph: Graph, slot: int, channels: int, dtype: str = "int8") -> NDArray[Any]:
    """Constant int32 [channels], beside values of 16 bits also int64; zeros where there are none."""
    if graph.tensor(node, slot) is None:
        return np.zeros(channels, np.int32)
    bias = need_constant(node, graph, slot, "biases")
    known = ("int32",) if dtype == "int8" else ("int64", "int32")[: 1 + (node.op in NARROWING)]
    if bias.dtype not in known or bias.data is None:
        raise Problem(graph.label(node), f"its biases are {bias.dtype}, not {' or '.join(known)}")
    if bias.count != channels:
        raise Problem(graph.label(node), f"has {bias.count} biases for {channels} channels", "the file is damaged")
    return bias.data.reshape(channels)
