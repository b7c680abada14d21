"""The integer oracle: a Graph run in numpy with the arithmetic of the kernels, every tensor kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.graph import Graph
from pipeline.ops.base import Int8s, Op, Stateful, activations


States = dict[int, Int8s]  # what stateful operators keep, by the node's number; empty at the start


def evaluate(graph: Graph, ops: Sequence[Op], window: NDArray[np.int8], states: States | None = None
             ) -> dict[int, NDArray[np.int8]]:  # fmt: skip
    """Every activation by tensor index for one input, int8 of the graph's input shape.

    `states` go from one window to the next; without them each window is the first.
    """
    values: dict[int, NDArray[np.int8]] = {graph.inputs[0]: window.reshape(graph.tensors[graph.inputs[0]].shape)}
    for node, op in zip(graph.nodes, ops, strict=True):
        operands = []
        for tensor in activations(node, graph):
            constant = graph.tensors[tensor].data
            operands.append(values[tensor] if constant is None else constant)
        made: Int8s | tuple[Int8s, ...]
        if states is not None and isinstance(op, Stateful):
            made, states[node.index] = op.step(states.get(node.index, op.start), *operands)
        else:
            made = op.run(*operands)
        values.update(zip(node.outputs, made if isinstance(made, tuple) else (made,), strict=True))
    return values
