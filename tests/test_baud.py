"""Ports that can change their line rate: which rates their dividers reach, and what is in the registers then."""

from __future__ import annotations

import ctypes
import re
import socket
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import echo
import labwired
import pytest
from echo import ERROR, HELLO, frame, parse

from pipeline import build, emulator, speed, wire
from pipeline.board import load_board
from pipeline.device import Device
from pipeline.emulator import emulate
from pipeline.files import board_names
from pipeline.transport import connect

PORTS = echo.PROJECT / "firmware" / "ports"
REFUSED = b"\x00\x09this port cannot make that rate"


def baud(rate: int, seq: int = 7) -> bytes:
    return frame(wire.BAUD, seq, struct.pack("<I", rate))


def made(folder: Path, board: str, patch: pytest.MonkeyPatch) -> Path:
    """The echo firmware of a board; the working directory is its project."""
    echo.need(*(each.command for each in load_board(board).build.compilers if each.package))
    built = echo.make_project(folder, board)
    patch.chdir(folder)
    assert build.main(["echo", "--board", board, "--runtime", "echo"]) == 0
    return built


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """divider_of() as a function of a library."""
    folder = tmp_path_factory.mktemp("divider")
    (folder / "divider.c").write_text('#include "divider.h"\n')
    flags = ["-shared", "-fPIC", "-Dstatic=", "-Dinline=", *echo.include_flags()]
    subprocess.run(["gcc", *flags, str(folder / "divider.c"), "-o", str(folder / "divider.so")], check=True)
    return ctypes.CDLL(str(folder / "divider.so"))


@pytest.mark.parametrize(
    ("hz", "rate", "divider"),
    [
        (16 * 40_000_000, 115_200, 5556),  # ESP32: 347 and 4 sixteenths
        (16 * 40_000_000, 2_000_000, 320),
        (4 * 125_000_000, 921_600, 543),  # RP2040: 8 and 31 64ths
        (25_000_000, 460_800, 54),  # MPS2: 0.5 % away
        (25_000_000, 921_600, 27),
        (2_000_000, 500_000, 4),  # AVR at 16 MHz
        (2_000_000, 921_600, 0),  # 8.5 % away
        (2_000_000, 230_400, 0),  # 3.5 % away
        (1_020_000, 1_000_000, 1),  # 2 % too fast: just not too much
        (1_020_100, 1_000_000, 0),
        (980_000, 1_000_000, 1),
        (979_900, 1_000_000, 0),
        (2_000_000, 0xFFFFFFFF, 0),
        (16 * 40_000_000, 0xFFFFFFFF, 0),
    ],
)
def test_a_divider_is_the_nearest_or_none(library: ctypes.CDLL, hz: int, rate: int, divider: int) -> None:
    library.divider_of.restype = ctypes.c_uint32
    assert library.divider_of(*(ctypes.c_uint32(value) for value in (hz, rate, 1, 0xFFFFFF))) == divider


def test_a_divider_is_within_what_the_register_takes(library: ctypes.CDLL) -> None:
    assert [library.divider_of(1600, 100, *bounds) for bounds in ((16, 16), (17, 99), (1, 15))] == [16, 0, 0]


def test_the_esp32_changes_its_divider_when_the_last_byte_has_left(tmp_path: Path) -> None:
    path = tmp_path / "port.so"
    fake = echo.FIXTURES / "esp32" / "fake_uart.h"
    flags = ["-shared", "-fPIC", "-include", str(fake), "-DBOARD_CLOCK_HZ=40000000", *echo.include_flags()]
    subprocess.run(["gcc", *flags, str(PORTS / "esp32" / "port.c"), "-o", str(path)], check=True)
    port = ctypes.CDLL(str(path))
    for rate, divider in ((2_000_000, 20), (921_600, 43 | 6 << 20), (230_400, 173 | 10 << 20), (0, 347 | 4 << 20)):
        assert port.port_takes_baud(rate)
        port.port_write(bytes(50), ctypes.c_size_t(50))
        port.port_set_baud(rate)
        port.fake_settle()
        assert ctypes.c_uint32.in_dll(port, "fake_divider").value == divider
        assert ctypes.c_uint32.in_dll(port, "fake_sending_at_change").value == 0
    assert not port.port_takes_baud(30_000_000)


