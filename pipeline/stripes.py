"""Stripes: a chain of convolutions and pools computed a few rows at a time, so that what lies between them stays small.

Rows at the seams are computed twice. No byte changes: each stripe reads just the rows that its outputs reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.arena import aligned
from pipeline.cores import Core
from pipeline.graph import Graph, Node, Tensor
from pipeline.ops.base import Op, known_ops
from pipeline.ops.window import Window
from pipeline.passes import readers
from pipeline.plan import Plan, plan

OPS = ("CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D")
COUNTS = (2, 3, 4, 6, 8, 12, 16, 24, 32)
TRIED = 12  # chains that are planned, the most promising first

Rows = tuple[int, int]


@dataclass(frozen=True)
class Chain:
    """Nodes first..last, by their place in the graph, in `count` stripes along `axis`: 0 is height, 1 width."""

    first: int
    last: int
    count: int
    axis: int

    def __str__(self) -> str:
        return f"operators {self.first} to {self.last} in {self.count} stripes"


def fitted(graph: Graph, ops: Sequence[Op], core: Core, most: int | None) -> Plan:
    """The plan; where its arena is larger than `most` bytes, that with the stripes that fit at the least extra work.

    Where none fits, the plan without stripes: the build then says by how much it is too large."""
    whole = plan(graph, ops, core)
    if most is None or whole.layout.arena_bytes <= most:
        return whole
    for chain in sorted(_chains(graph, ops), key=lambda each: _promise(graph, ops, each, most))[:TRIED]:
        other, theirs = cut(graph, ops, chain)
        made = plan(other, theirs, core)
        if made.layout.arena_bytes <= most:
            more = sum(op.macs for op in theirs) / sum(op.macs for op in ops) - 1
            return replace(made, note=f"; {chain} for {100 * more:.1f} % more work, or the arena would have"
                                      f" {whole.layout.arena_bytes} bytes")  # fmt: skip
    return whole


def cut(graph: Graph, ops: Sequence[Op], chain: Chain) -> tuple[Graph, list[Op]]:
    """The graph with the chain in stripes, and its operators: slices, windows, one concatenation."""
    maker = _Maker(graph, ops, chain)
    nodes = (*graph.nodes[: chain.first], *maker.nodes, *graph.nodes[chain.last + 1 :])
    made = replace(graph, tensors=tuple(maker.tensors), nodes=nodes)
    new = [known_ops()[node.op].from_node(node, made) for node in maker.nodes]
    return made, [*ops[: chain.first], *new, *ops[chain.last + 1 :]]


def _window(op: Op) -> Window:
    window = getattr(op, "window", None)
    assert isinstance(window, Window)
    return window


def _chains(graph: Graph, ops: Sequence[Op]) -> Iterator[Chain]:
    """Two windows or more, one behind the other, that nobody else reads."""
    read_by = readers(graph)
    for first, node in enumerate(graph.nodes):
        last = first
        while last < len(graph.nodes) and graph.nodes[last].op in OPS:
            before = graph.nodes[last - 1]
            output = before.outputs[0]
            if last > first and (graph.nodes[last].inputs[0] != output or len(read_by[output]) > 1 or
                                 output in graph.outputs):  # fmt: skip
                break
            height, width = _window(ops[last]).output[:2]
            axis = 0 if height > 1 else 1
            rows = (height, width)[axis]
            if last > first and _dense(graph, node, axis):
                yield from (Chain(first, last, count, axis) for count in COUNTS if 2 * count <= rows)
            last += 1


def _dense(graph: Graph, node: Node, axis: int) -> bool:
    """Stripes along the width are dense only in an image of one row."""
    return axis == 0 or graph.input(node).shape[1] == 1


def _promise(graph: Graph, ops: Sequence[Op], chain: Chain, most: int) -> tuple[bool, int, int]:
    """What makes one chain better than another: it fits by this estimate; less work; less memory."""
    nodes = graph.nodes[chain.first : chain.last + 1]
    edge = {*graph.inputs, *graph.outputs}
    ends = sum(aligned(graph.tensors[i].bytes) for i in (nodes[0].inputs[0], nodes[-1].outputs[0]) if i not in edge)
    work, between = 0, 0
    for stripe in range(chain.count):
        rows = _needed(ops, chain, stripe)
        sizes = [_bytes(graph.output(node), chain.axis, made) for node, made in zip(nodes, rows[1:], strict=True)]
        between = max(between, *(a + b for a, b in zip([0, *sizes], sizes, strict=False)))
        work += sum(_macs(op, node, graph, chain.axis, made)
                    for op, node, made in zip(_ops(ops, chain), nodes, rows[1:], strict=True))  # fmt: skip
    peak = max(ends + between, _rest(graph, chain))
    return peak > most, work, peak


def _rest(graph: Graph, chain: Chain) -> int:
    """At least what the operators outside the chain read and write."""
    edge = {*graph.inputs, *graph.outputs}
    outside = (*graph.nodes[: chain.first], *graph.nodes[chain.last + 1 :])
    return max((sum(aligned(graph.tensors[i].bytes) for i in {*node.inputs, *node.outputs} - edge
                    if i >= 0 and graph.tensors[i].data is None) for node in outside), default=0)  # fmt: skip


def _ops(ops: Sequence[Op], chain: Chain) -> Sequence[Op]:
    return ops[chain.first : chain.last + 1]


def _macs(op: Op, node: Node, graph: Graph, axis: int, rows: Rows) -> int:
    return (op.macs or graph.output(node).count) * (rows[1] - rows[0]) // graph.output(node).shape[1 + axis]


def _bytes(tensor: Tensor, axis: int, rows: Rows) -> int:
    return aligned(tensor.bytes // tensor.shape[1 + axis] * (rows[1] - rows[0]))


def _needed(ops: Sequence[Op], chain: Chain, stripe: int) -> list[Rows]:
    """The rows of one stripe: of the chain's input, and of the output of each of its nodes."""
    chained = _ops(ops, chain)
    length = _window(chained[-1]).output[chain.axis]
    rows = [(length * stripe // chain.count, length * (stripe + 1) // chain.count)]
    for op in reversed(chained):
        first, end = reach(_window(op), chain.axis, rows[0])
        rows.insert(0, (max(first, 0), min(end, _window(op).input[chain.axis])))
    return rows


def reach(window: Window, axis: int, rows: Rows) -> Rows:
    """The input rows under these output rows; they may lie outside, in the padding."""
    first = rows[0] * window.stride[axis] - window.pad[axis]
    last = (rows[1] - 1) * window.stride[axis] - window.pad[axis] + (window.kernel[axis] - 1) * window.dilation[axis]
    return first, last + 1


class _Maker:
    """Makes the nodes and tensors of a chain's stripes."""

    def __init__(self, graph: Graph, ops: Sequence[Op], chain: Chain) -> None:
        self.graph, self.chain, self.ops = graph, chain, _ops(ops, chain)
        self.tensors, self.nodes = list(graph.tensors), list[Node]()
        chained = graph.nodes[chain.first : chain.last + 1]
        parts = []
        for stripe in range(chain.count):
            rows = _needed(ops, chain, stripe)
            x = self.sliced(chained[0], rows[0])
            for node, op, before, made in zip(chained, self.ops, rows, rows[1:], strict=False):
                x = self.window(node, _window(op), x, before, made)
            parts.append(x)
        options = {"table": "ConcatenationOptions", "axis": 1 + chain.axis, "fused_activation_function": 0}
        self.nodes.append(Node(chained[-1].index, "CONCATENATION", tuple(parts), chained[-1].outputs, options))

    def sliced(self, node: Node, rows: Rows) -> int:
        """The rows of the chain's input."""
        x = self.graph.input(node)
        begin, size = [0] * 4, list(x.shape)
        begin[1 + self.chain.axis], size[1 + self.chain.axis] = rows[0], rows[1] - rows[0]
        bounds = [self.tensor(Tensor("", (4,), "int32", None, np.array(each, np.int32))) for each in (begin, size)]
        made = self.tensor(replace(x, shape=tuple(size), data=None))
        self.nodes.append(Node(node.index, "SLICE", (node.inputs[0], *bounds), (made,), {"table": "SliceOptions"}))
        return made

    def window(self, node: Node, window: Window, x: int, before: Rows, rows: Rows) -> int:
        """Output rows of a node from input rows; what is missing above is padding."""
        axis, pads = self.chain.axis, list(window.pad)
        pads[axis] = before[0] - reach(window, axis, rows)[0]
        shape = list(self.graph.output(node).shape)
        shape[1 + axis] = rows[1] - rows[0]
        made = self.tensor(replace(self.graph.output(node), shape=tuple(shape)))
        inputs = (x, *node.inputs[1:])
        self.nodes.append(replace(node, inputs=inputs, outputs=(made,), options={**node.options, "pads": tuple(pads)}))
        return made

    def tensor(self, tensor: Tensor) -> int:
        """A new tensor's index."""
        self.tensors.append(tensor)
        return len(self.tensors) - 1
