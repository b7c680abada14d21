"""UNIDIRECTIONAL_SEQUENCE_LSTM: Keras LSTM, whole windows at once, with its cells and hidden state kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.fixedpoint import quantize_multiplier, requantize
from pipeline.graph import Graph, Node, Quant, Tensor
from pipeline.ops import cases
from pipeline.ops.base import ACTIVATIONS, Call, Int8s, Stateful, clamp8, need_int8, need_variable, op
from pipeline.ops.sigmoid16 import sigmoid16, tanh16
from pipeline.ops.weighted import biases, symmetric
from pipeline.problem import Problem

Ints = NDArray[np.int64]
Scale = tuple[int, int]  # multiplier and shift
GATES = 4  # input, forget, cell, output: so are the weights' slots in order
INPUT, FORGET, CELL, OUTPUT = range(GATES)
HIDDEN_STATE, CELL_STATE = 18, 19  # slots
GATE_SCALE, SQUASHED_SCALE = 2.0**-12, 2.0**-15  # before and behind sigmoid and tanh
VARIANTS = (*range(9, 12), 16, 17, *range(20, 24))  # slots of peepholes, projection and layer normalization


@op("UNIDIRECTIONAL_SEQUENCE_LSTM")
@dataclass(frozen=True)
class Lstm(Stateful):
    """Weights int8 [units, 4, inputs + units] by gate, bias int32 [units, 4]; scales by gate, and of the products."""

    tflite_differs = "its sigmoid and tanh of 16 bits are gemmlowp's series, those of TFLite Micro come from a table"
    steps: int
    weights: Int8s = field(compare=False)
    bias: NDArray[np.int32] = field(compare=False)
    input_offset: int
    hidden_offset: int
    over_input: tuple[Scale, ...]
    over_hidden: tuple[Scale, ...]
    products: tuple[Scale, ...]
    cell_power: int
    clip: tuple[int, int]
    shape: tuple[int, ...]
    in_place = ()

    @classmethod
    def from_node(cls, node: Node, graph: Graph) -> Lstm:
        """The plain LSTM of Keras; its variants have no kernel, in TFLite Micro neither."""
        x, y = graph.input(node), graph.output(node)
        need_int8(node, graph, x, y)
        hidden = need_variable(node, graph, HIDDEN_STATE, "int8")
        cell = need_variable(node, graph, CELL_STATE, "int16")
        power = _check(node, graph, cell)
        units, inputs = hidden.shape[-1], x.shape[-1]
        steps = math.prod(x.shape[:-1])
        packed = [_gate(node, graph, gate, units, inputs) for gate in range(GATES)]
        return cls(
            steps=steps,
            weights=np.stack([weights for weights, _ in packed], axis=1),
            bias=np.stack([bias for _, bias in packed], axis=1),
            input_offset=-x.zero_point,
            hidden_offset=-hidden.zero_point,
            over_input=tuple(_sum_scale(x, graph.input(node, 1 + gate)) for gate in range(GATES)),
            over_hidden=tuple(_sum_scale(hidden, graph.input(node, 1 + GATES + gate)) for gate in range(GATES)),
            products=tuple(quantize_multiplier(real) for real in (
                SQUASHED_SCALE * cell.scale / cell.scale, SQUASHED_SCALE**2 / cell.scale,
                SQUASHED_SCALE**2 / hidden.scale)),
            cell_power=power,
            clip=_clip(node.options.get("cell_clip", 0.0), cell),
            shape=(*x.shape[:-1], units),
        )  # fmt: skip

    @property
    def start(self) -> Int8s:
        """Cells of 0, little-endian int16 [units], and a hidden state of real 0, int8 [units]."""
        units = self.shape[-1]
        return np.concatenate([np.zeros(2 * units, np.int8), np.full(units, -self.hidden_offset, np.int8)])

    def step(self, state: Int8s, *inputs: Int8s) -> tuple[Int8s, Int8s]:
        """Input [1, steps, inputs], output [1, steps, units]; or steps before the batch of 1."""
        units = self.shape[-1]
        cells, hidden = state[: 2 * units].view("<i2").astype(np.int64), state[2 * units :].astype(np.int64)
        made = []
        for x in inputs[0].reshape(self.steps, -1).astype(np.int64):
            cells, hidden = self._next(x, cells, hidden)
            made.append(hidden)
        kept = np.concatenate([cells.astype("<i2").view(np.int8), hidden.astype(np.int8)])
        return np.array(made, np.int8).reshape(self.shape), kept

    def _next(self, x: Ints, cells: Ints, hidden: Ints) -> tuple[Ints, Ints]:
        """One step of time."""
        weights = self.weights.astype(np.int64)
        now = weights[..., : len(x)] @ (x + self.input_offset) + self.bias
        before = weights[..., len(x) :] @ (hidden + self.hidden_offset)
        gates = _clamp16(_rescaled(now, self.over_input) + _rescaled(before, self.over_hidden)) * 3
        squashed = {gate: sigmoid16(gates[:, gate]) for gate in (INPUT, FORGET, OUTPUT)}
        kept = _rescaled(squashed[FORGET] * cells, self.products[0])
        added = _rescaled(squashed[INPUT] * tanh16(gates[:, CELL]), self.products[1])
        cells = np.clip(_clamp16(kept + added), *self.clip)
        scaled = 3 * cells << self.cell_shift if self.cell_shift >= 0 else _rounded(3 * cells, -self.cell_shift)
        out = requantize(tanh16(scaled) * squashed[OUTPUT], *self.products[2]) - self.hidden_offset
        return cells, clamp8(out).astype(np.int64)

    @property
    def cell_shift(self) -> int:
        """What brings a cell to units of 2^-12."""
        return self.cell_power + 12

    def call(self) -> Call:
        """One call for the whole window."""
        units, _, row = self.weights.shape
        return Call("nn_lstm_s8", "nn_lstm_t", {
            "steps": self.steps, "inputs": row - units, "units": units, "input_offset": self.input_offset,
            "hidden_offset": self.hidden_offset, "cell_min": self.clip[0], "cell_max": self.clip[1],
            "cell_shift": self.cell_shift,
            **_pair("input", self.over_input), **_pair("recurrent", self.over_hidden),
            **_pair("product", self.products), "weights": self.weights, "bias": self.bias,
        }, state=self.start)  # fmt: skip

    @property
    def macs(self) -> int:
        """One product per weight and step."""
        return self.steps * self.weights.size

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Graph]:
        """One step and many, one unit and many, clipped cells, batch or time first, the edges of the cells' scale."""
        sizes = [(1, 1, 1), (1, 5, 4), (6, 3, 5), (12, 7, 9), (9, 2, 16), (4, 33, 3), (30, 4, 6)]
        for i, (steps, inputs, units) in enumerate(sizes):
            yield _graph(rng, steps, inputs, units, clip=(0.0, 10.0, 0.25)[i % 3], power=(-14, -11, -15, -9)[i % 4])
        yield _time_first(_graph(rng, 8, 3, 4, clip=0.0, power=-12))


