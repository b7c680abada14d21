"""The harness names the operator that goes wrong: real firmware with a wrong rounding planted in one kernel."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, stage
from fake_build import FakeBuild, fake_build
from fake_device import FakeDevice
from ops.cases_project import cases_of
from test_passes import padded_conv

from pipeline import flatbuffer, hil, layers, oracle, repro, wire
from pipeline.device import Device
from pipeline.generate import compile_model
from pipeline.graph import Graph
from pipeline.problem import Problem
from pipeline.tensors import tensors
from pipeline.transport import connect

PLANTED = """
#include "nn_fixed.h"

static inline int32_t nn_truncate(int32_t x, int32_t multiplier, int32_t shift)
{
    return (int32_t)(((int64_t)x * multiplier) >> (31 - shift));
}
#define nn_requantize nn_truncate
#include "../nn_mean_s8.h"
#undef nn_requantize
"""


def harness(root: Path, *more: str) -> tuple[int, dict[str, Any], str]:
    """Generate, build and run `tiny` on the board host: exit code, report.json, what was printed."""
    shutil.copytree(ROOT / "firmware", root / "firmware", dirs_exist_ok=True)
    shutil.copy(ROOT / "boards" / "host.toml", root / "boards")
    for words in (["generate", "tiny"], ["build", "tiny"], ["hil", "--name", "tiny", *more]):
        done = stage(*words, "--board", "host", cwd=root)
        assert done.returncode == 0 or words[0] == "hil", done.stderr
    folder = root / "build" / "tiny" / "host-compiled"
    return done.returncode, json.loads((folder / "report.json").read_text()), done.stdout + done.stderr


def test_a_wrong_rounding_is_found_in_its_kernel_and_comes_with_a_repro(tiny_copy: Path) -> None:
    planted = tiny_copy / "firmware" / "kernels" / "host" / "nn_mean_s8.h"
    planted.parent.mkdir(parents=True)
    planted.write_text(PLANTED)
    code, report, said = harness(tiny_copy)
    assert (code, report["verdict"]) == (1, "fail")
    first = report["layers"]["first"]
    assert (first["op"], first["kernel"], first["largest"], first["wrong_inputs"]) == ("MEAN", "nn_mean_s8", 1, 0)
    assert 1 <= first["bytes"] <= first["of"] == 8
    window = report["windows"]["differing"][0]["index"]
    assert f"window {window}: step 1 MEAN {first['name']} is the first that differs" in said
    assert "its inputs are right" in said
    folder = Path(first["folder"])
    bytes_ = {name: (folder / f"{name}.bin").read_bytes() for name in ("input0", "expected", "got")}
    assert sum(a != b for a, b in zip(bytes_["expected"], bytes_["got"], strict=True)) == first["bytes"]
    graph = flatbuffer.read((folder / "model.tflite").read_bytes())
    assert [node.op for node in graph.nodes] == ["MEAN"]
    assert len(bytes_["input0"]) == graph.tensors[graph.inputs[0]].count
    wrong = subprocess.run(["make"], cwd=folder, capture_output=True, text=True)
    assert f"{first['bytes']} of 8 bytes differ from the reference" in wrong.stdout
    assert "0 of 8 bytes differ from the board" in wrong.stdout
    (folder / "repro").unlink()
    right = subprocess.run(["make", "CORE="], cwd=folder, capture_output=True, text=True)
    assert "0 of 8 bytes differ from the reference" in right.stdout


def test_the_report_profiles_every_layer(tiny_copy: Path) -> None:
    code, report, said = harness(tiny_copy, "--layers")
    assert code == 0
    assert "every step of window 0 equals the reference" in said
    steps = report["layers"]["steps"]
    assert [step["op"] for step in steps] == ["CONV_2D", "MEAN", "FULLY_CONNECTED", "SOFTMAX"]
    shares = [step["share"] for step in steps]
    coarse = report["clock"]["kind"] == "microseconds"  # in which a step may take none, and so may all
    assert (coarse and None in shares) or sum(shares) == pytest.approx(1)
    assert steps[0]["macs"] == 14 * 5 * 2 * 8
    assert steps[0]["weights_bytes"] > 0 and steps[0]["zeros"] == pytest.approx(0.5, abs=0.1)
    page = (tiny_copy / "build" / "tiny" / "host-compiled" / "report.html").read_text()
    assert "<h2>Layers, window 0</h2>" in page


def test_firmware_without_layers_is_checked_all_the_same(tiny_copy: Path) -> None:
    board = tiny_copy / "boards" / "host.toml"
    assert harness(tiny_copy)[1]["layers"]["steps"]
    small = (ROOT / "boards" / "host.toml").read_text()
    (tiny_copy / "boards" / "small.toml").write_text('leave_out = ["layers"]\n' + small)
    assert board.exists()
    for words in (["generate", "tiny"], ["build", "tiny"], ["hil", "--name", "tiny", "--layers"]):
        done = stage(*words, "--board", "small", cwd=tiny_copy)
        assert done.returncode == 0, done.stderr
    report = json.loads((tiny_copy / "build" / "tiny" / "small-compiled" / "report.json").read_text())
    assert (report["verdict"], report["layers"]) == ("pass", None)


class Scripted(FakeDevice):
    """A device that answers LAYERS and TENSOR with the bodies it is given."""

    bodies: dict[int, list[tuple[int, bytes]]]

    def _frame(self, block: bytes) -> None:
        content = wire.decode(block)
        if content and content.type in self.bodies:
            type_, body = self.bodies[content.type].pop(0)
            self._send(type_, content.seq, body)
        else:
            super()._frame(block)


@pytest.mark.parametrize(
    ("bodies", "words"),
    [
        ({3: [(0x8F, b"\1\5the arena is broken")]}, "cannot show its layers: runtime: the arena is broken"),
        ({3: [(0x83, b"\0\0\0\0")]}, "looked at another window than it was asked about"),
        ({3: [(0x83, b"CRC!abc")]}, "bytes to LAYERS, which are no whole number of steps"),
        ({4: [(0x84, b"CRC!\4\0\0\0ab"), (0x84, b"CRC!\4\0\0\0")]}, "gave no bytes of a tensor of 4 bytes"),
        ({4: [(0x84, b"CRC!\4")]}, "bytes to TENSOR, at least 8 are needed"),
        ({5: [(0x85, b"1234")]}, "bytes to STACK, 8 are needed"),
    ],
)
def test_answers_that_cannot_be_are_told(bodies: dict[int, list[tuple[int, bytes]]], words: str) -> None:
    window = b"window of 16 byt"
    crc = wire._CRC.pack(wire.zlib.crc32(window))
    with Scripted() as fake:
        fake.bodies = {t: [(kind, body.replace(b"CRC!", crc)) for kind, body in each] for t, each in bodies.items()}
        device = Device(connect(fake.path))
        device.hello()
        with pytest.raises(Problem, match=words):
            ask = {3: layers.steps, 4: lambda *each: layers.tensor(*each, 0, 0), 5: lambda port, _: layers.stack(port)}
            ask[min(bodies)](device, window)
        device.close()


def test_a_device_that_cannot_show_its_layers_is_judged_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    build: FakeBuild = fake_build(tmp_path)
    with build.device() as fake:
        fake.__class__ = Scripted
        fake.bodies = {3: [(0x8F, b"\1\5no room")]}  # type: ignore[attr-defined]
        assert hil.main(["--port", fake.path]) == 0
    report = json.loads((build.folder / "report.json").read_text())
    assert "cannot show its layers: runtime: no room" in report["layers"]["words"]


def test_a_child_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"pipeline\.repro: ended with exit code 2"):
        layers._apart("pipeline.repro", "nothing", str(tmp_path / "nowhere"), "--tensor", "0")
    with pytest.raises(Problem, match="is no folder"):
        repro.main(["nothing", str(tmp_path / "nowhere"), "--tensor", "0"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-1"], "tensor -1: no operator of the model makes it"),
        (["OUTPUT", "--inputs", "-4"], "tensor -4: is not read, of 4 bytes, by what makes tensor OUTPUT"),
        (["INPUT"], "tensor INPUT: no operator of the model makes it"),
        (["OUTPUT", "--inputs", "OUTPUT"], "tensor OUTPUT: is not read, of 4 bytes, by what makes tensor OUTPUT"),
        (["OUTPUT", "--inputs", "INPUT"], "tensor INPUT: is not read, of 4 bytes, by what makes tensor OUTPUT"),
    ],
)
def test_an_index_that_makes_no_sense_is_told(words: list[str], told: str, tmp_path: Path) -> None:
    graph = cases_of("CONV_2D")[0].plan.graph
    numbers = {"INPUT": str(graph.inputs[0]), "OUTPUT": str(graph.outputs[0])}
    (tmp_path / "model.tflite").write_bytes(flatbuffer.write(graph))
    (tmp_path / "input0.bin").write_bytes(bytes(4))
    named = [numbers.get(word, word) for word in words]
    with pytest.raises(Problem) as caught:
        repro.main([str(tmp_path / "model.tflite"), str(tmp_path), "--tensor", *named])
    assert str(caught.value) == told.replace("INPUT", numbers["INPUT"]).replace("OUTPUT", numbers["OUTPUT"])
    assert caught.value.hint == "python -m pipeline.hil --layers names tensors and makes such folders"


def test_of_a_constant_that_is_loaded_the_bytes_say_it_all(tmp_path: Path) -> None:
    graph = next(case.plan.graph for case in cases_of("ADD") if any(s.op == "LOAD" for s in case.plan.steps))
    content = flatbuffer.write(graph)
    step = next(step for step in compile_model(content, "m").steps if step.op == "LOAD")
    why = repro.write_folder(tmp_path, content, step.output, list(step.inputs), "")
    assert (why, list(tmp_path.iterdir())) == ("it is a constant that is loaded", [])


def test_of_an_operator_without_a_kernel_there_is_the_model(tmp_path: Path) -> None:
    graph = cases_of("RELU")[0].plan.graph
    graph = replace(graph, nodes=(replace(graph.nodes[0], op="ROUND", options={}),))
    for name in ("input0", "expected", "got"):
        (tmp_path / f"{name}.bin").write_bytes(bytes(graph.input(graph.nodes[0], 0).bytes))
    told = repro.write_folder(tmp_path, flatbuffer.write(graph), graph.outputs[0], [graph.inputs[0]], "")
    assert told == "model.tflite is there, but no C: an operator has no kernel"
    assert (tmp_path / "model.tflite").exists() and not (tmp_path / "model.c").exists()


def first(**facts: Any) -> str:
    usual = {"index": 3, "op": "ADD", "name": "add", "bytes": 2, "of": 9, "largest": 5, "at": 1, "got_value": 7,
             "expected_value": 2, "wrong_inputs": 0}  # fmt: skip
    return layers.in_words({**usual, **facts}, 17)


def test_the_first_difference_in_words() -> None:
    start = "window 17: step 3 ADD add is the first that differs: 2 of 9 values, by at most 5; value 1 is 7, not 2"
    assert first() == f"{start}; its inputs are right"
    assert first(wrong_inputs=1) == f"{start}; an input was overwritten before it began"
    assert first(bytes=0).endswith("it is not deterministic")


def padded() -> tuple[Graph, dict[int, Any]]:
    """A PAD, an EXPAND_DIMS and a CONV_2D, of which the device runs one step, and every tensor for a window."""
    graph = padded_conv([(0, 0), (2, 0), (0, 0)], wide=True)
    window = np.random.default_rng(1).integers(-128, 128, (1, 7, 2)).astype(np.int8)
    return graph, tensors(flatbuffer.write(graph), window, "m")


def test_what_a_pass_made_one_step_is_the_operators_of_the_file_again(tmp_path: Path) -> None:
    graph, values = padded()
    content = flatbuffer.write(graph)
    (step,) = compile_model(content, "m").steps
    (source,) = step.inputs
    assert source >= len(graph.tensors)
    assert values[source].tobytes() == values[0].tobytes()
    for name, tensor in (("input0", source), ("expected", step.output), ("got", step.output)):
        (tmp_path / f"{name}.bin").write_bytes(values[tensor].tobytes())
    repro.write_folder(tmp_path, content, step.output, [source], "host")
    alone = flatbuffer.read((tmp_path / "model.tflite").read_bytes())
    assert [node.op for node in alone.nodes] == ["PADV2", "EXPAND_DIMS", "CONV_2D"]
    done = subprocess.run(["make"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 of 28 bytes differ from the reference" in done.stdout


def test_an_operator_of_many_steps_comes_with_all_that_they_read() -> None:
    graph = cases_of("CONCATENATION")[0].plan.graph
    two = replace(graph, nodes=(replace(graph.nodes[0], inputs=(0, len(graph.tensors))),),
                  tensors=(*graph.tensors, replace(graph.tensors[0], name="second")))  # fmt: skip
    size = graph.tensors[0].count
    alone = repro.part(two, graph.outputs[0], {0: bytes(size), len(graph.tensors): b"\1" * size})
    assert alone.inputs == (0,)
    assert [tensor.data is None for tensor in alone.tensors] == [True, False, True]


def test_an_operator_of_two_activations_keeps_the_second_as_a_constant() -> None:
    graph = cases_of("ADD")[0].plan.graph
    node = graph.nodes[-1]
    sources = {i: bytes(graph.tensors[i].count) for i in node.inputs if graph.tensors[i].data is None}
    alone = repro.part(graph, node.outputs[0], sources)
    assert len(alone.inputs) == 1
    assert len(flatbuffer.read(flatbuffer.write(alone)).nodes) == 1
    assert np.all([tensor.data is not None for i, tensor in enumerate(alone.tensors)
                   if i not in (*alone.inputs, *alone.outputs)])  # fmt: skip


def test_the_tensors_to_compare_with_are_tflites_where_it_is_right() -> None:
    case = cases_of("CONV_2D")[0]
    ours, theirs = (each(case.content, case.windows[0][0], "case") for each in (tensors, oracle.tensors))
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[i].reshape(-1), theirs[i].reshape(-1)) for i in ours)
