"""A Keras network of several inputs and outputs: trained, pruned, quantized, and byte-exact behind the line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, copy_tiny, stage

from pipeline import files, flatbuffer, metrics, windows
from pipeline.model_file import load_model
from pipeline.problem import Problem
from pipeline.spec import Side

NETWORK = """
def network():
    from tf_keras import Model, layers

    wave, noise = layers.Input((32, 2), name="wave"), layers.Input((32, 2), name="another")
    normed = [layers.BatchNormalization(momentum=0.8)(layers.Conv1D(8, 5, 2)(each)) for each in (wave, noise)]
    seen = [layers.GlobalMaxPooling1D()(layers.ReLU()(each)) for each in normed]
    joined = layers.Concatenate()(seen)
    return Model({inputs}, {outputs})
"""
LISTED = {"inputs": "[wave, noise]", "outputs": '[layers.Dense(2)(joined), layers.Dense(2, "softmax")(joined)]'}


def two(text: str, **edges: str) -> str:
    """tiny with noise as another input of the same shape, before or behind which nobody can tell it, and an output."""
    window = re.search(r"window=(Window\(.*\)),\n", text)
    assert window is not None
    text = text.replace(window[0], f"window=({window[1]}, {window[1]}),\n    output=1,\n")
    text = text.replace("import cut, gather", "import cut, gather, pack").replace("epochs=3,", "epochs=9,")
    cut = re.search(r"return (cut\(.*?, 32, 16\)), label", text)
    assert cut is not None
    noise = "random.normal(50, 9, (29, 32, 2))"
    text = text.replace(cut[1], f"pack({cut[1]}, {noise})").replace("(len(windows), 1, 1)", "(len(windows), 1)")
    return text[: text.index("def network")] + NETWORK.format(**(LISTED | edges))


@pytest.mark.slow
@pytest.mark.xdist_group("keras")
def test_it_runs_the_whole_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = copy_tiny(tmp_path / "project", two)
    shutil.copytree(ROOT / "firmware", root / "firmware")
    (root / "boards").mkdir(exist_ok=True)
    shutil.copy(ROOT / "boards" / "host.toml", root / "boards")
    names = ("windows", "train", "prune", "quantize", "generate", "build")
    for words in (*([name, "tiny"] for name in names), ["hil", "--name", "tiny"]):
        done = stage(*words, *(["--board", "host"] if words[0] in ("generate", "build", "hil") else []), cwd=root)
        assert done.returncode == 0, done.stderr
    monkeypatch.chdir(root)
    facts = json.loads((root / "build/tiny/quantize.json").read_text())
    assert [part["shape"] for part in facts["input"]["parts"]] == [[32, 2], [32, 2]]
    assert ([part["shape"] for part in facts["output"]["parts"]], facts["output"]["judged"]) == ([[2], [2]], 1)
    assert facts["output"]["parts"][1]["scale"] == 1 / 256  # the softmax
    assert facts["metrics"]["int8"]["accuracy"] > 0.8, facts["metrics"]
    report = json.loads((root / "build/tiny/host-compiled/report.json").read_text())
    assert report["verdict"] == "pass"
    assert report["metrics"]["device"]["accuracy"] == facts["metrics"]["int8"]["accuracy"]
    x = files.read_arrays(root / "build/tiny/windows.npz", "")["x_train"]
    standard = json.loads((root / "build/tiny/windows.json").read_text())["standardise"]
    anew, (side,) = windows.restandardise(
        [Side(x, np.zeros(len(x), np.int64), np.zeros(len(x), np.int64))], standard, (32, 2), (32, 2)
    )
    assert np.allclose(np.unique(anew["mean"]), np.unique(standard["mean"]), rtol=1e-3)
    for part in windows.unpack(side.x, (32, 2), (32, 2)):
        assert np.allclose(part.std(axis=(0, 1)), 1, atol=1e-3)
    reference = files.read_arrays(root / "build/tiny/reference.npz", "")
    assert reference["inputs"].shape == (58, 128)
    assert len(flatbuffer.read((root / "build/tiny/model.tflite").read_bytes()).inputs) == 2


def test_packed_windows_come_apart_again_and_are_quantized_each_by_its_scale() -> None:
    a, b = np.arange(12, dtype=np.float32).reshape(2, 3, 2), np.ones((2, 1), np.float32)
    x = windows.pack(a, b)
    assert all(np.array_equal(*pair) for pair in zip(windows.unpack(x, (3, 2), (1,)), (a, b), strict=True))
    narrow = {"at": 0, "dtype": "int8", "shape": [3, 2], "scale": 0.5, "zero_point": -3}
    wide = {"at": 8, "dtype": "int16", "shape": [1], "scale": 0.001, "zero_point": 0}
    made = metrics.quantize(x, {"shape": [10], "parts": [narrow, wide]})
    assert made[0].tolist() == [-3, -1, 1, 3, 5, 7, 0, 0, *np.array([1000], "<i2").view(np.int8)]


@pytest.mark.slow
@pytest.mark.xdist_group("keras")
@pytest.mark.parametrize(
    ("edges", "words"),
    [
        ({"inputs": '{"wave": wave, "another": noise}'}, "network() has its inputs or outputs in a dict"),
        ({"inputs": "wave", "outputs": "layers.Dense(2)(seen[0])"}, "SPEC judges output 1, network() has 1"),
        (
            {"outputs": "[joined, joined]"},
            "network() turns (32, 2) and (32, 2) into (16,), SPEC says (32, 2) and (32, 2) into (2,)",
        ),
    ],
)
def test_a_network_that_is_not_as_the_file_says_is_refused(edges: dict[str, str], words: str, tmp_path: Path) -> None:
    root = copy_tiny(tmp_path / "project", lambda text: two(text, **edges))
    done = stage("train", "tiny", cwd=root)
    assert done.returncode == 2
    assert words in done.stderr


def test_windows_that_are_not_packed_and_anomalies_of_several_inputs_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = copy_tiny(tmp_path / "one", lambda text: two(text).replace("pack(cut", "(lambda a, b: a)(cut"))
    monkeypatch.chdir(root)
    with pytest.raises(Exception, match=r"\(32, 2\), SPEC.window says \(128,\): \(32, 2\) and \(32, 2\), by pack\(\)"):
        windows.make_windows("tiny")
    root = copy_tiny(tmp_path / "two", lambda text: two(text).replace('"classification"', '"anomaly"'))
    monkeypatch.chdir(root)
    with pytest.raises(Problem, match="window has 2 inputs, an anomaly model reconstructs one"):
        load_model("tiny")
