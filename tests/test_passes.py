"""Passes: each takes work away where it should, none changes a byte, and the order needs no more memory than before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from ops.random_graphs import Builder, random_graph

from pipeline import flatbuffer
from pipeline.evaluate import evaluate
from pipeline.generate import compile_model
from pipeline.graph import Graph, Node, Quant, Tensor
from pipeline.importer import operators
from pipeline.ops import cases
from pipeline.order import ordered
from pipeline.passes import PASSES, Pass, simplified
from pipeline.plan import plan

QUANT = Quant((0.05,), (3,))


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    return random_graph(lambda below: draw(st.integers(0, below - 1)), draw(st.integers(1, 16)))


def outputs(graph: Graph, windows: NDArray[np.int8]) -> list[NDArray[Any]]:
    ops = operators(graph, "m")
    return [evaluate(graph, ops, window)[graph.outputs[0]] for window in windows]


def random_windows(graph: Graph, count: int = 3) -> NDArray[np.int8]:
    shape = graph.tensors[graph.inputs[0]].shape
    return np.random.default_rng(7).integers(-128, 128, (count, *shape)).astype(np.int8)


def assert_same_bytes(before: Graph, after: Graph) -> None:
    windows = random_windows(before)
    assert np.array_equal(outputs(before, windows), outputs(after, windows))


@pytest.mark.parametrize("each", [*PASSES, simplified], ids=lambda each: each.__name__)
@settings(max_examples=40)
@given(graphs())
def test_no_pass_changes_a_byte(each: Pass, graph: Graph) -> None:
    made = each(graph)
    assert_same_bytes(graph, made)
    assert {node.index for node in made.nodes} <= {node.index for node in graph.nodes}
    assert made.tensors[: len(graph.tensors)] == graph.tensors


@settings(max_examples=60)
@given(graphs())
def test_another_order_changes_no_byte_and_never_needs_more_memory(graph: Graph) -> None:
    ops = operators(graph, "m")
    made, theirs = ordered(graph, ops)
    assert_same_bytes(graph, made)
    assert sorted(node.index for node in made.nodes) == sorted(node.index for node in graph.nodes)
    assert plan(made, theirs).layout.arena_bytes <= plan(graph, ops).layout.arena_bytes


# What each pass finds


def builder(*shape: int) -> Builder:
    """A builder that always picks the simplest; its input has this shape."""
    made = Builder(lambda below: 0)
    made.tensors = [Tensor("input", shape, "int8", QUANT)]
    return made


def finished(made: Builder, output: int) -> Graph:
    return Graph(tuple(made.tensors), tuple(made.nodes), (0,), (output,))


def act(made: Builder, op: str, x: int, quant: Quant | None = None) -> int:
    y = replace(made.tensors[x], name="t", quant=quant or made.tensors[x].quant, data=None)
    return made.node(op, [x], [y], "NONE")[0]


def ops_of(graph: Graph) -> list[str]:
    return [f"{node.index} {node.op}" for node in graph.nodes]


def test_what_nobody_reads_is_gone() -> None:
    made = builder(1, 8)
    first = act(made, "RELU", 0)
    act(made, "TANH", act(made, "RELU", 0), Quant((1 / 128,), (0,)))
    assert ops_of(simplified(finished(made, first))) == ["0 RELU"]


def test_what_is_made_of_constants_is_a_constant() -> None:
    made = builder(1, 8)
    values = np.arange(-4, 4, dtype=np.int8).reshape(1, 8)
    constant = made.add(Tensor("c", (1, 8), "int8", QUANT, values))
    y = made.node("ADD", [0, act(made, "RELU", constant)], [made.like(0, (1, 8))], "AddOptions")[0]
    small = simplified(graph := finished(made, y))
    assert ops_of(small) == ["1 ADD"]
    folded = small.tensors[small.nodes[0].inputs[1]].data
    assert folded is not None and folded.tolist() == [[3, 3, 3, 3, 3, 3, 3, 3]]
    assert_same_bytes(graph, small)


def test_a_graph_of_constants_keeps_what_makes_its_output() -> None:
    made = builder(1, 8)
    constant = made.add(Tensor("c", (1, 8), "int8", QUANT, np.ones((1, 8), np.int8)))
    assert ops_of(simplified(finished(made, act(made, "RELU", act(made, "RELU", constant))))) == ["1 RELU"]


def test_an_operator_that_moves_nothing_is_free() -> None:
    made = builder(1, 1, 4, 2)
    x = act(made, "QUANTIZE", 0)
    x = made.node("TRANSPOSE", [x, made.constant((0, 2, 1, 3))], [made.like(x, (1, 4, 1, 2))], "TransposeOptions")[0]
    x = made.node("PAD", [x, made.constant([(0, 0)] * 4)], [made.like(x, (1, 4, 1, 2))], "PadOptions")[0]
    y = act(made, "RELU", x)
    assert ops_of(simplified(finished(made, y))) == ["0 RESHAPE", "1 RESHAPE", "2 RESHAPE", "3 RELU"]
    assert [step.op for step in compile_model(flatbuffer.write(finished(made, y)), "m").steps] == ["RELU"]


def test_a_slice_that_turns_values_around_is_not_free() -> None:
    made = builder(1, 6)
    axes = [made.constant(values) for values in ((0, 5), (1, -7), (1, -1))]
    x = made.node("STRIDED_SLICE", [0, *axes], [made.like(0, (1, 6))], "StridedSliceOptions", begin_mask=0,
                  end_mask=2, shrink_axis_mask=0)[0]  # fmt: skip
    assert ops_of(simplified(finished(made, x))) == ["0 STRIDED_SLICE"]


@pytest.mark.parametrize(("second", "left"), [((0, 2, 3, 1), ["1 RESHAPE"]), ((0, 3, 1, 2), ["1 TRANSPOSE"])])
def test_two_transposes_are_one_or_none(second: tuple[int, ...], left: list[str]) -> None:
    made, x, shape = builder(1, 3, 4, 5), 0, np.array((1, 3, 4, 5))
    for order in ((0, 3, 1, 2), second):
        shape = shape[list(order)]
        x = made.node("TRANSPOSE", [x, made.constant(order)], [made.like(0, shape.tolist())], "TransposeOptions")[0]
    small = simplified(graph := finished(made, x))
    assert ops_of(small) == left
    assert_same_bytes(graph, small)


def padded_conv(border: list[tuple[int, int]], wide: bool = False, value: int = 3) -> Graph:
    """PADV2 of `value`, an EXPAND_DIMS if it is `wide`, a CONV_2D of 3 x 3 (1 x 3 if wide) channels."""
    made = builder(*((1, 7, 2) if wide else (1, 5, 7, 2)))
    shape = [size + sum(pair) for size, pair in zip(made.shape(0), border, strict=True)]
    filler = made.add(Tensor("value", (1,), "int8", QUANT, np.array([value], np.int8)))
    x = made.node("PADV2", [0, made.constant(border), filler], [made.like(0, shape)], "PadV2Options")[0]
    if wide:
        x = made.node("EXPAND_DIMS", [x, made.constant(1)], [made.like(0, (1, 1, *shape[1:]))], "ExpandDimsOptions")[0]
    kernel, seen = (1 if wide else 3, 3), made.shape(x)
    w = cases.weights(made.rng, (4, *kernel, seen[3]), axis=0)
    y = replace(made.like(0, (1, seen[1] - kernel[0] + 1, seen[2] - 2, 4)), quant=Quant((0.6,), (-20,)))
    bias = cases.bias(made.rng, made.tensors[0], w, 4)
    x = made.node("CONV_2D", [x, made.add(w), made.add(bias)], [y], "Conv2DOptions", padding=1, stride_h=1, stride_w=1,
                  dilation_h_factor=1, dilation_w_factor=1)[0]  # fmt: skip
    return finished(made, x)


@pytest.mark.parametrize(
    ("graph", "left"),
    [
        (padded_conv([(0, 0), (2, 1), (0, 2), (0, 0)]), ["1 CONV_2D"]),
        (padded_conv([(0, 0), (2, 0), (0, 0)], wide=True), ["1 RESHAPE", "2 CONV_2D"]),
        (padded_conv([(0, 0), (2, 1), (0, 2), (0, 0)], value=4), ["0 PADV2", "1 CONV_2D"]),  # not the zero point
        (padded_conv([(0, 0), (2, 1), (0, 2), (0, 1)]), ["0 PADV2", "1 CONV_2D"]),  # channels too
        (padded_conv([(0, 0), (3, 0), (0, 0), (0, 0)]), ["0 PADV2", "1 CONV_2D"]),  # a window wholly outside
    ],
    ids=["2-D", "1-D", "another value", "channels", "too far"],
)
def test_a_pad_by_the_zero_point_is_the_convolutions_own(graph: Graph, left: list[str]) -> None:
    small = simplified(graph)
    assert ops_of(small) == left
    assert_same_bytes(graph, small)


def test_a_pad_that_others_read_stays() -> None:
    graph = padded_conv([(0, 0), (2, 1), (0, 2), (0, 0)])
    pad = graph.nodes[0].outputs[0]
    read = replace(graph, outputs=(pad,), nodes=graph.nodes[:1])
    assert ops_of(simplified(read)) == ["0 PADV2"]
    relu = Node(2, "RELU", (pad,), (len(graph.tensors),), {})
    both = replace(
        graph, tensors=(*graph.tensors, graph.tensors[pad]), nodes=(*graph.nodes, relu), outputs=relu.outputs
    )
    assert ops_of(simplified(both)) == ["0 PADV2", "2 RELU"]


@pytest.mark.parametrize(("op", "fused"), [("RELU", 1), ("RELU6", 3)])
def test_a_clamp_behind_an_operator_of_the_same_scale_is_fused(op: str, fused: int) -> None:
    made = builder(1, 8)
    x = made.node("ADD", [0, 0], [made.like(0, (1, 8))], "AddOptions", fused_activation_function=0)[0]
    small = simplified(graph := finished(made, act(made, op, x)))
    assert ops_of(small) == ["0 ADD"]
    assert small.nodes[0].options["fused_activation_function"] == fused
    assert_same_bytes(graph, small)


def test_a_clamp_that_rescales_or_whose_input_is_read_elsewhere_stays() -> None:
    made = builder(1, 8)
    x = made.node("ADD", [0, 0], [made.like(0, (1, 8))], "AddOptions", fused_activation_function=0)[0]
    assert ops_of(simplified(finished(made, act(made, "RELU", x, Quant((0.04,), (3,)))))) == ["0 ADD", "1 RELU"]
    y = made.node("ADD", [made.values[-1], x], [made.like(0, (1, 8))], "AddOptions", fused_activation_function=0)[0]
    assert ops_of(simplified(finished(made, y))) == ["0 ADD", "1 RELU", "2 ADD"]


def test_of_two_branches_the_one_with_the_larger_end_goes_last() -> None:
    """In the file's order the large end of the narrow branch waits for the wide branch."""
    made = builder(1, 1, 40, 4)

    def branch(times: int, keep: int) -> int:
        shape = (1, 1, 40, 4 * times)
        x = made.node("CONCATENATION", [0] * times, [made.like(0, shape)], "ConcatenationOptions", axis=3)[0]
        x = act(made, "TANH", x, Quant((1 / 128,), (0,)))
        cut = [made.constant(values) for values in ((0, 0, 0, 0), (1, 1, 40, keep))]
        return made.node("SLICE", [x, *cut], [made.like(x, (1, 1, 40, keep))], "SliceOptions")[0]

    large, small = branch(3, keep=9), branch(6, keep=1)
    y = made.node("CONCATENATION", [large, small], [made.like(large, (1, 1, 40, 10))], "ConcatenationOptions", axis=3)[
        0
    ]
    graph = finished(made, y)
    ops = operators(graph, "m")
    better, theirs = ordered(graph, ops)
    assert [node.index for node in better.nodes] == [3, 4, 5, 0, 1, 2, 6]
    sizes = [plan(*each).layout.arena_bytes for each in ((graph, ops), (better, theirs))]
    assert sizes == [360 + 960 + 40, 960 + 40]
    assert_same_bytes(graph, better)


