"""Models that bring their own .tflite: taken in, built, run; MLPerf Tiny's four byte-exact on a Cortex-M4."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, stage
from test_generate import gesture

from pipeline import __main__ as whole_line
from pipeline import data, files, flatbuffer, model_file, ready
from pipeline.generate import compile_model
from pipeline.graph import Graph, Node, Quant, Tensor
from pipeline.problem import Problem, Problems

MODEL = """
import pathlib
from pipeline.spec import Provenance, Ready

MADE_UP = Provenance("none", "0", "none", "0" * 64, "made up")
READY = Ready("classification", ("left", "right", "none"), MADE_UP, windows=8)


def flatbuffer():
    return (pathlib.Path(__file__).parent / "gesture.tflite").read_bytes()
"""
WINDOWS = """
import numpy as np

def windows():
    return np.zeros((4, 1, 16, 3), np.{dtype}), np.array([0, 0, 1, 2])
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "models" / "gesture").mkdir(parents=True)
    (tmp_path / "boards").mkdir()
    (tmp_path / "models" / "gesture" / "model.py").write_text(MODEL)
    (tmp_path / "models" / "gesture" / "gesture.tflite").write_bytes(gesture())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_ready_model_is_taken_in_with_drawn_windows(project: Path) -> None:
    done = stage("ready", "gesture", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "random windows: labels are what the reference says of them" in done.stdout
    folder = project / "build" / "gesture"
    assert (folder / "model.tflite").read_bytes() == gesture()
    facts = json.loads((folder / "quantize.json").read_text())
    assert facts["metrics"]["float"] is facts["metrics"]["pruned"] is None
    assert facts["metrics"]["int8"]["accuracy"] == 1.0
    arrays = files.read_arrays(folder / "reference.npz", "ready")
    assert arrays["inputs"].shape == (8, 1, 16, 3) and len(np.unique(arrays["inputs"])) > 100
    assert np.array_equal(arrays["labels"], arrays["outputs"].argmax(axis=1))
    again = stage("ready", "gesture", cwd=project)
    assert again.stdout == done.stdout


def test_a_ready_model_is_built_and_checked_like_any_other(project: Path) -> None:
    shutil.copytree(ROOT / "firmware", project / "firmware")
    shutil.copy(ROOT / "boards" / "host.toml", project / "boards")
    for words in (["ready", "gesture"], ["generate", "gesture"], ["build", "gesture"], ["hil", "--name", "gesture"]):
        done = stage(*words, *(["--board", "host"] if words[0] != "ready" else []), cwd=project)
        assert done.returncode == 0, done.stderr
    report = json.loads((project / "build" / "gesture" / "host-compiled" / "report.json").read_text())
    assert (report["verdict"], report["windows"]["equal"], report["metrics"]["float"]) == ("pass", 8, None)
    part = stage("hil", "--board", "host", "--name", "gesture", "--windows", "3", cwd=project)
    assert part.returncode == 0, part.stderr


def test_it_may_bring_its_own_windows(project: Path) -> None:
    model = project / "models" / "gesture" / "model.py"
    model.write_text(MODEL + WINDOWS.format(dtype="int8"))
    facts = ready.make("gesture")
    assert facts["rule"] == "the model's own test windows"
    assert files.read_arrays(project / "build/gesture/reference.npz", "")["labels"].tolist() == [0, 0, 1, 2]
    model.write_text(MODEL + WINDOWS.format(dtype="int16"))
    with pytest.raises(Problem, match=r"windows\(\) gives int16 \(1, 16, 3\), the model takes int8 \(1, 16, 3\)"):
        ready.make("gesture")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_real_windows_are_quantized_as_the_model_takes_them(project: Path, dtype: str) -> None:
    x = flatbuffer.read(gesture(), "x").edge("input")[0]
    values = (np.random.default_rng(1).normal(0, 90 * x.scale, (4, 1, 16, 3))).astype(dtype)
    np.save(project / "x.npy", values)
    model = project / "models" / "gesture" / "model.py"
    given = f"np.load({str(project / 'x.npy')!r})"
    model.write_text(MODEL + WINDOWS.format(dtype="int8").replace("np.zeros((4, 1, 16, 3), np.int8)", given))
    ready.make("gesture")
    arrays = files.read_arrays(project / "build/gesture/reference.npz", "")
    expected = np.clip(np.rint(values / np.float32(x.scale)) + x.zero_point, -128, 127)
    assert (expected == -128).any() and (expected == 127).any()
    assert np.array_equal(arrays["inputs"], expected)
    np.save(project / "x.npy", np.where(values > x.scale, np.nan, values))
    with pytest.raises(Problem, match=r"windows\(\) gives values that are not finite"):
        ready.make("gesture")


def test_a_model_of_floats_is_refused_before_anything_runs(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    graph = flatbuffer.read(gesture(), "x")
    tensors = tuple(replace(tensor, dtype="float32", quant=None, data=None) for tensor in graph.tensors)
    floats = flatbuffer.write(replace(graph, tensors=tensors))
    (project / "models" / "gesture" / "gesture.tflite").write_bytes(floats)
    with pytest.raises(Problems, match=r"models/gesture: its input \S+ is float32, not int8") as caught:
        ready.make("gesture")
    assert "representative_dataset" in caught.value.problems[0].hint and capfd.readouterr().err == ""


LABELS = '("left", "right", "none")'
BYTES = '(pathlib.Path(__file__).parent / "gesture.tflite").read_bytes()'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (LABELS, '("left", "right")', r"READY names 2 labels, the model's output has 3 values$"),
        (LABELS, '("left", "right", "up", "none")', r"READY names 4 labels, the model's output has 3 values$"),
        (LABELS, '"left"', r"cannot be loaded: labels are 'left', not a tuple of names$"),
        (LABELS, '("left", "left", "none")', r"cannot be loaded: labels are left, left, none: one is there twice$"),
        ('"classification"', '"anomaly"', r"cannot be loaded: labels are 3, an anomaly model has two: normal, fault$"),
        ('"classification", ' + LABELS, '"anomaly", ("normal", "fault")',
         r"an anomaly model reconstructs its input, this one makes 3 values of 48$"),
        ("windows=8", "windows=0", r"cannot be loaded: windows is 0, not a whole number from 1 on$"),
        ("windows=8", "windows='8'", r"cannot be loaded: windows is '8', not a whole number from 1 on$"),
        ("windows=8", "stream=0", r"cannot be loaded: stream is 0, not a whole number from 1 on$"),
        ("gesture.tflite", "other.tflite", r"model\.py:\d+: flatbuffer\(\) failed: FileNotFoundError"),
        (BYTES, "None", r"flatbuffer\(\) gives a NoneType$"),
        ("def windows():", "def windows():\n    return np.zeros(3)", r"windows\(\) gives a ndarray, not a pair$"),
        ("def windows():", "def windows():\n    return 1, 2", r"windows\(\) gives a tuple, not a pair$"),
        ("np.zeros((4,", "np.zeros((0,", r"windows\(\) gives none$"),
        ("[0, 0, 1, 2]", "[0, 0, 1]", r"windows\(\) gives 4 windows and labels int64 \[3\]$"),
        ("[0, 0, 1, 2]", "[0, 0, 1, 0.5]", r"windows\(\) gives 4 windows and labels float64 \[4\]$"),
        ("[0, 0, 1, 2]", "[0, 0, 1, 3]", r"windows\(\) gives label 3, READY names 3 from 0$"),
        ("[0, 0, 1, 2]", "[0, -1, 1, 0]", r"windows\(\) gives label -1, READY names 3 from 0$"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(project: Path, old: str, new: str, said: str) -> None:
    text = MODEL + WINDOWS.format(dtype="int8") * (old not in MODEL)
    assert text.count(old) == 1
    (project / "models" / "gesture" / "model.py").write_text(text.replace(old, new))
    with pytest.raises(Problem, match=said):
        ready.make("gesture")
    assert not (project / "build" / "gesture" / "model.tflite").exists()


def test_an_anomaly_model_calls_half_of_the_drawn_windows_a_fault(project: Path) -> None:
    model = project / "models" / "gesture" / "model.py"
    text = MODEL.replace('"classification", ("left", "right", "none")', '"anomaly", ("normal", "fault")')
    model.write_text(text.replace("gesture.tflite", "same.tflite"))
    quant = Quant((0.5,), (0,))
    tensors = (Tensor("x", (1, 6), "int8", quant), Tensor("y", (1, 6), "int8", quant))
    content = flatbuffer.write(Graph(tensors, (Node(0, "RELU", (0,), (1,), {}),), (0,), (1,)))
    (model.parent / "same.tflite").write_bytes(content)
    facts = ready.make("gesture")
    labels = files.read_arrays(project / "build/gesture/reference.npz", "")["labels"]
    assert (labels.sum(), facts["metrics"]["int8"]["auc"]) == (4, 1.0)


def test_float_edges_and_arithmetic_on_known_shapes_are_taken_off() -> None:
    quant = Quant((0.5,), (3,))
    tensors = (
        Tensor("in", (1, 4, 2), "float32"),
        Tensor("x", (1, 4, 2), "int8", quant),
        Tensor("shape", (3,), "int32"),
        Tensor("wide", (1, 8), "int8", quant),
        Tensor("relu", (1, 8), "int8", quant),
        Tensor("out", (1, 8), "float32"),
    )
    nodes = (
        Node(0, "QUANTIZE", (0,), (1,), {}),
        Node(1, "SHAPE", (1,), (2,), {}),
        Node(2, "RESHAPE", (1, 2), (3,), {}),
        Node(3, "RELU", (3,), (4,), {}),
        Node(4, "DEQUANTIZE", (4,), (5,), {}),
    )
    content = ready.int8_model(flatbuffer.write(Graph(tensors, nodes, (0,), (5,))), "x")
    made = compile_model(content, "x")
    assert [node.op for node in made.graph.nodes] == ["RESHAPE", "RELU"]
    assert (made.input.shape, made.output.shape) == ((1, 4, 2), (1, 8))


def test_what_is_ready_is_not_trained_and_the_other_way_round(project: Path, tiny_copy: Path) -> None:
    with pytest.raises(Problem, match="does not define READY"):
        model_file.load_ready("tiny")
    assert [words[0] for words in whole_line.line("tiny", "host", "compiled")][:2] == [
        "pipeline.windows",
        "pipeline.train",
    ]
    assert files.tflite_made_by("tiny") == "python -m pipeline.quantize tiny"
    assert whole_line.line("tiny", "host", "compiled", "2x2")[2][-2:] == ["--pattern", "2x2"]
    shutil.copytree(project / "models" / "gesture", tiny_copy / "models" / "gesture")
    with pytest.raises(Problem, match=r"brings its own \.tflite: there is nothing to train"):
        model_file.load_model("gesture")
    assert [words[0] for words in whole_line.line("gesture", "host", "compiled")] == [
        "pipeline.ready", "pipeline.generate", "pipeline.build", "pipeline.hil",
    ]  # fmt: skip
    assert files.tflite_made_by("gesture") == "python -m pipeline.ready gesture"
    with pytest.raises(Problem, match=r"gesture: brings its own \.tflite: there is nothing to prune"):
        whole_line.line("gesture", "host", "compiled", "2x2")


def test_an_archive_without_the_file_is_told() -> None:
    with pytest.raises(Problem, match=r"is no archive with model\.tflite in it"):
        data.read_zip_member(b"no zip", "model.tflite", "x.zip")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "windows"), [("kws", 100), ("ad", 100), ("ic", 4), ("vww", 2)])
def test_the_models_of_mlperf_tiny_are_byte_exact_on_a_cortex_m4(name: str, windows: int) -> None:
    assert stage("ready", name).returncode == 0
    for words in (["generate", name], ["build", name], ["hil", "--name", name, "--windows", str(windows)]):
        done = stage(*words, "--board", "cortex-m4")
        assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((ROOT / "build" / name / "cortex-m4-compiled" / "report.json").read_text())
    assert report["windows"]["equal"] == windows
    assert len(report["layers"]["steps"]) == report["device"]["operators"]
    assert 100 < report["layers"]["stack"]["used"] < report["layers"]["stack"]["size"] == 4096
