"""Models that take a hop at a time: every byte is that of the whole window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ops.cases_project import Case, answers, serving, write_project
from ops.test_conformance import python_answers

from pipeline import flatbuffer
from pipeline.evaluate import answer
from pipeline.generate import compile_model
from pipeline.graph import Graph, Node, Quant, Tensor
from pipeline.importer import import_model, operators
from pipeline.ops import cases
from pipeline.ops.base import known_ops
from pipeline.problem import Problem

CONV = {"table": "Conv2DOptions", "padding": 1, "stride_h": 1, "dilation_h_factor": 1, "fused_activation_function": 0}
ROWS = 48
Ints = NDArray[np.int8]


class Stack:
    """A network in the making, of [1, 1, time, channels]."""

    def __init__(self, rng: np.random.Generator, channels: int) -> None:
        self.rng, self.nodes = rng, list[Node]()
        self.tensors = [cases.activation(rng, (1, ROWS, channels), "input", 0.05)]
        self.at = 0
        self.reshape((1, 1, ROWS, channels))

    @property
    def now(self) -> Tensor:
        return self.tensors[self.at]

    def put(self, op: str, y: Tensor, *constants: Tensor, **options: Any) -> None:
        """One more operator."""
        first = len(self.tensors)
        self.tensors += [*constants, y]
        inputs = (self.at, *range(first, first + len(constants)))
        self.at = len(self.tensors) - 1
        self.nodes.append(Node(len(self.nodes), op, inputs, (self.at,), options))

    def reshape(self, shape: Sequence[int]) -> None:
        y = replace(self.now, name=f"t{len(self.tensors)}", shape=tuple(shape))
        self.put("RESHAPE", y, cases.constant("shape", shape), table="ReshapeOptions")

    def conv(self, kernel: int, stride: int = 1, dilation: int = 1, depthwise: bool = False) -> None:
        """A causal convolution."""
        x = self.now
        channels = x.shape[3] if depthwise else int(self.rng.integers(1, 6))
        before = (kernel - 1) * dilation
        padded = replace(x, name="padded", shape=(1, 1, x.shape[2] + before, x.shape[3]))
        if before:
            self.put(
                "PAD", padded, cases.constant("paddings", [(0, 0), (0, 0), (before, 0), (0, 0)]), table="PadOptions"
            )
        shape = (1, 1, kernel, channels) if depthwise else (channels, 1, kernel, x.shape[3])
        w = cases.weights(self.rng, shape, 3 if depthwise else 0)
        y = self.sums(w, (1, 1, x.shape[2] // stride, channels), kernel * (1 if depthwise else x.shape[3]))
        kind = {"table": "DepthwiseConv2DOptions", "depth_multiplier": 1} if depthwise else {}
        options = {**CONV, "stride_w": stride, "dilation_w_factor": dilation, **kind}
        self.put("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", y, w, cases.bias(self.rng, x, w, channels), **options)

    def sums(self, w: Tensor, shape: Sequence[int], terms: int, size: int = 30) -> Tensor:
        """An output whose scale spreads sums of so many products of `size` over most of its values."""
        assert w.quant is not None
        spread = self.now.scale * max(w.quant.scale) * 64 * size * np.sqrt(terms)
        return cases.activation(self.rng, shape, "sums", float(spread * self.rng.uniform(0.5, 1) / 64), 0)

    def pool(self, op: str, size: int) -> None:
        y = replace(self.now, name="pooled", shape=(1, 1, self.now.shape[2] // size, self.now.shape[3]))
        self.put(op, y, table="Pool2DOptions", padding=int(self.rng.integers(0, 2)), stride_w=size, stride_h=1,
                 filter_width=size, filter_height=1, fused_activation_function=0)  # fmt: skip

    def relu(self) -> None:
        self.put("RELU", cases.activation(self.rng, self.now.shape, "relu", self.now.scale, -128))

    def skip(self) -> None:
        """Adds what a pointwise convolution makes of it."""
        before = self.at
        self.conv(1)
        other = self.now
        if other.shape == self.tensors[before].shape:
            y = cases.activation(self.rng, other.shape, "sum", 2 * other.scale, 0)
            self.put("ADD", y, table="AddOptions", fused_activation_function=0)
            self.nodes[-1] = replace(self.nodes[-1], inputs=(before, *self.nodes[-1].inputs))

    def head(self, kind: str) -> None:
        """Nothing, or a dense layer behind the mean or all the rows."""
        _, _, rows, channels = self.now.shape
        if kind == "mean":
            y = replace(self.now, name="mean", shape=(1, channels))
            self.put("MEAN", y, cases.constant("axes", (1, 2)), table="ReducerOptions", keep_dims=False)
        elif kind == "flat":
            self.reshape((1, rows * channels))
        if kind != "none":
            w = cases.weights(self.rng, (4, self.now.count), None)
            y = self.sums(w, (1, 4), self.now.count, 120)
            self.put("FULLY_CONNECTED", y, w, table="FullyConnectedOptions", fused_activation_function=0)

    def graph(self) -> Graph:
        return Graph(tuple(self.tensors), tuple(self.nodes), (0,), (self.at,))


def random_stack(seed: int) -> tuple[Graph, int]:
    """A stack of causal layers, and the least hop."""
    rng = np.random.default_rng(seed)
    stack, least = Stack(rng, int(rng.integers(1, 5))), 1
    for _ in range(int(rng.integers(1, 5))):
        stride = int(rng.choice([1, 1, 2])) if least < 8 else 1
        least *= stride
        stack.conv(
            int(rng.integers(1, 6)), stride, int(rng.integers(1, 4)) if stride == 1 else 1, bool(rng.integers(2))
        )
        if rng.integers(2):
            stack.relu()
        if rng.integers(2):
            stack.skip()
        if rng.integers(2) and least < 8:
            least *= 2
            stack.pool(str(rng.choice(["MAX_POOL_2D", "AVERAGE_POOL_2D"])), 2)
    stack.head(("none", "mean", "flat")[seed % 3])
    return stack.graph(), least


def hops_of(content: bytes, hop: int, window: Ints) -> Case:
    """The step model with the window in hops, one after the other."""
    plan = compile_model(content, "m", hop=hop)
    return Case(content, plan, window.reshape(-1, 1, *plan.input.shape[1:]), kept=True)


def whole(content: bytes, window: Ints) -> Ints:
    graph = import_model(content, "m")
    return answer(graph, operators(graph, "m"), window)


def assert_same(made: Ints, expected: Ints) -> None:
    """Hop by hop along time, or at the last hop."""
    one_by_one = made.size == expected.size
    assert np.array_equal(made.reshape(-1) if one_by_one else made[-1].reshape(-1), expected.reshape(-1))


def windows(graph: Graph, seed: int, count: int = 1) -> Ints:
    shape = (count, *graph.tensors[0].shape)
    return np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)


@pytest.mark.parametrize("seed", range(30))
def test_hops_make_every_byte_of_the_whole_window(seed: int) -> None:
    graph, least = random_stack(seed)
    content = flatbuffer.write(graph)
    (window,) = windows(graph, seed)
    expected = whole(content, window)
    assert np.isin(expected, (-128, 127)).mean() < 0.95
    for hop in {least, 16, 24} - {ROWS}:
        if hop % least == 0:
            case = hops_of(content, hop, window)
            assert case.plan.input.shape[1] == hop
            assert_same(python_answers(case), expected)


@pytest.mark.parametrize("board", ["host", "cortex-m4"])
def test_c_on_hops_makes_every_byte_of_the_whole_window(board: str, tmp_path: Path, monkeypatch: Any) -> None:
    made, expected = [], []
    for seed in range(30, 42):
        graph, least = random_stack(seed)
        (window,) = windows(graph, seed)
        made.append(hops_of(flatbuffer.write(graph), 16 if 16 % least == 0 else least, window))
        expected.append(whole(made[-1].content, window))
    write_project(tmp_path, board, made)
    monkeypatch.chdir(tmp_path)
    with serving(tmp_path, board) as device:
        for got, wanted in zip(answers(device, made), expected, strict=True):
            assert_same(got, wanted)


def wide_stack() -> Graph:
    """int16 [1, ROWS, 2]: the largest of three rows, causal, then the mean of all."""
    quant = Quant((0.001,), (0,))
    shapes = {"x": (1, ROWS, 2), "image": (1, ROWS, 1, 2), "padded": (1, ROWS + 2, 1, 2), "pooled": (1, ROWS, 1, 2)}
    paddings = np.array([[0, 0], [2, 0], [0, 0], [0, 0]], np.int32)
    tensors = (
        *(Tensor(name, shape, "int16", quant) for name, shape in shapes.items()),
        Tensor("mean", (1, 2), "int16", Quant((0.0007,), (0,))),
        Tensor("paddings", (4, 2), "int32", None, paddings),
        Tensor("axes", (2,), "int32", None, np.array([1, 2], np.int32)),
    )
    pool = {"padding": 1, "stride_h": 1, "stride_w": 1, "filter_height": 3, "filter_width": 1}
    nodes = (
        Node(0, "RESHAPE", (0,), (1,), {"table": "ReshapeOptions", "new_shape": shapes["image"]}),
        Node(1, "PAD", (1, 5), (2,), {"table": "PadOptions"}),
        Node(2, "MAX_POOL_2D", (2,), (3,), {"table": "Pool2DOptions", "fused_activation_function": 0, **pool}),
        Node(3, "MEAN", (3, 6), (4,), {"table": "ReducerOptions", "keep_dims": False}),
    )
    return Graph(tensors, nodes, (0,), (4,))


def test_hops_of_16_bits_make_every_byte_of_the_whole_window(tmp_path: Path, monkeypatch: Any) -> None:
    content = flatbuffer.write(wide_stack())
    window = np.random.default_rng(9).integers(-(2**15), 2**15, 2 * ROWS).astype(np.int16).view(np.int8)
    plan = compile_model(content, "m", hop=8)
    assert [step.call.kernel for step in plan.steps].count("nn_keep_s8") == 2
    case = Case(content, plan, window.reshape(ROWS // 8, 1, -1), kept=True)
    assert_same(python_answers(case), whole(content, window))
    write_project(tmp_path, "host", [case])
    monkeypatch.chdir(tmp_path)
    with serving(tmp_path, "host") as device:
        assert_same(answers(device, [case])[0], whole(content, window))


def test_a_hop_costs_less_than_a_window() -> None:
    stack = Stack(np.random.default_rng(3), 3)
    stack.conv(5, dilation=2, depthwise=True)
    stack.conv(3)
    content = flatbuffer.write(stack.graph())
    window, step = compile_model(content, "m"), compile_model(content, "m", hop=4)
    assert sum(s.macs for s in step.steps) * 12 == sum(s.macs for s in window.steps)
    assert step.layout.arena_bytes < window.layout.arena_bytes
    assert sum(s.state_bytes for s in step.steps) == 8 * 3 + 2 * 3


def with_last_step(graph: Graph) -> Graph:
    """The LSTM, and of its steps the last alone, as Keras has it."""
    y, count = graph.tensors[graph.outputs[0]], len(graph.tensors)
    bounds = [cases.constant(name, v) for name, v in (("begin", (0, -1, 0)), ("end", (0, 0, 0)), ("step", (1, 1, 1)))]
    last = replace(y, name="last", shape=(1, y.shape[2]))
    options = {"table": "StridedSliceOptions", "begin_mask": 5, "end_mask": 5, "shrink_axis_mask": 2}
    node = Node(1, "STRIDED_SLICE", (graph.outputs[0], count, count + 1, count + 2), (count + 3,), options)
    return replace(graph, tensors=(*graph.tensors, *bounds, last), nodes=(*graph.nodes, node), outputs=(count + 3,))


@pytest.mark.parametrize("last", [False, True])
def test_an_lstm_goes_on_by_itself(last: bool) -> None:
    made = known_ops()["UNIDIRECTIONAL_SEQUENCE_LSTM"].cases(np.random.default_rng(4))
    graph = next(graph for graph in made if graph.tensors[0].shape[1] == 12)
    graph = with_last_step(graph) if last else graph
    content, (window,) = flatbuffer.write(graph), windows(graph, 4)
    case = hops_of(content, 3, window)
    assert [step.op for step in case.plan.steps if step.state_bytes] == ["UNIDIRECTIONAL_SEQUENCE_LSTM"]
    assert_same(python_answers(case), whole(content, window))


def looking_ahead() -> Graph:
    graph = random_stack(0)[0]
    paddings = next(i for i, t in enumerate(graph.tensors) if t.name == "paddings")
    data = graph.tensors[paddings].data
    assert data is not None
    tensors = list(graph.tensors)
    tensors[paddings] = replace(tensors[paddings], data=data[:, ::-1].copy())
    return replace(graph, tensors=tuple(tensors))


def test_refuses_what_cannot_be_streamed() -> None:
    ahead = flatbuffer.write(looking_ahead())
    with pytest.raises(
        Problem, match=r"#\d+ PAD cannot be streamed: it looks ahead, or its steps are no part of the hop"
    ):
        compile_model(ahead, "m", hop=16)
    graph, _ = random_stack(0)
    with pytest.raises(Problem, match=r"m: cannot be streamed in hops of 7: its input is \[1, 48, \d\]"):
        compile_model(flatbuffer.write(graph), "m", hop=7)
    stack = Stack(np.random.default_rng(1), 2)
    stack.pool("MAX_POOL_2D", 4)
    with pytest.raises(Problem, match="MAX_POOL_2D cannot be streamed"):
        compile_model(flatbuffer.write(stack.graph()), "m", hop=6)
