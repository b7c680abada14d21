"""The Plan: order, buffers that share and never collide, names a person would have chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import flatbuffer
from pipeline.arena import ALIGNMENT, Buffer, arena_size, lower_bound, pack
from pipeline.evaluate import evaluate
from pipeline.generate import compile_model, sources
from pipeline.graph import Graph, Node, Tensor
from pipeline.importer import operators
from pipeline.ops import cases
from pipeline.ops.base import Call, Op, activations
from pipeline.plan import Plan, c_name, layer_path, plan, plan_json

RNG = np.random.default_rng(11)
BUFFERS = st.lists(st.tuples(st.integers(1, 500), st.integers(0, 8), st.integers(0, 4)), min_size=1, max_size=12)


@given(BUFFERS)
def test_buffers_of_one_time_never_overlap(drawn: list[tuple[int, int, int]]) -> None:
    buffers = [Buffer(size, first, first + length) for size, first, length in drawn]
    offsets = pack(buffers)
    for i, a in enumerate(buffers):
        assert offsets[i] % ALIGNMENT == 0
        for j, b in enumerate(buffers[:i]):
            apart = offsets[i] + a.size <= offsets[j] or offsets[j] + b.size <= offsets[i]
            assert apart or not a.meets(b)
    assert arena_size(buffers, offsets) >= lower_bound(buffers)


def test_a_chain_needs_only_its_largest_neighbours() -> None:
    chain = [Buffer(100, 0, 1), Buffer(200, 1, 2), Buffer(60, 2, 3), Buffer(40, 3, 4)]
    assert arena_size(chain, pack(chain)) == lower_bound(chain) == 300


EIGHT = [(30, 0, 12), (30, 4, 17), (30, 5, 8), (5, 9, 11), (60, 12, 18), (40, 13, 16), (16, 12, 12), (1, 13, 13)]
NINE = [
    (90, 0, 5),
    (18, 1, 7),
    (18, 2, 13),
    (18, 3, 9),
    (18, 4, 6),
    (18, 5, 14),
    (72, 6, 11),
    (72, 10, 11),
    (1, 6, 6),
]


@pytest.mark.parametrize(("drawn", "size"), [(EIGHT, 140), (NINE, 192)])
def test_an_order_is_found_that_takes_no_more_than_what_is_in_use(drawn: list[tuple[int, int, int]], size: int) -> None:
    """Of random networks; neither the largest first nor those that live longest lead there."""
    buffers = [Buffer(*each) for each in drawn]
    assert arena_size(buffers, pack(buffers)) == lower_bound(buffers) == size


def relu(x: int, y: int, index: int) -> Node:
    return Node(index, "RELU", (x,), (y,), {})


def chain(*nodes: Node, count: int, outputs: tuple[int, ...]) -> Graph:
    x = cases.activation(RNG, (1, 32), "x")
    return Graph(tuple(replace(x, name=f"t{i}") for i in range(count)), nodes, (0,), outputs)


def planned(graph: Graph) -> Plan:
    return plan(graph, operators(graph, "m"))


def test_in_place_operators_take_over_their_input() -> None:
    made = planned(chain(relu(0, 1, 0), relu(1, 2, 1), relu(2, 3, 2), relu(3, 4, 3), count=5, outputs=(4,)))
    assert made.layout.arena_bytes == 32  # t1, t2 and t3 share one buffer; input and output are the caller's
    assert {made.layout.places[i].kind for i in (1, 2, 3)} == {"arena"}
    assert (made.layout.places[0].kind, made.layout.places[4].kind) == ("input", "output")


def test_a_value_that_is_read_later_is_not_overwritten() -> None:
    add = Node(2, "ADD", (1, 2), (3,), {"fused_activation_function": 0})
    made = planned(chain(relu(0, 1, 0), relu(1, 2, 1), add, count=4, outputs=(3,)))
    assert made.layout.places[1].offset != made.layout.places[2].offset
    assert made.layout.arena_bytes == 64


def test_reshapes_cost_nothing_but_input_to_output_is_copied() -> None:
    reshape = Node(0, "RESHAPE", (0,), (1,), {"table": "ReshapeOptions"})
    free = planned(chain(reshape, relu(1, 2, 1), count=3, outputs=(2,)))
    assert [step.op for step in free.steps] == ["RELU"]
    assert free.layout.places[1].kind == "input"
    last = planned(chain(relu(0, 1, 0), replace(reshape, index=1, inputs=(1,), outputs=(2,)), count=3, outputs=(2,)))
    assert [step.op for step in last.steps] == ["RELU"]
    assert last.layout.places[1].kind == "output"
    copied = planned(chain(reshape, count=2, outputs=(1,)))
    assert [step.call.kernel for step in copied.steps] == ["nn_copy_s8"]
    twice = replace(reshape, index=1, inputs=(1,), outputs=(2,))
    assert [step.call.kernel for step in planned(chain(reshape, twice, count=3, outputs=(2,))).steps] == ["nn_copy_s8"]


def test_a_constant_operand_is_loaded_before_its_use() -> None:
    graph = chain(Node(0, "ADD", (0, 1), (2,), {"fused_activation_function": 0}), count=3, outputs=(2,))
    constant = replace(graph.tensors[1], data=np.arange(32, dtype=np.int8).reshape(1, 32))
    made = planned(replace(graph, tensors=(graph.tensors[0], constant, graph.tensors[2])))
    assert [step.call.kernel for step in made.steps] == ["nn_load_s8", "nn_add_s8"]
    assert made.layout.places[1].kind == "arena"


@st.composite
def random_graphs(draw: st.DrawFn) -> Graph:
    """RELU, ADD and RESHAPE wired at random over values of one size; the last value is the output."""
    nodes: list[Node] = []
    for index in range(draw(st.integers(1, 10))):
        known = st.integers(0, index)
        kind = draw(st.sampled_from(["RELU", "ADD", "RESHAPE"]))
        inputs = (draw(known), draw(known)) if kind == "ADD" else (draw(known),)
        nodes.append(Node(index, kind, inputs, (index + 1,), {"fused_activation_function": 0}))
    return chain(*nodes, count=len(nodes) + 1, outputs=(len(nodes),))


@given(random_graphs(), st.integers(0, 2**32 - 1))
def test_memory_planned_for_random_graphs_gives_the_values_of_the_graph(graph: Graph, seed: int) -> None:
    ops = operators(graph, "m")
    made = plan(graph, ops)
    window = np.random.default_rng(seed).integers(-128, 128, (1, 32)).astype(np.int8)
    expected = evaluate(graph, ops, window)[graph.outputs[0]]
    assert np.array_equal(run_in_memory(made, graph, window), expected)


def run_in_memory(made: Plan, graph: Graph, window: np.ndarray) -> np.ndarray:
    """Execute the plan's steps on real bytes at their planned places."""
    memory = {"input": window.reshape(-1).copy(), "output": np.zeros(32, np.int8),
              "arena": np.full(max(made.layout.arena_bytes, 1), 99, np.int8)}  # fmt: skip
    by_output = {node.outputs[0]: (node, op) for node, op in zip(graph.nodes, operators(graph, "m"), strict=True)}

    def view(tensor: int) -> np.ndarray:
        place = made.layout.places[tensor]
        return memory[place.kind][place.offset : place.offset + 32]

    for step in made.steps:
        node, op = by_output[step.output]
        view(step.output)[:] = op.run(*(view(i).reshape(1, 32).copy() for i in activations(node, graph))).reshape(-1)
    assert np.array_equal(memory["input"], window.reshape(-1)), "the caller's input was overwritten"
    return view(graph.outputs[0]).reshape(1, 32)


