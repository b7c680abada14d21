"""Streaming: a Graph of whole windows to one that takes a hop of new rows at a time and keeps what it still needs.

After a reset and as many hops as a window has, every byte is that of the whole window: where the output has a time
axis, the hops' outputs one behind the other are the window's; where it has none, the last hop's output is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pipeline.graph import Graph, Node, Tensor
from pipeline.loops import loop_of
from pipeline.ops.base import Unary, known_ops
from pipeline.problem import Problem

RESHAPES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
POOLS = ("MAX_POOL_2D", "AVERAGE_POOL_2D")
WINDOWED = ("CONV_2D", "DEPTHWISE_CONV_2D", *POOLS)
BINARY = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")
ALONG_LAST = ("SOFTMAX", "LOG_SOFTMAX", "L2_NORMALIZATION", "PRELU")
HINT = 'use padding="causal", and strides and pools that the hop is a multiple of'


@dataclass(frozen=True)
class Time:
    """A tensor's time axis: `new` rows an inference, behind `before` rows that are kept from earlier ones."""

    axis: int
    new: int
    before: int = 0

    @property
    def rows(self) -> int:
        """The tensor's size along the axis."""
        return self.before + self.new


def streamed(graph: Graph, hop: int, where: Path | str) -> Graph:
    """The graph for hops of `hop` rows of the input's axis 1; a Problem where it would have to look ahead."""
    shape = graph.tensors[graph.inputs[0]].shape
    if len(graph.inputs) != 1 or len(shape) != 3 or not 1 <= hop < shape[1] or shape[1] % hop:
        what = f"cannot be streamed in hops of {hop}: its input is {list(shape)}"
        raise Problem(where, what, "a hop is a part of the rows of the only input, all of the same size")
    stream = _Stream(graph, shape[1] // hop, where, list(graph.tensors), {graph.inputs[0]: Time(1, hop)})
    stream.resize(graph.inputs[0])
    for node in graph.nodes:
        stream.add(node)
    return replace(graph, tensors=tuple(stream.tensors), nodes=tuple(stream.nodes))


@dataclass
class _Stream:
    """The graph under way: `graph` is that of whole windows, `times` are the tensors that still have a time axis."""

    graph: Graph
    hops: int
    where: Path | str
    tensors: list[Tensor]
    times: dict[int, Time]
    nodes: list[Node] = field(default_factory=list)
    whole: dict[int, int] = field(default_factory=dict)  # tensors of which all rows of a window are kept, and as what

    def add(self, node: Node) -> None:
        """A node on hops where it can, else on the rows of a whole window, which are kept for it."""
        timed = [i for i in node.inputs if i in self.times]
        if not timed:
            self.nodes.append(node)
            return
        if node.op == "WHILE":
            self._goes_on(node)
            return
        time = self._time(node, self.times[timed[0]])
        if time is None and self._takes_last(node, self.times[timed[0]]):
            self.nodes.append(node)
            return
        if time is None:
            self.nodes.append(replace(node, inputs=tuple(self._whole(node, i) for i in node.inputs)))
            return
        for output in node.outputs:
            self.times[output] = time
            self.resize(output)
        self.nodes.append(self._on_hops(node, time))

    def _goes_on(self, node: Node) -> None:
        """A loop over the rows of a hop, whose states are kept."""
        loop = loop_of(node, self.graph)
        time = self.times[node.inputs[loop.rows]]
        if time.before or time.axis != 1:
            raise self._ahead(node)
        for slot in (loop.rows, *((loop.result,) if loop.every else ())):
            self.times[node.outputs[slot]] = time
            self.resize(node.outputs[slot])
        self.nodes.append(replace(node, options={**node.options, "keep": True}))

    def resize(self, tensor: int) -> None:
        """The tensor with the rows of a hop."""
        time, shape = self.times[tensor], list(self.tensors[tensor].shape)
        shape[time.axis] = time.rows
        self.tensors[tensor] = replace(self.tensors[tensor], shape=tuple(shape))

    def _on_hops(self, node: Node, time: Time) -> Node:
        if node.op in RESHAPES:
            return Node(node.index, "RESHAPE", node.inputs[:1], node.outputs, {})
        return replace(node, options={**node.options, "keep": True}) if time.before else node

    def _whole(self, node: Node, tensor: int) -> int:
        """The tensor that holds the rows of a whole window; made once."""
        time = self.times.get(tensor)
        if time is None:
            return tensor
        if time.before:
            raise self._ahead(node)
        if tensor not in self.whole:
            full = self.graph.tensors[tensor]
            before = [(full.shape[axis] - time.rows if axis == time.axis else 0, 0) for axis in range(len(full.shape))]
            paddings = Tensor(f"{full.name}_kept", (len(before), 2), "int32", None, np.array(before, np.int32))
            self.tensors += [paddings, replace(full, name=f"{full.name}_window")]
            made = len(self.tensors) - 1
            index = 1 + max(each.index for each in (*self.graph.nodes, *self.nodes))
            self.nodes.append(Node(index, "PAD", (tensor, made - 1), (made,), {"table": "PadOptions", "keep": True}))
            self.whole[tensor] = made
        return self.whole[tensor]

    def _takes_last(self, node: Node, time: Time) -> bool:
        """Whether it takes the last row alone, counted from the end: then that of a hop is that of a window."""
        begin = self.graph.input(node, 1).data if node.op == "STRIDED_SLICE" else None
        if begin is None or begin[time.axis] != -1:
            return False
        size, step = (getattr(known_ops()[node.op].from_node(node, self.graph), name) for name in ("size", "step"))
        return bool(size[time.axis] == 1 and step[time.axis] == 1)

    def _time(self, node: Node, time: Time) -> Time | None:
        """The outputs' time axis when the node can work on hops; None when it wants a whole window."""
        x, y = self.graph.input(node), self.graph.output(node)
        if node.op in RESHAPES:
            return _reshaped(x, y, time)
        if node.op in WINDOWED:
            return self._windowed(node, time)
        if time.before:
            raise self._ahead(node)
        if node.op == "PAD":
            return self._padded(node, time)
        return time if self._pointwise(node, x, y, time) else None

    def _pointwise(self, node: Node, x: Tensor, y: Tensor, time: Time) -> bool:
        """Whether each row of the output is made of the same row of each input."""
        if node.op in BINARY:
            return all(self._same_rows(i, y, time) for i in node.inputs)
        if node.op in ALONG_LAST:
            return time.axis != len(x.shape) - 1 and all(self._same_rows(i, y, time) for i in node.inputs)
        if node.op == "FULLY_CONNECTED":
            return x.shape[:-1] == y.shape[:-1] and time.axis < len(x.shape) - 1
        if node.op == "CONCATENATION":
            axis = node.options["axis"] % len(y.shape)
            return axis != time.axis and all(self.times.get(i) == time for i in node.inputs)
        if node.op == "UNIDIRECTIONAL_SEQUENCE_LSTM":
            return time.axis == (0 if node.options.get("time_major") else 1)
        return isinstance(known_ops()[node.op].from_node(node, self.graph), Unary)

    def _same_rows(self, tensor: int, y: Tensor, time: Time) -> bool:
        """Whether a broadcast operand has the output's rows, or one for all of them."""
        if tensor in self.times:
            return self.times[tensor] == time and len(self.graph.tensors[tensor].shape) == len(y.shape)
        shape = self.graph.tensors[tensor].shape
        axis = time.axis - len(y.shape) + len(shape)
        return self.graph.tensors[tensor].data is not None and (axis < 0 or shape[axis] == 1)

    def _padded(self, node: Node, time: Time) -> Time | None:
        paddings = self.graph.input(node, 1).data
        assert paddings is not None
        around = [tuple(int(value) for value in pair) for pair in paddings.reshape(-1, 2)]
        if around[time.axis] == (0, 0):
            return time
        others = [pair for axis, pair in enumerate(around) if axis != time.axis]
        if around[time.axis][1] or any(any(pair) for pair in others):
            raise self._ahead(node)
        return replace(time, before=around[time.axis][0])

    def _windowed(self, node: Node, time: Time) -> Time:
        """The rows that the window's steps make of new ones: it must end at each of its own."""
        along = "hw"[time.axis - 1]
        w = None if node.op in POOLS else self.graph.input(node, 1)
        kernel = node.options[f"filter_{'height' if along == 'h' else 'width'}"] if w is None else w.shape[time.axis]
        reach = (kernel - 1) * node.options.get(f"dilation_{along}_factor", 1) + 1
        stride = node.options[f"stride_{along}"]
        rows, made = self.graph.input(node).shape[time.axis], self.graph.output(node).shape[time.axis]
        padded = (made - 1) * stride + reach > rows
        if padded or not reach - stride <= time.before < reach or time.new % stride:
            raise self._ahead(node)
        return Time(time.axis, time.new // stride)

    def _ahead(self, node: Node) -> Problem:
        what = f"{self.graph.label(node)} cannot be streamed: it looks ahead, or its steps are no part of the hop"
        return Problem(self.where, what, HINT)


def _reshaped(x: Tensor, y: Tensor, time: Time) -> Time | None:
    """The time axis behind a reshape that only adds or takes axes of length 1, or changes what is behind time."""
    length = x.shape[time.axis]
    found = [axis for axis, size in enumerate(y.shape) if size == length and math.prod(y.shape[:axis]) == 1]
    return replace(time, axis=found[0]) if found and math.prod(x.shape[: time.axis]) == 1 else None