CHIPS = {  # registers, and what is in them at 115200, 921600 and 2000000 baud
    "esp32c3": ((0x60000014,), [(347 | 4 << 20,), (43 | 6 << 20,), (20,)]),
    "esp32s3": ((0x60000014,), [(347 | 4 << 20,), (43 | 6 << 20,), (20,)]),
    "pico": ((0x40034024, 0x40034028), [(67, 52), (8, 31), (3, 58)]),
}


@pytest.mark.parametrize("board", CHIPS)
def test_the_images_own_uart_changes_its_divider(board: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path, board, monkeypatch)
    registers, dividers = CHIPS[board]
    with labwired.Sim(folder / "firmware.elf", chip="rp2040" if board == "pico" else board) as chip:
        chip.run_for("2ms")
        for rate, divider in zip((0, 921_600, 2_000_000, 0), [*dividers, dividers[0]], strict=True):
            assert answers(chip, baud(rate))[0] == (wire.BAUD_ANSWER, 7, struct.pack("<I", rate))
            assert tuple(chip.read_u32(register) & 0xF0FFFF for register in registers) == divider
            assert answers(chip, frame(HELLO, 8, b"\1"))[0][0] == echo.INFO
        assert answers(chip, baud(50_000_000))[0] == (ERROR, 7, REFUSED)


def answers(chip: labwired.Sim, line: bytes) -> list[tuple[int, int, bytes]]:
    """What the chip says to bytes, given to it as fast as its FIFO takes them."""
    said = b""
    for start in range(0, len(line), 16):
        chip.send_bytes(line[start : start + 16])
        chip.run_for("1ms")
    for _ in range(40):
        said += chip.read_uart_bytes()
        if said.endswith(b"\0"):
            break
        chip.run_for("1ms")
    return [parse(raw) for raw in said.split(b"\0")[:-1]]


@contextmanager
def monitored(board: str, folder: Path) -> Iterator[tuple[str, Callable[[int], int]]]:
    """A board in QEMU: the path of its pty, and a look at a word of its memory or a register through the monitor."""
    usual = emulator.command

    def with_monitor(*words: Any) -> list[str]:
        argv = usual(*words)
        argv[argv.index("-monitor") + 1] = f"unix:{socket_path},server,nowait"
        return argv

    with (
        pytest.MonkeyPatch.context() as patch,
        socket.socket(socket.AF_UNIX) as monitor,
        tempfile.TemporaryDirectory() as short,  # a socket's path has at most 107 bytes
    ):
        socket_path = Path(short) / "monitor"
        patch.setattr(emulator, "command", with_monitor)
        with emulate(load_board(board), folder) as path:
            monitor.connect(str(socket_path))
            monitor.settimeout(10)

            def look(address: int) -> int:
                monitor.sendall(f"xp /1wx {address}\n".encode())
                said, wanted = "", re.compile(rf"{address:016x}: (0x[0-9a-f]{{8}})")
                while not (found := wanted.search(said)):
                    said += monitor.recv(4096).decode()
                return int(found[1], 16)

            yield path, look


def test_the_mps2_changes_its_divider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    echo.need("qemu-system-arm")
    with monitored("cortex-m4", made(tmp_path, "cortex-m4", monkeypatch)) as (path, look):
        line = echo.Line(path)
        for rate, divider in ((460_800, 54), (921_600, 27), (0, 217)):
            assert line.ask(baud(rate)) == (wire.BAUD_ANSWER, 7, struct.pack("<I", rate))
            line.ask(frame(HELLO, 8, b"\1"))
            assert look(0x40004010) == divider
        assert line.ask(baud(2_000_000)) == (ERROR, 7, REFUSED)  # its divider is at least 16
        line.port.close()


