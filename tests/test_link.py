"""The harness against real firmware, native and in QEMU, over a line that harms bytes both ways."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import echo
import pytest
from bad_line import BadLine

from pipeline import build, flight
from pipeline import device as device_module
from pipeline.board import Board, load_board
from pipeline.device import Device
from pipeline.emulator import emulate
from pipeline.problem import Problem
from pipeline.transport import connect

BOARDS = ["host", "cortex-m4", "esp32"]


@pytest.fixture(scope="module", params=BOARDS)
def firmware(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Board, Path]]:
    """A board and the folder of its echo firmware; each answer ends in the count of runs so far, modulo 2^14."""
    root = tmp_path_factory.mktemp(f"link-{request.param}")
    folder = echo.make_project(root, request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        board = load_board(request.param)
        assert board.emulator
        echo.need(*(part for part in board.emulator.command[:1] if part != "{elf}"))
        assert build.main(["echo", "--board", board.name, "--runtime", "echo"]) == 0
        yield board, folder


@pytest.fixture
def path(firmware: tuple[Board, Path]) -> Iterator[str]:
    with emulate(*firmware) as pty:
        yield pty


def windows(count: int) -> list[bytes]:
    """Random ones; none begins with 99, which this firmware takes for a fault."""
    made = [random.Random(number).randbytes(echo.INPUT_BYTES) for number in range(count)]
    return [b"\0" + window[1:] for window in made]


def right(window: bytes) -> bytes:
    return bytes(255 - byte for byte in window[: echo.OUTPUT_BYTES - 2])


def test_a_good_line_runs_each_window_once(path: str, patient: None) -> None:
    device, sent = Device(connect(path)), windows(200)
    info = device.hello()
    assert (info.model, info.runtime) == ("echo", "echo") and info.credits >= 1
    answers = list(device.run(sent))
    device.close()
    assert [answer.index for answer in answers] == list(range(200))
    assert [answer.output[:-2] for answer in answers] == [right(window) for window in sent]
    assert [answer.output[-2] + 128 * answer.output[-1] for answer in answers] == list(range(1, 201))
    assert all(answer.ticks > 0 for answer in answers)
    stats = device.stats
    assert (stats.retries, stats.damaged, stats.refused, stats.stale) == (0, 0, 0, 0)


@pytest.mark.parametrize("rate", [0.0005, 0.003])
def test_a_bad_line_costs_time_but_no_window(path: str, rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "SHORTEST_SECONDS", 0.2)
    sent, got = windows(300), {}
    with BadLine(path, rate, seed=7) as line:
        device = Device(connect(line.path))
        device.hello()
        for answer in device.run(sent):
            assert answer.index not in got
            got[answer.index] = answer.output[:-2]
        device.close()
        assert line.faults > 0 and device.stats.retries > 0
    assert got == {index: right(window) for index, window in enumerate(sent)}


def test_a_hopeless_line_fails_with_its_figures(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "SHORTEST_SECONDS", 0.05)
    monkeypatch.setattr(flight, "FIRST_SECONDS", 0.2)
    monkeypatch.setattr(device_module, "HELLO_SECONDS", 3.0)  # QEMU looks once a second whether its pty is open
    sent, got = windows(300), {}
    with BadLine(path, 0.05, seed=7) as line:
        device = Device(connect(line.path))
        with pytest.raises(Problem, match=r"no answer to HELLO|no good answer to window") as raised:
            for answer in device.run(sent):
                got[answer.index] = answer.output[:-2]
        device.close()
    assert raised.value.code == 3 and re.search(r"\d (answers damaged|frames refused)", raised.value.what)
    assert all(output == right(sent[index]) for index, output in got.items())


def test_a_fault_of_the_firmware_ends_the_run_with_its_words(path: str) -> None:
    device, sent = Device(connect(path)), windows(10)
    sent[6] = b"\x63" + sent[6][1:]
    got = []
    with pytest.raises(Problem, match="reports a fault at window 6: runtime: the window begins with 99"):
        got.extend(answer.index for answer in device.run(sent))
    device.close()
