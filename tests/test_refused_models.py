"""Models that cannot run, and files that are no models any more: every reason at once, in a Problem, quickly."""

from __future__ import annotations

import re
import resource
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ops.random_graphs import random_graph

from pipeline import flatbuffer
from pipeline.generate import compile_model
from pipeline.graph import Graph, Node, Tensor
from pipeline.importer import LARGEST, import_model
from pipeline.ops import cases
from pipeline.ops.base import known_ops
from pipeline.ops.sizes import SHORT_FIELDS
from pipeline.problem import Problem, Problems

ROOT = Path(__file__).resolve().parents[1]
RNG = np.random.default_rng(4)


def refusals(graph: Graph) -> list[str]:
    """Every line that the compiler has to say about a model."""
    with pytest.raises((Problem, Problems)) as caught:
        compile_model(flatbuffer.write(graph), "m.tflite")
    return list(caught.value.lines())


def chain(*ops: str, dtype: str = "int8", shape: tuple[int, ...] = (1, 8)) -> Graph:
    """One operator after the other on tensors of this type and shape."""
    first = replace(cases.activation(RNG, shape, "x"), dtype=dtype, quant=None)
    tensors = [replace(first, name=f"t{i}") for i in range(len(ops) + 1)]
    nodes = tuple(Node(i, op, (i,), (i + 1,), {}) for i, op in enumerate(ops))
    return Graph(tuple(tensors), nodes, (0,), (len(ops),))


def test_a_float_model_is_told_of_its_edges_and_of_every_operator() -> None:
    lines = refusals(chain("RELU", "TANH", dtype="float32"))
    assert lines[0].startswith("error: m.tflite: its input t0 is float32, not int8")
    assert lines[2].startswith("error: m.tflite: its output t2 is float32, not int8")
    assert lines[4] == "error: m.tflite: 2 operators compute with floats: #0 RELU, #1 TANH"
    assert lines[5] == "  hint: quantize all of it to integers: python -m pipeline.quantize"


