"""CAST: integers and bools as integers of another width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.edges import DTYPES
from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases
from pipeline.ops.base import Call, op
from pipeline.problem import Problem


@op("CAST")
@dataclass(frozen=True)
class Cast:
    """The low bytes of each value, whatever its scale."""

    count: int
    source: str
    target: str
    macs = 0
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Cast:
        """To integers, as in TFLite Micro."""
        x, y = graph.input(node), graph.output(node)
        if x.dtype not in DTYPES or y.dtype not in ("int8", "int16", "int32"):
            raise Problem(graph.label(node), f"casts {x.dtype} to {y.dtype}", "it casts integers and bools to integers")
        return cls(x.count, x.dtype, y.dtype)

    def run(self, *inputs: NDArray[Any]) -> NDArray[Any]:
        """What does not fit wraps."""
        return inputs[0].astype(self.target)

    def call(self) -> Call:
        """One call for the whole layer."""
        widths = {"from": np.dtype(self.source).itemsize, "to": np.dtype(self.target).itemsize}
        return Call("nn_cast", "nn_cast_t", {"count": self.count, **widths})

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Wider, narrower, and from bools."""
        for source in DTYPES:
            for target in ("int8", "int16", "int32"):
                if source != target:
                    x, y = Tensor("input", (1, 300), source), Tensor("output", (1, 300), target)
                    yield cases.one_node("CAST", [x], y, "CastOptions")
