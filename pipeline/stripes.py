"""Stripes: a chain of operators computed a few rows at a time, so that what lies between them stays small.

This is how convolutions are fused with pools, sums and other convolutions: no tensor lies between them whole. Rows at
the seams are computed twice. No byte changes: each stripe reads just the rows that its outputs reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.arena import aligned
from pipeline.cores import Core
from pipeline.graph import Graph, Node, Tensor
from pipeline.ops.base import Op, activations, known_ops
from pipeline.ops.window import Window
from pipeline.passes import readers
from pipeline.plan import Plan, plan

WINDOWS = ("CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D")
ELEMENTWISE = ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "PRELU", "LEAKY_RELU", "RELU", "RELU6", "HARD_SWISH", "TANH",
               "LOGISTIC", "QUANTIZE")  # fmt: skip
COUNTS = (2, 3, 4, 6, 8, 12, 16, 24, 32)
TRIED, GLANCED = 12, 3  # chains that are planned, the most promising first: where one must be found, and where it may
LESS = 0.9  # stripes are worth it even where the arena fits: of its bytes, at most
PER_WORK = 20  # and each percent of work that they add saves so many of the arena
CALL = 100  # bytes of flash that a call takes, at most; each must save as much

Rows = tuple[int, int]
_Striped = tuple[Graph, Sequence[Op], Plan]


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
    """The plan, with stripes where they make its arena much smaller for next to no work; where it is larger than `most`
    bytes even so, that with the stripes that fit at the least extra work.

    Where none fits, the plan without these: the build then says by how much it is too large."""
    whole = plan(graph, ops, core)
    striped: _Striped | None = (graph, ops, whole)
    while striped is not None:
        made, striped = striped[2], _lighter(*striped)
    if most is None or made.layout.arena_bytes <= most:
        return made
    work = _work(graph, ops, whole)
    for chain in sorted(_chains(graph, ops), key=lambda each: _promise(graph, ops, each, work, most))[:TRIED]:
        *_, other = _striped(graph, ops, chain, whole)
        if other.layout.arena_bytes <= most:
            return other
    return made


def _lighter(graph: Graph, ops: Sequence[Op], made: Plan) -> _Striped | None:
    """The graph in stripes that are all but free, where there are any."""
    most, crowded = int(LESS * made.layout.arena_bytes), _crowded(graph, made)
    work = _work(graph, ops, made)
    chains = [(_promise(graph, ops, chain, work, most), chain) for chain in _chains(graph, ops)
              if crowded and chain.first <= crowded[0] and crowded[-1] <= chain.last]  # fmt: skip
    free = [(peak * (100 + chain.count), chain) for (over, more, peak), chain in chains
            if not over and PER_WORK * more <= (1 - peak / made.layout.arena_bytes) * sum(work)]  # fmt: skip
    found = (_striped(graph, ops, chain, made) for _, chain in sorted(free, key=lambda each: each[0])[:GLANCED])
    return next((each for each in found if each[2].layout.arena_bytes <= most and _cheap(each[2], made)), None)


def _cheap(striped: Plan, whole: Plan) -> bool:
    """Little flash, and little work more beside what is saved; none at all where it is not known what it takes."""
    before, after = whole.layout.arena_bytes, striped.layout.arena_bytes
    if before - after < CALL * (len(striped.steps) - len(whole.steps)):
        return False
    if whole.predicted is None or striped.predicted is None:
        return sum(step.macs for step in striped.steps) == sum(step.macs for step in whole.steps)
    return PER_WORK * (striped.predicted / whole.predicted - 1) <= 1 - after / before


def _crowded(graph: Graph, made: Plan) -> list[int]:
    """The places of the nodes in whose steps the arena is nearly full."""
    layout, tensors = made.layout, made.graph.tensors
    spans = [(*layout.lives[i], place.offset, place.offset + tensors[i].bytes)
             for i, place in layout.places.items() if place.kind == "arena"]  # fmt: skip
    alive = ((step, [span for span in spans if span[0] <= step.index <= span[1]]) for step in made.steps)
    full = {step.output for step, now in alive if _covered(now) > LESS * layout.arena_bytes}
    return [place for place, node in enumerate(graph.nodes) if full & set(node.outputs)]


def _covered(spans: Sequence[tuple[int, int, int, int]]) -> int:
    """Bytes that are in one of the spans, or in several."""
    total, end = 0, 0
    for *_, start, stop in sorted(spans, key=lambda span: span[2:]):
        total += max(stop - max(start, end), 0)
        end = max(end, stop)
    return total


def _striped(graph: Graph, ops: Sequence[Op], chain: Chain, before: Plan) -> _Striped:
    """The graph with the chain in stripes, and its plan, which says what it has instead of the plan before."""
    other, theirs = cut(graph, ops, chain)
    made = plan(other, theirs, before.core)
    more = sum(op.macs for op in theirs) / max(sum(op.macs for op in ops), 1) - 1
    said = f"; {chain} for {100 * more:.1f} % more work, or the arena would have {before.layout.arena_bytes} bytes"
    return other, theirs, replace(made, note=before.note + said)


def cut(graph: Graph, ops: Sequence[Op], chain: Chain) -> tuple[Graph, list[Op]]:
    """The graph with the chain in stripes, and its operators: slices, windows, one concatenation."""
    maker = _Maker(graph, ops, chain)
    nodes = (*graph.nodes[: chain.first], *maker.nodes, *graph.nodes[chain.last + 1 :])
    made = replace(graph, tensors=tuple(maker.tensors), nodes=nodes)
    new = [known_ops()[node.op].from_node(node, made) for node in maker.nodes]
    return made, [*ops[: chain.first], *new, *ops[chain.last + 1 :]]


def _window(graph: Graph, node: Node, op: Op) -> Window | None:
    """What of its input a row of the node's output is made of; None where that is not a few rows."""
    if node.op in WINDOWS:
        window = getattr(op, "window", None)
        assert isinstance(window, Window)
        return window
    shape = graph.output(node).shape
    if (
        node.op not in ELEMENTWISE
        or len(shape) != 4
        or shape[0] != 1
        or not all(_along(graph.tensors[i], shape) for i in node.inputs)
    ):
        return None
    height, width, channels = shape[1:]
    return Window((height, width, channels), (height, width, channels), (1, 1), (1, 1), (1, 1), (0, 0))


