"""Reading .tflite files: both ways, and every way a file can be wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import flatbuffer
from pipeline.graph import Graph
from pipeline.importer import import_model, operators
from pipeline.ops import cases
from pipeline.ops.base import known_ops
from pipeline.problem import Problem, Problems
from pipeline.subgraphs import LOOP

RNG = np.random.default_rng(1)


def conv() -> Graph:
    return next(iter(known_ops()["CONV_2D"].cases(np.random.default_rng(1))))


@pytest.mark.parametrize("op", sorted(known_ops()))
def test_reading_gives_back_what_was_written(op: str) -> None:
    for graph in known_ops()[op].cases(np.random.default_rng(2)):
        again = flatbuffer.read(flatbuffer.write(graph))
        assert again.tensors == graph.tensors
        assert (again.inputs, again.outputs) == (graph.inputs, graph.outputs)
        for node, expected in zip(again.nodes, graph.nodes, strict=True):
            assert (node.op, node.inputs, node.outputs) == (expected.op, expected.inputs, expected.outputs)
            inner = expected.options.keys() & set(LOOP)
            assert all(node.options[name] == value for name, value in expected.options.items() if name not in inner)
            for name in inner:
                assert node.options[name].tensors == expected.options[name].tensors
                assert [each.op for each in node.options[name].nodes] == [
                    each.op for each in expected.options[name].nodes
                ]
        for tensor, expected in zip(again.tensors, graph.tensors, strict=True):
            assert np.array_equal(tensor.data, expected.data) if expected.data is not None else tensor.data is None


def test_refuses_what_is_no_tflite_model() -> None:
    for content in (b"", b"short", b"PK\x03\x04" + bytes(100)):
        with pytest.raises(Problem, match="is not a TFLite model"):
            flatbuffer.read(content)


def test_refuses_a_cut_off_file() -> None:
    content = flatbuffer.write(conv())
    for length in range(8, len(content), 97):
        with pytest.raises(Problem, match=r"is a broken TFLite file|dynamic shape"):
            import_model(content[:length], "model.tflite")


@settings(max_examples=300)
@given(st.integers(8, 10_000), st.integers(1, 255))
def test_a_damaged_file_is_read_or_refused_but_never_crashes(place: int, flip: int) -> None:
    content = bytearray(flatbuffer.write(conv()))
    content[8 + place % (len(content) - 8)] ^= flip
    try:
        graph = import_model(bytes(content), "model.tflite")
        operators(graph, "model.tflite")
    except (Problem, Problems):
        pass


def test_refuses_several_subgraphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tflite.Model.SubgraphsLength", lambda self: 2)
    with pytest.raises(Problem, match="has 2 subgraphs"):
        flatbuffer.read(flatbuffer.write(conv()))


def test_refuses_dynamic_shapes_but_reads_a_free_batch_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    content = flatbuffer.write(conv())
    monkeypatch.setattr("tflite.Tensor.ShapeSignatureAsNumpy", lambda self: np.array([1, -1, 6]))
    with pytest.raises(Problem, match=r"has dynamic shapes: input .* \[1, -1, 6\], #0 CONV_2D"):
        flatbuffer.read(content)
    monkeypatch.setattr("tflite.Tensor.ShapeSignatureAsNumpy", lambda self: np.array([-1, *self.ShapeAsNumpy()[1:]]))
    graph = conv()
    only_activations = replace(
        graph, tensors=(graph.tensors[0], graph.tensors[-1]), nodes=(), inputs=(0,), outputs=(1,)
    )
    assert flatbuffer.read(flatbuffer.write(only_activations)).tensors == only_activations.tensors


def test_names_an_operator_that_tflite_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    content = flatbuffer.write(conv())
    monkeypatch.setattr("tflite.OperatorCode.BuiltinCode", lambda self: 9999)
    assert flatbuffer.read(content).nodes[0].op == "BUILTIN_9999"
    monkeypatch.setattr("tflite.OperatorCode.BuiltinCode", lambda self: 32)
    monkeypatch.setattr("tflite.OperatorCode.CustomCode", lambda self: b"Edge")
    assert flatbuffer.read(content).nodes[0].op == "CUSTOM(Edge)"


def test_names_all_operators_without_a_kernel_at_once() -> None:
    x = cases.activation(RNG, (1, 4), "x")
    graph = cases.two_nodes("QUANTIZE", "FLOOR", [x, x, x], ((0,), (1,)), "QuantizeOptions")
    odd = replace(graph, nodes=(replace(graph.nodes[0], op="CEIL", options={}), replace(graph.nodes[1], options={})))
    with pytest.raises(Problem) as caught:
        import_model(flatbuffer.write(odd), "m.tflite")
    why = "(TFLite Micro computes it in float only: between DEQUANTIZE and QUANTIZE it is a table here)"
    assert caught.value.what == f"2 operators have no compiled kernel: #0 CEIL, #1 FLOOR {why}"
    assert caught.value.hint.startswith("let the converter keep it in float32 between int8")


def test_refuses_a_float_model_and_says_how_to_quantize() -> None:
    x = replace(cases.activation(RNG, (1, 4), "x"), dtype="float32", quant=None)
    graph = cases.one_node("RELU", [x], replace(x, name="y"))
    with pytest.raises(Problems) as caught:
        import_model(flatbuffer.write(graph), "m.tflite")
    assert [problem.what for problem in caught.value.problems] == [
        "its input x is float32, not int8, int16, int32 or bool",
        "its output y is float32, not int8, int16, int32 or bool",
        "1 operator computes with floats: #0 RELU",
    ]
    assert "pipeline.quantize" in caught.value.problems[0].hint


def test_takes_quantize_and_dequantize_off_the_edges() -> None:
    x, y = cases.activation(RNG, (1, 4), "x"), cases.activation(RNG, (1, 4), "y")
    floats = [replace(x, name=name, dtype="float32", quant=None) for name in ("in", "out")]
    graph = cases.two_nodes("QUANTIZE", "RELU", [floats[0], x, y], ((0,), (1,)), "QuantizeOptions")
    relu = replace(graph.nodes[1], options={})
    last = replace(relu, index=2, op="DEQUANTIZE", inputs=(2,), outputs=(3,), options={"table": "DequantizeOptions"})
    whole = replace(graph, tensors=(*graph.tensors, floats[1]), nodes=(graph.nodes[0], relu, last), outputs=(3,))
    peeled = import_model(flatbuffer.write(whole), "m.tflite")
    assert [node.op for node in peeled.nodes] == ["RELU"]
    assert (peeled.inputs, peeled.outputs) == ((1,), (2,))


def test_refuses_a_model_without_inputs() -> None:
    x = cases.activation(RNG, (1, 4), "x")
    graph = replace(cases.one_node("RELU", [x], x), inputs=())
    with pytest.raises(Problem, match="has no inputs"):
        import_model(flatbuffer.write(graph), "m.tflite")


def test_a_tensor_index_out_of_range_is_a_broken_file() -> None:
    graph = conv()
    for broken in (replace(graph, nodes=(replace(graph.nodes[0], inputs=(0, 1, 99)),)), replace(graph, outputs=(99,))):
        with pytest.raises(Problem, match=r"names? a tensor that is not there"):
            flatbuffer.read(flatbuffer.write(broken))
