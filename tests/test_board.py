"""Board files: read strictly, all problems of a file at once, near names as hints."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import echo
import pytest

from pipeline import bench, boards, files
from pipeline.board import load_board
from pipeline.problem import EXIT_USER, Problem, Problems

Edit = Callable[[str], str]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    echo.make_project(tmp_path, "host")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(project: Path, old: str, new: str, name: str = "esp32") -> None:
    path = project / "boards" / f"{name}.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def said(name: str = "esp32") -> list[str]:
    """The lines of the error that loading the board gives."""
    with pytest.raises((Problem, Problems)) as caught:
        load_board(name)
    assert caught.value.code == EXIT_USER
    return caught.value.lines()


@pytest.mark.parametrize("name", files.board_names())
def test_every_board_of_this_project_loads(name: str) -> None:
    assert load_board(name).name == name


def test_the_three_boards_are_what_their_files_say() -> None:
    esp32, m4, host = load_board("esp32"), load_board("cortex-m4"), load_board("host")
    assert (esp32.port, esp32.core, esp32.ram_bytes) == ("esp32", "xtensa-lx6", 192 * 1024)
    assert [each.command for each in esp32.build.compilers] == ["xtensa-esp32-elf-gcc", "xtensa-lx106-elf-gcc"]
    assert esp32.emulator and esp32.emulator.port == "xtensa_sim"
    assert m4.emulator and (m4.emulator.port, m4.emulator.clock.kind) == ("mps2", "instructions")
    assert host.emulator and (host.upload, host.emulator.clock.kind) == (None, "microseconds")


def test_an_unknown_board_names_the_nearest(project: Path) -> None:
    assert said("esp23") == ["error: boards: there is no board esp23", "  hint: did you mean esp32?"]


def test_a_file_that_is_not_toml_names_the_line(project: Path) -> None:
    edit(project, 'chip = "ESP32"', "chip = ESP32")
    assert said()[0].startswith("error: boards/esp32.toml: is not TOML: ")
    assert "line 3" in said()[0]


def test_all_problems_of_a_file_are_said_at_once_with_near_names(project: Path) -> None:
    edit(project, "ram_bytes", "ram_byte")
    edit(project, "baud = ", "bauds = ")
    edit(project, 'chip = "ESP32"', "chip = 32")
    assert sorted(line for line in said() if line.startswith("error")) == [
        "error: boards/esp32.toml: [serial] has no key bauds",
        "error: boards/esp32.toml: [serial] lacks baud",
        "error: boards/esp32.toml: chip must be text, not 32",
        "error: boards/esp32.toml: has no key ram_byte",
        "error: boards/esp32.toml: lacks ram_bytes",
    ]
    assert "  hint: did you mean baud?" in said()
    assert "  hint: did you mean ram_bytes?" in said()


def test_a_lacking_section_is_named(project: Path) -> None:
    path = project / "boards" / "esp32.toml"
    text = path.read_text()
    start = text.index("[serial]")
    path.write_text(text[:start] + text[text.index("# shift=7") :])
    assert said() == ["error: boards/esp32.toml: lacks serial"]


def test_a_name_key_is_refused_because_the_file_has_one(project: Path) -> None:
    edit(project, "chip =", 'name = "x"\nchip =')
    assert said() == ["error: boards/esp32.toml: has no key name", "  hint: the name is the file's"]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("flash_bytes = 4_194_304", 'flash_bytes = "4M"', "flash_bytes must be a whole number, not '4M'"),
        ("flash_bytes = 4_194_304", "flash_bytes = true", "flash_bytes must be a whole number, not True"),
        ("dtr = false", "dtr = 0", "serial.dtr must be true or false, not 0"),
        ("settle_seconds = 0.5", 'settle_seconds = "a"', "serial.settle_seconds must be a number, not 'a'"),
        ('link_flags = ["-nostdlib"]', 'link_flags = "-nostdlib"', "build.link_flags must be a list, not '-nostdlib'"),
        ('link_flags = ["-nostdlib"]', "link_flags = [1]", "build.link_flags must be text, not 1"),
        ('{ kind = "instructions", ticks_per_unit = 5.12 }', "3", "emulator.clock must be a table, not 3"),
        ("clock_hz = 40_000_000", "clock_hz = 0", "clock_hz is 0, not above 0"),
        ("ram_bytes = 196_608", "ram_bytes = -1", "ram_bytes is -1, not above 0"),
        ("arena_bytes = 131_072", "arena_bytes = 196_609", "arena_bytes 196609 is more than ram_bytes 196608"),
        ("baud = 115_200", "baud = 0", "[serial] baud must be above 0 and settle_seconds not below"),
        ("ticks_per_unit = 5.12", "ticks_per_unit = 0", "[emulator.clock] ticks_per_unit must be above 0 and finite"),
        ("ticks_per_unit = 5.12", "ticks_per_unit = nan", "[emulator.clock] ticks_per_unit must be above 0 and finite"),
        ("settle_seconds = 0.5", "settle_seconds = -1", "[serial] baud must be above 0 and settle_seconds not below"),
        ("settle_seconds = 0.5", "settle_seconds = 500", "[serial] settle_seconds is 500, at most 60 are waited"),
        ("settle_seconds = 0.5", "settle_seconds = nan", "[serial] settle_seconds is nan, at most 60 are waited"),
        ("baud = 115_200", "baud = 115_200_000", "[serial] baud is 115200000, no line does that"),
        ("max_baud = 921_600", "max_baud = 9_600", "[serial] max_baud 9600 is less than baud 115200"),
        (
            "clock_hz = 40_000_000",
            "clock_hz = 40_000_000_000",
            "clock_hz is 40000000000, which needs more than 32 bits",
        ),
        ('core = "xtensa-lx6"', 'core = "Xtensa_LX6"', "there is no core 'Xtensa_LX6'"),
        ('core = "xtensa-lx6"', 'core = ""', "there is no core ''"),
        ("chip =", 'runtimes = ["compield"]\nchip =', "runtimes: there is no runtime compield"),
        ('"xtensa-esp32-elf-gcc"', '"gcc -m32"', "[build] compilers: 'gcc -m32' is no command"),
        (
            'file = "firmware.img"',
            'file = "../firmware.img"',
            "[image] file must be a name without a folder, not '../firmware.img'",
        ),
        ('"{image}", "{elf}",', '"{img}", "{elf}",', "[image] make has {img}, for which there is no value"),
        ('"{port}"', '"{prot}"', "[upload] command has {prot}, for which there is no value"),
        (
            '"-kernel", "{elf}"',
            '"-kernel", "file={program}"',
            "[emulator] command has {program}, for which there is no value",
        ),
        ('"instructions"', '"instruction"', "[emulator.clock] there is no kind instruction"),
        ('port = "esp32"', 'port = "esp23"', "there is no port esp23 in firmware/ports"),
        ('port = "xtensa_sim"', 'port = "xtensa"', "there is no port xtensa in firmware/ports"),
    ],
)
def test_a_wrong_value_is_said(project: Path, old: str, new: str, what: str) -> None:
    edit(project, old, new)
    assert f"error: boards/esp32.toml: {what}" in said()


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"arduino:avr:uno"', '"uno"', "[arduino] fqbn 'uno' is no name of a board"),
        ("stack_bytes = 256", "stack_bytes = -1", "[arduino] stack_bytes is -1, below 0"),
        (
            'port = "arduino"\nclock_hz',
            'port = "mps2"\nclock_hz',
            "port mps2 has no sketch.ino, which [arduino] builds",
        ),
    ],
)
def test_a_wrong_fact_of_arduino_is_said(project: Path, old: str, new: str, what: str) -> None:
    edit(project, old, new, "uno")
    assert said("uno")[0] == f"error: boards/uno.toml: {what}"


def test_a_core_without_kernels_of_its_own_is_fine(project: Path) -> None:
    edit(project, 'core = "xtensa-lx6"', 'core = "cortex-m3"')
    assert load_board("esp32").core == "cortex-m3"


def test_an_image_needs_a_command_that_makes_it(project: Path) -> None:
    edit(project, "[serial]", '[image]\nfile = "firmware.img"\n\n[serial]', "host")
    assert said("host") == [
        "error: boards/host.toml: [image] lacks make",
        "  hint: the command that makes {image} of {elf}",
    ]


def test_an_upload_without_a_command_is_refused(project: Path) -> None:
    variant(project, 'like = "esp32"\n[upload]\ncommand = []\n')
    assert said("mine") == ["error: boards/mine.toml: [upload] command is empty"]


def test_the_name_of_a_board_is_one_for_c_and_folders(project: Path) -> None:
    (project / "boards" / "my board.toml").write_text('like = "esp32"\n')
    assert said("my board")[0] == "error: boards/my board.toml: its name goes into C and folders"


def test_what_editors_leave_beside_a_board_is_none(project: Path) -> None:
    (project / "boards" / ".#host.toml").symlink_to("me@here.123")
    assert ".#host" not in files.board_names()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b'chip = "\xff"\n', "is not UTF-8 (byte 8)"),
        ('chip = "x"\n'.encode("utf-16"), "is not UTF-8 (byte 0)"),
        (b"hello", "is not TOML: Expected '=' after a key in a key/value pair (at end of document)"),
        (b"", "lacks chip"),
    ],
)
def test_a_file_of_something_else_is_refused(project: Path, content: bytes, what: str) -> None:
    (project / "boards" / "esp32.toml").write_bytes(content)
    assert said()[0] == f"error: boards/esp32.toml: {what}"


def test_a_file_may_begin_with_the_mark_that_editors_of_windows_write(project: Path) -> None:
    path = project / "boards" / "esp32.toml"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_board("esp32").chip == "ESP32"


def test_a_wrong_kind_of_clock_names_the_nearest(project: Path) -> None:
    edit(project, '"instructions"', '"instruction"')
    assert said()[1] == "  hint: did you mean instructions?"


def test_an_emulator_without_a_command_is_refused(project: Path) -> None:
    edit(project, 'command = ["{elf}"]', "command = []", "host")
    assert said("host") == ["error: boards/host.toml: [emulator] command is empty"]


def test_an_emulator_whose_source_is_not_there_is_refused(project: Path) -> None:
    edit(project, "emulators/simavr.c", "emulators/simavr.h", "uno")
    assert said("uno") == ["error: boards/uno.toml: [emulator] there is no source firmware/emulators/simavr.h"]


def test_a_feature_to_leave_out_must_be_one_there_is(project: Path) -> None:
    edit(project, "chip =", 'leave_out = ["layer", "mlperf"]\nchip =')
    assert said() == [
        "error: boards/esp32.toml: leave_out: there is no feature layer",
        "  hint: did you mean layers?",
    ]


def test_a_board_without_compilers_is_refused(project: Path) -> None:
    path = project / "boards" / "host.toml"
    text = path.read_text()
    path.write_text(text[: text.index("[[build.comp")] + "compilers = []\n" + text[text.index("[serial]") :])
    assert said("host") == ["error: boards/host.toml: [build] compilers is empty"]


def test_an_upload_without_an_image_is_refused(project: Path) -> None:
    edit(project, "[serial]", '[upload]\ncommand = ["x"]\n\n[serial]', "host")
    assert said("host") == ["error: boards/host.toml: [upload] needs an [image] to write"]


def test_a_new_board_is_one_file(project: Path) -> None:
    (project / "boards" / "mine.toml").write_text((project / "boards" / "esp32.toml").read_text())
    assert load_board("mine").chip == "ESP32"
    assert "mine" in files.board_names()


def variant(project: Path, text: str) -> None:
    (project / "boards" / "mine.toml").write_text(text)


def test_a_board_may_say_only_what_differs_from_another(project: Path) -> None:
    variant(project, 'like = "esp32"\nram_bytes = 150_000\n[serial]\nsettle_seconds = 2\n[build]\nflags = ["-Os"]\n')
    mine, esp32 = load_board("mine"), load_board("esp32")
    assert (mine.name, mine.ram_bytes, mine.serial.settle_seconds) == ("mine", 150_000, 2.0)
    assert (mine.serial.baud, mine.upload, mine.emulator) == (esp32.serial.baud, esp32.upload, esp32.emulator)
    assert (mine.build.flags, mine.build.compilers) == (("-Os",), esp32.build.compilers)


def test_a_board_like_an_unknown_one_names_the_nearest(project: Path) -> None:
    variant(project, 'like = "esp23"\n')
    assert said("mine") == ["error: boards/mine.toml: like: there is no board esp23", "  hint: did you mean esp32?"]


def test_a_board_is_not_like_one_that_is_itself_like_another(project: Path) -> None:
    variant(project, 'like = "host"\n')
    (project / "boards" / "other.toml").write_text('like = "mine"\n')
    assert said("other") == [
        "error: boards/other.toml: like: mine is itself like host",
        "  hint: name the board that is like no other",
    ]


def test_a_board_is_built_in_one_way_only(project: Path) -> None:
    variant(project, 'like = "esp32"\n[idf]\ntarget = "esp32"\n')
    assert said("mine")[0] == "error: boards/mine.toml: has more than one of [build], [arduino] and [idf]"


def test_the_table_shows_every_board_its_tools_and_its_fidelity(capsys: pytest.CaptureFixture[str]) -> None:
    assert boards.main([]) == 0
    table = capsys.readouterr().out
    rows = {line.split("  ")[0]: re.split(r"  +", line) for line in table.split("\n\n")[0].splitlines()}
    assert rows.keys() == {"board", *files.board_names()}
    assert {len(row) for row in rows.values()} == {9}
    assert rows["esp32"][:7] == ["esp32", "ESP32", "xtensa-lx6", "192 KB", "4096 KB", "compiled, tflm", "bare metal"]
    assert rows["uno"][5:7] == ["compiled", "Arduino, PlatformIO"]
    assert rows["esp32c3-idf"][6:] == ["ESP-IDF", "not found", "none"]
    assert rows["esp32"][8] == "QEMU xtensa sim, lx106 core"
    assert "QEMU riscv32 virt (esp32c3, esp32c3-usb)\n  is faithful to      kernels, core and model" in table
    assert "\n  is not faithful to  UART0" in table


def test_a_board_by_name_is_shown_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert boards.main(["esp32", "esp32c3-usb"]) == 0
    shown = capsys.readouterr().out
    assert "esp32: ESP32, xtensa-lx6, 192 KB RAM, 4096 KB flash, port esp32\n" in shown
    assert "  upload     esptool\n" in shown
    assert "  serial     115200 baud, DTR low, RTS low, 0.5 s to start after the port opened\n" in shown
    assert "  serial     115200 baud, DTR high, RTS high, 0 s to start after the port opened\n" in shown
    assert "is not faithful to  UART0" in shown
    assert "  kernels    firmware/kernels/xtensa-lx6, and portable ones where it has none\n" in shown


def test_a_core_without_kernels_of_its_own_says_so(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    variant(project, 'like = "esp32"\ncore = "xtensa-lx9"\n')
    assert boards.main(["mine"]) == 0
    assert "  kernels    portable ones: xtensa-lx9 has none of its own\n" in capsys.readouterr().out


def test_platformio_facts_stand_beside_those_of_arduino(project: Path) -> None:
    variant(project, 'like = "esp32"\n[platformio]\nplatform = "espressif32"\nboard = "esp32dev"\n')
    assert said("mine") == ["error: boards/mine.toml: [platformio] is another way to [arduino], which it lacks"]


def test_the_table_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert boards.main(["esp32"]) == 0
    table = capsys.readouterr().out
    assert "compiler   not found (apt install gcc-xtensa-lx106 picolibc-xtensa-lx106-elf)" in table
    assert "QEMU xtensa sim, lx106 core not found (apt install qemu-system-misc)" in table


def test_the_table_shows_the_arduino_tool_or_how_to_get_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    echo.need("arduino-builder", "gcc")
    assert boards.main(["uno"]) == 0
    table = capsys.readouterr().out
    assert "compiler   arduino-builder" in table
    assert "emulator   simavr atmega328p\n" in table
    shutil.rmtree(project / "build" / "emulators")
    monkeypatch.setenv("PATH", str(project))
    assert boards.main(["uno"]) == 0
    table = capsys.readouterr().out
    assert "compiler   not found (apt install arduino-core-avr arduino-builder" in table
    assert "simavr atmega328p not found (apt install gcc libsimavr-dev libelf-dev)" in table


def test_json_is_for_a_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert boards.main(["--json", "host"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert (facts["name"], facts["ram_bytes"], facts["emulator"]["port"]) == ("host", 262144, "host")
    assert facts["found"]["compiler"] in ("gcc", "clang")


def test_a_board_that_neither_builds_nor_emulates_is_refused(project: Path) -> None:
    path = project / "boards" / "host.toml"
    text = path.read_text()
    path.write_text(text[: text.index("[build]")] + text[text.index("[serial]") : text.index("[emulator]")])
    assert said("host") == [
        "error: boards/host.toml: has neither [build] nor [emulator]",
        "  hint: without [build] only an emulator can run it",
    ]


def test_a_board_may_name_its_runtimes_and_the_first_is_the_usual_one() -> None:
    assert load_board("tflm-host").usual_runtime == "tflm"
    assert load_board("host").usual_runtime == "compiled"
    assert "runtimes   tflm" in "\n".join(boards.paragraph(load_board("tflm-host")))


@pytest.mark.parametrize("name", files.board_names())
def test_the_harness_opens_the_line_as_the_board_wants_it(name: str) -> None:
    serial = load_board(name).serial
    settings = bench._settings(load_board(name), None)
    assert (settings.baud, settings.dtr, settings.rts) == (serial.baud, serial.dtr, serial.rts)
    assert settings.settle_seconds == serial.settle_seconds
    assert bench._settings(load_board(name), 57_600).baud == 57_600


def test_no_board_moves_its_reset_lines_apart() -> None:
    for name in files.board_names():
        serial = load_board(name).serial
        assert serial.dtr == serial.rts, f"{name}: one of the two alone resets an ESP32 or starts its bootloader"
