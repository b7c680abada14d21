"""WHILE: a loop over the rows of an input, in which a recurrent cell's kernels stand once for all steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import edges
from pipeline.arena import aligned
from pipeline.evaluate import evaluate
from pipeline.graph import Graph, Node, Quant, Tensor
from pipeline.importer import checked, operators
from pipeline.loops import loop_of, with_loop
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, Op, Part, Stateful, op
from pipeline.passes import simplified
from pipeline.problem import Problem

Arrays = Sequence[NDArray[Any]]


@op("WHILE")
@dataclass(frozen=True)
class Loop:
    """`cell`, with its `ops`, makes states, and as its output `made` the result, of a row and the states before."""

    cell: Graph = field(compare=False)
    ops: tuple[Op, ...] = field(compare=False)
    count: int
    begin: Arrays = field(compare=False)
    places: tuple[int, ...]  # slots of the rows, the result, and the states
    shapes: tuple[tuple[int, ...], ...]  # of the outputs
    made: int
    every: bool
    in_place = ()

    @staticmethod
    def slots(node: Node, graph: Graph) -> tuple[int, ...]:
        """The rows alone: what else it begins with is constant."""
        return (loop_of(node, graph).rows,)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Loop | KeptLoop:
        """Its cell is checked as a model is."""
        found, where = loop_of(node, graph), graph.label(node)
        if any(each.op == "WHILE" for each in found.step.nodes):
            raise Problem(where, "has a loop inside", "only loops that are not in another one are compiled")
        checked(found.step, where)
        operators(found.step, where)  # what is wrong is told of the file's own operators
        cell = simplified(found.step)
        shapes = tuple(graph.tensors[i].shape for i in node.outputs)
        places = (found.rows, found.result, *found.states)
        loop = cls(cell, operators(cell, where), found.count, found.start, places, shapes, found.made, found.every)
        return KeptLoop(loop) if node.options.get("keep") else loop

    def run(self, *inputs: Int8s) -> tuple[NDArray[Any], ...]:
        """The oracle: rows [1, rows, values] in; all that it carries out, behind the last step."""
        return self.goes(self.begin, inputs[0])[0]

    def goes(self, states: Arrays, x: NDArray[Any]) -> tuple[tuple[NDArray[Any], ...], Arrays]:
        """All outputs by slot, and the states behind the last row."""
        made, row = [], self.cell.edge("input")[0]
        for values in x.reshape(self.count, *row.shape):
            window = edges.join(self.cell.edge("input"), [values, *states])
            seen = evaluate(self.cell, self.ops, window)
            outputs = [seen[i] for i in self.cell.outputs]
            states = outputs[: len(states)]
            made.append(outputs[self.made])
        result = np.concatenate(made, axis=0) if self.every else made[-1]
        carried = dict(zip(self.places, (x, result, *states), strict=True)) | {self.places[1]: result}
        counter = np.array(self.count, np.int32)
        return tuple(carried.get(i, counter).reshape(shape) for i, shape in enumerate(self.shapes)), states

    def call(self) -> tuple[Part]:
        """One call; `start` is what the states are before the first row."""
        takes, makes = self.cell.edge("input"), self.cell.edge("output")
        made = makes[self.made].bytes
        answer, arena = aligned(edges.size(takes)), aligned(edges.size(takes)) + aligned(edges.size(makes))
        at = edges.offsets(takes)[1]
        call = Call("nn_loop_s8", "nn_loop_t", {
            "count": self.count, "row": takes[0].bytes, "state": edges.size(takes) - at, "made": made,
            "every": int(self.every), "state_at": at, "answer_at": answer,
            "made_at": answer + edges.offsets(makes)[self.made], "arena_at": arena, "start": self.joined(self.begin),
        }, scratch=arena, body=(self.cell, self.ops))  # fmt: skip
        return (Part(call, (0,), self.places[1]),)

    def joined(self, states: Arrays) -> Int8s:
        """The states' bytes int8 [n] as they lie behind a row."""
        return edges.join(self.cell.edge("input")[1:], states).reshape(-1)

    @property
    def macs(self) -> int:
        """Those of a step for each row."""
        return self.count * sum(op.macs for op in self.ops)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """The last step and all, one row and many, one state and two, results that are a state and that are none."""
        sizes = [(1, 1, 1), (5, 3, 4), (12, 7, 5), (3, 4, 8), (40, 2, 3), (9, 33, 6)]
        for i, (count, inputs, units) in enumerate(sizes):
            yield _graph(rng, count, inputs, units, every=i % 2 == 1, apart=i % 3 == 2)


