"""Images of the ESP32-C3 and the ESP32-S3: valid, inside the memory map, and their start-up in labwired."""

from __future__ import annotations

import ctypes
import random
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import echo
import labwired
import pytest
from elftools.elf.elffile import ELFFile
from test_esp32 import WINDOWED, segments

from pipeline import build
from pipeline.board import load_board
from pipeline.problem import Problem


@dataclass(frozen=True)
class Chip:
    """What the technical reference manual says of a chip's memory and registers."""

    iram: range
    dram: range
    alias: int  # what lies between an address on the one bus and on the other
    rtc_watchdog: int
    super_watchdog: int
    processor_clock: int
    system_clock: int


CHIPS = {
    "esp32c3": Chip(
        range(0x40380000, 0x403E0000), range(0x3FC80000, 0x3FCCAE00), 0x700000,
        0x60008090, 0x600080AC, 0x600C0008, 0x600C0058,
    ),
    "esp32s3": Chip(
        range(0x40378000, 0x403E0000), range(0x3FC88000, 0x3FCD8000), 0x6F0000,
        0x60008098, 0x600080B4, 0x600C0010, 0x600C0060,
    ),
}  # fmt: skip
TIMER_WATCHDOGS = (0x6001F048, 0x60020048)
UART0_CLOCK_DIVIDER = 0x60000014


@dataclass(frozen=True)
class Built:
    """The echo firmware for a chip."""

    name: str
    chip: Chip
    folder: Path


