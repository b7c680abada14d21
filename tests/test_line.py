"""The whole line for real: both models, every board, every test window equal to the reference, byte for byte."""

from __future__ import annotations

import fcntl
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, stage

from pipeline import files, transport
from pipeline.board import load_board
from pipeline.device import Device
from pipeline.emulator import command
from pipeline.evaluate import evaluate
from pipeline.generate import compile_model
from pipeline.importer import operators

MODELS = ("rehab", "bearing")
BOARDS = (
    "host",
    "cortex-m4",
    "cortex-m7",
    "cortex-m33",
    "cortex-m55",
    "esp32",
    "esp32c3",
    "esp32s3",
    "pico",
    "mega2560",
)
IMAGES = {"esp32c3-labwired": 16, "esp32s3-labwired": 2, "pico-labwired": 4}  # board -> windows: labwired is slow
TIMED = ("host", "mega2560", "uno")  # their clocks are time, the others' instructions
RUNS = [*((name, board) for board in BOARDS for name in MODELS), ("bearing", "uno")]  # rehab does not fit the uno
REPORT_FIELDS = {
    "verdict": str, "model": str, "model_id": str, "board": str, "runtime": str, "emulated": bool, "windows": dict,
    "metrics": dict, "clock": dict, "size": dict, "limits": list,
}  # fmt: skip


def report_of(name: str, board: str, *options: str) -> dict[str, Any]:
    """Generate, build and run one model on one board's emulator, as make does; one at a time per folder."""
    folder = ROOT / "build" / name / f"{board}-compiled"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for words in (["generate", name], ["build", name], ["hil", "--name", name, *options]):
            done = stage(*words, "--board", board)
            assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads((folder / "report.json").read_text()))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "board"), RUNS)
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
    assert clock["kind"] == ("microseconds" if board in TIMED else "instructions")
    assert 0 < clock["median"] <= clock["p95"] <= clock["max"]
    assert board == "host" or abs(report["predicted"] / clock["median"] - 1) < 0.15
    assert set(report["size"]) >= {"flash", "ram", "arena", "weights", "code"}


@pytest.mark.slow
@pytest.mark.parametrize("board", IMAGES)
@pytest.mark.parametrize("name", MODELS)
def test_the_chips_own_image_gives_equal_bytes_and_as_many_instructions(
    name: str, board: str, trained: Callable[[str], Path]
) -> None:
    trained(name)
    count = IMAGES[board]
    report = report_of(name, board, "--windows", str(count))
    assert report["windows"]["total"] == report["windows"]["equal"] == count
    whole = report_of(name, board.removesuffix("-labwired"), "--windows", str(count))
    medians = report["clock"]["median"], whole["clock"]["median"]
    assert abs(medians[0] - medians[1]) <= 40 + 1e-4 * medians[1], "reading a clock costs a few instructions of its own"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "board"), [("rehab", "mega2560"), ("bearing", "uno")])
def test_an_avr_board_keeps_enough_stack(name: str, board: str, trained: Callable[[str], Path]) -> None:
    """simavr says how deep the stack went, interrupts included, when its stdin ends."""
    reference = files.read_arrays(trained(name) / "reference.npz", "make")
    report_of(name, board, "--windows", "2")
    facts = load_board(board)
    argv = command(facts, ROOT / "build" / name / f"{board}-compiled" / "firmware.elf")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        while "pty: " not in (said := process.stdout.readline()):
            assert process.poll() is None
        line = transport.connect(said.split()[1])
        answers = list(Device(line).run(window.tobytes() for window in reference["inputs"][:3]))
        line.close()
        process.stdin.close()
        used = int(process.stdout.read().rpartition("stack: ")[2].split()[0])
    assert len(answers) == 3
    assert facts.arduino
    assert 60 < used < 0.8 * facts.arduino.stack_bytes


@pytest.mark.slow
def test_a_model_too_large_for_the_uno_names_boards_that_fit(trained: Callable[[str], Path]) -> None:
    trained("rehab")
    done = stage("generate", "rehab", "--board", "uno")
    assert done.returncode == 2
    assert re.search(r"model rehab: needs 2\d\d\d bytes of arena, board uno has 1024", done.stderr)
    assert "another board: " in done.stderr and "mega2560" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_integer_oracle_equals_the_reference_on_the_test_split(name: str, trained: Callable[[str], Path]) -> None:
    folder = trained(name)
    reference = files.read_arrays(folder / "reference.npz", "make")
    graph = compile_model((folder / "model.tflite").read_bytes(), name).graph
    ops = operators(graph, name)
    for window, expected in zip(reference["inputs"][::7], reference["outputs"][::7], strict=True):
        assert np.array_equal(evaluate(graph, ops, window)[graph.outputs[0]][0], expected)
