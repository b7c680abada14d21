"""EXP and GELU: Keras exponential and gelu, as tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases
from pipeline.ops.base import ALL_INT8, Int8s, Unary, need_int8, op

WHY = "it has the operator in float only, or not at all"


def float_table(x: Tensor, y: Tensor, function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Int8s:
    """The 256 answers of a function that TFLite computes in float32 (PopulateLookupTable)."""
    reals = (np.float32(x.scale) * (ALL_INT8 - x.zero_point).astype(np.float32)).astype(np.float64)
    with np.errstate(over="ignore"):  # infinite, as in C
        scaled = function(reals).astype(np.float32) * (np.float32(1) / np.float32(y.scale))
    exact = scaled.astype(np.float64)
    rounded = np.floor(np.abs(exact) + 0.5) * np.sign(exact) + y.zero_point
    fits = np.abs(rounded) < 2**31  # what no int32 holds becomes the smallest one
    return np.asarray(np.where(fits, np.clip(rounded, -128, 127), -128), np.int8)


@op("EXP")
@dataclass(frozen=True)
class Exp(Unary):
    """exp(x)."""

    micro_lacks = WHY

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Exp:
        """Any int8 scales."""
        x, y = graph.input(node), graph.output(node)
        need_int8(node, graph, x, y)
        return cls(x.count, float_table(x, y, np.exp))

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """All 256 values at several scales."""
        for scale in (0.004, 0.01, 0.03, 0.06):
            x = cases.activation(rng, (1, 256), "input", scale)
            largest = math.exp(scale * (127 - x.zero_point))
            yield cases.one_node("EXP", [x], cases.activation(rng, (1, 256), "output", largest / 200), "ExpOptions")


@op("GELU")
@dataclass(frozen=True)
class Gelu(Unary):
    """x times the normal distribution's integral up to x, or its approximation by tanh."""

    micro_lacks = WHY

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Gelu:
        """Any int8 scales."""
        x, y = graph.input(node), graph.output(node)
        need_int8(node, graph, x, y)
        approximate = node.options.get("approximate", False)
        return cls(x.count, float_table(x, y, _approximate if approximate else _exact))

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """All 256 values at several scales, both forms."""
        for scale in (0.005, 0.02, 0.05):
            for approximate in (False, True):
                x = cases.activation(rng, (1, 256), "input", scale)
                y = cases.activation(rng, (1, 256), "output", scale * 0.8)
                yield cases.one_node("GELU", [x], y, "GeluOptions", approximate=approximate)


Reals = NDArray[np.float64]


def _exact(x: Reals) -> Reals:
    """x / 2 * erfc(-x / sqrt(2)), every step rounded to float32 as TFLite's are."""
    arguments = x.astype(np.float32) * np.float32(-math.sqrt(0.5))
    tails = np.array([math.erfc(value) for value in arguments], np.float32)
    return np.asarray(np.float32(0.5) * x.astype(np.float32) * tails, np.float64)


def _approximate(x: Reals) -> Reals:
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