def _check(node: Node, graph: Graph, cell: Tensor) -> int:
    """The cells' scale as a power of two, of an LSTM that is none of the variants."""
    where, x = graph.label(node), graph.input(node)
    batch = x.shape[1 if node.options.get("time_major") else 0]
    if batch != 1 or len(x.shape) != 3:
        raise Problem(where, f"works on {batch} sequences, {list(x.shape)}", "only a batch of 1 is compiled")
    if any(graph.tensor(node, slot) is not None for slot in VARIANTS):
        raise Problem(where, "has peepholes, a projection or a layer normalization inside", "use the LSTM of Keras")
    activation = ACTIVATIONS[node.options.get("fused_activation_function", 0)]
    if activation != "TANH":
        raise Problem(where, f"has the activation {activation} for its cells", "use tanh, which Keras does by default")
    fraction, power = math.frexp(cell.scale)
    if fraction != 0.5 or not -30 <= power - 1 <= 2:
        what = f"its cells have the scale {cell.scale:g}, which is no power of two up to 4"
        raise Problem(where, what, "the file is damaged: convert it again")
    return power - 1


def _gate(node: Node, graph: Graph, gate: int, units: int, inputs: int) -> tuple[Int8s, NDArray[np.int32]]:
    """Weights int8 [units, inputs + units] and bias int32 [units]."""
    pair = [symmetric(node, graph, slot) for slot in (1 + gate, 1 + GATES + gate)]
    for tensor, shape in zip(pair, ((units, inputs), (units, units)), strict=True):
        if tensor.shape != shape or len(tensor.quant.scale if tensor.quant else ()) != 1:
            what = f"its weights {tensor.name} are not {list(shape)} with one scale"
            raise Problem(graph.label(node), what, "convert it without scales per channel")
    data = [tensor.data for tensor in pair if tensor.data is not None]
    return np.concatenate(data, axis=1), biases(node, graph, 3 * GATES + gate, units)