@pytest.fixture(scope="module", params=CHIPS)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The working directory is the firmware's project."""
    name = request.param
    echo.need(*(each.command for each in load_board(name).build.compilers if each.package))
    root = tmp_path_factory.mktemp(name)
    folder = echo.make_project(root, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert build.main(["echo", "--board", name, "--runtime", "echo"]) == 0
        yield Built(name, CHIPS[name], folder)


def test_image_info_finds_checksum_and_hash_valid(built: Built) -> None:
    argv = [sys.executable, "-m", "esptool", "--chip", built.name, "image-info", str(built.folder / "firmware.img")]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert re.search(r"Checksum: 0x\w+ \(valid\)", said)
    assert re.search(r"Validation hash: \w+ \(valid\)", said)


def test_every_segment_of_the_image_lies_in_the_documented_ram_and_none_in_another(built: Built) -> None:
    loaded = segments((built.folder / "firmware.img").read_bytes())
    assert len(loaded) >= 2
    seen: set[int] = set()
    for segment in loaded:
        ram = built.chip.iram if segment[0] in built.chip.iram else built.chip.dram
        assert segment[0] in ram and segment[-1] in ram
        here = set(range(segment[0] - built.chip.alias, segment[-1] + 1 - built.chip.alias, 4))
        here = here if ram is built.chip.iram else set(segment[::4])
        assert not here & seen, "the two buses lead to the same memory"
        seen |= here


def test_everything_the_firmware_uses_lies_in_the_documented_ram(built: Built) -> None:
    with (built.folder / "firmware.elf").open("rb") as file:
        elf = ELFFile(file)
        assert elf["e_entry"] in built.chip.iram
        code_end = 0
        for section in [each for each in elf.iter_sections() if each["sh_flags"] & 2 and each["sh_size"]]:
            code = section["sh_flags"] & 4
            ram = built.chip.iram if code else built.chip.dram
            end = section["sh_addr"] + section["sh_size"]
            assert section["sh_addr"] in ram and end - 1 in ram, section.name
            code_end = max(code_end, end - built.chip.alias) if code else code_end
            assert code or section["sh_addr"] >= code_end
        script = (echo.PROJECT / "firmware" / "ports" / built.name / "link.ld").read_text()
    origin = int(re.search(r"DRAM \(rw\) : ORIGIN = (\w+)", script)[1], 16)  # type: ignore[index]
    code = re.search(r"IRAM \(rx\) : ORIGIN = (\w+), LENGTH = (\w+)", script)
    assert code and int(code[1], 16) + int(code[2], 16) - built.chip.alias == origin  # the regions cannot overlap
    assert origin + load_board(built.name).ram_bytes <= built.chip.dram.stop


def test_no_instruction_needs_what_the_core_lacks(built: Built) -> None:
    tool = "xtensa-lx106-elf-objdump" if built.name == "esp32s3" else "riscv64-unknown-elf-objdump"
    argv = [tool, "-d", "-M", "no-aliases", str(built.folder / "firmware.elf")] if "riscv" in tool else [
        tool, "-d", str(built.folder / "firmware.elf")]  # fmt: skip
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert len(said.splitlines()) > 500
    assert not WINDOWED.findall(said)
    assert not re.findall(r"\t(amo|lr\.|sc\.|fl[wd]\b|fs[wd]\b|fadd|fmul|[a-z.]*w\.aq)\S*", said)


def started(built: Built, elf: str = "firmware.elf") -> labwired.Sim:
    return labwired.Sim(built.folder / elf, chip=built.name)


def test_start_up_stops_every_watchdog_and_keeps_quiet(built: Built) -> None:
    watchdogs = (built.chip.rtc_watchdog, *TIMER_WATCHDOGS)
    with started(built) as chip:
        for address in watchdogs:
            chip.write_u32(address, 0xFFFFFFFF)
        chip.run_for("2ms")
        assert [chip.read_u32(address) for address in watchdogs] == [0, 0, 0]
        assert chip.read_u32(built.chip.super_watchdog) >> 31 == 1
        assert chip.read_uart_bytes() == b""


def test_start_up_brings_the_clock_to_160_mhz_and_the_line_to_115200_baud(built: Built) -> None:
    with started(built) as chip:
        chip.run_for("2ms")
        assert chip.read_u32(built.chip.processor_clock) & 7 == 4 | 1  # PLL of 480 MHz, divided by 3
        assert chip.read_u32(built.chip.system_clock) >> 10 & 3 == 1  # from the PLL
        assert chip.read_u32(UART0_CLOCK_DIVIDER) & 0xF00FFF == 347 | 4 << 20  # 40 MHz / 347.25 = 115191 baud


def test_a_board_may_ask_for_the_crystals_clock(built: Built) -> None:
    assert info_clock(built, "40_000_000", lambda chip: None) == 40_000_000


def test_the_device_says_what_clock_it_has_where_the_pll_is_off(built: Built) -> None:
    assert info_clock(built, "160_000_000", lambda chip: chip.write_u32(0x60008000, 1 << 10)) == 40_000_000


def info_clock(built: Built, clock_hz: str, prepare: object) -> int:
    """The clock that the INFO frame of the firmware built for this clock_hz reports."""
    board = Path("boards") / f"{built.name}.toml"
    text = board.read_text()
    board.write_text(text.replace("clock_hz = 160_000_000", f"clock_hz = {clock_hz}"))
    try:
        build.main(["echo", "--board", built.name, "--runtime", "echo"])
        with started(built) as chip:
            prepare(chip)  # type: ignore[operator]
            chip.run_for("1ms")
            chip.send_bytes(echo.frame(echo.HELLO, 1, b"\1"))
            said = b""
            for _ in range(40):
                chip.run_for("500us")
                said += chip.read_uart_bytes()
                if said.endswith(b"\0"):
                    break
        return int(struct.unpack_from("<I", echo.parse(said[:-1])[2], 4)[0])
    finally:
        board.write_text(text)
        build.main(["echo", "--board", built.name, "--runtime", "echo"])


def test_a_clock_that_the_chip_has_not_does_not_compile(
    built: Built, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    board = Path("boards") / f"{built.name}.toml"
    text = board.read_text()
    board.write_text(text.replace("clock_hz = 160_000_000", "clock_hz = 240_000_000"))
    try:
        with pytest.raises(Problem, match="does not compile"):
            build.main(["echo", "--board", built.name, "--runtime", "echo"])
    finally:
        board.write_text(text)
    assert "clock_hz of the board: 40, 80 or 160 MHz" in capsys.readouterr().err


@pytest.mark.parametrize("board", ["esp32c3-usb", "esp32s3-usb"])
def test_the_usb_variant_uses_the_usb_port_alone(board: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = echo.make_project(tmp_path, board)
    monkeypatch.chdir(tmp_path)
    assert build.main(["echo", "--board", board, "--runtime", "echo"]) == 0
    tool = "xtensa-lx106-elf-nm" if "s3" in board else "riscv64-unknown-elf-nm"
    (uart,), (usb,) = ((folder / "objects").rglob(f"ports/esp/{name}.o") for name in ("uart", "usb"))
    said = [subprocess.run([tool, str(each)], capture_output=True, text=True).stdout for each in (uart, usb)]
    assert "port_read" not in said[0] and "port_read" in said[1]
    serial = load_board(board).serial
    assert serial.dtr and serial.rts  # RTS without DTR resets the chip


@pytest.fixture(scope="module")
def usb(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The USB line, compiled natively over a model of USB-Serial-JTAG."""
    library = tmp_path_factory.mktemp("usb") / "usb.so"
    source = echo.PROJECT / "firmware" / "ports" / "esp" / "usb.c"
    flags = ["-shared", "-fPIC", "-DBOARD_SERIAL_USB", "-include", str(echo.FIXTURES / "esp" / "fake_usb.h")]
    subprocess.run(["gcc", *flags, *echo.include_flags(), str(source), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


@pytest.mark.parametrize("count", [1, 63, 64, 65, 128, 1000])
def test_usb_ends_every_answer_with_a_packet_that_is_not_full(usb: ctypes.CDLL, count: int) -> None:
    words = random.Random(count).randbytes(count)
    made = ctypes.c_uint32.in_dll(usb, "fake_packets_count")
    made.value = 0
    usb.port_write(words, ctypes.c_size_t(count))
    usb.fake_settle()
    raw, packets = bytes((ctypes.c_uint8 * 4096).in_dll(usb, "fake_packets"))[: made.value], []
    while raw:
        packets.append(raw[1 : 1 + raw[0]])
        raw = raw[1 + raw[0] :]
    assert b"".join(packets) == words
    assert {len(packet) for packet in packets[:-1]} <= {64} and len(packets[-1]) < 64
    assert ctypes.c_uint32.in_dll(usb, "fake_overruns").value == 0


def test_usb_takes_every_byte_once_and_no_more_than_asked(usb: ctypes.CDLL) -> None:
    given = random.Random(3).randbytes(500)
    ctypes.memmove((ctypes.c_uint8 * 4096).in_dll(usb, "fake_received"), given, len(given))
    ctypes.c_uint32.in_dll(usb, "fake_received_count").value = len(given)
    usb.port_read.restype = ctypes.c_size_t
    taken = b""
    while len(taken) < len(given):
        buffer = ctypes.create_string_buffer(64)
        got = usb.port_read(buffer, ctypes.c_size_t(50))
        assert 1 <= got <= 50
        taken += buffer.raw[:got]
        usb.fake_settle()
    assert taken == given