def arduino(tmp_path: Path, *flags: str) -> list[str]:
    """What the Arduino port takes of 250000 to 2 M baud, then what it does to take 500000, go back, and start."""
    main = 'extern "C" {\n#include "port.h"\n}\n#include <stdio.h>\nint main() {\n'
    main += "const unsigned long rates[] = {250000, 460800, 500000, 921600, 2000000};\n"
    main += 'for (unsigned long rate : rates) printf("%d", port_takes_baud(rate));\n'
    main += 'port_set_baud(500000); port_set_baud(0); port_start(); printf("%d credits", port_facts().credits); }\n'
    (tmp_path / "main.cpp").write_text(main)
    argv = ["g++", "-std=c++11", *flags, "-DBOARD_BAUD=115200", f"-I{echo.FIXTURES / 'arduino'}", *echo.include_flags()]
    argv += [str(tmp_path / "main.cpp"), str(PORTS / "arduino" / "port.cpp"), "-o", str(tmp_path / "main")]
    subprocess.run(argv, check=True)
    return subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout.split("\n")


def test_the_arduino_port_waits_for_the_last_byte_and_begins_anew(tmp_path: Path) -> None:
    said = arduino(tmp_path, "-D__AVR__", "-DF_CPU=16000000L")
    assert said == ["10101flush", "begin 500000", "flush", "begin 115200", "begin 115200", "1 credits"]
    said = arduino(tmp_path, "-DARDUINO_ARCH_ESP32", "-DARDUINO_USB_CDC_ON_BOOT=0")
    assert said[:4] == ["11111flush", "update 500000", "flush", "update 115200"]
    assert said[4:] == ["receive 8192", "begin 115200", "240 credits"]


def test_esp_idf_is_told_the_rate_when_the_last_byte_has_left(tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text(
        '#include "port.h"\n#include "driver/uart.h"\n#include <stdio.h>\n'
        "void esp_error_check(esp_err_t e) { (void)e; }\n"
        'esp_err_t uart_wait_tx_done(uart_port_t p, uint32_t t) { return printf("wait%d", (t == 0xFFFFFFFFu) - p); }\n'
        'esp_err_t uart_set_baudrate(uart_port_t p, uint32_t b) { return printf(" %u;", (unsigned)b + p); }\n'
        "int main(void) { port_set_baud(2000000); port_set_baud(0); "
        'printf("%d%d%d", port_takes_baud(0), port_takes_baud(2000000), port_takes_baud(30000000)); }\n'
    )
    argv = ["gcc", "-DBOARD_BAUD=115200", f"-I{echo.FIXTURES / 'idf'}", *echo.include_flags(), str(tmp_path / "main.c")]
    argv += [
        str(PORTS / "idf" / "port.c"),
        "-static",
        "-Wl,--unresolved-symbols=ignore-all",
        "-o",
        str(tmp_path / "main"),
    ]
    subprocess.run(argv, check=True)
    said = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout
    assert said == "wait1 2000000;wait1 115200;110"


@pytest.fixture(params=["cortex-m4", "mega2560", "esp32c3-labwired"])
def device(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    board = load_board(request.param)
    with emulate(board, made(tmp_path, board.name, monkeypatch)) as path:
        opened = Device(connect(path))
        yield opened
        opened.close()


def test_an_emulated_board_agrees_on_the_rate_of_its_file(
    device: Device, request: pytest.FixtureRequest, patient: None
) -> None:
    info = device.hello()
    serial = load_board(info.board).serial
    windows = [bytes([0, number]) + bytes(22) for number in range(40)]
    with speed.agreed(device, info, serial.baud, serial.max_baud) as agreed:
        assert agreed == serial.max_baud > serial.baud
        answers = {each.index: each.output[:-2] for each in device.run(windows)}
    assert answers == {at: bytes(255 - byte for byte in window[:14]) for at, window in enumerate(windows)}
    assert (device.stats.baud, device.stats.retries, device.stats.slower) == (serial.max_baud, 0, 0)


def test_boards_whose_line_is_usb_name_no_rate() -> None:
    native = {name for name in board_names() if "usb" in name} | {"nano33ble", "pico-arduino"}
    assert len(native) == 4 and not any(load_board(name).serial.max_baud > 115_200 for name in native)
