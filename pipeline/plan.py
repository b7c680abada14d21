"""The Plan: what the device does. Order of calls, where every activation lies, which constants each call reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.buffers import Layout, Use, lay_out
from pipeline.cores import PORTABLE, Core
from pipeline.costs import predicted, unit
from pipeline.ctext import array_key, edge_json
from pipeline.graph import Graph, Node, Tensor
from pipeline.ops.base import Call, Op, Part, activations, load
from pipeline.ops.choice import around, parts
from pipeline.views import Views, find_views, pieces


@dataclass(frozen=True)
class Step:
    """One call of a kernel: activations by tensor index, `name` its C identifier, `title` the layer's path in Keras."""

    index: int
    op: str
    name: str
    title: str
    call: Call
    inputs: tuple[int, ...]
    output: int
    in_place: tuple[int, ...]
    macs: int
    predicted: float | None = None  # what it will take on the core: see costs.py
    dense: dict[str, Any] | None = None  # of a call that skips zeros: bytes and price of the one that does not
    body: Plan | None = None  # of what the kernel runs itself

    @property
    def arrays(self) -> list[NDArray[Any]]:
        """The arrays this call reads, in its body too."""
        inside = [array for step in (self.body.steps if self.body else ()) for array in step.arrays]
        return [*self.call.arrays.values(), *inside]

    @property
    def weights_bytes(self) -> int:
        """Their bytes."""
        return sum(value.nbytes for value in self.arrays)

    @property
    def state_bytes(self) -> int:
        """Bytes that this call keeps from one inference to the next."""
        return 0 if self.call.state is None else self.call.state.nbytes

    @property
    def zeros(self) -> float | None:
        """The share of weights that are zero, or None where there are no weights."""
        weights = self.call.fields.get("weights") if self.call.plain is None else self.call.plain
        return float(np.mean(weights == 0)) if isinstance(weights, np.ndarray) else None


def _constants(call: Call) -> int:
    """Bytes of its arrays."""
    return sum(value.nbytes for value in call.arrays.values())


@dataclass(frozen=True)
class Plan:
    """Everything the generator prints: the calls in order, and where every activation lies."""

    graph: Graph
    steps: tuple[Step, ...]
    layout: Layout
    views: Views
    core: Core = PORTABLE
    note: str = ""  # what else there is to say of it

    @property
    def input(self) -> Tensor:
        """The model's input."""
        return self.graph.tensors[self.graph.inputs[0]]

    @property
    def output(self) -> Tensor:
        """The model's output."""
        return self.graph.tensors[self.graph.outputs[0]]

    @property
    def weights_bytes(self) -> int:
        """Bytes of all constant arrays; equal ones count once."""
        arrays = {array_key(value): value for step in self.steps for value in step.arrays}
        return sum(value.nbytes for value in arrays.values())

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """The steps, and before each those of its body."""
        return tuple(each for step in self.steps for each in (*(step.body.all_steps if step.body else ()), step))

    @property
    def predicted(self) -> float | None:
        """What an inference will take, in the unit of the core's table; None where nothing was measured."""
        return sum(step.predicted or 0.0 for step in self.steps) if unit(self.core.name) else None


MOVES = 1.05  # what parts that are not moved may cost: so many times the arena


def plan(graph: Graph, ops: Sequence[Op], core: Core = PORTABLE) -> Plan:
    """Order, kernels, buffers and offsets for a graph whose operators are `ops`, node by node, on a core."""
    joined, moved = (_planned(graph, ops, core, joins) for joins in (True, False))
    # what is joined lives from its first part on
    return joined if joined.layout.arena_bytes <= MOVES * moved.layout.arena_bytes else moved


def _planned(graph: Graph, ops: Sequence[Op], core: Core, joins: bool) -> Plan:
    views = find_views(graph, ops, joins)
    made_by = {node.outputs[0]: (node, op) for node, op in zip(graph.nodes, ops, strict=True)}
    steps = tuple(_priced(graph, step, core, made_by) for step in _steps(graph, ops, views, core))
    uses = [Use(step.inputs, step.output, step.in_place, step.call.scratch, step.state_bytes) for step in steps]
    return Plan(graph, steps, lay_out(graph, uses, views), views, core)


