"""CONV_2D and the MAX_POOL_2D behind it as one operator: each pooled output is made once, of its largest sum.

What the pool would have read is never made: the arena is smaller, and fewer sums are rescaled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.cores import Core
from pipeline.costs import predicted
from pipeline.graph import Graph, Node
from pipeline.ops.base import Op, activations, known_ops
from pipeline.ops.choice import around, parts
from pipeline.ops.conv_2d import Conv2D
from pipeline.ops.max_pool_2d import MaxPool2D
from pipeline.ops.pooled_conv import grows
from pipeline.ops.window import Pair, Window
from pipeline.passes import RESHAPES, makers, readers


def fused(graph: Graph, ops: Sequence[Op], core: Core) -> tuple[Graph, tuple[Op, ...]]:
    """The graph with those pairs as one CONV_2D that take no more on the core so; and its operators."""
    known = {node.index: op for node, op in zip(graph.nodes, ops, strict=True)}
    for pool in [node for node in graph.nodes if node.op == "MAX_POOL_2D" and core.fuses]:
        made = _fused(graph, pool, known)
        if made is None:
            continue
        other, conv, gone = made
        one = known_ops()["CONV_2D"].from_node(conv, other)
        apart = [_price(graph, node, known[node.index], core) for node in gone]
        whole = _price(other, conv, one, core)
        if whole is None or whole <= sum(each or 0.0 for each in apart):
            graph, known = other, {**known, conv.index: one}
    return graph, tuple(known[node.index] for node in graph.nodes)


def _price(graph: Graph, node: Node, op: Op, core: Core) -> float | None:
    """What a node takes; None where nothing was measured."""
    moved = around(graph, activations(node, graph), node.outputs[0])
    prices = [predicted(core.name, part.call, moved) for part in parts(node, graph, op, core)]
    return None if None in prices else sum(each or 0.0 for each in prices)


def _fused(graph: Graph, pool: Node, ops: dict[int, Op]) -> tuple[Graph, Node, tuple[Node, Node]] | None:
    """The graph with a pool in the convolution before it, that node, and what it stands for; None where it cannot."""
    before, between = _before(graph, pool)
    conv, op = (None if before is None else ops[before.index]), ops[pool.index]
    if before is None or not isinstance(conv, Conv2D) or not isinstance(op, MaxPool2D) or not grows(conv):
        return None
    size = _side_by_side(op.window)
    if size is None:
        return None
    turned = conv.window.output != op.window.input
    shape = (1, *op.window.output)
    if turned:  # one row that the pool has for a column
        after = readers(graph)[pool.outputs[0]]
        if any(node.op not in RESHAPES for node in after) or pool.outputs[0] in graph.outputs:
            return None
        if conv.window.output[0] != 1 or op.window.input != (conv.window.output[1], 1, conv.window.output[2]):
            return None
        size, shape = (1, size[0]), (1, 1, op.window.output[0], op.window.output[2])
    options = {**before.options, "pads": conv.window.pad, "pool": size,
               "pool_activation": pool.options.get("fused_activation_function", 0)}  # fmt: skip
    node = replace(before, outputs=pool.outputs, options=options)
    tensors = list(graph.tensors)
    tensors[pool.outputs[0]] = replace(graph.output(pool), shape=shape)
    gone = {before.index, *(each.index for each in between)}
    nodes = [node if each is pool else each for each in graph.nodes if each.index not in gone]
    return replace(graph, tensors=tuple(tensors), nodes=tuple(nodes)), node, (before, pool)


def _before(graph: Graph, pool: Node) -> tuple[Node | None, list[Node]]:
    """The CONV_2D that a pool reads, which nobody else does, and the reshapes in between; None where there is none."""
    made_by, read_by, between, tensor = makers(graph), readers(graph), list[Node](), pool.inputs[0]
    while len(read_by[tensor]) == 1 and tensor not in graph.outputs and tensor in made_by:
        node = made_by[tensor]
        if node.op not in RESHAPES:
            return (node if node.op == "CONV_2D" else None), between
        between.append(node)
        tensor = node.inputs[0]
    return None, []


def _side_by_side(window: Window) -> Pair | None:
    """The size of windows that neither overlap, nor leave something out in between, nor reach into the padding."""
    inside = all(window.output[i] * window.kernel[i] <= window.input[i] for i in (0, 1))
    return window.kernel if window.stride == window.kernel and window.pad == (0, 0) and inside else None
