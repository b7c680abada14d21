"""Passes: a Graph to one that asks less of the device. No byte of the output changes; nodes keep the file's index."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from pipeline.graph import Graph, Node, Tensor
from pipeline.ops.base import ACTIVATIONS, Op, Unary, activation_range, activations, known_ops
from pipeline.ops.choice import parts
from pipeline.ops.pad import Pad
from pipeline.ops.window import window_of

Pass = Callable[[Graph], Graph]

RESHAPES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
MOVES = ("TRANSPOSE", "SLICE", "STRIDED_SLICE", "PAD", "PADV2", "MIRROR_PAD", "CONCATENATION", "PACK", "SPLIT",
         "SPLIT_V", "GATHER", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "RESIZE_NEAREST_NEIGHBOR")  # fmt: skip
WINDOWED = ("CONV_2D", "DEPTHWISE_CONV_2D")  # whose padding counts as the zero point
CLAMPING = (*WINDOWED, "FULLY_CONNECTED", "ADD", "SUB", "MUL", "AVERAGE_POOL_2D", "MAX_POOL_2D")  # can fuse a clamp


def simplified(graph: Graph) -> Graph:
    """Every pass in turn until none of them finds anything; each takes at least one operator's work away."""
    while True:
        made = graph
        for each in PASSES:
            made = each(made)
        if made.nodes == graph.nodes:
            return made
        graph = made


