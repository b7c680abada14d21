"""ARG_MAX and ARG_MIN: which class it is, decided on the device."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.graph import Graph, Node, Tensor
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, need_int8, op
from pipeline.ops.moves import constant_ints
from pipeline.problem import Problem


@op("ARG_MAX", "ARG_MIN")
@dataclass(frozen=True)
class ArgMax:
    """The input seen as [outer, length, inner]; the first of equals along the middle axis, int32 [outer, inner]."""

    name: str
    outer: int
    length: int
    inner: int
    shape: tuple[int, ...]
    macs = 0
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> ArgMax:
        """One constant axis; the index is int32, as in TFLite Micro."""
        x, y = graph.input(node), graph.output(node)
        need_int8(node, graph, x)
        if y.dtype != "int32":
            raise Problem(graph.label(node), f"makes {y.dtype} indices", "output_type=tf.int32 is what is compiled")
        axis = constant_ints(node, graph, 1, "axes")[0] % len(x.shape)
        outer, inner = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
        return cls(node.op.lower(), outer, x.shape[axis], inner, y.shape)

    def run(self, *inputs: Int8s) -> NDArray[Any]:
        """The first of equals."""
        values = inputs[0].reshape(self.outer, self.length, self.inner)
        found = (np.argmax if self.name == "arg_max" else np.argmin)(values, axis=1)
        return np.asarray(found, np.int32).reshape(self.shape)

    def call(self) -> Call:
        """The least value is the largest of those with all bits turned."""
        return Call("nn_arg_max_s8", "nn_arg_max_t", {
            "outer": self.outer, "length": self.length, "inner": self.inner, "turned": -int(self.name == "arg_min"),
        })  # fmt: skip

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Along the last and another axis."""
        for name, table in (("ARG_MAX", "ArgMaxOptions"), ("ARG_MIN", "ArgMinOptions")):
            for shape, axis in (((1, 7), -1), ((1, 5, 3), 1), ((1, 3, 4, 5), 2)):
                x = cases.activation(rng, shape, "input")
                left = tuple(size for i, size in enumerate(shape) if i != axis % len(shape))
                y = Tensor("output", left, "int32")
                yield cases.one_node(name, [x, cases.constant("axis", axis)], y, table, output_type=2)
