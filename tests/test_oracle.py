"""The oracle: equal to TFLite Micro, unlike TensorFlow's own interpreter, and clear about models it cannot take."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import stage

from pipeline import oracle, tensors
from pipeline.flatbuffer import read, write
from pipeline.problem import EXIT_TOOL, Problem, Problems

ROOT = Path(__file__).resolve().parents[1]
WINDOWS = 200

TENSORFLOW_OWN = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, tensorflow as tf
kind = tf.lite.experimental.OpResolverType.BUILTIN_REF
lite = tf.lite.Interpreter(model_path=sys.argv[1], experimental_op_resolver_type=kind)
lite.allocate_tensors()
found = []
for window in np.load(sys.argv[2])["inputs"][:int(sys.argv[4])]:
    lite.set_tensor(lite.get_input_details()[0]["index"], window[None])
    lite.invoke()
    found.append(lite.get_tensor(lite.get_output_details()[0]["index"])[0])
np.save(sys.argv[3], np.array(found))
"""

FLOAT_AND_DYNAMIC = """
import sys
from pipeline.network import keras, quiet
k = keras(0)
import tensorflow as tf
network = k.models.load_model(sys.argv[1], compile=False)
for name, optimize in (("float", []), ("dynamic", [tf.lite.Optimize.DEFAULT])):
    with quiet():
        converter = tf.lite.TFLiteConverter.from_keras_model(network)
        converter.optimizations = optimize
        content = converter.convert()
    open(f"{sys.argv[2]}/{name}.tflite", "wb").write(content)
"""