def test_all_kinds_of_reasons_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators on floats, on bytes without quantization, of other kinds that there are not; too large a tensor; and
    shapes and subgraphs that are not known."""
    good = cases.activation(RNG, (1, 8), "x")
    real = replace(good, dtype="float32", quant=None)
    tensors = (
        good,
        real,
        real,
        good,
        replace(good, name="c", quant=None),
        replace(good, name="d", shape=(1, LARGEST + 1)),
        *(replace(good, name=f"t{i}") for i in range(4)),
    )
    ops = ("DEQUANTIZE", "LOG", "QUANTIZE", "RELU", "VAR_HANDLE", "READ_VARIABLE", "IF", "CUSTOM", "RFFT2D")
    nodes = tuple(Node(i, op, (i,), (i + 1,), {}) for i, op in enumerate(ops))
    monkeypatch.setattr("tflite.Model.SubgraphsLength", lambda self: 2)
    monkeypatch.setattr(
        "tflite.Tensor.ShapeSignatureAsNumpy", lambda self: np.array([-1, *self.ShapeAsNumpy()[1:-1], -1])
    )
    text = "\n".join(refusals(Graph(tensors, nodes, (0,), (9,))))
    assert "m.tflite: has 2 subgraphs, called by #6 IF" in text
    assert "m.tflite: has dynamic shapes: input x [-1, -1], #0 DEQUANTIZE [-1, -1], #1 LOG [-1, -1]," in text
    assert "hint: give every Input of the network a fixed shape, such as Input((128, 6))" in text
    assert f"m.tflite: is too large: 8 MB and more take #4 VAR_HANDLE [1, {LARGEST + 1}]" in text
    for said, advice in (
        ("1 operator has no compiled kernel: #1 LOG (TFLite Micro computes it in float only)", "in your own code"),
        (
            "2 operators have no compiled kernel: #4 VAR_HANDLE, #5 READ_VARIABLE (resource variables",
            "no stateful=True",
        ),
        ("1 operator has no compiled kernel: #6 IF (control flow", "no tf.cond"),
        ("1 operator has no compiled kernel: #7 CUSTOM() (custom operators", "without SELECT_TF_OPS"),
        ("1 operator has no compiled kernel: #8 RFFT2D (neither TFLite Micro nor this compiler has it)", "own code"),
    ):
        assert re.search(rf"{re.escape(said)}.*\n  hint: .*{advice}", text), said
    assert "3 operators compute with floats: #0 DEQUANTIZE, #1 LOG, #2 QUANTIZE" in text
    assert "m.tflite: #3 RELU: c is int8, not quantized int8" in text
    assert text.count("error:") == text.count("hint:") == 10


def test_what_is_dead_is_no_reason() -> None:
    graph = chain("RELU", "COS", shape=(1, 8))
    graph = replace(
        graph, tensors=tuple(replace(t, quant=cases.activation(RNG, (1,), "x").quant) for t in graph.tensors)
    )
    assert [node.op for node in import_model(flatbuffer.write(replace(graph, outputs=(1,))), "m").nodes] == ["RELU"]


@pytest.mark.parametrize("op", ["CONV_2D", "SOFTMAX", "MUL"])
def test_a_size_that_a_kernel_cannot_count_is_refused(op: str) -> None:
    long = 40_000
    if op in ("SOFTMAX", "MUL"):
        x = cases.activation(RNG, (1, long), "x")
        y = cases.activation(RNG, (1, long), "y", 1 / 256, -128)
        inputs, options = [x] if op == "SOFTMAX" else [x, replace(x, data=np.ones((1, long), np.int8))], {"beta": 1.0}
        graph = cases.one_node(op, inputs, y, f"{op.capitalize()}Options", **options if op == "SOFTMAX" else {})
    else:
        x, w = cases.activation(RNG, (1, 1, long, 1), "x"), cases.weights(RNG, (2, 1, 3, 1), axis=0)
        y = cases.activation(RNG, (1, 1, long, 2), "y")
        graph = cases.one_node(op, [x, w, cases.bias(RNG, x, w, 2)], y, "Conv2DOptions", padding=0, stride_h=1,
                               stride_w=1, dilation_h_factor=1, dilation_w_factor=1)  # fmt: skip
    assert refusals(graph) == [
        f"error: m.tflite: #0 {op}: has a size of 40000, and its kernel counts to 32767",
        "  hint: make the window shorter or the layer smaller",
    ]


def test_every_size_of_16_bits_in_the_kernels_is_known() -> None:
    """A 16-bit field of a parameter struct is one of SHORT_FIELDS, or holds a value."""
    found = set()
    for path in (ROOT / "firmware" / "kernels").glob("nn_*.h"):
        for body in re.findall(r"typedef struct \{(.*?)\} (\w+_t);", path.read_text(), re.DOTALL):
            fields = re.sub(r"/\*.*?\*/", "", body[0], flags=re.DOTALL)
            for names in re.findall(r"^\s+(?:u?int16_t|nn_shape_t|nn_size_t) ([^*;]+);", fields, re.MULTILINE):
                found |= {re.sub(r"\[.*\]", "", name).strip() for name in names.split(",")}
    sizes = {name for name in found if not re.search("offset|zero|min|max|multiplier", name)}
    assert {"input", "kernel", "rows", "depth", "shape"} <= sizes <= SHORT_FIELDS


# Files that are broken


def seconds_and_megabytes(content: bytes) -> tuple[float, int]:
    """What it costs to compile or refuse a file; anything but a Problem is a failure."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        compile_model(content, "m.tflite")
    except (Problem, Problems) as problem:
        assert all(len(line) < 4000 for line in problem.lines())
    return time.process_time() - start, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10


def one_of_each() -> list[bytes]:
    return [flatbuffer.write(next(iter(known_ops()[op].cases(np.random.default_rng(2))))) for op in known_ops()]


SOUND = one_of_each()
WORDS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
HARM = [*(("word", word) for word in WORDS), *(("add", by) for by in (-4, -2, -1, 1, 2, 4, 8)),
        *(("byte", byte) for byte in (0, 1, 5, 0x80)), *(("swap", by) for by in (1, 3, 11, 29))]  # fmt: skip