def test_layers_are_named_as_in_keras() -> None:
    weights = Tensor(
        "net/norm1/batchnorm/mul_1;net/conv1/Conv1D/Squeeze;net/conv1/Conv1D", (1,), "int8", None, np.zeros(1)
    )
    output = Tensor("net/relu1/Relu;net/conv1/BiasAdd", (1,), "int8")
    graph = Graph((weights, output), (Node(0, "CONV_2D", (1, 0), (1,), {}),), (1,), (1,))
    assert layer_path(graph, graph.nodes[0]) == ["net", "conv1"]
    assert layer_path(graph, Node(0, "RELU", (1,), (1,), {})) == ["net", "relu1"]
    assert c_name(["net", "Conv-1 (a)"], "CONV_2D") == "conv_1_a"
    assert c_name(["net", "1st"], "CONV_2D") == "conv_2d"
    for taken in ("input", "Output", "t7", "while", "nn_dense_s8", "tanh", "abs", "Log", "div", "y0", "memset"):
        assert c_name(["net", taken], "RELU") == f"{taken.lower()}_layer"
    assert (c_name([], "SOFTMAX"), c_name([], "TANH")) == ("softmax", "tanh_layer")


@pytest.mark.parametrize("name", ["rehab", "bearing"])
def test_plan_json_holds_every_operator_and_tensor(name: str, trained: Callable[[str], Path]) -> None:
    path = trained(name) / "model.tflite"
    made = compile_model(path.read_bytes(), path)
    written = plan_json(made, model=name)
    assert written["weights_bytes"] == sum(each["weights_bytes"] for each in written["operators"])
    assert written["macs"] == sum(each["macs"] for each in written["operators"]) > 0
    assert written["arena_bytes"] <= 1.02 * max(written["arena_bound"], 1) + ALIGNMENT
    assert {each["place"] for each in written["tensors"]} >= {"input", "output", "arena"}
    assert len({step.name for step in made.steps}) == len(made.steps)


def test_scratch_is_a_steps_own_and_state_for_ever() -> None:
    class Hungry:  # what RELU does, with bytes of its own
        macs, in_place = 0, ()

        def call(self) -> Call:
            return Call("nn_table_s8", "nn_table_t", {"count": 32}, scratch=100, state=np.full(10, 7, np.int8))

    graph = chain(relu(0, 1, 0), relu(1, 2, 1), relu(2, 3, 2), count=4, outputs=(3,))
    relus = operators(graph, "m")
    made = plan(graph, [relus[0], cast(Op, Hungry()), relus[2]])
    layout = made.layout
    assert list(layout.scratch) == list(layout.states) == [1]
    spans = [(layout.places[1].offset, 32), (layout.places[2].offset, 32), (layout.scratch[1], 100),
             (layout.states[1], 10)]  # fmt: skip
    ends = sorted((start, start + size) for start, size in spans)
    assert all(end <= start for (_, end), (start, _) in pairwise(ends))  # all four are in use at step 1
    assert layout.arena_bytes == layout.arena_bound == 32 + 32 + 100 + 12
    text = sources(made, flatbuffer.write(graph), "m")
    own = [each for each in plan_json(made)["tensors"] if each["place"] in ("scratch", "state")]
    assert [(each["name"], each["bytes"]) for each in own] == [("relu_2 scratch", 100), ("relu_2 state", 10)]
    assert "t1, t2, relu_2_scratch, relu_2_state)" in text["model.c"]
    assert f"nn_load_s8(&relu_2_start, (int8_t *)arena + {layout.states[1]});" in text["model.c"]
    assert "void m_reset(uint8_t *arena);" in text["model.h"]
    assert "m_relu_2_state[10]" in text["weights.c"]
