"""QUANTIZE inside a model: integers to those of another scale, zero point or width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.fixedpoint import quantize_multiplier, requantize
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import ALL_INT8, Call, Unary, op
from pipeline.problem import Problem

KINDS = {("int8", "int8"), ("int8", "int16"), ("int8", "int32"), ("int16", "int8"), ("int16", "int16"),
         ("int16", "int32"), ("int32", "int8"), ("int32", "int16")}  # fmt: skip


@dataclass(frozen=True)
class Rescale:
    """To another width, or between values of 16 bits."""

    kind: tuple[str, str]
    count: int
    zero_points: tuple[int, int]
    multiplier: int
    shift: int
    macs = 0

    def run(self, *inputs: NDArray[Any]) -> NDArray[Any]:
        """Rescale and clamp."""
        limits, (before, after) = np.iinfo(self.kind[1]), self.zero_points
        rescaled = requantize(inputs[0].astype(np.int64) - before, self.multiplier, self.shift) + after
        return np.clip(rescaled, limits.min, limits.max).astype(self.kind[1])

    def call(self) -> Call:
        """One call for the whole layer."""
        widths = [np.dtype(kind).itemsize for kind in self.kind]
        return Call("nn_rescale", "nn_rescale_t", {
            "count": self.count, "from": widths[0], "to": widths[1], "zero_point": self.zero_points[0],
            "output_offset": self.zero_points[1], "multiplier": self.multiplier, "shift": self.shift,
        })  # fmt: skip

    @property
    def in_place(self) -> tuple[int, ...]:
        """Values of one width."""
        return (0,) if self.kind[0] == self.kind[1] else ()


@op("QUANTIZE")
@dataclass(frozen=True)
class Quantize(Unary):
    """A rescale; the float QUANTIZE and DEQUANTIZE at a model's edges are taken off by the importer."""

    tflite_differs = "it does not widen int8"

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Quantize | Rescale:
        """The ratio of scales is taken in double (TFLite PrepareQuantize); 256 values are a table."""
        x, y = graph.input(node), graph.output(node)
        if (x.dtype, y.dtype) not in KINDS or x.quant is None or y.quant is None:
            raise Problem(graph.label(node), f"makes {y.dtype} of {x.dtype}", "it rescales quantized integers")
        ratio = quantize_multiplier(x.scale / y.scale)
        made = Rescale((x.dtype, y.dtype), x.count, (x.zero_point, y.zero_point), *ratio)
        return made if made.kind != ("int8", "int8") else cls(x.count, made.run(ALL_INT8))

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """All 256 values, finer and coarser; every pair of widths."""
        for factor in (0.3, 0.9, 1.0, 2.7):
            x = cases.activation(rng, (1, 256), "input")
            yield cases.one_node(
                "QUANTIZE", [x], cases.activation(rng, (1, 256), "output", x.scale * factor), "QuantizeOptions"
            )
        for source, target in sorted(KINDS - {("int8", "int8")}):
            ratio = 2.0 ** (8 * (np.dtype(target).itemsize - np.dtype(source).itemsize))
            if "int32" in (source, target):
                ratio = ratio**0.7
            x = cases.activation(rng, (1, 200), "input", None, 3 if source == "int8" else 0)
            y = cases.activation(rng, (1, 200), "output", x.scale / ratio, -9 if target == "int8" else 0)
            kinds = [replace(tensor, dtype=dtype) for tensor, dtype in ((x, source), (y, target))]
            yield cases.one_node("QUANTIZE", kinds[:1], kinds[1], "QuantizeOptions")
