"""ADD: Keras Add, and the residual connections of a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.fixedpoint import Ints, quantize_multiplier, requantize
from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, activation_range, clamp8, need_int8, op
from pipeline.problem import Problem

LEFT_SHIFT = 20  # NN_ADD_LEFT_SHIFT


@dataclass(frozen=True)
class Operand:
    """One input: its shape, and the rescale that brings it to the common finer scale."""

    shape: tuple[int, ...]
    offset: int
    multiplier: int
    shift: int

    def scaled(self, x: Int8s) -> Ints:
        """x on the common scale."""
        return requantize((x.astype(np.int64) + self.offset) << LEFT_SHIFT, self.multiplier, self.shift)

    def steps(self, output: tuple[int, ...]) -> tuple[int, ...]:
        """Element strides along the output's four axes, 0 where this input is broadcast."""
        shape = _four(self.shape)
        strides = [int(np.prod(shape[axis + 1 :])) for axis in range(4)]
        return tuple(0 if shape[axis] == 1 and output[axis] != 1 else strides[axis] for axis in range(4))


def _four(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1,) * (4 - len(shape)) + shape


@op("ADD")
@dataclass(frozen=True)
class Add:
    """Two activations of up to four axes, with broadcasting."""

    a: Operand
    b: Operand
    shape: tuple[int, ...]
    output_offset: int
    multiplier: int
    shift: int
    range: tuple[int, int]
    macs = 0
    slots = (0, 1)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Add:
        """TFLite's scales: both inputs go to twice the larger input scale / 2^20."""
        a, b, y = graph.input(node, 0), graph.input(node, 1), graph.output(node)
        need_int8(node, graph, a, b, y)
        if len(y.shape) > 4:
            raise Problem(graph.label(node), f"adds tensors of {len(y.shape)} axes", "reshape them to at most 4")
        twice = 2 * max(a.scale, b.scale)
        multiplier, shift = quantize_multiplier(twice / ((1 << LEFT_SHIFT) * y.scale))
        first, second = (Operand(x.shape, -x.zero_point, *quantize_multiplier(x.scale / twice)) for x in (a, b))
        limits = activation_range(node, graph, y)
        return cls(first, second, y.shape, y.zero_point, multiplier, shift, limits)

    def run(self, *inputs: Int8s) -> Int8s:
        """Sum, rescale, clamp."""
        sums = self.a.scaled(inputs[0]) + self.b.scaled(inputs[1])
        return clamp8(requantize(sums, self.multiplier, self.shift) + self.output_offset, *self.range)

    def call(self) -> Call:
        """One call for the whole layer."""
        shape = _four(self.shape)
        return Call("nn_add_s8", "nn_add_t", {
            "shape": shape, "a": self._operand(self.a), "b": self._operand(self.b), "output_offset": self.output_offset,
            "multiplier": self.multiplier, "shift": self.shift, "min": self.range[0], "max": self.range[1],
        })  # fmt: skip

    def _operand(self, operand: Operand) -> Mapping[str, Any]:
        return {"step": operand.steps(_four(self.shape)), "offset": operand.offset, "multiplier": operand.multiplier,
                "shift": operand.shift}  # fmt: skip

    @property
    def in_place(self) -> tuple[int, ...]:
        """An input of the output's own shape may be overwritten."""
        return tuple(slot for slot, operand in enumerate((self.a, self.b)) if operand.shape == self.shape)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Two activations of different scales, a tensor added to itself, and constants of every broadcast."""
        for shape in ((1, 5, 6, 3), (1, 40), (1, 7, 2)):
            x = cases.activation(rng, shape, "input")
            b = cases.activation(rng, shape, "b", x.scale * float(rng.uniform(0.4, 2.5)))
            yield cases.two_nodes("QUANTIZE", "ADD", [x, b, cls._output(rng, x, b)], ((0,), (0, 1)), "AddOptions",
                                  fused_activation_function=int(rng.choice([0, 1, 3])))  # fmt: skip
        for shape, other in (((1, 4, 5, 3), (1, 1, 1, 3)), ((1, 1, 5, 3), (1, 4, 5, 3)), ((1, 3, 4, 2), (1, 3, 1, 2)),
                             ((1, 12), (1, 1)), ((1, 3, 3, 2), (1, 3, 3, 2))):  # fmt: skip
            x, b = cases.activation(rng, shape, "input"), cases.activation(rng, other, "b")
            b = replace(b, data=rng.integers(-128, 128, other).astype(np.int8))
            operands = [x, b] if rng.integers(2) else [b, x]
            yield cases.one_node("ADD", operands, cls._output(rng, x, b), "AddOptions",
                                 fused_activation_function=int(rng.choice([0, 1, 3])))  # fmt: skip

    @staticmethod
    def _output(rng: np.random.Generator, a: Tensor, b: Tensor) -> Tensor:
        shape = tuple(np.broadcast_shapes(a.shape, b.shape))
        return cases.activation(rng, shape, "output", (a.scale + b.scale) * float(rng.uniform(0.3, 1.2)))
