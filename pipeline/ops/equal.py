"""EQUAL, NOT_EQUAL, LESS, LESS_EQUAL, GREATER and GREATER_EQUAL: two tensors to bools."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.fixedpoint import Ints
from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases
from pipeline.ops.base import Call, Field, op
from pipeline.ops.broadcast import Broadcast, Finer, finer, graph_of, pairs, typed_broadcast
from pipeline.problem import Problem

# What holds: 1 when a < b, 2 when a = b, 4 when a > b
HOLDS = {"EQUAL": 2, "NOT_EQUAL": 5, "LESS": 1, "LESS_EQUAL": 3, "GREATER": 4, "GREATER_EQUAL": 6}
LEFT_SHIFT = 8


@op(*HOLDS)
@dataclass(frozen=True)
class Compare:
    """int8 is compared as real numbers, rounded to 1/256: `finer` brings both to that scale. Others as they are."""

    holds: int
    broadcast: Broadcast
    finer: tuple[Finer, Finer] | None
    width: int
    macs = 0
    slots = (0, 1)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Compare:
        """int8, int32 and bool, both alike; scales below 1, as TFLite Micro's arithmetic wants them."""
        broadcast, a, b, y = typed_broadcast(node, graph)
        if y.dtype != "bool" or a.dtype not in ("int8", "int32", "bool"):
            raise Problem(graph.label(node), f"makes {y.dtype} of {a.dtype}", "int8, int32 and bool are compared")
        if a.dtype != "int8" or a.quant is None or b.quant is None:
            return cls(HOLDS[node.op], broadcast, None, a.itemsize)
        if max(a.scale, b.scale) >= 1:
            raise Problem(graph.label(node), f"compares values of scale {max(a.scale, b.scale):g}",
                          "calibrate with data in which both stay below 127")  # fmt: skip
        return cls(HOLDS[node.op], broadcast, (finer(a, a.scale), finer(b, b.scale)), 1)

    def run(self, *inputs: NDArray[Any]) -> NDArray[np.bool_]:
        """-1, 0 or 1 as a is smaller, equal or greater, and whether that is one of those that hold."""
        a, b = (self._scaled(i, x) for i, x in enumerate(inputs))
        return np.asarray((self.holds >> (np.sign(a - b) + 1)) & 1, np.bool_)

    def _scaled(self, i: int, x: NDArray[Any]) -> Ints:
        return x.astype(np.int64) if self.finer is None else self.finer[i].scaled(x, LEFT_SHIFT)

    def call(self) -> Call:
        """One call for the whole layer."""
        fields: dict[str, Field] = {"broadcast": self.broadcast.fields(), "holds": self.holds}
        if self.finer is None:
            return Call("nn_compare_wide", "nn_compare_wide_t", {**fields, "width": self.width})
        a, b = (each.fields() for each in self.finer)
        return Call("nn_compare_s8", "nn_compare_t", {**fields, "a": a, "b": b})

    @property
    def in_place(self) -> tuple[int, ...]:
        """See Broadcast."""
        return self.broadcast.in_place

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Two kinds of broadcast for each in int8; int32, and bool where TFLite Micro has it."""
        for i, name in enumerate(HOLDS):
            table = f"{name.title().replace('_', '')}Options"
            for pair in list(pairs(rng))[i % 2 :: 3]:
                yield graph_of(rng, name, pair, _bools(pair), table)
            for dtype in ("int32", "bool")[: 2 if name.endswith("EQUAL") and i < 2 else 1]:
                alike = Tensor("a", (1, 3, 5), dtype), Tensor("b", (1, 3, 5) if i % 2 else (1, 1, 5), dtype)
                yield cases.one_node(name, alike, _bools(alike), table)


def _bools(pair: tuple[Tensor, Tensor]) -> Tensor:
    return Tensor("output", tuple(np.broadcast_shapes(pair[0].shape, pair[1].shape)), "bool")
