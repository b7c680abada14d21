"""The integer oracle: a Graph run in numpy with the arithmetic of the kernels, every tensor kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.graph import Graph
from pipeline.ops.base import Op, activations


def evaluate(graph: Graph, ops: Sequence[Op], window: NDArray[np.int8]) -> dict[int, NDArray[np.int8]]:
    """Every activation by tensor index for one input, int8 of the graph's input shape."""
    values: dict[int, NDArray[np.int8]] = {graph.inputs[0]: window.reshape(graph.tensors[graph.inputs[0]].shape)}
    for node, op in zip(graph.nodes, ops, strict=True):
        operands = []
        for tensor in activations(node, graph):
            constant = graph.tensors[tensor].data
            operands.append(values[tensor] if constant is None else constant)
        made = op.run(*operands)
        values.update(zip(node.outputs, made if isinstance(made, tuple) else (made,), strict=True))
    return values
