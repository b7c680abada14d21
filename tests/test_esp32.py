"""The ESP32's firmware image: valid, inside the memory map, call0 only, and its port code at work."""

from __future__ import annotations

import ctypes
import random
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import echo
import labwired
import pytest
from echo import HELLO, INFO, RESULT, RUN, frame, parse
from elftools.elf.elffile import ELFFile

from pipeline import build
from pipeline.board import find_compiler, load_board

IRAM, DRAM = range(0x40080400, 0x400A0000), range(0x3FFB0000, 0x3FFE0000)
WATCHDOGS = {"RTC": 0x3FF4808C, "timer group 0": 0x3FF5F048, "timer group 1": 0x3FF60048}
UART0_CLOCK_DIVIDER = 0x3FF40014
WINDOWED = re.compile(r"\b(entry|retw(\.n)?|call4|call8|call12|callx4|callx8|callx12|rotw|movsp|l32e|s32e)\b")
ESP32 = echo.FIXTURES / "esp32"
WINDOW = bytes(range(24))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The echo firmware, built for esp32; the working directory is its project."""
    echo.need("xtensa-lx106-elf-gcc")
    root = tmp_path_factory.mktemp("esp32")
    built = echo.make_project(root, "esp32")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert build.main(["echo", "--board", "esp32", "--runtime", "echo"]) == 0
        yield built


def segments(image: bytes) -> list[range]:
    """Where the ROM loads an ESP image: 8 bytes of header, 16 of extended header, then address, length, bytes."""
    assert image[0] == 0xE9
    found, at = [], 24
    for _ in range(image[1]):
        address, length = struct.unpack_from("<II", image, at)
        found.append(range(address, address + length))
        at += 8 + length
    return found


def test_image_info_finds_checksum_and_hash_valid(folder: Path) -> None:
    argv = [sys.executable, "-m", "esptool", "--chip", "esp32", "image-info", str(folder / "firmware.img")]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert re.search(r"Checksum: 0x\w+ \(valid\)", said)
    assert re.search(r"Validation hash: \w+ \(valid\)", said)
    assert "Flash size: 4MB" in said


def test_every_segment_of_the_image_lies_in_the_documented_ram(folder: Path) -> None:
    loaded = segments((folder / "firmware.img").read_bytes())
    assert loaded
    for segment in loaded:
        assert any(segment[0] in ram and segment[-1] in ram for ram in (IRAM, DRAM)), segment


def test_everything_the_firmware_uses_lies_in_the_documented_ram(folder: Path) -> None:
    with (folder / "firmware.elf").open("rb") as file:
        elf = ELFFile(file)
        used = [section for section in elf.iter_sections() if section["sh_flags"] & 2 and section["sh_size"]]
        assert elf["e_entry"] in IRAM
        for section in used:
            ram = IRAM if section["sh_flags"] & 4 else DRAM
            assert section["sh_addr"] in ram and section["sh_addr"] + section["sh_size"] - 1 in ram, section.name


def test_no_constant_lies_in_iram_which_takes_words_only(folder: Path) -> None:
    with (folder / "firmware.elf").open("rb") as file:
        symbols = list(ELFFile(file).get_section_by_name(".symtab").iter_symbols())
    assert not [each.name for each in symbols if each["st_value"] in IRAM and each["st_info"]["type"] == "STT_OBJECT"]


def test_no_instruction_needs_register_windows(folder: Path) -> None:
    argv = ["xtensa-lx106-elf-objdump", "-d", str(folder / "firmware.elf")]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert "call0" in said
    assert not WINDOWED.findall(said)


def test_emulator_and_image_are_the_same_objects_but_for_the_port(folder: Path) -> None:
    def code(elf: str, name: str) -> bytes:
        with (folder / elf).open("rb") as file:
            parsed = ELFFile(file)
            symbol = parsed.get_section_by_name(".symtab").get_symbol_by_name(name)[0]
            section = parsed.get_section(symbol["st_shndx"])
            start = symbol["st_value"] - section["sh_addr"]
            return bytes(section.data()[start : start + symbol["st_size"]])

    assert code("firmware.elf", "crc32") == code("emulator.elf", "crc32")
    assert code("firmware.elf", "port_read") != code("emulator.elf", "port_read")


def test_the_real_image_boots_stops_every_watchdog_and_keeps_quiet(folder: Path) -> None:
    with (folder / "firmware.elf").open("rb") as file:
        session = ELFFile(file).get_section_by_name(".symtab").get_symbol_by_name("session")[0]
    with labwired.Sim(folder / "firmware.elf", chip="esp32") as chip:
        for address in WATCHDOGS.values():
            chip.write_u32(address, 0xFFFFFFFF)
            assert chip.read_u32(address) != 0
        chip.run_for("2ms")
        assert {name: chip.read_u32(address) for name, address in WATCHDOGS.items()} == dict.fromkeys(WATCHDOGS, 0)
        assert chip.read_u32(UART0_CLOCK_DIVIDER) == 347 | 4 << 20  # 40 MHz / 347.25 = 115191 baud
        assert any(chip.read_memory(session["st_value"], session["st_size"]))  # session_start() was reached
        assert chip.read_uart_bytes() == b""


def test_uart0_of_the_images_own_code_sends_the_answers(folder: Path, tmp_path: Path) -> None:
    """labwired emulates no receive, so port_read() alone is replaced: all from start-up to transmit is the image's."""
    words = [flag for flag in build.compile_flags(build.firmware("echo", "esp32", "echo")) if "KERNEL_BUILD" in flag]
    compiler = words[0].split('"')[1].encode()
    script = frame(HELLO, 5, b"\1") + b"noise\0" + frame(RUN, 6, WINDOW)
    with labwired.Sim(_scripted(folder, tmp_path, script), chip="esp32") as chip:
        chip.run_for("20ms")
        raw = chip.read_uart_bytes()
    answers = [parse(each) for each in raw.split(b"\0")[:-1]]
    assert [answer[:2] for answer in answers] == [(INFO, 5), (echo.ERROR, 0xFFFF), (RESULT, 6)]
    assert answers[0][2].endswith(b"\5esp32\4echo\4echo" + bytes([len(compiler)]) + compiler)
    assert answers[2][2][8:] == bytes(~value & 255 for value in WINDOW[:14]) + b"\1\0"
    assert struct.unpack_from("<I", answers[2][2])[0] > 0  # CCOUNT runs