def _along(tensor: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether an operand has the output's shape, or is a constant for all rows alike."""
    return tensor.shape == shape if tensor.data is None else len(tensor.shape) < 2 or set(tensor.shape[:-1]) == {1}


def _chains(graph: Graph, ops: Sequence[Op]) -> Iterator[Chain]:
    """Two nodes or more, one behind the other, that nobody else reads."""
    read_by = readers(graph)
    windows = [_window(graph, node, op) for node, op in zip(graph.nodes, ops, strict=True)]
    for first, node in enumerate(graph.nodes):
        for last in range(first, len(graph.nodes)):
            window, before = windows[last], graph.nodes[last - 1].outputs[0]
            only_here = len(read_by.get(before, ())) == graph.nodes[last].inputs.count(before) == 1
            if window is None or (last > first and (not only_here or before in graph.outputs)):
                break
            axis = 0 if window.output[0] > 1 else 1
            if last > first and _dense(graph, node, axis):
                yield from (Chain(first, last, count, axis) for count in COUNTS if 2 * count <= window.output[axis])


def _dense(graph: Graph, node: Node, axis: int) -> bool:
    """Stripes along the width are dense only in an image of one row."""
    return axis == 0 or graph.input(node).shape[1] == 1


def _work(graph: Graph, ops: Sequence[Op], made: Plan) -> list[float]:
    """What each node takes, where that is known; else its multiplications."""
    if made.predicted is None:
        return [op.macs for op in ops]
    takes: dict[int, float] = {}
    for step in made.steps:
        takes[step.output] = takes.get(step.output, 0) + (step.predicted or 0)
    return [sum(takes.get(output, 0) for output in node.outputs) for node in graph.nodes]


def _promise(graph: Graph, ops: Sequence[Op], chain: Chain, work: Sequence[float],
             most: int) -> tuple[bool, float, int]:  # fmt: skip
    """What makes one chain better than another: it fits by this estimate; less extra work; less memory."""
    nodes, windows = graph.nodes[chain.first : chain.last + 1], _windows(graph, ops, chain)
    within, between = 0, {node.outputs[0] for node in nodes[:-1]}
    edge = {*graph.inputs, *graph.outputs}
    ends = [t for node in nodes for t in activations(node, graph) if t not in edge and t not in between]
    whole = sum(aligned(graph.tensors[i].bytes) for i in {*ends, nodes[-1].outputs[0]} - edge)
    if nodes[-1].op in ELEMENTWISE and {*nodes[-1].inputs} & {*ends}:  # in whose place the sums may lie
        whole -= aligned(graph.output(nodes[-1]).bytes)
    takes, more = work[chain.first : chain.last + 1], 0.0
    for stripe in range(chain.count):
        rows = _needed(windows, chain, stripe)
        sizes = [_bytes(graph.output(node), chain.axis, made) for node, made in zip(nodes, rows[1:], strict=True)]
        within = max(within, *(a + b for a, b in zip([0, *sizes], sizes[:-1], strict=False)))
        more += sum(each * (made[1] - made[0]) / window.output[chain.axis]
                    for each, window, made in zip(takes, windows, rows[1:], strict=True))  # fmt: skip
    peak = max(whole + within, _rest(graph, chain))
    return peak > most, more - sum(takes), peak


def _rest(graph: Graph, chain: Chain) -> int:
    """At least what the operators outside the chain read and write."""
    edge = {*graph.inputs, *graph.outputs}
    outside = (*graph.nodes[: chain.first], *graph.nodes[chain.last + 1 :])
    return max((sum(aligned(graph.tensors[i].bytes) for i in {*node.inputs, *node.outputs} - edge
                    if i >= 0 and graph.tensors[i].data is None) for node in outside), default=0)  # fmt: skip


def _windows(graph: Graph, ops: Sequence[Op], chain: Chain) -> list[Window]:
    span = slice(chain.first, chain.last + 1)
    windows = (_window(graph, node, op) for node, op in zip(graph.nodes[span], ops[span], strict=True))
    return [window for window in windows if window is not None]


def _bytes(tensor: Tensor, axis: int, rows: Rows) -> int:
    return aligned(tensor.bytes // tensor.shape[1 + axis] * (rows[1] - rows[0]))


def _needed(windows: Sequence[Window], chain: Chain, stripe: int) -> list[Rows]:
    """The rows of one stripe: of the chain's input, and of the output of each of its nodes."""
    length = windows[-1].output[chain.axis]
    rows = [(length * stripe // chain.count, length * (stripe + 1) // chain.count)]
    for window in reversed(windows):
        first, end = reach(window, chain.axis, rows[0])
        rows.insert(0, (max(first, 0), min(end, window.input[chain.axis])))
    return rows


def reach(window: Window, axis: int, rows: Rows) -> Rows:
    """The input rows under these output rows; they may lie outside, in the padding."""
    first = rows[0] * window.stride[axis] - window.pad[axis]
    last = (rows[1] - 1) * window.stride[axis] - window.pad[axis] + (window.kernel[axis] - 1) * window.dilation[axis]
    return first, last + 1


class _Maker:
    """Makes the nodes and tensors of a chain's stripes."""

    def __init__(self, graph: Graph, ops: Sequence[Op], chain: Chain) -> None:
        self.graph, self.chain = graph, chain
        self.tensors, self.nodes = list(graph.tensors), list[Node]()
        chained, windows = graph.nodes[chain.first : chain.last + 1], _windows(graph, ops, chain)
        parts = []
        for stripe in range(chain.count):
            rows, last = _needed(windows, chain, stripe), (-1, -1)
            for node, window, before, after in zip(chained, windows, rows, rows[1:], strict=False):
                last = node.outputs[0], self.part(node, window, (before, after), last)
            parts.append(last[1])
        options = {"table": "ConcatenationOptions", "axis": 1 + chain.axis, "fused_activation_function": 0}
        self.nodes.append(Node(chained[-1].index, "CONCATENATION", tuple(parts), chained[-1].outputs, options))

    def part(self, node: Node, window: Window, rows: tuple[Rows, Rows], last: tuple[int, int]) -> int:
        """Output rows of a node from input rows; what is missing above is padding.

        `last`: the output of the node before, and that of it which this stripe has."""
        axis, pads, inputs = self.chain.axis, list(window.pad), list(node.inputs)
        for tensor in dict.fromkeys(activations(node, self.graph)):
            if self.graph.tensors[tensor].data is None:
                mine = last[1] if tensor == last[0] else self.sliced(node, tensor, rows[0])
                inputs = [mine if each == tensor else each for each in inputs]
        pads[axis] = rows[0][0] - reach(window, axis, rows[1])[0]
        output = self.tensor(self.graph.output(node), rows[1])
        options = {**node.options, "pads": tuple(pads)} if node.op in WINDOWS else node.options
        self.nodes.append(replace(node, inputs=tuple(inputs), outputs=(output,), options=options))
        return output

    def sliced(self, node: Node, tensor: int, rows: Rows) -> int:
        """Rows of what the chain reads."""
        x = self.graph.tensors[tensor]
        begin, size = [0] * 4, list(x.shape)
        begin[1 + self.chain.axis], size[1 + self.chain.axis] = rows[0], rows[1] - rows[0]
        for values in (begin, size):
            self.tensors.append(Tensor("", (4,), "int32", None, np.array(values, np.int32)))
        bounds = len(self.tensors) - 2, len(self.tensors) - 1
        made = self.tensor(x, rows)
        self.nodes.append(Node(node.index, "SLICE", (tensor, *bounds), (made,), {"table": "SliceOptions"}))
        return made

    def tensor(self, like: Tensor, rows: Rows) -> int:
        """A new tensor's index: rows of another."""
        shape = list(like.shape)
        shape[1 + self.chain.axis] = rows[1] - rows[0]
        self.tensors.append(replace(like, shape=tuple(shape), data=None))
        return len(self.tensors) - 1
