"""LOGICAL_AND, LOGICAL_OR and LOGICAL_NOT of bools, which are bytes 0 and 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases
from pipeline.ops.base import Call, need_alike, op
from pipeline.ops.broadcast import CONSTANT, Broadcast, typed_broadcast
from pipeline.problem import Problem


def _need_bool(node: Node, graph: Graph, x: Tensor, y: Tensor) -> None:
    need_alike(node, graph, x, y)
    if x.dtype != "bool":
        raise Problem(graph.label(node), f"takes {x.dtype}, not bool", "compare first: EQUAL, LESS and their like")


@op("LOGICAL_AND", "LOGICAL_OR")
@dataclass(frozen=True)
class LogicalAnd:
    """The lesser or the greater of two bytes."""

    name: str
    broadcast: Broadcast
    macs = 0
    slots = (0, 1)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> LogicalAnd:
        """Every kind of broadcast."""
        broadcast, a, _, y = typed_broadcast(node, graph)
        _need_bool(node, graph, a, y)
        return cls("minimum" if node.op == "LOGICAL_AND" else "maximum", broadcast)

    def run(self, *inputs: NDArray[Any]) -> NDArray[np.bool_]:
        """Value by value."""
        return np.asarray((np.logical_and if self.name == "minimum" else np.logical_or)(*inputs))

    def call(self) -> Call:
        """MINIMUM's or MAXIMUM's kernel."""
        return Call(f"nn_{self.name}_s8", f"nn_{self.name}_t", {"broadcast": self.broadcast.fields()})

    @property
    def in_place(self) -> tuple[int, ...]:
        """See Broadcast."""
        return self.broadcast.in_place

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Every kind of broadcast."""
        for name in ("LOGICAL_AND", "LOGICAL_OR"):
            for shapes in CONSTANT[:3]:
                a, b = (Tensor(each, shape, "bool") for each, shape in zip("ab", shapes, strict=True))
                y = Tensor("output", tuple(np.broadcast_shapes(*shapes)), "bool")
                yield cases.one_node(name, [a, b], y, f"{name.title().replace('_', '')}Options")


@op("LOGICAL_NOT")
@dataclass(frozen=True)
class LogicalNot:
    """0 is 1, 1 is 0."""

    count: int
    macs = 0
    in_place = (0,)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> LogicalNot:
        """Of bools only."""
        _need_bool(node, graph, graph.input(node), graph.output(node))
        return cls(graph.input(node).count)

    def run(self, *inputs: NDArray[Any]) -> NDArray[np.bool_]:
        """Value by value."""
        return np.asarray(np.logical_not(inputs[0]))

    def call(self) -> Call:
        """One call for the whole layer."""
        return Call("nn_logical_not", "nn_logical_not_t", {"count": self.count})

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """A few shapes."""
        for shape in ((1, 9), (1, 3, 5), (1, 2, 2, 3)):
            x, y = (Tensor(name, shape, "bool") for name in ("input", "output"))
            yield cases.one_node("LOGICAL_NOT", [x], y, "LogicalNotOptions")
