"""What is generated for TFLite Micro: the resolver's operators, the arena and its parts, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
from ops.cases_project import cases_of
from test_generate import gesture

from pipeline import flatbuffer, tflm, tflm_arena
from pipeline.generate import main
from pipeline.graph import Graph
from pipeline.ops.base import known_ops
from pipeline.problem import Problem, Problems
from pipeline.tflm_arena import Arena, Size, computed, find_arena


def calls(graph: Graph) -> list[str]:
    return [f"{each['method']}({each['argument']})" for each in tflm.registrations(graph)]


def with_dtype(graph: Graph, tensor: int, dtype: str) -> Graph:
    tensors = list(graph.tensors)
    tensors[tensor] = replace(tensors[tensor], dtype=dtype)
    return replace(graph, tensors=tuple(tensors))


def test_the_resolver_has_exactly_the_models_operators_each_once_in_their_int8_form() -> None:
    assert calls(flatbuffer.read(gesture())) == [
        "Add(tflite::Register_ADD_INT8())", "Conv2D(tflite::Register_CONV_2D_INT8())",
        "FullyConnected(tflite::Register_FULLY_CONNECTED_INT8())", "Mean()", "Softmax(tflite::Register_SOFTMAX_INT8())",
    ]  # fmt: skip


def test_an_operator_with_other_than_int8_keeps_its_general_form() -> None:
    graph = flatbuffer.read(gesture())
    made = calls(with_dtype(graph, graph.nodes[0].outputs[0], "int16"))
    assert made[:2] == ["Add()", "Conv2D()"]
    assert made[2] == "FullyConnected(tflite::Register_FULLY_CONNECTED_INT8())"


def test_a_16x8_models_operators_are_in_their_int16_form() -> None:
    graph = flatbuffer.read(gesture())
    wide = {i for node in graph.nodes for i in (node.inputs[0], *node.outputs)} | {
        i for node in graph.nodes if node.op == "ADD" for i in node.inputs
    }
    for tensor in wide:
        graph = with_dtype(graph, tensor, "int16")
    assert calls(graph) == [
        "Add(tflite::Register_ADD_INT16())", "Conv2D(tflite::Register_CONV_2D_INT16())",
        "FullyConnected(tflite::Register_FULLY_CONNECTED_INT16())", "Mean()",
        "Softmax(tflite::Register_SOFTMAX_INT16())",
    ]  # fmt: skip
    assert calls(with_dtype(graph, graph.nodes[0].inputs[1], "int16"))[1] == "Conv2D()"


def test_operators_are_spelled_as_tflite_micro_spells_them() -> None:
    spelled = {
        "DEPTHWISE_CONV_2D": "DepthwiseConv2D", "L2_POOL_2D": "L2Pool2D", "BATCH_MATMUL": "BatchMatMul", "NO_SUCH": "",
        "RELU6": "Relu6", "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
    }  # fmt: skip
    assert {op: tflm.registration(op)["method"] for op in spelled} == spelled


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("boards", "models/gesture", "firmware/runtimes/tflm", "build/gesture"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("boards/pico.toml", "models/gesture/model.py"):
        (tmp_path / file).touch()
    (tmp_path / "build" / "gesture" / "model.tflite").write_bytes(gesture())
    monkeypatch.chdir(tmp_path)
    return tmp_path


GENERATE = ["gesture", "--board", "pico", "--runtime", "tflm"]


def test_writes_sources_and_a_plan_whose_arena_says_what_it_is_made_of(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(GENERATE) == 0
    folder = project / "build" / "gesture" / "pico-tflm"
    assert {path.name for path in folder.iterdir()} == {
        "model.h", "model_data.h", "model_data.c", "resolver.h", "plan.json",
    }  # fmt: skip
    plan = json.loads((folder / "plan.json").read_text())
    sizes = plan["arena"]["pointers_of_4_bytes"], plan["arena"]["pointers_of_8_bytes"]
    assert plan["arena_bytes"] == sizes[0]["bytes"] < sizes[1]["bytes"]
    assert len(plan["operators"]) == 5
    assert plan["weights_bytes"] == len(gesture())
    header = (folder / "model.h").read_text()
    assert "measured by running the model in tflite-micro" in header
    assert "#define MODEL_OPERATORS 5\n" in header
    assert f"#define MODEL_ARENA_BYTES {sizes[0]['bytes']}\n" in header
    assert f"#define MODEL_ARENA_BYTES {sizes[1]['bytes']}\n" in header
    for part in ("persistent", "activations", "scratch", "planning", "margin"):
        assert any(part in line and str(sizes[0][part]) in line for line in header.splitlines()), part
    assert f"5 operators, arena {sizes[0]['bytes']} bytes" in capsys.readouterr().out


def test_a_bisected_arena_is_taken_for_the_model_it_was_found_with(project: Path) -> None:
    main(GENERATE)
    folder = project / "build" / "gesture" / "pico-tflm"
    planned = json.loads((folder / "plan.json").read_text())
    note = {"model_id": planned["model_id"], "least": 1600, "library": "lib.a 12345678", "emulator": "QEMU"}
    (folder / "arena.json").write_text(json.dumps(note))
    main(GENERATE)
    assert json.loads((folder / "plan.json").read_text())["arena_bytes"] == 1664
    assert "With lib.a 12345678 it starts in 1600 bytes on QEMU" in (folder / "model.h").read_text()
    (folder / "arena.json").write_text(json.dumps({**note, "model_id": "0123456789abcdef"}))
    main(GENERATE)
    assert json.loads((folder / "plan.json").read_text()) == planned


def refused(project: Path, graph: Graph) -> str:
    (project / "build" / "gesture" / "model.tflite").write_bytes(flatbuffer.write(graph))
    with pytest.raises((Problem, Problems)) as caught:
        main(GENERATE)
    return "\n".join(caught.value.lines())


def test_refuses_edges_that_are_not_int8_and_operators_that_tflite_micro_lacks_all_at_once(project: Path) -> None:
    graph = flatbuffer.read(gesture())
    nodes = (replace(graph.nodes[0], op="RFFT2D", options={}), *graph.nodes[1:])
    words = refused(project, with_dtype(replace(graph, nodes=nodes), graph.inputs[0], "float32"))
    assert "its input window is float32, not int8, int16, int32 or bool" in words
    assert "TFLite Micro has no #0 RFFT2D" in words


def test_a_model_that_tflite_micro_does_not_run_is_refused_with_its_words(project: Path) -> None:
    graph = flatbuffer.read(gesture())
    words = refused(project, with_dtype(graph, graph.nodes[0].outputs[0], "int32"))
    assert "TFLite Micro: does not run the model: " in words
    assert "CONV_2D" in words


@pytest.mark.parametrize(("op", "method"), [("REVERSE_V2", "ReverseV2"),
                                            ("DYNAMIC_UPDATE_SLICE", "DynamicUpdateSlice")])  # fmt: skip
def test_operators_that_only_newer_libraries_have_are_taken(op: str, method: str, project: Path) -> None:
    cases = known_ops()[op].cases(np.random.default_rng(1))
    graph = next(each for each in cases if any(node.op == op for node in each.nodes))
    (project / "build" / "gesture" / "model.tflite").write_bytes(flatbuffer.write(graph))
    assert main(GENERATE) == 0
    (resolver,) = project.glob("build/gesture/*/resolver.h")
    assert f"Add{method}()" in resolver.read_text()


# Arena


def test_parts_add_up_with_planning_in_the_place_of_activations() -> None:
    assert Size(persistent=100, activations=50, scratch=10, planning=40, margin=1).bytes == 176
    assert Size(persistent=100, activations=50, scratch=10, planning=140, margin=1).bytes == 256


def test_the_measured_arena_is_one_in_which_it_runs_and_64_bytes_less_is_not(tmp_path: Path) -> None:
    content = gesture()
    (tmp_path / "model.tflite").write_bytes(content)
    wide = find_arena(flatbuffer.read(content), content).wide
    least = wide.persistent + max(wide.activations, wide.planning)
    assert tflm_arena._run_in_wheel(tmp_path / "model.tflite", least).returncode == 0
    assert tflm_arena._run_in_wheel(tmp_path / "model.tflite", least - 64 - 16).returncode != 0


def test_a_run_in_it_refuses_what_is_no_model_and_no_size(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(gesture())
    for size in (0, -5, 99_999_999_999):
        with pytest.raises(Problem, match=rf"--arena: {size} is no size of an arena: 1 to 1073741824 bytes"):
            tflm_arena.main([str(path), "--arena", str(size)])
    path.write_bytes(b"# A text of some words")
    with pytest.raises(Problem, match="is not a TFLite model"):
        tflm_arena.main([str(path), "--arena", "5000"])


@pytest.mark.parametrize("op", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "AVERAGE_POOL_2D", "SOFTMAX", "ADD"])
def test_a_computed_arena_is_never_smaller_than_a_measured_one(op: str) -> None:
    case = cases_of(op, windows=0)[0]
    graph = flatbuffer.read(case.content)
    measured = find_arena(graph, case.content)
    made, saved = computed(graph)
    for part in ("persistent", "activations", "planning"):
        assert getattr(made, part) >= getattr(measured.wide, part), part
    assert made.persistent - saved >= measured.narrow.persistent


def test_without_the_package_the_arena_is_computed_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    content = gesture()
    graph = flatbuffer.read(content)
    measured: Arena = find_arena(graph, content)
    monkeypatch.setattr(tflm_arena, "version", missing)
    made = find_arena(graph, content)
    assert made.source == "computed and larger than need be, for the package tflite-micro is not installed"
    assert measured.bytes < made.bytes < 4 * measured.bytes


def test_an_arena_that_tflite_micro_never_starts_in_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.tflite").write_bytes(gesture())
    monkeypatch.setattr(tflm_arena, "PLANNING_MOST", 64)
    with pytest.raises(Problem, match="does not start in 1064 bytes, though it says that it needs 1000"):
        tflm_arena._least(tmp_path / "model.tflite", 1000)
