"""Models with several inputs and outputs, of 8 to 32 bits and bools: windows as bytes, and the line to the board."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, stage

from pipeline import edges, files, flatbuffer, metrics, oracle, package, ready
from pipeline.evaluate import answer
from pipeline.generate import compile_model, sources
from pipeline.graph import Graph, Node, Quant, Tensor
from pipeline.importer import operators
from pipeline.plan import plan_json
from pipeline.problem import Problem
from pipeline.tflm_host import Interpreter

MODEL = """
import pathlib
import numpy as np
from pipeline.spec import Provenance, Ready

MADE_UP = Provenance("none", "0", "none", "0" * 64, "made up")
READY = Ready("classification", ("left", "right", "none"), MADE_UP, windows=8, output={output})


def flatbuffer():
    return (pathlib.Path(__file__).parent / "two.tflite").read_bytes()
"""
WINDOWS = """

def windows():
    x, y = np.arange(12, dtype=np.int8).reshape(4, 3), np.zeros((4, 3), np.{dtype})
    return (x, y), np.array([2, 2, 1, 0])
"""


def two() -> Graph:
    """Inputs int8 and int16; outputs: their sum in int8, its largest element's place, where it is the first input."""
    narrow, wide = Quant((0.5,), (3,)), Quant((0.001953125,), (0,))
    tensors = (
        Tensor("x", (1, 3), "int8", narrow),
        Tensor("y", (1, 3), "int16", wide),
        Tensor("narrow", (1, 3), "int8", narrow),
        Tensor("sum", (1, 3), "int8", narrow),
        Tensor("axis", (), "int32", None, np.array(1, np.int32)),
        Tensor("place", (1,), "int32"),
        Tensor("same", (1, 3), "bool"),
    )
    nodes = (
        Node(0, "QUANTIZE", (1,), (2,), {"table": "QuantizeOptions"}),
        Node(1, "ADD", (0, 2), (3,), {"table": "AddOptions", "fused_activation_function": 0}),
        Node(2, "ARG_MAX", (3, 4), (5,), {"table": "ArgMaxOptions", "output_type": 2}),
        Node(3, "EQUAL", (3, 0), (6,), {"table": "EqualOptions"}),
    )
    return Graph(tensors, nodes, (0, 1), (3, 5, 6))


def test_a_window_is_its_inputs_each_at_a_multiple_of_four_bytes() -> None:
    graph = two()
    inputs = graph.edge("input")
    assert (edges.offsets(inputs), edges.size(inputs), edges.shape(inputs)) == ([0, 4], 10, (10,))
    values = [np.array([[1, -2, 3]], np.int8), np.array([[300, -300, 7]], np.int16)]
    window = edges.join(inputs, values)
    assert window.tobytes() == b"\x01\xfe\x03\0" + np.array([300, -300, 7], "<i2").tobytes()
    assert all(np.array_equal(a, b) for a, b in zip(edges.split(inputs, window), values, strict=True))
    assert edges.shape(inputs[:1]) == (3,)
    assert "parts" not in edges.facts(inputs[:1])


def test_the_judged_output_is_dequantized_and_a_named_class_is_one_hot() -> None:
    outputs = two().edge("output")
    made = edges.join(outputs, [np.array([[5, 3, -7]]), np.array([2]), np.array([[True, False, True]])])[np.newaxis]
    assert metrics.dequantize(made, edges.facts(outputs)).tolist() == [[1.0, 0.0, -5.0]]
    place = {**edges.facts(outputs, 1), "classes": 3}
    assert metrics.dequantize(made, place).tolist() == [[0, 0, 1]]


def test_real_numbers_are_quantized_to_the_inputs_types() -> None:
    (wide,) = two().edge("input")[1:]
    made = metrics.quantize(np.array([[1.0, -1.0, 1e9]], np.float32), edges.facts([wide]))
    assert edges.split([wide], made[0])[0].tolist() == [[512, -512, 32767]]
    both = metrics.quantize(np.array([[1.0, -1.0, 9.0, 1.0, -1.0, 0.0]], np.float32), edges.facts(two().edge("input")))
    assert [values.tolist() for values in edges.split(two().edge("input"), both[0])] == [[[5, 1, 21]], [[512, -512, 0]]]


def test_the_generated_function_finds_each_of_them_in_its_place() -> None:
    content = flatbuffer.write(two())
    made = compile_model(content, "two")
    text = sources(made, content, "two")
    assert "const int16_t *t1 = (const int16_t *)(input + 4);" in text["model.c"]
    assert "int32_t *t5 = (int32_t *)(output + 4);" in text["model.c"]
    assert " * output + 8: bool [3]" in text["model.h"]
    written = plan_json(made, model="two")
    assert (written["input"]["bytes"], written["output"]["bytes"]) == (10, 11)
    assert [part["at"] for part in written["output"]["parts"]] == [0, 4, 8]
    first = next(step for step in written["operators"] if step["op"] == "QUANTIZE")
    assert (first["inputs"], first["makers"]) == ([1], [[(-1, 4, 6)]])  # 6 bytes of the window from the 4th on


