"""bakeNN 1.0.0 on our boards: its generated C behind our own firmware and harness, bytes checked, instructions counted.

bakeNN lives in a virtual environment of its own, build/bench/venv. It takes neither softmax nor the operator versions
of the published files, so it gets each model written anew, without the softmax at its end.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).resolve().parent / "bakenn"
BENCH = ROOT / "build" / "bench"
sys.path.insert(0, str(ROOT))

from pipeline import flatbuffer, transport  # noqa: E402
from pipeline.build import build, firmware  # noqa: E402
from pipeline.device import Device  # noqa: E402
from pipeline.emulator import emulate  # noqa: E402
from pipeline.evaluate import evaluate  # noqa: E402
from pipeline.graph import Graph  # noqa: E402
from pipeline.importer import import_model, operators  # noqa: E402
from pipeline.problem import Problem, Problems  # noqa: E402

PINNED = "bakenn[tflite]==1.0.0"
# It has no target for Helium; what CMSIS-NN does there, the compiler's flags say.
TARGETS = {"cortex-m4": "cortex-m4", "cortex-m55": "cortex-m4", "rv32": "rv32imc", "xtensa": "esp32"}
# The best of its own targets and policies counts: "core" stands for the target of the board's core.
POLICIES = {
    "bakeNN": [("core", "portable"), ("core", "static_priority"), ("portable32", "static_priority")],
    "bakeNN + CMSIS-NN": [("core", "static_priority", "cmsis-nn")],
}
VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "ADD": 2, "AVERAGE_POOL_2D": 2,
            "MAX_POOL_2D": 2, "PAD": 2, "PADV2": 2}  # fmt: skip


class Refused(Exception):
    """bakeNN does not take the model; the message is its own."""


def environment() -> Path:
    """The Python that has bakeNN, installed on first use."""
    python = BENCH / "venv" / "bin" / "python"
    if not (BENCH / "venv" / "ready").exists():
        venv.create(BENCH / "venv", with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", PINNED], check=True)
        (BENCH / "venv" / "ready").touch()
    return python


def simplified(content: bytes) -> Graph:
    """The model without the softmax at its end, its reshapes with the options that bakeNN asks for."""
    graph = import_model(content, "model.tflite")
    if graph.nodes[-1].op == "SOFTMAX":
        graph = replace(graph, nodes=graph.nodes[:-1], outputs=(graph.nodes[-1].inputs[0],))
    reshape = {"table": "ReshapeOptions"}
    return replace(graph, nodes=tuple(
        replace(node, options={**reshape, "new_shape": graph.output(node).shape}) if node.op == "RESHAPE" else node
        for node in graph.nodes
    ))  # fmt: skip


def measure(name: str, board: str, words: Sequence[str], content: bytes) -> float:
    """Build a model with bakeNN and run it on a board's emulator: what an inference takes, in the emulator's units.

    Raises Refused when bakeNN does not take the model or the board its code, AssertionError when its bytes are wrong.
    """
    graph = simplified(content)
    folder = BENCH / "-".join([name, board, *words])
    shutil.rmtree(folder, ignore_errors=True)
    built = folder / "build" / "rival" / f"{board}-bakenn"
    built.mkdir(parents=True)
    (folder / "model.tflite").write_bytes(flatbuffer.write(graph, VERSIONS))
    _compile(folder, board, words)
    _project(folder, built, board, graph)
    with chdir(folder):
        try:
            build(made := firmware("rival", board, "bakenn"))
        except (Problem, Problems) as error:
            if not str(error).startswith("model rival: needs "):  # bytes that the board has not
                raise
            raise Refused(str(error)) from error
        with emulate(made.board, folder / made.folder) as path:
            line = transport.connect(path)
            try:
                ticks = _run(Device(line), graph)
            finally:
                line.close()
    assert made.board.emulator
    return float(np.median(ticks)) / made.board.emulator.clock.ticks_per_unit


def _compile(folder: Path, board: str, words: Sequence[str]) -> None:
    target = TARGETS[board] if words[0] == "core" else words[0]
    argv = [environment(), HERE / "compile.py", folder / "model.tflite", folder / "made", target, *words[1:]]
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONWARNINGS": "ignore"})  # fmt: skip
    if done.returncode:
        raise Refused(done.stderr.strip().split("\n")[-1])


def _project(folder: Path, built: Path, board: str, graph: Graph) -> None:
    """A project whose only model is the rival's: our firmware with its sources and include folders."""
    shutil.copytree(ROOT / "firmware", folder / "firmware")
    (folder / "firmware" / "runtimes" / "bakenn").mkdir()
    shutil.copy(HERE / "runtime.c", folder / "firmware" / "runtimes" / "bakenn")
    (folder / "models" / "rival").mkdir(parents=True)
    (folder / "models" / "rival" / "model.py").touch()
    for source in (folder / "made").rglob("*.c"):
        shutil.copy(source, built)
    includes = [f"-I{path.relative_to(folder)}" for path in (folder / "made", *(folder / "made").rglob("Include"))]
    flags = [*includes, "-Wno-all", "-Wno-extra", "-DBAKENN_CMSIS_NN_BUILTIN_MEMORY"]
    text = (ROOT / "boards" / f"{board}.toml").read_text()
    (folder / "boards").mkdir()
    (folder / "boards" / f"{board}.toml").write_text(
        text.replace("flags = [", f"flags = [{', '.join(json.dumps(flag) for flag in flags)}, ", 1)
    )
    edges = {"INPUT": graph.tensors[graph.inputs[0]], "OUTPUT": graph.tensors[graph.outputs[0]]}
    lines = [f"#define MODEL_{edge}_BYTES {tensor.count}" for edge, tensor in edges.items()]
    (built / "model.h").write_text("\n".join([*lines, '#define MODEL_NAME "rival"', ""]))
    (built / "plan.json").write_text(json.dumps({"arena_bytes": 0, "weights_bytes": 0}))


def _run(device: Device, graph: Graph) -> list[int]:
    """The ticks of two random windows whose bytes are right."""
    device.hello()
    ops = operators(graph, "model.tflite")
    shape = graph.tensors[graph.inputs[0]].shape
    windows = np.random.default_rng(1).integers(-128, 128, (2, *shape)).astype(np.int8)
    ticks = []
    for answer in device.run([window.tobytes() for window in windows]):
        expected = evaluate(graph, ops, windows[answer.index])[graph.outputs[0]].tobytes()
        assert answer.output == expected, "bakeNN gives other bytes than the reference"
        ticks.append(answer.ticks)
    return ticks