@settings(max_examples=800)
@given(
    which=st.integers(0, 10_000),
    places=st.lists(st.tuples(st.integers(0, 2**20), st.sampled_from(HARM)), min_size=1, max_size=4),
    kept=st.one_of(st.none(), st.floats(0, 1)),
)
def test_a_broken_file_is_refused_in_words_quickly_and_in_little_memory(
    which: int, places: list[tuple[int, tuple[str, int]]], kept: float | None
) -> None:
    """32-bit words changed where they lie: sizes, offsets, lengths, options, indices; or the end cut off."""
    content = bytearray(SOUND[which % len(SOUND)])
    for place, (kind, word) in places:
        at, by = (8 + 4 * (each % (len(content) // 4 - 2)) for each in (place, place // 7 + word))
        there = int.from_bytes(content[at : at + 4], "little")
        if kind == "swap":
            content[at : at + 4], content[by : by + 4] = content[by : by + 4], content[at : at + 4]
        else:
            new = {"word": word, "add": there + word, "byte": there & ~0xFF | word & 0xFF}[kind]
            content[at : at + 4] = (new & 0xFFFFFFFF).to_bytes(4, "little")
    seconds, megabytes = seconds_and_megabytes(bytes(content[: None if kept is None else int(kept * len(content))]))
    assert seconds < 20
    assert megabytes < 600


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32 - 1), bits=st.lists(st.integers(0, 2**20), min_size=1, max_size=8))
def test_flipped_bits_in_a_whole_model_are_survived(seed: int, bits: list[int]) -> None:
    rng = np.random.default_rng(seed % 5)
    content = bytearray(flatbuffer.write(random_graph(lambda below: int(rng.integers(below)), 8)))
    for bit in bits:
        content[8 + bit // 8 % (len(content) - 8)] ^= 1 << bit % 8
    assert seconds_and_megabytes(bytes(content))[0] < 20


def test_a_node_that_reads_what_is_not_made_yet_is_refused() -> None:
    """Found by the bytes of others: an index of its own output among the inputs."""
    graph = next(iter(known_ops()["REDUCE_MAX"].cases(np.random.default_rng(2))))
    node = graph.nodes[0]
    broken(
        replace(graph, nodes=(replace(node, inputs=(*node.inputs, node.outputs[0])),)), "a tensor that is not made yet"
    )


@pytest.mark.parametrize("op", ["PAD", "MIRROR_PAD", "TILE"])
def test_constants_that_ask_for_more_memory_than_the_output_has_are_refused(op: str) -> None:
    graph = next(graph for graph in known_ops()[op].cases(np.random.default_rng(2)) if graph.nodes[0].op == op)
    number = graph.nodes[0].inputs[1]
    constant = graph.tensors[number]
    assert constant.data is not None
    huge = replace(constant, data=np.full(constant.shape, 40_000, np.int32))
    tensors = tuple(huge if i == number else tensor for i, tensor in enumerate(graph.tensors))
    broken(replace(graph, tensors=tensors), rf"#0 {op}: makes \[\d+, .* but output is declared \[1, ")


def broken(graph: Graph, words: str) -> None:
    with pytest.raises((Problem, Problems), match=words):
        compile_model(flatbuffer.write(graph), "m.tflite")


def test_a_value_that_is_made_twice_and_nodes_without_edges_are_refused() -> None:
    x = cases.activation(RNG, (1, 8), "x")
    graph = cases.one_node("RELU", [x], replace(x, name="y"))
    relu = graph.nodes[0]
    broken(replace(graph, nodes=(relu, replace(relu, index=1, inputs=(1,)))), "tensor 1 is made twice")
    broken(replace(graph, nodes=(replace(relu, outputs=(0,)),)), "tensor 0 is made twice")
    for edges in ({"inputs": ()}, {"outputs": ()}):
        broken(replace(graph, nodes=(replace(relu, op="QUANTIZE", **edges),)), "belong together|nothing makes")


def test_a_window_of_a_pool_that_lies_outside_its_input_is_refused() -> None:
    x = cases.activation(RNG, (1, 2, 2, 1), "x")
    y = replace(x, name="y", shape=(1, 9, 9, 1))
    graph = cases.one_node("AVERAGE_POOL_2D", [x], y, "Pool2DOptions", padding=1, stride_h=1, stride_w=1,
                           filter_height=1, filter_width=1)  # fmt: skip
    broken(graph, "divide by zero")


def test_weights_of_a_type_without_kernels_are_named() -> None:
    graph = next(iter(known_ops()["CONV_2D"].cases(np.random.default_rng(1))))
    weights = graph.tensors[1]
    half = Tensor("weights", weights.shape, "float32", None, np.zeros(weights.shape, np.float32))
    lines = refusals(replace(graph, tensors=(graph.tensors[0], half, *graph.tensors[2:])))
    assert lines[0] == "error: m.tflite: 1 operator computes with floats: #0 CONV_2D"