def _priced(graph: Graph, step: Step, core: Core, made_by: Mapping[int, tuple[Node, Op]]) -> Step:
    """The step with what it will take on the core, and would take without sparse weights; a loop as often as it has
    rows what its body takes."""
    count = step.call.fields.get("count")
    if step.body is not None and step.body.predicted is not None and isinstance(count, int):
        return replace(step, predicted=count * step.body.predicted)
    moved = around(graph, step.inputs, step.output)
    price, dense = predicted(core.name, step.call, moved), None
    if "_sparse_" in step.call.kernel:
        node, op = made_by[step.output]
        other = parts(node, graph, op, replace(core, sparse=False))[0].call
        cost = predicted(core.name, other, moved)
        dense = {"weights_bytes": _constants(other), "predicted": cost and round(cost)}
    return replace(step, predicted=price, dense=dense)


def _parts(graph: Graph, place: int, op: Op, views: Views, core: Core) -> tuple[Part, ...]:
    """The calls of an operator, by its place, that no view saves; a reshape that is no view is a copy."""
    node = graph.nodes[place]
    copy = Call("nn_copy_s8", "nn_copy_t", {"count": graph.output(node).bytes})
    calls = parts(node, graph, op, core) or (Part(copy, (0,)),)
    return tuple(part for number, part in enumerate(calls) if (place, number) not in views.saved)


def _steps(graph: Graph, ops: Sequence[Op], views: Views, core: Core) -> tuple[Step, ...]:
    """One step per kernel call; a constant activation is loaded to RAM before its first use."""
    steps: list[Step] = []
    names: set[str] = set()
    for place, (node, op) in enumerate(zip(graph.nodes, ops, strict=True)):
        path, inputs, macs = layer_path(graph, node), activations(node, graph), op.macs
        name, title = c_name(path, node.op), "/".join(path)
        for tensor in dict.fromkeys(inputs):
            values = graph.tensors[tensor].data
            if values is not None and all(step.output != tensor for step in steps):
                loaded = _unique(f"{name}_operand", names)
                steps.append(Step(len(steps), "LOAD", loaded, title, load(values), (), tensor, (), 0))
        for part in _parts(graph, place, op, views, core):
            operands, output = tuple(inputs[slot] for slot in part.slots), node.outputs[part.output]
            in_place = tuple(inputs[slot] for slot in (*op.in_place, *part.call.in_place))
            own = _unique(name, names)
            step = Step(len(steps), node.op, own, title, part.call, operands, output, in_place, macs)
            steps.append(_with_body(step, core))
            macs = 0  # they are the node's, not each call's
    return tuple(steps)


def _with_body(step: Step, core: Core) -> Step:
    """The step with a plan of what its kernel runs itself, whose steps have its name before their own."""
    if step.call.body is None:
        return step
    made = plan(*step.call.body, core)
    steps = tuple(replace(each, name=f"{step.name}_{each.name}") for each in made.steps)
    call = replace(step.call, scratch=step.call.scratch + made.layout.arena_bytes)
    return replace(step, call=call, body=replace(made, steps=steps))


LAYER_OPS = ("Conv2D", "Conv1D", "depthwise", "MatMul")  # what TensorFlow calls the op inside a layer with weights

# Words that mean something else in the generated function: C's own, its library's, parameters, tensors, the kernels.
TAKEN = re.compile(
    r"auto|break|case|char|const|continue|default|do|double|else|enum|extern|float|for|goto|if|inline|int|long|register|"
    r"restrict|return|short|signed|sizeof|static|struct|switch|typedef|union|unsigned|void|volatile|while|bool|true|false|"
    r"(l?abs|(a?(sin|cos|tan)h?|exp|exp2|expm1|log|log10|log1p|log2|logb|pow|sqrt|cbrt|fabs|ceil|floor|l?round|trunc|rint|"
    r"fmod|fmin|fmax|fma|fdim|hypot|ldexp|frexp|modf|scalb|remainder|l?gamma|erfc?|[jy][01n])[fl]?|l?div|rand|exit|abort|"
    r"r?index|select|signal|time|clock|main|read|write|malloc|free|(mem|str|b)(cmp|cpy|set|zero|len|cat|chr|str|move))|"
    r"input|output|arena|t\d+|u?int(8|16|32|64)_t|nn_.*"
)


