"""Keras 3 networks: rebuilt in tf_keras with equal outputs or refused; taken as they are when trained; run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, copy_tiny, stage

FIXTURE = ROOT / "tests" / "fixtures" / "keras" / "keras3.py"


def fixture(*arguments: str, file: Path = FIXTURE) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS": "3"}
    argv = [sys.executable, str(file), *arguments]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    found: dict[str, str] = json.loads(fixture())
    return found


@pytest.mark.parametrize("name", ["branched", "hard", "recurrent", "cell", "rectified", "built_later"])
def test_a_keras_3_network_is_rebuilt_with_equal_outputs(name: str, told: dict[str, str]) -> None:
    assert told[name] == "equal"


@pytest.mark.slow
def test_every_layer_of_the_conformance_tests_is_rebuilt_but_lambdas() -> None:
    refused = json.loads(fixture(file=FIXTURE.with_name("layers.py")))
    why = "its Keras 3 network cannot be rebuilt in tf_keras: unsupported callable"
    assert refused == {"gelu_tanh": why, "waves": why}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("own_class", "its Keras 3 network is a class of its own, Own"),
        ("operation", "its layer sin is a Sin, which tf_keras has not"),
        ("gate", "its Keras 3 network cannot be rebuilt in tf_keras: multi_head_attention"),
        ("activation", "its Keras 3 network cannot be rebuilt in tf_keras: Unknown activation function 'hard_tanh'"),
        ("window", "its Keras 3 network gives other outputs when it is rebuilt in tf_keras: "),
    ],
)
def test_what_tf_keras_cannot_be_is_refused(name: str, words: str, told: dict[str, str]) -> None:
    assert told[name].startswith(f"error: {name}: {words}")


def run_line(root: Path, stages: tuple[str, ...] = ("train", "prune", "quantize")) -> None:
    for name in stages:
        done = stage(name, "tiny", cwd=root)
        assert done.returncode == 0, done.stderr


def run_on_chip(root: Path) -> dict[str, object]:
    shutil.copytree(ROOT / "firmware", root / "firmware")
    shutil.copy(ROOT / "boards" / "cortex-m4.toml", root / "boards")
    for words in (["generate", "tiny"], ["build", "tiny"], ["hil", "--name", "tiny"]):
        done = stage(*words, "--board", "cortex-m4", cwd=root)
        assert done.returncode == 0, done.stderr
    report: dict[str, object] = json.loads((root / "build/tiny/cortex-m4-compiled/report.json").read_text())
    return report


def test_a_keras_3_network_is_trained_pruned_quantized_and_run(tmp_path: Path) -> None:
    layers = {"tf_keras": "keras", "ReLU()": "Activation('hard_silu')", "GlobalAveragePooling1D()": "LSTM(6)"}
    root = copy_tiny(tmp_path, lambda text: reduce(lambda made, pair: made.replace(*pair), layers.items(), text))
    run_line(root)
    assert json.loads((root / "build/tiny/prune.json").read_text())["reached"] >= 0.49
    windows = run_on_chip(root)["windows"]
    assert isinstance(windows, dict)
    assert windows["equal"] == windows["total"] > 20


def test_a_trained_keras_3_file_is_taken_as_it_is(tmp_path: Path) -> None:
    loaded = "def network():\n    import keras\n    from pathlib import Path\n\n"
    loaded += "    return keras.saving.load_model(Path(__file__).with_name('mine.keras'))\n"
    root = copy_tiny(tmp_path, lambda text: text[: text.index("def augment")] + loaded)
    path = root / "models/tiny/model.py"
    text = path.read_text().replace("epochs=3", "epochs=0").replace("sparsity=0.5", "sparsity=0.0")
    path.write_text(text.replace("minimum=0.6", "minimum=0.0").replace("drop_int8=0.4", "drop_int8=1.0"))
    fixture(str(root / "models/tiny/mine.keras"))
    run_line(root)
    facts = json.loads((root / "build/tiny/train.json").read_text())
    assert (facts["epochs"], facts["history"], (root / "build/tiny/train.png").exists()) == (0, {}, False)
    constants = json.loads((root / "build/tiny/windows.json").read_text())["standardise"]
    assert constants == {"mean": [0, 0], "scale": [1, 1]}
    windows = np.load(root / "build/tiny/windows.npz")["x_test"]
    found = np.load(root / "build/tiny/reference.npz")
    mine = keras_3_outputs(root / "models/tiny/mine.keras", windows, tmp_path)
    for rung in ("float", "pruned"):
        np.testing.assert_allclose(found[f"{rung}_outputs"], mine, atol=1e-5)


def keras_3_outputs(file: Path, windows: np.ndarray, folder: Path) -> np.ndarray:
    """What Keras 3 itself says of windows."""
    np.save(folder / "windows.npy", windows)
    code = f"import keras, numpy as np; net = keras.saving.load_model({str(file)!r}); "
    code += "np.save('outputs.npy', np.asarray(net(np.load('windows.npy'))))"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)
    outputs: np.ndarray = np.load(folder / "outputs.npy")
    return outputs
