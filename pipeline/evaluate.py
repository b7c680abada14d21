"""The integer oracle: a Graph run in numpy with the arithmetic of the kernels, every tensor kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.edges import join, split
from pipeline.graph import Graph
from pipeline.ops.base import Int8s, Op, Stateful, activations

States = dict[int, Int8s]  # what stateful operators keep, by the node's number; empty at the start


def evaluate(graph: Graph, ops: Sequence[Op], window: NDArray[np.int8], states: States | None = None
             ) -> dict[int, NDArray[Any]]:  # fmt: skip
    """Every activation by tensor index for one window of the model's inputs (see edges.py).

    `states` go from one window to the next; without them each window is the first.
    """
    values = dict(zip(graph.inputs, split(graph.edge("input"), window), strict=True))
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


def answer(graph: Graph, ops: Sequence[Op], window: NDArray[np.int8], states: States | None = None
           ) -> NDArray[np.int8]:  # fmt: skip
    """The answer to one window: the model's outputs, without the batch (see edges.py)."""
    values = evaluate(graph, ops, window, states)
    return join(graph.edge("output"), [values[i] for i in graph.outputs])