def layer_path(graph: Graph, node: Node) -> list[str]:
    """The Keras layer behind a node, such as [rehab, conv1], as the names that the converter leaves tell it; or []."""
    weights = graph.tensor(node, 1)
    for path in _paths(weights) if weights is not None and weights.data is not None else []:
        if path[-1] in LAYER_OPS and len(path) > 1:
            return path[:-1]
    return next((path[:-1] for path in _paths(graph.output(node)) if len(path) > 1), [])


def _paths(tensor: Tensor) -> list[list[str]]:
    return [path.split("/") for path in tensor.name.split(";") if path]


def c_name(path: Sequence[str], op: str) -> str:
    """A C identifier for the last name of a layer's path; the operator's own name where there is none."""
    word = re.sub(r"\W+", "_", path[-1], flags=re.ASCII).strip("_").lower() if path else ""
    word = op.lower() if not word or word[0].isdigit() else word
    return f"{word}_layer" if TAKEN.fullmatch(word) else word


def _unique(name: str, taken: set[str]) -> str:
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    taken.add(unique)
    return unique


def _makers(plan: Plan, tensor: int, before: int) -> list[tuple[int, int, int]]:
    """Where the bytes of this input of step `before` come from: (step, or -1 for the window; first byte; bytes)."""
    made = {step.output: step.index for step in plan.steps[:before]}
    windows = {i: plan.layout.places[i].offset for i in plan.graph.inputs}
    return [
        (-1, windows[source] + start, count) if source in windows else (made[source], start, count)
        for source, start, count in pieces(plan.graph, plan.views.by_tensor, made, tensor)
    ]


def plan_json(plan: Plan, **head: Any) -> dict[str, Any]:
    """plan.json: `head` first, then sizes, edges, operators and tensors."""

    tensors = plan.graph.tensors
    return {
        **head,
        "model_id": plan.graph.model_id,
        "arena_bytes": plan.layout.arena_bytes,
        "arena_bound": plan.layout.arena_bound,
        "weights_bytes": plan.weights_bytes,
        "macs": sum(step.macs for step in plan.steps),
        "predicted": plan.predicted and {"total": round(plan.predicted), "unit": unit(plan.core.name)},
        "input": edge_json(*plan.graph.edge("input")),
        "output": edge_json(*plan.graph.edge("output")),
        "operators": [
            {"index": s.index, "op": s.op, "name": s.name, "kernel": s.call.kernel, "macs": s.macs,
             "weights_bytes": s.weights_bytes, "zeros": s.zeros, "output_shape": list(tensors[s.output].shape),
             "inputs": list(s.inputs), "makers": [_makers(plan, tensor, s.index) for tensor in s.inputs],
             "output": s.output,
             "scratch_bytes": s.call.scratch, "state_bytes": s.state_bytes,
             "predicted": s.predicted and round(s.predicted), "dense": s.dense}
            for s in plan.steps
        ],
        "tensors": [
            {"name": tensors[i].name, "shape": list(tensors[i].shape), "place": place.kind, "offset": place.offset,
             "bytes": tensors[i].bytes, "first": plan.layout.lives[i][0], "last": plan.layout.lives[i][1]}
            for i, place in sorted(plan.layout.places.items())
        ] + _own_bytes(plan),
    }  # fmt: skip


def _own_bytes(plan: Plan) -> list[dict[str, Any]]:
    """Scratch and state of steps, as plan.json lists them among the tensors."""
    layout, end = plan.layout, len(plan.steps)
    scratch = [("scratch", i, offset, plan.steps[i].call.scratch, i, i) for i, offset in layout.scratch.items()]
    states = [("state", i, offset, plan.steps[i].state_bytes, 0, end) for i, offset in layout.states.items()]
    return [
        {"name": f"{plan.steps[i].name} {kind}", "shape": [size], "place": kind, "offset": offset, "bytes": size,
         "first": first, "last": last}
        for kind, i, offset, size, first, last in scratch + states
    ]  # fmt: skip