def test_a_chain_keeps_its_order() -> None:
    made, x = builder(1, 8), 0
    for _ in range(4):
        x = act(made, "RELU", x, Quant((0.04,), (3,)))
    graph = finished(made, x)
    assert ordered(graph, ops := operators(graph, "m")) == (graph, ops)


def test_arithmetic_on_shapes_is_done_here_and_now() -> None:
    x, y = (Tensor(name, (1, 3), "int8", QUANT) for name in ("x", "y"))
    tensors = (
        x, Tensor("sizes", (2,), "int32"), cases.constant("begin", [0]), cases.constant("end", [1]),
        cases.constant("step", [1]), Tensor("batch", (), "int32"), cases.constant("three", 3),
        Tensor("dims", (2,), "int32"), replace(x, name="value", shape=(), data=np.array(9, np.int8)),
        replace(x, name="nines"), y,
    )  # fmt: skip
    masks = {"begin_mask": 0, "end_mask": 0, "shrink_axis_mask": 1}
    nodes = (
        Node(0, "SHAPE", (0,), (1,), {"table": "ShapeOptions", "out_type": 2}),
        Node(1, "STRIDED_SLICE", (1, 2, 3, 4), (5,), {"table": "StridedSliceOptions", **masks}),
        Node(2, "PACK", (5, 6), (7,), {"table": "PackOptions", "axis": 0, "values_count": 2}),
        Node(3, "FILL", (7, 8), (9,), {"table": "FillOptions"}),
        Node(4, "ADD", (0, 9), (10,), {"table": "AddOptions", "fused_activation_function": 0}),
    )
    graph = flatbuffer.read(flatbuffer.write(Graph(tensors, nodes, (0,), (10,))))
    made = simplified(graph)
    assert [node.op for node in made.nodes] == ["ADD"]
    assert_same_bytes(graph, made)
