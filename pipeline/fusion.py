"""Two operators as one: CONV_2D and the MAX_POOL_2D behind it, DEPTHWISE_CONV_2D and the CONV_2D of 1 x 1 behind it.

What the second one would have read is never made: the arena is smaller. Of a pool each output is made once, of its
largest sum, and fewer sums are rescaled; a depthwise output becomes at once what the 1 x 1 convolution multiplies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from pipeline.cores import Core
from pipeline.costs import predicted
from pipeline.graph import Graph, Node
from pipeline.ops.base import Op, activations, known_ops
from pipeline.ops.choice import around, parts
from pipeline.ops.conv_2d import Conv2D
from pipeline.ops.depthwise_conv_2d import DepthwiseConv2D
from pipeline.ops.max_pool_2d import MaxPool2D
from pipeline.ops.pooled_conv import grows
from pipeline.ops.separable import joined
from pipeline.ops.weighted import Weighted16
from pipeline.ops.window import Pair, Window
from pipeline.passes import RESHAPES, makers, readers
from pipeline.plan import Plan, plan

MORE = 1.1  # times what both take: predictions are off by as much, and one kernel for all pairs is less flash
ROOM = 1.05  # times the arena
Ops = dict[tuple[int, ...], Op]  # by what the node makes: stripes of an operator share its index
_Made = tuple[Graph, Node, tuple[Node, Node]]  # another graph, the node that is new in it, and what it stands for


def fused(graph: Graph, ops: Sequence[Op], core: Core) -> tuple[Graph, tuple[Op, ...]]:
    """The graph with those convolutions and pools as one operator that take no more so on the core; its operators."""
    return _fused(graph, ops, core, _pooled, 1.0)


def pointed(graph: Graph, ops: Sequence[Op], core: Core, room: float = math.inf) -> tuple[Graph, tuple[Op, ...]]:
    """The same with depthwise convolutions and those of 1 x 1, while the arena has no more bytes."""
    return _fused(graph, ops, core, _separable, MORE, room) if core.by_lines else (graph, tuple(ops))


def closer(made: Plan, most: int | None) -> Plan:
    """The plan with the pairs of pointed() in one step each, as far as the arena stays about as large, and has `most`
    bytes at most: nothing lies between the two, but both need their scratch at once. It comes after the stripes, which
    may end between them."""
    graph, core = made.graph, made.core
    ops = [known_ops()[node.op].from_node(node, graph) for node in graph.nodes]
    room = min(ROOM * made.layout.arena_bytes, math.inf if most is None else most)
    other, theirs = pointed(graph, ops, core)
    if len(other.nodes) == len(graph.nodes):
        return made
    whole = plan(other, theirs, core)
    if whole.layout.arena_bytes > room:
        whole = plan(*pointed(graph, ops, core, room), core)
    return replace(whole, note=made.note)


def _fused(graph: Graph, ops: Sequence[Op], core: Core, pair: Callable[[Graph, Node, Ops], _Made | None],
           most: float, room: float = math.inf) -> tuple[Graph, tuple[Op, ...]]:  # fmt: skip
    """The graph with those of the pairs as one operator that take at most so many times as much, and its operators."""
    known = {node.outputs: op for node, op in zip(graph.nodes, ops, strict=True)}
    for last in graph.nodes if core.fuses else ():
        made = pair(graph, last, known)
        if made is None:
            continue
        other, node, gone = made
        one = known_ops()[node.op].from_node(node, other)
        apart = [_price(graph, each, known[each.outputs], core) for each in gone]
        whole = _price(other, node, one, core)
        cheap = whole is None or whole <= most * sum(each or 0.0 for each in apart)
        if cheap and _arena(other, more := {**known, node.outputs: one}, core, room) <= room:
            graph, known = other, more
    return graph, tuple(known[node.outputs] for node in graph.nodes)


def _price(graph: Graph, node: Node, op: Op, core: Core) -> float | None:
    """What a node takes; None where nothing was measured."""
    moved = around(graph, activations(node, graph), node.outputs[0])
    prices = [predicted(core.name, part.call, moved) for part in parts(node, graph, op, core)]
    return None if None in prices else sum(each or 0.0 for each in prices)


def _arena(graph: Graph, ops: Ops, core: Core, room: float) -> int:
    """The bytes of the arena, where they matter."""
    if room == math.inf:
        return 0
    return plan(graph, [ops[node.outputs] for node in graph.nodes], core).layout.arena_bytes


def _pooled(graph: Graph, pool: Node, ops: Ops) -> _Made | None:
    """With a pool in the convolution before it; None where it cannot."""
    before, between = _before(graph, pool, "CONV_2D")
    conv, op = (None if before is None else ops[before.outputs]), ops[pool.outputs]
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
    return _with(replace(graph, tensors=tuple(tensors)), node, (before, pool), between)


def _separable(graph: Graph, point: Node, ops: Ops) -> _Made | None:
    """With a convolution of 1 x 1 behind the depthwise one that it reads; None where it cannot."""
    before, between = _before(graph, point, "DEPTHWISE_CONV_2D")
    first, second = (None if before is None else ops[before.outputs]), ops[point.outputs]
    if before is None or not isinstance(first, DepthwiseConv2D) or not isinstance(second, Conv2D):
        return None
    window = second.window
    alone = window.kernel == window.stride == (1, 1) and window.pad == (0, 0) and second.groups == 1
    places = window.input == first.window.output and window.input[:2] == window.output[:2]
    if not alone or not places or isinstance(second.sums, Weighted16):
        return None
    return _with(graph, joined(before, point, first.window.pad), (before, point), between)


def _with(graph: Graph, node: Node, pair: tuple[Node, Node], between: Sequence[Node]) -> _Made:
    """With the node in place of a pair and of the reshapes in between."""
    gone = {each.outputs for each in (pair[0], *between)}
    nodes = [node if each is pair[1] else each for each in graph.nodes if each.outputs not in gone]
    return replace(graph, nodes=tuple(nodes)), node, pair


def _before(graph: Graph, node: Node, op: str) -> tuple[Node | None, list[Node]]:
    """The node of that kind that another one reads, which nobody else does, and the reshapes in between; None where
    there is none."""
    made_by, read_by, between, tensor = makers(graph), readers(graph), list[Node](), node.inputs[0]
    while len(read_by[tensor]) == 1 and tensor not in graph.outputs and tensor in made_by:
        maker = made_by[tensor]
        if maker.op not in RESHAPES:
            return (maker if maker.op == op else None), between
        between.append(maker)
        tensor = maker.inputs[0]
    return None, []


def _side_by_side(window: Window) -> Pair | None:
    """The size of windows that neither overlap, nor leave something out in between, nor reach into the padding."""
    inside = all(window.output[i] * window.kernel[i] <= window.input[i] for i in (0, 1))
    return window.kernel if window.stride == window.kernel and window.pad == (0, 0) and inside else None