def _sum_scale(x: Tensor, w: Tensor) -> Scale:
    """To a gate's units; TFLite multiplies the two scales in float, as in a dense layer."""
    return quantize_multiplier(float(np.float32(x.scale) * np.float32(w.scale)) / GATE_SCALE)


def _clip(real: float, cell: Tensor) -> tuple[int, int]:
    """The cells' range; 0 is no clip, and TFLite truncates."""
    bound = int(min(float(np.float32(real)) / cell.scale, 32767.0))
    return (-bound, bound) if real > 0 else (-32768, 32767)


def _clamp16(values: Ints) -> Ints:
    return np.clip(values, -32768, 32767)


def _rescaled(values: Ints, scales: Scale | tuple[Scale, ...]) -> Ints:
    """To int16; one scale for all, or one for each gate of values [units, gates]."""
    multiplier, shift = np.array(scales, np.int64).T
    return _clamp16(requantize(values, multiplier, shift))


def _rounded(values: Ints, shift: int) -> Ints:
    return (values + (1 << (shift - 1))) >> shift


def _pair(name: str, scales: tuple[Scale, ...]) -> dict[str, tuple[int, ...]]:
    multipliers, shifts = zip(*scales, strict=True)
    return {f"{name}_multiplier": multipliers, f"{name}_shift": shifts}


def _graph(rng: np.random.Generator, steps: int, inputs: int, units: int, clip: float, power: int) -> Graph:
    """A random LSTM whose gates neither all saturate nor all rest."""
    x = cases.activation(rng, (1, steps, inputs), "input", float(rng.uniform(0.01, 0.02)))
    hidden = cases.activation(rng, (1, units), "hidden", float(rng.uniform(0.004, 0.01)))
    cell = Tensor("cell", (1, units), "int16", Quant((2.0**power,), (0,)), is_variable=True)
    state = Tensor("hidden", hidden.shape, "int8", hidden.quant, is_variable=True)
    over_input = [_small(rng, (units, inputs)) for _ in range(GATES)]
    over_hidden = [_small(rng, (units, units)) for _ in range(GATES)]
    bias = [cases.bias(rng, x, w, units) for w in over_input]
    none = [None] * GATES
    y = Tensor("output", (1, steps, units), "int8", hidden.quant)
    operands = [x, *over_input, *over_hidden, *none[:3], *bias, None, None, state, cell, *none]
    graph = cases.one_node("UNIDIRECTIONAL_SEQUENCE_LSTM", operands, y, "UnidirectionalSequenceLSTMOptions",
                           fused_activation_function=ACTIVATIONS.index("TANH"), cell_clip=clip)  # fmt: skip
    unused = [Tensor(f"intermediate{i}", (0,), "float32") for i in range(GATES)]
    tensors = (*graph.tensors, *unused, Tensor("effective_hidden", (0,), "int8", hidden.quant))
    node = replace(graph.nodes[0], intermediates=tuple(range(len(graph.tensors), len(tensors))))
    return replace(graph, tensors=tensors, nodes=(node,))


def _small(rng: np.random.Generator, shape: tuple[int, int]) -> Tensor:
    """Weights that make sums of some units."""
    scale = float(np.float32(rng.uniform(0.5, 2) / 64 / math.sqrt(shape[1])))
    return replace(cases.weights(rng, shape, None), quant=Quant((scale,), (0,)))


def _time_first(graph: Graph) -> Graph:
    """The same LSTM on an input that a TRANSPOSE has turned, as Keras does with time_major."""
    (node,), (first,), (last,) = graph.nodes, graph.inputs, graph.outputs
    x, y = graph.tensors[first], graph.tensors[last]
    turned = [Tensor(name, (t.shape[1], 1, t.shape[2]), "int8", t.quant) for name, t in (("turned", x), ("made", y))]
    count = len(graph.tensors)
    tensors = (*graph.tensors, cases.constant("axes", (1, 0, 2)), *turned)
    options = {**node.options, "time_major": True}
    lstm = Node(1, node.op, (count + 1, *node.inputs[1:]), (count + 2,), options, node.intermediates)
    turns = [Node(i, "TRANSPOSE", (a, count), (b,), {"table": "TransposeOptions"})
             for i, a, b in ((0, first, count + 1), (2, count + 2, last))]  # fmt: skip
    return Graph(tensors, (turns[0], lstm, turns[1]), graph.inputs, graph.outputs)
