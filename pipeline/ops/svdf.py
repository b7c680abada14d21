"""SVDF: a layer that weighs its inputs and then its last values in time, one step of time an inference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.fixedpoint import quantize_multiplier, requantize, wrap32
from pipeline.graph import Graph, Node, Quant, Tensor
from pipeline.ops import cases
from pipeline.ops.base import Call, Int8s, Stateful, clamp8, need_constant, need_int8, need_variable, op
from pipeline.ops.weighted import biases, symmetric
from pipeline.problem import Problem

FEATURES, TIME, BIAS, STATE = range(1, 5)  # slots


@op("SVDF")
@dataclass(frozen=True)
class Svdf(Stateful):
    """Weights int8 [filters, inputs]; in time, like the state, int16 or int8 [filters, memory], the oldest first."""

    tflite_differs = "tflite-runtime 2.14 takes 8-bit state for 16-bit and writes behind its end: oracle.py refuses it"
    rank: int
    weights: Int8s = field(compare=False)
    time: NDArray[Any] = field(compare=False)
    bias: NDArray[np.int32] = field(compare=False)
    input_offset: int
    output_offset: int
    state_zero_point: int
    scale: tuple[int, int]
    output_scale: tuple[int, int]
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Svdf:
        """TFLite Micro takes its ratios of scales in float, and ignores the fused activation."""
        x, y = graph.input(node), graph.output(node)
        need_int8(node, graph, x, y)
        w, time = symmetric(node, graph, FEATURES), need_constant(node, graph, TIME, "weights in time")
        state = need_variable(node, graph, STATE, "int8", "int16")
        need_constant(node, graph, BIAS, "biases")
        if time.dtype != state.dtype or time.quant is None or time.zero_point != 0:
            what = f"its weights in time are {time.dtype} and its state is {state.dtype}"
            raise Problem(graph.label(node), what, "both must be symmetric int8, or both int16")
        assert w.data is not None and time.data is not None
        rank = node.options["rank"]
        first = np.float32(x.scale) * np.float32(w.scale) / np.float32(state.scale)
        second = np.float32(state.scale) * np.float32(time.scale) / np.float32(y.scale)
        return cls(
            rank=rank,
            weights=w.data.reshape(-1, x.shape[-1]),
            time=time.data.reshape(len(w.data), -1),
            bias=biases(node, graph, BIAS, len(w.data) // rank),
            input_offset=-x.zero_point,
            output_offset=y.zero_point,
            state_zero_point=state.zero_point,
            scale=quantize_multiplier(float(first)),
            output_scale=quantize_multiplier(float(second)),
        )

    @property
    def start(self) -> Int8s:
        """The zero point in int8 [filters, memory]; TFLite Micro starts int16 with 0, whatever the zero point."""
        wide = self.time.dtype == np.int16
        return np.full(self.time.nbytes, 0 if wide else self.state_zero_point, np.int8)

    def step(self, state: Int8s, *inputs: Int8s) -> tuple[Int8s, Int8s]:
        """Input [1, inputs], output [1, units]."""
        kind = self.time.dtype.newbyteorder("<")
        memory = state.view(kind).reshape(self.time.shape)
        dots = self.weights.astype(np.int64) @ (inputs[0].reshape(-1).astype(np.int64) + self.input_offset)
        limits = np.iinfo(kind)
        newest = np.clip(requantize(dots, *self.scale), limits.min, limits.max) + self.state_zero_point
        memory = np.column_stack([memory[:, 1:], newest.astype(kind)])
        weighed = self.time.astype(np.int64) * (memory.astype(np.int64) - self.state_zero_point)
        sums = wrap32(weighed.sum(axis=1).reshape(-1, self.rank).sum(axis=1) + self.bias)
        made = clamp8(requantize(sums, *self.output_scale) + self.output_offset)
        return made.reshape(1, -1), np.frombuffer(memory.tobytes(), np.int8)

    def call(self) -> Call:
        """One call for the whole layer."""
        return Call("nn_svdf_s8", "nn_svdf_t", {
            "inputs": self.weights.shape[1], "units": len(self.bias), "rank": self.rank,
            "memory": self.time.shape[1], "input_offset": self.input_offset, "output_offset": self.output_offset,
            "state_zero_point": self.state_zero_point, "wide": int(self.time.dtype == np.int16),
            "multiplier": self.scale[0], "shift": self.scale[1], "output_multiplier": self.output_scale[0],
            "output_shift": self.output_scale[1], "weights": self.weights, "time": self.time, "bias": self.bias,
        }, state=self.start)  # fmt: skip

    @property
    def macs(self) -> int:
        """One product per weight."""
        return self.weights.size + self.time.size

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """Both kinds of state, several ranks, one remembered value and many."""
        for i, (rank, memory) in enumerate([(1, 1), (1, 8), (2, 5), (4, 3), (2, 16), (3, 10)]):
            for dtype in ("int16", "int8"):
                yield _graph(rng, 3 + 7 * i, 1 + 2 * i, (rank, memory), dtype)


def _graph(rng: np.random.Generator, inputs: int, units: int, depth: tuple[int, int], dtype: str) -> Graph:
    """A random SVDF of this (rank, memory) whose state and output saturate now and then."""
    (rank, memory), wide = depth, dtype == "int16"
    x = cases.activation(rng, (1, inputs), "input")
    w = cases.weights(rng, (rank * units, inputs), None)
    spread = x.scale * w.scale * 64 * 64 * np.sqrt(inputs)  # of a filter's value
    most, largest = (32767, 1000) if wide else (127, 127)
    state_scale = float(np.float32(spread * rng.uniform(1, 4) / most))
    zero_point = 0 if wide else int(rng.choice([0, -5, 40]))
    state = Tensor("state", (1, memory * rank * units), dtype, Quant((state_scale,), (zero_point,)), is_variable=True)
    data = rng.integers(-largest, largest + 1, (rank * units, memory)).astype(dtype)
    time_scale = float(np.float32(rng.uniform(0.5, 1) / largest))
    time = Tensor("time", data.shape, dtype, Quant((time_scale,), (0,)), data)
    bias_scale = float(np.float32(state_scale) * np.float32(time_scale))
    bias = cases.constant("bias", rng.integers(-5000, 5000, units))
    bias = Tensor("bias", (units,), "int32", Quant((bias_scale,), (0,)), bias.data)
    y = cases.activation(rng, (1, units), "output", float(spread * np.sqrt(rank * memory) * rng.uniform(0.5, 2) / 128))
    return cases.one_node("SVDF", [x, w, time, bias, state], y, "SVDFOptions", rank=rank, fused_activation_function=1)
