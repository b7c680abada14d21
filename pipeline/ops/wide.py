"""ADD, SUB and MUL of 16 bits with scales, and of 32 bits as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.fixedpoint import quantize_multiplier, requantize, wrap32
from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases
from pipeline.ops.base import Call, Field, activation_range, need_alike
from pipeline.ops.broadcast import CONSTANT, Broadcast, Finer, finer, typed_broadcast
from pipeline.problem import Problem

LEFT_SHIFT = 15
KINDS = ("ADD", "SUB", "MUL")


@dataclass(frozen=True)
class Wide:
    """An operator of KINDS: 16 bits with `finer` scales (not MUL) and a rescale of the result; 32 bits without."""

    kind: str
    broadcast: Broadcast
    dtype: str
    finer: tuple[Finer, Finer] | None
    rescale: tuple[int, int] | None
    range: tuple[int, int]
    macs = 0

    def run(self, *inputs: NDArray[Any]) -> NDArray[Any]:
        """Sum, difference or product; 32 bits wrap."""
        a, b = (x.astype(np.int64) for x in inputs)
        if self.finer:
            a, b = (each.scaled(x, LEFT_SHIFT) for each, x in zip(self.finer, inputs, strict=True))
        made = a + b if self.kind == "ADD" else a - b if self.kind == "SUB" else a * b
        made = wrap32(made) if self.rescale is None else requantize(made, *self.rescale)
        return np.clip(made, *self.range).astype(self.dtype)

    def call(self) -> Call:
        """One call for the whole layer."""
        fields: dict[str, Field] = {"broadcast": self.broadcast.fields()}
        if self.rescale is None:
            return Call("nn_arithmetic_s32", "nn_arithmetic_t", {**fields, "kind": KINDS.index(self.kind)})
        fields |= {"multiplier": self.rescale[0], "shift": self.rescale[1], "min": self.range[0], "max": self.range[1]}
        if self.finer is None:
            return Call("nn_mul_s16", "nn_mul_s16_t", fields)
        a, b = (each.fields() for each in self.finer)
        sign = -1 if self.kind == "SUB" else 1
        return Call("nn_add_s16", "nn_add_s16_t", {**fields, "a": a, "b": b, "sign": sign})

    @property
    def in_place(self) -> tuple[int, ...]:
        """See Broadcast."""
        return self.broadcast.in_place


def wide(node: Node, graph: Graph) -> Wide:
    """The ratios of scales are taken in double; 16 bits are around zero and 32 bits have no scale, as in TFLite."""
    broadcast, a, b, y = typed_broadcast(node, graph)
    need_alike(node, graph, a, y, any_scale=True)
    quants = [tensor.quant for tensor in (a, b, y)]
    if y.dtype == "int32" and not any(quants) and not node.options.get("fused_activation_function"):
        return Wide(node.op, broadcast, "int32", None, None, (-(2**31), 2**31 - 1))
    if y.dtype != "int16" or not all(quant and quant.zero_point == (0,) for quant in quants):
        what = "computes with int32 of a scale or with a fused activation"
        what = what if y.dtype == "int32" else f"computes with {y.dtype} that is not around zero"
        raise Problem(graph.label(node), what, "convert with full integer quantization: python -m pipeline.quantize")
    limits = activation_range(node, graph, y)
    if node.op == "MUL":
        return Wide("MUL", broadcast, "int16", None, quantize_multiplier(a.scale * b.scale / y.scale), limits)
    twice = 2 * max(a.scale, b.scale)
    rescale = quantize_multiplier(twice / ((1 << LEFT_SHIFT) * y.scale))
    if rescale[1] > 0:
        raise Problem(graph.label(node), f"its output scale {y.scale:g} is too small beside its inputs'",
                      "calibrate with data in which its output varies")  # fmt: skip
    return Wide(node.op, broadcast, "int16", (finer(a, a.scale / twice), finer(b, b.scale / twice)), rescale, limits)


def wide_cases(rng: np.random.Generator, op: str) -> Iterator[Graph]:
    """Both types, without and with broadcasts."""
    table = f"{op.capitalize()}Options"
    for dtype, shapes in (
        ("int16", CONSTANT[4]),
        ("int16", CONSTANT[2]),
        ("int32", CONSTANT[4]),
        ("int32", CONSTANT[0]),
    ):
        a, b = (cases.typed(rng, shape, name, dtype) for name, shape in zip("ab", shapes, strict=True))
        y = cases.typed(rng, np.broadcast_shapes(*shapes), "output", dtype)
        if dtype == "int16":
            scale = a.scale * b.scale * 30000 if op == "MUL" else a.scale + b.scale
            quant = cases.activation(rng, (), "", scale * float(rng.uniform(0.3, 1.2)), 0).quant
            y = Tensor("output", y.shape, dtype, quant)
        activation = int(rng.choice([0, 1, 3])) if dtype == "int16" else 0
        yield cases.one_node(op, [a, b], y, table, fused_activation_function=activation)
