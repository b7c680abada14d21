"""Real firmware over its real pseudo-terminal: the native process, QEMU's Cortex-M4, QEMU's Xtensa core."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import echo
import pytest
from echo import ERROR, HELLO, INFO, RESULT, RUN, Line, frame

from pipeline import build
from pipeline.board import Board, load_board
from pipeline.emulator import emulate

WINDOW = bytes(range(24))
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wdouble-promotion", "-Werror")
CORES = {
    "gcc": (),
    "arm-none-eabi-gcc": ("-mcpu=cortex-m4", "-mthumb"),
    "riscv64-unknown-elf-gcc": ("-march=rv32imc", "-mabi=ilp32", "--specs=picolibc.specs"),
    "xtensa-lx106-elf-gcc": (),
    "avr-gcc": ("-mmcu=atmega2560", "-std=gnu11"),  # __flash is not in C11
}
PORTS = {
    "host": ("gcc",),
    "arduino": ("avr-gcc",),  # C++: tests/test_arduino.py
    "mps2": ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb"),
    "xtensa": ("xtensa-lx106-elf-gcc", "-ffreestanding"),
    "xtensa_sim": ("xtensa-lx106-elf-gcc", "-ffreestanding"),
    "esp32": ("xtensa-lx106-elf-gcc", "-ffreestanding"),
    "esp32s3": ("xtensa-lx106-elf-gcc", "-ffreestanding"),
    "esp": ("xtensa-lx106-elf-gcc", "-ffreestanding"),
    "esp32c3": ("riscv64-unknown-elf-gcc", "-march=rv32imc", "-mabi=ilp32", "-ffreestanding"),
    "riscv": ("riscv64-unknown-elf-gcc", "-march=rv32imc", "-mabi=ilp32", "-ffreestanding"),
    "rv32_virt": ("riscv64-unknown-elf-gcc", "-march=rv32imc", "-mabi=ilp32", "-ffreestanding"),
    "idf": (
        "riscv64-unknown-elf-gcc", "-march=rv32imc", "-mabi=ilp32", "--specs=picolibc.specs", "-DBOARD_BAUD=115200",
        f"-I{echo.FIXTURES / 'idf'}",
    ),
    "ring": ("arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb"),
    "rp2040": ("arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb", "-DBOARD_CLOCK_HZ=125000000"),
}  # fmt: skip


@pytest.fixture(scope="module", params=["host", "cortex-m4", "esp32", "esp32c3", "esp32s3", "pico", "mega2560", "uno"])
def board(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Board, Path]]:
    """A board and the folder of its echo firmware, built; the working directory is its project."""
    root = tmp_path_factory.mktemp(f"echo-{request.param}")
    folder = echo.make_project(root, request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        board = load_board(request.param)
        assert board.emulator
        echo.need(*(part for part in board.emulator.command[:1] if not part.startswith("{")))
        assert build.main(["echo", "--board", board.name, "--runtime", "echo"]) == 0
        yield board, folder


@pytest.fixture
def line(board: tuple[Board, Path]) -> Iterator[Line]:
    """A line to the firmware that HELLO was said on."""
    with emulate(*board) as path:
        line = Line(path)
        assert line.ask(b"\0" + frame(HELLO, 0, b"\1"))[0] == INFO
        yield line


def test_hello_names_board_model_runtime_and_compiler(board: tuple[Board, Path], line: Line) -> None:
    kind, seq, body = line.ask(b"\0" + frame(HELLO, 3, b"\1"))
    assert (kind, seq, body[0]) == (INFO, 3, 1)
    counts_cycles = body[2] == 1
    assert struct.unpack_from("<I", body, 4) == (board[0].clock_hz if counts_cycles else 1_000_000,)
    name = board[0].name.encode()
    assert bytes([len(name)]) + name + b"\4echo\4echo" in body
    assert b" -O2" in body[-8:]


def test_a_run_is_echoed_and_a_repeated_one_does_not_run_again(line: Line) -> None:
    first, again, other = (
        line.ask(frame(RUN, 7, WINDOW)),
        line.ask(frame(RUN, 7, WINDOW)),
        line.ask(frame(RUN, 8, WINDOW)),
    )
    assert first[:2] == (RESULT, 7)
    assert (
        first[2][4:] == struct.pack("<I", zlib.crc32(WINDOW)) + bytes(~value & 255 for value in WINDOW[:14]) + b"\1\0"
    )
    assert again == first
    assert other[2][-2:] == b"\2\0"


def test_as_many_runs_as_credits_may_be_under_way(line: Line) -> None:
    credits = line.ask(frame(HELLO, 1, b"\1"))[2][3]
    for start in range(0, 12, credits):
        line.port.write(b"".join(frame(RUN, start + i, WINDOW) for i in range(credits)))
        assert [line.answer()[:2] for _ in range(credits)] == [(RESULT, start + i) for i in range(credits)]


def test_broken_long_and_unknown_frames_are_refused_and_the_next_is_served(line: Line) -> None:
    broken = bytearray(frame(RUN, 1, WINDOW))
    broken[9] ^= 1
    for raw, code in (
        (bytes(broken), 1),
        (frame(RUN, 2, bytes(3000)), 2),
        (frame(0x33, 3, b""), 3),
        (b"\xf0" * 99 + b"\0", 2),  # no text, and so no command of another protocol
    ):
        kind, _, body = line.ask(raw)
        assert (kind, body[0], body[1]) == (ERROR, 0, code)
    assert line.ask(frame(RUN, 9, WINDOW))[:2] == (RESULT, 9)


def test_no_garbage_keeps_it_from_answering_the_next_good_frame(line: Line) -> None:
    chance = random.Random(5)
    for seq in range(40):
        line.port.write(chance.randbytes(chance.randrange(80)) + b"\0" + frame(RUN, seq, chance.randbytes(23) + b"\1"))
        while (answer := line.answer())[0] == ERROR:
            assert answer[1] == 0xFFFF
        assert answer[:2] == (RESULT, seq)


@pytest.mark.parametrize("name", ["cortex-m4", "esp32", "esp32c3", "pico"])
def test_an_emulators_clock_counts_instructions_exactly(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = echo.make_project(tmp_path, name)
    shutil.copytree(echo.FIXTURES / "counting_runtime", tmp_path / "firmware" / "runtimes" / "counting")
    counting = folder.rename(folder.with_name(f"{name}-counting"))
    monkeypatch.chdir(tmp_path)
    assert build.main(["echo", "--board", name, "--runtime", "counting"]) == 0
    board = load_board(name)
    assert board.emulator
    overheads = set()
    for _ in range(2):
        with emulate(board, counting) as path:
            line = Line(path)
            while line.ask(b"\0" + frame(HELLO, 99, b"\1"))[0] != INFO:
                pass  # the first bytes came before the UART was ready
            for seq, turns in enumerate((1, 2, 1000, 100_000, 10_000_000)):
                _, _, body = line.ask(frame(RUN, seq, struct.pack("<I", turns) + bytes(20)))
                instructions = struct.unpack_from("<I", body)[0] / board.emulator.clock.ticks_per_unit
                assert abs(instructions - round(instructions)) < 0.4
                overheads.add(round(instructions) - 2 * turns)
    assert len(overheads) == 1


@pytest.mark.parametrize("compiler", CORES)
def test_core_is_clean_c11_for_every_compiler(compiler: str, tmp_path: Path) -> None:
    echo.need(compiler)
    for source in sorted((echo.PROJECT / "firmware" / "core").glob("*.c")):
        argv = [compiler, "-std=c11", "-O2", *WARNINGS, *CORES[compiler], *echo.include_flags(), "-c", str(source)]
        subprocess.run([*argv, "-o", str(tmp_path / "x.o")], check=True)


@pytest.mark.parametrize("port", PORTS)
def test_ports_are_clean_c11(port: str, tmp_path: Path) -> None:
    echo.need(PORTS[port][0])
    for source in sorted((echo.PROJECT / "firmware" / "ports" / port).glob("*.c")):
        argv = [*PORTS[port], "-std=c11", "-O2", *WARNINGS, *echo.include_flags()]
        argv += [] if any("CLOCK_HZ" in flag for flag in argv) else ["-DBOARD_CLOCK_HZ=40000000"]
        subprocess.run([*argv, "-c", str(source), "-o", str(tmp_path / "x.o")], check=True)


def test_every_port_has_a_test_of_its_warnings() -> None:
    assert {path.name for path in (echo.PROJECT / "firmware" / "ports").iterdir() if path.is_dir()} == PORTS.keys()


def test_core_keeps_no_state_but_the_session_and_asks_for_no_memory(tmp_path: Path) -> None:
    for name in ("wire", "crc32", "session"):
        source = echo.PROJECT / "firmware" / "core" / f"{name}.c"
        target = tmp_path / f"{name}.o"
        subprocess.run(
            ["gcc", "-std=c11", "-O2", *echo.include_flags(), "-c", str(source), "-o", str(target)], check=True
        )
        said = subprocess.run(["nm", str(target)], check=True, capture_output=True, text=True).stdout
        symbols = [line.split()[-2:] for line in said.splitlines()]
        assert not {"malloc", "calloc", "realloc", "free", "printf"} & {symbol for _, symbol in symbols}
        state = [symbol for kind, symbol in symbols if kind in "bBdDC"]
        assert state == (["session"] if name == "session" else [])
