"""The whole line for real: both models, every board, every test window equal to the reference, byte for byte."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, stage

from pipeline import files
from pipeline.evaluate import evaluate
from pipeline.generate import compile_model
from pipeline.importer import operators

MODELS = ("rehab", "bearing")
BOARDS = ("host", "cortex-m4", "esp32")
REPORT_FIELDS = {
    "verdict": str, "model": str, "model_id": str, "board": str, "runtime": str, "emulated": bool, "windows": dict,
    "metrics": dict, "clock": dict, "size": dict, "limits": list,
}  # fmt: skip


def report_of(name: str, board: str) -> dict[str, Any]:
    """Generate, build and run one model on one board's emulator, as make does; one at a time per folder."""
    folder = ROOT / "build" / name / f"{board}-compiled"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for words in (["generate", name], ["build", name], ["hil", "--name", name]):
            done = stage(*words, "--board", board)
            assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads((folder / "report.json").read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", MODELS)
def test_every_window_is_equal_on_every_board(name: str, board: str, trained: Callable[[str], Path]) -> None:
    folder = trained(name)
    report = report_of(name, board)
    for field, kind in REPORT_FIELDS.items():
        assert isinstance(report[field], kind), field
    total = len(files.read_arrays(folder / "reference.npz", "make")["inputs"])
    assert report["verdict"] == "pass"
    assert report["windows"]["total"] == report["windows"]["equal"] == total >= 300
    assert report["windows"]["failed"] == 0
    assert report["metrics"]["device"] == report["metrics"]["int8"]
    assert report["model_id"] == files.model_id((folder / "model.tflite").read_bytes())
    assert report["emulated"] is True
    clock = report["clock"]
    assert clock["kind"] == ("microseconds" if board == "host" else "instructions")
    assert 0 < clock["median"] <= clock["p95"] <= clock["max"]
    assert set(report["size"]) >= {"flash", "ram", "arena", "weights", "code"}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_integer_oracle_equals_the_reference_on_the_test_split(name: str, trained: Callable[[str], Path]) -> None:
    folder = trained(name)
    reference = files.read_arrays(folder / "reference.npz", "make")
    graph = compile_model((folder / "model.tflite").read_bytes(), name).graph
    ops = operators(graph, name)
    for window, expected in zip(reference["inputs"][::7], reference["outputs"][::7], strict=True):
        assert np.array_equal(evaluate(graph, ops, window)[graph.outputs[0]][0], expected)