def without_dead(graph: Graph) -> Graph:
    """Operators whose outputs nobody reads are gone, and so are those that only they read."""
    needed, kept = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if needed & set(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    return replace(graph, nodes=tuple(reversed(kept)))


def outputs_apart(graph: Graph) -> Graph:
    """An output that is an input, a constant or an earlier output is a copy of it: each has bytes of its own."""
    tensors, nodes, outputs = list(graph.tensors), list(graph.nodes), list[int]()
    for i in graph.outputs:
        if i in (*graph.inputs, *outputs) or tensors[i].data is not None:
            tensors.append(replace(tensors[i], name=f"{tensors[i].name}_again", data=None))
            number = max((node.index for node in nodes), default=-1) + 1
            nodes.append(Node(number, "RESHAPE", (i,), (len(tensors) - 1,), {}))
            i = len(tensors) - 1
        outputs.append(i)
    return replace(graph, tensors=tuple(tensors), nodes=tuple(nodes), outputs=tuple(outputs))


def shapes_known(graph: Graph) -> Graph:
    """Every RESHAPE takes the shape that its output declares: what works it out is dead."""
    tensors, changed = list(graph.tensors), {}
    for node in graph.nodes:
        shape = graph.tensor(node, 1)
        if node.op == "RESHAPE" and shape is not None and shape.data is None:
            known = np.array(graph.output(node).shape, np.int32)
            tensors.append(Tensor(f"{graph.output(node).name}_shape", known.shape, "int32", None, known))
            changed[node.index] = replace(node, inputs=(node.inputs[0], len(tensors) - 1))
    return _changed(replace(graph, tensors=tuple(tensors)), changed)


def constants_folded(graph: Graph) -> Graph:
    """An operator on constants alone is evaluated by its own oracle, here and now; not one with a state."""
    tensors, kept = list(graph.tensors), []
    for node in graph.nodes:
        now = replace(graph, tensors=tuple(tensors))
        operands = [tensors[i] for i in activations(node, graph)]
        constant = all(tensor.data is not None and not tensor.is_variable for tensor in operands)
        if not constant or set(node.outputs) & set(graph.outputs) or _has_state(node, now):
            kept.append(node)
            continue
        made = _op(node, now).run(*(tensor.data for tensor in operands if tensor.data is not None))
        for i, values in zip(node.outputs, made if isinstance(made, tuple) else (made,), strict=True):
            tensors[i] = replace(tensors[i], data=values)
    return replace(graph, tensors=tuple(tensors), nodes=tuple(kept))


def nothing_done(graph: Graph) -> Graph:
    """An operator whose output is always its input's bytes, in their order, is a RESHAPE, and so costs nothing."""
    return _changed(graph, {node.index: _reshape(node, graph) for node in graph.nodes if _does_nothing(node, graph)})


def transposes_joined(graph: Graph) -> Graph:
    """A TRANSPOSE of what only it reads from another is one TRANSPOSE."""
    made_by, tensors, changed = makers(graph), list(graph.tensors), {}
    for node in graph.nodes:
        first = made_by.get(node.inputs[0]) if node.op == "TRANSPOSE" else None
        if first is None or first.op != "TRANSPOSE" or first.index in changed or not _private(graph, node.inputs[0]):
            continue
        axes = [graph.input(each, 1).data for each in (first, node)]
        assert axes[0] is not None and axes[1] is not None
        both = axes[0].reshape(-1)[axes[1].reshape(-1)].astype(np.int32)
        tensors.append(Tensor(f"{graph.output(node).name}_axes", both.shape, "int32", None, both))
        changed[node.index] = replace(node, inputs=(first.inputs[0], len(tensors) - 1))
    return _changed(replace(graph, tensors=tuple(tensors)), changed)


def pads_in_windows(graph: Graph) -> Graph:
    """A PAD by the zero point that only convolutions read becomes their own padding, through a reshape too."""
    made_by, read_by = makers(graph), readers(graph)
    for node in graph.nodes:
        between = made_by.get(node.inputs[0]) if node.op in WINDOWED else None
        if between is None:
            continue
        pad = made_by.get(between.inputs[0]) if between.op in RESHAPES and _private(graph, node.inputs[0]) else between
        if pad is None or pad.op not in ("PAD", "PADV2") or set(pad.outputs) & set(graph.outputs):
            continue
        alone = _private(graph, pad.outputs[0])
        if alone or (pad is between and all(each.op in WINDOWED for each in read_by[pad.outputs[0]])):
            graph = _padded(graph, node, pad, between)
    return graph


def clamps_fused(graph: Graph) -> Graph:
    """RELU and RELU6 that only clamp are the fused activation of the operator before."""
    made_by, changed, gone = makers(graph), {}, set()
    for node in graph.nodes:
        before = made_by.get(node.inputs[0]) if node.op in ("RELU", "RELU6") else None
        if before is None or before.op not in CLAMPING or not _private(graph, node.inputs[0]) or before.index in gone:
            continue
        if not before.options.get("fused_activation_function") and _only_clamps(node, graph):
            options = {**before.options, "fused_activation_function": ACTIVATIONS.index(node.op)}
            changed[before.index] = replace(before, outputs=node.outputs, options=options)
            gone.add(node.index)
    kept = replace(graph, nodes=tuple(node for node in graph.nodes if node.index not in gone))
    return _changed(kept, changed)


PASSES: tuple[Pass, ...] = (without_dead, constants_folded, nothing_done, transposes_joined, pads_in_windows,
                            clamps_fused)  # fmt: skip


# What the passes ask of a graph


def makers(graph: Graph) -> dict[int, Node]:
    """The operator that makes each tensor."""
    return {i: node for node in graph.nodes for i in node.outputs}


def readers(graph: Graph) -> dict[int, list[Node]]:
    """The operators that read each tensor, as often as they do."""
    found: dict[int, list[Node]] = {i: [] for i in range(len(graph.tensors))}
    for node in graph.nodes:
        for i in node.inputs:
            if i >= 0:
                found[i].append(node)
    return found


def _private(graph: Graph, tensor: int) -> bool:
    """True when one operator reads it, once, and the caller does not."""
    return len(readers(graph)[tensor]) == 1 and tensor not in graph.outputs


def _op(node: Node, graph: Graph) -> Op:
    return known_ops()[node.op].from_node(node, graph)


def _has_state(node: Node, graph: Graph) -> bool:
    return any(part.call.state is not None for part in parts(node, graph, _op(node, graph)))


def _changed(graph: Graph, nodes: Mapping[int, Node]) -> Graph:
    return replace(graph, nodes=tuple(nodes.get(node.index, node) for node in graph.nodes))


def _reshape(node: Node, graph: Graph) -> Node:
    """The RESHAPE from a node's only activation to its only output."""
    return Node(node.index, "RESHAPE", (activations(node, graph)[0],), node.outputs, {})


def _does_nothing(node: Node, graph: Graph) -> bool:
    """Proven on all 256 values of a table, or by where a move takes each value's number."""
    used = activations(node, graph)
    if node.op in RESHAPES or len(used) != 1 or len(node.outputs) != 1:
        return False
    x, y = graph.tensors[used[0]], graph.output(node)
    if x.count != y.count or x.quant != y.quant or x.dtype != y.dtype:
        return False
    op = _op(node, graph)
    if isinstance(op, Unary):
        return x.dtype == "int8" and np.array_equal(op.table, np.arange(-128, 128))
    if node.op not in MOVES:
        return False
    numbers = np.arange(x.count).reshape(x.shape)
    made = op.run(numbers)
    return np.array_equal(np.ravel(made[0] if isinstance(made, tuple) else made), np.ravel(numbers))


def _only_clamps(node: Node, graph: Graph) -> bool:
    """Proven on all 256 values."""
    op, x, y = _op(node, graph), graph.input(node), graph.output(node)
    if not isinstance(op, Unary) or x.quant != y.quant or x.dtype != "int8":
        return False
    fused = replace(node, options={"fused_activation_function": ACTIVATIONS.index(node.op)})
    return np.array_equal(op.table, np.arange(-128, 128).clip(*activation_range(fused, graph, y)))


def _padded(graph: Graph, node: Node, pad: Node, between: Node) -> Graph:
    """The graph in which convolution `node` pads for itself; as it is where the padding is of another kind."""
    op, inside, outside = Pad.from_node(pad, graph), graph.input(pad), graph.output(pad)
    seen = graph.input(node)  # the padded input as the convolution sees it
    axes = _axes_behind_reshape(outside.shape, seen.shape)
    if op.value != outside.zero_point or axes is None:
        return graph
    around = [op.paddings[axis] if axis is not None else (0, 0) for axis in axes]
    w = graph.input(node, 1)
    window = window_of(node, seen, graph.output(node), (w.shape[1], w.shape[2]))
    reach = [(window.kernel[i] - 1) * window.dilation[i] for i in (0, 1)]
    if any(around[0]) or any(around[3]) or any(max(around[1 + i]) + window.pad[i] > reach[i] for i in (0, 1)):
        return graph  # other axes, or windows that lie wholly outside
    pads = tuple(window.pad[i] + around[1 + i][0] for i in (0, 1))
    folded = replace(node, options={**node.options, "pads": pads})
    if between is pad:
        return _changed(graph, {node.index: replace(folded, inputs=(pad.inputs[0], *node.inputs[1:]))})
    shape = tuple(size - sum(pair) for size, pair in zip(seen.shape, around, strict=True))
    graph = replace(graph, tensors=(*graph.tensors, replace(inside, name=f"{inside.name}_wide", shape=shape)))
    wide = len(graph.tensors) - 1
    return _changed(graph, {between.index: Node(between.index, "RESHAPE", (pad.inputs[0],), (wide,), {}),
                            node.index: replace(folded, inputs=(wide, *node.inputs[1:]))})  # fmt: skip


def _axes_behind_reshape(before: tuple[int, ...], after: tuple[int, ...]) -> list[int | None] | None:
    """For each axis of `after` the axis of `before` that it is; None for axes of length 1, or if they do not match."""
    long = [axis for axis, size in enumerate(before) if size != 1]
    if [before[axis] for axis in long] != [size for size in after if size != 1] or math.prod(before) == 0:
        return None
    rest = iter(long)
    return [next(rest) if size != 1 else None for size in after]