@dataclass(frozen=True)
class KeptLoop(Stateful):
    """The same on the rows of a hop, where the states go on from one inference to the next: streaming."""

    loop: Loop
    in_place = ()

    @property
    def start(self) -> Int8s:
        """The states before the first row."""
        return self.loop.joined(self.loop.begin)

    def step(self, state: Int8s, *inputs: Int8s) -> tuple[Any, Int8s]:
        """The outputs of one hop, and the states behind it."""
        takes = self.loop.cell.edge("input")[1:]
        made, states = self.loop.goes(edges.split(takes, state), inputs[0])
        return made, self.loop.joined(states)

    def call(self) -> tuple[Part]:
        """One call, with what it keeps."""
        (part,) = self.loop.call()
        fields = {name: value for name, value in part.call.fields.items() if name != "start"}
        return (replace(part, call=replace(part.call, kernel="nn_loop_kept_s8", fields=fields, state=self.start)),)

    @property
    def macs(self) -> int:
        """Those of a hop."""
        return self.loop.macs


def _graph(rng: np.random.Generator, count: int, inputs: int, units: int, every: bool, apart: bool) -> Graph:
    """A loop of a random cell."""
    x = cases.activation(rng, (1, count, inputs), "input", 0.02)
    step = _cell(rng, x, units, apart)
    made = step.tensors[step.outputs[0]]
    y = Tensor("output", (1, count, units) if every else (1, units), "int8", made.quant)
    return with_loop(Graph((x, y), (), (0,), (1,)), 0, 1, step, every)


def _cell(rng: np.random.Generator, x: Tensor, units: int, apart: bool) -> Graph:
    """tanh(W x + U h + b); `apart`: with a second state, the first as it was before, and a result of its own."""
    tensors = [replace(x, name="row", shape=(1, x.shape[2])), _state("h", units), _state("older", units)]
    nodes: list[Node] = []

    def put(op: str, inputs: tuple[int, ...], y: Tensor, table: str, *constants: Tensor) -> int:
        first = len(tensors)
        tensors.extend((*constants, y))
        slots = (*inputs, *range(first, first + len(constants)))
        nodes.append(Node(len(nodes), op, slots, (len(tensors) - 1,), {"table": table, "fused_activation_function": 0}))
        return len(tensors) - 1

    def dense(of: int) -> int:
        shape = (units, tensors[of].shape[1])
        scale = float(np.float32(1 / 64 / math.sqrt(shape[1])))
        w = replace(cases.weights(rng, shape, None), quant=Quant((scale,), (0,)))
        sums = cases.activation(rng, (1, units), "sums", 0.02, 0)
        return put("FULLY_CONNECTED", (of,), sums, "FullyConnectedOptions", w, cases.bias(rng, tensors[of], w, units))

    both = put("ADD", (dense(0), dense(1)), cases.activation(rng, (1, units), "both", 0.03, 0), "AddOptions")
    squashed = put("TANH", (both,), _state("squashed", units), "NONE")
    if not apart:
        return Graph(tuple(tensors), tuple(nodes), (0, 1), (squashed, squashed))
    made = put("ADD", (squashed, 2), cases.activation(rng, (1, units), "made", 0.015, 3), "AddOptions")
    return Graph(tuple(tensors), tuple(nodes), (0, 1, 2), (made, squashed, 1))


def _state(name: str, units: int) -> Tensor:
    return Tensor(name, (1, units), "int8", Quant((1 / 128,), (0,)))