def child(code: str, *arguments: object) -> None:
    """Run code in a process of its own, where TensorFlow may be imported."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def reference(folder: Path) -> tuple[bytes, np.ndarray, np.ndarray]:
    with np.load(folder / "reference.npz") as arrays:
        return (folder / "model.tflite").read_bytes(), arrays["inputs"][:WINDOWS], arrays["outputs"][:WINDOWS]


@pytest.mark.parametrize("name", ["rehab", "bearing"])
def test_equals_tflite_micro_on_every_byte(trained: Callable[[str], Path], name: str) -> None:
    micro = pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
    flatbuffer, inputs, outputs = reference(trained(name))
    interpreter = micro.Interpreter.from_bytes(flatbuffer, arena_size=200_000)
    for window, expected in zip(inputs, outputs, strict=True):
        interpreter.set_input(window[None], 0)
        interpreter.invoke()
        assert interpreter.get_output(0)[0].tolist() == expected.tolist()


@pytest.mark.parametrize("name", ["rehab", "bearing"])
def test_gives_the_bytes_of_the_reference_file(trained: Callable[[str], Path], name: str) -> None:
    flatbuffer, inputs, outputs = reference(trained(name))
    assert np.array_equal(oracle.run(flatbuffer, inputs), outputs)


def test_tensorflows_own_reference_kernels_differ_so_they_are_not_the_oracle(
    trained: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = trained("bearing")
    _, _, outputs = reference(folder)
    child(TENSORFLOW_OWN, folder / "model.tflite", folder / "reference.npz", tmp_path / "own.npy", WINDOWS)
    own = np.load(tmp_path / "own.npy")
    assert own.shape == outputs.shape
    assert (own != outputs).any(), (
        "TensorFlow's kernels equal TFLite Micro's again: FACTS and this module need a new look"
    )
    assert np.abs(own.astype(int) - outputs).max() <= 4


def test_run_apart_gives_the_same_from_a_process_of_its_own(tiny_trained: Path) -> None:
    flatbuffer, inputs, outputs = reference(tiny_trained / "build/tiny")
    assert np.array_equal(oracle.run_apart(flatbuffer, inputs), outputs)


def test_gives_every_tensor_between_input_and_output(tiny_trained: Path) -> None:
    flatbuffer, inputs, outputs = reference(tiny_trained / "build/tiny")
    tensors = oracle.tensors(flatbuffer, inputs[0])
    shapes = [tensor.shape for tensor in tensors.values()]
    assert (1, 32, 2) in shapes
    assert (1, 14, 8) in shapes or (1, 1, 14, 8) in shapes
    assert any(
        tensor.dtype == np.int8 and tensor.ravel().tolist() == outputs[0].tolist() for tensor in tensors.values()
    )


def test_refuses_a_float_and_a_dynamically_quantized_model(tiny_trained: Path, tmp_path: Path) -> None:
    child(FLOAT_AND_DYNAMIC, tiny_trained / "build/tiny/float.keras", tmp_path)
    for kind in ("float", "dynamic"):
        path = tmp_path / f"{kind}.tflite"
        with pytest.raises((Problem, Problems), match=r"its input .* is float32, not int8") as caught:
            oracle.run(path.read_bytes(), np.zeros((1, 32, 2), np.int8), where=path)
        assert str(path) in caught.value.lines()[0]


@pytest.mark.parametrize("content", [b"", b"not a flatbuffer", b"\x1c\x00\x00\x00TFL3" + b"\xff" * 64])
def test_refuses_a_corrupt_model(content: bytes) -> None:
    with pytest.raises(Problem, match=r"model\.tflite: is (not a TFLite model|a broken TFLite file)"):
        oracle.run(content, np.zeros((1, 4), np.int8))


def test_refuses_a_truncated_model(tiny_trained: Path) -> None:
    flatbuffer, inputs, _ = reference(tiny_trained / "build/tiny")
    with pytest.raises(Problem, match="is a broken TFLite file"):
        oracle.run(flatbuffer[: len(flatbuffer) // 2], inputs)


def test_refuses_a_model_whose_operators_do_not_fit_together(tiny_trained: Path) -> None:
    flatbuffer, inputs, _ = reference(tiny_trained / "build/tiny")
    graph = read(flatbuffer)
    wrong = tuple(replace(t, shape=(1, 3), data=None) if t.data is not None else t for t in graph.tensors)
    with pytest.raises(Problem, match=r"is not a model that tflite-runtime 2\.14 runs: "):
        oracle.run(write(replace(graph, tensors=wrong)), inputs)


def test_refuses_windows_of_another_shape(tiny_trained: Path) -> None:
    flatbuffer, inputs, _ = reference(tiny_trained / "build/tiny")
    for wrong, told in (
        (inputs[:, :31], rf"{len(inputs)} \(31, 2\) of int8"),
        (inputs[:0], r"0 \(32, 2\) of int8"),
        (inputs.astype(np.float32), rf"{len(inputs)} \(32, 2\) of float32"),
        (np.int8(3), r"no \(\) of int8"),
    ):
        with pytest.raises(Problem, match=rf"takes windows \(32, 2\) of int8, these are {told}"):
            oracle.run(flatbuffer, np.asarray(wrong))


def test_one_window_of_every_tensor_is_checked_as_well(tiny_trained: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", inputs=np.zeros((1, 31, 2), np.int8))
    with pytest.raises(Problem, match=r"takes windows \(32, 2\) of int8, these are 1 \(31, 2\) of int8"):
        tensors.main([str(tiny_trained / "build/tiny/model.tflite"), str(tmp_path / "in.npz"), str(tmp_path / "o.npz")])
    assert not (tmp_path / "o.npz").exists()


def test_without_tflite_runtime_it_says_that_litert_is_not_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", None)
    with pytest.raises(Problem, match="tflite-runtime: is not installed") as caught:
        oracle.run(b"", np.zeros((1, 4), np.int8))
    assert "ai-edge-litert is NOT equal" in caught.value.hint
    assert caught.value.code == EXIT_TOOL


def test_refuses_to_run_beside_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    with pytest.raises(RuntimeError, match="use run_apart"):
        oracle.run(b"", np.zeros((1, 4), np.int8))


def test_the_command_names_a_missing_model(tmp_path: Path) -> None:
    done = stage("oracle", "none.tflite", "in.npz", "out.npz", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "error: none.tflite: does not exist\n")