def test_an_input_may_be_an_output_and_one_tensor_may_be_two() -> None:
    reshape = {"table": "ReshapeOptions", "new_shape": (1, 3)}
    tensors = (*two().tensors[:1], *(replace(two().tensors[0], name=name) for name in ("flat", "again", "relu")))
    nodes = (
        Node(0, "RESHAPE", (0,), (1,), reshape),
        Node(1, "RELU", (0,), (3,), {}),
        Node(2, "RESHAPE", (3,), (2,), reshape),
    )
    constant = replace(tensors[0], name="constant", data=np.array([[5, 6, 7]], np.int8))
    graph = Graph((*tensors, constant), nodes, (0,), (1, 3, 2, 0, 3, 4))
    content = flatbuffer.write(graph)
    made = compile_model(content, "m")
    assert [step.call.kernel for step in made.steps].count("nn_copy_s8") == 4  # the constant is loaded to its place
    places = [made.layout.places[i] for i in made.graph.outputs]
    assert [(place.kind, place.offset) for place in places] == [("output", 4 * i) for i in range(6)]
    window = np.array([-9, 0, 9], np.int8)
    found = edges.split(made.graph.edge("output"), answer(made.graph, operators(made.graph, "m"), window))
    same, clamped = [-9, 0, 9], [3, 3, 9]
    assert [values.reshape(-1).tolist() for values in found] == [same, clamped, clamped, same, clamped, [5, 6, 7]]
    assert np.array_equal(oracle.run(content, window[np.newaxis])[0], edges.join(made.graph.edge("output"), found))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("models/two", "boards"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "models" / "two" / "two.tflite").write_bytes(flatbuffer.write(two()))
    (tmp_path / "models" / "two" / "model.py").write_text(MODEL.format(output=1))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("board", ["host", "cortex-m4"])
def test_runs_the_line_to_equal_bytes(project: Path, board: str) -> None:
    shutil.copytree(ROOT / "firmware", project / "firmware")
    shutil.copy(ROOT / "boards" / f"{board}.toml", project / "boards")
    for words in (["ready", "two"], ["generate", "two"], ["build", "two"], ["hil", "--name", "two", "--layers"]):
        done = stage(*words, *(["--board", board] if words[0] != "ready" else []), cwd=project)
        assert done.returncode == 0, done.stderr
    report = json.loads((project / "build" / "two" / f"{board}-compiled" / "report.json").read_text())
    assert (report["verdict"], report["windows"]["equal"]) == ("pass", 8)
    assert report["layers"]["words"] == "every step of window 0 equals the reference"
    arrays = files.read_arrays(project / "build/two/reference.npz", "ready")
    outputs = compile_model(flatbuffer.write(two()), "two").graph.edge("output")
    places = [int(edges.split(outputs, each)[1][0]) for each in arrays["outputs"]]
    assert arrays["labels"].tolist() == places
    assert len(set(places)) > 1


def test_a_package_knows_one_input_and_output_only() -> None:
    facts = {"input": edges.facts(two().edge("input")), "output": {}}
    with pytest.raises(Problem, match="has several inputs or outputs, or others than int8 or int16"):
        package.check_plain("two", facts)


def test_tflite_micros_own_interpreter_gives_the_same_answer() -> None:
    content, rng = flatbuffer.write(two()), np.random.default_rng(8)
    made, micro = compile_model(content, "two").graph, Interpreter(content, 100_000)
    windows = [edges.drawn(made.edge("input"), rng) for _ in range(20)]
    expected = [answer(made, operators(made, "two"), window).tobytes() for window in windows]
    assert [micro.run(window.tobytes()) for window in windows] == expected


def test_a_model_file_gives_an_array_for_each_input(project: Path) -> None:
    path = project / "models" / "two" / "model.py"
    path.write_text(MODEL.format(output=1) + WINDOWS.format(dtype="int16"))
    ready.make("two")
    arrays = files.read_arrays(project / "build/two/reference.npz", "ready")
    assert arrays["inputs"].shape == (4, 10)
    path.write_text(MODEL.format(output=1) + WINDOWS.format(dtype="int8"))
    words = r"windows\(\) gives int8 \(3,\), int8 \(3,\), the model takes int8 \(3,\), int16 \(3,\)"
    with pytest.raises(Problem, match=words):
        ready.make("two")
    path.write_text(MODEL.format(output=3))
    with pytest.raises(Problem, match="judges output 3, the model has 3"):
        ready.make("two")
