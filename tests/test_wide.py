"""16x8: a model with 16-bit activations through the line, in TFLite Micro, as a package, and one wrong step alone."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import echo
import numpy as np
import pytest
from conftest import ROOT, stage
from test_package import example_on_avr, plain_c

from pipeline import files, flatbuffer, metrics, package, quantize
from pipeline.board import load_board
from pipeline.evaluate import answer
from pipeline.importer import import_model, operators

BOARDS = ("host", "cortex-m4", "esp32", "esp32c3", "pico", "mega2560")


@pytest.fixture
def project(wide_trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project with `tiny` in 16x8, its firmware and boards; the working directory is inside it."""
    root = Path(shutil.copytree(wide_trained, tmp_path / "project"))
    shutil.copytree(ROOT / "firmware", root / "firmware")
    shutil.copytree(ROOT / "boards", root / "boards", dirs_exist_ok=True)
    monkeypatch.chdir(root)
    return root


def run_line(root: Path, board: str, runtime: str = "compiled", codes: tuple[int, ...] = (0,)) -> dict[str, object]:
    """Generate, build and check; what the report says."""
    for words in (["generate", "tiny"], ["build", "tiny"], ["hil", "--name", "tiny", "--windows", "20", "--layers"]):
        done = stage(*words, "--board", board, "--runtime", runtime, cwd=root)
        assert done.returncode in codes, done.stdout + done.stderr
    return dict(json.loads((root / "build" / "tiny" / f"{board}-{runtime}" / "report.json").read_text()))


def test_what_quantize_leaves_is_16x8(wide_trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = wide_trained / "build" / "tiny"
    facts = json.loads((folder / "quantize.json").read_text())
    graph = flatbuffer.read((folder / "model.tflite").read_bytes())
    assert {tensor.dtype for tensor in graph.tensors if tensor.data is None} == {"int16"}
    assert {t.dtype for t in graph.tensors if t.data is not None and len(t.shape) > 1} == {"int8"}
    assert (facts["activations"], metrics.single(facts["input"])) == (16, ((32, 2), np.dtype(np.int16)))
    assert all(len(graph.input(node, 1).quant.scale) == 1 for node in graph.nodes if node.op == "FULLY_CONNECTED")
    arrays = files.read_arrays(folder / "reference.npz", "quantize")
    assert arrays["inputs"].shape[1:] == (32 * 2 * 2,)
    reals = metrics.dequantize(arrays["outputs"], facts["output"]), metrics.dequantize(arrays["inputs"], facts["input"])
    assert metrics.score(facts["task"], reals[0], arrays["labels"], reals[1]) == facts["metrics"]["int8"]
    assert np.abs(reals[0] - arrays["pruned_outputs"])[: len(reals[0]) // 2].max() < 0.1
    quantize.print_ladder(facts)
    assert "│ 16x8 " in capsys.readouterr().out


@pytest.mark.parametrize(("board", "runtime"), [*((board, "compiled") for board in BOARDS), ("tflm-host", "tflm")])
def test_runs_the_line_to_equal_bytes(project: Path, board: str, runtime: str) -> None:
    report = run_line(project, board, runtime)
    assert (report["verdict"], report["windows"]["equal"], report["activations"]) == ("pass", 20, 16)
    assert report["layers"]["words"] == "every step of window 0 equals the reference"


def test_a_wrong_value_is_found_and_its_step_runs_alone(project: Path) -> None:
    kernel = project / "firmware" / "kernels" / "nn_mean_s16.h"
    right = kernel.read_text()
    wrong = right.replace("input, output, 2);\n", "input, output, 2);\n    output[3] = (int16_t)(output[3] ^ 0x1ff);\n")
    assert wrong != right
    kernel.write_text(wrong)
    report = run_line(project, "host", codes=(0, 1))
    first = report["layers"]["first"]
    assert (first["op"], first["at"], first["bytes"], first["wrong_inputs"]) == ("MEAN", 3, 1, 0)
    assert 128 < first["largest"] < 512
    alone = next((project / "build/tiny/host-compiled").glob("differs-*"))
    assert (
        "0 of 16 bytes differ from the board"
        in subprocess.run(["make"], cwd=alone, capture_output=True, text=True).stdout
    )


def test_a_package_takes_and_gives_16_bits(project: Path, tmp_path: Path) -> None:
    echo.need("arduino-builder", "gcc")
    made = package.package("tiny", load_board("uno"))
    assert example_on_avr(made, "uno", tmp_path / "arduino")[1] == "as expected"
    made = package.package("tiny", load_board("host"))
    inputs, outputs, verdict = plain_c(made, "tiny", "NAME_label(output)", tmp_path / "plain", "int16_t")
    graph = import_model((project / "build/tiny/model.tflite").read_bytes(), "tiny")
    expected = answer(graph, operators(graph, "tiny"), np.array(inputs.split(), np.int16).view(np.int8))
    assert np.array_equal(expected.view(np.int16), np.array(outputs.split(), np.int16))
    assert verdict.startswith("1 ")
