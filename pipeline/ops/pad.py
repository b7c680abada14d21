"""PAD and PADV2: Keras ZeroPadding1D and 2D."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases
from pipeline.ops.base import Int8s, Part, need_alike, need_constant, op
from pipeline.ops.keep import Keep
from pipeline.ops.moves import constant_ints, fill, move, need_shape, strides


@op("PAD", "PADV2")
@dataclass(frozen=True)
class Pad:
    """The output is filled with one value, then the input is put into its place."""

    paddings: tuple[tuple[int, int], ...]
    value: int
    parts: tuple[Part, ...] = field(compare=False)
    types: ClassVar = {"PAD": ("int16",), "PADV2": ("int16", "int32")}
    macs = 0
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Pad | Keep:
        """PAD fills with the zero point, PADV2 with a constant of the same quantization; streaming keeps rows there."""
        x, y = graph.input(node), graph.output(node)
        need_alike(node, graph, x, y)
        flat = constant_ints(node, graph, 1, "paddings")
        paddings = tuple(zip(flat[::2], flat[1::2], strict=True))
        if node.options.get("keep"):
            return Keep.from_pad(node, graph, paddings)
        need_shape(node, graph, (size + sum(pair) for size, pair in zip(x.shape, paddings, strict=True)))
        value = y.zero_point if y.quant else 0
        if node.op == "PADV2":
            filler = need_constant(node, graph, 2, "values")
            need_alike(node, graph, filler, y)
            value = constant_ints(node, graph, 2, "values")[0]
        steps = strides(y.shape)
        place = sum(before * step for (before, _), step in zip(paddings, steps, strict=True))
        put = move(node, graph, x.shape, (strides(x.shape), 0), (steps, place))
        return cls(paddings, value, (Part(fill(y, value), ()), Part(put, (0,))))

    def run(self, *inputs: Int8s) -> Int8s:
        """The input with a border."""
        return np.pad(inputs[0], self.paddings, constant_values=self.value)

    def call(self) -> tuple[Part, ...]:
        """Fill and move."""
        return self.parts

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Borders on one and on two axes, none, and another value than zero."""
        for i, (shape, border) in enumerate([((1, 6, 3), ((0, 0), (2, 1), (0, 0))),
                                             ((1, 3, 4, 2), ((0, 0), (1, 1), (2, 0), (0, 0))),
                                             ((1, 3, 4, 2), ((0, 0), (0, 0), (0, 0), (0, 3))),
                                             ((1, 5, 2), ((0, 0), (3, 0), (1, 1)))]):  # fmt: skip
            x = cases.activation(rng, shape, "input")
            padded = [size + sum(pair) for size, pair in zip(shape, border, strict=True)]
            y = cases.activation(rng, padded, "output", x.scale, x.zero_point)
            paddings = cases.constant("paddings", border)
            if i % 2 == 0:
                yield cases.one_node("PAD", [x, paddings], y, "PadOptions")
            else:
                value = Tensor("value", (1,), "int8", x.quant, np.array([math.floor(rng.integers(-128, 128))], np.int8))
                yield cases.one_node("PADV2", [x, paddings, value], y, "PadV2Options")
