"""LOG_SOFTMAX: the logarithm of a softmax."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.fixedpoint import INT32_MIN, divide_by_power, log_of_sum, quantize_multiplier, requantize
from pipeline.graph import Graph, Node
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, clamp8, need_int8, op
from pipeline.ops.softmax import INTEGER_BITS, Exps, exps_of
from pipeline.problem import Problem

OUTPUT_BITS = 4


@op("LOG_SOFTMAX")
@dataclass(frozen=True)
class LogSoftmax:
    """Along the last axis; the output's scale is 1/16 and its zero point 127."""

    exps: Exps
    back: tuple[int, int]  # the rescale from Q5.26 to differences
    macs = 0
    in_place = (0,)

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> LogSoftmax:
        """Refuses any other output quantization, as TFLite Micro does."""
        x, y = graph.input(node), graph.output(node)
        need_int8(node, graph, x, y)
        if (y.scale, y.zero_point) != (1 / 16, 127):
            raise Problem(graph.label(node), f"its output has scale {y.scale:g} and zero point {y.zero_point}",
                          "log softmax must have 1/16 and 127")  # fmt: skip
        exps = exps_of(node, graph, x, 1.0)
        return cls(exps, quantize_multiplier((1 << (31 - exps.shift)) / exps.multiplier))

    def run(self, *inputs: Int8s) -> Int8s:
        """x - max - log(sum of exps), row by row."""
        diffs, q5, sums = self.exps.run(inputs[0])
        logs = np.array([log_of_sum(int(total)) for total in sums], np.int64)[:, np.newaxis]
        lowest = np.maximum(self.exps.diff_min - 1, requantize(INT32_MIN + logs, *self.back))
        values = divide_by_power(q5 - logs, 31 - INTEGER_BITS - OUTPUT_BITS) + 127
        return clamp8(np.where(diffs > lowest, values, -128)).reshape(inputs[0].shape)

    def call(self) -> Call:
        """One call for the whole layer."""
        return Call("nn_log_softmax_s8", "nn_log_softmax_t", {
            "exps": self.exps.fields(), "back_multiplier": self.back[0], "back_shift": self.back[1],
        })  # fmt: skip

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """One and several rows, small and large scales (from all alike to one winner)."""
        for scale, shape in ((0.001, (1, 2, 300)), (0.02, (1, 7)), (0.1, (1, 3, 40)), (0.3, (1, 256)), (1.0, (1, 9)),
                             (40.0, (1, 12)), (0.05, (1, 3, 1))):  # fmt: skip
            x = cases.activation(rng, shape, "input", scale)
            y = cases.activation(rng, shape, "output", 1 / 16, 127)
            yield cases.one_node("LOG_SOFTMAX", [x], y, "LogSoftmaxOptions")