def _scripted(folder: Path, tmp_path: Path, script: bytes) -> Path:
    """The image's objects, linked again with a port_read() that says `script`."""
    board = load_board("esp32")
    compiler = find_compiler(board)
    assert compiler
    root = Path.cwd()
    firmware = build.firmware("echo", "esp32", "echo")
    target = tmp_path / "scripted.o"
    flags = [*build.compile_flags(firmware), f"-DSCRIPT={','.join(map(str, script))}"]
    argv = [compiler.command, *flags, "-c", str(ESP32 / "scripted_read.c"), "-o", str(target)]
    subprocess.run(argv, cwd=root, check=True)
    objects = [each for each in (folder / "objects").rglob("*.o") if "xtensa_sim" not in each.parts]
    elf = tmp_path / "scripted.elf"
    argv = [compiler.command, *board.build.flags, *compiler.flags, "-nostartfiles", "-Wl,--gc-sections"]
    argv += ["-Wl,--wrap=port_read", "-Wl,-T,firmware/ports/esp32/link.ld"]
    argv += ["-Wl,--defsym=board_flash_bytes=4194304", "-Wl,--defsym=board_ram_bytes=196608"]
    subprocess.run([*argv, *map(str, objects), str(target), "-nostdlib", "-o", str(elf)], cwd=root, check=True)
    return elf


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The ESP32's port, compiled natively over a model of UART0."""
    library = tmp_path_factory.mktemp("port") / "port.so"
    source = echo.PROJECT / "firmware" / "ports" / "esp32" / "port.c"
    flags = ["-shared", "-fPIC", "-include", str(ESP32 / "fake_uart.h"), "-DBOARD_CLOCK_HZ=40000000"]
    subprocess.run(["gcc", *flags, *echo.include_flags(), str(source), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def test_receive_takes_every_byte_of_the_fifo_once_and_no_more_than_asked(port: ctypes.CDLL) -> None:
    fifo = (ctypes.c_uint8 * 128).in_dll(port, "fake_received")
    count = ctypes.c_uint32.in_dll(port, "fake_received_count")
    chance, taken, given = random.Random(1), b"", b""
    while len(given) < 2000 or count.value:
        more = chance.randbytes(min(128 - count.value, chance.randrange(1, 128))) if len(given) < 2000 else b""
        for i, value in enumerate(more):
            fifo[count.value + i] = value
        count.value += len(more)
        given += more
        buffer = ctypes.create_string_buffer(64)
        port.port_read.restype = ctypes.c_size_t
        got = port.port_read(buffer, ctypes.c_size_t(50))
        assert 1 <= got <= 50
        taken += buffer.raw[:got]
    assert taken == given


def test_transmit_never_overruns_the_fifo(port: ctypes.CDLL) -> None:
    words = bytes(range(256)) * 4
    port.port_write(words, ctypes.c_size_t(len(words)))
    port.fake_settle()
    sent = (ctypes.c_uint8 * 4096).in_dll(port, "fake_sent")
    count = ctypes.c_uint32.in_dll(port, "fake_sent_count").value
    assert bytes(sent[:count]) == words
    assert ctypes.c_uint32.in_dll(port, "fake_overruns").value == 0


@pytest.fixture(scope="module")
def helpers(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The ports' stand-ins for libgcc and the C library, compiled natively under other names."""
    library = tmp_path_factory.mktemp("helpers") / "helpers.so"
    folder = echo.PROJECT / "firmware" / "ports" / "xtensa"
    names = ("memcpy", "memmove", "memset", "memcmp", "strlen")
    flags = ["-shared", "-fPIC", "-O2", "-fno-builtin", "-Wno-nonnull", *(f"-D{name}=our_{name}" for name in names)]
    sources = [str(folder / name) for name in ("arithmetic.c", "string.c")]
    subprocess.run(["gcc", *flags, *sources, "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


EDGES = (0, 1, 2, 3, 7, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def pairs(bits: int) -> list[tuple[int, int]]:
    """Edge cases and random ones, as unsigned numbers."""
    chance = random.Random(bits)
    edges = [*EDGES, *(edge << 32 for edge in EDGES), 2**64 - 1, 2**63 - 1] if bits == 64 else list(EDGES)
    free = [(chance.getrandbits(chance.randrange(1, bits + 1)), chance.getrandbits(bits)) for _ in range(300)]
    return [(a, b) for a in edges for b in edges] + free + [(b, a) for a, b in free]


def signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def call(helpers: ctypes.CDLL, name: str, bits: int, *values: int) -> int:
    kind = ctypes.c_uint64 if bits == 64 else ctypes.c_uint32
    function = getattr(helpers, name)
    function.restype = kind
    return int(function(*(kind(value) for value in values)))


@pytest.mark.parametrize(("letters", "bits"), [("si", 32), ("di", 64)])
def test_division_is_what_c_says(helpers: ctypes.CDLL, letters: str, bits: int) -> None:
    for a, b in pairs(bits):
        if b == 0:
            assert call(helpers, f"__udiv{letters}3", bits, a, 0) == 2**bits - 1
            continue
        assert call(helpers, f"__udiv{letters}3", bits, a, b) == a // b
        assert call(helpers, f"__umod{letters}3", bits, a, b) == a % b
        x, y = signed(a, bits), signed(b, bits)
        quotient = abs(x) // abs(y) * (-1 if (x < 0) != (y < 0) else 1)
        assert call(helpers, f"__div{letters}3", bits, a, b) == quotient % 2**bits
        assert call(helpers, f"__mod{letters}3", bits, a, b) == (x - quotient * y) % 2**bits


def test_long_multiplication_is_what_c_says(helpers: ctypes.CDLL) -> None:
    for a, b in pairs(64):
        assert call(helpers, "__muldi3", 64, a, b) == a * b % 2**64


def test_long_shifts_are_what_c_says(helpers: ctypes.CDLL) -> None:
    for value, _ in pairs(64):
        for count in (0, 1, 5, 31, 32, 33, 63):
            assert call(helpers, "__ashldi3", 64, value, count) == (value << count) % 2**64
            assert call(helpers, "__lshrdi3", 64, value, count) == value >> count
            assert call(helpers, "__ashrdi3", 64, value, count) == (signed(value, 64) >> count) % 2**64


def test_leading_zeros_are_counted(helpers: ctypes.CDLL) -> None:
    for value, _ in pairs(32):
        assert call(helpers, "__clzsi2", 32, value) == 32 - value.bit_length()


def test_memory_functions_do_what_their_names_say(helpers: ctypes.CDLL) -> None:
    chance = random.Random(2)
    for _ in range(300):
        start = chance.randbytes(96)
        to, origin, count = chance.randrange(40), chance.randrange(40), chance.randrange(56)
        for name, fits in (("our_memmove", True), ("our_memcpy", to + count <= origin or origin + count <= to)):
            if not fits:
                continue
            buffer, expected = ctypes.create_string_buffer(start, 96), bytearray(start)
            base = ctypes.addressof(buffer)
            expected[to : to + count] = start[origin : origin + count]
            pointers = (ctypes.c_void_p(base + to), ctypes.c_void_p(base + origin))
            getattr(helpers, name)(*pointers, ctypes.c_size_t(count))
            assert buffer.raw == bytes(expected)
        buffer = ctypes.create_string_buffer(start, 96)
        helpers.our_memset(ctypes.c_void_p(ctypes.addressof(buffer) + to), 0x1A5, ctypes.c_size_t(count))
        assert buffer.raw == start[:to] + b"\xa5" * count + start[to + count :]
    assert (
        helpers.our_memcmp(b"abc", b"abd", ctypes.c_size_t(3))
        < 0
        < helpers.our_memcmp(b"\xff", b"\1", ctypes.c_size_t(1))
    )
    assert helpers.our_memcmp(b"abc", b"abd", ctypes.c_size_t(2)) == 0
    helpers.our_strlen.restype = ctypes.c_size_t
    assert helpers.our_strlen(b"four") == 4
