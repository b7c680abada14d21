"""DEQUANTIZE with QUANTIZE behind it: islands that only move values, and functions of one value between, as in elu."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases
from pipeline.ops.base import ALL_INT8, Int8s, Unary, need_int8, op

# In double, and then rounded to float32, as a good C library's float functions are.
FUNCTIONS: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "CEIL": np.ceil,
    "COS": np.cos,
    "ELU": lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x),
    "FLOOR": np.floor,
    "NEG": np.negative,
    "ROUND": np.rint,
    "SIN": np.sin,
    "SQUARE": np.square,
}


@op("DEQUANTIZE")
@dataclass(frozen=True)
class Dequantize(Unary):
    """To float32 and back as one table; pipeline/islands.py makes one node of the operators."""

    tflite_differs = "its reference resolver has no ELU, CEIL and ROUND"

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Dequantize:
        """int8 in, and int8 out again; options `between` names the float operators between."""
        x, y = graph.input(node), graph.output(node)
        need_int8(node, graph, x, y)
        return cls(x.count, through_float(x, y, node.options.get("between", ())))

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """All 256 values to finer, coarser and equal scales; a float SPLIT and functions between."""
        for factor in (0.31, 0.5, 1.0, 2.0, 2.7):
            yield _island(rng, factor, "")
        for factor in (0.2, 0.8, 1.1):
            yield _island(rng, factor, "ELU")
            yield _island(rng, factor, "SPLIT")
        for function in FUNCTIONS:
            yield _island(rng, 0.9, function)


def through_float(x: Tensor, y: Tensor, between: tuple[str, ...]) -> Int8s:
    """What TFLite's DEQUANTIZE, the operators between, and QUANTIZE make of all 256 values, in their arithmetic."""
    reals = (x.scale * (ALL_INT8 - x.zero_point)).astype(np.float32)
    for function in between:
        reals = FUNCTIONS[function](reals.astype(np.float64)).astype(np.float32)
    scaled = (reals / np.float32(y.scale)).astype(np.float64)
    rounded = np.sign(scaled) * np.floor(np.abs(scaled) + 0.5) + y.zero_point
    return np.asarray(np.clip(rounded, -128, 127), np.int8)


def _island(rng: np.random.Generator, factor: float, between: str) -> Graph:
    """DEQUANTIZE, perhaps an operator on float32, QUANTIZE."""
    x = cases.activation(rng, (1, 256), "input")
    count = 2 if between == "SPLIT" else 1
    reals = [Tensor(f"real_{i}", (1, 256 // (count if i else 1)), "float32") for i in range(1 + count * bool(between))]
    y = cases.activation(rng, reals[-1].shape, "output", x.scale * factor)
    axis = cases.constant("axis", 1)
    tensors = (x, *reals, y, axis)
    last = len(tensors) - 1
    nodes = [Node(0, "DEQUANTIZE", (0,), (1,), {"table": "DequantizeOptions"})]
    if between == "SPLIT":
        nodes.append(Node(1, "SPLIT", (last, 1), (2, 3), {"table": "SplitOptions", "num_splits": 2}))
    elif between:
        nodes.append(Node(1, between, (1,), (2,), {}))
    nodes.append(Node(len(nodes), "QUANTIZE", (len(reals),), (last - 1,), {"table": "QuantizeOptions"}))
    return Graph(tensors, tuple(nodes), (0,), (last - 1,))
