"""Loops over time: the WHILE of TFLite that runs a cell's step on each row of its input, made and recognised.

A step is a Graph of its own: a row [1, values] and states in, what it makes and the new states out. The loop carries a
counter, the rows, the states, and where each step's result is wanted, all of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.graph import Graph, Node, Tensor
from pipeline.passes import makers, outputs_apart, readers, without_dead
from pipeline.problem import Problem

COUNTER = Tensor("counter", (1,), "int32")
NO_ACTIVATION = {"fused_activation_function": 0}


@dataclass(frozen=True)
class Loop:
    """`step` takes a row and states, and gives states and, where it is none of them, what it `made`.

    `rows` and `result` are the slots of the input and of the one result that is read; `every`: all steps' results.
    """

    step: Graph
    count: int
    rows: int
    result: int
    every: bool
    made: int  # which of the step's outputs it is
    states: tuple[int, ...]  # slots
    start: tuple[NDArray[Any], ...]


# Made


def with_loop(graph: Graph, x: int, y: int, step: Graph, every: bool) -> Graph:
    """The graph and a WHILE that makes its tensor y of its tensor x [1, rows, values].

    `step` has the inputs (row, states) and the outputs (made, states); states begin with what is real 0."""
    parts = _Parts(graph.tensors[x], graph.tensors[y], _states_apart(step), every)
    count = len(graph.tensors)
    begin = [_constant("start", np.zeros(1, np.int32)), *map(_zeros, parts.carried)]
    tensors = (*graph.tensors, *begin, *(replace(each, data=None) for each in begin), parts.rows)
    states = range(count + 1, count + len(begin))
    ends = range(count + len(begin), len(tensors))
    result = len(parts.carried) - 1 if every else parts.last
    outputs = (ends[0], ends[-1], *(y if i == result else end for i, end in enumerate(ends[1:-1])))
    index = 1 + max((node.index for node in graph.nodes), default=-1)
    options = {"table": "WhileOptions", "cond": parts.condition(), "body": parts.body()}
    node = Node(index, "WHILE", (count, x, *states), outputs, options)
    return replace(graph, tensors=tensors, nodes=(*graph.nodes, node))


class _Parts:
    """The two graphs of a WHILE in the making: what it carries behind the counter and the rows."""

    def __init__(self, rows: Tensor, result: Tensor, step: Graph, every: bool) -> None:
        self.rows, self.step, self.every = replace(rows, name="rows", data=None), step, every
        made, states = step.outputs[0], step.outputs[1:]
        self.carried = [replace(step.tensors[i], data=None) for i in step.inputs[1:]]
        self.news = list(states)
        if every:
            self.carried.append(replace(result, name="made"))
        elif made not in states:
            self.carried.append(replace(step.tensors[made], name="made"))
            self.news.append(made)
        self.last = self.news.index(made) if made in self.news else -1

    def condition(self) -> Graph:
        """Whether there are rows left."""
        tensors = (COUNTER, self.rows, *self.carried, _constant("count", np.array([self.rows.shape[1]], np.int32)),
                   Tensor("more", (1,), "bool"))  # fmt: skip
        carried = len(tensors) - 2
        node = Node(0, "LESS", (0, carried), (carried + 1,), {"table": "LessOptions"})
        return Graph(tensors, (node,), tuple(range(carried)), (carried + 1,))

    def body(self) -> Graph:
        """One step: its row, its new states, and its result at its place among all."""
        tensors, nodes = list(self.step.tensors), list[Node]()

        def put(tensor: Tensor) -> int:
            tensors.append(tensor)
            return len(tensors) - 1

        def run(op: str, inputs: Sequence[int], output: int, **options: Any) -> int:
            nodes.append(Node(len(nodes), op, tuple(inputs), (output,), options))
            return output

        def reshape(of: int, to: int) -> int:
            shape = put(_constant("shape", np.array(tensors[to].shape, np.int32)))
            return run("RESHAPE", (of, shape), to, table="ReshapeOptions")

        counter, rows = put(COUNTER), put(self.rows)
        row = replace(self.rows, shape=(1, 1, self.rows.shape[2]))
        picked = run("GATHER", (rows, counter), put(row), table="GatherOptions", axis=1, batch_dims=0)
        reshape(picked, self.step.inputs[0])
        nodes += [replace(node, index=len(nodes) + i) for i, node in enumerate(self.step.nodes)]
        one = put(_constant("one", np.ones(1, np.int32)))
        after = run("ADD", (counter, one), put(COUNTER), table="AddOptions", **NO_ACTIVATION)
        inputs, outputs = [counter, rows, *self.step.inputs[1:]], [after, rows, *self.news]
        if self.every:
            inputs.append(put(self.carried[-1]))
            made = self.carried[-1]
            part = reshape(self.step.outputs[0], put(replace(made, shape=(1, 1, made.shape[2]))))
            none = put(_constant("none", np.zeros(1, np.int32)))
            place = put(Tensor("place", (3,), "int32"))
            run("CONCATENATION", (none, counter, none), place, table="ConcatenationOptions", axis=0, **NO_ACTIVATION)
            outputs.append(run("DYNAMIC_UPDATE_SLICE", (inputs[-1], part, place), put(made),
                               table="DynamicUpdateSliceOptions"))  # fmt: skip
        elif len(self.carried) >= len(self.step.inputs):  # what was made before, which no step reads
            inputs.append(put(self.carried[-1]))
        return Graph(tuple(tensors), tuple(nodes), tuple(inputs), tuple(outputs))


def _states_apart(step: Graph) -> Graph:
    """A state that goes on as another one is copied: tflite-runtime mistakes it otherwise."""
    made, *states = step.outputs
    tensors, nodes, news = list(step.tensors), list(step.nodes), list[int]()
    for i in states:
        if i in (*step.inputs, *news):
            tensors += [_constant("shape", np.array(tensors[i].shape, np.int32)), replace(tensors[i], name="kept")]
            last = len(tensors) - 1
            nodes.append(Node(len(nodes), "RESHAPE", (i, last - 1), (last,), {"table": "ReshapeOptions"}))
            i = last
        news.append(i)
    return replace(step, tensors=tuple(tensors), nodes=tuple(nodes), outputs=(made, *news))


def _constant(name: str, values: NDArray[Any]) -> Tensor:
    return Tensor(name, values.shape, str(values.dtype), None, values)


def _zeros(tensor: Tensor) -> Tensor:
    zero = 0 if tensor.quant is None else tensor.zero_point
    return replace(tensor, data=np.full(tensor.shape, zero, tensor.dtype))


# Recognised


def loop_of(node: Node, graph: Graph) -> Loop:
    """What a WHILE does, if it is a loop over the rows of an input; else a Problem."""
    seen = _Seen(node, graph)
    gather = seen.gather()
    rows, counter = (seen.body.inputs.index(i) for i in gather.inputs)
    seen.counts(rows, counter)
    result = seen.result()
    joins = [i for i in range(len(node.inputs)) if seen.joins(i, counter)]
    states = tuple(i for i in range(len(node.inputs)) if i not in (rows, counter, *joins))
    seen.need(joins in ([], [result]) and result not in (rows, counter))
    made = seen.body.outputs[result] if not joins else seen.part(result)
    outputs = [seen.body.outputs[i] for i in states]
    outputs += [] if made in outputs else [made]
    nodes = tuple(each for each in seen.body.nodes if each.index != gather.index)
    inputs = (gather.outputs[0], *(seen.body.inputs[i] for i in states))
    step = outputs_apart(without_dead(replace(seen.body, nodes=nodes, inputs=inputs, outputs=tuple(outputs))))
    start = tuple(data for i in states if (data := graph.tensors[node.inputs[i]].data) is not None)
    seen.need(len(start) == len(states))
    count = graph.input(node, rows).shape[1]
    return Loop(step, count, rows, result, bool(joins), outputs.index(made), states, start)


class _Seen:
    """A WHILE under inspection."""

    def __init__(self, node: Node, graph: Graph) -> None:
        self.node, self.graph = node, graph
        self.condition, self.body = node.options["cond"], node.options["body"]
        self.made_by = makers(self.body)
        sides = [each.inputs for each in (node, self.condition)] + [node.outputs, self.body.outputs]
        self.need(all(len(each) == len(self.body.inputs) for each in sides))
        if not node.options.get("keep"):  # then the rows are those of a hop
            outside = [[graph.tensors[i] for i in each] for each in (node.inputs, node.outputs)]
            inside = [[self.body.tensors[i] for i in each] for each in (self.body.inputs, self.body.outputs)]
            self.need(len({tuple((t.shape, t.dtype) for t in each) for each in outside + inside}) == 1)

    def need(self, true: bool) -> None:
        """Refuse the loop where something is not true of it."""
        if not true:
            hint = "other control flow has no kernel; python -m pipeline.quantize makes loops of recurrent layers"
            raise Problem(self.graph.label(self.node), "is no loop over the rows of an input", hint)

    def gather(self) -> Node:
        """What picks a step's row."""
        inputs = {*self.body.inputs}
        found: list[Node] = [node for node in self.body.nodes if node.op == "GATHER" and set(node.inputs) <= inputs]
        self.need(len(found) == 1 and len(self.body.input(found[0]).shape) == 3 and found[0].options["axis"] == 1)
        return found[0]

    def counts(self, rows: int, counter: int) -> None:
        """The counter goes from 0 up to the number of rows, which stay as they are."""
        body, condition = self.body, self.condition
        after, more = self.made_by.get(body.outputs[counter]), makers(condition).get(condition.outputs[0])
        begin, length = self.graph.tensors[self.node.inputs[counter]], body.tensors[body.inputs[rows]].shape[1]
        self.need(body.outputs[rows] == body.inputs[rows] and after is not None and more is not None)
        assert after is not None and more is not None
        self.need(after.op == "ADD" and after.inputs[0] == body.inputs[counter])
        self.need(more.op == "LESS" and more.inputs[0] == condition.inputs[counter])
        known = (begin, body.input(after, 1), condition.input(more, 1))
        self.need(all(each.dtype == "int32" for each in known) and [_value(each) for each in known] == [0, 1, length])

    def result(self) -> int:
        """The one slot that is read."""
        read_by = readers(self.graph)
        read = [slot for slot, i in enumerate(self.node.outputs) if read_by[i] or i in self.graph.outputs]
        self.need(len(read) == 1)
        return read[0]

    def joins(self, slot: int, counter: int) -> bool:
        """Whether a slot takes a part at the counter's place in each step."""
        node = self.made_by.get(self.body.outputs[slot])
        if node is None or node.op != "DYNAMIC_UPDATE_SLICE" or node.inputs[0] != self.body.inputs[slot]:
            return False
        place = self.made_by.get(node.inputs[2])
        self.need(place is not None and place.op == "CONCATENATION" and place.inputs[1] == self.body.inputs[counter])
        assert place is not None
        self.need([_value(self.body.tensors[i]) for i in place.inputs] == [0, None, 0])
        return True

    def part(self, slot: int) -> int:
        """What a step puts there, before its reshapes."""
        part = self.made_by[self.body.outputs[slot]].inputs[1]
        whole, one = self.body.tensors[self.body.inputs[slot]].shape, self.body.tensors[part].shape
        self.need(one == (1, 1, *whole[2:]) and len(whole) == 3)
        while (maker := self.made_by.get(part)) is not None and maker.op == "RESHAPE":
            part = maker.inputs[0]
        return part


def _value(tensor: Tensor) -> int | None:
    """That of a constant with one value."""
    return None if tensor.data is None or tensor.data.size != 1 else int(tensor.data.reshape(-1)[0])
