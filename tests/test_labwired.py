"""Chips in labwired: their own images, start-up to UART, both ways over a pseudo-terminal."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import echo
import pytest
from echo import ERROR, HELLO, INFO, RESULT, RUN, Line, frame

from pipeline import build, labwired_pty
from pipeline.board import load_board
from pipeline.emulator import emulate
from pipeline.problem import EXIT_DEVICE, EXIT_TOOL, EXIT_USER, Problem

BOARDS = ("esp32c3-labwired", "esp32s3-labwired", "pico-labwired")
WINDOW = bytes(range(24))


@pytest.fixture(scope="module", params=BOARDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The echo firmware's folder; the working directory is its project."""
    board = load_board(request.param)
    echo.need(*(each.command for each in board.build.compilers if each.package))
    root = tmp_path_factory.mktemp(request.param)
    built = echo.make_project(root, request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert build.main(["echo", "--board", request.param, "--runtime", "echo"]) == 0
        yield built


@pytest.fixture
def line(folder: Path) -> Iterator[Line]:
    with emulate(load_board(folder.name.removesuffix("-echo")), folder) as path:
        yield Line(path)


def test_the_image_answers_through_the_chips_own_uart(line: Line, folder: Path) -> None:
    kind, seq, body = line.ask(b"\0" + frame(HELLO, 3, b"\1"))
    board = folder.name.removesuffix("-echo")
    assert (kind, seq, body[0]) == (INFO, 3, 1)
    assert bytes([len(board)]) + board.encode() + b"\4echo\4echo" in body
    assert int.from_bytes(body[4:8], "little") == load_board(board).clock_hz
    kind, seq, body = line.ask(frame(RUN, 4, WINDOW))
    assert (kind, seq, body[8:]) == (RESULT, 4, bytes(~value & 255 for value in WINDOW[:14]) + b"\1\0")
    assert int.from_bytes(body[:4], "little") > 0


def test_garbage_is_refused_and_the_next_frame_served(line: Line) -> None:
    chance = random.Random(6)
    line.ask(b"\0" + frame(HELLO, 9, b"\1"))
    for seq in range(8):
        line.port.write(chance.randbytes(chance.randrange(80)) + b"\0" + frame(RUN, seq, chance.randbytes(23) + b"\1"))
        while (answer := line.answer())[0] == ERROR:
            assert answer[1] == 0xFFFF
        assert answer[:2] == (RESULT, seq)


class Broken:
    """A chip that met what is no instruction."""

    def run_for(self, _: str) -> None:
        raise RuntimeError("Instruction decoding error at 0x40380d4a")


def test_a_machine_that_stops_is_said() -> None:
    with pytest.raises(Problem, match="the machine stopped: Instruction decoding error at 0x40380d4a") as caught:
        labwired_pty._step(Broken(), "1ms")
    assert caught.value.code == EXIT_DEVICE


def test_what_labwired_does_not_take_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.elf").write_bytes(b"no ELF")
    with pytest.raises(Problem, match=r"does not take .*x.elf as esp32c3") as caught:
        labwired_pty.main(["--chip", "esp32c3", str(tmp_path / "x.elf")])
    assert caught.value.code == EXIT_USER
    with pytest.raises(Problem, match="does not take x as esp99"):
        labwired_pty.main(["--chip", "esp99", "x"])


def test_labwired_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "labwired", None)
    with pytest.raises(Problem, match="labwired: is not installed") as caught:
        labwired_pty.main(["--chip", "esp32c3", "x"])
    assert (caught.value.code, caught.value.hint) == (EXIT_TOOL, "pip install labwired")


class Parrot:
    """A chip that says back what it hears; `heard` has every slice's bytes."""

    def __init__(self) -> None:
        self.heard = b""
        self.slices = 0

    def send_bytes(self, data: bytes) -> None:
        self.heard += data

    def run_for(self, _: str) -> None:
        self.slices += 1

    def read_uart_bytes(self) -> bytes:
        said, self.heard = self.heard, b""
        return said


def test_it_ends_with_whoever_started_it_and_naps_when_the_line_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    end, stdin = os.pipe()
    monkeypatch.setattr(labwired_pty, "STDIN", end)
    monkeypatch.setattr(labwired_pty, "QUIET_SLICES", 5)
    waits = []
    select = labwired_pty.select.select

    def watched(read: list[int], write: list[int], error: list[int], timeout: float) -> tuple[list[int], ...]:
        waits.append(timeout)
        if len(waits) == 12:
            os.close(stdin)
        return select(read, write, error, timeout / 50)

    monkeypatch.setattr(labwired_pty.select, "select", watched)
    labwired_pty.serve(Parrot(), ours, 16)
    assert waits[:6] == [0] * 6 and waits[-1] == labwired_pty.NAP_SECONDS
    for descriptor in (ours, theirs, end):
        os.close(descriptor)
